//! Figures for people: lines on the way, then JSON, Markdown and a chart.

use std::fmt::Write as _;
use std::path::Path;

use super::Error;
use super::figures::{Figure, Figures};
use super::servers::ServerKind;

/// A workload's line of every server.
pub fn print(figures: &Figures, part: &str, workload: &str, clients: u32) {
    let of_workload =
        |f: &&Figure| f.part == part && f.workload == workload && f.clients == clients;
    let found: Vec<_> = figures.0.iter().filter(of_workload).collect();
    let width = found.iter().map(|figure| figure.contender.name().len()).fold(18, usize::max);
    for figure in found {
        let name = figure.contender.name();
        let start = format!("{workload:20} {clients:>4} clients  {name:width$}");
        if let Some(failure) = &figure.failure {
            println!("{start} {failure}");
            continue;
        }
        let summary = figure.summary();
        println!(
            "{start} {:>10}/s {:>9.3} ms {:>8.0} us CPU {:>6.0} MB {}",
            rate(summary.rate),
            summary.latency_ms,
            summary.cpu_us,
            summary.memory_mb,
            ratios(figures, figure),
        );
    }
}

fn ratios(figures: &Figures, figure: &Figure) -> String {
    let to_duckdb = ratio(figures, figure, ServerKind::DuckDb);
    let to_postgresql = ratio(figures, figure, ServerKind::Postgres);
    if to_duckdb.is_empty() {
        to_postgresql
    } else {
        format!("{to_postgresql} ({to_duckdb} DuckDB)")
    }
}

/// Of what takes seconds, a few digits.
fn rate(rate: f64) -> String {
    if rate < 10.0 { format!("{rate:.3}") } else { format!("{rate:.0}") }
}

fn ratio(figures: &Figures, figure: &Figure, to: ServerKind) -> String {
    match figures.ratio(figure, to) {
        Some(ratio) if figure.contender.server != to => format!("{ratio:.2}x"),
        _ => String::new(),
    }
}

/// `figures.json`, `figures.md` and `figures.svg` in a directory.
pub fn write(figures: &Figures, directory: &Path) -> Result<(), Error> {
    let io = || Error::io(directory.display().to_string());
    std::fs::create_dir_all(directory).map_err(io())?;
    std::fs::write(directory.join("figures.json"), json(figures)).map_err(io())?;
    std::fs::write(directory.join("figures.md"), markdown(figures)).map_err(io())?;
    std::fs::write(directory.join("figures.svg"), chart(figures)).map_err(io())
}

fn json(figures: &Figures) -> String {
    let entries: Vec<_> = figures
        .0
        .iter()
        .map(|figure| {
            let summary = figure.summary();
            serde_json::json!({
                "part": figure.part,
                "workload": figure.workload,
                "clients": figure.clients,
                "server": figure.contender.server.name(),
                "layout": figure.contender.layout,
                "failure": figure.failure.as_ref().map(ToString::to_string),
                "rounds": figure.runs.len(),
                "per_second": summary.rate,
                "latency_ms": summary.latency_ms,
                "cpu_us": summary.cpu_us,
                "memory_mb": summary.memory_mb,
                "to_postgresql": figures.ratio(figure, ServerKind::Postgres),
                "to_duckdb": figures.ratio(figure, ServerKind::DuckDb),
            })
        })
        .collect();
    format!("{:#}\n", serde_json::Value::from(entries))
}

fn markdown(figures: &Figures) -> String {
    let mut text = String::from(
        "| workload | clients | server | per second | to PostgreSQL | to DuckDB | latency, ms | CPU, us | memory, MB |\n\
         |---|---|---|---|---|---|---|---|---|\n",
    );
    for figure in &figures.0 {
        let name = figure.contender.name();
        let _ = write!(text, "| {} | {} | {name} |", figure.workload, figure.clients);
        if let Some(failure) = &figure.failure {
            // A message may have lines and bars, a cell of a table has none.
            let failure = failure.to_string().replace(['|', '\n'], " ");
            let _ = writeln!(text, " {failure} | | | | | |");
            continue;
        }
        let summary = figure.summary();
        let _ = writeln!(
            text,
            " {} | {} | {} | {:.2} | {:.0} | {:.0} |",
            rate(summary.rate),
            ratio(figures, figure, ServerKind::Postgres),
            ratio(figures, figure, ServerKind::DuckDb),
            summary.latency_ms,
            summary.cpu_us,
            summary.memory_mb,
        );
    }
    text
}

/// Bars: the rate of each other server as a multiple of PostgreSQL's, which is the line at 1.
fn chart(figures: &Figures) -> String {
    const ROW: f64 = 22.0;
    const LEFT: f64 = 320.0;
    const WIDTH: f64 = 400.0;
    let bars: Vec<(&Figure, f64)> = figures
        .0
        .iter()
        .filter(|figure| figure.contender.server != ServerKind::Postgres)
        .filter_map(|figure| Some((figure, figures.ratio(figure, ServerKind::Postgres)?)))
        .collect();
    let most = bars.iter().map(|(_, ratio)| *ratio).fold(1.0, f64::max);
    let scale = WIDTH / most;
    let height = ROW * (bars.len() as f64 + 2.0);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{:.0}\" height=\"{height:.0}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n\
         <text x=\"8\" y=\"16\">Rate relative to PostgreSQL 15 (line: the same)</text>\n",
        LEFT + WIDTH + 70.0
    );
    for (index, (figure, ratio)) in bars.iter().enumerate() {
        let y = ROW * (index as f64 + 1.2);
        let colour = match figure.contender.server {
            ServerKind::Embedded => "#e8913a",
            ServerKind::Processes | ServerKind::Postgres => "#c8641f",
            ServerKind::DuckDb => "#8a8a8a",
        };
        let mut how = match figure.contender.server {
            ServerKind::Embedded => ", embedded".to_owned(),
            ServerKind::DuckDb => ", DuckDB".to_owned(),
            ServerKind::Processes | ServerKind::Postgres => String::new(),
        };
        if let Some(layout) = figure.contender.layout {
            how.push_str(&format!(", {layout}"));
        }
        let _ = writeln!(
            svg,
            "<text x=\"8\" y=\"{:.1}\">{}, {} clients{how}</text>\n\
             <rect x=\"{LEFT}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"{:.1}\" fill=\"{colour}\"/>\n\
             <text x=\"{:.1}\" y=\"{:.1}\">{ratio:.2}x</text>",
            y + 13.0,
            figure.workload,
            figure.clients,
            ratio * scale,
            ROW - 5.0,
            LEFT + ratio * scale + 5.0,
            y + 13.0,
        );
    }
    let _ = write!(
        svg,
        "<line x1=\"{x:.1}\" y1=\"{ROW}\" x2=\"{x:.1}\" y2=\"{height:.0}\" stroke=\"#333\"/>\n</svg>\n",
        x = LEFT + scale
    );
    svg
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::compare::figures::{Contender, Failure, Run};

    #[test]
    fn a_report_has_every_figure_and_the_ratios() {
        let run = |operations| Run {
            operations,
            elapsed: Duration::from_secs(1),
            latency: Duration::from_millis(1),
            cpu: Duration::from_millis(1),
            memory: 0,
        };
        let mut figures = Figures::default();
        figures.add("transactions", "insert", 8, ServerKind::Postgres, run(1000));
        figures.add("transactions", "insert", 8, ServerKind::Processes, run(1500));
        let contender = Contender { server: ServerKind::Processes, layout: Some("by keys") };
        let failure = Failure::Failed("a | b\nc".into());
        figures.fail("tpch", "Q01", 1, contender, failure);
        assert!(json(&figures).contains("\"to_postgresql\": 1.5"));
        assert!(json(&figures).contains("\"layout\": \"by keys\""));
        assert!(markdown(&figures).contains("| insert | 8 | Satsuma | 1500 | 1.50x |"));
        let failed = "| Q01 | 1 | Satsuma, by keys | failed: a   b c | | | | | |\n";
        assert!(markdown(&figures).contains(failed), "{}", markdown(&figures));
        let svg = chart(&figures);
        assert!(svg.contains("insert, 8 clients") && svg.contains("1.50x"), "{svg}");
        let directory = tempfile::tempdir().unwrap();
        write(&figures, directory.path()).unwrap();
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 3);
    }
}
