//! inet and cidr: functions and operators.

use satsuma_common::inet::Inet;
use satsuma_common::{Datum, PgType, SqlResult};

use super::error::unexpected_value;
use super::library::{Builder, Call};
use super::strings::int;

fn inet(value: &Datum) -> SqlResult<Inet> {
    match value {
        Datum::Inet(inet) => Ok(*inet),
        _ => Err(unexpected_value("inet")),
    }
}

fn first_is_cidr(call: &Call) -> bool {
    call.arguments.first() == Some(&PgType::Cidr)
}

pub(crate) fn install(b: &mut Builder) {
    b.infallible(|b| {
        b.row("host(inet) text", |args, _| Ok(Datum::Text(inet(&args[0])?.host())));
        b.row("text(inet) text", |args, _| Ok(Datum::Text(inet(&args[0])?.text())));
        b.row("abbrev(inet) text", |args, _| Ok(Datum::Text(inet(&args[0])?.abbrev())));
        b.row("abbrev(cidr) text", |args, _| Ok(Datum::Text(inet(&args[0])?.abbrev_cidr())));
        b.row("family(inet) int4", |args, _| Ok(Datum::Int4(inet(&args[0])?.family())));
        b.row("masklen(inet) int4", |args, _| Ok(Datum::Int4(i32::from(inet(&args[0])?.prefix))));
        b.row("network(inet) cidr", |args, _| Ok(Datum::Inet(inet(&args[0])?.network())));
        b.row("broadcast(inet) inet", |args, _| Ok(Datum::Inet(inet(&args[0])?.broadcast())));
        b.row("netmask(inet) inet", |args, _| Ok(Datum::Inet(inet(&args[0])?.netmask())));
        b.row("hostmask(inet) inet", |args, _| Ok(Datum::Inet(inet(&args[0])?.hostmask())));
        b.row("inet_same_family(inet,inet) bool", |args, _| {
            Ok(Datum::Bool(inet(&args[0])?.same_family(&inet(&args[1])?)))
        });
    });
    b.row("set_masklen(inet,int4) inet", |args, _| {
        Ok(Datum::Inet(inet(&args[0])?.set_masklen(int(&args[1])?)?))
    });
    b.row("set_masklen(cidr,int4) cidr", |args, call| {
        debug_assert!(first_is_cidr(call));
        Ok(Datum::Inet(inet(&args[0])?.set_masklen_cidr(int(&args[1])?)?))
    });
    b.row("inet_merge(inet,inet) cidr", |args, _| {
        Ok(Datum::Inet(inet(&args[0])?.merge(&inet(&args[1])?)?))
    });
}

pub(crate) fn install_operators(b: &mut Builder) {
    let test = |b: &mut Builder, op: &str, f: fn(&Inet, &Inet) -> bool| {
        b.row(&format!("{op}(inet,inet) bool"), move |args, _| {
            Ok(Datum::Bool(f(&inet(&args[0])?, &inet(&args[1])?)))
        });
    };
    b.infallible(|b| {
        test(b, "<<", |a, b| b.contains(a));
        test(b, "<<=", |a, b| b.contains_or_equals(a));
        test(b, ">>", |a, b| a.contains(b));
        test(b, ">>=", |a, b| a.contains_or_equals(b));
        test(b, "&&", |a, b| a.overlaps(b));
        b.row("~(inet) inet", |args, _| Ok(Datum::Inet(inet(&args[0])?.not())));
    });
    b.row("&(inet,inet) inet", |args, _| Ok(Datum::Inet(inet(&args[0])?.and(&inet(&args[1])?)?)));
    b.row("|(inet,inet) inet", |args, _| Ok(Datum::Inet(inet(&args[0])?.or(&inet(&args[1])?)?)));
    b.row("+(inet,int8) inet", |args, _| match args {
        [Datum::Inet(a), Datum::Int8(n)] => Ok(Datum::Inet(a.add(*n)?)),
        _ => Err(unexpected_value("inet")),
    });
    b.row("+(int8,inet) inet", |args, _| match args {
        [Datum::Int8(n), Datum::Inet(a)] => Ok(Datum::Inet(a.add(*n)?)),
        _ => Err(unexpected_value("inet")),
    });
    b.row("-(inet,int8) inet", |args, _| match args {
        [Datum::Inet(a), Datum::Int8(n)] => {
            let back = n.checked_neg().ok_or_else(|| super::error::out_of_range(&PgType::Int8))?;
            Ok(Datum::Inet(a.add(back)?))
        }
        _ => Err(unexpected_value("inet")),
    });
    b.row("-(inet,inet) int8", |args, _| {
        Ok(Datum::Int8(inet(&args[0])?.distance(&inet(&args[1])?)?))
    });
}
