//! The configured indexes: which of them the collection has, and creating the others.

use std::time::{Duration, Instant};

use bson::{Bson, Document, doc};
use log::{info, warn};
use mongodb::error::Error;
use serde_json::Value;

use super::classify::{self, IndexRefusal};
use super::handler::QUERY_TIMEOUT;
use super::{MongoDbError, MongoDbHandler};
use crate::config::Index;
use crate::core::write_plan::ErrorSubject;

/// How long unique indexes may be built without a word about it.
const WORTH_A_LINE: Duration = Duration::from_secs(1);

/// `MaxTimeMSExpired`.
const MAX_TIME_EXPIRED: i32 = 50;
/// `AtlasError`.
const ATLAS_ERROR: i32 = 8000;

/// What stands where a configured index belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IndexState {
    Present,
    Missing,
    /// The same fields have an index of another name.
    OfAnotherName,
    /// The name belongs to an index on other fields.
    NameTaken,
    /// The index of its name and its fields has other options.
    OtherOptions,
}

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

impl IndexState {
    fn among(existing: &[Document], index: &Index) -> Self {
        let name = index.name();
        let mut state = Self::Missing;
        for existing in existing {
            let has_our_name = existing.get_str("name").is_ok_and(|found| found == name);
            let has_our_fields = has_fields(existing, index);
            state = match (has_our_name, has_our_fields) {
                (true, true) if has_options(existing, index) => return Self::Present,
                (true, true) => return Self::OtherOptions,
                (true, false) => Self::NameTaken,
                (false, true) if state == Self::Missing => Self::OfAnotherName,
                (false, _) => state,
            };
        }
        state
    }
}

/// Whether an index is on these fields, in these directions. The server lists a text index by other fields.
fn has_fields(existing: &Document, index: &Index) -> bool {
    let Ok(keys) = existing.get_document("key") else {
        return false;
    };
    let is_text = index.keys.values().any(|kind| kind == "text");
    if is_text {
        return keys.contains_key("_fts");
    }
    let given = bson_of_object(&index.keys);
    keys.len() == given.len()
        && keys
            .iter()
            .zip(&given)
            .all(|((name, found), (given_name, given))| name == given_name && covers(found, given))
}

/// Options that are on or off.
const SWITCHES: [&str; 3] = ["unique", "sparse", "hidden"];

/// Whether a switch is on. The server takes a number for it, too, and leaves out what is off.
fn is_on(switch: Option<&Bson>) -> bool {
    match switch {
        Some(Bson::Boolean(is_on)) => *is_on,
        Some(other) => number(other).is_some_and(|number| number != 0.0),
        None => false,
    }
}

/// Whether an index has the configured options. Where none are configured, any will do. `background` means nothing to the
/// server any more.
fn has_options(existing: &Document, index: &Index) -> bool {
    let given = bson_of_object(&index.options);
    given
        .iter()
        .filter(|(name, _)| !matches!(name.as_str(), "name" | "background"))
        .all(|(name, option)| match existing.get(name) {
            found if SWITCHES.contains(&name.as_str()) => is_on(found) == is_on(Some(option)),
            Some(found) => covers(found, option),
            None => false,
        })
}

/// Whether the server's value is the configured one. It fills in what a document leaves out, and may store a number as
/// another type.
fn covers(found: &Bson, given: &Bson) -> bool {
    match (found, given) {
        (Bson::Document(found), Bson::Document(given)) => given
            .iter()
            .all(|(name, given)| found.get(name).is_some_and(|found| covers(found, given))),
        (Bson::Array(found), Bson::Array(given)) => {
            found.len() == given.len()
                && found
                    .iter()
                    .zip(given)
                    .all(|(found, given)| covers(found, given))
        }
        _ => match (number(found), number(given)) {
            (Some(found), Some(given)) => found.total_cmp(&given).is_eq(),
            _ => found == given,
        },
    }
}

fn number(value: &Bson) -> Option<f64> {
    match value {
        Bson::Double(number) => Some(*number),
        Bson::Int32(number) => Some(f64::from(*number)),
        // Exact below 2⁵³, which no option of an index exceeds.
        Bson::Int64(number) => number.to_string().parse().ok(),
        _ => None,
    }
}

/// The index as the command takes it.
fn specification_of(index: &Index) -> Document {
    let mut specification = doc! { "key": bson_of_object(&index.keys), "name": index.name() };
    specification.extend(bson_of_object(&index.options));
    specification
}

fn bson_of_object(object: &serde_json::Map<String, Value>) -> Document {
    object
        .iter()
        .map(|(name, value)| (name.clone(), bson_of(value)))
        .collect()
}

/// A value of the configuration. Whole numbers have the smallest type, as in the shell.
fn bson_of(value: &Value) -> Bson {
    match value {
        Value::Null => Bson::Null,
        Value::Bool(value) => Bson::Boolean(*value),
        Value::String(text) => Bson::String(text.clone()),
        Value::Array(items) => Bson::Array(items.iter().map(bson_of).collect()),
        Value::Object(object) => Bson::Document(bson_of_object(object)),
        Value::Number(number) => match number.as_i64() {
            Some(whole) => i32::try_from(whole).map_or(Bson::Int64(whole), Bson::Int32),
            None => Bson::Double(number.as_f64().unwrap_or(f64::INFINITY)),
        },
    }
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
    use serde_json::json;

    use super::*;

    fn index(value: Value) -> Index {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn an_index_is_present_whose_name_fields_and_options_fit() {
        let plain = doc! { "v": 2, "key": { "created_at": 1 }, "name": "created_at_1" };
        let unique = doc! { "v": 2, "key": { "a": 1 }, "name": "a_1", "unique": true };
        let ttl = doc! {
            "v": 2, "key": { "t": 1 }, "name": "t_1", "expireAfterSeconds": 60_i64,
            "partialFilterExpression": { "x": { "$gt": 1.0 } },
            "collation": { "locale": "de", "strength": 2, "caseLevel": false },
        };
        let moved = doc! { "v": 2, "key": { "b": 1 }, "name": "mine" };
        let taken = doc! { "v": 2, "key": { "x": 1 }, "name": "c_1" };
        let text = doc! { "v": 2, "key": { "_fts": "text", "_ftsx": 1 }, "name": "d_text" };
        let existing = [plain, unique, ttl, moved, taken, text];
        for (given, expected) in [
            (
                json!({"key": {"a": 1}, "unique": 1, "sparse": 0, "background": true}),
                IndexState::Present,
            ),
            (
                json!({"key": {"a": 1}, "unique": 0}),
                IndexState::OtherOptions,
            ),
            (
                json!({"key": {"a": 1}, "expireAfterSeconds": 0}),
                IndexState::OtherOptions,
            ),
            (json!({"created_at": 1}), IndexState::Present),
            (json!({"a": 1}), IndexState::Present),
            (
                json!({"key": {"a": 1}, "unique": true}),
                IndexState::Present,
            ),
            (
                json!({"key": {"a": 1}, "unique": false}),
                IndexState::OtherOptions,
            ),
            (
                json!({"key": {"a": 1}, "sparse": false, "unique": true}),
                IndexState::Present,
            ),
            (
                json!({"key": {"created_at": 1}, "unique": true}),
                IndexState::OtherOptions,
            ),
            (
                json!({"key": {"t": 1}, "expireAfterSeconds": 60}),
                IndexState::Present,
            ),
            (
                json!({"key": {"t": 1}, "expireAfterSeconds": 61}),
                IndexState::OtherOptions,
            ),
            (
                json!({"key": {"t": 1}, "partialFilterExpression": {"x": {"$gt": 1}}, "collation": {"locale": "de"}}),
                IndexState::Present,
            ),
            (json!({"b": 1}), IndexState::OfAnotherName),
            (json!({"c": 1}), IndexState::NameTaken),
            (json!({"d": "text"}), IndexState::Present),
            (json!({"e": 1}), IndexState::Missing),
            (json!({"b": -1}), IndexState::Missing),
            (json!({"b": "hashed"}), IndexState::Missing),
            (
                json!({"key": {"x": -1}, "name": "c_1"}),
                IndexState::NameTaken,
            ),
            (json!({"a": 1, "b": -1}), IndexState::Missing),
        ] {
            let index = index(given);
            assert_eq!(IndexState::among(&existing, &index), expected, "{index:?}");
        }
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
