//! EXPLAIN and its options.

use satsuma_common::{SqlError, SqlResult, SqlState};
use sqlparser::ast::{
    self, AnalyzeFormat, AnalyzeFormatKind, Expr, Statement, UtilityOption, Value,
};

use super::binder::Binder;
use super::names::fold;
use crate::bound::{Bound, ExplainFormat, ExplainOptions};

impl Binder<'_> {
    pub fn explain(&self, explain: &Statement) -> SqlResult<Bound> {
        let Statement::Explain {
            describe_alias: ast::DescribeAlias::Explain,
            analyze,
            verbose,
            query_plan: false,
            estimate: false,
            statement,
            format,
            options,
        } = explain
        else {
            return Err(SqlError::new(
                SqlState::SYNTAX_ERROR,
                "syntax error in EXPLAIN: a clause that PostgreSQL does not have",
            ));
        };
        let mut bound = ExplainOptions {
            analyze: *analyze,
            verbose: *verbose,
            costs: true,
            timing: *analyze,
            summary: *analyze,
            format: match format {
                None => ExplainFormat::Text,
                Some(
                    AnalyzeFormatKind::Keyword(format) | AnalyzeFormatKind::Assignment(format),
                ) => explain_format(&format.to_string())?,
            },
        };
        if let Some(AnalyzeFormatKind::Keyword(AnalyzeFormat::TRADITIONAL)) = format {
            return Err(unknown_format("traditional"));
        }
        self.explain_options(options.as_deref().unwrap_or(&[]), &mut bound)?;
        // Everything in one plan, to be shown.
        self.keeps_queries.set(false);
        let inner = self.statement(&crate::parse::Statement::Sql(statement.clone()))?;
        match inner {
            Bound::Utility(_) if matches!(statement.as_ref(), Statement::Execute { .. }) => {}
            Bound::Query(_) | Bound::Insert(_) | Bound::Update(_) | Bound::Delete(_) => {}
            Bound::WithChanges { changes, .. }
                if changes.iter().any(|change| matches!(change, Bound::Call(_))) =>
            {
                return Err(SqlError::unsupported(
                    "EXPLAIN is not supported of statements that call functions which act on the \
                     cluster",
                ));
            }
            _ => {
                return Err(SqlError::unsupported(
                    "EXPLAIN is supported for SELECT, INSERT, UPDATE and DELETE only",
                ));
            }
        }
        Ok(Bound::Explain { statement: Box::new(inner), options: bound })
    }

    fn explain_options(
        &self,
        options: &[UtilityOption],
        bound: &mut ExplainOptions,
    ) -> SqlResult<()> {
        let (mut timing, mut summary) = (None, None);
        for option in options {
            let name = fold(&option.name);
            let position = self.ident_position(&option.name);
            let on = || switch(&name, option.arg.as_ref()).map_err(|e| self.at(e, position));
            match name.as_str() {
                "analyze" | "analyse" => bound.analyze = on()?,
                "verbose" => bound.verbose = on()?,
                "costs" => bound.costs = on()?,
                "timing" => timing = Some(on()?),
                "summary" => summary = Some(on()?),
                // Nothing of ours to show, but clients ask for them.
                "buffers" | "settings" | "wal" | "generic_plan" => {
                    on()?;
                }
                "format" => {
                    let format = option.arg.as_ref().map(word).unwrap_or_default();
                    bound.format = explain_format(&format)?;
                }
                _ => {
                    return Err(self.at(
                        SqlError::new(
                            SqlState::SYNTAX_ERROR,
                            format!("unrecognized EXPLAIN option \"{name}\""),
                        ),
                        position,
                    ));
                }
            }
        }
        if timing == Some(true) && !bound.analyze {
            return Err(SqlError::new(
                SqlState::INVALID_PARAMETER_VALUE,
                "EXPLAIN option TIMING requires ANALYZE",
            ));
        }
        bound.timing = timing.unwrap_or(bound.analyze);
        bound.summary = summary.unwrap_or(bound.analyze);
        Ok(())
    }
}

fn explain_format(name: &str) -> SqlResult<ExplainFormat> {
    match name.to_ascii_lowercase().as_str() {
        "text" => Ok(ExplainFormat::Text),
        "json" => Ok(ExplainFormat::Json),
        "yaml" => Ok(ExplainFormat::Yaml),
        "xml" => Ok(ExplainFormat::Xml),
        _ => Err(unknown_format(name)),
    }
}

fn unknown_format(name: &str) -> SqlError {
    SqlError::new(
        SqlState::INVALID_PARAMETER_VALUE,
        format!("unrecognized value for EXPLAIN option \"format\": \"{name}\""),
    )
}

fn switch(name: &str, arg: Option<&Expr>) -> SqlResult<bool> {
    let Some(arg) = arg else { return Ok(true) };
    match word(arg).as_str() {
        "true" | "on" | "1" => Ok(true),
        "false" | "off" | "0" => Ok(false),
        _ => Err(SqlError::new(SqlState::SYNTAX_ERROR, format!("{name} requires a Boolean value"))),
    }
}

/// An option's value as a lower-case word.
fn word(arg: &Expr) -> String {
    match arg {
        Expr::Identifier(ident) => fold(ident),
        Expr::Value(value) => match &value.value {
            Value::SingleQuotedString(text) => text.to_lowercase(),
            other => other.to_string().to_lowercase(),
        },
        other => other.to_string().to_lowercase(),
    }
}
