Foreign keys: MATCH FULL, and which columns an action sets.

-- name: tables
CREATE TABLE depots (region int, code int, name text, PRIMARY KEY (region, code)); CREATE TABLE vans (id int PRIMARY KEY, region int, code int, CONSTRAINT whole FOREIGN KEY (region, code) REFERENCES depots MATCH FULL); INSERT INTO depots SELECT g, 10 * g, 'd' || g FROM generate_series(1, 4) g;

-- name: all or none
INSERT INTO vans VALUES (1, 1, 10), (2, NULL, NULL);

-- name: some
INSERT INTO vans VALUES (3, 1, NULL);

-- name: the others
INSERT INTO vans SELECT 4, NULL, 10;

-- name: none there
INSERT INTO vans VALUES (5, 1, 11);

-- name: an update to some
UPDATE vans SET code = NULL WHERE id = 1;

-- name: an update to none
UPDATE vans SET code = NULL, region = NULL WHERE id = 1; SELECT * FROM vans ORDER BY id;

-- name: as it is shown
SELECT conname, confmatchtype, confdelsetcols, pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = 'whole'; SELECT constraint_name, match_option FROM information_schema.referential_constraints WHERE constraint_name = 'whole';

-- name: added over rows that mix
CREATE TABLE carts (id int, region int, code int); INSERT INTO carts VALUES (1, 1, NULL);

-- name: which is found
ALTER TABLE carts ADD CONSTRAINT carts_whole FOREIGN KEY (region, code) REFERENCES depots MATCH FULL;

-- name: added over rows that do not
DELETE FROM carts; ALTER TABLE carts ADD CONSTRAINT carts_whole FOREIGN KEY (region, code) REFERENCES depots MATCH FULL ON DELETE CASCADE; INSERT INTO carts VALUES (1, 2, 20), (2, NULL, NULL); DELETE FROM depots WHERE region = 2; SELECT * FROM carts ORDER BY id;

-- name: simple
ALTER TABLE carts DROP CONSTRAINT carts_whole, ADD FOREIGN KEY (region, code) REFERENCES depots MATCH SIMPLE; INSERT INTO carts VALUES (3, 1, NULL);

-- name: partial
CREATE TABLE partly (region int, code int, FOREIGN KEY (region, code) REFERENCES depots MATCH PARTIAL);

-- name: one column
CREATE TABLE keys (id int PRIMARY KEY); CREATE TABLE locks (id int, key int REFERENCES keys MATCH FULL DEFERRABLE INITIALLY DEFERRED); INSERT INTO locks VALUES (1, NULL);

-- name: it goes
DROP TABLE locks, keys;

-- name: deferred
-- differs: rows are looked at as they come
CREATE TABLE late (region int, code int, FOREIGN KEY (region, code) REFERENCES depots MATCH FULL DEFERRABLE);

-- name: columns that are set
CREATE TABLE trams (id int PRIMARY KEY, region int, code int, CONSTRAINT partly_set FOREIGN KEY (region, code) REFERENCES depots ON UPDATE CASCADE ON DELETE SET NULL (code)); INSERT INTO trams VALUES (1, 3, 30), (2, 4, 40); DELETE FROM depots WHERE region = 3; SELECT * FROM trams ORDER BY id;

-- name: an update of the target
UPDATE depots SET code = 41 WHERE region = 4; SELECT * FROM trams ORDER BY id;

-- name: as they are shown
SELECT confdelsetcols, confdeltype, pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = 'partly_set';

-- name: by ALTER TABLE
ALTER TABLE trams DROP CONSTRAINT partly_set, ADD CONSTRAINT partly_set FOREIGN KEY (region, code) REFERENCES public.depots (region, code) ON DELETE SET NULL (region, code); DELETE FROM depots WHERE region = 4; SELECT * FROM trams ORDER BY id;

-- name: a column of none
ALTER TABLE trams ADD FOREIGN KEY (region, code) REFERENCES depots ON DELETE SET NULL (cod);

-- name: a column of another
ALTER TABLE trams ADD FOREIGN KEY (region, code) REFERENCES depots ON DELETE SET NULL (id);

-- name: defaults
ALTER TABLE trams ADD FOREIGN KEY (region, code) REFERENCES depots ON DELETE SET DEFAULT;

-- name: defaults of some columns
ALTER TABLE trams ADD FOREIGN KEY (region, code) REFERENCES depots ON DELETE SET DEFAULT (code);

-- name: clean up the last
-- differs: it was not made
DROP TABLE late;

-- name: clean up
DROP TABLE trams, carts, vans, depots CASCADE;
