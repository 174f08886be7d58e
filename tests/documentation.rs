//! The tables of the documentation say what the program and the measurements say, and its references exist.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use kafka_mongo_consumer::MetricsCollector;
use kafka_mongo_consumer::Reason;
use kafka_mongo_consumer::config;

fn path_of(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(file)
}

fn text_of(file: &str) -> String {
    fs::read_to_string(path_of(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// The documents of the root and of `docs/`.
fn documents() -> Vec<String> {
    let mut files = vec![
        "README.md".to_owned(),
        "ARCHITECTURE.md".to_owned(),
        "CONTRIBUTING.md".to_owned(),
    ];
    for entry in fs::read_dir(path_of("docs")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if Path::new(&name).extension().is_some_and(|end| end == "md") {
            files.push(format!("docs/{name}"));
        }
    }
    files
}

fn row_of(key: &config::Key) -> String {
    let default = key
        .default()
        .map_or("required".to_owned(), |value| format!("`{value}`"));
    format!(
        "| `{}` | {} | {default} | {} |",
        key.path,
        key.expected(),
        key.description()
    )
}

#[test]
fn every_configuration_key_is_documented() {
    let rows: Vec<String> = config::keys().iter().map(row_of).collect();
    let table = rows.join("\n");
    assert!(
        text_of("docs/CONFIGURATION.md").contains(&table),
        "the table of keys should be\n{table}"
    );
}

#[test]
fn every_reason_is_documented() {
    let messages = text_of("docs/MESSAGES.md");
    for reason in Reason::ALL {
        assert!(
            messages.contains(&format!("| `{reason}` |")),
            "`{reason}` is missing"
        );
    }
}

#[test]
fn every_metric_is_documented() {
    let documented = text_of("docs/METRICS.md");
    let rendered = MetricsCollector::new(8001, &["a"]).render();
    let names = rendered
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE "));
    for name in names.filter_map(|rest| rest.split(' ').next()) {
        let is_process = name.starts_with("process_");
        assert!(
            is_process || documented.contains(&format!("| `{name}")),
            "`{name}` is missing"
        );
    }
}

#[test]
fn published_chaos_runs_lost_nothing() {
    let document = text_of("docs/RELIABILITY.md");
    let runs: Value = serde_json::from_str(&text_of("docs/reliability/chaos.json")).unwrap();
    let runs = runs.as_array().unwrap();
    assert!(!runs.is_empty());
    for run in runs {
        assert_eq!((&run["lost"], &run["stored_twice"]), (&0.into(), &0.into()));
        let row = format!(
            "| {} | {} | {}, `{}` | {} | {} | {} |",
            run["date"].as_str().unwrap(),
            run["version"].as_str().unwrap(),
            run["seed"],
            run["on_unavailable"].as_str().unwrap(),
            run["minutes"],
            run["workers"],
            grouped(run["produced"].as_f64().unwrap()),
        );
        assert!(document.contains(&row), "there should be a row\n{row}");
    }
}

/// A number in thousands with a comma.
fn grouped(number: f64) -> String {
    let digits = format!("{number:.0}");
    let (thousands, rest) = digits.split_at(digits.len() - 3);
    format!("{thousands},{rest}")
}

/// The texts between backticks.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

#[test]
fn each_test_that_a_document_names_exists() {
    let documents = ["docs/RELIABILITY.md", "docs/COMPATIBILITY.md"]
        .map(text_of)
        .join("\n");
    let mut found = 0;
    for name in quoted(&documents).filter(|name| name.contains("::") && !name.contains(' ')) {
        if name == "module::test" {
            continue;
        }
        let (module, name_of_test) = name.rsplit_once("::").unwrap();
        let file = format!("tests/it/{}", module.replace("::", "/"));
        let text = fs::read_to_string(path_of(&format!("{file}.rs")))
            .or_else(|_| fs::read_to_string(path_of(&format!("{file}/mod.rs"))))
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(
            text.contains(&format!("fn {name_of_test}(")),
            "there is no test {name}"
        );
        found += 1;
    }
    assert!(found > 20, "only {found} tests are named");
}

#[test]
fn links_between_documents_lead_somewhere() {
    for file in documents() {
        let text = text_of(&file);
        for link in text
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split(')').next())
        {
            if link.contains("://") {
                continue;
            }
            let (target, anchor) = link.split_once('#').unwrap_or((link, ""));
            let folder = Path::new(&file).parent().unwrap();
            let target = if target.is_empty() {
                PathBuf::from(&file)
            } else {
                folder.join(target)
            };
            let path = path_of(target.to_str().unwrap());
            assert!(path.exists(), "{file} links to {link}");
            if !anchor.is_empty() {
                let headings = fs::read_to_string(&path).unwrap();
                let mut anchors = headings
                    .lines()
                    .filter(|line| line.starts_with('#'))
                    .map(anchor_of);
                assert!(
                    anchors.any(|found| found == anchor),
                    "{file} links to {link}"
                );
            }
        }
    }
}

/// The anchor of a heading, as the usual viewers make it.
fn anchor_of(heading: &str) -> String {
    let words = heading.trim_start_matches('#').trim().to_lowercase();
    words
        .chars()
        .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'))
        .map(|c| if c == ' ' { '-' } else { c })
        .collect()
}
