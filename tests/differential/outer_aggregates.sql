Aggregates in subqueries: each is one of the innermost query whose columns its arguments use.

-- name: tables
-- tables: o by k, i by k, m by k
CREATE TABLE o (k int PRIMARY KEY, x int, g int, t text);
CREATE TABLE i (k int PRIMARY KEY, y int, j int);
CREATE TABLE m (k int PRIMARY KEY, a int);

-- name: rows
INSERT INTO o SELECT n, n * 10, n % 3, 't' || n FROM generate_series(1, 8) n;
INSERT INTO i SELECT n, n * 7, n % 2 FROM generate_series(1, 5) n;
INSERT INTO m SELECT n, n + 100 FROM generate_series(1, 3) n;

-- name: shape 1
select (select sum(o.x)) from o;

-- name: shape 2
select (select sum(o.x) from i limit 1) from o;

-- name: shape 3
select (select sum(o.x) from i where i.k=1) from o;

-- name: shape 4
select (select sum(o.x) from i where i.k=o.k) from o;

-- name: shape 5
select (select count(o.x) from i) from o group by g order by 1;

-- name: shape 6
select g, (select sum(o.x)) from o group by g order by g;

-- name: shape 7
select g, (select sum(o.x) + max(i.y) from i) from o group by g order by g;

-- name: shape 8
select g, (select sum(o.x + i.y) from i) from o group by g order by g;

-- name: shape 9
select g, (select sum(o.g + i.y) from i) from o group by g order by g;

-- name: shape 10
select sum((select o.x + i.y from i where i.k = o.k)) from o;

-- name: shape 11
select sum((select o.x)) from o;

-- name: shape 12
select (select sum((select o.x))) from o;

-- name: shape 13
select (select sum((select o.x) + i.y) from i) from o;

-- name: shape 14
select (select sum((select o.x + i.y)) from i) from o order by 1;

-- name: shape 15
select (select sum((select i.y)) from i) from o order by 1;

-- name: shape 16
select (select sum((select 1)) from i) from o order by 1;

-- name: shape 17
select (select sum((select m.a from m where m.k = o.k)) from i) from o order by 1;

-- name: shape 18
select g from o group by g having (select sum(o.x)) > 100 order by g;

-- name: shape 19
select g from o group by g having exists (select 1 from i where i.k < sum(o.x) / 60) order by g;

-- name: shape 20
select g from o group by g having exists (select sum(o.x) from i where false) order by g;

-- name: shape 21
select g from o group by g order by (select sum(o.x)) desc;

-- name: shape 22
select g from o where (select sum(o.x)) > 1 group by g;

-- name: shape 23
select g from o group by (select sum(o.x));

-- name: shape 24
select * from o, lateral (select sum(o.x)) s;

-- name: shape 25
select * from o join i on (select sum(o.x)) > 1;

-- name: shape 26
select (select (select sum(o.x))) from o;

-- name: shape 27
select (select (select sum(m.a) from i limit 1) from m) from o order by 1;

-- name: shape 28
select (select (select sum(m.a + o.x) from i limit 1) from m) from o order by 1;

-- name: shape 29
select (select (select sum(i.y + m.a) from i) from m where m.k=1) from o order by 1;

-- name: shape 30
select (select (select sum(o.x) from i limit 1) from m limit 1) from o order by 1;

-- name: shape 31
select (select sum(1) from i) from o order by 1;

-- name: shape 32
select (select count(*) from i) from o order by 1;

-- name: shape 33
select (select count(*)) from o order by 1;

-- name: shape 34
select (select sum(o.x) filter (where i.k > 2) from i) from o order by 1;

-- name: shape 35
select (select sum(o.x) filter (where o.k > 2) from i limit 1) from o order by 1;

-- name: shape 36
select (select sum(i.y) filter (where o.k > 2) from i) from o order by 1;

-- name: shape 37
select (select array_agg(o.x order by o.k desc) from i limit 1) from o;

-- name: shape 38
select (select array_agg(o.x order by i.k) from i) from o order by 1;

-- name: shape 39
select (select string_agg(o.t, ',' order by o.k)) from o;

-- name: shape 40
select (select sum(distinct o.g)) from o;

-- name: shape 41
select (select percentile_cont(0.5) within group (order by o.x)) from o;

-- name: shape 42
select (select percentile_cont(i.k/10.0) within group (order by o.x) from i where i.k=3) from o;

-- name: shape 43
select (select percentile_cont(o.k/10.0) within group (order by i.y) from i) from o order by 1;

-- name: shape 44
select (select percentile_disc(0.5) within group (order by o.x) from i where i.k=3) from o;

-- name: shape 45
select (select sum(sum(o.x)) over ()) from o;

-- name: shape 46
select (select sum(i.y + sum(o.x)) from i) from o;

-- name: shape 47
select (select sum(sum(o.x)) from i) from o;

-- name: shape 48
select (select sum(sum(i.y)) from i) from o;

-- name: shape 49
select sum((select sum(o.x))) from o;

-- name: shape 50
select sum((select sum(i.y) from i)) from o;

-- name: shape 51
select sum((select sum(i.y + o.k) from i)) from o;

-- name: shape 52
select (select sum(o.x) from i group by i.j limit 1) from o;

-- name: shape 53
select (select sum(o.x) from i group by i.j order by i.j limit 1) , x from o;

-- name: shape 54
select x, (select sum(o.x)) from o;

-- name: shape 55
select x, (select sum(i.y + o.x) from i) from o order by x;

-- name: shape 56
select (select i.k from i where i.k = count(o.x)/2) from o;

-- name: shape 57
select (select i.k from i where i.k = max(o.k) - 4) from o;

-- name: shape 58
select (select i.k from i where i.k > max(o.k) - 6 order by i.k limit 1) from o;

-- name: shape 59
select g, array(select i.k + count(o.x) from i order by i.k) from o group by g order by g;

-- name: shape 60
select g, 5 in (select i.k + count(o.x) from i) from o group by g order by g;

-- name: shape 61
select g, count(o.x) in (select i.k from i) from o group by g order by g;

-- name: shape 62
select g, exists (select from i where i.k = count(o.x)) from o group by g order by g;

-- name: shape 63
select g, (select max(s.c) from (select count(o.x) + i.k as c from i) s) from o group by g order by g;

-- name: shape 64
select g, (select s.c from (select count(o.x) as c) s) from o group by g order by g;

-- name: shape 65
select g, (select max(s) from unnest(array_agg(o.x order by o.k)) s) from o group by g order by g;

-- name: shape 66
select g, (select string_agg(s, ',' order by s) from unnest(array_agg(o.t order by o.k)) s) from o group by g order by g;

-- name: shape 67
select g, (select jsonb_object_agg(e.key, e.value) from jsonb_each(jsonb_object_agg(o.t, o.x)) e) from o group by g order by g;

-- name: shape 68
select (select array_agg(v order by v desc) from unnest(array_agg(o.x order by o.k)) v) from o;

-- name: shape 69
with c as (select (select sum(o.x)) as s from o) select * from c;

-- name: shape 70
select (with c as (select sum(o.x) as s) select s from c) from o;

-- name: shape 71
select (with c as (select sum(o.x) as s, i.k from i) select s from c limit 1) from o;

-- name: shape 72
update o set x = (select sum(o.x)) where k = 1;

-- name: shape 73
delete from o where k = (select sum(o.x));

-- name: shape 74
insert into o (k, x) values (100, 1) returning (select sum(o.x));

-- name: shape 75
update o set x = (select sum(o.x + i.y) from i) where k = 1;

-- name: shape 76
select x from o where k=1;

-- name: shape 77
select g, (select sum(o.x)), (select min(o.x)) from o group by rollup(g) order by g;

-- name: shape 78
select g, (select sum(o.x)) over () from o group by g;

-- name: shape 79
select g, sum((select sum(o.x))) over () from o group by g order by g;

-- name: shape 80
select g, rank() over (order by (select sum(o.x))) from o group by g order by g;

-- name: shape 81
select distinct (select count(o.x)) from o group by g order by 1;

-- name: shape 82
select case when (select sum(o.x)) > 3 then 'a' else 'b' end from o;

-- name: shape 83
select coalesce((select sum(o.x) from i where false), -1) from o;

-- name: shape 84
select (select sum(o.x) from i where false) from o;

-- name: shape 85
select (select coalesce(sum(o.x), 0) from i where i.k = 99) from o;

-- name: shape 86
select (select sum(o.k) from m where m.k = i.k) from o join i using (k);

-- name: shape 87
select (select sum(o.k) from m where m.k = i.j) from o join i using (k) group by i.j order by 1;

-- name: shape 88
select (select sum(o.k + i.y) from m where m.k = 1) from o join i using (k);

-- name: shape 89
select (select (select sum(o.k + m.k) from i limit 1) from m order by 1 limit 1) from o order by 1;

-- name: shape 90
select count(*) from (select (select sum(o.x)) from o) s;

-- name: shape 91
select (select bool_and(o.x > 5)), (select every(o.k < 100) from i limit 1) from o;

-- name: shape 92
select (select json_agg(o.x order by o.k)) from o where k < 4;

-- name: shape 93
select (select json_agg(o order by o.k)) from o where k < 3;

-- name: shape 94
select (select count(o)) from o;

-- name: shape 95
select (select sum(o.x) over ()) from o order by 1;

-- name: shape 96
select (select rank() over (order by o.x)) from o order by 1;

-- name: shape 97
select (select sum(x)) from o;

-- name: shape 98
select (select sum(x) from i limit 1) from o;

-- name: shape 99
select g, (select sum(x) from i limit 1) from o group by g order by g;

-- name: shape 100
select (select sum(k) from i) from o order by 1;

-- name: shape 101
select g, (select avg(x))::numeric(10,2) from o group by g having (select count(*) from i where i.k < count(o.x)) > 1 order by g;

-- name: shape 102
select sum(x) + (select sum(x)) from o;

-- name: shape 103
select sum(x) + (select sum(o2.x) from o o2) from o;

-- name: shape 104
select sum(x) + (select sum(o2.x) from o o2 where o2.k = o.k) from o;

-- name: shape 105
select g, sum(x) + (select sum(o2.x) from o o2 where o2.g = o.g) from o group by g order by g;

-- name: shape 106
select max(k) from o group by g having max(k) = (select max(o.k)) order by 1;

-- name: shape 107
select (select min(max(o.k)) from i) from o;

-- name: shape 108
select 1 from o order by (select sum(x));

-- name: shape 109
select * from (select 1 a) s where (select max(s.a)) = 1;

-- name: shape 110
select (select count(*) filter (where o.x > 20)) from o;

-- name: shape 111
select (select count(*) filter (where o.x > 20) from i) from o order by 1;

-- name: shape 112
select (select regr_slope(o.x, o.k)) from o;

-- name: shape 113
select (select regr_slope(o.x, i.k) from i) from o order by 1;

-- name: shape 114
select (select sum(o.x) from i having sum(i.y) > 1) from o;

-- name: shape 115
select (select sum(o.x) from i having sum(o.x) > 1 limit 1) from o;

-- name: shape 116
select (select sum(i.y) from i having sum(o.x) > 1 limit 1) from o;

-- name: elements of an array in any order
-- differs: the array may be another one when it is read again
SELECT g, ARRAY(SELECT v FROM unnest(a) v ORDER BY v DESC) FROM (SELECT g, array_agg(k) a FROM o GROUP BY g) s ORDER BY g;

-- name: elements of an array in its order
SELECT g, ARRAY(SELECT v FROM unnest(a) v ORDER BY v DESC) FROM (SELECT g, array_agg(k ORDER BY k) a FROM o GROUP BY g) s ORDER BY g;

-- name: rows below an average of integers
SELECT g, (SELECT count(*) FROM i WHERE i.y < s.a) FROM (SELECT g, avg(x) a FROM o GROUP BY g) s ORDER BY g;
