//! AMD's extensions of an endorsement key certificate (57230 §3.1, arc 1.3.6.1.4.1.3704.1).
//!
//! Decides: which product, TCB and chip (or cloud provider) the key is for. The certificate's signature is checked
//! elsewhere; nothing here is trusted before that.

use x509_parser::certificate::X509Certificate;
use x509_parser::der_parser::asn1_rs::{FromDer as _, Ia5String, Integer};
use x509_parser::oid_registry::Oid;

use crate::rejection::Rejection;
use crate::snp::{Product, SigningKey, Tcb};

const PRODUCT_NAME: &str = "1.3.6.1.4.1.3704.1.2";
const SPL_BOOT_LOADER: &str = "1.3.6.1.4.1.3704.1.3.1";
const SPL_TEE: &str = "1.3.6.1.4.1.3704.1.3.2";
const SPL_SNP: &str = "1.3.6.1.4.1.3704.1.3.3";
const SPL_MICROCODE: &str = "1.3.6.1.4.1.3704.1.3.8";
const SPL_FMC: &str = "1.3.6.1.4.1.3704.1.3.9";
const HWID: &str = "1.3.6.1.4.1.3704.1.4";
const CSP_ID: &str = "1.3.6.1.4.1.3704.1.5";

/// What an endorsement key is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct VekFacts {
    /// The product line.
    pub(crate) product: Product,
    /// The TCB the key was derived for.
    pub(crate) tcb: Tcb,
    /// Whom the key belongs to.
    pub(crate) owner: VekOwner,
}

/// Whom an endorsement key belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum VekOwner {
    /// A VCEK: one chip.
    Chip(Vec<u8>),
    /// A VLEK: one cloud provider.
    CloudProvider(String),
}

/// Read the extensions of a certificate of kind `kind`.
pub(crate) fn read(certificate: &X509Certificate<'_>, kind: SigningKey) -> Result<VekFacts, Rejection> {
    let product = product(certificate)?;
    let fmc = match product {
        Product::Milan | Product::Genoa => None,
        Product::Turin => Some(small_integer(certificate, SPL_FMC)?),
    };
    let tcb = Tcb {
        fmc,
        boot_loader: small_integer(certificate, SPL_BOOT_LOADER)?,
        tee: small_integer(certificate, SPL_TEE)?,
        snp: small_integer(certificate, SPL_SNP)?,
        microcode: small_integer(certificate, SPL_MICROCODE)?,
    };
    let owner = match kind {
        // The chip id is the bare content of the extension, not a nested DER value.
        SigningKey::Vcek => VekOwner::Chip(require(certificate, HWID)?.to_vec()),
        SigningKey::Vlek => VekOwner::CloudProvider(ia5_string(certificate, CSP_ID)?),
    };
    Ok(VekFacts { product, tcb, owner })
}

/// The product name, without the stepping some VCEKs append (`Milan-B0`).
fn product(certificate: &X509Certificate<'_>) -> Result<Product, Rejection> {
    let name = ia5_string(certificate, PRODUCT_NAME)?;
    let line = name.split_once('-').map_or(name.as_str(), |(line, _)| line);
    line.parse().map_err(|_| Rejection::ExtensionMalformed { oid: PRODUCT_NAME })
}

fn ia5_string(certificate: &X509Certificate<'_>, oid: &'static str) -> Result<String, Rejection> {
    match Ia5String::from_der(require(certificate, oid)?) {
        Ok(([], text)) => Ok(text.string()),
        _ => Err(Rejection::ExtensionMalformed { oid }),
    }
}

/// An INTEGER of 0 to 255.
fn small_integer(certificate: &X509Certificate<'_>, oid: &'static str) -> Result<u8, Rejection> {
    let malformed = Rejection::ExtensionMalformed { oid };
    match Integer::from_der(require(certificate, oid)?) {
        Ok(([], integer)) => integer.as_u8().map_err(|_| malformed),
        _ => Err(malformed),
    }
}

/// The content of the only extension with this id.
fn require<'a>(certificate: &'a X509Certificate<'_>, oid: &'static str) -> Result<&'a [u8], Rejection> {
    let wanted = certificate.extensions().iter().filter(|extension| is(&extension.oid, oid));
    let mut contents = wanted.map(|extension| extension.value);
    match (contents.next(), contents.next()) {
        (Some(content), None) => Ok(content),
        (None, _) => Err(Rejection::ExtensionMissing { oid }),
        (Some(_), Some(_)) => Err(Rejection::ExtensionMalformed { oid }),
    }
}

/// The arc 1.3.6.1.4.1.3704.1 (X.690 §8.19).
const ARC: &str = "1.3.6.1.4.1.3704.1.";
const ARC_DER: &[u8] = &[0x2b, 0x06, 0x01, 0x04, 0x01, 0x9c, 0x78, 0x01];

/// Whether `found` is `wanted`, which is under [`ARC`] and whose further numbers have one digit, and so one byte each.
fn is(found: &Oid<'_>, wanted: &str) -> bool {
    let (Some(found), Some(wanted)) = (found.as_bytes().strip_prefix(ARC_DER), wanted.strip_prefix(ARC)) else {
        return false;
    };
    found.iter().map(|byte| byte.checked_add(b'0')).eq(wanted.split('.').map(|digit| digit.bytes().next()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_compared_as_they_are_encoded() {
        let all = [PRODUCT_NAME, SPL_BOOT_LOADER, SPL_TEE, SPL_SNP, SPL_MICROCODE, SPL_FMC, HWID, CSP_ID];
        for wanted in all {
            let encoded: Oid<'_> = wanted.parse().unwrap();
            for other in all {
                assert_eq!(is(&encoded, other), wanted == other, "{wanted} {other}");
            }
        }
        for foreign in ["1.3.6.1.4.1.3704.1", "1.3.6.1.4.1.3704.1.2.1", "1.3.6.1.4.1.3704.2.2", "2.5.29.19"] {
            let encoded: Oid<'_> = foreign.parse().unwrap();
            assert!(!all.iter().any(|wanted| is(&encoded, wanted)), "{foreign}");
        }
    }
}
