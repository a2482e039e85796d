//! Certificate revocation lists (RFC 5280 §5).
//!
//! Decides: whether an issuer revoked a certificate. Revocation is real: AMD revoked the first Genoa ASK in 2022.
//! Trusts only the issuer's key it is given; the list itself arrives from anyone. Lists have hundreds of entries, of
//! which only the serial numbers matter, so they are read in place.

use x509_parser::certificate::X509Certificate;
use x509_parser::der_parser::asn1_rs::BitString;
use x509_parser::extensions::X509Extension;
use x509_parser::prelude::FromDer;
use x509_parser::time::ASN1Time;
use x509_parser::x509::{AlgorithmIdentifier, X509Name};

use super::der::{self, Der};
use super::{ChainFault, Link, Scheme, SignedObject, unix_time};
use crate::time::UnixTime;

/// A complete revocation list whose issuer's signature was verified.
pub(crate) struct RevocationList<'a> {
    link: Link,
    this_update: UnixTime,
    next_update: Option<UnixTime>,
    /// The entries, one after the other.
    entries: &'a [u8],
}

/// A list as it stands (RFC 5280 §5.1).
struct Parsed<'a> {
    signed: &'a [u8],
    inner_algorithm: AlgorithmIdentifier<'a>,
    outer_algorithm: AlgorithmIdentifier<'a>,
    signature: BitString<'a>,
    issuer: &'a [u8],
    this_update: UnixTime,
    next_update: Option<UnixTime>,
    entries: &'a [u8],
    extensions: Vec<X509Extension<'a>>,
}

impl<'a> Parsed<'a> {
    fn of(bytes: &'a [u8]) -> Option<Self> {
        const VERSION_2: &[u8] = &[1];
        let mut all = Der::new(bytes);
        let mut list = Der::new(all.value(der::SEQUENCE)?);
        let signed = list.whole(der::SEQUENCE)?;
        let outer_algorithm = exactly::<AlgorithmIdentifier<'_>>(list.whole(der::SEQUENCE)?)?;
        let (rest, signature) = BitString::from_der(list.whole(der::BIT_STRING)?).ok()?;
        let mut tbs = Der::new(Der::new(signed).value(der::SEQUENCE)?);
        if tbs.next_is(der::INTEGER) && tbs.value(der::INTEGER)? != VERSION_2 {
            return None;
        }
        let inner_algorithm = exactly::<AlgorithmIdentifier<'_>>(tbs.whole(der::SEQUENCE)?)?;
        let issuer = tbs.whole(der::SEQUENCE)?;
        let this_update = time(&mut tbs)?;
        let has_next = tbs.next_is(der::UTC_TIME) || tbs.next_is(der::GENERALIZED_TIME);
        let next_update = if has_next { Some(time(&mut tbs)?) } else { None };
        let entries = if tbs.next_is(der::SEQUENCE) { tbs.value(der::SEQUENCE)? } else { &[] };
        let extensions = if tbs.next_is(der::CONTEXT_0) { extensions(&mut tbs)? } else { Vec::new() };
        let ends = rest.is_empty() && tbs.is_empty() && list.is_empty() && all.is_empty();
        let readable = Entries(Der::new(entries)).all(|serial| serial.is_some());
        (ends && readable).then_some(Self {
            signed,
            inner_algorithm,
            outer_algorithm,
            signature,
            issuer,
            this_update,
            next_update,
            entries,
            extensions,
        })
    }
}

/// A value of x509-parser's that is all of `bytes`.
fn exactly<'a, T: FromDer<'a, x509_parser::error::X509Error>>(bytes: &'a [u8]) -> Option<T> {
    match T::from_der(bytes) {
        Ok(([], value)) => Some(value),
        _ => None,
    }
}

fn time(tbs: &mut Der<'_>) -> Option<UnixTime> {
    let tag = if tbs.next_is(der::UTC_TIME) { der::UTC_TIME } else { der::GENERALIZED_TIME };
    exactly::<ASN1Time>(tbs.whole(tag)?).map(unix_time)
}

fn extensions<'a>(tbs: &mut Der<'a>) -> Option<Vec<X509Extension<'a>>> {
    let mut explicit = Der::new(tbs.value(der::CONTEXT_0)?);
    let mut all = Der::new(explicit.value(der::SEQUENCE)?);
    let mut extensions = Vec::new();
    while !all.is_empty() {
        extensions.push(exactly(all.whole(der::SEQUENCE)?)?);
    }
    explicit.is_empty().then_some(extensions)
}

/// The serial numbers of the entries; `None` is an entry that cannot be read, and the last item.
struct Entries<'a>(Der<'a>);

impl<'a> Iterator for Entries<'a> {
    type Item = Option<&'a [u8]>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let serial = self.0.value(der::SEQUENCE).and_then(|entry| Der::new(entry).value(der::INTEGER));
        if serial.is_none() {
            self.0 = Der::new(&[]);
        }
        Some(serial.map(significant))
    }
}

/// The bytes of an INTEGER without leading zeros, so that numbers compare as numbers.
fn significant(serial: &[u8]) -> &[u8] {
    let zeros = serial.iter().take_while(|byte| **byte == 0).count();
    serial.get(zeros..).unwrap_or_default()
}

/// The serial number of a certificate as [`RevocationList::revoked_serials`] has them.
pub(crate) fn serial_of<'a>(certificate: &'a X509Certificate<'_>) -> &'a [u8] {
    significant(certificate.tbs_certificate.raw_serial())
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
        let list = Parsed::of(der).ok_or(ChainFault::Malformed { link })?;
        if list.issuer != issuer.subject().as_raw() {
            let got = exactly::<X509Name<'_>>(list.issuer).ok_or(ChainFault::Malformed { link })?;
            return Err(ChainFault::Name { link, expected: issuer.subject().to_string(), got: got.to_string() });
        }
        let object = SignedObject {
            link,
            der,
            signed: list.signed,
            inner_algorithm: &list.inner_algorithm,
            outer_algorithm: &list.outer_algorithm,
            signature: &list.signature,
        };
        object.verify(scheme, issuer.public_key(), issuer_link)?;
        // RFC 5280 §5.2: a delta or partitioned list says so in a critical extension; such a list proves no absence.
        if let Some(extension) = list.extensions.iter().find(|extension| extension.critical) {
            return Err(ChainFault::CriticalExtension { link, oid: extension.oid.to_id_string() });
        }
        let Parsed { this_update, next_update, entries, .. } = list;
        Ok(Self { link, this_update, next_update, entries })
    }

    /// When the list was issued and when the next is due, kept so that it can be asked again without the list.
    /// RFC 5280 §5.1.2.5 requires nextUpdate; without it a list would be fresh for ever.
    pub(crate) fn dates(&self) -> Result<CrlDates, ChainFault> {
        let next_update = self.next_update.ok_or(ChainFault::Malformed { link: self.link })?;
        Ok(CrlDates { link: self.link, this_update: self.this_update, next_update })
    }

    /// The serial numbers on the list, big endian without leading zeros.
    pub(crate) fn revoked_serials(&self) -> Vec<Vec<u8>> {
        Entries(Der::new(self.entries)).flatten().map(<[u8]>::to_vec).collect()
    }

    /// Whether `certificate` is not on the list.
    pub(crate) fn require_absent(&self, link: Link, certificate: &X509Certificate<'_>) -> Result<(), ChainFault> {
        let serial = serial_of(certificate);
        let listed = Entries(Der::new(self.entries)).flatten().any(|entry| entry == serial);
        if listed { Err(ChainFault::Revoked { link }) } else { Ok(()) }
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
