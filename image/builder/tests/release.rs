//! An image released and checked as a client checks it; the same by programs that are not ours.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that cannot go on has failed")]

use std::path::{Path, PathBuf};
use std::process::Command;

use attestation::reference::{ImageManifest, ReferenceValues};
use attestation::{ReceiptKey, Transcript, UnixTime};
use image_builder::release::log::LogError;
use image_builder::release::{ReleaseKeys, keygen, release};
use serde_json::{Value, json};
use verifier::release::provenance::sha256;
use verifier::release::{
    BUNDLE_FILE, MANIFEST_FILE, REFERENCE_VALUES_FILE, ReleaseBundle, ReleaseError, ReleaseTrust, SBOM_FILE,
    SeenReleases, VerifiedRelease, verify,
};

const NOW: UnixTime = UnixTime(1_800_000_000);

struct World {
    home: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        let world = Self { home: tempfile::tempdir().unwrap() };
        keygen(&world.path("release.key"), &world.path("log.key"), "example.com/log").unwrap();
        world
    }

    fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    fn keys(&self) -> ReleaseKeys {
        ReleaseKeys::load(&self.path("release.key"), Some(&self.path("log.key"))).unwrap()
    }

    /// An image's output directory.
    fn image(&self, name: &str, flavour: &str, version: &str) -> PathBuf {
        let image = self.path(name);
        std::fs::create_dir_all(&image).unwrap();
        let files = [("vmlinuz", "a kernel".repeat(100)), ("root.img", format!("volume {version}"))];
        let artifacts: serde_json::Map<String, Value> = files
            .iter()
            .map(|(name, text)| ((*name).to_owned(), json!({"sha256": sha256(text.as_bytes()), "size": text.len()})))
            .collect();
        let pin = json!({"package": "ovmf", "version": "1", "sha256": "00".repeat(32), "enforces_kernel_hashes": true});
        let manifest: ImageManifest = serde_json::from_value(json!({
            "schema": "cloister/image-manifest/v1", "flavour": flavour, "version": version, "mode": "production",
            "artifacts": artifacts, "volumes": [], "cmdline": "panic=-1", "firmware": {"amdsev": pin, "tdx": pin},
            "kernel": {"version": "6.12", "config_sha256": "11".repeat(32), "patches": {}},
            "guardian_config_sha256": "22".repeat(32), "image_config_sha256": "33".repeat(32), "model": null, "snp": [],
            "tdx": null, "vtpm": null, "status": {}, "locks": {"cpu.json": "44".repeat(32)},
            "source": {"git_commit": "ab".repeat(20), "rustc": "rustc 1.95.0", "source_date_epoch": 1, "tools": {}},
        }))
        .unwrap();
        files.iter().for_each(|(name, text)| std::fs::write(image.join(name), text).unwrap());
        let sbom = json!({"bomFormat": "CycloneDX", "specVersion": "1.6", "version": 1, "components": [
            {"type": "library", "name": "x", "purl": "pkg:deb/debian/x@1?arch=amd64",
             "hashes": [{"alg": "SHA-256", "content": "55".repeat(32)}]}]});
        std::fs::write(image.join(MANIFEST_FILE), manifest.to_json().unwrap()).unwrap();
        let values = ReferenceValues::from_manifest(&manifest, NOW, UnixTime(NOW.0 + 1000));
        std::fs::write(image.join(REFERENCE_VALUES_FILE), values.sign(&self.keys().release).unwrap()).unwrap();
        std::fs::write(image.join(SBOM_FILE), sbom.to_string()).unwrap();
        image
    }

    fn release(&self, image: &Path, now: UnixTime) -> anyhow::Result<PathBuf> {
        release(image, &self.path("log"), self.keys(), now)
    }

    fn verify(&self, bundle: &Path) -> Result<VerifiedRelease, ReleaseError> {
        let keys = self.keys();
        let trust = ReleaseTrust { log: keys.log.public().clone(), signer: keys.release.public() };
        let bundle = ReleaseBundle::from_json(&std::fs::read(bundle).unwrap())?;
        let release = verify(&bundle, &trust, &mut Transcript::new())?;
        SeenReleases::open(&self.path("seen.json"))?.admit(&release, &mut Transcript::new())?;
        Ok(release)
    }
}

const SEED: u8 = 3;

/// Other reference values, signed with the key of `seed`.
fn revalue(image: &Path, seed: u8, change: impl FnOnce(&mut ReferenceValues)) {
    let manifest = ImageManifest::from_json(&std::fs::read(image.join(MANIFEST_FILE)).unwrap()).unwrap();
    let mut values = ReferenceValues::from_manifest(&manifest, NOW, NOW);
    change(&mut values);
    let signed = values.sign(&ReceiptKey::from_seed(&[seed; 32]).unwrap()).unwrap();
    std::fs::write(image.join(REFERENCE_VALUES_FILE), signed).unwrap();
}

#[test]
fn releases_follow_each_other_and_a_client_follows_them() {
    let world = World::new();
    let (first, second) = (world.image("one", "cpu", "1.0.0"), world.image("two", "cpu", "1.1.0"));
    let one = world.release(&first, NOW).unwrap();
    let release = world.verify(&one).unwrap();
    release.check_artifacts(&first, &mut Transcript::new()).unwrap();
    assert!(release.check_artifacts(&second, &mut Transcript::new()).is_err());
    let other = world.release(&world.image("other", "gpu", "0.1.0"), NOW).unwrap();
    let two = world.release(&second, NOW).unwrap();
    assert_eq!(world.verify(&two).unwrap().index(), 2);
    assert_eq!(world.verify(&one).unwrap_err().code(), "release.older_than_seen");
    // The other flavour's bundle was made before the log grew; made again it carries the newest checkpoint.
    assert_eq!(world.verify(&other).unwrap_err().code(), "release.log_smaller_than_seen");
    world.release(&world.path("other"), UnixTime(NOW.0 + 5)).unwrap();
    assert_eq!(world.verify(&other).unwrap().entry().released_at, NOW);
}

#[test]
fn the_same_image_is_released_once_and_another_of_its_version_never() {
    let world = World::new();
    let image = world.image("image", "cpu", "1.0.0");
    let bundle = world.release(&image, NOW).unwrap();
    let first = std::fs::read(&bundle).unwrap();
    world.release(&image, UnixTime(NOW.0 + 1000)).unwrap();
    assert_eq!(std::fs::read(&bundle).unwrap(), first, "the date is that of the first time");
    let sbom = std::fs::read(image.join(SBOM_FILE)).unwrap();
    std::fs::write(image.join(SBOM_FILE), [sbom.as_slice(), b"\n"].concat()).unwrap();
    let error = world.release(&image, NOW).unwrap_err();
    assert!(matches!(error.downcast_ref(), Some(LogError::Twice { .. })), "{error:#}");
    assert_eq!(std::fs::read(&bundle).unwrap(), first);
    std::fs::write(image.join(SBOM_FILE), sbom).unwrap();
    world.release(&world.image("newer", "cpu", "1.1.0"), NOW).unwrap();
    let error = world.release(&world.image("late", "cpu", "1.0.1"), NOW).unwrap_err();
    assert!(matches!(error.downcast_ref(), Some(LogError::NotNewer { .. })), "{error:#}");
}

/// A build makes its folder anew, without what was signed before.
#[test]
fn an_image_that_was_built_again_is_published_as_before() {
    let world = World::new();
    let image = world.image("image", "cpu", "1.0.0");
    let publish = |now| {
        std::fs::remove_file(image.join(REFERENCE_VALUES_FILE)).unwrap();
        image_builder::publish::publish(&image, &world.path("log"), world.keys(), now, 365)
    };
    let first = std::fs::read(publish(NOW).unwrap()).unwrap();
    let again = std::fs::read(publish(UnixTime(NOW.0 + 1000)).unwrap()).unwrap();
    assert_eq!(again, first);
    assert_eq!(world.verify(&image.join(BUNDLE_FILE)).unwrap().entry().released_at, NOW);
}

#[test]
fn an_image_that_is_not_its_manifest_is_not_released() {
    let world = World::new();
    std::fs::write(world.path("release.key"), format!("{SEED:02x}").repeat(32)).unwrap();
    type Fault = fn(&Path);
    let faults: [(&str, Fault); 12] = [
        ("release.artifact_missing", |image| std::fs::remove_file(image.join("vmlinuz")).unwrap()),
        ("release.artifact_differs", |image| std::fs::write(image.join("root.img"), "volume 1.0.1").unwrap()),
        ("release.artifact_differs", |image| std::fs::write(image.join("root.img"), "volume").unwrap()),
        ("", |image| std::fs::remove_file(image.join(MANIFEST_FILE)).unwrap()),
        ("", |image| std::fs::write(image.join(MANIFEST_FILE), "{}").unwrap()),
        ("", |image| std::fs::remove_file(image.join(REFERENCE_VALUES_FILE)).unwrap()),
        ("reference.malformed", |image| std::fs::write(image.join(REFERENCE_VALUES_FILE), "none").unwrap()),
        ("reference.signer_unknown", |image| revalue(image, 1, |_| ())),
        ("reference.expired", |image| {
            revalue(image, SEED, |values| (values.not_before.0, values.not_after.0) = (1, 2))
        }),
        ("release.reference_values_differ", |image| revalue(image, SEED, |values| values.flavour = "gpu".to_owned())),
        ("", |image| std::fs::write(image.join(SBOM_FILE), "{}").unwrap()),
        ("", |image| std::fs::remove_file(image.join(SBOM_FILE)).unwrap()),
    ];
    for (row, (code, fault)) in faults.iter().enumerate() {
        let image = world.image(&format!("image{row}"), "cpu", "1.0.0");
        fault(&image);
        let error = world.release(&image, NOW).unwrap_err();
        let got = error.downcast_ref::<ReleaseError>().map_or("", ReleaseError::code);
        assert_eq!(got, *code, "row {row}: {error:#}");
        assert!(
            !image.join(BUNDLE_FILE).exists()
                && !world.path("log/checkpoint").exists()
                && !world.path("log/tile").exists(),
            "row {row}"
        );
    }
}

#[test]
fn keys_are_made_once_and_read_strictly() {
    let world = World::new();
    assert!(
        keygen(&world.path("release.key"), &world.path("new.key"), "example.com/log").is_err(),
        "never overwritten"
    );
    assert!(keygen(&world.path("a.key"), &world.path("b.key"), "two words").is_err());
    assert!(!world.path("a.key").exists());
    let text = |name: &str| std::fs::read_to_string(world.path(name)).unwrap();
    assert_eq!(text("log.vkey").trim_end(), world.keys().log.public().to_string());
    assert_eq!(text("release.pub").trim_end(), world.keys().release.public().to_string());
    let mode = std::os::unix::fs::MetadataExt::mode(&std::fs::metadata(world.path("log.key")).unwrap());
    assert_eq!(mode & 0o777, 0o600);
    let alone = ReleaseKeys::load(&world.path("release.key"), None).unwrap();
    assert_eq!(alone.log.public().name(), "cloister/releases");
    std::fs::write(world.path("bad.key"), "00").unwrap();
    assert!(ReleaseKeys::load(&world.path("bad.key"), None).is_err());
    assert!(ReleaseKeys::load(&world.path("release.key"), Some(&world.path("release.key"))).is_err());
    assert!(!format!("{:?}", world.keys()).contains(text("release.key").trim_end()));
}

/// Another program on the same files: `release/peer.py` parses note, checkpoint, tiles, proofs, envelope and statement on its own.
#[test]
fn a_program_that_is_not_ours_finds_the_same() {
    let python = std::env::var_os("RELEASE_PEER_PYTHON").unwrap_or_else(|| "python3".into());
    let ready = Command::new(&python).args(["-c", "import cryptography"]).output();
    if !ready.is_ok_and(|output| output.status.success()) {
        println!("SKIP: {} has no module cryptography (pip install cryptography)", python.display());
        return;
    }
    let world = World::new();
    for (name, version) in [("one", "1.0.0"), ("two", "1.0.1"), ("three", "1.1.0")] {
        world.release(&world.image(name, "cpu", version), NOW).unwrap();
    }
    let output = Command::new(&python)
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/release_peer.py"))
        .args([
            world.path("three").join(BUNDLE_FILE),
            world.path("log"),
            world.path("log.vkey"),
            world.path("release.pub"),
        ])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.contains("PASS 3 entries"), "{text}");
    println!("{text}");
}
