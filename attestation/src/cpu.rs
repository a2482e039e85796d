//! Claims about a CPU, whichever vendor's: what a document's appraisal and its channel binding need of either.
//!
//! Decides: nothing.

use crate::result::Claim;
use crate::snp::SnpClaims;
use crate::tdx::TdxClaims;

/// What accepted CPU evidence says.
#[derive(Debug)]
pub enum CpuClaims {
    /// AMD SEV-SNP.
    Snp(Box<SnpClaims>),
    /// Intel TDX.
    Tdx(Box<TdxClaims>),
}

impl CpuClaims {
    /// The 64 bytes the guest asked to have signed.
    #[must_use]
    pub fn report_data(&self) -> &[u8; 64] {
        match self {
            Self::Snp(claims) => &claims.report().report_data,
            Self::Tdx(claims) => claims.report_data(),
        }
    }

    /// What the guest was launched from, hex: the SNP launch digest, or MRTD.
    #[must_use]
    pub fn launch_digest(&self) -> String {
        match self {
            Self::Snp(claims) => hex::encode(claims.report().measurement),
            Self::Tdx(claims) => hex::encode(claims.quote().body.mr_td),
        }
    }

    /// Which machine, hex: CHIP_ID (all zero when masked), or PPID.
    #[must_use]
    pub fn machine_id(&self) -> String {
        match self {
            Self::Snp(claims) => hex::encode(claims.report().chip_id),
            Self::Tdx(claims) => hex::encode(claims.ppid()),
        }
    }

    /// What kind of machine: AMD's product line, or Intel's FMSPC.
    #[must_use]
    pub fn product(&self) -> String {
        match self {
            Self::Snp(claims) => claims.product().to_string(),
            Self::Tdx(claims) => format!("TDX {}", hex::encode(claims.fmspc())),
        }
    }

    /// Its firmware: reported TCB, or TCB status.
    #[must_use]
    pub fn tcb(&self) -> String {
        match self {
            Self::Snp(claims) => claims.reported_tcb().to_string(),
            Self::Tdx(claims) => claims.status().to_string(),
        }
    }

    /// The claims, for an attestation result.
    #[must_use]
    pub fn claims(&self) -> Vec<Claim> {
        match self {
            Self::Snp(claims) => claims.claims(),
            Self::Tdx(claims) => claims.claims(),
        }
    }

    /// Items the policy leaves unchecked.
    #[must_use]
    pub fn unchecked(&self) -> &[&'static str] {
        match self {
            Self::Snp(claims) => claims.unchecked(),
            Self::Tdx(claims) => claims.unchecked(),
        }
    }
}
