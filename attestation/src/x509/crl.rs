//! Certificate revocation lists (RFC 5280 §5).
//!
//! Decides: whether an issuer revoked a certificate. Revocation is real: AMD revoked the first Genoa ASK in 2022.
//! Trusts only the issuer's key it is given; the list itself arrives from anyone.

use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;
use x509_parser::revocation_list::CertificateRevocationList;

use super::{ChainFault, Link, Scheme, SignedObject, unix_time};
use crate::time::UnixTime;

/// A complete revocation list whose issuer's signature was verified.
pub(crate) struct RevocationList<'a> {
    link: Link,
    list: CertificateRevocationList<'a>,
}

impl<'a> RevocationList<'a> {
    /// Parse and verify a complete list of `issuer`.
    pub(crate) fn verified(
        link: Link,
        der: &'a [u8],
        issuer: &X509Certificate<'_>,
        issuer_link: Link,
        scheme: Scheme,
    ) -> Result<Self, ChainFault> {
        let Ok(([], list)) = CertificateRevocationList::from_der(der) else {
            return Err(ChainFault::Malformed { link });
        };
        if list.issuer().as_raw() != issuer.subject().as_raw() {
            let (expected, got) = (issuer.subject().to_string(), list.issuer().to_string());
            return Err(ChainFault::Name { link, expected, got });
        }
        let object = SignedObject {
            link,
            der,
            signed: list.tbs_cert_list.as_ref(),
            inner_algorithm: &list.tbs_cert_list.signature,
            outer_algorithm: &list.signature_algorithm,
            signature: &list.signature_value,
        };
        object.verify(scheme, issuer.public_key(), issuer_link)?;
        // RFC 5280 §5.2: a delta or partitioned list says so in a critical extension; such a list proves no absence.
        if let Some(extension) = list.extensions().iter().find(|extension| extension.critical) {
            return Err(ChainFault::CriticalExtension { link, oid: extension.oid.to_id_string() });
        }
        Ok(Self { link, list })
    }

    /// When the list was issued and when the next is due, kept so that it can be asked again without the list.
    /// RFC 5280 §5.1.2.5 requires nextUpdate; without it a list would be fresh for ever.
    pub(crate) fn dates(&self) -> Result<CrlDates, ChainFault> {
        let next_update = self.list.next_update().ok_or(ChainFault::Malformed { link: self.link })?;
        let this_update = unix_time(self.list.last_update());
        Ok(CrlDates { link: self.link, this_update, next_update: unix_time(next_update) })
    }

    /// Whether `now` is inside the list's own window and the list is not older than `max_age_secs`.
    pub(crate) fn require_fresh(&self, now: UnixTime, max_age_secs: u64) -> Result<(), ChainFault> {
        self.dates()?.require_fresh(now, max_age_secs)
    }

    /// The serial numbers on the list, big endian without leading zeros.
    pub(crate) fn revoked_serials(&self) -> Vec<Vec<u8>> {
        self.list.iter_revoked_certificates().map(|entry| entry.serial().to_bytes_be()).collect()
    }

    /// Whether `certificate` is not on the list.
    pub(crate) fn require_absent(&self, link: Link, certificate: &X509Certificate<'_>) -> Result<(), ChainFault> {
        let serial = &certificate.tbs_certificate.serial;
        if self.list.iter_revoked_certificates().any(|entry| entry.serial() == serial) {
            return Err(ChainFault::Revoked { link });
        }
        Ok(())
    }
}

/// When a revocation list was issued and when the next is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CrlDates {
    link: Link,
    this_update: UnixTime,
    next_update: UnixTime,
}

impl CrlDates {
    /// Whether `now` is inside the list's own window and the list is not older than `max_age_secs`.
    pub(crate) fn require_fresh(&self, now: UnixTime, max_age_secs: u64) -> Result<(), ChainFault> {
        let Self { link, this_update, next_update } = *self;
        if now < this_update {
            return Err(ChainFault::CrlNotYetValid { link, this_update, now });
        }
        if now > next_update {
            return Err(ChainFault::CrlExpired { link, next_update, now });
        }
        let age_secs = now.secs_since(this_update);
        if age_secs > max_age_secs {
            return Err(ChainFault::CrlTooOld { link, age_secs, maximum_secs: max_age_secs });
        }
        Ok(())
    }
}
