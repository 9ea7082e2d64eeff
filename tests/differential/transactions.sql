BEGIN, COMMIT, ROLLBACK, savepoints, and errors in transactions.

-- name: tables
-- tables: ledger by account
CREATE TABLE ledger (account int, entry int, amount int, PRIMARY KEY (account, entry));
INSERT INTO ledger VALUES (1, 1, 100), (2, 1, 200);

-- name: commit
BEGIN; INSERT INTO ledger VALUES (1, 2, -10); UPDATE ledger SET amount = amount + 1 WHERE account = 1 AND entry = 1; COMMIT;

-- name: committed
SELECT * FROM ledger ORDER BY account, entry;

-- name: rollback
BEGIN; DELETE FROM ledger WHERE account = 1; ROLLBACK;

-- name: rolled back
SELECT count(*) FROM ledger;

-- name: own writes are seen
BEGIN;

-- name: insert in a transaction
INSERT INTO ledger VALUES (1, 3, 30);

-- name: read it
SELECT entry, amount FROM ledger WHERE account = 1 ORDER BY entry;

-- name: aggregate with it
SELECT sum(amount), count(*) FROM ledger;

-- name: update it
UPDATE ledger SET amount = 31 WHERE account = 1 AND entry = 3 RETURNING amount;

-- name: delete it
DELETE FROM ledger WHERE account = 1 AND entry = 3 RETURNING entry;

-- name: it is gone for us
SELECT count(*) FROM ledger WHERE account = 1;

-- name: insert it again
INSERT INTO ledger VALUES (1, 3, 33);

-- name: commit it
COMMIT;

-- name: it is there
SELECT amount FROM ledger WHERE account = 1 AND entry = 3;

-- name: an error aborts the transaction
BEGIN;

-- name: the error
INSERT INTO ledger VALUES (1, 1, 0);

-- name: everything is refused
SELECT 1;

-- name: even what is wrong
SELECT * FROM no_such_table;

-- name: commit rolls back
COMMIT;

-- name: savepoints
BEGIN;

-- name: before the savepoint
INSERT INTO ledger VALUES (3, 1, 1);

-- name: a savepoint
SAVEPOINT a;

-- name: after the savepoint
INSERT INTO ledger VALUES (3, 2, 2);

-- name: an error after the savepoint
SELECT 1 / 0;

-- name: rollback to it
ROLLBACK TO SAVEPOINT a;

-- name: only what came before
SELECT entry FROM ledger WHERE account = 3 ORDER BY entry;

-- name: another savepoint
SAVEPOINT b;

-- name: release it
INSERT INTO ledger VALUES (3, 4, 4); RELEASE SAVEPOINT b;

-- name: unknown savepoint
ROLLBACK TO SAVEPOINT nonsense;

-- name: back to the known one
ROLLBACK TO SAVEPOINT a; INSERT INTO ledger VALUES (3, 5, 5);

-- name: end it
COMMIT;

-- name: what remains
SELECT entry FROM ledger WHERE account = 3 ORDER BY entry;

-- name: begin twice warns
BEGIN; BEGIN; COMMIT;

-- name: commit without begin warns
COMMIT;

-- name: rollback without begin warns
ROLLBACK;

-- name: savepoint outside a transaction
SAVEPOINT x;

-- name: a message of statements is one transaction
INSERT INTO ledger VALUES (4, 1, 1); INSERT INTO ledger VALUES (4, 1, 2);

-- name: none of it stayed
SELECT count(*) FROM ledger WHERE account = 4;

-- name: a message with its own commit
INSERT INTO ledger VALUES (5, 1, 1); COMMIT; INSERT INTO ledger VALUES (5, 1, 1);

-- name: the first part stayed
SELECT count(*) FROM ledger WHERE account = 5;

-- name: several keys in one transaction
BEGIN; UPDATE ledger SET amount = amount - 5 WHERE account = 1 AND entry = 1; UPDATE ledger SET amount = amount + 5 WHERE account = 2 AND entry = 1; COMMIT;

-- name: the sum is the same
SELECT sum(amount) FROM ledger WHERE account IN (1, 2) AND entry = 1;

-- name: read only
BEGIN READ ONLY;

-- name: a write is refused
DELETE FROM ledger;

-- name: end of read only
ROLLBACK;

-- name: read only: create table fresh
BEGIN READ ONLY; CREATE TABLE fresh (a int);

-- name: end of it
ROLLBACK;

-- name: read only: create table ledger
BEGIN READ ONLY; CREATE TABLE ledger (a int);

-- name: end of it
ROLLBACK;

-- name: read only: create table fresh as select 1 as a
BEGIN READ ONLY; CREATE TABLE fresh AS SELECT 1 AS a;

-- name: end of it
ROLLBACK;

-- name: read only: select 1 as a into fresh
BEGIN READ ONLY; SELECT 1 AS a INTO fresh;

-- name: end of it
ROLLBACK;

-- name: read only: create table fresh
BEGIN READ ONLY; CREATE TABLE fresh (LIKE ledger);

-- name: end of it
ROLLBACK;

-- name: a sequence for readers
CREATE SEQUENCE read_only_numbers;

-- name: read only: nextval
BEGIN READ ONLY; SELECT nextval('read_only_numbers');

-- name: end of it
ROLLBACK;

-- name: read only: setval
BEGIN READ ONLY; SELECT setval('read_only_numbers', 7);

-- name: end of it
ROLLBACK;

-- name: read only: for update
BEGIN READ ONLY; SELECT account FROM ledger FOR UPDATE;

-- name: end of it
ROLLBACK;

-- name: read only: for share
BEGIN READ ONLY; SELECT account FROM ledger FOR SHARE;

-- name: end of it
ROLLBACK;

-- name: read only: for key share in a subquery
BEGIN READ ONLY; SELECT * FROM (SELECT account FROM ledger FOR KEY SHARE) AS x;

-- name: end of it
ROLLBACK;

-- name: read only by default, nextval
SET default_transaction_read_only = on;

-- name: nextval outside of a transaction
SELECT nextval('read_only_numbers');

-- name: writes again
RESET default_transaction_read_only;

-- name: the first number is still there
SELECT nextval('read_only_numbers');

-- name: its end
DROP SEQUENCE read_only_numbers;

-- name: read only: drop table ledger
BEGIN READ ONLY; DROP TABLE ledger;

-- name: end of it
ROLLBACK;

-- name: read only: drop table if exists nothing_here
BEGIN READ ONLY; DROP TABLE IF EXISTS nothing_here;

-- name: end of it
ROLLBACK;

-- name: read only: alter table ledger add column more int
BEGIN READ ONLY; ALTER TABLE ledger ADD COLUMN more int;

-- name: end of it
ROLLBACK;

-- name: read only: create index on ledger
BEGIN READ ONLY; CREATE INDEX ON ledger (amount);

-- name: end of it
ROLLBACK;

-- name: read only: drop index nothing_here
BEGIN READ ONLY; DROP INDEX nothing_here;

-- name: end of it
ROLLBACK;

-- name: read only: create view fresh as select 1 as a
BEGIN READ ONLY; CREATE VIEW fresh AS SELECT 1 AS a;

-- name: end of it
ROLLBACK;

-- name: read only: create sequence fresh
BEGIN READ ONLY; CREATE SEQUENCE fresh;

-- name: end of it
ROLLBACK;

-- name: read only: create schema fresh
BEGIN READ ONLY; CREATE SCHEMA fresh;

-- name: end of it
ROLLBACK;

-- name: read only: create type fresh as enum
BEGIN READ ONLY; CREATE TYPE fresh AS ENUM ('a');

-- name: end of it
ROLLBACK;

-- name: read only: create role fresh
BEGIN READ ONLY; CREATE ROLE fresh;

-- name: end of it
ROLLBACK;

-- name: read only: create user fresh
BEGIN READ ONLY; CREATE USER fresh;

-- name: end of it
ROLLBACK;

-- name: read only: grant select on ledger to public
BEGIN READ ONLY; GRANT SELECT ON ledger TO public;

-- name: end of it
ROLLBACK;

-- name: read only: revoke select on ledger from public
BEGIN READ ONLY; REVOKE SELECT ON ledger FROM public;

-- name: end of it
ROLLBACK;

-- name: read only: comment on table ledger is 'x'
BEGIN READ ONLY; COMMENT ON TABLE ledger IS 'x';

-- name: end of it
ROLLBACK;

-- name: read only: truncate ledger
BEGIN READ ONLY; TRUNCATE ledger;

-- name: end of it
ROLLBACK;

-- name: read only: insert into ledger values
BEGIN READ ONLY; INSERT INTO ledger VALUES (9, 9, 9);

-- name: end of it
ROLLBACK;

-- name: read only: merge into ledger using
BEGIN READ ONLY; MERGE INTO ledger USING (SELECT 9 AS a) s ON account = s.a WHEN MATCHED THEN DELETE;

-- name: end of it
ROLLBACK;

-- name: read only: with w as
BEGIN READ ONLY; WITH w AS (DELETE FROM ledger RETURNING account) SELECT * FROM w;

-- name: end of it
ROLLBACK;

-- name: a lock is not a write
BEGIN READ ONLY; LOCK TABLE ledger; ROLLBACK;

-- name: isolation levels
BEGIN ISOLATION LEVEL REPEATABLE READ; SHOW transaction_isolation; COMMIT;

-- name: start transaction
START TRANSACTION; SELECT 1; END;

-- name: rollback with chain
BEGIN; INSERT INTO ledger VALUES (6, 1, 1); ROLLBACK AND CHAIN; INSERT INTO ledger VALUES (6, 2, 2); COMMIT; SELECT entry FROM ledger WHERE account = 6;

-- name: for update
BEGIN; SELECT amount FROM ledger WHERE account = 1 AND entry = 1 FOR UPDATE; COMMIT;

-- name: the same transaction id
BEGIN; SELECT txid_current() = txid_current(); COMMIT;

-- name: abort
BEGIN; INSERT INTO ledger VALUES (9, 9, 9); ABORT;

-- name: abort work
BEGIN; SELECT 1 / 0; 

-- name: abort a failed one
ABORT WORK;

-- name: nothing of it
SELECT count(*) FROM ledger WHERE account = 9;

-- name: settings and savepoints
BEGIN; SET application_name = 'a'; SAVEPOINT s; SET application_name = 'b'; SET LOCAL work_mem = '1MB'; SAVEPOINT t; SELECT set_config('application_name', 'c', false); ROLLBACK TO s; SELECT current_setting('application_name'), current_setting('work_mem') = '1MB'; SET application_name = 'd'; RELEASE s; COMMIT; SELECT current_setting('application_name'); RESET application_name;

-- name: settings of a savepoint that failed
BEGIN; SAVEPOINT s; SET DateStyle = 'German'; SELECT 1 / 0;

-- name: settings after it
ROLLBACK TO s; SHOW DateStyle; COMMIT;

-- name: definitions of a new table that a savepoint undoes
BEGIN; CREATE TABLE fresh (a int PRIMARY KEY, b text); INSERT INTO fresh VALUES (1, 'x'); SAVEPOINT s; ALTER TABLE fresh ADD COLUMN c int; UPDATE fresh SET c = 1; ROLLBACK TO s; INSERT INTO fresh VALUES (2, 'y'); SAVEPOINT t; ALTER TABLE fresh ALTER b TYPE varchar(3), ADD CONSTRAINT short CHECK (length(b) < 3); ROLLBACK TO t; INSERT INTO fresh VALUES (3, 'long enough'); SAVEPOINT u; ALTER TABLE fresh RENAME b TO d; ROLLBACK TO u; SELECT * FROM fresh ORDER BY a; COMMIT; SELECT * FROM fresh ORDER BY a; INSERT INTO fresh VALUES (4, 'z'); DROP TABLE fresh;

-- name: a unique index of a new table that a savepoint undoes
BEGIN; CREATE TABLE fresh (a int, b int); INSERT INTO fresh VALUES (3, 1); SAVEPOINT s; CREATE UNIQUE INDEX ON fresh (a); ROLLBACK TO s; INSERT INTO fresh VALUES (3, 2); SAVEPOINT s2; CREATE INDEX ON fresh (b); RELEASE s2; INSERT INTO fresh VALUES (4, 4); SELECT * FROM fresh ORDER BY b; COMMIT; SELECT * FROM fresh ORDER BY b; INSERT INTO fresh VALUES (3, 3); SELECT b FROM fresh WHERE a = 3 ORDER BY b; DROP TABLE fresh;

-- name: an error that undoes a definition of a new table
BEGIN; CREATE TABLE fresh (a int, b int); INSERT INTO fresh VALUES (1, 1), (1, 2); SAVEPOINT s; CREATE UNIQUE INDEX ON fresh (a);

-- name: what is left then
ROLLBACK TO s; INSERT INTO fresh VALUES (1, 3); SELECT * FROM fresh ORDER BY b; COMMIT; DROP TABLE fresh;

-- name: definitions of an altered table that a savepoint undoes in part
CREATE TABLE fresh (a int, b int); BEGIN; ALTER TABLE fresh ADD c int DEFAULT 5; INSERT INTO fresh VALUES (1, 1); SAVEPOINT s; ALTER TABLE fresh ADD d int DEFAULT 6; INSERT INTO fresh VALUES (2, 2); ROLLBACK TO s; INSERT INTO fresh VALUES (3, 3, 3); SELECT * FROM fresh ORDER BY a; COMMIT; SELECT * FROM fresh ORDER BY a; DROP TABLE fresh;

-- name: a setting for a transaction that is not there
SET LOCAL datestyle TO german;

-- name: it is gone
SHOW datestyle;

-- name: a time zone for a transaction that is not there
SET LOCAL TIME ZONE 'Asia/Tokyo';

-- name: it is gone as well
SELECT current_setting('TimeZone') = 'Asia/Tokyo';

-- name: for the statements that come together
SET LOCAL datestyle TO german; SHOW datestyle;

-- name: not beyond them
SHOW datestyle;

-- name: the default for a transaction
SET datestyle TO german; BEGIN; SET LOCAL datestyle TO DEFAULT; SHOW datestyle; COMMIT; SHOW datestyle; RESET datestyle;

-- name: a wrong setting for a transaction that is not there
SET LOCAL datestyle TO klingon;

-- name: a chain of nothing
COMMIT AND CHAIN;

-- name: nor to roll back
ROLLBACK AND CHAIN;

-- name: a chain of several statements
SELECT 1; COMMIT AND CHAIN;

-- name: a chain reads only, too
BEGIN READ ONLY; COMMIT AND CHAIN; SHOW transaction_read_only; ROLLBACK AND CHAIN; SHOW transaction_read_only; COMMIT; SHOW transaction_read_only;
