-- JSON, aggregates, windows, queries and errors as application developers type them.

-- name: str
SELECT '{"a": 1, "b": [1,2,{"c": null}]}'::json, '{"b": 1, "a": 2, "b": 3}'::jsonb, '[1, 2.50, 1e3, true, null, "x\u00e9"]'::jsonb, '"str"'::jsonb, 'null'::jsonb;

-- name: numbers 6
SELECT '{"a": {"b": [10, 20]}}'::jsonb -> 'a' -> 'b' -> 1, '{"a": "x"}'::jsonb ->> 'a', '[1,2,3]'::jsonb -> -1, '{"a": {"b": 5}}'::jsonb #> '{a,b}', '{"a": {"b": "v"}}'::jsonb #>> '{a,b}', '{"a":1}'::json -> 'a', '{"a":null}'::jsonb ->> 'a', '{"a":1}'::jsonb -> 'z';

-- name: numbers 7
SELECT '{"a": 1, "b": 2}'::jsonb @> '{"a": 1}', '{"a": 1}'::jsonb <@ '{"a": 1, "b": 2}', '{"a": 1}'::jsonb ? 'a', '{"a": 1}'::jsonb ?| array['x','a'], '{"a": 1, "b": 1}'::jsonb ?& array['a','b'], '["a","b"]'::jsonb ? 'b', '[1,2,3]'::jsonb @> '[1,3]', '[1,2]'::jsonb @> '1';

-- name: numbers 8
SELECT '{"a": 1}'::jsonb || '{"b": 2}', '[1]'::jsonb || '[2]', '[1]'::jsonb || '2', '{"a": 1, "b": 2}'::jsonb - 'a', '[1,2,3]'::jsonb - 1, '{"a": {"b": 1}}'::jsonb #- '{a,b}', '{"a":1,"b":2,"c":3}'::jsonb - array['a','c'];

-- name: jsonb_build_object jsonb_build_array json_build_object json_build_array
SELECT jsonb_build_object('a', 1, 'b', 'x', 'c', NULL, 'd', array[1,2], 'e', date '2024-01-01'), jsonb_build_array(1, 'a', NULL, true), json_build_object('k', 1.50), json_build_array(1,2), json_object('{a,1,b,2}'), json_object('{a,b}', '{1,2}'), jsonb_object(array['x','y'], array['1',NULL]);

-- name: to_json to_jsonb timestamptz array_to_json
SELECT to_json('a"b'::text), to_jsonb(1.50), to_jsonb(array[1,2]), to_json(timestamp '2024-01-01 10:00'), to_jsonb(timestamptz '2024-01-01 10:00+00'), to_json(NULL::int), to_jsonb(true), array_to_json(array['a','b']), to_jsonb('{"a":1}'::json);

-- name: jsonb_typeof json_typeof jsonb_array_length json_array_length
SELECT jsonb_typeof('1'), jsonb_typeof('"a"'), jsonb_typeof('null'), jsonb_typeof('[]'), jsonb_typeof('{}'), jsonb_typeof('true'), json_typeof('1.5'), jsonb_array_length('[1,2,3]'), json_array_length('[]'), jsonb_strip_nulls('{"a":null,"b":{"c":null}}'), jsonb_pretty('{"a":[1,2],"b":{}}');

-- name: jsonb_each
SELECT * FROM jsonb_each('{"a": 1, "b": "x"}');

-- name: jsonb_each_text
SELECT * FROM jsonb_each_text('{"a": 1, "b": "x", "c": null}');

-- name: json_each
SELECT * FROM json_each('{"a": {"z": 1}, "b": [1]}');

-- name: jsonb_array_elements
SELECT * FROM jsonb_array_elements('[1, "a", null, {"x": 1}]');

-- name: jsonb_array_elements_text ordinality
SELECT * FROM jsonb_array_elements_text('[1, "a", null]') WITH ORDINALITY;

-- name: value jsonb_array_elements
SELECT value ->> 'id' FROM jsonb_array_elements('[{"id": 1}, {"id": 2}]');

-- name: jsonb_object_keys jsonb_array_elements
SELECT jsonb_object_keys('{"b": 1, "a": 2}'), jsonb_array_elements('[1,2]');

-- name: jsonb_to_record
SELECT * FROM jsonb_to_record('{"a": 1, "b": "x"}') AS t(a int, b text);

-- name: jsonb_to_recordset
SELECT * FROM jsonb_to_recordset('[{"a": 1, "b": "x"}, {"a": 2}]') AS t(a int, b text);

-- name: json_to_recordset tags bigint missing
SELECT * FROM json_to_recordset('[{"id": 1, "tags": ["x","y"]}]') AS t(id bigint, tags text[], missing date);

-- name: numbers 9
SELECT ('{"a": {"b": [1,2]}}'::jsonb)['a']['b'][1], ('[1,2,3]'::jsonb)[0], ('{"x": "y"}'::jsonb)['x'];

-- name: numbers 10
SELECT '{"a": 1}'::jsonb = '{"a": 1.0}'::jsonb, '[1,2]'::jsonb < '[1,3]'::jsonb, '{"a":1}'::jsonb > '[]'::jsonb, '"b"'::jsonb > '"a"'::jsonb;

-- name: bool numeric
SELECT ('{"n": "42"}'::jsonb ->> 'n')::int, ('{"n": 42}'::jsonb -> 'n')::int, ('{"b": true}'::jsonb -> 'b')::bool, ('1.5'::jsonb)::numeric, ('"x"'::jsonb)::text, '5'::jsonb::int + 1;

-- name: jsonb_path_query
SELECT jsonb_path_query('{"a": [1,2,3]}', '$.a[*] ? (@ > 1)');

-- name: jsonb_path_exists jsonb_path_query_first jsonb_path_query_array jsonb_path_match
SELECT jsonb_path_exists('{"a": 1}', '$.a'), jsonb_path_query_first('[1,2]', '$[*]'), jsonb_path_query_array('{"a": [{"b": 1}, {"b": 2}]}', '$.a[*].b'), jsonb_path_match('{"a": 5}', '$.a > 3');

-- name: numbers 11
SELECT '{"a": 5}'::jsonb @? '$.a ? (@ > 3)', '{"a": 5}'::jsonb @@ '$.a == 5';

-- name: json_agg jsonb_agg desc json_object_agg
SELECT json_agg(x), jsonb_agg(x ORDER BY x DESC), json_object_agg('k' || x, x), jsonb_object_agg(x::text, x * 2) FROM generate_series(1, 3) x;

-- name: json_agg name
SELECT json_agg(t) FROM (VALUES (1, 'a'), (2, 'b')) t(id, name);

-- name: row_to_json
SELECT row_to_json(t) FROM (SELECT 1 AS a, 'x' AS b, NULL AS c) t;

-- name: row_to_json 2
SELECT row_to_json(t, true) FROM (SELECT 1 AS a, 'x' AS b) t;

-- name: to_jsonb
SELECT to_jsonb(t) FROM (SELECT 1 AS a, array[1,2] AS b, jsonb '{"z":1}' AS c) t;

-- name: jsonb_agg desc name
SELECT jsonb_agg(t ORDER BY t.id DESC) FROM (VALUES (1, 'a'), (2, 'b')) t(id, name);

-- name: jsonb_agg to_jsonb name
SELECT jsonb_agg(to_jsonb(t) - 'name') FROM (VALUES (1, 'a'), (2, 'b')) t(id, name);

-- name: json_build_object items json_agg name
SELECT json_build_object('items', json_agg(json_build_object('id', id, 'name', name))) FROM (VALUES (1, 'a'), (2, 'b')) t(id, name);

-- name: json_agg row_to_json union all
SELECT json_agg(row_to_json(t) ORDER BY t.a) FROM (SELECT 1 AS a UNION ALL SELECT 2) t;

-- name: name
SELECT t FROM (VALUES (1, 'a b'), (2, NULL)) t(id, name);

-- name: row not distinct
SELECT ROW(1, 'a', NULL), (1, 2), ROW(1,2) = ROW(1,2), (1,2) < (1,3), ROW(1,NULL) IS NULL, ROW(NULL,NULL) IS NULL, ROW(1,2) IS NOT NULL, (1,2) IN ((1,2),(3,4)), (1,'a') = (1,'b'), ROW(1,NULL) IS DISTINCT FROM ROW(1,NULL);

-- name: count name
SELECT count(t), count(t.*), count(*) FROM (VALUES (1, 'a'), (2, NULL)) t(id, name);

-- name: gen_random_uuid not eebc uuid
SELECT gen_random_uuid() IS NOT NULL, 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'::uuid, '{A0EEBC999C0B4EF8BB6D6BB9BD380A11}'::uuid, uuid 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11' < uuid 'b0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11';

-- name: regclass
SELECT 'a'::regclass;

-- name: count sum avg min
SELECT count(*), sum(x), avg(x), min(x), max(x), stddev(x), variance(x), stddev_pop(x), var_samp(x) FROM generate_series(1, 10) x;

-- name: corr covar_pop covar_samp regr_slope
SELECT corr(x, y), covar_pop(x, y), covar_samp(x, y), regr_slope(y, x), regr_intercept(y, x), regr_r2(y, x), regr_count(y, x), regr_avgx(y, x), regr_sxx(y, x), regr_syy(y, x), regr_sxy(y, x) FROM (VALUES (1.0::float8, 2.0::float8), (2, 4.5), (3, 5.5)) v(x, y);

-- name: percentile_cont within group percentile_disc
SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY x), percentile_disc(0.5) WITHIN GROUP (ORDER BY x), percentile_cont(array[0.25, 0.75]) WITHIN GROUP (ORDER BY x), mode() WITHIN GROUP (ORDER BY x % 3), percentile_disc(array[0.1,0.9]) WITHIN GROUP (ORDER BY x) FROM generate_series(1, 10) x;

-- name: bool_and bool_or every bit_and
SELECT bool_and(x > 0), bool_or(x > 9), every(x > 5), bit_and(x), bit_or(x), bit_xor(x) FROM generate_series(1, 10) x;

-- name: count filter sum distinct
SELECT count(*) FILTER (WHERE x % 2 = 0), sum(x) FILTER (WHERE x > 5), count(DISTINCT x % 3), sum(DISTINCT x % 3), avg(DISTINCT x % 3) FROM generate_series(1, 10) x;

-- name: sum smallint bigint float
SELECT sum(1.5), sum(2::smallint), sum(3::bigint), sum(1.5::float4), sum(interval '1 hour'), avg(interval '1 hour'), sum('1.5'::float8), avg(2::smallint), min('b'), max(date '2024-01-01'), min(true::text);

-- name: row_number over rank dense_rank
SELECT x, row_number() OVER (ORDER BY x), rank() OVER (ORDER BY x / 2), dense_rank() OVER (ORDER BY x / 2), percent_rank() OVER (ORDER BY x), cume_dist() OVER (ORDER BY x), ntile(2) OVER (ORDER BY x) FROM generate_series(1, 4) x ORDER BY x;

-- name: lag over lead first_value
SELECT x, lag(x) OVER w, lead(x, 2) OVER w, lag(x, 1, 0) OVER w, first_value(x) OVER w, last_value(x) OVER w, nth_value(x, 2) OVER w FROM generate_series(1, 4) x WINDOW w AS (ORDER BY x) ORDER BY x;

-- name: sum over rows between
SELECT x, sum(x) OVER (ORDER BY x ROWS BETWEEN 1 PRECEDING AND 1 FOLLOWING), sum(x) OVER (ORDER BY x RANGE BETWEEN 1 PRECEDING AND CURRENT ROW), sum(x) OVER (ORDER BY x / 2 GROUPS BETWEEN 1 PRECEDING AND CURRENT ROW), avg(x) OVER (PARTITION BY x % 2), count(*) OVER () FROM generate_series(1, 5) x ORDER BY x;

-- name: array_agg over string_agg desc
SELECT x, array_agg(x) OVER (ORDER BY x), string_agg(x::text, ',') OVER (ORDER BY x DESC), count(*) FILTER (WHERE x > 1) OVER (ORDER BY x) FROM generate_series(1, 3) x ORDER BY x;

-- name: sum over range between
SELECT d, sum(v) OVER (ORDER BY d RANGE BETWEEN interval '2 days' PRECEDING AND CURRENT ROW) FROM (VALUES (date '2024-01-01', 1), ('2024-01-02', 2), ('2024-01-05', 3)) t(d, v) ORDER BY d;

-- name: count grouping group rollup
SELECT a, b, count(*), grouping(a), grouping(a, b) FROM (VALUES (1, 'x'), (1, 'y'), (2, 'x')) t(a, b) GROUP BY ROLLUP (a, b) ORDER BY a NULLS LAST, b NULLS LAST;

-- name: count group cube
SELECT a, b, count(*) FROM (VALUES (1, 'x'), (1, 'y'), (2, 'x')) t(a, b) GROUP BY CUBE (a, b) ORDER BY 1, 2;

-- name: count group grouping sets
SELECT a, b, count(*) FROM (VALUES (1, 'x'), (1, 'y'), (2, 'x')) t(a, b) GROUP BY GROUPING SETS ((a), (b), ()) ORDER BY 1, 2;

-- name: distinct desc
SELECT DISTINCT ON (a) a, b FROM (VALUES (1, 'x'), (1, 'y'), (2, 'x')) t(a, b) ORDER BY a, b DESC;

-- name: fetch first rows ties
SELECT x FROM (VALUES (1), (2), (2), (3)) t(x) ORDER BY x FETCH FIRST 2 ROWS WITH TIES;

-- name: offset row fetch next
SELECT x FROM (VALUES (1), (2), (3)) t(x) ORDER BY x OFFSET 1 ROW FETCH NEXT 1 ROW ONLY;

-- name: recursive union all sum
WITH RECURSIVE t(n) AS (VALUES (1) UNION ALL SELECT n + 1 FROM t WHERE n < 5) SELECT sum(n), array_agg(n) FROM t;

-- name: recursive tree parent path
WITH RECURSIVE tree(id, parent, path) AS (SELECT 1, NULL::int, array[1] UNION ALL SELECT c.id, c.parent, tree.path || c.id FROM (VALUES (2, 1), (3, 1), (4, 2)) c(id, parent) JOIN tree ON c.parent = tree.id) SELECT * FROM tree ORDER BY path;

-- name: materialized not
WITH a AS MATERIALIZED (SELECT 1 AS x), b AS NOT MATERIALIZED (SELECT x + 1 AS y FROM a) SELECT * FROM a, b;

-- name: recursive union
WITH RECURSIVE f(a, b) AS (SELECT 0, 1 UNION SELECT b, a + b FROM f WHERE b < 50) SELECT a FROM f;

-- name: one two num letter
SELECT * FROM (VALUES (1, 'one'), (2, 'two')) AS t (num, letter) WHERE num IN (SELECT x FROM generate_series(2, 3) x);

-- name: max exists not any
SELECT (SELECT max(x) FROM generate_series(1, 3) x), EXISTS (SELECT 1 WHERE false), 2 IN (SELECT 1), 2 NOT IN (SELECT NULL::int), ARRAY(SELECT 1), 1 = ANY (SELECT 1), 5 > ALL (SELECT x FROM generate_series(1,3) x);

-- name: lateral
SELECT t.x, s.y FROM generate_series(1, 3) t(x), LATERAL (SELECT t.x * 10 AS y) s;

-- name: left join lateral
SELECT t.x, s.y FROM generate_series(1, 3) t(x) LEFT JOIN LATERAL generate_series(1, t.x - 1) s(y) ON true ORDER BY 1, 2;

-- name: natural join
SELECT * FROM (SELECT 1 AS a) x NATURAL JOIN (SELECT 1 AS a, 2 AS b) y;

-- name: full join
SELECT * FROM (VALUES (1), (2)) a(x) FULL JOIN (VALUES (2), (3)) b(y) ON a.x = b.y ORDER BY 1, 2;

-- name: right join using
SELECT * FROM (VALUES (1), (2)) a(x) RIGHT JOIN (VALUES (2), (3)) b(x) USING (x) ORDER BY x;

-- name: union all
SELECT 1 UNION SELECT 2 UNION ALL SELECT 2 ORDER BY 1;

-- name: intersect
SELECT x FROM generate_series(1,5) x INTERSECT SELECT x FROM generate_series(3,8) x ORDER BY x;

-- name: except all
SELECT x FROM generate_series(1,5) x EXCEPT ALL SELECT 2 ORDER BY x;

-- name: desc limit
VALUES (1, 'a'), (2, 'b') ORDER BY 1 DESC LIMIT 1;

-- name: table pg_catalog pg_am limit
TABLE pg_catalog.pg_am LIMIT 0;

-- name: pg_typeof now row day
SELECT pg_typeof(1), pg_typeof('a'::text), pg_typeof(1.5), pg_typeof(now()), pg_typeof(array[1]), pg_typeof(NULL), pg_typeof('x'), pg_typeof(row(1,2)), pg_typeof(interval '1 day');

-- name: nullif num_nulls num_nonnulls
SELECT nullif('', ''), num_nulls(1, NULL, 2), num_nonnulls(1, NULL, 2);

-- name: mixed from_
SELECT 1 AS "select", 2 AS "Mixed", 3 from_, 4 AS order;

-- name: numbers 12
SELECT a.*, b.* FROM (SELECT 1 AS x) a, (SELECT 2 AS y) b;

-- name: pg_tables schemaname nonexistent
SELECT * FROM pg_tables WHERE schemaname = 'nonexistent';

-- name: group
SELECT x AS y FROM generate_series(1, 2) x GROUP BY y ORDER BY y;

-- name: sum having
SELECT sum(x) AS s FROM generate_series(1, 2) x HAVING sum(x) > 2;

-- name: count group
SELECT x, count(*) FROM generate_series(1, 4) x GROUP BY x % 2;

-- name: count
SELECT count(*) FROM generate_series(1, 4) x WHERE count(*) > 1;

-- name: nope
SELECT nope FROM generate_series(1, 2) x;

-- name: nope 2
SELECT x.nope FROM generate_series(1, 2) x;

-- name: nope 3
SELECT * FROM nope;

-- name: nope 4
SELECT nope(1);

-- name: numbers 13
SELECT 1 + 'a';

-- name: numbers 14
SELECT 'a' + 1;

-- name: numbers 15
SELECT 1 = 'x';

-- name: numbers 16
SELECT '2024-13-01'::date;

-- name: abc
SELECT 'abc'::int;

-- name: numbers 17
SELECT ''::int;

-- name: numbers 18
SELECT '1.5'::int;

-- name: numbers 19
SELECT 99999999999::int;

-- name: numbers 20
SELECT 1/0;

-- name: numbers 21
SELECT 1.0/0;

-- name: float 2
SELECT 1::float8/0;

-- name: numbers 22
SELECT 32767::int2 + 1::int2;

-- name: numbers 23
SELECT 2147483647 + 1;

-- name: numbers 24
SELECT 9223372036854775807 + 1;

-- name: abs
SELECT abs(-2147483648);

-- name: sqrt
SELECT sqrt(-1);

-- name: numbers 25
SELECT ln(0);

-- name: limit
SELECT 1 LIMIT 'a';

-- name: numbers 26
SELECT 1 WHERE 1;

-- name: case when then end
SELECT CASE WHEN 1 THEN 2 END;

-- name: numbers 27
SELECT true + 1;

-- name: numbers 28
SELECT -'a';

-- name: not
SELECT NOT 1;

-- name: upper
SELECT upper(1);

-- name: length
SELECT length(1);

-- name: numbers 29
SELECT date '2024-01-01' + 'x';

-- name: numbers 30
SELECT array[1, 'a'];

-- name: numbers 31
SELECT (1,2) = (1,2,3);

-- name: numbers 32
SELECT 1 IN (1, 'a');

-- name: coalesce
SELECT coalesce(1, 'a');

-- name: case when then else 2
SELECT CASE WHEN true THEN 1 ELSE 'a' END;

-- name: union
SELECT 1 UNION SELECT 'a';

-- name: union 2
SELECT 1, 2 UNION SELECT 1;

-- name: numbers 33
SELECT * FROM (SELECT 1) ORDER BY 1;

-- name: numbers 34
SELECT FROM;

-- name: extract foo now
SELECT extract(foo from now());

-- name: date_trunc foo now
SELECT date_trunc('foo', now());

-- name: to_char now
SELECT to_char(now(), NULL);

-- name: like
SELECT 'a' LIKE 'a\';

-- name: chr
SELECT chr(0);

-- name: repeat
SELECT repeat('x', -1);

-- name: substring abc
SELECT substring('abc', 1, -1);

-- name: split_part
SELECT split_part('a', ',', 0);

-- name: lpad
SELECT lpad('a', -1);

-- name: uuid
SELECT 'x'::uuid;

-- name: numbers 35
SELECT '{1,2'::int[];

-- name: numbers 36
SELECT '{a}'::json;

-- name: inet
SELECT '10.0.0.300'::inet;

-- name: cidr
SELECT '10.0.0.1/8'::cidr;

-- name: maybe bool
SELECT 'maybe'::bool;

-- name: xyz
SELECT 'xyz'::interval;

-- name: time
SELECT '25:00'::time;

-- name: numbers 37
SELECT timestamp '2024-02-30';

-- name: xzz bytea
SELECT '\xZZ'::bytea;

-- name: ties behind those that are skipped
SELECT x FROM (VALUES (1), (2), (2), (2), (3), (3)) t(x) ORDER BY x OFFSET 2 FETCH FIRST 1 ROW WITH TIES;

-- name: ties at the first that is not skipped
SELECT x, y FROM (VALUES (1, 'a'), (2, 'b'), (2, 'c'), (3, 'd')) t(x, y) ORDER BY x, y OFFSET 1 FETCH NEXT 2 ROWS WITH TIES;

-- name: all are skipped
SELECT x FROM (VALUES (1), (2)) t(x) ORDER BY x OFFSET 5 FETCH FIRST 2 ROWS WITH TIES;

-- name: no ties without rows
SELECT x FROM (VALUES (1), (1)) t(x) ORDER BY x FETCH FIRST 0 ROWS WITH TIES;
