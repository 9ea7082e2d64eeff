-- Types of time with a precision: rounded where a value becomes one of them, and told by their
-- modifier.

-- name: the table
-- tables: moment by k
CREATE TABLE moment (k int, t0 timestamp(0), t3 timestamp(3), z2 timestamptz(2), c1 time(1), i0 interval(0), t6 timestamp(6), t timestamp, a timestamp(3)[], d timestamp(3) DEFAULT '2020-01-01 00:00:00.0005', n timestamptz(3) NOT NULL DEFAULT CURRENT_TIMESTAMP);

-- name: casts
SELECT '2024-01-01 12:34:56.789'::timestamp(0), '2024-01-01 12:34:56.123456'::timestamp(3), timestamptz(1) '2024-01-01 00:00:00.25+00', time(0) '23:59:59.5', '12:00:00.000001'::time(6), interval(0) '1.5 s', '1 day 00:00:00.0049'::interval(2);

-- name: halves before and after the year 2000
SELECT ('1999-12-31 23:59:59.5'::timestamp)::timestamp(0), ('1999-12-31 23:59:58.5'::timestamp)::timestamp(0), ('2000-01-01 00:00:00.5'::timestamp)::timestamp(0), ('1969-12-31 23:59:59.5'::timestamp)::timestamp(0), (interval '-1.5 s')::interval(0), (interval '-0.005 s')::interval(2);

-- name: extremes
SELECT 'infinity'::timestamp(0), '-infinity'::timestamptz(3), '4714-11-24 00:00:00 BC'::timestamp(0), '294246-12-31 23:59:59.999999'::timestamp(6), '24:00'::time(0);

-- name: casts from other types
SELECT date '2024-02-03'::timestamp(3), (timestamp '2024-01-01 10:00:00.66')::time(1), (timestamptz '2024-01-01 10:00:00.66+00')::timestamp(1), '10:00:00.66'::text::time(0), (time '10:00:00.66')::interval(1), '{"2024-01-01 00:00:00.5"}'::text[]::timestamp(0)[];

-- name: the names of types
SELECT pg_typeof('2024-01-01'::timestamp(3)), format_type(1114, 3), format_type(1184, 0), format_type(1083, 6), format_type(1186, 2147418113), format_type(1115, 2), format_type(1186, -1);

-- name: to a coarser one and back
SELECT x, x::timestamp(1), x::timestamp(1)::timestamp(4), x::timestamp(6), x::timestamp FROM (SELECT '2024-01-01 00:00:00.123456'::timestamp(4) AS x) s;

-- name: casts with functions' names
SELECT CAST('2024-01-01 00:00:00.55' AS timestamp(1) without time zone), CAST('2024-01-01 00:00:00.55+00' AS timestamp(1) with time zone), CAST('00:00:00.55' AS time(1) without time zone);

-- name: insert
INSERT INTO moment VALUES (1, '2024-01-01 12:00:00.5', '2024-01-01 12:00:00.0015', '2024-01-01 12:00:00.005+00', '12:00:00.05', '1.5 s', '2024-01-01 00:00:00.123456', '2024-01-01 00:00:00.123456', '{"2024-01-01 00:00:00.0015",NULL}') RETURNING k, t0, t3, z2, c1, i0, t6, t, a, d;

-- name: insert of expressions
INSERT INTO moment (k, t0, t3, z2, c1, i0) SELECT 2, x, x, x, x::time, x - '2024-01-01' FROM (VALUES (timestamp '2024-06-07 08:09:10.987654')) v(x) RETURNING k, t0, t3, z2, c1, i0, d;

-- name: several rows
INSERT INTO moment (k, t3, t) VALUES (3, timestamp '2024-01-01 00:00:00.1234567', now()::date), (4, NULL, NULL), (5, '2024-01-01 00:00:00.9996', '2024-01-01 00:00:00.9996') RETURNING k, t3;

-- name: prepared
PREPARE p(timestamp, interval) AS INSERT INTO moment (k, t0, t3, i0) VALUES (6, $1, $1, $2) RETURNING t0, t3, i0; EXECUTE p('2024-03-04 05:06:07.890123', '2.5 s'); DEALLOCATE p;

-- name: update
UPDATE moment SET t0 = t3 + interval '0.6 s', t3 = t + interval '0.0005 s', z2 = '2024-01-01 00:00:00.999+00' WHERE k = 1 RETURNING t0, t3, z2;

-- name: on conflict the row is rounded, too
UPDATE moment SET (t0, c1) = (SELECT timestamp '2024-05-05 05:05:05.5', time '05:05:05.55') WHERE k = 4 RETURNING t0, c1;

-- name: copy from text
COPY moment (k, t0, t3, z2, c1, i0, a) FROM STDIN;
-- data
10	2024-01-01 12:00:00.5	2024-01-01 12:00:00.0015	2024-01-01 12:00:00.005+00	12:00:00.05	1.5 s	{"2024-01-01 00:00:00.0015"}
11	2024-01-01	\N	2024-01-01 12:00:00+00	24:00	-1.5 s	{}
-- end

-- name: copy from csv
COPY moment (k, t0, t3, z2, c1, i0) FROM STDIN WITH (FORMAT csv);
-- data
12,2024-01-01 12:00:00.5,2024-01-01 12:00:00.0015,2024-01-01 12:00:00.005+00,12:00:00.05,1.5 s
-- end

-- name: what is there
SELECT k, t0, t3, z2, c1, i0, t6, t, a, d FROM moment ORDER BY k;

-- name: comparisons do not round
SELECT k FROM moment WHERE t3 = '2024-01-01 12:00:00.0015' ORDER BY k;

-- name: comparisons with what is stored
SELECT k FROM moment WHERE t3 = '2024-01-01 12:00:00.002' ORDER BY k;

-- name: functions and operators
SELECT max(t3), min(t0), sum(i0), count(DISTINCT z2), max(c1) FROM moment;

-- name: grouping and sorting
SELECT i0, count(*) FROM moment GROUP BY i0 ORDER BY i0;

-- name: joins between precisions
SELECT a.k, b.k FROM moment a JOIN moment b ON a.t0 = b.t3 WHERE a.k = 11 ORDER BY 1, 2;

-- name: arithmetic, extraction and text
SELECT k, t3 - t0, extract(epoch FROM t3), date_trunc('minute', t3), t3::text, to_char(t3, 'HH24:MI:SS.US'), age(t3, t0), t0::date, t3 + i0 FROM moment WHERE k IN (1, 2) ORDER BY k;

-- name: in json
SELECT to_json(t3), jsonb_build_object('z', z2, 'i', i0), row_to_json(m) FROM (SELECT t3, z2, i0 FROM moment WHERE k = 2) m;

-- name: choices among precisions
SELECT coalesce(t3, '2024-01-01 00:00:00.123456'), coalesce(t0, t3), CASE WHEN k < 4 THEN t3 ELSE t0 END, CASE WHEN k > 0 THEN t3 END, nullif(t3, t0), greatest(t3, t0), least(t3, '2000-01-01 00:00:00.123456') FROM moment WHERE k IN (1, 4) ORDER BY k;

-- name: unions
SELECT t3 FROM moment WHERE k = 1 UNION ALL SELECT t3 FROM moment WHERE k = 2 UNION ALL SELECT t0 FROM moment WHERE k = 2 UNION ALL SELECT '2024-01-01 00:00:00.123456' ORDER BY 1;

-- name: subqueries and common table expressions keep it
WITH c AS (SELECT t3, i0 FROM moment WHERE k = 1) SELECT t3, i0, (SELECT t3 FROM c) FROM c;

-- name: windows
SELECT k, count(*) OVER (ORDER BY t3 RANGE BETWEEN '1 day' PRECEDING AND CURRENT ROW), lag(t3) OVER (ORDER BY k) FROM moment WHERE t3 IS NOT NULL ORDER BY k;

-- name: aggregates into arrays
SELECT array_agg(t3 ORDER BY k), array_agg(i0 ORDER BY k) FROM moment WHERE k < 3;

-- name: the catalog
SELECT attname, atttypid::regtype, atttypmod, format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = 'moment'::regclass AND attnum > 0 ORDER BY attnum;

-- name: the information schema
SELECT column_name, data_type, datetime_precision, column_default FROM information_schema.columns WHERE table_name = 'moment' AND table_schema = 'public' ORDER BY ordinal_position;

-- name: a table made of a query
CREATE TABLE made AS SELECT t3, i0, c1, t3 + i0 AS s, '2024-01-01'::timestamp(2) AS c FROM moment;

-- name: its columns
SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = 'made'::regclass AND attnum > 0 ORDER BY attnum;

-- name: a table like it
CREATE TABLE liked (LIKE moment INCLUDING DEFAULTS); SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = 'liked'::regclass AND attnum > 0 ORDER BY attnum;

-- name: without it again
DROP TABLE made, liked;

-- name: a view
CREATE VIEW seen AS SELECT t3, z2 FROM moment WHERE k = 1; SELECT * FROM seen; SELECT attname, atttypmod FROM pg_attribute WHERE attrelid = 'seen'::regclass ORDER BY attnum; DROP VIEW seen;

-- name: to fewer digits
ALTER TABLE moment ALTER COLUMN t3 TYPE timestamp(0);

-- name: rows are rounded
SELECT k, t3 FROM moment ORDER BY k;

-- name: to more digits
ALTER TABLE moment ALTER COLUMN t3 TYPE timestamp(6), ALTER COLUMN z2 TYPE timestamptz, ALTER COLUMN i0 TYPE interval(3); INSERT INTO moment (k, t3, z2, i0) VALUES (20, '2024-01-01 00:00:00.123456', '2024-01-01 00:00:00.123456+00', '0.12345 s') RETURNING t3, z2, i0;

-- name: to a time of another kind
ALTER TABLE moment ALTER COLUMN t TYPE timestamptz(1); SELECT k, t FROM moment WHERE k IN (1, 5) ORDER BY k;

-- name: a new column
ALTER TABLE moment ADD COLUMN late timestamp(1) DEFAULT '2024-01-01 00:00:00.15'; SELECT DISTINCT late FROM moment;

-- name: what the columns are now
SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = 'moment'::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum;

-- name: keys
CREATE TABLE keyed (t timestamp(0) PRIMARY KEY, v int); INSERT INTO keyed VALUES ('2024-01-01 00:00:00.4', 1); INSERT INTO keyed VALUES ('2024-01-01 00:00:00.3', 2);

-- name: a key's value is found
SELECT * FROM keyed WHERE t = '2024-01-01';

-- name: a key's value is rounded on conflict
INSERT INTO keyed VALUES ('2023-12-31 23:59:59.5', 3) ON CONFLICT (t) DO UPDATE SET v = excluded.v RETURNING t, v;

-- name: no key anew
DROP TABLE keyed;

-- name: the clock with a precision
SELECT current_timestamp(0) = current_timestamp::timestamptz(0), localtimestamp(2) = localtimestamp::timestamp(2), localtime(1) = localtime::time(1);

-- name: a negative precision
SELECT '2024-01-01'::timestamp(-1);

-- name: which modifiers a stored query keeps
CREATE TABLE lengths (c numeric(10,2), d timestamp(3), e varchar(10)); CREATE TABLE kept_lengths AS SELECT lag(c) OVER () AS lagged, CASE WHEN c > 1 THEN c ELSE c END AS both, CASE WHEN c > 1 THEN c END AS one, coalesce(e, e) AS same, coalesce(e, 'x') AS other, greatest(d, d) AS later, max(c) OVER () AS most, ARRAY[c, c] AS listed, (SELECT c FROM lengths LIMIT 1) AS first, nullif(c, 1) AS unless, lag(d) OVER () AS moment, c + 1 AS more, c::numeric(12,3) AS cast_so FROM lengths;

-- name: they are
SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = 'kept_lengths'::regclass AND attnum > 0 ORDER BY attnum;
