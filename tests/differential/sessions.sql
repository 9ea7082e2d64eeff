Settings, session functions and what clients ask at start.

-- name: version number
SELECT current_setting('server_version_num')::int / 10000;

-- name: encodings
SHOW client_encoding; SHOW server_encoding;

-- name: string settings
SHOW standard_conforming_strings; SHOW DateStyle; SHOW IntervalStyle; SHOW integer_datetimes;

-- name: set and show
SET application_name = 'differential'; SHOW application_name; RESET application_name;

-- name: set local outside a transaction warns
SET LOCAL statement_timeout = 5;

-- name: set local is undone
BEGIN; SET LOCAL statement_timeout = '7s'; SHOW statement_timeout; COMMIT; SHOW statement_timeout;

-- name: set is undone by rollback
BEGIN; SET lock_timeout = 1000; ROLLBACK; SHOW lock_timeout;

-- name: units
SET statement_timeout = 90000; SHOW statement_timeout; RESET statement_timeout;

-- name: search path
SHOW search_path;

-- name: set_config and current_setting
SELECT set_config('application_name', 'x', false), current_setting('application_name');

-- name: a setting that changes what names stand for
SELECT set_config('search_path', 'pg_catalog', false);

-- name: and back
RESET search_path;

-- name: a missing setting
SELECT current_setting('no.such', true) IS NULL AS missing;

-- name: own settings
SET my.own = 'v'; SELECT current_setting('my.own');

-- name: who am I
SELECT current_user = session_user, current_schema(), current_schemas(false);

-- name: constants
SELECT current_user = user AS same;

-- name: prepared statements in SQL
PREPARE plus (int, int) AS SELECT $1 + $2 AS sum; EXECUTE plus(1, 2); EXECUTE plus(3, 4); DEALLOCATE plus;

-- name: wrong number of parameters
PREPARE p1 (int) AS SELECT $1; EXECUTE p1; 

-- name: discard
DEALLOCATE ALL;

-- name: discard everything
DISCARD ALL;

-- name: a cursor
BEGIN; DECLARE c CURSOR FOR SELECT g FROM generate_series(1, 5) g; FETCH 2 FROM c; FETCH ALL FROM c; CLOSE c; COMMIT;

-- name: a cursor from after a savepoint
BEGIN; SAVEPOINT s; DECLARE c CURSOR FOR SELECT 1 AS one; ROLLBACK TO s; FETCH c;

-- name: end of it
ROLLBACK;

-- name: a cursor from before a savepoint
BEGIN; DECLARE c CURSOR FOR SELECT g FROM generate_series(1, 5) g; SAVEPOINT s; FETCH 2 FROM c; ROLLBACK TO s; FETCH c; COMMIT;

-- name: a cursor from after a savepoint that was released
BEGIN; SAVEPOINT a; SAVEPOINT b; DECLARE c CURSOR FOR SELECT 1 AS one; RELEASE b; FETCH c; ROLLBACK TO a; FETCH c;

-- name: end of that
ROLLBACK;

-- name: a savepoint made anew
BEGIN; SAVEPOINT s; ROLLBACK TO s; DECLARE c CURSOR FOR SELECT 1 AS one; SAVEPOINT s; ROLLBACK TO s; FETCH c; ROLLBACK;

-- name: a held cursor from after a savepoint
BEGIN; SAVEPOINT s; DECLARE c CURSOR WITH HOLD FOR SELECT 1 AS one; ROLLBACK TO s; FETCH c;

-- name: end of that, too
ROLLBACK;

-- name: a held cursor outlives its transaction
BEGIN; DECLARE c CURSOR WITH HOLD FOR SELECT 1 AS one; COMMIT; FETCH c; BEGIN; SAVEPOINT s; ROLLBACK TO s; ROLLBACK; FETCH c; CLOSE c;

-- name: but not when that is rolled back
BEGIN; DECLARE c CURSOR WITH HOLD FOR SELECT 1 AS one; ROLLBACK; FETCH c;

-- name: explain has one column
EXPLAIN (COSTS off) SELECT 1;

-- name: statement timeout
SET statement_timeout = 50; SELECT pg_sleep(5);

-- name: and after it
RESET statement_timeout; SELECT 1;

-- name: size functions
SELECT pg_size_pretty(1024::bigint), pg_size_pretty(10485760::bigint);

-- name: identity of types
SELECT 'int4'::regtype, 'pg_class'::regclass, 23::oid::regtype, 'text[]'::regtype, 'bigint'::regtype::oid;

-- name: unknown regclass
SELECT 'no_such_table'::regclass;

-- name: to_regclass
SELECT to_regclass('no_such_table') IS NULL AS missing;

-- name: format_type
SELECT format_type(1700, 655366), format_type(1043, 14), format_type(23, -1), format_type(1007, NULL);

-- name: a table to tidy up
CREATE TABLE alone (k int PRIMARY KEY, a int);

-- name: vacuum before another statement
VACUUM alone; SELECT 1;

-- name: vacuum after another statement
SELECT 1; VACUUM alone;

-- name: vacuum twice
VACUUM; VACUUM;

-- name: vacuum by itself
VACUUM alone;

-- name: analyze beside another statement
SELECT 1; ANALYZE alone;

-- name: an index made concurrently beside another statement
SELECT 1; CREATE INDEX CONCURRENTLY alone_a ON alone (a);

-- name: and dropped
DROP INDEX CONCURRENTLY IF EXISTS alone_a; SELECT 1;

-- name: cluster of all tables
SELECT 1; CLUSTER;

-- name: reindex concurrently
SELECT 1; REINDEX TABLE CONCURRENTLY alone;

-- name: reindex of a schema
SELECT 1; REINDEX SCHEMA public;

-- name: drop database
SELECT 1; DROP DATABASE IF EXISTS nosuch;

-- name: discard all beside another statement
DISCARD ALL; SELECT 1;

-- name: discard all in a block
BEGIN; DISCARD ALL;

-- name: the block failed
ROLLBACK;

-- name: things of a session
PREPARE kept AS SELECT 1; SET work_mem = '5MB'; CREATE TEMP TABLE kept_rows (a int); CREATE SEQUENCE kept_numbers; SELECT nextval('kept_numbers');

-- name: discard sequences
DISCARD SEQUENCES;

-- name: no number was drawn
SELECT currval('kept_numbers');

-- name: discard temp
DISCARD TEMP;

-- name: no table is left
SELECT * FROM kept_rows;

-- name: made again
CREATE TEMP TABLE kept_rows (a int);

-- name: discard plans
DISCARD PLANS;

-- name: the statement is there
EXECUTE kept;

-- name: discard all
DISCARD ALL;

-- name: the statement is gone
EXECUTE kept;

-- name: so are the table and the setting
SHOW work_mem; SELECT * FROM kept_rows;

-- name: a time zone as an interval
SET TIME ZONE INTERVAL '+05:30' HOUR TO MINUTE; SHOW TIME ZONE; SELECT '2020-01-01 00:00+00'::timestamptz;

-- name: west of UTC
SET TIME ZONE INTERVAL '-03:00'; SHOW TIME ZONE;

-- name: hours
SET TIME ZONE INTERVAL '5' HOUR; SHOW TIME ZONE;

-- name: days are no time zone
-- message differs: PostgreSQL prints the interval anew
SET TIME ZONE INTERVAL '1 day' HOUR TO MINUTE;

-- name: months are no time zone
-- message differs: PostgreSQL prints the interval anew
SET TIME ZONE INTERVAL '1 month';

-- name: back to UTC
SET TIME ZONE 'UTC';
