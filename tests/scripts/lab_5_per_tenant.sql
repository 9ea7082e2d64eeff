-- Exercise 5, verbatim: what a tenant keeps for itself, and indexes on it.
\echo ==== exercise 5 1
SELECT
  user_data->>'is_mobile' AS is_mobile,
  count(*) AS count 
FROM clicks 
WHERE company_id = 5 
GROUP BY user_data->>'is_mobile' 
ORDER BY count DESC;
\echo ==== exercise 5 2
CREATE INDEX click_user_data_is_mobile 
ON clicks ((user_data->>'is_mobile')) 
WHERE company_id = 5;
\echo ==== exercise 5 3
CREATE INDEX click_user_data 
ON clicks USING gin (user_data);
