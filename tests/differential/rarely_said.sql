-- What scripts say of things that are rare, or that there are none of.

-- name: tables
CREATE TABLE had (a int NOT NULL, b int, t text); INSERT INTO had VALUES (1, 2, 'x');

-- name: nothing to drop
DROP TRIGGER IF EXISTS t ON had; DROP TRIGGER IF EXISTS t ON not_there; DROP RULE IF EXISTS r ON had; DROP POLICY IF EXISTS p ON had; DROP POLICY IF EXISTS p ON not_there; DROP DOMAIN IF EXISTS d CASCADE; DROP AGGREGATE IF EXISTS a(int), b(text, numeric); DROP COLLATION IF EXISTS c; DROP FUNCTION IF EXISTS f(int, text); DROP FUNCTION IF EXISTS f; DROP PROCEDURE IF EXISTS f(timestamptz); DROP ROUTINE IF EXISTS f(int); DROP LANGUAGE IF EXISTS plfoo; DROP SERVER IF EXISTS s; DROP FOREIGN DATA WRAPPER IF EXISTS f; DROP FOREIGN TABLE IF EXISTS ft; DROP EVENT TRIGGER IF EXISTS et; DROP PUBLICATION IF EXISTS p; DROP STATISTICS IF EXISTS s; DROP TEXT SEARCH CONFIGURATION IF EXISTS c; DROP CONVERSION IF EXISTS cv; DROP OPERATOR CLASS IF EXISTS oc USING btree; DROP OPERATOR FAMILY IF EXISTS oc USING btree; DROP SUBSCRIPTION IF EXISTS s;

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

-- name: keys of conditions
CREATE TABLE judged (a int, b int, c int CHECK (c > 0), CHECK (b > a AND b < 100)); SELECT conname, conkey FROM pg_constraint WHERE conrelid = 'judged'::regclass ORDER BY 1; CREATE TABLE listed (id int GENERATED ALWAYS AS IDENTITY, l int[], s serial); SELECT sequence_name FROM information_schema.sequences WHERE sequence_name LIKE 'listed%'; SELECT object_name, object_type, collection_type_identifier, data_type, udt_name, dtd_identifier FROM information_schema.element_types WHERE object_name = 'listed'; CREATE VIEW looking AS SELECT a FROM judged; SELECT view_name, table_name FROM information_schema.view_table_usage WHERE view_name = 'looking'; SELECT udt_schema, udt_name, column_name FROM information_schema.column_udt_usage WHERE table_name = 'listed' ORDER BY 3; SELECT character_set_name, form_of_use FROM information_schema.character_sets; SELECT column_name, privilege_type, is_grantable FROM information_schema.column_privileges WHERE table_name = 'looking' ORDER BY 2; SELECT pg_relation_size('listed_s_seq');
