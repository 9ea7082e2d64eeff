-- tables: tm by k
-- name: setup
CREATE TABLE tm (k int PRIMARY KEY, v int); INSERT INTO tm VALUES (1, 1);

-- name: no way out of a read-only transaction by a savepoint
BEGIN READ ONLY; SAVEPOINT x; SET TRANSACTION READ WRITE;

-- name: nor by the setting
ROLLBACK; BEGIN READ ONLY; SAVEPOINT x; SET transaction_read_only = off;

-- name: nor after a query
ROLLBACK; BEGIN READ ONLY; SELECT count(*) FROM tm; SET TRANSACTION READ WRITE;

-- name: before it there is
ROLLBACK; BEGIN READ ONLY; SET TRANSACTION READ WRITE; INSERT INTO tm VALUES (2, 2); COMMIT;

-- name: what a savepoint made read only is not any more without it
BEGIN; SAVEPOINT x; SET TRANSACTION READ ONLY; SHOW transaction_read_only; ROLLBACK TO x; SHOW transaction_read_only; INSERT INTO tm VALUES (3, 3); COMMIT;

-- name: nor after its release
BEGIN; SAVEPOINT x; SET TRANSACTION READ ONLY; RELEASE x; INSERT INTO tm VALUES (4, 4); SHOW transaction_read_only; COMMIT;

-- name: isolation is the whole transaction's
BEGIN; SAVEPOINT x; SET TRANSACTION ISOLATION LEVEL REPEATABLE READ;

-- name: rows
ROLLBACK; SELECT * FROM tm ORDER BY k;

-- name: set_config is SET
BEGIN READ ONLY; SELECT count(*) FROM tm; SELECT set_config('transaction_read_only', 'off', true);

-- name: end
ROLLBACK;

-- name: a shared advisory lock under an exclusive one counts
SELECT pg_advisory_lock(7001), pg_advisory_lock_shared(7001); SELECT pg_advisory_unlock(7001), pg_advisory_unlock_shared(7001);

-- name: and no more
SELECT pg_advisory_unlock_shared(7001);

-- name: what a message has reset is as it was when the message fails
SET work_mem = '5MB';

-- name: with this one
RESET work_mem; SELECT 1 / 0;

-- name: it is
SHOW work_mem;
