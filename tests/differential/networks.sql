inet, cidr, uuid, bytea and point.

-- name: inet output
SELECT '192.168.1.5'::inet, '192.168.1.5/24'::inet, '10.0.0.0/8'::cidr, '10'::cidr, '2001:db8::1'::inet, '2001:DB8:0:0::/32'::cidr, '::ffff:1.2.3.4'::inet;

-- name: cidr with bits to the right of the mask
SELECT '192.168.1.5/24'::cidr;

-- name: invalid address
SELECT '300.1.1.1'::inet;

-- name: containment
SELECT inet '192.168.1.5' << inet '192.168.1.0/24', inet '192.168.1.0/24' >> inet '192.168.1.5', inet '192.168.1.0/24' >>= inet '192.168.1.0/24', inet '192.168.1.0/24' >> inet '192.168.1.0/24', cidr '10.0.0.0/8' && cidr '10.1.0.0/16', cidr '10.0.0.0/8' >> inet '::1';

-- name: comparison
SELECT inet '10.0.0.1' < inet '10.0.0.2', inet '10.0.0.1/8' < inet '10.0.0.1', inet '9.9.9.9' < inet '10.0.0.1', inet '1.1.1.1' < inet '::1';

-- name: ordering
SELECT a FROM (VALUES (inet '10.0.0.2'), ('10.0.0.1/24'), ('9.0.0.0/8'), ('::1'), ('10.0.0.1')) v(a) ORDER BY a;

-- name: functions
SELECT host(inet '10.1.2.3/24'), masklen(inet '10.1.2.3/24'), netmask(inet '10.1.2.3/24'), network(inet '10.1.2.3/24'), broadcast(inet '10.1.2.3/24'), family(inet '::1'), text(inet '10.1.2.3'), abbrev(cidr '10.0.0.0/8'), hostmask(inet '10.1.2.3/20'), set_masklen(inet '10.1.2.3', 16);

-- name: arithmetic
SELECT inet '10.0.0.1' + 5, inet '10.0.0.10' - 3, inet '10.0.1.0' - inet '10.0.0.0', inet '10.0.0.5' & inet '255.255.255.0';

-- name: cast between inet and cidr
SELECT '10.1.2.3/24'::inet::cidr, '10.1.2.0/24'::cidr::inet, '10.1.2.3'::inet::text, inet '10.0.0.1/8'::text;

-- name: uuid
SELECT 'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11'::uuid, '{a0eebc999c0b4ef8bb6d6bb9bd380a11}'::uuid, 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'::uuid < 'b0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'::uuid;

-- name: invalid uuid
SELECT 'xyz'::uuid;

-- name: random uuids differ
SELECT gen_random_uuid() <> gen_random_uuid(), length(gen_random_uuid()::text);

-- name: bytea
SELECT '\xDEADbeef'::bytea, 'a\000b'::bytea, length('\x0102'::bytea), '\x01'::bytea || '\x02'::bytea, substring('\x010203'::bytea from 2 for 1), get_byte('\x0a0b'::bytea, 1), '\x01'::bytea < '\x02'::bytea;

-- name: invalid bytea
SELECT '\xZZ'::bytea;

-- name: bytea and text
SELECT convert_from('\xc3a9', 'UTF8'), convert_to('é', 'UTF8'), md5('\x00'::bytea);

-- name: invalid utf8
SELECT convert_from('\xff', 'UTF8');

-- name: points
SELECT point(1, 2), '(1.5,-2)'::point, '3 , 4'::point, (point '(1,2)')[0], (point '(1,2)')[1], point '(0,0)' <-> point '(3,4)';

-- name: invalid point
SELECT 'x'::point;

-- name: point arithmetic
SELECT point '(1,2)' + point '(3,4)', point '(1,2)' ~= point '(1,2)';

-- name: grouping addresses
SELECT a, count(*) FROM (VALUES (inet '10.0.0.1'), ('10.0.0.1'), ('10.0.0.1/24')) v(a) GROUP BY a ORDER BY a;
SELECT a::point <-> b::point FROM (VALUES ('(0.1,0.7)', '(3.3,-9.1)'), ('(1,2)', '(1,5)'), ('(37.77493,-122.41942)', '(40.71278,-74.00594)'), ('(1e300,1)', '(-1e300,2)'), ('(0,0)', '(0,0)'), ('(Infinity,1)', '(NaN,0)'), ('(NaN,1)', '(2,3)'), ('(0.3,0.4)', '(0.1,0.2)')) AS v(a, b);
