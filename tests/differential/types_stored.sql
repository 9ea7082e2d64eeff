Every type through a table: written, read, compared, sorted, used as a key.

-- name: tables
-- tables: every by k
CREATE TABLE every (k int, b bool, i2 int2, i8 int8, f4 float4, f8 float8, n numeric, n2 numeric(20,10), t text, vc varchar(5), c char(3), by bytea, d date, tm time, ts timestamp, tz timestamptz, iv interval, u uuid, js json, jb jsonb, ip inet, net cidr, p point, ia int[], ta text[], na numeric(4,1)[]);

-- name: insert everything
INSERT INTO every VALUES (1, true, 12, 1234567890123, 1.5, 0.1, 1.10, 0.0123456789, 'héllo', 'abc', 'x', '\x00ff', '2024-02-29', '23:59:59.5', '2024-01-01 00:00:00.000001', '2024-01-01 00:00:00+03', '1 mon 2 days 00:00:03', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', '{"b":1,  "a":2}', '{"b":1,  "a":2}', '10.0.0.1/8', '10.0.0.0/8', '(1,2.5)', '{1,NULL,3}', '{"a b",NULL,""}', '{1.25,2}');

-- name: insert extremes
INSERT INTO every VALUES (2, false, -32768, -9223372036854775808, 'NaN', '-Infinity', '-0.00001', -9999999999.9999999999, '', '', '', '', '0001-01-01', '00:00', '0001-01-01', '9999-12-31 23:59:59.999999+00', '-1 year', '00000000-0000-0000-0000-000000000000', '[]', '[]', '::1', '::/0', '(-1e10,1e-10)', '{}', '{}', '{}');

-- name: insert nulls
INSERT INTO every (k) VALUES (3);

-- name: insert large
INSERT INTO every (k, n, t, jb, ta, by) VALUES (4, 12345678901234567890123456789012345678901234567890.123, repeat('x', 3000), jsonb_build_object('k', repeat('y', 3000)), array_fill('z'::text, array[50]), decode(repeat('ab', 500), 'hex'));

-- name: read everything
SELECT * FROM every WHERE k < 4 ORDER BY k;

-- name: read the large ones
SELECT k, n, length(t), length(jb->>'k'), cardinality(ta), length(by), md5(t) FROM every WHERE k = 4;

-- name: filter by each type
SELECT k FROM every WHERE b AND i2 = 12 AND i8 = 1234567890123 AND f4 = 1.5 AND f8 = 0.1 AND n = 1.1 AND n2 > 0 AND t = 'héllo' AND vc = 'abc' AND c = 'x' AND by = '\x00ff' AND d = '2024-02-29' AND tm > '12:00' AND ts > '2024-01-01' AND tz < '2024-01-01' AND iv > '1 mon' AND u = 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11' AND jb @> '{"a": 2}' AND ip << '10.0.0.0/7' AND net >>= ip AND p[0] = 1 AND 3 = ANY (ia) AND ta[1] = 'a b';

-- name: sort by each type
SELECT k FROM every ORDER BY n DESC NULLS LAST, t, d, u, ip, jb, ia, iv, tz, by;

-- name: sort by time types
SELECT k FROM every WHERE k < 4 ORDER BY ts, tm, d;

-- name: aggregate each type
SELECT min(i2), max(i8), min(n), max(n2), min(t), max(d), min(tm), max(ts), min(tz), max(iv), min(ip), max(ia), max(vc), min(c) FROM every;

-- name: group by each type
SELECT b, d, u, jb, ip, count(*) FROM every WHERE k < 4 GROUP BY b, d, u, jb, ip ORDER BY d;

-- name: distinct of all
SELECT count(*) FROM (SELECT DISTINCT k, b, i2, n, t, by, ts, iv, u, jb, ip, ia FROM every) s;

-- name: update each type
UPDATE every SET n2 = n2 * 2, t = t || '!', d = d + 1, ts = ts + interval '1 day', jb = jb || '{"z": 1}', ia = ia || 9, ip = ip + 1, iv = iv * 2, u = NULL WHERE k = 1 RETURNING n2, t, d, ts, jb, ia, ip, iv, u;

-- name: numeric keeps its scale
INSERT INTO every (k, n, n2) VALUES (5, 1.500, 1.5), (6, 1.5, 1.50000), (7, 100, 100) RETURNING n, n2;

-- name: numerics are equal without scale
SELECT count(*), count(DISTINCT n) FROM every WHERE n = 1.5;

-- name: char padding
SELECT c, c || '|', length(c), octet_length(c), c = 'x', c LIKE 'x' FROM every WHERE k = 1;

-- name: json as text
SELECT js, js::text, js->>'a', jb::text FROM every WHERE k = 1;

-- name: copy out
COPY (SELECT * FROM every WHERE k < 4 ORDER BY k) TO STDOUT;

-- name: copy out as csv
COPY (SELECT * FROM every WHERE k < 4 ORDER BY k) TO STDOUT WITH (FORMAT csv, HEADER);
