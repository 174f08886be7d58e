//! Values from environment variables, and from the files that some of them name.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::Path;

use super::errors::{ConfigErrors, quoted};
use super::json::Node;
use super::keys::{ENV_FILE_SUFFIX, ENV_PREFIX, Key, keys};
use super::suggest::nearest;

/// A key's value out of the environment.
pub(super) struct Override {
    pub key: &'static Key,
    /// The variable, for errors.
    pub variable: String,
    /// `None` if it was faulty; that has been noted.
    pub node: Option<Node>,
}

/// What the variables of the configuration say; all others are ignored.
pub(super) fn overrides<K, V>(
    environment: impl IntoIterator<Item = (K, V)>,
    errors: &mut ConfigErrors,
) -> Vec<Override>
where
    K: Into<OsString>,
    V: Into<OsString>,
{
    // Sorted, so that the errors come in the same order each time.
    let mut variables: BTreeMap<String, OsString> = environment
        .into_iter()
        .map(|(name, value)| (name.into().to_string_lossy().into_owned(), value.into()))
        .filter(|(name, _)| name.starts_with(ENV_PREFIX))
        .collect();
    let mut overrides = Vec::new();
    for key in keys() {
        let direct = variables.remove_entry(&key.env_name());
        let by_file = key
            .env_file_name()
            .and_then(|name| variables.remove_entry(&name));
        let (variable, text) = match (direct, by_file) {
            (None, None) => continue,
            (Some((name, value)), None) => (name, text_of(value)),
            (None, Some((name, path))) => (name, text_in_file(Path::new(&path))),
            (Some((name, _)), Some((file_name, _))) => {
                let fault = format!("set together with `{file_name}`; unset one of them");
                (name, Err(fault))
            }
        };
        let node = text
            .and_then(|text| key.kind.node_of(&text))
            .map_err(|fault| errors.add(format!("`{variable}`"), fault))
            .ok();
        overrides.push(Override {
            key,
            variable,
            node,
        });
    }
    for name in variables.keys() {
        errors.add(quoted(name), unknown(name));
    }
    overrides
}

fn text_of(value: OsString) -> Result<String, String> {
    value.into_string().map_err(|_| "not UTF-8".to_owned())
}

/// The text of a file, without the line break that editors put at its end.
fn text_in_file(path: &Path) -> Result<String, String> {
    let shown = quoted(&path.to_string_lossy());
    let bytes = fs::read(path).map_err(|error| format!("can't read {shown}: {error}"))?;
    let mut text = String::from_utf8(bytes).map_err(|_| format!("{shown} is not UTF-8"))?;
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    Ok(text)
}

fn unknown(name: &str) -> String {
    let has_no_file = name
        .strip_suffix(ENV_FILE_SUFFIX)
        .is_some_and(|name| keys().iter().any(|key| key.env_name() == name));
    if has_no_file {
        return "this key's value can't come from a file; set it without `_FILE`".into();
    }
    let names: Vec<String> = keys()
        .iter()
        .flat_map(|key| [Some(key.env_name()), key.env_file_name()])
        .flatten()
        .collect();
    match nearest(name, names.iter().map(String::as_str)) {
        Some(nearest) => format!("unknown variable; did you mean `{nearest}`?"),
        None => "unknown variable; unset it".into(),
    }
}
