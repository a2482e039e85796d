//! `cloister audit`, and reference values on the command line: a node launched from a rebuilt image, and one from another.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use attestation::measure::CpuModel;
use attestation::measure::snp::{KernelHashes, LaunchDigestInputs, Vmm, launch_digest};
use attestation::measure::tdx::{PageAddOrder, mrtd};
use attestation::measure::uki::predict_uki;
use attestation::reference::manifest::{
    Artifact, FirmwarePin, Hex48, MANIFEST_SCHEMA, ManifestFirmware, ManifestKernel, ManifestModel, ManifestSource,
    ManifestVolume, RTMR0_REPLAY, SnpLaunch, TdxMeasurements, VtpmMeasurements,
};
use attestation::{
    Clock, DEMO_POLICY, Hex32, ImageManifest, ImageMode, ReceiptKey, ReferenceValues, Sha256Digest, UnixTime,
};
use verifier::SystemClock;

use crate::fake::{FakeNode, Faults, WEIGHTS, pki};
use crate::program::{Run, cloister};

/// A small unified image, of the fuzz corpus.
const UKI: &[u8] = include_bytes!("../../../attestation/fuzz/corpus/pe/d944a056aa375c0b6b93e4b100684a1f72c4f03d");

const ROOT_HASH: [u8; 32] = [0x33; 32];

fn vector(name: &str) -> Vec<u8> {
    let vectors = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/vectors/measurement/snp");
    fs::read(vectors.join(name)).unwrap()
}

fn sha256(bytes: &[u8]) -> Hex32 {
    Hex32(Sha256Digest::of(bytes).0)
}

/// An archive of the kernel's format.
fn archive(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, data) in files.iter().chain(&[("TRAILER!!!", b"".as_slice())]) {
        out.extend(format!("070701{:048}{:08x}{:032}{:08x}{:08}", 0, data.len(), 0, name.len() + 1, 0).bytes());
        out.extend(name.bytes().chain([0]));
        out.resize(out.len().next_multiple_of(4), 0);
        out.extend_from_slice(data);
        out.resize(out.len().next_multiple_of(4), 0);
    }
    out
}

/// An image as a builder leaves it: its files and their manifest.
struct Built {
    directory: PathBuf,
    manifest: ImageManifest,
}

impl Built {
    fn new(directory: &Path) -> Self {
        let root_hash = Hex32(ROOT_HASH);
        let image_json = format!(r#"{{"volumes":[{{"name":"root","root_hash":"{root_hash}"}}]}}"#);
        let guardian = b"model = \"tiny\"\n";
        let files: BTreeMap<&str, Vec<u8>> = BTreeMap::from([
            ("OVMF.amdsev.fd", vector("ovmf_AmdSev_suffix.bin")),
            ("OVMF.inteltdx.fd", vector("OVMF_debian12_2022.11-6+deb12u2.fd")),
            ("vmlinuz", b"a kernel".to_vec()),
            (
                "initrd.cpio",
                archive(&[
                    ("init", b"an init"),
                    ("measured/image.json", image_json.as_bytes()),
                    ("measured/guardian.toml", guardian),
                ]),
            ),
            ("cmdline", format!("console=ttynull panic=-1 cloister.roothash={root_hash}").into_bytes()),
            ("root.img", b"a volume".to_vec()),
            ("uki.efi", UKI.to_vec()),
        ]);
        for (name, bytes) in &files {
            fs::write(directory.join(name), bytes).unwrap();
        }
        let artifact = |bytes: &Vec<u8>| Artifact { sha256: sha256(bytes), size: u64::try_from(bytes.len()).unwrap() };
        let pin = |name: &str, enforces_kernel_hashes| FirmwarePin {
            package: "ovmf".to_owned(),
            version: "1".to_owned(),
            sha256: sha256(&files[name]),
            enforces_kernel_hashes,
        };
        let cmdline = String::from_utf8(files["cmdline"].clone()).unwrap();
        let hashes = KernelHashes::of(&files["vmlinuz"], Some(&files["initrd.cpio"]), &cmdline).unwrap();
        let launch = |vcpus| SnpLaunch {
            vcpus,
            cpu: "EPYC-v4".to_owned(),
            guest_features: 1,
            vmm: "qemu".to_owned(),
            launch_digest: Hex48(
                launch_digest(&LaunchDigestInputs {
                    firmware: &files["OVMF.amdsev.fd"],
                    kernel: Some(hashes),
                    vcpus,
                    cpu: CpuModel::from_name("EPYC-v4").unwrap(),
                    vmm: Vmm::Qemu,
                    guest_features: 1,
                })
                .unwrap(),
            ),
        };
        let uki = predict_uki(UKI).unwrap();
        let td = |order| Hex48(mrtd(&files["OVMF.inteltdx.fd"], order).unwrap());
        let manifest = ImageManifest {
            schema: MANIFEST_SCHEMA.to_owned(),
            flavour: "cpu".to_owned(),
            version: "0.1.0".to_owned(),
            mode: ImageMode::Production,
            artifacts: files.iter().map(|(name, bytes)| ((*name).to_owned(), artifact(bytes))).collect(),
            volumes: vec![ManifestVolume {
                name: "root".to_owned(),
                sha256: sha256(&files["root.img"]),
                root_hash,
                salt: Hex32([4; 32]),
                data_blocks: 1,
                uuid: "00000000-0000-4000-8000-000000000000".to_owned(),
            }],
            cmdline,
            firmware: ManifestFirmware { amdsev: pin("OVMF.amdsev.fd", true), tdx: pin("OVMF.inteltdx.fd", false) },
            kernel: ManifestKernel {
                version: "6.12".to_owned(),
                config_sha256: Hex32([5; 32]),
                patches: BTreeMap::new(),
            },
            guardian_config_sha256: sha256(guardian),
            image_config_sha256: sha256(image_json.as_bytes()),
            model: Some(ManifestModel { name: "tiny".to_owned(), weights_sha256: Hex32(WEIGHTS) }),
            snp: vec![launch(1), launch(2)],
            tdx: Some(TdxMeasurements {
                mrtd_single_pass: td(PageAddOrder::Interleaved),
                mrtd_two_pass: td(PageAddOrder::TwoPass),
                rtmr1: Hex48(uki.rtmr1),
                rtmr2: Hex48(uki.rtmr2),
                rtmr0: RTMR0_REPLAY.to_owned(),
            }),
            vtpm: Some(VtpmMeasurements {
                pcr4: Hex32(uki.pcr4),
                pcr9: Hex32(uki.pcr9),
                pcr11: Hex32(uki.pcr11),
                bank: "sha256".to_owned(),
            }),
            status: BTreeMap::new(),
            source: ManifestSource {
                git_commit: "0".repeat(40),
                rustc: "rustc".to_owned(),
                source_date_epoch: 0,
                tools: BTreeMap::new(),
            },
            locks: BTreeMap::new(),
        };
        let built = Self { directory: directory.to_owned(), manifest };
        built.write();
        built
    }

    fn write(&self) {
        fs::write(self.directory.join("manifest.json"), self.manifest.to_json().unwrap()).unwrap();
    }
}

/// A client's home with a policy that takes launch digests from reference values, and these.
struct Client {
    home: tempfile::TempDir,
}

impl Client {
    fn new(manifest: &ImageManifest) -> Self {
        let (home, key) = (tempfile::tempdir().unwrap(), ReceiptKey::from_seed(&[42; 32]).unwrap());
        let list = DEMO_POLICY.lines().find(|line| line.starts_with("launch_digests")).unwrap();
        let policy = DEMO_POLICY.replace(list, "launch_digests = \"reference-values\"");
        let table = format!(
            "\n[reference_values]\nsigners = [\"{}\"]\nflavours = [\"cpu\"]\nmodes = [\"production\"]\n\
            image_version_min = \"0.1.0\"\n",
            key.public()
        );
        fs::write(home.path().join("policy.toml"), policy + &table).unwrap();
        fs::write(home.path().join("root.pem"), pki().ark_pem()).unwrap();
        let client = Self { home };
        client.sign(manifest, UnixTime(u64::MAX >> 12));
        client
    }

    fn sign(&self, manifest: &ImageManifest, end: UnixTime) {
        let key = ReceiptKey::from_seed(&[42; 32]).unwrap();
        let signed = ReferenceValues::from_manifest(manifest, UnixTime(0), end).sign(&key).unwrap();
        fs::write(self.home.path().join("values.corim"), signed).unwrap();
    }

    fn file(&self, name: &str) -> String {
        self.home.path().join(name).display().to_string()
    }

    fn run(&self, args: &[&str]) -> Run {
        let (root, policy, values) = (self.file("root.pem"), self.file("policy.toml"), self.file("values.corim"));
        let trust = ["--json", "--root", &root, "--policy", &policy, "--reference-values", &values];
        cloister(self.home.path(), &[args, &trust].concat())
    }
}

fn line<'a>(object: &'a serde_json::Value, item: &str) -> (&'a str, &'a str) {
    let lines = object["audit"].as_array().unwrap();
    let line = lines.iter().find(|line| line["item"].as_str().unwrap().starts_with(item));
    let line = line.unwrap_or_else(|| panic!("no line {item} in {lines:#?}"));
    (line["equality"].as_str().unwrap(), line["detail"].as_str().unwrap())
}

async fn node(launch_digest: [u8; 48]) -> FakeNode {
    FakeNode::start_with(Faults {
        now: Some(SystemClock.now()),
        launch_digest: Some(launch_digest),
        ..Faults::default()
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_launched_from_the_image_is_equal() {
    let image = tempfile::tempdir().unwrap();
    let built = Built::new(image.path());
    let client = Client::new(&built.manifest);
    let node = node(built.manifest.snp[1].launch_digest.0).await;
    let (url, directory) = (node.url.to_string(), image.path().display().to_string());
    let run = client.run(&["audit", &url, "--image", &directory]);
    let object = run.json();
    assert_eq!((run.code, object["verdict"].as_str()), (0, Some("EQUAL")), "{object:#}");
    assert_eq!(object["assurance"], "simulated");
    assert!(line(&object, "node.launch_digest").1.contains("2 vCPUs, EPYC-v4"));
    for item in [
        "node.models",
        "file.vmlinuz",
        "file.OVMF.amdsev.fd",
        "cmdline",
        "guardian_config",
        "image_config",
        "volume.root",
        "launch_digest (1 vCPUs",
        "mrtd (single",
        "rtmr1",
        "rtmr2",
        "pcr4",
        "pcr9",
        "pcr11",
        "reference_values.version",
    ] {
        assert_eq!(line(&object, item).0, "EQUAL", "{item}");
    }
    let checks = object["checks"].as_array().unwrap();
    assert!(checks.iter().any(|check| check["id"] == "policy.reference_values"
        && check["detail"].as_str().unwrap().starts_with("cpu 0.1.0 (production), signed by ")));
    // The manifest alone: what needs files is named, and nothing differs.
    let manifest = format!("{directory}/manifest.json");
    let object = client.run(&["audit", &url, "--image", &manifest]).json();
    assert_eq!((object["verdict"].as_str(), line(&object, "files").0), (Some("EQUAL"), "NOT_SHOWN"));
    // The same trust serves every command; for people, a line of the transcript names whose word it is.
    let run = client.run(&["verify", &url]);
    assert_eq!((run.code, run.json()["verdict"].as_str()), (0, Some("VERIFIED")), "{}", run.stdout);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_changed_file_is_named() {
    let image = tempfile::tempdir().unwrap();
    let built = Built::new(image.path());
    let client = Client::new(&built.manifest);
    let node = node(built.manifest.snp[0].launch_digest.0).await;
    let (url, directory) = (node.url.to_string(), image.path().display().to_string());
    let rows: [(&str, &[&str]); 7] = [
        ("vmlinuz", &["file.vmlinuz", "launch_digest (1", "launch_digest (2"]),
        ("initrd.cpio", &["file.initrd.cpio", "launch_digest (1", "launch_digest (2"]),
        ("cmdline", &["file.cmdline", "cmdline", "launch_digest (1", "launch_digest (2"]),
        ("OVMF.amdsev.fd", &["file.OVMF.amdsev.fd", "launch_digest (1", "launch_digest (2"]),
        ("OVMF.inteltdx.fd", &["file.OVMF.inteltdx.fd", "mrtd (single", "mrtd (two"]),
        ("root.img", &["file.root.img"]),
        ("uki.efi", &["file.uki.efi", "rtmr1", "pcr4"]),
    ];
    for (name, items) in rows {
        let path = image.path().join(name);
        let before = fs::read(&path).unwrap();
        let mut changed = before.clone();
        // Within the first bytes that each measurement covers: of a firmware, those its last pages hold.
        let at = if name.starts_with("OVMF") { changed.len().saturating_sub(0x3000) } else { changed.len() / 2 };
        changed[at] ^= 1;
        fs::write(&path, changed).unwrap();
        let run = client.run(&["audit", &url, "--image", &directory]);
        let object = run.json();
        assert_eq!((run.code, object["verdict"].as_str()), (10, Some("DIFFERS")), "{name}: {object:#}");
        for item in items {
            assert_eq!(line(&object, item).0, "DIFFERS", "{name}: {item} {object:#}");
        }
        fs::remove_file(&path).unwrap();
        assert!(
            line(&client.run(&["audit", &url, "--image", &directory]).json(), items[0]).1.contains("cannot be read")
        );
        fs::write(&path, before).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_image_another_model_and_an_unfit_manifest_differ() {
    let image = tempfile::tempdir().unwrap();
    let mut built = Built::new(image.path());
    let client = Client::new(&built.manifest);
    let directory = image.path().display().to_string();
    // A node whose launch digest is another: refused, and the audit still says what it was launched from.
    let other = node([0x77; 48]).await;
    let run = client.run(&["audit", &other.url.to_string(), "--image", &directory]);
    let object = run.json();
    assert_eq!((run.code, object["error"]["code"].as_str()), (10, Some("snp.launch_digest")));
    let (equality, detail) = line(&object, "node.launch_digest");
    assert!(equality == "DIFFERS" && detail.contains("1 vCPUs") && detail.contains(&"77".repeat(48)), "{detail}");
    assert_eq!(line(&object, "launch_digest (1").0, "EQUAL");
    // Another model than the image holds.
    let node = node(built.manifest.snp[0].launch_digest.0).await;
    let url = node.url.to_string();
    built.manifest.model = None;
    built.write();
    let object = client.run(&["audit", &url, "--image", &directory]).json();
    assert_eq!((object["verdict"].as_str(), line(&object, "node.models").0), (Some("DIFFERS"), "DIFFERS"));
    // Another release's values than the image's.
    built.manifest.model = Some(ManifestModel { name: "tiny".to_owned(), weights_sha256: Hex32(WEIGHTS) });
    built.manifest.version = "0.2.0".to_owned();
    built.write();
    let object = client.run(&["audit", &url, "--image", &directory]).json();
    assert_eq!(line(&object, "reference_values.version"), ("DIFFERS", "expected 0.2.0, got 0.1.0"));
    fs::write(image.path().join("manifest.json"), b"{}").unwrap();
    let run = client.run(&["audit", &url, "--image", &directory]);
    assert_eq!((run.code, run.error_code().as_str()), (30, "manifest.malformed"));
    fs::remove_file(image.path().join("manifest.json")).unwrap();
    assert_eq!(client.run(&["audit", &url, "--image", &directory]).error_code(), "file.unusable");
}

/// A policy that needs reference values never reaches the network without them: nothing listens at that address.
#[test]
fn reference_values_are_demanded_before_any_network() {
    let image = tempfile::tempdir().unwrap();
    let built = Built::new(image.path());
    let client = Client::new(&built.manifest);
    let (root, policy) = (client.file("root.pem"), client.file("policy.toml"));
    let nowhere = "https://127.0.0.1:1";
    let directory = image.path().display().to_string();
    let commands: [&[&str]; 3] = [
        &["verify", nowhere],
        &["audit", nowhere, "--image", &directory],
        &["appraise", "--evidence", &policy, "--at", "now"],
    ];
    for command in commands {
        let run = cloister(client.home.path(), &[command, &["--json", "--policy", &policy, "--root", &root]].concat());
        assert_eq!((run.code, run.error_code().as_str()), (2, "reference.missing"), "{command:?}");
        assert!(run.json()["error"]["hint"].as_str().unwrap().contains("--reference-values"), "{command:?}");
    }
    // From the configuration directory, when none are named.
    let config = client.home.path().join(".config/cloister");
    fs::create_dir_all(&config).unwrap();
    fs::copy(client.file("values.corim"), config.join("reference-values.corim")).unwrap();
    let run = cloister(client.home.path(), &["verify", nowhere, "--json", "--policy", &policy, "--root", &root]);
    assert_eq!(run.error_code(), "node.unreachable");
    // Each refusal of reference values has its code, and the exit code of a refusal.
    client.sign(&built.manifest, UnixTime(1));
    let run = client.run(&["verify", nowhere]);
    assert_eq!((run.code, run.error_code().as_str()), (10, "reference.expired"));
    let debug = ImageManifest { mode: ImageMode::Debug, ..built.manifest.clone() };
    client.sign(&debug, UnixTime(u64::MAX >> 12));
    let run = client.run(&["verify", nowhere]);
    assert_eq!((run.code, run.error_code().as_str()), (10, "reference.mode"));
    fs::write(client.file("values.corim"), b"no CBOR").unwrap();
    let run = client.run(&["verify", nowhere]);
    assert_eq!((run.code, run.error_code().as_str()), (30, "reference.malformed"));
    fs::write(client.file("policy.toml"), DEMO_POLICY).unwrap();
    let run = client.run(&["verify", nowhere]);
    assert_eq!((run.code, run.error_code().as_str()), (2, "reference.unused"));
}
