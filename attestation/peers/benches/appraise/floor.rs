//! The bare signatures inside each kind of evidence, over the same bytes with the same keys, by aws-lc-rs directly. Nothing
//! that verifies the evidence at all can take less.

use attestation_peers::vectors;
use aws_lc_rs::digest::{SHA384, digest};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_ASN1, ECDSA_P384_SHA384_FIXED,
    RSA_PSS_2048_8192_SHA384, UnparsedPublicKey, VerificationAlgorithm,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use x509_parser::prelude::{CertificateRevocationList, FromDer, X509Certificate};

/// One signature.
pub(crate) struct Signature {
    algorithm: &'static dyn VerificationAlgorithm,
    key: Vec<u8>,
    message: Vec<u8>,
    signature: Vec<u8>,
}

impl Signature {
    fn new(algorithm: &'static dyn VerificationAlgorithm, key: &[u8], message: &[u8], signature: &[u8]) -> Self {
        Self { algorithm, key: key.to_vec(), message: message.to_vec(), signature: signature.to_vec() }
    }

    fn verify(&self) {
        UnparsedPublicKey::new(self.algorithm, &self.key).verify(&self.message, &self.signature).unwrap();
    }
}

pub(crate) fn verify_all(signatures: &[Signature]) {
    signatures.iter().for_each(Signature::verify);
}

/// The subject's public key as the algorithms take it.
fn key_of(der: &[u8]) -> Vec<u8> {
    let (_, certificate) = X509Certificate::from_der(der).unwrap();
    certificate.public_key().subject_public_key.data.to_vec()
}

fn certificate(algorithm: &'static dyn VerificationAlgorithm, der: &[u8], issuer: &[u8]) -> Signature {
    let (_, certificate) = X509Certificate::from_der(der).unwrap();
    let signature = &certificate.signature_value.data;
    Signature::new(algorithm, &key_of(issuer), certificate.tbs_certificate.as_ref(), signature)
}

fn list(algorithm: &'static dyn VerificationAlgorithm, der: &[u8], issuer: &[u8]) -> Signature {
    let (_, list) = CertificateRevocationList::from_der(der).unwrap();
    Signature::new(algorithm, &key_of(issuer), list.tbs_cert_list.as_ref(), &list.signature_value.data)
}

/// The certificates of a PEM text, DER.
fn pem_chain(pem: &str) -> Vec<Vec<u8>> {
    let blocks = pem.split("-----BEGIN CERTIFICATE-----").skip(1);
    blocks.map(|block| decode(block.split("-----END").next().unwrap())).collect()
}

fn decode(base64: &str) -> Vec<u8> {
    let flat: String = base64.split_whitespace().collect();
    STANDARD.decode(flat).unwrap()
}

/// A report of SEV-SNP: intermediate by root, key by intermediate (RSA-4096), and last the report (P-384).
pub(crate) fn snp(case: &attestation_peers::snp::Case) -> Vec<Signature> {
    let endorsements = &case.endorsements;
    let (vek, intermediate, root) = (&endorsements.vek.0, &endorsements.intermediate.0, &endorsements.root.0);
    let big_endian = |at: usize| case.report[at..at + 48].iter().rev().copied().collect::<Vec<u8>>();
    let signature = [big_endian(0x2a0), big_endian(0x2a0 + 72)].concat();
    vec![
        certificate(&RSA_PSS_2048_8192_SHA384, intermediate, root),
        certificate(&RSA_PSS_2048_8192_SHA384, vek, intermediate),
        Signature::new(&ECDSA_P384_SHA384_FIXED, &key_of(vek), &case.report[..0x2a0], &signature),
    ]
}

/// A quote of version 4: TCB signer and its two statements, both revocation lists, the PCK chain, the quoting enclave's
/// report, and last the quote. All P-256.
pub(crate) fn tdx(case: &attestation_peers::tdx::Case) -> Vec<Signature> {
    let json: serde_json::Value = serde_json::from_slice(&case.collateral).unwrap();
    let text = |name: &str| json[name].as_str().unwrap();
    let bytes = |name: &str| hex::decode(text(name)).unwrap();
    let signers = pem_chain(text("tcb_info_issuer_chain"));
    let (signer, root) = (&signers[0], &signers[1]);

    const BODY_END: usize = 48 + 584;
    let data = &case.quote[BODY_END + 4..];
    let attestation_key = [&[4], &data[64..128]].concat();
    let qe = &data[128 + 6..];
    let auth_length = usize::from(u16::from_le_bytes([qe[448], qe[449]]));
    let pem = std::str::from_utf8(&qe[450 + auth_length + 6..]).unwrap();
    let pck = pem_chain(pem);
    let (leaf, platform_ca) = (&pck[0], &pck[1]);

    let certificate = |der, issuer| certificate(&ECDSA_P256_SHA256_ASN1, der, issuer);
    let list = |der: &[u8], issuer| list(&ECDSA_P256_SHA256_ASN1, der, issuer);
    let fixed = |key: &[u8], message, signature| Signature::new(&ECDSA_P256_SHA256_FIXED, key, message, signature);
    vec![
        certificate(signer, root),
        list(&bytes("root_ca_crl"), root),
        fixed(&key_of(signer), text("tcb_info").as_bytes(), &bytes("tcb_info_signature")),
        fixed(&key_of(signer), text("qe_identity").as_bytes(), &bytes("qe_identity_signature")),
        certificate(platform_ca, root),
        list(&bytes("pck_crl"), platform_ca),
        certificate(leaf, platform_ca),
        fixed(&key_of(leaf), &qe[..384], &qe[384..448]),
        fixed(&attestation_key, &case.quote[..BODY_END], &data[..64]),
    ]
}

/// A device: its chain, and last its report. All P-384.
pub(crate) fn gpu(report: &[u8], chain: &[u8]) -> Vec<Signature> {
    let chain = pem_chain(std::str::from_utf8(chain).unwrap());
    let mut all: Vec<Signature> =
        chain.windows(2).map(|pair| certificate(&ECDSA_P384_SHA384_ASN1, &pair[0], &pair[1])).collect();
    let (signed, signature) = report.split_at(report.len() - 96);
    all.push(Signature::new(&ECDSA_P384_SHA384_FIXED, &key_of(&chain[0]), signed, signature));
    all
}

/// A manifest: the chain of its signer, and a digest of its bytes. For its own signature, over a canonical form that is not
/// made here, the signature of its signer's certificate is verified once more: the same curve, and about the same length.
pub(crate) struct Manifest {
    xml: Vec<u8>,
    signatures: Vec<Signature>,
}

impl Manifest {
    pub(crate) fn read(name: &str) -> Self {
        let xml = vectors::file(name);
        let text = std::str::from_utf8(&xml).unwrap();
        let blocks = text.split("X509Certificate>").skip(1).step_by(2);
        let chain: Vec<Vec<u8>> = blocks.map(|block| decode(block.split("</").next().unwrap())).collect();
        let issued = |pair: &[Vec<u8>]| certificate(&ECDSA_P384_SHA384_ASN1, &pair[0], &pair[1]);
        let mut signatures: Vec<Signature> = chain.windows(2).map(issued).collect();
        signatures.push(issued(&chain[..2]));
        Self { xml, signatures }
    }

    pub(crate) fn count(&self) -> usize {
        self.signatures.len()
    }

    pub(crate) fn verify(&self) {
        std::hint::black_box(digest(&SHA384, &self.xml));
        verify_all(&self.signatures);
    }
}

/// The pages a launch measures, and for each the page information that names its hash.
pub(crate) fn pages(image: &[u8]) {
    const PAGE_LEN: usize = 4096;
    const PAGE_INFO_LEN: usize = 0x70;
    let mut page_info = [0; PAGE_INFO_LEN];
    for page in image.chunks(PAGE_LEN) {
        page_info[48..96].copy_from_slice(digest(&SHA384, page).as_ref());
        let launch_digest = digest(&SHA384, &page_info);
        page_info[..48].copy_from_slice(launch_digest.as_ref());
    }
    std::hint::black_box(page_info);
}
