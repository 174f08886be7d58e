//! The results as Markdown, written into the place that a document has for them: no number there is typed
//! by hand.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::Result;
use crate::report::{Row, number};

const BEGIN: &str = "<!-- measured: begin -->\n";
const END: &str = "<!-- measured: end -->\n";

/// Puts the results between the two marks in `path`.
pub fn update(path: &Path, machine: &Value, rounds: u32, rows: &[Row]) -> Result<()> {
    let text = fs::read_to_string(path)?;
    let updated = replaced(&text, &markdown(machine, rounds, rows)?)
        .ok_or_else(|| format!("{} has no place for the results", path.display()))?;
    Ok(fs::write(path, updated)?)
}

fn replaced(text: &str, results: &str) -> Option<String> {
    let (before, rest) = text.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}{results}{END}{after}"))
}

fn markdown(machine: &Value, rounds: u32, rows: &[Row]) -> Result<String> {
    let fact = |name: &str| match &machine[name] {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let mut text = String::new();
    writeln!(
        text,
        "Measured {} on {} ({} cores that the worker, Kafka and MongoDB share, {}), Linux {}, mongod {}, \
         Kafka {}; {rounds} rounds.\n",
        jiff::Timestamp::now().strftime("on %Y-%m-%d"),
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
    for row in rows {
        for target in &row.targets {
            let met = if target.is_met { "met" } else { "**missed**" };
            writeln!(
                text,
                "| `{}` | {} | {} | {} | {met} |",
                row.name,
                target.what,
                number(target.value),
                target.target
            )?;
        }
    }
    for row in rows {
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
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_replace_those_before_them_and_nothing_else() {
        let text = format!("above\n{BEGIN}old\n{END}below\n");
        let expected = format!("above\n{BEGIN}new\n{END}below\n");
        assert_eq!(replaced(&text, "new\n"), Some(expected));
        assert_eq!(replaced("no marks", "new\n"), None);
    }
}
