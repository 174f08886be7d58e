//! Commands that mongod fails on demand.

use std::fs::File;
use std::path::Path;

use bson::{Document, doc};
use mongodb::sync::Client;

/// A `failCommand` fail point; the drop disables it. A server has only one, so the tests that use it take turns.
/// The lock is on a file, because the tests may run in several processes.
pub struct FailPoint {
    client: Client,
    /// The lock, which is held until the fail point is disabled.
    _turn: File,
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
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("fail-point.lock");
        let turn = File::create(path).unwrap();
        turn.lock().unwrap();
        let point = Self {
            client: client.clone(),
            _turn: turn,
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
