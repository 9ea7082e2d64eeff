SQLSTATEs and messages of what goes wrong.

-- name: tables
-- tables: thing by id
CREATE TABLE thing (id int PRIMARY KEY, name text, size int);

-- name: syntax error
SELEC 1;

-- name: syntax error at the end
SELECT 1 +;

-- name: unterminated string
SELECT 'abc;

-- name: unterminated quoted identifier
SELECT "abc;

-- name: unbalanced parentheses
SELECT (1;

-- name: unknown table
SELECT * FROM nothing;

-- name: unknown schema
SELECT * FROM nowhere.nothing;

-- name: unknown column
SELECT nonsense FROM thing;

-- name: unknown qualified column
SELECT t.nonsense FROM thing t;

-- name: unknown alias
SELECT x.id FROM thing t;

-- name: unknown type
SELECT 1::nonsense;

-- name: unknown function
SELECT nonsense(1);

-- name: unknown operator
SELECT thing.name + 1 FROM thing;

-- name: duplicate alias
SELECT * FROM thing a, thing a;

-- name: where is not boolean
SELECT * FROM thing WHERE 1;

-- name: where with text
SELECT * FROM thing WHERE name;

-- name: case is not boolean
SELECT CASE WHEN 1 THEN 2 END;

-- name: and is not boolean
SELECT 1 AND true;

-- name: case types do not match
SELECT CASE WHEN true THEN 1 ELSE 'x' END;

-- name: in types do not match
SELECT 1 IN ('a');

-- name: comparison of different types
SELECT id = name FROM thing;

-- name: limit is not a number
SELECT 1 LIMIT 'x';

-- name: division by zero in a filter
INSERT INTO thing VALUES (1, 'a', 0); SELECT * FROM thing WHERE 1 / size > 0;

-- name: duplicate key
INSERT INTO thing VALUES (1, 'again', 1);

-- name: set operation in a wrong place
INSERT INTO thing SELECT 1, 2;

-- name: wrong number of function arguments
SELECT substr('a');

-- name: aggregate arguments
SELECT count();

-- name: group by an aggregate
SELECT count(*) FROM thing GROUP BY count(*);

-- name: order by a constant string
SELECT id FROM thing ORDER BY 'x';

-- name: star without from
SELECT *;

-- name: unknown setting
SET nonsense = 1;

-- name: show an unknown setting
SHOW nonsense;

-- name: wrong value of a setting
SET statement_timeout = 'soon';

-- name: prepared statement that is not there
EXECUTE nonsense;

-- name: deallocate what is not there
DEALLOCATE nonsense;

-- name: prepare and execute
PREPARE one AS SELECT $1::int + 1 AS n; EXECUTE one(41); DEALLOCATE one;

-- name: cursor that is not there
FETCH 1 FROM nonsense;

-- name: drop of a table that is not there
DROP TABLE nonsense;

-- name: alter of a table that is not there
ALTER TABLE nonsense ADD COLUMN a int;

-- name: index on a table that is not there
CREATE INDEX ON nonsense (a);

-- name: truncate of a table that is not there
TRUNCATE nonsense;

-- name: parameter without a value
SELECT $1;

-- name: statement after an error goes on
SELECT count(*) FROM thing;

-- name: null byte in text
SELECT E'\000';

-- name: invalid unicode escape
-- differs: the text of the error is that of a string that does not end
SELECT U&'\zzzz';

-- name: out of range literal
SELECT 1e1000000;

-- name: nested too many function names
SELECT pg_catalog.lower('A'), pg_catalog.nonsense(1);

-- name: cancel is not an error here
SELECT pg_typeof(pg_backend_pid());

-- name: values of different lengths
VALUES (1), (1, 2);

-- name: recursive without union
WITH RECURSIVE r AS (SELECT * FROM r) SELECT * FROM r;

-- name: window in group by
SELECT 1 FROM thing GROUP BY rank() OVER ();

-- name: set returning in where
SELECT 1 FROM thing WHERE generate_series(1, 2) = 1;

-- name: two columns of the name to group by
SELECT id AS x, id + 1 AS x FROM thing GROUP BY x;

-- name: two columns of the name to be distinct on
SELECT DISTINCT ON (x) id AS x, id + 1 AS x FROM thing;

-- name: a place that is not in the list
SELECT DISTINCT ON (3) id FROM thing;

-- name: a default of another type
CREATE TABLE misfit (a int DEFAULT true);

-- name: a generated column of another type
CREATE TABLE misfit (a int, b int GENERATED ALWAYS AS (a > 1) STORED);

-- name: what there is no default of
CREATE TABLE misfit (a int DEFAULT 'x');

-- name: behind a cast
SELECT 1::text + 1;

-- name: behind a cast with many words
SELECT now()::timestamp(3) without time zone + 1;

-- name: behind a cast in words
SELECT CAST(1 AS varchar(3)) + 1;

-- name: what only LATERAL would see
SELECT 1 FROM thing t, (SELECT t.id) s;

-- name: a column that only LATERAL would see
SELECT 1 FROM thing t, (SELECT size) s;

-- name: integers have no modifiers
CREATE TABLE wide (a int(11));

-- name: integers are no functions
SELECT int(11);

-- name: isnull is no function
SELECT isnull(1);

-- name: isnull is no function of two
SELECT id FROM thing WHERE isnull(id, 1);

-- name: what a view reads has a place
CREATE VIEW misread AS SELECT nothing FROM thing;

-- name: as has an operator in it
CREATE VIEW misread AS SELECT id + name FROM thing;

-- name: of a statement to be prepared
PREPARE of_types (not_a_type) AS SELECT 1;

-- name: a cast of a cast
SELECT 1::text::int::date;
