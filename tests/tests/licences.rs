//! Linked code is under permissive licences only.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

/// Licences that may be linked. An expression passes when one of its alternatives consists of these alone.
const ALLOWED: &[&str] = &[
    "MIT",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "ISC",
    "Zlib",
    "Unicode-3.0",
    "CC0-1.0",
    "0BSD",
    "Unlicense",
    "MIT-0",
    "OpenSSL",
    "BSL-1.0",
];

/// What the package that compares us with other verifiers may link besides. It is tests and a bench, which nobody ships;
/// `sev` finds its cache directory through `option-ext`, which is under a licence that covers its own files alone.
const COMPARISON_PACKAGE: &str = "attestation-peers";
const COMPARISON_ONLY: &[(&str, &str)] = &[("option-ext", "MPL-2.0")];

fn permitted(expression: &str) -> bool {
    let flat = expression.replace(['(', ')'], "").replace('/', " OR ");
    // AND binds tighter than OR in SPDX; with the parentheses gone, every name of an AND chain must pass by itself.
    flat.split(" AND ").all(|part| part.split(" OR ").any(|licence| ALLOWED.contains(&licence.trim())))
}

fn metadata() -> serde_json::Value {
    let output = Command::new(env!("CARGO"))
        .args([
            "metadata",
            "--format-version",
            "1",
            "--locked",
            "--offline",
            "--filter-platform",
            "x86_64-unknown-linux-gnu",
        ])
        .current_dir(acceptance::processes::repo_root())
        .output()
        .unwrap();
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Ids of everything the members of the workspace depend on, with or without the package that compares.
fn linked(metadata: &serde_json::Value, with_comparison: bool) -> BTreeSet<&str> {
    let packages = metadata["packages"].as_array().unwrap();
    let comparison = packages.iter().find(|package| package["name"] == COMPARISON_PACKAGE).unwrap()["id"].as_str();
    let members = metadata["workspace_members"].as_array().unwrap().iter().map(|id| id.as_str().unwrap());
    let mut open: Vec<&str> = members.filter(|id| with_comparison || Some(*id) != comparison).collect();
    let nodes = metadata["resolve"]["nodes"].as_array().unwrap();
    let nodes: BTreeMap<&str, &serde_json::Value> =
        nodes.iter().map(|node| (node["id"].as_str().unwrap(), &node["dependencies"])).collect();
    let mut found = BTreeSet::new();
    while let Some(id) = open.pop() {
        if found.insert(id) {
            open.extend(nodes[id].as_array().unwrap().iter().map(|dependency| dependency.as_str().unwrap()));
        }
    }
    found
}

#[test]
fn every_dependency_has_a_permissive_licence() {
    let metadata = metadata();
    let (all, shipped) = (linked(&metadata, true), linked(&metadata, false));
    let (mut count, mut excepted) = (0, 0);
    for package in metadata["packages"].as_array().unwrap() {
        let id = package["id"].as_str().unwrap();
        if !all.contains(id) {
            continue;
        }
        count += 1;
        let (name, licence) = (package["name"].as_str().unwrap(), package["license"].as_str().unwrap_or("none"));
        if !permitted(licence) {
            let compared = !shipped.contains(id) && COMPARISON_ONLY.contains(&(name, licence));
            assert!(compared, "{name} is under {licence}");
            excepted += 1;
        }
    }
    assert!(count > 100, "the dependency tree was read");
    assert!(shipped.len() < all.len(), "the package that compares links something of its own");
    assert_eq!(excepted, COMPARISON_ONLY.len(), "an exception that nothing needs");
}

#[test]
fn copyleft_expressions_are_refused() {
    for expression in ["GPL-3.0-only", "AGPL-3.0-or-later", "MIT AND GPL-2.0", "LGPL-2.1 AND Apache-2.0", "none"] {
        assert!(!permitted(expression), "{expression}");
    }
    for expression in ["MIT OR Apache-2.0", "MIT/Apache-2.0", "(MIT OR Apache-2.0) AND Unicode-3.0", "GPL-2.0 OR MIT"] {
        assert!(permitted(expression), "{expression}");
    }
}
