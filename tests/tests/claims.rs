//! Every claim and every threat of SECURITY.md names a test that exists.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

fn root() -> &'static Path {
    acceptance::processes::repo_root()
}

struct Row {
    section: String,
    id: String,
    cells: Vec<String>,
}

/// Rows of SECURITY.md's tables whose first cell is an id (letters and digits).
fn rows() -> Vec<Row> {
    let text = fs::read_to_string(root().join("SECURITY.md")).unwrap();
    let mut section = String::new();
    let mut rows = Vec::new();
    for line in text.lines() {
        if let Some(title) = line.strip_prefix("## ") {
            section = title.to_owned();
        }
        let Some(cells) = line.strip_prefix("| ").and_then(|line| line.strip_suffix(" |")) else { continue };
        let cells: Vec<String> = cells.split(" | ").map(|cell| cell.trim().to_owned()).collect();
        let id = cells[0].clone();
        let is_id = id.starts_with(|c: char| c.is_ascii_uppercase()) && id.ends_with(|c: char| c.is_ascii_digit());
        if is_id {
            rows.push(Row { section: section.clone(), id, cells });
        }
    }
    rows
}

/// Names of all test functions of the tree, Rust and Python.
fn test_names() -> BTreeSet<String> {
    let output = std::process::Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard", "*.rs", "*.py"])
        .current_dir(root())
        .output()
        .unwrap();
    let mut names = BTreeSet::new();
    for file in String::from_utf8(output.stdout).unwrap().lines() {
        let Ok(text) = fs::read_to_string(root().join(file)) else { continue };
        let mut is_test = false;
        for line in text.lines().map(str::trim) {
            is_test |=
                line.starts_with("#[test]") || line.starts_with("#[tokio::test") || line.starts_with("proptest!");
            let function = line
                .strip_prefix("async fn ")
                .or_else(|| line.strip_prefix("fn "))
                .or_else(|| line.strip_prefix("def test_").map(|_| &line[4..]));
            if let Some(function) = function
                && (is_test || line.starts_with("def test_"))
            {
                names.insert(function.split(['(', '<']).next().unwrap().to_owned());
                is_test = text.contains("proptest!") && is_test && file.ends_with(".rs");
            }
        }
    }
    names.extend(boot_cases());
    names.extend(contract_cases());
    names
}

/// Names of the cases that run on every kind of ledger: what stands in the macro that makes tests of them.
fn contract_cases() -> Vec<String> {
    let text = fs::read_to_string(root().join("ledger/tests/contract.rs")).unwrap();
    let (_, cases) = text.split_once("\ncontract! {\n").unwrap();
    let (cases, _) = cases.split_once("\n}\n").unwrap();
    cases.split(',').map(|case| case.trim().to_owned()).filter(|case| !case.is_empty()).collect()
}

/// Names of the boot test's cases, which `make boot-test` runs: whatever is a text and the first argument of something there.
fn boot_cases() -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let folder = root().join("image/boottest/src/cases");
    for entry in fs::read_dir(folder).unwrap() {
        let text = fs::read_to_string(entry.unwrap().path()).unwrap();
        let first_arguments = text.split("(\"").skip(1).filter_map(|rest| rest.split_once('"'));
        names.extend(first_arguments.map(|(name, _)| name.to_owned()));
    }
    names
}

fn tests_named(cell: &str) -> Vec<String> {
    cell.split('`').skip(1).step_by(2).map(|name| name.rsplit("::").next().unwrap().to_owned()).collect()
}

#[test]
fn every_claim_and_met_threat_names_a_test_that_exists() {
    let tests = test_names();
    let rows = rows();
    let checked = rows.iter().filter(|row| row.section != "Threats still open");
    let mut count = 0;
    for row in checked {
        let named = tests_named(row.cells.last().unwrap());
        assert!(!named.is_empty(), "SECURITY.md {}: no test named", row.id);
        for name in named {
            assert!(tests.contains(&name), "SECURITY.md {}: there is no test `{name}`", row.id);
        }
        count += 1;
    }
    assert!(count >= 20, "SECURITY.md has only {count} rows with a test");
}

/// So does every line of the page on what parties learn, or it says that there is none.
#[test]
fn every_line_on_what_parties_learn_names_a_test_that_exists() {
    let tests = test_names();
    let text = fs::read_to_string(root().join("docs/who-learns-what.md")).unwrap();
    let lines: Vec<&str> = text.lines().filter(|line| line.starts_with("| ")).skip(1).collect();
    for line in &lines {
        let cell = line.trim_end_matches(" |").rsplit(" | ").next().unwrap();
        let named = tests_named(cell);
        assert!(!named.is_empty() || cell == "none yet", "no test named: {line}");
        for name in named {
            assert!(tests.contains(&name), "there is no test `{name}`");
        }
    }
    assert!(lines.len() > 10);
}

/// So does every line of the page on what payments must refuse; a number there is in the name of a test, unless the line says
/// that there is none.
#[test]
fn every_line_of_the_credit_tests_names_a_test_that_exists() {
    let tests = test_names();
    let text = fs::read_to_string(root().join("docs/credit-tests.md")).unwrap();
    let lines = text.lines().filter(|line| line.starts_with("| ") && !line.ends_with("| tests |"));
    let mut numbers = BTreeSet::new();
    for line in lines {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let cell = *cells.last().unwrap();
        let named = tests_named(cell);
        for name in named.iter().filter(|name| !name.contains(' ')) {
            assert!(tests.contains(name), "there is no test `{name}`: {line}");
        }
        let has_none = cell == "none yet" || cell.starts_with("notes do not expire");
        assert!(has_none || !named.is_empty(), "no test named: {line}");
        if let Ok(number) = cells[0].parse::<u32>() {
            let tag = format!("n{number:02}");
            assert!(has_none || named.iter().any(|name| name.contains(&tag)), "no test named {tag}: {line}");
            assert!(numbers.insert(number), "{number} twice");
        }
    }
    assert_eq!(numbers, (1..=40).collect());
}

/// The catalogue of threats is closed: each id is either met (with a test) or listed as open, once.
#[test]
fn every_threat_is_met_or_listed_as_open() {
    let families: BTreeMap<char, usize> = BTreeMap::from([('H', 23), ('G', 6), ('N', 12), ('I', 9), ('C', 12)]);
    let rows = rows();
    for (family, last) in families {
        for number in 1..=last {
            let id = format!("{family}{number}");
            let listed = rows.iter().filter(|row| row.id == id).count();
            assert_eq!(listed, 1, "threat {id} is listed {listed} times in SECURITY.md");
        }
    }
}
