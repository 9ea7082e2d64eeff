//! Settings as `pg_settings` shows them: numbers in the setting's own unit, where SHOW prints
//! them with the largest unit that fits.

use super::parameters::{Change, Kind, PARAMETERS, Parameter};
use super::settings::ListedSetting;
use super::units;
use crate::system_relations::SettingRow;

/// Sizes that PostgreSQL counts in pages, and the most of them.
const IN_PAGES: [(&str, i32); 4] = [
    ("effective_cache_size", i32::MAX),
    ("min_parallel_index_scan_size", i32::MAX / 3),
    ("min_parallel_table_scan_size", i32::MAX / 3),
    ("temp_buffers", i32::MAX / 2),
];
const PAGE_KILOBYTES: i64 = 8;

impl ListedSetting {
    pub fn row(&self) -> SettingRow {
        let parameter = PARAMETERS.iter().find(|parameter| parameter.name == self.name);
        let boot = parameter.map_or(self.reset.as_str(), |parameter| parameter.default);
        let numeral = |text: &str| match parameter {
            Some(parameter) => parameter.numeral(text),
            None => text.to_owned(),
        };
        SettingRow {
            name: self.name.clone(),
            value: numeral(&self.value),
            description: self.description.into(),
            boot_value: numeral(boot),
            reset_value: numeral(&self.reset),
            unit: parameter.and_then(Parameter::unit),
            kind: parameter.map_or("string", Parameter::vartype),
            bounds: parameter.and_then(Parameter::bounds),
            choices: parameter.and_then(Parameter::choices),
            context: match parameter {
                Some(Parameter { change: Change::Nobody, .. }) => "internal",
                Some(Parameter { change: Change::System, .. }) => "sighup",
                _ => "user",
            },
        }
    }
}

impl Parameter {
    fn is_fixed(&self) -> bool {
        self.change == Change::Nobody
    }

    fn most_pages(&self) -> Option<i64> {
        IN_PAGES.iter().find(|(name, _)| *name == self.name).map(|(_, most)| i64::from(*most))
    }

    fn unit(&self) -> Option<&'static str> {
        match self.kind {
            Kind::Millis(_) => Some("ms"),
            Kind::Seconds(..) => Some("s"),
            Kind::Memory(_) if self.most_pages().is_some() => Some("8kB"),
            Kind::Memory(_) => Some("kB"),
            _ => None,
        }
    }

    /// The value without its unit.
    fn numeral(&self, text: &str) -> String {
        let number = match self.kind {
            Kind::Millis(_) => units::parse_duration(text),
            Kind::Seconds(..) => units::parse_duration(text).map(|millis| millis / 1000),
            Kind::Memory(_) if self.most_pages().is_some() => {
                units::parse_size(text).map(|size| size / PAGE_KILOBYTES)
            }
            Kind::Memory(_) => units::parse_size(text),
            _ => return text.to_owned(),
        };
        number.map_or_else(|_| text.to_owned(), |number| number.to_string())
    }

    fn vartype(&self) -> &'static str {
        match self.kind {
            Kind::Flag => "bool",
            Kind::Integer(..) | Kind::Millis(_) | Kind::Seconds(..) | Kind::Memory(_) => "integer",
            Kind::Real(..) => "real",
            // Flags of which only one value is supported.
            Kind::Choice(choices) if choices.iter().all(|choice| is_flag(choice)) => "bool",
            Kind::Choice(_) => "enum",
            Kind::Text if self.is_fixed() && is_flag(self.default) => "bool",
            Kind::Text if self.is_fixed() && self.default.parse::<i64>().is_ok() => "integer",
            Kind::Text | Kind::Encoding | Kind::TimeZone | Kind::DateStyle => "string",
        }
    }

    fn bounds(&self) -> Option<(String, String)> {
        let integers = |low: i64, high: i64| Some((low.to_string(), high.to_string()));
        let most = i64::from(i32::MAX);
        match self.kind {
            Kind::Integer(low, high) => integers(low, high),
            Kind::Millis(low) => integers(low, most),
            Kind::Seconds(low, high) => integers(low, high),
            Kind::Memory(low) => match self.most_pages() {
                Some(most) => integers(low / PAGE_KILOBYTES, most),
                None => integers(low, most),
            },
            Kind::Real(low, high) => {
                let high = if high == f64::MAX { "1.79769e+308".into() } else { high.to_string() };
                Some((low.to_string(), high))
            }
            _ => None,
        }
    }

    fn choices(&self) -> Option<Vec<String>> {
        match self.kind {
            Kind::Choice(choices) if self.vartype() == "enum" => {
                Some(choices.iter().map(|choice| (*choice).to_owned()).collect())
            }
            _ => None,
        }
    }
}

fn is_flag(text: &str) -> bool {
    matches!(text, "on" | "off")
}
