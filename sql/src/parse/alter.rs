//! ALTER of tables, indexes, sequences, views, schemas and types, in PostgreSQL's grammar.
//!
//! sqlparser's own covers about half of what migration tools and `pg_dump` send; here its parts
//! (column definitions, constraints, expressions, types) are put together anew.

use satsuma_common::SqlResult;
use sqlparser::ast::{self, Expr, Ident, ObjectName};
use sqlparser::keywords::Keyword;
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::{Token, TokenWithSpan};

use super::command::{expect, take};
use super::{Source, keywords, tokens, with_parser};

#[derive(Clone, Debug)]
pub struct Alter {
    pub kind: AlterKind,
    pub if_exists: bool,
    pub name: ObjectName,
    /// In the order of the statement.
    pub actions: Vec<AlterAction>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AlterKind {
    Table,
    Index,
    Sequence,
    View,
    MaterializedView,
    Schema,
    Type,
}

impl AlterKind {
    /// Upper case, as in the command tag.
    pub fn name(self) -> &'static str {
        match self {
            Self::Table => "TABLE",
            Self::Index => "INDEX",
            Self::Sequence => "SEQUENCE",
            Self::View => "VIEW",
            Self::MaterializedView => "MATERIALIZED VIEW",
            Self::Schema => "SCHEMA",
            Self::Type => "TYPE",
        }
    }
}

/// Which triggers of a table: there are those of foreign keys only.
#[derive(Clone, Debug)]
pub enum Triggers {
    All,
    OfUsers,
    Named(Ident),
}

#[derive(Clone, Debug)]
pub enum AlterAction {
    SwitchTriggers {
        triggers: Triggers,
        enable: bool,
    },
    AddColumn {
        column: Box<ast::ColumnDef>,
        if_not_exists: bool,
    },
    DropColumn {
        name: Ident,
        if_exists: bool,
        cascade: bool,
    },
    SetDefault {
        column: Ident,
        value: Expr,
    },
    DropDefault {
        column: Ident,
    },
    SetNotNull {
        column: Ident,
    },
    DropNotNull {
        column: Ident,
    },
    SetType {
        column: Ident,
        data_type: ast::DataType,
        collation: Option<ObjectName>,
        using: Option<Expr>,
    },
    AddIdentity {
        column: Ident,
        always: bool,
        options: Vec<SequenceOption>,
    },
    SetIdentity {
        column: Ident,
        always: Option<bool>,
        options: Vec<SequenceOption>,
    },
    DropIdentity {
        column: Ident,
        if_exists: bool,
    },
    /// DROP EXPRESSION: a generated column becomes a plain one.
    DropExpression {
        column: Ident,
        if_exists: bool,
    },
    AddConstraint {
        constraint: Box<ast::TableConstraint>,
        not_valid: bool,
    },
    DropConstraint {
        name: Ident,
        if_exists: bool,
        cascade: bool,
    },
    ValidateConstraint {
        name: Ident,
    },
    AlterConstraint {
        name: Ident,
        characteristics: Option<ast::ConstraintCharacteristics>,
    },
    RenameTo {
        name: Ident,
    },
    RenameColumn {
        from: Ident,
        to: Ident,
    },
    RenameConstraint {
        from: Ident,
        to: Ident,
    },
    OwnerTo {
        role: Ident,
    },
    SetSchema {
        schema: Ident,
    },
    /// How a column is stored or counted, which PostgreSQL is told and this decides by itself.
    TuneColumn {
        column: Ident,
    },
    /// Which index rows would be sorted by, if they were not by the primary key.
    ClusterOn {
        index: Ident,
    },
    /// Storage parameters; `None` is RESET.
    SetOptions {
        options: Vec<(String, Option<String>)>,
    },
    /// Of ALTER SEQUENCE.
    Sequence {
        options: Vec<SequenceOption>,
    },
    /// Of an enum.
    AddValue {
        label: String,
        if_not_exists: bool,
        place: LabelPlace,
    },
    RenameValue {
        from: String,
        to: String,
    },
    /// What PostgreSQL knows and this does not.
    Unsupported {
        what: &'static str,
    },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LabelPlace {
    Last,
    Before(String),
    After(String),
}

#[derive(Clone, Debug, PartialEq)]
pub enum SequenceOption {
    Type(ast::DataType),
    Increment(i64),
    /// `None`: NO MINVALUE.
    Min(Option<i64>),
    Max(Option<i64>),
    Start(i64),
    /// RESTART, WITH a value perhaps.
    Restart(Option<i64>),
    Cache(i64),
    Cycle(bool),
    /// `None`: OWNED BY NONE.
    OwnedBy(Option<ObjectName>),
    /// SEQUENCE NAME of an identity column.
    Name(ObjectName),
}

/// `None`: not one of these statements.
pub fn parse(source: &Source, tokens: &[TokenWithSpan]) -> SqlResult<Option<Alter>> {
    let is = |at: usize, text: &str| {
        tokens.get(at).is_some_and(|token| tokens::is_word(&token.token, text))
    };
    if !is(0, "alter") {
        return Ok(None);
    }
    let kind = if is(1, "table") {
        AlterKind::Table
    } else if is(1, "index") {
        AlterKind::Index
    } else if is(1, "sequence") {
        AlterKind::Sequence
    } else if is(1, "view") {
        AlterKind::View
    } else if is(1, "materialized") && is(2, "view") {
        AlterKind::MaterializedView
    } else if is(1, "schema") {
        AlterKind::Schema
    } else if is(1, "type") {
        AlterKind::Type
    } else {
        return Ok(None);
    };
    let skipped = if kind == AlterKind::MaterializedView { 3 } else { 2 };
    let adapted = tokens::adapt(tokens.to_vec());
    with_parser(source, &adapted, |parser| {
        for _ in 0..skipped {
            parser.next_token();
        }
        alter(parser, kind)
    })
    .map(Some)
}

fn alter(parser: &mut Parser<'_>, kind: AlterKind) -> Result<Alter, ParserError> {
    let if_exists = parser.parse_keywords(&[Keyword::IF, Keyword::EXISTS]);
    if kind == AlterKind::Table {
        take(parser, "only");
    }
    let name = parser.parse_object_name(false)?;
    let _ = kind == AlterKind::Table && parser.consume_token(&Token::Mul);
    let actions = match kind {
        AlterKind::Sequence => vec![sequence_action(parser)?],
        AlterKind::Type => vec![type_action(parser)?],
        _ => table_actions(parser)?,
    };
    Ok(Alter { kind, if_exists, name, actions })
}

/// Actions with commas between them, or one that is a statement of its own.
fn table_actions(parser: &mut Parser<'_>) -> Result<Vec<AlterAction>, ParserError> {
    let mut actions = vec![action(parser)?];
    while !actions.last().is_some_and(stands_alone) && parser.consume_token(&Token::Comma) {
        let (first, second) = (parser.peek_token(), parser.peek_nth_token(1));
        let next = action(parser)?;
        if stands_alone(&next) {
            // Other actions begin with SET, too.
            let is_set = matches!(next, AlterAction::SetSchema { .. });
            return parser.expected("an action of ALTER", if is_set { second } else { first });
        }
        actions.push(next);
    }
    Ok(actions)
}

fn stands_alone(action: &AlterAction) -> bool {
    matches!(
        action,
        AlterAction::RenameTo { .. }
            | AlterAction::RenameColumn { .. }
            | AlterAction::RenameConstraint { .. }
            | AlterAction::SetSchema { .. }
    )
}

fn action(parser: &mut Parser<'_>) -> Result<AlterAction, ParserError> {
    if take(parser, "add") {
        return add(parser);
    }
    if take(parser, "drop") {
        return drop(parser);
    }
    if take(parser, "alter") {
        if take(parser, "constraint") {
            let name = parser.parse_identifier()?;
            let characteristics = parser.parse_constraint_characteristics()?;
            return Ok(AlterAction::AlterConstraint { name, characteristics });
        }
        take(parser, "column");
        let column = parser.parse_identifier()?;
        return alter_column(parser, column);
    }
    if take(parser, "rename") {
        return rename(parser);
    }
    if take(parser, "validate") {
        expect(parser, "constraint")?;
        return Ok(AlterAction::ValidateConstraint { name: parser.parse_identifier()? });
    }
    common(parser)
}

/// Behind ENABLE and DISABLE.
fn switch(parser: &mut Parser<'_>, enable: bool) -> Result<AlterAction, ParserError> {
    if take(parser, "trigger") {
        let triggers = if take(parser, "all") {
            Triggers::All
        } else if take(parser, "user") {
            Triggers::OfUsers
        } else {
            Triggers::Named(parser.parse_identifier()?)
        };
        return Ok(AlterAction::SwitchTriggers { triggers, enable });
    }
    // There is none to disable.
    if !enable && parser.parse_keywords(&[Keyword::ROW, Keyword::LEVEL, Keyword::SECURITY]) {
        return Ok(AlterAction::SetOptions { options: Vec::new() });
    }
    skip_rest(parser);
    let what = if enable { "ALTER TABLE ... ENABLE" } else { "ALTER TABLE ... DISABLE" };
    Ok(AlterAction::Unsupported { what })
}

/// What every kind of relation takes: OWNER TO, SET SCHEMA, storage parameters.
fn common(parser: &mut Parser<'_>) -> Result<AlterAction, ParserError> {
    if take(parser, "owner") {
        expect(parser, "to")?;
        return Ok(AlterAction::OwnerTo { role: parser.parse_identifier()? });
    }
    if take(parser, "set") {
        if take(parser, "schema") {
            return Ok(AlterAction::SetSchema { schema: parser.parse_identifier()? });
        }
        if parser.peek_token_ref().token == Token::LParen {
            return Ok(AlterAction::SetOptions { options: options(parser)? });
        }
        // Every table is logged.
        if take(parser, "logged") || take(parser, "unlogged") {
            return Ok(AlterAction::SetOptions { options: Vec::new() });
        }
        let what = if take(parser, "tablespace") {
            "ALTER ... SET TABLESPACE"
        } else if take(parser, "access") {
            "ALTER TABLE ... SET ACCESS METHOD"
        } else if take(parser, "without") {
            "ALTER TABLE ... SET WITHOUT CLUSTER"
        } else {
            let token = parser.peek_token();
            return parser.expected("SCHEMA or storage parameters", token);
        };
        skip_rest(parser);
        return Ok(AlterAction::Unsupported { what });
    }
    if take(parser, "reset") {
        return Ok(AlterAction::SetOptions { options: options(parser)? });
    }
    if take(parser, "replica") {
        expect(parser, "identity")?;
        // Nothing is replicated by the identity of rows.
        if take(parser, "default") {
            return Ok(AlterAction::SetOptions { options: Vec::new() });
        }
        skip_rest(parser);
        let what = "ALTER TABLE ... REPLICA IDENTITY other than DEFAULT";
        return Ok(AlterAction::Unsupported { what });
    }
    let enable = take(parser, "enable");
    if enable || take(parser, "disable") {
        return switch(parser, enable);
    }
    const OTHERS: &[(&str, &str)] = &[
        ("force", "ALTER TABLE ... FORCE ROW LEVEL SECURITY"),
        ("no", "ALTER TABLE ... NO FORCE ROW LEVEL SECURITY or NO INHERIT"),
        ("inherit", "ALTER TABLE ... INHERIT"),
        ("of", "ALTER TABLE ... OF"),
        ("not", "ALTER TABLE ... NOT OF"),
        ("attach", "ALTER TABLE ... ATTACH PARTITION"),
        ("detach", "ALTER TABLE ... DETACH PARTITION"),
    ];
    if take(parser, "cluster") {
        expect(parser, "on")?;
        return Ok(AlterAction::ClusterOn { index: parser.parse_identifier()? });
    }
    for (word, what) in OTHERS {
        if take(parser, word) {
            skip_rest(parser);
            return Ok(AlterAction::Unsupported { what });
        }
    }
    let token = parser.peek_token();
    parser.expected("an action of ALTER", token)
}

/// Up to the next action, which a comma outside parentheses begins.
fn skip_rest(parser: &mut Parser<'_>) {
    let mut depth = 0usize;
    loop {
        match parser.peek_token_ref().token {
            Token::EOF => return,
            Token::Comma if depth == 0 => return,
            Token::LParen => depth += 1,
            Token::RParen => depth = depth.saturating_sub(1),
            _ => {}
        }
        parser.next_token();
    }
}

fn add(parser: &mut Parser<'_>) -> Result<AlterAction, ParserError> {
    if let Some(constraint) = parser.parse_optional_table_constraint()? {
        let not_valid = parser.parse_keywords(&[Keyword::NOT, Keyword::VALID]);
        return Ok(AlterAction::AddConstraint { constraint: Box::new(constraint), not_valid });
    }
    take(parser, "column");
    let if_not_exists = parser.parse_keywords(&[Keyword::IF, Keyword::NOT, Keyword::EXISTS]);
    if let Token::Word(word) = &parser.peek_token_ref().token
        && keywords::is_no_column(word)
    {
        return parser.expected_ref("a column's name", parser.peek_token_ref());
    }
    let column = Box::new(parser.parse_column_def()?);
    Ok(AlterAction::AddColumn { column, if_not_exists })
}

fn drop(parser: &mut Parser<'_>) -> Result<AlterAction, ParserError> {
    let constraint = take(parser, "constraint");
    if !constraint {
        take(parser, "column");
    }
    let if_exists = parser.parse_keywords(&[Keyword::IF, Keyword::EXISTS]);
    let name = parser.parse_identifier()?;
    let cascade = cascade(parser);
    Ok(if constraint {
        AlterAction::DropConstraint { name, if_exists, cascade }
    } else {
        AlterAction::DropColumn { name, if_exists, cascade }
    })
}

fn cascade(parser: &mut Parser<'_>) -> bool {
    let cascade = take(parser, "cascade");
    let _ = !cascade && take(parser, "restrict");
    cascade
}

fn alter_column(parser: &mut Parser<'_>, column: Ident) -> Result<AlterAction, ParserError> {
    if take(parser, "type") {
        return set_type(parser, column);
    }
    if take(parser, "drop") {
        return if take(parser, "default") {
            Ok(AlterAction::DropDefault { column })
        } else if take(parser, "not") {
            expect(parser, "null")?;
            Ok(AlterAction::DropNotNull { column })
        } else if take(parser, "identity") {
            let if_exists = parser.parse_keywords(&[Keyword::IF, Keyword::EXISTS]);
            Ok(AlterAction::DropIdentity { column, if_exists })
        } else if take(parser, "expression") {
            let if_exists = parser.parse_keywords(&[Keyword::IF, Keyword::EXISTS]);
            Ok(AlterAction::DropExpression { column, if_exists })
        } else {
            let token = parser.peek_token();
            parser.expected("DEFAULT, NOT NULL, IDENTITY or EXPRESSION", token)
        };
    }
    if take(parser, "add") {
        expect(parser, "generated")?;
        let always = always(parser)?;
        expect(parser, "as")?;
        expect(parser, "identity")?;
        let mut options = Vec::new();
        if parser.consume_token(&Token::LParen) {
            options = sequence_options(parser)?;
            parser.expect_token(&Token::RParen)?;
        }
        return Ok(AlterAction::AddIdentity { column, always, options });
    }
    if take(parser, "restart") {
        parser.prev_token();
        return set_identity(parser, column);
    }
    if !take(parser, "set") {
        let token = parser.peek_token();
        return parser.expected("SET, DROP, ADD or TYPE", token);
    }
    if take(parser, "data") {
        expect(parser, "type")?;
        return set_type(parser, column);
    }
    if take(parser, "default") {
        return Ok(AlterAction::SetDefault { column, value: parser.parse_expr()? });
    }
    if take(parser, "not") {
        expect(parser, "null")?;
        return Ok(AlterAction::SetNotNull { column });
    }
    if take(parser, "statistics") {
        integer(parser)?;
        return Ok(AlterAction::TuneColumn { column });
    }
    if take(parser, "storage") {
        let known = ["plain", "external", "extended", "main"];
        if !known.iter().any(|kind| take(parser, kind)) {
            let token = parser.peek_token();
            return parser.expected("a way to store a column", token);
        }
        return Ok(AlterAction::TuneColumn { column });
    }
    // Storage compresses by itself.
    if take(parser, "compression") {
        parser.parse_identifier()?;
        return Ok(AlterAction::TuneColumn { column });
    }
    if parser.peek_token_ref().token == Token::LParen {
        skip_rest(parser);
        return Ok(AlterAction::Unsupported { what: "ALTER COLUMN ... SET (...)" });
    }
    parser.prev_token();
    set_identity(parser, column)
}

fn always(parser: &mut Parser<'_>) -> Result<bool, ParserError> {
    let always = take(parser, "always");
    if !always {
        expect(parser, "by")?;
        expect(parser, "default")?;
    }
    Ok(always)
}

/// `SET GENERATED ALWAYS SET INCREMENT 2 RESTART`, from the first of these.
fn set_identity(parser: &mut Parser<'_>, column: Ident) -> Result<AlterAction, ParserError> {
    let (mut kind, mut options) = (None, Vec::new());
    loop {
        if take(parser, "set") {
            if take(parser, "generated") {
                kind = Some(always(parser)?);
                continue;
            }
            let Some(option) = sequence_option(parser)? else {
                let token = parser.peek_token();
                return parser.expected("GENERATED or a sequence option", token);
            };
            options.push(option);
        } else if tokens::is_word(&parser.peek_token_ref().token, "restart") {
            options.extend(sequence_option(parser)?);
        } else {
            return Ok(AlterAction::SetIdentity { column, always: kind, options });
        }
    }
}

fn set_type(parser: &mut Parser<'_>, column: Ident) -> Result<AlterAction, ParserError> {
    let data_type = parser.parse_data_type()?;
    let collation = match take(parser, "collate") {
        true => Some(parser.parse_object_name(false)?),
        false => None,
    };
    let using = if take(parser, "using") { Some(parser.parse_expr()?) } else { None };
    Ok(AlterAction::SetType { column, data_type, collation, using })
}

fn rename(parser: &mut Parser<'_>) -> Result<AlterAction, ParserError> {
    if take(parser, "to") {
        return Ok(AlterAction::RenameTo { name: parser.parse_identifier()? });
    }
    let constraint = take(parser, "constraint");
    if !constraint {
        take(parser, "column");
    }
    let from = parser.parse_identifier()?;
    expect(parser, "to")?;
    let to = parser.parse_identifier()?;
    Ok(if constraint {
        AlterAction::RenameConstraint { from, to }
    } else {
        AlterAction::RenameColumn { from, to }
    })
}

pub(super) fn options(
    parser: &mut Parser<'_>,
) -> Result<Vec<(String, Option<String>)>, ParserError> {
    parser.expect_token(&Token::LParen)?;
    let options = parser.parse_comma_separated(|parser| {
        let mut name = parser.parse_identifier()?.value.to_ascii_lowercase();
        if parser.consume_token(&Token::Period) {
            name = format!("{name}.{}", parser.parse_identifier()?.value.to_ascii_lowercase());
        }
        let mut value = None;
        if parser.consume_token(&Token::Eq) {
            value = Some(match parser.next_token().token {
                Token::SingleQuotedString(text) => text,
                other => other.to_string().to_ascii_lowercase(),
            });
        }
        Ok((name, value))
    })?;
    parser.expect_token(&Token::RParen)?;
    Ok(options)
}

fn sequence_action(parser: &mut Parser<'_>) -> Result<AlterAction, ParserError> {
    if take(parser, "rename") {
        return rename(parser);
    }
    let options = sequence_options(parser)?;
    if options.is_empty() { common(parser) } else { Ok(AlterAction::Sequence { options }) }
}

/// The options of CREATE and ALTER SEQUENCE, in any order.
pub fn sequence_options(parser: &mut Parser<'_>) -> Result<Vec<SequenceOption>, ParserError> {
    let mut options = Vec::new();
    while let Some(option) = sequence_option(parser)? {
        options.push(option);
    }
    Ok(options)
}

fn sequence_option(parser: &mut Parser<'_>) -> Result<Option<SequenceOption>, ParserError> {
    Ok(Some(if take(parser, "as") {
        SequenceOption::Type(parser.parse_data_type()?)
    } else if take(parser, "increment") {
        take(parser, "by");
        SequenceOption::Increment(integer(parser)?)
    } else if take(parser, "minvalue") {
        SequenceOption::Min(Some(integer(parser)?))
    } else if take(parser, "maxvalue") {
        SequenceOption::Max(Some(integer(parser)?))
    } else if take(parser, "start") {
        take(parser, "with");
        SequenceOption::Start(integer(parser)?)
    } else if take(parser, "restart") {
        let with = take(parser, "with");
        let number =
            matches!(parser.peek_token_ref().token, Token::Number(..) | Token::Minus | Token::Plus);
        SequenceOption::Restart(if with || number { Some(integer(parser)?) } else { None })
    } else if take(parser, "cache") {
        SequenceOption::Cache(integer(parser)?)
    } else if take(parser, "cycle") {
        SequenceOption::Cycle(true)
    } else if take(parser, "no") {
        if take(parser, "minvalue") {
            SequenceOption::Min(None)
        } else if take(parser, "maxvalue") {
            SequenceOption::Max(None)
        } else {
            expect(parser, "cycle")?;
            SequenceOption::Cycle(false)
        }
    } else if take(parser, "sequence") {
        expect(parser, "name")?;
        SequenceOption::Name(parser.parse_object_name(false)?)
    } else if take(parser, "owned") {
        expect(parser, "by")?;
        if take(parser, "none") {
            SequenceOption::OwnedBy(None)
        } else {
            SequenceOption::OwnedBy(Some(parser.parse_object_name(false)?))
        }
    } else {
        return Ok(None);
    }))
}

fn integer(parser: &mut Parser<'_>) -> Result<i64, ParserError> {
    let negative = parser.consume_token(&Token::Minus);
    if !negative {
        let _ = parser.consume_token(&Token::Plus);
    }
    let token = parser.next_token();
    let sign = if negative { "-" } else { "" };
    let number = match &token.token {
        Token::Number(digits, _) => format!("{sign}{digits}").parse().ok(),
        _ => None,
    };
    match number {
        Some(number) => Ok(number),
        None => parser.expected("an integer", token),
    }
}

fn type_action(parser: &mut Parser<'_>) -> Result<AlterAction, ParserError> {
    if take(parser, "add") {
        expect(parser, "value")?;
        let if_not_exists = parser.parse_keywords(&[Keyword::IF, Keyword::NOT, Keyword::EXISTS]);
        let label = parser.parse_literal_string()?;
        let place = if take(parser, "before") {
            LabelPlace::Before(parser.parse_literal_string()?)
        } else if take(parser, "after") {
            LabelPlace::After(parser.parse_literal_string()?)
        } else {
            LabelPlace::Last
        };
        return Ok(AlterAction::AddValue { label, if_not_exists, place });
    }
    if take(parser, "rename") {
        if take(parser, "value") {
            let from = parser.parse_literal_string()?;
            expect(parser, "to")?;
            return Ok(AlterAction::RenameValue { from, to: parser.parse_literal_string()? });
        }
        return rename(parser);
    }
    common(parser)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse::{Command, Statement, parse};

    fn actions(sql: &str) -> Vec<AlterAction> {
        let parsed = parse(sql).unwrap();
        let [one] = parsed.as_slice() else { panic!("one statement") };
        let Statement::Command(command) = &one.statement else { panic!("{sql}: no command") };
        let Command::Alter(alter) = command.as_ref() else { panic!("{sql}: no ALTER") };
        alter.actions.clone()
    }

    #[test]
    fn several_actions_are_taken_apart() {
        let found = actions(
            "ALTER TABLE ONLY t ADD COLUMN IF NOT EXISTS a int DEFAULT 1, DROP b CASCADE, \
             ALTER c SET NOT NULL, ADD CONSTRAINT k CHECK (a > 0) NOT VALID",
        );
        assert!(matches!(found[0], AlterAction::AddColumn { if_not_exists: true, .. }));
        assert!(matches!(found[1], AlterAction::DropColumn { cascade: true, .. }));
        assert!(matches!(found[2], AlterAction::SetNotNull { .. }));
        assert!(matches!(found[3], AlterAction::AddConstraint { not_valid: true, .. }));
    }

    #[test]
    fn identity_takes_its_settings_in_a_row() {
        let found = actions("ALTER TABLE t ALTER a SET GENERATED ALWAYS SET INCREMENT 2 RESTART 9");
        let AlterAction::SetIdentity { always, options, .. } = &found[0] else { panic!() };
        assert_eq!(*always, Some(true));
        let wanted = [SequenceOption::Increment(2), SequenceOption::Restart(Some(9))];
        assert_eq!(options.as_slice(), wanted);
    }

    #[test]
    fn sequences_and_types() {
        let found = actions("ALTER SEQUENCE s NO CYCLE INCREMENT BY -3 OWNED BY t.a");
        assert!(matches!(&found[0], AlterAction::Sequence { options } if options.len() == 3));
        let found = actions("ALTER TYPE mood ADD VALUE IF NOT EXISTS 'fine' BEFORE 'good'");
        assert!(matches!(&found[0], AlterAction::AddValue { place: LabelPlace::Before(_), .. }));
    }

    #[test]
    fn nonsense_is_a_syntax_error() {
        for sql in ["ALTER TABLE t", "ALTER TABLE t FROB x", "ALTER TABLE t ALTER a SET"] {
            assert!(parse(sql).is_err(), "{sql}");
        }
    }
}
