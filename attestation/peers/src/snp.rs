//! SEV-SNP reports: every vector that has a key certificate, by `attestation` and by the `sev` crate.
//!
//! `sev` 8.0.0 checks the three certificate signatures and the report's. Which root, which time and which fields are its
//! caller's business, so it is given the root the evidence came with.

use attestation::snp::{self, Product, SigningKey, SnpCache};
use attestation::{Base64, SnpEndorsements, Transcript, TrustRoots, UnixTime, vendor_certificates};
use serde::Deserialize;
use sev::certs::snp::{Chain, Verifiable};
use sev::firmware::guest::AttestationReport;
use sev::parser::ByteParser;

use crate::compare::Verdict;
use crate::vectors;

/// When altered certificates would be valid if their signatures were.
const NEGATIVE_AT: &str = "2026-03-01T00:00:00Z";

/// One report with what is needed to judge it.
#[derive(Debug, Clone)]
pub struct Case {
    /// Identifier in the index.
    pub id: String,
    /// The report, 1184 bytes when genuine.
    pub report: Vec<u8>,
    /// The key certificate and its chain.
    pub endorsements: SnpEndorsements,
    /// The root that is trusted, DER; `None` for AMD's.
    pub named_root: Option<Vec<u8>>,
    /// The time of judgement.
    pub at: UnixTime,
}

#[derive(Deserialize)]
struct Entry {
    id: String,
    files: Vec<String>,
    chain_valid: Option<[String; 2]>,
    expected: serde_json::Value,
}

impl Entry {
    fn file(&self, name: &str) -> Option<Vec<u8>> {
        self.files.iter().any(|file| file == name).then(|| vectors::file(&format!("{}/{name}", self.id)))
    }

    /// The key certificate and its kind.
    fn vek(&self) -> Option<(Vec<u8>, SigningKey)> {
        let vlek = || self.file("vlek.der").map(|der| (der, SigningKey::Vlek));
        self.file("vcek.der").map(|der| (der, SigningKey::Vcek)).or_else(vlek)
    }

    fn captured(&self) -> Option<Case> {
        let (vek, kind) = self.vek()?;
        let name = self.id.trim_start_matches("snp/real/").trim_start_matches("neg-");
        let product = match name.split_once('-').unwrap().0 {
            "milan" => Product::Milan,
            "genoa" | "bergamo" => Product::Genoa,
            "turin" => Product::Turin,
            other => panic!("{other}"),
        };
        let vendor = vendor_certificates(product, kind);
        let at = self.chain_valid.as_ref().map_or(vectors::unix_time(NEGATIVE_AT), |[from, to]| {
            UnixTime(vectors::unix_time(from).0.midpoint(vectors::unix_time(to).0))
        });
        let endorsements = SnpEndorsements {
            vek: Base64(vek),
            intermediate: Base64(vendor.intermediate.to_vec()),
            root: Base64(vendor.root.to_vec()),
            crl: None,
        };
        Some(Case { id: self.id.clone(), report: self.file("report.bin")?, endorsements, named_root: None, at })
    }

    fn synthetic(&self) -> Option<Case> {
        let (vek, kind) = self.vek()?;
        let pki = |name: &str| vectors::file(&format!("{}/{name}", self.expected["pki"].as_str().unwrap()));
        let trusted = pki("ark.der");
        let issuer = if kind == SigningKey::Vlek { "asvk.der" } else { "ask.der" };
        let endorsements = SnpEndorsements {
            vek: Base64(vek),
            intermediate: Base64(self.file("ask.der").unwrap_or_else(|| pki(issuer))),
            root: Base64(self.file("ark.der").unwrap_or_else(|| trusted.clone())),
            crl: self.file("ark.crl").map(Base64),
        };
        let at = vectors::unix_time(self.expected["at"].as_str().unwrap());
        let report = self.file("report.bin")?;
        Some(Case { id: self.id.clone(), report, endorsements, named_root: Some(trusted), at })
    }
}

/// Every vector with a key certificate. The other three, and no more, are reports alone.
#[must_use]
pub fn cases() -> Vec<Case> {
    let entries: Vec<Entry> = vectors::index("snp");
    let of = |entry: &Entry| if entry.id.starts_with("snp/real/") { entry.captured() } else { entry.synthetic() };
    entries.iter().filter_map(of).collect()
}

impl Case {
    /// The roots this case is judged under.
    #[must_use]
    pub fn roots(&self) -> TrustRoots {
        self.named_root.as_deref().map_or_else(TrustRoots::vendor, |root| TrustRoots::named(root).unwrap())
    }

    /// By `attestation`, with everything waived that can be.
    #[must_use]
    pub fn ours(&self) -> Verdict {
        let Self { report, endorsements, at, .. } = self;
        let (roots, policy, cache) = (self.roots(), vectors::waived_policy(), SnpCache::default());
        let result = snp::appraise(report, endorsements, &roots, &policy, *at, &cache, &mut Transcript::new());
        match result {
            Ok(_) => Verdict::Accepted(String::new()),
            Err(rejection) => Verdict::Refused(rejection.code().to_owned()),
        }
    }

    /// The parts of the evidence in hex, for a script.
    #[must_use]
    pub fn as_json(&self) -> serde_json::Value {
        let SnpEndorsements { vek, intermediate, root, .. } = &self.endorsements;
        serde_json::json!({
            "report": hex::encode(&self.report),
            "vek": hex::encode(&vek.0),
            "intermediate": hex::encode(&intermediate.0),
            "root": hex::encode(&root.0),
        })
    }

    /// By `sev`.
    #[must_use]
    pub fn by_sev(&self) -> Verdict {
        match self.run_sev() {
            Ok(()) => Verdict::Accepted(String::new()),
            Err(error) => Verdict::Refused(format!("sev: {error}")),
        }
    }

    /// Everything `sev` does from bytes to verdict.
    ///
    /// # Errors
    /// `sev`'s own.
    pub fn run_sev(&self) -> std::io::Result<()> {
        let SnpEndorsements { vek, intermediate, root, .. } = &self.endorsements;
        let report = AttestationReport::from_bytes(&self.report)?;
        let chain = Chain::from_der(&root.0, &intermediate.0, &vek.0)?;
        (&chain, &report).verify()
    }
}
