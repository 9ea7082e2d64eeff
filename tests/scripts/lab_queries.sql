-- What a loaded lab must answer at any time: after a restart, after a crash, through any client.
\echo ==== counts
SELECT 'companies' AS name, count(*) FROM companies
UNION ALL SELECT 'campaigns', count(*) FROM campaigns
UNION ALL SELECT 'ads', count(*) FROM ads
UNION ALL SELECT 'clicks', count(*) FROM clicks
UNION ALL SELECT 'impressions', count(*) FROM impressions
UNION ALL SELECT 'geo_ips', count(*) FROM geo_ips
ORDER BY name;
\echo ==== ranks of one tenant
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
ORDER BY a.campaign_id, n_impressions desc, a.id;
\echo ==== places of clicks
SELECT c.id, clicked_at, latlon
FROM geo_ips, clicks c
WHERE addrs >> c.user_ip
      AND c.company_id = 5
      AND c.ad_id = 290
ORDER BY c.id;
\echo ==== mobile or not
SELECT
  user_data->>'is_mobile' AS is_mobile,
  count(*) AS count
FROM clicks
WHERE company_id = 5
GROUP BY user_data->>'is_mobile'
ORDER BY count DESC;
\echo ==== cost of all tenants
SELECT company_id, sum(cost_per_click_usd) AS Totalcost_perclick
FROM clicks
GROUP BY company_id
ORDER BY Totalcost_perclick DESC, company_id;
\echo ==== clicks and impressions by tenant
SELECT co.id, co.name, sum(a.clicks_count) AS clicks, sum(a.impressions_count) AS impressions,
       round(100.0 * sum(a.clicks_count) / nullif(sum(a.impressions_count), 0), 3) AS percent
FROM companies co LEFT JOIN ads a ON a.company_id = co.id
GROUP BY co.id, co.name
ORDER BY co.id;
\echo ==== counters are true
SELECT count(*) AS ads, sum(a.clicks_count) - (SELECT count(*) FROM clicks) AS difference
FROM ads a;
\echo ==== whole rows of one tenant
SELECT * FROM campaigns WHERE company_id = 5 ORDER BY id;
SELECT * FROM clicks WHERE company_id = 5 ORDER BY id LIMIT 20;
\echo ==== all places
SELECT g.addrs, count(*) AS n, sum(c.cost_per_click_usd) AS cost
FROM geo_ips g JOIN clicks c ON g.addrs >> c.user_ip
GROUP BY g.addrs
ORDER BY n DESC, g.addrs
LIMIT 15;
\echo ==== sites
SELECT split_part(site_url, '/', 3) AS site, count(*) AS n, count(DISTINCT company_id) AS tenants,
       min(seen_at), max(seen_at), avg(cost_per_impression_usd)
FROM impressions
GROUP BY 1
ORDER BY n DESC, site;
\echo ==== best ads of each large tenant
SELECT company_id, ad_id, n, position
FROM (
  SELECT company_id, ad_id, count(*) AS n,
         row_number() OVER (PARTITION BY company_id ORDER BY count(*) DESC, ad_id) AS position
  FROM clicks
  GROUP BY company_id, ad_id
) ranked
WHERE position <= 2 AND n > 10
ORDER BY company_id, position;
\echo ==== days
SELECT date_trunc('month', clicked_at) AS month, count(*), count(cost_per_click_usd)
FROM clicks
GROUP BY 1
ORDER BY 1;
