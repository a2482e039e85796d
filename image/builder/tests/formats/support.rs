//! Random trees, and trees read back.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use image_builder::tree::{FileTree, Node, Source};
use proptest::prelude::*;

/// An entry as another program unpacked it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Found {
    Directory(u32),
    File(u32, Vec<u8>),
    Symlink(String),
}

/// What should be found.
fn planned(tree: &FileTree) -> BTreeMap<String, Found> {
    let found = |node: &Node| match node {
        Node::Directory { mode } => Found::Directory(u32::from(*mode)),
        Node::File { mode, source: Source::Bytes(bytes), .. } => Found::File(u32::from(*mode), bytes.clone()),
        Node::File { mode, source: Source::File(path), .. } => Found::File(u32::from(*mode), fs::read(path).unwrap()),
        Node::Symlink { target } => Found::Symlink(target.clone()),
    };
    tree.entries().map(|(path, node)| (path.to_owned(), found(node))).collect()
}

/// Panics at the first entry that is not as planned.
pub(crate) fn assert_as_planned(tree: &FileTree, found: &BTreeMap<String, Found>, by: &str) {
    let planned = planned(tree);
    let paths: BTreeSet<_> = planned.keys().chain(found.keys()).collect();
    for path in paths {
        let (planned, found) = (planned.get(path), found.get(path));
        assert!(planned == found, "{by}: {path:?} is {}, not {}", shown(found), shown(planned));
    }
}

fn shown(entry: Option<&Found>) -> String {
    match entry {
        Some(Found::Directory(mode)) => format!("a directory of mode {mode:o}"),
        Some(Found::File(mode, bytes)) => format!("a file of mode {mode:o} with {} bytes", bytes.len()),
        Some(Found::Symlink(target)) => format!("a link to {target:?}"),
        None => "nothing".to_owned(),
    }
}

/// Everything below a directory.
pub(crate) fn unpacked(directory: &Path) -> BTreeMap<String, Found> {
    let mut found = BTreeMap::new();
    let mut left = vec![directory.to_owned()];
    while let Some(next) = left.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            let metadata = path.symlink_metadata().unwrap();
            let mode = metadata.permissions().mode() & 0o7777;
            let entry = if metadata.is_symlink() {
                Found::Symlink(fs::read_link(&path).unwrap().to_str().unwrap().to_owned())
            } else if metadata.is_dir() {
                left.push(path.clone());
                Found::Directory(mode)
            } else {
                Found::File(mode, fs::read(&path).unwrap())
            };
            found.insert(path.strip_prefix(directory).unwrap().to_str().unwrap().to_owned(), entry);
        }
    }
    found
}

/// Whether a program is there; says so when it is not.
pub(crate) fn have(program: &str, package: &str) -> bool {
    let run = Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    if run.is_err() {
        println!("SKIP: {program} is not installed (apt-get install {package})");
    }
    run.is_ok()
}

/// Runs a program and returns what it printed; panics when it fails.
pub(crate) fn run(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    assert!(output.status.success(), "{command:?}: {text}");
    text
}

/// Bytes that differ from one place to another.
pub(crate) fn pattern(len: usize) -> Vec<u8> {
    let mut state = 1_u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    };
    (0..len).map(|_| next()).collect()
}

/// A tree with what is likely to go wrong: lengths around a block, long names, names that sort before a dot, and many of them.
pub(crate) fn awkward(many: usize) -> FileTree {
    let mut tree = FileTree::default();
    for len in [0, 1, 31, 32, 33, 4031, 4032, 4033, 4064, 4065, 4095, 4096, 4097, 8192, 12_287, 100_000] {
        tree.bytes(&format!("lengths/{len}"), 0o644, pattern(len)).unwrap();
    }
    for name in ["!", "+x", "-", "...", ".a", "a", "a.b", "é", "name with spaces", &"n".repeat(255)] {
        tree.bytes(&format!("names/{name}"), 0o400, name.as_bytes().to_vec()).unwrap();
        tree.symlink(&format!("links/{name}"), name).unwrap();
    }
    tree.symlink("links/long", &"../".repeat(1300)).unwrap();
    tree.symlink("links/nowhere", "/no/such/file").unwrap();
    tree.directory("empty", 0o700).unwrap();
    tree.directory("sticky", 0o1777).unwrap();
    for number in 0..many {
        let padding = "p".repeat(number * 7 % 240);
        tree.bytes(&format!("many/{number}-{padding}"), 0o755, pattern(number % 50)).unwrap();
        tree.directory(&format!("directories/{number}"), 0o755).unwrap();
    }
    tree
}

/// Random trees.
pub(crate) fn arb_tree() -> impl Strategy<Value = FileTree> {
    let name = prop_oneof![4 => "[a-d]{1,2}", 1 => "[!-.0-9A-Za-z]{1,60}"];
    let path = prop::collection::vec(name, 1..5).prop_map(|parts| parts.join("/"));
    let len = prop_oneof![Just(0), 1..100_usize, 4000..4200_usize, 0..20_000_usize];
    let entry = prop_oneof![
        1 => (0..0o1000_u16).prop_map(|mode| Node::Directory { mode: mode | 0o700 }),
        3 => (0..0o1000_u16, len).prop_map(|(mode, len)| {
            Node::File { mode: mode | 0o400, source: Source::Bytes(pattern(len)), len: len.try_into().unwrap() }
        }),
        1 => "[a-z/.]{1,80}".prop_map(|target| Node::Symlink { target }),
    ];
    prop::collection::vec((path, entry), 0..60).prop_map(|entries| {
        let mut tree = FileTree::default();
        for (path, node) in entries {
            // Some paths are taken, or below a file, or `..`: those are left out.
            let _ = match node {
                Node::Directory { mode } => tree.directory(&path, mode),
                Node::File { mode, source: Source::Bytes(bytes), .. } => tree.bytes(&path, mode, bytes),
                Node::File { mode, source: Source::File(file), .. } => tree.file(&path, mode, file),
                Node::Symlink { target } => tree.symlink(&path, &target),
            };
        }
        tree
    })
}
