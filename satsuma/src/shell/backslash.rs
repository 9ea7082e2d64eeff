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
    /// One relation: columns, indexes, constraints.
    Describe(Relation),
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

/// A relation as it was named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Relation {
    named: String,
    schema: Option<String>,
    name: String,
}

impl Relation {
    fn new(named: &str) -> Self {
        let (schema, name) = match cut_name(named) {
            (schema, Some(name)) => (Some(folded(schema)), folded(name)),
            (name, None) => (None, folded(name)),
        };
        Self { named: named.to_owned(), schema, name }
    }

    /// What to say when there is none.
    pub fn missing(&self) -> String {
        format!("Did not find any relation named \"{}\".", self.named)
    }

    /// Its oid, title and kind.
    pub fn lookup(&self) -> String {
        let place = match &self.schema {
            Some(schema) => format!("n.nspname = {}", literal(schema)),
            None => "pg_catalog.pg_table_is_visible(c.oid)".into(),
        };
        format!(
            "SELECT c.oid, {KIND_TITLE} || ' \"' || n.nspname || '.' || c.relname || '\"' \
             FROM pg_catalog.pg_class c \
             JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
             WHERE c.relname = {} AND {place} ORDER BY n.nspname LIMIT 1",
            literal(&self.name)
        )
    }
}

const KIND_TITLE: &str = "CASE c.relkind WHEN 'v' THEN 'View' WHEN 'm' THEN 'Materialized view' \
     WHEN 'i' THEN 'Index' WHEN 'S' THEN 'Sequence' ELSE 'Table' END";

/// Columns of the relation with this oid.
pub fn columns_of(oid: &str) -> String {
    format!(
        "SELECT a.attname AS \"Column\", \
         pg_catalog.format_type(a.atttypid, a.atttypmod) AS \"Type\", \
         CASE WHEN a.attnotnull THEN 'not null' ELSE '' END AS \"Nullable\", \
         coalesce(pg_catalog.pg_get_expr(d.adbin, d.adrelid), '') AS \"Default\" \
         FROM pg_catalog.pg_attribute a \
         LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum \
         WHERE a.attrelid = {oid} AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum"
    )
}

/// What stands below the columns: headings and lines.
pub fn belongings_of(oid: &str) -> [(&'static str, String); 4] {
    let constraints = |of: &str, kind: char, shown: &str| {
        format!(
            "SELECT {shown} FROM pg_catalog.pg_constraint \
             WHERE {of} = {oid} AND contype = '{kind}' ORDER BY conname"
        )
    };
    let own = "'\"' || conname || '\" ' || pg_catalog.pg_get_constraintdef(oid)";
    let others = "'TABLE ' || conrelid::pg_catalog.regclass || ' CONSTRAINT \"' || conname || '\" ' \
                  || pg_catalog.pg_get_constraintdef(oid)";
    let indexes = format!(
        "SELECT '\"' || c.relname || '\" ' || CASE WHEN i.indisprimary THEN 'PRIMARY KEY, ' \
         WHEN i.indisunique THEN 'UNIQUE, ' ELSE '' END || \
         substring(pg_catalog.pg_get_indexdef(i.indexrelid) from ' USING (.*)$') \
         FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid \
         WHERE i.indrelid = {oid} ORDER BY i.indisprimary DESC, c.relname"
    );
    [
        ("Indexes", indexes),
        ("Check constraints", constraints("conrelid", 'c', own)),
        ("Foreign-key constraints", constraints("conrelid", 'f', own)),
        ("Referenced by", constraints("confrelid", 'f', others)),
    ]
}

/// The other end of `\copy`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    File(String),
    /// stdin or stdout.
    Standard,
}

pub const HELP: &str = "\
  \\d [NAME]         tables and their like, or all about one
  \\dt, \\dv, \\dm    tables, views, materialized views
  \\di, \\ds          indexes, sequences
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
        "d" if !argument.is_empty() => Backslash::Describe(Relation::new(argument)),
        "d" => query(Some("List of relations"), relations("'r', 'p', 'v', 'm', 'S'")),
        "dt" => query(Some("List of relations"), relations("'r', 'p'")),
        "dv" => query(Some("List of relations"), relations("'v'")),
        "dm" => query(Some("List of relations"), relations("'m'")),
        "di" => query(Some("List of relations"), relations("'i'")),
        "ds" => query(Some("List of relations"), relations("'S'")),
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

fn relations(kinds: &str) -> String {
    format!(
        "SELECT n.nspname AS \"Schema\", c.relname AS \"Name\", lower({KIND_TITLE}) AS \"Type\", \
         pg_catalog.pg_get_userbyid(c.relowner) AS \"Owner\" \
         FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         WHERE c.relkind IN ({kinds}) AND n.nspname NOT IN ('pg_catalog', 'information_schema') \
         AND pg_catalog.pg_table_is_visible(c.oid) ORDER BY 1, 2"
    )
}

/// A name and, where it has a dot outside quotes, what follows that.
fn cut_name(name: &str) -> (&str, Option<&str>) {
    let mut is_quoted = false;
    for (at, byte) in name.bytes().enumerate() {
        match byte {
            b'"' => is_quoted = !is_quoted,
            b'.' if !is_quoted => return (&name[..at], Some(&name[at + 1..])),
            _ => {}
        }
    }
    (name, None)
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
        let Backslash::Describe(relation) = parse("\\d public.\"T'.x\"") else { panic!() };
        let sql = relation.lookup();
        assert!(sql.contains("c.relname = 'T''.x' AND n.nspname = 'public'"), "{sql}");
        let Backslash::Describe(relation) = parse("\\d T") else { panic!() };
        assert!(relation.lookup().contains("c.relname = 't' AND pg_catalog.pg_table_is_visible"));
        assert_eq!(relation.missing(), "Did not find any relation named \"T\".");
        assert_eq!(parse("\\nope"), Backslash::Wrong("invalid command \\nope".into()));
    }
}
