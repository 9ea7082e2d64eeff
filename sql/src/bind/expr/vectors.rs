//! int2vector and oidvector, as columns of the catalogs are: arrays to all expressions, except that
//! they count from 0 and that their text has blanks between the numbers.

use datafusion::logical_expr::Expr;
use satsuma_common::{PgType, SqlResult};

use super::{Binder, Context};
use crate::bound::VECTOR;
use crate::functions::Typed;
use crate::operators;

impl Binder<'_> {
    pub fn is_vector(&self, value: &Typed, cx: Context<'_>) -> bool {
        let (Expr::Column(column) | Expr::OuterReferenceColumn(_, column)) = &value.expr else {
            return false;
        };
        value.ty.is_array()
            && cx.scope.of_plan_column(column).is_some_and(|column| column.typmod == VECTOR)
    }

    /// A subscript of a vector as that of an array.
    pub fn subscript_of_vector(&self, subscript: Typed, position: u32) -> SqlResult<Typed> {
        self.operate("+", subscript, Typed::int4(1), position)
    }

    /// A function that answers with subscripts, called with a vector; `None`: another call.
    pub fn call_with_vector(
        &self,
        name: &str,
        args: &[Typed],
        cx: Context<'_>,
        position: u32,
    ) -> SqlResult<Option<Typed>> {
        let answers = matches!(name, "array_lower" | "array_upper" | "array_position");
        if !answers || !args.first().is_some_and(|value| self.is_vector(value, cx)) {
            return Ok(None);
        }
        let found = self.call(name, args.to_vec(), position)?;
        self.operate("-", found, Typed::int4(1), position).map(Some)
    }

    /// `generate_subscripts(vector, 1)` as a series of numbers: its name and arguments. There is
    /// no other dimension.
    pub fn series_over_vector<'n>(
        &self,
        name: &'n str,
        args: Vec<Typed>,
        cx: Context<'_>,
        position: u32,
    ) -> SqlResult<(&'n str, Vec<Typed>)> {
        match args.as_slice() {
            [vector, dimension] if name == "generate_subscripts" && self.is_vector(vector, cx) => {
                let count = self.call("cardinality", vec![vector.clone()], position)?;
                let last = self.operate("-", count, Typed::int4(1), position)?;
                let first = self.operate("=", dimension.clone(), Typed::int4(1), position)?;
                let none = Typed::int4(-1).expr;
                let last = operators::case(vec![(first.expr, last.expr)], Some(none), last.ty);
                Ok(("generate_series", vec![Typed::int4(0), last]))
            }
            _ => Ok((name, args)),
        }
    }

    /// A vector as text, where that is what it is cast to.
    pub fn text_of_vector(
        &self,
        value: Typed,
        to: &PgType,
        cx: Context<'_>,
        position: u32,
    ) -> SqlResult<Typed> {
        match to.is_string() && self.is_vector(&value, cx) {
            true => {
                self.call("array_to_string", vec![value, Typed::text(" ".to_owned())], position)
            }
            false => Ok(value),
        }
    }
}
