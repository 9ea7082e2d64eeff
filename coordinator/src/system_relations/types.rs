//! Types, collations, languages and operator classes.

use satsuma_common::types::{PSEUDO_TYPES, PseudoType, VECTORS};
use satsuma_common::{Oid, PgType, SqlResult};

use super::rows::{Rows, row};
use super::{Fill, Source};
use crate::catalog::{ObjectClass, PG_CATALOG_OID, SUPERUSER_OID};

pub(super) fn fill(name: &str) -> Option<Fill> {
    Some(match name {
        "pg_type" => all_types,
        "pg_enum" => enums,
        "pg_collation" => collation,
        "pg_language" => language,
        "pg_opclass" => operator_classes,
        _ => return None,
    })
}

/// How values lie in PostgreSQL's memory; clients read it from the catalogs.
pub(super) struct Physical {
    pub by_value: bool,
    pub align: char,
    pub storage: char,
}

pub(super) fn physical(ty: &PgType) -> Physical {
    let fixed = |by_value, align| Physical { by_value, align, storage: 'p' };
    match ty {
        PgType::Bool | PgType::Char => fixed(true, 'c'),
        PgType::Int2 => fixed(true, 's'),
        PgType::Int4
        | PgType::Float4
        | PgType::Date
        | PgType::Oid
        | PgType::Regclass
        | PgType::Regtype
        | PgType::Regproc
        | PgType::Regprocedure
        | PgType::Regnamespace
        | PgType::Regrole
        | PgType::Enum(_)
        | PgType::Void => fixed(true, 'i'),
        PgType::Int8 | PgType::Float8 | PgType::Time | PgType::Timestamp | PgType::Timestamptz => {
            fixed(true, 'd')
        }
        PgType::Interval | PgType::Point => fixed(false, 'd'),
        PgType::Precise(time, _) => physical(time.bare()),
        PgType::Name | PgType::Uuid | PgType::Unknown => fixed(false, 'c'),
        PgType::Numeric(_) | PgType::Inet | PgType::Cidr => {
            Physical { by_value: false, align: 'i', storage: 'm' }
        }
        PgType::Record => Physical { by_value: false, align: 'd', storage: 'x' },
        PgType::Array(element) => {
            let align = if physical(element).align == 'd' { 'd' } else { 'i' };
            Physical { by_value: false, align, storage: 'x' }
        }
        PgType::Text
        | PgType::Varchar(_)
        | PgType::Bpchar(_)
        | PgType::Bytea
        | PgType::Json
        | PgType::Jsonb => Physical { by_value: false, align: 'i', storage: 'x' },
    }
}

/// `attcollation`: the default one for strings, C for names, none for the rest.
pub(super) fn collation_of(ty: &PgType) -> Oid {
    match ty {
        PgType::Text | PgType::Varchar(_) | PgType::Bpchar(_) => Oid(100),
        PgType::Name => Oid(950),
        PgType::Array(element) => collation_of(element),
        _ => Oid(0),
    }
}

/// Oids of `array_in`, `array_out`, `array_recv` and `array_send`.
const ARRAY_IO: [u32; 4] = [750, 751, 2400, 2401];
/// Those of enums.
const ENUM_IO: [u32; 4] = [3506, 3507, 3532, 3533];

/// How [`io_functions`] are called.
pub(super) const IO_SUFFIXES: [&str; 4] = ["in", "out", "recv", "send"];

/// Functions that read and print the modifier of a type, 0 without one.
pub(super) fn modifier_functions(ty: &PgType) -> [u32; 2] {
    let element = match ty {
        PgType::Array(element) => element,
        other => other,
    };
    match element {
        PgType::Bpchar(_) => [2913, 2914],
        PgType::Varchar(_) => [2915, 2916],
        PgType::Numeric(_) => [2917, 2918],
        PgType::Timestamp => [2905, 2906],
        PgType::Timestamptz => [2907, 2908],
        PgType::Time => [2909, 2910],
        PgType::Interval => [2903, 2904],
        _ => [0, 0],
    }
}

/// Input, output, receive and send functions of a built-in type.
pub(super) fn io_functions(ty: &PgType) -> [u32; 4] {
    match ty {
        PgType::Array(_) => ARRAY_IO,
        PgType::Enum(_) => ENUM_IO,
        PgType::Bool => [1242, 1243, 2436, 2437],
        PgType::Bytea => [1244, 31, 2412, 2413],
        PgType::Char => [1245, 33, 2434, 2435],
        PgType::Name => [34, 35, 2422, 2423],
        PgType::Int8 => [460, 461, 2408, 2409],
        PgType::Int2 => [38, 39, 2404, 2405],
        PgType::Int4 => [42, 43, 2406, 2407],
        PgType::Regproc => [44, 45, 2444, 2445],
        PgType::Text => [46, 47, 2414, 2415],
        PgType::Oid => [1798, 1799, 2418, 2419],
        PgType::Json => [321, 322, 323, 324],
        PgType::Point => [117, 118, 2428, 2429],
        PgType::Float4 => [200, 201, 2424, 2425],
        PgType::Float8 => [214, 215, 2426, 2427],
        PgType::Unknown => [109, 110, 2416, 2417],
        PgType::Inet => [910, 911, 2496, 2497],
        PgType::Cidr => [1267, 1427, 2498, 2499],
        PgType::Bpchar(_) => [1044, 1045, 2430, 2431],
        PgType::Varchar(_) => [1046, 1047, 2432, 2433],
        PgType::Date => [1084, 1085, 2468, 2469],
        PgType::Time => [1143, 1144, 2470, 2471],
        PgType::Timestamp => [1312, 1313, 2474, 2475],
        PgType::Timestamptz => [1150, 1151, 2476, 2477],
        PgType::Interval => [1160, 1161, 2478, 2479],
        PgType::Precise(time, _) => io_functions(time.bare()),
        PgType::Numeric(_) => [1701, 1702, 2460, 2461],
        PgType::Regprocedure => [2212, 2213, 2446, 2447],
        PgType::Regclass => [2218, 2219, 2452, 2453],
        PgType::Regtype => [2220, 2221, 2454, 2455],
        PgType::Regrole => [4098, 4092, 4094, 4095],
        PgType::Regnamespace => [4084, 4085, 4087, 4088],
        PgType::Uuid => [2952, 2953, 2961, 2962],
        PgType::Jsonb => [3806, 3804, 3805, 3803],
        PgType::Record => [2290, 2291, 2402, 2403],
        PgType::Void => [2298, 2299, 3120, 3121],
    }
}

fn push_type(
    rows: &mut Rows<'_>,
    ty: &PgType,
    name: &str,
    schema: Oid,
    owner: Oid,
    grants: Option<Vec<String>>,
) -> SqlResult<()> {
    let physical = physical(ty);
    let [input, output, receive, send] = io_functions(ty);
    let [modifier_in, modifier_out] = modifier_functions(ty);
    let element = match ty {
        PgType::Array(element) => element.oid(),
        PgType::Name => PgType::Char.oid(),
        PgType::Point => PgType::Float8.oid(),
        _ => 0,
    };
    let array = match ty {
        PgType::Array(_) => 0,
        _ => PgType::Array(Box::new(ty.clone())).oid(),
    };
    row!(
        rows,
        oid = Oid(ty.oid()),
        typname = name,
        typnamespace = schema,
        typowner = owner,
        typlen = ty.byte_len(),
        typbyval = physical.by_value,
        typtype = match ty {
            PgType::Enum(_) => 'e',
            PgType::Record | PgType::Void | PgType::Unknown => 'p',
            PgType::Array(element) if **element == PgType::Record => 'p',
            _ => 'b',
        },
        typcategory = ty.category(),
        typispreferred = ty.is_preferred(),
        typisdefined = true,
        typdelim = ',',
        typrelid = Oid(0),
        typsubscript = Oid(if ty.is_array() { 6179 } else { 0 }),
        typelem = Oid(element),
        typarray = Oid(array),
        typinput = Oid(input),
        typoutput = Oid(output),
        typreceive = Oid(receive),
        typsend = Oid(send),
        typmodin = Oid(modifier_in),
        typmodout = Oid(modifier_out),
        typanalyze = Oid(if ty.is_array() { 3816 } else { 0 }),
        typalign = physical.align,
        typstorage = physical.storage,
        typnotnull = false,
        typbasetype = Oid(0),
        typtypmod = -1,
        typndims = 0,
        typcollation = collation_of(ty),
        typacl = grants,
    )
}

/// A type that signatures of functions name.
fn push_pseudo_type(rows: &mut Rows<'_>, ty: &PseudoType) -> SqlResult<()> {
    let align = match ty.len {
        -2 => 'c',
        -1 | 8 => 'd',
        _ => 'i',
    };
    let storage = if ty.len == -1 { 'x' } else { 'p' };
    push_plain(rows, ty, ('p', 'P'), (0, 0), (align, storage))
}

/// A type of columns of the catalogs, and the type of arrays of it.
fn push_vector(
    rows: &mut Rows<'_>,
    (ty, element, array): &(PseudoType, u32, u32),
) -> SqlResult<()> {
    push_plain(rows, ty, ('b', 'A'), (*element, *array), ('i', 'p'))?;
    let name = match ty.oid {
        22 => "_int2vector",
        _ => "_oidvector",
    };
    let array = PseudoType { oid: *array, name, sql_name: name, len: -1, io: ARRAY_IO };
    push_plain(rows, &array, ('b', 'A'), (ty.oid, 0), ('i', 'x'))
}

fn push_plain(
    rows: &mut Rows<'_>,
    ty: &PseudoType,
    (kind, category): (char, char),
    (element, array): (u32, u32),
    (align, storage): (char, char),
) -> SqlResult<()> {
    let [input, output, receive, send] = ty.io;
    row!(
        rows,
        oid = Oid(ty.oid),
        typname = ty.name,
        typnamespace = PG_CATALOG_OID,
        typowner = SUPERUSER_OID,
        typlen = ty.len,
        typbyval = ty.len > 0,
        typtype = kind,
        typcategory = category,
        typispreferred = false,
        typisdefined = true,
        typdelim = ',',
        typrelid = Oid(0),
        typsubscript = Oid(if element == 0 { 0 } else { 6179 }),
        typelem = Oid(element),
        typarray = Oid(array),
        typinput = Oid(input),
        typoutput = Oid(output),
        typreceive = Oid(receive),
        typsend = Oid(send),
        typmodin = Oid(0),
        typmodout = Oid(0),
        typanalyze = Oid(if input == ARRAY_IO[0] { 3816 } else { 0 }),
        typalign = align,
        typstorage = storage,
        typnotnull = false,
        typbasetype = Oid(0),
        typtypmod = -1,
        typndims = 0,
        typcollation = Oid(0),
    )
}

fn all_types(source: &Source<'_>, rows: &mut Rows<'_>) -> SqlResult<()> {
    for ty in PgType::builtin() {
        push_type(rows, &ty, &ty.name(), PG_CATALOG_OID, SUPERUSER_OID, None)?;
        let array = PgType::Array(Box::new(ty));
        if array.oid() != 0 {
            push_type(rows, &array, &array.name(), PG_CATALOG_OID, SUPERUSER_OID, None)?;
        }
    }
    for ty in PSEUDO_TYPES {
        push_pseudo_type(rows, ty)?;
    }
    VECTORS.iter().try_for_each(|vector| push_vector(rows, vector))?;
    for ty in source.state.enums() {
        let label = PgType::Enum(ty.oid);
        let grants = super::roles::access_list(source.state, ObjectClass::Type, ty.oid);
        push_type(rows, &label, &ty.name, ty.schema, ty.owner, grants)?;
        let array = PgType::Array(Box::new(label));
        push_type(rows, &array, &format!("_{}", ty.name), ty.schema, ty.owner, None)?;
    }
    super::row_types::all(source, rows)
}

fn enums(source: &Source<'_>, rows: &mut Rows<'_>) -> SqlResult<()> {
    for ty in source.state.enums() {
        for (order, label) in (1u16..).zip(&ty.labels) {
            row!(
                rows,
                // Labels have no oid of their own in the catalog: derived, unique by type.
                oid = super::columns::default_oid(ty.oid, order),
                enumtypid = ty.oid,
                enumsortorder = f32::from(order),
                enumlabel = label,
            )?;
        }
    }
    Ok(())
}

fn collation(_source: &Source<'_>, rows: &mut Rows<'_>) -> SqlResult<()> {
    for (oid, name, provider, locale) in [
        (100, "default", 'd', None),
        (950, "C", 'c', Some("C")),
        (951, "POSIX", 'c', Some("POSIX")),
    ] {
        row!(
            rows,
            oid = Oid(oid),
            collname = name,
            collnamespace = PG_CATALOG_OID,
            collowner = SUPERUSER_OID,
            collprovider = provider,
            collisdeterministic = true,
            collencoding = -1,
            collcollate = locale,
            collctype = locale,
        )?;
    }
    Ok(())
}

fn language(_source: &Source<'_>, rows: &mut Rows<'_>) -> SqlResult<()> {
    for (oid, name, trusted) in [(12, "internal", false), (13, "c", false), (14, "sql", true)] {
        row!(
            rows,
            oid = Oid(oid),
            lanname = name,
            lanowner = SUPERUSER_OID,
            lanispl = false,
            lanpltrusted = trusted,
            lanplcallfoid = Oid(0),
            laninline = Oid(0),
            lanvalidator = Oid(0),
        )?;
    }
    Ok(())
}

/// Default operator classes: method, oid, name, family, type.
const OPERATOR_CLASSES: &[(u32, u32, &str, u32, PgType)] = &[
    (403, 10003, "bool_ops", 424, PgType::Bool),
    (403, 10004, "bpchar_ops", 426, PgType::Bpchar(None)),
    (403, 10006, "bytea_ops", 428, PgType::Bytea),
    (403, 10007, "char_ops", 429, PgType::Char),
    (403, 3122, "date_ops", 434, PgType::Date),
    (403, 10012, "float4_ops", 1970, PgType::Float4),
    (403, 3123, "float8_ops", 1970, PgType::Float8),
    (403, 10015, "inet_ops", 1974, PgType::Inet),
    (403, 1979, "int2_ops", 1976, PgType::Int2),
    (403, 1978, "int4_ops", 1976, PgType::Int4),
    (403, 3124, "int8_ops", 1976, PgType::Int8),
    (403, 10022, "interval_ops", 1982, PgType::Interval),
    (403, 10028, "name_ops", 1994, PgType::Name),
    (403, 3125, "numeric_ops", 1988, PgType::Numeric(None)),
    (403, 1981, "oid_ops", 1989, PgType::Oid),
    (403, 3126, "text_ops", 1994, PgType::Text),
    (403, 10038, "time_ops", 1996, PgType::Time),
    (403, 3127, "timestamptz_ops", 434, PgType::Timestamptz),
    (403, 3128, "timestamp_ops", 434, PgType::Timestamp),
    (403, 10065, "uuid_ops", 2968, PgType::Uuid),
    (403, 10088, "jsonb_ops", 4033, PgType::Jsonb),
    (405, 10020, "int4_ops", 1977, PgType::Int4),
    (405, 10021, "int8_ops", 1977, PgType::Int8),
    (405, 10037, "text_ops", 1995, PgType::Text),
    (405, 10066, "uuid_ops", 2969, PgType::Uuid),
];

/// The default operator class for a type, 0 if there is none on record.
pub(super) fn operator_class(method: &str, ty: &PgType) -> Oid {
    let wanted = match ty.without_modifier() {
        PgType::Varchar(_) => PgType::Text,
        PgType::Cidr => PgType::Inet,
        bare => bare,
    };
    let method = match method {
        "hash" => 405,
        "btree" => 403,
        _ => return Oid(0),
    };
    let found = OPERATOR_CLASSES.iter().find(|(m, .., ty)| *m == method && *ty == wanted);
    Oid(found.map_or(0, |(_, oid, ..)| *oid))
}

fn operator_classes(_source: &Source<'_>, rows: &mut Rows<'_>) -> SqlResult<()> {
    for (method, oid, name, family, ty) in OPERATOR_CLASSES {
        row!(
            rows,
            oid = Oid(*oid),
            opcmethod = Oid(*method),
            opcname = *name,
            opcnamespace = PG_CATALOG_OID,
            opcowner = SUPERUSER_OID,
            opcfamily = Oid(*family),
            opcintype = Oid(ty.oid()),
            opcdefault = true,
            opckeytype = Oid(0),
        )?;
    }
    Ok(())
}
