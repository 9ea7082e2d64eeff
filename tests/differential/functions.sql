-- Functions that people miss first when they come from PostgreSQL, and their corners.

-- name: classes of characters know all scripts
SELECT regexp_replace('Année', '[^[:alnum:]]', '', 'g'), regexp_replace('Überörtlich 12', '[^[:alpha:]]', '', 'g'), 'É' ~ '^[[:upper:]]$', 'é' ~ '^[[:lower:]]$', 'é' ~ '^\w$', '٣' ~ '^\w$', '٣' ~ '\d', '٣' ~ '[[:alpha:]]';

-- name: classes of marks and blanks
SELECT c, c ~ '[[:space:]]' s, c ~ '\s' s2, c ~ '[[:blank:]]' b, c ~ '[[:punct:]]' p, c ~ '[[:print:]]' r, c ~ '[[:graph:]]' g, c ~ '[[:cntrl:]]' k, c ~ '[[:xdigit:]]' x, c ~ '[[:word:]]' w
FROM unnest(ARRAY['a', 'é', 'ß', '1', '_', '-', '€', ' ', E'\t', E'\n', E'\u00a0', E'\u0085', E'\u2003', E'\u3000', E'\u200b', '一', '٣', E'\u0301', 'ǅ', 'Ⓐ', '½']) c ORDER BY 1;

-- name: every class over the first scripts
SELECT class, count(*), min(i), max(i), sum(i) FROM generate_series(1, 2000) i, unnest(ARRAY['[[:alpha:]]', '[[:alnum:]]', '[[:upper:]]', '[[:lower:]]', '[[:digit:]]', '[[:space:]]', '[[:punct:]]', '[[:graph:]]', '[[:print:]]', '[[:cntrl:]]', '\w', '\W', '\s', '\S', '\d', '\D']) class
WHERE chr(i) ~ class AND i NOT BETWEEN 867 AND 879 GROUP BY 1 ORDER BY 1;

-- name: classes in brackets
SELECT regexp_replace('a-1 b_2', '[\d_]', '#', 'g'), regexp_replace('a-1 b_2', '[^\w]', '#', 'g'), regexp_replace('a-1 b_2', '[^\s[:alpha:]]', '#', 'g'), regexp_replace('a.b', '[[.-.][=.=]]', '#'), 'the cat' ~ '[[:<:]]cat[[:>:]]';

-- name: no such class
SELECT 'a' ~ '[[:letters:]]';

-- name: options at the start
SELECT 'ABC' ~ '(?i)b', E'a\nb' ~ '(?n)^b', E'a\nb' ~ '(?w)^b', E'a\nb' ~ 'a.b', E'a\nb' ~ '(?p)a.b', 'ab' ~ '(?x)a b', 'a b' ~ '(?x)a[ ]b';

-- name: hashes
SELECT hashtext('x'), hashtext(''), hashtext('a longer text than twelve bytes, é'), hashint2(5::int2), hashint4(-5), hashint8(5), hashint8(-5000000000), hashfloat8(1.5), hashfloat4(1.5), hashfloat8('NaN'), hash_numeric(1.50), hash_numeric(0), hashbpchar('a  '::bpchar), hashname('n'), hashchar('c'), hashoid(7), hashinet('10.0.0.1/8'), uuid_hash('a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'), time_hash('10:00'), timestamp_hash('2024-01-01'), interval_hash('1 month'), hash_array(ARRAY[1, NULL, 3]);

-- name: hashes of 64 bits
SELECT hashtextextended('x', 0), hashtextextended('x', 42), hashtextextended('a longer text than twelve bytes, é', -1), hashint2extended(5::int2, 1), hashint4extended(5, 0), hashint4extended(5, 123456789012), hashint8extended(-5, 7), hashfloat8extended(1.5, 3), hashfloat8extended(0, 3), hash_numeric_extended(1.50, 9), hash_numeric_extended(0, 9), hashbpcharextended('a  '::bpchar, 2), hashoidextended(7, 1), uuid_hash_extended('a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', 5), timestamp_hash_extended('2024-01-01', 5), interval_hash_extended('1 month', 5), hash_array_extended(ARRAY['a', NULL], 5), hashinetextended('10.0.0.1', 5);

-- name: a lock by a hash
SELECT pg_try_advisory_lock(hashtext('x')), pg_advisory_unlock(hashtext('x'));

-- name: sizes of values
SELECT pg_column_size(1), pg_column_size(1::int8), pg_column_size(true), pg_column_size('abc'::text), pg_column_size(1.5), pg_column_size(date '2024-01-01'), pg_column_size(interval '1 day'), pg_column_size('abc'::name), pg_column_size('\x0102'::bytea), pg_column_size(NULL::int), pg_column_size(ARRAY[1, 2]);

-- name: sizes as people write them
SELECT pg_size_bytes('1'), pg_size_bytes(' 1.5 kB '), pg_size_bytes('1e3MB'), pg_size_bytes('-5 gb'), pg_size_bytes('2TB'), pg_size_bytes('1PB'), pg_size_bytes('10 bytes'), pg_size_bytes('.5 kB');

-- name: no such unit
SELECT pg_size_bytes('1 AB');

-- name: no size
SELECT pg_size_bytes('kB');

-- name: sizes as people read them
SELECT pg_size_pretty(2.5), pg_size_pretty(10239.9), pg_size_pretty(10240.0), pg_size_pretty(-123456789.5), pg_size_pretty(1e20), pg_size_pretty(20479::numeric * 1024), pg_size_pretty(-1::int8), pg_size_pretty(123456789012::int8);

-- name: degrees
SELECT d, sind(d), cosd(d), sind(-d), tand(d), cotd(d) FROM unnest(ARRAY[0.5, 1, 15, 30, 45, 59.9, 60, 75, 90, 100.25, 180, 200, 269, 300, 360, 720.5]) d ORDER BY 1;

-- name: back to degrees
SELECT v, acosd(v), asind(v), atand(v), atan2d(v, 0.5), atan2d(1, v) FROM unnest(ARRAY[-1, -0.75, -0.5, -0.1, 0, 0.1, 0.5, 0.6, 0.9, 1]) v ORDER BY 1;

-- name: out of range in degrees
SELECT acosd(1.5);

-- name: cube roots
-- differs: the C library's are off by one in the last digit
SELECT cbrt(27), cbrt(-8), cbrt(2), ||/ 64.0, cbrt(1e300), cbrt(0.001), cbrt('NaN'), cbrt('-inf');

-- name: places and parts of a match
SELECT regexp_instr('ABCABCABC', 'B(C)', 1, 2), regexp_instr('ABCABCABC', 'B(C)', 1, 2, 1), regexp_instr('abcabc', 'B(C)', 1, 1, 0, 'i'), regexp_instr('abcabc', 'B(C)', 1, 1, 0, 'i', 1), regexp_instr('abcabc', 'b', 1, 1, 0, '', 3), regexp_substr('ABCDEF', 'c(.)(..)', 1, 1, 'i', 2), regexp_substr('ABCDEF', 'c(.)', 1, 1, 'i', 0), regexp_substr('ABCDEF', 'C(.)', 1, 1, '', 5);

-- name: a wrong end of a match
SELECT regexp_instr('abc', 'b', 1, 1, 2);

-- name: a wrong group
SELECT regexp_substr('abc', 'b', 1, 1, '', -1);

-- name: g has no meaning in a count
SELECT regexp_count('abc', 'b', 1, 'g');

-- name: g has no meaning in a place
SELECT regexp_instr('abc', 'b', 1, 1, 0, 'g');

-- name: substring similar
SELECT substring('Thomas' similar '%#"o_a#"_' escape '#'), substring('Thomas' from '%#"o_a#"_' for '#'), substring('abcdefg' similar 'a#"%#"g' escape '#'), substring('abcdefg' similar 'x#"%#"g' escape '#'), substring('aabab' similar '%#"a%#"b' escape '#'), substring('abc' similar '%' escape '#'), substring('Thomas', '%#"o_a#"_', '#');

-- name: three separators
SELECT substring('a' similar '#"#"#"' escape '#');

-- name: a long escape
SELECT 'a' LIKE 'a' ESCAPE 'ab';

-- name: a long escape of similar
SELECT 'a' SIMILAR TO 'a' ESCAPE 'ab';

-- name: bytes
SELECT overlay('\x010203'::bytea placing '\xff'::bytea from 2), overlay('\x010203'::bytea placing '\xff'::bytea from 2 for 0), overlay('\x01'::bytea placing '\xff'::bytea from 9), bit_count('\xff0180'::bytea), length('\xc3a961'::bytea, 'UTF8');

-- name: an overlay before the start
SELECT overlay('\x01'::bytea placing '\xff'::bytea from 0);

-- name: jsonb_set_lax
SELECT jsonb_set_lax('{"a": 1}', '{a}', NULL), jsonb_set_lax('{"a": 1}', '{a}', NULL, true, 'delete_key'), jsonb_set_lax('{"a": 1}', '{a}', NULL, true, 'return_target'), jsonb_set_lax('{"a": 1}', '{b}', '2'), jsonb_set_lax('{"a": 1}', '{b}', '2', false), jsonb_set_lax(NULL, '{b}', '2');

-- name: jsonb_set_lax raises
SELECT jsonb_set_lax('{"a": 1}', '{a}', NULL, true, 'raise_exception');

-- name: jsonb_set_lax of no such treatment
SELECT jsonb_set_lax('{"a": 1}', '{a}', NULL, true, 'nothing');

-- name: jsonb_set_lax has no use for a treatment
SELECT jsonb_set_lax('{"a": 1}', '{a}', '2', true, 'nothing');

-- name: paths with time zones
SELECT jsonb_path_exists_tz('{"a": [1, 2]}', '$.a[*] ? (@ > 1)'), jsonb_path_match_tz('{"a": 1}', '$.a == 1'), jsonb_path_query_first_tz('{"a": [1, 2]}', '$.a[*]'), jsonb_path_query_array_tz('{"a": [1, 2]}', '$.a[*]');

-- name: rows of a path with time zones
SELECT * FROM jsonb_path_query_tz('{"a": [1, 2]}', '$.a[*]');

-- name: the rank that a row would have
SELECT rank(3) WITHIN GROUP (ORDER BY x), dense_rank(3) WITHIN GROUP (ORDER BY x), percent_rank(3) WITHIN GROUP (ORDER BY x), cume_dist(3) WITHIN GROUP (ORDER BY x) FROM unnest(ARRAY[1, 1, 2, 3, 3, 5, NULL]) x;

-- name: the rank from above, NULLs first
SELECT rank(3) WITHIN GROUP (ORDER BY x DESC), dense_rank(3) WITHIN GROUP (ORDER BY x DESC), cume_dist(3) WITHIN GROUP (ORDER BY x DESC NULLS LAST), rank(NULL) WITHIN GROUP (ORDER BY x), rank(NULL) WITHIN GROUP (ORDER BY x DESC), rank('2') WITHIN GROUP (ORDER BY x NULLS FIRST) FROM unnest(ARRAY[1, 1, 2, 3, 3, 5, NULL]) x;

-- name: the rank in groups, filtered, by two columns
SELECT g, rank(2, 'b') WITHIN GROUP (ORDER BY x, y DESC), rank(2) WITHIN GROUP (ORDER BY x) FILTER (WHERE x > 1), percent_rank(9) WITHIN GROUP (ORDER BY x) + 1 FROM (VALUES (1, 1, 'a'), (1, 2, 'c'), (1, 2, 'a'), (2, 2, 'b'), (2, 3, 'z')) v(g, x, y) GROUP BY g ORDER BY g;

-- name: the rank among no rows
SELECT rank(3) WITHIN GROUP (ORDER BY x), percent_rank(3) WITHIN GROUP (ORDER BY x), cume_dist(3) WITHIN GROUP (ORDER BY x) FROM generate_series(1, 0) x;

-- name: the rank of too little
SELECT rank(3) WITHIN GROUP (ORDER BY x, x) FROM generate_series(1, 3) x;

-- name: the session
SELECT getpgusername() = current_user, row_security_active('pg_class'), row_security_active('pg_class'::regclass), pg_trigger_depth(), pg_collation_for('a'::text), pg_get_function_sqlbody(0), inet_client_port() > 0;

-- name: no collation
SELECT pg_collation_for(1);

-- name: known uuids
-- differs: PostgreSQL has them in an extension that is not installed
SELECT uuid_nil(), uuid_ns_dns(), uuid_ns_url(), uuid_ns_oid(), uuid_ns_x500(), uuid_generate_v3(uuid_ns_url(), 'http://www.postgresql.org');

-- name: privileges of all kinds
SELECT has_any_column_privilege('pg_class', 'SELECT'), has_any_column_privilege('public', 'pg_class', 'SELECT'), has_type_privilege('int4', 'USAGE'), has_type_privilege('public', 'int4', 'USAGE'), has_language_privilege('sql', 'USAGE'), has_tablespace_privilege('pg_default', 'CREATE'), has_tablespace_privilege('public', 'pg_default', 'CREATE'), has_function_privilege('abs(int4)', 'EXECUTE'), has_function_privilege('public', 'abs(int4)', 'EXECUTE'), has_database_privilege('public', current_database(), 'CONNECT'), has_schema_privilege('public', 'pg_catalog', 'USAGE'), has_schema_privilege('public', 'public', 'CREATE'), has_column_privilege('pg_class', 'relname', 'SELECT');

-- name: privileges by oids
SELECT has_table_privilege(r.oid, 'pg_class'::regclass, 'SELECT'), has_table_privilege(r.oid, 'pg_class', 'SELECT'), has_column_privilege(r.oid, 'pg_class'::regclass, 1::int2, 'SELECT'), has_schema_privilege(r.oid, 'pg_catalog', 'USAGE'), has_database_privilege(r.oid, current_database(), 'CREATE'), pg_has_role(r.oid, rolname, 'USAGE'), pg_has_role(rolname, r.oid, 'MEMBER') FROM pg_roles r WHERE rolname = current_user;

-- name: of nothing there are no privileges
SELECT has_table_privilege(1::oid, 'SELECT'), has_any_column_privilege(1::oid, 'SELECT'), has_schema_privilege(1::oid, 'USAGE'), has_database_privilege(999999::oid, 'CONNECT'), pg_database_size(999999::oid);

-- name: no such privilege of functions
SELECT has_function_privilege('pg_class'::regclass::oid, 'abc'::text);

-- name: no such privilege of tables
SELECT has_table_privilege('pg_class', 'USAGE');

-- name: no such function
SELECT has_function_privilege('no_such(int4)', 'EXECUTE');

-- name: no such type
SELECT has_type_privilege('no_such', 'USAGE');

-- name: no such language
SELECT has_language_privilege('no_such', 'USAGE');

-- name: no such tablespace
SELECT has_tablespace_privilege('no_such', 'CREATE');

-- name: not a sequence
SELECT has_sequence_privilege('pg_class', 'USAGE');

-- name: privileges of sequences and columns
CREATE SEQUENCE a_sequence; CREATE TABLE a_table (a int, b int); SELECT has_sequence_privilege('a_sequence', 'USAGE, SELECT'), has_sequence_privilege('public', 'a_sequence', 'USAGE'), has_column_privilege('a_table', 'b', 'UPDATE'), has_column_privilege('a_table', 2::int2, 'UPDATE'), has_column_privilege('a_table', 7::int2, 'UPDATE'), pg_relation_filenode('a_table') > 0;

-- name: no such column
SELECT has_column_privilege('a_table', 'c', 'UPDATE');

-- name: a view by its name
CREATE VIEW a_view AS SELECT 1 AS one; SELECT pg_get_viewdef('a_view') IS NOT NULL, pg_get_viewdef('a_view', true) IS NOT NULL, pg_relation_filenode('a_view');

-- name: no such view
SELECT pg_get_viewdef('no_such_view');

-- name: no such database
SELECT pg_database_size('pg_class'::name);

-- name: short sleeps
SELECT pg_sleep_for('10 milliseconds'), pg_sleep_until(now());

-- name: an interval's days and weeks
SELECT to_char(interval '400 days', 'DDD'), to_char(interval '3 years 2 mons 400 days 30:04:05.6', 'DDD CC WW W Q MM DD HH24 HH12 MI SS MS US'), to_char(interval '3 years', 'MM Q RM|YYYY YY'), to_char(interval '14 mons', 'RM rm YYYY MM');

-- name: a negative interval
SELECT to_char(interval '-3 years -2 mons -5 days -04:05:06', 'YYYY MM DD HH24:MI:SS'), to_char(interval '-2 mons', 'RM');

-- name: no day of the week of an interval
SELECT to_char(interval '1 day', 'D');

-- name: number templates without an effect
SELECT to_char(5, 'B99'), to_char(0, 'B99'), to_char(5, 'abc'), to_char(3, 'rn'), to_char(3, 'FMrn'), to_char(3, 'FMRN'), to_char(5, '9C');

-- name: no numbers in templates
SELECT to_char('NaN'::numeric, '999'), to_char('NaN'::numeric, '99999'), to_char('NaN'::float8, '99'), to_char('Infinity'::float8, '999');

-- name: years of three digits
SELECT to_date('070', 'YYY'), to_date('069', 'YYY'), to_date('519', 'YYY'), to_date('520', 'YYY'), to_date('99', 'YYY'), to_date('5', 'Y'), to_date('abc', 'abc'), to_date('20 05', 'CC YY'), to_date('19', 'CC'), to_date('2024 10', 'YYYY WW'), to_date('2024 03 2', 'YYYY MM W');

-- name: letters in other cases
SELECT lower('İSTANBUL'), upper('ᾳ'), upper('ᾀ'), upper('ß'), lower('ΑΣ'), initcap('élan vital');

-- name: the smallest integer has no opposite
SELECT right('abc', -2147483648), left('abc', -2147483648);

-- name: half a character
SELECT chr(55296);

-- name: a character beyond
SELECT chr(1114112);

-- name: a negative character
SELECT chr(-1);

-- name: elements of an object
SELECT json_array_elements('{}');

-- name: elements of a number
SELECT json_array_elements('1');

-- name: elements of a jsonb object
SELECT jsonb_array_elements('{}');

-- name: members of an array
-- message differs: it is that of json_object_keys
SELECT * FROM json_each('[]');

-- name: members of a number
-- message differs: it is that of json_object_keys
SELECT * FROM json_each_text('1');

-- name: keys of an array
SELECT json_object_keys('[]');

-- name: a short escape
SELECT e'\u12';

-- name: a character of two escapes
SELECT e'\ud83d\ude00', e'\U0001F600';
