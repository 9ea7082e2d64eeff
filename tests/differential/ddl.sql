CREATE, DROP and TRUNCATE TABLE, defaults, sequences and constraints.

-- name: create
CREATE TABLE made (id bigserial PRIMARY KEY, name varchar(10) NOT NULL, flag boolean DEFAULT true, created timestamp DEFAULT now());

-- name: create again
CREATE TABLE made (id int);

-- name: create if not exists
CREATE TABLE IF NOT EXISTS made (id int);

-- name: serial counts
INSERT INTO made (name) VALUES ('a'), ('b') RETURNING id, flag;

-- name: serial and an explicit value
INSERT INTO made (id, name) VALUES (10, 'ten'); INSERT INTO made (name) VALUES ('c') RETURNING id;

-- name: default keyword for serial
INSERT INTO made VALUES (DEFAULT, 'd') RETURNING id;

-- name: too long for varchar
INSERT INTO made (name) VALUES ('12345678901');

-- name: trailing spaces are cut
INSERT INTO made (name) VALUES ('1234567890   ') RETURNING length(name);

-- name: not null
INSERT INTO made (name) VALUES (NULL);

-- name: missing not null
INSERT INTO made (flag) VALUES (true);

-- name: default expression
SELECT count(*) FROM made WHERE created <= now();

-- name: types of all columns
SELECT * FROM made WHERE false;

-- name: composite key
CREATE TABLE pair (a int, b text, c numeric(6,3), PRIMARY KEY (a, b));

-- name: key column is not null
INSERT INTO pair (a) VALUES (1);

-- name: unique constraint
CREATE TABLE uniq (k int, v text, UNIQUE (k, v));

-- name: unique holds
INSERT INTO uniq VALUES (1, 'a'), (1, 'b'); INSERT INTO uniq VALUES (1, 'a');

-- name: nulls are not equal
INSERT INTO uniq VALUES (1, NULL), (1, NULL);

-- name: check constraint
CREATE TABLE checked (k int CHECK (k > 0), v int, CONSTRAINT v_small CHECK (v < 10));

-- name: check holds
INSERT INTO checked VALUES (1, 1);

-- name: check fails
INSERT INTO checked VALUES (0, 1);

-- name: named check fails
INSERT INTO checked VALUES (1, 10);

-- name: check with null passes
INSERT INTO checked VALUES (NULL, NULL);

-- name: create table as
CREATE TABLE copied AS SELECT id, name FROM made WHERE id < 3;

-- name: its rows
SELECT * FROM copied ORDER BY id;

-- name: unknown type
CREATE TABLE bad (a nonsense);

-- name: column twice
CREATE TABLE bad (a int, a int);

-- name: two primary keys
CREATE TABLE bad (a int PRIMARY KEY, b int PRIMARY KEY);

-- name: key on an unknown column
CREATE TABLE bad (a int, PRIMARY KEY (b));

-- name: default of a wrong type
CREATE TABLE bad (a int DEFAULT 'x');

-- name: bad numeric modifier
CREATE TABLE bad (a numeric(2000, 1));

-- name: truncate
TRUNCATE TABLE pair;

-- name: truncate restarts nothing
TRUNCATE made; INSERT INTO made (name) VALUES ('after') RETURNING id > 10 AS goes_on;

-- name: truncate restart identity
TRUNCATE made RESTART IDENTITY; INSERT INTO made (name) VALUES ('again') RETURNING id;

-- name: ddl rolls back
BEGIN; CREATE TABLE temporary_thing (a int); INSERT INTO temporary_thing VALUES (1); ROLLBACK;

-- name: it is not there
SELECT * FROM temporary_thing;

-- name: ddl commits
BEGIN; CREATE TABLE kept (a int); INSERT INTO kept VALUES (1); COMMIT; SELECT a FROM kept;

-- name: a serial in the transaction that creates it
BEGIN; CREATE TABLE numbered (id bigserial PRIMARY KEY, note text); INSERT INTO numbered (note) SELECT 'x' FROM generate_series(1, 3); SELECT max(id) FROM numbered; COMMIT; DROP TABLE numbered;

-- name: drop rolls back
BEGIN; DROP TABLE kept; ROLLBACK; SELECT a FROM kept;

-- name: drop
DROP TABLE kept;

-- name: drop again
DROP TABLE kept;

-- name: drop if exists
DROP TABLE IF EXISTS kept;

-- name: drop several
DROP TABLE uniq, checked, copied;

-- name: sequences
CREATE SEQUENCE counter START 5 INCREMENT 2;

-- name: nextval and currval
SELECT nextval('counter'), nextval('counter'), currval('counter');

-- name: setval
SELECT setval('counter', 100); SELECT nextval('counter');

-- name: setval of a value that comes next
SELECT setval('counter', 200, false), pg_catalog.setval('public.counter'::regclass, 300, false);

-- name: it comes next
SELECT nextval('counter');

-- name: setval of what a query finds
SELECT setval('counter', (SELECT max(n) FROM generate_series(1, 20) AS n)); SELECT nextval('counter');

-- name: setval of nothing changes nothing
SELECT setval('counter', NULL), lastval();

-- name: setval beyond the bounds
SELECT setval('counter', -5);

-- name: setval of a sequence that is not there
SELECT setval('no_counter', 5);

-- name: set to where it was
SELECT setval('counter', 100); SELECT nextval('counter');

-- name: unknown sequence
SELECT nextval('no_such_sequence');

-- name: drop the sequence
DROP SEQUENCE counter;

-- name: schema qualified
CREATE TABLE public.placed (a int); INSERT INTO public.placed VALUES (1); SELECT a FROM placed; DROP TABLE public.placed;

-- name: unknown schema
CREATE TABLE nowhere.t (a int);

-- name: a reserved word as a name
CREATE TABLE select (a int);

-- name: a quoted name
CREATE TABLE "Mixed Case" ("Some Column" int); INSERT INTO "Mixed Case" VALUES (1); SELECT "Some Column" FROM "Mixed Case"; DROP TABLE "Mixed Case";

-- name: foreign key
CREATE TABLE parent (id int PRIMARY KEY); CREATE TABLE child (id int PRIMARY KEY, parent_id int REFERENCES parent (id)); INSERT INTO parent VALUES (1); INSERT INTO child VALUES (1, 1), (2, NULL);

-- name: foreign key fails
INSERT INTO child VALUES (3, 99);

-- name: referenced row stays
DELETE FROM parent WHERE id = 1;

-- name: referenced table stays
DROP TABLE parent;

-- name: drop cascade
DROP TABLE child; DROP TABLE parent;

-- name: foreign key to nothing
CREATE TABLE bad (a int REFERENCES no_such_table (id));

-- name: cleanup
DROP TABLE made, pair;

-- name: twice in one DROP
CREATE SEQUENCE twice; DROP SEQUENCE twice, twice; CREATE TABLE twice (a int); CREATE INDEX twice_a ON twice (a); DROP INDEX twice_a, twice_a; CREATE VIEW twice_v AS SELECT a FROM twice; DROP VIEW twice_v, twice_v; CREATE TYPE twice_t AS ENUM ('a'); DROP TYPE twice_t, twice_t; CREATE SCHEMA twice_s; DROP SCHEMA twice_s, twice_s; DROP TABLE twice;

-- name: a schema that others read from
CREATE SCHEMA read_from; CREATE TABLE read_from.t (a int PRIMARY KEY); CREATE TABLE reads (a int REFERENCES read_from.t); CREATE MATERIALIZED VIEW reads_m AS SELECT a FROM read_from.t; CREATE VIEW reads_v AS SELECT a FROM reads_m; DROP SCHEMA read_from CASCADE; DROP TABLE reads;

-- name: rows of a table in a view stay those of its columns
CREATE TABLE whole (a int, b int); INSERT INTO whole VALUES (1, 2); CREATE VIEW whole_v AS SELECT (w).* FROM whole w; ALTER TABLE whole ADD COLUMN c int; SELECT * FROM whole_v UNION ALL SELECT 3, 4 ORDER BY 1;

-- name: the columns of that view
SELECT attname FROM pg_attribute WHERE attrelid = 'whole_v'::regclass ORDER BY attnum;

-- name: no more of it
DROP TABLE whole CASCADE;

-- name: a sequence that a view draws from
CREATE SEQUENCE drawn; CREATE MATERIALIZED VIEW draws AS SELECT nextval('drawn') AS n;

-- name: which holds it
DROP SEQUENCE drawn;

-- name: under another name
ALTER SEQUENCE drawn RENAME TO drawn_from; REFRESH MATERIALIZED VIEW draws; SELECT n FROM draws;

-- name: in another schema
CREATE SCHEMA drawing; ALTER SEQUENCE drawn_from SET SCHEMA drawing; REFRESH MATERIALIZED VIEW draws; SELECT n FROM draws;

-- name: with its view
DROP SEQUENCE drawing.drawn_from CASCADE; DROP SCHEMA drawing;

-- name: a column's sequence that another column draws from
CREATE TABLE gives (id serial, a int); CREATE TABLE takes (id int DEFAULT nextval('gives_id_seq'), a int);

-- name: which holds its table
DROP TABLE gives;

-- name: with the default
DROP TABLE gives CASCADE; INSERT INTO takes (a) VALUES (1); SELECT * FROM takes; DROP TABLE takes;
