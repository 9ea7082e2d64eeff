CTEs, subqueries of every kind, and recursion.

-- name: tables
-- tables: dept by id, emp by dept_id
CREATE TABLE dept (id int PRIMARY KEY, name text, budget numeric);
CREATE TABLE emp (dept_id int, id int, name text, salary numeric, boss int, PRIMARY KEY (dept_id, id));

-- name: load departments
INSERT INTO dept SELECT g, 'dept ' || g, g * 1000 FROM generate_series(1, 8) g;

-- name: load employees
INSERT INTO emp SELECT g % 7 + 1, g, 'emp ' || g, 100 + (g * 31) % 90, CASE WHEN g > 1 THEN g / 2 END FROM generate_series(1, 40) g;

-- name: scalar subquery
SELECT name, (SELECT count(*) FROM emp) AS total FROM dept ORDER BY id;

-- name: scalar subquery of no rows is null
SELECT (SELECT name FROM dept WHERE id = 99) AS nothing;

-- name: scalar subquery of several rows
SELECT (SELECT name FROM dept);

-- name: correlated scalar subquery
SELECT d.id, (SELECT max(salary) FROM emp e WHERE e.dept_id = d.id) FROM dept d ORDER BY d.id;

-- name: correlated without an aggregate
SELECT e.id, (SELECT d.name FROM dept d WHERE d.id = e.dept_id) FROM emp e WHERE e.id < 8 ORDER BY e.id;

-- name: correlated on another column
SELECT e.id, (SELECT b.name FROM emp b WHERE b.id = e.boss) AS boss FROM emp e WHERE e.id < 12 ORDER BY e.id;

-- name: correlated count of nothing is zero
SELECT d.id, (SELECT count(*) FROM emp e WHERE e.dept_id = d.id AND e.salary > 180) FROM dept d ORDER BY d.id;

-- name: correlated with order and limit
SELECT d.id, (SELECT e.name FROM emp e WHERE e.dept_id = d.id ORDER BY e.salary DESC, e.id LIMIT 1) FROM dept d ORDER BY d.id;

-- name: exists
SELECT id FROM dept d WHERE EXISTS (SELECT FROM emp e WHERE e.dept_id = d.id AND e.salary > 180) ORDER BY id;

-- name: exists in the select list
SELECT id, EXISTS (SELECT 1 FROM emp e WHERE e.dept_id = d.id) AS staffed FROM dept d ORDER BY id;

-- name: in and not in
SELECT id FROM emp WHERE boss IN (SELECT id FROM emp WHERE salary > 170) ORDER BY id;

-- name: not in with correlated condition
SELECT id FROM emp e WHERE id NOT IN (SELECT boss FROM emp b WHERE b.boss IS NOT NULL AND b.dept_id = e.dept_id) ORDER BY id;

-- name: row in subquery
SELECT id FROM emp WHERE (dept_id, salary) IN (SELECT dept_id, max(salary) FROM emp GROUP BY dept_id) ORDER BY id;

-- name: quantified comparison
SELECT id FROM emp WHERE salary >= ALL (SELECT salary FROM emp) ORDER BY id;

-- name: any
SELECT id FROM dept WHERE budget < ANY (SELECT salary * 20 FROM emp WHERE emp.dept_id = dept.id) ORDER BY id;

-- name: subquery in case
SELECT id, CASE WHEN salary > (SELECT avg(salary) FROM emp) THEN 'above' ELSE 'below' END FROM emp WHERE id < 6 ORDER BY id;

-- name: subquery in having
SELECT dept_id, avg(salary) FROM emp GROUP BY dept_id HAVING avg(salary) > (SELECT avg(salary) FROM emp) ORDER BY dept_id;

-- name: subquery in from
SELECT avg(top) FROM (SELECT max(salary) AS top FROM emp GROUP BY dept_id) t;

-- name: subquery in order by and limit
SELECT id FROM dept ORDER BY (SELECT count(*) FROM emp e WHERE e.dept_id = dept.id) DESC, id LIMIT (SELECT 3);

-- name: with
WITH rich AS (SELECT * FROM emp WHERE salary > 170) SELECT d.name, count(r.id) FROM dept d LEFT JOIN rich r ON r.dept_id = d.id GROUP BY d.name ORDER BY d.name;

-- name: with used twice
WITH s AS (SELECT dept_id, sum(salary) AS total FROM emp GROUP BY dept_id) SELECT a.dept_id FROM s a WHERE a.total = (SELECT max(total) FROM s);

-- name: with of with
WITH a AS (SELECT id FROM emp WHERE id < 20), b AS (SELECT id FROM a WHERE id > 10) SELECT sum(id), count(*) FROM b;

-- name: with column names
WITH t(x, y) AS (VALUES (1, 'a'), (2, 'b')) SELECT y, x FROM t ORDER BY x;

-- name: materialized
WITH t AS MATERIALIZED (SELECT * FROM dept), u AS NOT MATERIALIZED (SELECT * FROM emp) SELECT count(*) FROM t JOIN u ON t.id = u.dept_id;

-- name: recursive counting
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 10) SELECT sum(i), max(i) FROM n;

-- name: recursive tree
WITH RECURSIVE chain AS (SELECT id, boss, 0 AS depth FROM emp WHERE id = 37 UNION ALL SELECT e.id, e.boss, c.depth + 1 FROM emp e JOIN chain c ON e.id = c.boss) SELECT * FROM chain ORDER BY depth;

-- name: recursive union removes duplicates
WITH RECURSIVE r(i) AS (SELECT 0 UNION SELECT (i + 1) % 5 FROM r) SELECT i FROM r ORDER BY i;

-- name: a subquery before a condition that can fail
SELECT e.id FROM emp e WHERE 15 > (SELECT min(b.id) FROM emp b WHERE b.dept_id < e.dept_id) AND 14 % e.dept_id = 0 AND e.id > 3 AND 40 % e.id = 0 ORDER BY e.id;

-- name: conditions that can fail, in a chain
SELECT id FROM emp WHERE id > 0 AND 100 / id > 1 AND salary > 0 AND 100 / id > 2 AND boss > 0 AND 100 / boss > 4 AND id < 30 AND 100 / (boss - 1) > 3 OR boss IS NULL OR 10 / boss > 8 ORDER BY id;

-- name: not in with a correlated condition on other columns
SELECT e.id FROM emp e WHERE 2 NOT IN (SELECT b.dept_id FROM emp b WHERE b.id = e.boss) AND 3.5 NOT IN (SELECT 3.5 FROM dept d WHERE d.id = e.dept_id + 5) ORDER BY e.id;

-- name: lateral groups with distinct aggregates
SELECT d.id FROM dept d, LATERAL (SELECT e.boss, count(DISTINCT e.salary) FROM emp e WHERE d.id = 3 GROUP BY 1) l ORDER BY 1;

-- name: lateral groups of an outer join that finds nothing
SELECT d.id, l.* FROM dept d, LATERAL (SELECT b.id, max(e.id) FROM emp e LEFT JOIN emp b ON 3 BETWEEN 5 AND 1 WHERE e.dept_id = d.id GROUP BY 1) l ORDER BY 1;

-- name: recursion in a correlated subquery
SELECT e.id, (WITH RECURSIVE up(id, boss, depth) AS (SELECT b.id, b.boss, 0 FROM emp b WHERE b.id = e.id UNION ALL SELECT b.id, b.boss, u.depth + 1 FROM emp b, up u WHERE b.id = u.boss) SELECT id FROM up ORDER BY depth DESC LIMIT 1) AS top, (WITH RECURSIVE up AS (SELECT e.boss AS id UNION ALL SELECT b.boss FROM emp b JOIN up ON b.id = up.id) SELECT count(id) FROM up) AS bosses FROM emp e ORDER BY e.id;

-- name: recursion whose step refers outwards
SELECT d.id, (WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < d.id) SELECT sum(i) FROM n), ARRAY(WITH RECURSIVE n(i) AS (SELECT d.id % 3 UNION SELECT (i + 2) % 3 FROM n WHERE d.budget > 3000) SELECT i FROM n ORDER BY i) FROM dept d ORDER BY d.id;

-- name: recursion under lateral and exists
SELECT d.id, l.i FROM dept d, LATERAL (WITH RECURSIVE n(i, j) AS (SELECT d.id, d.id * 10 UNION ALL SELECT i - 1, e.id FROM n JOIN emp e ON e.id = n.i WHERE i > 6) SELECT i FROM n) l WHERE EXISTS (WITH RECURSIVE m(i) AS (SELECT l.i UNION SELECT m.i + 1 FROM m WHERE m.i < 8) SELECT FROM m WHERE m.i = 8 AND d.id > 4) ORDER BY 1, 2;

-- name: recursion in a step of recursion
WITH RECURSIVE down(id, top, depth) AS (SELECT 1, 1, 0 UNION ALL SELECT e.id, e.top, d.depth + 1 FROM (SELECT b.id, b.boss, (WITH RECURSIVE up AS (SELECT b.boss AS id UNION ALL SELECT c.boss FROM emp c JOIN up ON c.id = up.id) SELECT min(id) FROM up) AS top FROM emp b) e JOIN down d ON e.boss = d.id WHERE d.depth < 3) SELECT * FROM down ORDER BY id;

-- name: with shadows a table
WITH dept AS (SELECT 42 AS id) SELECT id FROM dept;

-- name: data in with
WITH moved AS (UPDATE emp SET salary = salary + 1 WHERE dept_id = 3 RETURNING id, salary) SELECT count(*), sum(salary) FROM moved;

-- name: nested correlation
SELECT d.id FROM dept d WHERE (SELECT count(*) FROM emp e WHERE e.dept_id = d.id AND e.salary > (SELECT avg(salary) FROM emp x WHERE x.dept_id = d.id)) > 2 ORDER BY d.id;

-- name: derived table columns
SELECT t.a, t.b FROM (SELECT 1, 2) AS t(a, b);

-- name: a derived table without alias
SELECT * FROM (SELECT 1 AS a);

-- name: too many columns in a scalar subquery
SELECT (SELECT 1, 2);

-- name: array of a correlated subquery
SELECT d.id, array(SELECT e.id FROM emp e WHERE e.dept_id = d.id ORDER BY e.id) FROM dept d WHERE d.id < 4 ORDER BY d.id;

-- name: unknown column in a subquery
SELECT id FROM dept WHERE EXISTS (SELECT nonsense FROM emp);

-- name: unknown with
WITH a AS (SELECT 1) SELECT * FROM b;

-- name: NULL is in no correlated list
SELECT e.id FROM emp e WHERE e.boss IN (SELECT DISTINCT nullif(f.boss, 3) FROM emp f WHERE f.salary < e.salary) ORDER BY e.id;

-- name: NULL is in no correlated list of values per value
SELECT e.id, nullif(e.boss, 2) FROM emp e WHERE nullif(e.boss, 2) IN (SELECT max(f.boss) FROM emp f WHERE f.id < coalesce(e.boss, 9) GROUP BY f.dept_id) ORDER BY e.id;

-- name: an aggregate of the outer query
SELECT (SELECT max(o.a)) FROM (VALUES (1), (2)) o (a);

-- name: an aggregate of both queries' columns
SELECT (SELECT sum(o.a * i.b) FROM (VALUES (1), (2)) i (b)) FROM (VALUES (1), (2)) o (a) ORDER BY 1;

-- name: names of subqueries' columns
SELECT (SELECT 1 + 1), (SELECT 'a'::text), (SELECT 1)::bigint, (SELECT 1 AS a UNION SELECT 1), (SELECT id FROM dept WHERE id = 1);

-- name: rows as subqueries
SELECT (VALUES (1)), EXISTS (VALUES (1)), 1 IN (VALUES (1), (2)), 3 = ANY (VALUES (3), (4)), ARRAY(VALUES (1), (2));
