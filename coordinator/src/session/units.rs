//! Numbers with units, as settings have them: durations in milliseconds and sizes in kilobytes,
//! each with the largest unit that divides it when it is shown.

/// A unit, and how many of the base it is.
type Unit = (&'static str, f64);

const DURATIONS: [Unit; 6] = [
    ("us", 0.001),
    ("ms", 1.0),
    ("s", 1_000.0),
    ("min", 60_000.0),
    ("h", 3_600_000.0),
    ("d", 86_400_000.0),
];
const SIZES: [Unit; 5] = [
    ("B", 1.0 / 1024.0),
    ("kB", 1.0),
    ("MB", 1024.0),
    ("GB", 1_048_576.0),
    ("TB", 1_073_741_824.0),
];

/// Why a text is no such number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Invalid {
    Number,
    /// There is no such unit; which there are.
    Unit(&'static str),
}

/// In milliseconds.
pub fn parse_duration(text: &str) -> Result<i64, Invalid> {
    parse(text, &DURATIONS, "\"us\", \"ms\", \"s\", \"min\", \"h\", and \"d\"")
}

/// In seconds, which are the unit where none is given.
pub fn parse_seconds(text: &str) -> Result<i64, Invalid> {
    match text.trim().parse::<f64>() {
        Ok(_) => parse_duration(&format!("{} s", text.trim())),
        Err(_) => parse_duration(text),
    }
    .map(|millis| (millis as f64 / 1000.0).round_ties_even() as i64)
}

/// In kilobytes.
pub fn parse_size(text: &str) -> Result<i64, Invalid> {
    parse(text, &SIZES, "\"B\", \"kB\", \"MB\", \"GB\", and \"TB\"")
}

pub fn print_duration(millis: i64) -> String {
    print(millis, &DURATIONS)
}

pub fn print_size(kilobytes: i64) -> String {
    print(kilobytes, &SIZES)
}

fn parse(text: &str, units: &[Unit], names: &'static str) -> Result<i64, Invalid> {
    let text = text.trim();
    let is_part = |c: char| c.is_ascii_digit() || matches!(c, '.' | '-' | '+');
    let end = text.find(|c: char| !is_part(c)).unwrap_or(text.len());
    let number: f64 = text[..end].parse().map_err(|_| Invalid::Number)?;
    let scale = match text[end..].trim() {
        "" => 1.0,
        unit => {
            let known = units.iter().find(|(name, _)| *name == unit);
            known.ok_or(Invalid::Unit(names))?.1
        }
    };
    let value = (number * scale).round_ties_even();
    // Exact in double, and more than any setting takes.
    if value.abs() < 9.0e15 { Ok(value as i64) } else { Err(Invalid::Number) }
}

fn print(value: i64, units: &[Unit]) -> String {
    if value <= 0 {
        return value.to_string();
    }
    let divides = |scale: f64| scale >= 1.0 && value % (scale as i64) == 0;
    match units.iter().rev().find(|(_, scale)| divides(*scale)) {
        Some((name, scale)) => format!("{}{name}", value / (*scale as i64)),
        None => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_read_and_shown() {
        assert_eq!(parse_size("64MB"), Ok(65_536));
        assert_eq!(parse_size("1.5 GB"), Ok(1_572_864));
        assert_eq!(parse_size("abc"), Err(Invalid::Number));
        assert!(matches!(parse_size("1QB"), Err(Invalid::Unit(_))));
        assert_eq!(print_size(65_536), "64MB");
        assert_eq!(print_size(65), "65kB");
        assert_eq!(parse_duration("2min"), Ok(120_000));
        assert_eq!(parse_duration("-1"), Ok(-1));
        assert_eq!(print_duration(120_000), "2min");
        assert_eq!(print_duration(0), "0");
        assert_eq!(print_duration(1_500), "1500ms");
    }
}
