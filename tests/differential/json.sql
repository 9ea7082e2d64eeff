json and jsonb: normalisation, operators, functions.

-- name: jsonb is normalised
SELECT '{"b": 1, "a": [1,2,  3], "aa": null, "b": 2}'::jsonb;

-- name: json keeps its text
SELECT '{"b": 1, "a":  2, "b": 3}'::json;

-- name: numbers in jsonb
SELECT '1.50'::jsonb, '1e5'::jsonb, '-0'::jsonb, '123456789012345678901234567890'::jsonb;

-- name: strings in jsonb
SELECT '"a\u00e9\n\""'::jsonb, '"\ud83d\ude00"'::jsonb, '"tab\t"'::jsonb;

-- name: scalars
SELECT 'true'::jsonb, 'null'::jsonb, '"x"'::jsonb, '[]'::jsonb, '{}'::jsonb;

-- name: invalid json
SELECT '{"a": }'::jsonb;

-- name: invalid json token
SELECT 'nope'::json;

-- name: duplicate colon
SELECT '{"a": 1,}'::jsonb;

-- name: field access
SELECT '{"a": {"b": 1}}'::jsonb -> 'a', '{"a": {"b": 1}}'::jsonb ->> 'a', '{"a": 1}'::jsonb -> 'z', '{"a": null}'::jsonb -> 'a', '{"a": null}'::jsonb ->> 'a';

-- name: element access
SELECT '[10, 20, 30]'::jsonb -> 1, '[10, 20]'::jsonb -> -1, '[10]'::jsonb -> 5, '["x"]'::jsonb ->> 0;

-- name: path access
SELECT '{"a": [1, {"b": "x"}]}'::jsonb #> '{a,1,b}', '{"a": [1, {"b": "x"}]}'::jsonb #>> '{a,1,b}', '{"a": 1}'::jsonb #>> '{a,b}';

-- name: subscripts
SELECT ('{"a": [1, 2]}'::jsonb)['a'][1];

-- name: containment
SELECT '{"a": 1, "b": 2}'::jsonb @> '{"a": 1}', '{"a": 1}'::jsonb <@ '{"a": 1, "b": 2}', '[1,2,3]'::jsonb @> '[3,1]', '[1,2]'::jsonb @> '1', '{"a": {"b": 1}}'::jsonb @> '{"a": {}}';

-- name: existence
SELECT '{"a": 1}'::jsonb ? 'a', '["a", "b"]'::jsonb ? 'b', '{"a": 1}'::jsonb ?| array['x', 'a'], '{"a": 1}'::jsonb ?& array['a', 'b'];

-- name: concatenation and deletion
SELECT '{"a": 1}'::jsonb || '{"a": 2, "b": 3}', '[1]'::jsonb || '2', '{"a": 1, "b": 2}'::jsonb - 'a', '[1,2,3]'::jsonb - 1, '{"a": {"b": 1}}'::jsonb #- '{a,b}', '{"a":1,"b":2}'::jsonb - array['a','b'];

-- name: equality and order
SELECT '{"a": 1, "b": 2}'::jsonb = '{"b": 2, "a": 1}', '1'::jsonb = '1.0', '[1]'::jsonb < '[1, 2]', '"a"'::jsonb < '1', 'null'::jsonb < '""';

-- name: casts from jsonb
SELECT '5'::jsonb::int, '1.5'::jsonb::numeric, 'true'::jsonb::bool, '"x"'::jsonb::text, '2.5'::jsonb::float8;

-- name: wrong cast from jsonb
SELECT '"x"'::jsonb::int;

-- name: build
SELECT jsonb_build_object('a', 1, 'b', NULL, 'c', array[1,2]), jsonb_build_array(1, 'a', NULL, true), json_build_object('x', 1.50), to_jsonb('it'::text), to_jsonb(array[1,2]), to_json(date '2024-01-01');

-- name: typeof and length
SELECT jsonb_typeof('{}'), jsonb_typeof('[]'), jsonb_typeof('1'), jsonb_typeof('"a"'), jsonb_typeof('null'), jsonb_typeof('true'), jsonb_array_length('[1,2,3]');

-- name: length of a scalar
SELECT jsonb_array_length('1');

-- name: set and insert
SELECT jsonb_set('{"a": 1}', '{a}', '2'), jsonb_set('{"a": 1}', '{b}', '2'), jsonb_set('{"a": 1}', '{b}', '2', false), jsonb_insert('[1,2]', '{1}', '9'), jsonb_set('{"a":[1,2]}', '{a,-1}', '5');

-- name: strip nulls and pretty
SELECT jsonb_strip_nulls('{"a": null, "b": {"c": null}}'), jsonb_pretty('{"a": [1, {"b": 2}]}');

-- name: extract path
SELECT jsonb_extract_path('{"a": {"b": 1}}', 'a', 'b'), jsonb_extract_path_text('{"a": {"b": "x"}}', 'a', 'b');

-- name: elements as rows
SELECT jsonb_array_elements('[1, "a", null]');

-- name: elements as text
SELECT * FROM jsonb_array_elements_text('[1, "a", null]') AS e(v);

-- name: each
SELECT key, value FROM jsonb_each('{"a": 1, "b": "x"}') ORDER BY key;

-- name: each as text
SELECT * FROM jsonb_each_text('{"a": 1, "b": null}') ORDER BY key;

-- name: object keys
SELECT jsonb_object_keys('{"b": 1, "a": 2}') ORDER BY 1;

-- name: aggregates
SELECT jsonb_agg(x ORDER BY x), jsonb_object_agg(x::text, x * 2), json_agg(x ORDER BY x DESC) FROM (VALUES (1), (2), (3)) v(x);

-- name: aggregate of nothing
SELECT jsonb_agg(x), json_agg(x) FROM (SELECT 1 AS x WHERE false) v;

-- name: records to json
SELECT row_to_json(v), to_jsonb(v) FROM (VALUES (1, 'a')) v(id, name);

-- name: json path
SELECT '{"a": [1, 2, 3]}'::jsonb @? '$.a[*] ? (@ > 2)', '{"a": 5}'::jsonb @@ '$.a > 3', jsonb_path_query_array('{"a": [1, 2, 3]}', '$.a[*] ? (@ > 1)');

-- name: grouping by a field
SELECT d->>'k' AS k, count(*) FROM (VALUES ('{"k": "x"}'::jsonb), ('{"k": "y"}'), ('{}'), ('{"k": "x"}')) v(d) GROUP BY d->>'k' ORDER BY k NULLS FIRST;

-- name: distinct jsonb
SELECT count(DISTINCT d) FROM (VALUES ('{"a":1,"b":2}'::jsonb), ('{"b":2,"a":1}'), ('[1]')) v(d);

-- name: no object to take apart
SELECT * FROM json_each('[1]');

-- name: nor here
SELECT * FROM json_each_text('1');

-- name: nor in binary
SELECT * FROM jsonb_each('[1]');

-- name: nor as text
SELECT * FROM jsonb_each_text('1');
