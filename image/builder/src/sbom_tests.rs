//! The bill of materials: complete, the same twice, and of the form others read.

use std::process::Command;

use super::*;

fn digest_of(bytes: &[u8]) -> Hex32 {
    Hex32(Sha256Digest::of(bytes).0)
}

fn file(path: &str, bytes: &[u8]) -> OwnedFile {
    OwnedFile { path: path.to_owned(), sha256: Some(digest_of(bytes)) }
}

fn package(name: &str, version: &str, paths: Vec<OwnedFile>) -> Package {
    let (name, version, arch) = (name.to_owned(), version.to_owned(), "amd64".to_owned());
    Package { sha256: digest_of(name.as_bytes()), name, version, arch, size: 1234, paths }
}

const CARGO_LOCK: &str = r#"
version = 4
[[package]]
name = "enclave"
version = "0.1.0"
dependencies = ["serde", "rand 0.8.5", "rand 0.9.0 (registry+x)"]
[[package]]
name = "host"
version = "0.1.0"
dependencies = ["clap"]
[[package]]
name = "clap"
version = "4.0.0"
checksum = "0000000000000000000000000000000000000000000000000000000000000001"
[[package]]
name = "serde"
version = "1.0.0"
checksum = "0000000000000000000000000000000000000000000000000000000000000002"
dependencies = ["serde"]
[[package]]
name = "rand"
version = "0.8.5"
checksum = "0000000000000000000000000000000000000000000000000000000000000003"
[[package]]
name = "rand"
version = "0.9.0"
checksum = "0000000000000000000000000000000000000000000000000000000000000004"
"#;

fn input() -> SbomInput {
    let link = OwnedFile { path: "engine/usr/lib/libc.so".to_owned(), sha256: None };
    SbomInput {
        name: "cpu".to_owned(),
        version: "1.0.0".to_owned(),
        debs: vec![
            package("libstdc++6", "14.2.0-19", vec![file("engine/usr/lib/libstdc++.so.6", b"c++")]),
            package("libc6", "2.41-12+deb13u1", vec![file("engine/usr/lib/libc.so.6", b"libc"), link]),
            package("ovmf", "1:2025~rc", vec![]),
        ],
        wheels: vec![package("Torch_Audio", "2.13.0+cpu", vec![file("engine/opt/torch.py", b"torch")])],
        programs: vec![Program {
            name: "enclave".to_owned(),
            paths: vec![file("root/usr/bin/cloister-guardian", b"guardian")],
            crates: crates_of(CARGO_LOCK, "enclave").unwrap(),
        }],
        kernel: Some(Kernel {
            source: package("linux-source-6.12", "6.12.117-1", vec![]),
            config_sha256: digest_of(b"config"),
            patches: BTreeMap::from([("0001-acpi.patch".to_owned(), digest_of(b"patch"))]),
            sha256: digest_of(b"vmlinuz"),
        }),
        models: vec![Model {
            name: "SmolLM2".to_owned(),
            revision: "abc".to_owned(),
            paths: vec![file("model/model.gguf", b"weights")],
        }],
        own: vec![file("root/etc/passwd", b"root:x:0")],
    }
}

fn volumes() -> [(&'static str, FileTree); 3] {
    let [mut root, mut engine, mut model] = [FileTree::default(), FileTree::default(), FileTree::default()];
    root.bytes("usr/bin/cloister-guardian", 0o755, b"guardian".to_vec()).unwrap();
    root.bytes("etc/passwd", 0o644, b"root:x:0".to_vec()).unwrap();
    engine.bytes("usr/lib/libstdc++.so.6", 0o644, b"c++".to_vec()).unwrap();
    engine.bytes("usr/lib/libc.so.6", 0o644, b"libc".to_vec()).unwrap();
    engine.symlink("usr/lib/libc.so", "libc.so.6").unwrap();
    engine.bytes("opt/torch.py", 0o644, b"torch".to_vec()).unwrap();
    model.bytes("model.gguf", 0o644, b"weights".to_vec()).unwrap();
    [("root", root), ("engine", engine), ("model", model)]
}

fn checked(volumes: &[(&'static str, FileTree)]) -> Result<(), Coverage> {
    let borrowed: Vec<(&str, &FileTree)> = volumes.iter().map(|(name, tree)| (*name, tree)).collect();
    match check(&input(), &borrowed) {
        Ok(()) => Ok(()),
        Err(SbomError::Coverage(coverage)) => Err(coverage),
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn every_path_has_an_owner_and_every_owner_its_paths() {
    assert_eq!(checked(&volumes()), Ok(()));
    let mut more = volumes();
    more[0].1.bytes("etc/shadow", 0o600, b"x".to_vec()).unwrap();
    more[1].1.symlink("usr/lib/extra", "libc.so").unwrap();
    let coverage = checked(&more).unwrap_err();
    assert_eq!(coverage.uncovered, ["root/etc/shadow", "engine/usr/lib/extra"]);
    assert_eq!(coverage.to_string(), "2 nobody's (root/etc/shadow, engine/usr/lib/extra)");
    let less = checked(&volumes()[..2]).unwrap_err();
    assert_eq!((less.absent, less.uncovered.len()), (vec!["model/model.gguf".to_owned()], 0));
    let mut changed = volumes();
    let directory = tempfile::tempdir().unwrap();
    let weights = directory.path().join("weights");
    std::fs::write(&weights, "other weights").unwrap();
    let mut model = FileTree::default();
    model.file("model.gguf", 0o644, weights.clone()).unwrap();
    changed[2].1 = model;
    assert_eq!(checked(&changed).unwrap_err().different, ["model/model.gguf"]);
    std::fs::write(&weights, "weights").unwrap();
    assert_eq!(checked(&changed), Ok(()));
    // A link where a file is listed, and the other way round.
    let mut swapped = volumes();
    let mut root = FileTree::default();
    root.bytes("etc/passwd", 0o644, b"root:x:0".to_vec()).unwrap();
    root.symlink("usr/bin/cloister-guardian", "elsewhere").unwrap();
    swapped[0].1 = root;
    assert_eq!(checked(&swapped).unwrap_err().different, ["root/usr/bin/cloister-guardian"]);
}

#[test]
fn what_is_listed_twice_is_refused() {
    let mut twice = input();
    twice.own.push(file("engine/usr/lib/libc.so.6", b"libc"));
    assert!(matches!(twice.to_json(), Err(SbomError::TwoOwners { path, .. }) if path.ends_with("libc.so.6")));
    let mut twice = input();
    twice.debs.push(package("ovmf", "1:2025~rc", vec![]));
    assert!(matches!(twice.to_json(), Err(SbomError::Twice { .. })));
}

#[test]
fn the_document_does_not_depend_on_the_order_and_depends_on_everything_else() {
    let document = input().to_json().unwrap();
    let mut other = input();
    other.debs.reverse();
    other.programs[0].crates.reverse();
    for deb in &mut other.debs {
        deb.paths.reverse();
    }
    assert_eq!(other.to_json().unwrap(), document);
    let serial = |document: &[u8]| serde_json::from_slice::<Value>(document).unwrap()["serialNumber"].clone();
    other.kernel.as_mut().unwrap().sha256.0[0] ^= 1;
    let changed = other.to_json().unwrap();
    assert_ne!(serial(&changed), serial(&document));
    let text = String::from_utf8(document).unwrap();
    for word in [
        "pkg:deb/debian/libstdc%2B%2B6@14.2.0-19?arch=amd64",
        "pkg:deb/debian/ovmf@1:2025~rc?arch=amd64",
        "pkg:pypi/torch-audio@2.13.0%2Bcpu",
        "pkg:cargo/rand@0.8.5",
        "\"crate:enclave@0.1.0\"",
        "0001-acpi.patch sha256:",
    ] {
        assert!(text.contains(word), "{word}");
    }
    assert!(!text.contains("timestamp") && !text.contains("pkg:cargo/enclave"));
}

#[test]
fn crates_are_the_closure_of_the_lock_file() {
    let crates = crates_of(CARGO_LOCK, "enclave").unwrap();
    let names: Vec<_> = crates.iter().map(|one| format!("{} {}", one.name, one.version)).collect();
    assert_eq!(names, ["enclave 0.1.0", "rand 0.8.5", "rand 0.9.0", "serde 1.0.0"]);
    assert!(crates[0].checksum.is_none() && crates[1].checksum.is_some());
    assert!(matches!(crates_of(CARGO_LOCK, "nothing"), Err(SbomError::NoCrate { .. })));
    assert!(matches!(crates_of("package = 1", "enclave"), Err(SbomError::CargoLock(_))));
    let ours = concat!(env!("CARGO_MANIFEST_DIR"), "/../../Cargo.lock");
    let crates = crates_of(&std::fs::read_to_string(ours).unwrap(), "enclave").unwrap();
    assert!(crates.iter().any(|one| one.name == "rustls") && crates.iter().all(|one| one.name != "image-builder"));
}

/// The published schema decides, where its validator is installed.
#[test]
fn the_document_is_valid_by_the_published_schema() {
    let python = std::env::var_os("RELEASE_PEER_PYTHON").unwrap_or_else(|| "python3".into());
    let program = "import sys\nfrom cyclonedx.validation.json import JsonStrictValidator\n\
        from cyclonedx.schema import SchemaVersion\n\
        error = JsonStrictValidator(SchemaVersion.V1_6).validate_str(sys.stdin.read())\n\
        print(error or 'valid')\n";
    let ready = Command::new(&python).args(["-c", "import cyclonedx.validation.json, jsonschema"]).output();
    if !ready.is_ok_and(|output| output.status.success()) {
        let install = "pip install 'cyclonedx-python-lib[json-validation]'";
        println!("SKIP: {} has no validator ({install})", python.display());
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("sbom.json");
    let validate = |document: &[u8]| {
        std::fs::write(&path, document).unwrap();
        let stdin = std::fs::File::open(&path).unwrap();
        let output = Command::new(&python).args(["-c", program]).stdin(stdin).output().unwrap();
        String::from_utf8(output.stdout).unwrap() + &String::from_utf8_lossy(&output.stderr)
    };
    let document = input().to_json().unwrap();
    assert_eq!(validate(&document).trim(), "valid");
    let wrong = String::from_utf8(document).unwrap().replace("\"library\"", "\"book\"");
    assert_ne!(validate(wrong.as_bytes()).trim(), "valid", "the validator says no where it should");
}
