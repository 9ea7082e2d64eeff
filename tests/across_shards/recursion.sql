-- name: an edge of each row
CREATE TABLE re (a bigint, b bigint);

-- name: spread
SELECT create_distributed_table('re', 'a', colocate_with => 'none');

-- name: fill
INSERT INTO re SELECT i, i + 1 FROM generate_series(1, 3000) i; ANALYZE re;

-- name: rows are exchanged however few they are
SET satsuma.exchange_cost = 0;

-- name: the rows of a round go to the shards
WITH RECURSIVE t(n) AS (SELECT 1::bigint UNION SELECT b FROM t JOIN re ON a = n WHERE n < 10) SELECT * FROM t ORDER BY n;

-- name: with what they have gathered
WITH RECURSIVE t(n, path) AS (SELECT 5::bigint, '5' UNION ALL SELECT b, path || '>' || b FROM t JOIN re ON a = n WHERE length(path) < 12) SELECT max(path) FROM t;

-- name: by another column
WITH RECURSIVE t(n) AS (SELECT 20::bigint UNION SELECT a FROM t JOIN re ON b = n WHERE n > 15) SELECT count(*), min(n) FROM t;

-- name: as it was
RESET satsuma.exchange_cost;
