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
CREATE TABLE geo (addrs cidr, latlon point);
INSERT INTO geo VALUES ('10.0.0.0/8', '(1.5,-2)'), ('10.1.0.0/16', '(90,180)'), ('2001:db8::/32', '(0,0)');
CREATE TABLE ev (id int PRIMARY KEY, data jsonb, ip inet, at timestamp, tz timestamptz);
INSERT INTO ev VALUES
 (1, '{"is_mobile": true, "o": {"k": [1, 2]}}', '10.1.2.3', '2020-01-01 10:00:00', '2020-01-01 10:00:00+00'),
 (2, '{"is_mobile": false, "n": 5}', '10.2.0.1', '2020-01-02 00:00:00.5', '2020-06-01 00:00:00+00'),
 (3, '[1, "a"]', '2001:db8::1', NULL, NULL);
CREATE VIEW v AS SELECT e.name, d.name AS dept FROM emp e JOIN dept d ON d.id = e.dept_id;
