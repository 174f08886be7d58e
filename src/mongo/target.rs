//! Checks at the start that the collection is fit for the worker's promises.

use bson::{Document, doc};
use log::warn;
use mongodb::options::{Acknowledgment, ReadPreference, SelectionCriteria};
use mongodb::results::CollectionType;

use super::handler::QUERY_TIMEOUT;
use super::{MongoDbError, MongoDbHandler};

/// The kind of MongoDB deployment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Topology {
    Standalone,
    ReplicaSet,
    Sharded,
}

impl MongoDbHandler {
    /// Checks that the collection keeps its documents and that their `_id`s are unique, that the worker may read
    /// its documents (needed at the first duplicate), and that the server can satisfy the write concern. A
    /// collection that doesn't exist yet is fine. Fails if no server answers, the server refuses a command, or one
    /// of these checks fails.
    pub fn check_target(&self) -> Result<Topology, MongoDbError> {
        let namespace = self.collection.namespace();
        let database = self.client.database(&namespace.db);
        let collections = database
            .list_collections()
            .filter(doc! { "name": &namespace.coll })
            .run()
            .map_err(|error| MongoDbError::of(&error))?;
        for specification in collections {
            let specification = specification.map_err(|error| MongoDbError::of(&error))?;
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
        self.check_find()?;
        let topology = self.topology()?;
        if topology == Topology::Sharded {
            self.warn_of_shard_key();
        }
        let has_several_nodes = topology != Topology::Standalone;
        match self.collection.write_concern().and_then(|concern| concern.w.as_ref()) {
            None | Some(Acknowledgment::Majority | Acknowledgment::Nodes(0 | 1)) => Ok(topology),
            Some(_) if has_several_nodes => Ok(topology),
            Some(_) => Err(MongoDbError::Refused(
                "`mongodb.write_concern.w` requires more than one node, but the server is a standalone, \
                 which would refuse every write: set it to 1"
                    .to_owned(),
            )),
        }
    }

    fn check_find(&self) -> Result<(), MongoDbError> {
        let found = self
            .collection
            .find_one(doc! {})
            .projection(doc! { "_id": 1 })
            .selection_criteria(SelectionCriteria::ReadPreference(ReadPreference::Primary))
            .max_time(QUERY_TIMEOUT)
            .run();
        match found.map_err(|error| MongoDbError::of(&error)) {
            Ok(_) => Ok(()),
            Err(MongoDbError::Refused(why)) => Err(MongoDbError::Refused(format!(
                "the user needs the privilege `find` on `{}`, to compare a message with a document that has its \
                 `_id`: {why}",
                self.collection.namespace()
            ))),
            Err(error) => Err(error),
        }
    }

    fn topology(&self) -> Result<Topology, MongoDbError> {
        let hello = self
            .client
            .database("admin")
            .run_command(doc! { "hello": 1 })
            .run()
            .map_err(|error| MongoDbError::of(&error))?;
        Ok(if hello.contains_key("setName") {
            Topology::ReplicaSet
        } else if hello.get_str("msg").is_ok_and(|msg| msg == "isdbgrid") {
            Topology::Sharded
        } else {
            Topology::Standalone
        })
    }

    /// Warns if a sharded collection can hold two documents with the same `_id`. MongoDB keeps `_id` unique on each
    /// shard alone. Only a shard key of `_id` sends all documents of one `_id` to the same shard.
    fn warn_of_shard_key(&self) {
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
                if let Ok(key) = entry.get_document("key")
                    && !keeps_ids_unique(key)
                {
                    let fields: Vec<&str> = key.keys().map(String::as_str).collect();
                    warn!(
                        "the collection `{namespace}` is sharded by `{}`: a message that comes twice can be stored \
                         twice, because MongoDB keeps `_id` unique on each shard alone; shard it by `_id`",
                        fields.join("`, `")
                    );
                }
            }
            Err(_) if is_sharded() => warn!(
                "the collection `{namespace}` is sharded, and its shard key could not be read from \
                 `config.collections`: unless it is `_id`, a message that comes twice can be stored twice"
            ),
            // The other checks find out whether MongoDB can be used.
            Ok(None) | Err(_) => {}
        }
    }
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
