//! The results as Markdown, written between two marks of a document: no number there is typed by hand.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::Result;
use crate::report::{number, optional_number};
use crate::results::Results;
use crate::rows::over_time;

const BEGIN: &str = "<!-- measured: begin -->\n";
const END: &str = "<!-- measured: end -->\n";

/// Replaces the text between the two marks in `path` by the results.
pub fn update(path: &Path, results: &Results) -> Result<()> {
    let text = fs::read_to_string(path)?;
    let updated = replaced(&text, &markdown(results)?)
        .ok_or_else(|| format!("{} has no place for the results", path.display()))?;
    Ok(fs::write(path, updated)?)
}

fn replaced(text: &str, results: &str) -> Option<String> {
    let (before, rest) = text.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}{results}{END}{after}"))
}

fn markdown(results: &Results) -> Result<String> {
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
        writeln!(text, "\n`{}`: {}\n", row.name, row.title)?;
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
        let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs");
        let results = Results::read(&docs.join("performance/results.json")).unwrap();
        let text = fs::read_to_string(docs.join("PERFORMANCE.md")).unwrap();
        let expected = replaced(&text, &markdown(&results).unwrap()).unwrap();
        assert!(
            text == expected,
            "docs/PERFORMANCE.md differs from docs/performance/results.json: \
             `bench publish` makes both from one file"
        );
    }
}
