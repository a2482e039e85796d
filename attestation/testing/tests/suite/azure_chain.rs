//! Azure vTPM evidence with keys of our own: what captures cannot show, because nobody has published them. Chains of
//! every wrong shape, and quotes over some of the PCRs.

use attestation::azure::{AkTrust, AzureRejection, VerifiedVtpm, VtpmEvidence, verify_vtpm};
use attestation::{Base64, UnixTime};
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{KeyPair, RSA_PKCS1_SHA256, RsaKeyPair};

use crate::azure::{SNP, evidence, with_claims};

const NOW: UnixTime = UnixTime(1_764_662_251);
const NONCE: &[u8] = b"fresh";

/// Validity: as UTCTime around [`NOW`], and one that is over.
const VALID: [&str; 2] = ["250101000000Z", "300101000000Z"];
const EXPIRED: [&str; 2] = ["240101000000Z", "250101000000Z"];

/// Content of object identifiers.
const RSA_ENCRYPTION: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];
const SHA256_WITH_RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0b];
const SHA1_WITH_RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x05];
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];
const BASIC_CONSTRAINTS: &[u8] = &[0x55, 0x1d, 0x13];
const KEY_USAGE: &[u8] = &[0x55, 0x1d, 0x0f];
const EXTENDED_KEY_USAGE: &[u8] = &[0x55, 0x1d, 0x25];
const NAME_CONSTRAINTS: &[u8] = &[0x55, 0x1d, 0x1e];
/// tcg-kp-AIKCertificate and tcg-kp-EKCertificate.
const AIK: &[u8] = &[0x67, 0x81, 0x05, 0x08, 0x03];
const EK: &[u8] = &[0x67, 0x81, 0x05, 0x08, 0x01];

fn tlv(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    let length = u16::try_from(content.len()).unwrap().to_be_bytes();
    let length = match content.len() {
        0..=0x7f => vec![length[1]],
        0x80..=0xff => vec![0x81, length[1]],
        _ => vec![0x82, length[0], length[1]],
    };
    [vec![tag], length, content].concat()
}

/// One certificate; the defaults are an authority.
#[derive(Clone)]
struct Spec<'a> {
    subject: &'a str,
    issuer: &'a str,
    key: &'a RsaKeyPair,
    signer: &'a RsaKeyPair,
    dates: [&'a str; 2],
    ca: Option<Option<u8>>,
    usage: u8,
    purpose: Option<&'a [u8]>,
    unknown_critical: bool,
    algorithm: &'a [u8],
}

impl<'a> Spec<'a> {
    fn authority(subject: &'a str, issuer: &'a str, key: &'a RsaKeyPair) -> Self {
        Self {
            subject,
            issuer,
            key,
            signer: key,
            dates: VALID,
            ca: Some(None),
            usage: 0x04,
            purpose: None,
            unknown_critical: false,
            algorithm: SHA256_WITH_RSA,
        }
    }

    fn attestation_key(issuer: &'a str, key: &'a RsaKeyPair, signer: &'a RsaKeyPair) -> Self {
        let authority = Self::authority("ak", issuer, key);
        Self { signer, ca: None, usage: 0x80, purpose: Some(AIK), ..authority }
    }

    fn der(&self) -> Vec<u8> {
        let name = |text: &str| {
            let attribute = tlv(0x30, &[&tlv(0x06, &[COMMON_NAME]), &tlv(0x0c, &[text.as_bytes()])]);
            tlv(0x30, &[&tlv(0x31, &[&attribute])])
        };
        let algorithm = tlv(0x30, &[&tlv(0x06, &[self.algorithm]), &[5, 0]]);
        let dates = self.dates.map(|date| tlv(0x17, &[date.as_bytes()]));
        let spki = tlv(
            0x30,
            &[
                &tlv(0x30, &[&tlv(0x06, &[RSA_ENCRYPTION]), &[5, 0]]),
                &tlv(0x03, &[&[0], self.key.public_key().as_ref()]),
            ],
        );
        let signed = tlv(
            0x30,
            &[
                &[0xa0, 3, 2, 1, 2],
                &[2, 1, 1],
                &algorithm,
                &name(self.issuer),
                &tlv(0x30, &[&dates[0], &dates[1]]),
                &name(self.subject),
                &spki,
                &tlv(0xa3, &[&tlv(0x30, &[&self.extensions()])]),
            ],
        );
        tlv(0x30, &[&signed, &algorithm, &tlv(0x03, &[&[0], &sign(self.signer, &signed)])])
    }

    fn extensions(&self) -> Vec<u8> {
        let critical =
            |oid: &[u8], value: Vec<u8>| tlv(0x30, &[&tlv(0x06, &[oid]), &[1, 1, 0xff], &tlv(0x04, &[&value])]);
        let mut extensions = critical(KEY_USAGE, tlv(0x03, &[&[2, self.usage]]));
        if let Some(path_len) = self.ca {
            let path_len = path_len.map_or(vec![], |longest| vec![2, 1, longest]);
            extensions.extend(critical(BASIC_CONSTRAINTS, tlv(0x30, &[&[1, 1, 0xff], &path_len])));
        }
        if let Some(purpose) = self.purpose {
            extensions.extend(critical(EXTENDED_KEY_USAGE, tlv(0x30, &[&tlv(0x06, &[purpose])])));
        }
        if self.unknown_critical {
            extensions.extend(critical(NAME_CONSTRAINTS, tlv(0x30, &[])));
        }
        extensions
    }
}

fn key() -> RsaKeyPair {
    RsaKeyPair::generate(KeySize::Rsa2048).unwrap()
}

fn sign(key: &RsaKeyPair, message: &[u8]) -> Vec<u8> {
    let mut signature = vec![0; key.public_modulus_len()];
    key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut signature).unwrap();
    signature
}

/// A quote over the PCRs that are set in `selected`, by a key that the claims of an SNP capture then name.
fn evidence_of(ak: &RsaKeyPair, selected: u32, pcrs: Vec<[u8; 32]>) -> VtpmEvidence {
    // A PKCS#1 key of 2048 bits has its modulus here.
    let modulus = serde_json::to_string(&Base64(ak.public_key().as_ref()[9..265].to_vec())).unwrap();
    let modulus = modulus.trim_matches('"').trim_end_matches('=').replace('+', "-").replace('/', "_");
    let mut evidence = evidence(SNP);
    with_claims(&mut evidence, |claims| {
        let (before, rest) = claims.split_once(r#""n":""#).unwrap();
        let (_, after) = rest.split_once('"').unwrap();
        format!(r#"{before}"n":"{modulus}"{after}"#)
    });
    let bits = selected.to_le_bytes();
    evidence.tpm_quote.message = [
        &[0xff, 0x54, 0x43, 0x47, 0x80, 0x18, 0, 0, 0, u8::try_from(NONCE.len()).unwrap()],
        NONCE,
        &[0; 16],
        &[1],
        &[0; 8],
        &[0, 0, 0, 1, 0, 0x0b, 3, bits[0], bits[1], bits[2], 0, 32],
        digest(&SHA256, &pcrs.concat()).as_ref(),
    ]
    .concat();
    evidence.tpm_quote.signature = sign(ak, &evidence.tpm_quote.message);
    evidence.tpm_quote.pcrs = pcrs;
    evidence
}

/// vTPM evidence under a key of ours, for hardware reports made elsewhere.
pub(crate) fn made_here() -> VtpmEvidence {
    evidence_of(&key(), 1, vec![[7; 32]])
}

fn verify(evidence: &VtpmEvidence, intermediates: &[Vec<u8>], root: &[u8]) -> Result<VerifiedVtpm, AzureRejection> {
    let intermediates: Vec<&[u8]> = intermediates.iter().map(Vec::as_slice).collect();
    let trust = AkTrust::Certificate { roots: &[root], intermediates: &intermediates, now: NOW };
    verify_vtpm(evidence, NONCE, trust)
}

/// Keys and an accepted chain of one intermediate; tests replace one certificate of it.
struct World {
    evidence: VtpmEvidence,
    ak: RsaKeyPair,
    ca: RsaKeyPair,
}

impl World {
    fn new() -> Self {
        let (ak, ca) = (key(), key());
        Self { evidence: evidence_of(&ak, 1, vec![[7; 32]]), ak, ca }
    }

    fn root(&self) -> Spec<'_> {
        Spec::authority("root", "root", &self.ca)
    }

    fn intermediate(&self) -> Spec<'_> {
        Spec::authority("ca", "root", &self.ca)
    }

    fn leaf(&self) -> Spec<'_> {
        Spec::attestation_key("ca", &self.ak, &self.ca)
    }

    fn verdict(&self, leaf: &Spec<'_>, intermediates: &[Spec<'_>], root: &Spec<'_>) -> &'static str {
        let mut evidence = self.evidence.clone();
        evidence.ak_certificate = Some(leaf.der());
        let intermediates: Vec<_> = intermediates.iter().map(Spec::der).collect();
        verify(&evidence, &intermediates, &root.der()).map_or_else(|error| error.code(), |_| "ok")
    }
}

#[test]
fn each_certificate_of_a_chain_must_be_for_its_place() {
    let world = World::new();
    let (leaf, ca, root) = (world.leaf(), world.intermediate(), world.root());
    let of_leaf = |leaf: Spec<'_>| world.verdict(&leaf, std::slice::from_ref(&ca), &root);
    let of_ca = |ca: Spec<'_>| world.verdict(&leaf, &[ca], &root);
    let of_root = |root: Spec<'_>| world.verdict(&leaf, std::slice::from_ref(&ca), &root);
    assert_eq!(of_leaf(leaf.clone()), "ok");

    assert_eq!(of_leaf(Spec { purpose: None, ..leaf.clone() }), "azure.ak_certificate_role");
    assert_eq!(of_leaf(Spec { purpose: Some(EK), ..leaf.clone() }), "azure.ak_certificate_role");
    assert_eq!(of_leaf(Spec { usage: 0x20, ..leaf.clone() }), "azure.ak_certificate_role");
    assert_eq!(of_leaf(Spec { ca: Some(None), ..leaf.clone() }), "azure.ak_certificate_role");
    assert_eq!(of_leaf(Spec { unknown_critical: true, ..leaf.clone() }), "azure.ak_certificate_role");
    assert_eq!(of_leaf(Spec { dates: EXPIRED, ..leaf.clone() }), "azure.ak_certificate_dates");
    assert_eq!(of_leaf(Spec { signer: &world.ak, ..leaf.clone() }), "azure.ak_certificate_chain");
    assert_eq!(of_leaf(Spec { issuer: "other", ..leaf.clone() }), "azure.ak_certificate_chain");
    assert_eq!(of_leaf(Spec { key: &world.ca, ..leaf.clone() }), "azure.ak_certificate_key");
    assert_eq!(of_leaf(Spec { algorithm: SHA1_WITH_RSA, ..leaf.clone() }), "azure.ak_certificate_algorithm");

    assert_eq!(of_ca(Spec { ca: None, ..ca.clone() }), "azure.ak_certificate_role");
    assert_eq!(of_ca(Spec { usage: 0x80, ..ca.clone() }), "azure.ak_certificate_role");
    assert_eq!(of_ca(Spec { unknown_critical: true, ..ca.clone() }), "azure.ak_certificate_role");
    assert_eq!(of_ca(Spec { dates: EXPIRED, ..ca.clone() }), "azure.ak_certificate_dates");
    assert_eq!(of_ca(Spec { signer: &world.ak, ..ca.clone() }), "azure.ak_certificate_chain");
    assert_eq!(of_ca(Spec { key: &world.ak, ..ca.clone() }), "azure.ak_certificate_chain");

    assert_eq!(of_root(Spec { ca: None, ..root.clone() }), "azure.ak_certificate_role");
    assert_eq!(of_root(Spec { dates: EXPIRED, ..root.clone() }), "azure.ak_certificate_dates");
    assert_eq!(of_root(Spec { key: &world.ak, ..root.clone() }), "azure.ak_certificate_chain");
}

#[test]
fn chains_end_at_their_length_limits() {
    let world = World::new();
    let names = ["root", "c1", "c2", "c3", "c4"];
    let chain = |length: usize| -> Vec<Spec<'_>> {
        names.windows(2).take(length).map(|pair| Spec::authority(pair[1], pair[0], &world.ca)).collect()
    };
    let verdict = |chain: &[Spec<'_>], root: &Spec<'_>| {
        let issuer = chain.last().map_or("root", |last| last.subject);
        world.verdict(&Spec { issuer, ..world.leaf() }, chain, root)
    };
    for length in 0..=3 {
        assert_eq!(verdict(&chain(length), &world.root()), "ok", "{length}");
    }
    assert_eq!(verdict(&chain(4), &world.root()), "azure.ak_certificate_chain");
    // pathLenConstraint counts the authorities below.
    let mut short = chain(2);
    short[0].ca = Some(Some(0));
    assert_eq!(verdict(&short, &world.root()), "azure.ak_certificate_role");
    short[0].ca = Some(Some(1));
    assert_eq!(verdict(&short, &world.root()), "ok");
    assert_eq!(verdict(&short, &Spec { ca: Some(Some(1)), ..world.root() }), "azure.ak_certificate_role");
    // Two authorities that name each other lead nowhere.
    let circle = [Spec::authority("c1", "c2", &world.ca), Spec::authority("c2", "c1", &world.ca)];
    assert_eq!(
        world.verdict(&Spec { issuer: "c1", ..world.leaf() }, &circle, &world.root()),
        "azure.ak_certificate_chain"
    );
}

#[test]
fn a_quote_over_some_pcrs_names_them() {
    let ak = key();
    let evidence = evidence_of(&ak, 1 | 1 << 7 | 1 << 23, vec![[1; 32], [2; 32], [3; 32]]);
    let verified = verify_vtpm(&evidence, NONCE, AkTrust::HardwareReport).unwrap();
    assert_eq!(verified.pcrs, [(0, [1; 32]), (7, [2; 32]), (23, [3; 32])]);
    let mut fewer = evidence.clone();
    fewer.tpm_quote.pcrs.pop();
    let refused = verify_vtpm(&fewer, NONCE, AkTrust::HardwareReport);
    assert_eq!(refused, Err(AzureRejection::PcrCount { got: 2, selected: 3 }));
    let mut swapped = evidence;
    swapped.tpm_quote.pcrs.swap(1, 2);
    assert_eq!(verify_vtpm(&swapped, NONCE, AkTrust::HardwareReport), Err(AzureRejection::PcrDigest));
}
