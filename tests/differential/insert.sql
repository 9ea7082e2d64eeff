INSERT in all its forms.

-- name: tables
-- tables: note by tenant, plain by k
CREATE TABLE note (tenant int, id int, body text DEFAULT 'empty', score numeric(5,2) DEFAULT 1.5, made timestamp DEFAULT '2024-01-01', PRIMARY KEY (tenant, id));
CREATE TABLE plain (k int, v text);

-- name: one row
INSERT INTO note VALUES (1, 1, 'a', 2.345, '2024-02-02');

-- name: several rows
INSERT INTO note VALUES (1, 2, 'b', 3, NULL), (2, 1, 'c', 4, NULL), (3, 1, NULL, NULL, NULL);

-- name: columns and defaults
INSERT INTO note (id, tenant) VALUES (3, 1) RETURNING *;

-- name: default keyword
INSERT INTO note VALUES (2, 2, DEFAULT, DEFAULT, DEFAULT) RETURNING body, score, made;

-- name: fewer values than columns
INSERT INTO note VALUES (4, 1) RETURNING *;

-- name: returning expressions
INSERT INTO note (tenant, id, body) VALUES (5, 1, 'x'), (5, 2, 'y') RETURNING tenant * 10 + id AS code, upper(body);

-- name: returning of one row
INSERT INTO note (tenant, id) VALUES (6, 1) RETURNING tenant AS t, note.id;

-- name: from a query
INSERT INTO note (tenant, id, body) SELECT g, 100, 'made ' || g FROM generate_series(1, 20) g;

-- name: from a query on the same table
INSERT INTO note (tenant, id, body) SELECT tenant, id + 1000, body FROM note WHERE tenant < 4;

-- name: from an aggregate
INSERT INTO plain SELECT tenant, count(*)::text FROM note GROUP BY tenant;

-- name: from a query to other keys
INSERT INTO plain SELECT tenant + 100, body FROM note WHERE body IS NOT NULL;

-- name: what is there
SELECT * FROM note ORDER BY tenant, id;

-- name: what is there in the other
SELECT * FROM plain ORDER BY k, v;

-- name: duplicate key
INSERT INTO note (tenant, id) VALUES (1, 1);

-- name: a duplicate among several rows leaves none
INSERT INTO note (tenant, id) VALUES (50, 1), (51, 1), (1, 1);

-- name: nothing was left
SELECT count(*) FROM note WHERE tenant >= 50;

-- name: a duplicate within the statement
INSERT INTO note (tenant, id) VALUES (60, 1), (60, 1);

-- name: null in a key
INSERT INTO note (tenant, id) VALUES (1, NULL);

-- name: value too long for numeric
INSERT INTO note (tenant, id, score) VALUES (70, 1, 123456);

-- name: value of a wrong type
INSERT INTO note (tenant, id) VALUES (71, 'x');

-- name: more values than columns
INSERT INTO plain VALUES (1, 'a', 3);

-- name: fewer values than named columns
INSERT INTO plain (k, v) VALUES (1);

-- name: unknown column
INSERT INTO plain (k, nonsense) VALUES (1, 2);

-- name: a column named twice
INSERT INTO plain (k, k) VALUES (1, 2);

-- name: rows of different lengths
INSERT INTO plain VALUES (1, 'a'), (2);

-- name: unknown table
INSERT INTO no_such_table VALUES (1);

-- name: implicit casts
INSERT INTO plain VALUES ('7', 8) RETURNING *;

-- name: assignment cast rounds
INSERT INTO plain (k) VALUES (2.5), (3.5) RETURNING k;

-- name: no implicit cast from boolean
INSERT INTO plain (k) VALUES (true);

-- name: on conflict do nothing
INSERT INTO note (tenant, id, body) VALUES (1, 1, 'again') ON CONFLICT DO NOTHING;

-- name: on conflict on the key do nothing, mixed
INSERT INTO note (tenant, id, body) VALUES (1, 1, 'again'), (80, 1, 'fresh') ON CONFLICT (tenant, id) DO NOTHING RETURNING tenant, body;

-- name: on conflict do update
INSERT INTO note (tenant, id, body) VALUES (1, 1, 'new') ON CONFLICT (tenant, id) DO UPDATE SET body = EXCLUDED.body || '+' || note.body RETURNING body;

-- name: on conflict do update with a condition
INSERT INTO note (tenant, id, score) VALUES (1, 2, 9) ON CONFLICT (tenant, id) DO UPDATE SET score = EXCLUDED.score WHERE note.score > 100 RETURNING *;

-- name: on conflict touching a row twice
INSERT INTO note (tenant, id) VALUES (90, 1), (90, 1) ON CONFLICT (tenant, id) DO UPDATE SET body = 'twice';

-- name: on conflict without a matching constraint
INSERT INTO plain VALUES (1, 'x') ON CONFLICT (k) DO NOTHING;

-- name: with in insert
WITH src AS (SELECT 95 AS k) INSERT INTO plain SELECT k, 'from with' FROM src RETURNING *;

-- name: insert in with
WITH added AS (INSERT INTO plain VALUES (96, 'p'), (97, 'q') RETURNING k) SELECT sum(k) FROM added;

-- name: default values
-- differs distributed: the distribution column would be NULL, which a distributed table refuses as in Citus
INSERT INTO plain DEFAULT VALUES;

-- name: union into insert
INSERT INTO plain SELECT 98, 'a' UNION SELECT 98, 'b' RETURNING k, v;

-- name: an insert of no rows
INSERT INTO plain SELECT 1, 'x' WHERE false;

-- name: the end
-- differs distributed: the row of default values above is not there
SELECT count(*), count(v), sum(k) FROM plain;

-- name: returning that fails
INSERT INTO plain VALUES (71, 'a'), (72, 'b') RETURNING k / (k - 72);

-- name: an update with returning that fails
UPDATE plain SET v = 'changed' WHERE k = 98 RETURNING k / (k - 98);

-- name: a deletion with returning that fails
DELETE FROM plain WHERE k = 98 RETURNING k / (k - 98);

-- name: nothing was changed
SELECT k, v FROM plain WHERE k IN (71, 72, 98) ORDER BY k, v;
