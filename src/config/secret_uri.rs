//! A URI that may hold credentials: it can be used, but not shown.

use std::collections::BTreeSet;
use std::fmt;

use percent_encoding::percent_decode_str;
use serde::{Deserialize, Serialize, Serializer};

use super::names::{is_server, is_word};

/// A MongoDB URI. `Debug`, `Display` and `Serialize` mask the credentials, and every option that isn't known to be
/// harmless.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct SecretUri(String);

const MASK: &str = "***";

/// Options whose values may be shown, in lower case.
const HARMLESS_OPTIONS: [&str; 32] = [
    "appname",
    "authmechanism",
    "authsource",
    "compressors",
    "connecttimeoutms",
    "directconnection",
    "heartbeatfrequencyms",
    "j",
    "journal",
    "loadbalanced",
    "localthresholdms",
    "maxconnecting",
    "maxidletimems",
    "maxpoolsize",
    "maxstalenessseconds",
    "minpoolsize",
    "readconcernlevel",
    "readpreference",
    "replicaset",
    "retryreads",
    "retrywrites",
    "servermonitoringmode",
    "serverselectiontimeoutms",
    "srvmaxhosts",
    "srvservicename",
    "ssl",
    "tls",
    "tlscafile",
    "tlsinsecure",
    "w",
    "waitqueuetimeoutms",
    "wtimeoutms",
];

/// Every option that the driver takes, in lower case.
const SUPPORTED_OPTIONS: [&str; 39] = [
    "appname",
    "authmechanism",
    "authmechanismproperties",
    "authsource",
    "compressors",
    "connecttimeoutms",
    "directconnection",
    "enableoverloadretargeting",
    "heartbeatfrequencyms",
    "journal",
    "loadbalanced",
    "localthresholdms",
    "maxadaptiveretries",
    "maxconnecting",
    "maxidletimems",
    "maxpoolsize",
    "maxstalenessseconds",
    "minpoolsize",
    "readconcernlevel",
    "readpreference",
    "readpreferencetags",
    "replicaset",
    "retryreads",
    "retrywrites",
    "servermonitoringmode",
    "serverselectiontimeoutms",
    "srvmaxhosts",
    "srvservicename",
    "ssl",
    "tls",
    "tlsallowinvalidcertificates",
    "tlscafile",
    "tlscertificatekeyfile",
    "tlsinsecure",
    "uuidrepresentation",
    "w",
    "waitqueuetimeoutms",
    "wtimeoutms",
    "zlibcompressionlevel",
];

/// The values of `compressors`.
const COMPRESSORS: [&str; 3] = ["snappy", "zlib", "zstd"];

impl SecretUri {
    pub fn new(uri: impl Into<String>) -> Self {
        Self(uri.into())
    }

    /// The URI itself, credentials included: for the driver alone, never for a log or an error.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// The options in their order: names in lower case, values percent-decoded, as the driver reads
    /// them.
    pub(super) fn options(&self) -> impl Iterator<Item = (String, String)> {
        let (_, options) = self.0.split_once('?').unwrap_or_default();
        options
            .split('&')
            .filter_map(|option| option.split_once('='))
            .map(|(name, value)| {
                let value = percent_decode_str(value).decode_utf8_lossy();
                (name.to_lowercase(), value.into_owned())
            })
    }

    /// The name and the fault of each option that the driver would refuse: its own error may quote a password.
    pub(super) fn option_faults(&self) -> Vec<(String, String)> {
        let mut names = BTreeSet::new();
        let mut faults = Vec::new();
        for (name, value) in self.options().filter(|(name, _)| is_word(name)) {
            let unknown = value.split(',').find(|word| !COMPRESSORS.contains(word));
            if !SUPPORTED_OPTIONS.contains(&name.as_str()) {
                let fault = "the MongoDB driver has no such option; remove it";
                faults.push((name, fault.to_owned()));
            } else if !names.insert(name.clone()) && name != "readpreferencetags" {
                let fault = "given more than once; leave one of them";
                faults.push((name, fault.to_owned()));
            } else if let (Some(word), "compressors") = (unknown, name.as_str()) {
                let shown = if is_word(word) { word } else { MASK };
                let fault = format!("found `{shown}`, expected `snappy`, `zlib` or `zstd`");
                faults.push((name, fault));
            }
        }
        faults
    }
}

impl fmt::Display for SecretUri {
    /// A URI that can't be parsed safely, for instance with an unescaped `?` in the password, is masked as a whole.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some((scheme @ ("mongodb" | "mongodb+srv"), rest)) = self.0.split_once("://") else {
            return f.write_str(MASK);
        };
        write!(f, "{scheme}://")?;
        let (before_options, options) = rest.split_once('?').unwrap_or((rest, ""));
        if options.contains('@') {
            return f.write_str(MASK);
        }
        let hosts = match before_options.rsplit_once('@') {
            Some((_, hosts)) => {
                write!(f, "{MASK}@")?;
                hosts
            }
            None => before_options,
        };
        let (hosts, database) = hosts.split_once('/').unwrap_or((hosts, ""));
        for (index, host) in hosts.split(',').enumerate() {
            let comma = if index > 0 { "," } else { "" };
            // Only a port is shown after a colon: anything else may be a password.
            write!(f, "{comma}{}", if is_server(host) { host } else { MASK })?;
        }
        if !database.is_empty() {
            write!(f, "/{}", if is_word(database) { database } else { MASK })?;
        } else if !options.is_empty() {
            f.write_str("/")?;
        }
        for (index, option) in options.split('&').filter(|o| !o.is_empty()).enumerate() {
            f.write_str(if index > 0 { "&" } else { "?" })?;
            match option.split_once('=') {
                Some((name, value)) if HARMLESS_OPTIONS.contains(&name.to_lowercase().as_str()) => {
                    write!(f, "{name}={value}")?;
                }
                Some((name, _)) if is_word(name) => write!(f, "{name}={MASK}")?,
                _ => f.write_str(MASK)?,
            }
        }
        Ok(())
    }
}

impl Serialize for SecretUri {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl fmt::Debug for SecretUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretUri({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_and_harmless_options_are_shown_and_nothing_else() {
        for (uri, shown) in [
            ("mongodb://mongodb:27017", "mongodb://mongodb:27017"),
            (
                "mongodb://ann:hunter2@a:1,[::1]:2/admin?replicaSet=rs0&w=majority",
                "mongodb://***@a:1,[::1]:2/admin?replicaSet=rs0&w=majority",
            ),
            (
                "mongodb+srv://ann:hunter2@x.example.org/?authMechanismProperties=AWS:hunter2&tls=true",
                "mongodb+srv://***@x.example.org/?authMechanismProperties=***&tls=true",
            ),
            ("mongodb://ann:hun@ter2@host", "mongodb://***@host"),
            ("mongodb://ann:hun/ter2@host/db", "mongodb://***@host/db"),
            ("mongodb://ann:hunter2?@host/", "mongodb://***"),
            ("mongodb://ann:hunter2", "mongodb://***"),
            ("mongodb://ann:hunter2/db", "mongodb://***/db"),
            (
                "mongodb://host/?proxyPassword=hunter2",
                "mongodb://host/?proxyPassword=***",
            ),
            ("mongodb://host/?hunter2!", "mongodb://host/?***"),
            ("mongodb://%2Ftmp%2Fmongodb.sock", "mongodb://***"),
            ("postgres://ann:hunter2@host", "***"),
            ("hunter2", "***"),
            ("", "***"),
        ] {
            let secret = SecretUri::new(uri);
            assert_eq!(secret.to_string(), shown);
            assert_eq!(format!("{secret:?}"), format!("SecretUri({shown})"));
            assert_eq!(secret.expose(), uri);
        }
    }

    #[test]
    fn options_are_read_as_the_driver_reads_them() {
        let uri = SecretUri::new("mongodb://u:p@h/d?W=m%61jority&journal=true&x&tls=%zz%4");
        let options: Vec<_> = uri.options().collect();
        let expected = [("w", "majority"), ("journal", "true"), ("tls", "%zz%4")];
        assert_eq!(options, expected.map(|(n, v)| (n.to_owned(), v.to_owned())));
        assert_eq!(SecretUri::new("mongodb://h").options().count(), 0);
    }
}
