//! CREATE, ALTER and DROP ROLE. Passwords become SCRAM verifiers before they reach the catalog.
//! VALID UNTIL ends the use of a role's password.

use satsuma_common::{Datum, PgType, SqlError, SqlResult, SqlState};
use satsuma_sql::casts;
use sqlparser::ast;

use super::{Ddl, configure, names};
use crate::auth::Verifier;
use crate::catalog::{Command, Role, SUPERUSER_OID, SettingScope};
use crate::session_api::Notice;

pub async fn create_role(ddl: &mut Ddl<'_>, create: &ast::CreateRole) -> SqlResult<()> {
    let [name] = create.names.as_slice() else {
        return Err(SqlError::new(SqlState::SYNTAX_ERROR, "syntax error at or near \",\""));
    };
    if create.if_not_exists {
        return Err(SqlError::new(SqlState::SYNTAX_ERROR, "syntax error at or near \"NOT\""));
    }
    let name = names::split(name)?.1;
    check_name(&name)?;
    let current = current_role(ddl)?;
    let mut role = Role::new(ddl.oid().await?, name);
    for option in options(create) {
        apply_option(ddl, &mut role, &option)?;
    }
    if !current.superuser {
        let superuser_only = [
            (role.superuser, "superusers"),
            (role.replication, "replication users"),
            (role.bypass_rls, "bypassrls users"),
        ];
        if let Some((_, what)) = superuser_only.iter().find(|(asked, _)| *asked) {
            return Err(denied(format!("must be superuser to create {what}")));
        }
        if !current.create_role {
            return Err(denied("permission denied to create role"));
        }
    }
    for group in create.in_role.iter().chain(&create.in_group) {
        let group = find(ddl, &names::fold(group))?;
        role.member_of.push((group.oid, false));
    }
    let oid = role.oid;
    ddl.apply(Command::CreateRole(role))?;
    let members = create.role.iter().chain(&create.user).map(|member| (member, false));
    for (member, admin) in members.chain(create.admin.iter().map(|member| (member, true))) {
        let mut member = find(ddl, &names::fold(member))?;
        member.member_of.push((oid, admin));
        ddl.apply(Command::AlterRole(member))?;
    }
    Ok(())
}

/// The options of CREATE ROLE in the form of ALTER ROLE.
fn options(create: &ast::CreateRole) -> Vec<ast::RoleOption> {
    [
        create.superuser.map(ast::RoleOption::SuperUser),
        create.create_db.map(ast::RoleOption::CreateDB),
        create.create_role.map(ast::RoleOption::CreateRole),
        create.inherit.map(ast::RoleOption::Inherit),
        create.login.map(ast::RoleOption::Login),
        create.replication.map(ast::RoleOption::Replication),
        create.bypassrls.map(ast::RoleOption::BypassRLS),
        create.connection_limit.clone().map(ast::RoleOption::ConnectionLimit),
        create.password.clone().map(ast::RoleOption::Password),
        create.valid_until.clone().map(ast::RoleOption::ValidUntil),
    ]
    .into_iter()
    .flatten()
    .collect()
}

pub fn alter_role(
    ddl: &mut Ddl<'_>,
    name: &ast::Ident,
    operation: &ast::AlterRoleOperation,
) -> SqlResult<()> {
    let options = match operation {
        ast::AlterRoleOperation::WithOptions { options } => options,
        ast::AlterRoleOperation::Set { in_database, .. }
        | ast::AlterRoleOperation::Reset { in_database, .. } => {
            let scope = scope(ddl, name, in_database.as_ref())?;
            return configure::change(ddl, &scope, operation);
        }
        ast::AlterRoleOperation::RenameRole { role_name } => {
            return rename_role(ddl, &names::fold(name), &names::fold(role_name));
        }
        other => {
            return Err(SqlError::unsupported(format!("ALTER ROLE {other} is not supported")));
        }
    };
    let current = current_role(ddl)?;
    let name = match names::fold(name) {
        name if is_current(&name) => current.name.clone(),
        name => name,
    };
    let mut role = find(ddl, &name)?;
    let superuser_only = |option: &ast::RoleOption| {
        matches!(
            option,
            ast::RoleOption::SuperUser(_)
                | ast::RoleOption::Replication(_)
                | ast::RoleOption::BypassRLS(_)
        )
    };
    if !current.superuser {
        if role.superuser || options.iter().any(superuser_only) {
            return Err(denied(
                "must be superuser to alter superuser roles or change superuser attribute",
            ));
        }
        let own_password = role.oid == current.oid
            && options.iter().all(|option| matches!(option, ast::RoleOption::Password(_)));
        if !current.create_role && !own_password {
            return Err(denied("permission denied"));
        }
    }
    for option in options {
        apply_option(ddl, &mut role, option)?;
    }
    if role.oid == SUPERUSER_OID && !role.superuser {
        return Err(SqlError::unsupported("permission denied to alter role")
            .detail("The bootstrap user must have the SUPERUSER attribute."));
    }
    ddl.apply(Command::AlterRole(role))?;
    Ok(())
}

fn rename_role(ddl: &mut Ddl<'_>, name: &str, to: &str) -> SqlResult<()> {
    let current = current_role(ddl)?;
    let mut role = find(ddl, name)?;
    if role.name == ddl.env.identity.session_user {
        return Err(SqlError::unsupported("session user cannot be renamed"));
    }
    if role.oid == current.oid {
        return Err(SqlError::unsupported("current user cannot be renamed"));
    }
    check_name(to)?;
    if ddl.state().role_by_name(to).is_some() {
        return Err(SqlError::new(
            SqlState::DUPLICATE_OBJECT,
            format!("role \"{to}\" already exists"),
        ));
    }
    if role.superuser && !current.superuser {
        return Err(denied("must be superuser to rename superusers"));
    }
    if !current.superuser && !current.create_role {
        return Err(denied("permission denied to rename role"));
    }
    to.clone_into(&mut role.name);
    ddl.apply(Command::AlterRole(role))?;
    Ok(())
}

/// Which sessions start with the settings of a role.
fn scope(
    ddl: &mut Ddl<'_>,
    name: &ast::Ident,
    database: Option<&ast::ObjectName>,
) -> SqlResult<SettingScope> {
    let current = current_role(ddl)?;
    let name = match names::fold(name) {
        name if is_current(&name) => current.name.clone(),
        name => name,
    };
    let role = find(ddl, &name)?;
    let allowed = role.oid == current.oid || current.create_role && !role.superuser;
    if !current.superuser && !allowed {
        return Err(denied("permission denied"));
    }
    let Some(database) = database else { return Ok(SettingScope::Role(role.oid)) };
    configure::check_database(ddl, &names::split(database)?.1)?;
    Ok(SettingScope::RoleInDatabase(role.oid))
}

pub fn drop_roles(ddl: &mut Ddl<'_>, roles: &[ast::ObjectName], if_exists: bool) -> SqlResult<()> {
    let current = current_role(ddl)?;
    if !current.superuser && !current.create_role {
        return Err(denied("permission denied to drop role"));
    }
    for name in roles {
        let name = names::split(name)?.1;
        let role = match find(ddl, &name) {
            Ok(role) => role,
            Err(error) if if_exists && error.state() == SqlState::UNDEFINED_OBJECT => {
                ddl.notice(format!("role \"{name}\" does not exist, skipping"));
                continue;
            }
            Err(error) => return Err(error),
        };
        if role.oid == current.oid || role.name == ddl.env.identity.session_user {
            return Err(SqlError::new(SqlState::OBJECT_IN_USE, "current user cannot be dropped"));
        }
        if role.superuser && !current.superuser {
            return Err(denied("must be superuser to drop superusers"));
        }
        ddl.apply(Command::DropRole { oid: role.oid })?;
    }
    Ok(())
}

pub(super) fn find(ddl: &mut Ddl<'_>, name: &str) -> SqlResult<Role> {
    ddl.state().role_by_name(name).cloned().ok_or_else(|| {
        SqlError::new(SqlState::UNDEFINED_OBJECT, format!("role \"{name}\" does not exist"))
    })
}

/// The role that the statement runs as.
pub(super) fn current_role(ddl: &mut Ddl<'_>) -> SqlResult<Role> {
    let user = ddl.snapshot.user;
    let role = ddl.state().role(user).cloned();
    role.ok_or_else(|| denied("the current role does not exist any more"))
}

fn is_current(name: &str) -> bool {
    matches!(name, "current_user" | "current_role" | "session_user")
}

fn denied(message: impl Into<String>) -> SqlError {
    SqlError::new(SqlState::INSUFFICIENT_PRIVILEGE, message)
}

fn check_name(name: &str) -> SqlResult<()> {
    let reserved =
        || SqlError::new(SqlState::RESERVED_NAME, format!("role name \"{name}\" is reserved"));
    if name.starts_with("pg_") {
        return Err(reserved().detail("Role names starting with \"pg_\" are reserved."));
    }
    if name == "public" || name == "none" || is_current(name) {
        return Err(reserved());
    }
    Ok(())
}

fn apply_option(ddl: &mut Ddl<'_>, role: &mut Role, option: &ast::RoleOption) -> SqlResult<()> {
    match option {
        ast::RoleOption::SuperUser(is) => role.superuser = *is,
        ast::RoleOption::CreateDB(is) => role.create_db = *is,
        ast::RoleOption::CreateRole(is) => role.create_role = *is,
        ast::RoleOption::Inherit(is) => role.inherit = *is,
        ast::RoleOption::Login(is) => role.login = *is,
        ast::RoleOption::Replication(is) => role.replication = *is,
        ast::RoleOption::BypassRLS(is) => role.bypass_rls = *is,
        ast::RoleOption::Password(ast::Password::NullPassword) => role.verifier = None,
        ast::RoleOption::Password(ast::Password::Password(expr)) => {
            let password = text(expr)?;
            if password.is_empty() {
                ddl.notices
                    .push(Notice::plain("empty string is not a valid password, clearing password"));
            }
            role.verifier = verifier(&password)?;
        }
        ast::RoleOption::ConnectionLimit(limit) => {
            let limit = limit.to_string();
            role.connection_limit =
                limit.parse().ok().filter(|limit| *limit >= -1).ok_or_else(|| {
                    SqlError::new(
                        SqlState::INVALID_PARAMETER_VALUE,
                        format!("invalid connection limit: {limit}"),
                    )
                })?;
        }
        ast::RoleOption::ValidUntil(moment) => {
            let context = ddl.env.settings.context();
            let moment = casts::text::input(&text(moment)?, &PgType::Timestamptz, &context)?;
            role.valid_until = match moment {
                Datum::Timestamp(moment) => Some(moment),
                _ => None,
            };
        }
    }
    Ok(())
}

fn text(expr: &ast::Expr) -> SqlResult<String> {
    let text = match expr {
        ast::Expr::Value(value) => value.clone().value.into_string(),
        _ => None,
    };
    text.ok_or_else(|| SqlError::new(SqlState::SYNTAX_ERROR, "a password must be a string"))
}

/// What is stored for a password: nothing for an empty one, a verifier as it is.
fn verifier(password: &str) -> SqlResult<Option<String>> {
    if password.is_empty() {
        return Ok(None);
    }
    if password.starts_with("SCRAM-SHA-256$") {
        let verifier: Verifier = password.parse()?;
        return Ok(Some(verifier.to_string()));
    }
    let is_md5 = password.strip_prefix("md5").is_some_and(|digest| {
        digest.len() == 32 && digest.bytes().all(|byte| byte.is_ascii_hexdigit())
    });
    if is_md5 {
        return Err(SqlError::unsupported("MD5 passwords are not supported")
            .hint("Give the password itself, or a SCRAM-SHA-256 verifier."));
    }
    Ok(Some(Verifier::from_password(password).to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_stored_as_a_verifier_only() {
        let stored = verifier("secret").unwrap().unwrap();
        assert!(stored.starts_with("SCRAM-SHA-256$") && !stored.contains("secret"));
        assert!(stored.parse::<Verifier>().unwrap().matches("secret"));
        assert_eq!(verifier(&stored).unwrap(), Some(stored));
        assert_eq!(verifier("").unwrap(), None);
        assert!(verifier("md5d41d8cd98f00b204e9800998ecf8427e").is_err());
    }

    #[test]
    fn names_of_the_system_are_reserved() {
        assert!(check_name("pg_reader").is_err());
        assert!(check_name("public").is_err());
        assert!(check_name("reader").is_ok());
    }
}
