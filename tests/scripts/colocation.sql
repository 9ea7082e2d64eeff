-- The co-location document: one dashboard query over plain tables, over tables distributed
-- naively, and over tables distributed by tenant.
\echo ==== plain tables
CREATE TABLE event (
  tenant_id int,
  event_id bigint,
  page_id int,
  payload jsonb,
  primary key (tenant_id, event_id)
);

CREATE TABLE page (
  tenant_id int,
  page_id int,
  path text,
  primary key (tenant_id, page_id)
);
\copy event from 'event.csv' with csv
\copy page from 'page.csv' with csv
\echo ==== the query on plain tables
SELECT page_id, count(event_id)
FROM
  page
LEFT JOIN  (
  SELECT * FROM event
  WHERE (payload->>'time')::timestamptz >= now() - interval '1 week'
) recent
USING (tenant_id, page_id)
WHERE tenant_id = 6 AND path LIKE '/blog%'
GROUP BY page_id;
\echo ==== naive distribution
-- naively use event_id and page_id as distribution columns

SELECT create_distributed_table('event', 'event_id');
SELECT create_distributed_table('page', 'page_id');
\echo ==== rows moved into the shards
SELECT count(*), count(page_id), sum(event_id), count(payload) FROM event;
SELECT count(*), count(path), sum(page_id) FROM page;
\echo ==== query 1
SELECT page_id FROM page WHERE path LIKE '/blog%' AND tenant_id = 6;
\echo ==== query 2
SELECT page_id, count(*) AS count
FROM event
WHERE page_id IN (4,8,12,16,20,24,28,32,36,40)
  AND tenant_id = 6
  AND (payload->>'time')::date >= now() - interval '1 week'
GROUP BY page_id ORDER BY count DESC, page_id LIMIT 10;
\echo ==== the query on tables that are not co-located
SELECT page_id, count(event_id)
FROM
  page
LEFT JOIN  (
  SELECT * FROM event
  WHERE (payload->>'time')::timestamptz >= now() - interval '1 week'
) recent
USING (tenant_id, page_id)
WHERE tenant_id = 6 AND path LIKE '/blog%'
GROUP BY page_id;
\echo ==== starting over
DROP TABLE event, page;
CREATE TABLE event (
  tenant_id int,
  event_id bigint,
  page_id int,
  payload jsonb,
  primary key (tenant_id, event_id)
);

CREATE TABLE page (
  tenant_id int,
  page_id int,
  path text,
  primary key (tenant_id, page_id)
);
-- co-locate tables by using a common distribution column
SELECT create_distributed_table('event', 'tenant_id');
SELECT create_distributed_table('page', 'tenant_id', colocate_with => 'event');
\copy event from 'event.csv' with csv
\copy page from 'page.csv' with csv
\echo ==== the query on co-located tables
SELECT page_id, count(event_id)
FROM
  page
LEFT JOIN  (
  SELECT * FROM event
  WHERE (payload->>'time')::timestamptz >= now() - interval '1 week'
) recent
USING (tenant_id, page_id)
WHERE tenant_id = 6 AND path LIKE '/blog%'
GROUP BY page_id;
\echo ==== the query for all tenants
SELECT tenant_id, page_id, count(event_id)
FROM
  page
LEFT JOIN  (
  SELECT * FROM event
  WHERE (payload->>'time')::timestamptz >= now() - interval '1 week'
) recent
USING (tenant_id, page_id)
WHERE path LIKE '/blog%'
GROUP BY tenant_id, page_id;
\echo ==== a rollup by insert and select
CREATE TABLE page_visits (tenant_id int, page_id int, visits bigint, primary key (tenant_id, page_id));
SELECT create_distributed_table('page_visits', 'tenant_id', colocate_with => 'event');
INSERT INTO page_visits
SELECT tenant_id, page_id, count(*) FROM event WHERE page_id IS NOT NULL GROUP BY tenant_id, page_id;
SELECT count(*), sum(visits), max(visits) FROM page_visits;
