//! PostgreSQL 15's words, as `pg_get_keywords()` has them, in terms of sqlparser's.

use sqlparser::keywords::Keyword;
use sqlparser::tokenizer::Word;

/// Names of nothing without quotes.
pub const RESERVED: &[Keyword] = &[
    Keyword::ALL,
    Keyword::ANALYZE,
    Keyword::AND,
    Keyword::ANY,
    Keyword::ARRAY,
    Keyword::AS,
    Keyword::ASC,
    Keyword::ASYMMETRIC,
    Keyword::BOTH,
    Keyword::CASE,
    Keyword::CAST,
    Keyword::CHECK,
    Keyword::COLLATE,
    Keyword::COLUMN,
    Keyword::CONSTRAINT,
    Keyword::CREATE,
    Keyword::CURRENT_CATALOG,
    Keyword::CURRENT_DATE,
    Keyword::CURRENT_ROLE,
    Keyword::CURRENT_TIME,
    Keyword::CURRENT_TIMESTAMP,
    Keyword::CURRENT_USER,
    Keyword::DEFAULT,
    Keyword::DEFERRABLE,
    Keyword::DESC,
    Keyword::DISTINCT,
    Keyword::DO,
    Keyword::ELSE,
    Keyword::END,
    Keyword::EXCEPT,
    Keyword::FALSE,
    Keyword::FETCH,
    Keyword::FOR,
    Keyword::FOREIGN,
    Keyword::FROM,
    Keyword::GRANT,
    Keyword::GROUP,
    Keyword::HAVING,
    Keyword::IN,
    Keyword::INITIALLY,
    Keyword::INTERSECT,
    Keyword::INTO,
    Keyword::LATERAL,
    Keyword::LEADING,
    Keyword::LIMIT,
    Keyword::LOCALTIME,
    Keyword::LOCALTIMESTAMP,
    Keyword::NOT,
    Keyword::NULL,
    Keyword::OFFSET,
    Keyword::ON,
    Keyword::ONLY,
    Keyword::OR,
    Keyword::ORDER,
    Keyword::PLACING,
    Keyword::PRIMARY,
    Keyword::REFERENCES,
    Keyword::RETURNING,
    Keyword::SELECT,
    Keyword::SESSION_USER,
    Keyword::SOME,
    Keyword::SYMMETRIC,
    Keyword::TABLE,
    Keyword::THEN,
    Keyword::TO,
    Keyword::TRAILING,
    Keyword::TRUE,
    Keyword::UNION,
    Keyword::UNIQUE,
    Keyword::USER,
    Keyword::USING,
    Keyword::VARIADIC,
    Keyword::WHEN,
    Keyword::WHERE,
    Keyword::WINDOW,
    Keyword::WITH,
];

/// Names of functions and types only.
pub const FUNCTION_OR_TYPE: &[Keyword] = &[
    Keyword::AUTHORIZATION,
    Keyword::BINARY,
    Keyword::COLLATION,
    Keyword::CONCURRENTLY,
    Keyword::CROSS,
    Keyword::CURRENT_SCHEMA,
    Keyword::FREEZE,
    Keyword::FULL,
    Keyword::ILIKE,
    Keyword::INNER,
    Keyword::IS,
    Keyword::JOIN,
    Keyword::LEFT,
    Keyword::LIKE,
    Keyword::NATURAL,
    Keyword::NOTNULL,
    Keyword::OUTER,
    Keyword::OVERLAPS,
    Keyword::RIGHT,
    Keyword::SIMILAR,
    Keyword::TABLESAMPLE,
    Keyword::VERBOSE,
    // Not a word of this list, but what follows a table in UPDATE.
    Keyword::SET,
];

/// No name of a column without AS before it.
pub const NEEDS_AS: &[Keyword] = &[
    Keyword::ARRAY,
    Keyword::AS,
    Keyword::CHAR,
    Keyword::CHARACTER,
    Keyword::CREATE,
    Keyword::DAY,
    Keyword::EXCEPT,
    Keyword::FETCH,
    Keyword::FILTER,
    Keyword::FOR,
    Keyword::FROM,
    Keyword::GRANT,
    Keyword::GROUP,
    Keyword::HAVING,
    Keyword::HOUR,
    Keyword::INTERSECT,
    Keyword::INTO,
    Keyword::LIMIT,
    Keyword::MINUTE,
    Keyword::MONTH,
    Keyword::NOTNULL,
    Keyword::OFFSET,
    Keyword::ON,
    Keyword::ORDER,
    Keyword::OVER,
    Keyword::OVERLAPS,
    Keyword::PRECISION,
    Keyword::RETURNING,
    Keyword::SECOND,
    Keyword::TO,
    Keyword::UNION,
    Keyword::VARYING,
    Keyword::WHERE,
    Keyword::WINDOW,
    Keyword::WITH,
    Keyword::WITHIN,
    Keyword::WITHOUT,
    Keyword::YEAR,
];

/// Reserved, and yet what an expression, or an argument in its place, may begin with.
const VALUES: &[Keyword] = &[
    Keyword::ALL,
    Keyword::ANY,
    Keyword::ARRAY,
    Keyword::CASE,
    Keyword::CAST,
    Keyword::CURRENT_CATALOG,
    Keyword::CURRENT_DATE,
    Keyword::CURRENT_ROLE,
    Keyword::CURRENT_SCHEMA,
    Keyword::CURRENT_TIME,
    Keyword::CURRENT_TIMESTAMP,
    Keyword::CURRENT_USER,
    Keyword::DEFAULT,
    Keyword::FALSE,
    Keyword::LOCALTIME,
    Keyword::LOCALTIMESTAMP,
    Keyword::NOT,
    Keyword::NULL,
    Keyword::ON,
    Keyword::SELECT,
    Keyword::SESSION_USER,
    Keyword::SET,
    Keyword::SOME,
    Keyword::TRUE,
    Keyword::USER,
    Keyword::VARIADIC,
];

/// Whether no expression begins with this word; some may with a parenthesis behind.
pub fn is_never_a_value(word: &Word, is_call: bool) -> bool {
    let keyword = &word.keyword;
    if *keyword == Keyword::NoKeyword || VALUES.contains(keyword) {
        return false;
    }
    RESERVED.contains(keyword) || FUNCTION_OR_TYPE.contains(keyword) && !is_call
}

/// Whether no column has this name without quotes.
pub fn is_no_column(word: &Word) -> bool {
    let keyword = &word.keyword;
    word.quote_style.is_none()
        && *keyword != Keyword::SET
        && (RESERVED.contains(keyword) || FUNCTION_OR_TYPE.contains(keyword))
}

/// Words of other databases, which are plain names here.
const FOREIGN: &[Keyword] = &[
    Keyword::ANTI,
    Keyword::ASOF,
    Keyword::AUTOINCREMENT,
    Keyword::AUTO_INCREMENT,
    Keyword::BINDING,
    Keyword::CONNECT,
    Keyword::CONVERT,
    Keyword::DISTRIBUTE,
    Keyword::DIV,
    Keyword::LAMBDA,
    Keyword::MAP,
    Keyword::MATCH_CONDITION,
    Keyword::MATCH_RECOGNIZE,
    Keyword::MEMBER,
    Keyword::MINUS,
    Keyword::OUTPUT,
    Keyword::PIVOT,
    Keyword::PREWHERE,
    Keyword::PRIOR,
    Keyword::QUALIFY,
    Keyword::REGEXP,
    Keyword::RLIKE,
    Keyword::SAFE_CAST,
    Keyword::SAMPLE,
    Keyword::SEMI,
    Keyword::SETTINGS,
    Keyword::SORT,
    Keyword::STRUCT,
    Keyword::TOP,
    Keyword::TRY_CAST,
    Keyword::TRY_CONVERT,
    Keyword::UNPIVOT,
    Keyword::XOR,
];

/// The word without a meaning that PostgreSQL does not give it.
pub fn as_name(mut word: Word) -> Word {
    if FOREIGN.contains(&word.keyword) {
        word.keyword = Keyword::NoKeyword;
    }
    word
}
