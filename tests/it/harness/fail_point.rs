//! Commands that mongod fails on demand.

use bson::{Document, doc};
use mongodb::sync::Client;

/// The `failCommand` fail point of a server; a server has only one. Dropping this disables the fail point.
pub struct FailPoint {
    client: Client,
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
        };
        point.set(app_name, mode, data);
        point
    }

    /// Replaces the fault.
    pub fn set(&self, app_name: &str, mode: impl Into<bson::Bson>, mut data: Document) {
        data.insert("appName", app_name);
        self.configure(
            doc! { "configureFailPoint": "failCommand", "mode": mode.into(), "data": data },
        );
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
        let off = doc! { "configureFailPoint": "failCommand", "mode": "off" };
        // A panic here would hide the panic of the test.
        if let Err(error) = self.client.database("admin").run_command(off).run() {
            eprintln!("the fail point could not be disabled: {error}");
        }
    }
}
