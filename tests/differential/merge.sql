MERGE.
-- tables: stock by id, delivery by id

-- name: tables
CREATE TABLE stock (id int PRIMARY KEY, amount int NOT NULL DEFAULT 0, note text); CREATE TABLE delivery (id int, amount int);

-- name: rows
INSERT INTO stock VALUES (1, 10, 'a'), (2, 20, 'b'), (3, 30, 'c'); INSERT INTO delivery VALUES (2, 5), (3, -30), (4, 7);

-- name: update, delete and insert
MERGE INTO stock s USING delivery d ON s.id = d.id WHEN MATCHED AND s.amount + d.amount = 0 THEN DELETE WHEN MATCHED THEN UPDATE SET amount = s.amount + d.amount WHEN NOT MATCHED THEN INSERT (id, amount) VALUES (d.id, d.amount);

-- name: what came of it
SELECT * FROM stock ORDER BY id;

-- name: do nothing
MERGE INTO stock USING delivery ON stock.id = delivery.id WHEN MATCHED AND stock.id = 2 THEN DO NOTHING WHEN MATCHED THEN UPDATE SET note = 'd' WHEN NOT MATCHED THEN DO NOTHING; SELECT * FROM stock ORDER BY id;

-- name: a query as the source
MERGE INTO stock s USING (SELECT id, sum(amount) AS total FROM delivery GROUP BY id) d ON s.id = d.id WHEN NOT MATCHED AND d.total > 0 THEN INSERT VALUES (d.id, d.total, 'q') WHEN NOT MATCHED THEN INSERT (id, note) VALUES (d.id, 'none'); SELECT * FROM stock ORDER BY id;

-- name: default values of columns
DELETE FROM stock WHERE id = 4; MERGE INTO stock s USING delivery d ON s.id = d.id WHEN NOT MATCHED AND d.id = 4 THEN INSERT (id, amount, note) VALUES (d.id, DEFAULT, 'x'); SELECT * FROM stock ORDER BY id;

-- name: a row twice
INSERT INTO delivery VALUES (2, 6);

-- name: cannot be changed twice
MERGE INTO stock s USING delivery d ON s.id = d.id WHEN MATCHED THEN UPDATE SET amount = d.amount;

-- name: nothing has changed
SELECT * FROM stock ORDER BY id;

-- name: unreachable
MERGE INTO stock s USING delivery d ON s.id = d.id WHEN MATCHED THEN DELETE WHEN MATCHED THEN DO NOTHING;

-- name: an unknown column
MERGE INTO stock s USING delivery d ON s.id = d.id WHEN MATCHED THEN UPDATE SET nothing = 1;

-- name: clean up
DROP TABLE stock, delivery;
