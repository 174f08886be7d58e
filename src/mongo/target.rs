//! Checks that the collection is fit for the worker's promises: each check by itself for `check`, and all of them for
//! the worker's start.

use bson::{Document, doc};
use log::warn;
use mongodb::options::{Acknowledgment, ReadPreference, SelectionCriteria};
use mongodb::results::CollectionType;

use super::handler::QUERY_TIMEOUT;
use super::{MongoDbError, MongoDbHandler};
use crate::config::{Config, W};

/// The kind of MongoDB deployment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Topology {
    Standalone,
    ReplicaSet,
    Sharded,
}

/// A deployment, as the server describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deployment {
    pub topology: Topology,
    /// The members of a replica set that hold data and that the server names: hidden ones are left out.
    pub data_members: usize,
}

impl MongoDbHandler {
    /// Checks that the collection keeps its documents and that their `_id`s are unique, that the worker may read
    /// its documents (needed at the first duplicate), and that the server can satisfy the write concern. A
    /// collection that doesn't exist yet is fine. Fails if no server answers, the server refuses a command, or one
    /// of these checks fails.
    pub fn check_target(&self) -> Result<Topology, MongoDbError> {
        self.check_servers()?;
        self.check_collection()?;
        self.check_find()?;
        let topology = self.deployment()?.topology;
        // A server that doesn't tell its version is used all the same.
        let about_version = self.server_version().ok().and_then(|v| v.warning());
        let about_shard_key = self.shard_key_warning(topology);
        for warning in [about_version, about_shard_key].into_iter().flatten() {
            warn!("{warning}");
        }
        self.check_write_concern(topology)?;
        Ok(topology)
    }

    /// Checks that the collection keeps its documents and that their `_id`s are unique. Returns whether it exists.
    pub fn check_collection(&self) -> Result<bool, MongoDbError> {
        let namespace = self.collection.namespace();
        let database = self.client.database(&namespace.db);
        let collections = database
            .list_collections()
            .filter(doc! { "name": &namespace.coll })
            .run()
            .map_err(|error| self.error_without("listCollections", &namespace.db, &error))?;
        let mut exists = false;
        for specification in collections {
            exists = true;
            let specification = specification.map_err(|error| self.error(&error))?;
            let unfit = match specification.collection_type {
                CollectionType::View => Some("is a view"),
                CollectionType::Timeseries => {
                    Some("is a time-series collection, in which `_id` is not unique")
                }
                _ if specification.options.capped == Some(true) => {
                    Some("is capped: MongoDB would delete old documents")
                }
                _ => None,
            };
            if let Some(unfit) = unfit {
                return Err(MongoDbError::Refused(format!(
                    "can't write to the collection `{namespace}`: it {unfit}"
                )));
            }
        }
        Ok(exists)
    }

    /// Checks that the user may read the collection.
    pub fn check_find(&self) -> Result<(), MongoDbError> {
        let found = self
            .collection
            .find_one(doc! {})
            .projection(doc! { "_id": 1 })
            .selection_criteria(SelectionCriteria::ReadPreference(ReadPreference::Primary))
            .max_time(QUERY_TIMEOUT)
            .run();
        // To compare a message with a document that has its `_id`.
        let found = found.map_err(|error| self.error_without("find", &self.namespace(), &error));
        found.map(drop)
    }

    pub fn deployment(&self) -> Result<Deployment, MongoDbError> {
        let hello = self.ask_admin(doc! { "hello": 1 })?;
        let members = |list| hello.get_array(list).map_or(0, Vec::len);
        Ok(Deployment {
            topology: if hello.contains_key("setName") {
                Topology::ReplicaSet
            } else if hello.get_str("msg").is_ok_and(|msg| msg == "isdbgrid") {
                Topology::Sharded
            } else {
                Topology::Standalone
            },
            data_members: members("hosts") + members("passives"),
        })
    }

    /// Checks that the server can satisfy the write concern at all.
    pub fn check_write_concern(&self, topology: Topology) -> Result<(), MongoDbError> {
        let has_several_nodes = topology != Topology::Standalone;
        match self.collection.write_concern().and_then(|concern| concern.w.as_ref()) {
            None | Some(Acknowledgment::Majority | Acknowledgment::Nodes(0 | 1)) => Ok(()),
            Some(_) if has_several_nodes => Ok(()),
            Some(_) => Err(MongoDbError::Refused(
                "`mongodb.write_concern.w` requires more than one node, but the server is a standalone, \
                 which would refuse every write: set it to 1"
                    .to_owned(),
            )),
        }
    }

    /// Whether the collection can hold two documents with the same `_id`. MongoDB keeps `_id` unique on each
    /// shard alone. Only a shard key of `_id` sends all documents of one `_id` to the same shard.
    pub fn shard_key_warning(&self, topology: Topology) -> Option<String> {
        if topology != Topology::Sharded {
            return None;
        }
        let namespace = self.collection.namespace();
        let is_sharded = || {
            let statistics = doc! { "collStats": &namespace.coll };
            let statistics = self
                .client
                .database(&namespace.db)
                .run_command(statistics)
                .run();
            statistics.is_ok_and(|statistics| matches!(statistics.get_bool("sharded"), Ok(true)))
        };
        let entry = self
            .client
            .database("config")
            .collection::<Document>("collections")
            .find_one(doc! { "_id": namespace.to_string(), "dropped": { "$ne": true } })
            .projection(doc! { "key": 1 })
            .max_time(QUERY_TIMEOUT)
            .run();
        match entry {
            Ok(Some(entry)) => {
                let key = entry.get_document("key").ok()?;
                (!keeps_ids_unique(key)).then(|| {
                    let fields: Vec<&str> = key.keys().map(String::as_str).collect();
                    format!(
                        "the collection `{namespace}` is sharded by `{}`: a message that comes twice can be stored \
                         twice, because MongoDB keeps `_id` unique on each shard alone; shard it by `_id`",
                        fields.join("`, `")
                    )
                })
            }
            Err(_) if is_sharded() => Some(format!(
                "the collection `{namespace}` is sharded, and its shard key could not be read from \
                 `config.collections`: unless it is `_id`, a message that comes twice can be stored twice"
            )),
            // The other checks find out whether MongoDB can be used.
            Ok(None) | Err(_) => None,
        }
    }

    pub(super) fn ask_admin(&self, command: Document) -> Result<Document, MongoDbError> {
        let database = self.client.database("admin");
        let answer = database.run_command(command).run();
        answer.map_err(|error| self.error(&error))
    }
}

/// Warns if a failover can lose what was acknowledged.
pub fn rollback_warning(config: &Config, topology: Topology) -> Option<&'static str> {
    (topology == Topology::ReplicaSet && config.mongodb.write_concern.w == W::Nodes(1)).then_some(
        "`mongodb.write_concern.w` is 1 on a replica set: a failover can roll back acknowledged \
         messages; set it to \"majority\" to rule that out",
    )
}

/// Whether documents with the same `_id` are always on the same shard.
fn keeps_ids_unique(shard_key: &Document) -> bool {
    shard_key.keys().eq(["_id"])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_shard_key_of_the_id_alone_keeps_ids_unique() {
        for (key, expected) in [
            (doc! { "_id": 1 }, true),
            (doc! { "_id": "hashed" }, true),
            (doc! { "_id": 1, "created_at": 1 }, false),
            (doc! { "message_id": 1 }, false),
            (doc! { "created_at": 1 }, false),
        ] {
            assert_eq!(keeps_ids_unique(&key), expected, "{key}");
        }
    }
}
