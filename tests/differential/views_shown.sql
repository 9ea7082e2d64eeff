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
