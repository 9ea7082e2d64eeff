-- Exercise 2 of the multi-tenant lab, verbatim: the schema.
\echo ==== exercise 2 1
CREATE TABLE companies (
  id bigserial PRIMARY KEY,
  name text NOT NULL,
  image_url text,
  created_at timestamp without time zone NOT NULL,
  updated_at timestamp without time zone NOT NULL
);

CREATE TABLE campaigns (
  id bigserial,
  company_id bigint REFERENCES companies (id),
  name text NOT NULL,
  cost_model text NOT NULL,
  state text NOT NULL,
  monthly_budget bigint,
  blacklisted_site_urls text[],
  created_at timestamp without time zone NOT NULL,
  updated_at timestamp without time zone NOT NULL,
  PRIMARY KEY (company_id, id)
);
\echo ==== exercise 2 2
CREATE TABLE ads (
 id bigserial,
 company_id bigint,
 campaign_id bigint,
 name text NOT NULL,
 image_url text,
 target_url text,
 impressions_count bigint DEFAULT 0,
 clicks_count bigint DEFAULT 0,
 created_at timestamp without time zone NOT NULL,
 updated_at timestamp without time zone NOT NULL,
 PRIMARY KEY (company_id, id),
 FOREIGN KEY (company_id, campaign_id) REFERENCES campaigns (company_id, id)
);
\echo ==== exercise 2 3
CREATE TABLE clicks (
  id bigserial,
  company_id bigint,
  ad_id bigint,
  clicked_at timestamp without time zone NOT NULL,
  site_url text NOT NULL,
  cost_per_click_usd numeric(20,10),
  user_ip inet NOT NULL,
  user_data jsonb NOT NULL,
  PRIMARY KEY (company_id, id),
  FOREIGN KEY (company_id, ad_id) REFERENCES ads (company_id, id)
 );

 CREATE TABLE impressions (
   id bigserial,
   company_id bigint,
   ad_id bigint,
   seen_at timestamp without time zone NOT NULL,
   site_url text NOT NULL,
   cost_per_impression_usd numeric(20,10),
   user_ip inet NOT NULL,
   user_data jsonb NOT NULL,
   PRIMARY KEY (company_id, id),
   FOREIGN KEY (company_id, ad_id) REFERENCES ads (company_id, id));
\echo ==== exercise 2 4
\dt
