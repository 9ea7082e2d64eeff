-- name: tables
CREATE TABLE wa (k int PRIMARY KEY, v int);
CREATE TABLE wlog (id int NOT NULL, k int, v int);
CREATE TABLE wr (k int PRIMARY KEY, name text);

-- name: spread
SELECT create_distributed_table('wa', 'k', colocate_with => 'none');
SELECT create_distributed_table('wlog', 'id', colocate_with => 'none');
SELECT create_reference_table('wr');

-- name: fill
INSERT INTO wa SELECT g, g * 2 FROM generate_series(1, 20) g;
INSERT INTO wr SELECT g, 'r' || g FROM generate_series(1, 20) g;

-- name: insert and read what was inserted
WITH new AS (INSERT INTO wa VALUES (21, 42), (22, 44) RETURNING k, v) SELECT k, v, k + v AS sum FROM new ORDER BY k;

-- name: the statement sees the rows as they were
WITH gone AS (DELETE FROM wa WHERE k > 18 RETURNING k) SELECT (SELECT count(*) FROM wa) AS before, (SELECT count(*) FROM gone) AS gone;

-- name: they are gone now
SELECT count(*) FROM wa;

-- name: move rows from one table to another
WITH moved AS (DELETE FROM wa WHERE k <= 3 RETURNING *) INSERT INTO wlog SELECT k * 10, k, v FROM moved RETURNING id, k, v;

-- name: join what was updated with other tables
WITH u AS (UPDATE wa SET v = v + 100 WHERE k BETWEEN 5 AND 8 RETURNING k, v)
SELECT u.k, u.v, wr.name, wa.v AS old FROM u JOIN wr ON wr.k = u.k JOIN wa ON wa.k = u.k ORDER BY 1;

-- name: two changes, one without returning
WITH x AS (UPDATE wa SET v = 0 WHERE k = 9), y AS (INSERT INTO wlog VALUES (1, 1, 1) RETURNING id) SELECT * FROM y;

-- name: one change reads the other
WITH x AS (DELETE FROM wlog WHERE id = 1 RETURNING *), y AS (INSERT INTO wlog SELECT id + 1, k, v FROM x RETURNING id) SELECT * FROM y;

-- name: an update that reads what a change returned
WITH x AS (INSERT INTO wlog VALUES (500, 10, 77) RETURNING k, v) UPDATE wa SET v = x.v FROM x WHERE wa.k = x.k RETURNING wa.k, wa.v;

-- name: without returning there is nothing to read
WITH x AS (UPDATE wa SET v = 0 WHERE k = 9) SELECT * FROM x;

-- name: below the top it is refused
SELECT * FROM (WITH x AS (UPDATE wa SET v = 0 WHERE k = 9 RETURNING k) SELECT * FROM x) y;

-- name: a failure undoes all of it
WITH x AS (DELETE FROM wa RETURNING k) SELECT 1 / (count(*) - count(*)) FROM x;

-- name: in the end
SELECT * FROM wa ORDER BY k;
SELECT * FROM wlog ORDER BY id;

-- name: away with them
DROP TABLE wa, wlog, wr;

-- name: a queue of jobs in a distributed table
CREATE TABLE wq (id int PRIMARY KEY, state text NOT NULL);
SELECT create_distributed_table('wq', 'id', colocate_with => 'none');
INSERT INTO wq SELECT g, 'new' FROM generate_series(1, 5) g;

-- name: take the first job
UPDATE wq SET state = 'taken' WHERE id = (SELECT id FROM wq WHERE state = 'new' ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED) RETURNING id, state;

-- name: take the next one in WITH
WITH job AS (UPDATE wq SET state = 'taken' WHERE id IN (SELECT id FROM wq WHERE state = 'new' ORDER BY id LIMIT 1 FOR UPDATE) RETURNING id) SELECT * FROM job;

-- name: what is left of the queue
SELECT * FROM wq ORDER BY id;

-- name: away with the queue
DROP TABLE wq;
