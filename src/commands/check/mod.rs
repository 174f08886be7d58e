//! `check` and `print-config`: print the configuration in effect, and check what it needs. Faults of the configuration
//! were reported when it was loaded. Nothing here changes anything in Kafka or MongoDB.

mod checklist;
mod connect;
mod kafka_side;
mod mongodb_side;
mod process;
mod sample;
mod sample_report;
mod shares;
mod side;

use serde_json::{Map, Value, json};

use super::output::{self, print_warning};
use crate::cli::Check;
use crate::config::Config;
use crate::failure::Failure;
use checklist::Checklist;
use sample_report::SampleReport;

/// Prints the configuration, and warns of what weakens a guarantee.
pub(super) fn check(config: &Config) -> Result<(), Failure> {
    for warning in config.warnings() {
        print_warning(&warning);
    }
    print_config(config)
}

pub(super) fn print_config(config: &Config) -> Result<(), Failure> {
    let effective = effective(config)?;
    output::print(format!("{effective}\n").as_bytes())
}

/// Prints the configuration, and what the servers say. Fails if a check failed, or the sample could not be taken.
pub(super) fn check_servers(config: &Config, arguments: &Check) -> Result<(), Failure> {
    let mut checklist = arguments.connect.then(|| connect::check(config));
    let failures = checklist.as_mut().map(Checklist::take_failures);
    let can_sample = failures.as_ref().is_none_or(Vec::is_empty);
    let sample = arguments.sample.filter(|_| can_sample);
    let sample = sample.map(|size| sample::take(config, size, arguments.from_beginning));
    let (sample, sample_failure) = match sample.transpose() {
        Ok(sample) => (sample, None),
        Err(failure) => (None, Some(failure)),
    };
    let text = if arguments.json {
        to_json(config, checklist.as_ref(), sample.as_ref())
    } else {
        let skipped = arguments.sample.is_some() && !can_sample;
        to_text(config, checklist.as_ref(), sample.as_ref(), skipped)?
    };
    output::print(text.as_bytes())?;
    let mut failures = failures.unwrap_or_default();
    if let Some(failure) = sample_failure {
        return Err(failure);
    }
    let message = match failures.len() {
        1 => return Err(failures.remove(0)),
        count => format!("{count} checks failed; the first"),
    };
    Failure::of_all(message, failures).map_or(Ok(()), Err)
}

fn to_text(
    config: &Config,
    checklist: Option<&Checklist>,
    sample: Option<&SampleReport>,
    is_sample_skipped: bool,
) -> Result<String, Failure> {
    let mut text = format!("{}\n", effective(config)?);
    if let Some(checklist) = checklist {
        text.push('\n');
        text.push_str(&checklist.to_text());
    }
    if let Some(sample) = sample {
        text.push('\n');
        text.push_str(&sample.to_text());
    }
    if is_sample_skipped {
        text.push_str("\nno sample was taken, because a check failed\n");
    }
    Ok(text)
}

fn to_json(
    config: &Config,
    checklist: Option<&Checklist>,
    sample: Option<&SampleReport>,
) -> String {
    let mut object = Map::new();
    object.insert("configuration".to_owned(), config.redacted_json());
    if let Some(checklist) = checklist {
        object.insert("ok".to_owned(), json!(checklist.is_good()));
        object.insert("checks".to_owned(), checklist.to_json());
    }
    if let Some(sample) = sample {
        object.insert("sample".to_owned(), sample.to_json());
    }
    format!("{}\n", Value::Object(object))
}

fn effective(config: &Config) -> Result<String, Failure> {
    serde_json::to_string_pretty(&config.redacted_json())
        .map_err(|error| Failure::running(error.to_string()))
}
