-- Conditions that can fail: what is not evaluated raises nothing, and NULL stays NULL.
-- tables: f by k, g by k

-- name: tables
CREATE TABLE f (k int, a int, b int, s text);
CREATE TABLE g (k int, y int, z int, s text);

-- name: rows
INSERT INTO f VALUES (1, 0, 5, 'x'), (2, 2, 5, '7'), (3, NULL, 5, '12'), (4, 10, NULL, NULL), (5, 4, 0, '3'), (6, -1, 1, '');
INSERT INTO g VALUES (1, 0, 1, '1'), (2, 3, 2, 'two'), (3, NULL, 3, '3'), (5, 2, NULL, NULL), (7, 0, 7, '70');

-- name: AND as a value
SELECT k, a <> 0 AND b / a > 1, b > 0 AND a <> 0 AND b / a > 1, a <> 0 AND b / a > 1 AND 10 / a > 2 AND b > 0 FROM f ORDER BY k;

-- name: OR as a value
SELECT k, a = 0 OR b / a > 1, a = 0 OR a IS NULL OR b / a > 1 OR 10 / a > 4, a = 0 OR 10 / a > 4 OR b / a > 1 FROM f ORDER BY k;

-- name: AND and OR in each other as values
SELECT k, (a <> 0 AND b / a > 1 OR a = 0) AND (a = 0 OR 10 / a > 2), NOT (a = 0 OR NOT (b / a > 1 AND 10 / a > 2)), (a <> 0 AND (b / a > 1 AND 10 / a > 2)) IS NULL FROM f ORDER BY k;

-- name: truth tests of conditions that can fail
SELECT k, (a <> 0 AND b / a > 1) IS TRUE, (a <> 0 AND b / a > 1) IS NOT TRUE, (a = 0 OR b / a > 1) IS FALSE, (a = 0 OR b / a > 1) IS NOT FALSE, (a = 0 OR b / a > 1) IS UNKNOWN, (a = 0 OR b / a > 1 OR 1 / a > 3) IS NOT UNKNOWN FROM f ORDER BY k;

-- name: NULL among operands that can fail
SELECT k, a <> 0 AND NULL AND b / a > 1, a = 0 OR NULL OR b / a > 1, NOT (a <> 0 AND b / a > 1 AND NULL), (b / nullif(a, 0) > 1) AND (10 / nullif(a, 0) > 2), (b / nullif(a, 0) > 1) OR (10 / nullif(a, 0) > 2) FROM f ORDER BY k;

-- name: conditions of WHERE
SELECT k FROM f WHERE a <> 0 AND b / a > 1 AND 10 / a > 2 ORDER BY k;

-- name: disjunctions of WHERE
SELECT k FROM f WHERE a = 0 OR b / a > 1 OR 10 / a > 4 ORDER BY k;

-- name: negations in WHERE
SELECT k FROM f WHERE NOT (a = 0 OR b / a > 1 OR 10 / a > 4) AND NOT (a = 0 OR a / a = 2) ORDER BY k;

-- name: shards are found by what cannot fail
SELECT k, a FROM f WHERE k = 2 AND b / a > 1 OR k = 5 AND a / k < 3 ORDER BY k;

-- name: text that is a number where it looks like one
SELECT k, s::int FROM f WHERE s ~ '^[0-9]+$' AND s::int > 5 AND s::int + k < 100 ORDER BY k;

-- name: an error where PostgreSQL raises one
SELECT k FROM f WHERE b >= 0 AND b / a > 1 AND 10 / a > 2;

-- name: an error in a disjunction
SELECT k FROM f WHERE b < 0 OR b / a > 100;

-- name: an error in a value
SELECT k, b >= 0 AND b / a > 1 FROM f;

-- name: conditions of joins
SELECT f.k, g.k FROM f JOIN g ON f.k = g.k AND g.y <> 0 AND f.b / g.y > 0 ORDER BY 1, 2;

-- name: conditions over both sides
SELECT f.k, g.k FROM f, g WHERE f.a <> 0 AND g.z / f.a = 0 AND g.y <> 0 AND f.b / g.y < 3 AND f.k < g.k ORDER BY 1, 2;

-- name: joins by what can fail
SELECT f.k, g.k FROM f JOIN g ON g.s ~ '^[0-9]+$' AND f.k = g.s::int AND f.b > 0 ORDER BY 1, 2;

-- name: conditions above outer joins
SELECT f.k, g.k FROM f LEFT JOIN g ON f.k = g.k WHERE (g.y <> 0 OR g.y IS NULL) AND (g.y IS NULL OR f.b / g.y > 0) ORDER BY 1, 2;

-- name: conditions of outer joins
SELECT f.k, g.k FROM f LEFT JOIN g ON f.k = g.k AND f.a <> 0 AND g.z / f.a >= 0 ORDER BY 1, 2;

-- name: sides in a value
SELECT f.k, g.k, g.y <> 0 AND f.b / g.y > 1, g.y = 0 OR f.b / g.y > 1 FROM f JOIN g ON f.k = g.k ORDER BY 1, 2;

-- name: conditions of HAVING
SELECT a, count(*) FROM f GROUP BY a HAVING sum(b) <> 0 AND 10 / sum(b) > 1 AND 10 / sum(b) < 20 ORDER BY 1;

-- name: conditions of FILTER
SELECT count(*) FILTER (WHERE a <> 0 AND b / a > 1 AND 10 / a > 1), count(*) FILTER (WHERE a = 0 OR b / a > 1 OR 10 / a > 4) FROM f;

-- name: conditions of CASE
SELECT k, CASE WHEN a <> 0 AND b / a > 1 AND 10 / a > 1 THEN 'both' WHEN a = 0 OR b / a > 0 OR 10 / a > 4 THEN 'one' ELSE 'none' END FROM f ORDER BY k;

-- name: CASE of conditions
SELECT k, CASE WHEN a = 0 THEN NULL ELSE b / a > 1 AND 10 / a > 2 END, CASE WHEN a = 0 THEN false WHEN b / a > 1 AND 10 / a > 2 THEN NULL ELSE true END FROM f ORDER BY k;

-- name: subqueries among conditions that can fail
SELECT k FROM f WHERE a <> 0 AND EXISTS (SELECT 1 FROM g WHERE g.k = f.k) AND b / a >= 0 ORDER BY k;

-- name: subqueries in a disjunction
SELECT k FROM f WHERE a = 0 OR b / a > 1 AND k IN (SELECT k FROM g WHERE y <> 0 AND z / y >= 0) OR k = (SELECT max(k) FROM g) - 1 ORDER BY k;

-- name: subqueries in values
SELECT k, a <> 0 AND k IN (SELECT k FROM g) AND b / a > 0, a = 0 OR EXISTS (SELECT FROM g WHERE g.k = f.k) OR b / a > 0 OR 10 / a > 0 FROM f ORDER BY k;

-- name: correlated conditions that can fail
SELECT k FROM f WHERE EXISTS (SELECT 1 FROM g WHERE g.z > 0 AND f.a <> 0 AND g.z = f.b / f.a) ORDER BY k;

-- name: BETWEEN and IN that can fail
SELECT k FROM f WHERE a <> 0 AND b / a BETWEEN 1 AND 3 AND 10 / a IN (1, 2, 5) ORDER BY k;

-- name: a filter over a filter
SELECT k FROM (SELECT * FROM f WHERE a <> 0) AS nonzero WHERE b / a > 1 ORDER BY k;

-- name: a filter over a filter of a join
SELECT n.k FROM (SELECT f.k, f.b, g.y FROM f JOIN g ON f.k = g.k WHERE g.y <> 0) AS n WHERE n.b / n.y >= 0 ORDER BY 1;

-- name: UPDATE with conditions that can fail
UPDATE f SET b = b + 1 WHERE a <> 0 AND b / a > 1 AND 10 / a > 2;

-- name: DELETE with conditions that can fail
DELETE FROM f WHERE a = 0 OR b / a > 2 OR 10 / a > 4;

-- name: what is left
SELECT * FROM f ORDER BY k;

-- name: two conditions
CREATE TABLE judged (k int PRIMARY KEY, a int CHECK (a > 0), b int, CHECK (10 / b > 0));

-- name: the first that fails is told of
INSERT INTO judged VALUES (1, -1, 0);

-- name: of several rows as well
INSERT INTO judged VALUES (1, 1, 1), (2, -1, 0), (3, 1, 0);

-- name: an error of an earlier row
INSERT INTO judged VALUES (1, 1, 1), (2, 1, 0), (3, -1, 1);

-- name: nothing was judged well
SELECT * FROM judged;
