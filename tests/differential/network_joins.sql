Joins by containment of networks, without an index: a table of the networks is probed.

-- name: tables
-- tables: net by id, visit by id
CREATE TABLE net (id int PRIMARY KEY, addrs cidr, holder text);
CREATE TABLE visit (id int PRIMARY KEY, ip inet, path text);

-- name: load networks
INSERT INTO net SELECT g, set_masklen(('10.' || g % 7 || '.' || g % 5 || '.0')::cidr, (array[8, 16, 24, 22, 32])[g % 5 + 1]), 'holder ' || g FROM generate_series(1, 60) g;

-- name: load networks of the other family, and none
INSERT INTO net VALUES (100, '2001:db8::/32', 'six'), (101, '2001:db8:1::/48', 'six'), (102, '::/0', 'all six'), (103, '0.0.0.0/0', 'all four'), (104, NULL, 'none');

-- name: load visits
INSERT INTO visit SELECT g, ('10.' || g % 8 || '.' || g % 6 || '.' || g % 3)::inet, 'path ' || g FROM generate_series(1, 80) g;

-- name: load visits of the other family, networks, and none
INSERT INTO visit VALUES (200, '2001:db8:1::5', 'six'), (201, '10.3.0.0/16', 'network'), (202, '10.3.1.7/16', 'host and length'), (203, NULL, 'none'), (204, '192.168.0.1', 'elsewhere');

-- name: strictly contained
SELECT n.id, v.id FROM net n, visit v WHERE n.addrs >> v.ip ORDER BY n.id, v.id;

-- name: contained or equal
SELECT n.id, v.id FROM net n JOIN visit v ON n.addrs >>= v.ip ORDER BY n.id, v.id;

-- name: the other way round
SELECT n.holder, count(*), min(v.path) FROM visit v JOIN net n ON v.ip << n.addrs GROUP BY n.holder ORDER BY n.holder;

-- name: contained or equal the other way round
SELECT count(*), sum(n.id), sum(v.id) FROM visit v JOIN net n ON v.ip <<= n.addrs;

-- name: with another condition on both sides
SELECT n.id, v.id FROM net n JOIN visit v ON n.addrs >> v.ip AND n.id < v.id AND v.path LIKE '%1%' ORDER BY n.id, v.id;

-- name: visits contain networks
SELECT v.id, n.id FROM visit v JOIN net n ON v.ip >>= n.addrs ORDER BY v.id, n.id;

-- name: overlapping
SELECT count(*) FROM net n JOIN visit v ON n.addrs && v.ip;

-- name: an expression
SELECT n.id, v.id FROM net n JOIN visit v ON n.addrs >> set_masklen(v.ip, 20) ORDER BY n.id, v.id;

-- name: with itself
SELECT a.id, b.id FROM net a JOIN net b ON a.addrs >> b.addrs ORDER BY a.id, b.id;

-- name: the most specific
SELECT DISTINCT ON (v.id) v.id, n.addrs FROM visit v JOIN net n ON n.addrs >>= v.ip WHERE v.id % 9 = 0 ORDER BY v.id, masklen(n.addrs) DESC, n.id;

-- name: outer
SELECT v.id, count(n.id) FROM visit v LEFT JOIN net n ON n.addrs >> v.ip AND n.id < 20 GROUP BY v.id ORDER BY v.id;

-- name: sorted aggregates of the pairs
SELECT n.holder, array_agg(v.id ORDER BY v.ip DESC, v.id), percentile_cont(0.5) WITHIN GROUP (ORDER BY v.id), percentile_disc(0.5) WITHIN GROUP (ORDER BY v.path) FROM net n JOIN visit v ON n.addrs >> v.ip WHERE n.id % 5 = 0 GROUP BY n.holder ORDER BY n.holder;
