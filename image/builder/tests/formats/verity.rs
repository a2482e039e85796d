use std::fs::File;
use std::os::unix::fs::FileExt;
use std::process::Command;

use image_builder::verity::{Verity, VerityError, append_tree, verify};

use crate::support::{have, pattern, run};

const SALT: [u8; 32] = [0xa5; 32];

fn volume(directory: &tempfile::TempDir, len: usize) -> (std::path::PathBuf, File, Verity) {
    let path = directory.path().join("volume");
    std::fs::write(&path, pattern(len)).unwrap();
    let mut file = File::options().read(true).write(true).open(&path).unwrap();
    let verity = append_tree(&mut file, SALT).unwrap();
    (path, file, verity)
}

/// One block, one tree block, a full one, one more; two levels, one more block than two full levels hold.
#[test]
fn the_tree_is_the_one_of_veritysetup() {
    if !have("veritysetup", "cryptsetup-bin") {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let two_levels = 128 * 128;
    for blocks in [1, 2, 127, 128, 129, 300, two_levels, two_levels + 1] {
        let (path, file, verity) = volume(&directory, blocks * 4096);
        verify(&file, &verity).unwrap();
        let ours = std::fs::read(&path).unwrap();
        let (theirs, tree) = (directory.path().join("data"), directory.path().join("tree"));
        std::fs::write(&theirs, &ours[..blocks * 4096]).unwrap();
        let _ = std::fs::remove_file(&tree);
        let text = run(Command::new("veritysetup")
            .args(["format", "--no-superblock", "--salt", &"a5".repeat(32)])
            .args([format!("--hash-offset={}", blocks * 4096), format!("--data-blocks={blocks}")])
            .args([&theirs, &theirs]));
        let root: String = verity.root_hash.iter().map(|byte| format!("{byte:02x}")).collect();
        assert!(text.contains(&root), "{blocks} blocks: {root} is not in {text}");
        assert_eq!(usize::try_from(verity.data_blocks).unwrap(), blocks);
        assert!(ours == std::fs::read(&theirs).unwrap(), "{blocks} blocks: the trees differ");
        run(Command::new("veritysetup")
            .args(["verify", "--no-superblock", "--salt", &"a5".repeat(32)])
            .args([format!("--hash-offset={}", blocks * 4096), format!("--data-blocks={blocks}")])
            .args([&path, &path])
            .arg(root));
    }
}

#[test]
fn data_is_padded_to_whole_blocks() {
    let directory = tempfile::tempdir().unwrap();
    let (path, file, padded) = volume(&directory, 4096 * 2 - 5);
    verify(&file, &padded).unwrap();
    let bytes = std::fs::read(path).unwrap();
    assert_eq!(bytes.len(), 4096 * 3);
    assert_eq!(bytes[4096 * 2 - 5..4096 * 2], [0; 5]);
}

#[test]
fn every_change_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let (_, file, verity) = volume(&directory, 4096 * 130);
    assert_eq!(verity.tree_blocks, 3);
    for (at, data) in [(0, true), (4096 * 129 + 77, true), (4096 * 130, false), (4096 * 132 + 33, false)] {
        let mut byte = [0];
        file.read_exact_at(&mut byte, at).unwrap();
        file.write_all_at(&[byte[0] ^ 1], at).unwrap();
        let refused = verify(&file, &verity).unwrap_err();
        assert_eq!(matches!(refused, VerityError::RootHash), data, "{at}: {refused}");
        assert_eq!(matches!(refused, VerityError::Tree), !data, "{at}: {refused}");
        file.write_all_at(&byte, at).unwrap();
        verify(&file, &verity).unwrap();
    }
    assert!(matches!(verify(&file, &Verity { tree_blocks: 2, ..verity }), Err(VerityError::Length { .. })));
    let shifted = Verity { data_blocks: 129, tree_blocks: 4, ..verity };
    assert!(matches!(verify(&file, &shifted), Err(VerityError::RootHash)));
    assert!(matches!(verify(&file, &Verity { salt: [0; 32], ..verity }), Err(VerityError::RootHash)));
}

#[test]
fn an_empty_volume_has_no_tree() {
    assert!(matches!(append_tree(&mut tempfile::tempfile().unwrap(), SALT), Err(VerityError::Empty)));
}
