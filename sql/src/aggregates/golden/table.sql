-- The table of aggregates.txt, loaded from rows.txt.
drop table if exists t;
create table t (g int4, i int4, s int2, b int8, n numeric, d numeric(10,2), f float8, r float4,
    t text, bo bool, dt date, ts timestamp, iv interval, j jsonb, ar int4[], ip inet);
\copy t from 'rows.txt'
