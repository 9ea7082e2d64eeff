-- Temporary views and sequences beside temporary tables.

-- name: a temporary view
CREATE TABLE seen_from (a int PRIMARY KEY, b text); INSERT INTO seen_from VALUES (1, 'x'), (2, 'y'); CREATE TEMP VIEW seen AS SELECT b, a FROM seen_from;

-- name: it is read
SELECT * FROM seen ORDER BY a;

-- name: under its schema, too
SELECT a FROM pg_temp.seen ORDER BY a;

-- name: it is temporary
SELECT relkind, relpersistence FROM pg_class WHERE relname = 'seen';

-- name: replaced
CREATE OR REPLACE TEMPORARY VIEW seen AS SELECT b, a, a + 1 AS c FROM seen_from;

-- name: with its new column
SELECT * FROM seen ORDER BY a;

-- name: it hides a view of all sessions
CREATE VIEW hidden AS SELECT 1 AS v; CREATE TEMP VIEW hidden AS SELECT 2 AS v;

-- name: while it is there
SELECT v FROM hidden;

-- name: and no longer
DROP VIEW hidden;

-- name: then the other is seen
SELECT v FROM hidden;

-- name: not in another schema
CREATE TEMP VIEW public.other AS SELECT 1 AS v;

-- name: over a temporary table
CREATE TEMP TABLE own (a int); INSERT INTO own VALUES (7);

-- name: a view becomes a temporary one
CREATE VIEW over_own AS SELECT a FROM own;

-- name: and reads it
SELECT a FROM over_own;

-- name: which is told
SELECT relpersistence FROM pg_class WHERE relname = 'over_own';

-- name: a temporary sequence
CREATE TEMP SEQUENCE counted START 5;

-- name: counts
SELECT nextval('counted'), nextval('counted'), currval('counted');

-- name: and is temporary
SELECT relkind, relpersistence FROM pg_class WHERE relname = 'counted';

-- name: the name is taken
CREATE TEMPORARY SEQUENCE counted;

-- name: unless that is fine
CREATE TEMP SEQUENCE IF NOT EXISTS counted;

-- name: not in another schema either
CREATE TEMP SEQUENCE public.counted;

-- name: dropped
DROP SEQUENCE counted; DROP VIEW seen, over_own; DROP TABLE seen_from; DROP VIEW hidden;

-- name: they are gone
SELECT nextval('counted');

-- name: a view over a temporary table in another schema
CREATE TEMP TABLE of_session (a int); CREATE VIEW public.of_all AS SELECT a FROM of_session;

-- name: or in the schema of temporary objects
CREATE TEMP TABLE of_session2 (a int); CREATE VIEW pg_temp.of_session2_v AS SELECT a FROM of_session2; SELECT count(*) FROM of_session2_v;
