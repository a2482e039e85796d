//! House style that a machine can check.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const FILE_LINES_MAX: usize = 500;
const LINE_CHARS_MAX: usize = 160;

fn root() -> &'static Path {
    acceptance::processes::repo_root()
}

fn tracked() -> Vec<PathBuf> {
    let output = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard", "-z"])
        .current_dir(root())
        .output()
        .unwrap();
    let names = String::from_utf8(output.stdout).unwrap();
    let files: Vec<_> = names
        .split('\0')
        .filter(|name| !name.is_empty())
        .map(PathBuf::from)
        .filter(|file| root().join(file).is_file())
        .collect();
    assert!(files.len() > 20, "git lists the files of the tree");
    files
}

fn has_extension(file: &Path, extensions: &[&str]) -> bool {
    file.extension().and_then(|extension| extension.to_str()).is_some_and(|extension| extensions.contains(&extension))
}

fn text(file: &Path) -> Option<String> {
    fs::read_to_string(root().join(file)).ok()
}

#[test]
fn source_files_stay_short() {
    for file in tracked().iter().filter(|file| has_extension(file, &["rs", "py", "sh"])) {
        let lines = text(file).unwrap().lines().count();
        assert!(lines <= FILE_LINES_MAX, "{} has {lines} lines; split it (limit {FILE_LINES_MAX})", file.display());
    }
}

#[test]
fn lines_stay_readable() {
    for file in tracked().iter().filter(|file| has_extension(file, &["rs", "py", "sh"])) {
        for (number, line) in text(file).unwrap().lines().enumerate() {
            let at = format!("{}:{}", file.display(), number + 1);
            assert!(line.chars().count() <= LINE_CHARS_MAX, "{at} is longer than {LINE_CHARS_MAX} characters");
            assert_eq!(line, line.trim_end(), "{at} ends in white space");
        }
    }
}

#[test]
fn nothing_is_left_for_later() {
    let words = ["todo!", "unimplemented!", "FIXME", "#[ignore", "dbg!("];
    for file in
        tracked().iter().filter(|file| has_extension(file, &["rs", "py"]) && !file.ends_with("tests/tests/tidy.rs"))
    {
        let text = text(file).unwrap();
        for word in words {
            assert!(!text.contains(word), "{} contains {word}", file.display());
        }
    }
}

/// A reader elsewhere has none of these: absolute paths of one machine, and hosts that a package client knows by itself.
#[test]
fn nothing_names_a_machine_or_a_registry() {
    let banned = [
        ["/wo", "rk/"].concat(),
        ["/ro", "ot/"].concat(),
        ["../sha", "red"].concat(),
        ["crates", ".io/"].concat(),
        ["pypi", ".org"].concat(),
        ["registry.npm", "js"].concat(),
        ["deb.deb", "ian"].concat(),
    ];
    for file in tracked() {
        if has_extension(&file, &["lock", "bin", "der", "fd"]) {
            continue;
        }
        let Some(text) = text(&file) else { continue };
        for word in &banned {
            assert!(!text.contains(word.as_str()), "{} contains {word}", file.display());
        }
    }
}

#[test]
fn every_document_has_one_title() {
    for file in tracked().iter().filter(|file| has_extension(file, &["md"])) {
        let text = text(file).unwrap();
        let mut fenced = false;
        let mut titles = 0;
        for line in text.lines() {
            fenced ^= line.starts_with("```");
            titles += usize::from(!fenced && line.starts_with("# "));
        }
        assert_eq!(titles, 1, "{} has {titles} titles", file.display());
    }
}

#[test]
fn decisions_are_numbered_without_gaps() {
    let mut numbers: Vec<usize> = tracked()
        .iter()
        .filter(|file| file.starts_with("docs/decisions"))
        .map(|file| {
            file.file_name().unwrap().to_str().unwrap()[..4]
                .parse()
                .unwrap_or_else(|_| panic!("{} has no number", file.display()))
        })
        .collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=numbers.len()).collect::<Vec<_>>());
}
