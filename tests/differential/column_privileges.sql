GRANT and REVOKE on columns, and ALTER DEFAULT PRIVILEGES.
-- tables: people by id

-- name: roles
CREATE ROLE col_reader; CREATE ROLE col_clerk;

-- name: a table
CREATE TABLE people (id int PRIMARY KEY, name text, wage int, note text); INSERT INTO people VALUES (1, 'ann', 10, 'x'), (2, 'bob', 20, 'y');

-- name: by columns
GRANT SELECT (id, name), INSERT (id, name), UPDATE (name) ON people TO col_reader;

-- name: columns that may be read
SET ROLE col_reader; SELECT id, name FROM people ORDER BY id;

-- name: another column
SELECT wage FROM people;

-- name: all of them
SELECT * FROM people;

-- name: a row is all of them
SELECT p FROM people p;

-- name: counting needs any
SELECT count(*) FROM people;

-- name: conditions read
SELECT id FROM people WHERE wage > 1;

-- name: an order reads
SELECT id FROM people ORDER BY wage;

-- name: under another name
SELECT q.b FROM people AS q (a, b, c, d) WHERE q.c = 1;

-- name: in a subquery
SELECT (SELECT max(wage) FROM people);

-- name: of an outer query
SELECT (SELECT max(id + p.wage) FROM (VALUES (1)) AS v (id)) FROM people p;

-- name: joined by what may be read
SELECT count(*) FROM people a JOIN people b USING (id, name);

-- name: joined by what may not
SELECT count(*) FROM people a JOIN people b USING (id, wage);

-- name: natural
SELECT 1 FROM people a NATURAL JOIN people b;

-- name: through a subquery
SELECT s.name FROM (SELECT name, id FROM people) s ORDER BY s.id;

-- name: with the table's oid
SELECT id, tableoid FROM people;

-- name: the whole table by name
TABLE people;

-- name: locked rows need a column to update
SELECT id FROM people WHERE id = 1 FOR UPDATE;

-- name: a row with columns that may be written
INSERT INTO people (id, name) VALUES (3, 'cy');

-- name: without names the first columns
INSERT INTO people VALUES (4, 'di');

-- name: others
INSERT INTO people (id, wage) VALUES (5, 1);

-- name: a default is one, too
INSERT INTO people VALUES (5, 'ed', DEFAULT);

-- name: from a query
INSERT INTO people (id, name) SELECT id + 10, name FROM people WHERE id = 1;

-- name: from a query, as it is
INSERT INTO people SELECT 12, 'z', 3;

-- name: returning what may be read
INSERT INTO people (id, name) VALUES (6, 'flo') RETURNING id, name;

-- name: returning what may not
INSERT INTO people (id) VALUES (7) RETURNING wage;

-- name: returning no column
INSERT INTO people (id) VALUES (7) RETURNING 1;

-- name: a column that may be updated
UPDATE people SET name = upper(name) WHERE id < 3 RETURNING id, name;

-- name: by a column that may not be read
UPDATE people SET name = 'n' WHERE wage = 10;

-- name: from one
UPDATE people SET name = note;

-- name: one that may not be updated
UPDATE people SET wage = 1;

-- name: both
UPDATE people SET name = 'q', wage = 1 WHERE id = 1;

-- name: nor deleted
DELETE FROM people WHERE id = 1;

-- name: in place of inserting
INSERT INTO people (id, name) VALUES (1, 'new') ON CONFLICT (id) DO UPDATE SET name = excluded.name || people.name RETURNING name;

-- name: by the constraint
INSERT INTO people (id, name) VALUES (1, 'newer') ON CONFLICT ON CONSTRAINT people_pkey DO NOTHING;

-- name: with another column
INSERT INTO people (id, name) VALUES (1, 'new') ON CONFLICT (id) DO UPDATE SET wage = 3;

-- name: from another column
INSERT INTO people (id, name) VALUES (1, 'new') ON CONFLICT (id) DO UPDATE SET name = people.note;

-- name: nor from what was proposed of it
INSERT INTO people (id, name) VALUES (1, 'new') ON CONFLICT (id) DO UPDATE SET name = excluded.note;

-- name: copied out
COPY people (id, name) TO STDOUT;

-- name: not all
COPY people TO STDOUT;

-- name: copied in
COPY people (id, name) FROM STDIN WHERE id > 20;
-- data
21	vic
-- end

-- name: what came of it
RESET ROLE; SELECT * FROM people ORDER BY id;

-- name: update without reading
REVOKE SELECT (id, name) ON people FROM col_reader; SET ROLE col_reader; UPDATE people SET name = 'all';

-- name: update without reading, as it is
UPDATE people SET name = name || '!';

-- name: a lock needs to read as well
SELECT 1 FROM people FOR UPDATE;

-- name: reading all is no updating
RESET ROLE; REVOKE UPDATE (name) ON people FROM col_reader; GRANT SELECT ON people TO col_reader; SET ROLE col_reader;

-- name: reading all is no updating, as it is
SELECT id FROM people WHERE id = 1 FOR UPDATE;

-- name: nor sharing
SELECT id FROM people WHERE id = 1 FOR KEY SHARE;

-- name: from the whole, from its columns
RESET ROLE; GRANT SELECT (id) ON people TO col_reader; REVOKE SELECT ON people FROM col_reader; SELECT attname, attacl::text FROM pg_attribute WHERE attrelid = 'people'::regclass AND attacl IS NOT NULL ORDER BY 1;

-- name: on a view
CREATE VIEW people_v AS SELECT id, wage FROM people; GRANT SELECT (id) ON people_v TO col_reader; SET ROLE col_reader; SELECT id FROM people_v ORDER BY id;

-- name: on a view, as it is
SELECT wage FROM people_v;

-- name: counted
SELECT count(*) FROM people_v;

-- name: a view of its own may not read more
RESET ROLE; CREATE SCHEMA col_own AUTHORIZATION col_reader; GRANT SELECT (id) ON people TO col_reader; SET ROLE col_reader; CREATE VIEW col_own.ids AS SELECT id FROM people; CREATE VIEW col_own.wages AS SELECT wage FROM people;

-- name: what may be read through it
SELECT count(*) FROM col_own.ids;

-- name: references by columns
RESET ROLE; CREATE TABLE towns (id int PRIMARY KEY, zip int UNIQUE); GRANT REFERENCES (id) ON towns TO col_reader; SET ROLE col_reader; CREATE TABLE col_own.t (town int REFERENCES towns);

-- name: to another column
CREATE TABLE col_own.u (zip int REFERENCES towns (zip));

-- name: functions that ask
RESET ROLE; SELECT has_column_privilege('col_reader', 'people', 'id', 'SELECT'), has_column_privilege('col_reader', 'people', 'wage', 'SELECT'), has_column_privilege('col_reader', 'people', 2::smallint, 'INSERT'), has_any_column_privilege('col_reader', 'people', 'SELECT'), has_any_column_privilege('col_reader', 'people', 'UPDATE'), has_table_privilege('col_reader', 'people', 'SELECT'), has_column_privilege('col_reader', 'people_v', 'id', 'SELECT'), has_column_privilege('col_reader', 'people_v', 'wage', 'SELECT');

-- name: no such column
SELECT has_column_privilege('col_reader', 'people', 'age', 'SELECT');

-- name: a privilege that columns do not have
GRANT DELETE (id) ON people TO col_clerk;

-- name: nor this
GRANT USAGE (id) ON people TO col_clerk;

-- name: there is none such
GRANT SELECT (age) ON people TO col_clerk;

-- name: of a relation only
GRANT SELECT (id) ON SCHEMA public TO col_clerk;

-- name: a word that is no privilege
GRANT FLY (id) ON people TO col_clerk;

-- name: all of a column
GRANT ALL (note) ON people TO col_clerk WITH GRANT OPTION; GRANT SELECT (id, note), INSERT ON people TO col_clerk; SELECT attname, attacl::text FROM pg_attribute WHERE attrelid = 'people'::regclass AND attacl IS NOT NULL ORDER BY 1;

-- name: the information schema
SELECT grantee, table_name, column_name, privilege_type, is_grantable = 'YES' AS granted_on FROM information_schema.column_privileges WHERE grantee LIKE 'col_%' AND table_name LIKE 'people%' ORDER BY 1, 2, 3, 4, 5;

-- name: by role
SELECT grantee, table_name, column_name, privilege_type, is_grantable = 'YES' AS granted_on FROM information_schema.role_column_grants WHERE grantee = 'col_clerk' ORDER BY 1, 2, 3, 4, 5;

-- name: passed on
SET ROLE col_clerk; GRANT SELECT (note) ON people TO col_reader; GRANT SELECT (id) ON people TO col_reader;

-- name: not without a right
GRANT SELECT (wage) ON people TO col_reader;

-- name: taken back
RESET ROLE;

-- name: taken back, as it is
REVOKE SELECT (note) ON people FROM col_clerk;

-- name: with what was passed on
REVOKE SELECT (note) ON people FROM col_clerk CASCADE; SELECT has_column_privilege('col_reader', 'people', 'note', 'SELECT');

-- name: the option alone
REVOKE GRANT OPTION FOR UPDATE (note) ON people FROM col_clerk; SELECT has_column_privilege('col_clerk', 'people', 'note', 'UPDATE'), has_column_privilege('col_clerk', 'people', 'note', 'UPDATE WITH GRANT OPTION');

-- name: to everybody
GRANT SELECT (id) ON people TO PUBLIC; SET ROLE col_clerk; SELECT count(id) FROM people;

-- name: a role that may do something
RESET ROLE;

-- name: a role that may do something, as it is
DROP ROLE col_clerk;

-- name: another owner
ALTER TABLE people OWNER TO col_clerk; SELECT attname, attacl::text FROM pg_attribute WHERE attrelid = 'people'::regclass AND attnum > 0 ORDER BY attnum; SELECT relacl::text FROM pg_class WHERE oid = 'people'::regclass;

-- name: dropped columns take theirs along
ALTER TABLE people DROP COLUMN note; REVOKE ALL ON people FROM col_clerk, col_reader, PUBLIC; SELECT count(*) FROM pg_attribute WHERE attrelid = 'people'::regclass AND attacl IS NOT NULL AND NOT attisdropped;

-- name: no more of these
DROP OWNED BY col_reader CASCADE; DROP VIEW people_v; DROP TABLE people, towns; DROP ROLE col_reader, col_clerk;

-- name: what new tables begin with
CREATE ROLE def_maker; CREATE ROLE def_reader; CREATE SCHEMA def_s AUTHORIZATION def_maker; GRANT CREATE ON SCHEMA public TO def_maker; ALTER DEFAULT PRIVILEGES FOR ROLE def_maker GRANT SELECT ON TABLES TO def_reader; ALTER DEFAULT PRIVILEGES FOR ROLE def_maker IN SCHEMA def_s GRANT INSERT, SELECT ON TABLES TO def_reader WITH GRANT OPTION; ALTER DEFAULT PRIVILEGES FOR USER def_maker IN SCHEMA def_s GRANT USAGE ON SEQUENCES TO PUBLIC;

-- name: as they are kept
SELECT defaclrole::regrole, defaclnamespace::regnamespace::text, defaclobjtype, defaclacl::text FROM pg_default_acl ORDER BY 2, 3;

-- name: tables, views and sequences
SET ROLE def_maker; CREATE TABLE def_t (a serial); CREATE VIEW def_v AS SELECT 1 AS one; CREATE TABLE def_s.t (a serial); CREATE MATERIALIZED VIEW def_s.m AS SELECT 1 AS one; RESET ROLE; CREATE TABLE def_s.of_another (a int); SELECT oid::regclass::text, relacl::text FROM pg_class WHERE relname LIKE 'def_%' OR relnamespace = 'def_s'::regnamespace ORDER BY 1;

-- name: as they say
SET ROLE def_reader; SELECT count(*) FROM def_t;

-- name: not more
INSERT INTO def_t DEFAULT VALUES;

-- name: what is there stays as it is
RESET ROLE; ALTER DEFAULT PRIVILEGES FOR ROLE def_maker REVOKE SELECT ON TABLES FROM def_reader; SELECT has_table_privilege('def_reader', 'def_t', 'SELECT'); SELECT count(*) FROM pg_default_acl WHERE defaclnamespace = 0;

-- name: one's own
SET ROLE def_maker; ALTER DEFAULT PRIVILEGES REVOKE USAGE ON TYPES FROM PUBLIC; CREATE TYPE def_e AS ENUM ('a'); SELECT typacl::text FROM pg_type WHERE typname = 'def_e'; ALTER DEFAULT PRIVILEGES GRANT USAGE ON TYPES TO PUBLIC; RESET ROLE; SELECT count(*) FROM pg_default_acl WHERE defaclobjtype = 'T';

-- name: schemas
ALTER DEFAULT PRIVILEGES GRANT USAGE ON SCHEMAS TO def_reader; CREATE SCHEMA def_open; SELECT has_schema_privilege('def_reader', 'def_open', 'USAGE'), has_schema_privilege('def_reader', 'def_open', 'CREATE'); ALTER DEFAULT PRIVILEGES REVOKE USAGE ON SCHEMAS FROM def_reader; DROP SCHEMA def_open;

-- name: functions
ALTER DEFAULT PRIVILEGES REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC; SELECT defaclobjtype, defaclacl::text FROM pg_default_acl WHERE defaclobjtype = 'f'; ALTER DEFAULT PRIVILEGES GRANT EXECUTE ON ROUTINES TO PUBLIC; SELECT count(*) FROM pg_default_acl WHERE defaclobjtype = 'f';

-- name: schemas are in no schema
ALTER DEFAULT PRIVILEGES IN SCHEMA def_s GRANT USAGE ON SCHEMAS TO def_reader;

-- name: nor have they columns
ALTER DEFAULT PRIVILEGES GRANT SELECT (a) ON TABLES TO def_reader;

-- name: privileges of another kind
ALTER DEFAULT PRIVILEGES GRANT USAGE ON TABLES TO def_reader;

-- name: and of sequences
ALTER DEFAULT PRIVILEGES GRANT DELETE ON SEQUENCES TO def_reader;

-- name: for somebody else
SET ROLE def_reader;

-- name: for somebody else, as it is
ALTER DEFAULT PRIVILEGES FOR ROLE def_maker GRANT SELECT ON TABLES TO def_reader;

-- name: for nobody
RESET ROLE;

-- name: for nobody, as it is
ALTER DEFAULT PRIVILEGES FOR ROLE def_nobody GRANT SELECT ON TABLES TO def_reader;

-- name: in no schema
ALTER DEFAULT PRIVILEGES IN SCHEMA def_nowhere GRANT SELECT ON TABLES TO def_reader;

-- name: they hold a role
DROP OWNED BY def_reader; DROP TABLE def_t, def_s.t; DROP VIEW def_v; DROP MATERIALIZED VIEW def_s.m; DROP TYPE def_e; ALTER SCHEMA def_s OWNER TO CURRENT_USER; REVOKE CREATE ON SCHEMA public FROM def_maker; ALTER DEFAULT PRIVILEGES FOR ROLE def_maker GRANT ALL ON TABLES TO def_reader;

-- name: they hold a role, as it is
DROP ROLE def_maker;

-- name: and who got something
DROP ROLE def_reader;

-- name: they go with the schema
SELECT count(*) FROM pg_default_acl; DROP SCHEMA def_s CASCADE; SELECT count(*) FROM pg_default_acl;

-- name: and with what is owned
DROP OWNED BY def_maker; DROP ROLE def_maker, def_reader; SELECT count(*) FROM pg_default_acl;
