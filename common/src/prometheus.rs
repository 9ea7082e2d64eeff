//! The text that Prometheus scrapes.

use std::fmt::Write;

/// Metrics under way to a scraper, family after family.
#[derive(Debug, Default)]
pub struct Exposition(String);

impl Exposition {
    /// A value that goes up and down.
    pub fn gauge(&mut self, name: &str, help: &str, value: impl Into<f64>) {
        self.family(name, help, "gauge");
        self.sample(name, &[], value);
    }

    /// A count since the process started.
    pub fn counter(&mut self, name: &str, help: &str, value: u64) {
        self.family(name, help, "counter");
        self.sample(name, &[], value as f64);
    }

    /// The head of a family whose samples follow.
    pub fn family(&mut self, name: &str, help: &str, kind: &str) {
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    pub fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl Into<f64>) {
        let shown: Vec<_> =
            labels.iter().map(|(label, text)| format!("{label}=\"{}\"", escaped(text))).collect();
        let labels =
            if shown.is_empty() { String::new() } else { format!("{{{}}}", shown.join(",")) };
        let _ = writeln!(self.0, "{name}{labels} {}", value.into());
    }

    pub fn finish(self) -> String {
        self.0
    }
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_and_samples() {
        let mut metrics = Exposition::default();
        metrics.counter("satsuma_statements_total", "Statements", 3);
        metrics.family("satsuma_placements", "Placements", "gauge");
        metrics.sample("satsuma_placements", &[("node", "a\"b")], 2u32);
        let expected = "# HELP satsuma_statements_total Statements\n\
                        # TYPE satsuma_statements_total counter\n\
                        satsuma_statements_total 3\n\
                        # HELP satsuma_placements Placements\n\
                        # TYPE satsuma_placements gauge\n\
                        satsuma_placements{node=\"a\\\"b\"} 2\n";
        assert_eq!(metrics.finish(), expected);
    }
}
