-- name: a query with a volatile function gives every reference the same rows
WITH r AS (SELECT random() AS x FROM generate_series(1, 3))
SELECT count(*), bool_and(a.x = b.x) FROM (SELECT * FROM r) AS a JOIN (SELECT * FROM r) AS b USING (x);

-- name: a sequence is drawn from once for both references
CREATE SEQUENCE drawn;

-- name: twice read
WITH d AS (SELECT nextval('drawn') AS n FROM generate_series(1, 2)) SELECT (SELECT sum(n) FROM d), (SELECT max(n) FROM d);

-- name: what is left
SELECT nextval('drawn');

-- name: its end
DROP SEQUENCE drawn;

-- name: names, types and order of what is kept
WITH r AS (SELECT n AS "N", random() < 2 AS "yes", 'x'::varchar(5) AS v, n::numeric(8,2) AS m FROM generate_series(3, 1, -1) AS n)
SELECT a.*, b.m * 2 AS doubled FROM r AS a JOIN r AS b ON a."N" = b."N" ORDER BY a."N";

-- name: a kept query reads another
WITH a AS (SELECT random() AS x), b AS (SELECT x, random() AS y FROM a) SELECT a.x = b.x, b.y = c.y FROM a, b, b AS c;

-- name: a kept query in a subquery
-- differs: what a subquery of an expression reads is a part of its plan
SELECT n, (WITH r AS (SELECT random() AS x) SELECT count(*) FROM r AS a JOIN r AS b USING (x)) FROM generate_series(1, 2) AS n ORDER BY n;

-- name: a kept query feeds an insertion
CREATE TABLE kept (a int, b int);

-- name: into it
WITH r AS (SELECT (random() * 0)::int AS x, n FROM generate_series(1, 3) AS n) INSERT INTO kept SELECT a.n, b.n + a.x FROM r AS a JOIN r AS b USING (n);

-- name: it is there
SELECT * FROM kept ORDER BY a;

-- name: away
DROP TABLE kept;

-- name: explained
-- differs: plans are another system's
EXPLAIN (COSTS OFF) WITH r AS (SELECT random() AS x) SELECT count(*) FROM r AS a JOIN r AS b USING (x);

-- name: each reads the one before twice
WITH c0 AS (SELECT 1 AS x), c1 AS (SELECT x FROM c0 UNION ALL SELECT x FROM c0 WHERE x > 1), c2 AS (SELECT x FROM c1 UNION ALL SELECT x FROM c1 WHERE x > 2), c3 AS (SELECT x FROM c2 UNION ALL SELECT x FROM c2 WHERE x > 3), c4 AS (SELECT x FROM c3 UNION ALL SELECT x FROM c3 WHERE x > 4), c5 AS (SELECT x FROM c4 UNION ALL SELECT x FROM c4 WHERE x > 5), c6 AS (SELECT x FROM c5 UNION ALL SELECT x FROM c5 WHERE x > 6), c7 AS (SELECT x FROM c6 UNION ALL SELECT x FROM c6 WHERE x > 7), c8 AS (SELECT x FROM c7 UNION ALL SELECT x FROM c7 WHERE x > 8), c9 AS (SELECT x FROM c8 UNION ALL SELECT x FROM c8 WHERE x > 9), c10 AS (SELECT x FROM c9 UNION ALL SELECT x FROM c9 WHERE x > 10), c11 AS (SELECT x FROM c10 UNION ALL SELECT x FROM c10 WHERE x > 11), c12 AS (SELECT x FROM c11 UNION ALL SELECT x FROM c11 WHERE x > 12), c13 AS (SELECT x FROM c12 UNION ALL SELECT x FROM c12 WHERE x > 13), c14 AS (SELECT x FROM c13 UNION ALL SELECT x FROM c13 WHERE x > 14), c15 AS (SELECT x FROM c14 UNION ALL SELECT x FROM c14 WHERE x > 15), c16 AS (SELECT x FROM c15 UNION ALL SELECT x FROM c15 WHERE x > 16), c17 AS (SELECT x FROM c16 UNION ALL SELECT x FROM c16 WHERE x > 17), c18 AS (SELECT x FROM c17 UNION ALL SELECT x FROM c17 WHERE x > 18), c19 AS (SELECT x FROM c18 UNION ALL SELECT x FROM c18 WHERE x > 19), c20 AS (SELECT x FROM c19 UNION ALL SELECT x FROM c19 WHERE x > 20), c21 AS (SELECT x FROM c20 UNION ALL SELECT x FROM c20 WHERE x > 21), c22 AS (SELECT x FROM c21 UNION ALL SELECT x FROM c21 WHERE x > 22), c23 AS (SELECT x FROM c22 UNION ALL SELECT x FROM c22 WHERE x > 23), c24 AS (SELECT x FROM c23 UNION ALL SELECT x FROM c23 WHERE x > 24), c25 AS (SELECT x FROM c24 UNION ALL SELECT x FROM c24 WHERE x > 25), c26 AS (SELECT x FROM c25 UNION ALL SELECT x FROM c25 WHERE x > 26), c27 AS (SELECT x FROM c26 UNION ALL SELECT x FROM c26 WHERE x > 27), c28 AS (SELECT x FROM c27 UNION ALL SELECT x FROM c27 WHERE x > 28), c29 AS (SELECT x FROM c28 UNION ALL SELECT x FROM c28 WHERE x > 29), c30 AS (SELECT x FROM c29 UNION ALL SELECT x FROM c29 WHERE x > 30) SELECT count(*), max(x) FROM c30;

-- name: each joins the one before with itself
WITH s0 AS (SELECT 1 AS x), s1 AS (SELECT a.x FROM s0 AS a, s0 AS b), s2 AS (SELECT a.x FROM s1 AS a, s1 AS b), s3 AS (SELECT a.x FROM s2 AS a, s2 AS b), s4 AS (SELECT a.x FROM s3 AS a, s3 AS b), s5 AS (SELECT a.x FROM s4 AS a, s4 AS b), s6 AS (SELECT a.x FROM s5 AS a, s5 AS b), s7 AS (SELECT a.x FROM s6 AS a, s6 AS b), s8 AS (SELECT a.x FROM s7 AS a, s7 AS b), s9 AS (SELECT a.x FROM s8 AS a, s8 AS b), s10 AS (SELECT a.x FROM s9 AS a, s9 AS b), s11 AS (SELECT a.x FROM s10 AS a, s10 AS b), s12 AS (SELECT a.x FROM s11 AS a, s11 AS b), s13 AS (SELECT a.x FROM s12 AS a, s12 AS b), s14 AS (SELECT a.x FROM s13 AS a, s13 AS b), s15 AS (SELECT a.x FROM s14 AS a, s14 AS b), s16 AS (SELECT a.x FROM s15 AS a, s15 AS b), s17 AS (SELECT a.x FROM s16 AS a, s16 AS b), s18 AS (SELECT a.x FROM s17 AS a, s17 AS b), s19 AS (SELECT a.x FROM s18 AS a, s18 AS b), s20 AS (SELECT a.x FROM s19 AS a, s19 AS b), s21 AS (SELECT a.x FROM s20 AS a, s20 AS b), s22 AS (SELECT a.x FROM s21 AS a, s21 AS b), s23 AS (SELECT a.x FROM s22 AS a, s22 AS b), s24 AS (SELECT a.x FROM s23 AS a, s23 AS b) SELECT count(*) FROM s24;

-- name: a parameter in a kept query
PREPARE kept_parameter AS WITH r AS (SELECT $1::int + (random() * 0)::int AS x) SELECT a.x, b.x FROM r AS a, r AS b;

-- name: its value
EXECUTE kept_parameter(7);

-- name: the end of it
DEALLOCATE kept_parameter;

-- name: in a cursor
-- differs: what a cursor reads is one plan, which may not read volatile rows twice
BEGIN; DECLARE kept_cursor CURSOR FOR WITH r AS (SELECT random() AS x) SELECT 1 FROM r AS a JOIN r AS b USING (x);

-- name: its end
ROLLBACK;

-- name: in a view
-- differs: the same
CREATE VIEW kept_view AS WITH r AS (SELECT random() AS x) SELECT a.x = b.x AS same FROM r AS a, r AS b;

-- name: a graph with a circle
CREATE TABLE edge (f int, t int, label text); INSERT INTO edge VALUES (1,2,'a'),(1,3,'b'),(2,4,'c'),(3,4,'d'),(4,1,'e'),(2,10,'q'),(10,11,'z'),(3,9,'y');
-- tables: edge by f

-- name: depth first, numbers in their order
WITH RECURSIVE s(f, t, label) AS (SELECT * FROM edge WHERE f = 1 UNION ALL SELECT g.* FROM edge g, s WHERE g.f = s.t AND g.f <> 4) SEARCH DEPTH FIRST BY f, t SET seq SELECT * FROM s ORDER BY seq;

-- name: breadth first
WITH RECURSIVE s(f, t, label) AS (SELECT * FROM edge WHERE f = 1 UNION ALL SELECT g.* FROM edge g, s WHERE g.f = s.t AND g.f <> 4) SEARCH BREADTH FIRST BY f, t SET seq SELECT * FROM s ORDER BY seq;

-- name: circles end
WITH RECURSIVE s(f, t, label) AS (SELECT * FROM edge WHERE f = 1 UNION ALL SELECT g.* FROM edge g JOIN s AS p ON g.f = p.t) CYCLE f, t SET is_cycle USING path SELECT * FROM s ORDER BY path;

-- name: with a mark of one's own
WITH RECURSIVE s(f, t, label) AS (SELECT * FROM edge WHERE f = 1 UNION SELECT g.* FROM edge g JOIN s AS p ON g.f = p.t) CYCLE f, t SET is_cycle TO 'Y' DEFAULT 'N' USING path SELECT f, t, is_cycle, path FROM s ORDER BY path;

-- name: searched and without circles
WITH RECURSIVE s(f, t, label) AS (SELECT * FROM edge WHERE f = 1 UNION ALL SELECT g.* FROM edge g JOIN s AS p ON g.f = p.t) SEARCH DEPTH FIRST BY f, t SET seq CYCLE f, t SET is_cycle USING path SELECT * FROM s ORDER BY seq, path;

-- name: what is added has names that others can use
WITH RECURSIVE s AS (SELECT f, t, label FROM edge WHERE f = 1 UNION ALL SELECT g.* FROM edge g JOIN s AS p ON g.f = p.t) SEARCH BREADTH FIRST BY label SET seq CYCLE f SET c TO 1 DEFAULT 0 USING path, other AS (SELECT seq, c FROM s WHERE c = 0) SELECT * FROM other ORDER BY seq LIMIT 5;

-- name: a search column that is none
WITH RECURSIVE s(f) AS (SELECT 1 UNION ALL SELECT f + 1 FROM s WHERE f < 3) SEARCH DEPTH FIRST BY nosuch SET seq SELECT * FROM s;

-- name: a search column twice
WITH RECURSIVE s(f) AS (SELECT 1 UNION ALL SELECT f + 1 FROM s WHERE f < 3) SEARCH DEPTH FIRST BY f, f SET q SELECT * FROM s;

-- name: not recursive
WITH s(f) AS (SELECT 1) CYCLE f SET q USING p SELECT * FROM s;

-- name: one name for mark and path
WITH RECURSIVE s(f) AS (SELECT 1 UNION ALL SELECT f + 1 FROM s WHERE f < 3) CYCLE f SET q USING q SELECT * FROM s;

-- name: the reference is not at the top
WITH RECURSIVE s(f) AS (SELECT 1 UNION ALL SELECT f + 1 FROM (SELECT * FROM s) x WHERE f < 3) CYCLE f SET q USING p SELECT * FROM s;

-- name: marks of two types
WITH RECURSIVE s(f) AS (SELECT 1 UNION ALL SELECT f + 1 FROM s WHERE f < 3) CYCLE f SET q TO 1 DEFAULT 'x' USING p SELECT * FROM s;

-- name: a view that searches
CREATE VIEW searching AS WITH RECURSIVE s(f, t) AS (SELECT f, t FROM edge WHERE f = 1 UNION ALL SELECT g.f, g.t FROM edge g, s WHERE g.f = s.t AND g.f <> 4) SEARCH DEPTH FIRST BY f, t SET seq SELECT f, t, seq::text FROM s;

-- name: what it finds
SELECT * FROM searching ORDER BY seq;

-- name: a step of another type than the first rows
WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n + 1.5 FROM r WHERE n < 3) SELECT * FROM r;

-- name: recursion within an outer join
WITH RECURSIVE r (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM (VALUES (1)) v (a) LEFT JOIN r ON true) SELECT * FROM r;

-- name: recursion before an outer join
WITH RECURSIVE r (n) AS (SELECT 1 UNION ALL SELECT r.n + 1 FROM r LEFT JOIN (VALUES (1)) v (a) ON v.a = r.n WHERE r.n < 3) SELECT * FROM r ORDER BY n;

-- name: recursion before a right join
WITH RECURSIVE r (n) AS (SELECT 1 UNION ALL SELECT r.n + 1 FROM r RIGHT JOIN (VALUES (1)) v (a) ON v.a = r.n) SELECT * FROM r;

-- name: recursion within a subquery
WITH RECURSIVE r (n) AS (VALUES (1) UNION ALL SELECT a + 1 FROM (VALUES (1)) v (a) WHERE a IN (SELECT n FROM r)) SELECT * FROM r;

-- name: recursion within EXCEPT
WITH RECURSIVE r (n) AS (VALUES (1) UNION ALL (SELECT 2 EXCEPT SELECT n FROM r)) SELECT * FROM r;

-- name: a table of the query's own name
CREATE TABLE r_named (n int); INSERT INTO r_named VALUES (7);

-- name: which the first term does not read
WITH RECURSIVE r_named (n) AS (SELECT 1 FROM r_named UNION ALL SELECT 1) SELECT * FROM r_named;

-- name: that table by its schema
WITH RECURSIVE r_named (n) AS (SELECT n FROM public.r_named UNION ALL SELECT 1) SELECT * FROM r_named ORDER BY n;

-- name: a name hidden by another
WITH RECURSIVE r (n) AS (SELECT 1 UNION ALL (WITH r AS (SELECT 5 AS n) SELECT n FROM r)) SELECT * FROM r ORDER BY n;

-- name: a name hidden before it
WITH RECURSIVE r (n) AS (WITH r AS (SELECT 5 AS n) SELECT 1 UNION ALL SELECT n FROM r) SELECT * FROM r ORDER BY n;

-- name: recursion in the first term
WITH RECURSIVE r (n) AS ((SELECT 1 UNION ALL SELECT n + 1 FROM r WHERE n < 3) UNION ALL SELECT n + 1 FROM r WHERE n < 3) SELECT * FROM r;

-- name: recursion in a subquery of the first term
WITH RECURSIVE r (n) AS (SELECT (SELECT max(n) FROM r) UNION ALL SELECT n + 1 FROM r WHERE n < 3) SELECT * FROM r;

-- name: recursion in a WITH before the terms
WITH RECURSIVE r (n) AS (WITH x AS (SELECT * FROM r) SELECT 1 UNION ALL SELECT n + 1 FROM x WHERE n < 3) SELECT * FROM r;

-- name: recursion by a WITH of the step
WITH RECURSIVE r (n) AS (SELECT 1 UNION ALL (WITH x AS (SELECT * FROM r WHERE n < 4) SELECT n + 1 FROM x)) SELECT * FROM r ORDER BY n;

-- name: recursion in arguments of a function in FROM
WITH RECURSIVE r (n) AS (SELECT 1 UNION ALL SELECT g FROM generate_series(1, (SELECT max(n) FROM r)) g) SELECT * FROM r;

-- name: recursion in VALUES
WITH RECURSIVE r (n) AS (SELECT 1 UNION ALL VALUES ((SELECT max(n) FROM r))) SELECT * FROM r;

-- name: recursion in DISTINCT ON
WITH RECURSIVE r (n) AS (SELECT 1 UNION ALL (SELECT DISTINCT ON ((SELECT max(n) FROM r)) 1)) SELECT * FROM r;

-- name: recursion in ORDER BY of the step
WITH RECURSIVE r (n) AS (SELECT 1 UNION ALL (SELECT 1 ORDER BY (SELECT max(n) FROM r))) SELECT * FROM r;

-- name: recursion in LIMIT of the step
WITH RECURSIVE r (n) AS (SELECT 1 UNION ALL (SELECT 1 LIMIT (SELECT max(n) FROM r))) SELECT * FROM r;

-- name: recursion in a window
WITH RECURSIVE r (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r WINDOW w AS (PARTITION BY (SELECT max(n) FROM r))) SELECT * FROM r;

-- name: recursion before EXCEPT ALL
WITH RECURSIVE r (n) AS (SELECT 1 UNION ALL (SELECT n + 1 FROM r WHERE n < 5 EXCEPT ALL SELECT 3)) SELECT * FROM r;

-- name: recursion before EXCEPT
WITH RECURSIVE r (n) AS (SELECT 1 UNION ALL (SELECT n + 1 FROM r WHERE n < 5 EXCEPT SELECT 3)) SELECT * FROM r ORDER BY n;

-- name: recursion in INTERSECT ALL
WITH RECURSIVE r (n) AS (SELECT 1 UNION ALL (SELECT 2 INTERSECT ALL SELECT n + 1 FROM r)) SELECT * FROM r;

-- name: locks in the step
WITH RECURSIVE r (n) AS (SELECT 1 UNION ALL (SELECT n + 1 FROM r WHERE n < 5 FOR UPDATE)) SELECT * FROM r;

-- name: locks behind the step
WITH RECURSIVE r (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r WHERE n < 5 FOR UPDATE) SELECT * FROM r;

-- name: locks in an operand
SELECT id FROM (SELECT 1 AS id) a UNION ALL (SELECT n FROM r_named FOR SHARE);

-- name: ORDER BY behind the step
WITH RECURSIVE r (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r WHERE n < 5 ORDER BY 1) SELECT * FROM r;

-- name: LIMIT behind the step
WITH RECURSIVE r (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r WHERE n < 5 LIMIT 3) SELECT * FROM r;

-- name: OFFSET behind the step
WITH RECURSIVE r (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r WHERE n < 5 OFFSET 3) SELECT * FROM r;

-- name: recursion twice
WITH RECURSIVE r (n) AS (SELECT 1 UNION ALL SELECT a.n FROM r a, r b) SELECT * FROM r;

-- name: recursion of a change
WITH RECURSIVE r_named (n) AS (INSERT INTO r_named SELECT n FROM r_named RETURNING n) SELECT * FROM r_named;

-- name: no more of that name
DROP TABLE r_named;

-- name: aggregates of recursion
WITH RECURSIVE r (n) AS (SELECT 1::bigint UNION ALL SELECT count(*) FROM r) SELECT * FROM r;

-- name: recursion in a subquery of FROM
WITH RECURSIVE r (n) AS (SELECT 1 UNION ALL SELECT q.n + 1 FROM (SELECT n FROM r WHERE n < 4) q) SELECT * FROM r ORDER BY n;

-- name: a query reads one that comes after it
WITH RECURSIVE a AS (SELECT * FROM b), b AS (SELECT 1 AS x) SELECT * FROM a;

-- name: a chain of them
WITH RECURSIVE a AS (SELECT * FROM b), b AS (SELECT * FROM c), c AS (SELECT 1 AS x) SELECT * FROM a, b;

-- name: a recursion over what comes after it
WITH RECURSIVE t(n) AS (SELECT n FROM s UNION ALL SELECT n + 1 FROM t, m WHERE n < m.k), s(n) AS (SELECT 1), m(k) AS (SELECT 4) SELECT * FROM t ORDER BY n;

-- name: two recursions
WITH RECURSIVE a AS (SELECT x FROM b UNION ALL SELECT x + 1 FROM a WHERE x < 3), b AS (SELECT 1 AS x UNION ALL SELECT x + 10 FROM b WHERE x < 20) SELECT * FROM a ORDER BY 1;

-- name: mutual recursion
WITH RECURSIVE a AS (SELECT * FROM b), b AS (SELECT * FROM a) SELECT * FROM a;

-- name: mutual recursion of three
WITH RECURSIVE a AS (SELECT * FROM d), d AS (SELECT * FROM e), e AS (SELECT * FROM a) SELECT 1;

-- name: mutual recursion beside a recursion
WITH RECURSIVE a AS (SELECT 1 AS x UNION ALL SELECT x + 1 FROM b WHERE x < 3), b AS (SELECT * FROM a) SELECT * FROM a;

-- name: without RECURSIVE there is no such query
WITH a AS (SELECT * FROM b), b AS (SELECT 1 AS x) SELECT * FROM a;

-- name: one name twice
WITH RECURSIVE a AS (SELECT 1), a AS (SELECT 2) SELECT 1;
