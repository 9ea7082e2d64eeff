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
    for figure in figures.0.iter().filter(of_workload) {
        let summary = figure.summary();
        println!(
            "{workload:20} {clients:>4} clients  {:18} {:>10.0}/s {:>9.3} ms {:>8.0} us CPU {:>6.0} MB {}",
            figure.server.name(),
            summary.rate,
            summary.latency_ms,
            summary.cpu_us,
            summary.memory_mb,
            ratio(figures, figure),
        );
    }
}

fn ratio(figures: &Figures, figure: &Figure) -> String {
    match (figure.server, figures.ratio(figure)) {
        (ServerKind::Postgres, _) | (_, None) => String::new(),
        (_, Some(ratio)) => format!("{ratio:.2}x"),
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
                "server": figure.server.name(),
                "rounds": figure.runs.len(),
                "per_second": summary.rate,
                "latency_ms": summary.latency_ms,
                "cpu_us": summary.cpu_us,
                "memory_mb": summary.memory_mb,
                "to_postgresql": figures.ratio(figure),
            })
        })
        .collect();
    format!("{:#}\n", serde_json::Value::from(entries))
}

fn markdown(figures: &Figures) -> String {
    let mut text = String::from(
        "| workload | clients | server | per second | to PostgreSQL | latency, ms | CPU, us | memory, MB |\n\
         |---|---|---|---|---|---|---|---|\n",
    );
    for figure in &figures.0 {
        let summary = figure.summary();
        let _ = writeln!(
            text,
            "| {} | {} | {} | {:.0} | {} | {:.2} | {:.0} | {:.0} |",
            figure.workload,
            figure.clients,
            figure.server.name(),
            summary.rate,
            ratio(figures, figure),
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
    const LEFT: f64 = 250.0;
    const WIDTH: f64 = 400.0;
    let bars: Vec<(&Figure, f64)> = figures
        .0
        .iter()
        .filter(|figure| figure.server != ServerKind::Postgres)
        .filter_map(|figure| Some((figure, figures.ratio(figure)?)))
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
        let colour = match figure.server {
            ServerKind::Embedded => "#e8913a",
            ServerKind::Processes | ServerKind::Postgres => "#c8641f",
            ServerKind::DuckDb => "#8a8a8a",
        };
        let how = match figure.server {
            ServerKind::Embedded => ", embedded",
            ServerKind::DuckDb => ", DuckDB",
            ServerKind::Processes | ServerKind::Postgres => "",
        };
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
    use crate::compare::figures::Run;

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
        assert!(json(&figures).contains("\"to_postgresql\": 1.5"));
        assert!(markdown(&figures).contains("| insert | 8 | Satsuma | 1500 | 1.50x |"));
        let svg = chart(&figures);
        assert!(svg.contains("insert, 8 clients") && svg.contains("1.50x"), "{svg}");
        let directory = tempfile::tempdir().unwrap();
        write(&figures, directory.path()).unwrap();
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 3);
    }
}
