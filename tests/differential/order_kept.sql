-- The order of a subquery, which what reads it keeps; and locks and indexes beside others.

-- name: rows in an order
-- tables: arrives by g
CREATE TABLE arrives (g int, x int, y text);

-- name: fill
INSERT INTO arrives SELECT i % 3, (i * 7) % 10, chr(97 + i) FROM generate_series(1, 10) i;

-- name: an aggregate takes the order of a subquery
SELECT array_agg(x), string_agg(y, ','), json_agg(x) FROM (SELECT x, y FROM arrives ORDER BY x DESC) s;

-- name: by a column that is not shown
SELECT string_agg(y, ',') FROM (SELECT y FROM arrives ORDER BY x) s;

-- name: in groups
SELECT g, array_agg(x) FROM (SELECT g, x FROM arrives ORDER BY x DESC) s GROUP BY g ORDER BY g;

-- name: through a subquery
SELECT array_agg(z) FROM (SELECT x + 1 AS z FROM (SELECT x FROM arrives ORDER BY y DESC) a WHERE x > 2) b;

-- name: of a WITH query
WITH s AS (SELECT x FROM arrives ORDER BY x) SELECT jsonb_agg(x) FROM s;

-- name: of the first rows
SELECT array_agg(x) FROM (SELECT x FROM arrives ORDER BY x DESC LIMIT 4) s;

-- name: of VALUES
SELECT string_agg(a, '') FROM (VALUES ('b'), ('c'), ('a') ORDER BY 1 DESC) v(a);

-- name: of a set operation
SELECT array_agg(x) FROM (SELECT x FROM arrives UNION SELECT 100 ORDER BY x DESC) s;

-- name: its own order counts
SELECT array_agg(x ORDER BY x) FROM (SELECT x FROM arrives ORDER BY x DESC) s;

-- name: in a correlated subquery
SELECT g, (SELECT array_agg(x) FROM (SELECT x FROM arrives b WHERE b.g = a.g ORDER BY x) s) FROM (SELECT DISTINCT g FROM arrives) a ORDER BY g;

-- name: of a lateral subquery
SELECT g, array_agg(x) FROM (SELECT DISTINCT g FROM arrives) a, LATERAL (SELECT x FROM arrives b WHERE b.g = a.g ORDER BY x DESC LIMIT 2) s GROUP BY g ORDER BY g;

-- name: an array of a subquery
SELECT ARRAY(SELECT x FROM (SELECT x FROM arrives ORDER BY y DESC) s);

-- name: sums and ranks do not change
SELECT x, sum(x) OVER () AS s, rank() OVER () AS r, lag(x) OVER () AS l FROM (SELECT x FROM arrives ORDER BY x DESC) s ORDER BY x;

-- name: numbers in groups
SELECT g, row_number() OVER () > 0, count(*) FROM (SELECT g FROM arrives ORDER BY x) s GROUP BY g ORDER BY g;

-- name: numbers of rows
SELECT row_number() OVER () AS n, x FROM (SELECT x FROM arrives ORDER BY x DESC) s ORDER BY n;

-- name: a view with an order
CREATE VIEW arrives_in_order AS SELECT y FROM arrives ORDER BY x DESC;

-- name: of a view
SELECT string_agg(y, '') FROM arrives_in_order;

-- name: no view
DROP VIEW arrives_in_order;

-- name: locks before limits
BEGIN; SELECT x FROM arrives ORDER BY x FOR UPDATE LIMIT 2; SELECT x FROM arrives ORDER BY x FOR NO KEY UPDATE SKIP LOCKED OFFSET 1 LIMIT 1; SELECT x FROM (SELECT x FROM arrives ORDER BY x DESC FOR UPDATE LIMIT 1) s ORDER BY 1; COMMIT;

-- name: an index made beside others' work
CREATE INDEX CONCURRENTLY arrives_x ON arrives (x);

-- name: and again
REINDEX INDEX CONCURRENTLY arrives_x;

-- name: dropped beside others' work
DROP INDEX CONCURRENTLY arrives_x;

-- name: or not
DROP INDEX CONCURRENTLY IF EXISTS arrives_x;

-- name: a transaction
BEGIN;

-- name: in which it is not dropped
DROP INDEX CONCURRENTLY arrives_x;

-- name: the end of the transaction
ROLLBACK;

-- name: not several at once
DROP INDEX CONCURRENTLY a, b;

-- name: all of a sample
SELECT count(*) FROM arrives TABLESAMPLE BERNOULLI (100); SELECT count(*) FROM arrives AS a TABLESAMPLE SYSTEM (0);

-- name: too large a sample
SELECT count(*) FROM arrives TABLESAMPLE BERNOULLI (101);
