//! Which files hold certificates, keys and passwords.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::PathBuf;

use super::message;
use super::model::Config;
use super::schema::keys;

/// The options of MongoDB's URI that name a file, in lower case.
const URI_OPTIONS: [&str; 2] = ["tlscafile", "tlscertificatekeyfile"];
/// How the names of librdkafka's properties end that name a file, or a directory of certificates.
const PROPERTY_ENDINGS: [&str; 2] = [".location", ".file"];

/// librdkafka reads this one again for each login.
const READ_FOR_EACH_LOGIN: &str = "sasl.oauthbearer.assertion.file";

impl Config {
    /// The files that the variables of `environment` name, and those that the properties of Kafka and the URI of MongoDB
    /// name; and the file of the messages' JSON Schema. `environment` is what this configuration was loaded with.
    pub fn credential_files<K, V>(
        &self,
        environment: impl IntoIterator<Item = (K, V)>,
    ) -> BTreeSet<PathBuf>
    where
        K: Into<OsString>,
        V: Into<OsString>,
    {
        let variables: BTreeSet<OsString> = keys()
            .iter()
            .filter_map(|key| key.env_file_name().map(OsString::from))
            .collect();
        let by_variable = environment.into_iter().filter_map(|(name, value)| {
            let is_ours = variables.contains(&name.into());
            is_ours.then(|| PathBuf::from(value.into()))
        });
        let kafka = &self.kafka;
        let by_property = kafka
            .consumer_properties
            .iter()
            .chain(&kafka.producer_properties)
            .filter(|(name, _)| *name != READ_FOR_EACH_LOGIN)
            .filter(|(name, _)| PROPERTY_ENDINGS.iter().any(|end| name.ends_with(end)))
            .map(|(_, file)| PathBuf::from(file));
        let by_uri = self
            .mongodb
            .uri
            .options()
            .filter(|(name, _)| URI_OPTIONS.contains(&name.as_str()))
            .map(|(_, file)| PathBuf::from(file));
        by_variable
            .chain(by_property)
            .chain(by_uri)
            .chain(message::schema_file(&self.message.schema))
            .collect()
    }
}
