-- SQL/JSON paths.

-- name: members and elements
SELECT jsonb_path_query('{"a": [1, 2, {"b": "x"}], "c": 5}', '$.a[*]');

-- name: filters
SELECT jsonb_path_query('{"a": [1, 2, 3, 4]}', '$.a[*] ? (@ > 1 && @ < 4)');

-- name: exists, first, array, match
SELECT jsonb_path_exists('{"a": 1}', '$.a'), jsonb_path_exists('{"a": 1}', '$.b'), jsonb_path_query_first('[1,2]', '$[*]'), jsonb_path_query_array('{"a": [{"b": 1}, {"b": 2}]}', '$.a[*].b'), jsonb_path_match('{"a": 5}', '$.a > 3'), jsonb_path_query_array('{}', '$.a');

-- name: operators
SELECT '{"a": 5}'::jsonb @? '$.a ? (@ > 3)', '{"a": 5}'::jsonb @@ '$.a == 5', '{"a": 5}'::jsonb @@ '$.a', '[1]'::jsonb @? 'strict $.a';

-- name: variables
SELECT jsonb_path_query_array('[1,2,3]', '$[*] ? (@ >= $min)', '{"min": 2}');

-- name: a variable that is missing
SELECT jsonb_path_query('[1,2,3]', '$[*] ? (@ >= $min)');

-- name: silent
SELECT jsonb_path_query_array('{"a": 1}', 'strict $.b', '{}', true);

-- name: strict
SELECT jsonb_path_query('{"a": 1}', 'strict $.b');

-- name: strict on the wrong kind
SELECT jsonb_path_query('[1]', 'strict $.b');

-- name: subscripts
SELECT jsonb_path_query_array('[10,20,30,40]', '$[1 to 2]'), jsonb_path_query_array('[10,20,30,40]', '$[0, last]'), jsonb_path_query_array('[10,20,30,40]', '$[last - 1]'), jsonb_path_query_array('5', '$[0]');

-- name: subscripts out of bounds
SELECT jsonb_path_query('[1]', 'strict $[5]');

-- name: arithmetic
SELECT jsonb_path_query_first('{"a": 7, "b": 2}', '$.a + $.b * 2'), jsonb_path_query_first('{"a": 7, "b": 2}', '$.a / $.b'), jsonb_path_query_first('{"a": 7}', '-$.a'), jsonb_path_query_first('{"a": 7, "b": 2}', '$.a % $.b');

-- name: division by zero
SELECT jsonb_path_query('1', '$ / 0');

-- name: methods
SELECT jsonb_path_query_first('[1,2]', '$.size()'), jsonb_path_query_first('[1,2]', '$.type()'), jsonb_path_query_first('"1.5"', '$.double()'), jsonb_path_query_array('[1.2, -1.2]', '$[*].ceiling()'), jsonb_path_query_array('[1.2, -1.2]', '$[*].floor()'), jsonb_path_query_array('[1.2, -1.2]', '$[*].abs()');

-- name: text tests
SELECT jsonb_path_query_array('["abc", "abd", "xyz", 5]', '$[*] ? (@ starts with "ab")'), jsonb_path_query_array('["abc", "ABD", "xyz"]', '$[*] ? (@ like_regex "^ab" flag "i")');

-- name: three values
SELECT jsonb_path_query_array('[1, "a", null]', '$[*] ? ((@ > 0) is unknown)'), jsonb_path_match('{"a": "x"}', '$.a > 1'), jsonb_path_match('{"a": null}', '$.a != 1'), jsonb_path_match('{"a": null}', '$.a == null'), jsonb_path_match('[]', '!exists($[*])');

-- name: any level
SELECT jsonb_path_query_array('{"a": {"b": {"a": 1}}}', '$.**.a'), jsonb_path_query_array('{"a": {"b": {"c": 1}}}', '$.**{2}');

-- name: no single boolean
SELECT jsonb_path_match('{"a": 5}', '$.a');

-- name: nested filters
SELECT jsonb_path_query_array('{"o": [{"id": 1, "l": [{"q": 5}]}, {"id": 2, "l": [{"q": 1}]}]}', '$.o[*] ? (@.l[*].q > 2).id');

-- name: keys in quotes
SELECT jsonb_path_query('{"a b": {"$x": 1}}', '$."a b"."$x"');

-- name: arguments by name
SELECT jsonb_path_query('{"a": [1, 2, 3]}', '$.a[*] ? (@ > $x)', vars => '{"x": 1}'); SELECT jsonb_path_exists(target => '{"a": 1}', path => 'strict $.b', silent => true), jsonb_path_query_array('{"a": 1}', 'strict $.b', silent => true), jsonb_path_match('{"a": 1}', '$.a == $y', vars => '{"y": 1}', silent => false), jsonb_path_query_first('{"a": 2}', '$.a', silent := true);

-- name: in FROM
SELECT v FROM jsonb_path_query(path => '$[*]', target => '[1, 2]') AS v ORDER BY v;

-- name: of no such name
SELECT jsonb_path_exists('{}', '$', loud => true);

-- name: without what it must have
SELECT jsonb_path_exists(target => '{}', silent => true);
