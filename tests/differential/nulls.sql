NULL in conditions, sorting, grouping, joins and aggregates.

-- name: tables
-- tables: maybe by k
CREATE TABLE maybe (k int, a int, b text, c numeric(8,2));
INSERT INTO maybe VALUES (1, 1, 'x', 1.5), (2, NULL, 'y', NULL), (3, 3, NULL, 3.25), (4, NULL, NULL, 0), (5, 1, 'x', NULL);

-- name: three-valued logic
SELECT true AND NULL, false AND NULL, true OR NULL, false OR NULL, NOT NULL::bool, NULL = NULL, NULL <> 1;

-- name: is null and its relatives
SELECT NULL IS NULL, 1 IS NOT NULL, NULL IS DISTINCT FROM 1, NULL IS NOT DISTINCT FROM NULL, true IS TRUE, NULL::bool IS UNKNOWN, NULL::bool IS NOT TRUE, false IS NOT FALSE;

-- name: row comparison
SELECT (1, 2) = (1, 2), (1, NULL) = (2, NULL), (1, NULL) = (1, NULL), ROW(NULL, NULL) IS NULL, ROW(1, NULL) IS NOT NULL, (1, 2) < (1, 3);

-- name: where drops unknown
SELECT k FROM maybe WHERE a = 1 OR b = 'y' ORDER BY k;

-- name: not equal drops unknown
SELECT k FROM maybe WHERE a <> 1 ORDER BY k;

-- name: not in with a null in the list
SELECT k FROM maybe WHERE k NOT IN (SELECT a FROM maybe) ORDER BY k;

-- name: in with nulls
SELECT k FROM maybe WHERE k IN (SELECT a FROM maybe) ORDER BY k;

-- name: not exists
SELECT k FROM maybe m WHERE NOT EXISTS (SELECT 1 FROM maybe n WHERE n.a = m.k) ORDER BY k;

-- name: sort ascending puts nulls last
SELECT k, a FROM maybe ORDER BY a, k;

-- name: sort descending puts nulls first
SELECT k, a FROM maybe ORDER BY a DESC, k;

-- name: nulls first and last
SELECT k, b FROM maybe ORDER BY b NULLS FIRST, a DESC NULLS LAST, k;

-- name: nulls group together
SELECT a, count(*), count(b), count(*) FILTER (WHERE b IS NULL) FROM maybe GROUP BY a ORDER BY a;

-- name: distinct nulls
SELECT DISTINCT a FROM maybe ORDER BY a;

-- name: aggregates skip nulls
SELECT count(*), count(a), sum(a), avg(a), min(b), max(c), sum(c) FROM maybe;

-- name: aggregates of only nulls
SELECT sum(a), avg(a), min(a), max(a), count(a) FROM maybe WHERE a IS NULL;

-- name: aggregates of no rows
SELECT count(*), sum(a), min(b) FROM maybe WHERE false;

-- name: grouped aggregates of no rows
SELECT a, count(*) FROM maybe WHERE false GROUP BY a;

-- name: nulls do not join
SELECT m.k, n.k FROM maybe m JOIN maybe n ON m.a = n.a ORDER BY 1, 2;

-- name: nulls join with is not distinct from
SELECT m.k, n.k FROM maybe m JOIN maybe n ON m.a IS NOT DISTINCT FROM n.a WHERE m.k <> n.k ORDER BY 1, 2;

-- name: case and coalesce
SELECT k, coalesce(a, -1), coalesce(b, 'none'), CASE WHEN a IS NULL THEN 'no' WHEN a > 1 THEN 'many' ELSE 'one' END FROM maybe ORDER BY k;

-- name: null arithmetic and concatenation
SELECT k, a + 1, b || '!', c * 2 FROM maybe ORDER BY k;

-- name: bool aggregates
SELECT bool_and(a > 0), bool_or(a > 2), every(k > 0), bool_and(a IS NULL) FROM maybe;

-- name: union treats nulls as equal
SELECT a FROM maybe UNION SELECT NULL ORDER BY 1;

-- name: update to null
UPDATE maybe SET b = NULL, c = DEFAULT WHERE k = 1 RETURNING *;

-- name: insert of nulls
INSERT INTO maybe VALUES (6, NULL, NULL, NULL) RETURNING k, a IS NULL AS is_null;
