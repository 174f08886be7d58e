//! The results as Markdown, written between two marks of a document: no number there is typed by hand.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::Result;
use crate::report::{Quantity, Row, number, optional_number};
use crate::results::Results;
use crate::rows::over_time;

const BEGIN: &str = "<!-- measured: begin -->\n";
const END: &str = "<!-- measured: end -->\n";

/// Replaces the text between the two marks in `path` by all tables.
pub fn update(path: &Path, results: &Results) -> Result<()> {
    put(path, &all_tables(results)?)
}

/// The same by the table of the systems alone. Fails where one of them was not measured.
pub fn update_comparison(path: &Path, results: &Results) -> Result<()> {
    put(path, &comparison(results)?)
}

fn put(path: &Path, tables: &str) -> Result<()> {
    let text = fs::read_to_string(path)?;
    let updated = replaced(&text, tables)
        .ok_or_else(|| format!("{} has no place for the results", path.display()))?;
    Ok(fs::write(path, updated)?)
}

/// The systems side by side, without their spread.
fn comparison(results: &Results) -> Result<String> {
    let mut text = String::from(
        "| batches of | | messages/s | CPU, µs a message | peak memory, MiB |\n|---|---|---|---|---|\n",
    );
    let systems = [
        ("worker", "this worker"),
        ("kafka_connect", "MongoDB's connector"),
        ("python_design", "the Python design"),
    ];
    let mut lines = vec![(
        "growing",
        "100 to 1,000, as shipped",
        over_time::AS_SHIPPED,
        "this worker",
    )];
    for (row, batches) in [("backlog-100", "100"), ("backlog-1000", "1,000")] {
        let of_row = systems.map(|(subject, system)| (row, batches, subject, system));
        lines.extend(of_row);
    }
    let mut days = BTreeSet::new();
    for (name, batches, subject, system) in lines {
        let row = results.rows.iter().find(|row| row.name == name);
        let row = row.ok_or_else(|| format!("`{name}` was not measured"))?;
        write!(text, "| {batches} | {system} |")?;
        for quantity in [Quantity::Throughput, Quantity::Cpu, Quantity::PeakRss] {
            let summary = row.summary_of(subject, quantity);
            let summary = summary.ok_or_else(|| format!("{name}: {subject} was not measured"))?;
            write!(text, " {} |", number(summary.median))?;
        }
        text.push('\n');
        days.insert(day(row, results)?);
    }
    let days: Vec<String> = days.into_iter().collect();
    writeln!(
        text,
        "\nMeasured on {}; medians of {} rounds.",
        days.join(" and "),
        results.rounds
    )?;
    Ok(text)
}

fn replaced(text: &str, results: &str) -> Option<String> {
    let (before, rest) = text.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}{results}{END}{after}"))
}

/// The day on which a row was measured.
fn day(row: &Row, results: &Results) -> Result<String> {
    let date = if row.date.is_empty() {
        &results.date
    } else {
        &row.date
    };
    let date: jiff::Timestamp = date.parse()?;
    Ok(date.strftime("%Y-%m-%d").to_string())
}

fn all_tables(results: &Results) -> Result<String> {
    let rounds = results.rounds;
    let date: jiff::Timestamp = results.date.parse()?;
    let fact = |name: &str| match &results.machine[name] {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let mut text = String::new();
    writeln!(
        text,
        "Measured {} on {} ({} cores that the worker, Kafka and MongoDB share, {}), Linux {}, mongod {}, \
         Kafka {}; {rounds} rounds.\n",
        date.strftime("on %Y-%m-%d"),
        fact("cpu"),
        fact("logical_cores"),
        fact("memory"),
        fact("kernel"),
        fact("mongod"),
        fact("kafka"),
    )?;
    writeln!(
        text,
        "| Row | What | Measured | Target | |\n|---|---|---|---|---|"
    )?;
    for row in &results.rows {
        for target in &row.targets {
            let met = if target.is_met { "met" } else { "**missed**" };
            writeln!(
                text,
                "| `{}` | {} | {} | {} | {met} |",
                row.name,
                target.what,
                optional_number(target.value),
                target.target
            )?;
        }
    }
    for row in &results.rows {
        write!(text, "\n`{}`: {}", row.name, row.title)?;
        let day = day(row, results)?;
        if day != date.strftime("%Y-%m-%d").to_string() {
            write!(text, " (measured on {day})")?;
        }
        text.push_str("\n\n");
        writeln!(
            text,
            "| | median | lower quartile | upper quartile | min | max |\n|---|---|---|---|---|---|"
        )?;
        for figure in &row.figures {
            let summary = figure.summary;
            write!(text, "| {} {} |", figure.subject, figure.quantity)?;
            for value in [
                summary.median,
                summary.lower_quartile,
                summary.upper_quartile,
                summary.min,
                summary.max,
            ] {
                write!(text, " {} |", number(value))?;
            }
            text.push('\n');
        }
        for note in &row.notes {
            writeln!(text, "\n{note}")?;
        }
        if row.name == over_time::NAME {
            writeln!(text, "\n![{}](performance/{})", row.title, over_time::PLOT)?;
        }
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn new_results_replace_the_old_ones_and_nothing_else() {
        let text = format!("above\n{BEGIN}old\n{END}below\n");
        let expected = format!("above\n{BEGIN}new\n{END}below\n");
        assert_eq!(replaced(&text, "new\n"), Some(expected));
        assert_eq!(replaced("no marks", "new\n"), None);
    }

    #[test]
    fn the_published_tables_are_those_of_the_published_results() {
        let project = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let results = Results::read(&project.join("docs/performance/results.json")).unwrap();
        let comparison = comparison(&results).unwrap();
        for (document, tables) in [
            ("docs/PERFORMANCE.md", &all_tables(&results).unwrap()),
            ("docs/COMPARISON.md", &comparison),
            ("README.md", &comparison),
        ] {
            let text = fs::read_to_string(project.join(document)).unwrap();
            assert!(
                text == replaced(&text, tables).unwrap(),
                "{document} differs from docs/performance/results.json: `bench publish` makes both from one file"
            );
        }
    }
}
