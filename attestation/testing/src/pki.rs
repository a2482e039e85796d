//! A whole test chain: root, intermediates, one endorsement key, revocation lists.

use attestation::snp::{Product, SigningKey, Tcb};
use attestation::{Base64, SnpEndorsements, UnixTime};
use aws_lc_rs::digest::{SHA512, digest};
use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{self, KeySize};
use aws_lc_rs::signature::{ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use serde::{Deserialize, Serialize};

use crate::certificate::{
    self, CertificateBody, Issuer, NOT_AFTER, NOT_BEFORE, SignatureScheme, VekSpec, ca_extensions, ec_spki, rsa_spki,
};
use crate::report::floor_tcb;

/// Stands in front of every name of a simulated chain, which makes its verdicts `simulated`.
pub const NAME_PREFIX: &str = "SIMULATED";

const SERIAL_ARK: u64 = 0x51_0000;
const SERIAL_ASK: u64 = 0x51_0001;
const SERIAL_ASVK: u64 = 0x51_0101;
/// AMD gives every endorsement key this serial number.
const SERIAL_VEK: u64 = 0;

/// Seconds a revocation list is good for.
const CRL_PERIOD_SECS: u64 = 366 * 24 * 3600;

/// The test chain could not be made or restored.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TestPkiError {
    /// Key generation failed.
    #[error("the cryptographic library could not generate a key")]
    Generate,
    /// The state is not what `to_json` writes.
    #[error("the saved state is not a test chain")]
    State(#[source] serde_json::Error),
    /// A saved key or certificate does not decode.
    #[error("the saved state holds a key that does not decode")]
    Key,
}

/// A revocation list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CrlSpec {
    /// Serial numbers on the list.
    pub revoked_serials: Vec<u64>,
    /// Issue time.
    pub this_update: UnixTime,
    /// When the next list is due; a list must say.
    pub next_update: Option<UnixTime>,
    /// Whose name stands as issuer.
    pub issuer_name: Issuer,
    /// Whose key signs.
    pub signed_by: Issuer,
    /// How it is signed.
    pub scheme: SignatureScheme,
    /// Whether the list says that it covers only part of the certificates.
    pub partitioned: bool,
}

impl CrlSpec {
    /// An empty list of the root, issued at `this_update`.
    #[must_use]
    pub fn empty(this_update: UnixTime) -> Self {
        Self {
            revoked_serials: Vec::new(),
            this_update,
            next_update: Some(this_update.saturating_add(CRL_PERIOD_SECS)),
            issuer_name: Issuer::Ark,
            signed_by: Issuer::Ark,
            scheme: SignatureScheme::PssSha384,
            partitioned: false,
        }
    }
}

/// What [`TestPki::to_json`] writes. It holds private keys: keep the file to its owner.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct State {
    product: Product,
    name_prefix: String,
    ark_key: Base64,
    ask_key: Base64,
    vek_key: Base64,
    ark: Base64,
    ask: Base64,
    asvk: Base64,
}

/// A test chain for one product.
pub struct TestPki {
    product: Product,
    name_prefix: String,
    ark_key: rsa::KeyPair,
    ask_key: rsa::KeyPair,
    vek_key: EcdsaKeyPair,
    ark: Vec<u8>,
    ask: Vec<u8>,
    asvk: Vec<u8>,
}

impl std::fmt::Debug for TestPki {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TestPki").field("product", &self.product).finish_non_exhaustive()
    }
}

impl TestPki {
    /// A fresh chain. `name_prefix` is [`NAME_PREFIX`] for anything that runs; an empty one makes a chain that looks
    /// like any other custom root.
    ///
    /// # Errors
    /// When a key cannot be generated.
    pub fn generate(product: Product, name_prefix: &str) -> Result<Self, TestPkiError> {
        let rsa_key = || rsa::KeyPair::generate(KeySize::Rsa4096).map_err(|_| TestPkiError::Generate);
        let vek_key = EcdsaKeyPair::generate(&ECDSA_P384_SHA384_FIXED_SIGNING).map_err(|_| TestPkiError::Generate)?;
        Ok(Self::with_keys(product, name_prefix, rsa_key()?, rsa_key()?, vek_key))
    }

    /// The same keys under another product's or prefix's names. The certificates are new ones.
    ///
    /// # Errors
    /// When the keys do not survive being written and read.
    pub fn reissued(&self, product: Product, name_prefix: &str) -> Result<Self, TestPkiError> {
        let (ark, ask, vek) = (pkcs8_rsa(&self.ark_key)?, pkcs8_rsa(&self.ask_key)?, pkcs8_ec(&self.vek_key)?);
        let (ark, ask, vek) = (read_rsa(&ark)?, read_rsa(&ask)?, read_ec(&vek)?);
        Ok(Self::with_keys(product, name_prefix, ark, ask, vek))
    }

    fn with_keys(
        product: Product,
        name_prefix: &str,
        ark_key: rsa::KeyPair,
        ask_key: rsa::KeyPair,
        vek_key: EcdsaKeyPair,
    ) -> Self {
        let name_prefix = name_prefix.to_owned();
        let mut pki = Self {
            product,
            name_prefix,
            ark_key,
            ask_key,
            vek_key,
            ark: Vec::new(),
            ask: Vec::new(),
            asvk: Vec::new(),
        };
        pki.ark = pki.ca_der(Issuer::Ark, NOT_BEFORE, NOT_AFTER, true);
        pki.ask = pki.ca_der(Issuer::Ask, NOT_BEFORE, NOT_AFTER, true);
        pki.asvk = pki.ca_der(Issuer::Asvk, NOT_BEFORE, NOT_AFTER, true);
        pki
    }

    /// The chain as JSON, private keys included.
    ///
    /// # Errors
    /// When a key cannot be written.
    pub fn to_json(&self) -> Result<Vec<u8>, TestPkiError> {
        let state = State {
            product: self.product,
            name_prefix: self.name_prefix.clone(),
            ark_key: Base64(pkcs8_rsa(&self.ark_key)?),
            ask_key: Base64(pkcs8_rsa(&self.ask_key)?),
            vek_key: Base64(pkcs8_ec(&self.vek_key)?),
            ark: Base64(self.ark.clone()),
            ask: Base64(self.ask.clone()),
            asvk: Base64(self.asvk.clone()),
        };
        serde_json::to_vec_pretty(&state).map_err(TestPkiError::State)
    }

    /// The chain `to_json` wrote.
    ///
    /// # Errors
    /// When the bytes are something else.
    pub fn from_json(bytes: &[u8]) -> Result<Self, TestPkiError> {
        let state: State = serde_json::from_slice(bytes).map_err(TestPkiError::State)?;
        Ok(Self {
            product: state.product,
            name_prefix: state.name_prefix,
            ark_key: read_rsa(&state.ark_key.0)?,
            ask_key: read_rsa(&state.ask_key.0)?,
            vek_key: read_ec(&state.vek_key.0)?,
            ark: state.ark.0,
            ask: state.ask.0,
            asvk: state.asvk.0,
        })
    }

    /// The product the chain is for.
    #[must_use]
    pub fn product(&self) -> Product {
        self.product
    }

    /// The root, DER.
    #[must_use]
    pub fn ark_der(&self) -> &[u8] {
        &self.ark
    }

    /// The root, PEM: what a client is told to trust.
    #[must_use]
    pub fn ark_pem(&self) -> String {
        pem(&self.ark)
    }

    /// The intermediate of VCEKs, DER.
    #[must_use]
    pub fn ask_der(&self) -> &[u8] {
        &self.ask
    }

    /// The intermediate of VLEKs, DER.
    #[must_use]
    pub fn asvk_der(&self) -> &[u8] {
        &self.asvk
    }

    /// The VCEK of the simulated chip at the default TCB, DER.
    #[must_use]
    pub fn vcek_der(&self) -> Vec<u8> {
        self.vek_der(&self.vcek(floor_tcb(self.product)))
    }

    /// The VCEK certificate AMD would issue for the simulated chip at `tcb`.
    #[must_use]
    pub fn vcek(&self, tcb: Tcb) -> VekSpec {
        let hwid = self.chip_id().into_iter().take(self.product.chip_id_len()).collect();
        VekSpec { hwid: Some(hwid), ..VekSpec::genuine(SigningKey::Vcek, self.product.as_str(), tcb) }
    }

    /// The VLEK certificate AMD would issue to a provider at `tcb`.
    #[must_use]
    pub fn vlek(&self, tcb: Tcb, csp_id: &str) -> VekSpec {
        VekSpec { csp_id: Some(csp_id.to_owned()), ..VekSpec::genuine(SigningKey::Vlek, self.product.as_str(), tcb) }
    }

    /// Issue an endorsement key certificate.
    #[must_use]
    pub fn vek_der(&self, spec: &VekSpec) -> Vec<u8> {
        let body = CertificateBody {
            serial: SERIAL_VEK,
            issuer: &self.name_of(spec.issuer_name),
            subject: &self.name(&spec.common_name),
            not_before: spec.not_before,
            not_after: spec.not_after,
            spki: ec_spki(self.vek_key.public_key().as_ref(), spec.key),
            extensions: spec.extensions(),
        };
        certificate::issue(&body, self.key_of(spec.signed_by), spec.scheme)
    }

    /// Issue the root or an intermediate, with other dates or without the right to issue.
    #[must_use]
    pub fn ca_der(&self, which: Issuer, not_before: UnixTime, not_after: UnixTime, is_ca: bool) -> Vec<u8> {
        let serial = match which {
            Issuer::Ark => SERIAL_ARK,
            Issuer::Ask => SERIAL_ASK,
            Issuer::Asvk => SERIAL_ASVK,
        };
        let body = CertificateBody {
            serial,
            issuer: &self.name_of(Issuer::Ark),
            subject: &self.name_of(which),
            not_before,
            not_after,
            spki: rsa_spki(self.key_of(which).public_key().as_ref()),
            extensions: ca_extensions(is_ca),
        };
        certificate::issue(&body, &self.ark_key, SignatureScheme::PssSha384)
    }

    /// A revocation list issued at `this_update` that revokes these certificates.
    #[must_use]
    pub fn crl_der(&self, revoked: &[Issuer], this_update: UnixTime) -> Vec<u8> {
        let serial = |issuer: &Issuer| match issuer {
            Issuer::Ark => SERIAL_ARK,
            Issuer::Ask => SERIAL_ASK,
            Issuer::Asvk => SERIAL_ASVK,
        };
        let revoked_serials = revoked.iter().map(serial).collect();
        self.crl_from(&CrlSpec { revoked_serials, ..CrlSpec::empty(this_update) })
    }

    /// Issue a revocation list.
    #[must_use]
    pub fn crl_from(&self, spec: &CrlSpec) -> Vec<u8> {
        certificate::issue_crl(spec, &self.name_of(spec.issuer_name), self.key_of(spec.signed_by))
    }

    /// What a node hands out beside its report: VCEK, ASK, root, and an empty revocation list issued at `crl_issued`.
    #[must_use]
    pub fn endorsements(&self, crl_issued: UnixTime) -> SnpEndorsements {
        SnpEndorsements {
            vek: Base64(self.vcek_der()),
            intermediate: Base64(self.ask.clone()),
            root: Base64(self.ark.clone()),
            crl: Some(Base64(self.crl_der(&[], crl_issued))),
        }
    }

    /// The simulated chip's id, as a report carries it: derived from its key, zero-extended where the product's is short.
    #[must_use]
    pub fn chip_id(&self) -> [u8; 64] {
        let hash = digest(&SHA512, self.vek_key.public_key().as_ref());
        let mut chip_id = [0; 64];
        for (slot, byte) in chip_id.iter_mut().zip(hash.as_ref().iter().take(self.product.chip_id_len())) {
            *slot = *byte;
        }
        chip_id
    }

    /// ECDSA P-384/SHA-384 by the endorsement key: r ‖ s, big endian.
    pub(crate) fn sign_report(&self, signed: &[u8]) -> Vec<u8> {
        let signature = self.vek_key.sign(&SystemRandom::new(), signed);
        signature.expect("invariant: a P-384 key signs any message").as_ref().to_vec()
    }

    fn key_of(&self, issuer: Issuer) -> &rsa::KeyPair {
        match issuer {
            Issuer::Ark => &self.ark_key,
            Issuer::Ask | Issuer::Asvk => &self.ask_key,
        }
    }

    fn name_of(&self, issuer: Issuer) -> Vec<u8> {
        let product = self.product;
        match issuer {
            Issuer::Ark => self.name(&format!("ARK-{product}")),
            Issuer::Ask => self.name(&format!("SEV-{product}")),
            Issuer::Asvk => self.name(&format!("SEV-VLEK-{product}")),
        }
    }

    fn name(&self, common_name: &str) -> Vec<u8> {
        if self.name_prefix.is_empty() {
            return certificate::name("A test TEE, not hardware", common_name);
        }
        let organisation = format!("Cloister {} TEE, not hardware", self.name_prefix);
        certificate::name(&organisation, &format!("{} {common_name}", self.name_prefix))
    }
}

fn pkcs8_rsa(key: &rsa::KeyPair) -> Result<Vec<u8>, TestPkiError> {
    key.as_der().map(|der| der.as_ref().to_vec()).map_err(|_| TestPkiError::Key)
}

fn pkcs8_ec(key: &EcdsaKeyPair) -> Result<Vec<u8>, TestPkiError> {
    key.to_pkcs8v1().map(|der| der.as_ref().to_vec()).map_err(|_| TestPkiError::Key)
}

fn read_rsa(pkcs8: &[u8]) -> Result<rsa::KeyPair, TestPkiError> {
    rsa::KeyPair::from_pkcs8(pkcs8).map_err(|_| TestPkiError::Key)
}

fn read_ec(pkcs8: &[u8]) -> Result<EcdsaKeyPair, TestPkiError> {
    EcdsaKeyPair::from_pkcs8(&ECDSA_P384_SHA384_FIXED_SIGNING, pkcs8).map_err(|_| TestPkiError::Key)
}

/// A certificate as PEM.
pub fn pem(der: &[u8]) -> String {
    let text = serde_json::to_string(&Base64(der.to_vec())).unwrap_or_default();
    let text = text.trim_matches('"');
    let mut pem = String::from("-----BEGIN CERTIFICATE-----\n");
    let mut rest = text;
    while !rest.is_empty() {
        let (line, tail) = rest.split_at_checked(64).unwrap_or((rest, ""));
        pem.push_str(line);
        pem.push('\n');
        rest = tail;
    }
    pem.push_str("-----END CERTIFICATE-----\n");
    pem
}
