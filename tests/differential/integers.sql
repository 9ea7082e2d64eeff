Integer arithmetic, overflow, bits and operators.

-- name: four operations
SELECT 7 + 2, 7 - 2, 7 * 2, 7 / 2, 7 % 2;

-- name: division truncates towards zero
SELECT -7 / 2, 7 / -2, -7 % 2, 7 % -2;

-- name: widths combine
SELECT pg_typeof(1::int2 + 1::int2), pg_typeof(1::int2 + 1), pg_typeof(1 + 1::int8), pg_typeof(1 + 1.0), pg_typeof(1::int2 / 1::int8);

-- name: int4 overflow
SELECT 2147483647 + 1;

-- name: int4 multiplication overflow
SELECT 65536 * 65536;

-- name: int8 overflow
SELECT 9223372036854775807 + 1;

-- name: int2 overflow
SELECT 32767::int2 + 1::int2;

-- name: negation overflow
SELECT -(-9223372036854775808);

-- name: minimum divided by minus one
SELECT (-2147483648) / (-1);

-- name: division by zero
SELECT 1 / 0;

-- name: modulo by zero
SELECT 1 % 0;

-- name: abs and sign
SELECT abs(-5), sign(-5), sign(0), abs(-5.5), @ -7;

-- name: powers and roots
SELECT power(2, 10), 2 ^ 10, |/ 16, sqrt(2), round((||/ 27)::numeric, 10), round(cbrt(27)::numeric, 10);

-- name: bits
SELECT 5 & 3, 5 | 3, 5 # 3, ~5, 1 << 4, 256 >> 4;

-- name: gcd and lcm
SELECT gcd(12, 18), lcm(4, 6), factorial(10), div(7, 2), mod(7, 3);

-- name: comparison
SELECT 1 < 2, 1 = 1.0, 2 <> 2, 3 >= 3.0, 1 != 2;

-- name: between
SELECT 5 BETWEEN 1 AND 10, 5 BETWEEN 10 AND 1, 5 BETWEEN SYMMETRIC 10 AND 1, 5 NOT BETWEEN 6 AND 7;

-- name: in lists
SELECT 1 IN (1, 2), 3 IN (1, 2), 3 IN (1, NULL), 1 IN (1, NULL), 3 NOT IN (1, 2), 3 NOT IN (1, NULL);

-- name: precedence
SELECT 2 + 3 * 4, (2 + 3) * 4, -2 ^ 2, 2 ^ 3 ^ 2, NOT true OR true, 1 = 1 AND 2 = 2;

-- name: hexadecimal through functions
SELECT to_hex(255), to_hex(-1), width_bucket(5, 0, 10, 5);

-- name: generate_series
SELECT generate_series(1, 5);

-- name: generate_series with a step
SELECT * FROM generate_series(10, 1, -3) AS g(n);

-- name: generate_series empty
SELECT count(*) FROM generate_series(5, 1);

-- name: generate_series of step zero
SELECT * FROM generate_series(1, 5, 0);

-- name: sum of bigint is numeric
SELECT sum(n), pg_typeof(sum(n)) FROM generate_series(9223372036854775800, 9223372036854775807) g(n);

-- name: sum of int is bigint
SELECT sum(n), pg_typeof(sum(n)) FROM (VALUES (2147483647), (2147483647)) v(n);

-- name: average of int is numeric
SELECT avg(n) FROM (VALUES (1), (2)) v(n);

-- name: operator that does not exist
SELECT 1 + 'a'::text;

-- name: function that does not exist
SELECT no_such_function(1);

-- name: function with wrong arguments
SELECT lower(1, 2);
