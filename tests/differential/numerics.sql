Exact decimal numbers.

-- name: scale of sums and products
SELECT 1.10 + 2.2, 1.10 * 2.20, 5 - 1.25, -1.50;

-- name: scale of quotients
SELECT 1.0 / 3, 10 / 4.0, 1 / 3.0, 100000 / 3.0, 0.0001 / 3;

-- name: modulo
SELECT 7.5 % 2, mod(7.5, 2), -7.5 % 2;

-- name: large values
SELECT 12345678901234567890123456789 * 98765432109876543210, 1e30 + 1;

-- name: rounding
SELECT round(2.5), round(-2.5), round(2.345, 2), round(1234.5, -2), trunc(2.99), trunc(-2.999, 2);

-- name: ceil and floor
SELECT ceil(1.2), floor(-1.2), ceiling(-1.8), floor(2.0);

-- name: powers and logarithms
SELECT power(2.0, 3), sqrt(2.0), exp(1.0), ln(2.0), log(100.0), log(2.0, 64.0);

-- name: not a number
SELECT 'NaN'::numeric, 'NaN'::numeric = 'NaN'::numeric, 'NaN'::numeric > 1;

-- name: infinity
SELECT 'Infinity'::numeric, '-Infinity'::numeric < 0;

-- name: division by zero
SELECT 1.0 / 0;

-- name: sum and average
SELECT sum(x), avg(x), min(x), max(x), count(x) FROM (VALUES (1.10), (2.205), (NULL), (3)) v(x);

-- name: variance and deviation
SELECT variance(x), var_pop(x), stddev(x), stddev_pop(x) FROM (VALUES (1.0), (2.0), (4.0)) v(x);

-- name: equality ignores scale
SELECT 1.0 = 1.00, 1.50::text, 1.5::text, 0.0::text;

-- name: distinct ignores scale
SELECT count(DISTINCT x) FROM (VALUES (1.0), (1.00), (2)) v(x);

-- name: text output
SELECT 0.000001::text, 1e-10::numeric::text, 1e20::numeric::text, (-0.0)::text;

-- name: to_char
SELECT to_char(1234.5, '9,999.99'), to_char(-5, '999'), to_char(0.5, 'FM0.00'), to_char(1234, '0000000');

-- name: cast from float
SELECT 0.1::float8::numeric, 1e15::float8::numeric, 0.1::float4::numeric;

-- name: cast to int
SELECT 2.5::numeric::int, 3.5::numeric::int, (-2.5)::numeric::bigint;

-- name: trim_scale and scale
SELECT scale(1.500), trim_scale(1.500), min_scale(1.500);

-- name: numeric and float give float
SELECT pg_typeof(1.5 + 1.5::float8), 1.5 + 0.25::float8;

-- name: bad text
SELECT '1.2.3'::numeric;
