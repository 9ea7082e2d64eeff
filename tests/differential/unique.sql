UNIQUE constraints, unique indexes and what infers them; every unique key has the column that the tables are distributed by.

-- name: tables
-- tables: u by t, f by t
CREATE TABLE u (t int, id int, email text, n numeric(8,2), note text, PRIMARY KEY (t, id), CONSTRAINT u_email UNIQUE (t, email), UNIQUE (t, n));
CREATE TABLE f (t int, email text, v int, PRIMARY KEY (t, v));

-- name: rows
INSERT INTO u VALUES (1, 1, 'a', 1.5, 'x'), (1, 2, 'b', 2.5, 'y'), (2, 1, 'a', 1.5, 'z');

-- name: a taken value
INSERT INTO u VALUES (1, 3, 'a', 9, 'w');

-- name: a taken value of the second key
INSERT INTO u VALUES (1, 3, 'c', 1.50, 'w');

-- name: the primary key counts first
INSERT INTO u VALUES (1, 1, 'a', 1.5, 'w');

-- name: twice in one statement
INSERT INTO u VALUES (1, 3, 'c', 3, 'w'), (1, 4, 'c', 4, 'w');

-- name: nothing of it stayed
SELECT count(*) FROM u;

-- name: nulls are not equal
INSERT INTO u VALUES (1, 5, NULL, NULL, 'p'), (1, 6, NULL, NULL, 'q');

-- name: an update to a taken value
UPDATE u SET email = 'b' WHERE t = 1 AND id = 1;

-- name: an update to its own value
UPDATE u SET email = 'a', note = 'same' WHERE t = 1 AND id = 1;

-- name: an update to a free value
UPDATE u SET email = 'aa' WHERE t = 1 AND id = 1;

-- name: the old value is free
INSERT INTO u VALUES (1, 7, 'a', 7, 'new a');

-- name: do nothing
INSERT INTO u VALUES (1, 8, 'a', 8, 'n'), (1, 9, 'free', 9, 'n') ON CONFLICT DO NOTHING RETURNING id;

-- name: do nothing on other columns
INSERT INTO u VALUES (1, 10, 'free', 10, 'n') ON CONFLICT (t, id) DO NOTHING;

-- name: do nothing on these columns
INSERT INTO u VALUES (1, 10, 'free', 10, 'n') ON CONFLICT (email, t) DO NOTHING;

-- name: do update by columns
INSERT INTO u VALUES (1, 11, 'free', 11, 'up') ON CONFLICT (t, email) DO UPDATE SET note = excluded.note || u.note, n = excluded.n RETURNING id, email, n, note;

-- name: do update by constraint
INSERT INTO u VALUES (1, 11, 'free', 12, 'up2') ON CONFLICT ON CONSTRAINT u_email DO UPDATE SET note = excluded.note RETURNING id, email, n, note;

-- name: do update with a condition
INSERT INTO u VALUES (1, 11, 'free', 12, 'up3') ON CONFLICT (t, email) DO UPDATE SET note = excluded.note WHERE u.id > 100 RETURNING id;

-- name: do update into a taken value
INSERT INTO u VALUES (1, 11, 'free', 12, 'up3') ON CONFLICT (t, email) DO UPDATE SET n = 7;

-- name: do update of a row twice
INSERT INTO u VALUES (1, 11, 'free', 12, 'a'), (1, 12, 'free', 13, 'b') ON CONFLICT (t, email) DO UPDATE SET note = excluded.note;

-- name: a target that no index has
INSERT INTO u VALUES (1, 11, 'free', 12, 'a') ON CONFLICT (t, note) DO NOTHING;

-- name: a constraint that is not there
INSERT INTO u VALUES (1, 11, 'free', 12, 'a') ON CONFLICT ON CONSTRAINT nonsense DO NOTHING;

-- name: each row meets what the one before it did
INSERT INTO u VALUES (1, 11, 'free', 12, 'moved'), (1, 12, 'b', 13, 'x') ON CONFLICT (t, email) DO UPDATE SET email = u.email || '2', note = excluded.note RETURNING id, email; INSERT INTO u VALUES (1, 13, 'free2', 14, 'y'), (1, 14, 'free', 15, 'z') ON CONFLICT (t, email) DO UPDATE SET email = 'free'; UPDATE u SET email = 'b' WHERE email = 'b2'; UPDATE u SET email = 'free' WHERE email = 'free2';

-- name: all rows
SELECT * FROM u ORDER BY t, id;

-- name: delete and insert in one transaction
BEGIN; DELETE FROM u WHERE t = 1 AND email = 'free'; INSERT INTO u VALUES (1, 20, 'free', 20, 'again'); COMMIT;

-- name: a conflict in a transaction
BEGIN; INSERT INTO u VALUES (1, 21, 'mine', 21, 'm'); INSERT INTO u VALUES (1, 22, 'mine', 22, 'm'); COMMIT;

-- name: rolled back
ROLLBACK;

-- name: a savepoint gives the value back
BEGIN; SAVEPOINT s; INSERT INTO u VALUES (1, 21, 'mine', 21, 'm'); ROLLBACK TO s; INSERT INTO u VALUES (1, 22, 'mine', 22, 'm'); COMMIT; SELECT id FROM u WHERE t = 1 AND email = 'mine';

-- name: a unique index
CREATE UNIQUE INDEX u_note ON u (t, note);

-- name: it holds
INSERT INTO u VALUES (1, 30, 'thirty', 30, 'again');

-- name: on conflict finds it
INSERT INTO u VALUES (1, 30, 'thirty', 30, 'again') ON CONFLICT (t, note) DO UPDATE SET n = 31 RETURNING id, n;

-- name: an index is not a constraint
INSERT INTO u VALUES (1, 30, 'thirty', 30, 'again') ON CONFLICT ON CONSTRAINT u_note DO NOTHING;

-- name: drop it
DROP INDEX u_note;

-- name: now it is free
INSERT INTO u VALUES (1, 30, 'thirty', 30, 'again');

-- name: rows that are not unique
CREATE UNIQUE INDEX u_note ON u (t, note);

-- name: a partial unique index
CREATE UNIQUE INDEX u_part ON u (t, note) WHERE id < 25;

-- name: outside of it
INSERT INTO u VALUES (1, 40, 'forty', 40, 'again');

-- name: inside of it
INSERT INTO u VALUES (1, 24, 'x24', 24, 'again');

-- name: into it by an update
UPDATE u SET id = 23 WHERE t = 1 AND id = 40;

-- name: a unique index on an expression
CREATE UNIQUE INDEX u_lower ON u (t, lower(email));

-- name: its values
INSERT INTO u VALUES (1, 50, 'FREE', 50, 'l');

-- name: nulls not distinct
CREATE UNIQUE INDEX u_nulls ON f (t, email) NULLS NOT DISTINCT;

-- name: one null
INSERT INTO f VALUES (1, NULL, 1);

-- name: two nulls
INSERT INTO f VALUES (1, NULL, 2);

-- name: a null elsewhere
INSERT INTO f VALUES (2, NULL, 2);

-- name: what the catalog says
SELECT i.relname, x.indisunique, x.indisprimary, x.indisvalid, x.indnkeyatts FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid JOIN pg_class c ON c.oid = x.indrelid WHERE c.relname IN ('u', 'f') ORDER BY 1;

-- name: what constraints there are
SELECT conname, contype, pg_get_constraintdef(o.oid) FROM pg_constraint o JOIN pg_class c ON c.oid = o.conrelid WHERE c.relname = 'u' AND contype IN ('p', 'u') ORDER BY 1;

-- name: what indexes there are
SELECT indexname, indexdef FROM pg_indexes WHERE tablename = 'u' AND indexname <> 'u_part' ORDER BY 1;

-- name: an index of a constraint stays
DROP INDEX u_email;

-- name: a column twice
CREATE TABLE twice (a int, UNIQUE (a, a));

-- name: a column that is not there
CREATE TABLE nowhere (a int, UNIQUE (b));

-- name: inline, named and repeated
CREATE TABLE inl (a int UNIQUE, b int CONSTRAINT b_once UNIQUE, c int, d int, UNIQUE NULLS NOT DISTINCT (d), UNIQUE (a), UNIQUE (c, d));

-- name: their names
SELECT conname, pg_get_constraintdef(o.oid) FROM pg_constraint o JOIN pg_class c ON c.oid = o.conrelid WHERE c.relname = 'inl' ORDER BY 1;

-- name: the index of a constraint has its name
CREATE TABLE inl_b_key (a int);

-- name: a name that is taken
CREATE TABLE named (a int, CONSTRAINT inl_a_key UNIQUE (a));

-- name: a foreign key to a unique key
CREATE TABLE child (id int PRIMARY KEY, b int REFERENCES inl (b) ON DELETE CASCADE ON UPDATE CASCADE, a int REFERENCES inl (a));

-- name: parents
INSERT INTO inl VALUES (1, 10, 1, 1), (2, 20, 2, 2), (NULL, NULL, 3, 3);

-- name: children
INSERT INTO child VALUES (1, 10, 2), (2, 20, NULL), (3, NULL, 1);

-- name: a child without a parent
INSERT INTO child VALUES (4, 11, 2);

-- name: a parent that is needed
DELETE FROM inl WHERE a = 2;

-- name: a parent's other columns
UPDATE inl SET c = 100 WHERE a = 2;

-- name: a new key goes to the children
UPDATE inl SET b = 21 WHERE b = 20;

-- name: the children have it
SELECT * FROM child ORDER BY id;

-- name: cascade
UPDATE child SET a = NULL WHERE a = 1; DELETE FROM inl WHERE b = 10; SELECT * FROM child ORDER BY id;

-- name: a foreign key to columns that are not unique
CREATE TABLE stray (id int PRIMARY KEY, c int REFERENCES inl (c));

-- name: clean up
DROP TABLE child; DROP TABLE inl; DROP TABLE inl_b_key;
