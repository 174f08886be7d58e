//! Which module may know which: imports point down only, and each library stays in its own folder.
//! ARCHITECTURE.md says why.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Each module of the crate, and what it may import of it.
const MAY_KNOW: [(&str, &[&str]); 8] = [
    // Only for words, such as the reasons.
    ("cli", &["core"]),
    (
        "commands",
        &[
            "cli", "pipeline", "kafka", "mongo", "core", "config", "observe",
        ],
    ),
    ("pipeline", &["kafka", "mongo", "core", "config", "observe"]),
    ("kafka", &["core", "config"]),
    ("mongo", &["core", "config"]),
    ("core", &[]),
    ("config", &[]),
    ("observe", &[]),
];

/// Libraries that stop at one module's door.
const AT_HOME: [(&str, &str); 6] = [
    ("rdkafka", "kafka"),
    ("mongodb", "mongo"),
    ("prometheus", "observe"),
    ("tiny_http", "observe"),
    ("env_logger", "observe"),
    ("clap", "cli"),
];

struct Source {
    module: String,
    path: PathBuf,
    code: String,
}

/// Every source file below `src/`, without its comments.
fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut folders = vec![root.clone()];
    let mut sources = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let inside = path.strip_prefix(&root).unwrap();
                let first = inside
                    .components()
                    .next()
                    .unwrap()
                    .as_os_str()
                    .to_str()
                    .unwrap();
                let module = first.trim_end_matches(".rs").to_owned();
                let text = fs::read_to_string(&path).unwrap();
                let is_code = |line: &&str| !line.trim_start().starts_with("//");
                let code = text.lines().filter(is_code).collect::<Vec<_>>().join("\n");
                sources.push(Source { module, path, code });
            }
        }
    }
    assert!(
        sources.len() > 40,
        "the sources were not found: {}",
        sources.len()
    );
    sources
}

/// The modules named behind `crate::`.
fn imports(code: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for (at, found) in code.match_indices("crate::") {
        // `$crate::` is a macro's own crate, and `some_crate::` another one.
        let before = code[..at].chars().next_back();
        if before.is_some_and(|c| c == '$' || c == '_' || c.is_ascii_alphanumeric()) {
            continue;
        }
        let rest = &code[at + found.len()..];
        assert!(
            !rest.starts_with('{'),
            "one module each, so that this test sees it: {code}"
        );
        let is_name = |c: &char| c.is_ascii_alphanumeric() || *c == '_';
        names.insert(rest.chars().take_while(is_name).collect());
    }
    names
}

#[test]
fn imports_point_down_only() {
    let mut faults = Vec::new();
    for source in sources() {
        let Some((_, may_know)) = MAY_KNOW.iter().find(|(module, _)| *module == source.module)
        else {
            let module = source.module.as_str();
            assert!(
                ["main", "lib"].contains(&module),
                "`{module}` is no module of the table"
            );
            continue;
        };
        for name in imports(&source.code) {
            if name != source.module && !may_know.contains(&name.as_str()) {
                faults.push(format!("{} knows `{name}`", source.path.display()));
            }
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
}

#[test]
fn each_library_stays_in_its_folder() {
    let mut faults = Vec::new();
    for source in sources() {
        for (library, home) in AT_HOME {
            let is_used = [' ', '(', '<', '&', '\n']
                .iter()
                .any(|before| source.code.contains(&format!("{before}{library}::")));
            let is_main = source.module == "main" && library == "clap";
            if is_used && source.module != home && !is_main {
                faults.push(format!("{} uses {library}", source.path.display()));
            }
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
}

#[test]
fn imports_are_found() {
    let code = "use crate::core::x;\nlet y = crate::kafka::Z; $crate::macros::m!(); my_crate::z();";
    assert_eq!(
        imports(code),
        BTreeSet::from(["core".to_owned(), "kafka".to_owned()])
    );
}
