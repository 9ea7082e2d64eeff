//! `jsonb_to_recordset(..) AS t(id int, tags text[])` and its relatives: functions whose columns
//! stand in the alias.

use datafusion::logical_expr::Expr;
use satsuma_common::{PgType, SqlError, SqlResult, SqlState};
use sqlparser::ast::TableAlias;

use super::binder::Binder;
use super::from::From;
use super::names::fold;
use super::plan;
use super::scope::{Entry, ScopeColumn};
use crate::casts::CastKind;
use crate::functions::{self, Typed};
use crate::operators;

/// Whether the function gives records whose columns its alias defines.
pub(super) fn gives_records(function: &str) -> bool {
    matches!(
        function,
        "json_to_record" | "jsonb_to_record" | "json_to_recordset" | "jsonb_to_recordset"
    )
}

impl Binder<'_> {
    pub fn records_in_from(
        &self,
        function: &str,
        args: Vec<Typed>,
        alias: Option<&TableAlias>,
        position: u32,
    ) -> SqlResult<From> {
        let ty = if function.starts_with("jsonb") { PgType::Jsonb } else { PgType::Json };
        let types: Vec<PgType> = args.iter().map(|arg| arg.ty.clone()).collect();
        let Ok([document]) = <[Typed; 1]>::try_from(args) else {
            return Err(self.at(functions::undefined(function, &types), position));
        };
        let document = self.cast_at(document, &ty, CastKind::Implicit, position)?;
        let defined = alias.filter(|alias| {
            !alias.columns.is_empty() && alias.columns.iter().all(|c| c.data_type.is_some())
        });
        let Some(alias) = defined else {
            return Err(self.at(
                SqlError::new(
                    SqlState::SYNTAX_ERROR,
                    "a column definition list is required for functions returning \"record\"",
                ),
                position,
            ));
        };
        let (plan, value) = if function.ends_with("set") {
            let elements = format!("{}_array_elements", ty.name());
            let set = functions::table(&elements, vec![document], &self.env)
                .map_err(|error| self.at(error, position))?
                .ok_or_else(|| SqlError::internal(format!("{elements} is missing")))?;
            let from = self.set_in_from(&elements, set, None, false)?;
            let column = from.entries[0].columns[0].column.clone();
            (from.plan, Expr::Column(column))
        } else {
            let column = self.fresh("document");
            let (input, document) = self.attach_one(plan::one_row(), document.expr)?;
            let named = vec![document.alias(&column.name)];
            (plan::project(input, named)?, Expr::Column(column))
        };
        let value = Typed::new(value, ty);
        let mut columns = Vec::with_capacity(alias.columns.len());
        let mut exprs = Vec::with_capacity(alias.columns.len());
        for defined in &alias.columns {
            let name = fold(&defined.name);
            let Some(data_type) = &defined.data_type else { continue };
            let ty = self.data_type(data_type)?;
            let column = self.fresh(&name);
            exprs.push(self.json_field(value.clone(), &name, &ty)?.alias(&column.name));
            let typmod = ty.typmod();
            columns.push(ScopeColumn { name, column, ty, origin: None, typmod });
        }
        let plan = plan::project(plan, exprs)?;
        Ok(From::new(plan, vec![Entry::new(fold(&alias.name), columns)]))
    }

    /// A member of a JSON object as a value of type `ty`; NULL where it is missing or null.
    fn json_field(&self, object: Typed, name: &str, ty: &PgType) -> SqlResult<Expr> {
        let text = self.operate("->>", object.clone(), Typed::text(name), 0)?;
        let value = match ty {
            PgType::Json | PgType::Jsonb => self.operate("->", object, Typed::text(name), 0)?,
            PgType::Array(_) => {
                let json = self.operate("->", object, Typed::text(name), 0)?;
                self.call("json_array_literal", vec![json], 0)?
            }
            _ => return Ok(self.cast_at(text, ty, CastKind::Explicit, 0)?.expr),
        };
        let value = self.cast_at(value, ty, CastKind::Explicit, 0)?;
        let null = Typed::null(ty.clone())?;
        let branches = vec![(text.expr.is_null(), null.expr)];
        Ok(operators::case(branches, Some(value.expr), ty.clone()).expr)
    }
}
