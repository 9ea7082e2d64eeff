//! Reading the scripts.

/// A file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Script {
    /// Tables and their distribution columns.
    pub tables: Vec<(String, String)>,
    pub setup: Vec<String>,
    pub cases: Vec<Case>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Case {
    pub name: String,
    /// Names of places; empty: all.
    pub only: Vec<String>,
    /// Why PostgreSQL answers something else.
    pub differs: Option<String>,
    pub steps: Vec<Step>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    pub session: String,
    pub sql: String,
    pub expected: Vec<String>,
}

impl Script {
    /// # Errors
    /// The first line that makes no sense.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut script = Self::default();
        for (number, line) in (1..).zip(text.lines()) {
            let line = line.trim_end();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            script.line(line).ok_or_else(|| format!("line {number}: {line}"))?;
        }
        Ok(script)
    }

    fn line(&mut self, line: &str) -> Option<()> {
        if let Some(expected) = line.strip_prefix("| ") {
            let step = self.cases.last_mut()?.steps.last_mut()?;
            step.expected.push(expected.to_owned());
            return Some(());
        }
        let (word, rest) = line.split_once(": ")?;
        match word {
            "tables" => {
                for table in rest.split(',') {
                    let (name, column) = table.trim().split_once(" by ")?;
                    self.tables.push((name.to_owned(), column.to_owned()));
                }
            }
            "setup" => self.setup.push(rest.to_owned()),
            "case" => self.cases.push(Case { name: rest.to_owned(), ..Case::default() }),
            "only" => {
                let places = rest.split(',').map(|place| place.trim().to_owned());
                self.cases.last_mut()?.only.extend(places);
            }
            "differs" => self.cases.last_mut()?.differs = Some(rest.to_owned()),
            session if !session.is_empty() && session.chars().all(char::is_alphanumeric) => {
                self.cases.last_mut()?.steps.push(Step {
                    session: session.to_owned(),
                    sql: rest.to_owned(),
                    expected: Vec::new(),
                });
            }
            _ => return None,
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_has_setup_cases_and_steps() {
        let text = "# about\ntables: t by a, u by b\nsetup: CREATE TABLE t (a int)\n\n\
                    case: one\nonly: local\na: SELECT 1\n| 1\nb: SELECT 2\n";
        let script = Script::parse(text).unwrap();
        assert_eq!(script.tables.len(), 2);
        assert_eq!(script.cases[0].only, ["local"]);
        assert_eq!(script.cases[0].steps[0].expected, ["1"]);
        assert!(Script::parse("a: SELECT 1").is_err(), "a step outside of a case");
        assert!(Script::parse("nonsense").is_err());
    }
}
