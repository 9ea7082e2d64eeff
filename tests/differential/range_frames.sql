-- tables: rf by k
-- name: setup
CREATE TABLE rf (k int, s smallint, b bigint, f float8, r real, i interval, d date, t time, ts timestamp, tz timestamptz);
INSERT INTO rf VALUES
  (1, 32767, 9223372036854775807, 'Infinity', 'Infinity', '3 hours', 'infinity', '24:00', 'infinity', 'infinity'),
  (2, 32766, 9223372036854775806, 1e308, 3e38, '2 hours', '2024-03-01', '23:30', '2024-03-01 10:00', '2024-03-01 10:00+00'),
  (3, 0, 0, -0.0, -0.0, '1 month', '2024-02-29', '12:00', '2024-02-29 11:00', '2024-02-29 11:00+00'),
  (4, 1, 1, 0.5, 0.5, '30 days', '2024-01-31', '11:15', '2024-01-31', '2024-01-31 00:00+00'),
  (5, -32768, -9223372036854775808, '-Infinity', '-Infinity', '-1 hour', '-infinity', '00:00', '-infinity', '-infinity'),
  (6, NULL, NULL, 'NaN', 'NaN', NULL, NULL, NULL, NULL, NULL),
  (7, NULL, NULL, NULL, NULL, '1 hour', '2024-03-02', '00:59:59', '2024-03-01 10:59', '2024-03-01 10:59+00');

-- name: integers at their ends
SELECT k, count(*) OVER (ORDER BY s RANGE BETWEEN 1 PRECEDING AND 1 FOLLOWING), count(*) OVER (ORDER BY s DESC RANGE BETWEEN 1 PRECEDING AND 1 FOLLOWING), count(*) OVER (ORDER BY b RANGE BETWEEN 1 PRECEDING AND CURRENT ROW), count(*) OVER (ORDER BY b DESC NULLS FIRST RANGE BETWEEN 2 FOLLOWING AND UNBOUNDED FOLLOWING) FROM rf ORDER BY k;

-- name: floats with infinities
SELECT k, count(*) OVER (ORDER BY f RANGE BETWEEN 1 PRECEDING AND 1 FOLLOWING), count(*) OVER (ORDER BY r DESC RANGE BETWEEN 0.5 PRECEDING AND UNBOUNDED FOLLOWING) FROM rf ORDER BY k;

-- name: no number
SELECT count(*) OVER (ORDER BY f RANGE BETWEEN 'NaN' PRECEDING AND CURRENT ROW) FROM rf;

-- name: intervals
SELECT k, count(*) OVER (ORDER BY i RANGE BETWEEN '2 hours' PRECEDING AND CURRENT ROW), count(*) OVER (ORDER BY i RANGE BETWEEN '1 day' PRECEDING AND '1 hour' PRECEDING), count(*) OVER (ORDER BY i DESC RANGE BETWEEN '1 month' PRECEDING AND '1 day' FOLLOWING) FROM rf ORDER BY k;

-- name: dates and infinity
SELECT k, count(*) OVER (ORDER BY d RANGE BETWEEN '1 day' PRECEDING AND '1 day' FOLLOWING), count(*) OVER (ORDER BY d DESC RANGE BETWEEN '30 days' PRECEDING AND CURRENT ROW) FROM rf ORDER BY k;

-- name: moments and infinity
SELECT k, count(*) OVER (ORDER BY ts RANGE BETWEEN '1 hour' PRECEDING AND '1 hour' FOLLOWING), count(*) OVER (ORDER BY tz RANGE BETWEEN '1 day 01:00' PRECEDING AND CURRENT ROW), sum(k) OVER (PARTITION BY k % 2 ORDER BY ts DESC RANGE BETWEEN UNBOUNDED PRECEDING AND '1 day' FOLLOWING) FROM rf ORDER BY k;

-- name: times of day
SELECT k, count(*) OVER (ORDER BY t RANGE BETWEEN '1 hour' PRECEDING AND '45 minutes' FOLLOWING), count(*) OVER (ORDER BY t DESC RANGE BETWEEN '1 day 10 minutes' PRECEDING AND CURRENT ROW) FROM rf ORDER BY k;

-- name: months are as long as where they are
SELECT k, count(*) OVER (ORDER BY d RANGE BETWEEN '1 month' PRECEDING AND CURRENT ROW) FROM rf WHERE isfinite(d) ORDER BY k;

-- name: infinities in groups
SELECT f, count(*) FROM rf GROUP BY f ORDER BY f;

-- name: infinities that are distinct
SELECT DISTINCT r FROM rf ORDER BY r;

-- name: infinities in both
SELECT f FROM rf INTERSECT SELECT r FROM rf ORDER BY 1;

-- name: the sign of zero
SELECT f, max(k) FROM rf WHERE k IN (3, 4) GROUP BY ROLLUP (f) ORDER BY f;

-- name: no negative distances
SELECT count(*) OVER (ORDER BY t RANGE BETWEEN '-1 hour' PRECEDING AND CURRENT ROW) FROM rf;
