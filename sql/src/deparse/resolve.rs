//! From the parser's tree to the typed one: literals, columns, operators, conditions.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use satsuma_common::PgType;
use sqlparser::ast::{self, BinaryOperator, UnaryOperator, Value};

use super::coerce::{coerce, settled, unified};
use super::node::{Kind, Node, Subject, Test};
use super::query::Query;
use super::{Scope, World};
use crate::bind;
use crate::casts::CastKind;
use crate::catalog_view::{CatalogView, Relation, TableInfo};
use crate::declared::{self, Operator};
use crate::functions::signature::{Choice, choose_operator};

pub(super) struct Resolver<'a> {
    pub scope: &'a dyn Scope,
    pub world: &'a dyn World,
}

static OPERATORS: LazyLock<BTreeMap<&'static str, Vec<Arc<Operator>>>> = LazyLock::new(|| {
    let mut all: BTreeMap<&'static str, Vec<Arc<Operator>>> = BTreeMap::new();
    for operator in declared::operators() {
        all.entry(operator.name).or_default().push(Arc::new(operator));
    }
    all
});

impl Resolver<'_> {
    #[recursive::recursive]
    pub fn node(&self, expr: &ast::Expr) -> Option<Node> {
        match expr {
            ast::Expr::Nested(inner) => self.node(inner),
            ast::Expr::Value(value) => literal(&value.value),
            ast::Expr::TypedString(typed) => {
                let ty = self.data_type(&typed.data_type)?;
                coerce(literal(&typed.value.value)?, &ty, CastKind::Explicit)
            }
            ast::Expr::Interval(interval) if interval.leading_field.is_none() => {
                let value = self.node(&interval.value)?;
                coerce(value, &PgType::Interval, CastKind::Explicit)
            }
            ast::Expr::Identifier(name) => self.column(None, name),
            ast::Expr::CompoundIdentifier(parts) => match parts.as_slice() {
                [qualifier, name] => self.column(Some(&bind::fold(qualifier)), name),
                _ => None,
            },
            ast::Expr::CompoundFieldAccess { root, access_chain } => {
                self.subscripts(self.node(root)?, access_chain)
            }
            ast::Expr::BinaryOp { left, op: BinaryOperator::And, right } => self
                .connected(left, right, &BinaryOperator::And)
                .map(|args| Node::bool(Kind::And(args))),
            ast::Expr::BinaryOp { left, op: BinaryOperator::Or, right } => self
                .connected(left, right, &BinaryOperator::Or)
                .map(|args| Node::bool(Kind::Or(args))),
            ast::Expr::BinaryOp { left, op, right } => self.binary(left, op, right),
            ast::Expr::UnaryOp { op: UnaryOperator::Not, expr } => {
                Some(Node::bool(Kind::Not(Box::new(self.boolean(expr)?))))
            }
            ast::Expr::UnaryOp { op, expr } => self.unary(*op, expr),
            ast::Expr::Cast {
                expr,
                data_type,
                format: None,
                kind: ast::CastKind::Cast | ast::CastKind::DoubleColon,
                ..
            } => self.cast(expr, &self.data_type(data_type)?),
            ast::Expr::IsNull(value) => self.null_test(value, false),
            ast::Expr::IsNotNull(value) => self.null_test(value, true),
            ast::Expr::IsTrue(value) => self.truth_test(value, "TRUE", false),
            ast::Expr::IsNotTrue(value) => self.truth_test(value, "TRUE", true),
            ast::Expr::IsFalse(value) => self.truth_test(value, "FALSE", false),
            ast::Expr::IsNotFalse(value) => self.truth_test(value, "FALSE", true),
            ast::Expr::IsUnknown(value) => self.truth_test(value, "UNKNOWN", false),
            ast::Expr::IsNotUnknown(value) => self.truth_test(value, "UNKNOWN", true),
            ast::Expr::IsDistinctFrom(left, right) => self.distinct(left, right),
            ast::Expr::IsNotDistinctFrom(left, right) => {
                Some(Node::bool(Kind::Not(Box::new(self.distinct(left, right)?))))
            }
            ast::Expr::Between { expr, negated, low, high } => {
                self.between(expr, *negated, low, high)
            }
            ast::Expr::InList { expr, list, negated } => self.in_list(expr, list, *negated),
            ast::Expr::Like { negated, any: false, expr, pattern, escape_char } => {
                let operator = if *negated { "!~~" } else { "~~" };
                self.like(operator, expr, pattern, escape_char.as_ref())
            }
            ast::Expr::ILike { negated, any: false, expr, pattern, escape_char } => {
                let operator = if *negated { "!~~*" } else { "~~*" };
                self.like(operator, expr, pattern, escape_char.as_ref())
            }
            ast::Expr::SimilarTo { negated, expr, pattern, escape_char } => {
                let mut args = vec![self.node(pattern)?];
                if let Some(escape) = escape_char {
                    args.push(literal(&escape.value)?);
                }
                let pattern = self.call("similar_to_escape", args)?;
                self.operator(if *negated { "!~" } else { "~" }, Some(self.node(expr)?), pattern)
            }
            ast::Expr::AnyOp { left, compare_op, right, .. }
                if matches!(unnested(right), ast::Expr::Subquery(_)) =>
            {
                let ast::Expr::Subquery(query) = unnested(right) else { return None };
                self.compared(left, &operator_name(compare_op)?, query, false)
            }
            ast::Expr::AllOp { left, compare_op, right }
                if matches!(unnested(right), ast::Expr::Subquery(_)) =>
            {
                let ast::Expr::Subquery(query) = unnested(right) else { return None };
                self.compared(left, &operator_name(compare_op)?, query, true)
            }
            ast::Expr::AnyOp { left, compare_op, right, .. } => self.quantified(
                self.node(left)?,
                &operator_name(compare_op)?,
                self.node(right)?,
                false,
            ),
            ast::Expr::AllOp { left, compare_op, right } => self.quantified(
                self.node(left)?,
                &operator_name(compare_op)?,
                self.node(right)?,
                true,
            ),
            ast::Expr::Subquery(query) => {
                let (query, ty) = self.one_column(query)?;
                Some(Node::new(Kind::Subquery { test: Subject::Value, query }, ty))
            }
            ast::Expr::Exists { subquery, negated } => {
                let query = Box::new(self.scope.subquery(subquery, self.world)?.query);
                let exists = Node::bool(Kind::Subquery { test: Subject::Exists, query });
                Some(if *negated { Node::bool(Kind::Not(Box::new(exists))) } else { exists })
            }
            ast::Expr::InSubquery { expr, subquery, negated } => {
                let found = self.compared(expr, "=", subquery, false)?;
                Some(if *negated { Node::bool(Kind::Not(Box::new(found))) } else { found })
            }
            ast::Expr::Array(array) => self.array(&array.elem),
            ast::Expr::Tuple(fields) => {
                let fields = fields.iter().map(|field| settled(self.node(field)?));
                Some(Node::new(Kind::Row(fields.collect::<Option<_>>()?), PgType::Record))
            }
            ast::Expr::Case { operand, conditions, else_result, .. } => {
                self.case(operand.as_deref(), conditions, else_result.as_deref())
            }
            other => self.syntax(other),
        }
    }

    /// A subquery of one column, and the column's type.
    fn one_column(&self, query: &ast::Query) -> Option<(Box<Query>, PgType)> {
        let read = self.scope.subquery(query, self.world)?;
        let [ty] = <[PgType; 1]>::try_from(read.types).ok()?;
        Some((Box::new(read.query), ty))
    }

    /// `ARRAY(query)`.
    pub fn array_of(&self, query: &ast::Query) -> Option<Node> {
        let (query, ty) = self.one_column(query)?;
        let ty = PgType::Array(Box::new(ty.without_modifier()));
        Some(Node::new(Kind::Subquery { test: Subject::Array, query }, ty))
    }

    /// `left IN (query)`, `left > ALL (query)`.
    fn compared(
        &self,
        left: &ast::Expr,
        operator: &str,
        query: &ast::Query,
        all: bool,
    ) -> Option<Node> {
        let read = self.scope.subquery(query, self.world)?;
        let lefts = row(left).map_or_else(|| vec![left], |fields| fields.iter().collect());
        if lefts.len() != read.types.len() || lefts.len() > 1 && operator != "=" {
            return None;
        }
        let mut left = Vec::with_capacity(lefts.len());
        for (value, ty) in lefts.into_iter().zip(read.types) {
            // The column as something whose casts are not shown.
            let column = Node::new(Kind::Word(String::new()), ty);
            let compared = self.operator(operator, Some(self.node(value)?), column)?;
            let Kind::Operator { left: Some(value), .. } = compared.kind else { return None };
            left.push(*value);
        }
        let test = Subject::Compared { left, operator: operator.to_owned(), all };
        Some(Node::bool(Kind::Subquery { test, query: Box::new(read.query) }))
    }

    pub fn data_type(&self, ty: &ast::DataType) -> Option<PgType> {
        bind::data_type(ty, &Types(self.world)).ok()
    }

    fn column(&self, qualifier: Option<&str>, name: &ast::Ident) -> Option<Node> {
        let name = bind::fold(name);
        let (qualifier, ty) = self.scope.column(qualifier, &name)?;
        Some(Node::new(Kind::Column { qualifier, name }, ty))
    }

    fn subscripts(&self, mut value: Node, chain: &[ast::AccessExpr]) -> Option<Node> {
        for access in chain {
            let ast::AccessExpr::Subscript(ast::Subscript::Index { index }) = access else {
                return None;
            };
            let (element, by) = match &value.ty {
                PgType::Array(element) => (element.as_ref().clone(), PgType::Int4),
                PgType::Point => (PgType::Float8, PgType::Int4),
                PgType::Jsonb => (PgType::Jsonb, PgType::Text),
                _ => return None,
            };
            let index = self.node(index)?;
            // A document takes a number or a key.
            let by =
                if value.ty == PgType::Jsonb && index.ty.is_integer() { PgType::Int4 } else { by };
            let index = Box::new(coerce(index, &by, CastKind::Assignment)?);
            value = Node::new(Kind::Subscript { value: Box::new(value), index }, element);
        }
        Some(value)
    }

    /// A chain as one node. What was in parentheses on the right stays a chain of its own.
    fn connected(
        &self,
        left: &ast::Expr,
        right: &ast::Expr,
        op: &BinaryOperator,
    ) -> Option<Vec<Node>> {
        let mut operands = vec![right];
        let mut rest = left;
        loop {
            match rest {
                ast::Expr::BinaryOp { left, op: same, right } if same == op => {
                    operands.push(right);
                    rest = left;
                }
                ast::Expr::Nested(inner) => rest = inner,
                _ => break,
            }
        }
        operands.push(rest);
        operands.reverse();
        operands.into_iter().map(|operand| self.boolean(operand)).collect()
    }

    pub fn boolean(&self, expr: &ast::Expr) -> Option<Node> {
        coerce(self.node(expr)?, &PgType::Bool, CastKind::Implicit)
    }

    fn binary(&self, left: &ast::Expr, op: &BinaryOperator, right: &ast::Expr) -> Option<Node> {
        let name = operator_name(op)?;
        if let (Some(left), Some(right)) = (row(left), row(right)) {
            return self.compare_rows(left, &name, right);
        }
        self.operator(&name, Some(self.node(left)?), self.node(right)?)
    }

    fn compare_rows(&self, left: &[ast::Expr], name: &str, right: &[ast::Expr]) -> Option<Node> {
        if left.len() != right.len() || left.len() < 2 {
            return None;
        }
        let pairs = left.iter().zip(right);
        let compared = pairs
            .map(|(left, right)| self.operator(name, Some(self.node(left)?), self.node(right)?))
            .collect::<Option<Vec<_>>>()?;
        Some(Node::bool(match name {
            "=" => Kind::And(compared),
            "<>" => Kind::Or(compared),
            _ => {
                let (mut lefts, mut rights) = (Vec::new(), Vec::new());
                for comparison in compared {
                    let Kind::Operator { left, right, .. } = comparison.kind else { return None };
                    lefts.push(*left?);
                    rights.push(*right);
                }
                Kind::RowCompare { operator: name.to_owned(), left: lefts, right: rights }
            }
        }))
    }

    fn unary(&self, op: UnaryOperator, operand: &ast::Expr) -> Option<Node> {
        if op == UnaryOperator::Minus
            && let ast::Expr::Value(value) = operand
            && let Value::Number(digits, _) = &value.value
        {
            return number(&format!("-{digits}"));
        }
        let name = match op {
            UnaryOperator::Minus => "-",
            UnaryOperator::Plus => "+",
            UnaryOperator::BitwiseNot => "~",
            UnaryOperator::PGAbs => "@",
            UnaryOperator::PGSquareRoot => "|/",
            UnaryOperator::PGCubeRoot => "||/",
            _ => return None,
        };
        self.operator(name, None, self.node(operand)?)
    }

    /// An operator with the operands cast to what it is declared for.
    pub fn operator(&self, name: &str, left: Option<Node>, right: Node) -> Option<Node> {
        let types: Vec<PgType> =
            left.iter().chain([&right]).map(|operand| operand.ty.clone()).collect();
        let (parameters, ty) = chosen_operator(name, &types)?;
        let mut parameters = parameters.iter();
        let left = match left {
            Some(left) => Some(Box::new(coerce(left, parameters.next()?, CastKind::Implicit)?)),
            None => None,
        };
        let right = Box::new(coerce(right, parameters.next()?, CastKind::Implicit)?);
        Some(Node::new(Kind::Operator { name: name.to_owned(), left, right }, ty))
    }

    fn cast(&self, value: &ast::Expr, ty: &PgType) -> Option<Node> {
        // ARRAY[..]::type[] makes its elements of that type.
        if let (ast::Expr::Array(array), PgType::Array(element)) = (unnested(value), ty) {
            let values = array
                .elem
                .iter()
                .map(|value| coerce(self.node(value)?, element, CastKind::Explicit))
                .collect::<Option<Vec<_>>>()?;
            return Some(Node::new(Kind::Array(values), ty.clone()));
        }
        coerce(self.node(value)?, ty, CastKind::Explicit)
    }

    fn null_test(&self, value: &ast::Expr, negated: bool) -> Option<Node> {
        let value = settled(self.node(value)?)?;
        Some(Node::bool(Kind::NullTest { value: Box::new(value), negated }))
    }

    fn truth_test(&self, value: &ast::Expr, word: &'static str, negated: bool) -> Option<Node> {
        let value = Box::new(self.boolean(value)?);
        Some(Node::bool(Kind::TruthTest { value, test: Test { word, negated } }))
    }

    fn distinct(&self, left: &ast::Expr, right: &ast::Expr) -> Option<Node> {
        let equal = self.operator("=", Some(self.node(left)?), self.node(right)?)?;
        let Kind::Operator { left, right, .. } = equal.kind else { return None };
        Some(Node::bool(Kind::Distinct { left: left?, right }))
    }

    fn between(
        &self,
        value: &ast::Expr,
        negated: bool,
        low: &ast::Expr,
        high: &ast::Expr,
    ) -> Option<Node> {
        let (below, above) = if negated { ("<", ">") } else { (">=", "<=") };
        let low = self.operator(below, Some(self.node(value)?), self.node(low)?)?;
        let high = self.operator(above, Some(self.node(value)?), self.node(high)?)?;
        let both = vec![low, high];
        Some(Node::bool(if negated { Kind::Or(both) } else { Kind::And(both) }))
    }

    /// IN is a comparison with an array of the values without columns, and with each of the rest.
    fn in_list(&self, value: &ast::Expr, list: &[ast::Expr], negated: bool) -> Option<Node> {
        let value = self.node(value)?;
        let list = list.iter().map(|item| self.node(item)).collect::<Option<Vec<_>>>()?;
        let (constants, mut others): (Vec<Node>, Vec<Node>) =
            list.iter().cloned().partition(|item| !item.has_column());
        let operator = if negated { "<>" } else { "=" };
        let mut tests = Vec::new();
        if constants.len() > 1 {
            let mut all = vec![value.clone()];
            all.extend(constants);
            let (all, ty) = unified(all)?;
            let values = all.into_iter().skip(1).collect();
            let array =
                Node::new(Kind::Array(values), PgType::Array(Box::new(ty.without_modifier())));
            tests.push(self.quantified(value.clone(), operator, array, negated)?);
        } else {
            others = list;
        }
        for other in others {
            tests.push(self.operator(operator, Some(value.clone()), other)?);
        }
        if let ([_], Some(only)) = (tests.as_slice(), tests.first()) {
            return Some(only.clone());
        }
        Some(Node::bool(if negated { Kind::And(tests) } else { Kind::Or(tests) }))
    }

    fn quantified(&self, left: Node, name: &str, right: Node, all: bool) -> Option<Node> {
        let right = match &right.ty {
            // A literal is an array of what is on the left.
            PgType::Unknown => {
                let element = settled(left.clone())?.ty.without_modifier();
                coerce(right, &PgType::Array(Box::new(element)), CastKind::Implicit)?
            }
            _ => right,
        };
        let PgType::Array(element) = &right.ty else { return None };
        let types = [left.ty.clone(), element.without_modifier()];
        let (parameters, _) = chosen_operator(name, &types)?;
        let [left_type, element] = parameters.as_slice() else { return None };
        let array = PgType::Array(Box::new(element.clone()));
        Some(Node::bool(Kind::Quantified {
            operator: name.to_owned(),
            left: Box::new(coerce(left, left_type, CastKind::Implicit)?),
            right: Box::new(coerce(right, &array, CastKind::Implicit)?),
            all,
        }))
    }

    fn like(
        &self,
        operator: &str,
        value: &ast::Expr,
        pattern: &ast::Expr,
        escape: Option<&ast::ValueWithSpan>,
    ) -> Option<Node> {
        let mut pattern = self.node(pattern)?;
        if let Some(escape) = escape {
            pattern = self.call("like_escape", vec![pattern, literal(&escape.value)?])?;
        }
        self.operator(operator, Some(self.node(value)?), pattern)
    }

    fn array(&self, values: &[ast::Expr]) -> Option<Node> {
        let values = values.iter().map(|value| self.node(value)).collect::<Option<Vec<_>>>()?;
        if values.is_empty() || values.iter().any(|value| value.ty.is_array()) {
            return None;
        }
        let (values, ty) = unified(values)?;
        Some(Node::new(Kind::Array(values), PgType::Array(Box::new(ty.without_modifier()))))
    }

    fn case(
        &self,
        operand: Option<&ast::Expr>,
        conditions: &[ast::CaseWhen],
        otherwise: Option<&ast::Expr>,
    ) -> Option<Node> {
        let operand = match operand {
            Some(operand) => Some(settled(self.node(operand)?)?),
            None => None,
        };
        let mut whens = Vec::with_capacity(conditions.len());
        let null = Node::new(Kind::Constant(None), PgType::Unknown);
        let mut results = vec![match otherwise {
            Some(otherwise) => self.node(otherwise)?,
            None => null,
        }];
        for condition in conditions {
            whens.push(match &operand {
                Some(operand) => {
                    let when = self.node(&condition.condition)?;
                    let equal = self.operator("=", Some(operand.clone()), when)?;
                    let Kind::Operator { right, .. } = equal.kind else { return None };
                    *right
                }
                None => self.boolean(&condition.condition)?,
            });
            results.push(self.node(&condition.result)?);
        }
        let (results, ty) = unified(results)?;
        let mut results = results.into_iter();
        let otherwise = Box::new(results.next()?);
        let branches = whens.into_iter().zip(results).collect();
        Some(Node::new(Kind::Case { operand: operand.map(Box::new), branches, otherwise }, ty))
    }
}

/// The operator for operands of these types: what it takes and gives.
fn chosen_operator(name: &str, types: &[PgType]) -> Option<(Vec<PgType>, PgType)> {
    let name = if name == "!=" { "<>" } else { name };
    let candidates: Vec<Arc<Operator>> = OPERATORS
        .get(name)?
        .iter()
        .filter(|operator| operator.signature.parameters.len() == types.len())
        .cloned()
        .collect();
    match choose_operator(&candidates, types) {
        Choice::One(operator) => operator.signature.resolve(types),
        Choice::None | Choice::Ambiguous => None,
    }
}

fn operator_name(op: &BinaryOperator) -> Option<String> {
    Some(match op {
        BinaryOperator::NotEq => "<>".into(),
        BinaryOperator::PGCustomBinaryOperator(parts) => parts.last().cloned()?,
        BinaryOperator::Custom(name) => name.clone(),
        BinaryOperator::Overlaps | BinaryOperator::Assignment => return None,
        other => other.to_string(),
    })
}

pub(super) fn unnested(expr: &ast::Expr) -> &ast::Expr {
    match expr {
        ast::Expr::Nested(inner) => unnested(inner),
        other => other,
    }
}

fn row(expr: &ast::Expr) -> Option<&[ast::Expr]> {
    match unnested(expr) {
        ast::Expr::Tuple(fields) => Some(fields),
        _ => None,
    }
}

pub(super) fn literal(value: &Value) -> Option<Node> {
    let text = |text: &str| Node::new(Kind::Constant(Some(text.to_owned())), PgType::Unknown);
    Some(match value {
        Value::Number(digits, _) => return number(digits),
        Value::Null => Node::new(Kind::Constant(None), PgType::Unknown),
        Value::Boolean(value) => {
            let letter = if *value { "t" } else { "f" };
            Node::new(Kind::Constant(Some(letter.to_owned())), PgType::Bool)
        }
        Value::SingleQuotedString(value)
        | Value::EscapedStringLiteral(value)
        | Value::UnicodeStringLiteral(value) => text(value),
        Value::DollarQuotedString(value) => text(&value.value),
        _ => return None,
    })
}

/// A number: the smallest of integer, bigint and numeric that holds it.
fn number(digits: &str) -> Option<Node> {
    let constant = |text: String, ty| Some(Node::new(Kind::Constant(Some(text)), ty));
    if let Ok(value) = digits.parse::<i32>() {
        return constant(value.to_string(), PgType::Int4);
    }
    if let Ok(value) = digits.parse::<i64>() {
        return constant(value.to_string(), PgType::Int8);
    }
    let unknown = Node::new(Kind::Constant(Some(digits.to_owned())), PgType::Unknown);
    coerce(unknown, &PgType::Numeric(None), CastKind::Implicit)
}

/// Types alone, as names of types are looked up.
struct Types<'a>(&'a dyn World);

impl CatalogView for Types<'_> {
    fn relation(&self, _: Option<&str>, _: &str) -> Option<Relation> {
        None
    }

    fn table(&self, _: satsuma_common::TableId) -> Option<Arc<TableInfo>> {
        None
    }

    fn sequence(&self, _: Option<&str>, _: &str) -> Option<satsuma_common::SequenceId> {
        None
    }

    fn schema_exists(&self, _: &str) -> bool {
        false
    }

    fn user_type(&self, schema: Option<&str>, name: &str) -> Option<PgType> {
        self.0.user_type(schema, name)
    }

    fn enum_labels(&self, _: satsuma_common::Oid) -> Option<Arc<Vec<String>>> {
        None
    }

    fn oid_name(&self, _: &PgType, _: u32) -> Option<String> {
        None
    }

    fn oid_of(&self, _: &PgType, _: &str) -> Option<u32> {
        None
    }
}
