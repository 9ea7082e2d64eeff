//! `to_char` and `to_number`: numbers by a template such as `FM999,990.00`.

use crate::datetime::ordinal_suffix;
use crate::error::{SqlError, SqlResult, SqlState};

use super::{Numeric, NumericError, pow10_big};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Key {
    Nine,
    Zero,
    Point,
    Comma,
    Group,
    Currency,
    Sign,
    Minus,
    Plus,
    PlusMinus,
    Brackets,
    Roman { upper: bool },
    Ordinal { upper: bool },
    Shift,
    Exponent,
    Literal(char),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum SignPlace {
    None,
    Before,
    After,
}

/// A template, taken apart.
struct Template {
    keys: Vec<Key>,
    /// Digits before and behind the point.
    before: usize,
    after: usize,
    /// Digits that V shifts by.
    shift: usize,
    fill: bool,
    point: bool,
    /// Position from which leading zeros are shown, if any are.
    zero_start: Option<usize>,
    zero_end: usize,
    sign_place: SignPlace,
    digits_before_sign: usize,
    minus: bool,
    plus: bool,
    brackets: bool,
    roman: bool,
    exponent: bool,
}

fn syntax(message: &str) -> SqlError {
    SqlError::new(SqlState::SYNTAX_ERROR, message)
}

impl Template {
    fn parse(text: &str) -> SqlResult<Self> {
        let mut out = Self {
            keys: Vec::new(),
            before: 0,
            after: 0,
            shift: 0,
            fill: false,
            point: false,
            zero_start: None,
            zero_end: 0,
            sign_place: SignPlace::None,
            digits_before_sign: 0,
            minus: false,
            plus: false,
            brackets: false,
            roman: false,
            exponent: false,
        };
        let mut shifting = false;
        let mut rest = text;
        while let Some(first) = rest.chars().next() {
            if rest.get(..2).is_some_and(|head| head.eq_ignore_ascii_case("fm")) {
                out.fill = true;
                rest = &rest[2..];
                continue;
            }
            if first == '"' {
                let (literal, after) = rest[1..].split_once('"').unwrap_or((&rest[1..], ""));
                out.keys.extend(literal.chars().map(Key::Literal));
                rest = after;
                continue;
            }
            let (key, length) = key_at(rest).unwrap_or((Key::Literal(first), first.len_utf8()));
            rest = &rest[length..];
            out.take(key, &mut shifting)?;
            out.keys.push(key);
        }
        Ok(out)
    }

    fn take(&mut self, key: Key, shifting: &mut bool) -> SqlResult<()> {
        if self.exponent && matches!(key, Key::Nine | Key::Zero | Key::Point) {
            return Err(syntax("\"EEEE\" must be the last pattern used"));
        }
        match key {
            Key::Nine if self.brackets => {
                return Err(syntax("\"9\" must be ahead of \"PR\""));
            }
            Key::Zero if self.brackets => {
                return Err(syntax("\"0\" must be ahead of \"PR\""));
            }
            Key::Nine | Key::Zero if *shifting => self.shift += 1,
            Key::Nine if self.point => self.after += 1,
            Key::Nine => self.before += 1,
            Key::Zero => {
                if self.zero_start.is_none() && !self.point {
                    self.zero_start = Some(self.before);
                }
                if self.point {
                    self.after += 1;
                } else {
                    self.before += 1;
                }
                self.zero_end = self.before + self.after;
            }
            Key::Point if self.point => return Err(syntax("multiple decimal points")),
            Key::Point if *shifting => {
                return Err(syntax("cannot use \"V\" and decimal point together"));
            }
            Key::Point => self.point = true,
            Key::Sign => {
                if self.sign_place != SignPlace::None {
                    return Err(syntax("cannot use \"S\" twice"));
                }
                if self.plus || self.minus || self.brackets {
                    return Err(syntax(
                        "cannot use \"S\" and \"PL\"/\"MI\"/\"SG\"/\"PR\" together",
                    ));
                }
                if self.point {
                    self.sign_place = SignPlace::After;
                } else {
                    self.sign_place = SignPlace::Before;
                    self.digits_before_sign = self.before;
                }
            }
            Key::Minus | Key::Plus | Key::PlusMinus | Key::Brackets
                if self.sign_place != SignPlace::None =>
            {
                return Err(syntax("cannot use \"S\" and \"PL\"/\"MI\"/\"SG\"/\"PR\" together"));
            }
            Key::Minus => self.minus = true,
            Key::Plus => self.plus = true,
            Key::PlusMinus => (self.minus, self.plus) = (true, true),
            Key::Brackets => self.brackets = true,
            Key::Roman { .. } => self.roman = true,
            Key::Shift if self.point => {
                return Err(syntax("cannot use \"V\" and decimal point together"));
            }
            Key::Shift => *shifting = true,
            Key::Exponent => self.exponent = true,
            Key::Comma | Key::Group | Key::Currency | Key::Ordinal { .. } | Key::Literal(_) => {}
        }
        Ok(())
    }
}

fn key_at(text: &str) -> Option<(Key, usize)> {
    const KEYS: &[(&str, Key)] = &[
        ("EEEE", Key::Exponent),
        ("MI", Key::Minus),
        ("PL", Key::Plus),
        ("PR", Key::Brackets),
        ("SG", Key::PlusMinus),
        ("RN", Key::Roman { upper: true }),
        ("TH", Key::Ordinal { upper: true }),
        ("9", Key::Nine),
        ("0", Key::Zero),
        (".", Key::Point),
        (",", Key::Comma),
        ("D", Key::Point),
        ("G", Key::Group),
        ("L", Key::Currency),
        ("S", Key::Sign),
        ("V", Key::Shift),
    ];
    KEYS.iter().find_map(|(name, key)| {
        let head = text.get(..name.len())?;
        if head == *name {
            return Some((*key, name.len()));
        }
        (head == name.to_ascii_lowercase()).then_some((
            match key {
                Key::Roman { .. } => Key::Roman { upper: false },
                Key::Ordinal { .. } => Key::Ordinal { upper: false },
                other => *other,
            },
            name.len(),
        ))
    })
}

impl Numeric {
    /// `to_char(numeric, text)`
    pub fn to_char(&self, template: &str) -> SqlResult<String> {
        let template = Template::parse(template)?;
        if template.roman {
            return Ok(self.roman(&template));
        }
        let (negative, digits) = if template.exponent {
            return Ok(self.scientific(&template));
        } else {
            self.digits_for(&template)
        };
        Ok(Writer::new(&template, negative, digits).run())
    }

    /// The digits that the template is filled with, `#` when they do not fit.
    fn digits_for(&self, template: &Template) -> (bool, String) {
        let places = template.before + template.shift;
        let overflow = || {
            let mut marks = "#".repeat(places + template.after + 1);
            marks.replace_range(places..=places, ".");
            marks
        };
        if !self.is_finite() {
            // PostgreSQL prints the words where they fit.
            let word = if self.is_nan() { "NaN" } else { "Infinity" };
            let digits = if places >= word.len() { word.to_owned() } else { overflow() };
            return (self.is_negative(), digits);
        }
        let shifted = match Self::from_big(pow10_big(template.shift as u32), 0) {
            Ok(power) if template.shift > 0 => self.mul(&power).unwrap_or(Self::NAN),
            _ => self.clone(),
        };
        let rounded = shifted.round(template.after as i32);
        let text = rounded.abs().to_string();
        let whole = text.find('.').unwrap_or(text.len());
        (rounded.is_negative(), if whole > places { overflow() } else { text })
    }

    fn scientific(&self, template: &Template) -> String {
        if !self.is_finite() {
            let mut marks = "#".repeat(template.before + template.after + 6);
            marks.replace_range(0..1, " ");
            let point = template.before + 1;
            marks.replace_range(point..=point, ".");
            return marks;
        }
        let exponent = if self.is_zero() {
            0
        } else {
            i64::from(self.digits()) - i64::from(self.scale().unwrap_or(0)) - 1
        };
        let power = |n: i64| Self::from_big(pow10_big(n.unsigned_abs() as u32), 0);
        let at = |exponent: i64| {
            let scaled = match (power(exponent), exponent >= 0) {
                (Ok(power), true) => self.abs().div_to_scale(&power, template.after as u32),
                (Ok(power), false) => {
                    self.abs().mul(&power).map(|value| value.round(template.after as i32))
                }
                (Err(error), _) => Err(error),
            };
            scaled.unwrap_or(Self::NAN)
        };
        // 9.995 to two places shows as 10.00e+00: PostgreSQL 15 does not carry.
        let mantissa = at(exponent);
        let sign = if self.is_negative() { '-' } else { ' ' };
        let exponent_sign = if exponent < 0 { '-' } else { '+' };
        format!("{sign}{mantissa}e{exponent_sign}{:02}", exponent.abs())
    }

    fn roman(&self, template: &Template) -> String {
        const PARTS: [(i64, &str); 13] = [
            (1000, "M"),
            (900, "CM"),
            (500, "D"),
            (400, "CD"),
            (100, "C"),
            (90, "XC"),
            (50, "L"),
            (40, "XL"),
            (10, "X"),
            (9, "IX"),
            (5, "V"),
            (4, "IV"),
            (1, "I"),
        ];
        let Some(mut number) = self.to_i64().ok().filter(|n| (1..=3999).contains(n)) else {
            return "#".repeat(15);
        };
        let mut text = String::new();
        for (value, letters) in PARTS {
            while number >= value {
                text.push_str(letters);
                number -= value;
            }
        }
        let lower = template.keys.contains(&Key::Roman { upper: false });
        let text = if lower { text.to_ascii_lowercase() } else { text };
        if template.fill { text } else { format!("{text:>15}") }
    }

    /// `to_number(text, text)`
    pub fn from_char(text: &str, template: &str) -> SqlResult<Self> {
        let template = Template::parse(template)?;
        if template.roman {
            return Err(SqlError::unsupported("\"RN\" not supported for input"));
        }
        if template.exponent {
            return Err(SqlError::unsupported("\"EEEE\" not supported for input"));
        }
        let mut digits = String::new();
        let mut negative = false;
        let (mut before, mut after, mut point) = (0, 0, false);
        for c in text.chars() {
            match c {
                '0'..='9' if point && after < template.after + template.shift => {
                    digits.push(c);
                    after += 1;
                }
                '0'..='9' if !point && before < template.before + template.shift => {
                    digits.push(c);
                    before += 1;
                }
                '.' if template.point && !point => {
                    digits.push('.');
                    point = true;
                }
                '-' | '<' => negative = true,
                _ => {}
            }
        }
        if before + after == 0 {
            return Err(NumericError::Syntax(" ".into()).into());
        }
        let value = Self::parse(&digits)?;
        let value = if template.shift > 0 {
            value.div(&Self::from_big(pow10_big(template.shift as u32), 0)?)?
        } else {
            value.round(template.after as i32)
        };
        Ok(if negative { value.neg() } else { value })
    }
}

/// Fills a template with digits, key by key.
struct Writer<'a> {
    template: &'a Template,
    negative: bool,
    digits: Vec<u8>,
    /// Next digit to write.
    next: usize,
    /// Digit positions of the template seen so far.
    position: usize,
    /// Positions that stay blank before the first digit.
    blanks: usize,
    /// Digits up to here are shown in fill mode.
    last_relevant: Option<usize>,
    /// Positions in all, to know where the closing sign goes.
    count: usize,
    sign_written: bool,
    brackets: bool,
    sign_place: SignPlace,
    in_number: bool,
    out: String,
}

impl<'a> Writer<'a> {
    fn new(template: &'a Template, negative: bool, digits: String) -> Self {
        let digits = digits.into_bytes();
        let places = template.before + template.shift;
        let whole = digits.iter().position(|b| *b == b'.').unwrap_or(digits.len());
        let blanks = places.saturating_sub(whole);
        let (mut brackets, mut sign_place) = (template.brackets, template.sign_place);
        let sign_written = if template.plus || template.minus {
            !template.plus || template.minus
        } else {
            if !negative && template.fill {
                brackets = false;
            }
            if sign_place == SignPlace::Before && template.before == template.digits_before_sign {
                sign_place = SignPlace::After;
            }
            !negative && template.fill && sign_place == SignPlace::None
        };
        let mut count = (places + template.after).saturating_sub(1);
        if !sign_written && blanks == 0 {
            count += 1;
        }
        let last_relevant = (template.fill && template.point)
            .then(|| last_relevant(&digits, template.zero_end, blanks))
            .flatten();
        Self {
            template,
            negative,
            digits,
            next: 0,
            position: 0,
            blanks,
            last_relevant,
            count,
            sign_written,
            brackets,
            sign_place,
            in_number: false,
            out: String::new(),
        }
    }

    fn run(mut self) -> String {
        let fill = self.template.fill;
        for key in &self.template.keys {
            match key {
                Key::Nine | Key::Zero | Key::Point => self.digit(*key == Key::Zero),
                Key::Comma | Key::Group => match (self.in_number, fill) {
                    (true, _) => self.out.push(','),
                    (false, true) => {}
                    (false, false) => self.out.push(' '),
                },
                Key::Currency => self.out.push(' '),
                Key::Minus => match (self.negative, fill) {
                    (true, _) => self.out.push('-'),
                    (false, true) => {}
                    (false, false) => self.out.push(' '),
                },
                Key::Plus => match (self.negative, fill) {
                    (false, _) => self.out.push('+'),
                    (true, true) => {}
                    (true, false) => self.out.push(' '),
                },
                Key::PlusMinus => self.out.push(if self.negative { '-' } else { '+' }),
                Key::Ordinal { upper } => {
                    let overflow = self.digits.first() == Some(&b'#');
                    if !overflow && !self.negative && !self.template.point {
                        let digits = String::from_utf8_lossy(&self.digits);
                        let suffix = ordinal_suffix(&digits);
                        let suffix =
                            if *upper { suffix.to_ascii_uppercase() } else { suffix.to_owned() };
                        self.out.push_str(&suffix);
                    }
                }
                Key::Literal(c) => self.out.push(*c),
                Key::Sign | Key::Brackets | Key::Shift | Key::Exponent | Key::Roman { .. } => {}
            }
        }
        self.out
    }

    fn has_zero(&self) -> bool {
        self.template.zero_start.is_some()
    }

    /// A lone 0 before the point is not shown by a 9: `.1`, not `0.1`.
    fn hides_zero(&self) -> bool {
        !self.has_zero()
            && self.next == 0
            && self.digits.first() == Some(&b'0')
            && self.template.after != 0
    }

    fn relevant_is_point(&self) -> bool {
        self.last_relevant.is_some_and(|at| self.digits.get(at) == Some(&b'.'))
    }

    fn digit(&mut self, is_zero_key: bool) {
        self.in_number = false;
        let zero_start = self.template.zero_start;
        let zeros_begin = zero_start == Some(self.position);
        if !self.sign_written
            && (self.position >= self.blanks || zeros_begin)
            && (!self.hides_zero() || self.relevant_is_point())
        {
            self.opening_sign();
        }
        let fill = self.template.fill;
        let in_blanks = self.position < self.blanks;
        if in_blanks && zero_start.is_none_or(|start| start > self.position) {
            if !fill {
                self.out.push(' ');
            }
        } else if in_blanks {
            self.out.push('0');
            self.in_number = true;
        } else {
            match self.digits.get(self.next) {
                Some(b'.') => self.out.push('.'),
                Some(digit) => {
                    let irrelevant =
                        self.last_relevant.is_some_and(|last| self.next > last) && !is_zero_key;
                    if irrelevant {
                    } else if self.hides_zero() {
                        if !fill {
                            self.out.push(' ');
                        } else if self.relevant_is_point() {
                            self.out.push('0');
                        }
                    } else {
                        self.out.push(char::from(*digit));
                        self.in_number = true;
                    }
                }
                None => {}
            }
            if self.next < self.digits.len() {
                self.next += 1;
            }
        }
        let mut end = self.count + usize::from(self.blanks > 0) + usize::from(self.template.point);
        if self.last_relevant == Some(self.next) {
            end = self.position;
        }
        if self.position + 1 == end {
            self.closing_sign();
        }
        self.position += 1;
    }

    fn opening_sign(&mut self) {
        match self.sign_place {
            SignPlace::Before => self.out.push(if self.negative { '-' } else { '+' }),
            SignPlace::After => return,
            SignPlace::None if self.brackets => {
                self.out.push(if self.negative { '<' } else { ' ' });
            }
            SignPlace::None if self.negative => self.out.push('-'),
            SignPlace::None if !self.template.fill => self.out.push(' '),
            SignPlace::None => {}
        }
        self.sign_written = true;
    }

    fn closing_sign(&mut self) {
        if self.sign_written && self.brackets {
            self.out.push(if self.negative { '>' } else { ' ' });
        } else if self.sign_place == SignPlace::After {
            self.out.push(if self.negative { '-' } else { '+' });
        }
    }
}

/// Position of the last digit behind the point that fill mode shows: trailing zeros are cut,
/// except where the template has a 0.
fn last_relevant(digits: &[u8], zero_end: usize, blanks: usize) -> Option<usize> {
    let point = digits.iter().position(|b| *b == b'.')?;
    let last = digits.iter().rposition(|b| *b != b'0').unwrap_or(point).max(point);
    if zero_end > blanks {
        return Some(last.max((zero_end - blanks).min(digits.len() - 1)));
    }
    Some(last)
}
