-- name: rows that ask for series of their own
-- tables: starts by k
CREATE TABLE starts (k int NOT NULL, upto int);

-- name: their lengths
INSERT INTO starts VALUES (1, 3), (2, 0), (3, NULL), (4, 250000), (5, 1);

-- name: int
SELECT count(*), sum(g), min(g), max(g) FROM generate_series(1, 300000) g;

-- name: bigint downwards
SELECT count(*), sum(g), min(g), max(g) FROM generate_series(300000::bigint, -7, -3) g;

-- name: numeric
SELECT count(*), sum(g), max(g) FROM generate_series(0.5, 250000.7, 1.25) g;

-- name: timestamps
SELECT count(*), min(g), max(g) FROM generate_series(timestamp '2024-01-01', '2024-08-01', '1 minute') g;

-- name: timestamps with a zone
SELECT count(*), min(g), max(g) FROM generate_series(timestamptz '2024-01-01 00:00+00', '2024-08-01 00:00+00', '1 minute') g;

-- name: with ordinality
SELECT count(*), max(g), max(o) FROM generate_series(11, 200000) WITH ORDINALITY s (g, o);

-- name: the first of many
SELECT g, o FROM generate_series(11, 300000) WITH ORDINALITY s (g, o) ORDER BY g LIMIT 3;

-- name: side by side
SELECT count(*), count(a), count(b), sum(b) FROM ROWS FROM (generate_series(1, 150000), generate_series(1, 3)) s (a, b);

-- name: beside an array
SELECT count(*), count(a), count(b) FROM ROWS FROM (generate_series(1, 150000), unnest(ARRAY['x', NULL, 'y'])) s (a, b);

-- name: for each row
SELECT k, count(*), sum(g) FROM starts, generate_series(1, upto) g GROUP BY k ORDER BY k;

-- name: of an outer join
SELECT k, count(g), max(g) FROM starts LEFT JOIN LATERAL generate_series(upto, 1, -1) g ON true GROUP BY k ORDER BY k;

-- name: in the select list
SELECT count(*), sum(g) FROM (SELECT k, generate_series(1, upto) AS g, generate_series(1, 2) FROM starts) q;

-- name: in the select list, ordered
SELECT k, g FROM (SELECT k, generate_series(upto, upto + 1) AS g FROM starts WHERE k <> 4) q ORDER BY k, g;

-- name: positions of each
SELECT k, g, o FROM starts, generate_series(upto, upto + 2) WITH ORDINALITY s (g, o) ORDER BY k, o;

-- name: no step
SELECT count(*) FROM generate_series(1, 200000, 0);

-- name: no step for some row
SELECT count(*) FROM starts, generate_series(1, upto, upto) g;

-- name: no end
SELECT count(*) FROM generate_series(1, NULL::int);

-- name: the last of a type
SELECT * FROM generate_series(2147483640, 2147483647, 5) g;

-- name: no number
SELECT * FROM generate_series(1.0, 'NaN'::numeric);

-- name: no finite step
SELECT * FROM generate_series(1.0, 2.0, 'Infinity'::numeric);

-- name: joined
SELECT count(*) FROM starts a JOIN generate_series(1, 120000) g ON g = a.upto OR g = a.k;

-- name: rows with lists
-- tables: tagged by k
CREATE TABLE tagged (k int NOT NULL, tags text[], doc jsonb);

-- name: their tags
INSERT INTO tagged VALUES (1, '{a,b}', '{"x": 1, "y": 2}'), (2, '{a,c}', '{"x": 3}'), (3, '{}', '{}'), (4, NULL, NULL), (5, '{a}', '{"y": 4}');

-- name: grouped by elements
SELECT unnest(tags) AS tag, count(*) FROM tagged GROUP BY 1 ORDER BY 2 DESC, 1;

-- name: by the call itself
SELECT unnest(tags) || '!', count(*), sum(k) FROM tagged GROUP BY unnest(tags) ORDER BY 1;

-- name: by a value made of elements
SELECT upper(unnest(tags)) u, max(k) FROM tagged GROUP BY u HAVING count(*) > 1 ORDER BY u;

-- name: by elements and a column
SELECT k, unnest(tags) t, count(*) FROM tagged GROUP BY k, t ORDER BY k, t;

-- name: by two lists side by side
SELECT unnest(tags) t, generate_series(1, 3) g, count(*) FROM tagged GROUP BY t, g ORDER BY t, g;

-- name: by keys of documents
SELECT jsonb_object_keys(doc), count(*) FROM tagged GROUP BY 1 ORDER BY 1;

-- name: in sets of groups
SELECT unnest(tags) t, k > 1 AS later, count(*) FROM tagged GROUP BY ROLLUP (t, later) ORDER BY t, later;

-- name: a list of groups
SELECT unnest(array_agg(k ORDER BY k)) FROM tagged WHERE k < 4;

-- name: the element is not its list
SELECT unnest(tags), tags FROM tagged GROUP BY 1;

-- name: lists of lists
SELECT unnest(string_to_array(unnest(ARRAY['a,b', 'c', '']), ','));

-- name: lists of lists beside a list
SELECT unnest(string_to_array(unnest(ARRAY['a,b', 'c']), ',')) x, generate_series(1, 3) g;

-- name: grouped by elements of elements
SELECT unnest(string_to_array(unnest(tags) || ',z', ',')) e, count(*) FROM tagged GROUP BY 1 ORDER BY 1;

-- name: not within an aggregate
SELECT max(unnest(tags)) FROM tagged;

-- name: nor within a window function
SELECT lag(unnest(tags)) OVER () FROM tagged;

-- name: nor in CASE
SELECT CASE WHEN k > 1 THEN unnest(tags) END FROM tagged;

-- name: nor in its condition
SELECT CASE WHEN generate_series(1, 2) > 1 THEN 1 END;

-- name: nor in COALESCE
SELECT COALESCE(1, generate_series(1, 2));

-- name: nor in HAVING
SELECT count(*) FROM tagged HAVING generate_series(1, 2) > 1;
