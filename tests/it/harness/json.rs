//! The one builder for the JSON of test messages: a valid message, and the changes that a test makes to it.

use std::fmt::{self, Display, Write as _};

/// A JSON object. Each value is JSON text; a name may occur twice.
#[derive(Debug, Clone, Default)]
pub struct Json {
    fields: Vec<(String, String)>,
}

impl Json {
    /// A valid message with this `message_id`.
    pub fn message(id: &str) -> Self {
        Self::default()
            .add("message_id", text(id))
            .add("name", text("n"))
            .add("created_at", text("2023-07-15T12:34:56.789Z"))
            .add("metadata", "{}")
    }

    /// Adds a field at the end. The value is JSON, so a string needs its quotes; see [`text`].
    pub fn add(mut self, name: &str, value: impl Display) -> Self {
        self.fields.push((name.to_owned(), value.to_string()));
        self
    }

    /// Replaces the value of a field. The field keeps its place.
    #[track_caller]
    pub fn set(mut self, name: &str, value: impl Display) -> Self {
        let mut fields = self.fields.iter_mut();
        let (_, old) = fields
            .find(|(field, _)| field == name)
            .unwrap_or_else(|| panic!("no field `{name}`"));
        *old = value.to_string();
        self
    }

    /// Removes a field.
    pub fn without(mut self, name: &str) -> Self {
        self.fields.retain(|(field, _)| field != name);
        self
    }
}

/// A JSON string, with quotes and escapes.
pub fn text(value: &str) -> String {
    serde_json::Value::from(value).to_string()
}

impl Display for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('{')?;
        for (index, (name, value)) in self.fields.iter().enumerate() {
            let comma = if index > 0 { "," } else { "" };
            write!(f, r#"{comma}"{name}":{value}"#)?;
        }
        f.write_char('}')
    }
}

impl From<Json> for Vec<u8> {
    fn from(json: Json) -> Self {
        json.to_string().into_bytes()
    }
}
