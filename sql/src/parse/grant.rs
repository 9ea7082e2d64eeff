//! GRANT and REVOKE.

use satsuma_common::SqlResult;
use sqlparser::ast::{Ident, ObjectName};
use sqlparser::keywords::Keyword;
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::{Token, TokenWithSpan};

use super::command::{expect, take};
use super::tokens::is_word;
use super::{Source, with_parser};

#[derive(Clone, Debug)]
pub struct Grant {
    pub revoke: bool,
    pub what: Granted,
    pub grantees: Vec<Ident>,
    /// WITH GRANT OPTION or ADMIN OPTION; of REVOKE, only the option is taken away.
    pub option: bool,
    pub granted_by: Option<Ident>,
    pub cascade: bool,
    /// ALTER GROUP .. ADD USER and DROP USER.
    pub of_group: bool,
}

#[derive(Clone, Debug)]
pub enum Granted {
    /// Membership.
    Roles(Vec<Ident>),
    Privileges {
        /// `None` is ALL.
        privileges: Option<Vec<Privilege>>,
        target: GrantTarget,
    },
}

#[derive(Clone, Debug)]
pub struct Privilege {
    /// Lower case.
    pub name: String,
    pub columns: Vec<Ident>,
}

#[derive(Clone, Debug)]
pub enum GrantTarget {
    Tables(Vec<ObjectName>),
    Sequences(Vec<ObjectName>),
    Schemas(Vec<Ident>),
    Databases(Vec<Ident>),
    Types(Vec<ObjectName>),
    AllTables(Vec<Ident>),
    AllSequences(Vec<Ident>),
    /// Objects that the roles will make, in the schemas or in all: ALTER DEFAULT PRIVILEGES.
    Defaults {
        of: NewObjects,
        roles: Vec<Ident>,
        schemas: Vec<Ident>,
    },
    /// What PostgreSQL knows and this does not.
    Unsupported(&'static str),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NewObjects {
    Tables,
    Sequences,
    Functions,
    Types,
    Schemas,
}

impl Grant {
    pub fn is_of_defaults(&self) -> bool {
        matches!(&self.what, Granted::Privileges { target: GrantTarget::Defaults { .. }, .. })
    }
}

/// `None`: not one of these statements.
pub fn parse(source: &Source, tokens: &[TokenWithSpan]) -> SqlResult<Option<Grant>> {
    let is = |text: &str| tokens.first().is_some_and(|first| is_word(&first.token, text));
    let follows = |index: usize, text: &str| {
        tokens.get(index).is_some_and(|token| is_word(&token.token, text))
    };
    if is("alter") && follows(1, "group") {
        return with_parser(source, tokens, alter_group).map(Some);
    }
    if is("alter") && follows(1, "default") && follows(2, "privileges") {
        return with_parser(source, tokens, alter_defaults).map(Some);
    }
    let revoke = is("revoke");
    if !revoke && !is("grant") {
        return Ok(None);
    }
    with_parser(source, tokens, |parser| grant(parser, &target)).map(Some)
}

/// What a grant is on.
type Target<'a> = &'a dyn Fn(&mut Parser<'_>) -> Result<GrantTarget, ParserError>;

fn grant(parser: &mut Parser<'_>, target: Target<'_>) -> Result<Grant, ParserError> {
    let revoke = take(parser, "revoke");
    if !revoke {
        expect(parser, "grant")?;
    }
    let mut option = false;
    if revoke && (take(parser, "grant") || take(parser, "admin")) {
        expect(parser, "option")?;
        expect(parser, "for")?;
        option = true;
    }
    let privileges = if take(parser, "all") {
        take(parser, "privileges");
        let columns = columns(parser)?;
        match columns.is_empty() {
            true => None,
            false => Some(vec![Privilege { name: "all".into(), columns }]),
        }
    } else {
        Some(parser.parse_comma_separated(privilege)?)
    };
    let what = if take(parser, "on") {
        Granted::Privileges { privileges, target: target(parser)? }
    } else {
        let roles = privileges.unwrap_or_default().into_iter().map(|role| Ident::new(role.name));
        Granted::Roles(roles.collect())
    };
    expect(parser, if revoke { "from" } else { "to" })?;
    let grantees = parser.parse_comma_separated(|parser| {
        take(parser, "group");
        parser.parse_identifier()
    })?;
    if !revoke && take(parser, "with") {
        if !take(parser, "grant") {
            expect(parser, "admin")?;
        }
        expect(parser, "option")?;
        option = true;
    }
    let mut granted_by = None;
    if take(parser, "granted") {
        expect(parser, "by")?;
        granted_by = Some(parser.parse_identifier()?);
    }
    let cascade = take(parser, "cascade");
    let _ = !cascade && take(parser, "restrict");
    let of_group = false;
    Ok(Grant { revoke, what, grantees, option, granted_by, cascade, of_group })
}

fn alter_defaults(parser: &mut Parser<'_>) -> Result<Grant, ParserError> {
    for word in ["alter", "default", "privileges"] {
        expect(parser, word)?;
    }
    let (mut roles, mut schemas) = (Vec::new(), Vec::new());
    loop {
        if take(parser, "for") {
            if !take(parser, "role") {
                expect(parser, "user")?;
            }
            roles = parser.parse_comma_separated(|parser| parser.parse_identifier())?;
        } else if take(parser, "in") {
            expect(parser, "schema")?;
            schemas = parser.parse_comma_separated(|parser| parser.parse_identifier())?;
        } else {
            break;
        }
    }
    grant(parser, &|parser| {
        let kinds = [
            ("tables", NewObjects::Tables),
            ("sequences", NewObjects::Sequences),
            ("functions", NewObjects::Functions),
            ("routines", NewObjects::Functions),
            ("types", NewObjects::Types),
            ("schemas", NewObjects::Schemas),
        ];
        match kinds.into_iter().find(|(word, _)| take(parser, word)) {
            Some((_, of)) => {
                let (roles, schemas) = (roles.clone(), schemas.clone());
                Ok(GrantTarget::Defaults { of, roles, schemas })
            }
            None => {
                let found = parser.next_token();
                parser.expected("TABLES, SEQUENCES, FUNCTIONS, TYPES or SCHEMAS", found)
            }
        }
    })
}

fn alter_group(parser: &mut Parser<'_>) -> Result<Grant, ParserError> {
    expect(parser, "alter")?;
    expect(parser, "group")?;
    let what = Granted::Roles(vec![parser.parse_identifier()?]);
    let revoke = take(parser, "drop");
    if !revoke {
        expect(parser, "add")?;
    }
    expect(parser, "user")?;
    let grantees = parser.parse_comma_separated(|parser| parser.parse_identifier())?;
    Ok(Grant {
        revoke,
        what,
        grantees,
        option: false,
        granted_by: None,
        cascade: false,
        of_group: true,
    })
}

/// A privilege, or a role's name: which is known at ON.
fn privilege(parser: &mut Parser<'_>) -> Result<Privilege, ParserError> {
    let token = parser.next_token();
    let name = match &token.token {
        Token::Word(word) if word.quote_style.is_none() => word.value.to_ascii_lowercase(),
        Token::Word(word) => word.value.clone(),
        _ => return parser.expected("a privilege or a role", token),
    };
    Ok(Privilege { name, columns: columns(parser)? })
}

fn columns(parser: &mut Parser<'_>) -> Result<Vec<Ident>, ParserError> {
    if !parser.consume_token(&Token::LParen) {
        return Ok(Vec::new());
    }
    let columns = parser.parse_comma_separated(|parser| parser.parse_identifier())?;
    parser.expect_token(&Token::RParen)?;
    Ok(columns)
}

fn target(parser: &mut Parser<'_>) -> Result<GrantTarget, ParserError> {
    let idents =
        |parser: &mut Parser<'_>| parser.parse_comma_separated(|parser| parser.parse_identifier());
    let names = |parser: &mut Parser<'_>| {
        parser.parse_comma_separated(|parser| parser.parse_object_name(false))
    };
    if parser.parse_keyword(Keyword::ALL) {
        let sequences = take(parser, "sequences");
        let functions = ["functions", "procedures", "routines"].iter().any(|w| take(parser, w));
        if !sequences && !functions {
            expect(parser, "tables")?;
        }
        expect(parser, "in")?;
        expect(parser, "schema")?;
        let schemas = idents(parser)?;
        return Ok(if functions {
            GrantTarget::Unsupported("GRANT ON ALL FUNCTIONS")
        } else if sequences {
            GrantTarget::AllSequences(schemas)
        } else {
            GrantTarget::AllTables(schemas)
        });
    }
    if take(parser, "sequence") {
        return Ok(GrantTarget::Sequences(names(parser)?));
    }
    if take(parser, "schema") {
        return Ok(GrantTarget::Schemas(idents(parser)?));
    }
    if take(parser, "database") {
        return Ok(GrantTarget::Databases(idents(parser)?));
    }
    if take(parser, "type") || take(parser, "domain") {
        return Ok(GrantTarget::Types(names(parser)?));
    }
    for word in ["function", "procedure", "routine", "language", "tablespace", "foreign", "large"] {
        if take(parser, word) {
            while parser.peek_token_ref().token != Token::EOF
                && !is_word(&parser.peek_token_ref().token, "to")
                && !is_word(&parser.peek_token_ref().token, "from")
            {
                parser.next_token();
            }
            return Ok(GrantTarget::Unsupported("GRANT on this kind of object"));
        }
    }
    take(parser, "table");
    Ok(GrantTarget::Tables(names(parser)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse::{Command, Statement};

    fn grant(sql: &str) -> Grant {
        let parsed = crate::parse::parse(sql).unwrap();
        let Statement::Command(command) = &parsed[0].statement else { panic!("{sql}: no command") };
        let Command::Grant(grant) = command.as_ref() else { panic!("{sql}") };
        grant.clone()
    }

    #[test]
    fn privileges_and_roles() {
        let found = grant("GRANT SELECT, UPDATE (a) ON t, s.u TO bob, PUBLIC WITH GRANT OPTION");
        assert!(found.option && !found.revoke && found.grantees.len() == 2);
        let Granted::Privileges { privileges: Some(list), target } = found.what else { panic!() };
        assert_eq!((list[0].name.as_str(), list[1].columns.len()), ("select", 1));
        assert!(matches!(target, GrantTarget::Tables(names) if names.len() == 2));

        let found = grant("REVOKE ADMIN OPTION FOR staff FROM bob CASCADE");
        assert!(found.revoke && found.option && found.cascade);
        assert!(matches!(found.what, Granted::Roles(roles) if roles[0].value == "staff"));

        let found = grant("GRANT ALL ON ALL TABLES IN SCHEMA public TO bob");
        assert!(matches!(
            found.what,
            Granted::Privileges { privileges: None, target: GrantTarget::AllTables(_) }
        ));
    }
}
