use std::fs::File;
use std::process::{Command, Stdio};

use image_builder::cpio::{CpioError, Extra, FILE_BYTES_MAX, write, write_with};
use image_builder::tree::FileTree;
use proptest::prelude::*;

use crate::support::{arb_tree, assert_as_planned, awkward, have, run, unpacked};

fn archive(tree: &FileTree) -> Vec<u8> {
    let mut bytes = Vec::new();
    assert_eq!(usize::try_from(write(tree, &mut bytes).unwrap()).unwrap(), bytes.len());
    bytes
}

fn unpacks_as_planned(tree: &FileTree) {
    let directory = tempfile::tempdir().unwrap();
    let bytes = archive(tree);
    assert!(bytes == archive(tree), "twice the same bytes");
    let (file, out) = (directory.path().join("archive"), directory.path().join("out"));
    std::fs::write(&file, bytes).unwrap();
    std::fs::create_dir(&out).unwrap();
    run(Command::new("cpio")
        .args(["-idm", "--quiet"])
        .current_dir(&out)
        .stdin(Stdio::from(File::open(&file).unwrap())));
    assert_as_planned(tree, &unpacked(&out), "cpio");
}

#[test]
fn awkward_trees_unpack() {
    if have("cpio", "cpio") {
        unpacks_as_planned(&awkward(300));
        unpacks_as_planned(&FileTree::default());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn random_trees_unpack(tree in arb_tree()) {
        if have("cpio", "cpio") {
            unpacks_as_planned(&tree);
        }
    }
}

#[test]
fn devices_are_listed() {
    let mut tree = FileTree::default();
    tree.directory("dev", 0o755).unwrap();
    let console = Extra { path: "dev/console".into(), mode: 0o600, major: 5, minor: 1 };
    let mut bytes = Vec::new();
    write_with(&tree, std::slice::from_ref(&console), &mut bytes).unwrap();
    if have("cpio", "cpio") {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("archive");
        std::fs::write(&file, bytes).unwrap();
        let listed = run(Command::new("cpio").arg("-itv").stdin(Stdio::from(File::open(&file).unwrap())));
        assert!(listed.lines().any(|line| line.starts_with("crw-------") && line.contains("5,   1")), "{listed}");
    }
    for path in ["proc/console", "dev"] {
        let device = Extra { path: path.into(), ..console.clone() };
        assert!(matches!(write_with(&tree, &[device], &mut Vec::new()), Err(CpioError::Device { .. })), "{path}");
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("large");
    File::create(&file).unwrap().set_len(FILE_BYTES_MAX + 1).unwrap();
    let mut tree = FileTree::default();
    tree.file("large", 0o644, file.clone()).unwrap();
    assert!(matches!(write(&tree, &mut std::io::sink()), Err(CpioError::FileLength { .. })));
    File::create(&file).unwrap().set_len(9).unwrap();
    let mut tree = FileTree::default();
    tree.file("file", 0o644, file.clone()).unwrap();
    File::create(&file).unwrap().set_len(10).unwrap();
    assert!(matches!(write(&tree, &mut std::io::sink()), Err(CpioError::Content(_))), "it grew in between");
    let mut tree = FileTree::default();
    tree.bytes("odd", 0o100_644, vec![]).unwrap();
    assert!(matches!(write(&tree, &mut std::io::sink()), Err(CpioError::Mode { .. })));
    let mut tree = FileTree::default();
    tree.bytes("TRAILER!!!", 0o644, vec![]).unwrap();
    assert!(matches!(write(&tree, &mut std::io::sink()), Err(CpioError::Path { .. })));
}
