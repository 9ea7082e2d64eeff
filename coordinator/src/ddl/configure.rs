//! What sessions start with: ALTER SYSTEM, ALTER DATABASE .. SET, and the SET of ALTER ROLE.

use satsuma_common::{SqlError, SqlResult, SqlState};
use satsuma_sql::parse::Configure;
use sqlparser::ast;

use super::{Ddl, names};
use crate::catalog::{Command, SettingScope, is_superuser};
use crate::session::settings;

/// Answers with the command tag.
pub fn configure(ddl: &mut Ddl<'_>, statement: &Configure) -> SqlResult<&'static str> {
    let is_superuser = is_superuser(&ddl.state(), ddl.snapshot.user);
    let Some(database) = &statement.database else {
        if !is_superuser {
            return Err(denied(match parts(&statement.change)? {
                (Some(setting), _) => {
                    format!(
                        "permission denied to set parameter \"{}\"",
                        settings::setting_name(setting)
                    )
                }
                (None, _) => "permission denied to perform ALTER SYSTEM RESET ALL".to_owned(),
            }));
        }
        change(ddl, &SettingScope::System, &statement.change)?;
        return Ok("ALTER SYSTEM");
    };
    let database = names::fold(database);
    check_database(ddl, &database)?;
    if !is_superuser {
        return Err(denied(format!("must be owner of database {database}")));
    }
    change(ddl, &SettingScope::Database, &statement.change)?;
    Ok("ALTER DATABASE")
}

pub fn check_database(ddl: &mut Ddl<'_>, name: &str) -> SqlResult<()> {
    if name == ddl.state().cluster().database {
        return Ok(());
    }
    Err(SqlError::new(
        SqlState::INVALID_CATALOG_NAME,
        format!("database \"{name}\" does not exist"),
    ))
}

fn denied(message: impl Into<String>) -> SqlError {
    SqlError::new(SqlState::INSUFFICIENT_PRIVILEGE, message)
}

/// SET or RESET of the settings of a scope.
pub fn change(
    ddl: &mut Ddl<'_>,
    scope: &SettingScope,
    operation: &ast::AlterRoleOperation,
) -> SqlResult<()> {
    let (setting, value) = parts(operation)?;
    let Some(setting) = setting else { return reset_all(ddl, scope) };
    let setting = settings::setting_name(setting);
    let value = match value {
        Some(value) => {
            let is_list = setting.eq_ignore_ascii_case("search_path");
            let value = settings::setting_text(value, is_list);
            match scope {
                SettingScope::System => settings::checked_of_system(&setting, &value)?,
                _ => settings::checked(&setting, &value)?,
            };
            Some(value)
        }
        None => {
            settings::known(&setting)?;
            None
        }
    };
    let name = settings::canonical(&setting);
    ddl.apply(Command::SetSetting { scope: scope.clone(), name, value })?;
    Ok(())
}

/// The setting and its value. No setting: all of them; no value: no longer.
fn parts(
    operation: &ast::AlterRoleOperation,
) -> SqlResult<(Option<&ast::ObjectName>, Option<&ast::Expr>)> {
    match operation {
        ast::AlterRoleOperation::Set { config_name, config_value, .. } => match config_value {
            ast::SetConfigValue::Value(value) => Ok((Some(config_name), Some(value))),
            ast::SetConfigValue::Default => Ok((Some(config_name), None)),
            ast::SetConfigValue::FromCurrent => {
                Err(SqlError::unsupported("SET .. FROM CURRENT is not supported"))
            }
        },
        ast::AlterRoleOperation::Reset { config_name, .. } => match config_name {
            ast::ResetConfig::ALL => Ok((None, None)),
            ast::ResetConfig::ConfigName(name) => Ok((Some(name), None)),
        },
        other => Err(SqlError::internal(format!("{other} changes no setting"))),
    }
}

fn reset_all(ddl: &mut Ddl<'_>, scope: &SettingScope) -> SqlResult<()> {
    let state = ddl.state();
    let own = state.settings().filter(|(of, ..)| *of == scope);
    for name in own.map(|(_, name, _)| name.to_owned()).collect::<Vec<_>>() {
        ddl.apply(Command::SetSetting { scope: scope.clone(), name, value: None })?;
    }
    Ok(())
}
