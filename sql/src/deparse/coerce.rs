//! Casts that PostgreSQL inserts, and those that are written.

use satsuma_common::PgType;
use satsuma_common::datetime::{DateOrder, TimeZone};
use satsuma_common::text::TextContext;

use super::is_unknown_constant;
use super::node::{Kind, Node, Way};
use crate::casts::{self, CastKind};

/// The value as a `to`; `None` if there is no such cast, or the literal cannot be read.
pub(super) fn coerce(node: Node, to: &PgType, kind: CastKind) -> Option<Node> {
    if is_unknown_constant(&node) {
        return literal(node, to, kind);
    }
    let bare = to.without_modifier();
    if node.ty.without_modifier() == bare {
        return Some(match has_modifier(to) && node.ty != *to {
            true => with_modifier(node, to, kind),
            false => node,
        });
    }
    if !casts::can_coerce(&node.ty, &bare, kind) {
        return None;
    }
    let way = way(&node.ty, &bare);
    let explicit = kind == CastKind::Explicit;
    if has_modifier(to) {
        let hidden = Node::new(Kind::Cast { value: Box::new(node), way, explicit: false }, bare);
        return Some(with_modifier(hidden, to, kind));
    }
    Some(Node::new(Kind::Cast { value: Box::new(node), way, explicit }, bare))
}

fn has_modifier(ty: &PgType) -> bool {
    *ty != ty.without_modifier()
}

/// The function that fits a value to a length or a precision.
fn with_modifier(node: Node, to: &PgType, kind: CastKind) -> Node {
    let explicit = kind == CastKind::Explicit;
    let way = if to.is_array() { Way::Through } else { Way::Function };
    Node::new(Kind::Cast { value: Box::new(node), way, explicit }, to.clone())
}

/// A literal of no type yet, read as a `to`.
fn literal(node: Node, to: &PgType, kind: CastKind) -> Option<Node> {
    let Kind::Constant(text) = node.kind else { return None };
    let bare = to.without_modifier();
    let constant = match text {
        None => None,
        Some(text) => Some(read(&text, &bare)?),
    };
    let is_null = constant.is_none();
    let node = Node::new(Kind::Constant(constant), bare.clone());
    Some(match has_modifier(to) && !is_null {
        true => with_modifier(node, to, kind),
        false => node,
    })
}

/// The text of a literal as its type prints it.
fn read(text: &str, ty: &PgType) -> Option<String> {
    let element = match ty {
        PgType::Array(element) => element,
        other => other,
    };
    if casts::convert::names_object(ty) || ty.is_string() || matches!(element, PgType::Enum(_)) {
        return Some(text.to_owned());
    }
    let context = TextContext::default();
    let value = casts::text::input(text, ty, &context).ok()?;
    // What means something else in another session or on another day is shown as written.
    let elsewhere = TextContext {
        now: ELSEWHEN,
        date_order: DateOrder::Dmy,
        time_zone: TimeZone::Fixed(3600),
        ..TextContext::default()
    };
    if casts::convert::input_depends_on_session(ty)
        && casts::text::input(text, ty, &elsewhere).ok()? != value
    {
        return None;
    }
    casts::text::output(&value, ty, &context).ok()
}

/// 2001-09-09, in microseconds since 1970.
const ELSEWHEN: i64 = 1_000_000_000_000_000;

/// A literal that nothing gave a type is text.
pub(super) fn settled(node: Node) -> Option<Node> {
    if is_unknown_constant(&node) {
        literal(node, &PgType::Text, CastKind::Implicit)
    } else {
        Some(node)
    }
}

/// The type that all of them have in common, and they cast to it.
pub(super) fn unified(nodes: Vec<Node>) -> Option<(Vec<Node>, PgType)> {
    let types: Vec<PgType> = nodes.iter().map(|node| node.ty.clone()).collect();
    let ty = casts::common_type(&types).ok()?;
    let bare = ty.without_modifier();
    let nodes = nodes
        .into_iter()
        .map(|node| coerce(node, &bare, CastKind::Implicit))
        .collect::<Option<_>>();
    Some((nodes?, ty))
}

/// How PostgreSQL's `pg_cast` says that it is cast.
fn way(from: &PgType, to: &PgType) -> Way {
    use PgType::*;
    let (from, to) = (from.without_modifier(), to.without_modifier());
    let is_function = match (&from, &to) {
        _ if from.is_numeric() && to.is_numeric() => true,
        (Jsonb, to) => to.is_numeric() || *to == Bool,
        (Int2 | Int8, Oid) | (Oid, Int8) => true,
        (Int4, Bool | Char) | (Bool | Char, Int4) => true,
        (Bool | Inet | Cidr | Char, Text | Varchar(_) | Bpchar(_)) => true,
        (Bpchar(_), Text | Varchar(_) | Name) => true,
        (Name, Text | Varchar(_) | Bpchar(_)) => true,
        (Text | Varchar(_), Name | Char | Regclass) | (Bpchar(_), Char) => true,
        (Date | Timestamp | Timestamptz | Time, Date | Timestamp | Timestamptz | Time) => true,
        (Time, Interval) | (Interval, Time) | (Inet, Cidr) => true,
        _ => false,
    };
    if is_function { Way::Function } else { Way::Through }
}
