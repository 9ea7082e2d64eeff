Primary and distribution keys of every type.

-- name: tables
-- tables: k_int2 by k, k_int8 by k, k_text by k, k_uuid by k, k_date by k, k_ts by k, k_tstz by k, k_num by k, k_bool by k, k_bytea by k, k_inet by k, k_varchar by k, k_float by k
CREATE TABLE k_int2 (k int2 PRIMARY KEY, v int);
CREATE TABLE k_int8 (k int8 PRIMARY KEY, v int);
CREATE TABLE k_text (k text PRIMARY KEY, v int);
CREATE TABLE k_uuid (k uuid PRIMARY KEY, v int);
CREATE TABLE k_date (k date PRIMARY KEY, v int);
CREATE TABLE k_ts (k timestamp PRIMARY KEY, v int);
CREATE TABLE k_tstz (k timestamptz PRIMARY KEY, v int);
CREATE TABLE k_num (k numeric PRIMARY KEY, v int);
CREATE TABLE k_bool (k bool PRIMARY KEY, v int);
CREATE TABLE k_bytea (k bytea PRIMARY KEY, v int);
CREATE TABLE k_inet (k inet PRIMARY KEY, v int);
CREATE TABLE k_varchar (k varchar(20) PRIMARY KEY, v int);
CREATE TABLE k_float (k float8 PRIMARY KEY, v int);

-- name: insert int2 keys
INSERT INTO k_int2 VALUES (-5, 0), (0, 1), (7, 2), (32767, 3);

-- name: a duplicate int2 key
INSERT INTO k_int2 VALUES (-5, 99);

-- name: each int2 key is found
SELECT k, v FROM k_int2 WHERE k = 0;

-- name: int2 keys in order
SELECT k, v FROM k_int2 ORDER BY k;

-- name: int2 keys from the first
SELECT count(*), sum(v) FROM k_int2 WHERE k >= -5;

-- name: int2 keys in a list
SELECT v FROM k_int2 WHERE k IN (-5, 32767) ORDER BY v;

-- name: update by int2 key
UPDATE k_int2 SET v = v + 10 WHERE k = 32767 RETURNING k, v;

-- name: upsert by int2 key
INSERT INTO k_int2 VALUES (32767, 7) ON CONFLICT (k) DO UPDATE SET v = EXCLUDED.v + k_int2.v RETURNING v;

-- name: delete by int2 key
DELETE FROM k_int2 WHERE k = 32767 RETURNING v;

-- name: int2 self join on the key
SELECT count(*) FROM k_int2 a JOIN k_int2 b ON a.k = b.k;

-- name: insert int8 keys
INSERT INTO k_int8 VALUES (-9223372036854775808, 0), (0, 1), (5, 2), (9223372036854775807, 3);

-- name: a duplicate int8 key
INSERT INTO k_int8 VALUES (-9223372036854775808, 99);

-- name: each int8 key is found
SELECT k, v FROM k_int8 WHERE k = 0;

-- name: int8 keys in order
SELECT k, v FROM k_int8 ORDER BY k;

-- name: int8 keys from the first
SELECT count(*), sum(v) FROM k_int8 WHERE k >= -9223372036854775808;

-- name: int8 keys in a list
SELECT v FROM k_int8 WHERE k IN (-9223372036854775808, 9223372036854775807) ORDER BY v;

-- name: update by int8 key
UPDATE k_int8 SET v = v + 10 WHERE k = 9223372036854775807 RETURNING k, v;

-- name: upsert by int8 key
INSERT INTO k_int8 VALUES (9223372036854775807, 7) ON CONFLICT (k) DO UPDATE SET v = EXCLUDED.v + k_int8.v RETURNING v;

-- name: delete by int8 key
DELETE FROM k_int8 WHERE k = 9223372036854775807 RETURNING v;

-- name: int8 self join on the key
SELECT count(*) FROM k_int8 a JOIN k_int8 b ON a.k = b.k;

-- name: insert text keys
INSERT INTO k_text VALUES ('', 0), ('a', 1), ('B', 2), ('héé', 3), ('a longer key with spaces', 4);

-- name: a duplicate text key
INSERT INTO k_text VALUES ('', 99);

-- name: each text key is found
SELECT k, v FROM k_text WHERE k = 'a';

-- name: text keys in order
SELECT k, v FROM k_text ORDER BY k;

-- name: text keys from the first
SELECT count(*), sum(v) FROM k_text WHERE k >= '';

-- name: text keys in a list
SELECT v FROM k_text WHERE k IN ('', 'a longer key with spaces') ORDER BY v;

-- name: update by text key
UPDATE k_text SET v = v + 10 WHERE k = 'a longer key with spaces' RETURNING k, v;

-- name: upsert by text key
INSERT INTO k_text VALUES ('a longer key with spaces', 7) ON CONFLICT (k) DO UPDATE SET v = EXCLUDED.v + k_text.v RETURNING v;

-- name: delete by text key
DELETE FROM k_text WHERE k = 'a longer key with spaces' RETURNING v;

-- name: text self join on the key
SELECT count(*) FROM k_text a JOIN k_text b ON a.k = b.k;

-- name: insert uuid keys
INSERT INTO k_uuid VALUES ('00000000-0000-0000-0000-000000000001', 0), ('a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', 1);

-- name: a duplicate uuid key
INSERT INTO k_uuid VALUES ('00000000-0000-0000-0000-000000000001', 99);

-- name: each uuid key is found
SELECT k, v FROM k_uuid WHERE k = 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11';

-- name: uuid keys in order
SELECT k, v FROM k_uuid ORDER BY k;

-- name: uuid keys from the first
SELECT count(*), sum(v) FROM k_uuid WHERE k >= '00000000-0000-0000-0000-000000000001';

-- name: uuid keys in a list
SELECT v FROM k_uuid WHERE k IN ('00000000-0000-0000-0000-000000000001', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11') ORDER BY v;

-- name: update by uuid key
UPDATE k_uuid SET v = v + 10 WHERE k = 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11' RETURNING k, v;

-- name: upsert by uuid key
INSERT INTO k_uuid VALUES ('a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', 7) ON CONFLICT (k) DO UPDATE SET v = EXCLUDED.v + k_uuid.v RETURNING v;

-- name: delete by uuid key
DELETE FROM k_uuid WHERE k = 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11' RETURNING v;

-- name: uuid self join on the key
SELECT count(*) FROM k_uuid a JOIN k_uuid b ON a.k = b.k;

-- name: insert date keys
INSERT INTO k_date VALUES ('2024-01-01', 0), ('1969-12-31', 1), ('0001-01-01', 2);

-- name: a duplicate date key
INSERT INTO k_date VALUES ('2024-01-01', 99);

-- name: each date key is found
SELECT k, v FROM k_date WHERE k = '1969-12-31';

-- name: date keys in order
SELECT k, v FROM k_date ORDER BY k;

-- name: date keys from the first
SELECT count(*), sum(v) FROM k_date WHERE k >= '2024-01-01';

-- name: date keys in a list
SELECT v FROM k_date WHERE k IN ('2024-01-01', '0001-01-01') ORDER BY v;

-- name: update by date key
UPDATE k_date SET v = v + 10 WHERE k = '0001-01-01' RETURNING k, v;

-- name: upsert by date key
INSERT INTO k_date VALUES ('0001-01-01', 7) ON CONFLICT (k) DO UPDATE SET v = EXCLUDED.v + k_date.v RETURNING v;

-- name: delete by date key
DELETE FROM k_date WHERE k = '0001-01-01' RETURNING v;

-- name: date self join on the key
SELECT count(*) FROM k_date a JOIN k_date b ON a.k = b.k;

-- name: insert ts keys
INSERT INTO k_ts VALUES ('2024-01-01 10:00', 0), ('1969-12-31 23:59:59.999999', 1);

-- name: a duplicate ts key
INSERT INTO k_ts VALUES ('2024-01-01 10:00', 99);

-- name: each ts key is found
SELECT k, v FROM k_ts WHERE k = '1969-12-31 23:59:59.999999';

-- name: ts keys in order
SELECT k, v FROM k_ts ORDER BY k;

-- name: ts keys from the first
SELECT count(*), sum(v) FROM k_ts WHERE k >= '2024-01-01 10:00';

-- name: ts keys in a list
SELECT v FROM k_ts WHERE k IN ('2024-01-01 10:00', '1969-12-31 23:59:59.999999') ORDER BY v;

-- name: update by ts key
UPDATE k_ts SET v = v + 10 WHERE k = '1969-12-31 23:59:59.999999' RETURNING k, v;

-- name: upsert by ts key
INSERT INTO k_ts VALUES ('1969-12-31 23:59:59.999999', 7) ON CONFLICT (k) DO UPDATE SET v = EXCLUDED.v + k_ts.v RETURNING v;

-- name: delete by ts key
DELETE FROM k_ts WHERE k = '1969-12-31 23:59:59.999999' RETURNING v;

-- name: ts self join on the key
SELECT count(*) FROM k_ts a JOIN k_ts b ON a.k = b.k;

-- name: insert tstz keys
INSERT INTO k_tstz VALUES ('2024-01-01 10:00+00', 0), ('2024-01-01 10:00-05', 1);

-- name: a duplicate tstz key
INSERT INTO k_tstz VALUES ('2024-01-01 10:00+00', 99);

-- name: each tstz key is found
SELECT k, v FROM k_tstz WHERE k = '2024-01-01 10:00-05';

-- name: tstz keys in order
SELECT k, v FROM k_tstz ORDER BY k;

-- name: tstz keys from the first
SELECT count(*), sum(v) FROM k_tstz WHERE k >= '2024-01-01 10:00+00';

-- name: tstz keys in a list
SELECT v FROM k_tstz WHERE k IN ('2024-01-01 10:00+00', '2024-01-01 10:00-05') ORDER BY v;

-- name: update by tstz key
UPDATE k_tstz SET v = v + 10 WHERE k = '2024-01-01 10:00-05' RETURNING k, v;

-- name: upsert by tstz key
INSERT INTO k_tstz VALUES ('2024-01-01 10:00-05', 7) ON CONFLICT (k) DO UPDATE SET v = EXCLUDED.v + k_tstz.v RETURNING v;

-- name: delete by tstz key
DELETE FROM k_tstz WHERE k = '2024-01-01 10:00-05' RETURNING v;

-- name: tstz self join on the key
SELECT count(*) FROM k_tstz a JOIN k_tstz b ON a.k = b.k;

-- name: insert num keys
INSERT INTO k_num VALUES (0, 0), (-1.5, 1), (1.50, 2), (12345678901234567890.5, 3);

-- name: a duplicate num key
INSERT INTO k_num VALUES (0, 99);

-- name: each num key is found
SELECT k, v FROM k_num WHERE k = -1.5;

-- name: num keys in order
SELECT k, v FROM k_num ORDER BY k;

-- name: num keys from the first
SELECT count(*), sum(v) FROM k_num WHERE k >= 0;

-- name: num keys in a list
SELECT v FROM k_num WHERE k IN (0, 12345678901234567890.5) ORDER BY v;

-- name: update by num key
UPDATE k_num SET v = v + 10 WHERE k = 12345678901234567890.5 RETURNING k, v;

-- name: upsert by num key
INSERT INTO k_num VALUES (12345678901234567890.5, 7) ON CONFLICT (k) DO UPDATE SET v = EXCLUDED.v + k_num.v RETURNING v;

-- name: delete by num key
DELETE FROM k_num WHERE k = 12345678901234567890.5 RETURNING v;

-- name: num self join on the key
SELECT count(*) FROM k_num a JOIN k_num b ON a.k = b.k;

-- name: insert bool keys
INSERT INTO k_bool VALUES (true, 0), (false, 1);

-- name: a duplicate bool key
INSERT INTO k_bool VALUES (true, 99);

-- name: each bool key is found
SELECT k, v FROM k_bool WHERE k = false;

-- name: bool keys in order
SELECT k, v FROM k_bool ORDER BY k;

-- name: bool keys from the first
SELECT count(*), sum(v) FROM k_bool WHERE k >= true;

-- name: bool keys in a list
SELECT v FROM k_bool WHERE k IN (true, false) ORDER BY v;

-- name: update by bool key
UPDATE k_bool SET v = v + 10 WHERE k = false RETURNING k, v;

-- name: upsert by bool key
INSERT INTO k_bool VALUES (false, 7) ON CONFLICT (k) DO UPDATE SET v = EXCLUDED.v + k_bool.v RETURNING v;

-- name: delete by bool key
DELETE FROM k_bool WHERE k = false RETURNING v;

-- name: bool self join on the key
SELECT count(*) FROM k_bool a JOIN k_bool b ON a.k = b.k;

-- name: insert bytea keys
INSERT INTO k_bytea VALUES ('\x', 0), ('\x00', 1), ('\x00ff', 2), ('\xff', 3);

-- name: a duplicate bytea key
INSERT INTO k_bytea VALUES ('\x', 99);

-- name: each bytea key is found
SELECT k, v FROM k_bytea WHERE k = '\x00';

-- name: bytea keys in order
SELECT k, v FROM k_bytea ORDER BY k;

-- name: bytea keys from the first
SELECT count(*), sum(v) FROM k_bytea WHERE k >= '\x';

-- name: bytea keys in a list
SELECT v FROM k_bytea WHERE k IN ('\x', '\xff') ORDER BY v;

-- name: update by bytea key
UPDATE k_bytea SET v = v + 10 WHERE k = '\xff' RETURNING k, v;

-- name: upsert by bytea key
INSERT INTO k_bytea VALUES ('\xff', 7) ON CONFLICT (k) DO UPDATE SET v = EXCLUDED.v + k_bytea.v RETURNING v;

-- name: delete by bytea key
DELETE FROM k_bytea WHERE k = '\xff' RETURNING v;

-- name: bytea self join on the key
SELECT count(*) FROM k_bytea a JOIN k_bytea b ON a.k = b.k;

-- name: insert inet keys
INSERT INTO k_inet VALUES ('10.0.0.1', 0), ('10.0.0.1/8', 1), ('::1', 2);

-- name: a duplicate inet key
INSERT INTO k_inet VALUES ('10.0.0.1', 99);

-- name: each inet key is found
SELECT k, v FROM k_inet WHERE k = '10.0.0.1/8';

-- name: inet keys in order
SELECT k, v FROM k_inet ORDER BY k;

-- name: inet keys from the first
SELECT count(*), sum(v) FROM k_inet WHERE k >= '10.0.0.1';

-- name: inet keys in a list
SELECT v FROM k_inet WHERE k IN ('10.0.0.1', '::1') ORDER BY v;

-- name: update by inet key
UPDATE k_inet SET v = v + 10 WHERE k = '::1' RETURNING k, v;

-- name: upsert by inet key
INSERT INTO k_inet VALUES ('::1', 7) ON CONFLICT (k) DO UPDATE SET v = EXCLUDED.v + k_inet.v RETURNING v;

-- name: delete by inet key
DELETE FROM k_inet WHERE k = '::1' RETURNING v;

-- name: inet self join on the key
SELECT count(*) FROM k_inet a JOIN k_inet b ON a.k = b.k;

-- name: insert varchar keys
INSERT INTO k_varchar VALUES ('x', 0), ('y z', 1);

-- name: a duplicate varchar key
INSERT INTO k_varchar VALUES ('x', 99);

-- name: each varchar key is found
SELECT k, v FROM k_varchar WHERE k = 'y z';

-- name: varchar keys in order
SELECT k, v FROM k_varchar ORDER BY k;

-- name: varchar keys from the first
SELECT count(*), sum(v) FROM k_varchar WHERE k >= 'x';

-- name: varchar keys in a list
SELECT v FROM k_varchar WHERE k IN ('x', 'y z') ORDER BY v;

-- name: update by varchar key
UPDATE k_varchar SET v = v + 10 WHERE k = 'y z' RETURNING k, v;

-- name: upsert by varchar key
INSERT INTO k_varchar VALUES ('y z', 7) ON CONFLICT (k) DO UPDATE SET v = EXCLUDED.v + k_varchar.v RETURNING v;

-- name: delete by varchar key
DELETE FROM k_varchar WHERE k = 'y z' RETURNING v;

-- name: varchar self join on the key
SELECT count(*) FROM k_varchar a JOIN k_varchar b ON a.k = b.k;

-- name: insert float keys
INSERT INTO k_float VALUES (0, 0), (-1.5, 1), ('NaN', 2), ('Infinity', 3);

-- name: a duplicate float key
INSERT INTO k_float VALUES (0, 99);

-- name: each float key is found
SELECT k, v FROM k_float WHERE k = -1.5;

-- name: float keys in order
SELECT k, v FROM k_float ORDER BY k;

-- name: float keys from the first
SELECT count(*), sum(v) FROM k_float WHERE k >= 0;

-- name: float keys in a list
SELECT v FROM k_float WHERE k IN (0, 'Infinity') ORDER BY v;

-- name: update by float key
UPDATE k_float SET v = v + 10 WHERE k = 'Infinity' RETURNING k, v;

-- name: upsert by float key
INSERT INTO k_float VALUES ('Infinity', 7) ON CONFLICT (k) DO UPDATE SET v = EXCLUDED.v + k_float.v RETURNING v;

-- name: delete by float key
DELETE FROM k_float WHERE k = 'Infinity' RETURNING v;

-- name: float self join on the key
SELECT count(*) FROM k_float a JOIN k_float b ON a.k = b.k;
