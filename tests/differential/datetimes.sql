Dates, times, time zones and intervals (TimeZone is UTC, DateStyle ISO).

-- name: date input forms
SELECT date '2024-01-15', '20240115'::date, 'January 15, 2024'::date, '2024-02-29'::date;

-- name: timestamp output
SELECT timestamp '2024-01-15 10:00', timestamp '2024-01-15 10:00:00.5', timestamp '2024-01-15T10:00:00.123456789', timestamp '0044-03-15 12:00:00 BC';

-- name: timestamptz converts to the session zone
SELECT timestamptz '2024-01-15 10:00+02', timestamptz '2024-01-15 10:00 Europe/Berlin', timestamptz '2024-07-15 10:00 Europe/Berlin', timestamptz '2024-01-15 10:00Z';

-- name: extremes
-- differs: timestamps end in the year 294247
SELECT date '4713-01-01 BC', date '9999-12-31', timestamp '1000-01-01 00:00:00', timestamp '294276-12-31 23:59:59.999999';

-- name: infinity
SELECT 'infinity'::timestamp, '-infinity'::date, 'infinity'::timestamp > now()::timestamp;

-- name: invalid dates
SELECT '2023-02-29'::date;

-- name: invalid text
SELECT 'not a date'::timestamp;

-- name: out of range
SELECT '300000-01-01'::timestamp;

-- name: date arithmetic
SELECT date '2024-03-01' - date '2024-02-01', date '2024-01-31' + 1, date '2024-01-31' - 31, date '2024-01-31' + interval '1 month';

-- name: timestamp arithmetic
SELECT timestamp '2024-01-31 10:00' + interval '1 month', timestamp '2024-03-31' - interval '1 month', timestamp '2024-03-01' - timestamp '2024-02-28 12:00';

-- name: date and time
SELECT date '2024-01-01' + time '10:30', time '23:30' + interval '1 hour', time '10:00' - time '09:15';

-- name: interval output
SELECT interval '1 year 2 months 3 days 04:05:06.7', interval '-1 day 2 hours', interval '90 minutes', interval '36 hours', interval 'P1Y2M3DT4H5M6S', interval '0';

-- name: interval arithmetic
SELECT interval '1 day' * 3, interval '1 month' / 2, interval '1 day' + interval '25 hours', -interval '1 hour', interval '1 hour' * 1.5, 2 * interval '1 day';

-- name: interval comparison
SELECT interval '30 days' = interval '1 month', interval '24 hours' = interval '1 day', interval '1 hour' < interval '61 minutes';

-- name: justify
SELECT justify_days(interval '35 days'), justify_hours(interval '27 hours'), justify_interval(interval '1 month -1 hour');

-- name: extract
SELECT extract(year from timestamp '2024-05-06 07:08:09.123456'), extract(month from date '2024-05-06'), extract(dow from date '2024-05-05'), extract(isodow from date '2024-05-05'), extract(doy from date '2024-12-31'), extract(week from date '2024-01-01'), extract(quarter from date '2024-05-06'), extract(second from timestamp '2024-05-06 07:08:09.123456'), extract(epoch from timestamp '2024-01-01'), extract(hour from time '13:14:15');

-- name: extract from intervals
SELECT extract(epoch from interval '1 month 1 day 1 second'), extract(day from interval '40 days 5 hours'), date_part('hour', interval '5 hours');

-- name: extract of an unknown field
SELECT extract(fortnight from date '2024-01-01');

-- name: date_trunc
SELECT date_trunc('hour', timestamp '2024-05-06 07:08:09'), date_trunc('week', date '2024-05-08'), date_trunc('month', timestamptz '2024-05-06 07:08:09+00'), date_trunc('quarter', timestamp '2024-05-06'), date_trunc('decade', timestamp '2024-05-06');

-- name: date_bin
SELECT date_bin('15 minutes', timestamp '2024-05-06 07:22:09', timestamp '2024-01-01');

-- name: age
SELECT age(timestamp '2024-03-15', timestamp '2023-01-31'), age(date '2024-01-01', date '2024-03-01');

-- name: at time zone
SELECT timestamp '2024-07-01 12:00' AT TIME ZONE 'Europe/Berlin', timestamptz '2024-07-01 12:00+00' AT TIME ZONE 'America/New_York', timestamp '2024-07-01 12:00' AT TIME ZONE interval '-3 hours';

-- name: unknown time zone
SELECT now() AT TIME ZONE 'Mars/Olympus';

-- name: to_char
SELECT to_char(timestamp '2024-05-06 17:08:09.123', 'YYYY-MM-DD HH24:MI:SS.MS'), to_char(timestamp '2024-05-06 17:08', 'Dy, DD Mon YYYY HH12:MI AM'), to_char(date '2024-05-06', 'FMDay FMDD, Q IW'), to_char(interval '25 hours', 'HH24:MI');

-- name: to_date and to_timestamp
SELECT to_date('06/05/2024', 'DD/MM/YYYY'), to_timestamp('2024-05-06 07:08', 'YYYY-MM-DD HH24:MI'), to_timestamp(1700000000.5);

-- name: make functions
SELECT make_date(2024, 2, 29), make_time(10, 11, 12.5), make_timestamp(2024, 1, 2, 3, 4, 5.6), make_interval(days => 3, hours => 4);

-- name: now is stable in a statement
SELECT now() = now(), current_date = now()::date, now() = transaction_timestamp(), clock_timestamp() >= now();

-- name: casts
SELECT timestamp '2024-05-06 07:08:09'::date, date '2024-05-06'::timestamp, timestamptz '2024-05-06 23:00-05'::date, '07:08'::time::text, timestamp '2024-05-06 07:08:09'::time;

-- name: comparison of date and timestamp
SELECT date '2024-01-01' = timestamp '2024-01-01 00:00', date '2024-01-02' > timestamptz '2024-01-01 12:00+00', date '2024-01-01' < '2024-01-02';

-- name: overlaps
SELECT (date '2024-01-01', date '2024-02-01') OVERLAPS (date '2024-01-15', date '2024-03-01');

-- name: series of days
SELECT d::date FROM generate_series(timestamp '2024-02-27', '2024-03-02', '1 day') g(d);

-- name: isfinite
SELECT isfinite(date '2024-01-01'), isfinite('infinity'::timestamp);

-- name: setting the time zone
SET timezone TO 'Asia/Tokyo'; SELECT timestamptz '2024-01-15 10:00+00', '2024-01-15 10:00'::timestamptz; RESET timezone;

-- name: show time zone
SHOW timezone;

-- name: aggregates
SELECT min(d), max(d), max(d) - min(d) FROM (VALUES (date '2024-01-01'), (date '2023-06-01'), (NULL)) v(d);

-- name: average of intervals
SELECT avg(i), sum(i) FROM (VALUES (interval '1 hour'), (interval '2 hours')) v(i);

-- name: microseconds survive
SELECT timestamp '2024-01-01 00:00:00.000001' + interval '0.000001 second';
-- name: dates beside timestamps
CREATE TABLE days (id int PRIMARY KEY, d date);
INSERT INTO days VALUES (1, '2020-02-28'), (2, '2020-02-29'), (3, '2020-03-01'), (4, NULL), (5, 'infinity'), (6, '-infinity'), (7, '0044-03-15 BC'), (8, '5874897-12-31');
SELECT id FROM days WHERE d < timestamp '2020-02-29' ORDER BY id;
SELECT id FROM days WHERE d <= timestamp '2020-02-29' ORDER BY id;
SELECT id FROM days WHERE d > timestamp '2020-02-29' ORDER BY id;
SELECT id FROM days WHERE d >= timestamp '2020-02-29' ORDER BY id;
SELECT id FROM days WHERE d = timestamp '2020-02-29' ORDER BY id;
SELECT id FROM days WHERE d <> timestamp '2020-02-29' ORDER BY id;
SELECT id FROM days WHERE d < timestamp '2020-02-29 00:00:01' ORDER BY id;
SELECT id FROM days WHERE d <= timestamp '2020-02-29 00:00:01' ORDER BY id;
SELECT id FROM days WHERE d > timestamp '2020-02-29 00:00:01' ORDER BY id;
SELECT id FROM days WHERE d >= timestamp '2020-02-29 00:00:01' ORDER BY id;
SELECT id FROM days WHERE timestamp '2020-02-28 23:59:59.999999' < d ORDER BY id;
SELECT id FROM days WHERE timestamp '2020-02-28 23:59:59.999999' >= d ORDER BY id;
SELECT id FROM days WHERE d BETWEEN timestamp '2020-02-28 12:00' AND timestamp '2020-03-01' ORDER BY id;
SELECT id FROM days WHERE d < date '2020-03-30' - interval '30 days' ORDER BY id;
SELECT id FROM days WHERE d >= timestamp '-infinity' AND d < timestamp 'infinity' AND id < 8 ORDER BY id;
SELECT id FROM days WHERE d = timestamp 'infinity' OR d <= timestamp '-infinity' ORDER BY id;
SELECT id FROM days WHERE d > timestamp '0044-03-14 12:00 BC' AND id < 8 ORDER BY id;
SELECT id, d IS DISTINCT FROM timestamp '2020-02-29' FROM days WHERE id < 8 ORDER BY id;
SELECT id, d < NULL::timestamp FROM days ORDER BY id;
SELECT id, d = timestamp '2020-02-29 06:00', d <> timestamp '2020-02-29 06:00' FROM days WHERE id < 7 ORDER BY id;
SELECT id FROM days WHERE d::timestamp < timestamp '2020-02-29 10:00' AND id < 8 ORDER BY id;
SELECT id, d::timestamp FROM days WHERE id < 8 ORDER BY id;

-- name: ages borrow from the month of the earlier moment
SELECT age(timestamp '2001-01-31', timestamp '2001-02-28'), age(timestamp '2001-02-28', timestamp '2001-01-31'), age(timestamp '2023-03-31', timestamp '2024-02-29'), age(timestamp '2024-02-29', timestamp '2023-03-31'), age(timestamp '2024-02-29 10:00', timestamp '2024-03-01 09:00'), age(date '2024-05-31', date '2024-02-29');

-- name: names in the language of the session have no width
SELECT to_char(date '2024-02-29', 'TMMonth|Month|TMDay|Day|TMDD|TMMon|TMMONTH D');

-- name: intervals with fields
SELECT (interval '2' year)::text, (interval '2' month)::text, (interval '2' day)::text, (interval '2' hour)::text, (interval '2.5' hour)::text, (interval '2' minute)::text, (interval '2.5' second)::text, (interval '2' day to hour)::text, (interval '2' day to minute)::text, (interval '2' hour to second)::text, (interval '2' year to month)::text;

-- name: fields cut off what is below them
SELECT (interval '1 year 2 mons' year)::text, (interval '1 year 2 mons 3 days' month)::text, (interval '1 day 05:06:07' day)::text, (interval '1 mon 1 day 05:06:07' hour)::text, (interval '05:06:07' minute)::text, (interval '1 day' year to month)::text, (interval '1-2' year to month)::text, (interval '1 05:06:07.5' day to minute)::text, (interval '1 05:06:07.5' day to second)::text, (interval '05:06' minute to second)::text, (interval '-05:06.5' minute to second)::text, (interval '05:06' hour to minute)::text;

-- name: seconds with a precision
SELECT (interval '12.3456' day to second(2))::text, (interval '12.3456' second(2))::text, (interval '1 2:03:04.5678' hour to second(0))::text, (interval '-5.65' second(1))::text, (interval '1:30.567' minute to second(1))::text;

-- name: a precision of days
SELECT interval '5' day(2);

-- name: minutes and seconds behind other fields
SELECT (interval '2 days 1:30' minute to second)::text, (interval '1 day -1:30' minute to second)::text, (interval '1:30 ago' minute to second)::text, (interval '3 1:30.5' minute to second)::text, (interval '1 year 2:30' minute to second)::text, (interval '+1:30' minute to second)::text;
