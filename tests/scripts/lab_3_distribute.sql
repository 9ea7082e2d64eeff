-- Exercise 3, verbatim: distribute the tables, load them, ask for one tenant.
\echo ==== exercise 3 1
SELECT create_distributed_table('companies', 'id');
\echo ==== exercise 3 2
SELECT create_distributed_table('campaigns', 'company_id');
\echo ==== exercise 3 3
SELECT create_distributed_table('ads', 'company_id');
\echo ==== exercise 3 4
SELECT create_distributed_table('clicks', 'company_id');
\echo ==== exercise 3 5
SELECT create_distributed_table('impressions', 'company_id');
\echo ==== exercise 3 6
\copy companies from 'companies.csv' with csv
\echo ==== exercise 3 7
\copy campaigns from 'campaigns.csv' with csv
\echo ==== exercise 3 8
\copy ads from 'ads.csv' with csv
\echo ==== exercise 3 9
\copy clicks from 'clicks.csv' with csv
\echo ==== exercise 3 10
\copy impressions from 'impressions.csv' with csv
\echo ==== exercise 3 11
SELECT a.campaign_id, 
       RANK() OVER ( 
         PARTITION BY a.campaign_id 
         ORDER BY a.campaign_id, count(*) desc), 
         count(*) as n_impressions, a.id 
FROM ads as a 
     JOIN impressions as I  
     ON i.company_id = a.company_id AND i.ad_id = a.id 
WHERE a.company_id = 5 
GROUP BY a.campaign_id, a.id 
ORDER BY a.campaign_id, n_impressions desc;
