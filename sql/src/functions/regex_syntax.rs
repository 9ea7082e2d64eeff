//! The syntax of PostgreSQL's advanced regular expressions, brought to the `regex` crate's.
//!
//! Classes are those of glibc in a UTF-8 locale, which is what PostgreSQL asks: every letter and
//! every digit of any script is alphanumeric, but only `0` to `9` are digits.

use satsuma_common::{SqlError, SqlResult};

use super::regex::invalid;

/// Spaces that break lines: those that do not are punctuation to glibc.
const SPACES: &str =
    r"\t-\r\x20\u{1680}\u{2000}-\u{2006}\u{2008}-\u{200A}\u{2028}\u{2029}\u{205F}\u{3000}";
const WORD: &str = r"\p{Alphabetic}\p{Nd}_";

/// What begins look-ahead and look-behind, after the parenthesis.
const LOOKS: [&str; 4] = ["?=", "?!", "?<=", "?<!"];

/// What stands between brackets for `[:name:]`.
fn class(name: &str) -> Option<&'static str> {
    Some(match name {
        "alpha" => r"\p{Alphabetic}[\p{Nd}--0-9]",
        "alnum" => r"\p{Alphabetic}\p{Nd}",
        "upper" => r"\p{Uppercase}\p{Lt}",
        "lower" => r"\p{Lowercase}\u{1C5}\u{1C8}\u{1CB}\u{1F2}",
        "digit" => "0-9",
        "xdigit" => "0-9A-Fa-f",
        "space" => SPACES,
        "blank" => r"\x20\t",
        "cntrl" => r"\x00-\x1F\x7F-\x9F",
        "ascii" => r"\x00-\x7F",
        "print" => r"[^\p{Cn}\p{Cc}\p{Zl}\p{Zp}]",
        "graph" => r"[^\p{Cn}\p{Cc}\p{Z}]\u{A0}\u{2007}\u{202F}",
        "punct" => r"[^\p{Cn}\p{Cc}\p{Z}\p{Alphabetic}\p{Nd}]\u{A0}\u{2007}\u{202F}",
        "word" => WORD,
        _ => return None,
    })
}

/// `\d`, `\w`, `\s` and their opposites.
fn shorthand(letter: char) -> Option<(&'static str, bool)> {
    Some(match letter {
        'd' => ("0-9", false),
        'w' => (WORD, false),
        's' => (SPACES, false),
        'D' => ("0-9", true),
        'W' => (WORD, true),
        'S' => (SPACES, true),
        _ => return None,
    })
}

/// The options that `(?letters)` sets at the start of a pattern, and what follows.
pub(super) fn embedded_options(pattern: &str) -> Option<(&str, &str)> {
    let (letters, rest) = pattern.strip_prefix("(?")?.split_once(')')?;
    let only_letters = !letters.is_empty() && letters.bytes().all(|b| b.is_ascii_alphabetic());
    only_letters.then_some((letters, rest))
}

/// The pattern in the crate's syntax.
pub(super) fn translate(pattern: &str) -> SqlResult<String> {
    let mut out = String::with_capacity(pattern.len() + 8);
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => escape(&mut chars, &mut out)?,
            '[' => {
                let rest = chars.as_str();
                if let Some(after) = rest.strip_prefix("[:<:]]") {
                    out.push_str("\\b{start}");
                    chars = after.chars();
                } else if let Some(after) = rest.strip_prefix("[:>:]]") {
                    out.push_str("\\b{end}");
                    chars = after.chars();
                } else {
                    chars = bracket(rest, &mut out)?.chars();
                }
            }
            '(' if LOOKS.iter().any(|look| chars.as_str().starts_with(look)) => {
                return Err(SqlError::unsupported(
                    "look-around in regular expressions is not supported",
                ));
            }
            // A brace that does not begin a bound is an ordinary character.
            '{' if !chars.as_str().starts_with(|c: char| c.is_ascii_digit()) => out.push_str("\\{"),
            other => out.push(other),
        }
    }
    Ok(out)
}

fn incomplete() -> SqlError {
    invalid("invalid escape \\ sequence")
}

/// What follows a backslash outside of brackets.
fn escape(chars: &mut std::str::Chars<'_>, out: &mut String) -> SqlResult<()> {
    let letter = chars.next().ok_or_else(incomplete)?;
    match letter {
        'y' => out.push_str("\\b"),
        'Y' => out.push_str("\\B"),
        'm' => out.push_str("\\b{start}"),
        'M' => out.push_str("\\b{end}"),
        'Z' => out.push_str("\\z"),
        '1'..='9' => {
            return Err(SqlError::unsupported(
                "back references in regular expressions are not supported",
            ));
        }
        other => match shorthand(other) {
            Some((members, negated)) => {
                out.push_str(if negated { "[^" } else { "[" });
                out.push_str(members);
                out.push(']');
            }
            None => character_escape(other, out),
        },
    }
    Ok(())
}

/// An escape that stands for one character, in brackets and outside of them.
fn character_escape(letter: char, out: &mut String) {
    match letter {
        'e' => out.push_str("\\x1B"),
        'b' => out.push_str("\\x08"),
        'B' => out.push_str("\\\\"),
        other if other.is_ascii_alphanumeric() => out.extend(['\\', other]),
        other => out.push_str(&regex::escape(other.encode_utf8(&mut [0; 4]))),
    }
}

/// Translates what follows an opening bracket up to the closing one, and gives what follows that.
fn bracket<'p>(rest: &'p str, out: &mut String) -> SqlResult<&'p str> {
    let unbalanced = || invalid("brackets [] not balanced");
    let mut chars = rest.chars();
    out.push('[');
    if let Some(after) = chars.as_str().strip_prefix('^') {
        out.push('^');
        chars = after.chars();
    }
    // A bracket that comes first is an ordinary character.
    if let Some(after) = chars.as_str().strip_prefix(']') {
        out.push_str("\\]");
        chars = after.chars();
    }
    while let Some(c) = chars.next() {
        match c {
            ']' => {
                out.push(']');
                return Ok(chars.as_str());
            }
            '\\' => {
                let letter = chars.next().ok_or_else(incomplete)?;
                match shorthand(letter) {
                    Some((members, false)) => out.push_str(members),
                    Some((members, true)) => {
                        out.push_str("[^");
                        out.push_str(members);
                        out.push(']');
                    }
                    None => character_escape(letter, out),
                }
            }
            '[' => {
                let inner = chars.as_str();
                if let Some(named) = inner.strip_prefix(':') {
                    let (name, after) = named.split_once(":]").ok_or_else(unbalanced)?;
                    let members = class(name).ok_or_else(|| invalid("invalid character class"))?;
                    out.push_str(members);
                    chars = after.chars();
                } else if let Some((end, named)) = ["=]", ".]"]
                    .into_iter()
                    .find_map(|end| Some((end, inner.strip_prefix(&end[..1])?)))
                {
                    let (element, after) = named.split_once(end).ok_or_else(unbalanced)?;
                    if element.chars().count() != 1 {
                        return Err(invalid("invalid collating element"));
                    }
                    out.push_str(&regex::escape(element));
                    chars = after.chars();
                } else {
                    out.push_str("\\[");
                }
            }
            '&' | '~' => out.extend(['\\', c]),
            '-' if chars.as_str().starts_with('-') => out.push_str("\\-"),
            // Blanks count in brackets even where the option x ignores them.
            '#' | ' ' | '\t'..='\r' => out.push_str(&format!("\\x{:02X}", u32::from(c))),
            other => out.push(other),
        }
    }
    Err(unbalanced())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(value: &str, pattern: &str) -> bool {
        regex::Regex::new(&translate(pattern).unwrap()).unwrap().is_match(value)
    }

    #[test]
    fn classes_are_of_all_scripts_but_digits() {
        for (class, members, others) in [
            ("[[:alpha:]]", "aé一٣Ⓐ", "1 _-\u{a0}"),
            ("[[:alnum:]]", "aé一٣1", " _-"),
            ("[[:upper:]]", "AÉΔǅ", "aé1"),
            ("[[:lower:]]", "aéδß", "AÉ1"),
            ("[[:digit:]]", "09", "٣a"),
            ("[[:space:]]", " \t\n\u{b}\r\u{2003}\u{3000}", "\u{a0}\u{85}a"),
            ("[[:blank:]]", " \t", "\n\u{2003}"),
            ("[[:punct:]]", "!_€\u{a0}", "aé1 \n"),
            ("[[:graph:]]", "aé!€", " \n\u{2003}"),
            ("[[:print:]]", "aé!€ \u{2003}", "\n\u{7f}"),
            (r"\w", "aé_1٣", "- "),
            (r"[^\W]", "aé_1٣", "- "),
            (r"\d", "7", "٣é"),
            (r"\S", "a\u{a0}", " \n"),
            (r"[\D]", "aé", "7"),
        ] {
            for c in members.chars() {
                assert!(matches(&c.to_string(), class), "{c:?} ~ {class}");
            }
            for c in others.chars() {
                assert!(!matches(&c.to_string(), class), "{c:?} !~ {class}");
            }
        }
    }

    #[test]
    fn brackets_keep_their_special_characters() {
        assert!(matches("]", "^[]]$"));
        assert!(matches("[", "^[[]$"));
        assert!(matches("-", "^[[.-.]]$"));
        assert!(matches("a b", "a[[:space:]]b"));
        assert!(matches("the cat", "[[:<:]]cat[[:>:]]"));
        assert!(translate("[[:letters:]]").is_err());
        assert!(translate("[a").is_err());
        assert_eq!(embedded_options("(?in)a"), Some(("in", "a")));
        assert_eq!(embedded_options("(?:a)"), None);
    }
}
