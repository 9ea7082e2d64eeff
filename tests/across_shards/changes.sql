-- name: tables of two co-locations, a reference table and a local one
CREATE TABLE ca (k int NOT NULL, id int NOT NULL, v int, note text, PRIMARY KEY (k, id));
CREATE TABLE cb (k int PRIMARY KEY, v int);
CREATE TABLE cc (k int PRIMARY KEY, w int, note text);
CREATE TABLE cr (k int PRIMARY KEY, v int);
CREATE TABLE cl (k int, v int);

-- name: spread
SELECT create_distributed_table('ca', 'k', colocate_with => 'none');
SELECT create_distributed_table('cb', 'k', colocate_with => 'ca');
SELECT create_distributed_table('cc', 'k', colocate_with => 'none');
SELECT create_reference_table('cr');

-- name: fill
INSERT INTO ca SELECT g % 20, g, g % 7, 'n' || g FROM generate_series(1, 100) g;
INSERT INTO cb SELECT g, g * 10 FROM generate_series(0, 19) g;
INSERT INTO cc SELECT g, g % 5, 'c' || g FROM generate_series(1, 60) g;
INSERT INTO cr SELECT g, g * 100 FROM generate_series(0, 6) g;
INSERT INTO cl SELECT g, g FROM generate_series(1, 10) g;

-- name: update from a table that is not co-located
UPDATE ca SET v = cc.w, note = cc.note FROM cc WHERE ca.id = cc.k AND cc.w > 2;

-- name: what it left
SELECT * FROM ca ORDER BY id;

-- name: update with returning of both sides
UPDATE ca SET v = ca.v + 1 FROM cc WHERE ca.v = cc.k AND cc.k < 3 RETURNING ca.k, ca.id, ca.v, cc.note;

-- name: update by a subquery over another co-location
UPDATE ca SET v = (SELECT max(w) FROM cc WHERE cc.k = ca.v) WHERE id IN (SELECT k FROM cc WHERE w = 1);

-- name: what the subquery left
SELECT * FROM ca ORDER BY id;

-- name: update from a local table
UPDATE cc SET w = cl.v * 2 FROM cl WHERE cl.k = cc.k;

-- name: update a local table from a distributed one
UPDATE cl SET v = ca.id FROM ca WHERE ca.k = cl.k AND ca.id < 20;

-- name: update a reference table from a distributed one
UPDATE cr SET v = x.total FROM (SELECT v, sum(id)::int AS total FROM ca GROUP BY v) x WHERE x.v = cr.k;

-- name: all copies say the same
SELECT (SELECT sum(v) FROM cr), sum(cr.v) FROM ca JOIN cr ON cr.k = ca.v;

-- name: delete using a table that is not co-located
DELETE FROM ca USING cc WHERE ca.id = cc.k AND cc.w = 3 RETURNING ca.id, cc.note;

-- name: delete by a subquery
DELETE FROM cc WHERE NOT EXISTS (SELECT 1 FROM ca WHERE ca.id = cc.k);

-- name: delete from a reference table
DELETE FROM cr WHERE k IN (SELECT v FROM ca WHERE id < 10);

-- name: what deleting left
SELECT (SELECT count(*) FROM ca), (SELECT count(*) FROM cc), (SELECT count(*) FROM cr), (SELECT sum(v) FROM cl);

-- name: rows move with their distribution column
UPDATE cb SET k = k + 100 WHERE v >= 100;

-- name: they are found where they are now
SELECT * FROM cb WHERE k = 115;
SELECT * FROM cb WHERE k = 15;
SELECT * FROM cb ORDER BY k;

-- name: moving with returning, from another table
UPDATE cb SET k = cb.k + cl.k, v = 1 FROM cl WHERE cl.k = cb.k - 100 RETURNING cb.*;

-- name: moving onto a row that is there
UPDATE cb SET k = 0 WHERE k = 1;

-- name: moving to nowhere
UPDATE cb SET k = NULL WHERE k = 1;

-- name: a failed move leaves everything
SELECT count(*), sum(k) FROM cb;

-- name: moving back and forth in a transaction
BEGIN;
UPDATE cb SET k = k + 1000;
SELECT count(*), sum(k) FROM cb;
UPDATE cb SET k = k - 1000 WHERE k > 1000;
SELECT count(*), sum(k) FROM cb;
ROLLBACK;

-- name: after the rollback
SELECT count(*), sum(k) FROM cb;

-- name: insert from a co-located table
INSERT INTO cb SELECT k + 0, max(v) FROM ca GROUP BY k ON CONFLICT (k) DO UPDATE SET v = excluded.v + 1000;

-- name: insert from a co-located table by its key
INSERT INTO cb SELECT DISTINCT k, 7 FROM ca ON CONFLICT DO NOTHING;

-- name: insert with returning
INSERT INTO cb (k, v) SELECT k, w FROM cc WHERE k > 30 ON CONFLICT DO NOTHING RETURNING k, v;

-- name: insert what conflicts
INSERT INTO cb SELECT k, w FROM cc;

-- name: insert from itself
INSERT INTO ca SELECT k, id + 1000, v, note FROM ca WHERE id < 50;

-- name: what inserting left
SELECT k, count(*), sum(id), sum(v) FROM ca GROUP BY k ORDER BY k;
SELECT * FROM cb ORDER BY k;

-- name: insert into a reference table from a distributed one
INSERT INTO cr SELECT DISTINCT v + 1000, 1 FROM ca WHERE v IS NOT NULL;

-- name: the reference table
SELECT * FROM cr ORDER BY k;

-- name: away with them
DROP TABLE ca, cb, cc, cr, cl;
