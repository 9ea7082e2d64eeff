-- Exercise 6, verbatim: the metadata and a distributed plan.
\echo ==== exercise 6 1
select * from pg_dist_partition;
\echo ==== exercise 6 2
select * from pg_dist_shard;
\echo ==== exercise 6 3
SELECT * FROM citus_shards;
\echo ==== exercise 6 4
select * from pg_dist_placement;
\echo ==== exercise 6 5
select * from pg_dist_node;
\echo ==== exercise 6 6
select * from pg_dist_shard;
\echo ==== exercise 6 7
SELECT
    shardid,
    node.nodename,
    node.nodeport 
FROM pg_dist_placement placement 
JOIN pg_dist_node node 
  ON placement.groupid = node.groupid
 AND node.noderole = 'primary'::noderole 
WHERE shardid = 102008;
\echo ==== exercise 6 8
EXPLAIN select company_id, sum (cost_per_click_usd) as Totalcost_perclick 
from clicks 
group by company_id 
order by Totalcost_perclick desc;
