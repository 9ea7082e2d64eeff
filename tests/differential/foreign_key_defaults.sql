ON DELETE and ON UPDATE SET DEFAULT of foreign keys.
-- tables: owners by tenant, pets by tenant

-- name: tables
CREATE TABLE owners (tenant int, id int, PRIMARY KEY (tenant, id)); CREATE TABLE pets (id int, tenant int, owner int DEFAULT 0, name text);

-- name: rows
INSERT INTO owners SELECT t, g FROM generate_series(1, 2) t, generate_series(0, 9) g; INSERT INTO pets SELECT g, 1 + g % 2, 1 + g / 2 % 8, 'p' || g FROM generate_series(1, 20) g;

-- name: a key with a default
ALTER TABLE pets ADD CONSTRAINT owned FOREIGN KEY (tenant, owner) REFERENCES owners ON DELETE SET DEFAULT (owner);

-- name: as it is shown
SELECT confdeltype, confupdtype, pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = 'owned'; SELECT delete_rule, update_rule FROM information_schema.referential_constraints WHERE constraint_name = 'owned';

-- name: rows that go
DELETE FROM owners WHERE id = 3; SELECT * FROM pets ORDER BY id;

-- name: the default goes itself
DELETE FROM owners WHERE id = 0;

-- name: where nobody has it
DELETE FROM owners WHERE id = 9; SELECT count(*) FROM pets WHERE owner = 0;

-- name: another default
ALTER TABLE pets ALTER owner SET DEFAULT 7; DELETE FROM owners WHERE id = 4; SELECT owner, count(*) FROM pets GROUP BY owner ORDER BY owner;

-- name: in one transaction
BEGIN; ALTER TABLE pets ALTER owner SET DEFAULT 6; DELETE FROM owners WHERE id = 1; SELECT owner, count(*) FROM pets GROUP BY owner ORDER BY owner; ROLLBACK; DELETE FROM owners WHERE id = 1; SELECT owner, count(*) FROM pets GROUP BY owner ORDER BY owner;

-- name: a default that nobody is
ALTER TABLE pets ALTER owner SET DEFAULT 99;

-- name: is looked for
DELETE FROM owners WHERE id = 2;

-- name: no default
ALTER TABLE pets ALTER owner DROP DEFAULT; DELETE FROM owners WHERE id = 2; SELECT owner, count(*) FROM pets GROUP BY owner ORDER BY owner;

-- name: updates
ALTER TABLE pets ALTER owner SET DEFAULT 6, DROP CONSTRAINT owned; DELETE FROM pets WHERE owner IS NULL;

-- name: a default worked out
ALTER TABLE pets ALTER owner SET DEFAULT 2 * 4 - 2;

-- name: two columns
CREATE TABLE homes (a int DEFAULT 1, b text DEFAULT 'x', c date DEFAULT '2020-01-02', n numeric(6,2) DEFAULT 1.5, PRIMARY KEY (a, b, c, n)); INSERT INTO homes VALUES (1, 'x', '2020-01-02', 1.5), (2, 'y', '2021-01-01', 3); CREATE TABLE guests (id int PRIMARY KEY, a int DEFAULT 1, b text DEFAULT 'x', c date DEFAULT '2020-01-02', n numeric(6,2) DEFAULT 1.5, FOREIGN KEY (a, b, c, n) REFERENCES homes ON UPDATE SET DEFAULT ON DELETE SET DEFAULT); INSERT INTO guests VALUES (1, 2, 'y', '2021-01-01', 3), (2, 1, 'x', '2020-01-02', 1.5);

-- name: updated
UPDATE homes SET b = 'z' WHERE a = 2; SELECT * FROM guests ORDER BY id;

-- name: updated to what the default is not
UPDATE homes SET a = 5 WHERE a = 1;

-- name: deleted
INSERT INTO guests VALUES (3, 2, 'z', '2021-01-01', 3); DELETE FROM homes WHERE a = 2; SELECT * FROM guests ORDER BY id;

-- name: of the same table
CREATE TABLE staff (id int PRIMARY KEY, boss int DEFAULT 1 REFERENCES staff ON DELETE SET DEFAULT); INSERT INTO staff VALUES (1, NULL), (2, 1), (3, 2), (4, 3); DELETE FROM staff WHERE id = 2; SELECT * FROM staff ORDER BY id;

-- name: deferred
CREATE TABLE wards (id int PRIMARY KEY); CREATE TABLE beds (id int, ward int DEFAULT 0 REFERENCES wards ON DELETE SET DEFAULT DEFERRABLE INITIALLY DEFERRED); INSERT INTO wards VALUES (1), (2); INSERT INTO beds VALUES (1, 1), (2, 2); BEGIN; DELETE FROM wards WHERE id = 1; INSERT INTO wards VALUES (0); COMMIT; SELECT * FROM beds ORDER BY id;

-- name: not in the end
BEGIN; DELETE FROM wards WHERE id = 0;

-- name: as the transaction ends
COMMIT;

-- name: a default that must not be NULL
CREATE TABLE strict (id int, ward int NOT NULL REFERENCES wards ON DELETE SET DEFAULT); INSERT INTO strict VALUES (1, 2); DELETE FROM beds;

-- name: is refused
DELETE FROM wards WHERE id = 2;

-- name: a generated column
CREATE TABLE computed (a int, b int GENERATED ALWAYS AS (a + 1) STORED REFERENCES wards ON DELETE SET DEFAULT);

-- name: moments
CREATE TABLE moments (at timestamp PRIMARY KEY); CREATE TABLE seen (at timestamp DEFAULT now(), ward int);

-- name: the time
-- differs: workers know constants only
ALTER TABLE seen ADD FOREIGN KEY (at) REFERENCES moments ON DELETE SET DEFAULT;

-- name: later
ALTER TABLE seen ALTER ward SET DEFAULT 3, ADD CONSTRAINT in_ward FOREIGN KEY (ward) REFERENCES wards ON DELETE SET DEFAULT;

-- name: a sequence
-- differs: workers know constants only
CREATE SEQUENCE next_ward; ALTER TABLE seen ALTER ward SET DEFAULT nextval('next_ward');

-- name: clean up
DROP TABLE seen, moments, strict, beds, wards, staff, guests, homes; DROP TABLE pets, owners;

-- name: clean up the last
-- only: postgres
DROP SEQUENCE next_ward;
