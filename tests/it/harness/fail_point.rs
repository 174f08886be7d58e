//! Faults that mongod makes on demand.

use std::fs::File;
use std::path::Path;

use bson::{Document, doc};
use mongodb::sync::Client;

/// A `failCommand` fail point, off again on drop. A server has only one: tests that use it take turns,
/// by a lock on a file, since they may run in several processes.
pub struct FailPoint {
    client: Client,
    /// Held until the fail point is off.
    _turn: File,
}

impl FailPoint {
    /// `mode` is the server's, such as `"alwaysOn"` or `doc! { "times": 2 }`; `data` says which
    /// commands fail and how. Only connections of `app_name` are hit.
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

    /// Another fault instead.
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
        // A panic in a drop would hide the test's own.
        if let Err(error) = self.client.database("admin").run_command(off).run() {
            eprintln!("the fail point could not be disabled: {error}");
        }
    }
}
