-- name: functions by name
SELECT proname, oid, pg_get_function_arguments(oid), pg_get_function_result(oid), prokind, provolatile, proisstrict, proretset, pronargs FROM pg_proc WHERE proname IN ('abs', 'now', 'json_each', 'jsonb_set', 'concat', 'make_interval', 'generate_series', 'random', 'nextval', 'regexp_matches', 'hashtext', 'to_char', 'initcap') ORDER BY proname, oid;

-- name: aggregates and window functions by name
SELECT proname, oid, pg_get_function_arguments(oid), pg_get_function_identity_arguments(oid), pg_get_function_result(oid), prokind, provolatile, proisstrict FROM pg_proc WHERE prokind IN ('a', 'w') AND proname IN ('sum', 'avg', 'count', 'string_agg', 'array_agg', 'percentile_cont', 'mode', 'rank', 'lag', 'row_number', 'bool_and') AND pg_get_function_arguments(oid) <> 'money' ORDER BY proname, oid;

-- name: arguments in arrays
SELECT proname, proargtypes, proallargtypes, proargmodes, proargnames, pronargs, pronargdefaults, provariadic, prorettype FROM pg_proc WHERE oid IN (1397, 3305, 3958, 3058, 3986, 3974, 2763, 1268) ORDER BY oid;

-- name: aggregates
SELECT aggfnoid::oid, aggkind, aggnumdirectargs FROM pg_aggregate WHERE aggfnoid::oid IN (2108, 3974, 3986, 2803) ORDER BY 1;

-- name: operators
SELECT oid, oprname, oprkind, oprleft::regtype, oprright::regtype, oprresult::regtype FROM pg_operator WHERE oid IN (551, 484, 98, 2751, 3477, 3246, 1762, 654) ORDER BY oid;

-- name: functions that types name
SELECT t.typname, i.proname, o.proname, r.proname, s.proname FROM pg_type t JOIN pg_proc i ON i.oid = t.typinput JOIN pg_proc o ON o.oid = t.typoutput LEFT JOIN pg_proc r ON r.oid = t.typreceive LEFT JOIN pg_proc s ON s.oid = t.typsend WHERE t.typname IN ('int4', 'text', 'timestamptz', '_text', 'jsonb', 'regprocedure', 'any', 'anyarray', 'cstring', 'uuid', 'point') ORDER BY 1;

-- name: pseudo-types
SELECT oid, typname, typlen, typbyval, typtype, typcategory, typalign, typstorage, format_type(oid, NULL), oid::regtype FROM pg_type WHERE typname IN ('any', 'anyelement', 'anyarray', 'anynonarray', 'anyenum', 'anycompatible', 'anycompatiblearray', 'anycompatiblenonarray', 'cstring', 'internal') ORDER BY 1;

-- name: names of functions
SELECT 1397::regproc, 'now'::regproc, 'pg_catalog.now'::regproc, 'now'::regproc::oid, 0::regproc, '-'::regproc, 'now'::regproc::text, pg_typeof('now'::regproc);

-- name: a name of several functions
SELECT 'abs'::regproc;

-- name: a name of none
SELECT 'no_such_function'::regproc;

-- name: functions with their arguments
SELECT 'abs(integer)'::regprocedure, 'pg_catalog.abs(int4)'::regprocedure, 'substring(text, int,int)'::regprocedure::text, 'concat("any")'::regprocedure, 'percentile_cont(float8,float8)'::regprocedure, 1397::regprocedure::oid, 0::regprocedure, '-'::regprocedure, 999999::regprocedure, pg_typeof('now()'::regprocedure);

-- name: no arguments where they are needed
SELECT 'abs'::regprocedure;

-- name: arguments that do not end
SELECT 'abs(int'::regprocedure;

-- name: no function with these arguments
SELECT 'abs(text)'::regprocedure;

-- name: a type of no name
SELECT 'abs(no_such_type)'::regprocedure;

-- name: asked for, names of nothing are NULL
SELECT to_regproc('abs'), to_regproc('now'), to_regproc('no_such'), to_regprocedure('abs(int)'), to_regprocedure('abs(text)');

-- name: asked for, what is no signature is an error
SELECT to_regprocedure('abs');

-- name: arguments of functions
SELECT pg_get_function_arguments('json_each'::regproc), pg_get_function_identity_arguments('jsonb_set'::regproc), pg_get_function_result('json_each'::regproc), pg_get_function_arg_default('jsonb_set'::regproc, 4), pg_get_function_arg_default('jsonb_set'::regproc, 1);

-- name: functions as columns of a query
SELECT p.oid::regprocedure, p.oid::regproc FROM pg_proc p WHERE p.oid IN (1397, 1299, 872) ORDER BY p.oid;

-- name: routines
SELECT routine_schema, routine_name, specific_name, routine_type, data_type, type_udt_name, external_language, is_deterministic::text, is_null_call::text FROM information_schema.routines WHERE routine_name IN ('abs', 'now', 'string_to_array') ORDER BY specific_name;

-- name: parameters
SELECT specific_name, ordinal_position, parameter_mode, parameter_name, data_type, udt_name, parameter_default FROM information_schema.parameters WHERE specific_name IN ('jsonb_set_3305', 'abs_1397', 'json_each_3958', 'concat_3058') ORDER BY specific_name, ordinal_position;

-- name: words
SELECT * FROM pg_get_keywords() ORDER BY word;

-- name: what functions and operators are for
SELECT p.proname, obj_description(p.oid, 'pg_proc'), d.description FROM pg_proc p LEFT JOIN pg_description d ON d.objoid = p.oid AND d.classoid = 'pg_proc'::regclass WHERE p.oid IN (870, 1397, 2108, 2147, 1299) ORDER BY p.oid;

-- name: what operators are for
SELECT oid, obj_description(oid, 'pg_operator') FROM pg_operator WHERE oprname IN ('+', '||') AND oprleft = 'int4'::regtype ORDER BY oid;

-- name: what operators are worked out by
SELECT o.oid, o.oprname, o.oprcode, p.proname, p.provolatile, p.pronargs, p.prorettype::regtype FROM pg_operator o JOIN pg_proc p ON p.oid = o.oprcode WHERE o.oprname IN ('=', '+', '||', '@>') AND o.oprright IN ('int'::regtype, 'text'::regtype, 'jsonb'::regtype, 'interval'::regtype) AND o.oprleft IN ('int'::regtype, 'text'::regtype, 'jsonb'::regtype, 'date'::regtype, 'timestamptz'::regtype, 'timestamp'::regtype) ORDER BY o.oid;
