-- name: tables of several co-locations
CREATE TABLE ja (k int NOT NULL, v int, t text);
CREATE TABLE jb (k int NOT NULL, v int, t text);
CREATE TABLE jc (k bigint NOT NULL, v bigint, t char(5));
CREATE TABLE jt (t text NOT NULL, v int, n numeric);
CREATE TABLE jr (k int, v int);
CREATE TABLE jl (k int, v int);

-- name: spread
SELECT create_distributed_table('ja', 'k', colocate_with => 'none');
SELECT create_distributed_table('jb', 'k', colocate_with => 'none', shard_count => 7);
SELECT create_distributed_table('jc', 'k', colocate_with => 'none');
SELECT create_distributed_table('jt', 't', colocate_with => 'none');
SELECT create_reference_table('jr');

-- name: fill, with NULLs and a frequent value
INSERT INTO ja SELECT g % 50, CASE WHEN g % 9 = 0 THEN NULL WHEN g % 3 = 0 THEN 5 ELSE g % 30 END, 't' || g % 11 FROM generate_series(1, 3000) g;
INSERT INTO jb SELECT g % 40, CASE WHEN g % 7 = 0 THEN NULL ELSE g % 35 END, 't' || g % 13 FROM generate_series(1, 2500) g;
INSERT INTO jc SELECT g, g % 60, 't' || g % 10 FROM generate_series(1, 2000) g;
INSERT INTO jt SELECT 't' || g % 12, g % 45, CASE WHEN g % 5 = 0 THEN NULL ELSE g / 4.0 END FROM generate_series(1, 1800) g;
INSERT INTO jr SELECT g, g % 4 FROM generate_series(1, 30) g;
INSERT INTO jl SELECT g, g % 6 FROM generate_series(1, 25) g;

-- name: each kind, one side in the layout of the other
SELECT count(*), sum(ja.v), sum(jc.v)::bigint FROM ja JOIN jc ON ja.v = jc.k;
SELECT count(*), sum(ja.v), sum(jc.v)::bigint, count(jc.k) FROM ja LEFT JOIN jc ON ja.v = jc.k;
SELECT count(*), sum(ja.v), sum(jc.v)::bigint, count(ja.k) FROM ja RIGHT JOIN jc ON ja.v = jc.k;
SELECT count(*), sum(ja.v), sum(jc.v)::bigint, count(ja.k), count(jc.k) FROM ja FULL JOIN jc ON ja.v = jc.k;
SELECT count(*), sum(v) FROM ja WHERE EXISTS (SELECT 1 FROM jc WHERE jc.k = ja.v);
SELECT count(*), sum(v) FROM ja WHERE NOT EXISTS (SELECT 1 FROM jc WHERE jc.k = ja.v);
SELECT count(*), sum(v) FROM ja WHERE v IN (SELECT k FROM jc WHERE jc.v > 20);
SELECT count(*), sum(v) FROM ja WHERE v NOT IN (SELECT k FROM jc WHERE jc.v > 20);

-- name: each kind, both sides on their way
SELECT count(*), sum(ja.k), sum(jb.k) FROM ja JOIN jb ON ja.v = jb.v;
SELECT count(*), sum(ja.k), sum(jb.k) FROM ja FULL JOIN jb ON ja.v = jb.v AND ja.t = jb.t;
SELECT count(*), sum(ja.k) FROM ja LEFT JOIN jb ON ja.t = jb.t AND ja.v > jb.v WHERE jb.k IS NULL;
SELECT count(*) FROM ja JOIN jc ON ja.t = jc.t;
SELECT count(*) FROM jt JOIN jc ON jt.n = jc.v;

-- name: by text, with the distribution column on one side
SELECT count(*), sum(ja.v), sum(jt.v) FROM ja JOIN jt ON ja.t = jt.t;
SELECT jt.t, count(ja.k) FROM ja RIGHT JOIN jt ON ja.t = jt.t AND ja.v = jt.v GROUP BY jt.t ORDER BY jt.t;

-- name: without an equality
SELECT count(*) FROM ja JOIN jr ON ja.v < jr.k;
SELECT count(*) FROM jl CROSS JOIN jb WHERE jl.k + jb.k = 20;
SELECT count(*), count(jl.k) FROM ja LEFT JOIN jl ON ja.v < jl.k AND jl.v = 3;
SELECT count(*), count(ja.k) FROM jr LEFT JOIN ja ON ja.v > jr.k + 20;

-- name: chains of four co-locations
SELECT jr.v, count(*), sum(ja.k + jb.k + jc.v)::bigint FROM ja JOIN jb ON ja.k = jb.v JOIN jc ON jb.k = jc.k JOIN jr ON jr.k = jc.v GROUP BY jr.v ORDER BY 1;
SELECT count(*) FROM ja JOIN jb ON ja.v = jb.v JOIN jc ON jc.k = ja.v LEFT JOIN jt ON jt.v = jb.v WHERE ja.k < 10;

-- name: subqueries with aggregates on both sides
SELECT x.v, x.n, y.n FROM (SELECT v, count(*) AS n FROM ja GROUP BY v) x JOIN (SELECT v, count(*) AS n FROM jb GROUP BY v) y ON x.v = y.v ORDER BY 1;
SELECT ja.k, x.n FROM ja JOIN (SELECT k, count(*) AS n FROM jb GROUP BY k HAVING count(*) > 60) x ON x.k = ja.v GROUP BY ja.k, x.n ORDER BY 1, 2;

-- name: NULL counts as equal in set operations
SELECT v FROM ja INTERSECT SELECT v FROM jb ORDER BY 1;
SELECT v, t FROM ja EXCEPT SELECT v, t FROM jb ORDER BY 1, 2;
SELECT v FROM ja WHERE k < 3 INTERSECT ALL SELECT v FROM jb ORDER BY 1;
SELECT count(*) FROM ja JOIN jb ON ja.v IS NOT DISTINCT FROM jb.v AND ja.k = jb.k;

-- name: with a catalog relation
SELECT c.relname, count(*) FROM pg_class c JOIN (SELECT 'j' || substr(t, 2, 1) || '' AS t FROM ja) x ON c.relname = 'ja' GROUP BY c.relname;

-- name: lateral over another co-location
SELECT jr.k, x.top FROM jr, LATERAL (SELECT max(v) AS top FROM ja WHERE ja.k = jr.v) x ORDER BY 1;
SELECT jr.k, x.v FROM jr JOIN LATERAL (SELECT v FROM jb WHERE jb.k = jr.k ORDER BY v DESC NULLS LAST LIMIT 2) x ON true ORDER BY 1, 2;

-- name: a key on which everything meets, and a predicate that follows it
SELECT count(*) FROM ja JOIN jb ON ja.k = jb.k WHERE ja.k = 7;
SELECT count(*) FROM ja JOIN jb ON ja.k = jb.k WHERE ja.k = ANY ('{7,8,NULL}');
SELECT count(*) FROM ja WHERE k IN (1, 2, NULL) OR k = 5 AND v = 5;
SELECT count(*) FROM ja WHERE k IS NULL;
SELECT count(*) FROM ja WHERE k = NULL OR false;

-- name: away with them
DROP TABLE ja, jb, jc, jt, jr, jl;
