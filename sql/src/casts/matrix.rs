//! Which type casts to which, and how willingly: PostgreSQL's `pg_cast`, and the casts through
//! text that every type has.

use PgType::*;
use satsuma_common::PgType;
use satsuma_common::types::MOST_DIGITS;

use super::CastKind;

/// Whether a value of type `from` may become `to` in a context of `kind`.
pub fn can_coerce(from: &PgType, to: &PgType, kind: CastKind) -> bool {
    let (from, to) = (from.without_modifier(), to.without_modifier());
    if from == to || from == Unknown || to == Unknown {
        return true;
    }
    if let (Array(from), Array(to)) = (&from, &to) {
        return can_coerce(from, to, kind);
    }
    match declared(&from, &to).or_else(|| through_text(&from, &to)) {
        Some(needed) => kind >= needed,
        None => false,
    }
}

fn is_reg(ty: &PgType) -> bool {
    matches!(ty, Regclass | Regtype | Regproc | Regprocedure | Regnamespace | Regrole)
}

/// The row of `pg_cast`, if there is one.
fn declared(from: &PgType, to: &PgType) -> Option<CastKind> {
    use CastKind::{Assignment, Explicit, Implicit};
    Some(match (from, to) {
        (Int2, Int4 | Int8 | Float4 | Float8 | Numeric(_)) => Implicit,
        (Int4, Int8 | Float4 | Float8 | Numeric(_)) => Implicit,
        (Int8, Float4 | Float8 | Numeric(_)) => Implicit,
        (Int4 | Int8, Int2) | (Int8, Int4) => Assignment,
        (Int2 | Int4 | Int8, Oid) => Implicit,
        (Int2 | Int4 | Int8, reg) if is_reg(reg) => Implicit,
        (Oid, reg) | (reg, Oid) if is_reg(reg) => Implicit,
        (Oid, Int4 | Int8) => Assignment,
        (reg, Int4 | Int8) if is_reg(reg) => Assignment,
        (Float4, Float8) => Implicit,
        (Float8, Float4) => Assignment,
        (Float4 | Float8, Int2 | Int4 | Int8 | Numeric(_)) => Assignment,
        (Numeric(_), Float4 | Float8) => Implicit,
        (Numeric(_), Int2 | Int4 | Int8) => Assignment,
        (Int4, Bool) | (Bool, Int4) => Explicit,
        (Int4, Char) | (Char, Int4) => Explicit,
        (Bool, Text | Varchar(_) | Bpchar(_)) => Assignment,
        (Text | Varchar(_), Regclass) => Implicit,
        (Text, Bpchar(_) | Varchar(_)) => Implicit,
        (Varchar(_), Text | Bpchar(_)) => Implicit,
        (Bpchar(_), Text | Varchar(_)) => Implicit,
        (Text | Varchar(_) | Bpchar(_), Name) => Implicit,
        (Name, Text) => Implicit,
        (Name, Bpchar(_) | Varchar(_)) => Assignment,
        (Char, Text) => Implicit,
        (Char, Bpchar(_) | Varchar(_)) => Assignment,
        (Text | Varchar(_) | Bpchar(_), Char) => Assignment,
        (Date, Timestamp | Timestamptz) => Implicit,
        (Timestamp, Timestamptz) => Implicit,
        (Timestamp | Timestamptz, Date | Time) => Assignment,
        (Timestamptz, Timestamp) => Assignment,
        (Time, Interval) => Implicit,
        (Interval, Time) => Assignment,
        (Cidr, Inet) => Implicit,
        (Inet, Cidr) => Assignment,
        (Inet | Cidr, Text | Varchar(_) | Bpchar(_)) => Assignment,
        (Json, Jsonb) | (Jsonb, Json) => Assignment,
        (Jsonb, Bool | Int2 | Int4 | Int8 | Float4 | Float8 | Numeric(_)) => Explicit,
        _ => return None,
    })
}

/// Any type to a string is an assignment, a string to any type must be asked for.
fn through_text(from: &PgType, to: &PgType) -> Option<CastKind> {
    let pseudo = |ty: &PgType| matches!(ty, Void | Unknown);
    if pseudo(from) || pseudo(to) {
        return None;
    }
    if to.is_string() {
        return Some(CastKind::Assignment);
    }
    // PostgreSQL has no input function for an anonymous record.
    (from.is_string() && *to != Record).then_some(CastKind::Explicit)
}

/// Same layout and same values: only the name changes. Not where a length must be applied.
pub fn is_relabelling(from: &PgType, to: &PgType) -> bool {
    match (from, to) {
        (Text | Varchar(_), Text | Varchar(None) | Bpchar(None)) => true,
        (Varchar(Some(from)), Varchar(Some(to))) => from <= to,
        (Name, Text | Varchar(None)) => true,
        (Text | Varchar(_) | Name, Unknown) => true,
        (Bpchar(Some(_)), Bpchar(None)) => true,
        (Cidr, Inet) => true,
        (Oid, reg) | (reg, Oid) if is_reg(reg) => true,
        (Jsonb, Json) => true,
        (Char | Enum(_) | Json | Jsonb, Text | Varchar(None)) => true,
        (Numeric(from), Numeric(to)) => {
            // Both in the variable form: neither is rounded.
            let variable = |m: &Option<satsuma_common::NumericMod>| {
                m.is_none_or(|m| !satsuma_common::arrow_types::fits_decimal128(m))
            };
            from == to || to.is_none() && variable(from)
        }
        (Array(from), Array(to)) => from == to || is_relabelling(from, to),
        (Precise(..), _) | (_, Precise(..)) => {
            from.without_precision() == to.without_precision() && digits(from) <= digits(to)
        }
        _ => from == to,
    }
}

/// Digits of a second that values of a type of time may have.
fn digits(ty: &PgType) -> u8 {
    match ty {
        Precise(_, digits) => *digits,
        _ => MOST_DIGITS,
    }
}

/// Conversions that DataFusion's own cast does exactly as PostgreSQL, without failing.
pub fn is_native(from: &PgType, to: &PgType) -> bool {
    match (from, to) {
        (Int2, Int4 | Int8 | Float4 | Float8) => true,
        (Int4, Int8 | Float4 | Float8) => true,
        (Int8, Float4 | Float8) => true,
        (Float4, Float8) => true,
        (Int2 | Int4 | Int8, Text | Varchar(None)) => true,
        (Int2 | Int4 | Int8, Numeric(Some(m))) => {
            let digits = match from {
                Int2 => 5,
                Int4 => 10,
                _ => 19,
            };
            satsuma_common::arrow_types::fits_decimal128(*m)
                && i32::from(m.precision) - i32::from(m.scale) >= digits
        }
        (Numeric(Some(from)), Numeric(Some(to))) => {
            let fits = satsuma_common::arrow_types::fits_decimal128;
            fits(*from)
                && fits(*to)
                && to.scale >= from.scale
                && i32::from(to.precision) - i32::from(to.scale)
                    >= i32::from(from.precision) - i32::from(from.scale)
        }
        _ => false,
    }
}
