//! Backslash commands: what they ask for, and the SQL behind them.

/// A command after its backslash, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Backslash {
    Quit,
    Help,
    Expanded,
    Timing,
    TuplesOnly,
    Echo(String),
    Include(String),
    Connection,
    /// Runs a query and shows it under a title.
    Query {
        title: Option<String>,
        sql: String,
    },
    CopyFrom {
        sql: String,
        source: Place,
    },
    CopyTo {
        sql: String,
        target: Place,
    },
    Wrong(String),
}

/// The other end of `\copy`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    File(String),
    /// stdin or stdout.
    Standard,
}

pub const HELP: &str = "\
  \\d [TABLE]        tables, or the columns of one
  \\dt               tables
  \\dn               schemas
  \\du               roles
  \\l                databases
  \\copy ...         COPY with a file on this side
  \\i FILE           run a script
  \\echo TEXT        print TEXT
  \\x                expanded output on or off
  \\t                rows only on or off
  \\timing           time of each statement on or off
  \\conninfo         where this shell is connected
  \\q                leave
";

pub fn parse(line: &str) -> Backslash {
    let line = line.trim().trim_start_matches('\\');
    let (name, rest) = match line.split_once(char::is_whitespace) {
        Some((name, rest)) => (name, rest.trim()),
        None => (line, ""),
    };
    // psql lets a command end in a semicolon.
    let argument = rest.trim_end_matches(';').trim();
    match name.trim_end_matches(['+', ';']) {
        "q" | "quit" => Backslash::Quit,
        "?" | "h" | "help" => Backslash::Help,
        "x" => Backslash::Expanded,
        "t" => Backslash::TuplesOnly,
        "timing" => Backslash::Timing,
        "echo" => Backslash::Echo(unquoted(rest)),
        "i" | "include" => Backslash::Include(unquoted(argument)),
        "conninfo" => Backslash::Connection,
        "l" | "list" => query(None, DATABASES.into()),
        "dn" => query(Some("List of schemas"), SCHEMAS.into()),
        "du" | "dg" => query(Some("List of roles"), ROLES.into()),
        "dt" => query(Some("List of relations"), relations(true)),
        "d" if argument.is_empty() => query(Some("List of relations"), relations(false)),
        "d" => describe(argument),
        "copy" => copy(rest),
        other => Backslash::Wrong(format!("invalid command \\{other}")),
    }
}

fn query(title: Option<&str>, sql: String) -> Backslash {
    Backslash::Query { title: title.map(Into::into), sql }
}

const DATABASES: &str = "SELECT datname AS \"Name\" FROM pg_catalog.pg_database ORDER BY 1";
const SCHEMAS: &str = "SELECT nspname AS \"Name\" FROM pg_catalog.pg_namespace \
     WHERE nspname NOT LIKE 'pg_%' AND nspname <> 'information_schema' ORDER BY 1";
const ROLES: &str = "SELECT rolname AS \"Role name\", \
     CASE WHEN rolsuper THEN 'Superuser' ELSE '' END AS \"Attributes\" \
     FROM pg_catalog.pg_roles ORDER BY 1";

fn relations(tables_only: bool) -> String {
    let kinds = if tables_only { " AND table_type = 'BASE TABLE'" } else { "" };
    format!(
        "SELECT table_schema AS \"Schema\", table_name AS \"Name\", \
         CASE table_type WHEN 'BASE TABLE' THEN 'table' WHEN 'VIEW' THEN 'view' \
         ELSE lower(table_type) END AS \"Type\" \
         FROM information_schema.tables \
         WHERE table_schema NOT IN ('pg_catalog', 'information_schema'){kinds} ORDER BY 1, 2"
    )
}

fn describe(name: &str) -> Backslash {
    let (schema, table) = match name.split_once('.') {
        Some((schema, table)) => (Some(folded(schema)), folded(table)),
        None => (None, folded(name)),
    };
    let in_schema = match &schema {
        Some(schema) => format!("table_schema = {}", literal(schema)),
        None => "table_schema NOT IN ('pg_catalog', 'information_schema')".into(),
    };
    let sql = format!(
        "SELECT column_name AS \"Column\", data_type AS \"Type\", \
         CASE is_nullable WHEN 'NO' THEN 'not null' ELSE '' END AS \"Nullable\", \
         coalesce(column_default, '') AS \"Default\" \
         FROM information_schema.columns WHERE table_name = {} AND {in_schema} \
         ORDER BY ordinal_position",
        literal(&table)
    );
    Backslash::Query { title: Some(format!("Table \"{table}\"")), sql }
}

/// A name as SQL would fold it.
fn folded(name: &str) -> String {
    match name.strip_prefix('"').and_then(|name| name.strip_suffix('"')) {
        Some(quoted) => quoted.replace("\"\"", "\""),
        None => name.to_lowercase(),
    }
}

fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

fn unquoted(text: &str) -> String {
    match text.strip_prefix('\'').and_then(|text| text.strip_suffix('\'')) {
        Some(inner) => inner.replace("''", "'"),
        None => text.to_owned(),
    }
}

/// `\copy WHAT from|to FILE OPTIONS`, where WHAT is a table with columns or a query in
/// parentheses.
fn copy(arguments: &str) -> Backslash {
    let wrong = || Backslash::Wrong("\\copy: parse error: \\copy TABLE FROM 'FILE' OPTIONS".into());
    let arguments = arguments.trim().trim_end_matches(';').trim_end();
    let Some((what, keyword, rest)) = cut_at_keyword(arguments) else { return wrong() };
    let Some((place, options)) = cut_place(rest) else { return wrong() };
    let options = if options.is_empty() { String::new() } else { format!(" {options}") };
    if keyword == "from" {
        if what.trim_start().starts_with('(') {
            return wrong();
        }
        let sql = format!("COPY {what} FROM STDIN{options}");
        Backslash::CopyFrom { sql, source: place }
    } else {
        let sql = format!("COPY {what} TO STDOUT{options}");
        Backslash::CopyTo { sql, target: place }
    }
}

/// Cuts at the first `from` or `to` outside parentheses and quotes.
fn cut_at_keyword(text: &str) -> Option<(&str, &'static str, &str)> {
    let bytes = text.as_bytes();
    let (mut at, mut depth) = (0, 0_i32);
    while at < bytes.len() {
        match bytes[at] {
            quote @ (b'\'' | b'"') => {
                at += 1 + bytes[at + 1..].iter().position(|byte| *byte == quote)? + 1;
                continue;
            }
            b'(' => depth += 1,
            b')' => depth -= 1,
            b' ' | b'\t' | b'\n' if depth == 0 => {
                let rest = text[at..].trim_start();
                for keyword in ["from", "to"] {
                    let follows = rest.get(..keyword.len());
                    let ends =
                        rest.as_bytes().get(keyword.len()).is_some_and(u8::is_ascii_whitespace);
                    if ends && follows.is_some_and(|word| word.eq_ignore_ascii_case(keyword)) {
                        return Some((text[..at].trim(), keyword, rest[keyword.len()..].trim()));
                    }
                }
            }
            _ => {}
        }
        at += 1;
    }
    None
}

/// A file's name, quoted or not, or `stdin` and `stdout`; and what follows.
fn cut_place(text: &str) -> Option<(Place, &str)> {
    if let Some(inner) = text.strip_prefix('\'') {
        let mut name = String::new();
        let mut rest = inner;
        loop {
            let end = rest.find('\'')?;
            name.push_str(&rest[..end]);
            rest = &rest[end + 1..];
            match rest.strip_prefix('\'') {
                Some(more) => {
                    name.push('\'');
                    rest = more;
                }
                None => return Some((Place::File(name), rest.trim())),
            }
        }
    }
    let end = text.find(char::is_whitespace).unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    if name.is_empty() {
        return None;
    }
    let standard = ["stdin", "stdout", "pstdin", "pstdout"];
    let place = if standard.iter().any(|word| name.eq_ignore_ascii_case(word)) {
        Place::Standard
    } else {
        Place::File(name.to_owned())
    };
    Some((place, rest.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copy_is_taken_apart() {
        let file = |name: &str| Place::File(name.into());
        assert_eq!(
            parse("\\copy t (a, \"from\") from 'a file.csv' with (format csv, header)"),
            Backslash::CopyFrom {
                sql: "COPY t (a, \"from\") FROM STDIN with (format csv, header)".into(),
                source: file("a file.csv"),
            }
        );
        assert_eq!(
            parse("\\copy (select * from t) TO out.csv csv;"),
            Backslash::CopyTo {
                sql: "COPY (select * from t) TO STDOUT csv".into(),
                target: file("out.csv"),
            }
        );
        assert_eq!(
            parse("\\copy t from stdin"),
            Backslash::CopyFrom { sql: "COPY t FROM STDIN".into(), source: Place::Standard }
        );
        for bad in ["\\copy", "\\copy t", "\\copy t from", "\\copy (select 1) from x"] {
            assert!(matches!(parse(bad), Backslash::Wrong(_)), "{bad}");
        }
    }

    #[test]
    fn commands_are_known() {
        assert_eq!(parse("\\q"), Backslash::Quit);
        assert_eq!(parse("\\x;"), Backslash::Expanded);
        assert_eq!(parse("\\echo 'a b'"), Backslash::Echo("a b".into()));
        assert!(matches!(parse("\\dt+"), Backslash::Query { .. }));
        let Backslash::Query { sql, .. } = parse("\\d public.\"T'x\"") else { panic!() };
        assert!(sql.contains("table_name = 'T''x' AND table_schema = 'public'"), "{sql}");
        assert_eq!(parse("\\nope"), Backslash::Wrong("invalid command \\nope".into()));
    }
}
