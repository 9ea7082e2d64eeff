The shape of the lab: tenants, co-located joins and cross-tenant questions on small data.

-- name: tables
-- tables: org by id, camp by org_id, hit by org_id, zone
CREATE TABLE org (id bigint PRIMARY KEY, name text NOT NULL);
CREATE TABLE camp (id bigint, org_id bigint, name text NOT NULL, budget bigint, PRIMARY KEY (org_id, id));
CREATE TABLE hit (id bigserial, org_id bigint, camp_id bigint, at timestamp NOT NULL, cost numeric(20,10), ip inet NOT NULL, data jsonb NOT NULL, PRIMARY KEY (org_id, id));
CREATE TABLE zone (addrs cidr NOT NULL PRIMARY KEY, spot point NOT NULL);

-- name: load
INSERT INTO org SELECT g, 'org ' || g FROM generate_series(1, 40) g;
INSERT INTO camp SELECT g, g % 40 + 1, 'camp ' || g, CASE WHEN g % 7 <> 0 THEN g * 10 END FROM generate_series(1, 120) g;
INSERT INTO hit (org_id, camp_id, at, cost, ip, data) SELECT g % 13 % 40 + 1, g % 13 + 40 * (g % 3), timestamp '2024-03-01' + g * interval '11 minutes', (g % 17) / 16.0, ('10.0.' || g % 4 || '.' || g % 250 + 1)::inet, jsonb_build_object('is_mobile', g % 2 = 0, 'n', g % 5) FROM generate_series(1, 600) g;
INSERT INTO zone VALUES ('10.0.0.0/24', '(1,2)'), ('10.0.1.0/24', '(3,4)'), ('10.0.2.0/25', '(5,6)'), ('10.0.0.0/16', '(7,8)');

-- name: one tenant
SELECT id, at, cost FROM hit WHERE org_id = 5 ORDER BY at LIMIT 7;

-- name: rank in one tenant
SELECT c.id, rank() OVER (PARTITION BY c.org_id ORDER BY c.org_id, count(*) DESC), count(*) AS n FROM camp AS c JOIN hit AS H ON h.org_id = c.org_id AND h.camp_id = c.id WHERE c.org_id = 5 GROUP BY c.org_id, c.id ORDER BY n DESC, c.id;

-- name: rank in all tenants
SELECT c.org_id, c.id, rank() OVER (PARTITION BY c.org_id ORDER BY count(*) DESC), count(*) AS n FROM camp c JOIN hit h ON h.org_id = c.org_id AND h.camp_id = c.id GROUP BY c.org_id, c.id ORDER BY c.org_id, n DESC, c.id;

-- name: cost by tenant
SELECT org_id, sum(cost) AS total, count(*), avg(cost) FROM hit GROUP BY org_id ORDER BY total DESC, org_id;

-- name: jsonb in one tenant
SELECT data->>'is_mobile' AS is_mobile, count(*) AS count FROM hit WHERE org_id = 5 GROUP BY data->>'is_mobile' ORDER BY count DESC, 1;

-- name: jsonb in all tenants
SELECT data->>'n' AS n, count(*) FROM hit WHERE data @> '{"is_mobile": true}' GROUP BY 1 ORDER BY 1;

-- name: network join in one tenant
SELECT h.id, h.ip, z.addrs, z.spot[0] FROM zone z, hit h WHERE z.addrs >> h.ip AND h.org_id = 5 AND h.camp_id = 4 ORDER BY h.id, z.addrs;

-- name: network join in all tenants
SELECT z.addrs, count(*), sum(h.cost) FROM zone z JOIN hit h ON z.addrs >> h.ip GROUP BY z.addrs ORDER BY z.addrs;

-- name: tenants without hits
SELECT o.id FROM org o LEFT JOIN hit h ON h.org_id = o.id WHERE h.id IS NULL ORDER BY o.id;

-- name: left join with aggregation on one side
SELECT c.id, count(h.id) FROM camp c LEFT JOIN (SELECT * FROM hit WHERE at >= '2024-03-03') h ON h.org_id = c.org_id AND h.camp_id = c.id WHERE c.org_id = 6 AND c.name LIKE 'camp %' GROUP BY c.id ORDER BY c.id;

-- name: hits by day and tenant
SELECT date_trunc('day', at) AS day, org_id, count(*) FROM hit WHERE org_id IN (1, 2, 3) GROUP BY 1, 2 ORDER BY 1, 2;

-- name: in a list of tenants
SELECT o.name, sum(h.cost) FROM org o JOIN hit h ON o.id = h.org_id WHERE o.id IN (2, 4, 6) GROUP BY o.name ORDER BY o.name;

-- name: campaigns with budgets over their average
SELECT c.org_id, c.id FROM camp c WHERE c.budget > (SELECT avg(budget) FROM camp) AND c.org_id < 10 ORDER BY 1, 2;

-- name: parameters are compared across types
SELECT count(*) FROM hit WHERE org_id = 5::int AND id > 0::smallint;

-- name: tenant given as text
SELECT count(*) FROM hit WHERE org_id = '5';

-- name: tenant in a range
SELECT count(*) FROM hit WHERE org_id BETWEEN 3 AND 5;

-- name: tenant by an impossible condition
SELECT count(*) FROM hit WHERE org_id = 5 AND org_id = 6;

-- name: tenant by or
SELECT count(*) FROM hit WHERE org_id = 5 OR org_id = 6;

-- name: tenant is null
SELECT count(*) FROM hit WHERE org_id IS NULL;

-- name: roll up into another table
INSERT INTO camp (id, org_id, name) SELECT 1000 + camp_id, org_id, 'rolled ' || count(*) FROM hit GROUP BY org_id, camp_id;

-- name: the rollup
SELECT org_id, id, name FROM camp WHERE id >= 1000 ORDER BY org_id, id;

-- name: update a tenant
UPDATE camp SET budget = budget + 1 WHERE org_id = 5 RETURNING id, budget;

-- name: update over tenants
UPDATE camp SET budget = 0 WHERE budget IS NULL;

-- name: delete over tenants
DELETE FROM hit WHERE cost < 0.5;

-- name: after the deletes
SELECT org_id, count(*) FROM hit GROUP BY org_id ORDER BY org_id;
