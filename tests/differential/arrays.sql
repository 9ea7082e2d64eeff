Arrays: literals, operators, functions, quantified comparison.

-- name: literals
SELECT array[1,2,3], '{1,2,3}'::int[], array['a', NULL, 'b c'], '{}'::text[];

-- name: output quoting
SELECT array['a,b', 'c"d', 'e\f', '', 'NULL', NULL, ' x', '{}'];

-- name: malformed literal
SELECT '{1,2'::int[];

-- name: bad element
SELECT '{1,x}'::int[];

-- name: element types unify
SELECT array[1, 2.5], pg_typeof(array[1, 2.5]), pg_typeof(array[1, NULL]);

-- name: empty array needs a type
SELECT array[];

-- name: subscripts and slices
SELECT (array[10,20,30])[2], (array[10,20,30])[5], (array[10,20,30])[2:3], (array[10,20,30])[:2];

-- name: length and dimensions
SELECT array_length(array[1,2,3], 1), cardinality(array[1,2]), array_ndims(array[1,2]), array_length('{}'::int[], 1), array_upper(array[1,2], 1), array_lower(array[1,2], 1);

-- name: concatenation
SELECT array[1] || array[2,3], 0 || array[1], array[1] || 2, array_append(array[1], 2), array_prepend(0, array[1]), array_cat(array[1], array[2]);

-- name: containment and overlap
SELECT array[1,2,3] @> array[2], array[1] <@ array[1,2], array[1,2] && array[2,3], array[1] && array[2];

-- name: comparison
SELECT array[1,2] = array[1,2], array[1,2] < array[1,3], array[1] < array[1,0], array['a'] <> array['b'];

-- name: any and all
SELECT 2 = ANY (array[1,2]), 3 > ALL (array[1,2]), 1 = ANY (array[2, NULL]), 1 = ALL ('{}'::int[]), 'a' = ANY ('{a,b}');

-- name: like any
SELECT 'abc' LIKE ANY (array['x%', 'a%']), 'abc' NOT LIKE ALL (array['x%', 'y%']);

-- name: position and remove
SELECT array_position(array['a','b'], 'b'), array_positions(array[1,2,1], 1), array_remove(array[1,2,1], 1), array_replace(array[1,2], 2, 9);

-- name: to and from text
SELECT array_to_string(array[1,NULL,3], ','), array_to_string(array[1,NULL,3], ',', '*'), string_to_array('a b', ' ');

-- name: unnest
SELECT unnest(array[3,1,2]);

-- name: unnest with ordinality
SELECT * FROM unnest(array['a','b']) WITH ORDINALITY AS u(v, n);

-- name: unnest two arrays
SELECT * FROM unnest(array[1,2], array['a']) AS u(a, b);

-- name: array_agg
SELECT array_agg(x ORDER BY x DESC), array_agg(DISTINCT x ORDER BY x) FROM (VALUES (1), (2), (1), (NULL)) v(x);

-- name: array of a subquery
SELECT array(SELECT g FROM generate_series(1, 3) g ORDER BY g DESC);

-- name: array_fill and trim
SELECT array_fill(7, array[3]), trim_array(array[1,2,3], 1);

-- name: arrays of other types
SELECT array[date '2024-01-01'], array[1.50, 2], array[true, false], array['1 day'::interval], '{"{\"a\": 1}"}'::jsonb[];

-- name: cast of arrays
SELECT array[1,2]::text[], '{1.5,2.5}'::numeric[]::int[];

-- name: ordering by arrays
SELECT x FROM (VALUES (array[2]), (array[1,5]), (array[1]), (NULL)) v(x) ORDER BY x;

-- name: group by arrays
SELECT x, count(*) FROM (VALUES (array[1,2]), (array[1,2]), (array[2])) v(x) GROUP BY x ORDER BY x;

-- name: several dimensions
-- differs: arrays have one dimension
SELECT array[[1,2],[3,4]], (array[[1,2],[3,4]])[2][1], cardinality(array[[1,2],[3,4]]), array_ndims(array[[1],[2]]);

-- name: ANY of what is no array
SELECT 1 = ANY(1);

-- name: ALL of what is no array
SELECT 1 = ALL(1);
