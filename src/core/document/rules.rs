//! What the configuration says of messages: which rules a message must meet, and where its `_id` comes from.

use super::json_schema::JsonSchema;
use crate::core::partition::{Offset, TopicPartition};

/// The rules for the messages of a topic. The default is the specification's.
#[derive(Debug, Default)]
pub struct MessageRules {
    schema: MessageSchema,
    id: IdSource,
}

/// What a message must be beside a JSON object that has its id.
#[derive(Debug, Default)]
pub enum MessageSchema {
    /// The four fields of the specification.
    #[default]
    Specification,
    /// Nothing else.
    Any,
    /// What the operator's schema accepts.
    JsonSchema(Box<JsonSchema>),
}

/// Where the `_id` of a document comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IdSource {
    /// A field of the message: the names that lead to it from the top level on. At least one.
    Field(Vec<String>),
    /// The key of the record, as text.
    Key,
    /// The record's place: `topic-partition-offset`, with the name of the consumed topic.
    Position { topic: String },
}

/// What a document is made of.
#[derive(Debug, Clone, Copy)]
pub struct MessageParts<'a> {
    pub key: Option<&'a [u8]>,
    pub value: Option<&'a [u8]>,
    /// The record's place in the consumed topic; for a replayed record, the place of the original.
    pub partition: TopicPartition,
    pub offset: Offset,
}

impl<'a> MessageParts<'a> {
    /// A value without a key, at the beginning of partition 0: where only the value matters.
    pub fn of_value(value: Option<&'a [u8]>) -> Self {
        Self {
            key: None,
            value,
            partition: TopicPartition::consumed(0),
            offset: Offset(0),
        }
    }
}

/// How the documents of some rules are made.
pub(super) enum Way<'a> {
    /// The specification's messages and ids, which have a path of their own because it is the fastest.
    Specification,
    Own(&'a MessageSchema, &'a IdSource),
}

const DEFAULT_ID: &str = "message_id";

impl Default for IdSource {
    fn default() -> Self {
        Self::Field(vec![DEFAULT_ID.to_owned()])
    }
}

impl MessageRules {
    pub fn new(schema: MessageSchema, id: IdSource) -> Self {
        Self { schema, id }
    }

    /// The same without a JSON Schema file: what was stored before the schema changed is still found by its id.
    pub fn without_json_schema(&self) -> Self {
        let schema = match self.schema {
            MessageSchema::Specification => MessageSchema::Specification,
            MessageSchema::Any | MessageSchema::JsonSchema(_) => MessageSchema::Any,
        };
        Self::new(schema, self.id.clone())
    }

    pub fn has_json_schema(&self) -> bool {
        matches!(self.schema, MessageSchema::JsonSchema(_))
    }

    #[inline]
    pub(super) fn way(&self) -> Way<'_> {
        match (&self.schema, &self.id) {
            (MessageSchema::Specification, IdSource::Field(path)) if *path == [DEFAULT_ID] => {
                Way::Specification
            }
            (schema, id) => Way::Own(schema, id),
        }
    }
}
