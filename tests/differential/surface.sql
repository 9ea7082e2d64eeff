-- Corners of the grammar and of what surrounds it: strings that go on, counts of rows, sessions,
-- extensions, sets of rows side by side.

-- name: a string goes on after a line break
SELECT 'a'
'b', E'c\n'
   'd\te', 'x' -- a comment
'y';

-- name: on one line it does not
SELECT 'a' 'b';

-- name: unicode escapes
SELECT U&'d\0061t\+01F600', U&'d!0061t!!' UESCAPE '!', U&"c\006F" FROM (SELECT 1 AS "co") s;

-- name: a wrong unicode escape
SELECT U&'d!006t' UESCAPE '!';

-- name: counts that are computed
SELECT x FROM generate_series(1, 9) x ORDER BY x LIMIT 1 + 1 OFFSET (SELECT 3);

-- name: a negative count that is computed
SELECT 1 LIMIT 5 - 10;

-- name: a negative count of a subquery
SELECT 1 OFFSET (SELECT -1);

-- name: a negative limit as a parameter
PREPARE n(int) AS SELECT 1 LIMIT $1; EXECUTE n(-1);

-- name: a negative offset as a parameter
PREPARE m(int) AS SELECT 1 OFFSET $1; EXECUTE m(-1);

-- name: no limit as a parameter
DEALLOCATE ALL; PREPARE n(int) AS SELECT 1 LIMIT $1; EXECUTE n(NULL); EXECUTE n(0);

-- name: names of objects as text
SELECT 'pg_class'::regclass::text, 'pg_class'::regclass || '!', 'pg_class'::regclass::varchar, 'int4'::regtype::text, ('{pg_class}'::text[])[1]::regclass::text;

-- name: named arguments of old
SELECT make_interval(days := 3, hours => 2);

-- name: the group of everything
SELECT 1 FROM (VALUES (1), (2)) v(x) GROUP BY ();

-- name: the group of nothing
SELECT count(*), sum(x) FROM (SELECT 1 AS x WHERE false) s GROUP BY (), ();

-- name: having alone
SELECT 1 FROM (VALUES (1), (2)) v(x) HAVING true;

-- name: rows from functions side by side
SELECT * FROM ROWS FROM (generate_series(1, 3), unnest(array['a', 'b']), upper('x')) AS t(a, b, c);

-- name: rows from functions, numbered
SELECT * FROM ROWS FROM (generate_series(1, 1), generate_series(10, 30, 10)) WITH ORDINALITY;

-- name: rows from one function
SELECT * FROM ROWS FROM (generate_series(1, 2)) AS g;

-- name: the longest list is numbered
SELECT * FROM unnest(array[1], array['a', 'b']) WITH ORDINALITY;

-- name: rows from functions of a row
SELECT x, a, b FROM generate_series(1, 2) x, ROWS FROM (generate_series(1, x), generate_series(x, 2)) AS t(a, b) ORDER BY x, a, b;

-- name: an enum
CREATE TYPE clr AS ENUM ('red', 'green', 'blue');

-- name: labels of an enum
SELECT enum_first(NULL::clr), enum_last(NULL::clr), enum_range(NULL::clr), enum_range('green'::clr, NULL), enum_range(NULL, 'green'::clr), enum_range('blue'::clr, 'red'::clr);

-- name: labels as rows
SELECT c FROM unnest(enum_range(NULL::clr)) c;

-- name: no enum
DROP TYPE clr;

-- name: sizes
SET work_mem = '64MB'; SHOW work_mem; SET work_mem = 65536; SHOW work_mem; SET work_mem = '1.5GB'; SHOW work_mem; RESET work_mem; SHOW work_mem;

-- name: no size
SET work_mem = 'abc';

-- name: no unit of size
SET work_mem = '1QB';

-- name: too small a size
SET work_mem = 12;

-- name: costs
SET random_page_cost = 1.1; SHOW random_page_cost; RESET random_page_cost; SHOW random_page_cost; SHOW effective_cache_size;

-- name: no cost
SET seq_page_cost = 'x';

-- name: no unit of time
SET statement_timeout = '5 fortnights';

-- name: no mode of plans
SET plan_cache_mode = 'x';

-- name: no setting
SET nosuch = 1;

-- name: prepared statements are listed
DEALLOCATE ALL; PREPARE listed(int, text) AS SELECT $1, $2; SELECT name, parameter_types, from_sql FROM pg_prepared_statements;

-- name: cursors are listed
BEGIN; DECLARE c SCROLL CURSOR WITH HOLD FOR SELECT 1; SELECT name, is_holdable, is_binary, is_scrollable FROM pg_cursors WHERE name = 'c'; COMMIT; CLOSE c;

-- name: a transaction has a number
BEGIN; SELECT txid_current() = txid_current(), pg_current_xact_id() IS NOT NULL; COMMIT;

-- name: extensions
CREATE EXTENSION IF NOT EXISTS pgcrypto; CREATE EXTENSION IF NOT EXISTS pgcrypto; SELECT extname FROM pg_extension WHERE extname = 'pgcrypto';

-- name: an extension that is there
CREATE EXTENSION pgcrypto;

-- name: digests
SELECT digest('abc', 'sha256'), digest('abc'::bytea, 'md5'), hmac('data', 'key', 'sha512'), length(gen_random_bytes(8));

-- name: no digest
SELECT digest('abc', 'nosuch');

-- name: an extension goes
DROP EXTENSION pgcrypto; DROP EXTENSION IF EXISTS pgcrypto; SELECT count(*) FROM pg_extension WHERE extname = 'pgcrypto';

-- name: an extension that is gone
DROP EXTENSION pgcrypto;

-- name: an extension of a name that needs quotes
CREATE EXTENSION "uuid-ossp"; SELECT uuid_generate_v4() IS NOT NULL; DROP EXTENSION "uuid-ossp";

-- name: no extension
-- message differs: it tells what there is here
CREATE EXTENSION IF NOT EXISTS nosuch;

-- name: an unlogged table
CREATE UNLOGGED TABLE unlogged_one (a int); ALTER TABLE unlogged_one SET LOGGED; DROP TABLE unlogged_one;

-- name: frames without the current row
SELECT x, sum(x) OVER (ORDER BY x ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING EXCLUDE CURRENT ROW), count(*) OVER (ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING EXCLUDE CURRENT ROW) FROM generate_series(1, 4) x ORDER BY x;

-- name: frames without peers
SELECT x, sum(x) OVER g, array_agg(x) OVER t, first_value(x) OVER (g2 ROWS BETWEEN 2 PRECEDING AND 2 FOLLOWING EXCLUDE GROUP), last_value(x) OVER t, nth_value(x, 2) OVER t FROM generate_series(1, 6) x WINDOW g AS (ORDER BY x / 2 RANGE BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING EXCLUDE GROUP), g2 AS (ORDER BY x / 2), t AS (ORDER BY x / 2 GROUPS BETWEEN 1 PRECEDING AND 1 FOLLOWING EXCLUDE TIES) ORDER BY x;

-- name: frames without anybody
SELECT x, max(x) FILTER (WHERE x > 2) OVER (PARTITION BY x % 2 ORDER BY x ROWS UNBOUNDED PRECEDING EXCLUDE CURRENT ROW), sum(x) OVER (ORDER BY x ROWS 1 PRECEDING EXCLUDE NO OTHERS) FROM generate_series(1, 5) x ORDER BY x;

-- name: no frame
SELECT sum(x) OVER (ORDER BY x EXCLUDE TIES) FROM generate_series(1, 2) x;
