//! Intel-shaped certificates and revocation lists, right by default and wrong where a test asks for it.

use attestation::UnixTime;

use super::keys::P256Key;
use crate::certificate::{
    NOT_AFTER, NOT_BEFORE, SubjectKey, basic_constraints, ca_extensions, ec_spki, extension, name,
};
use crate::der;

const OID_ECDSA_SHA256: &[u64] = &[1, 2, 840, 10_045, 4, 3, 2];
const OID_ECDSA_SHA384: &[u64] = &[1, 2, 840, 10_045, 4, 3, 3];
const OID_KEY_USAGE: &[u64] = &[2, 5, 29, 15];
/// id-ce-cRLNumber (RFC 5280 §5.2.3).
const OID_CRL_NUMBER: [u64; 4] = [2, 5, 29, 20];
const OID_SGX: [u64; 7] = [1, 2, 840, 113_741, 1, 13, 1];

/// A key of the test PKI, and the certificate that belongs to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holder {
    /// The root.
    Root,
    /// The CA of PCKs.
    Ca,
    /// The PCK.
    Pck,
    /// The signer of TCB information and identities.
    TcbSigner,
    /// Nobody trusted.
    Stranger,
}

/// The signature algorithm a certificate or list claims; the signature is ECDSA P-256 with SHA-256 all the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClaimedAlgorithm {
    /// Intel's.
    EcdsaSha256,
    /// Another.
    EcdsaSha384,
}

/// One certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateSpec {
    /// Serial number.
    pub serial: u64,
    /// Common name.
    pub common_name: String,
    /// Whose name stands as issuer.
    pub issuer_name: Holder,
    /// Whose key signs.
    pub signed_by: Holder,
    /// Start of validity.
    pub not_before: UnixTime,
    /// End of validity.
    pub not_after: UnixTime,
    /// Whether it may issue others.
    pub is_ca: bool,
    /// Whether a CA's key usage allows certificates but no revocation lists.
    pub no_crl_sign: bool,
    /// What the key claims to be: Intel's are P-256.
    pub key: SubjectKey,
    /// What the signature claims to be.
    pub algorithm: ClaimedAlgorithm,
    /// Whether it has a critical extension nobody knows.
    pub unknown_critical_extension: bool,
    /// Content of Intel's extension; PCKs only.
    pub sgx_extension: Option<Vec<u8>>,
    /// Whether that extension stands in the certificate twice.
    pub sgx_extension_twice: bool,
}

impl CertificateSpec {
    pub(crate) fn genuine(serial: u64, common_name: &str, issuer: Holder, is_ca: bool) -> Self {
        Self {
            serial,
            common_name: common_name.to_owned(),
            issuer_name: issuer,
            signed_by: issuer,
            not_before: NOT_BEFORE,
            not_after: NOT_AFTER,
            is_ca,
            no_crl_sign: false,
            key: SubjectKey::LabelledP256,
            algorithm: ClaimedAlgorithm::EcdsaSha256,
            unknown_critical_extension: false,
            sgx_extension: None,
            sgx_extension_twice: false,
        }
    }

    fn extensions(&self) -> Vec<Vec<u8>> {
        let mut extensions = match (self.is_ca, self.no_crl_sign) {
            (true, false) => ca_extensions(true),
            // keyCertSign alone is bit 5.
            (true, true) => {
                vec![basic_constraints(true), extension(OID_KEY_USAGE, true, &der::bit_string(&[0b0000_0100], 2))]
            }
            (false, _) => {
                // digitalSignature and nonRepudiation are bits 0 and 1.
                vec![basic_constraints(false), extension(OID_KEY_USAGE, true, &der::bit_string(&[0b1100_0000], 6))]
            }
        };
        if let Some(content) = &self.sgx_extension {
            let times = if self.sgx_extension_twice { 2 } else { 1 };
            extensions.extend(vec![extension(&OID_SGX, false, content); times]);
        }
        if self.unknown_critical_extension {
            extensions.push(extension(&[1, 2, 840, 113_741, 999], true, &der::null()));
        }
        extensions
    }
}

/// A revocation list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListSpec {
    /// Serial numbers on it.
    pub revoked_serials: Vec<u64>,
    /// Whether an entry without a serial number stands before them.
    pub unreadable_entry: bool,
    /// Issue time.
    pub this_update: UnixTime,
    /// When the next is due.
    pub next_update: UnixTime,
    /// Whose name stands as issuer.
    pub issuer_name: Holder,
    /// Whose key signs.
    pub signed_by: Holder,
}

/// The full name of a certificate.
pub(crate) fn full_name(common_name: &str) -> Vec<u8> {
    name("Cloister SIMULATED TEE, not hardware", common_name)
}

fn algorithm(claimed: ClaimedAlgorithm) -> Vec<u8> {
    der::sequence(&[der::oid(match claimed {
        ClaimedAlgorithm::EcdsaSha256 => OID_ECDSA_SHA256,
        ClaimedAlgorithm::EcdsaSha384 => OID_ECDSA_SHA384,
    })])
}

fn signed(tbs: Vec<u8>, key: &P256Key, claimed: ClaimedAlgorithm) -> Vec<u8> {
    let signature = key.sign_der(&tbs);
    der::sequence(&[tbs, algorithm(claimed), der::bit_string(&signature, 0)])
}

pub(crate) fn issue(spec: &CertificateSpec, issuer_name: &str, subject: &P256Key, signer: &P256Key) -> Vec<u8> {
    let tbs = der::sequence(&[
        der::explicit(0, &der::integer(2)),
        der::integer(spec.serial),
        algorithm(spec.algorithm),
        full_name(issuer_name),
        der::sequence(&[der::time(spec.not_before), der::time(spec.not_after)]),
        full_name(&spec.common_name),
        ec_spki(&subject.point(), spec.key),
        der::explicit(3, &der::sequence(&spec.extensions())),
    ]);
    signed(tbs, signer, spec.algorithm)
}

pub(crate) fn issue_list(spec: &ListSpec, issuer_name: &str, signer: &P256Key) -> Vec<u8> {
    let claimed = ClaimedAlgorithm::EcdsaSha256;
    let mut parts = vec![
        der::integer(1),
        algorithm(claimed),
        full_name(issuer_name),
        der::time(spec.this_update),
        der::time(spec.next_update),
    ];
    let entry = |serial: &u64| der::sequence(&[der::integer(*serial), der::time(spec.this_update)]);
    let mut entries: Vec<Vec<u8>> = spec.revoked_serials.iter().map(entry).collect();
    if spec.unreadable_entry {
        entries.insert(0, der::sequence(&[der::time(spec.this_update)]));
    }
    if !entries.is_empty() {
        parts.push(der::sequence(&entries));
    }
    // Every list has a number (RFC 5280 §5.2.3); other verifiers refuse one without extensions.
    parts.push(der::explicit(0, &der::sequence(&[extension(&OID_CRL_NUMBER, false, &der::integer(1))])));
    signed(der::sequence(&parts), signer, claimed)
}

/// What the PCK certifies about the simulated platform.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FakePlatform {
    /// Names the machine.
    pub ppid: [u8; 16],
    /// The sixteen TCB components.
    pub components: [u8; 16],
    /// Security version of the PCE.
    pub pce_svn: u16,
    /// PCE-ID.
    pub pce_id: [u8; 2],
    /// Platform family.
    pub fmspc: [u8; 6],
    /// Instance, and whether the platform is dynamic, has cached keys, and has SMT on; Platform CA only.
    pub instance: Option<([u8; 16], [bool; 3])>,
}

impl FakePlatform {
    /// Intel's extension (PCK Certificate and CRL Specification §1.3.5).
    #[must_use]
    pub fn extension(&self) -> Vec<u8> {
        let element = |arcs: &[u64], value: Vec<u8>| der::sequence(&[der::oid(&[&OID_SGX[..], arcs].concat()), value]);
        let mut tcb: Vec<Vec<u8>> = (1..)
            .zip(self.components)
            .map(|(number, svn)| element(&[2, number], der::integer(u64::from(svn))))
            .collect();
        tcb.push(element(&[2, 17], der::integer(u64::from(self.pce_svn))));
        tcb.push(element(&[2, 18], der::octet_string(&self.components)));
        let sgx_type = u8::from(self.instance.is_some());
        let mut all = vec![
            element(&[1], der::octet_string(&self.ppid)),
            element(&[2], der::sequence(&tcb)),
            element(&[3], der::octet_string(&self.pce_id)),
            element(&[4], der::octet_string(&self.fmspc)),
            element(&[5], der::tlv(0x0a, &[sgx_type])),
        ];
        if let Some((instance, flags)) = &self.instance {
            let flags: Vec<Vec<u8>> =
                (1..).zip(flags).map(|(number, flag)| element(&[7, number], der::boolean(*flag))).collect();
            all.push(element(&[6], der::octet_string(instance)));
            all.push(element(&[7], der::sequence(&flags)));
        }
        der::sequence(&all)
    }
}
