//! An expression with its PostgreSQL type.

use datafusion::common::ScalarValue;
use datafusion::common::metadata::FieldMetadata;
use datafusion::logical_expr::Expr;
use satsuma_common::numeric::Numeric;
use satsuma_common::{Datum, NumericMod, PgType, SqlResult, arrow_types};

use super::columns;

/// The expression's Arrow type is `arrow_types::data_type(&ty)`. An untyped literal or parameter
/// has type Unknown: the literal is a string (or NULL), the parameter a placeholder without field.
#[derive(Clone, Debug, PartialEq)]
pub struct Typed {
    pub expr: Expr,
    pub ty: PgType,
}

impl Typed {
    pub fn new(expr: Expr, ty: PgType) -> Self {
        Self { expr, ty }
    }

    /// An untyped string literal.
    pub fn unknown(text: impl Into<String>) -> Self {
        Self::new(Expr::Literal(ScalarValue::Utf8View(Some(text.into())), None), PgType::Unknown)
    }

    /// An untyped NULL.
    pub fn unknown_null() -> Self {
        Self::new(Expr::Literal(ScalarValue::Utf8View(None), None), PgType::Unknown)
    }

    /// A constant.
    pub fn constant(value: Datum, ty: PgType) -> SqlResult<Self> {
        let scalar = columns::to_scalar(&ty, value)?;
        Ok(Self::new(literal(scalar, &ty), ty))
    }

    pub fn null(ty: PgType) -> SqlResult<Self> {
        Self::constant(Datum::Null, ty)
    }

    pub fn bool(expr: Expr) -> Self {
        Self::new(expr, PgType::Bool)
    }

    pub fn int4(value: i32) -> Self {
        Self::new(Expr::Literal(ScalarValue::Int32(Some(value)), None), PgType::Int4)
    }

    pub fn text(value: impl Into<String>) -> Self {
        Self::new(Expr::Literal(ScalarValue::Utf8View(Some(value.into())), None), PgType::Text)
    }

    /// A number as written in SQL: integer, bigint or numeric by its size and form. Numerics of
    /// up to 38 digits are of type numeric(p,s), so that arithmetic on them stays in Decimal128.
    pub fn number(text: &str) -> SqlResult<Self> {
        if let Ok(value) = text.parse::<i32>() {
            return Ok(Self::int4(value));
        }
        if let Ok(value) = text.parse::<i64>() {
            let expr = Expr::Literal(ScalarValue::Int64(Some(value)), None);
            return Ok(Self::new(expr, PgType::Int8));
        }
        let value = Numeric::parse(text)?;
        let ty = PgType::Numeric(decimal_modifier(&value));
        Self::constant(Datum::Numeric(value), ty)
    }

    /// The value of a constant expression.
    pub fn as_constant(&self) -> Option<SqlResult<Datum>> {
        match &self.expr {
            Expr::Literal(scalar, _) => Some(columns::from_scalar(&self.ty, scalar)),
            _ => None,
        }
    }

    pub fn is_null_constant(&self) -> bool {
        matches!(&self.expr, Expr::Literal(scalar, _) if scalar.is_null())
    }
}

/// The narrowest `numeric(p,s)` held as Decimal128 that has the value with its display scale.
pub fn decimal_modifier(value: &Numeric) -> Option<NumericMod> {
    let scale = value.scale()?;
    let coefficient = value.to_i128(i32::try_from(scale).ok()?)?;
    let digits = coefficient.unsigned_abs().checked_ilog10().map_or(1, |log| log + 1);
    let precision = digits.max(scale).max(1);
    (precision <= 38).then_some(NumericMod { precision: precision as u16, scale: scale as i16 })
}

/// A literal that carries its type's metadata where Arrow's type alone does not tell it.
pub fn literal(scalar: ScalarValue, ty: &PgType) -> Expr {
    let tells = arrow_types::pg_type_of(&scalar.data_type()) == *ty;
    let metadata =
        (!tells).then(|| FieldMetadata::new(arrow_types::metadata(ty).into_iter().collect()));
    Expr::Literal(scalar, metadata)
}
