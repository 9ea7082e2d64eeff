-- Rows as values: ROW, names of FROM as values, JSON of rows, records from JSON.

-- name: rows written out
SELECT ROW(1, 'a', NULL), (1, 2), ROW(1.50, 'x y', '', 'q"uote', 'b\slash', '(p)', date '2024-01-02', array[1,2], true);

-- name: rows of one field and of none
SELECT ROW(1), ROW();

-- name: rows compared
SELECT ROW(1,2) = ROW(1,2), (1,2) < (1,3), (1,2) IN ((1,2),(3,4)), ROW(1,NULL) IS DISTINCT FROM ROW(1,NULL), (1, 'a') = (1, 'b');

-- name: null tests of rows
SELECT ROW(1,NULL) IS NULL, ROW(NULL,NULL) IS NULL, ROW(1,2) IS NOT NULL, ROW(1,NULL) IS NOT NULL;

-- name: the name of a subquery is its row
SELECT t FROM (VALUES (1, 'a b'), (2, NULL)) t(id, name) ORDER BY t.id;

-- name: JSON of rows
SELECT row_to_json(t), to_json(t), to_jsonb(t) FROM (SELECT 1 AS a, 'x' AS b, NULL AS c, array[1,2] AS d, jsonb '{"z":1}' AS e) t;

-- name: JSON of a row on lines
SELECT row_to_json(t, true) FROM (SELECT 1 AS a, 'x' AS b) t;

-- name: lists of rows
SELECT json_agg(t ORDER BY t.id), jsonb_agg(t ORDER BY t.id DESC) FROM (VALUES (1, 'a'), (2, 'b')) t(id, name);

-- name: lists of rows without a member
SELECT jsonb_agg(to_jsonb(t) - 'name' ORDER BY t.id) FROM (VALUES (1, 'a'), (2, 'b')) t(id, name);

-- name: rows within objects
SELECT jsonb_build_object('t', t, 'n', 1), json_build_array(t) FROM (SELECT 1 AS a) t;

-- name: counts of rows
SELECT count(t), count(t.*), count(*) FROM (VALUES (1, 'a'), (2, NULL)) t(id, name);

-- name: rows that an outer join did not find
SELECT a.x, b, row_to_json(b), b IS NULL AS missing FROM (VALUES (1), (2)) a(x) LEFT JOIN (VALUES (1, 'one')) b(x, name) ON a.x = b.x ORDER BY a.x;

-- name: fields of a row
SELECT (t).name, (t).id FROM (VALUES (1, 'a')) t(id, name);

-- name: a field that is not there
SELECT (t).nope FROM (VALUES (1, 'a')) t(id, name);

-- name: a record from JSON
SELECT * FROM jsonb_to_record('{"a": 1, "b": "x", "d": "2024-01-01", "e": null}') AS t(a int, b text, c numeric, d date, e jsonb);

-- name: records from JSON
SELECT * FROM json_to_recordset('[{"id": 1, "tags": ["x","y\"z"], "n": {"k": 1}}, {"id": "2"}]') AS t(id bigint, tags text[], n json, missing date) ORDER BY id;

-- name: records joined with what they came from
SELECT d.id, r.sku, r.qty FROM (VALUES (1, '[{"sku": "a", "qty": 2}, {"sku": "b", "qty": 1}]'::jsonb)) d(id, doc), jsonb_to_recordset(d.doc) AS r(sku text, qty int) ORDER BY 2;

-- name: records without a definition of their columns
SELECT * FROM jsonb_to_record('{"a": 1}');

-- name: orders with lines
-- tables: ord by id, line by ord_id
CREATE TABLE ord (id int PRIMARY KEY, who text); CREATE TABLE line (ord_id int, no int, sku text, price numeric(10,2), PRIMARY KEY (ord_id, no)); 

-- name: their rows
INSERT INTO ord VALUES (1, 'ann'), (2, 'bob'), (3, 'cid'); INSERT INTO line VALUES (1, 1, 'x', 1.50), (1, 2, 'y', 2), (2, 1, 'x', 1.50);

-- name: documents of a master and its details
SELECT o.id, json_build_object('who', o.who, 'lines', (SELECT json_agg(l ORDER BY l.no) FROM line l WHERE l.ord_id = o.id)) FROM ord o ORDER BY o.id;

-- name: documents by grouping
SELECT o.id, jsonb_agg(l ORDER BY l.no) FROM ord o JOIN line l ON l.ord_id = o.id GROUP BY o.id ORDER BY o.id;

-- name: filtered lists
SELECT o.id, coalesce(json_agg(l ORDER BY l.no) FILTER (WHERE l.no IS NOT NULL), '[]') FROM ord o LEFT JOIN line l ON l.ord_id = o.id GROUP BY o.id ORDER BY o.id;

-- name: counts of a side that may lack
SELECT o.id, count(l) FROM ord o LEFT JOIN line l ON l.ord_id = o.id GROUP BY o.id ORDER BY o.id;

-- name: rows that are gone go elsewhere
WITH gone AS (DELETE FROM line WHERE ord_id = 1 RETURNING ord_id, no, sku) SELECT ord_id, no, sku FROM gone ORDER BY no;

-- name: what is changed is not seen beside
WITH new AS (INSERT INTO line VALUES (3, 1, 'z', 9.99) RETURNING *) SELECT (SELECT count(*) FROM line) AS before, (SELECT count(*) FROM new) AS added, (SELECT price FROM new) * 1;

-- name: changes in a chain
WITH upd AS (UPDATE line SET price = price * 2 WHERE ord_id = 3 RETURNING ord_id, price), ins AS (INSERT INTO line SELECT ord_id, 2, 'copy', price FROM upd RETURNING no, price) SELECT * FROM ins;

-- name: a change by what a change returned
WITH one AS (INSERT INTO ord VALUES (4, 'dee') RETURNING id) INSERT INTO line SELECT id, 1, 'first', 1 FROM one RETURNING ord_id, sku;

-- name: an update from returned rows
WITH one AS (UPDATE ord SET who = upper(who) WHERE id = 4 RETURNING id, who) UPDATE line SET sku = one.who FROM one WHERE line.ord_id = one.id RETURNING line.ord_id, line.sku;

-- name: without RETURNING there is nothing to read
WITH gone AS (DELETE FROM line WHERE ord_id = 99) SELECT * FROM gone;

-- name: a change that nobody reads
WITH gone AS (DELETE FROM line WHERE ord_id = 4) SELECT count(*) FROM line;

-- name: changes below the top
SELECT * FROM (WITH gone AS (DELETE FROM line RETURNING *) SELECT * FROM gone) x;

-- name: what is left
SELECT ord_id, no, sku, price FROM line ORDER BY 1, 2;

-- name: and is undone together
BEGIN; WITH gone AS (DELETE FROM ord RETURNING id) SELECT count(*) FROM gone; ROLLBACK;

-- name: all orders are there
SELECT count(*) FROM ord;

-- name: records in the order of their fields
SELECT x FROM (VALUES (ROW(10, 2)), (ROW(9, 5)), (ROW(9, 4))) v(x) ORDER BY x;

-- name: lists of records, too
SELECT x FROM (VALUES (ARRAY[ROW(10, 2)]), (ARRAY[ROW(9, 5)])) v(x) ORDER BY x DESC;

-- name: records are compared, counted and joined
SELECT a.x, a.x = b.x, a.x > b.x, count(*) FROM (VALUES (ROW(1, 2)), (ROW(3, 4)), (ROW(3, 4))) a(x) JOIN (VALUES (ROW(3, 4))) b(x) ON a.x >= b.x GROUP BY a.x, b.x;

-- name: one record, printed in two ways
SELECT count(DISTINCT x), count(*), min(x::text) FROM (VALUES (ROW(1.0)), (ROW(1.00)), (ROW(2.5))) v(x) WHERE x < ROW(3.0) GROUP BY x;

-- name: a record among others
SELECT ROW(1, 2) = ANY (ARRAY[ROW(1, 2)]), ROW(1, 2) <> ALL (ARRAY[ROW(1, 3)]);

-- name: a record as text
SELECT x::text, length(x::text), x::text || '!', concat(x, 'x'), format('%s', x), quote_literal(x), array_to_string(ARRAY[x], ';'), x::varchar(3) FROM (SELECT ROW(1, 'a b') AS x) s;

-- name: JSON of records whose fields are not known any more
-- differs: it is refused
SELECT to_json(ARRAY[ROW(1, 2)]);

-- name: fields of what a function returns
SELECT (jsonb_each('{"a": 1, "b": "x"}')).key, (jsonb_each('{"a": 1, "b": "x"}')).value;

-- name: all of them
SELECT 0 AS n, (jsonb_each_text('{"a": 1, "b": "x"}')).*;

-- name: the row itself
SELECT json_each('{"a": 1, "b": [2]}');

-- name: fields of each row
SELECT g, (jsonb_each_text(jsonb_build_object('n', g, 'm', g * 2))).* FROM generate_series(1, 2) g ORDER BY 1, 2;

-- name: no object
SELECT jsonb_each('[1]');

-- name: a field that is not there
SELECT (jsonb_each('{}')).nothing;

-- name: a row of a table, spread
CREATE TABLE spread (a int, b text); INSERT INTO spread VALUES (1, 'x'), (2, NULL); SELECT (spread).*, 5 AS five FROM spread ORDER BY 1;

-- name: a row of a join, spread
SELECT (l).*, (r).b FROM spread l JOIN spread r USING (a) ORDER BY 1;

-- name: in a view
CREATE VIEW spread_view AS SELECT (s).* FROM spread s; SELECT * FROM spread_view ORDER BY 1;

-- name: no row to spread
SELECT (1).*;

-- name: not spread here
SELECT 1 FROM spread s WHERE (s).* = 1;

-- name: arrays side by side
SELECT unnest(ARRAY[1], ARRAY['a']);

-- name: a record where a longer set goes on
SELECT e IS NULL, e::text FROM (SELECT jsonb_each('{"a": 1}') AS e, generate_series(1, 3)) s;

-- name: such records as they are
SELECT jsonb_each('{"a": 1}'), generate_series(1, 3);

-- name: their fields
SELECT (json_each_text('{"a": 1, "b": null}')).*, generate_series(1, 3);
