//! The rules of the house, checked on the files themselves: no cluster is needed.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use satsuma_tests::workspace;

/// Which crates a crate may name: the direction of imports.
const MAY_USE: &[(&str, &[&str])] = &[
    ("common", &[]),
    ("proto", &["common"]),
    ("storage", &["common"]),
    ("sql", &["common"]),
    ("coordinator", &["common", "proto", "sql", "storage"]),
    ("worker", &["common", "proto", "sql", "storage"]),
    ("satsuma", &["common", "proto", "sql", "coordinator", "worker"]),
    (
        "tests",
        &["common", "coordinator", "worker", "satsuma", "sql", "storage", "proto", "benches"],
    ),
    ("benches", &["common", "coordinator", "worker", "satsuma", "sql", "storage", "proto"]),
];

/// Crates that stay free of an engine or a network: they must build and test fast.
const MUST_NOT_USE: &[(&str, &[&str])] = &[
    ("common", &["datafusion", "tokio", "tonic"]),
    ("storage", &["datafusion", "tonic", "sqlparser"]),
    ("sql", &["tonic", "pgwire"]),
    ("proto", &["datafusion"]),
];

/// Lines of one file, tests aside.
const LONGEST_FILE: usize = 1000;

/// Files that git knows, or would with the next commit.
fn files(extension: &str) -> Vec<PathBuf> {
    let output = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard"])
        .current_dir(workspace())
        .output();
    let listed = match output {
        Ok(output) if output.status.success() => {
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            text.lines().map(PathBuf::from).collect()
        }
        // An archive without its history.
        _ => walk(Path::new("")),
    };
    listed
        .into_iter()
        .filter(|path| path.extension().is_some_and(|found| found == extension))
        .filter(|path| workspace().join(path).is_file())
        .collect()
}

fn walk(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(workspace().join(directory)).into_iter().flatten().flatten() {
        let path = directory.join(entry.file_name());
        let hidden = entry.file_name().to_string_lossy().starts_with('.');
        match entry.path().is_dir() {
            true if !hidden && !path.ends_with("target") => found.extend(walk(&path)),
            true => {}
            false => found.push(path),
        }
    }
    found
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(workspace().join(path)).unwrap_or_default()
}

fn manifest(name: &str) -> BTreeMap<String, BTreeSet<String>> {
    let mut sections = BTreeMap::<String, BTreeSet<String>>::new();
    let mut section = String::new();
    for line in read(&Path::new(name).join("Cargo.toml")).lines() {
        let line = line.trim();
        if let Some(header) = line.strip_prefix('[') {
            section = header.trim_end_matches(']').to_owned();
        } else if let Some((key, _)) = line.split_once('=') {
            let key = key.split('.').next().unwrap_or(key).trim();
            sections.entry(section.clone()).or_default().insert(key.to_owned());
        }
    }
    sections
}

/// What a crate's code depends on outside of its tests.
fn dependencies(name: &str) -> BTreeSet<String> {
    manifest(name).remove("dependencies").unwrap_or_default()
}

#[test]
fn imports_go_one_way() {
    let mut problems = Vec::new();
    for (name, allowed) in MAY_USE {
        for dependency in dependencies(name) {
            let Some(used) = dependency.strip_prefix("satsuma-") else { continue };
            let used = folder(used);
            if !allowed.contains(&used) {
                problems.push(format!("{name}/Cargo.toml depends on {used}"));
            }
        }
        for path in files("rs").iter().filter(|path| path.starts_with(name)) {
            for used in imported_crates(&read(path)) {
                if used != *name && !allowed.contains(&used.as_str()) {
                    problems.push(format!("{} uses {used}", path.display()));
                }
            }
        }
    }
    for (name, forbidden) in MUST_NOT_USE {
        for dependency in dependencies(name) {
            if forbidden.iter().any(|prefix| dependency.starts_with(prefix)) {
                problems.push(format!("{name}/Cargo.toml depends on {dependency}"));
            }
        }
    }
    assert!(problems.is_empty(), "imports against the direction:\n{}", problems.join("\n"));
}

/// Where a crate is: two have other names than their folders.
fn folder(name: &str) -> &str {
    match name {
        "cli" => "satsuma",
        "bench" => "benches",
        name => name,
    }
}

/// Crates of the workspace named in code: `satsuma_storage::...` gives `storage`.
fn imported_crates(text: &str) -> BTreeSet<String> {
    text.lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .flat_map(|line| line.match_indices("satsuma_").map(move |(at, _)| &line[at + 8..]))
        .filter_map(|rest| {
            let end = rest.find(|c: char| !c.is_ascii_lowercase())?;
            let used = folder(&rest[..end]);
            let known = MAY_USE.iter().any(|(name, _)| *name == used);
            (known && rest[end..].starts_with("::")).then(|| used.to_owned())
        })
        .collect()
}

#[test]
fn every_crate_of_the_workspace_has_its_rule() {
    let manifest = read(Path::new("Cargo.toml"));
    let members = manifest.lines().find(|line| line.starts_with("members")).unwrap_or_default();
    let members: BTreeSet<&str> = members.split('"').skip(1).step_by(2).collect();
    let rules: BTreeSet<&str> = MAY_USE.iter().map(|(name, _)| *name).collect();
    assert_eq!(members, rules);
}

#[test]
fn files_are_one_idea_long() {
    let mut problems = Vec::new();
    for path in files("rs") {
        let is_test = path.components().any(|part| part.as_os_str() == "tests")
            || path.file_stem().is_some_and(|stem| stem == "tests");
        let text = read(&path);
        // What follows the test module at the end of a file is not counted.
        let code = text.split("\n#[cfg(test)]\nmod tests {").next().unwrap_or(&text);
        let lines = code.lines().count();
        if !is_test && lines > LONGEST_FILE {
            problems.push(format!("{}: {lines} lines", path.display()));
        }
    }
    assert!(problems.is_empty(), "files past {LONGEST_FILE} lines:\n{}", problems.join("\n"));
}

#[test]
fn nothing_is_left_undone() {
    // Put together here, so that this file is not found itself.
    let words = [
        ["to", "do!("],
        ["unimple", "mented!("],
        ["FIX", "ME"],
        ["XX", "X:"],
        ["#[ig", "nore]"],
        ["db", "g!("],
    ]
    .map(|halves| halves.concat());
    let mut problems = Vec::new();
    for path in files("rs") {
        for (number, line) in (1..).zip(read(&path).lines()) {
            for word in words.iter().filter(|word| line.contains(word.as_str())) {
                problems.push(format!("{}:{number}: {word}", path.display()));
            }
        }
    }
    assert!(problems.is_empty(), "left undone:\n{}", problems.join("\n"));
}

#[test]
fn the_documents_name_paths_that_exist() {
    let mut problems = Vec::new();
    let mut documents = vec![PathBuf::from("README.md"), PathBuf::from("ARCHITECTURE.md")];
    documents.extend(files("md").into_iter().filter(|path| path.starts_with("docs")));
    for document in documents {
        let text = read(&document);
        assert!(!text.is_empty(), "{} is missing", document.display());
        for name in named_paths(&text) {
            // Decisions may tell of what is no longer there.
            let history = document.starts_with("docs/decisions");
            let beside = document.parent().unwrap_or(Path::new("")).join(&name);
            let there = workspace().join(&name).exists() || workspace().join(beside).exists();
            if !there && !history {
                problems.push(format!("{}: {name}", document.display()));
            }
        }
    }
    assert!(problems.is_empty(), "documents name what is gone:\n{}", problems.join("\n"));
}

#[test]
fn every_decision_is_in_the_index() {
    let directory = Path::new("docs/decisions");
    let index = read(&directory.join("README.md"));
    let mut numbers = BTreeSet::new();
    for path in files("md").into_iter().filter(|path| path.starts_with(directory)) {
        let name = path.file_name().and_then(|name| name.to_str()).expect("a name").to_owned();
        if name == "README.md" {
            continue;
        }
        assert!(numbers.insert(name[..4].to_owned()), "two decisions have the number of {name}");
        let text = read(&path);
        let title = text.lines().next().and_then(|line| line.strip_prefix("# ")).expect("a title");
        let (number, title) = title.split_once(": ").expect("a number and a title");
        assert_eq!(number, &name[..4], "{name}");
        let line = format!("- [{number}]({name}): {title}\n");
        assert!(index.contains(&line), "docs/decisions/README.md lacks\n{line}");
    }
}

/// Words in backquotes, and targets of links, that look like paths of this repository.
fn named_paths(text: &str) -> BTreeSet<String> {
    let top: BTreeSet<&str> =
        MAY_USE.iter().map(|(name, _)| *name).chain(["docs", ".ci"]).collect();
    let outside_of_blocks: String = text.split("```").step_by(2).collect::<Vec<_>>().join("\n");
    let quoted = outside_of_blocks.split('`').skip(1).step_by(2).map(str::to_owned);
    let links = outside_of_blocks
        .split("](")
        .skip(1)
        .filter_map(|rest| rest.split(')').next())
        .filter(|target| !target.contains("://") && !target.starts_with('#'))
        .map(|target| target.split('#').next().unwrap_or(target).to_owned());
    let quoted = quoted.filter(|word| {
        let first = word.split('/').next().unwrap_or_default();
        let plain = word.chars().all(|c| c.is_ascii_alphanumeric() || "/._-".contains(c));
        plain && word.contains('/') && top.contains(first)
    });
    quoted.chain(links).filter(|path| !path.is_empty()).collect()
}

#[test]
fn there_is_one_version_of_each_engine_crate() {
    let lock = read(Path::new("Cargo.lock"));
    let mut versions = BTreeMap::<&str, BTreeSet<&str>>::new();
    let mut name = "";
    for line in lock.lines() {
        if let Some(value) = line.strip_prefix("name = ") {
            name = value.trim_matches('"');
        } else if let Some(value) = line.strip_prefix("version = ") {
            versions.entry(name).or_default().insert(value.trim_matches('"'));
        }
    }
    for name in [
        "arrow",
        "arrow-flight",
        "arrow-array",
        "datafusion",
        "datafusion-proto",
        "tonic",
        "prost",
        "sqlparser",
        "tokio",
    ] {
        let found = versions.get(name).cloned().unwrap_or_default();
        assert!(found.len() == 1, "{name}: {found:?}");
    }
}

#[test]
fn the_tree_tells_of_no_machine() {
    // Paths of somebody's machine, and registries other than the public one.
    let words = [["/ho", "me/"], ["/ro", "ot/"], ["/wo", "rk/"], ["/Us", "ers/"]]
        .map(|halves| halves.concat());
    let mut problems = Vec::new();
    for extension in ["rs", "toml", "md", "sql", "slt", "proto", "lock"] {
        for path in files(extension) {
            for (number, line) in (1..).zip(read(&path).lines()) {
                let registry = extension == "lock"
                    && line.starts_with("source = ")
                    && !line.contains("github.com/rust-lang/crates.io-index");
                if registry || words.iter().any(|word| line.contains(word.as_str())) {
                    problems.push(format!("{}:{number}: {line}", path.display()));
                }
            }
        }
    }
    assert!(problems.is_empty(), "machine paths or registries:\n{}", problems.join("\n"));
}
