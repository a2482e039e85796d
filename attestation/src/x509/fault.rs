//! What can be wrong with a certificate, a chain or a revocation list, whoever the vendor is.
//!
//! Decides: the vocabulary. A fault names the [`Link`] it is about, so that one set of codes serves every platform.

use std::fmt;

use crate::rejection::codes;
use crate::time::UnixTime;

/// Why a chain was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ChainFault {
    /// A certificate or revocation list does not parse, or something trails it.
    #[error("the {link} is malformed")]
    Malformed {
        /// Which one.
        link: Link,
    },
    /// No trusted root matches the chain.
    #[error("the chain does not end in a trusted root for {place}")]
    RootUnknown {
        /// Whose root was looked for.
        place: String,
    },
    /// The chain does not have the number of certificates its kind always has.
    #[error("the chain of the {link} has {got} certificates, expected {expected}")]
    Length {
        /// The chain's last certificate.
        link: Link,
        /// How many were found.
        got: usize,
        /// How many there must be.
        expected: usize,
    },
    /// A subject or issuer name is not the one its place in the chain requires.
    #[error("the {link} has name {got:?} where {expected:?} is required")]
    Name {
        /// Which certificate.
        link: Link,
        /// Name required.
        expected: String,
        /// Name found.
        got: String,
    },
    /// The signature algorithm is not the vendor's, with exactly its parameters.
    #[error("the {link} is not signed with the algorithm its vendor uses")]
    Algorithm {
        /// Which certificate.
        link: Link,
    },
    /// The public key is not of the type its place requires.
    #[error("the {link} does not hold the required type of key")]
    Key {
        /// Which certificate.
        link: Link,
    },
    /// The issuer did not sign this.
    #[error("the signature on the {link} does not verify")]
    Signature {
        /// Which certificate.
        link: Link,
    },
    /// The validity period has not begun.
    #[error("the {link} is not valid before {not_before}, it is {now}")]
    NotYetValid {
        /// Which certificate.
        link: Link,
        /// Start of validity.
        not_before: UnixTime,
        /// Time of evaluation.
        now: UnixTime,
    },
    /// The validity period is over.
    #[error("the {link} expired at {not_after}, it is {now}")]
    Expired {
        /// Which certificate.
        link: Link,
        /// End of validity.
        not_after: UnixTime,
        /// Time of evaluation.
        now: UnixTime,
    },
    /// Basic constraints, path length or key usage forbid the certificate's role.
    #[error("the {link} may not act in this place of the chain")]
    Role {
        /// Which certificate.
        link: Link,
    },
    /// A critical extension is not understood.
    #[error("the {link} has an unknown critical extension {oid}")]
    CriticalExtension {
        /// Which certificate.
        link: Link,
        /// The extension.
        oid: String,
    },
    /// The policy requires a revocation list and none was given.
    #[error("the {link} was not given")]
    CrlMissing {
        /// Which list.
        link: Link,
    },
    /// The list's validity period has not begun.
    #[error("the {link} is not valid before {this_update}, it is {now}")]
    CrlNotYetValid {
        /// Which list.
        link: Link,
        /// Issue time.
        this_update: UnixTime,
        /// Time of evaluation.
        now: UnixTime,
    },
    /// A newer list must exist.
    #[error("the {link} expired at {next_update}, it is {now}")]
    CrlExpired {
        /// Which list.
        link: Link,
        /// When the next was due.
        next_update: UnixTime,
        /// Time of evaluation.
        now: UnixTime,
    },
    /// The list is older than the policy allows.
    #[error("the {link} is {age_secs} seconds old, the policy allows {maximum_secs}")]
    CrlTooOld {
        /// Which list.
        link: Link,
        /// Its age.
        age_secs: u64,
        /// The policy's limit.
        maximum_secs: u64,
    },
    /// A certificate of the chain is revoked.
    #[error("the {link} is revoked")]
    Revoked {
        /// Which certificate.
        link: Link,
    },
}

codes! { ChainFault {
    Malformed => "chain.malformed", Malformed;
    RootUnknown => "chain.root_unknown", Rejected;
    Length => "chain.length", Rejected;
    Name => "chain.name", Rejected;
    Algorithm => "chain.algorithm", Rejected;
    Key => "chain.key", Rejected;
    Signature => "chain.signature", Rejected;
    NotYetValid => "chain.not_yet_valid", Rejected;
    Expired => "chain.expired", Rejected;
    Role => "chain.role", Rejected;
    CriticalExtension => "chain.critical_extension", Rejected;
    CrlMissing => "crl.missing", Rejected;
    CrlNotYetValid => "crl.not_yet_valid", Rejected;
    CrlExpired => "crl.expired", Rejected;
    CrlTooOld => "crl.too_old", Rejected;
    Revoked => "crl.revoked", Rejected;
} }

/// Which certificate or list a chain fault is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Link {
    /// AMD root key certificate.
    Ark,
    /// AMD intermediate (ASK or ASVK).
    Intermediate,
    /// AMD versioned endorsement key (VCEK or VLEK).
    Vek,
    /// Revocation list of the AMD root.
    Crl,
    /// Intel SGX root.
    IntelRoot,
    /// Intel PCK Platform or Processor CA.
    PckCa,
    /// Intel provisioning certification key of one platform.
    Pck,
    /// Intel's signer of TCB information and identities.
    TcbSigning,
    /// Revocation list of the Intel root.
    IntelRootCrl,
    /// Revocation list of the PCK CA.
    PckCrl,
    /// NVIDIA device identity root.
    DeviceRoot,
    /// NVIDIA device chain, certificate below the root.
    DeviceIdentity,
    /// NVIDIA device chain, provisioner of one chip family.
    DeviceProvisioner,
    /// NVIDIA device chain, boot ROM of one device.
    DeviceBrom,
    /// NVIDIA device chain, the key that signs reports.
    DeviceLeaf,
    /// NVIDIA root of reference manifests.
    RimRoot,
    /// NVIDIA chain of a reference manifest, certificates between root and signer.
    RimCa,
    /// NVIDIA signer of a reference manifest.
    RimSigner,
    /// Signer of an OCSP response that is not the issuer itself.
    OcspDelegate,
    /// Root of Azure's virtual TPMs.
    VtpmRoot,
    /// Azure virtual TPM chain, certificates between root and attestation key.
    VtpmCa,
    /// Azure virtual TPM attestation key.
    VtpmAk,
}

impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ark => "AMD root certificate",
            Self::Intermediate => "AMD intermediate certificate",
            Self::Vek => "AMD endorsement key certificate",
            Self::Crl => "AMD revocation list",
            Self::IntelRoot => "Intel root certificate",
            Self::PckCa => "PCK CA certificate",
            Self::Pck => "PCK certificate",
            Self::TcbSigning => "TCB signing certificate",
            Self::IntelRootCrl => "Intel root revocation list",
            Self::PckCrl => "PCK revocation list",
            Self::DeviceRoot => "NVIDIA device root certificate",
            Self::DeviceIdentity => "NVIDIA device identity certificate",
            Self::DeviceProvisioner => "NVIDIA provisioner certificate",
            Self::DeviceBrom => "NVIDIA boot ROM certificate",
            Self::DeviceLeaf => "NVIDIA attestation key certificate",
            Self::RimRoot => "NVIDIA manifest root certificate",
            Self::RimCa => "NVIDIA manifest CA certificate",
            Self::RimSigner => "NVIDIA manifest signer certificate",
            Self::OcspDelegate => "OCSP responder certificate",
            Self::VtpmRoot => "Azure vTPM root certificate",
            Self::VtpmCa => "Azure vTPM CA certificate",
            Self::VtpmAk => "Azure vTPM attestation key certificate",
        })
    }
}
