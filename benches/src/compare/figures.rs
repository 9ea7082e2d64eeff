//! What was measured, and what it comes to.

use std::time::Duration;

use super::servers::ServerKind;

/// One run of a workload on a server.
#[derive(Clone, Copy, Debug)]
pub struct Run {
    pub operations: u64,
    pub elapsed: Duration,
    /// Mean latency as the client saw it.
    pub latency: Duration,
    /// CPU time that the server used.
    pub cpu: Duration,
    /// The server's memory at the end, in bytes.
    pub memory: u64,
}

impl Run {
    pub fn rate(&self) -> f64 {
        self.operations as f64 / self.elapsed.as_secs_f64().max(1e-9)
    }
}

/// All runs of a workload on a server.
#[derive(Clone, Debug)]
pub struct Figure {
    pub part: &'static str,
    pub workload: String,
    pub clients: u32,
    pub server: ServerKind,
    pub runs: Vec<Run>,
}

/// Medians over the runs.
#[derive(Clone, Copy, Debug)]
pub struct Summary {
    /// Operations a second.
    pub rate: f64,
    pub latency_ms: f64,
    pub cpu_us: f64,
    pub memory_mb: f64,
}

impl Figure {
    pub fn summary(&self) -> Summary {
        let of = |value: &dyn Fn(&Run) -> f64| median(self.runs.iter().map(value).collect());
        Summary {
            rate: of(&Run::rate),
            latency_ms: of(&|run| run.latency.as_secs_f64() * 1e3),
            cpu_us: of(&|run| run.cpu.as_secs_f64() * 1e6 / run.operations.max(1) as f64),
            memory_mb: of(&|run| run.memory as f64 / f64::from(1 << 20)),
        }
    }
}

/// Figures in the order in which they were measured.
#[derive(Debug, Default)]
pub struct Figures(pub Vec<Figure>);

impl Figures {
    pub fn add(
        &mut self,
        part: &'static str,
        workload: &str,
        clients: u32,
        server: ServerKind,
        run: Run,
    ) {
        let same = |figure: &&mut Figure| {
            figure.part == part
                && figure.workload == workload
                && figure.clients == clients
                && figure.server == server
        };
        match self.0.iter_mut().find(same) {
            Some(figure) => figure.runs.push(run),
            None => self.0.push(Figure {
                part,
                workload: workload.into(),
                clients,
                server,
                runs: vec![run],
            }),
        }
    }

    /// How many times the rate of PostgreSQL in the same workload.
    pub fn ratio(&self, figure: &Figure) -> Option<f64> {
        let measure = self.0.iter().find(|other| {
            other.server == ServerKind::Postgres
                && other.part == figure.part
                && other.workload == figure.workload
                && other.clients == figure.clients
        })?;
        let base = measure.summary().rate;
        (base > 0.0).then(|| figure.summary().rate / base)
    }
}

pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => 0.0,
        n if n % 2 == 1 => values[n / 2],
        n => (values[n / 2 - 1] + values[n / 2]) / 2.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(operations: u64) -> Run {
        Run {
            operations,
            elapsed: Duration::from_secs(2),
            latency: Duration::from_millis(3),
            cpu: Duration::from_secs(1),
            memory: 2 << 20,
        }
    }

    #[test]
    fn figures_are_medians_and_ratios_are_to_postgresql() {
        let mut figures = Figures::default();
        for operations in [100, 300, 200] {
            figures.add("p", "w", 8, ServerKind::Postgres, run(operations));
        }
        figures.add("p", "w", 8, ServerKind::Embedded, run(400));
        figures.add("p", "other", 8, ServerKind::Embedded, run(400));
        assert_eq!(figures.0.len(), 3);
        let summary = figures.0[0].summary();
        assert_eq!((summary.rate, summary.cpu_us, summary.memory_mb), (100.0, 5000.0, 2.0));
        assert_eq!(figures.ratio(&figures.0[1]), Some(2.0));
        assert_eq!(figures.ratio(&figures.0[2]), None);
        assert_eq!(median(vec![4.0, 1.0, 3.0, 2.0]), 2.5);
    }
}
