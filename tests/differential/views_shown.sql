-- How views read: as PostgreSQL prints their queries, whatever was written.

-- name: views
CREATE SCHEMA of_views; SET search_path = of_views; CREATE TABLE t (a int PRIMARY KEY, b text, c numeric(10,2), d timestamp, e varchar(10), f jsonb); CREATE TABLE u (a int PRIMARY KEY, t int, x text); CREATE VIEW plain AS SELECT a, b FROM t; CREATE VIEW starred AS SELECT * FROM t; CREATE VIEW filtered AS SELECT a AS id, upper(b) AS name FROM t WHERE c > 0 AND b LIKE 'x%'; CREATE VIEW aliased AS SELECT q.a FROM t AS q WHERE q.a = 1; CREATE VIEW counted AS SELECT b, count(*), sum(a) AS total, max(e) FROM t GROUP BY b HAVING count(*) > 1 ORDER BY 2 DESC, b; CREATE VIEW joined AS SELECT t.a, u.x FROM t JOIN u ON t.a = u.t; CREATE VIEW outer_joined AS SELECT t.a, u.x, v.b FROM t LEFT JOIN u ON t.a = u.t AND u.x <> '' JOIN t v ON v.a = u.a WHERE t.b IS NOT NULL; CREATE VIEW crossed AS SELECT t.a, u.x FROM t, u WHERE t.a = u.t; CREATE VIEW limited AS SELECT a FROM t ORDER BY c DESC NULLS LAST, lower(b) LIMIT 10 OFFSET 5; CREATE VIEW united AS SELECT a FROM t UNION SELECT a FROM u; CREATE VIEW all_united AS SELECT a, b FROM t WHERE a > 1 UNION ALL SELECT a, x FROM u; CREATE VIEW nested AS SELECT s.a, s.n FROM (SELECT a, count(*) AS n FROM u GROUP BY a) s WHERE s.n > 1; CREATE VIEW with_query AS WITH w AS (SELECT a FROM t WHERE a > 3) SELECT w.a, u.x FROM w JOIN u ON u.t = w.a; CREATE VIEW cased AS SELECT a, CASE WHEN c > 1 THEN 'much' ELSE 'little' END AS size, b FROM t; CREATE VIEW with_constants AS SELECT 1 AS one, 'x' AS x, NULL AS nothing, true AS yes, now() AS moment; CREATE VIEW distinct_ones AS SELECT DISTINCT b, f->>'k' AS k FROM t; CREATE VIEW named (first, second) AS SELECT a, b FROM t; CREATE VIEW by_day AS SELECT date_trunc('day', d) AS day, count(DISTINCT a) AS n, count(*) FILTER (WHERE c > 0) AS positive, avg(c)::numeric(10,1) FROM t GROUP BY date_trunc('day', d); CREATE VIEW over_view AS SELECT first FROM named WHERE second = 'x'; CREATE VIEW without_from AS SELECT 1 + 1 AS two; CREATE VIEW by_constant AS SELECT a, 1 AS k FROM t ORDER BY k; CREATE VIEW grouped AS SELECT 2 AS k, count(*) AS n FROM t GROUP BY 1; CREATE VIEW swapped (b, a) AS SELECT a, b FROM t ORDER BY a; CREATE VIEW called_otherwise (x) AS SELECT a AS c FROM t ORDER BY c; CREATE VIEW alike AS SELECT (a - 1) - (a - 1) AS z FROM t;

-- name: as catalogs show them
SELECT viewname, definition FROM pg_views WHERE schemaname = 'of_views' ORDER BY viewname;

-- name: pretty
SELECT c.relname, pg_get_viewdef(c.oid, true), pg_get_viewdef(c.oid) = v.definition FROM pg_class c JOIN pg_views v ON v.viewname = c.relname WHERE c.relkind = 'v' AND v.schemaname = 'of_views' ORDER BY 1;

-- name: by the standard
SELECT table_name, view_definition FROM information_schema.views WHERE table_schema = 'of_views' AND table_name IN ('plain', 'joined') ORDER BY 1;

-- name: with the schema where the path does not find it
SET search_path = pg_catalog;

-- name: all names are qualified
SELECT pg_get_viewdef('of_views.joined'::regclass, true);

-- name: views of more
SET search_path = of_views; CREATE TABLE v (a int, b text, t int, x text); CREATE VIEW more_1 AS SELECT a, row_number() OVER (PARTITION BY b ORDER BY a DESC) AS rn, sum(a) OVER w AS s FROM t WINDOW w AS (ORDER BY a ROWS BETWEEN 1 PRECEDING AND CURRENT ROW);  CREATE VIEW more_2 AS SELECT a, lag(a, 1) OVER (ORDER BY a), rank() OVER (PARTITION BY b, e ORDER BY a, d DESC NULLS LAST), count(*) FILTER (WHERE a > 1) OVER (), first_value(a) OVER (ORDER BY a RANGE BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING EXCLUDE CURRENT ROW) FROM t; CREATE VIEW more_3 AS SELECT row_number() OVER () AS n, ntile(4) OVER (ORDER BY c), c / sum(c) OVER () * 100 AS pct, avg(a) OVER (ORDER BY upper(b) GROUPS 2 PRECEDING) FROM t; CREATE VIEW more_4 AS SELECT t.b, u.x FROM t JOIN u USING (a); CREATE VIEW more_5 AS SELECT a, v.x, u.x AS ux FROM u LEFT JOIN v USING (a, t); CREATE VIEW more_6 AS SELECT a, v.x FROM u RIGHT JOIN v USING (a); CREATE VIEW more_7 AS SELECT a, u.x FROM t NATURAL JOIN u; CREATE VIEW more_8 AS SELECT DISTINCT ON (b, lower(e)) b, a FROM t ORDER BY b, lower(e), a DESC; CREATE VIEW more_9 AS SELECT a FROM t WHERE a IN (SELECT a FROM u WHERE u.t > 1) AND EXISTS (SELECT 1 FROM u WHERE u.t = t.a) AND NOT EXISTS (SELECT FROM u);
CREATE VIEW more_10 AS SELECT a, (SELECT max(x) FROM u WHERE u.t = t.a) AS m, ARRAY(SELECT a FROM u) AS arr FROM t WHERE a = ANY (SELECT a FROM u) AND a NOT IN (SELECT a FROM u) AND a > ALL (SELECT a FROM u) AND a <> (SELECT 1); CREATE VIEW more_11 AS SELECT b, array_agg(a ORDER BY a DESC) AS l, string_agg(b, ',' ORDER BY a, lower(b)) AS s, count(DISTINCT b) FROM t GROUP BY b; CREATE VIEW more_12 AS SELECT t.a, l.x FROM t, LATERAL (SELECT x FROM u WHERE u.t = t.a LIMIT 1) l; CREATE VIEW more_13 AS SELECT a FROM t UNION SELECT a FROM u ORDER BY a DESC LIMIT 3; CREATE VIEW more_14 AS SELECT a, b FROM t WHERE (a, b) IN (SELECT a, x FROM u); CREATE VIEW more_15 AS WITH x(p) AS MATERIALIZED (SELECT a FROM t), y AS NOT MATERIALIZED (SELECT p FROM x) SELECT p FROM y; CREATE VIEW more_16 AS SELECT a FROM t WHERE EXISTS (SELECT 1 FROM t WHERE b = 'x' AND EXISTS (SELECT 1 FROM t q, t WHERE q.a = t.a)); CREATE VIEW more_17 AS SELECT t.a FROM (SELECT a FROM t) t; CREATE VIEW more_18 AS WITH w AS (SELECT a FROM t) SELECT w.a FROM w, t; CREATE VIEW more_19 AS SELECT a FROM t ORDER BY (SELECT 1), a LIMIT (SELECT 5); CREATE VIEW more_20 AS SELECT CASE WHEN EXISTS (SELECT 1 FROM u) THEN (SELECT x FROM u LIMIT 1) ELSE b END AS y, coalesce((SELECT x FROM u LIMIT 1), b) FROM t; CREATE VIEW more_21 AS SELECT a, u.x FROM t JOIN u USING (a) JOIN v USING (a) WHERE a > 1 ORDER BY a; CREATE VIEW more_22 AS SELECT a, sum(count(*)) OVER (ORDER BY a) FROM t GROUP BY a;

-- name: more, as catalogs show them
SELECT viewname, definition FROM pg_views WHERE schemaname = 'of_views' AND viewname LIKE 'more%' ORDER BY viewname;

-- name: a table that a WITH query hides
-- differs: it is shown as it was written
CREATE VIEW hiding AS WITH t AS (SELECT 1 AS a) SELECT t.a FROM of_views.t; SELECT pg_get_viewdef('hiding'::regclass);

-- name: more, pretty
SELECT c.relname, pg_get_viewdef(c.oid, true) FROM pg_class c WHERE c.relname LIKE 'more%' AND c.relkind = 'v' ORDER BY 1;

-- name: what stars mean is settled
CREATE SCHEMA of_stars; SET search_path = of_stars; CREATE TABLE a1 (id int PRIMARY KEY, x int, t text); CREATE TABLE b1 (id int, y int, t text); INSERT INTO a1 VALUES (1, 2, 'k'); INSERT INTO b1 VALUES (1, 3, 'k'); CREATE VIEW s1 AS SELECT * FROM a1; CREATE VIEW s2 AS SELECT * FROM a1 JOIN b1 USING (id); CREATE VIEW s3 AS SELECT * FROM a1 NATURAL JOIN b1; CREATE VIEW s4 AS SELECT * FROM (SELECT * FROM a1) s; CREATE VIEW s5 AS WITH w AS (SELECT * FROM a1) SELECT * FROM w; CREATE VIEW s6 AS SELECT a1.*, g FROM a1, generate_series(1, 2) g; CREATE VIEW s7 AS SELECT * FROM a1 LEFT JOIN b1 USING (id, t); CREATE VIEW s8 AS SELECT * FROM (VALUES (1, 'a'), (2, 'b')) v(n, s); CREATE VIEW s9 AS SELECT * FROM a1 WHERE EXISTS (SELECT * FROM b1); CREATE VIEW s10 AS SELECT (a1).* FROM a1; CREATE VIEW s11 AS SELECT q.* FROM a1 q CROSS JOIN LATERAL (SELECT q.x + 1 AS z) l; CREATE VIEW s12 AS SELECT id FROM a1 NATURAL JOIN (SELECT 1 AS zz) q; CREATE VIEW s14 AS SELECT * FROM a1 "Q" JOIN b1 "select" ON "Q".id = "select".y;

-- name: what stars mean is settled, but for columns of one name
CREATE VIEW s15 AS SELECT * FROM a1, LATERAL (SELECT y FROM b1 WHERE b1.id = a1.id) l; CREATE VIEW s16 AS SELECT * FROM information_schema.schemata;

-- name: what they read gets more columns, and other names
ALTER TABLE a1 ADD COLUMN y int; ALTER TABLE b1 ADD COLUMN x int; ALTER TABLE a1 RENAME COLUMN x TO xx;

-- name: the views stay as they were
SELECT viewname, definition FROM pg_views WHERE schemaname = 'of_stars' ORDER BY viewname; SELECT * FROM s2; SELECT * FROM s3; SELECT * FROM s4; SELECT * FROM s7; SELECT * FROM s8 ORDER BY 1;

-- name: views of all kinds
CREATE VIEW k1 AS SELECT id, xx FROM a1 UNION SELECT 1, 2.5 ORDER BY 1; CREATE VIEW k2 AS SELECT xx, count(*) FROM a1 GROUP BY ROLLUP (xx); CREATE VIEW k3 AS WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r WHERE n < 5) SELECT * FROM r; CREATE VIEW k4 AS SELECT xx, t, grouping(xx), sum(id) FROM a1 GROUP BY GROUPING SETS ((xx), (t), ()); CREATE VIEW k5 AS SELECT xx, t, sum(id) FROM a1 GROUP BY CUBE (xx, t), id; CREATE VIEW k6 AS SELECT xx, t, sum(id) FROM a1 GROUP BY ROLLUP ((xx, t), id); CREATE VIEW k7 AS SELECT * FROM a1 ORDER BY xx FETCH FIRST 3 ROWS ONLY; CREATE VIEW k8 AS SELECT * FROM a1 ORDER BY xx FETCH FIRST 3 ROWS WITH TIES; CREATE VIEW k9 AS SELECT s.p, s.q FROM (SELECT id, xx FROM a1) s(p, q); CREATE VIEW k10 AS SELECT id FROM a1 EXCEPT SELECT id FROM b1 INTERSECT SELECT 3; CREATE VIEW k11 AS SELECT n FROM unnest(ARRAY[1, 2]) n WHERE n IN (SELECT v.column1 FROM (VALUES (1)) v); CREATE VIEW k12 AS SELECT a1.id, 1 AS one, 'x' FROM a1 UNION ALL SELECT 1, 2, 'y';

-- name: views of all kinds, as catalogs show them
SELECT viewname, definition FROM pg_views WHERE schemaname = 'of_stars' AND viewname LIKE 'k%' ORDER BY viewname; SELECT c.relname, pg_get_viewdef(c.oid, true) FROM pg_class c WHERE c.relname ~ '^k[0-9]' AND c.relkind = 'v' ORDER BY 1;

-- name: stars over tables of one name
CREATE SCHEMA of_others; CREATE TABLE of_others.a1 (other int); CREATE VIEW two_a1 AS SELECT * FROM of_stars.a1, of_others.a1; SELECT column_name FROM information_schema.columns WHERE table_name = 'two_a1' ORDER BY ordinal_position;

-- name: stars over functions and rows
CREATE VIEW numbered AS SELECT * FROM unnest(ARRAY['a', 'b']) WITH ORDINALITY; CREATE VIEW of_pairs AS SELECT * FROM json_each('{"k": 1}'); CREATE VIEW grouped_rows AS SELECT t.* FROM a1 t GROUP BY t.id; CREATE VIEW tabled AS TABLE a1; CREATE VIEW of_unions AS SELECT * FROM a1 UNION ALL SELECT * FROM a1; SELECT * FROM numbered ORDER BY 1; SELECT key FROM of_pairs; SELECT count(*) FROM grouped_rows; SELECT count(*) FROM tabled; SELECT count(*) FROM of_unions;

-- name: more columns for all of them
ALTER TABLE a1 ADD COLUMN later int; SELECT column_name FROM information_schema.columns WHERE table_name IN ('grouped_rows', 'tabled', 'of_unions') AND column_name = 'later';
