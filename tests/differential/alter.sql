ALTER TABLE and its relatives, on tables with rows.
-- tables: item by tenant, child by tenant

-- name: the tables
CREATE TABLE item (tenant int NOT NULL, id int NOT NULL, name text, price numeric(10,2), PRIMARY KEY (tenant, id)); CREATE TABLE child (tenant int NOT NULL, id int, item int);

-- name: rows
INSERT INTO item SELECT 1 + i % 3, i, 'item ' || i, i * 1.5 FROM generate_series(1, 12) i; INSERT INTO child SELECT 1 + i % 3, i, i FROM generate_series(1, 6) i;

-- name: add a column
ALTER TABLE item ADD COLUMN note text;

-- name: its rows
SELECT tenant, id, note FROM item ORDER BY id;

-- name: add a column with a constant default
ALTER TABLE item ADD COLUMN stock int NOT NULL DEFAULT 7;

-- name: old and new rows
INSERT INTO item (tenant, id) VALUES (1, 100); SELECT id, stock, note FROM item ORDER BY id;

-- name: another default leaves the rows alone
ALTER TABLE item ALTER COLUMN stock SET DEFAULT 8; INSERT INTO item (tenant, id) VALUES (1, 101); SELECT id, stock FROM item WHERE id > 10 ORDER BY id;

-- name: drop the default
ALTER TABLE item ALTER stock DROP DEFAULT; INSERT INTO item (tenant, id) VALUES (1, 102);

-- name: a column that is there
ALTER TABLE item ADD COLUMN note int;

-- name: a column that is there, if not exists
ALTER TABLE item ADD COLUMN IF NOT EXISTS note int;

-- name: not null without a default
ALTER TABLE item ADD COLUMN must int NOT NULL;

-- name: an unknown type
ALTER TABLE item ADD COLUMN bad nonsense;

-- name: a system column's name
ALTER TABLE item ADD COLUMN ctid int;

-- name: a default of another type
ALTER TABLE item ADD COLUMN bad int DEFAULT 'x';

-- name: an unknown table
ALTER TABLE no_such_table ADD COLUMN a int;

-- name: an unknown table, if exists
ALTER TABLE IF EXISTS no_such_table ADD COLUMN a int;

-- name: a serial
ALTER TABLE item ADD COLUMN number serial; SELECT count(DISTINCT number), min(number), max(number) FROM item;

-- name: a generated column
ALTER TABLE item ADD COLUMN double_price numeric GENERATED ALWAYS AS (price * 2) STORED; SELECT id, double_price FROM item WHERE id < 5 ORDER BY id;

-- name: an identity column
ALTER TABLE item ADD COLUMN ident bigint GENERATED ALWAYS AS IDENTITY; SELECT count(DISTINCT ident), min(ident), max(ident) FROM item;

-- name: a column with a check that rows fail
ALTER TABLE item ADD COLUMN small int DEFAULT 20 CHECK (small < 10);

-- name: a column with a check that rows pass
ALTER TABLE item ADD COLUMN small int DEFAULT 2 CHECK (small < 10); INSERT INTO item (tenant, id, stock, small) VALUES (1, 103, 1, 10);

-- name: set not null on nulls
ALTER TABLE item ALTER COLUMN note SET NOT NULL;

-- name: set not null
UPDATE item SET note = 'n' || id; ALTER TABLE item ALTER COLUMN note SET NOT NULL; INSERT INTO item (tenant, id, stock) VALUES (1, 104, 1);

-- name: drop not null
ALTER TABLE item ALTER COLUMN note DROP NOT NULL; INSERT INTO item (tenant, id, stock) VALUES (1, 105, 1);

-- name: drop not null of a key
ALTER TABLE item ALTER COLUMN id DROP NOT NULL;

-- name: alter an unknown column
ALTER TABLE item ALTER COLUMN nothing SET NOT NULL;

-- name: drop a column
ALTER TABLE item DROP COLUMN name; SELECT count(number), count(ident) FROM item; SELECT * FROM item WHERE false;

-- name: rows after a drop
SELECT tenant, id, price, stock, note FROM item WHERE id < 4 ORDER BY id;

-- name: drop it again
ALTER TABLE item DROP COLUMN name;

-- name: drop it if exists
ALTER TABLE item DROP COLUMN IF EXISTS name;

-- name: add it again
ALTER TABLE item ADD COLUMN name varchar(20) DEFAULT 'new'; SELECT id, name FROM item WHERE id < 4 ORDER BY id;

-- name: drop what a generated column needs
ALTER TABLE item DROP COLUMN price;

-- name: drop with cascade
ALTER TABLE item DROP COLUMN price CASCADE; SELECT column_name FROM information_schema.columns WHERE table_name = 'item' ORDER BY 1;

-- name: rename a column
ALTER TABLE item RENAME COLUMN note TO remark; SELECT remark FROM item WHERE id = 3;

-- name: rename an unknown column
ALTER TABLE item RENAME COLUMN note TO other;

-- name: rename to a name that is taken
ALTER TABLE item RENAME remark TO stock;

-- name: checks follow a renamed column
ALTER TABLE item RENAME small TO tiny; INSERT INTO item (tenant, id, stock, tiny) VALUES (1, 106, 1, 11);

-- name: a check that is violated
ALTER TABLE item ADD CONSTRAINT stock_low CHECK (stock < 2);

-- name: a check that holds
ALTER TABLE item ADD CONSTRAINT stock_low CHECK (stock < 100); INSERT INTO item (tenant, id, stock) VALUES (1, 107, 100);

-- name: the same check again
ALTER TABLE item ADD CONSTRAINT stock_low CHECK (stock < 100);

-- name: a check without a name
ALTER TABLE item ADD CHECK (stock > 0); SELECT conname FROM pg_constraint WHERE conrelid = 'item'::regclass AND contype = 'c' ORDER BY 1;

-- name: a check that is not valid yet
ALTER TABLE item ADD CONSTRAINT later CHECK (stock > 5) NOT VALID; INSERT INTO item (tenant, id, stock) VALUES (1, 108, 1);

-- name: validate it
ALTER TABLE item VALIDATE CONSTRAINT later;

-- name: validate it when rows fit
DELETE FROM item WHERE stock <= 5; ALTER TABLE item VALIDATE CONSTRAINT later; SELECT convalidated FROM pg_constraint WHERE conname = 'later';

-- name: rename a constraint
ALTER TABLE item RENAME CONSTRAINT later TO sooner; INSERT INTO item (tenant, id, stock) VALUES (1, 109, 1);

-- name: rename an unknown constraint
ALTER TABLE item RENAME CONSTRAINT later TO sooner;

-- name: drop a constraint
ALTER TABLE item DROP CONSTRAINT sooner; INSERT INTO item (tenant, id, stock) VALUES (1, 110, 1);

-- name: drop it again
ALTER TABLE item DROP CONSTRAINT sooner;

-- name: drop it if exists
ALTER TABLE item DROP CONSTRAINT IF EXISTS sooner;

-- name: a foreign key that rows violate
INSERT INTO child VALUES (2, 50, 77); ALTER TABLE child ADD CONSTRAINT child_item FOREIGN KEY (tenant, item) REFERENCES item (tenant, id);

-- name: a foreign key
DELETE FROM child WHERE id = 50; ALTER TABLE child ADD CONSTRAINT child_item FOREIGN KEY (tenant, item) REFERENCES item (tenant, id);

-- name: it holds
INSERT INTO child VALUES (2, 51, 78);

-- name: for parents too
DELETE FROM item WHERE id = 3;

-- name: the key that it needs stays
ALTER TABLE item DROP CONSTRAINT item_pkey;

-- name: the column that it needs stays
ALTER TABLE item DROP COLUMN id;

-- name: drop the foreign key
ALTER TABLE child DROP CONSTRAINT child_item; INSERT INTO child VALUES (2, 51, 78);

-- name: a primary key over duplicates
INSERT INTO child VALUES (2, 51, 79);

-- name: is refused
ALTER TABLE child ADD PRIMARY KEY (tenant, id);

-- name: a primary key over nulls
UPDATE child SET id = NULL WHERE item = 79;

-- name: is refused too
ALTER TABLE child ADD PRIMARY KEY (tenant, id);

-- name: a primary key
DELETE FROM child WHERE id IS NULL; ALTER TABLE child ADD CONSTRAINT child_key PRIMARY KEY (tenant, id); SELECT * FROM child ORDER BY id;

-- name: it holds for new rows
INSERT INTO child VALUES (2, 51, 80);

-- name: and a second one is refused
ALTER TABLE child ADD PRIMARY KEY (tenant, item);

-- name: drop the primary key
ALTER TABLE child DROP CONSTRAINT child_key; INSERT INTO child VALUES (2, 51, 80); SELECT * FROM child ORDER BY id, item;

-- name: int to bigint
ALTER TABLE child ALTER COLUMN item TYPE bigint; INSERT INTO child VALUES (3, 60, 3000000000); SELECT id, item, pg_typeof(item) FROM child ORDER BY id, item;

-- name: to text with using
ALTER TABLE child ALTER COLUMN item SET DATA TYPE text USING 'item ' || item; SELECT id, item FROM child ORDER BY id, item;

-- name: back without using
ALTER TABLE child ALTER COLUMN item TYPE int;

-- name: back with using
ALTER TABLE child ALTER COLUMN item TYPE bigint USING substring(item from 6)::bigint; SELECT id, item FROM child ORDER BY id, item;

-- name: to a type that is too small
ALTER TABLE child ALTER COLUMN item TYPE int;

-- name: nothing of it was done
SELECT id, item FROM child ORDER BY id, item;

-- name: varchar grows and shrinks
ALTER TABLE item ALTER COLUMN name TYPE varchar(40); ALTER TABLE item ALTER COLUMN name TYPE varchar(3);

-- name: varchar too short
ALTER TABLE item ALTER COLUMN name TYPE varchar(2);

-- name: several actions
ALTER TABLE child ADD COLUMN a int DEFAULT 1, ADD COLUMN b text DEFAULT 'b', DROP COLUMN item, ALTER COLUMN id SET DEFAULT 5; SELECT * FROM child ORDER BY id;

-- name: a failing action undoes all
ALTER TABLE child ADD COLUMN c int, ALTER COLUMN nothing SET DEFAULT 1;

-- name: indeed
SELECT c FROM child;

-- name: in a transaction that is rolled back
BEGIN; ALTER TABLE child ADD COLUMN c int DEFAULT 3; UPDATE child SET c = 4 WHERE id = 1; SELECT id, c FROM child WHERE id < 4 ORDER BY id; ROLLBACK; SELECT * FROM child WHERE id < 4 ORDER BY id;

-- name: a rewrite that is rolled back
BEGIN; ALTER TABLE child ALTER COLUMN a TYPE text; INSERT INTO child VALUES (1, 70, 'x', 'y'); SELECT * FROM child WHERE id IN (1, 70) ORDER BY id; ROLLBACK; SELECT * FROM child WHERE id IN (1, 70) ORDER BY id;

-- name: back to a savepoint
BEGIN; ALTER TABLE child ADD COLUMN c int DEFAULT 3; SAVEPOINT s; ALTER TABLE child DROP COLUMN a, ADD COLUMN d int; ROLLBACK TO s; SELECT * FROM child WHERE id = 2; COMMIT; SELECT * FROM child WHERE id = 2;

-- name: change and use in one transaction
BEGIN; ALTER TABLE child ADD COLUMN e int; UPDATE child SET e = id; ALTER TABLE child ALTER COLUMN e SET NOT NULL; COMMIT; SELECT id, e FROM child WHERE id < 4 ORDER BY id;

-- name: rename the table
ALTER TABLE child RENAME TO kid; SELECT count(*) FROM kid;

-- name: the old name is gone
SELECT count(*) FROM child;

-- name: rename to a name that is taken
ALTER TABLE kid RENAME TO item;

-- name: rename it back
ALTER TABLE kid RENAME TO child;

-- name: another schema
CREATE SCHEMA other; ALTER TABLE child SET SCHEMA other; SELECT count(*) FROM other.child;

-- name: and back
ALTER TABLE other.child SET SCHEMA public; DROP SCHEMA other;

-- name: a view on a column
CREATE VIEW seen AS SELECT id, stock AS s FROM item WHERE stock > 1;

-- name: the column cannot be dropped
ALTER TABLE item DROP COLUMN stock;

-- name: nor its type be changed
ALTER TABLE item ALTER COLUMN stock TYPE bigint;

-- name: it can be renamed
ALTER TABLE item RENAME COLUMN stock TO supply; SELECT count(*) FROM seen WHERE s > 1;

-- name: the table can be renamed
ALTER TABLE item RENAME TO thing; SELECT count(*) FROM seen; ALTER TABLE thing RENAME TO item;

-- name: the view's column can be renamed
ALTER VIEW seen RENAME COLUMN s TO t; SELECT max(t) FROM seen;

-- name: drop with the view
ALTER TABLE item DROP COLUMN supply CASCADE; SELECT * FROM seen;

-- name: set a serial up by hand
CREATE SEQUENCE by_hand OWNED BY child.a; ALTER TABLE child ALTER COLUMN a SET DEFAULT nextval('by_hand'); INSERT INTO child (tenant, id, e) VALUES (1, 80, 1); SELECT a FROM child WHERE id = 80;

-- name: rename the sequence
ALTER SEQUENCE by_hand RENAME TO by_foot; INSERT INTO child (tenant, id, e) VALUES (1, 81, 1); SELECT a FROM child WHERE id = 81;

-- name: alter the sequence
ALTER SEQUENCE by_foot INCREMENT 10 RESTART WITH 100; INSERT INTO child (tenant, id, e) VALUES (1, 82, 1), (1, 83, 1); SELECT a FROM child WHERE id IN (82, 83) ORDER BY a;

-- name: bad bounds
ALTER SEQUENCE by_foot MAXVALUE 50;

-- name: identity that is restarted
ALTER TABLE item ALTER COLUMN ident RESTART WITH 500; INSERT INTO item (tenant, id) VALUES (3, 300) RETURNING ident;

-- name: identity by default
ALTER TABLE item ALTER COLUMN ident SET GENERATED BY DEFAULT; INSERT INTO item (tenant, id, ident) VALUES (3, 301, 5) RETURNING ident;

-- name: drop identity
ALTER TABLE item ALTER COLUMN ident DROP IDENTITY; INSERT INTO item (tenant, id, ident) VALUES (3, 302, 6) RETURNING ident;

-- name: drop identity again
ALTER TABLE item ALTER COLUMN ident DROP IDENTITY;

-- name: drop identity if exists
ALTER TABLE item ALTER COLUMN ident DROP IDENTITY IF EXISTS;

-- name: add identity
ALTER TABLE item ALTER COLUMN ident ADD GENERATED ALWAYS AS IDENTITY (START WITH 900); INSERT INTO item (tenant, id) VALUES (3, 303) RETURNING ident;

-- name: alter table on a view
CREATE VIEW w AS SELECT tenant, id FROM item; ALTER TABLE w ADD COLUMN a int;

-- name: alter view on a table
ALTER VIEW item RENAME TO w2;

-- name: rename a view
ALTER VIEW w RENAME TO w2; SELECT count(*) FROM w2 WHERE id = 300; DROP VIEW w2;

-- name: a column with an unknown action
ALTER TABLE item ALTER COLUMN id FROB;

-- name: clean up
DROP TABLE child, item;

-- name: clean up with what depends on it
DROP TABLE child, item CASCADE;

-- name: actions in their own order
CREATE TABLE ordered (x text DEFAULT 'a', y int); INSERT INTO ordered VALUES ('1', 1);

-- name: a default goes before the type changes, and comes after it
ALTER TABLE ordered ALTER x DROP DEFAULT, ALTER x TYPE int USING x::int, ALTER x SET DEFAULT 5; INSERT INTO ordered (y) VALUES (2); SELECT * FROM ordered ORDER BY x;

-- name: however it is written
ALTER TABLE ordered ALTER x SET DEFAULT 'z', ALTER x TYPE text, ALTER x DROP DEFAULT; INSERT INTO ordered (y) VALUES (3); SELECT * FROM ordered ORDER BY y;

-- name: NOT NULL before an identity
ALTER TABLE ordered ALTER y ADD GENERATED ALWAYS AS IDENTITY (START 7), ALTER y SET NOT NULL; INSERT INTO ordered (x) VALUES ('q') RETURNING y;

-- name: enough of that
DROP TABLE ordered;
