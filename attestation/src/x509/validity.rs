//! When a certificate is valid, kept apart from the certificate.
//!
//! Decides: whether a time is inside the period. A verified chain may be remembered; its dates may not, so they are kept
//! in this form and asked again at every use (RFC 5280 §4.1.2.5).

use x509_parser::certificate::X509Certificate;

use super::{ChainFault, Link, unix_time};
use crate::time::UnixTime;

/// The validity period of one certificate, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Validity {
    link: Link,
    not_before: UnixTime,
    not_after: UnixTime,
}

impl Validity {
    /// The period a certificate states.
    pub(crate) fn of(link: Link, certificate: &X509Certificate<'_>) -> Self {
        let validity = certificate.validity();
        Self { link, not_before: unix_time(validity.not_before), not_after: unix_time(validity.not_after) }
    }

    /// Whether `now` is inside.
    pub(crate) fn require(&self, now: UnixTime) -> Result<(), ChainFault> {
        let Self { link, not_before, not_after } = *self;
        if now < not_before {
            return Err(ChainFault::NotYetValid { link, not_before, now });
        }
        if now > not_after {
            return Err(ChainFault::Expired { link, not_after, now });
        }
        Ok(())
    }
}
