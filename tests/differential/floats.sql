Floating-point numbers: shortest output, special values, arithmetic.

-- name: shortest output
SELECT 0.1::float8, 0.1::float4, 1e100::float8, 1e-7::float8, 123456789.0::float8, 1e15::float8, 1e16::float8;

-- name: sum of tenths
SELECT 0.1::float8 + 0.2::float8;

-- name: special values
SELECT 'NaN'::float8, 'Infinity'::float8, '-inf'::float4, 'NaN'::float8 = 'NaN'::float8, -0.0::float8;

-- name: overflow
SELECT 1e300::float8 * 1e300::float8;

-- name: division by zero
SELECT 1.0::float8 / 0;

-- name: out of range text
SELECT '1e400'::float8;

-- name: functions
SELECT sin(0), cos(0), atan2(1, 1), degrees(pi()), radians(180), exp(0), ln(1), log(100), log10(1000);

-- name: root of a negative number
SELECT sqrt(-1::float8);

-- name: logarithm of zero
SELECT ln(0::float8);

-- name: rounding
SELECT round(2.5::float8), round(3.5::float8), trunc(2.9::float8), ceil(2.1::float8), floor(-2.1::float8);

-- name: nan sorts last
SELECT x FROM (VALUES ('NaN'::float8), (1), ('Infinity'), (NULL)) v(x) ORDER BY x;

-- name: sum and average
SELECT sum(x), avg(x) FROM (VALUES (1.5::float8), (2.5), (NULL)) v(x);

-- name: real arithmetic
SELECT 1.1::float4 + 2.2::float4, pg_typeof(1::float4 + 1), pg_typeof(1::float4 + 1::float8);

-- name: cast out of int
SELECT 1e10::float8::int;

-- name: beyond what floats hold
SELECT 1e40::float4;

-- name: beyond both
SELECT 1e309::float8;

-- name: as text
SELECT '1e400'::float8;

-- name: a number too large before what is none
SELECT '1e400x'::float8;

-- name: too small
SELECT '-1e-400 y'::float8;

-- name: too large a real
SELECT '1e40x'::real;

-- name: not too large
SELECT '1e30x'::float8;

-- name: no number at all
SELECT '.x'::float8;
