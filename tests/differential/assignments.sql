Assignments to parts of columns: elements and slices of arrays, and what is at the end of a path of
jsonb.

-- name: tables
-- tables: ar by k, ad by k, al by k
CREATE TABLE ar (k int PRIMARY KEY, a int[], j jsonb, t text[], c text, v varchar(3)[]);
CREATE TABLE ad (k int PRIMARY KEY, a int[] DEFAULT '{1,2,3}', j jsonb DEFAULT '{"d":1}', n int[] NOT NULL DEFAULT '{}');
CREATE TABLE al (k int PRIMARY KEY, a int[] CHECK (a[1] > 0), g int GENERATED ALWAYS AS (a[1] * 2) STORED);

-- name: rows
INSERT INTO ar VALUES (1, '{1,2,3}', '{"x":1,"y":{"z":2}}', '{a,b}', 'c'), (2, NULL, NULL, NULL, NULL), (3, '{}', '[1,2,3]', '{}', 'x');

-- name: assignment 1
update ar set a[2] = 5 where k = 1 returning a;

-- name: assignment 2
update ar set a[5] = 9 where k = 1 returning a;

-- name: assignment 3
update ar set a[1] = 7 where k = 2 returning a;

-- name: assignment 4
update ar set a[2:3] = '{8,9}' where k = 1 returning a;

-- name: assignment 5
update ar set a[2:3] = '{8}' where k = 1 returning a;

-- name: assignment 6
update ar set a[2:3] = '{8,9,10}' where k = 1 returning a;

-- name: assignment 7
update ar set a[:2] = '{0,0}' where k = 1 returning a;

-- name: assignment 8
update ar set a[4:] = '{4,5}' where k = 1 returning a;

-- name: assignment 9
update ar set a[:] = '{1,1,1,1,1}' where k = 1 returning a;

-- name: assignment 10
update ar set a[1:2] = null where k = 1 returning a;

-- name: assignment 11
update ar set a[1] = null where k = 1 returning a;

-- name: assignment 12
update ar set a[null] = 1 where k = 1 returning a;

-- name: assignment 13
update ar set a[1] = 1, a[2] = 2 where k = 1 returning a;

-- name: assignment 14
update ar set a[1] = 1, a = '{}' where k = 1 returning a;

-- name: assignment 15
update ar set a[a[2]] = 42 where k = 1 returning a;

-- name: assignment 16
update ar set a['x'] = 1;

-- name: assignment 17
update ar set a['2'] = 11 where k = 1 returning a;

-- name: assignment 18
update ar set a[1.6] = 11 where k = 1 returning a;

-- name: assignment 19
update ar set a[1] = 'x';

-- name: assignment 20
update ar set a[1] = 1.7 where k = 1 returning a;

-- name: assignment 21
update ar set a[1] = '12' where k = 1 returning a;

-- name: assignment 22
update ar set a[1] = now();

-- name: assignment 23
update ar set a[3:2] = '{}' where k = 1 returning a;

-- name: assignment 24
update ar set a[2:3] = 5 where k = 1;

-- name: assignment 25
update ar set c[1] = 'x';

-- name: assignment 26
update ar set k[1] = 1;

-- name: assignment 27
update ar set a[1] = default;

-- name: assignment 28
update ar set t[2] = 'B', t[4] = 'D' where k = 1 returning t;

-- name: assignment 29
update ar set j['x'] = '5' where k = 1 returning j;

-- name: assignment 30
update ar set j['x'] = to_jsonb('str'::text) where k = 1 returning j;

-- name: assignment 31
update ar set j['n']['m'] = '{"q":1}' where k = 1 returning j;

-- name: assignment 32
update ar set j['y']['z'] = 'null' where k = 1 returning j;

-- name: assignment 33
update ar set j['y']['w'] = '[1]' where k = 1 returning j;

-- name: assignment 34
update ar set j['y']['w'][3] = '7' where k = 1 returning j;

-- name: assignment 35
update ar set j['x']['z'] = '7' where k = 1 returning j;

-- name: assignment 36
update ar set j['a'] = '1' where k = 2 returning j;

-- name: assignment 37
update ar set j[2] = '1' where k = 2 returning j;

-- name: assignment 38
update ar set j[1] = '"b"' where k = 3 returning j;

-- name: assignment 39
update ar set j[5] = '"b"' where k = 3 returning j;

-- name: assignment 40
update ar set j[-1] = '"last"' where k = 3 returning j;

-- name: assignment 41
update ar set j[-10] = '"last"' where k = 3 returning j;

-- name: assignment 42
update ar set j['q'] = '1' where k = 3;

-- name: assignment 43
update ar set j[null] = '1' where k = 3;

-- name: assignment 44
update ar set j['q'] = null where k = 1 returning j;

-- name: assignment 45
update ar set j['q'] = 1 where k = 1;

-- name: assignment 46
update ar set j['q'] = 'bad' where k = 1;

-- name: assignment 47
update ar set j[1:2] = '1' where k = 1;

-- name: assignment 48
update ar set j['a'] = '1', j['b'] = '2' where k = 1 returning j;

-- name: assignment 49
update ar set j[c] = '1' where k = 1 returning j;

-- name: assignment 50
update ar set (a[1], c) = (3, 'z') where k = 1 returning a, c;

-- name: assignment 51
update ar set (a[1], c) = (select 4, 'y') where k = 1 returning a, c;

-- name: assignment 52
update ar set a[1] = (select max(k) from ar x) where k = 1 returning a;

-- name: assignment 53
insert into ar (k, a[1], a[3]) values (10, 1, 3) returning *;

-- name: assignment 54
insert into ar (k, a[1:2]) values (12, '{1,2}') returning *;

-- name: assignment 55
insert into ar (k, j['a'], j['b']) values (13, '1', '2') returning *;

-- name: assignment 56
insert into ar (k, a[1]) select 14, 5 returning *;

-- name: assignment 57
insert into ar (k, a[1], a) values (15, 5, '{}');

-- name: assignment 58
insert into ar (k, a, a[1]) values (15, '{}', 5);

-- name: assignment 59
insert into ar (k, a[1]) values (16, default);

-- name: assignment 60
insert into ar (k, a[1]) values (17, 1), (18, 2) returning *;

-- name: assignment 61
insert into ar (k, a[1]) values (1, 1) on conflict (k) do update set a[2] = 77 returning *;

-- name: assignment 62
insert into ar (k, a[1]) values (1, 1) on conflict (k) do update set a[2] = excluded.a[1] + ar.a[1] returning *;

-- name: assignment 63
insert into ar (k, j['b']) values (1, '1') on conflict (k) do update set j['c'] = '3', j['d'] = excluded.j['b'] returning *;

-- name: assignment 64
insert into ar (k, nosuch[1]) values (1, 1);

-- name: assignment 65
update ar set nosuch[1] = 1;

-- name: assignment 66
insert into ar (k, c[1]) values (20, 'x');

-- name: assignment 67
merge into ar using (values (1), (30)) s(id) on ar.k = s.id when matched then update set a[1] = 100, j['m'] = '1' when not matched then insert (k, a[1]) values (s.id, 3);

-- name: assignment 68
select * from ar where k in (1, 30);

-- name: assignment 69
update ar set t[1] = j->>'x' where k = 1 returning t;

-- name: assignment 70
update ar set a[2147483647] = 1 where k = 1;

-- name: assignment 71
update ar set a[134217728] = 1 where k = 1;

-- name: assignment 72
update ar set ar.a[1] = 1;

-- name: assignment 73
update ar x set x.a[1] = 1;

-- name: assignment 74
insert into ad (k, j['x']) values (2, '5') returning *;

-- name: assignment 75
insert into ad (k, n[1]) values (3, 5) returning *;

-- name: assignment 76
update ad set n[2] = 6 where k = 3 returning *;

-- name: assignment 77
update al set a[1] = -1 where k = 1;

-- name: assignment 78
update al set a[1] = 8 where k = 1 returning *;

-- name: assignment 79
prepare up as update al set a[$1] = $2 where k = $3 returning *;

-- name: assignment 80
execute up(2, 9, 1);

-- name: assignment 81
execute up(null, 9, 1);

-- name: assignment 82
execute up(2, null, 1);

-- name: text within an element is cut or refused
UPDATE ar SET v[1] = 'abc  ' WHERE k = 1 RETURNING v;

-- name: too long
UPDATE ar SET v[1] = 'abcd' WHERE k = 1;

-- name: in a WITH query
WITH u AS (UPDATE ar SET a[1] = a[1] + 1, j['w'] = to_jsonb(a[1]) WHERE k = 1 RETURNING *) SELECT a, j->'w' FROM u;

-- name: from another table
UPDATE ar SET a[1] = ad.k, t[1] = ad.j::text FROM ad WHERE ad.k = ar.k RETURNING ar.k, ar.a, t;

-- name: subscripts of another lower bound
-- differs: arrays begin at 1
UPDATE ar SET a[0] = 1 WHERE k = 1;
