The same rows with an index as without: conditions of all kinds, before and after changes.

-- name: tables
-- tables: i by t
CREATE TABLE i (t int, id int, n int, s text, ts timestamp, doc jsonb, net inet, PRIMARY KEY (t, id));

-- name: rows
INSERT INTO i SELECT g % 5, g, g % 37, 'name ' || g % 11, timestamp '2024-01-01' + g * interval '1 hour', jsonb_build_object('k', g % 7, 'b', g % 2 = 0, 'o', jsonb_build_object('x', 'v' || g % 13), 'a', jsonb_build_array(g % 3, 'e' || g % 4)), ('10.' || g % 4 || '.' || g % 9 || '.0/' || 16 + g % 9)::inet FROM generate_series(1, 1000) g;

-- name: indexes
CREATE INDEX ON i (n); CREATE INDEX i_tn ON i (t, n DESC); CREATE INDEX ON i (s, n); CREATE INDEX ON i (ts); CREATE INDEX ON i (lower(s)); CREATE INDEX ON i ((doc->>'k')) WHERE t = 3; CREATE INDEX i_doc ON i USING gin (doc); CREATE INDEX i_net ON i USING gist (net inet_ops); CREATE INDEX ON i USING hash (n);

-- name: keys with collations
CREATE INDEX i_coll ON i (s COLLATE "C" DESC, upper(s) COLLATE pg_catalog."POSIX", (s || 'x') COLLATE "default");

-- name: their names
SELECT indexname FROM pg_indexes WHERE tablename = 'i' ORDER BY 1;

-- name: equality
SELECT id FROM i WHERE n = 5 ORDER BY id;

-- name: equality in a tenant
SELECT id FROM i WHERE t = 3 AND n = 5 ORDER BY id;

-- name: a list
SELECT count(*), sum(id) FROM i WHERE n IN (1, 2, 36, 99);

-- name: a long list
SELECT count(*), sum(id) FROM i WHERE n IN (1, 2, 3, 4, 5, 99);

-- name: a range
SELECT count(*), sum(id) FROM i WHERE n > 33 AND n <= 35;

-- name: between
SELECT count(*), sum(id) FROM i WHERE n BETWEEN 35 AND 36;

-- name: text and a range
SELECT count(*), sum(id) FROM i WHERE s = 'name 4' AND n < 3;

-- name: an expression
SELECT count(*), sum(id) FROM i WHERE lower(s) = 'name 10' AND n = 3;

-- name: a time
SELECT id FROM i WHERE ts >= '2024-01-05' AND ts < '2024-01-05 03:00' ORDER BY id;

-- name: a field of a document
SELECT count(*), sum(id) FROM i WHERE t = 3 AND doc->>'k' = '4';

-- name: another tenant's
SELECT count(*), sum(id) FROM i WHERE t = 2 AND doc->>'k' = '4';

-- name: contained
SELECT count(*), sum(id) FROM i WHERE doc @> '{"k": 4, "o": {"x": "v3"}}';

-- name: contained array
SELECT count(*), sum(id) FROM i WHERE doc @> '{"a": ["e2", 1]}';

-- name: contained number of another scale
SELECT count(*), sum(id) FROM i WHERE doc @> '{"k": 4.0, "b": true}' AND n = 2;

-- name: everything contains nothing
SELECT count(*), sum(id) FROM i WHERE doc @> '{}';

-- name: keys
SELECT count(*), sum(id) FROM i WHERE doc ? 'k' AND n = 1;

-- name: a key that is not there
SELECT count(*) FROM i WHERE doc ? 'x';

-- name: any key
SELECT count(*) FROM i WHERE doc ?| array['x', 'y'];

-- name: all keys
SELECT count(*) FROM i WHERE doc ?& array['k', 'x'];

-- name: a nested field
SELECT count(*), sum(id) FROM i WHERE doc->'o'->>'x' = 'v7';

-- name: a boolean as text
SELECT count(*), sum(id) FROM i WHERE doc->>'b' = 'true' AND n = 4;

-- name: networks that hold an address
SELECT count(*), sum(id) FROM i WHERE net >> '10.1.3.7';

-- name: networks within one
SELECT count(*), sum(id) FROM i WHERE net <<= '10.2.0.0/15';

-- name: networks that overlap
SELECT count(*), sum(id) FROM i WHERE net && '10.3.4.0/24';

-- name: an equal network
SELECT count(*), sum(id) FROM i WHERE net = '10.1.1.0/17';

-- name: another family
SELECT count(*) FROM i WHERE net >> '::1';

-- name: null
SELECT count(*) FROM i WHERE n IS NULL;

-- name: changes
UPDATE i SET n = NULL WHERE n = 5; UPDATE i SET n = 5, s = 'NAME 10' WHERE n = 6; DELETE FROM i WHERE n = 7; UPDATE i SET doc = doc || '{"new": [1, 2]}', net = '10.9.9.9' WHERE n = 8;

-- name: null now
SELECT count(*), sum(id) FROM i WHERE n IS NULL;

-- name: equality after changes
SELECT count(*), sum(id) FROM i WHERE n = 5;

-- name: expression after changes
SELECT count(*), sum(id) FROM i WHERE lower(s) = 'name 10' AND n = 5;

-- name: deleted
SELECT count(*) FROM i WHERE n = 7;

-- name: documents after changes
SELECT count(*), sum(id) FROM i WHERE doc ? 'new';

-- name: networks after changes
SELECT count(*), sum(id) FROM i WHERE net << '10.9.0.0/16';

-- name: within a transaction
BEGIN; INSERT INTO i (t, id, n, s) VALUES (1, 5001, 5, 'mine'); SELECT count(*), max(id) FROM i WHERE n = 5; UPDATE i SET n = 100 WHERE id = 5001; SELECT count(*), max(id) FROM i WHERE n = 5; SELECT id FROM i WHERE n = 100; ROLLBACK;

-- name: gone again
SELECT count(*) FROM i WHERE n = 100;

-- name: update through an index
UPDATE i SET s = 'found' WHERE n = 9 AND t = 1 RETURNING id;

-- name: delete through an index
DELETE FROM i WHERE doc @> '{"new": [2]}' RETURNING id;

-- name: a join through an index
SELECT count(*), sum(a.id) FROM i a JOIN i b ON a.t = b.t AND a.n = b.n WHERE b.id = 12;

-- name: reindex
REINDEX TABLE i;

-- name: reindex an index
REINDEX INDEX i_doc;

-- name: reindex what is not there
REINDEX INDEX nonsense;

-- name: reindex a table as an index
REINDEX INDEX i;

-- name: drop some
DROP INDEX i_doc, i_net;

-- name: without them
SELECT count(*), sum(id) FROM i WHERE doc @> '{"k": 4}' AND net >> '10.1.3.7';

-- name: truncate
TRUNCATE i; SELECT count(*) FROM i WHERE n = 5;
