//! Linked code is under permissive licences only.

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

fn permitted(expression: &str) -> bool {
    let flat = expression.replace(['(', ')'], "").replace('/', " OR ");
    // AND binds tighter than OR in SPDX; with the parentheses gone, every name of an AND chain must pass by itself.
    flat.split(" AND ").all(|part| part.split(" OR ").any(|licence| ALLOWED.contains(&licence.trim())))
}

#[test]
fn every_dependency_has_a_permissive_licence() {
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
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let resolved: std::collections::BTreeSet<&str> =
        metadata["resolve"]["nodes"].as_array().unwrap().iter().map(|node| node["id"].as_str().unwrap()).collect();
    let packages = metadata["packages"].as_array().unwrap();
    let linked = packages.iter().filter(|package| resolved.contains(package["id"].as_str().unwrap()));
    let mut count = 0;
    for package in linked {
        let licence = package["license"].as_str().unwrap_or("none");
        assert!(permitted(licence), "{} is under {licence}", package["name"]);
        count += 1;
    }
    assert!(count > 100, "the dependency tree was read");
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
