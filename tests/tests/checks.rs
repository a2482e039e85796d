//! Every check of docs/attestation-checks.md has its test: no cell of ours is empty, each test is in the file it is said to be
//! in, and each code is named by a test.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// Last column of every table.
const OURS: &str = "ours: test";
/// Second column of every table.
const CODE: &str = "code";

struct Row {
    line: String,
    code: String,
    ours: String,
}

fn root() -> &'static Path {
    acceptance::processes::repo_root()
}

fn cells(line: &str) -> Option<Vec<&str>> {
    let cells = line.strip_prefix('|')?.strip_suffix('|')?.split('|');
    Some(cells.map(str::trim).collect())
}

/// The rows below headers that end in [`OURS`], and the number of such headers.
fn rows(text: &str) -> (Vec<Row>, usize) {
    let (mut rows, mut tables, mut columns) = (Vec::new(), 0, 0);
    for line in text.lines() {
        let Some(cells) = cells(line) else { continue };
        if cells[1] == CODE && cells.last() == Some(&OURS) {
            tables += 1;
            columns = cells.len();
        } else if !cells.iter().all(|cell| cell.chars().all(|c| c == '-')) {
            assert_eq!(cells.len(), columns, "{line}");
            assert!(!cells.contains(&""), "an empty cell: {line}");
            let (code, ours) = (cells[1].to_owned(), cells[columns - 1].to_owned());
            rows.push(Row { line: line.to_owned(), code, ours });
        }
    }
    (rows, tables)
}

fn quoted(cell: &str) -> Vec<&str> {
    cell.split('`').skip(1).step_by(2).collect()
}

/// The tests of the libraries: `file::function`, and all their text.
fn tests() -> (BTreeSet<String>, String) {
    let output = std::process::Command::new("git")
        .args([
            "ls-files",
            "--cached",
            "--others",
            "--exclude-standard",
            "attestation/*/tests/*.rs",
            "tests/tests/*.rs",
        ])
        .current_dir(root())
        .output()
        .unwrap();
    let (mut names, mut all) = (BTreeSet::new(), String::new());
    for file in String::from_utf8(output.stdout).unwrap().lines() {
        let Ok(text) = fs::read_to_string(root().join(file)) else { continue };
        let stem = Path::new(file).file_stem().unwrap().to_str().unwrap();
        let mut is_test = false;
        for line in text.lines().map(str::trim) {
            is_test |= line == "#[test]";
            if let (true, Some(function)) = (is_test, line.strip_prefix("fn ")) {
                names.insert(format!("{stem}::{}", function.split(['(', '<']).next().unwrap()));
                is_test = false;
            }
        }
        all.push_str(&text);
    }
    (names, all)
}

/// What is wrong with the rows.
fn complaints(rows: &[Row], names: &BTreeSet<String>, all: &str) -> Vec<String> {
    let mut complaints = Vec::new();
    for Row { line, code, ours } in rows {
        let named = quoted(ours);
        if named.is_empty() {
            complaints.push(format!("no test named: {line}"));
        }
        complaints.extend(named.iter().filter(|name| !names.contains(**name)).map(|name| format!("no test `{name}`")));
        let unknown = quoted(code).into_iter().filter(|code| !all.contains(&format!("\"{code}\"")));
        complaints.extend(unknown.map(|code| format!("no test names the code `{code}`")));
    }
    complaints
}

#[test]
fn every_check_names_a_test_that_exists() {
    let text = fs::read_to_string(root().join("docs/attestation-checks.md")).unwrap();
    let (rows, tables) = rows(&text);
    assert_eq!(tables, 4, "SEV-SNP, TDX, GPUs, and all together");
    assert!(rows.len() > 80, "{} rows", rows.len());
    let (names, all) = tests();
    assert!(names.len() > 100, "{} tests", names.len());
    let complaints = complaints(&rows, &names, &all);
    assert!(complaints.is_empty(), "{complaints:#?}");
}

/// The check above can fail.
#[test]
fn a_row_without_its_test_is_a_complaint() {
    let names = BTreeSet::from(["file::here".to_owned()]);
    let table = |code: &str, ours: &str| {
        format!("| check | code | peer | ours: test |\n|---|---|---|---|\n| a | {code} | · | {ours} |")
    };
    let complain = |code: &str, ours: &str| {
        let (rows, tables) = rows(&table(code, ours));
        assert_eq!((rows.len(), tables), (1, 1));
        complaints(&rows, &names, "assert_eq!(code, \"known.code\")").len()
    };
    assert_eq!(complain("`known.code`", "`file::here`"), 0);
    assert_eq!(complain("·", "`file::here`"), 0);
    assert_eq!(complain("`known.code`", "`file::gone`"), 1);
    assert_eq!(complain("`known.code`", "`other::here`"), 1);
    assert_eq!(complain("`known.code`", "·"), 1);
    assert_eq!(complain("`unknown.code`", "`file::here`"), 1);
}
