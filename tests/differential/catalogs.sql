-- What clients read of the catalogs: row types, settings, internal functions, grants, statistics.

-- name: tables
CREATE TABLE parent (id int PRIMARY KEY, v int CHECK (v > 0), w int, CONSTRAINT both_of CHECK (v < w)); CREATE TABLE child (id int PRIMARY KEY, parent int REFERENCES parent); CREATE TABLE grandchild (id int PRIMARY KEY, child int REFERENCES child, parent int REFERENCES parent); CREATE VIEW parents AS SELECT id FROM parent;

-- name: relations have row types
SELECT c.relname, c.relkind, c.reltype > 0, t.typname, t.typtype, t.typrelid = c.oid, t.typcategory, t.typlen, t.typinput, t.typoutput FROM pg_class c LEFT JOIN pg_type t ON t.oid = c.reltype WHERE c.relname IN ('parent', 'child', 'parents', 'parent_pkey', 'pg_class') ORDER BY 1;

-- name: the type of a row by name
SELECT reltype::regtype, format_type(reltype, NULL), pg_type_is_visible(reltype) FROM pg_class WHERE relname IN ('parent', 'parents') ORDER BY relname;

-- name: row types are not listed
SELECT t.typname FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace WHERE (t.typrelid = 0 OR (SELECT c.relkind = 'c' FROM pg_class c WHERE c.oid = t.typrelid)) AND n.nspname = 'public' AND t.typelem = 0;

-- name: functions of types by name
SELECT typname, typinput, typoutput, typreceive, typsend, typmodin, typmodout, typanalyze FROM pg_type WHERE typname IN ('int4', '_int4', 'timestamp', 'varchar', '_varchar', 'numeric', 'text', 'bool', 'jsonb', 'interval') ORDER BY typname;

-- name: and by number
SELECT 'textin'::regproc::oid, 'array_in'::regproc, 1242::regproc, 0::oid::regproc;

-- name: methods
SELECT amname, amhandler, amtype FROM pg_am WHERE amname IN ('heap', 'btree', 'hash', 'gin', 'gist') ORDER BY oid;

-- name: settings in their units
SELECT name, setting, unit, vartype, min_val, max_val, reset_val FROM pg_settings WHERE name IN ('work_mem', 'maintenance_work_mem', 'statement_timeout', 'effective_cache_size', 'temp_buffers', 'deadlock_timeout', 'lock_timeout') ORDER BY name;

-- name: settings of other kinds
SELECT name, setting, unit, vartype, enumvals FROM pg_settings WHERE name IN ('search_path', 'enable_seqscan', 'extra_float_digits', 'bytea_output', 'seq_page_cost', 'client_min_messages', 'server_version_num', 'integer_datetimes', 'standard_conforming_strings') ORDER BY name;

-- name: a setting that was changed
SET work_mem = '64MB'; SELECT setting, unit, source, boot_val, reset_val FROM pg_settings WHERE name = 'work_mem'; RESET work_mem;

-- name: one version
SELECT current_setting('server_version_num')::int / 10000, position(split_part(current_setting('server_version'), ' ', 1) IN version()) > 0;

-- name: notices
DROP TABLE IF EXISTS no_such_table;

-- name: no notices below a warning
SET client_min_messages = warning; DROP TABLE IF EXISTS no_such_table; COMMIT;

-- name: no warnings below an error
SET client_min_messages = error; DROP TABLE IF EXISTS no_such_table; COMMIT;

-- name: the message is another thing than an error
SELECT 1 / 0;

-- name: notices again
RESET client_min_messages; DROP TABLE IF EXISTS no_such_table; COMMIT;

-- name: in a transaction only
BEGIN; SET LOCAL client_min_messages = error; DROP TABLE IF EXISTS no_such_table; COMMIT; DROP TABLE IF EXISTS no_such_table;

-- name: truncate a table that others refer to
TRUNCATE parent;

-- name: and those
TRUNCATE parent CASCADE;

-- name: in the middle
TRUNCATE child CASCADE;

-- name: all of them
TRUNCATE parent, child, grandchild;

-- name: what the owner may
SELECT table_name, privilege_type, is_grantable::text, with_hierarchy::text, grantor = current_user, grantee = current_user FROM information_schema.role_table_grants WHERE table_schema = 'public' AND table_name IN ('parent', 'parents') ORDER BY 1, 2;

-- name: and everybody
GRANT SELECT ON child TO PUBLIC; SELECT table_name, privilege_type, is_grantable::text, grantee = 'PUBLIC' FROM information_schema.table_privileges WHERE table_schema = 'public' AND table_name = 'child' ORDER BY 1, 2, 4;

-- name: what the role gave to everybody
SELECT count(*) FROM information_schema.role_table_grants WHERE table_schema = 'public' AND table_name = 'child' AND grantee = 'PUBLIC';

-- name: columns of constraints
SELECT table_name, column_name, constraint_name FROM information_schema.constraint_column_usage WHERE table_schema = 'public' AND constraint_name IN ('parent_v_check', 'both_of', 'child_parent_fkey', 'parent_pkey') ORDER BY 3, 2;

-- name: time zones
SELECT name, abbrev, utc_offset, is_dst FROM pg_timezone_names WHERE name IN ('UTC', 'Asia/Tokyo', 'Asia/Kolkata', 'America/Phoenix') ORDER BY name;

-- name: index statistics have a row for each index
SELECT schemaname, relname, indexrelname, relid = relname::regclass, indexrelid = indexrelname::regclass FROM pg_stat_user_indexes WHERE relname IN ('parent', 'child') ORDER BY 3;

-- name: the database has statistics
SELECT datname = current_database(), numbackends > 0 FROM pg_stat_database WHERE datname = current_database();

-- name: without them
DROP VIEW parents; DROP TABLE grandchild, child, parent;

-- name: a table for vectors
CREATE TABLE vectors (id int PRIMARY KEY, a int, b text); CREATE INDEX vectors_idx ON vectors (a, lower(b)) INCLUDE (id);

-- name: vectors count from 0
SELECT indkey, indkey[0], indkey[1], indkey[2], indkey[3], (indkey::int2[])[0], indkey[1:], indkey[indnkeyatts:], indkey[:0], array_lower(indkey, 1), array_upper(indkey, 1), array_position(indkey, 1::int2), array_length(indkey, 1), indkey::text, 2 = ANY (indkey), indoption[0] FROM pg_index WHERE indexrelid = 'vectors_idx'::regclass;

-- name: their subscripts
SELECT k, indkey[k] FROM (SELECT indkey, generate_subscripts(indkey, 1) AS k FROM pg_index WHERE indexrelid = 'vectors_idx'::regclass) i ORDER BY k;

-- name: of a dimension that is not there
SELECT generate_subscripts(indkey, indnkeyatts - 1), generate_subscripts(indkey, 2) FROM pg_index WHERE indexrelid = 'vectors_idx'::regclass;

-- name: the columns of an index by its subscripts
SELECT i.relname, d.indisunique, d.indkey, ARRAY(SELECT pg_get_indexdef(d.indexrelid, k + 1, true) FROM generate_subscripts(d.indkey, 1) AS k ORDER BY k) AS columns, ARRAY(SELECT a.attname FROM pg_attribute a WHERE a.attrelid = d.indrelid AND a.attnum = ANY (d.indkey[d.indnkeyatts:])) AS included FROM pg_index d JOIN pg_class i ON i.oid = d.indexrelid WHERE d.indrelid = 'vectors'::regclass ORDER BY i.relname;

-- name: with numbers
SELECT (information_schema._pg_expandarray(i.indkey)).n FROM pg_index i WHERE indexrelid = 'vectors_idx'::regclass ORDER BY 1; SELECT u.k, u.n FROM pg_index i, unnest(i.indkey) WITH ORDINALITY u(k, n) WHERE indexrelid = 'vectors_idx'::regclass ORDER BY n;

-- name: their types
SELECT oid, typname, typlen, typtype, typcategory, typelem, typarray, typinput, typoutput, typreceive, typsend, typalign, typstorage, typsubscript FROM pg_type WHERE typname LIKE '%vector' AND typname NOT LIKE '%ts%' ORDER BY oid; SELECT format_type(22, NULL), format_type(30, -1), 'int2vector'::regtype::oid;

-- name: of columns
SELECT attname, atttypid, format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid IN ('pg_index'::regclass, 'pg_proc'::regclass) AND format_type(atttypid, atttypmod) LIKE '%vector' ORDER BY 1;

-- name: no more vectors
DROP TABLE vectors;
