UNION, INTERSECT, EXCEPT, and ordering and limits of whole queries.

-- name: tables
-- tables: left_side by k, right_side by k
CREATE TABLE left_side (k int, a int, b text);
CREATE TABLE right_side (k int, a int, b text);
INSERT INTO left_side VALUES (1, 1, 'x'), (2, 2, 'y'), (3, 2, 'y'), (4, 3, NULL), (5, NULL, NULL);
INSERT INTO right_side VALUES (1, 2, 'y'), (2, 3, NULL), (3, 4, 'z'), (4, 4, 'z');

-- name: union
SELECT a, b FROM left_side UNION SELECT a, b FROM right_side ORDER BY a, b;

-- name: union all
SELECT a FROM left_side UNION ALL SELECT a FROM right_side ORDER BY a;

-- name: intersect
SELECT a, b FROM left_side INTERSECT SELECT a, b FROM right_side ORDER BY a;

-- name: intersect all
SELECT a FROM (VALUES (1), (1), (2), (2), (3)) v(a) INTERSECT ALL SELECT a FROM (VALUES (1), (1), (1), (2)) w(a) ORDER BY a;

-- name: except
SELECT a, b FROM left_side EXCEPT SELECT a, b FROM right_side ORDER BY a;

-- name: except all
SELECT a, b FROM left_side EXCEPT ALL SELECT a, b FROM right_side ORDER BY a;

-- name: precedence
SELECT 1 AS a UNION SELECT 2 INTERSECT SELECT 3 ORDER BY a;

-- name: parentheses
(SELECT 1 AS a UNION SELECT 2) INTERSECT SELECT 2;

-- name: types unify
SELECT 1 AS n UNION SELECT 2.5 ORDER BY n;

-- name: unknown literals unify to text
SELECT 'a' UNION SELECT NULL ORDER BY 1;

-- name: names come from the first
SELECT a AS first FROM left_side UNION SELECT a AS second FROM right_side ORDER BY first;

-- name: order by and limit of a branch
(SELECT a FROM right_side ORDER BY a DESC LIMIT 1) UNION ALL (SELECT a FROM left_side WHERE a = 1) ORDER BY a;

-- name: set operation in from
SELECT count(*), sum(a) FROM (SELECT a FROM left_side UNION ALL SELECT a FROM right_side) u;

-- name: set operation in in
SELECT a FROM right_side WHERE a IN (SELECT 2 UNION SELECT 4) ORDER BY a;

-- name: aggregates in branches
SELECT 'left' AS side, count(*) FROM left_side UNION ALL SELECT 'right', count(*) FROM right_side ORDER BY side;

-- name: different numbers of columns
SELECT 1 UNION SELECT 1, 2;

-- name: types that do not match
SELECT 1 UNION SELECT true;

-- name: text that is no number
SELECT 1 UNION SELECT 'x';

-- name: order by a column that is not there
SELECT a FROM left_side UNION SELECT a FROM right_side ORDER BY b;

-- name: limit and offset
SELECT g FROM generate_series(1, 10) g ORDER BY g LIMIT 3 OFFSET 4;

-- name: fetch first
SELECT g FROM generate_series(1, 10) g ORDER BY g OFFSET 2 ROWS FETCH FIRST 2 ROWS ONLY;

-- name: fetch with ties
SELECT a FROM right_side ORDER BY a DESC FETCH FIRST 1 ROW WITH TIES;

-- name: limit all and zero
SELECT g FROM generate_series(1, 2) g ORDER BY g LIMIT ALL;

-- name: limit zero
SELECT g FROM generate_series(1, 2) g ORDER BY g LIMIT 0;

-- name: negative limit
SELECT 1 LIMIT -1;

-- name: limit null
SELECT g FROM generate_series(1, 3) g ORDER BY g LIMIT NULL OFFSET NULL;

-- name: order by position and expression
SELECT g, -g AS m FROM generate_series(1, 3) g ORDER BY 2, g * 2;

-- name: order by a position that is not there
SELECT 1 ORDER BY 2;

-- name: order by an output name before an input name
SELECT -a AS a FROM right_side ORDER BY a;

-- name: distinct and order by another column
SELECT DISTINCT a FROM right_side ORDER BY b;

-- name: a constant column beside a sorted one
SELECT b, b, a FROM left_side UNION ALL SELECT b, nullif('x', 'x'), 7 FROM right_side ORDER BY 2, 1, 3;

-- name: windows in what is taken away
WITH q AS (SELECT sum(DISTINCT a) AS total, count(*) AS n FROM left_side) SELECT 1, total, sum(n) OVER (PARTITION BY total) FROM q EXCEPT ALL SELECT 14, 1, 1 FROM right_side;
