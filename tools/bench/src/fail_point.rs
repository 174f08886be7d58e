//! Faults of MongoDB.

use bson::{Document, doc};
use mongodb::sync::Client;

use crate::Result;

/// How much longer an insert takes with [`FailPoint::delay`].
pub const DELAY_MS: u32 = 50;

/// A fail point of mongod for the worker's inserts and no others.
pub struct FailPoint<'a> {
    client: &'a Client,
    is_on: bool,
}

impl<'a> FailPoint<'a> {
    /// Inserts take longer.
    pub fn delay(client: &'a Client) -> Result<Self> {
        let delay = doc! { "blockConnection": true, "blockTimeMS": i64::from(DELAY_MS) };
        Self::enable(client, delay)
    }

    /// `effect` is what happens to an insert, in mongod's words.
    pub fn enable(client: &'a Client, effect: Document) -> Result<Self> {
        let mut data = doc! { "failCommands": ["insert"], "appName": "kafka-mongo-consumer" };
        data.extend(effect);
        configure(client, doc! { "mode": "alwaysOn", "data": data })?;
        Ok(Self {
            client,
            is_on: true,
        })
    }

    pub fn disable(mut self) -> Result<()> {
        self.is_on = false;
        configure(self.client, doc! { "mode": "off" })
    }
}

impl Drop for FailPoint<'_> {
    fn drop(&mut self) {
        // After a failure of this row, it must not act on other rows.
        if self.is_on
            && let Err(error) = configure(self.client, doc! { "mode": "off" })
        {
            eprintln!("bench: a fail point could not be ended: {error}");
        }
    }
}

fn configure(client: &Client, settings: Document) -> Result<()> {
    let mut command = doc! { "configureFailPoint": "failCommand" };
    command.extend(settings);
    client.database("admin").run_command(command).run()?;
    Ok(())
}
