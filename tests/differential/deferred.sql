-- Foreign keys that are checked when their transaction ends.

-- name: a parent
-- tables: p by id
CREATE TABLE p (id int PRIMARY KEY, v int);

-- name: a key that is initially deferred
-- tables: c by pid
CREATE TABLE c (id int, pid int CONSTRAINT c_p REFERENCES p DEFERRABLE INITIALLY DEFERRED);

-- name: one that is immediate until it is told otherwise
-- tables: i by pid
CREATE TABLE i (id int, pid int, CONSTRAINT i_p FOREIGN KEY (pid) REFERENCES p (id) ON DELETE NO ACTION DEFERRABLE);

-- name: one that cannot wait
-- tables: n by pid
CREATE TABLE n (id int, pid int CONSTRAINT n_p REFERENCES p ON DELETE RESTRICT NOT DEFERRABLE INITIALLY IMMEDIATE);

-- name: what is told of them
SELECT conname, condeferrable, condeferred, pg_get_constraintdef(oid) FROM pg_constraint WHERE conname IN ('c_p', 'i_p', 'n_p', 'p_pkey') ORDER BY 1;

-- name: and in the information schema
SELECT constraint_name, is_deferrable::text, initially_deferred::text FROM information_schema.table_constraints WHERE constraint_name IN ('c_p', 'i_p', 'n_p', 'p_pkey') ORDER BY 1;

-- name: a key that is deferred but not deferrable
CREATE TABLE wrong (id int REFERENCES p NOT DEFERRABLE INITIALLY DEFERRED);

-- name: the child may come first
BEGIN; INSERT INTO c VALUES (1, 1), (2, 2); INSERT INTO p VALUES (1), (2); COMMIT; SELECT * FROM c ORDER BY id;

-- name: in one message without a block, too
INSERT INTO c VALUES (3, 3); INSERT INTO p VALUES (3);

-- name: but its parent must come before the end
BEGIN;

-- name: a child of nobody
INSERT INTO c VALUES (9, 9);

-- name: another, on other workers perhaps
INSERT INTO c VALUES (1, 1), (2, 2), (3, 3);

-- name: is told at the commit
COMMIT;

-- name: after which nothing is left
SELECT * FROM c ORDER BY id;

-- name: and no transaction is open
ROLLBACK;

-- name: alone it is told at once
INSERT INTO c VALUES (9, 9);

-- name: an update is checked late as well
BEGIN; UPDATE c SET id = 20 WHERE id = 2; INSERT INTO p VALUES (4, 0); INSERT INTO c VALUES (4, 5); DELETE FROM c WHERE id = 4; COMMIT; SELECT * FROM c ORDER BY id;

-- name: of rows that are gone nothing is asked
BEGIN; INSERT INTO c VALUES (7, 77); TRUNCATE i; DELETE FROM c WHERE pid = 77; COMMIT;

-- name: nor of those that a savepoint took back
BEGIN; SAVEPOINT s; INSERT INTO c VALUES (7, 77); ROLLBACK TO s; COMMIT; SELECT count(*) FROM c;

-- name: but of what came before it
BEGIN; INSERT INTO c VALUES (7, 77); SAVEPOINT s; INSERT INTO p VALUES (77); ROLLBACK TO s; COMMIT;

-- name: a parent may go before its children
BEGIN; DELETE FROM p WHERE id = 3; DELETE FROM c WHERE pid = 3; COMMIT; SELECT id FROM p ORDER BY 1;

-- name: or come back
BEGIN; DELETE FROM p WHERE id = 1; INSERT INTO p VALUES (1, 11); COMMIT; SELECT * FROM p ORDER BY 1;

-- name: a parent that goes for good
BEGIN; DELETE FROM p WHERE id = 1; COMMIT;

-- name: or gets another key
BEGIN; UPDATE p SET v = 12 WHERE id = 1; DELETE FROM p WHERE id = 2; SELECT count(*) FROM p; COMMIT;

-- name: leaves things as they were
SELECT * FROM p ORDER BY 1;

-- name: SET CONSTRAINTS defers what is immediate
BEGIN; SET CONSTRAINTS i_p DEFERRED; INSERT INTO i VALUES (1, 100); INSERT INTO p VALUES (100); COMMIT; SELECT * FROM i;

-- name: for this transaction only
BEGIN; INSERT INTO i VALUES (2, 101); COMMIT;

-- name: all of them at once
ROLLBACK; BEGIN; SET CONSTRAINTS ALL DEFERRED; INSERT INTO i VALUES (2, 102); INSERT INTO c VALUES (102, 102); INSERT INTO p VALUES (102); COMMIT; SELECT pid FROM i ORDER BY 1;

-- name: immediately
BEGIN; SET CONSTRAINTS ALL IMMEDIATE; INSERT INTO c VALUES (103, 103);

-- name: one of all
ROLLBACK; BEGIN; SET CONSTRAINTS ALL IMMEDIATE; SET CONSTRAINTS c_p DEFERRED; INSERT INTO c VALUES (103, 103); INSERT INTO p VALUES (103); COMMIT;

-- name: all after one
BEGIN; SET CONSTRAINTS c_p IMMEDIATE; SET CONSTRAINTS ALL DEFERRED; INSERT INTO c VALUES (104, 104); INSERT INTO p VALUES (104); COMMIT;

-- name: what has waited is checked when it is immediate
BEGIN; INSERT INTO c VALUES (105, 105); SET CONSTRAINTS c_p IMMEDIATE;

-- name: which fails the transaction
SELECT 1;

-- name: as usual
ROLLBACK;

-- name: other constraints wait on
BEGIN; INSERT INTO c VALUES (105, 105); SET CONSTRAINTS i_p IMMEDIATE; INSERT INTO p VALUES (105); SET CONSTRAINTS ALL IMMEDIATE; COMMIT;

-- name: a failed check waits on after a savepoint
BEGIN; INSERT INTO c VALUES (106, 106); SAVEPOINT s;

-- name: it fails
SET CONSTRAINTS ALL IMMEDIATE;

-- name: and waits again
ROLLBACK TO s; INSERT INTO p VALUES (106); COMMIT;

-- name: a mended violation comes back with a savepoint
BEGIN; INSERT INTO c VALUES (107, 107); SAVEPOINT s; INSERT INTO p VALUES (107); SET CONSTRAINTS ALL IMMEDIATE; ROLLBACK TO s; COMMIT;

-- name: so does the mode
BEGIN; SAVEPOINT s; SET CONSTRAINTS c_p IMMEDIATE; ROLLBACK TO s; INSERT INTO c VALUES (108, 108); INSERT INTO p VALUES (108); COMMIT;

-- name: RESTRICT never waits
BEGIN; INSERT INTO n VALUES (1, 108); SET CONSTRAINTS ALL DEFERRED; DELETE FROM p WHERE id = 108;

-- name: back
ROLLBACK;

-- name: a constraint that is not there
BEGIN; SET CONSTRAINTS nowhere DEFERRED;

-- name: in a schema that is not there
ROLLBACK; BEGIN; SET CONSTRAINTS nowhere.c_p DEFERRED;

-- name: in its schema
ROLLBACK; BEGIN; SET CONSTRAINTS public.c_p, i_p DEFERRED; COMMIT;

-- name: one that is not deferrable
BEGIN; SET CONSTRAINTS c_p, n_p DEFERRED;

-- name: is immediate
ROLLBACK; BEGIN; SET CONSTRAINTS n_p, p_pkey IMMEDIATE; COMMIT;

-- name: no key can be deferred
BEGIN; SET CONSTRAINTS p_pkey DEFERRED;

-- name: outside of a block nothing lasts
ROLLBACK;

-- name: which is warned of
SET CONSTRAINTS ALL DEFERRED;

-- name: and errors are errors
SET CONSTRAINTS nowhere IMMEDIATE;

-- name: the table stays as it is while checks wait
BEGIN; INSERT INTO c VALUES (109, 109);

-- name: for ALTER TABLE
ALTER TABLE c ADD COLUMN w int;

-- name: for TRUNCATE
ROLLBACK; BEGIN; INSERT INTO c VALUES (109, 109); TRUNCATE c;

-- name: for DROP TABLE
ROLLBACK; BEGIN; INSERT INTO c VALUES (109, 109); DROP TABLE c;

-- name: not when they are done
ROLLBACK; BEGIN; INSERT INTO c VALUES (109, 109); INSERT INTO p VALUES (109); SET CONSTRAINTS ALL IMMEDIATE; SET CONSTRAINTS ALL DEFERRED; ALTER TABLE c ADD COLUMN w int; INSERT INTO c VALUES (110, 110, 1); INSERT INTO p VALUES (110); COMMIT; SELECT count(w) FROM c;

-- name: ALTER CONSTRAINT changes when a key is checked
ALTER TABLE c ALTER CONSTRAINT c_p NOT DEFERRABLE; ALTER TABLE n ALTER CONSTRAINT n_p DEFERRABLE INITIALLY DEFERRED; ALTER TABLE i ALTER CONSTRAINT i_p INITIALLY DEFERRED; SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint WHERE conname IN ('c_p', 'i_p', 'n_p') ORDER BY 1;

-- name: it is so at once
INSERT INTO c VALUES (111, 111); INSERT INTO p VALUES (111);

-- name: either way
BEGIN; INSERT INTO n VALUES (111, 111); INSERT INTO i VALUES (111, 111); INSERT INTO p VALUES (111); COMMIT;

-- name: in the transaction of the change
BEGIN; ALTER TABLE c ALTER CONSTRAINT c_p DEFERRABLE INITIALLY DEFERRED; INSERT INTO c VALUES (112, 112); INSERT INTO p VALUES (112); COMMIT;

-- name: the change of what is no foreign key
ALTER TABLE p ALTER CONSTRAINT p_pkey DEFERRABLE;

-- name: of what is not there
ALTER TABLE p ALTER CONSTRAINT nowhere DEFERRABLE;

-- name: to nonsense
ALTER TABLE c ALTER CONSTRAINT c_p NOT DEFERRABLE INITIALLY DEFERRED;

-- name: a key that is added later
ALTER TABLE c DROP CONSTRAINT c_p; ALTER TABLE c ADD CONSTRAINT c_q FOREIGN KEY (pid) REFERENCES p ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED NOT VALID; SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = 'c_q';

-- name: CASCADE happens at once
BEGIN; SET CONSTRAINTS ALL DEFERRED; DELETE FROM p WHERE id = 112; SELECT count(*) FROM c WHERE pid = 112; COMMIT;

-- name: a parent of which every worker has a copy
CREATE TABLE kinds (kind int PRIMARY KEY);

-- name: on every worker
-- only: satsuma
SELECT create_reference_table('kinds');

-- name: and children on all of them
CREATE TABLE things (id int PRIMARY KEY, kind int CONSTRAINT things_kind REFERENCES kinds DEFERRABLE INITIALLY DEFERRED);

-- name: by their own key
-- only: satsuma
SELECT create_distributed_table('things', 'id');

-- name: children first
BEGIN; INSERT INTO things SELECT g, g % 3 FROM generate_series(1, 50) g; INSERT INTO kinds VALUES (0), (1), (2); COMMIT; SELECT count(*) FROM things;

-- name: one of many is wrong
BEGIN; INSERT INTO things SELECT g, 0 FROM generate_series(51, 80) g; INSERT INTO things VALUES (81, 3); COMMIT;

-- name: none is there
SELECT count(*) FROM things;

-- name: many in one statement
INSERT INTO things SELECT g, g % 4 FROM generate_series(51, 80) g WHERE g % 4 IN (0, 1, 2) OR g = 55;

-- name: NULL refers to nothing
BEGIN; INSERT INTO things VALUES (99, NULL); COMMIT;

-- name: a kind that goes with its things
BEGIN; DELETE FROM kinds WHERE kind = 2; DELETE FROM things WHERE kind = 2; COMMIT; SELECT count(*) FROM things;

-- name: one that goes without them
BEGIN; DELETE FROM kinds WHERE kind = 1; COMMIT;

-- name: a kind that changes, and its things after it
BEGIN; UPDATE kinds SET kind = 7 WHERE kind = 1; UPDATE things SET kind = 7 WHERE kind = 1; SET CONSTRAINTS things_kind IMMEDIATE; COMMIT; SELECT kind, count(*) FROM things GROUP BY 1 ORDER BY 1;

-- name: deferrable unique constraints
-- differs: unique constraints cannot wait
CREATE TABLE late (id int UNIQUE DEFERRABLE);

-- name: and primary keys
-- differs: primary keys cannot wait
CREATE TABLE later (id int PRIMARY KEY DEFERRABLE INITIALLY DEFERRED);

-- name: a table whose rows are written anew
CREATE TABLE shelves (id int PRIMARY KEY); CREATE TABLE books (id int PRIMARY KEY, shelf int CONSTRAINT on_shelf REFERENCES shelves DEFERRABLE INITIALLY DEFERRED, pages int); INSERT INTO shelves VALUES (1), (2); INSERT INTO books VALUES (1, 1, 10), (2, 2, 20);

-- name: anew, and once more
BEGIN; ALTER TABLE books ALTER pages TYPE bigint USING pages + 1; ALTER TABLE books ADD COLUMN stamp text DEFAULT md5(random()::text); ALTER TABLE books ADD COLUMN note text; ALTER TABLE books ALTER pages TYPE numeric; COMMIT; SELECT id, shelf, pages, note FROM books ORDER BY id;

-- name: what they refer to counts all the same
BEGIN; ALTER TABLE books ALTER pages TYPE int; INSERT INTO books (id, shelf) VALUES (3, 9); COMMIT;

-- name: an index while a check waits
BEGIN; INSERT INTO books (id, shelf) VALUES (3, 1); CREATE INDEX ON books (pages);

-- name: that is over
ROLLBACK;

-- name: names may change meanwhile
BEGIN; INSERT INTO books (id, shelf) VALUES (3, 1); ALTER TABLE books RENAME pages TO leaves; ALTER TABLE books RENAME CONSTRAINT on_shelf TO shelved; ALTER TABLE books RENAME TO tomes; COMMIT; SELECT id, leaves FROM tomes ORDER BY id;

-- name: nothing else may
BEGIN; INSERT INTO tomes (id, shelf) VALUES (4, 1); ALTER TABLE tomes ALTER leaves SET DEFAULT 4;

-- name: that is over as well
ROLLBACK; DROP TABLE tomes, shelves;
