Strings, patterns and their functions.

-- name: case and length
SELECT upper('aéß'), lower('ÀB'), initcap('hello wORLD'), length('日本'), octet_length('日本'), char_length('é'), bit_length('a');

-- name: concatenation
SELECT 'a' || 'b', 'a' || NULL, concat('a', NULL, 1, true), concat_ws(', ', 'a', NULL, 'b');

-- name: substring
SELECT substring('abcdef' from 2 for 3), substring('abcdef', 3), substr('abcdef', 0, 3), substr('abcdef', -1, 4), left('abcdef', 2), left('abcdef', -2), right('abcdef', 2), right('abcdef', -2);

-- name: substring of a pattern
SELECT substring('foobar' from 'o(.)b'), substring('foobar' from 'x');

-- name: negative substring length
SELECT substr('abc', 1, -1);

-- name: trim
SELECT trim('  a '), trim(both 'x' from 'xxaxx'), ltrim('xxa', 'x'), rtrim('axx', 'x'), btrim('xyaxy', 'xy'), trim(leading from '  a');

-- name: pad
SELECT lpad('5', 3, '0'), rpad('a', 3), lpad('abcdef', 3), lpad('a', 5, 'xy'), lpad('a', -1);

-- name: position and replace
SELECT position('b' in 'abc'), strpos('abc', 'z'), replace('aaa', 'a', 'bb'), translate('abc', 'ab', 'x'), overlay('abcdef' placing 'XX' from 3 for 2);

-- name: split and repeat
SELECT split_part('a,b,c', ',', 2), split_part('a,b,c', ',', -1), split_part('a', ',', 5), repeat('ab', 3), repeat('x', 0), reverse('abc');

-- name: like
SELECT 'abc' LIKE 'a%', 'abc' LIKE '_b_', 'ABC' ILIKE 'a%', 'a%c' LIKE 'a\%c', 'abc' NOT LIKE 'b%', 'a_c' LIKE 'a!_c' ESCAPE '!', NULL LIKE 'a';

-- name: like does not cross characters
SELECT 'é' LIKE '_', '日本' LIKE '_本', 'line
break' LIKE 'line%';

-- name: similar to
SELECT 'abc' SIMILAR TO '(a|b)%', 'abc' SIMILAR TO 'b', 'aaa' SIMILAR TO 'a{3}';

-- name: regular expressions
SELECT 'abc' ~ '^a', 'ABC' ~* 'b', 'abc' !~ 'z', 'abc' !~* 'B', 'a1b22' ~ '\d{2}';

-- name: regexp functions
SELECT regexp_replace('a1b22', '\d+', '#'), regexp_replace('a1b22', '\d+', '#', 'g'), regexp_replace('ab', '(a)(b)', '\2\1'), regexp_match('foobar', '(o+)(b)');

-- name: regexp_split
SELECT regexp_split_to_array('a, b;c', '[,;]\s*'), string_to_array('a,b,,c', ','), string_to_array('a,b', NULL);

-- name: regexp_matches as rows
SELECT regexp_matches('a1b22', '(\d+)', 'g');

-- name: invalid regular expression
SELECT 'a' ~ '(';

-- name: ascii and chr
SELECT ascii('é'), chr(233), chr(8364), ascii('');

-- name: quoting
SELECT quote_literal('it''s'), quote_ident('a b'), quote_ident('ab'), quote_nullable(NULL);

-- name: format
SELECT format('%s is %s', 'a', 1), format('%I.%L', 'a b', 'c''d'), format('%%'), format('%2$s %1$s', 'a', 'b'), format('[%5s|%-5s]', 'x', 'y');

-- name: format with too few arguments
SELECT format('%s %s', 'a');

-- name: hashes
SELECT md5('abc'), encode(sha256('abc'), 'hex');

-- name: starts with
SELECT starts_with('abc', 'ab'), 'abc' ^@ 'b';

-- name: comparison is by bytes
SELECT 'a' < 'b', 'B' < 'a', 'é' > 'z', 'a' < 'ab', 'abc' = 'abc ';

-- name: char comparison ignores padding
SELECT 'a'::char(3) = 'a', 'a'::char(3) = 'a  '::char(5), 'a'::char(3) || 'b';

-- name: ordering of text
SELECT x FROM (VALUES ('b'), ('B'), ('a'), ('é'), ('10'), ('9'), (''), (NULL)) v(x) ORDER BY x;

-- name: order descending and nulls last
SELECT x FROM (VALUES ('b'), (NULL), ('a')) v(x) ORDER BY x DESC NULLS LAST;

-- name: string aggregates
SELECT string_agg(x, ',' ORDER BY x DESC), min(x), max(x), string_agg(x, '') FILTER (WHERE x < 'b') FROM (VALUES ('a'), ('c'), ('b'), (NULL)) v(x);

-- name: to_number and to_char of text
SELECT to_number('1,234.5', '9,999.9'), to_char(12, 'FM000');

-- name: too large a value for varchar in a cast is cut
SELECT 'abcdef'::varchar(2), cast('abc' AS char(2));

-- name: names are cut to 63 bytes
SELECT length(repeat('x', 100)::name);

-- name: encode and decode
SELECT encode('abc', 'base64'), decode('YWJj', 'base64'), encode('\x00ff', 'hex'), encode('a\000'::bytea, 'escape');

-- name: invalid base64
SELECT decode('YW', 'base64');

-- name: unicode normalisation
SELECT normalize(U&'e\0301') = U&'\00e9';

-- name: normal forms
SELECT normalize(U&'e\0301', NFC) = U&'\00e9', length(normalize('é', NFD)), 'é' IS NORMALIZED, 'é' IS NFD NORMALIZED, 'é' IS NOT NFD NORMALIZED;

-- name: escapes and identifiers
SELECT unistr('d\0061t\+000061 \u00e9'), parse_ident('a.B."C d"'), parse_ident('a()', false);

-- name: not an identifier
SELECT parse_ident('1a');

-- name: wrong escape
SELECT unistr('\zz');
-- name: groups and joins of char(n)
CREATE TABLE padded (id int PRIMARY KEY, a char(3), b char(5), c bpchar);
INSERT INTO padded VALUES (1, 'x', 'x', 'x'), (2, 'x ', 'x    ', 'x '), (3, E'x\t', E'x\t', E'x\t'), (4, '', '', ''), (5, NULL, NULL, NULL), (6, 'xyz', 'xyz', 'xyz  ');
SELECT a, count(*), min(id) FROM padded GROUP BY a ORDER BY min(id);
SELECT count(*), min(id) FROM padded GROUP BY c ORDER BY min(id);
SELECT count(DISTINCT a), count(DISTINCT b), count(DISTINCT c) FROM padded;
SELECT a FROM padded ORDER BY a, id;
SELECT b FROM padded ORDER BY b DESC, id;
SELECT p.id, q.id FROM padded p JOIN padded q ON p.a = q.a ORDER BY 1, 2;
SELECT p.id, q.id FROM padded p JOIN padded q ON p.a = q.b ORDER BY 1, 2;
SELECT p.id, q.id FROM padded p JOIN padded q USING (b) ORDER BY 1, 2;
SELECT p.id, q.id FROM padded p JOIN padded q ON p.b = q.c ORDER BY 1, 2;
SELECT a < E'x\t', a > 'x', a = 'x' FROM padded ORDER BY id;
SELECT count(*) FROM (SELECT a FROM padded UNION SELECT b FROM padded) u;
SELECT count(*) FROM (SELECT a FROM padded UNION SELECT a FROM padded) u;
SELECT count(*) FROM (SELECT a FROM padded INTERSECT SELECT c FROM padded) u;
SELECT id, count(*) OVER (PARTITION BY a), rank() OVER (ORDER BY a) FROM padded ORDER BY id;
SELECT DISTINCT a FROM padded ORDER BY a;
SELECT DISTINCT ON (a) a, id FROM padded ORDER BY a, id;
SELECT a, b, count(*) FROM padded GROUP BY GROUPING SETS ((a), (b), ()) ORDER BY 1, 2, 3;

-- name: patterns that end with their escape character
CREATE TABLE patterns (k int PRIMARY KEY, v text, p text);
INSERT INTO patterns VALUES (1, 'ab', E'ab\\'), (2, 'b', E'a\\'), (3, '', E'\\'), (4, NULL, E'\\'), (5, 'a_', E'a\\_'), (6, 'abc', E'ab\\');

-- name: pattern 1
select 'ab' like 'ab\';

-- name: pattern 2
select 'abc' like 'ab\';

-- name: pattern 3
select 'a' like 'ab\';

-- name: pattern 4
select '' like '\';

-- name: pattern 5
select 'x' like '\';

-- name: pattern 6
select 'ab' not like 'ab\';

-- name: pattern 7
select 'ab' ilike 'ab\';

-- name: pattern 8
select 'AB' not ilike 'ab\';

-- name: pattern 9
select 'ab\' like 'ab\\';

-- name: pattern 10
select 'ab' like 'ab#' escape '#';

-- name: pattern 11
select 'ab' like 'ab\' escape '';

-- name: pattern 12
select 'ab\' like 'ab\' escape '';

-- name: pattern 13
select 'ab' like 'ab' escape null;

-- name: pattern 14
select 'ab' ilike 'ab#' escape '#';

-- name: pattern 15
select 'ab' not like 'ab#' escape '#';

-- name: pattern 16
select 'ab' similar to 'ab\';

-- name: pattern 17
select 'ab' similar to 'ab#' escape '#';

-- name: pattern 18
select 'ab' similar to 'ab' escape '##';

-- name: pattern 19
select 'ab' similar to 'a(b';

-- name: pattern 20
select 'ab' similar to 'ab\' escape '';

-- name: pattern 21
select 'ab' not similar to 'ab\';

-- name: pattern 22
select 'ab' like '%\';

-- name: pattern 23
select 'abc' like '%b\';

-- name: pattern 24
select 'abc' like '%c\';

-- name: pattern 25
select 'abc' like '_\';

-- name: pattern 26
select 'a' like '_\';

-- name: pattern 27
select v, v like 'a\' from (values ('a'), ('b'), ('ab')) t(v) order by v;

-- name: pattern 28
select v, v like '\' from (values ('')) t(v);

-- name: pattern 29
select 'a%' like 'a\%';

-- name: pattern 30
select 'a%' like 'a#%' escape '#';

-- name: pattern 31
select k, v like p from patterns where k in (2,4,5) order by k;

-- name: pattern 32
select k, v like p from patterns where k = 1;

-- name: pattern 33
select k, v like p from patterns where k = 3;

-- name: pattern 34
select k from patterns where v like 'zz\' order by k;

-- name: pattern 35
select k from patterns where v like 'b\' order by k;

-- name: pattern 36
select k from patterns where v not like 'b\' order by k;

-- name: pattern 37
select k from patterns where v !~~* 'b\' order by k;

-- name: pattern 38
select k from patterns where v like any (array['b\','x']) order by k;

-- name: pattern 39
select k from patterns where v like 'a%\' order by k;

-- name: pattern 40
select like_escape('ab\', '#');

-- name: pattern 41
select 'a'::name like 'a\';

-- name: pattern 42
select similar_to_escape('ab\');

-- name: pattern 43
select substring('foobar' from 'o\' for '#');

-- name: pattern 44
select substring('foobar' similar '#"o_b#"%' escape '#');

-- name: pattern 45
select substring('foobar' similar '%#"o_b#"%' escape '#');

-- name: pattern 46
select substring('foobar' similar '%#"o_b#"%#"' escape '#');

-- name: pattern 47
select 'abc' like 'a\bc';

-- name: pattern 48
select 'ab' like E'ab\\' escape '\';

-- name: a pattern of another row
SELECT k, v LIKE p FROM patterns WHERE k = 6;

-- name: a pattern put together
SELECT k FROM patterns WHERE v LIKE '%' || 'b' || E'\\' ORDER BY k;
