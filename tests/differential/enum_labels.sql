Enum types: labels that are new, and their types' names in messages.

-- name: types
CREATE TYPE mood AS ENUM ('low', 'high'); CREATE SCHEMA elsewhere; CREATE TYPE elsewhere."Odd T" AS ENUM ('q');

-- name: a table
CREATE TABLE moods (id int, m mood, ms mood[], o elsewhere."Odd T");

-- name: a new label
BEGIN; ALTER TYPE mood ADD VALUE 'higher'; INSERT INTO moods (m) VALUES ('higher');

-- name: as a literal
ROLLBACK; BEGIN; ALTER TYPE mood ADD VALUE 'higher'; SELECT 'higher'::mood;

-- name: in an array
ROLLBACK; BEGIN; ALTER TYPE mood ADD VALUE 'higher'; SELECT '{low,higher}'::mood[];

-- name: from a text
ROLLBACK; BEGIN; ALTER TYPE mood ADD VALUE 'higher'; SELECT t::mood FROM (VALUES ('high'), ('higher')) v(t);

-- name: as one of all
ROLLBACK; BEGIN; ALTER TYPE mood ADD VALUE 'higher'; SELECT enum_range(NULL::mood);

-- name: as the last
ROLLBACK; BEGIN; ALTER TYPE mood ADD VALUE 'higher'; SELECT enum_last(NULL::mood);

-- name: as a default
ROLLBACK; BEGIN; ALTER TYPE mood ADD VALUE 'higher'; CREATE TABLE later (m mood DEFAULT 'higher');

-- name: of a new type
ROLLBACK; BEGIN; CREATE TYPE new_mood AS ENUM ('x'); SELECT 'x'::new_mood; ALTER TYPE new_mood ADD VALUE 'y'; SELECT 'y'::new_mood;

-- name: the old ones meanwhile
ROLLBACK; BEGIN; ALTER TYPE mood ADD VALUE 'lower' BEFORE 'low'; INSERT INTO moods (m) VALUES ('low'); SELECT m, enum_first('high'::mood, NULL) FROM moods;

-- name: they are there
ROLLBACK; BEGIN; ALTER TYPE mood ADD VALUE 'lower' BEFORE 'low'; INSERT INTO moods (id, m) VALUES (1, 'low'); SELECT m, m > 'low' FROM moods; COMMIT;

-- name: once committed
INSERT INTO moods (id, m) VALUES (2, 'lower') RETURNING m; SELECT enum_range(NULL::mood), 'lower'::text::mood;

-- name: an operator that is none
SELECT m + 1 FROM moods;

-- name: between types
SELECT m = o FROM moods;

-- name: of arrays
SELECT ms || o FROM moods;

-- name: a wrong value
INSERT INTO moods (m) VALUES (1);

-- name: a wrong array
INSERT INTO moods (ms) VALUES ('low'::mood);

-- name: a wrong text
UPDATE moods SET m = 'x'::text;

-- name: a function that is none
SELECT lower(m) FROM moods;

-- name: an aggregate that is none
SELECT sum(m) FROM moods;

-- name: a cast that is none
SELECT m::int FROM moods;

-- name: an array of both
SELECT ARRAY[m, o] FROM moods;

-- name: the rows of both
SELECT m FROM moods UNION SELECT o FROM moods;

-- name: a type that cannot become another
ALTER TABLE moods ALTER m TYPE int;

-- name: a default that cannot be
ALTER TABLE moods ALTER m SET DEFAULT 5;

-- name: a number's default
CREATE TABLE later (a int DEFAULT 'low'::mood);

-- name: clean up
DROP TABLE moods; DROP TYPE mood; DROP SCHEMA elsewhere CASCADE;
