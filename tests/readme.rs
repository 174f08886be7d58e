//! The README's tables say what the program says.

use std::fs;
use std::path::Path;

use kafka_mongo_consumer::MetricsCollector;
use kafka_mongo_consumer::Reason;
use kafka_mongo_consumer::config;

fn readme() -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap()
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
fn every_configuration_key_stands_in_the_readme() {
    let rows: Vec<String> = config::keys().iter().map(row_of).collect();
    let table = rows.join("\n");
    assert!(
        readme().contains(&table),
        "the table of keys should be\n{table}"
    );
}

#[test]
fn every_reason_stands_in_the_readme() {
    let readme = readme();
    for reason in Reason::ALL {
        assert!(
            readme.contains(&format!("| `{reason}` |")),
            "`{reason}` is missing"
        );
    }
}

#[test]
fn every_metric_stands_in_the_readme() {
    let readme = readme();
    let rendered = MetricsCollector::new(8001, &["a"]).render();
    let names = rendered
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE "));
    for name in names.filter_map(|rest| rest.split(' ').next()) {
        let is_process = name.starts_with("process_");
        assert!(
            is_process || readme.contains(&format!("| `{name}")),
            "`{name}` is missing"
        );
    }
}
