//! `dead-letters show`: shows one dead letter as text, or writes its value unchanged.

use std::fmt::Write as _;
use std::time::Duration;

use crate::cli::ShowDeadLetter;
use crate::commands::output::{self, printable};
use crate::commands::servers::reader_of;
use crate::config::Config;
use crate::core::partition::{Offset, TopicId, TopicPartition};
use crate::failure::Failure;
use crate::kafka::{ConsumedMessage, Next, Ranges};

/// How long one read waits for the record.
const READ_WAIT: Duration = Duration::from_secs(1);
/// The most characters shown of a header's name or value, of the key, and of the value.
const HEADER_CHARACTERS: usize = 1000;
const KEY_CHARACTERS: usize = 1000;
const VALUE_CHARACTERS: usize = 4000;

pub(super) fn show(config: &Config, arguments: &ShowDeadLetter) -> Result<(), Failure> {
    let topic = &config.kafka.dead_letter_topic;
    let partition = TopicPartition::new(TopicId::DEAD_LETTERS, arguments.partition);
    let offset = Offset(arguments.offset);
    let mut reader = reader_of(config, TopicId::DEAD_LETTERS, topic)?;
    let bounds = reader.bounds()?;
    let bounds = bounds
        .ok_or_else(|| Failure::running(format!("there is no dead letter topic `{topic}`")))?;
    let bounds = bounds.get(&partition).ok_or_else(|| {
        Failure::running(format!(
            "the dead letter topic has no partition {partition}"
        ))
    })?;
    if !(bounds.earliest..bounds.latest).contains(&offset) {
        return Err(Failure::running(format!(
            "partition {partition} of `{topic}` has no offset {offset}: its records begin at offset {} \
             and end before offset {}",
            bounds.earliest, bounds.latest
        )));
    }
    let range = Ranges::from([(partition, offset..offset.next())]);
    reader.read(&range)?;
    loop {
        match reader.next(READ_WAIT)? {
            Next::Record(letter) => {
                return if arguments.raw {
                    output::print(letter.value().unwrap_or_default())
                } else {
                    output::print(text(topic, &letter).as_bytes())
                };
            }
            Next::Nothing => {}
            Next::End => {
                return Err(Failure::running(format!(
                    "there is no record at offset {offset} of partition {partition} of `{topic}`"
                )));
            }
        }
    }
}

fn text(topic: &str, letter: &ConsumedMessage<'_>) -> String {
    let mut text = format!(
        "{topic}, partition {}, offset {}",
        letter.partition(),
        letter.offset()
    );
    if let Some(written_at) = letter.timestamp().instant() {
        let _ = write!(text, ", written {written_at:.3}");
    }
    text.push_str("\n\nheaders\n");
    let headers: Vec<(String, String)> = letter.each_header().map(header_text).collect();
    if headers.is_empty() {
        text.push_str("  none\n");
    }
    let width = headers
        .iter()
        .map(|(name, _)| name.chars().count())
        .max()
        .unwrap_or(0);
    for (name, value) in &headers {
        let _ = writeln!(text, "  {name:<width$}  {value}");
    }
    if let Some(original) = letter.dead_letter_headers().timestamp.instant() {
        let _ = writeln!(text, "\nthe original message's timestamp is {original:.3}");
    }
    let key = value_text(letter.key(), KEY_CHARACTERS);
    let value = value_text(letter.value(), VALUE_CHARACTERS);
    let _ = writeln!(text, "\nkey    {key}");
    let _ = writeln!(text, "value  {value}");
    text
}

/// A header's name and value. `None` is a header whose name isn't UTF-8, which rdkafka can't read.
fn header_text(header: Option<(&str, Option<&[u8]>)>) -> (String, String) {
    match header {
        Some((name, value)) => (
            printable(name.as_bytes(), HEADER_CHARACTERS),
            value_text(value, HEADER_CHARACTERS),
        ),
        None => (
            "(a name that isn't UTF-8)".to_owned(),
            "(not readable)".to_owned(),
        ),
    }
}

fn value_text(bytes: Option<&[u8]>, characters: usize) -> String {
    match bytes {
        None => "(none)".to_owned(),
        Some([]) => "(empty)".to_owned(),
        Some(bytes) => printable(bytes, characters),
    }
}
