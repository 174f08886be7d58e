//! What mongod does wrong on demand.

use bson::{Document, doc};
use mongodb::sync::Client;

/// Fails commands.
const COMMANDS: &str = "failCommand";
/// Index builds stop at their beginning, and go on when it is disabled. An empty collection has its index at once.
const INDEX_BUILDS: &str = "hangAfterStartingIndexBuild";

/// A fail point of a server; a server has only one of each name. Dropping this disables the fail point.
pub struct FailPoint {
    client: Client,
    name: &'static str,
}

impl FailPoint {
    /// `mode` is a mode of the server's fail points, such as `"alwaysOn"` or `doc! { "times": 2 }`; `data` says
    /// which commands fail and how. Only connections of `app_name` are affected.
    pub(super) fn enable(
        client: &Client,
        app_name: &str,
        mode: impl Into<bson::Bson>,
        data: Document,
    ) -> Self {
        let point = Self {
            client: client.clone(),
            name: COMMANDS,
        };
        point.set(app_name, mode, data);
        point
    }

    pub(super) fn hold_index_builds(client: &Client) -> Self {
        let point = Self {
            client: client.clone(),
            name: INDEX_BUILDS,
        };
        point.configure(doc! { "configureFailPoint": INDEX_BUILDS, "mode": "alwaysOn" });
        point
    }

    /// Replaces the fault.
    pub fn set(&self, app_name: &str, mode: impl Into<bson::Bson>, mut data: Document) {
        data.insert("appName", app_name);
        self.configure(doc! { "configureFailPoint": self.name, "mode": mode.into(), "data": data });
    }

    fn configure(&self, command: Document) {
        self.client
            .database("admin")
            .run_command(command)
            .run()
            .unwrap();
    }
}

impl Drop for FailPoint {
    fn drop(&mut self) {
        let off = doc! { "configureFailPoint": self.name, "mode": "off" };
        // A panic here would hide the panic of the test.
        if let Err(error) = self.client.database("admin").run_command(off).run() {
            eprintln!("the fail point could not be disabled: {error}");
        }
    }
}
