What ANALYZE finds: tables of less than 30,000 rows are looked at whole by both servers.

-- name: tables
-- tables: measured by id
CREATE TABLE measured (id bigint, kind text, city varchar(20), score numeric, at timestamptz, maybe int, flag boolean, doc json, wide text, tags int[], key uuid);

-- name: load
INSERT INTO measured SELECT g, 'k' || g % 5, 'city ' || (g * g) % 977, (g % 300) / 4.0, '2024-01-01 00:00:00+00'::timestamptz + g * interval '1 hour', nullif(g % 4, 0), g % 3 = 0, '{"a": 1}', repeat('x', 2000), ARRAY[g % 7, g % 2], lpad(g::text, 32, '0')::uuid FROM generate_series(1, 5000) g;

-- name: analyze
ANALYZE measured;

-- name: values and bounds
SELECT attname, null_frac, n_distinct, most_common_vals::text, most_common_freqs, histogram_bounds::text FROM pg_stats WHERE tablename = 'measured' AND attname IN ('id', 'kind', 'score', 'at', 'maybe', 'flag', 'key', 'doc') ORDER BY attname COLLATE "C";

-- name: values without an order of their own
SELECT attname, null_frac, n_distinct, most_common_freqs FROM pg_stats WHERE tablename = 'measured' AND attname IN ('city', 'wide') ORDER BY attname COLLATE "C";

-- name: widths
SELECT attname, avg_width FROM pg_stats WHERE tablename = 'measured' AND attname IN ('id', 'kind', 'at', 'maybe', 'flag', 'key') ORDER BY attname COLLATE "C";

-- name: most rows have one value
UPDATE measured SET score = 7 WHERE id % 3 <> 0;

-- name: one column
ANALYZE measured (score);
SELECT attname, n_distinct, most_common_vals::text, most_common_freqs, histogram_bounds::text FROM pg_stats WHERE tablename = 'measured' AND attname = 'score';

-- name: no such column
ANALYZE measured (nothing);

-- name: no such table
ANALYZE nothing;

-- name: no such option
ANALYZE (nothing) measured;

-- name: vacuum analyze
VACUUM (ANALYZE) measured;

-- name: undone with its block
BEGIN;
DELETE FROM measured WHERE id > 10;
ANALYZE measured;
SELECT n_distinct FROM pg_stats WHERE tablename = 'measured' AND attname = 'id';
ROLLBACK;
SELECT n_distinct FROM pg_stats WHERE tablename = 'measured' AND attname = 'maybe';

-- name: another type
ALTER TABLE measured ALTER COLUMN maybe TYPE bigint;
SELECT count(*) FROM pg_stats WHERE tablename = 'measured' AND attname = 'maybe';

-- name: a column less
ALTER TABLE measured DROP COLUMN kind;
SELECT count(*) FROM pg_stats WHERE tablename = 'measured' AND attname = 'kind';

-- name: a table less
DROP TABLE measured;
SELECT count(*) FROM pg_stats WHERE tablename = 'measured';
