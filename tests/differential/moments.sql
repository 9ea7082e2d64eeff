-- Literals that mean the moment when they are read.

-- name: a default that was read once
-- tables: since by id
CREATE TABLE since (id int, at timestamp DEFAULT 'now', day date DEFAULT 'today', was timestamptz DEFAULT 'yesterday'::timestamptz);

-- name: rows of two moments
INSERT INTO since (id) VALUES (1); INSERT INTO since (id) VALUES (2); ALTER TABLE since ALTER COLUMN at SET DEFAULT 'now'; INSERT INTO since (id) VALUES (3); INSERT INTO since (id) VALUES (4);

-- name: they agree
SELECT count(DISTINCT at), count(DISTINCT day), count(DISTINCT was), bool_and(was < day) FROM since;

-- name: a view knows when it was made
CREATE VIEW since_when AS SELECT 'now'::timestamptz AS t; SELECT t < clock_timestamp() FROM since_when; BEGIN; SELECT t < now() FROM since_when; COMMIT; DROP VIEW since_when;
