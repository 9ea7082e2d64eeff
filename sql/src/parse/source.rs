//! A query string with an index of its lines: turns a parser's line and column into PostgreSQL's
//! character position.

use sqlparser::tokenizer::Location;

/// The text that positions refer to.
#[derive(Clone, Debug, Default)]
pub struct Source {
    text: String,
    /// Per line: bytes and characters before it.
    lines: Vec<(usize, u32)>,
    chars: u32,
    /// The byte where every so many characters begin: long statements ask for the place of each
    /// of their parts.
    marks: Vec<usize>,
}

/// Characters from one mark to the next.
const STRIDE: u32 = 64;

impl Source {
    pub fn new(text: &str) -> Self {
        let mut lines = vec![(0, 0)];
        let mut chars = 0u32;
        let mut marks = Vec::with_capacity(text.len() / STRIDE as usize + 1);
        for (at, c) in text.char_indices() {
            if chars.is_multiple_of(STRIDE) {
                marks.push(at);
            }
            chars += 1;
            if c == '\n' {
                lines.push((at + 1, chars));
            }
        }
        Self { text: text.into(), lines, chars, marks }
    }

    pub fn text(&self) -> &str {
        &self.text
    }

    /// Characters from 1. Line and column count from 1; line 0 is no location.
    pub fn position(&self, location: Location) -> u32 {
        match self.line(location) {
            Some((_, chars)) => {
                let column = u32::try_from(location.column.saturating_sub(1)).unwrap_or(0);
                chars.saturating_add(column).saturating_add(1).min(self.chars + 1)
            }
            None => 0,
        }
    }

    /// Position just after the last character.
    pub fn end(&self) -> u32 {
        self.chars + 1
    }

    /// Byte offset of a location.
    pub fn byte(&self, location: Location) -> usize {
        let Some((_, chars)) = self.line(location) else { return self.text.len() };
        let column = u32::try_from(location.column.saturating_sub(1)).unwrap_or(u32::MAX);
        let at = chars.saturating_add(column);
        let Some(mark) = self.marks.get((at / STRIDE) as usize) else { return self.text.len() };
        let mut rest = self.text[*mark..].char_indices();
        rest.nth((at % STRIDE) as usize).map_or(self.text.len(), |(beyond, _)| mark + beyond)
    }

    pub fn slice(&self, start: Location, end: Location) -> &str {
        let (start, end) = (self.byte(start), self.byte(end));
        self.text.get(start..end).unwrap_or("")
    }

    /// Position of the first character at or after `location` that is not white space, a
    /// parenthesis or bracket with what is in it, a closing one, a comment, or the type of a cast:
    /// where the operator after an operand starts.
    pub fn operator_after(&self, location: Location) -> u32 {
        self.after(location, usize::MAX)
    }

    /// The same where the operator is a cast, and the operand has so many casts in it.
    pub fn cast_after(&self, location: Location, casts: usize) -> u32 {
        self.after(location, casts)
    }

    fn after(&self, location: Location, casts: usize) -> u32 {
        let start = self.byte(location);
        let rest = self.text.get(start..).unwrap_or("");
        let skipped = operand_end(rest, casts);
        let chars = rest[..skipped].chars().count();
        self.position(location).saturating_add(u32::try_from(chars).unwrap_or(u32::MAX))
    }

    /// Position of the word before the one at a location.
    pub fn previous_word(&self, location: Location) -> u32 {
        let position = self.position(location);
        let before = self.text.get(..self.byte(location)).unwrap_or("");
        let outside = before.trim_end();
        let gap = before.chars().count() - outside.chars().count();
        let is_part = |c: char| c.is_alphanumeric() || c == '_';
        let word = outside.chars().rev().take_while(|c| is_part(*c)).count();
        match u32::try_from(gap + word) {
            Ok(back) if position > back && word > 0 => position - back,
            _ => position,
        }
    }

    /// Position of the word that ends before `location`, an opening parenthesis or bracket
    /// between them; of `location` itself where there is no such word.
    pub fn word_before(&self, location: Location) -> u32 {
        let position = self.position(location);
        if position == 0 {
            return 0;
        }
        let before = self.text.get(..self.byte(location)).unwrap_or("");
        let outside = before.trim_end();
        let Some(outside) = outside.strip_suffix(['(', '[']) else { return position };
        let outside = outside.trim_end();
        let is_part = |c: char| c.is_alphanumeric() || c == '_';
        let word = outside.len() - outside.trim_end_matches(is_part).len();
        if word == 0 {
            return position;
        }
        let back = before[outside.len() - word..].chars().count();
        position.saturating_sub(u32::try_from(back).unwrap_or(0))
    }

    fn line(&self, location: Location) -> Option<(usize, u32)> {
        let line = usize::try_from(location.line.checked_sub(1)?).ok()?;
        self.lines.get(line).copied()
    }
}

/// Bytes that still belong to an operand whose name has ended, up to so many casts.
fn operand_end(text: &str, mut casts: usize) -> usize {
    /// Words that follow the first of a type's name.
    const MORE: [&str; 7] = ["precision", "varying", "with", "without", "time", "zone", "array"];
    let (mut at, mut depth) = (0usize, 0usize);
    // Within a type's name: whether a word of it has been seen.
    let mut named: Option<bool> = None;
    while let Some(c) = text[at..].chars().next() {
        let rest = &text[at..];
        let is_part = |c: char| c.is_alphanumeric() || c == '_' || c == '.';
        let word = match c {
            '"' => rest[1..].find('"').map_or(rest.len(), |end| end + 2),
            _ => rest.find(|c| !is_part(c)).unwrap_or(rest.len()),
        };
        match c {
            '(' | '[' => depth += 1,
            ')' | ']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        let is_cast =
            depth == 0 && (rest.starts_with("::") || rest[..word].eq_ignore_ascii_case("as"));
        if is_cast && named != Some(false) {
            if casts == 0 {
                break;
            }
            casts -= 1;
        }
        at += if c.is_whitespace() || depth > 0 || matches!(c, ')' | ']') {
            c.len_utf8()
        } else if rest.starts_with("--") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("::") {
            named = Some(false);
            2
        } else if is_cast {
            named = Some(false);
            word
        } else if named == Some(false) && word > 0
            || named == Some(true) && MORE.iter().any(|it| rest[..word].eq_ignore_ascii_case(it))
        {
            named = Some(true);
            word
        } else {
            break;
        };
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_count_characters_over_lines() {
        let source = Source::new("sélect\n  x\n");
        assert_eq!(source.position(at(1, 1)), 1);
        assert_eq!(source.position(at(2, 3)), 10);
        assert_eq!(source.slice(at(1, 2), at(1, 4)), "él");
        assert_eq!(source.slice(at(2, 3), at(2, 4)), "x");
        assert_eq!(source.position(at(0, 0)), 0);
        assert_eq!(source.end(), 12);
    }

    #[test]
    fn places_are_found_in_long_lines() {
        let source = Source::new(&"é+".repeat(300));
        for column in [1, 2, 63, 64, 65, 128, 129, 600] {
            let char = source.slice(at(1, column), at(1, column + 1));
            assert_eq!(char, if column % 2 == 1 { "é" } else { "+" }, "{column}");
        }
        assert_eq!(source.byte(at(1, 601)), 900);
    }

    fn at(line: u64, column: u64) -> Location {
        Location { line, column }
    }

    #[test]
    fn a_call_starts_at_its_word() {
        let source = Source::new("é + substring ( 'a')");
        assert_eq!(source.word_before(Location { line: 1, column: 17 }), 5);
        assert_eq!(source.word_before(Location { line: 1, column: 5 }), 5);
    }

    #[test]
    fn operator_follows_closing_parentheses() {
        let source = Source::new("(1)  + 2");
        assert_eq!(source.operator_after(Location { line: 1, column: 3 }), 6);
    }

    #[test]
    fn operator_follows_the_type_of_a_cast() {
        let after = |text: &str| Source::new(text).operator_after(Location { line: 1, column: 2 });
        assert_eq!(after("a::text + 1"), 9);
        assert_eq!(after("a::varchar(10)[] || 1"), 18);
        assert_eq!(after("a::timestamp(3) without time zone - b"), 35);
        assert_eq!(after("a AS \"my type\") = 1"), 17);
        assert_eq!(after("a -- é\n + 1"), 9);
        assert_eq!(after("a between 1 and 2"), 3);
        let cast = |text: &str, casts| {
            Source::new(text).cast_after(Location { line: 1, column: 2 }, casts)
        };
        assert_eq!(cast("a::text::date", 0), 2);
        assert_eq!(cast("a::text::date", 1), 8);
        assert_eq!(cast("a as text)::date", 1), 11);
    }
}
