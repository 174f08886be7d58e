//! Messages of other kinds than the specification's, each with its JSON Schema.

use std::fmt;

/// A message and its schema.
pub struct Example {
    name: &'static str,
    pub json: &'static str,
    pub schema: &'static str,
}

/// A reading of eight fields, an event with nested objects and a schema with conditions, and an order that its schema knows by
/// about a hundred properties.
pub const MESSAGES: [Example; 3] = [
    Example {
        name: "sensor reading",
        json: include_str!("sensor.json"),
        schema: include_str!("sensor.schema.json"),
    },
    Example {
        name: "event",
        json: include_str!("event.json"),
        schema: include_str!("event.schema.json"),
    },
    Example {
        name: "order",
        json: include_str!("order.json"),
        schema: include_str!("order.schema.json"),
    },
];

impl fmt::Display for Example {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}
