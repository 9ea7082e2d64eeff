Aggregates: partial states over shards must give what one server gives.

-- name: tables
-- tables: reading by device
CREATE TABLE reading (device int, at timestamp, kind text, value numeric(12,4), ratio float8, tags text[], info jsonb);

-- name: load
INSERT INTO reading SELECT g % 23, timestamp '2024-01-01' + g * interval '37 minutes', (array['temp', 'hum', NULL])[g % 3 + 1], CASE WHEN g % 11 <> 0 THEN (g * 7919 % 1000) / 8.0 END, (g % 50) / 4.0, array['t' || g % 3], jsonb_build_object('n', g % 4) FROM generate_series(1, 400) g;

-- name: count
SELECT count(*), count(value), count(DISTINCT device), count(DISTINCT kind) FROM reading;

-- name: sums and averages
SELECT sum(value), avg(value), sum(device), avg(device), sum(device::bigint) FROM reading;

-- name: float sums that are exact
SELECT sum(ratio), avg(ratio), min(ratio), max(ratio) FROM reading;

-- name: minimum and maximum of all kinds
SELECT min(device), max(at), min(kind), max(value), min(at), max(kind) FROM reading;

-- name: group by the distribution column
SELECT device, count(*), sum(value) FROM reading GROUP BY device ORDER BY device;

-- name: group by another column
SELECT kind, count(*), sum(value), avg(value), min(at) FROM reading GROUP BY kind ORDER BY kind;

-- name: group by both
SELECT kind, device % 3 AS third, count(*) FROM reading GROUP BY kind, device % 3 ORDER BY kind, third;

-- name: group by position and by alias
SELECT date_trunc('day', at) AS day, count(*) FROM reading GROUP BY 1 ORDER BY day;

-- name: group by an alias
SELECT device / 10 AS decade, count(*) FROM reading GROUP BY decade ORDER BY decade;

-- name: having
SELECT kind, count(*) FROM reading GROUP BY kind HAVING count(*) > 133 AND kind IS NOT NULL ORDER BY kind;

-- name: having without group by
SELECT sum(value) FROM reading HAVING count(*) > 1000;

-- name: filter
SELECT count(*) FILTER (WHERE kind = 'temp'), sum(value) FILTER (WHERE device < 5), avg(value) FILTER (WHERE false) FROM reading;

-- name: distinct aggregates
SELECT count(DISTINCT value), sum(DISTINCT device), avg(DISTINCT device) FROM reading;

-- name: distinct aggregates by group
SELECT kind, count(DISTINCT device), count(DISTINCT info) FROM reading GROUP BY kind ORDER BY kind;

-- name: distinct rows
SELECT DISTINCT kind, device % 2 FROM reading ORDER BY 1, 2;

-- name: distinct on
SELECT DISTINCT ON (kind) kind, device, at FROM reading ORDER BY kind, at DESC;

-- name: statistics
SELECT round(variance(device), 10), round(stddev(device), 10), round(var_pop(value), 6), round(stddev_samp(value), 6) FROM reading;

-- name: correlation
SELECT round(corr(ratio, device)::numeric, 8), regr_count(ratio, device), round(regr_slope(ratio, device)::numeric, 8), round(covar_pop(ratio, device)::numeric, 8) FROM reading;

-- name: ordered array and string aggregates
SELECT device, array_agg(kind ORDER BY at), string_agg(kind, ',' ORDER BY at DESC) FROM reading WHERE device IN (1, 2) AND at < '2024-01-05' GROUP BY device ORDER BY device;

-- name: boolean and bit aggregates
SELECT bool_and(device >= 0), bool_or(kind = 'none'), every(value IS NOT NULL), bit_and(device), bit_or(device), bit_xor(device) FROM reading;

-- name: percentiles
SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY ratio), percentile_disc(0.5) WITHIN GROUP (ORDER BY device), percentile_cont(array[0.25, 0.75]) WITHIN GROUP (ORDER BY ratio), mode() WITHIN GROUP (ORDER BY kind) FROM reading;

-- name: percentile by group
SELECT kind, percentile_cont(0.9) WITHIN GROUP (ORDER BY ratio) FROM reading GROUP BY kind ORDER BY kind;

-- name: json aggregates
SELECT kind, jsonb_agg(device ORDER BY at) FROM reading WHERE at < '2024-01-01 06:00' GROUP BY kind ORDER BY kind;

-- name: grouping sets
SELECT kind, device % 2 AS odd, count(*), grouping(kind, device % 2) FROM reading GROUP BY GROUPING SETS ((kind), (device % 2), ()) ORDER BY 4, 1, 2;

-- name: rollup
SELECT kind, device % 2 AS odd, sum(value) FROM reading GROUP BY ROLLUP (kind, device % 2) ORDER BY kind NULLS FIRST, odd NULLS FIRST, 3;

-- name: cube
SELECT device % 2 AS odd, device % 3 AS third, count(*) FROM reading GROUP BY CUBE (device % 2, device % 3) ORDER BY 1, 2;

-- name: aggregates of aggregates
SELECT max(n), min(n), avg(n) FROM (SELECT device, count(*) AS n FROM reading GROUP BY device) d;

-- name: aggregate in an expression
SELECT kind, sum(value) / nullif(count(*), 0) + 1, max(at) - min(at) FROM reading GROUP BY kind ORDER BY kind;

-- name: order by an aggregate that is not selected
SELECT kind FROM reading GROUP BY kind ORDER BY count(*) DESC, kind;

-- name: limit over groups
SELECT device, sum(value) AS total FROM reading GROUP BY device ORDER BY total DESC NULLS LAST, device LIMIT 5 OFFSET 2;

-- name: group by jsonb field and by array
SELECT info->>'n' AS n, tags, count(*) FROM reading GROUP BY info->>'n', tags ORDER BY n, tags;

-- name: one key
SELECT kind, count(*) FROM reading WHERE device = 5 GROUP BY kind ORDER BY kind;

-- name: no rows
SELECT kind, count(*) FROM reading WHERE device = 999 GROUP BY kind;

-- name: aggregates of a missing key
SELECT count(*), sum(value), max(at) FROM reading WHERE device = 999;

-- name: column that is not grouped
SELECT kind, device FROM reading GROUP BY kind;

-- name: aggregate in where
SELECT kind FROM reading WHERE count(*) > 1;

-- name: nested aggregates
SELECT sum(count(*)) FROM reading;

-- name: aggregate of a wrong type
SELECT sum(kind) FROM reading;

-- name: group by functionally dependent on nothing
SELECT upper(kind), kind FROM reading GROUP BY upper(kind) ORDER BY 1;

-- name: a condition that no row meets, above an aggregate of everything
SELECT n FROM (SELECT count(*) FROM reading) AS counted (n) WHERE 'a' || 'b' = 'c' AND 2 < 1;

-- name: the same below a window
SELECT a.n, count(*) OVER () FROM (SELECT DISTINCT m, 4 AS n FROM (SELECT avg(value) FROM reading) AS q (m) WHERE -3 BETWEEN 15 AND 0) AS a;

-- name: the same above grouping sets
SELECT * FROM (SELECT kind, count(*) FROM reading GROUP BY ROLLUP (kind)) AS q WHERE -3 BETWEEN 15 AND 0;

-- name: equal columns are different grouping keys
SELECT device, device, count(*) FROM reading GROUP BY CUBE (1, 2);

-- name: equal constants are different grouping keys
SELECT 'a', 'a', count(*) FROM reading GROUP BY ROLLUP (1, 2);

-- name: keys of grouping sets that a filter makes equal
SELECT d, e, count(*) FROM (SELECT device AS d, device + 0 AS e FROM reading) AS q WHERE d = e GROUP BY ROLLUP (d, e) ORDER BY d, e;

-- name: an expression is the first column that is equal to it
SELECT device, device, count(*) FROM reading GROUP BY GROUPING SETS ((device), (2), ());

-- name: grouping sets over constants, sorted
SELECT q.a, q.b, count(*) FROM (SELECT 'z' AS a, device % 2 AS b FROM reading) q GROUP BY CUBE (1, 2);

-- name: decimals whose sums and products no decimal is sure to hold
-- tables: wide_decimals by id
CREATE TABLE wide_decimals (id int, g int, a numeric(15,2), b numeric(15,4), c numeric(36,6));

-- name: fill
INSERT INTO wide_decimals SELECT i, i % 3, CASE WHEN i % 7 > 0 THEN i * 12345.67 END, 1 - i * 0.0101, i * 123456789012345678901234.567891 FROM generate_series(1, 200) AS i;

-- name: products by group
SELECT g, sum(a * (1 - b)), sum(a * (1 - b) * (1 + b)), sum(a * (1 - b) * (1 + b)) FILTER (WHERE id > 100), count(*) FROM wide_decimals GROUP BY g ORDER BY g;

-- name: products of all
SELECT sum(a * b * c), sum(c * c), sum(c * a), sum(DISTINCT a * b * c), avg(a * b * c) FROM wide_decimals;

-- name: sums and averages of what has many digits
SELECT g, sum(c), avg(c), sum(c + c), avg(a * (1 - b)) FROM wide_decimals GROUP BY g ORDER BY g;

-- name: products of what is rounded to hundreds
SELECT sum(a::numeric(15,-2) * c), sum(c * (a * 100)::numeric(20,-3)), sum(a::numeric(33,-2)) FROM wide_decimals;

-- name: many groups
SELECT id / 2 AS h, sum(c * a * b) FROM wide_decimals GROUP BY h ORDER BY h LIMIT 20;

-- name: no rows
SELECT sum(a * b * c), sum(c), avg(c) FROM wide_decimals WHERE id < 0;

-- name: NULL rows only
SELECT sum(a * b * c), avg(c) FILTER (WHERE a IS NULL) FROM wide_decimals WHERE a IS NULL;

-- name: over windows
SELECT id, sum(a * b * c) OVER (ORDER BY id ROWS BETWEEN 2 PRECEDING AND CURRENT ROW), sum(c) OVER (PARTITION BY g ORDER BY id) FROM wide_decimals ORDER BY id LIMIT 12;

-- name: of a join
SELECT x.g, sum(x.a * y.b * y.c) FROM wide_decimals AS x JOIN wide_decimals AS y ON x.id = y.id GROUP BY x.g ORDER BY 1;

-- name: by its own name it is not known
SELECT sum_of_products(1.0, 2.0);

-- name: DISTINCT in the order of something else
SELECT string_agg(DISTINCT b, ',' ORDER BY a) FROM (VALUES (1, 'x'), (2, 'x')) t(a, b);

-- name: or of a constant
SELECT count(DISTINCT a ORDER BY 1) FROM (VALUES (1), (2)) t(a);

-- name: DISTINCT in the order of its arguments
SELECT string_agg(DISTINCT b, c ORDER BY c, b DESC), array_agg(DISTINCT a % 2 ORDER BY a % 2 DESC), string_agg(DISTINCT upper(b), ',' ORDER BY upper(b) DESC) FROM (VALUES (1, 'x', '-'), (2, 'y', '-'), (3, 'x', '-')) t(a, b, c);

-- name: GROUPING of what is not grouped by
SELECT grouping(x) FROM generate_series(1, 2) x;

-- name: GROUPING of a constant
SELECT grouping(1) FROM generate_series(1, 2) x GROUP BY x;

-- name: grouping sets within each other
SELECT x % 2, x % 3, grouping(x % 2, x % 3), count(*) FROM generate_series(1, 6) x GROUP BY GROUPING SETS (ROLLUP (x % 2), CUBE (x % 3, (x % 2, x % 3)), ()) ORDER BY 1, 2, 3, 4;

-- name: an order by a literal that is an argument
SELECT string_agg(DISTINCT x::text, ',' ORDER BY x::text, ',') FROM generate_series(1, 2) x;

-- name: an order by a typed literal that is an argument
SELECT string_agg(DISTINCT x::text, ',' ORDER BY x::text, ','::text) FROM generate_series(1, 2) x;

-- name: a literal without type in order
SELECT count(DISTINCT 'a' ORDER BY 'a') FROM generate_series(1, 2) x;

-- name: an aggregate with a filter over one whose answer is known beforehand
SELECT count(*) FILTER (WHERE c0 = 19) FROM (SELECT count(*) FROM (VALUES (1), (2)) v) q(c0);
SELECT sum(1.5) FILTER (WHERE 19 <> c0) FROM (SELECT count(DISTINCT s) FROM (VALUES (1)) v(s) WHERE s > 5) q(c0) HAVING count(*) > 2;
SELECT sum(c0) FILTER (WHERE c0 > 19), count(*) FROM (SELECT count(s) FROM (VALUES (1)) v(s)) q(c0);
SELECT min(c0) FILTER (WHERE c0 = 3) FROM (SELECT max(s) FROM (VALUES (1), (3), (2)) v(s)) q(c0);

-- name: known from a type alone
SELECT pg_typeof(count(*)) FROM (VALUES (1), (2)) v(n);

-- name: over no rows
SELECT EXISTS (SELECT pg_typeof(max(n)) FROM (VALUES (1), (2)) v(n) WHERE false), (SELECT count(*) FROM (SELECT pg_collation_for(max(t)) FROM (VALUES ('a'), ('b')) v(t)) q);

-- name: of a column that is not grouped by
SELECT pg_typeof(n), count(*) FROM (VALUES (1), (2)) v(n);

-- name: of a set
SELECT pg_typeof(generate_series(1, 3)), pg_typeof(NULL::int), pg_typeof(1 + 1.5);

-- name: of grouped values
SELECT n, pg_typeof(sum(n))::text, pg_typeof(n) = 'integer'::regtype FROM (VALUES (1), (2), (2)) v(n) GROUP BY n HAVING pg_typeof(max(n)) = 'integer'::regtype ORDER BY n;
