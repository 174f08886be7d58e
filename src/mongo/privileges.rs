//! The privileges of the user that the client logged in as, and whether they are enough. Pure code without I/O.

use bson::Document;

/// What the worker does with the collection, and the indexes that its start creates.
const ON_THE_COLLECTION: [&str; 3] = ["find", "insert", "listIndexes"];
const FOR_A_MISSING_INDEX: &str = "createIndex";
const ON_THE_DATABASE: &str = "listCollections";

/// The answer to `connectionStatus` with `showPrivileges`.
pub(super) struct Privileges<'a>(&'a Document);

impl<'a> Privileges<'a> {
    pub(super) fn of(connection_status: &'a Document) -> Option<Self> {
        connection_status.get_document("authInfo").ok().map(Self)
    }

    /// The users that the client logged in as.
    pub(super) fn users(&self) -> Vec<&'a str> {
        let users = self.0.get_array("authenticatedUsers").into_iter().flatten();
        users
            .filter_map(|user| user.as_document()?.get_str("user").ok())
            .collect()
    }

    /// The actions that the worker needs and the user lacks.
    pub(super) fn missing(
        &self,
        database: &str,
        collection: &str,
        has_index: bool,
    ) -> Vec<&'static str> {
        let index = (!has_index).then_some(FOR_A_MISSING_INDEX);
        let of_collection = ON_THE_COLLECTION.into_iter().chain(index);
        let mut missing: Vec<_> = of_collection
            .filter(|action| !self.allows(action, database, collection))
            .collect();
        if !self.allows(ON_THE_DATABASE, database, "") {
            missing.push(ON_THE_DATABASE);
        }
        missing
    }

    /// Whether the user may do this. An empty collection is the database itself.
    fn allows(&self, action: &str, database: &str, collection: &str) -> bool {
        let privileges = self.0.get_array("authenticatedUserPrivileges");
        privileges.into_iter().flatten().any(|privilege| {
            privilege.as_document().is_some_and(|privilege| {
                let mut actions = privilege.get_array("actions").into_iter().flatten();
                actions.any(|found| [Some(action), Some("anyAction")].contains(&found.as_str()))
                    && privilege
                        .get_document("resource")
                        .is_ok_and(|resource| covers(resource, database, collection))
            })
        })
    }
}

/// Whether a resource contains the collection. An empty name in a resource means any.
fn covers(resource: &Document, database: &str, collection: &str) -> bool {
    if resource.get_bool("anyResource").unwrap_or(false) {
        return true;
    }
    let matches = |name, wanted: &str| {
        let name = resource.get_str(name);
        name.is_ok_and(|name| name.is_empty() || name == wanted)
    };
    matches("db", database) && matches("collection", collection)
}

#[cfg(test)]
mod tests {
    use bson::{Bson, doc};

    use super::*;

    fn missing(privileges: Vec<Document>, has_index: bool) -> Vec<&'static str> {
        let status = doc! { "authInfo": {
            "authenticatedUsers": [{ "user": "u", "db": "admin" }],
            "authenticatedUserPrivileges": privileges.into_iter().map(Bson::from).collect::<Vec<_>>(),
        } };
        let privileges = Privileges::of(&status).unwrap();
        assert_eq!(privileges.users(), ["u"]);
        privileges.missing("d", "c", has_index)
    }

    #[test]
    fn what_the_worker_needs_may_come_from_several_privileges() {
        let all = [
            "find",
            "insert",
            "listIndexes",
            "createIndex",
            "listCollections",
        ];
        let on = |db: &str, collection: &str, actions: &[&str]| doc! { "resource": { "db": db, "collection": collection }, "actions": actions.to_vec() };
        assert!(missing(vec![on("d", "", &all)], false).is_empty());
        assert!(missing(vec![on("", "", &all)], false).is_empty());
        let any = doc! { "resource": { "anyResource": true }, "actions": ["anyAction"] };
        assert!(missing(vec![any], false).is_empty());
        // An action on one collection gives no right on the database.
        assert_eq!(
            missing(vec![on("d", "c", &all)], false),
            ["listCollections"]
        );
        let parts = vec![
            on("d", "c", &["find", "insert", "listIndexes"]),
            on("d", "", &["listCollections"]),
        ];
        assert_eq!(missing(parts.clone(), false), ["createIndex"]);
        assert!(missing(parts, true).is_empty());
        assert_eq!(missing(vec![on("other", "", &all)], true).len(), 4);
        assert_eq!(missing(vec![on("d", "other", &all)], true).len(), 4);
        assert_eq!(
            missing(
                vec![doc! { "resource": { "cluster": true }, "actions": ["find"] }],
                true
            )
            .len(),
            4
        );
    }
}
