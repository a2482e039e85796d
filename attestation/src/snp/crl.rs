//! The root's certificate revocation list (RFC 5280 §5).
//!
//! Decides: whether the root revoked the intermediate. Revocation is real: AMD revoked the first Genoa ASK in 2022.
//! Trusts only the root key it is given; the list itself arrives from anyone.

use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;
use x509_parser::revocation_list::CertificateRevocationList;

use crate::rejection::{Link, Rejection};
use crate::snp::x509::{self, SignedObject};
use crate::time::UnixTime;

/// Verify the list and look for `intermediate` (and the root itself) in it.
pub(crate) fn verify_not_revoked(
    crl: &[u8],
    root: &X509Certificate<'_>,
    intermediate: &X509Certificate<'_>,
    now: UnixTime,
    max_age_secs: u64,
) -> Result<(), Rejection> {
    let Ok(([], list)) = CertificateRevocationList::from_der(crl) else {
        return Err(Rejection::CertificateMalformed { link: Link::Crl });
    };
    verify_issued_by(crl, &list, root)?;
    require_fresh(&list, now, max_age_secs)?;
    for (link, certificate) in [(Link::Intermediate, intermediate), (Link::Ark, root)] {
        if list.iter_revoked_certificates().any(|entry| *entry.serial() == certificate.tbs_certificate.serial) {
            return Err(Rejection::Revoked { link });
        }
    }
    Ok(())
}

fn verify_issued_by(
    der: &[u8],
    crl: &CertificateRevocationList<'_>,
    root: &X509Certificate<'_>,
) -> Result<(), Rejection> {
    let link = Link::Crl;
    if crl.issuer().as_raw() != root.subject().as_raw() {
        let text = |name: &x509_parser::x509::X509Name<'_>| name.to_string();
        return Err(Rejection::CertificateName { link, expected: text(root.subject()), got: text(crl.issuer()) });
    }
    let object = SignedObject {
        link,
        der,
        signed: crl.tbs_cert_list.as_ref(),
        inner_algorithm: &crl.tbs_cert_list.signature,
        outer_algorithm: &crl.signature_algorithm,
        signature: &crl.signature_value,
    };
    object.verify(root.public_key(), Link::Ark)?;
    // RFC 5280 §5.2: a delta or partitioned list says so in a critical extension; such a list proves no absence.
    if let Some(extension) = crl.extensions().iter().find(|extension| extension.critical) {
        return Err(Rejection::CertificateCriticalExtension { link, oid: extension.oid.to_id_string() });
    }
    Ok(())
}

fn require_fresh(crl: &CertificateRevocationList<'_>, now: UnixTime, max_age_secs: u64) -> Result<(), Rejection> {
    let this_update = x509::unix_time(crl.last_update());
    // RFC 5280 §5.1.2.5 requires nextUpdate; without it a list would be fresh for ever.
    let next_update = crl.next_update().map(x509::unix_time);
    let next_update = next_update.ok_or(Rejection::CertificateMalformed { link: Link::Crl })?;
    if now < this_update {
        return Err(Rejection::CrlNotYetValid { this_update, now });
    }
    if now > next_update {
        return Err(Rejection::CrlExpired { next_update, now });
    }
    let age_secs = now.secs_since(this_update);
    if age_secs > max_age_secs {
        return Err(Rejection::CrlTooOld { age_secs, maximum_secs: max_age_secs });
    }
    Ok(())
}
