//! TCB levels: which one a platform, its TDX module and its quoting enclave meet, and what that means together
//! (PCS API v4, "Get TDX TCB Info"; Intel TDX DCAP Quote Verification, "TCB status").
//!
//! Decides: one status for the whole. Trusts the statements and the report it is given, which are verified. A status
//! is never better than that of its worst part, and a revoked part is refused here, whatever the policy.

use std::fmt;

use serde::Deserialize;

use crate::tdx::statements::{Component, IsvTcb, Level, TcbInfo};
use crate::tdx::{PckFacts, TdReport, TdxRejection};
use crate::time::UnixTime;

/// What Intel says about a TCB, and the two conclusions about TDs that outlived an update of their TDX module.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
pub enum TcbStatus {
    /// Nothing is known to be wrong.
    UpToDate,
    /// Software in the TD must mitigate something.
    #[serde(rename = "SWHardeningNeeded")]
    SwHardeningNeeded,
    /// Firmware must be set up differently.
    ConfigurationNeeded,
    /// Both of these.
    #[serde(rename = "ConfigurationAndSWHardeningNeeded")]
    ConfigurationAndSwHardeningNeeded,
    /// The platform is current, but the TD was launched before it was.
    #[serde(rename = "TDRelaunchAdvised")]
    TdRelaunchAdvised,
    /// The same, and firmware must be set up differently.
    #[serde(rename = "TDRelaunchAdvisedConfigurationNeeded")]
    TdRelaunchAdvisedConfigurationNeeded,
    /// A newer TCB fixes something.
    OutOfDate,
    /// The same, and firmware must be set up differently.
    OutOfDateConfigurationNeeded,
    /// Keys of this TCB may be known to others. Never accepted.
    Revoked,
}

impl fmt::Display for TcbStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::UpToDate => "UpToDate",
            Self::SwHardeningNeeded => "SWHardeningNeeded",
            Self::ConfigurationNeeded => "ConfigurationNeeded",
            Self::ConfigurationAndSwHardeningNeeded => "ConfigurationAndSWHardeningNeeded",
            Self::TdRelaunchAdvised => "TDRelaunchAdvised",
            Self::TdRelaunchAdvisedConfigurationNeeded => "TDRelaunchAdvisedConfigurationNeeded",
            Self::OutOfDate => "OutOfDate",
            Self::OutOfDateConfigurationNeeded => "OutOfDateConfigurationNeeded",
            Self::Revoked => "Revoked",
        })
    }
}

impl TcbStatus {
    /// Whether this says that a newer TCB fixes something.
    #[must_use]
    pub fn is_out_of_date(self) -> bool {
        matches!(self, Self::OutOfDate | Self::OutOfDateConfigurationNeeded)
    }

    /// Whether this is one of the two conclusions that never stand in a statement.
    pub(crate) fn is_relaunch(self) -> bool {
        matches!(self, Self::TdRelaunchAdvised | Self::TdRelaunchAdvisedConfigurationNeeded)
    }

    fn needs_configuration(self) -> bool {
        matches!(
            self,
            Self::ConfigurationNeeded
                | Self::ConfigurationAndSwHardeningNeeded
                | Self::OutOfDateConfigurationNeeded
                | Self::TdRelaunchAdvisedConfigurationNeeded
        )
    }

    fn needs_hardening(self) -> bool {
        matches!(self, Self::SwHardeningNeeded | Self::ConfigurationAndSwHardeningNeeded)
    }

    /// Both at once: everything wrong with either is wrong with the whole.
    pub(crate) fn converge(self, other: Self) -> Self {
        let either = |is: fn(Self) -> bool| is(self) || is(other);
        let configuration = either(Self::needs_configuration);
        if either(|status| status == Self::Revoked) {
            Self::Revoked
        } else if either(Self::is_out_of_date) {
            if configuration { Self::OutOfDateConfigurationNeeded } else { Self::OutOfDate }
        } else if either(Self::is_relaunch) {
            if configuration { Self::TdRelaunchAdvisedConfigurationNeeded } else { Self::TdRelaunchAdvised }
        } else {
            match (configuration, either(Self::needs_hardening)) {
                (true, true) => Self::ConfigurationAndSwHardeningNeeded,
                (true, false) => Self::ConfigurationNeeded,
                (false, true) => Self::SwHardeningNeeded,
                (false, false) => Self::UpToDate,
            }
        }
    }

    /// What follows from the status at launch (`self`) and the one now.
    fn since_launch(self, now: Self) -> Self {
        if self.is_out_of_date() && !now.is_out_of_date() && now != Self::Revoked {
            let configuration = self.needs_configuration() || now.needs_configuration();
            return if configuration { Self::TdRelaunchAdvisedConfigurationNeeded } else { Self::TdRelaunchAdvised };
        }
        self.converge(now)
    }
}

/// What is known about a TCB as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TcbVerdict {
    pub(crate) status: TcbStatus,
    /// Every advisory of every level that applies, sorted.
    pub(crate) advisories: Vec<String>,
    /// Date of the oldest level that applies.
    pub(crate) date: UnixTime,
}

impl TcbVerdict {
    fn of<T>(level: &Level<T>) -> Self {
        Self { status: level.tcb_status, advisories: level.advisory_ids.clone(), date: level.tcb_date.0 }
    }

    /// This with another part that applies as well.
    fn with<T>(mut self, level: &Level<T>) -> Self {
        self.status = self.status.converge(level.tcb_status);
        self.advisories.extend_from_slice(&level.advisory_ids);
        self.date = self.date.min(level.tcb_date.0);
        self
    }

    fn sorted(mut self) -> Self {
        self.advisories.sort_unstable();
        self.advisories.dedup();
        self
    }
}

/// The verdict on platform, TDX module and quoting enclave together. `qe_level` is the level the enclave meets.
pub(crate) fn evaluate(
    info: &TcbInfo,
    pck: &PckFacts,
    report: &TdReport,
    qe_level: &Level<IsvTcb>,
) -> Result<TcbVerdict, TdxRejection> {
    let at = |svn: &[u8; 16]| -> Result<TcbVerdict, TdxRejection> {
        let platform = TcbVerdict::of(platform_level(info, pck, svn)?);
        let platform = match module_level(info, report, svn)? {
            Some(module) => platform.with(module),
            None => platform,
        };
        Ok(platform.with(qe_level))
    };
    let mut verdict = at(&report.tee_tcb_svn)?;
    if let Some(td_1_5) = &report.td_1_5 {
        let now = at(&td_1_5.tee_tcb_svn_2)?;
        verdict.status = verdict.status.since_launch(now.status);
        verdict.advisories.extend(now.advisories);
        verdict.date = verdict.date.min(now.date);
    }
    if verdict.status == TcbStatus::Revoked {
        return Err(TdxRejection::TcbRevoked);
    }
    Ok(verdict.sorted())
}

/// Version of the TDX module in a TEE_TCB_SVN; from 1 on, its SVN has levels of its own.
fn module_version(svn: &[u8; 16]) -> u8 {
    let [_, version, ..] = *svn;
    version
}

/// The first level whose every component the platform has.
fn platform_level<'a>(
    info: &'a TcbInfo,
    pck: &PckFacts,
    svn: &[u8; 16],
) -> Result<&'a Level<crate::tdx::statements::PlatformTcb>, TdxRejection> {
    // The module's own two bytes are judged by the module's identity when it has one.
    let own_bytes = if module_version(svn) == 0 { 0 } else { 2 };
    let has = |got: &[u8; 16], wanted: &[Component; 16], skip: usize| {
        got.iter().zip(wanted).skip(skip).all(|(got, wanted)| *got >= wanted.svn)
    };
    info.tcb_levels
        .iter()
        .find(|level| {
            has(&pck.components, &level.tcb.sgxtcbcomponents, 0)
                && pck.pce_svn >= level.tcb.pcesvn
                && has(svn, &level.tcb.tdxtcbcomponents, own_bytes)
        })
        .ok_or(TdxRejection::TcbNoLevel)
}

/// The level of the TDX module, which must be the module Intel names. Version 0 has no levels of its own.
fn module_level<'a>(
    info: &'a TcbInfo,
    report: &TdReport,
    svn: &[u8; 16],
) -> Result<Option<&'a Level<IsvTcb>>, TdxRejection> {
    let version = module_version(svn);
    if version == 0 {
        let module = &info.tdx_module;
        require_module(report, &module.mrsigner.0, &module.attributes.0, &module.attributes_mask.0)?;
        return Ok(None);
    }
    let id = format!("TDX_{version:02X}");
    let Some(identity) = info.tdx_module_identities.iter().find(|identity| identity.id.eq_ignore_ascii_case(&id))
    else {
        return Err(TdxRejection::ModuleIdentity { id });
    };
    require_module(report, &identity.mrsigner.0, &identity.attributes.0, &identity.attributes_mask.0)?;
    let [got, ..] = *svn;
    identity
        .tcb_levels
        .iter()
        .find(|level| u16::from(got) >= level.tcb.isvsvn)
        .map(Some)
        .ok_or(TdxRejection::ModuleNoLevel { got })
}

/// Signer and attributes of the module. Production modules have no attribute at all, whatever the mask leaves out.
fn require_module(
    report: &TdReport,
    signer: &[u8; 48],
    attributes: &[u8; 8],
    mask: &[u8; 8],
) -> Result<(), TdxRejection> {
    if report.mr_signer_seam != *signer {
        return Err(TdxRejection::SeamSigner { got: hex::encode(report.mr_signer_seam) });
    }
    let masked_equal =
        report.seam_attributes.iter().zip(mask).map(|(got, mask)| got & mask).eq(attributes.iter().copied());
    if !masked_equal || report.seam_attributes != [0; 8] {
        return Err(TdxRejection::SeamAttributes { got: hex::encode(report.seam_attributes) });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::TcbStatus;
    use super::TcbStatus::{
        ConfigurationAndSwHardeningNeeded, ConfigurationNeeded, OutOfDate, OutOfDateConfigurationNeeded, Revoked,
        SwHardeningNeeded, TdRelaunchAdvised, TdRelaunchAdvisedConfigurationNeeded, UpToDate,
    };

    const SIGNED: [TcbStatus; 7] = [
        UpToDate,
        SwHardeningNeeded,
        ConfigurationNeeded,
        ConfigurationAndSwHardeningNeeded,
        OutOfDate,
        OutOfDateConfigurationNeeded,
        Revoked,
    ];

    #[test]
    fn convergence_loses_nothing_and_does_not_depend_on_order() {
        for a in SIGNED {
            assert_eq!(a.converge(a), a);
            assert_eq!(a.converge(UpToDate), a);
            assert_eq!(a.converge(Revoked), Revoked);
            for b in SIGNED {
                assert_eq!(a.converge(b), b.converge(a));
                for c in SIGNED {
                    assert_eq!(a.converge(b).converge(c), a.converge(b.converge(c)), "{a} {b} {c}");
                }
            }
        }
        assert_eq!(SwHardeningNeeded.converge(ConfigurationNeeded), ConfigurationAndSwHardeningNeeded);
        assert_eq!(ConfigurationNeeded.converge(OutOfDate), OutOfDateConfigurationNeeded);
        assert_eq!(SwHardeningNeeded.converge(OutOfDate), OutOfDate);
    }

    #[test]
    fn relaunch_is_advised_only_when_the_platform_caught_up() {
        assert_eq!(OutOfDate.since_launch(UpToDate), TdRelaunchAdvised);
        assert_eq!(OutOfDate.since_launch(SwHardeningNeeded), TdRelaunchAdvised);
        assert_eq!(OutOfDate.since_launch(ConfigurationNeeded), TdRelaunchAdvisedConfigurationNeeded);
        assert_eq!(OutOfDateConfigurationNeeded.since_launch(UpToDate), TdRelaunchAdvisedConfigurationNeeded);
        assert_eq!(OutOfDate.since_launch(OutOfDate), OutOfDate);
        assert_eq!(OutOfDate.since_launch(Revoked), Revoked);
        assert_eq!(UpToDate.since_launch(OutOfDate), OutOfDate);
        assert_eq!(UpToDate.since_launch(UpToDate), UpToDate);
        assert_eq!(Revoked.since_launch(UpToDate), Revoked);
    }
}
