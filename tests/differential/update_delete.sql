UPDATE, DELETE and TRUNCATE.

-- name: tables
-- tables: account by owner, audit by owner
CREATE TABLE account (owner int, no int, balance numeric(12,2) NOT NULL, label text, changed timestamp, PRIMARY KEY (owner, no));
CREATE TABLE audit (owner int, what text, amount numeric(12,2));

-- name: load
INSERT INTO account SELECT o, n, o * 100 + n, 'acc ' || o || '/' || n, NULL FROM generate_series(1, 12) o, generate_series(1, 3) n;

-- name: load audit
INSERT INTO audit SELECT o, 'opened', o * 5 FROM generate_series(1, 12, 2) o;

-- name: update one row by key
UPDATE account SET balance = balance - 10 WHERE owner = 1 AND no = 1;

-- name: update one tenant
UPDATE account SET balance = balance + 0.5, label = upper(label) WHERE owner = 2;

-- name: update all
UPDATE account SET changed = '2024-05-05 10:00';

-- name: update by another column
UPDATE account SET label = NULL WHERE balance > 1000 AND no = 3;

-- name: update nothing
UPDATE account SET balance = 0 WHERE owner = 999;

-- name: returning the new row
UPDATE account SET balance = balance * 2 WHERE owner = 3 RETURNING *;

-- name: returning expressions
UPDATE account SET balance = balance + no WHERE owner = 4 RETURNING no, balance - no AS before;

-- name: update to default
UPDATE account SET label = DEFAULT WHERE owner = 5 RETURNING label;

-- name: update of several columns at once
UPDATE account SET (balance, label) = (1, 'one') WHERE owner = 6 AND no = 1 RETURNING balance, label;

-- name: swap uses old values
UPDATE account SET label = no::text, balance = length(label) WHERE owner = 7 RETURNING no, label, balance;

-- name: update from another table
UPDATE account SET balance = account.balance + a.amount FROM audit a WHERE a.owner = account.owner AND account.no = 2;

-- name: update from values
UPDATE account SET label = v.label FROM (VALUES (8, 'eight'), (9, 'nine')) v(owner, label) WHERE v.owner = account.owner AND account.no = 1 RETURNING account.owner, account.label;

-- name: update with a subquery in set
UPDATE account SET balance = (SELECT sum(amount) FROM audit WHERE audit.owner = account.owner) WHERE owner = 9 AND no = 3 RETURNING balance;

-- name: update with in
UPDATE account SET label = 'audited' WHERE owner IN (SELECT owner FROM audit) AND no = 3;

-- name: update with exists
UPDATE account a SET label = 'x' WHERE NOT EXISTS (SELECT 1 FROM audit u WHERE u.owner = a.owner) AND no = 2;

-- name: constant false hits nothing
UPDATE account SET balance = 0 WHERE false;

-- name: delete with an empty in
DELETE FROM account WHERE owner IN (SELECT owner FROM audit WHERE amount > 1000);

-- name: state after the updates
SELECT * FROM account ORDER BY owner, no;

-- name: not null violation
UPDATE account SET balance = NULL WHERE owner = 1 AND no = 1;

-- name: numeric overflow
UPDATE account SET balance = 1e12 WHERE owner = 1;

-- name: key moved onto another
UPDATE account SET no = 2 WHERE owner = 10 AND no = 1;

-- name: key moved to a free place
UPDATE account SET no = 9 WHERE owner = 10 AND no = 1 RETURNING owner, no;

-- name: unknown column
UPDATE account SET nonsense = 1;

-- name: column set twice
UPDATE account SET label = 'a', label = 'b';

-- name: division by zero leaves everything
UPDATE account SET balance = balance / (no - 2) WHERE owner = 11;

-- name: nothing changed
SELECT sum(balance) FROM account WHERE owner = 11;

-- name: delete by key
DELETE FROM account WHERE owner = 12 AND no = 1;

-- name: delete returning
DELETE FROM account WHERE owner = 12 RETURNING no, label;

-- name: delete by another column
DELETE FROM account WHERE label = 'audited' AND owner > 6;

-- name: delete using
DELETE FROM account USING audit WHERE audit.owner = account.owner AND account.no = 1 AND audit.amount > 20;

-- name: delete nothing
DELETE FROM account WHERE false;

-- name: delete in with
WITH gone AS (DELETE FROM audit WHERE owner < 4 RETURNING owner) SELECT count(*) FROM gone;

-- name: state after the deletes
SELECT owner, no, balance FROM account ORDER BY owner, no;

-- name: insert again what was deleted
INSERT INTO account VALUES (12, 1, 5, 'back', NULL) RETURNING owner, no;

-- name: update of what was just inserted
UPDATE account SET balance = balance + 1 WHERE owner = 12 RETURNING balance;

-- name: delete all
DELETE FROM account;

-- name: empty
SELECT count(*) FROM account;

-- name: truncate
TRUNCATE audit;

-- name: truncated
SELECT count(*) FROM audit;

-- name: truncate of several and of one that is not there
TRUNCATE account, no_such_table;
