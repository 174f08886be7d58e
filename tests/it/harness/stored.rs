//! Reading MongoDB.

use std::collections::{BTreeMap, HashSet};

use bson::{Document, RawDocument, RawDocumentBuf, doc};
use mongodb::sync::{Client, Collection};

/// The collection that the worker writes to.
pub struct Stored {
    collection: Collection<RawDocumentBuf>,
}

impl Stored {
    pub fn new(client: &Client, database: &str, collection: &str) -> Self {
        Self {
            collection: client.database(database).collection(collection),
        }
    }

    pub fn count(&self) -> i64 {
        let count = self.collection.count_documents(doc! {}).run().unwrap();
        i64::try_from(count).unwrap()
    }

    /// All documents by `_id`.
    pub fn read(&self) -> BTreeMap<String, RawDocumentBuf> {
        let cursor = self
            .collection
            .find(doc! {})
            .batch_size(5000)
            .run()
            .unwrap();
        cursor
            .map(|document| {
                let document = document.unwrap();
                let id = document.get_str("_id").unwrap().to_owned();
                (id, document)
            })
            .collect()
    }

    /// All `_id`s.
    pub fn ids(&self) -> HashSet<String> {
        let ids = self.collection.find(doc! {}).projection(doc! { "_id": 1 });
        ids.batch_size(20_000)
            .run()
            .unwrap()
            .map(|document| document.unwrap().get_str("_id").unwrap().to_owned())
            .collect()
    }

    /// The names of the indexes.
    pub fn indexes(&self) -> Vec<String> {
        self.collection.list_index_names().run().unwrap()
    }

    /// The collection, for tests that change it.
    pub fn documents(&self) -> Collection<Document> {
        self.collection.clone_with_type()
    }
}

/// The document without `received_at`, which must be the last field and a UTC time with milliseconds.
pub(super) fn without_received_at(stored: &RawDocument) -> Result<RawDocumentBuf, String> {
    let mut rest = RawDocumentBuf::new();
    let mut received_at = None;
    for element in stored {
        let (name, value) = element.map_err(|error| error.to_string())?;
        if received_at.is_some() {
            return Err("`received_at` is not the last field".to_owned());
        }
        if name == "received_at" {
            received_at = Some(value.as_str().ok_or("`received_at` is no text")?.to_owned());
        } else {
            rest.append(name, value);
        }
    }
    let text = received_at.ok_or("no `received_at`")?;
    let is_well_formed = text.len() == "2023-07-15T12:35:01.234Z".len()
        && text.ends_with('Z')
        && text.parse::<jiff::Timestamp>().is_ok();
    if is_well_formed {
        Ok(rest)
    } else {
        Err(format!("`received_at` is {text}"))
    }
}
