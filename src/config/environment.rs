//! Values from environment variables, and from the files that some of them name.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::Path;

use serde_json::{Map, Value};

use super::errors::{ConfigErrors, quoted};
use super::json::{Pointer, parse};
use super::layer::{Faulty, Layer};
use super::names::is_whole_number;
use super::schema::{ENV_FILE_SUFFIX, ENV_PREFIX, Key, Type, keys};
use super::suggest::nearest;

/// Reads the variables that begin with `CONSUMER__`; all others are ignored.
pub(super) fn read<K, V>(
    environment: impl IntoIterator<Item = (K, V)>,
    faulty: &mut Faulty,
    errors: &mut ConfigErrors,
) -> Layer
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
    let mut layer = Layer::new(Map::new(), Vec::new());
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
        match text.and_then(|text| value_of(key, &text)) {
            Ok((value, repeated)) => layer.set(key, variable, value, &repeated),
            Err(fault) => {
                errors.add(format!("`{variable}`"), fault);
                faulty.add(&key.path);
            }
        }
    }
    for name in variables.keys() {
        errors.add(quoted(name), unknown(name));
    }
    layer
}

/// Converts the text of a variable to the JSON value of its key. Also returns the pointers to the names that the text
/// contains more than once.
fn value_of(key: &Key, text: &str) -> Result<(Value, Vec<Pointer>), String> {
    let expected = key.expected();
    if text.is_empty() {
        return Err(format!(
            "empty, expected {expected}; give it a value, or unset it"
        ));
    }
    let integer = || match text.parse::<i64>() {
        Ok(value) if is_whole_number(text) => Some(Value::from(value)),
        Ok(_) | Err(_) => None,
    };
    let value = match key.value_type() {
        Type::Text => Some(Value::from(text)),
        Type::Integer => integer(),
        // Neither `NaN` nor `inf` is JSON.
        Type::Number => text
            .parse()
            .ok()
            .and_then(serde_json::Number::from_f64)
            .map(Value::Number),
        Type::IntegerOrText => integer().or_else(|| Some(Value::from(text))),
        Type::Boolean => text.parse().ok().map(Value::Bool),
        Type::Object | Type::Array => {
            return parse(text).map_err(|error| {
                format!(
                    "not valid JSON, expected {expected}: {} at line {}, column {}",
                    error.message, error.line, error.column
                )
            });
        }
    };
    value
        .map(|value| (value, Vec::new()))
        .ok_or_else(|| format!("found {}, expected {expected}", quoted(text)))
}

fn text_of(value: OsString) -> Result<String, String> {
    value.into_string().map_err(|_| "not UTF-8".to_owned())
}

/// The text of a file, without the line break that editors put at its end.
fn text_in_file(path: &Path) -> Result<String, String> {
    let shown = quoted(&path.to_string_lossy());
    let bytes = fs::read(path).map_err(|error| format!("can't read {shown}: {error}"))?;
    let text = String::from_utf8(bytes).map_err(|_| format!("{shown} is not UTF-8"))?;
    let line = text.strip_suffix("\r\n").or(text.strip_suffix('\n'));
    Ok(line.unwrap_or(&text).to_owned())
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
