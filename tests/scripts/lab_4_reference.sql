-- Exercise 4, verbatim: a reference table and a join with it.
\echo ==== exercise 4 1
CREATE TABLE geo_ips (
  addrs cidr NOT NULL PRIMARY KEY,
  latlon point NOT NULL
    CHECK (-90  <= latlon[0] AND latlon[0] <= 90 AND
           -180 <= latlon[1] AND latlon[1] <= 180)
);
CREATE INDEX ON geo_ips USING gist (addrs inet_ops);
\echo ==== exercise 4 2
SELECT create_reference_table('geo_ips');
\echo ==== exercise 4 3
\copy geo_ips from 'geo_ips.csv' with csv
\echo ==== exercise 4 4
SELECT c.id, clicked_at, latlon 
FROM geo_ips, clicks c 
WHERE addrs >> c.user_ip 
      AND c.company_id = 5 
      AND c.ad_id = 290;
