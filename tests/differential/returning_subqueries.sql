-- tables: rs by k
-- name: setup
CREATE TABLE rs (k int PRIMARY KEY, v int); CREATE TABLE rs_other (k int PRIMARY KEY, v int);
INSERT INTO rs SELECT g, g FROM generate_series(1, 5) g; INSERT INTO rs_other SELECT g, g * 10 FROM generate_series(1, 3) g;

-- name: the statement's own rows are not seen
INSERT INTO rs VALUES (6, 6) RETURNING k, (SELECT count(*) FROM rs);

-- name: correlated
UPDATE rs SET v = v + 1 WHERE k < 4 RETURNING (SELECT max(o.v) FROM rs_other o WHERE o.k = rs.k) + v;

-- name: tests
DELETE FROM rs WHERE k > 2 AND k < 6 RETURNING k, EXISTS (SELECT FROM rs_other o WHERE o.k = rs.k), k IN (SELECT k FROM rs_other);

-- name: an error takes the change back
INSERT INTO rs VALUES (7, 0) RETURNING 1 / (SELECT min(v) - 10 FROM rs_other);

-- name: it is not there
SELECT * FROM rs ORDER BY k;

-- name: a limit before RETURNING
INSERT INTO rs SELECT k + 100, v FROM rs_other ORDER BY k LIMIT 2 RETURNING k, v;

-- name: a limit before ON CONFLICT
INSERT INTO rs SELECT k + 100, v FROM rs_other ORDER BY k LIMIT 1 ON CONFLICT (k) DO UPDATE SET k = rs.k, v = 7 RETURNING k, v;

-- name: within WITH
WITH gone AS (DELETE FROM rs WHERE k > 100 RETURNING k, (SELECT sum(v) FROM rs_other) AS s) SELECT count(*), sum(k), max(s) FROM gone;

-- name: unnamed values of one row
ALTER TABLE rs_other ADD w int; UPDATE rs_other SET (v, w) = (SELECT rs_other.v + 100, 1) WHERE k < 3 RETURNING *;
