Window functions and frames.

-- name: tables
-- tables: sale by shop
CREATE TABLE sale (shop int, day date, amount int, clerk text);

-- name: load
INSERT INTO sale SELECT g % 5, date '2024-01-01' + g / 5, (g * 37) % 20, (array['ann', 'bob', 'cy'])[g % 3 + 1] FROM generate_series(1, 60) g;

-- name: row numbers
SELECT shop, day, row_number() OVER (PARTITION BY shop ORDER BY day) FROM sale WHERE day < '2024-01-04' ORDER BY shop, day;

-- name: ranks with ties
SELECT amount, shop, day, rank() OVER (ORDER BY amount), dense_rank() OVER (ORDER BY amount), percent_rank() OVER (ORDER BY amount), cume_dist() OVER (ORDER BY amount) FROM sale WHERE shop < 2 ORDER BY amount, shop, day;

-- name: rank over groups, as in the lab
SELECT shop, clerk, rank() OVER (PARTITION BY shop ORDER BY count(*) DESC), count(*) AS n FROM sale GROUP BY shop, clerk ORDER BY shop, n DESC, clerk;

-- name: running sum
SELECT shop, day, sum(amount) OVER (PARTITION BY shop ORDER BY day) FROM sale ORDER BY shop, day;

-- name: whole partition
SELECT shop, day, amount, sum(amount) OVER (PARTITION BY shop), avg(amount) OVER () FROM sale WHERE day < '2024-01-03' ORDER BY shop, day;

-- name: lag and lead
SELECT shop, day, lag(amount) OVER w, lead(amount, 2, -1) OVER w, lag(clerk, 1, 'none') OVER w FROM sale WINDOW w AS (PARTITION BY shop ORDER BY day) ORDER BY shop, day;

-- name: first, last and nth value
SELECT shop, day, first_value(amount) OVER w, last_value(amount) OVER w, nth_value(amount, 2) OVER w FROM sale WHERE shop = 1 WINDOW w AS (PARTITION BY shop ORDER BY day ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) ORDER BY day;

-- name: moving average by rows
SELECT day, avg(amount) OVER (ORDER BY day ROWS BETWEEN 1 PRECEDING AND 1 FOLLOWING) FROM sale WHERE shop = 2 ORDER BY day;

-- name: range of days
SELECT day, count(*) OVER (ORDER BY day RANGE BETWEEN interval '2 days' PRECEDING AND CURRENT ROW) FROM sale WHERE shop = 2 ORDER BY day;

-- name: groups frame
SELECT amount, shop, day, sum(amount) OVER (ORDER BY amount GROUPS BETWEEN 1 PRECEDING AND CURRENT ROW) FROM sale WHERE shop = 3 ORDER BY amount, day;

-- name: exclude the current row
SELECT day, sum(amount) OVER (ORDER BY day ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING EXCLUDE CURRENT ROW) FROM sale WHERE shop = 4 ORDER BY day;

-- name: ntile
SELECT day, ntile(3) OVER (ORDER BY day) FROM sale WHERE shop = 0 ORDER BY day;

-- name: window over an aggregate
SELECT shop, sum(amount) AS total, sum(sum(amount)) OVER (ORDER BY shop) FROM sale GROUP BY shop ORDER BY shop;

-- name: share of a total
SELECT shop, round(100.0 * sum(amount) / sum(sum(amount)) OVER (), 2) AS share FROM sale GROUP BY shop ORDER BY shop;

-- name: filter in a window
SELECT shop, day, count(*) FILTER (WHERE clerk = 'bob') OVER (PARTITION BY shop) FROM sale WHERE day = '2024-01-02' ORDER BY shop, day;

-- name: top two of each shop
SELECT shop, day, amount FROM (SELECT *, row_number() OVER (PARTITION BY shop ORDER BY amount DESC, day) AS n FROM sale) s WHERE n <= 2 ORDER BY shop, amount DESC, day;

-- name: window not over the distribution column
SELECT clerk, shop, day, row_number() OVER (PARTITION BY clerk ORDER BY day, shop) FROM sale WHERE day < '2024-01-03' ORDER BY clerk, day, shop;

-- name: order by a window
SELECT shop, day FROM sale WHERE shop = 1 ORDER BY row_number() OVER (ORDER BY amount, day), day;

-- name: distinct over a window
SELECT DISTINCT shop, max(amount) OVER (PARTITION BY shop) FROM sale ORDER BY shop;

-- name: types of window functions
SELECT pg_typeof(row_number() OVER ()), pg_typeof(rank() OVER (ORDER BY 1)), pg_typeof(ntile(2) OVER ()), pg_typeof(cume_dist() OVER (ORDER BY 1));

-- name: window in where
SELECT * FROM sale WHERE row_number() OVER () = 1;

-- name: negative frame offset
SELECT sum(amount) OVER (ORDER BY day ROWS -1 PRECEDING) FROM sale;

-- name: unknown window
SELECT sum(amount) OVER nothing FROM sale;

-- name: two windows of one name
SELECT sum(x) OVER w FROM generate_series(1, 2) x WINDOW w AS (ORDER BY x), w AS ();

-- name: values leave a moving frame
SELECT i, sum(n) OVER w, avg(n) OVER w, count(n) OVER w
FROM (VALUES (1, 1.5), (2, 2.25), (3, NULL), (4, 'NaN'), (5, 100), (6, 0.001), (7, 'Infinity'), (8, 7), (9, -3.10), (10, 4), (11, NULL), (12, NULL), (13, 5.0)) t(i, n)
WINDOW w AS (ORDER BY i ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) ORDER BY i;

-- name: infinities leave a moving frame
SELECT i, sum(n) OVER w, avg(n) OVER w
FROM (VALUES (1, 1.5), (2, 2.25), (3, NULL), (4, '-Infinity'), (5, 100), (6, 0.001), (7, 'Infinity'), (8, 7), (9, -3.10), (10, 4), (11, NULL), (12, NULL), (13, 5.0)) t(i, n)
WINDOW w AS (ORDER BY i ROWS BETWEEN 2 PRECEDING AND 1 FOLLOWING) ORDER BY i;

-- name: integers leave a moving frame
SELECT i, sum(i) OVER w, avg(i) OVER w, sum(i::bigint * 1000000000000) OVER w, sum(i::smallint) OVER w, max(i) OVER w
FROM generate_series(1, 12) i WINDOW w AS (ORDER BY i ROWS BETWEEN 3 PRECEDING AND 1 PRECEDING) ORDER BY i;

-- name: numbers leave a range
SELECT g, i, sum(i::numeric(8,2) / 3) OVER w, avg(i::float8) OVER w
FROM (SELECT i % 3 g, i FROM generate_series(1, 20) i) t WINDOW w AS (PARTITION BY g ORDER BY i RANGE BETWEEN 4 PRECEDING AND CURRENT ROW) ORDER BY g, i;
-- name: rows to measure
CREATE TABLE measured (k int PRIMARY KEY, d date, ts timestamp, x int, n numeric(10,2), i8 bigint, f float8); INSERT INTO measured SELECT g, date '2020-01-01' + g, timestamp '2020-01-01' + g * interval '6 hours', g, g * 1.5, g, g FROM generate_series(1, 6) g;

-- name: a text for a distance in integers
SELECT k, sum(x) OVER (ORDER BY x RANGE BETWEEN '1' PRECEDING AND CURRENT ROW) FROM measured ORDER BY k;

-- name: in numerics
SELECT k, sum(x) OVER (ORDER BY n RANGE BETWEEN '1.5' PRECEDING AND '1.5' FOLLOWING) FROM measured ORDER BY k;

-- name: in days and hours
SELECT k, sum(x) OVER (ORDER BY d RANGE BETWEEN '1 day' PRECEDING AND CURRENT ROW), sum(x) OVER (ORDER BY ts RANGE '6 hours' PRECEDING) FROM measured ORDER BY k;

-- name: in other numbers
SELECT k, sum(x) OVER (ORDER BY i8 RANGE BETWEEN '2' PRECEDING AND CURRENT ROW), sum(x) OVER (ORDER BY f RANGE BETWEEN '2' PRECEDING AND CURRENT ROW) FROM measured ORDER BY k;

-- name: a text for a number of rows
SELECT k, sum(x) OVER (ORDER BY x ROWS BETWEEN '1' PRECEDING AND CURRENT ROW), sum(x) OVER (ORDER BY x GROUPS BETWEEN '1' PRECEDING AND '1' FOLLOWING) FROM measured ORDER BY k;

-- name: no number
SELECT k, sum(x) OVER (ORDER BY x RANGE BETWEEN 'a' PRECEDING AND CURRENT ROW) FROM measured ORDER BY k;

-- name: no number of rows
SELECT k, sum(x) OVER (ORDER BY x ROWS BETWEEN 'a' PRECEDING AND CURRENT ROW) FROM measured ORDER BY k;

-- name: a negative one
SELECT k, sum(x) OVER (ORDER BY x RANGE BETWEEN '-1' PRECEDING AND CURRENT ROW) FROM measured ORDER BY k;

-- name: a distance of another type
SELECT k, sum(x) OVER (ORDER BY x RANGE BETWEEN 1.5 PRECEDING AND CURRENT ROW) FROM measured ORDER BY k;

-- name: days as a number
SELECT k, sum(x) OVER (ORDER BY d RANGE BETWEEN 1 PRECEDING AND CURRENT ROW) FROM measured ORDER BY k;

-- name: a text that says so
SELECT k, sum(x) OVER (ORDER BY x RANGE BETWEEN '1'::text PRECEDING AND CURRENT ROW) FROM measured ORDER BY k;

-- name: distances of numerics without a scale
-- differs: such values are not measured
SELECT k, sum(x) OVER (ORDER BY n::numeric RANGE BETWEEN 1 PRECEDING AND CURRENT ROW) FROM measured ORDER BY k;

-- name: defaults that depend on the row
SELECT id, lead(id, 1, id * 10) OVER (ORDER BY id), lag(NULL::int, 2, id) OVER (ORDER BY id), lag(id, 1, 0.5) OVER (ORDER BY id) FROM (VALUES (1), (2), (3)) v(id) ORDER BY id;

-- name: no distance
SELECT id, lead(id, NULL) OVER (ORDER BY id), lag(id, NULL, 7) OVER (ORDER BY id) FROM (VALUES (1), (2)) v(id) ORDER BY id;

-- name: computed limits
SELECT f.id, ARRAY(SELECT g FROM generate_series(1, 9) g WHERE g >= f.id ORDER BY g LIMIT 1 + 1 OFFSET 2 - 1) FROM (VALUES (1), (8)) f(id) ORDER BY 1; SELECT x FROM (VALUES (1), (1), (2)) v(x) ORDER BY x FETCH FIRST 1 ROWS WITH TIES;
