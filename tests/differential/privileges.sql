GRANT and REVOKE: who may do what.
-- tables: secret by id

-- name: roles
CREATE ROLE reader; CREATE ROLE writer; CREATE ROLE staff;

-- name: tables
CREATE TABLE secret (id int PRIMARY KEY, note text); INSERT INTO secret VALUES (1, 'a'), (2, 'b'); CREATE SEQUENCE numbers; CREATE VIEW notes AS SELECT note FROM secret;

-- name: nothing is granted
SET ROLE reader; SELECT * FROM secret;

-- name: nor to write
SET ROLE reader; INSERT INTO secret VALUES (3, 'c');

-- name: nor to update
SET ROLE reader; UPDATE secret SET note = 'x';

-- name: nor to delete
SET ROLE reader; DELETE FROM secret;

-- name: nor to truncate
SET ROLE reader; TRUNCATE secret;

-- name: nor to drop
SET ROLE reader; DROP TABLE secret;

-- name: nor to alter
SET ROLE reader; ALTER TABLE secret ADD COLUMN a int;

-- name: nor to create
SET ROLE reader; CREATE TABLE mine (a int);

-- name: nor to draw
SET ROLE reader; SELECT nextval('numbers');

-- name: grant to read
RESET ROLE; GRANT SELECT ON secret TO reader; SET ROLE reader; SELECT * FROM secret ORDER BY id; INSERT INTO secret VALUES (3, 'c');

-- name: a view needs its own
RESET ROLE; SET ROLE reader; SELECT * FROM notes;

-- name: a view reads as its owner
RESET ROLE; GRANT SELECT ON notes TO writer; SET ROLE writer; SELECT * FROM notes ORDER BY note; SELECT * FROM secret;

-- name: update needs to read as well
RESET ROLE; GRANT UPDATE ON secret TO writer; SET ROLE writer; UPDATE secret SET note = 'n' WHERE id = 1;

-- name: update without reading
RESET ROLE; BEGIN; SET LOCAL ROLE writer; UPDATE secret SET note = 'n'; RESET ROLE; UPDATE secret SET note = chr(96 + id); COMMIT;

-- name: several at once
RESET ROLE; GRANT INSERT, DELETE, SELECT ON secret TO writer; SET ROLE writer; INSERT INTO secret VALUES (3, 'c'); DELETE FROM secret WHERE id = 3;

-- name: revoke
RESET ROLE; REVOKE INSERT ON secret FROM writer; SET ROLE writer; INSERT INTO secret VALUES (3, 'c');

-- name: the rest stays
RESET ROLE; SET ROLE writer; SELECT count(*) FROM secret;

-- name: to public
RESET ROLE; GRANT SELECT ON secret TO PUBLIC; SET ROLE staff; SELECT count(*) FROM secret;

-- name: from public
RESET ROLE; REVOKE ALL ON secret FROM PUBLIC; SET ROLE staff; SELECT count(*) FROM secret;

-- name: membership
RESET ROLE; GRANT SELECT ON secret TO staff; CREATE ROLE clerk; GRANT staff TO clerk; SET ROLE clerk; SELECT count(*) FROM secret;

-- name: no membership
RESET ROLE; REVOKE staff FROM clerk; SET ROLE clerk; SELECT count(*) FROM secret;

-- name: a circle
RESET ROLE; GRANT staff TO clerk; GRANT clerk TO staff;

-- name: grant option
RESET ROLE; GRANT SELECT ON secret TO staff WITH GRANT OPTION; SET ROLE staff; GRANT SELECT ON secret TO clerk; RESET ROLE; REVOKE SELECT ON secret FROM staff;

-- name: with cascade
RESET ROLE; REVOKE SELECT ON secret FROM staff CASCADE; SELECT has_table_privilege('clerk', 'secret', 'SELECT');

-- name: granting without the right
RESET ROLE; SET ROLE reader; GRANT SELECT ON secret TO clerk;

-- name: all tables in a schema
RESET ROLE; GRANT ALL ON ALL TABLES IN SCHEMA public TO clerk; SELECT has_table_privilege('clerk', 'secret', 'DELETE'), has_table_privilege('clerk', 'notes', 'SELECT');

-- name: sequences
GRANT USAGE ON SEQUENCE numbers TO reader; SET ROLE reader; SELECT nextval('numbers'); SELECT setval('numbers', 5);

-- name: schemas
RESET ROLE; CREATE SCHEMA inner_circle; CREATE TABLE inner_circle.t (a int); GRANT SELECT ON inner_circle.t TO reader; SET ROLE reader; SELECT * FROM inner_circle.t;

-- name: usage of a schema
RESET ROLE; GRANT USAGE ON SCHEMA inner_circle TO reader; SET ROLE reader; SELECT * FROM inner_circle.t; CREATE TABLE inner_circle.u (a int);

-- name: create in a schema
RESET ROLE; GRANT CREATE ON SCHEMA inner_circle TO reader; SET ROLE reader; CREATE TABLE inner_circle.u (a int); INSERT INTO inner_circle.u VALUES (1); SELECT * FROM inner_circle.u;

-- name: a wrong privilege
RESET ROLE; GRANT USAGE ON TABLE secret TO reader; GRANT CONNECT ON SCHEMA public TO reader;

-- name: an unknown role
GRANT SELECT ON secret TO nobody_there;

-- name: an unknown table
GRANT SELECT ON no_such_table TO reader;

-- name: access lists
SELECT relname, relacl FROM pg_class WHERE relname IN ('secret', 'numbers') ORDER BY 1;

-- name: owner to
ALTER TABLE inner_circle.t OWNER TO writer; SET ROLE writer; ALTER TABLE inner_circle.t ADD COLUMN b int;

-- name: drop a role that owns
RESET ROLE; DROP ROLE writer;

-- name: a table to insert into
RESET ROLE; CREATE TABLE inbox (id int PRIMARY KEY, note text); INSERT INTO inbox VALUES (1, 'a'); GRANT INSERT ON inbox TO reader;

-- name: doing nothing without a target shows nothing
SET ROLE reader; INSERT INTO inbox VALUES (1, 'b') ON CONFLICT DO NOTHING;

-- name: a target is read
SET ROLE reader; INSERT INTO inbox VALUES (1, 'b') ON CONFLICT (id) DO NOTHING;

-- name: so is a constraint
SET ROLE reader; INSERT INTO inbox VALUES (1, 'b') ON CONFLICT ON CONSTRAINT inbox_pkey DO NOTHING;

-- name: to update in place of inserting without the right
SET ROLE reader; INSERT INTO inbox VALUES (1, 'b') ON CONFLICT (id) DO UPDATE SET note = excluded.note;

-- name: to update without reading
RESET ROLE; GRANT UPDATE ON inbox TO reader; SET ROLE reader; INSERT INTO inbox VALUES (1, 'b') ON CONFLICT (id) DO UPDATE SET note = excluded.note;

-- name: to read without updating
RESET ROLE; REVOKE UPDATE ON inbox FROM reader; GRANT SELECT ON inbox TO reader; SET ROLE reader; INSERT INTO inbox VALUES (1, 'b') ON CONFLICT (id) DO NOTHING; INSERT INTO inbox VALUES (1, 'b') ON CONFLICT (id) DO UPDATE SET note = 'z';

-- name: both
RESET ROLE; GRANT UPDATE ON inbox TO reader; SET ROLE reader; INSERT INTO inbox VALUES (1, 'b') ON CONFLICT (id) DO UPDATE SET note = inbox.note || excluded.note RETURNING note;

-- name: columns that number themselves
RESET ROLE; CREATE TABLE letters (id int GENERATED ALWAYS AS IDENTITY, note text); CREATE TABLE parcels (id serial, note text); GRANT INSERT ON letters, parcels TO reader; INSERT INTO letters (note) VALUES ('x');

-- name: an identity column draws for whoever inserts
SET ROLE reader; INSERT INTO letters (note) VALUES ('a'); INSERT INTO letters (note) SELECT 'b'; INSERT INTO letters VALUES (DEFAULT, 'c'), (DEFAULT, 'd');

-- name: its sequence is another thing
SET ROLE reader; SELECT nextval('letters_id_seq');

-- name: nor to set it
SET ROLE reader; SELECT setval('letters_id_seq', 1);

-- name: nor to see what was drawn
SET ROLE reader; SELECT currval('letters_id_seq');

-- name: nor what was drawn last
SET ROLE reader; SELECT lastval();

-- name: a serial column asks for the right
SET ROLE reader; INSERT INTO parcels (note) VALUES ('a');

-- name: usage of a sequence
RESET ROLE; GRANT USAGE ON SEQUENCE letters_id_seq, parcels_id_seq TO reader; SET ROLE reader; INSERT INTO parcels (note) VALUES ('a'); SELECT currval('parcels_id_seq'), lastval() = 1, nextval('letters_id_seq') > 4; SELECT setval('letters_id_seq', 1);

-- name: what came of the letters
RESET ROLE; SELECT note FROM letters ORDER BY note;

-- name: what was made to insert into goes
DROP TABLE inbox, letters, parcels;

-- name: clean up
RESET ROLE; DROP SCHEMA inner_circle CASCADE; DROP VIEW notes; DROP TABLE secret; DROP SEQUENCE numbers; DROP ROLE reader, writer, staff, clerk;

-- name: session authorization
CREATE ROLE surface_ada; SET SESSION AUTHORIZATION surface_ada; SELECT session_user, current_user; RESET SESSION AUTHORIZATION; SELECT session_user = current_user; SET SESSION AUTHORIZATION DEFAULT; SHOW is_superuser;

-- name: session authorization of nobody
SET SESSION AUTHORIZATION surface_nobody;

-- name: session authorization ends with a rollback
BEGIN; SET SESSION AUTHORIZATION surface_ada; ROLLBACK; SELECT session_user = 'surface_ada';

-- name: settings of a role
ALTER ROLE surface_ada SET statement_timeout TO 5000; ALTER ROLE surface_ada SET work_mem = '8MB'; SELECT rolconfig FROM pg_roles WHERE rolname = 'surface_ada'; ALTER ROLE surface_ada RESET work_mem; SELECT rolconfig FROM pg_roles WHERE rolname = 'surface_ada'; ALTER ROLE surface_ada RESET ALL; SELECT rolconfig FROM pg_roles WHERE rolname = 'surface_ada';

-- name: a wrong setting of a role
ALTER ROLE surface_ada SET work_mem = 'much';

-- name: no role
DROP ROLE surface_ada;

-- name: a role's path
CREATE ROLE grammarian CONNECTION LIMIT 3;
ALTER ROLE grammarian SET search_path TO public, "X y";
ALTER ROLE grammarian RENAME TO scholar;
ALTER ROLE scholar CONNECTION LIMIT -1;
SELECT rolname, rolconnlimit, rolconfig FROM pg_roles WHERE rolname = 'scholar';

-- name: a role of a known name
ALTER ROLE scholar RENAME TO pg_scholar;

-- name: no such role
ALTER ROLE grammarian RENAME TO other;

-- name: no more roles
DROP ROLE scholar;

-- name: passwords are for superusers
CREATE ROLE curious; SET ROLE curious; SELECT count(*) FROM pg_authid;

-- name: nor these
SELECT count(*) FROM pg_catalog.pg_shadow;

-- name: a view of its owner's reads them
RESET ROLE; CREATE VIEW role_names AS SELECT rolname, rolpassword IS NULL AS open FROM pg_authid; GRANT SELECT ON role_names TO curious; SET ROLE curious; SELECT count(*) FROM role_names WHERE rolname = 'curious';

-- name: one of another's does not
RESET ROLE; DROP VIEW role_names; CREATE SCHEMA curious_own AUTHORIZATION curious; SET ROLE curious;

-- name: as its owner may not
CREATE VIEW curious_own.v AS SELECT 1 AS a FROM pg_authid;

-- name: a materialized view is refreshed as its owner
CREATE MATERIALIZED VIEW curious_own.m AS SELECT current_user AS u, session_user = current_user AS same, has_table_privilege('pg_authid', 'SELECT') AS may; RESET ROLE; REFRESH MATERIALIZED VIEW curious_own.m; SELECT u, same, may FROM curious_own.m;

-- name: with what the owner may
CREATE MATERIALIZED VIEW kept_back AS SELECT 1 AS a; SET ROLE curious;

-- name: indexes are its owner's
CREATE INDEX ON kept_back (a);

-- name: names as well
ALTER MATERIALIZED VIEW kept_back RENAME COLUMN a TO b;

-- name: without these
RESET ROLE; DROP MATERIALIZED VIEW kept_back; DROP SCHEMA curious_own CASCADE; SET ROLE curious;

-- name: roles without them are for all
SELECT rolname, rolpassword FROM pg_roles WHERE rolname = 'curious';

-- name: what others do is not told
SELECT query, state FROM pg_stat_activity WHERE pid = pg_backend_pid() AND query LIKE '<%';

-- name: back to the superuser
RESET ROLE; DROP ROLE curious;

-- name: a role that may do something
CREATE ROLE in_use; GRANT SELECT ON secret TO in_use; DROP ROLE in_use;

-- name: and no more
REVOKE ALL ON secret FROM in_use; DROP ROLE in_use;

-- name: another's table
CREATE TABLE tidied (a int); CREATE ROLE tidier;

-- name: is seen by who may do nothing with it
SET ROLE tidier;

-- name: who does not vacuum it
VACUUM tidied;

-- name: nor with statistics
VACUUM (ANALYZE) tidied;

-- name: nor builds its indexes anew
REINDEX TABLE tidied;

-- name: nor puts its rows in order
CLUSTER tidied;

-- name: no more of it
RESET ROLE; DROP ROLE tidier; DROP TABLE tidied;

-- name: groups are roles
CREATE ROLE g_ann; CREATE ROLE g_ben; CREATE GROUP g_all WITH USER g_ann; ALTER GROUP g_all ADD USER g_ben; SELECT member::regrole FROM pg_auth_members WHERE roleid = 'g_all'::regrole ORDER BY 1; ALTER GROUP g_all DROP USER g_ann, g_ben; SELECT count(*) FROM pg_auth_members WHERE roleid = 'g_all'::regrole; ALTER GROUP g_all RENAME TO g_some; DROP GROUP g_some; DROP GROUP IF EXISTS g_some;

-- name: passwords that end
ALTER ROLE g_ann VALID UNTIL '2030-01-02 03:04:05+00'; CREATE ROLE g_old PASSWORD 'x' VALID UNTIL 'infinity'; SELECT rolname, rolvaliduntil FROM pg_roles WHERE rolname IN ('g_ann', 'g_old', 'g_ben') ORDER BY 1; DROP ROLE g_old;

-- name: no moment
ALTER ROLE g_ann VALID UNTIL 'some day';

-- name: what a role owns
CREATE SCHEMA g_schema AUTHORIZATION g_ann; CREATE TABLE g_schema.t (a int, s serial); ALTER TABLE g_schema.t OWNER TO g_ann; CREATE VIEW g_view AS SELECT 1 AS one; ALTER VIEW g_view OWNER TO g_ann; CREATE TYPE g_type AS ENUM ('a'); ALTER TYPE g_type OWNER TO g_ann; CREATE TABLE g_other (a int); GRANT SELECT ON g_other TO g_ann;

-- name: goes to another
REASSIGN OWNED BY g_ann TO g_ben; SELECT relname, relowner::regrole FROM pg_class WHERE relname IN ('t', 't_s_seq', 'g_view', 'g_other') AND relowner::regrole::text LIKE 'g_%' ORDER BY 1; SELECT nspowner::regrole FROM pg_namespace WHERE nspname = 'g_schema'; SELECT typowner::regrole FROM pg_type WHERE typname = 'g_type';

-- name: what it was allowed stays
DROP ROLE g_ann;

-- name: until it is dropped with what is owned
DROP OWNED BY g_ann; DROP ROLE g_ann; DROP OWNED BY g_ben CASCADE; DROP ROLE g_ben; SELECT count(*) FROM pg_class WHERE relname IN ('g_view', 'g_other'); SELECT count(*) FROM pg_namespace WHERE nspname = 'g_schema';

-- name: nobody
REASSIGN OWNED BY g_nobody TO current_user;

-- name: nobody's
DROP OWNED BY g_nobody;

-- name: what goes
DROP TABLE g_other;

-- name: a view of what its maker may not read
CREATE TABLE kept_back (a int); CREATE ROLE maker; CREATE SCHEMA maker_own AUTHORIZATION maker; SET ROLE maker; CREATE VIEW maker_own.v AS SELECT * FROM kept_back;

-- name: is read by nobody
SELECT * FROM maker_own.v;

-- name: not by the superuser either
RESET ROLE; SELECT * FROM maker_own.v;

-- name: until its owner may
GRANT SELECT ON kept_back TO maker; SELECT * FROM maker_own.v; DROP SCHEMA maker_own CASCADE; DROP TABLE kept_back; DROP ROLE maker;
