//! SET: settings, the session's user and role, what transactions are like.

use satsuma_common::{SqlError, SqlResult, SqlState};
use sqlparser::ast;

use super::settings::{setting_name, setting_text};
use super::{ClusterSession, serializable};
use crate::session_api::{ExecuteOptions, Execution, Notice};

impl ClusterSession {
    /// SET LOCAL lasts as long as its transaction, if that is the statement alone.
    async fn set_local(&mut self, options: &ExecuteOptions) -> SqlResult<()> {
        if !self.in_block() && !options.one_of_several {
            self.notice(Notice::warning(
                SqlState::NO_ACTIVE_SQL_TRANSACTION,
                "SET LOCAL can only be used in transaction blocks",
            ));
        }
        self.open_transaction()
    }

    pub(super) async fn set(
        &mut self,
        set: &ast::Set,
        options: &ExecuteOptions,
    ) -> SqlResult<Execution> {
        if is_local(set) {
            self.set_local(options).await?;
        }
        match set {
            ast::Set::SingleAssignment { scope, variable, values, .. } => {
                let local = matches!(scope, Some(ast::ContextModifier::Local));
                self.set_one(&setting_name(variable), values, local)?;
            }
            ast::Set::SetTimeZone { local, value: ast::Expr::Interval(interval) } => {
                let zone = zone_of_interval(interval)?;
                let zone = ast::Expr::Value(ast::Value::SingleQuotedString(zone).into());
                self.set_one("TimeZone", &[zone], *local)?;
            }
            ast::Set::SetTimeZone { local, value } => {
                self.set_one("TimeZone", std::slice::from_ref(value), *local)?;
            }
            ast::Set::SetNames { charset_name, .. } => {
                self.settings.set("client_encoding", &charset_name.value, false)?;
            }
            ast::Set::SetNamesDefault {} => self.settings.reset("client_encoding")?,
            ast::Set::SetRole { role_name, context_modifier } => {
                if matches!(context_modifier, Some(ast::ContextModifier::Local)) {
                    self.role_before.local = true;
                }
                let role = match role_name {
                    None => self.info.user.clone(),
                    Some(name) if name.value.eq_ignore_ascii_case("none") => self.info.user.clone(),
                    Some(name) => satsuma_sql::bind::fold(name),
                };
                self.set_role(role)?;
            }
            ast::Set::SetTransaction { modes, session: true, .. } => {
                for mode in modes {
                    let (name, value) = match mode {
                        ast::TransactionMode::AccessMode(access) => (
                            "default_transaction_read_only",
                            if *access == ast::TransactionAccessMode::ReadOnly {
                                "on".to_owned()
                            } else {
                                "off".to_owned()
                            },
                        ),
                        ast::TransactionMode::IsolationLevel(
                            ast::TransactionIsolationLevel::Serializable,
                        ) => return Err(serializable()),
                        ast::TransactionMode::IsolationLevel(level) => {
                            ("default_transaction_isolation", level.to_string().to_lowercase())
                        }
                    };
                    self.settings.set(name, &value, false)?;
                }
            }
            ast::Set::SetTransaction { snapshot: Some(_), .. } => {
                return Err(SqlError::unsupported("snapshots cannot be exported and imported"));
            }
            ast::Set::SetTransaction { modes, .. } => {
                if !self.in_block() {
                    self.notice(Notice::warning(
                        SqlState::NO_ACTIVE_SQL_TRANSACTION,
                        "SET TRANSACTION can only be used in transaction blocks",
                    ));
                } else {
                    self.transaction_modes(modes)?;
                }
            }
            ast::Set::SetSessionAuthorization(param) => {
                if matches!(param.scope, ast::ContextModifier::Local) {
                    self.role_before.local = true;
                }
                let user = match &param.kind {
                    ast::SetSessionAuthorizationParamKind::Default => self.authenticated.clone(),
                    ast::SetSessionAuthorizationParamKind::User(name) => {
                        satsuma_sql::bind::fold(name)
                    }
                };
                self.set_session_user(user)?;
            }
            other => {
                return Err(SqlError::unsupported(format!("{other} is not supported")));
            }
        }
        Ok(Execution::Command("SET".into()))
    }

    fn set_session_user(&mut self, user: String) -> SqlResult<()> {
        let state = self.state();
        if state.role_by_name(&user).is_none() {
            return Err(SqlError::new(
                SqlState::INVALID_PARAMETER_VALUE,
                format!("role \"{user}\" does not exist"),
            ));
        }
        let authenticated = state.role_by_name(&self.authenticated);
        if user != self.authenticated && !authenticated.is_some_and(|role| role.superuser) {
            return Err(SqlError::new(
                SqlState::INSUFFICIENT_PRIVILEGE,
                "permission denied to set session authorization",
            ));
        }
        self.become_user(user);
        Ok(())
    }

    /// The session's user from now on, who is its role, too.
    pub(super) fn become_user(&mut self, user: String) {
        let is_superuser = self.state().role_by_name(&user).is_some_and(|role| role.superuser);
        self.settings.fix("is_superuser", if is_superuser { "on" } else { "off" });
        self.settings.fix("session_authorization", &user);
        self.role.clone_from(&user);
        self.info.user = user;
        self.settings.rename();
    }

    fn set_role(&mut self, role: String) -> SqlResult<()> {
        let state = self.state();
        if state.role_by_name(&role).is_none() {
            return Err(SqlError::new(
                SqlState::INVALID_PARAMETER_VALUE,
                format!("role \"{role}\" does not exist"),
            ));
        }
        let may = match (state.role_by_name(&self.info.user), state.role_by_name(&role)) {
            (Some(session), Some(role)) => crate::catalog::is_member(&state, session.oid, role.oid),
            _ => false,
        };
        if !may {
            return Err(SqlError::new(
                SqlState::INSUFFICIENT_PRIVILEGE,
                format!("permission denied to set role \"{role}\""),
            ));
        }
        self.role = role;
        self.settings.rename();
        Ok(())
    }

    pub(super) fn restore_role(&mut self) {
        self.role = self.info.user.clone();
        self.settings.rename();
    }

    fn set_one(&mut self, name: &str, values: &[ast::Expr], local: bool) -> SqlResult<()> {
        if let [ast::Expr::Identifier(ident)] = values
            && ident.quote_style.is_none()
            && ident.value.eq_ignore_ascii_case("default")
        {
            if name.eq_ignore_ascii_case("session_authorization") {
                self.become_user(self.authenticated.clone());
                return Ok(());
            }
            return match local {
                true => self.settings.reset_locally(name),
                false => self.settings.reset(name),
            };
        }
        let is_list = name.eq_ignore_ascii_case("search_path");
        let texts: Vec<String> = values.iter().map(|value| setting_text(value, is_list)).collect();
        self.set_value(name, texts.join(", "), local)
    }

    /// SET, or `set_config`, of one setting.
    pub(super) fn set_value(&mut self, name: &str, value: String, local: bool) -> SqlResult<()> {
        match name.to_ascii_lowercase().as_str() {
            "role" => return self.set_role(value),
            "session_authorization" => return self.set_session_user(value),
            "transaction_isolation" if value.eq_ignore_ascii_case("serializable") => {
                return Err(serializable());
            }
            "default_transaction_isolation" if value.eq_ignore_ascii_case("serializable") => {
                return Err(serializable());
            }
            "transaction_isolation" if self.in_block() => {
                let level = if value.eq_ignore_ascii_case("repeatable read") {
                    ast::TransactionIsolationLevel::RepeatableRead
                } else {
                    ast::TransactionIsolationLevel::ReadCommitted
                };
                return self.transaction_modes(&[ast::TransactionMode::IsolationLevel(level)]);
            }
            "timezone" if value.eq_ignore_ascii_case("local") => {
                return self.settings.reset("TimeZone");
            }
            "transaction_read_only" => {
                let read_only = matches!(value.as_str(), "on" | "true" | "1");
                if let Some(txn) = self.txn.as_mut() {
                    txn.set_read_only(read_only)?;
                }
            }
            _ => {}
        }
        self.settings.set(name, &value, local)
    }
}

fn is_local(set: &ast::Set) -> bool {
    let is_local =
        |scope: &Option<ast::ContextModifier>| matches!(scope, Some(ast::ContextModifier::Local));
    match set {
        ast::Set::SingleAssignment { scope, .. } => is_local(scope),
        ast::Set::SetTimeZone { local, .. } => *local,
        ast::Set::SetRole { context_modifier, .. } => is_local(context_modifier),
        ast::Set::SetSessionAuthorization(param) => {
            matches!(param.scope, ast::ContextModifier::Local)
        }
        _ => false,
    }
}

/// `SET TIME ZONE INTERVAL '+05:30' HOUR TO MINUTE`: a time zone that far east of UTC.
fn zone_of_interval(interval: &ast::Interval) -> SqlResult<String> {
    use satsuma_common::datetime::{TimeZone, parse_interval};
    let ast::Expr::Value(value) = interval.value.as_ref() else {
        return Err(SqlError::new(SqlState::SYNTAX_ERROR, "syntax error in SET TIME ZONE"));
    };
    let mut text = value.value.clone().into_string().unwrap_or_default();
    match (&interval.leading_field, &interval.last_field) {
        (None, None) => {}
        (Some(ast::DateTimeField::Hour), None) => {
            if text.trim().parse::<f64>().is_ok() {
                text.push_str(" hours");
            }
        }
        (Some(ast::DateTimeField::Hour), Some(ast::DateTimeField::Minute)) => {}
        _ => {
            return Err(SqlError::new(
                SqlState::SYNTAX_ERROR,
                "time zone interval must be HOUR or HOUR TO MINUTE",
            ));
        }
    }
    let parsed = parse_interval(&text)?;
    let unit = match (parsed.months, parsed.days) {
        (0, 0) => {
            let seconds = i32::try_from(parsed.micros / 1_000_000).unwrap_or(i32::MAX);
            return Ok(TimeZone::Fixed(seconds).to_string());
        }
        (0, _) => "days",
        _ => "months",
    };
    Err(SqlError::new(
        SqlState::INVALID_PARAMETER_VALUE,
        format!("invalid value for parameter \"TimeZone\": \"INTERVAL '{text}'\""),
    )
    .detail(format!("Cannot specify {unit} in time zone interval.")))
}
