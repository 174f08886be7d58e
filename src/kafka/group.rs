//! What the brokers say about a consumer group: its state and its members. Asking doesn't join the group.

use std::time::{Duration, Instant};

use crossbeam_channel::after;
use rdkafka::consumer::{Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult as ClientResult, RDKafkaErrorCode};
use rdkafka::groups::GroupMemberInfo;

use super::queries::Queries;
use super::topic::Topic;
use crate::core::partition::TopicPartition;

/// A group that exists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// In Kafka's words, such as `Stable` or `Empty`. `None` where [`Members::Unknown`].
    pub state: Option<String>,
    pub members: Members,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Members {
    Known(Vec<Member>),
    /// The group uses the protocol of KIP-848. The question that the client can ask is about groups of the older
    /// protocol, and the brokers answer it for this group as if the group were dead.
    Unknown,
}

/// One member of a group. A static member that is away counts until its session has expired.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    pub client_id: String,
    pub host: String,
    /// The partitions of the topic that it has.
    pub partitions: Vec<TopicPartition>,
}

/// The wait before a broker that isn't ready is asked again.
const ASK_AGAIN: Duration = Duration::from_millis(500);

/// What the brokers call a group of another protocol.
const DEAD: &str = "Dead";

/// `None` if there is no such group, or if this client may not see it.
pub(super) fn describe<C: ConsumerContext>(
    queries: &Queries<'_, C>,
    group: &str,
) -> ClientResult<Option<Group>> {
    let client = queries.consumer.client();
    let began = Instant::now();
    let list = loop {
        match client.fetch_group_list(Some(group), queries.timeout) {
            // A broker that has just started is still reading the groups.
            Err(KafkaError::GroupListFetch(RDKafkaErrorCode::CoordinatorLoadInProgress))
                if began.elapsed() < queries.timeout =>
            {
                let _ = after(ASK_AGAIN).recv();
            }
            answer => break answer?,
        }
    };
    let Some(found) = list.groups().iter().find(|found| found.name() == group) else {
        return Ok(None);
    };
    let members = found.members();
    Ok(Some(if found.state() == DEAD && members.is_empty() {
        Group {
            state: None,
            members: Members::Unknown,
        }
    } else {
        let members = members.iter().map(|member| of_info(member, queries.topic));
        Group {
            state: Some(found.state().to_owned()),
            members: Members::Known(members.collect()),
        }
    }))
}

fn of_info(member: &GroupMemberInfo, topic: &Topic) -> Member {
    let numbers = member
        .assignment()
        .and_then(|bytes| Assignment(bytes).partitions_of(&topic.name))
        .unwrap_or_default();
    Member {
        client_id: member.client_id().to_owned(),
        // Kafka writes a host as `/192.0.2.1`.
        host: member.client_host().trim_start_matches('/').to_owned(),
        partitions: numbers.into_iter().map(|n| topic.partition(n)).collect(),
    }
}

/// The rest of a member's assignment, in the format of Kafka's `ConsumerProtocolAssignment`: the version, then each
/// topic with its partitions. Later versions add only what stands behind that.
struct Assignment<'a>(&'a [u8]);

impl Assignment<'_> {
    /// `None` if the bytes have another format.
    fn partitions_of(mut self, topic: &str) -> Option<Vec<i32>> {
        let _version = self.take(2)?;
        let mut numbers = Vec::new();
        for _ in 0..self.number()? {
            let length = i16::from_be_bytes(self.take(2)?.try_into().ok()?);
            let is_ours = self.take(usize::try_from(length).ok()?)? == topic.as_bytes();
            for _ in 0..self.number()? {
                let number = self.number()?;
                if is_ours {
                    numbers.push(number);
                }
            }
        }
        Some(numbers)
    }

    fn number(&mut self) -> Option<i32> {
        self.take(4)?.try_into().ok().map(i32::from_be_bytes)
    }

    fn take(&mut self, length: usize) -> Option<&[u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_partitions_of_one_topic_are_read_from_an_assignment() {
        let mut bytes = vec![0, 1, 0, 0, 0, 2];
        for (topic, partitions) in [("a", &[7][..]), ("data", &[0, 258])] {
            bytes.extend(i16::try_from(topic.len()).unwrap().to_be_bytes());
            bytes.extend(topic.as_bytes());
            bytes.extend(i32::try_from(partitions.len()).unwrap().to_be_bytes());
            bytes.extend(partitions.iter().flat_map(|n: &i32| n.to_be_bytes()));
        }
        // User data, which isn't read.
        bytes.extend([0, 0, 0, 0]);
        let of = |topic: &str| Assignment(&bytes).partitions_of(topic);
        assert_eq!(of("data"), Some(vec![0, 258]));
        assert_eq!(of("a"), Some(vec![7]));
        assert_eq!(of("other"), Some(vec![]));
        assert_eq!(Assignment(&bytes[..9]).partitions_of("a"), None);
        assert_eq!(Assignment(&[]).partitions_of("a"), None);
    }
}
