use std::fs::{self, File};
use std::path::Path;
use std::process::Command;

use image_builder::erofs::{ErofsError, write};
use image_builder::tree::FileTree;
use proptest::prelude::*;

use crate::support::{arb_tree, assert_as_planned, awkward, have, pattern, run, unpacked};

const UUID: [u8; 16] = *b"0123456789abcdef";

fn image(tree: &FileTree) -> Vec<u8> {
    let mut bytes = Vec::new();
    assert_eq!(write(tree, UUID, &mut bytes).unwrap(), u64::try_from(bytes.len()).unwrap());
    assert_eq!(bytes.len() % 4096, 0);
    bytes
}

fn extracts_as_planned(tree: &FileTree) {
    let directory = tempfile::tempdir().unwrap();
    let bytes = image(tree);
    assert!(bytes == image(tree), "twice the same bytes");
    let (file, out) = (directory.path().join("image"), directory.path().join("out"));
    fs::write(&file, bytes).unwrap();
    run(Command::new("fsck.erofs").arg(format!("--extract={}", out.display())).arg(&file));
    assert_as_planned(tree, &unpacked(&out), "fsck.erofs");
}

fn have_fsck() -> bool {
    have("fsck.erofs", "erofs-utils")
}

#[test]
fn awkward_trees_extract() {
    if have_fsck() {
        extracts_as_planned(&awkward(3000));
        extracts_as_planned(&FileTree::default());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn random_trees_extract(tree in arb_tree()) {
        if have_fsck() {
            extracts_as_planned(&tree);
        }
    }
}

#[test]
fn twenty_thousand_files_extract() {
    let mut tree = FileTree::default();
    for number in 0..20_000 {
        tree.bytes(&format!("d{}/{number}", number % 7), 0o644, pattern(number % 300)).unwrap();
    }
    if have_fsck() {
        extracts_as_planned(&tree);
    }
}

#[test]
fn the_superblock_says_what_it_should() {
    if !have("dump.erofs", "erofs-utils") {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("image");
    fs::write(&file, image(&awkward(1))).unwrap();
    let said = run(Command::new("dump.erofs").arg("-s").arg(&file));
    assert!(said.contains("30313233-3435-3637-3839-616263646566"), "{said}");
    assert!(said.contains("sb_csum"), "{said}");
    assert!(said.contains("1970"), "{said}");
}

/// Lengths beyond 32 bits need the large inode. Only what is before the contents is looked at.
#[test]
fn a_file_of_five_gigabytes_keeps_its_length() {
    const LEN: u64 = (5 << 30) + 3;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("model");
    File::create(&path).unwrap().set_len(LEN).unwrap();
    let mut tree = FileTree::default();
    tree.file("model", 0o444, path).unwrap();
    let mut head = [0; 8192];
    let stopped = write(&tree, UUID, &mut head.as_mut_slice()).unwrap_err();
    assert!(matches!(stopped, ErofsError::Content(_)), "the slice ends where the contents begin");
    if have("dump.erofs", "erofs-utils") {
        let file = directory.path().join("image");
        fs::write(&file, head).unwrap();
        File::options().write(true).open(&file).unwrap().set_len(LEN.next_multiple_of(4096) + 8192).unwrap();
        let said = run(Command::new("dump.erofs").arg("--path=/model").arg(&file));
        assert!(said.contains(&LEN.to_string()), "{said}");
    }
}

/// The kernel of this machine, where it lets us.
#[test]
fn the_kernel_mounts_it() {
    let directory = tempfile::tempdir().unwrap();
    let (file, point) = (directory.path().join("image"), directory.path().join("mounted"));
    fs::create_dir(&point).unwrap();
    let mut tree = awkward(3000);
    tree.bytes("setuid", 0o4755, vec![1]).unwrap();
    fs::write(&file, image(&tree)).unwrap();
    let mut mount = Command::new("mount");
    match mount.args(["-t", "erofs", "-o", "loop,ro"]).args([&file, &point]).output() {
        Ok(output) if output.status.success() => {
            let (found, links) = (unpacked(&point), links(&point));
            run(Command::new("umount").arg(&point));
            assert_as_planned(&tree, &found, "the kernel");
            assert_eq!(links, 3002);
        }
        Ok(output) => println!("SKIP: no loop mount here: {}", String::from_utf8_lossy(&output.stderr).trim()),
        Err(error) => println!("SKIP: no mount here: {error}"),
    }
}

fn links(point: &Path) -> u64 {
    std::os::unix::fs::MetadataExt::nlink(&fs::metadata(point.join("directories")).unwrap())
}

#[test]
fn what_does_not_fit_is_refused() {
    let refused = |tree: &FileTree| write(tree, UUID, &mut std::io::sink()).unwrap_err();
    let mut tree = FileTree::default();
    tree.bytes(&"n".repeat(256), 0o644, vec![]).unwrap();
    assert!(matches!(refused(&tree), ErofsError::Name { .. }));
    for target in [String::new(), "t".repeat(4096)] {
        let mut tree = FileTree::default();
        tree.symlink("link", &target).unwrap();
        assert!(matches!(refused(&tree), ErofsError::Target { .. }));
    }
    let mut tree = FileTree::default();
    tree.directory("odd", 0o40_755).unwrap();
    assert!(matches!(refused(&tree), ErofsError::Mode { .. }));
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("shrinks");
    fs::write(&path, pattern(5000)).unwrap();
    let mut tree = FileTree::default();
    tree.file("file", 0o644, path.clone()).unwrap();
    fs::write(&path, pattern(4999)).unwrap();
    assert!(matches!(refused(&tree), ErofsError::Content(_)));
}
