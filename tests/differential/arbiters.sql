-- ON CONFLICT with arbiters of expressions and conditions.

-- name: uniqueness of some
-- tables: emails by tenant
CREATE TABLE emails (tenant int, email text, active bool, hits int DEFAULT 1); CREATE UNIQUE INDEX ON emails (tenant, lower(email)); CREATE UNIQUE INDEX ON emails (tenant) WHERE active;

-- name: the first
INSERT INTO emails VALUES (1, 'A@x', true), (2, 'b@x', false);

-- name: an arbiter by an expression
INSERT INTO emails VALUES (1, 'a@X', false) ON CONFLICT (tenant, lower(email)) DO UPDATE SET hits = emails.hits + 1; INSERT INTO emails VALUES (2, 'B@x', false) ON CONFLICT (lower(email), tenant) DO NOTHING;

-- name: an arbiter with a condition
INSERT INTO emails VALUES (1, 'c@x', true) ON CONFLICT (tenant) WHERE active DO UPDATE SET email = excluded.email; INSERT INTO emails VALUES (2, 'd@x', true) ON CONFLICT (tenant) WHERE active AND hits > 0 DO NOTHING;

-- name: what came of it
SELECT * FROM emails ORDER BY tenant, email;

-- name: no arbiter without the condition
INSERT INTO emails VALUES (1, 'z@x', true) ON CONFLICT (tenant) DO NOTHING;

-- name: no arbiter of another expression
INSERT INTO emails VALUES (1, 'z@x', true) ON CONFLICT (tenant, upper(email)) DO NOTHING;

-- name: a conflict with another index
INSERT INTO emails VALUES (1, 'z@x', true) ON CONFLICT (tenant, lower(email)) DO NOTHING;

-- name: a table to read meanwhile
CREATE TABLE others (id int PRIMARY KEY, v int); INSERT INTO others SELECT g, g * 10 FROM generate_series(1, 5) g;

-- name: a value from the table itself
INSERT INTO emails VALUES (1, 'a@X', false) ON CONFLICT (tenant, lower(email)) DO UPDATE SET hits = 100 + (SELECT count(*) FROM emails) RETURNING hits;

-- name: a value from another table
INSERT INTO emails VALUES (1, 'a@X', false) ON CONFLICT (tenant, lower(email)) DO UPDATE SET hits = (SELECT sum(v) FROM others) RETURNING hits;

-- name: a value from another table for each row
-- differs: what is read for each row must be where the row is
INSERT INTO emails VALUES (1, 'a@X', false) ON CONFLICT (tenant, lower(email)) DO UPDATE SET hits = (SELECT v FROM others WHERE id = emails.tenant) RETURNING hits;

-- name: a table with two keys
-- tables: pairs by a
CREATE TABLE pairs (a int PRIMARY KEY, b int, c text);

-- name: the other key
-- differs distributed: unique indexes need the distribution column
CREATE UNIQUE INDEX pairs_b ON pairs (b);

-- name: two pairs
INSERT INTO pairs VALUES (1, 10, 'x'), (2, 20, 'y');

-- name: a row in conflict by both keys, the second named
-- differs distributed: there is no such index
INSERT INTO pairs VALUES (1, 10, 'z') ON CONFLICT (b) DO NOTHING;

-- name: in conflict with two rows, the second key named
-- differs distributed: there is no such index
INSERT INTO pairs VALUES (1, 20, 'z') ON CONFLICT (b) DO UPDATE SET c = excluded.c || pairs.a RETURNING *;

-- name: in conflict with two rows, the first key named
INSERT INTO pairs VALUES (1, 20, 'z') ON CONFLICT (a) DO UPDATE SET c = excluded.c || pairs.a RETURNING *;

-- name: in conflict by the key that is not named
-- differs distributed: there is no such index
INSERT INTO pairs VALUES (3, 20, 'z') ON CONFLICT (a) DO NOTHING;

-- name: what came of the pairs
-- differs distributed: there is no such index
SELECT * FROM pairs ORDER BY a;
