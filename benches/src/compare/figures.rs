//! What was measured, and what it comes to.

use std::time::Duration;

use super::Error;
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

/// A server, and how its tables are spread where that is measured too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Contender {
    pub server: ServerKind,
    pub layout: Option<&'static str>,
}

impl Contender {
    pub fn name(self) -> String {
        let server = self.server.name();
        self.layout.map_or_else(|| server.into(), |layout| format!("{server}, {layout}"))
    }
}

impl From<ServerKind> for Contender {
    fn from(server: ServerKind) -> Self {
        Self { server, layout: None }
    }
}

/// Why there is no figure.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    #[error("no answer in {} s", .0.as_secs())]
    TimedOut(Duration),
    #[error("failed: {0}")]
    Failed(String),
    #[error("WRONG: {0}")]
    Wrong(String),
}

/// All runs of a workload on a server.
#[derive(Clone, Debug)]
pub struct Figure {
    pub part: &'static str,
    pub workload: String,
    pub clients: u32,
    pub contender: Contender,
    pub runs: Vec<Run>,
    /// The first of its failures: the runs are then worth nothing.
    pub failure: Option<Failure>,
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
    pub fn is_measured(&self) -> bool {
        self.failure.is_none() && !self.runs.is_empty()
    }

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
        contender: impl Into<Contender>,
        run: Run,
    ) {
        self.entry(part, workload, clients, contender.into()).runs.push(run);
    }

    pub fn fail(
        &mut self,
        part: &'static str,
        workload: &str,
        clients: u32,
        contender: impl Into<Contender>,
        failure: Failure,
    ) {
        self.entry(part, workload, clients, contender.into()).failure.get_or_insert(failure);
    }

    fn entry(
        &mut self,
        part: &'static str,
        workload: &str,
        clients: u32,
        contender: Contender,
    ) -> &mut Figure {
        let same = |figure: &Figure| {
            figure.part == part
                && figure.workload == workload
                && figure.clients == clients
                && figure.contender == contender
        };
        let at = self.0.iter().position(same).unwrap_or_else(|| {
            let (runs, failure, workload) = (Vec::new(), None, workload.into());
            self.0.push(Figure { part, workload, clients, contender, runs, failure });
            self.0.len() - 1
        });
        &mut self.0[at]
    }

    /// An error if an answer was wrong, although the rest was measured.
    pub fn verdict(&self) -> Result<(), Error> {
        let wrong = self.0.iter().find_map(|figure| match &figure.failure {
            Some(Failure::Wrong(problem)) => Some((figure, problem)),
            _ => None,
        });
        wrong.map_or(Ok(()), |(figure, problem)| {
            let server = figure.contender.server.name();
            let workload = figure.workload.clone();
            Err(Error::Wrong { server, workload, problem: problem.clone() })
        })
    }

    /// How many times the rate of another server, which knows no layouts, in the same workload.
    pub fn ratio(&self, figure: &Figure, to: ServerKind) -> Option<f64> {
        let measure = self.0.iter().find(|other| {
            other.contender == to.into()
                && other.part == figure.part
                && other.workload == figure.workload
                && other.clients == figure.clients
        })?;
        let base = measure.is_measured().then(|| measure.summary().rate)?;
        (base > 0.0 && figure.is_measured()).then(|| figure.summary().rate / base)
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
        assert_eq!(figures.ratio(&figures.0[1], ServerKind::Postgres), Some(2.0));
        assert_eq!(figures.ratio(&figures.0[2], ServerKind::Postgres), None);
        assert_eq!(median(vec![4.0, 1.0, 3.0, 2.0]), 2.5);
    }

    #[test]
    fn layouts_are_figures_of_their_own_and_a_failure_is_none() {
        let layout = |layout| Contender { server: ServerKind::Processes, layout: Some(layout) };
        let mut figures = Figures::default();
        figures.add("p", "w", 1, ServerKind::Postgres, run(100));
        figures.add("p", "w", 1, layout("a"), run(300));
        figures.add("p", "w", 1, layout("b"), run(200));
        figures.fail("p", "w", 1, layout("b"), Failure::Wrong("rows".into()));
        figures.fail("p", "w", 1, layout("b"), Failure::Failed("later".into()));
        assert_eq!(figures.0.len(), 3);
        assert_eq!(figures.ratio(&figures.0[1], ServerKind::Postgres), Some(3.0));
        assert_eq!(figures.ratio(&figures.0[1], ServerKind::DuckDb), None);
        assert_eq!(figures.ratio(&figures.0[2], ServerKind::Postgres), None);
        assert_eq!(figures.0[2].failure, Some(Failure::Wrong("rows".into())));
        assert_eq!(figures.0[2].contender.name(), "Satsuma, b");
    }
}
