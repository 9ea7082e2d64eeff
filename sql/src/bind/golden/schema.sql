CREATE TABLE dept (id int PRIMARY KEY, name text, budget numeric(12,2));
INSERT INTO dept VALUES (1, 'sales', 1000.50), (2, 'research', 2500.00), (3, 'empty', NULL);
CREATE TABLE emp (id int PRIMARY KEY, name text NOT NULL, dept_id int, salary numeric(10,2), hired date, boss int);
INSERT INTO emp VALUES
 (1, 'ann', 1, 100.00, '2020-01-15', NULL),
 (2, 'bob', 1, 80.50, '2021-06-01', 1),
 (3, 'cat', 2, 120.25, '2019-03-10', 1),
 (4, 'dan', 2, 120.25, '2022-11-30', 3),
 (5, 'eve', NULL, 60.00, '2020-01-15', 3);
CREATE TABLE t (a int, b bigint, c text, d float8);
INSERT INTO t VALUES (1, 10, 'x', 0.5), (1, 20, 'y', NULL), (2, NULL, 'x', '-0'), (NULL, 30, NULL, 2.25), (3, 10, 'Zed', 1e10);
CREATE TABLE u (a int, c text, tags text[]);
INSERT INTO u VALUES (1, 'one', '{p,q}'), (2, 'two', '{}'), (4, 'four', NULL), (NULL, 'none', '{r,NULL}');
CREATE VIEW v AS SELECT e.name, d.name AS dept FROM emp e JOIN dept d ON d.id = e.dept_id;
