//! The rules about several keys. A rule isn't checked if the value of one of its keys has been refused already.

use std::sync::Arc;

use serde_json::Value;

use super::errors::ConfigErrors;
use super::layer::Faulty;
use super::model::{Config, Consumer, OnFlood};
use super::ratio::Ratio;
use super::write_concern::{JOURNAL_PATH, W_PATH};
use super::{indexes, message, properties};
use crate::core::document::MessageRules;

/// The longest `database.collection` of MongoDB, in bytes (of an unsharded collection).
const NAMESPACE_BYTES: usize = 255;

/// Reports each broken rule, and computes the values that depend on several keys. `given` has the values that the file
/// or the environment gives, without the defaults.
pub(super) fn apply(
    config: &mut Config,
    given: &Value,
    faulty: &Faulty,
    errors: &mut ConfigErrors,
) {
    let are_sound = |paths: &[&str]| !paths.iter().any(|path| faulty.contains(path));
    let Config {
        kafka,
        message,
        mongodb,
        consumer,
        control,
        ..
    } = config;

    if are_sound(&["kafka.topic", "kafka.dead_letter_topic"])
        && kafka.topic == kafka.dead_letter_topic
    {
        let fault = "the same as `kafka.topic`: dead letters would be read again, for ever; give it \
                     a topic of its own";
        errors.add("`kafka.dead_letter_topic`", fault);
    }

    let bytes = mongodb.database.len() + 1 + mongodb.collection.len();
    if are_sound(&["mongodb.database", "mongodb.collection"]) && bytes > NAMESPACE_BYTES {
        let fault = format!(
            "{bytes} bytes long together with `mongodb.database` and the dot between them, which \
             MongoDB limits to {NAMESPACE_BYTES}; use a shorter name"
        );
        errors.add("`mongodb.collection`", fault);
    }

    judge_batches(consumer, faulty, errors);
    judge_rejections(consumer, faulty, errors);

    if are_sound(&["consumer.on_flood", "control.socket"])
        && consumer.on_flood == OnFlood::Pause
        && control.socket.is_empty()
    {
        let fault = "found `pause`, which only the command `resume` ends: set `control.socket`, or use `stop`";
        errors.add("`consumer.on_flood`", fault);
    }

    if are_sound(&[indexes::PATH]) {
        indexes::judge(&mongodb.indexes, errors);
    }

    if are_sound(&["message.schema"]) {
        match message::schema_of(&message.schema) {
            Ok(schema) => {
                let id = message::id_source_of(&message.id, &kafka.topic);
                message.rules = Arc::new(MessageRules::new(schema, id));
            }
            Err(fault) => errors.add("`message.schema`", fault),
        }
    }

    let shutdown_timeout =
        are_sound(&["consumer.shutdown_timeout_ms"]).then_some(consumer.shutdown_timeout);
    for (path, given) in [
        ("kafka.properties", &kafka.properties),
        ("kafka.consumer_properties", &kafka.consumer_properties),
        ("kafka.producer_properties", &kafka.producer_properties),
    ] {
        if are_sound(&[path]) {
            properties::judge(path, given, shutdown_timeout, errors);
        }
    }
    let shared = std::mem::take(&mut kafka.properties);
    kafka.consumer_properties = properties::merged(&shared, &kafka.consumer_properties);
    kafka.producer_properties = properties::merged(&shared, &kafka.producer_properties);
    kafka.max_poll_interval = properties::max_poll_interval(&kafka.consumer_properties);

    if are_sound(&["mongodb.uri"]) {
        for (name, fault) in mongodb.uri.option_faults() {
            errors.add(format!("`mongodb.uri` `{name}`"), fault);
        }
    }
    let is_given = |path: &str| {
        path.split('.')
            .try_fold(given, |it, name| it.get(name))
            .is_some()
    };
    if are_sound(&["mongodb.uri", W_PATH, JOURNAL_PATH]) {
        mongodb
            .write_concern
            .merge_uri(&mongodb.uri, is_given, errors);
    }
}

/// Reports a share of rejections that would allow none, although it isn't 0.
fn judge_rejections(consumer: &Consumer, faulty: &Faulty, errors: &mut ConfigErrors) {
    const RATIO: &str = "consumer.max_rejection_ratio";
    const WINDOW: &str = "consumer.rejection_window";
    let (ratio, window) = (consumer.max_rejection_ratio, consumer.rejection_window);
    let are_sound = ![RATIO, WINDOW].iter().any(|path| faulty.contains(path));
    if are_sound && ratio != Ratio::NOTHING && ratio.of(window) == 0 {
        let fault = format!(
            "found `{ratio}`, which of `{WINDOW}` with `{window}` is less than one message; raise the one or the other, or \
             set the ratio to 0 to allow no rejection"
        );
        errors.add(format!("`{RATIO}`"), fault);
    }
}

/// Sets the default of `consumer.max_batch_size`, and reports sizes that don't fit together.
fn judge_batches(consumer: &mut Consumer, faulty: &Faulty, errors: &mut ConfigErrors) {
    let are_sound = |paths: &[&str]| !paths.iter().any(|path| faulty.contains(path));
    let given_max_batch_size = consumer.max_batch_size;
    if consumer.max_batch_size == 0 {
        consumer.max_batch_size = consumer.batch_size;
    } else if are_sound(&["consumer.batch_size", "consumer.max_batch_size"])
        && consumer.max_batch_size < consumer.batch_size
    {
        let fault = format!(
            "found `{}`, less than `consumer.batch_size` with `{}`; raise the one or lower the other",
            consumer.max_batch_size, consumer.batch_size
        );
        errors.add("`consumer.max_batch_size`", fault);
    }

    // A batch larger than what may be in flight would never be dispatched.
    for (part, part_value, whole, whole_value) in [
        (
            "consumer.batch_bytes",
            consumer.batch_bytes,
            "consumer.max_in_flight_bytes",
            consumer.max_in_flight_bytes,
        ),
        (
            "consumer.batch_size",
            consumer.batch_size,
            "consumer.max_in_flight_messages",
            consumer.max_in_flight_messages,
        ),
        (
            "consumer.max_batch_size",
            // If it is the batch size, the fault is reported once.
            given_max_batch_size,
            "consumer.max_in_flight_messages",
            consumer.max_in_flight_messages,
        ),
    ] {
        if are_sound(&[part, whole]) && part_value > whole_value {
            let fault = format!(
                "found `{part_value}`, more than `{whole}` with `{whole_value}`; lower the one or \
                 raise the other"
            );
            errors.add(format!("`{part}`"), fault);
        }
    }
}
