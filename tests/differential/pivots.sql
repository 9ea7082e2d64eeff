Conditional sums and their like, as reports have them.

-- name: tables
-- tables: paid by tenant
CREATE TABLE paid (id int, tenant int, status text, total numeric(10,2), at timestamptz, items jsonb, PRIMARY KEY (tenant, id));

-- name: load
INSERT INTO paid SELECT g, g % 4, (array['open', 'paid', NULL])[g % 3 + 1], CASE WHEN g % 5 > 0 THEN g * 1.25 END, timestamptz '2024-01-01 00:00+00' + g * interval '7 hours', jsonb_build_array(jsonb_build_object('sku', 's' || g % 3, 'n', g % 6), jsonb_build_object('sku', 'x', 'n', 1)) FROM generate_series(1, 40) g;

-- name: a conditional sum
SELECT tenant, sum(CASE WHEN status = 'paid' THEN total ELSE 0 END) FROM paid GROUP BY tenant ORDER BY tenant;

-- name: coalesced
SELECT tenant, sum(coalesce(total, 0)), avg(coalesce(total, 1.5)), max(coalesce(total, 0)), count(DISTINCT coalesce(total, 0)) FROM paid GROUP BY tenant ORDER BY tenant;

-- name: with FILTER and HAVING
SELECT tenant, sum(coalesce(total, 0)) FILTER (WHERE status = 'paid') FROM paid GROUP BY tenant HAVING sum(coalesce(total, 0)) > 100 ORDER BY sum(coalesce(total, 0)) DESC, tenant;

-- name: by a coalesced key
SELECT coalesce(total, 0) AS t, count(*) FROM paid GROUP BY coalesce(total, 0) ORDER BY t LIMIT 5;

-- name: over a window
SELECT id, sum(coalesce(total, 0)) OVER (PARTITION BY tenant ORDER BY id), lag(coalesce(total, 0), 1, 9.99) OVER (PARTITION BY tenant ORDER BY id) FROM paid ORDER BY tenant, id;

-- name: windows over aggregates
SELECT tenant, sum(coalesce(total, 0)), rank() OVER (ORDER BY sum(coalesce(total, 0)) DESC) FROM paid GROUP BY tenant ORDER BY tenant;

-- name: a timestamp in a CASE
SELECT tenant, max(CASE WHEN status = 'paid' THEN at ELSE timestamptz '2020-01-01 00:00+00' END) AT TIME ZONE 'UTC' FROM paid GROUP BY tenant ORDER BY tenant;

-- name: the elements of a document
SELECT i->>'sku' AS sku, sum((i->>'n')::int) FROM paid, jsonb_array_elements(items) i GROUP BY 1 ORDER BY 1;

-- name: a function's only column as a value
SELECT x FROM jsonb_array_elements_text('["q", "r"]') x ORDER BY x;

-- name: with a number beside it
SELECT x FROM jsonb_array_elements_text('["q", "r"]') WITH ORDINALITY x ORDER BY x;

-- name: existence of rows without columns
SELECT NOT EXISTS (SELECT FROM paid WHERE tenant = 99), EXISTS (SELECT FROM paid);

-- name: mixed lists
SELECT count(*) FROM paid WHERE total IN (1.25, id, NULL, 5) OR id NOT IN (1, tenant, 3);

-- name: long lists of rows
SELECT count(*) FROM paid WHERE (tenant, id) IN ((1, 1), (1, 5), (2, 2), (3, 3), (9, 9), (0, 4));
