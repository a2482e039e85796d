//! Releases as a builder makes them, open to every fault on the way.

use attestation::reference::{ImageManifest, ReferenceValues};
use attestation::{Base64, ReceiptKey, UnixTime};
use credits::merkle::{LogTree, consistency_proof, inclusion_proof, leaf_hash};
use serde_json::{Value, json};

use crate::release::bundle::{BUNDLE_SCHEMA, ReleaseBundle};
use crate::release::checkpoint::Checkpoint;
use crate::release::dsse;
use crate::release::entry::{ENTRY_SCHEMA, ReleaseEntry};
use crate::release::note::NoteSigner;
use crate::release::proof::{Growth, LogProof};
use crate::release::provenance::{Material, PAYLOAD_TYPE, sha256, statement, subjects};
use crate::release::verify::ReleaseTrust;

const LOG_SEED: u8 = 7;
pub(super) const SIGNER_SEED: u8 = 8;

pub(super) fn key(seed: u8) -> ReceiptKey {
    ReceiptKey::from_seed(&[seed; 32]).unwrap()
}

pub(super) fn trust() -> ReleaseTrust {
    ReleaseTrust { log: Log::new().signer.public().clone(), signer: key(SIGNER_SEED).public() }
}

/// A log in memory.
pub(super) struct Log {
    pub(super) signer: NoteSigner,
    pub(super) tree: LogTree,
}

impl Log {
    pub(super) fn new() -> Self {
        Self { signer: NoteSigner::new("example.com/log", key(LOG_SEED)).unwrap(), tree: LogTree::new() }
    }

    pub(super) fn size(&self) -> u64 {
        self.tree.size()
    }

    pub(super) fn append(&mut self, entry: &[u8]) {
        self.tree.append(leaf_hash(entry));
    }

    pub(super) fn head(&self) -> Checkpoint {
        Checkpoint { size: self.tree.size(), root: self.tree.root() }
    }

    /// Puts the proofs of the log as it is now into a bundle.
    pub(super) fn prove(&self, index: u64, bundle: &mut ReleaseBundle) {
        let node = |level, at| self.tree.node(level, at).ok_or(());
        let hashes = inclusion_proof(index, self.size(), node).unwrap();
        bundle.log_proof = LogProof { index, hashes, checkpoint: self.head().sign(&self.signer) }.to_text();
        let growth = |from| Growth { from, hashes: consistency_proof(from, self.size(), node).unwrap() };
        bundle.consistency = (1..self.size()).map(growth).collect();
    }
}

/// The image's files.
pub(super) const FILES: [(&str, &[u8]); 2] = [("vmlinuz", b"a kernel"), ("root.img", b"a volume")];

pub(super) fn manifest(version: &str) -> ImageManifest {
    let pin = json!({"package": "ovmf", "version": "1", "sha256": "00".repeat(32), "enforces_kernel_hashes": true});
    let artifacts: serde_json::Map<String, Value> = FILES
        .iter()
        .map(|(name, bytes)| ((*name).to_owned(), json!({"sha256": sha256(bytes), "size": bytes.len()})))
        .collect();
    serde_json::from_value(json!({
        "schema": "cloister/image-manifest/v1",
        "flavour": "cpu",
        "version": version,
        "mode": "production",
        "artifacts": artifacts,
        "volumes": [],
        "cmdline": "panic=-1",
        "firmware": {"amdsev": pin, "tdx": pin},
        "kernel": {"version": "6.12", "config_sha256": "11".repeat(32), "patches": {}},
        "guardian_config_sha256": "22".repeat(32),
        "image_config_sha256": "33".repeat(32),
        "model": null,
        "snp": [],
        "tdx": null,
        "vtpm": null,
        "status": {},
        "source": {"git_commit": "ab".repeat(20), "rustc": "rustc 1.95.0", "source_date_epoch": 1, "tools": {}},
        "locks": {"cpu.json": "44".repeat(32)},
    }))
    .unwrap()
}

/// A release before it is signed and logged.
pub(super) struct Draft {
    pub(super) manifest: Vec<u8>,
    pub(super) reference_values: Vec<u8>,
    pub(super) sbom: Vec<u8>,
    pub(super) statement: Value,
    pub(super) payload_type: &'static str,
    pub(super) signer: ReceiptKey,
    pub(super) entry: ReleaseEntry,
    /// Replaces the entry's bytes.
    pub(super) entry_bytes: Option<fn(&ReleaseEntry) -> Vec<u8>>,
}

impl Draft {
    pub(super) fn new(version: &str) -> Self {
        let released_at = UnixTime(1_800_000_000);
        let manifest = manifest(version);
        let bytes = manifest.to_json().unwrap();
        let values = ReferenceValues::from_manifest(&manifest, released_at, released_at.saturating_add(1000));
        let (reference_values, sbom) =
            (values.sign(&key(SIGNER_SEED)).unwrap(), b"{\"bomFormat\":\"CycloneDX\"}".to_vec());
        let subjects = subjects(&manifest, &bytes, &reference_values, &sbom).unwrap();
        let material = Material { uri: "pkg:deb/debian/x@1?arch=amd64".to_owned(), sha256: sha256(b"x") };
        let statement = statement(&manifest, &subjects, released_at, &[material]);
        let entry = ReleaseEntry {
            schema: ENTRY_SCHEMA.to_owned(),
            version: version.parse().unwrap(),
            flavour: "cpu".to_owned(),
            mode: manifest.mode,
            manifest_sha256: sha256(b""),
            reference_values_sha256: sha256(b""),
            sbom_sha256: sha256(b""),
            provenance_sha256: sha256(b""),
            released_at,
        };
        Self {
            manifest: bytes,
            reference_values,
            sbom,
            statement: serde_json::from_slice(&statement).unwrap(),
            payload_type: PAYLOAD_TYPE,
            signer: key(SIGNER_SEED),
            entry,
            entry_bytes: None,
        }
    }

    /// Replaces manifest or reference values, and what the signer says of them.
    pub(super) fn replace(&mut self, name: &str, bytes: Vec<u8>) {
        let digest = sha256(&bytes).to_string();
        match name {
            "manifest.json" => self.manifest = bytes,
            "reference-values.corim" => self.reference_values = bytes,
            other => panic!("no part {other}"),
        }
        let subjects = self.statement["subject"].as_array_mut().unwrap();
        let subject = subjects.iter_mut().find(|subject| subject["name"] == name).unwrap();
        subject["digest"]["sha256"] = digest.into();
    }

    /// Other reference values, signed by the key of `seed`, and signed for in the provenance.
    pub(super) fn revalue(&mut self, seed: u8, change: impl FnOnce(&mut ReferenceValues)) {
        let (manifest, at) = (manifest("1.0.0"), self.entry.released_at);
        let mut values = ReferenceValues::from_manifest(&manifest, at, at.saturating_add(1000));
        change(&mut values);
        self.replace("reference-values.corim", values.sign(&key(seed)).unwrap());
    }

    /// Signs it, logs it, and makes the bundle.
    pub(super) fn log(mut self, log: &mut Log) -> ReleaseBundle {
        let provenance = dsse::sign(self.payload_type, self.statement.to_string().into_bytes(), &self.signer);
        self.entry.manifest_sha256 = sha256(&self.manifest);
        self.entry.reference_values_sha256 = sha256(&self.reference_values);
        self.entry.sbom_sha256 = sha256(&self.sbom);
        self.entry.provenance_sha256 = sha256(&provenance);
        let entry = match self.entry_bytes {
            Some(make) => make(&self.entry),
            None => self.entry.to_bytes().unwrap(),
        };
        log.append(&entry);
        let mut bundle = ReleaseBundle {
            schema: BUNDLE_SCHEMA.to_owned(),
            entry: Base64(entry),
            manifest: Base64(self.manifest),
            reference_values: Base64(self.reference_values),
            sbom: Base64(self.sbom),
            provenance: Base64(provenance),
            log_proof: String::new(),
            consistency: Vec::new(),
        };
        log.prove(log.size() - 1, &mut bundle);
        bundle
    }
}
