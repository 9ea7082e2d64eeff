//! Settings (GUCs) of a session: what SET, SHOW and RESET see.
//!
//! Values are kept as the text that SHOW prints. SET LOCAL lasts until the transaction ends; a
//! rollback undoes SET as well.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use satsuma_common::datetime::TimeZone;
use satsuma_common::text::TextContext;
use satsuma_common::{SqlError, SqlResult, SqlState};
use satsuma_sql::functions::Settings as FunctionSettings;
use sqlparser::ast;

use super::parameters::{Change, Kind, PARAMETERS, Parameter};
use super::units::{self, Invalid};
use crate::session_api::{Severity, Timeouts};

#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// What RESET goes back to: the defaults, changed by the client's startup parameters.
    base: BTreeMap<String, String>,
    session: BTreeMap<String, String>,
    local: BTreeMap<String, String>,
    /// `session` as it was when the transaction began.
    saved: Option<BTreeMap<String, String>>,
    /// Names that clients must be told of.
    changed: Vec<&'static str>,
    /// Grows when names may stand for other objects than before.
    naming: u64,
    /// What [`Settings::all`] gave, until the next change.
    listed: OnceLock<Listed>,
    frequent: OnceLock<Frequent>,
}

/// What SET and SET LOCAL have set.
#[derive(Clone, Debug, PartialEq)]
pub struct Values {
    session: BTreeMap<String, String>,
    local: BTreeMap<String, String>,
}

/// What every statement asks for, read once after each change.
#[derive(Clone, Debug)]
pub struct Frequent {
    pub timeouts: Timeouts,
    pub lock_timeout: Option<Duration>,
    pub time_zone: String,
    pub application_name: String,
    pub default_isolation: String,
    pub default_read_only: bool,
    /// `citus.stat_statements_track` is `all`.
    pub tracks_statements: bool,
    /// `citus.stat_tenants_track` is `all`.
    pub tracks_tenants: bool,
    /// `satsuma.exchange_cost` in bytes.
    pub exchange_cost: f64,
    /// `client_min_messages`; `None` is above every notice.
    pub least_notice: Option<Severity>,
    /// Statements that take as long are logged.
    pub log_min_duration: Option<Duration>,
    /// All but the time.
    pub functions: FunctionSettings,
    pub text: TextContext,
}

/// A setting with the value that SHOW prints, and the one that RESET goes back to.
#[derive(Debug)]
pub struct ListedSetting {
    pub name: String,
    pub value: String,
    pub reset: String,
    pub description: &'static str,
}

/// In the order of names.
pub type Listed = Arc<Vec<ListedSetting>>;

impl Settings {
    /// `startup` are the client's, with names in lower case.
    pub fn new(startup: &[(String, String)]) -> SqlResult<Self> {
        let mut settings = Self::default();
        settings.start(startup)?;
        settings.changed = PARAMETERS
            .iter()
            .filter(|parameter| parameter.reported)
            .map(|parameter| parameter.name)
            .collect();
        Ok(settings)
    }

    /// Takes what the client asks for when it connects.
    pub fn start(&mut self, startup: &[(String, String)]) -> SqlResult<()> {
        let asked = startup.iter().filter(|(name, _)| !name.starts_with("_pq_."));
        asked.into_iter().try_for_each(|(name, value)| self.set_base(name, value))
    }

    /// What RESET goes back to.
    pub fn set_base(&mut self, name: &str, value: &str) -> SqlResult<()> {
        let value = normalize(name, value)?;
        self.base.insert(canonical(name), value);
        self.note(name);
        Ok(())
    }

    /// A value that the server decides: `is_superuser`, `session_authorization`.
    pub fn fix(&mut self, name: &str, value: &str) {
        self.base.insert(canonical(name), value.into());
        self.note(name);
    }

    pub fn show(&self, name: &str) -> SqlResult<String> {
        self.get(name).ok_or_else(|| unrecognized(name))
    }

    /// `None`: no such setting.
    pub fn get(&self, name: &str) -> Option<String> {
        let key = canonical(name);
        self.local
            .get(&key)
            .or_else(|| self.session.get(&key))
            .cloned()
            .or_else(|| self.reset_value(&key))
    }

    /// What RESET goes back to.
    fn reset_value(&self, name: &str) -> Option<String> {
        let base = self.base.get(&canonical(name)).cloned();
        base.or_else(|| parameter(name).map(|parameter| parameter.default.to_owned()))
    }

    /// SET and SET LOCAL.
    pub fn set(&mut self, name: &str, value: &str, local: bool) -> SqlResult<()> {
        let value = checked(name, value)?;
        let target = if local { &mut self.local } else { &mut self.session };
        target.insert(canonical(name), value);
        if !local {
            self.local.remove(&canonical(name));
        }
        self.note(name);
        Ok(())
    }

    /// RESET name, SET name TO DEFAULT.
    pub fn reset(&mut self, name: &str) -> SqlResult<()> {
        known(name)?;
        self.session.remove(&canonical(name));
        self.local.remove(&canonical(name));
        self.note(name);
        Ok(())
    }

    /// SET LOCAL name TO DEFAULT.
    pub fn reset_locally(&mut self, name: &str) -> SqlResult<()> {
        known(name)?;
        let value = self.reset_value(name).ok_or_else(|| unrecognized(name))?;
        self.local.insert(canonical(name), value);
        self.note(name);
        Ok(())
    }

    pub fn reset_all(&mut self) {
        let names: Vec<String> = self.session.keys().chain(self.local.keys()).cloned().collect();
        self.session.clear();
        self.local.clear();
        names.iter().for_each(|name| self.note(name));
    }

    pub fn values(&self) -> Values {
        Values { session: self.session.clone(), local: self.local.clone() }
    }

    /// Goes back to earlier values, of the same transaction.
    pub fn restore(&mut self, values: Values) {
        let now = self.values();
        if now == values {
            return;
        }
        let of =
            |values: &Values| [values.session.clone(), values.local.clone()].into_iter().flatten();
        let touched: Vec<String> = of(&now).chain(of(&values)).map(|(name, _)| name).collect();
        (self.session, self.local) = (values.session, values.local);
        touched.iter().for_each(|name| self.note(name));
    }

    pub fn begin(&mut self) {
        self.saved = Some(self.session.clone());
    }

    /// The transaction ended; `kept` unless it was rolled back.
    pub fn end(&mut self, kept: bool) {
        let mut touched: Vec<String> = self.local.keys().cloned().collect();
        self.local.clear();
        if let Some(saved) = self.saved.take()
            && !kept
            && saved != self.session
        {
            touched.extend(self.session.keys().chain(saved.keys()).cloned());
            self.session = saved;
        }
        touched.iter().for_each(|name| self.note(name));
    }

    /// All settings in the order of names, with their descriptions.
    pub fn all(&self) -> Listed {
        self.listed.get_or_init(|| Arc::new(self.list())).clone()
    }

    pub fn frequent(&self) -> &Frequent {
        self.frequent.get_or_init(|| {
            let text = |name: &str| self.get(name).unwrap_or_default();
            let functions = FunctionSettings {
                time_zone: text("TimeZone"),
                date_style: text("DateStyle"),
                interval_style: text("IntervalStyle"),
                extra_float_digits: text("extra_float_digits").parse().unwrap_or(1),
                bytea_output: text("bytea_output"),
                transaction_micros: 0,
                statement_micros: 0,
            };
            Frequent {
                timeouts: Timeouts {
                    statement: self.duration("statement_timeout"),
                    idle_in_transaction: self.duration("idle_in_transaction_session_timeout"),
                    idle_session: self.duration("idle_session_timeout"),
                },
                lock_timeout: self.duration("lock_timeout"),
                time_zone: functions.time_zone.clone(),
                application_name: text("application_name"),
                default_isolation: text("default_transaction_isolation"),
                default_read_only: self.flag("default_transaction_read_only"),
                least_notice: match text("client_min_messages").as_str() {
                    "error" => None,
                    "warning" => Some(Severity::Warning),
                    "notice" => Some(Severity::Notice),
                    "log" => Some(Severity::Log),
                    _ => Some(Severity::Debug),
                },
                tracks_statements: self.is("citus.stat_statements_track", "all"),
                tracks_tenants: self.is("citus.stat_tenants_track", "all"),
                exchange_cost: self.bytes("satsuma.exchange_cost"),
                log_min_duration: match text("log_min_duration_statement").as_str() {
                    "" | "-1" => None,
                    _ => Some(self.duration("log_min_duration_statement").unwrap_or_default()),
                },
                text: functions.context(),
                functions,
            }
        })
    }

    /// Equal numbers: names have been looked up in the same way in between.
    pub fn naming(&self) -> u64 {
        self.naming
    }

    /// Something else that decides what names stand for has changed: the role.
    pub fn rename(&mut self) {
        self.naming += 1;
    }

    fn list(&self) -> Vec<ListedSetting> {
        let mut all: BTreeMap<&str, &'static str> =
            PARAMETERS.iter().map(|parameter| (parameter.name, parameter.description)).collect();
        for name in self.base.keys().chain(self.session.keys()).chain(self.local.keys()) {
            all.entry(name).or_default();
        }
        let listed = all.into_iter().map(|(name, description)| ListedSetting {
            name: name.to_owned(),
            value: self.get(name).unwrap_or_default(),
            reset: self.reset_value(name).unwrap_or_default(),
            description,
        });
        listed.collect()
    }

    fn note(&mut self, name: &str) {
        self.listed = OnceLock::new();
        self.frequent = OnceLock::new();
        if name.eq_ignore_ascii_case("search_path") {
            self.naming += 1;
        }
        if let Some(parameter) = parameter(name)
            && parameter.reported
            && !self.changed.contains(&parameter.name)
        {
            self.changed.push(parameter.name);
        }
    }

    /// Reported settings that changed since the last call.
    pub fn take_changes(&mut self) -> Vec<(String, String)> {
        std::mem::take(&mut self.changed)
            .into_iter()
            .map(|name| (name.to_owned(), self.get(name).unwrap_or_default()))
            .collect()
    }

    /// A setting in milliseconds; `None` when it is 0, which means no limit.
    pub fn duration(&self, name: &str) -> Option<Duration> {
        let millis = units::parse_duration(&self.get(name)?).ok()?;
        u64::try_from(millis).ok().filter(|millis| *millis > 0).map(Duration::from_millis)
    }

    /// A setting in bytes.
    fn bytes(&self, name: &str) -> f64 {
        let size = self.get(name).and_then(|size| units::parse_size(&size).ok());
        size.unwrap_or_default() as f64 * 1024.0
    }

    /// Whether a setting has this value.
    pub fn is(&self, name: &str, value: &str) -> bool {
        self.get(name).as_deref() == Some(value)
    }

    pub fn flag(&self, name: &str) -> bool {
        self.get(name).as_deref() == Some("on")
    }

    pub fn integer(&self, name: &str) -> Option<i64> {
        self.get(name)?.parse().ok()
    }

    /// Schemas that unqualified names are looked up in, as the user listed them.
    pub fn search_path(&self, user: &str) -> Vec<String> {
        let listed = self.get("search_path").unwrap_or_default();
        split_list(&listed)
            .into_iter()
            .map(|name| if name == "$user" { user.to_owned() } else { name })
            .collect()
    }
}

/// A setting's name: `citus.shard_count`, `timezone`.
pub(crate) fn setting_name(name: &ast::ObjectName) -> String {
    let parts: Vec<&str> = name
        .0
        .iter()
        .filter_map(|part| part.as_ident())
        .map(|ident| ident.value.as_str())
        .collect();
    parts.join(".")
}

/// A value of SET as text. In a list of identifiers those that need quotes keep them.
pub(crate) fn setting_text(value: &ast::Expr, is_list: bool) -> String {
    let quoted = |text: &str| {
        if is_list { crate::catalog::quote_identifier(text) } else { text.to_owned() }
    };
    match value {
        ast::Expr::Identifier(ident) if ident.quote_style.is_some() => quoted(&ident.value),
        ast::Expr::Identifier(ident) => ident.value.clone(),
        ast::Expr::Value(value) => match value.value.clone().into_string() {
            Some(text) if is_list => text,
            Some(text) => text,
            None => value.to_string(),
        },
        // Several values.
        ast::Expr::Tuple(values) => {
            let texts: Vec<String> =
                values.iter().map(|value| setting_text(value, is_list)).collect();
            texts.join(", ")
        }
        other => other.to_string(),
    }
}

/// Elements of a list of identifiers: comma-separated, folded unless in double quotes.
fn split_list(text: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut current = String::new();
    let (mut quoted, mut was_quoted) = (false, false);
    let mut push = |current: &mut String, was_quoted: &mut bool| {
        let name = if *was_quoted {
            std::mem::take(current)
        } else {
            std::mem::take(current).trim().to_lowercase()
        };
        if !name.is_empty() || *was_quoted {
            names.push(name);
        }
        *was_quoted = false;
    };
    for c in text.chars() {
        match c {
            '"' => {
                quoted = !quoted;
                if !was_quoted {
                    current.clear();
                }
                was_quoted = true;
            }
            ',' if !quoted => push(&mut current, &mut was_quoted),
            c if was_quoted && !quoted && c.is_whitespace() => {}
            c => current.push(c),
        }
    }
    push(&mut current, &mut was_quoted);
    names
}

fn parameter(name: &str) -> Option<&'static Parameter> {
    PARAMETERS.iter().find(|parameter| parameter.name.eq_ignore_ascii_case(name))
}

/// Names compare without case; known ones are kept as PostgreSQL writes them.
pub(crate) fn canonical(name: &str) -> String {
    match parameter(name) {
        Some(parameter) => parameter.name.to_owned(),
        None => name.to_lowercase(),
    }
}

/// The value as SHOW prints it, of a setting that may be changed.
pub(crate) fn checked(name: &str, value: &str) -> SqlResult<String> {
    changeable(name, Change::Session)?;
    normalize(name, value)
}

/// As [`checked`], for ALTER SYSTEM.
pub(crate) fn checked_of_system(name: &str, value: &str) -> SqlResult<String> {
    changeable(name, Change::System)?;
    normalize(name, value)
}

const RESERVED_PREFIX: &str = "citus";

/// 42704 unless there is such a setting, 42602 where Citus would have to have it.
pub(crate) fn known(name: &str) -> SqlResult<()> {
    match parameter(name) {
        Some(_) => Ok(()),
        None => custom(name),
    }
}

/// PostgreSQL keeps any setting whose name has a dot for extensions to come, but for the names of
/// extensions that are there.
fn custom(name: &str) -> SqlResult<()> {
    match name.split_once('.') {
        None => Err(unrecognized(name)),
        Some((prefix, _)) if prefix.eq_ignore_ascii_case(RESERVED_PREFIX) => Err(SqlError::new(
            SqlState::INVALID_NAME,
            format!("invalid configuration parameter name \"{name}\""),
        )
        .detail(format!("\"{RESERVED_PREFIX}\" is a reserved prefix."))),
        Some(_) => Ok(()),
    }
}

fn changeable(name: &str, by: Change) -> SqlResult<()> {
    let Some(parameter) = parameter(name) else { return Ok(()) };
    let now = match parameter.change {
        Change::Nobody => "",
        Change::System if by == Change::Session => " now",
        Change::System | Change::Session => return Ok(()),
    };
    Err(SqlError::new(
        SqlState::CANT_CHANGE_RUNTIME_PARAM,
        format!("parameter \"{}\" cannot be changed{now}", parameter.name),
    ))
}

fn unrecognized(name: &str) -> SqlError {
    SqlError::new(
        SqlState::UNDEFINED_OBJECT,
        format!("unrecognized configuration parameter \"{name}\""),
    )
}

fn invalid(name: &str, value: &str) -> SqlError {
    SqlError::new(
        SqlState::INVALID_PARAMETER_VALUE,
        format!("invalid value for parameter \"{}\": \"{value}\"", canonical(name)),
    )
}

/// The value as SHOW prints it.
fn normalize(name: &str, value: &str) -> SqlResult<String> {
    let Some(parameter) = parameter(name) else {
        return custom(name).map(|()| value.to_owned());
    };
    match parameter.kind {
        Kind::Text => Ok(value.to_owned()),
        Kind::Flag => match value.to_ascii_lowercase().as_str() {
            "on" | "true" | "yes" | "1" | "t" | "y" => Ok("on".into()),
            "off" | "false" | "no" | "0" | "f" | "n" => Ok("off".into()),
            _ => Err(SqlError::new(
                SqlState::INVALID_PARAMETER_VALUE,
                format!("parameter \"{}\" requires a Boolean value", parameter.name),
            )),
        },
        Kind::Integer(low, high) => {
            let number: i64 = value.trim().parse().map_err(|_| invalid(name, value))?;
            within(parameter.name, (number, ""), (low, high))?;
            Ok(number.to_string())
        }
        Kind::Millis(low) => {
            let millis = units::parse_duration(value).map_err(|e| wrong_unit(e, name, value))?;
            within(parameter.name, (millis, " ms"), (low, i64::from(i32::MAX)))?;
            Ok(units::print_duration(millis))
        }
        Kind::Seconds(low, high) => {
            let seconds = units::parse_seconds(value).map_err(|e| wrong_unit(e, name, value))?;
            within(parameter.name, (seconds, " s"), (low, high))?;
            Ok(units::print_duration(seconds * 1000))
        }
        Kind::Memory(low) => {
            let size = units::parse_size(value).map_err(|e| wrong_unit(e, name, value))?;
            within(parameter.name, (size, " kB"), (low, i64::from(i32::MAX)))?;
            Ok(units::print_size(size))
        }
        Kind::Real(low, high) => {
            let number: f64 = value.trim().parse().map_err(|_| invalid(name, value))?;
            if number >= low && number <= high {
                return Ok(number.to_string());
            }
            Err(SqlError::new(
                SqlState::INVALID_PARAMETER_VALUE,
                format!(
                    "{number} is outside the valid range for parameter \"{}\" ({low} .. {high})",
                    parameter.name
                ),
            ))
        }
        Kind::Choice(choices) => choices
            .iter()
            .find(|choice| choice.eq_ignore_ascii_case(value))
            .map(|choice| (*choice).to_owned())
            .ok_or_else(|| {
                invalid(name, value).hint(format!("Available values: {}.", choices.join(", ")))
            }),
        Kind::Encoding => {
            // As PostgreSQL: letters and digits count, quotes and hyphens do not.
            let letters = value.chars().filter(char::is_ascii_alphanumeric);
            match letters.collect::<String>().to_ascii_lowercase().as_str() {
                "utf8" | "unicode" => Ok("UTF8".into()),
                "sqlascii" => Ok("SQL_ASCII".into()),
                _ => Err(invalid(name, value)
                    .hint("Satsuma speaks UTF8 only; set client_encoding to UTF8.")),
            }
        }
        Kind::TimeZone => TimeZone::parse_setting(value)
            .map(|zone| zone.to_string())
            .ok_or_else(|| invalid(name, value)),
        Kind::DateStyle => date_style(value).ok_or_else(|| invalid(name, value)),
    }
}

fn within(name: &str, (number, unit): (i64, &str), (low, high): (i64, i64)) -> SqlResult<()> {
    if (low..=high).contains(&number) {
        return Ok(());
    }
    Err(SqlError::new(
        SqlState::INVALID_PARAMETER_VALUE,
        format!(
            "{number}{unit} is outside the valid range for parameter \"{name}\" ({low} .. {high})"
        ),
    ))
}

fn wrong_unit(why: Invalid, name: &str, value: &str) -> SqlError {
    match why {
        Invalid::Number => invalid(name, value),
        Invalid::Unit(known) => {
            invalid(name, value).hint(format!("Valid units for this parameter are {known}."))
        }
    }
}

/// DateStyle as SHOW prints it: the format, then the order of fields. What is left out keeps its
/// default.
fn date_style(value: &str) -> Option<String> {
    let (mut format, mut order) = ("ISO", "MDY");
    for word in value.split([',', ' ']).filter(|word| !word.is_empty()) {
        match word.to_ascii_lowercase().as_str() {
            "iso" => format = "ISO",
            "sql" => format = "SQL",
            "postgres" => format = "Postgres",
            "german" => (format, order) = ("German", "DMY"),
            "mdy" | "us" | "noneuro" | "noneuropean" => order = "MDY",
            "dmy" | "euro" | "european" => order = "DMY",
            "ymd" => order = "YMD",
            "default" => (format, order) = ("ISO", "MDY"),
            _ => return None,
        }
    }
    Some(format!("{format}, {order}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn local_settings_end_with_the_transaction_and_rollback_undoes_set() {
        let mut settings = Settings::new(&[]).unwrap();
        settings.begin();
        settings.set("statement_timeout", "5s", true).unwrap();
        settings.set("application_name", "x", false).unwrap();
        assert_eq!(settings.show("statement_timeout").unwrap(), "5s");
        let kept = settings.values();
        settings.set("application_name", "y", false).unwrap();
        settings.set("search_path", "a", true).unwrap();
        settings.restore(kept);
        assert_eq!(settings.show("application_name").unwrap(), "x");
        assert_eq!(settings.show("search_path").unwrap(), "\"$user\", public");
        settings.end(false);
        assert_eq!(settings.show("statement_timeout").unwrap(), "0");
        assert_eq!(settings.show("application_name").unwrap(), "");
    }

    #[test]
    fn values_are_checked_and_printed_as_postgresql_prints_them() {
        let mut settings = Settings::new(&[]).unwrap();
        settings.set("Statement_Timeout", "120000", false).unwrap();
        assert_eq!(settings.show("statement_timeout").unwrap(), "2min");
        assert_eq!(settings.duration("statement_timeout"), Some(Duration::from_secs(120)));
        settings.set("citus.enable_repartition_joins", "TRUE", false).unwrap();
        assert_eq!(settings.show("citus.enable_repartition_joins").unwrap(), "on");
        let out = settings.set("citus.shard_count", "0", false).unwrap_err();
        assert_eq!(
            out.message(),
            "0 is outside the valid range for parameter \"citus.shard_count\" (1 .. 64000)"
        );
        assert_eq!(settings.set("nope", "1", false).unwrap_err().state().as_str(), "42704");
        assert_eq!(
            settings.set("server_version", "1", false).unwrap_err().state().as_str(),
            "55P02"
        );
        let reserved = settings.set("citus.nope", "1", false).unwrap_err();
        assert_eq!(reserved.message(), "invalid configuration parameter name \"citus.nope\"");
        let copies = settings.set("citus.shard_replication_factor", "2", false).unwrap_err();
        assert_eq!(copies.state().as_str(), "22023");
        settings.set("my.own", "anything", false).unwrap();
        assert_eq!(settings.show("my.own").unwrap(), "anything");
    }

    #[test]
    fn the_search_path_knows_the_user() {
        let mut settings = Settings::new(&[]).unwrap();
        assert_eq!(settings.search_path("ada"), ["ada", "public"]);
        settings.set("search_path", "Two, \"Three\"", false).unwrap();
        assert_eq!(settings.search_path("ada"), ["two", "Three"]);
    }
}
