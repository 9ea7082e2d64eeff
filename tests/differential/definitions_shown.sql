-- How stored expressions read: as PostgreSQL prints them, whatever was written.

-- name: conditions
CREATE TYPE shown_mood AS ENUM ('sad', 'ok'); CREATE TABLE shown (id bigint PRIMARY KEY, price numeric(10,2) CHECK (price > 0), qty int CHECK (qty between 1 and 10 or qty is null), name varchar(20) CHECK (name in ('a', 'b')), note text CHECK (note like 'x%' and length(note) > 3), c char(5), d date CHECK (d > '2020-01-01'), ts timestamp, tz timestamptz, data jsonb CHECK (data->>'a' = 'b'), flag boolean CHECK (not flag), f float8 CHECK (f > 0.5), si smallint, p point CHECK (p[0] > 0), arr int[], tags text[] CHECK (tags @> array['a']), m shown_mood CHECK (m <> 'sad'), iv interval, CONSTRAINT several CHECK (flag and (qty > 1 or price > 2) and not (name is null)), CONSTRAINT cased CHECK (case when qty > 0 then flag else true end), CONSTRAINT negative CHECK (qty > -5), CONSTRAINT called CHECK (coalesce(name, 'x') <> lower(note)), CONSTRAINT whole CHECK ((data->>'n')::int > 5), CONSTRAINT parts CHECK (extract(year from d) > 2000 AND trim(note) <> '' AND substring(note from 1 for 2) = 'ab'));

-- name: as constraints show them
SELECT conname, pg_get_constraintdef(oid), pg_get_constraintdef(oid, true) FROM pg_constraint WHERE conrelid = 'shown'::regclass ORDER BY conname;

-- name: as the standard's view shows them
SELECT constraint_name, check_clause FROM information_schema.check_constraints WHERE constraint_name IN ('several', 'negative', 'called', 'whole', 'shown_price_check') ORDER BY 1;

-- name: defaults
CREATE SEQUENCE shown_numbers; CREATE TABLE with_defaults (a int DEFAULT 0, b text DEFAULT 'x', c varchar(10) DEFAULT 'abc', d numeric(8,2) DEFAULT 0, e numeric DEFAULT 1.50, f timestamptz DEFAULT now(), g timestamp DEFAULT current_timestamp, h date DEFAULT current_date, i jsonb DEFAULT '{}', j boolean DEFAULT false, k bigint DEFAULT nextval('shown_numbers'), l shown_mood DEFAULT 'ok', m int DEFAULT -1, n int[] DEFAULT '{1,2}', o text[] DEFAULT array['a','b'], p uuid DEFAULT gen_random_uuid(), q text DEFAULT upper('a' || 'b'), r interval DEFAULT '1 day', s char(3) DEFAULT 'ab', t float8 DEFAULT 0.5, u bigint DEFAULT 5, v text DEFAULT NULL, w double precision DEFAULT random() * 10, x date DEFAULT (now() - interval '1 month')::date, y text DEFAULT CURRENT_USER, z smallint DEFAULT '7', full_name text GENERATED ALWAYS AS (b || ' ' || c) STORED, twice int GENERATED ALWAYS AS (a * 2) STORED);

-- name: as catalogs show them
SELECT attname, pg_get_expr(adbin, adrelid), pg_get_expr(adbin, adrelid, true) FROM pg_attrdef JOIN pg_attribute ON attrelid = adrelid AND attnum = adnum WHERE adrelid = 'with_defaults'::regclass ORDER BY attnum;

-- name: as columns show them
SELECT column_name, column_default, generation_expression FROM information_schema.columns WHERE table_name = 'with_defaults' ORDER BY ordinal_position;

-- name: they still mean the same
INSERT INTO with_defaults (a) VALUES (3) RETURNING a, b, c, d, e, i, j, k, l, m, n, o, q, r, s, t, u, v, z, full_name, twice;

-- name: indexes
CREATE INDEX by_lower ON shown (lower(note)); CREATE INDEX by_sum ON shown ((qty + 1), price DESC); CREATE INDEX by_part ON shown (id) WHERE qty > 0 AND flag; CREATE INDEX by_key ON shown ((data->>'a')); CREATE INDEX by_name ON shown (upper(name)) WHERE name IS NOT NULL; CREATE INDEX by_flag ON shown (id) WHERE flag;

-- name: as indexes show them
SELECT indexname, indexdef FROM pg_indexes WHERE tablename = 'shown' ORDER BY 1;

-- name: column by column, and pretty
SELECT c.relname, pg_get_indexdef(i.indexrelid, 1, false), pg_get_indexdef(i.indexrelid, 1, true), pg_get_indexdef(i.indexrelid, 0, true), pg_get_expr(i.indpred, i.indrelid), pg_get_expr(i.indpred, i.indrelid, true) FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid WHERE i.indrelid = 'shown'::regclass ORDER BY 1;

-- name: dropped
DROP TABLE with_defaults; DROP TABLE shown; DROP TYPE shown_mood; DROP SEQUENCE shown_numbers;
