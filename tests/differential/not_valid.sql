-- Constraints that are NOT VALID.

-- name: what a NOT VALID key points to
-- tables: kinds by a
CREATE TABLE kinds (a int PRIMARY KEY);

-- name: and what has it
-- tables: things by b
CREATE TABLE things (b int, c int);

-- name: one that points nowhere
INSERT INTO things VALUES (5, 1);

-- name: is left alone
ALTER TABLE things ADD CONSTRAINT things_b FOREIGN KEY (b) REFERENCES kinds NOT VALID; ALTER TABLE things ADD CONSTRAINT things_c CHECK (b <> 5) NOT VALID; SELECT conname, convalidated FROM pg_constraint WHERE conrelid = 'things'::regclass ORDER BY 1;

-- name: when the table is written anew
ALTER TABLE things ALTER COLUMN c TYPE text; ALTER TABLE things ADD COLUMN d int DEFAULT random() * 10; SELECT conname, convalidated FROM pg_constraint WHERE conrelid = 'things'::regclass ORDER BY 1; SELECT b, c FROM things;

-- name: but new ones are not
INSERT INTO things VALUES (6, '7');

-- name: nor when it is validated
ALTER TABLE things VALIDATE CONSTRAINT things_b;

-- name: without the key
ALTER TABLE things DROP CONSTRAINT things_b;
