Joins of all kinds, co-located and not.

-- name: tables
-- tables: customer by id, purchase by customer_id, item by sku
CREATE TABLE customer (id int PRIMARY KEY, name text, city text, referrer int);
CREATE TABLE purchase (customer_id int, no int, sku text, amount numeric(10,2), PRIMARY KEY (customer_id, no));
CREATE TABLE item (sku text PRIMARY KEY, label text, price numeric(10,2));

-- name: load customers
INSERT INTO customer SELECT g, 'customer ' || g, (array['Oslo', 'Lima', NULL, 'Rome'])[g % 4 + 1], CASE WHEN g > 3 THEN g / 3 END FROM generate_series(1, 30) g;

-- name: load purchases
INSERT INTO purchase SELECT c, n, 'sku' || ((c * 7 + n * 3) % 12), (c * 13 + n * 7) % 100 / 4.0 FROM generate_series(1, 34) c, generate_series(1, 5) n WHERE (c + n) % 3 <> 0;

-- name: load items
INSERT INTO item SELECT 'sku' || g, 'label ' || g, g * 1.25 FROM generate_series(0, 9) g;

-- name: inner join on the distribution column
SELECT c.id, c.name, p.no, p.amount FROM customer c JOIN purchase p ON c.id = p.customer_id WHERE c.id < 6 ORDER BY c.id, p.no;

-- name: join pinned to one key
SELECT c.name, p.sku FROM customer c JOIN purchase p ON c.id = p.customer_id WHERE c.id = 7 ORDER BY p.no;

-- name: join pinned through the other table
SELECT c.name, count(*) FROM customer c JOIN purchase p ON c.id = p.customer_id WHERE p.customer_id = 8 GROUP BY c.name;

-- name: left join
SELECT c.id, count(p.no), sum(p.amount) FROM customer c LEFT JOIN purchase p ON c.id = p.customer_id GROUP BY c.id ORDER BY c.id;

-- name: left join with a condition on the right side
SELECT c.id, p.no FROM customer c LEFT JOIN purchase p ON c.id = p.customer_id AND p.amount > 20 WHERE c.id <= 10 ORDER BY c.id, p.no;

-- name: left join filtered to the unmatched
SELECT c.id FROM customer c LEFT JOIN purchase p ON c.id = p.customer_id AND p.no = 1 WHERE p.no IS NULL ORDER BY c.id;

-- name: right join
SELECT c.name, p.customer_id, p.no FROM customer c RIGHT JOIN purchase p ON c.id = p.customer_id WHERE p.customer_id > 28 ORDER BY p.customer_id, p.no;

-- name: full join
SELECT c.id, p.customer_id, count(*) FROM customer c FULL JOIN purchase p ON c.id = p.customer_id AND p.no = 1 GROUP BY c.id, p.customer_id ORDER BY c.id, p.customer_id;

-- name: join not on the distribution column
SELECT p.customer_id, p.no, i.label FROM purchase p JOIN item i ON p.sku = i.sku WHERE p.amount > 22 ORDER BY 1, 2;

-- name: left join not on the distribution column
SELECT p.sku, i.label, count(*) FROM purchase p LEFT JOIN item i ON p.sku = i.sku GROUP BY p.sku, i.label ORDER BY p.sku;

-- name: right join not on the distribution column
SELECT i.sku, count(p.no) FROM purchase p RIGHT JOIN item i ON p.sku = i.sku AND p.amount > 10 GROUP BY i.sku ORDER BY i.sku;

-- name: full join not on the distribution column
SELECT p.sku, i.sku, count(*) FROM purchase p FULL JOIN item i ON p.sku = i.sku GROUP BY 1, 2 ORDER BY 1, 2;

-- name: three tables
SELECT c.city, i.label, sum(p.amount) FROM customer c JOIN purchase p ON p.customer_id = c.id JOIN item i ON i.sku = p.sku GROUP BY c.city, i.label ORDER BY c.city, i.label;

-- name: self join on another column
SELECT c.id, r.name FROM customer c JOIN customer r ON c.referrer = r.id ORDER BY c.id;

-- name: cross join
SELECT count(*) FROM customer CROSS JOIN item;

-- name: comma join with a condition
SELECT count(*) FROM customer c, purchase p, item i WHERE c.id = p.customer_id AND p.sku = i.sku AND i.price > 5;

-- name: inequality join
SELECT c.id, count(*) FROM customer c JOIN item i ON c.id < i.price WHERE c.id < 8 GROUP BY c.id ORDER BY c.id;

-- name: using merges the column
SELECT * FROM (SELECT id AS customer_id, city FROM customer) c JOIN purchase USING (customer_id) WHERE customer_id IN (3, 4) ORDER BY customer_id, no;

-- name: natural join
SELECT sku, label, amount FROM purchase NATURAL JOIN item WHERE customer_id = 11 ORDER BY no;

-- name: full join using coalesces the column
SELECT id, c.city, r.n FROM customer c FULL JOIN (VALUES (1, 'x'), (99, 'y')) AS r(id, n) USING (id) WHERE id IN (1, 2, 99) ORDER BY id;

-- name: semi join by in
SELECT id FROM customer WHERE id IN (SELECT customer_id FROM purchase WHERE amount > 23) ORDER BY id;

-- name: semi join by exists on another column
SELECT sku FROM item i WHERE EXISTS (SELECT 1 FROM purchase p WHERE p.sku = i.sku AND p.amount > 20) ORDER BY sku;

-- name: anti join
SELECT id FROM customer c WHERE NOT EXISTS (SELECT 1 FROM purchase p WHERE p.customer_id = c.id AND p.no = 2) ORDER BY id;

-- name: anti join by not in
SELECT sku FROM item WHERE sku NOT IN (SELECT sku FROM purchase WHERE customer_id < 3) ORDER BY sku;

-- name: lateral
SELECT c.id, top.no, top.amount FROM customer c CROSS JOIN LATERAL (SELECT no, amount FROM purchase p WHERE p.customer_id = c.id ORDER BY amount DESC, no LIMIT 1) top WHERE c.id < 9 ORDER BY c.id;

-- name: left lateral
SELECT c.id, t.total FROM customer c LEFT JOIN LATERAL (SELECT sum(amount) AS total FROM purchase p WHERE p.customer_id = c.id AND p.no > 3) t ON true ORDER BY c.id;

-- name: join of two aggregates
SELECT a.id, a.n, b.total FROM (SELECT id, count(*) AS n FROM customer GROUP BY id) a JOIN (SELECT customer_id, sum(amount) AS total FROM purchase GROUP BY customer_id) b ON a.id = b.customer_id WHERE a.id BETWEEN 5 AND 9 ORDER BY a.id;

-- name: join with a limit below
SELECT c.id, p.no FROM (SELECT * FROM customer ORDER BY id LIMIT 3) c JOIN purchase p ON p.customer_id = c.id ORDER BY 1, 2;

-- name: aggregate over a join, then order by the aggregate
SELECT c.city, count(*) AS n, round(avg(p.amount), 3) AS mean FROM customer c JOIN purchase p ON p.customer_id = c.id GROUP BY c.city HAVING count(*) > 5 ORDER BY n DESC, c.city;

-- name: select star from a join
SELECT * FROM customer c JOIN purchase p ON c.id = p.customer_id WHERE c.id = 2 ORDER BY no;

-- name: qualified star
SELECT p.*, c.name FROM customer c JOIN purchase p ON c.id = p.customer_id WHERE c.id = 2 ORDER BY no;

-- name: join to values
SELECT c.id, v.label FROM customer c JOIN (VALUES (1, 'one'), (2, 'two')) v(id, label) ON v.id = c.id ORDER BY c.id;

-- name: join to a series
SELECT g, count(c.id) FROM generate_series(1, 4) g LEFT JOIN customer c ON c.id % 4 = g GROUP BY g ORDER BY g;

-- name: ambiguous column
SELECT sku FROM purchase JOIN item ON purchase.sku = item.sku;

-- name: unknown table in a join
SELECT * FROM customer JOIN no_such_table ON true;

-- name: missing from entry
SELECT item.sku FROM purchase;

-- name: alias hides the table
SELECT customer.id FROM customer c;

-- name: join on incompatible types
SELECT 1 FROM customer JOIN item ON customer.id = item.sku;

-- name: parentheses in joins
SELECT count(*) FROM customer c LEFT JOIN (purchase p JOIN item i ON p.sku = i.sku) ON p.customer_id = c.id;

-- name: conditions on both sides
SELECT count(*) FROM customer c LEFT JOIN purchase p ON p.customer_id = c.id AND c.city = 'Oslo';

-- name: constants of a side that has no row
SELECT q.word, c.id FROM (SELECT p.no, 'p' AS word FROM purchase p WHERE p.customer_id < 3) q FULL JOIN customer c ON q.no = c.id ORDER BY 1, 2;

-- name: ranks over constants of a side that has no row
SELECT c.id, rank() OVER (PARTITION BY c.city IS NULL ORDER BY q.two), q.two FROM (SELECT 2 AS two, no FROM purchase) q FULL JOIN customer c ON q.no = c.id AND c.id > 2 ORDER BY 1, 2, 3;

-- name: constants of one side among the keys of a window
SELECT sum(q.n) OVER (PARTITION BY q.one), c.id FROM customer c JOIN (SELECT 1 AS one, sku, count(*) OVER (PARTITION BY 1) AS n FROM purchase WHERE no = 2) q ON q.sku = 'sku' || c.id ORDER BY 1, 2;

-- name: names that mean something else on the other side of a semi join
-- tables: near by k
CREATE TABLE near (k int, v int);

-- name: its other side
-- tables: far by v
CREATE TABLE far (k int, v bigint);

-- name: those that are asked for
-- tables: few by x
CREATE TABLE few (x int);

-- name: rows of both sides
INSERT INTO near SELECT g, 1000 + g FROM generate_series(1, 50) g;

-- name: with names exchanged
INSERT INTO far SELECT 1000 + g, g FROM generate_series(1, 50) g;

-- name: some of them
INSERT INTO few VALUES (1), (2);

-- name: keys with exchanged names
SELECT count(*), sum(z.v) FROM few JOIN (SELECT k, v FROM near WHERE EXISTS (SELECT 1 FROM far WHERE far.k = near.v AND far.v = near.k)) z ON few.x = z.k;

-- name: the same in groups
SELECT count(*), sum(z.v) FROM few JOIN (SELECT k, v FROM near WHERE EXISTS (SELECT 1 FROM far WHERE far.k = near.v AND far.v = near.k) GROUP BY k, v) z ON few.x = z.k;

-- name: a key of another type under the same name
SELECT count(*) FROM few JOIN (SELECT v FROM far WHERE v IN (SELECT v - 1000 FROM near)) z ON few.x = z.v;

-- name: the first of them
SELECT k, v FROM near WHERE EXISTS (SELECT 1 FROM far WHERE far.k = near.v AND far.v = near.k) ORDER BY k LIMIT 2;

-- name: tables for merged columns
CREATE TABLE merged_a (id int, a int); CREATE TABLE merged_b (id int, b int); INSERT INTO merged_a VALUES (1, 10), (2, 20); INSERT INTO merged_b VALUES (1, 100), (3, 300);

-- name: an alias of merged columns
SELECT x.id, merged_a.a, merged_b.b FROM merged_a JOIN merged_b USING (id) AS x;

-- name: all of them
SELECT x.* FROM merged_a JOIN merged_b USING (id) AS x;

-- name: the alias as a row
SELECT x FROM merged_a JOIN merged_b USING (id) AS x;

-- name: no other column
SELECT x.a FROM merged_a JOIN merged_b USING (id) AS x;

-- name: of a full join
SELECT id, x.id, merged_a.id, merged_b.id FROM merged_a FULL JOIN merged_b USING (id) AS x ORDER BY 1;

-- name: the star is as without it
SELECT * FROM merged_a JOIN merged_b USING (id) AS x;

-- name: hidden by another alias
SELECT x.id FROM (merged_a JOIN merged_b USING (id) AS x) y;

-- name: beside another alias
SELECT y.id FROM (merged_a JOIN merged_b USING (id) AS x) y;

-- name: an alias twice
SELECT * FROM merged_a x JOIN merged_b USING (id) AS x;

-- name: grouped by
SELECT x.id, count(*) FROM merged_a LEFT JOIN merged_b USING (id) AS x WHERE x.id > 0 GROUP BY x.id ORDER BY x.id;

-- name: kept in a view
CREATE VIEW merged AS SELECT x.id, a, b FROM merged_a LEFT JOIN merged_b USING (id) AS x; SELECT * FROM merged ORDER BY 1;
