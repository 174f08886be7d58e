//! The rules of the tree: imports point down only, no two files import each other, each library stays in its
//! own folder, and the core has neither I/O nor a clock. ARCHITECTURE.md says why.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Each module of the crate, and the modules that it may import. A module may import only modules that stand
/// below it.
const MAY_IMPORT: [(&str, &[&str]); 15] = [
    (
        "commands",
        &[
            "cli", "worker", "replay", "control", "runtime", "failure", "kafka", "mongo",
            "observe", "config", "core",
        ],
    ),
    (
        "worker",
        &[
            "intake", "store", "commit", "control", "runtime", "failure", "kafka", "mongo",
            "observe", "config", "core",
        ],
    ),
    (
        "replay",
        &[
            "store", "commit", "runtime", "failure", "kafka", "mongo", "config", "core",
        ],
    ),
    (
        "intake",
        &[
            "store", "commit", "runtime", "failure", "kafka", "observe", "core",
        ],
    ),
    (
        "store",
        &[
            "commit", "runtime", "failure", "kafka", "mongo", "observe", "config", "core",
        ],
    ),
    (
        "commit",
        &["runtime", "failure", "kafka", "observe", "config", "core"],
    ),
    ("control", &["runtime", "observe"]),
    // For the exit code of each error of a reader, and for trying a question again until a stop.
    ("kafka", &["runtime", "failure", "config", "core"]),
    ("mongo", &["config", "core"]),
    ("runtime", &["failure", "observe"]),
    ("failure", &["config"]),
    ("observe", &[]),
    // Only for words, such as the reasons.
    ("cli", &["core"]),
    // Only for the rules for messages, which it compiles.
    ("config", &["core"]),
    ("core", &[]),
];

/// Libraries that one module alone uses.
const LIBRARY_OF: [(&str, &str); 11] = [
    ("rdkafka", "kafka"),
    ("mongodb", "mongo"),
    ("prometheus", "observe"),
    ("tiny_http", "observe"),
    ("env_logger", "observe"),
    ("backoff", "runtime"),
    ("clap", "cli"),
    ("clap_complete", "cli"),
    ("clap_mangen", "cli"),
    ("minreq", "commands"),
    ("sd_notify", "worker"),
];

/// What code without I/O and without a clock doesn't name.
const NOT_IN_THE_CORE: [&str; 13] = [
    "Instant::now",
    "SystemTime::now",
    "Timestamp::now",
    ".elapsed()",
    "std::env",
    "std::fs",
    "std::io",
    "std::net",
    "std::process",
    "std::sync",
    "std::thread",
    "crossbeam_channel",
    "log::",
];

struct Source {
    /// The first folder or file below `src/`.
    module: String,
    /// Such as `store::batch_write`; that of a folder's `mod.rs` is `store`.
    module_path: String,
    path: PathBuf,
    /// Without comments, and without the unit tests.
    code: String,
}

/// Every source file below `src/` but those with tests.
fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut folders = vec![root.clone()];
    let mut sources = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let inside = path.strip_prefix(&root).unwrap().with_extension("");
            let names: Vec<&str> = inside.iter().map(|name| name.to_str().unwrap()).collect();
            if names.contains(&"tests") {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                sources.push(Source {
                    module: names[0].to_owned(),
                    module_path: names.join("::").trim_end_matches("::mod").to_owned(),
                    code: code_of(&text),
                    path: path.clone(),
                });
            }
        }
    }
    assert!(sources.len() > 80, "found only {} sources", sources.len());
    sources
}

fn code_of(text: &str) -> String {
    let without_tests = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
    let is_code = |line: &&str| !line.trim_start().starts_with("//");
    let lines = without_tests.lines().filter(is_code);
    lines.collect::<Vec<_>>().join("\n")
}

/// The paths behind `crate::`, each up to the first name that isn't a module's. `crate::a::{b, c}` are two.
fn imports(code: &str) -> BTreeSet<String> {
    let mut paths = BTreeSet::new();
    for (at, found) in code.match_indices("crate::") {
        // `$crate::` is a macro's own crate, and `some_crate::` is another crate.
        let before = code[..at].chars().next_back();
        if before.is_some_and(|c| c == '$' || c == '_' || c.is_ascii_alphanumeric()) {
            continue;
        }
        paths.extend(expand(&code[at + found.len()..]));
    }
    paths
}

/// The paths that a text begins with: a path, or a path that ends with a list in braces.
fn expand(text: &str) -> Vec<String> {
    let is_path = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    let end = text.find(|c| !is_path(c)).unwrap_or(text.len());
    let path = text[..end].trim_end_matches(':').to_owned();
    let Some(list) = text[end..].strip_prefix('{') else {
        return vec![path];
    };
    let list = list.split('}').next().unwrap_or_default();
    let items = list.split(',').map(str::trim);
    let items = items.filter(|item| !item.is_empty());
    items
        .map(|item| {
            let item = item.split(' ').next().unwrap_or_default();
            if path.is_empty() {
                item.to_owned()
            } else {
                format!("{path}::{item}")
            }
        })
        .collect()
}

#[test]
fn imports_point_down_only() {
    let mut faults = Vec::new();
    for source in sources() {
        let row = MAY_IMPORT
            .iter()
            .find(|(module, _)| *module == source.module);
        let Some((_, may_import)) = row else {
            let module = source.module.as_str();
            assert!(
                ["main", "lib"].contains(&module),
                "`{module}` is missing in the table"
            );
            continue;
        };
        for path in imports(&source.code) {
            let name = path.split("::").next().unwrap();
            if name != source.module && !may_import.contains(&name) {
                faults.push(format!("{} imports `{name}`", source.path.display()));
            }
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
}

#[test]
fn the_table_of_modules_has_no_circle() {
    let mut below: BTreeSet<&str> = BTreeSet::new();
    let mut rows = MAY_IMPORT.to_vec();
    while !rows.is_empty() {
        let before = rows.len();
        rows.retain(|(module, may_import)| {
            let is_lowest = may_import.iter().all(|name| below.contains(name));
            if is_lowest {
                below.insert(module);
            }
            !is_lowest
        });
        assert!(rows.len() < before, "these import each other: {rows:?}");
    }
}

#[test]
fn no_two_files_import_each_other() {
    let sources = sources();
    let known: BTreeSet<&str> = sources.iter().map(|s| s.module_path.as_str()).collect();
    let mut edges: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for source in &sources {
        let targets = files_imported_by(source, &known);
        edges.insert(&source.module_path, targets);
    }
    let mut rest = edges.clone();
    loop {
        let leaves: Vec<&str> = rest
            .iter()
            .filter(|(_, targets)| targets.iter().all(|target| !rest.contains_key(target)))
            .map(|(file, _)| *file)
            .collect();
        if leaves.is_empty() {
            break;
        }
        for leaf in leaves {
            rest.remove(leaf);
        }
    }
    let circles: BTreeMap<_, _> = rest
        .iter()
        .map(|(file, targets)| {
            let inside = targets.iter().filter(|target| rest.contains_key(*target));
            (file, inside.collect::<Vec<_>>())
        })
        .collect();
    assert!(circles.is_empty(), "these import each other: {circles:#?}");
}

/// The files of its own module that a file names in an import or a call. A folder's `mod.rs` that only passes on
/// what its files define imports nothing by that.
fn files_imported_by<'a>(source: &Source, known: &BTreeSet<&'a str>) -> BTreeSet<&'a str> {
    let mut targets = BTreeSet::new();
    for path in paths_in_own_module(source, known) {
        // The longest part of the path that is a file.
        let file = (1..=path.len())
            .rev()
            .find_map(|length| known.get(path[..length].join("::").as_str()).copied());
        targets.extend(file.filter(|file| *file != source.module_path));
    }
    targets
}

/// The paths behind `super::`, behind `crate::` and the name of the file's own module, and, in a folder, behind the
/// name of one of its files. All of them from the root of the crate.
fn paths_in_own_module(source: &Source, known: &BTreeSet<&str>) -> Vec<Vec<String>> {
    let own: Vec<String> = source.module_path.split("::").map(str::to_owned).collect();
    let inside = format!("{}::", source.module_path);
    let children: BTreeSet<&str> = known
        .iter()
        .filter_map(|path| path.strip_prefix(&inside)?.split("::").next())
        .collect();
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut paths = Vec::new();
    for statement in source.code.split(';') {
        let statement = statement.trim_start();
        let passes_on = statement.starts_with("pub") && statement.contains(" use ");
        for (at, _) in statement.match_indices("::") {
            let first = statement[..at]
                .rfind(|c| !is_name(c))
                .map_or(0, |end| end + 1);
            let before = &statement[..first];
            if before.ends_with("::") || before.ends_with('$') {
                continue;
            }
            let (mut base, mut rest) = match &statement[first..at] {
                "crate" => (Vec::new(), &statement[at + 2..]),
                "super" => (own[..own.len() - 1].to_vec(), &statement[at + 2..]),
                "self" => (own.clone(), &statement[at + 2..]),
                child if children.contains(child) && !passes_on => {
                    (own.clone(), &statement[first..])
                }
                _ => continue,
            };
            while let Some(inner) = rest.strip_prefix("super::") {
                base.pop();
                rest = inner;
            }
            for item in expand(rest) {
                let item = item.split("::").map(str::to_owned);
                let full: Vec<String> = base.iter().cloned().chain(item).collect();
                if full.first() == own.first() {
                    paths.push(full);
                }
            }
        }
    }
    paths
}

#[test]
fn imports_and_calls_by_path_are_found() {
    let known = ["a", "a::b", "a::b::c", "a::d"].into();
    let imported_by = |module_path: &str, code: &str| {
        let source = Source {
            module: "a".to_owned(),
            module_path: module_path.to_owned(),
            path: PathBuf::new(),
            code: code.to_owned(),
        };
        files_imported_by(&source, &known)
    };
    for (module_path, code, expected) in [
        ("a", "mod b; use b::X; pub use d::Y;", &["a::b"][..]),
        ("a", "fn f() { d::run() }", &["a::d"]),
        (
            "a::b",
            "use super::helper; use crate::a::{X, d::Y};",
            &["a", "a::d"],
        ),
        (
            "a::b",
            "fn f() { super::d::run(); c::run() }",
            &["a::b::c", "a::d"],
        ),
        (
            "a::b::c",
            "use super::super::d::X; use crate::b::Z;",
            &["a::d"],
        ),
        (
            "a::d",
            "let x = other::d::Y; $crate::a::b!(); Self::b::c();",
            &[],
        ),
    ] {
        let expected: BTreeSet<&str> = expected.iter().copied().collect();
        assert_eq!(imported_by(module_path, code), expected, "{code}");
    }
}

#[test]
fn each_library_stays_in_its_folder() {
    let mut faults = Vec::new();
    for source in sources() {
        for (library, module) in LIBRARY_OF {
            let is_used = [' ', '(', '<', '&', '\n']
                .iter()
                .any(|before| source.code.contains(&format!("{before}{library}::")));
            let is_main = source.module == "main" && library == "clap";
            if is_used && source.module != module && !is_main {
                faults.push(format!("{} uses {library}", source.path.display()));
            }
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
}

#[test]
fn the_core_has_no_io_and_no_clock() {
    let mut faults = Vec::new();
    for source in sources() {
        if source.module != "core" {
            continue;
        }
        for word in NOT_IN_THE_CORE {
            if source.code.contains(word) {
                faults.push(format!("{} names `{word}`", source.path.display()));
            }
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
}

#[test]
fn imports_are_found() {
    let code = "use crate::core::x;\nlet y = crate::kafka::Z; $crate::macros::m!(); my_crate::z();
        use crate::store::{A, b::C};";
    let expected = ["core::x", "kafka::Z", "store::A", "store::b::C"];
    assert_eq!(imports(code), expected.map(str::to_owned).into());
}
