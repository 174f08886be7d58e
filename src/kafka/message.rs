//! A consumed message, in librdkafka's memory.

use rdkafka::message::{BorrowedMessage, Message, Timestamp as KafkaTimestamp};

use super::headers;
use super::topic::Topic;
use crate::core::dead_letter::DeadLetterHeaders;
use crate::core::partition::{Offset, TopicId, TopicPartition};
use crate::core::record::{OpaqueHeaders, Timestamp};

pub struct ConsumedMessage<'a> {
    message: BorrowedMessage<'a>,
    topic: TopicId,
}

impl<'a> ConsumedMessage<'a> {
    pub(super) fn new(message: BorrowedMessage<'a>, topic: &Topic) -> Self {
        let topic = topic.id;
        Self { message, topic }
    }

    pub fn partition(&self) -> TopicPartition {
        TopicPartition::new(self.topic, self.message.partition())
    }

    pub fn offset(&self) -> Offset {
        Offset(self.message.offset())
    }

    pub fn timestamp(&self) -> Timestamp {
        match self.message.timestamp() {
            KafkaTimestamp::NotAvailable => Timestamp::NotAvailable,
            KafkaTimestamp::CreateTime(millis) => Timestamp::CreateTime(millis),
            KafkaTimestamp::LogAppendTime(millis) => Timestamp::LogAppendTime(millis),
        }
    }

    pub fn key(&self) -> Option<&[u8]> {
        self.message.key()
    }

    pub fn value(&self) -> Option<&[u8]> {
        self.message.payload()
    }

    /// A copy that outlives the message.
    pub fn headers(&self) -> Option<OpaqueHeaders> {
        self.message
            .headers()
            .map(|headers| OpaqueHeaders::new(headers.detach(), headers::size_of(headers)))
    }

    /// Each header's name and value, in their order. `None` for a header whose name isn't UTF-8: the client
    /// can read neither its name nor its value.
    pub fn each_header(&self) -> impl Iterator<Item = Option<(&str, Option<&[u8]>)>> {
        self.message.headers().into_iter().flat_map(headers::each)
    }

    /// What the `dlq.*` headers say, if the record is a dead letter.
    pub fn dead_letter_headers(&self) -> DeadLetterHeaders<'_> {
        DeadLetterHeaders::read(self.each_header().flatten())
    }
}
