-- What scripts say of things that are rare, or that there are none of.

-- name: tables
CREATE TABLE had (a int NOT NULL, b int, t text); INSERT INTO had VALUES (1, 2, 'x');

-- name: nothing to drop, 1
DROP TRIGGER IF EXISTS t ON had; DROP TRIGGER IF EXISTS t ON not_there; DROP RULE IF EXISTS r ON had; DROP POLICY IF EXISTS p ON had; DROP POLICY IF EXISTS p ON not_there; DROP DOMAIN IF EXISTS d CASCADE; DROP AGGREGATE IF EXISTS a(int), b(text, numeric); DROP COLLATION IF EXISTS c;

-- name: nothing to drop, 2
DROP FUNCTION IF EXISTS f(int, text); DROP FUNCTION IF EXISTS f; DROP PROCEDURE IF EXISTS f(timestamptz); DROP ROUTINE IF EXISTS f(int); DROP LANGUAGE IF EXISTS plfoo; DROP SERVER IF EXISTS s; DROP FOREIGN DATA WRAPPER IF EXISTS f; DROP FOREIGN TABLE IF EXISTS ft;

-- name: nothing to drop, 3
DROP EVENT TRIGGER IF EXISTS et; DROP PUBLICATION IF EXISTS p; DROP STATISTICS IF EXISTS s; DROP TEXT SEARCH CONFIGURATION IF EXISTS c; DROP CONVERSION IF EXISTS cv; DROP OPERATOR CLASS IF EXISTS oc USING btree; DROP OPERATOR FAMILY IF EXISTS oc USING btree; DROP SUBSCRIPTION IF EXISTS s;

-- name: a trigger
DROP TRIGGER t ON had;

-- name: a trigger of no table
DROP TRIGGER t ON not_there;

-- name: a rule
DROP RULE r ON had;

-- name: a policy
DROP POLICY p ON had;

-- name: a domain
DROP DOMAIN d;

-- name: an aggregate
DROP AGGREGATE a(int);

-- name: a collation
DROP COLLATION c;

-- name: a publication
DROP PUBLICATION p;

-- name: the language that everybody creates
CREATE EXTENSION IF NOT EXISTS plpgsql;

-- name: once
CREATE EXTENSION plpgsql;

-- name: triggers and identities
ALTER TABLE had DISABLE TRIGGER ALL; ALTER TABLE had ENABLE TRIGGER ALL; ALTER TABLE had DISABLE TRIGGER USER; ALTER TABLE had ENABLE TRIGGER USER; ALTER TABLE had REPLICA IDENTITY DEFAULT; ALTER TABLE had DISABLE ROW LEVEL SECURITY; ALTER TABLE had ALTER t SET COMPRESSION pglz; ALTER TABLE had ALTER t SET COMPRESSION default;

-- name: no such trigger
ALTER TABLE had DISABLE TRIGGER not_there;

-- name: constraints that use indexes
CREATE UNIQUE INDEX had_a ON had (a); CREATE UNIQUE INDEX had_b ON had (b) INCLUDE (t); CREATE INDEX had_t ON had (t); CREATE UNIQUE INDEX had_part ON had (b) WHERE b > 0; CREATE UNIQUE INDEX had_lower ON had (lower(t)); ALTER TABLE had ADD CONSTRAINT had_key PRIMARY KEY USING INDEX had_a; ALTER TABLE had ADD CONSTRAINT had_unique UNIQUE USING INDEX had_b; SELECT conname, contype, conkey, pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = 'had'::regclass ORDER BY 1; SELECT indexname FROM pg_indexes WHERE tablename = 'had' ORDER BY 1;

-- name: a primary key that used an index is one
INSERT INTO had VALUES (1, 5);

-- name: no unique index
ALTER TABLE had ADD UNIQUE USING INDEX had_t;

-- name: a partial index
ALTER TABLE had ADD UNIQUE USING INDEX had_part;

-- name: an index of an expression
ALTER TABLE had ADD UNIQUE USING INDEX had_lower;

-- name: no index at all
ALTER TABLE had ADD UNIQUE USING INDEX not_there;

-- name: conditions that would not be inherited
ALTER TABLE had ADD CONSTRAINT positive CHECK (a > 0) NO INHERIT; INSERT INTO had VALUES (2, 6);

-- name: they hold
INSERT INTO had VALUES (-1, 7);

-- name: reindex with options
REINDEX (VERBOSE false) TABLE had; REINDEX (CONCURRENTLY off, TABLESPACE pg_default) INDEX had_t;

-- name: words that are functions
SELECT (SELECT count(*) FROM user), (SELECT count(*) FROM current_date), (SELECT current_catalog = current_database() FROM current_catalog); SELECT * FROM user AS u(y) WHERE y IS NULL;

-- name: a quoted word is a table
SELECT * FROM "user";

-- name: a table with conditions
CREATE TABLE weighed (a int, b int, c int CHECK (c > 0), CHECK (b > a AND b < 100));

-- name: keys of conditions
SELECT conname, conkey FROM pg_constraint WHERE conrelid = 'weighed'::regclass ORDER BY 1;

-- name: a table of all kinds
CREATE TABLE listed (id int GENERATED ALWAYS AS IDENTITY, l int[], s serial);

-- name: sequences
SELECT sequence_name FROM information_schema.sequences WHERE sequence_name LIKE 'listed%';

-- name: element types
SELECT object_name, object_type, collection_type_identifier, data_type, udt_name, dtd_identifier FROM information_schema.element_types WHERE object_name = 'listed';

-- name: a view
CREATE VIEW looking AS SELECT a FROM weighed;

-- name: tables of views
SELECT view_name, table_name FROM information_schema.view_table_usage WHERE view_name = 'looking';

-- name: types of columns
SELECT udt_schema, udt_name, column_name FROM information_schema.column_udt_usage WHERE table_name = 'listed' ORDER BY 3;

-- name: character sets
SELECT character_set_name, form_of_use FROM information_schema.character_sets;

-- name: privileges on columns
SELECT column_name, privilege_type, is_grantable = 'YES' AS granted_on FROM information_schema.column_privileges WHERE table_name = 'looking' ORDER BY 2;

-- name: a page
SELECT pg_relation_size('listed_s_seq');

-- name: what objects are called
SELECT pg_describe_object('pg_class'::regclass, 'had'::regclass, 0), pg_describe_object('pg_namespace'::regclass, 'public'::regnamespace, 0), pg_describe_object('pg_type'::regclass, 'int'::regtype, 0); SELECT inet_server_port() IS NULL, inet_server_addr() IS NULL;

-- name: what types are
SELECT obj_description('int'::regtype, 'pg_type'), obj_description('jsonb'::regtype, 'pg_type'); SELECT description FROM pg_description WHERE classoid = 'pg_type'::regclass AND objoid = 'text'::regtype;

-- name: casts
SELECT castsource::regtype, casttarget::regtype, castcontext, castmethod FROM pg_cast WHERE castsource IN ('int'::regtype, 'text'::regtype, 'timestamptz'::regtype) AND casttarget IN ('bigint'::regtype, 'smallint'::regtype, 'varchar'::regtype, 'date'::regtype, 'oid'::regtype) ORDER BY castsource, casttarget;

-- name: a type that is no domain
CREATE TYPE some_labels AS ENUM ('a'); DROP DOMAIN IF EXISTS some_labels;

-- name: a table that is not foreign
DROP FOREIGN TABLE IF EXISTS had;

-- name: no such type any more
DROP TYPE some_labels;

-- name: an aggregate that is needed
DROP AGGREGATE IF EXISTS sum(int);

-- name: columns that would be compressed
CREATE TABLE packed (a text COMPRESSION pglz, b varchar(10) COMPRESSION default NOT NULL, compression int); ALTER TABLE packed ADD COLUMN c text COMPRESSION pglz; INSERT INTO packed VALUES ('a', 'b', 1, 'c'); SELECT * FROM packed;

-- name: functions as they would be made
SELECT pg_get_functiondef('lower(text)'::regprocedure), pg_get_functiondef('now()'::regprocedure);

-- name: no aggregate
SELECT pg_get_functiondef('sum(int)'::regprocedure);
