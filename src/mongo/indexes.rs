//! The configured indexes: finds those that the collection has, creates the others, waits until unique ones are built.

use std::time::{Duration, Instant};

use bson::{Document, doc};
use log::{info, warn};
use mongodb::error::Error;

use super::classify::{self, IndexRefusal};
use super::handler::QUERY_TIMEOUT;
use super::index_state::{IndexState, bson_of_object};
use super::{MongoDbError, MongoDbHandler};
use crate::config::Index;
use crate::core::write_plan::ErrorSubject;

/// How long unique indexes may be built without a word about it.
const WORTH_A_LINE: Duration = Duration::from_secs(1);

/// `MaxTimeMSExpired`.
const MAX_TIME_EXPIRED: i32 = 50;
/// `AtlasError`.
const ATLAS_ERROR: i32 = 8000;

/// A configured index, and what stands where it belongs.
#[derive(Debug, Clone)]
pub struct FoundIndex<'a> {
    pub index: &'a Index,
    pub state: IndexState,
    /// The server's description, if it is present.
    description: Option<Document>,
}

impl<'a> FoundIndex<'a> {
    fn among(existing: &[Document], index: &'a Index) -> Self {
        let state = IndexState::among(existing, index);
        let name = index.name();
        let is_it = |found: &&Document| found.get_str("name").is_ok_and(|found| found == name);
        let description = existing
            .iter()
            .find(is_it)
            .filter(|_| state == IndexState::Present)
            .cloned();
        Self {
            index,
            state,
            description,
        }
    }

    /// What makes it impossible to create the index, if that is an operator's fault. An index without options is there to find
    /// documents: another one on its fields serves as well. Whether one with options may stand beside another on the same
    /// fields, the server decides.
    pub fn fault(&self) -> Option<String> {
        let name = self.index.name();
        let conflict = match self.state {
            IndexState::OtherOptions => "exists with other options",
            IndexState::NameTaken if self.index.has_options() => "exists on other fields",
            IndexState::Present
            | IndexState::Missing
            | IndexState::OfAnotherName
            | IndexState::NameTaken => return None,
        };
        Some(format!(
            "the index `{name}` of `mongodb.indexes` {conflict}: drop that index, or change the configuration"
        ))
    }
}

impl MongoDbHandler {
    /// Creates each configured index unless it exists. Several workers may do so at the same time.
    /// Returns when the server has built them, which may take hours. Fails if no server answers, the server refuses the
    /// command, or an index with options is in conflict with one that exists.
    pub fn create_indexes(&self) -> Result<(), MongoDbError> {
        for found in self.found_indexes()? {
            if found.state == IndexState::Present {
                continue;
            }
            if let Some(fault) = found.fault() {
                return Err(MongoDbError::Refused(fault));
            }
            self.create_index(found.index)?;
        }
        Ok(())
    }

    /// The same for unique indexes. Returns when they are built, also if another worker has begun to build them. Documents that
    /// they forbid must not be stored before: then they could not be built any more.
    pub fn create_unique_indexes(&self) -> Result<(), MongoDbError> {
        let started = Instant::now();
        for FoundIndex {
            index, description, ..
        } in &self.found_unique_indexes()?
        {
            let name = index.name();
            match description {
                None => {
                    info!(
                        "creating the index `{name}`, which is unique: messages wait until MongoDB has built it"
                    );
                    self.create_index(index)?;
                }
                Some(description) => {
                    if !self.is_built(index, description, Some(WORTH_A_LINE))? {
                        info!(
                            "MongoDB builds the index `{name}`, which is unique: messages wait until MongoDB has built it"
                        );
                        self.is_built(index, description, None)?;
                    }
                }
            }
        }
        let took = started.elapsed();
        if took > WORTH_A_LINE {
            info!(seconds = took.as_secs(); "MongoDB has built the unique indexes");
        }
        Ok(())
    }

    /// Fails if a configured index that is unique isn't there, or isn't built.
    pub fn check_unique_indexes(&self) -> Result<(), MongoDbError> {
        for found in self.found_unique_indexes()? {
            let name = found.index.name();
            let Some(description) = &found.description else {
                return Err(MongoDbError::Refused(format!(
                    "the index `{name}` of `mongodb.indexes`, which is unique, doesn't exist: start a worker first, which \
                     creates it or says why it can't"
                )));
            };
            if !self.is_built(found.index, description, Some(QUERY_TIMEOUT))? {
                return Err(MongoDbError::Refused(format!(
                    "MongoDB still builds the index `{name}` of `mongodb.indexes`, which is unique: run the same command \
                     again when it is built"
                )));
            }
        }
        Ok(())
    }

    /// Of the configured indexes those that are unique. Fails if one is in conflict with one that exists.
    fn found_unique_indexes(&self) -> Result<Vec<FoundIndex<'_>>, MongoDbError> {
        if !self.indexes.iter().any(Index::is_unique) {
            return Ok(Vec::new());
        }
        let mut found = self.found_indexes()?;
        found.retain(|found| found.index.is_unique());
        match found.iter().find_map(FoundIndex::fault) {
            Some(fault) => Err(MongoDbError::Refused(fault)),
            None => Ok(found),
        }
    }

    /// What stands where each configured index belongs, in their order. Fails if no server answers, or the server refuses
    /// the command.
    pub fn found_indexes(&self) -> Result<Vec<FoundIndex<'_>>, MongoDbError> {
        if self.indexes.is_empty() {
            return Ok(Vec::new());
        }
        let existing = match self.existing_indexes() {
            Ok(existing) => existing,
            Err(error) if classify::is_missing_collection(&error) => Vec::new(),
            Err(error) => return Err(self.error_without("listIndexes", &self.namespace(), &error)),
        };
        let indexes = self.indexes.iter();
        Ok(indexes
            .map(|index| FoundIndex::among(&existing, index))
            .collect())
    }

    /// As the server describes them. The driver's own type knows only some options.
    fn existing_indexes(&self) -> Result<Vec<Document>, Error> {
        let namespace = self.collection.namespace();
        self.client
            .database(&namespace.db)
            .run_cursor_command(doc! { "listIndexes": &namespace.coll })
            .run()?
            .collect()
    }

    fn create_index(&self, index: &Index) -> Result<(), MongoDbError> {
        let Err(error) = self.send_create_index(specification_of(index), None) else {
            return Ok(());
        };
        match classify::index_refusal(&error) {
            Some(refusal) if index.has_options() => Err(MongoDbError::Refused(format!(
                "the index `{}` of `mongodb.indexes` can't be created: {}",
                index.name(),
                refusal.in_words()
            ))),
            Some(refusal) => {
                warn_of_missing_index(index, refusal);
                Ok(())
            }
            None => Err(self.index_error(index, &error)),
        }
    }

    /// Waits until the server has built an index that it lists: it also lists one that it is still building. To create it once
    /// more waits for that, and changes nothing. `description` is the server's own, since the configuration may say less than
    /// the index has. Returns false if the time limit was over first. Fails if no server answers, or the build has failed.
    fn is_built(
        &self,
        index: &Index,
        description: &Document,
        limit: Option<Duration>,
    ) -> Result<bool, MongoDbError> {
        let mut specification = description.clone();
        // Not every server takes back what it says itself.
        for name in ["v", "ns"] {
            specification.remove(name);
        }
        let Err(error) = self.send_create_index(specification, limit) else {
            return Ok(true);
        };
        let Some(code) = classify::code_of_command(&error) else {
            return Err(self.error(&error));
        };
        if limit.is_some() && code == MAX_TIME_EXPIRED {
            return Ok(false);
        }
        match classify::write_error(&error).subject {
            ErrorSubject::Duplicate => Err(self.index_error(index, &error)),
            // The proxy of MongoDB Atlas may mean a missing right by this code.
            ErrorSubject::Server if code != ATLAS_ERROR => Err(self.error(&error)),
            _ if classify::is_authentication_failure(&error) => Err(self.error(&error)),
            // Who can't ask this server has to rely on its list.
            _ => Ok(true),
        }
    }

    fn send_create_index(
        &self,
        specification: Document,
        limit: Option<Duration>,
    ) -> Result<(), Error> {
        let namespace = self.collection.namespace();
        let mut command = doc! {
            "createIndexes": &namespace.coll,
            "indexes": [specification],
        };
        let concern = self.collection.write_concern();
        if let Some(concern) = concern.and_then(|c| bson::serialize_to_document(c).ok()) {
            command.insert("writeConcern", concern);
        }
        if let Some(limit) = limit.and_then(|limit| i64::try_from(limit.as_millis()).ok()) {
            command.insert("maxTimeMS", limit);
        }
        let database = self.client.database(&namespace.db);
        database.run_command(command).run().map(drop)
    }

    fn index_error(&self, index: &Index, error: &Error) -> MongoDbError {
        match self.error_without("createIndex", &self.namespace(), error) {
            MongoDbError::Refused(why) if !classify::is_missing_privilege(error) => {
                let is_duplicate = classify::write_error(error).subject == ErrorSubject::Duplicate;
                let advice = if is_duplicate {
                    "; the collection has documents that it forbids"
                } else {
                    ""
                };
                MongoDbError::Refused(format!(
                    "the index `{}` of `mongodb.indexes` can't be created{advice}: {why}",
                    index.name()
                ))
            }
            error => error,
        }
    }
}

/// The index as the command takes it.
fn specification_of(index: &Index) -> Document {
    let mut specification = doc! { "key": bson_of_object(&index.keys), "name": index.name() };
    specification.extend(bson_of_object(&index.options));
    specification
}

fn warn_of_missing_index(index: &Index, refusal: IndexRefusal) {
    let fields = index.fields();
    match refusal {
        IndexRefusal::OtherOptions => {
            warn!("an index on {fields} with other options already exists and is kept");
        }
        IndexRefusal::NameTaken => warn!(
            "no index on {fields} was created: the index `{}` of the collection is on other fields; \
             drop it or give it another name, and start the worker again",
            index.name()
        ),
        IndexRefusal::CannotCreate => warn!(
            "no index on {fields} was created: the server takes no further index in this collection, or none of this kind; \
             drop one, or change `mongodb.indexes`, and start the worker again"
        ),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn index(value: Value) -> Index {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn only_an_index_with_options_can_be_in_conflict() {
        let fault = |given: Value, state| {
            let index = index(given);
            FoundIndex {
                index: &index,
                state,
                description: None,
            }
            .fault()
        };
        let plain = || json!({"a": 1});
        let unique = || json!({"key": {"a": 1}, "unique": true});
        assert_eq!(fault(plain(), IndexState::NameTaken), None);
        assert_eq!(fault(plain(), IndexState::OfAnotherName), None);
        assert_eq!(fault(unique(), IndexState::Missing), None);
        assert_eq!(fault(unique(), IndexState::OfAnotherName), None);
        for state in [IndexState::NameTaken, IndexState::OtherOptions] {
            let fault = fault(unique(), state).unwrap();
            assert!(fault.contains("`a_1`"), "{fault}");
        }
    }

    #[test]
    fn options_are_passed_on_as_they_are() {
        let index =
            index(json!({"key": {"a": 1, "b": -1}, "unique": true, "expireAfterSeconds": 5}));
        assert_eq!(
            specification_of(&index),
            doc! { "key": { "a": 1, "b": -1 }, "name": "a_1_b_-1", "unique": true, "expireAfterSeconds": 5 }
        );
    }
}
