-- Expressions as application developers type them.

-- name: length llo char_length abc
SELECT length('héllo'), char_length('abc'), octet_length('héllo'), bit_length('abc');

-- name: upper abc lower initcap
SELECT upper('abc'), lower('ABC'), initcap('hello wORLD foo_bar'), reverse('abc');

-- name: concat concat_ws
SELECT concat('a', 1, NULL, true, 2.5), concat_ws('-', 'a', NULL, 'b', 3);

-- name: numbers
SELECT 'a' || 1, 'a' || NULL, 1 || 'b', 'x' || true, 'd' || date '2024-01-01';

-- name: lpad rpad abcdef abc
SELECT lpad('x', 5, 'ab'), rpad('x', 5), lpad('abcdef', 3), rpad('abc', 6, 'xy');

-- name: repeat replace abcabc translate
SELECT repeat('ab', 3), replace('abcabc', 'b', 'X'), translate('12345', '143', 'ax');

-- name: position abc strpos starts_with
SELECT position('b' in 'abc'), strpos('abc', 'z'), starts_with('abc', 'ab'), 'abc' ^@ 'ab';

-- name: split_part abc
SELECT split_part('a,b,c', ',', 2), split_part('a,b,c', ',', -1), split_part('abc', ',', 1), split_part('abc', ',', 2);

-- name: string_to_array abc
SELECT string_to_array('a,b,,c', ','), string_to_array('a,b,,c', ',', ''), string_to_array('abc', NULL), string_to_array(NULL, ','), string_to_array('', ',');

-- name: array_to_string
SELECT array_to_string(array['a',NULL,'b'], ','), array_to_string(array['a',NULL,'b'], ',', '*'), array_to_string(array[1,2,3], '-');

-- name: string_to_table
SELECT * FROM string_to_table('a,b,c', ',');

-- name: regexp_replace foobarbaz hello aeiou
SELECT regexp_replace('foobarbaz', 'b..', 'X'), regexp_replace('foobarbaz', 'b..', 'X', 'g'), regexp_replace('foobarbaz', 'b(..)', 'X\1Y', 'g'), regexp_replace('Hello', '[aeiou]', '', 'gi');

-- name: regexp_match foobarbequebaz bar beque
SELECT regexp_match('foobarbequebaz', '(bar)(beque)'), regexp_match('abc', 'd'), regexp_matches('foobarbequebaz', 'ba.', 'g');

-- name: regexp_split_to_array hello world foo
SELECT regexp_split_to_array('hello world  foo', '\s+'), regexp_count('abcabc', 'b'), regexp_instr('abcabc', 'c', 1, 2), regexp_like('Hello', '^h', 'i'), regexp_substr('foobar', 'o+');

-- name: regexp_split_to_table
SELECT * FROM regexp_split_to_table('a1b2c3', '[0-9]');

-- name: abc like not ilike
SELECT 'abc' ~ '^a', 'abc' ~* 'B', 'abc' !~ 'z', 'abc' !~* 'B', 'abc' LIKE 'a%', 'abc' NOT LIKE '%z', 'ABC' ILIKE 'a_c', 'a%c' LIKE 'a\%c', 'a%c' LIKE 'a!%c' ESCAPE '!';

-- name: substring foobar for overlay
SELECT substring('foobar' from 'o.b'), substring('foobar' from 2 for 3), substring('foobar', 2), overlay('Txxxxas' placing 'hom' from 2 for 4), overlay('abc' placing 'X' from 2);

-- name: trim both leading xxa
SELECT trim('  a  '), trim(both from '  a '), trim(leading 'x' from 'xxa'), trim(trailing from 'a  '), ltrim('xxa','x'), btrim('xyax','xy');

-- name: hello sha bytea encode
SELECT md5('hello'), sha256('hello'), sha224('a'::bytea), encode(sha256('abc'::bytea), 'hex'), encode('hello', 'base64'), decode('aGVsbG8=', 'base64'), encode('a\000b'::bytea, 'escape');

-- name: ascii chr to_hex bigint
SELECT ascii('a'), chr(233), to_hex(255), to_hex(-1::bigint), quote_ident('a b'), quote_literal('it''s'), quote_nullable(NULL), quote_literal(42);

-- name: format hello and world
SELECT format('Hello %s, %I and %L', 'World', 'my col', 'O''Reilly'), format('%1$s %2$s %1$s', 'a', 'b'), format('%-10s|%10s|', 'a', 'b'), format('%%'), format('%s', NULL), format('%L', NULL);

-- name: left hello right substr
SELECT left('hello', 2), right('hello', 2), left('hello', -1), right('hello', -1), substr('hello', 2, 3);

-- name: char length octet_length
SELECT 'a'::char(3) || 'b', 'a '::char(3) = 'a', length('ab '::char(5)), 'ab'::char(5)::text || '|', octet_length('ab'::char(5));

-- name: abcdef varchar char cast
SELECT 'abcdef'::varchar(3), 'abcdef'::char(2), cast('abc' as char), 'abc'::"char";

-- name: dollar tag
SELECT E'a\tb\n', E'\u00e9\x41', U&'d\0061t\+000061', $$dollar$$, $tag$it's$tag$;

-- name: collate after a cast and with a schema
SELECT 5::text COLLATE "C" < '6', ('a' || 'b')::varchar COLLATE pg_catalog."default", upper('x') COLLATE "POSIX" AS u;

-- name: order by a cast with a collation
SELECT x FROM (VALUES ('b'), ('B'), ('a')) v(x) ORDER BY x::text COLLATE "C" DESC;

-- name: collate abc abd
SELECT 'a' < 'B', 'a' COLLATE "C" < 'B' COLLATE "C", 'abc' < 'abd', 'Z' < 'a';

-- name: abs ceil ceiling floor
SELECT abs(-1.5), ceil(1.2), ceiling(-1.2), floor(-1.2), round(1.5), round(2.5), round(-1.5), round(1.2345, 2), round(12345, -2), trunc(1.99), trunc(1.2345, 3), sign(-2.5), sign(0);

-- name: sin cos tan asin
SELECT pi(), sin(1), cos(1), tan(1), asin(1), acos(1), atan(1), atan2(1, 2), degrees(pi()), radians(180), sinh(1), cosh(1), tanh(1), sind(30), cosd(60), cot(1);

-- name: numeric float
SELECT 1/3.0, 10/3.0, 1.0/3, 2.0*3.00, 1e10::numeric, 1.5::int, 2.5::int, -2.5::int, 0.5::int, 1.5::float8::int, 2.5::float8::int;

-- name: nan numeric infinity inf
SELECT 'NaN'::numeric, 'Infinity'::numeric, '-inf'::float8, 'nan'::float4, 'NaN'::numeric = 'NaN'::numeric, 'inf'::float8 > 1e308;

-- name: float
SELECT 0.1::float8 + 0.2::float8, 1e15::float8, 1e16::float8, 123456789.123::float4, 1e-5::float8, 0.0001::float8, -0.0::float8, 100000::float4, 1e6::float4;

-- name: numeric
SELECT 123.456::numeric(5,1), 99.95::numeric(3,1);

-- name: bool yes off and
SELECT 1::bool, 0::bool, 't'::bool, 'yes'::bool, 'off'::bool, true::int, 'true'::bool::text, true AND NULL, false AND NULL, true OR NULL, NOT NULL::bool;

-- name: greatest least coalesce nullif
SELECT greatest(1, 2.5, NULL), least('b', 'a'), coalesce(NULL, NULL, 3), nullif(1, 2), coalesce(NULL::int, 0);

-- name: case when then else
SELECT CASE WHEN 1 = 1 THEN 'a' ELSE 'b' END, CASE 2 WHEN 1 THEN 'x' WHEN 2 THEN 'y' END, CASE WHEN false THEN 1 END, CASE WHEN true THEN 1 ELSE 2.5 END;

-- name: month day time
SELECT date '2024-02-29' + 1, date '2024-03-01' - date '2024-02-01', date '2024-01-31' + interval '1 month', date '2024-01-01' - interval '1 day', timestamp '2024-01-01' - timestamp '2023-01-01 12:00', date '2024-01-01' + time '10:00';

-- name: year months days day
SELECT interval '1 year 2 months 3 days 04:05:06.789', interval '1 day' * 2.5, interval '1 month' / 3, -interval '1 day', interval '90 minutes', interval '1 week', interval '-1 day +02:03', interval 'P1Y2M3DT4H5M6S', interval '1-2', interval '3 4:05:06', interval '2 days ago';

-- name: justify_days days justify_hours hours
SELECT justify_days(interval '35 days'), justify_hours(interval '27 hours'), justify_interval(interval '1 mon -1 hour'), age(timestamp '2024-03-01', timestamp '2023-01-15'), age(date '2024-01-01', date '2000-02-29');

-- name: extract year dow isodow
SELECT extract(year from date '2024-05-06'), extract(dow from date '2024-05-05'), extract(isodow from date '2024-05-05'), extract(doy from date '2024-12-31'), extract(week from date '2024-12-30'), extract(isoyear from date '2024-12-30'), extract(quarter from date '2024-05-06'), extract(century from date '2000-01-01'), extract(decade from date '2024-01-01'), extract(millennium from date '2001-01-01'), extract(epoch from timestamp '1970-01-02'), extract(julian from date '2000-01-01');

-- name: extract hour time second
SELECT extract(hour from time '10:20:30.5'), extract(second from time '10:20:30.5'), extract(milliseconds from time '10:20:30.5'), extract(microseconds from interval '1.5 s'), extract(epoch from interval '1 month 1 day'), extract(day from interval '40 days'), date_part('year', date '2024-01-01'), date_part('epoch', timestamptz '2024-01-01 00:00+00'), extract(timezone from timestamptz '2024-01-01 00:00+00');

-- name: date_trunc month week quarter
SELECT date_trunc('month', timestamp '2024-05-17 12:34:56'), date_trunc('week', date '2024-05-17'), date_trunc('quarter', timestamptz '2024-05-17 00:00+00'), date_trunc('day', timestamptz '2024-05-17 23:00+00', 'America/New_York'), date_trunc('hour', interval '3 days 5:30'), date_bin('15 minutes', timestamp '2024-01-01 10:37', timestamp '2024-01-01');

-- name: to_char yyyy day month
SELECT to_char(timestamp '2024-05-07 15:06:07.123456', 'YYYY-MM-DD HH24:MI:SS.US'), to_char(timestamp '2024-05-07 15:06:07', 'Day, DD Month YYYY HH12:MI AM'), to_char(timestamp '2024-05-07', 'FMDay FMDDth FMMonth'), to_char(date '2024-05-07', 'IYYY-IW-ID Q J DDD'), to_char(interval '15h 2m 12s', 'HH24:MI:SS'), to_char(timestamptz '2024-05-07 00:00+00', 'TZ OF');

-- name: to_char eeee good number
SELECT to_char(1234.5, '9,999.99'), to_char(-1234.5, '9,999.99'), to_char(0.5, 'FM990.00'), to_char(1234, 'FM0000000'), to_char(12, 'S99'), to_char(123, 'RN'), to_char(1e6, '9.99EEEE'), to_char(42, '999MI'), to_char(0.1, '90D9%'), to_char(485, '"Good number:"999');

-- name: to_date yyyy may mon
SELECT to_date('2024-05-07', 'YYYY-MM-DD'), to_date('07 May 2024', 'DD Mon YYYY'), to_timestamp('2024-05-07 15:06', 'YYYY-MM-DD HH24:MI'), to_timestamp(1700000000), to_timestamp(1700000000.5), to_number('1,234.56', '9,999.99');

-- name: make_date make_time make_timestamp make_timestamptz
SELECT make_date(2024, 2, 29), make_time(10, 20, 30.5), make_timestamp(2024, 1, 2, 3, 4, 5.5), make_timestamptz(2024, 1, 2, 3, 4, 5), make_interval(days => 10, hours => 5), make_interval(1, 2);

-- name: timestamptz america new_york est
SELECT timestamptz '2024-01-01 12:00 America/New_York', timestamptz '2024-01-01 12:00 EST', timestamptz '2024-01-01T12:00:00Z', timestamp '2024-01-01T12:00:00.123', timestamptz '2024-01-01 12:00:00+05:30', 'epoch'::timestamp, 'infinity'::timestamp, '-infinity'::date;

-- name: jan january time timetz
SELECT date 'Jan 5, 2024', date '5 January 2024', date '20240105', date '1/5/2024', date '2024.05', '10:30 PM'::time, '24:00'::time, '10:30:15.123456789'::time, timetz '10:00+02', '2024-W05-1'::date;

-- name: isfinite infinity day
SELECT isfinite(date 'infinity'), isfinite(timestamp '2024-01-01'), isfinite(interval '1 day'), 'infinity'::date > date '2024-01-01';

-- name: timestamptz time day hours
SELECT date '2024-01-01' < timestamp '2024-01-01 00:00:01', date '2024-01-01' = timestamptz '2024-01-01 00:00+00', time '10:00' < time '10:01', interval '1 day' = interval '24 hours', interval '1 month' > interval '29 days';

-- name: day overlaps
SELECT (timestamp '2024-01-01', interval '1 day') OVERLAPS (timestamp '2024-01-01 12:00', timestamp '2024-02-01'), (date '2024-01-01', date '2024-01-02') OVERLAPS (date '2024-01-03', date '2024-01-04');

-- name: numbers 2
SELECT generate_series(1, 3), generate_series(10, 1, -4);

-- name: hours
SELECT * FROM generate_series(timestamp '2024-01-01', timestamp '2024-01-03', interval '12 hours');

-- name: day
SELECT * FROM generate_series(date '2024-01-01', date '2024-01-03', interval '1 day') AS d;

-- name: extract dow timestamptz day
SELECT d::date, extract(dow FROM d) FROM generate_series(timestamptz '2024-01-01 00:00+00', timestamptz '2024-01-02 00:00+00', '1 day') d;

-- name: numbers 3
SELECT generate_series(1.5, 3.5, 0.5);

-- name: generate_subscripts unnest
SELECT generate_subscripts(array[10,20,30], 1), unnest(array['a','b','c']);

-- name: unnest
SELECT * FROM unnest(array[1,2,3], array['a','b']) AS t(n, s);

-- name: unnest ordinality
SELECT * FROM unnest(array[1,2,3]) WITH ORDINALITY AS t(v, i);

-- name: array_append array_prepend array_cat array_remove
SELECT array[1,2,3] || 4, 0 || array[1,2], array[1,2] || array[3,4], array_append(array[1], 2), array_prepend(0, array[1]), array_cat(array[1], array[2]), array_remove(array[1,2,1], 1), array_replace(array[1,2,1], 1, 9);

-- name: array_position array_positions array_length cardinality
SELECT array_position(array['a','b','a'], 'a'), array_positions(array['a','b','a'], 'a'), array_length(array[1,2,3], 1), cardinality(array[1,2]), array_dims(array[1,2,3]), array_ndims(array[1]), array_upper(array[1,2], 1), array_fill(7, array[3]), trim_array(array[1,2,3], 1);

-- name: any all some
SELECT array[1,2,3] @> array[2], array[1] <@ array[1,2], array[1,2] && array[2,3], array[1,2] = array[1,2], array[1,2] < array[1,3], 2 = ANY(array[1,2]), 3 <> ALL(array[1,2]), 5 > SOME(array[1,9]);

-- name: array_agg desc distinct string_agg
SELECT array_agg(x ORDER BY x DESC), array_agg(DISTINCT x % 2), string_agg(x::text, ',' ORDER BY x), string_agg(DISTINCT (x % 3)::text, '-') FROM generate_series(1, 5) x;

-- name: numbers 4
SELECT '{1,2,3}'::int[], '{"a b","c\"d",NULL,null,"NULL"}'::text[], array[]::int[], '{}'::int[] = array[]::int[], array[1,NULL,3], array['a"b', 'c,d', '', 'NULL', 'x y'];

-- name: numbers 5
SELECT array(SELECT g FROM generate_series(1,3) g), array(SELECT 'x'::text WHERE false);
