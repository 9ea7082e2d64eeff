-- tables: s by id

-- name: what the views read
CREATE TABLE s (id int PRIMARY KEY, g text, n numeric(10,2), at date); INSERT INTO s SELECT i, chr(97 + i % 3), i * 1.5, date '2026-01-01' + i FROM generate_series(1, 9) i;

-- name: made and filled
CREATE MATERIALIZED VIEW by_g AS SELECT g, count(*) AS c, sum(n) FROM s GROUP BY g;

-- name: its rows
SELECT * FROM by_g ORDER BY g;

-- name: its types
SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = 'by_g'::regclass AND attnum > 0 ORDER BY attnum;

-- name: names of columns
CREATE MATERIALIZED VIEW named (x, y) AS SELECT id, n, at FROM s WHERE id < 4 WITH DATA; SELECT * FROM named ORDER BY x;

-- name: too many names
CREATE MATERIALIZED VIEW wrong (a, b, c) AS SELECT id, g FROM s;

-- name: a name twice
CREATE MATERIALIZED VIEW wrong AS SELECT id, id FROM s;

-- name: there already
CREATE MATERIALIZED VIEW by_g AS SELECT 1;

-- name: there already, which may be
CREATE MATERIALIZED VIEW IF NOT EXISTS by_g AS SELECT 1;

-- name: under a table's name
CREATE MATERIALIZED VIEW s AS SELECT 1;

-- name: literals are text
CREATE MATERIALIZED VIEW literals AS SELECT 'x' AS a, NULL AS b, 1 AS c; SELECT pg_typeof(a), pg_typeof(b), pg_typeof(c), a, b FROM literals;

-- name: without data
CREATE MATERIALIZED VIEW empty AS SELECT id FROM s WITH NO DATA;

-- name: not to be read
SELECT * FROM empty;

-- name: nor in a join
SELECT count(*) FROM s JOIN empty USING (id);

-- name: nor in a subquery
SELECT id, (SELECT count(*) FROM empty) FROM s;

-- name: nor in a condition
SELECT id FROM s WHERE EXISTS (SELECT FROM empty WHERE empty.id = s.id);

-- name: nor by INSERT
CREATE TABLE target (id int); INSERT INTO target SELECT id FROM empty;

-- name: nor by DELETE
DELETE FROM target USING empty WHERE empty.id = target.id;

-- name: a view over it can be made
CREATE VIEW over_empty AS SELECT id + 1 AS next FROM empty;

-- name: and not read
SELECT * FROM over_empty;

-- name: another materialized view over it only without data
CREATE MATERIALIZED VIEW second AS SELECT id FROM empty;

-- name: so
CREATE MATERIALIZED VIEW second AS SELECT id FROM empty WITH NO DATA;

-- name: that cannot be refreshed before the first
REFRESH MATERIALIZED VIEW second;

-- name: refreshed
REFRESH MATERIALIZED VIEW empty;

-- name: read
SELECT * FROM empty ORDER BY id;

-- name: read through the view
SELECT * FROM over_empty ORDER BY next;

-- name: what is read from is refreshed
REFRESH MATERIALIZED VIEW second; SELECT count(*) FROM second;

-- name: rows go on as they were
INSERT INTO s VALUES (10, 'a', 100, '2026-02-01'); SELECT count(*) FROM second; SELECT * FROM by_g ORDER BY g;

-- name: until the next
REFRESH MATERIALIZED VIEW by_g; SELECT * FROM by_g ORDER BY g;

-- name: a transaction that is rolled back
BEGIN; DELETE FROM s WHERE g = 'a'; REFRESH MATERIALIZED VIEW by_g; SELECT * FROM by_g ORDER BY g; ROLLBACK;

-- name: leaves the rows
SELECT * FROM by_g ORDER BY g;

-- name: created and refreshed in one transaction
BEGIN; CREATE MATERIALIZED VIEW in_block AS SELECT max(id) AS m FROM s; INSERT INTO s VALUES (11, 'b', 1, NULL); SELECT * FROM in_block; REFRESH MATERIALIZED VIEW in_block; SELECT * FROM in_block; COMMIT;

-- name: after it
SELECT * FROM in_block;

-- name: made in vain
BEGIN; CREATE MATERIALIZED VIEW in_vain AS SELECT 1 AS a; ROLLBACK; SELECT * FROM in_vain;

-- name: a savepoint
BEGIN; SAVEPOINT a; REFRESH MATERIALIZED VIEW in_block WITH NO DATA; ROLLBACK TO a; SELECT * FROM in_block; COMMIT;

-- name: emptied
REFRESH MATERIALIZED VIEW in_block WITH NO DATA; SELECT * FROM in_block;

-- name: concurrently, not populated
REFRESH MATERIALIZED VIEW CONCURRENTLY in_block;

-- name: refilled
REFRESH MATERIALIZED VIEW in_block WITH DATA; SELECT * FROM in_block;

-- name: concurrently, without unique index
REFRESH MATERIALIZED VIEW CONCURRENTLY in_block;

-- name: concurrently and without data
REFRESH MATERIALIZED VIEW CONCURRENTLY in_block WITH NO DATA;

-- name: an index that is partial
CREATE UNIQUE INDEX partial ON by_g (g) WHERE c > 1; REFRESH MATERIALIZED VIEW CONCURRENTLY by_g;

-- name: an index that is not unique
CREATE INDEX plain ON by_g (c); REFRESH MATERIALIZED VIEW CONCURRENTLY by_g;

-- name: a unique one
DROP INDEX partial; CREATE UNIQUE INDEX by_g_key ON by_g (g); INSERT INTO s VALUES (12, 'd', 4, NULL); REFRESH MATERIALIZED VIEW CONCURRENTLY by_g; SELECT * FROM by_g ORDER BY g;

-- name: by the index
SELECT c FROM by_g WHERE g = 'd';

-- name: duplicates when it is made
CREATE MATERIALIZED VIEW dup AS SELECT id % 20 AS k FROM s; CREATE UNIQUE INDEX dup_k ON dup (k); INSERT INTO s VALUES (23, 'a', 0, NULL), (3 + 40, 'a', 0, NULL); REFRESH MATERIALIZED VIEW dup;

-- name: the rows from before
SELECT count(*) FROM dup; DELETE FROM s WHERE id > 20; REFRESH MATERIALIZED VIEW dup; SELECT count(*) FROM dup;

-- name: cannot be changed, INSERT
INSERT INTO by_g VALUES ('x', 1, 1);

-- name: cannot be changed, UPDATE
UPDATE by_g SET c = 0;

-- name: cannot be changed, DELETE
DELETE FROM by_g;

-- name: cannot be changed, TRUNCATE
TRUNCATE by_g;

-- name: cannot be changed, MERGE
MERGE INTO by_g USING s ON s.g = by_g.g WHEN MATCHED THEN DELETE;

-- name: cannot be changed, COPY
COPY by_g FROM STDIN;

-- name: nor copied as a table
COPY by_g TO STDOUT;

-- name: rows cannot be locked
SELECT * FROM by_g FOR UPDATE;

-- name: nor shared, under another name
SELECT * FROM by_g AS other FOR SHARE OF other;

-- name: nor the whole
BEGIN; LOCK TABLE by_g; ROLLBACK;

-- name: no table
DROP TABLE by_g;

-- name: no view
DROP VIEW by_g;

-- name: a table is none
DROP MATERIALIZED VIEW s;

-- name: a view is none
DROP MATERIALIZED VIEW over_empty;

-- name: a table is not refreshed
REFRESH MATERIALIZED VIEW s;

-- name: a view is not refreshed
REFRESH MATERIALIZED VIEW over_empty;

-- name: what is not there
REFRESH MATERIALIZED VIEW nothing_here;

-- name: no foreign key to it
CREATE TABLE child (g text REFERENCES by_g (g));

-- name: what a view depends on
DROP TABLE s;

-- name: a column that it uses
ALTER TABLE s DROP COLUMN n;

-- name: the type of a column that it uses
ALTER TABLE named RENAME TO nm; ALTER TABLE s ALTER COLUMN at TYPE timestamp;

-- name: what is read from
DROP MATERIALIZED VIEW empty;

-- name: not altered as a table
ALTER TABLE by_g ADD COLUMN z int;

-- name: no constraints
ALTER TABLE by_g ADD PRIMARY KEY (g);

-- name: no defaults
ALTER TABLE by_g ALTER COLUMN c SET DEFAULT 1;

-- name: no NOT NULL
ALTER TABLE by_g ALTER COLUMN c SET NOT NULL;

-- name: not as a view
ALTER VIEW by_g RENAME TO x;

-- name: a table is no materialized view
ALTER MATERIALIZED VIEW s RENAME TO x;

-- name: nor a view
ALTER MATERIALIZED VIEW over_empty RENAME TO x;

-- name: none of the name
ALTER MATERIALIZED VIEW nothing_here RENAME TO x;

-- name: none of the name, perhaps
ALTER MATERIALIZED VIEW IF EXISTS nothing_here RENAME TO x;

-- name: another name
ALTER MATERIALIZED VIEW nm RENAME TO named; SELECT count(*) FROM named;

-- name: another name for a column
ALTER MATERIALIZED VIEW named RENAME COLUMN y TO yy; SELECT x, yy FROM named ORDER BY x; REFRESH MATERIALIZED VIEW named; SELECT x, yy FROM named ORDER BY x;

-- name: a column of the table gets another name
ALTER TABLE s RENAME COLUMN n TO amount; REFRESH MATERIALIZED VIEW named; SELECT * FROM named ORDER BY x;

-- name: another schema
CREATE SCHEMA elsewhere; ALTER MATERIALIZED VIEW named SET SCHEMA elsewhere; SELECT count(*) FROM elsewhere.named; REFRESH MATERIALIZED VIEW elsewhere.named;

-- name: storage parameters
ALTER MATERIALIZED VIEW by_g SET (fillfactor = 70); SELECT reloptions FROM pg_class WHERE relname = 'by_g';

-- name: storage parameters from the start
CREATE MATERIALIZED VIEW stored WITH (fillfactor = 80) AS SELECT 1 AS a; SELECT reloptions FROM pg_class WHERE relname = 'stored';

-- name: definitions
SELECT matviewname, schemaname, tablespace, hasindexes, ispopulated, definition FROM pg_matviews ORDER BY 1;

-- name: definition, pretty
SELECT pg_get_viewdef('elsewhere.named'::regclass, true), pg_get_viewdef('by_g');

-- name: classes
SELECT relname, relkind, relnatts, relhasindex, relhasrules, relispopulated, relreplident, relpersistence FROM pg_class WHERE relname IN ('by_g', 'empty', 'in_block', 'by_g_key', 's', 'over_empty') ORDER BY 1;

-- name: not among tables
SELECT tablename FROM pg_tables WHERE tablename IN ('by_g', 's') ORDER BY 1;

-- name: not among views
SELECT viewname FROM pg_views WHERE viewname IN ('by_g', 'over_empty') ORDER BY 1;

-- name: among the indexes
SELECT indexname, indexdef FROM pg_indexes WHERE tablename = 'by_g' ORDER BY 1;

-- name: not in information_schema
SELECT table_name, table_type FROM information_schema.tables WHERE table_name IN ('by_g', 's', 'over_empty') ORDER BY 1;

-- name: nor its columns
SELECT table_name, column_name FROM information_schema.columns WHERE table_name IN ('by_g', 'over_empty') ORDER BY 1, 2;

-- name: nor as a view
SELECT table_name FROM information_schema.views WHERE table_name IN ('by_g', 'over_empty') ORDER BY 1;

-- name: nor who may read it
SELECT DISTINCT table_name FROM information_schema.role_table_grants WHERE table_name IN ('by_g', 's') ORDER BY 1;

-- name: comments
COMMENT ON MATERIALIZED VIEW by_g IS 'by g'; COMMENT ON COLUMN by_g.c IS 'how many'; SELECT obj_description('by_g'::regclass, 'pg_class'), col_description('by_g'::regclass, 2);

-- name: no comment as a table
COMMENT ON TABLE by_g IS 'x';

-- name: no comment of a table
COMMENT ON MATERIALIZED VIEW s IS 'x';

-- name: privileges
CREATE ROLE matview_reader; GRANT SELECT ON by_g TO matview_reader; SELECT has_table_privilege('matview_reader', 'by_g', 'SELECT'), has_table_privilege('matview_reader', 'by_g', 'INSERT'), has_table_privilege('matview_reader', 'empty', 'SELECT');

-- name: read with them
SET ROLE matview_reader; SELECT count(*) FROM by_g;

-- name: and no other
SELECT count(*) FROM empty;

-- name: refreshed by its owner only
REFRESH MATERIALIZED VIEW by_g;

-- name: dropped by its owner only
DROP MATERIALIZED VIEW by_g;

-- name: the owner of the view reads for it
RESET ROLE; GRANT SELECT ON s TO matview_reader; ALTER MATERIALIZED VIEW by_g OWNER TO matview_reader; SET ROLE matview_reader; REFRESH MATERIALIZED VIEW by_g; RESET ROLE; REVOKE SELECT ON s FROM matview_reader; REFRESH MATERIALIZED VIEW by_g;

-- name: what a role owns
REVOKE ALL ON s FROM matview_reader; DROP ROLE matview_reader;

-- name: owned by another again
ALTER MATERIALIZED VIEW by_g OWNER TO CURRENT_USER; SELECT count(*) FROM by_g;

-- name: in a transaction that only reads
BEGIN READ ONLY; REFRESH MATERIALIZED VIEW by_g;

-- name: nor made in one
ROLLBACK; BEGIN READ ONLY; CREATE MATERIALIZED VIEW ro AS SELECT 1 AS a;

-- name: temporary tables are not read
ROLLBACK; CREATE TEMP TABLE own (a int); CREATE MATERIALIZED VIEW of_temporary AS SELECT a FROM own;

-- name: not unlogged
CREATE UNLOGGED MATERIALIZED VIEW unlogged AS SELECT 1 AS a;

-- name: not temporary
CREATE TEMP MATERIALIZED VIEW temporary_one AS SELECT 1 AS a;

-- name: not replaced
CREATE OR REPLACE MATERIALIZED VIEW by_g AS SELECT 1 AS a;

-- name: no change within it
CREATE MATERIALIZED VIEW changing AS WITH w AS (DELETE FROM s RETURNING id) SELECT id FROM w;

-- name: no query
CREATE MATERIALIZED VIEW nothing AS;

-- name: nothing at all
CREATE MATERIALIZED VIEW nothing;

-- name: maintained
ANALYZE by_g; REINDEX TABLE by_g; SELECT count(*) FROM by_g;

-- name: vacuumed
VACUUM by_g;

-- name: a table like it
CREATE TABLE like_it (LIKE by_g); SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = 'like_it'::regclass AND attnum > 0 ORDER BY attnum;

-- name: with values and functions
CREATE MATERIALIZED VIEW of_values AS VALUES (1, 'a'), (2, 'b'); CREATE MATERIALIZED VIEW of_table AS TABLE of_values; SELECT * FROM of_values NATURAL JOIN of_table ORDER BY 1;

-- name: with a query
CREATE MATERIALIZED VIEW recursive_one AS WITH RECURSIVE r (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r WHERE n < 5) SELECT n, n * n AS square FROM r; SELECT * FROM recursive_one ORDER BY n; REFRESH MATERIALIZED VIEW recursive_one; SELECT count(*) FROM recursive_one;

-- name: the search path of its making
CREATE TABLE elsewhere.only_there (a int); INSERT INTO elsewhere.only_there VALUES (7); SET search_path = elsewhere, public; CREATE MATERIALIZED VIEW public.looks_there AS SELECT a FROM only_there; RESET search_path; INSERT INTO elsewhere.only_there VALUES (8); REFRESH MATERIALIZED VIEW looks_there; SELECT * FROM looks_there ORDER BY a;

-- name: explained though it is empty
REFRESH MATERIALIZED VIEW in_block WITH NO DATA; BEGIN; DECLARE c CURSOR FOR SELECT 1; CLOSE c; COMMIT;

-- name: enums
CREATE TYPE mood AS ENUM ('sad', 'happy'); CREATE MATERIALIZED VIEW moods AS SELECT 'sad'::mood AS m; SELECT m FROM moods;

-- name: a type that it uses
DROP TYPE mood;

-- name: dropped with the type
DROP TYPE mood CASCADE;

-- name: and gone
DROP MATERIALIZED VIEW moods;

-- name: several
CREATE MATERIALIZED VIEW one AS SELECT 1 AS a; CREATE MATERIALIZED VIEW two AS SELECT a FROM one; DROP MATERIALIZED VIEW one, two;

-- name: perhaps
DROP MATERIALIZED VIEW IF EXISTS one, two;

-- name: a schema
DROP SCHEMA elsewhere;

-- name: a schema with all
DROP SCHEMA elsewhere CASCADE;

-- name: EXPLAIN ANALYZE of one without rows
CREATE MATERIALIZED VIEW unfilled AS SELECT 1 AS a WITH NO DATA;

-- name: which is told of
EXPLAIN ANALYZE SELECT * FROM unfilled;

-- name: that one goes
DROP MATERIALIZED VIEW unfilled;

-- name: a chain of them
CREATE SCHEMA chain; CREATE TABLE chain.t (a int); CREATE VIEW chain.v AS SELECT a FROM chain.t; CREATE MATERIALIZED VIEW chain.m AS SELECT a FROM chain.v; CREATE MATERIALIZED VIEW chain.n AS SELECT a FROM chain.m; CREATE VIEW chain.w AS SELECT a FROM chain.n; DROP SCHEMA chain CASCADE;

-- name: CASCADE
DROP TABLE s CASCADE;

-- name: all are gone
SELECT matviewname FROM pg_matviews ORDER BY 1;

-- name: equal rows
CREATE TABLE equal_base (a int, b int); INSERT INTO equal_base VALUES (1, 1), (2, NULL), (2, NULL); CREATE MATERIALIZED VIEW equal_rows AS SELECT * FROM equal_base; CREATE UNIQUE INDEX ON equal_rows (a, b);

-- name: are fine where a column is null
REFRESH MATERIALIZED VIEW CONCURRENTLY equal_rows;

-- name: another row that is equal
INSERT INTO equal_base VALUES (1, 1);

-- name: is not where none is
REFRESH MATERIALIZED VIEW CONCURRENTLY equal_rows;

-- name: nor for its index
REFRESH MATERIALIZED VIEW equal_rows;

-- name: the rows are still the old ones
SELECT * FROM equal_rows ORDER BY 1, 2;
