//! The small enumerations rejections name things with.
//!
//! Decides: only wording.

use std::fmt;

/// Which of the report's four TCB versions a rejection is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TcbKind {
    /// What the running firmware is.
    Current,
    /// What the endorsement key certifies.
    Reported,
    /// What can no longer be rolled back.
    Committed,
    /// What was current when the guest started.
    Launch,
}

impl fmt::Display for TcbKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Current => "current",
            Self::Reported => "reported",
            Self::Committed => "committed",
            Self::Launch => "launch",
        })
    }
}

/// A bit of PLATFORM_INFO (SNP ABI table "PLATFORM_INFO Field").
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PlatformItem {
    /// Bit 0.
    Smt,
    /// Bit 1: transparent memory encryption of everything else.
    Tsme,
    /// Bit 2.
    Ecc,
    /// Bit 3: running-average power limiting is off.
    RaplDisabled,
    /// Bit 4: DRAM ciphertext hiding.
    CiphertextHiding,
    /// Bit 5: memory aliasing was checked at boot (CVE-2024-21944).
    AliasCheck,
    /// Bit 7: trusted I/O.
    Tio,
}

impl fmt::Display for PlatformItem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Smt => "SMT",
            Self::Tsme => "TSME",
            Self::Ecc => "ECC",
            Self::RaplDisabled => "RAPL disabled",
            Self::CiphertextHiding => "ciphertext hiding",
            Self::AliasCheck => "alias check complete",
            Self::Tio => "trusted I/O",
        })
    }
}
