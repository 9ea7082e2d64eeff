Literals, casts between types, output names and type resolution.

-- name: integer
SELECT 1;

-- name: several columns and their default names
SELECT 1, 'a', 2.5, true, NULL;

-- name: names of functions and casts
SELECT lower('A'), 1::text, cast(2 AS bigint), -3, 1 + 1, coalesce(1, 2), CASE WHEN true THEN 1 END;

-- name: explicit names
SELECT 1 AS one, 2 two, 3 AS "Three Words";

-- name: integer widths
SELECT 2147483647, 2147483648, 9223372036854775807, 9223372036854775808;

-- name: decimal literals
SELECT 1.0, 1.50, .5, 5., 1e3, 1.5e-3, 123456789012345678901234567890;

-- name: string escapes
SELECT 'it''s', E'tab\there', E'\u00e9', U&'\00e9', 'plain';

-- name: dollar quotes
SELECT $$it's$$, $tag$a $$ b$tag$;

-- name: booleans in words
SELECT 'yes'::bool, 'off'::bool, 't'::bool, '0'::bool, true::text, false::int;

-- name: typed literals
SELECT date '2024-02-29', timestamp '2024-02-29 12:34:56.789', timestamptz '2024-02-29 12:34:56+02', time '10:11:12', interval '1 day 2 hours';

-- name: unknown literal beside a number
SELECT 1 + '2', '3' || 4, 2 * '2.5'::numeric;

-- name: case unifies types
SELECT CASE WHEN true THEN 1 ELSE 2.5 END, CASE WHEN false THEN 1 ELSE 2.5 END;

-- name: case of unknown literals
SELECT CASE WHEN true THEN 'x' ELSE 'y' END, CASE 1 WHEN 1 THEN NULL ELSE 2 END;

-- name: coalesce and nullif
SELECT coalesce(NULL, 2, 3), coalesce(NULL, 2.5), nullif(1, 1), nullif('a', 'b');

-- name: greatest and least skip nulls
SELECT greatest(1, NULL, 3), least(NULL, 2, 1), greatest('a', 'b'), least(1, 0.5);

-- name: values as a query
VALUES (1, 'a'), (2, 'b') ORDER BY 1;

-- name: values unify types
SELECT * FROM (VALUES (1, 'a'), (2.5, NULL)) AS v(n, t) ORDER BY n;

-- name: values default column names
VALUES (1, 2);

-- name: cast rounds half away from zero
SELECT 1.5::int, 2.5::int, (-1.5)::int, 0.5::int, 1.4999::int;

-- name: float cast rounds half to even
SELECT 0.5::float8::int, 1.5::float8::int, 2.5::float8::int, (-0.5)::float8::int;

-- name: cast out of range
SELECT 2147483648::int;

-- name: cast of text that is no number
SELECT 'abc'::int;

-- name: cast of an empty string
SELECT ''::int;

-- name: cast of text with spaces
SELECT ' 42 '::int, ' 4.20 '::numeric;

-- name: cast of a fraction in text to int
SELECT '1.5'::int;

-- name: cast boolean from a wrong word
SELECT 'maybe'::bool;

-- name: cast between incompatible types
SELECT true::date;

-- name: varchar and char modifiers
SELECT 'abcdef'::varchar(3), 'ab'::char(4), 'ab'::char(4) || '|', length('ab'::char(4));

-- name: numeric modifiers
SELECT 1.005::numeric(10,2), 12345.678::numeric(7,1), 1::numeric(5,3);

-- name: numeric modifier overflow
SELECT 123.45::numeric(4,2);

-- name: pg_typeof of literals
SELECT pg_typeof(1), pg_typeof(1.5), pg_typeof('a'), pg_typeof('a'::text), pg_typeof(NULL), pg_typeof(3000000000);

-- name: no rows and no columns
SELECT WHERE false;

-- name: select without columns
SELECT FROM (VALUES (1), (2)) v;

-- name: empty statement
;

-- name: comments
SELECT 1 /* a /* nested */ comment */ AS a -- and a line
;

-- name: several statements in one message
SELECT 1 AS a; SELECT 2 AS b, 3 AS c; SELECT 4;

-- name: an error stops the message
SELECT 1 AS a; SELECT 1/0; SELECT 2;

-- name: identifiers fold to lower case
SELECT X.Y FROM (SELECT 1 AS y) AS x;

-- name: quoted identifiers keep case
SELECT x."Y" FROM (SELECT 1 AS "Y") AS x;

-- name: quoted identifiers do not fold
SELECT x."Y" FROM (SELECT 1 AS y) AS x;
