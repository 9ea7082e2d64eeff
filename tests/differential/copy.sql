COPY in text and CSV, both ways, and what is wrong with its input.

-- name: tables
-- tables: goods by id
CREATE TABLE goods (id int PRIMARY KEY, name text, price numeric(8,2) DEFAULT 9.99, made date, tags text[]);

-- name: text
COPY goods FROM STDIN;
-- data
1	apple	1.50	2024-01-01	{a,b}
2	\N	\N	\N	\N
3	tab\tand\\slash\nline	2	2024-02-02	{}
\.
-- end

-- name: text with columns
COPY goods (id, name) FROM STDIN;
-- data
4	four
5	
-- end

-- name: csv
COPY goods FROM STDIN WITH (FORMAT csv);
-- data
6,"six, with comma",6.60,2024-06-06,"{x,y}"
7,"quote ""inside""",,,
8,"",1,,"{""a b""}"
9,"two
lines",9,2024-09-09,{}
-- end

-- name: csv with header and other characters
COPY goods (name, id) FROM STDIN WITH (FORMAT csv, HEADER true, DELIMITER ';', QUOTE '~', NULL 'none');
-- data
name;id
~semi;colon~;10
none;11
-- end

-- name: old syntax
COPY goods (id, name) FROM STDIN WITH CSV HEADER;
-- data
id,name
12,old
-- end

-- name: force not null
COPY goods (id, name) FROM STDIN WITH (FORMAT csv, FORCE_NOT_NULL (name));
-- data
13,
-- end

-- name: escape character
COPY goods (id, name) FROM STDIN WITH (FORMAT csv, ESCAPE '\');
-- data
14,"a \"quoted\" word"
-- end

-- name: with a condition
COPY goods (id, name) FROM STDIN WITH (FORMAT csv) WHERE id % 2 = 0;
-- data
20,kept
21,dropped
22,kept
-- end

-- name: what is there
SELECT * FROM goods ORDER BY id;

-- name: to stdout in text
COPY (SELECT * FROM goods ORDER BY id) TO STDOUT;

-- name: to stdout in csv
COPY (SELECT * FROM goods ORDER BY id) TO STDOUT WITH (FORMAT csv, HEADER);

-- name: to stdout with options
COPY (SELECT id, name, price FROM goods ORDER BY id) TO STDOUT WITH (FORMAT csv, DELIMITER '|', NULL '(null)', FORCE_QUOTE (name));

-- name: a table to stdout
COPY goods (id, name) TO STDOUT;

-- name: a query with aggregates to stdout
COPY (SELECT count(*), sum(price) FROM goods) TO STDOUT WITH CSV;

-- name: missing columns
COPY goods FROM STDIN;
-- data
30	only two
-- end

-- name: a bad value before a missing one
COPY goods (id, name, price) FROM STDIN;
-- data
x30	a
-- end

-- name: a value out of range before a missing one
COPY goods (id, name) FROM STDIN WITH CSV;
-- data
99999999999
-- end

-- name: extra columns after a bad value
COPY goods (id, name) FROM STDIN WITH CSV;
-- data
x30,a,b
-- end

-- name: extra columns
COPY goods (id, name) FROM STDIN;
-- data
30	a	b
-- end

-- name: bad number
COPY goods (id, name) FROM STDIN WITH CSV;
-- data
30,fine
x31,bad
-- end

-- name: bad date
COPY goods (id, made) FROM STDIN WITH CSV;
-- data
30,2024-13-45
-- end

-- name: unterminated quote
COPY goods (id, name) FROM STDIN WITH CSV;
-- data
30,"never closed
-- end

-- name: duplicate key
COPY goods (id, name) FROM STDIN WITH CSV;
-- data
30,fine
1,duplicate
-- end

-- name: null in a key
COPY goods (id, name) FROM STDIN WITH CSV;
-- data
,nothing
-- end

-- name: numeric overflow
COPY goods (id, price) FROM STDIN WITH CSV;
-- data
30,12345678.90
-- end

-- name: nothing was half loaded
SELECT count(*) FROM goods WHERE id >= 30;

-- name: no rows
COPY goods FROM STDIN;

-- name: unknown column
COPY goods (id, nonsense) FROM STDIN;

-- name: unknown table
COPY no_such_table FROM STDIN;

-- name: unknown option
COPY goods FROM STDIN WITH (FORMAT csv, NONSENSE true);

-- name: unknown format
COPY goods FROM STDIN WITH (FORMAT parquet);

-- name: delimiter of two characters
COPY goods FROM STDIN WITH (FORMAT csv, DELIMITER 'ab');

-- name: invalid bytes in text
COPY goods (id, name) FROM STDIN;
-- data
31	\xff
-- end

-- name: copy in a transaction that is rolled back
BEGIN; COPY goods (id, name) FROM STDIN; ROLLBACK;
-- data
32	gone
-- end

-- name: it is gone
SELECT count(*) FROM goods WHERE id = 32;

-- name: a file of the server
-- differs: 0A000, tables live on many machines
COPY goods TO '/nowhere/at/all';

-- name: force an unknown column
COPY goods FROM STDIN WITH (FORMAT csv, FORCE_NULL (nonsense));

-- name: force not null of an unknown column
COPY goods FROM STDIN WITH (FORMAT csv, FORCE_NOT_NULL (nonsense));

-- name: force quote of an unknown column
COPY goods TO STDOUT WITH (FORMAT csv, FORCE_QUOTE (nonsense));

-- name: force quote of an unknown column of a query
COPY (SELECT id FROM goods) TO STDOUT WITH (FORMAT csv, FORCE_QUOTE (name));

-- name: force a column that is not copied
COPY goods (id) FROM STDIN WITH (FORMAT csv, FORCE_NULL (name));

-- name: force quote of a column that is not copied
COPY goods (id) TO STDOUT WITH (FORMAT csv, FORCE_QUOTE (name));

-- name: force a column twice
COPY goods FROM STDIN WITH (FORMAT csv, FORCE_NULL (name, name));

-- name: force quote of a column twice
COPY goods TO STDOUT WITH (FORMAT csv, FORCE_QUOTE (name, name));

-- name: an unknown column and one twice
COPY goods FROM STDIN WITH (FORMAT csv, FORCE_NOT_NULL (nonsense, name, name));

-- name: force all
COPY goods FROM STDIN WITH (FORMAT csv, FORCE_NULL *);

-- name: a column twice
COPY goods (id, id) FROM STDIN;

-- name: a column out twice
COPY goods (id, id) TO STDOUT;

-- name: freeze of a table that was there
COPY goods (id) FROM STDIN WITH (FREEZE);

-- name: freeze of a table that was there, in a transaction
BEGIN; COPY goods (id) FROM STDIN (FREEZE);

-- name: end of it
ROLLBACK;

-- name: freeze off
COPY goods (id) FROM STDIN WITH (FREEZE off);

-- name: freeze on the way out
COPY (SELECT 1) TO STDOUT WITH (FREEZE);

-- name: freeze of a table of the same transaction
BEGIN; CREATE TABLE ice (a int); COPY ice FROM STDIN (FREEZE); SELECT * FROM ice; ROLLBACK;
-- data
1
-- end

-- name: freeze of a table from before a savepoint
BEGIN; CREATE TABLE ice (a int); SAVEPOINT s; COPY ice FROM STDIN (FREEZE);

-- name: end of that
ROLLBACK;

-- name: freeze of a truncated table
CREATE TABLE ice (a int); BEGIN; TRUNCATE ice; COPY ice FROM STDIN (FREEZE); SELECT * FROM ice; ROLLBACK;
-- data
1
-- end

-- name: freeze of a table truncated before a savepoint
BEGIN; TRUNCATE ice; SAVEPOINT s; COPY ice FROM STDIN (FREEZE);

-- name: end of that, too
ROLLBACK;

-- name: freeze of a table whose truncation was undone
BEGIN; SAVEPOINT s; TRUNCATE ice; ROLLBACK TO s; COPY ice FROM STDIN (FREEZE);

-- name: and of that
ROLLBACK; DROP TABLE ice;

-- name: queries of every kind
CREATE TABLE ice (a int PRIMARY KEY, b text); COPY (TABLE ice) TO STDOUT; COPY (VALUES (1, 'a'), (2, NULL)) TO STDOUT; COPY (WITH q AS (SELECT 1 AS x) SELECT * FROM q) TO STDOUT (FORMAT csv, HEADER);

-- name: what a change returns
COPY (INSERT INTO ice VALUES (1, 'x'), (2, 'y') RETURNING a, upper(b)) TO STDOUT; COPY (UPDATE ice SET b = b || '!' WHERE a = 2 RETURNING *) TO STDOUT (FORMAT csv); COPY (WITH gone AS (DELETE FROM ice WHERE a = 1 RETURNING *) SELECT b FROM gone) TO STDOUT; COPY (TABLE ice) TO STDOUT;

-- name: a change that returns nothing
COPY (INSERT INTO ice VALUES (3, 'z')) TO STDOUT;

-- name: a change whose RETURNING fails
COPY (INSERT INTO ice VALUES (4, 'z') RETURNING 1 / (a - 4)) TO STDOUT;

-- name: nothing of it is kept
TABLE ice;

-- name: a view cannot be filled
CREATE VIEW icy AS TABLE ice; COPY icy FROM STDIN;

-- name: nor read
COPY icy TO STDOUT;

-- name: away with both
DROP VIEW icy; DROP TABLE ice;

-- name: another encoding
COPY (SELECT 1, 'a€'::text) TO STDOUT (ENCODING 'LATIN1');

-- name: an encoding that is none
COPY goods TO STDOUT (ENCODING 'nonsense');

-- name: an encoding in the older notation
COPY (SELECT 'x'::text) TO STDOUT ENCODING 'latin9';

-- name: changes in a transaction that only reads
BEGIN READ ONLY; COPY (DELETE FROM goods RETURNING 1) TO STDOUT; ROLLBACK;

-- name: a backslash of another encoding
COPY (SELECT U&'\00A5' || 'N', U&'\00A5\203E' || 'x') TO STDOUT (ENCODING 'sjis');

-- name: letters of KOI8U
COPY (SELECT U&'\255D\256C\0454') TO STDOUT (ENCODING 'koi8u');

-- name: a letter that KOI8U lacks
COPY (SELECT U&'\045E') TO STDOUT (ENCODING 'koi8u');

-- name: a control character that a code page lacks
COPY (SELECT U&'\0081') TO STDOUT (ENCODING 'win1252');
