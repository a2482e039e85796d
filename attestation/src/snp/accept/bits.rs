//! Guest-policy and platform bits.
//!
//! Decides: which bits must be set or clear. A guest-policy bit without a known meaning is refused: it might loosen
//! something. PLATFORM_INFO grows with firmware and only describes the platform, so its unknown bits are ignored.

use crate::findings::Findings;
use crate::policy::{BitRule, Rule};
use crate::rejection::{PlatformItem, Rejection};
use crate::snp::SnpReport;
use crate::snp::policy::{GuestItems, PlatformItems};

// Guest policy, SNP ABI table "Guest Policy Structure". Bits 0-7 and 8-15 are the minor and major ABI version.
const SMT: u32 = 16;
const MUST_BE_ONE: u32 = 17;
const MIGRATE_MA: u32 = 18;
const DEBUG: u32 = 19;
const SINGLE_SOCKET: u32 = 20;
const CXL: u32 = 21;
const MEM_AES_256_XTS: u32 = 22;
const RAPL_DISABLED: u32 = 23;
const CIPHERTEXT_HIDING: u32 = 24;
const PAGE_SWAP_DISABLED: u32 = 25;
/// Bits from here up have no meaning in ABI 1.58.
const FIRST_UNKNOWN: u32 = 26;

/// REPORT_ID_MA of a guest without a migration agent.
const NO_MIGRATION_AGENT: [u8; 32] = [0xff; 32];

fn bit(word: u64, index: u32) -> bool {
    word.checked_shr(index).is_some_and(|shifted| shifted & 1 == 1)
}

pub(super) fn hold_guest_policy(findings: &mut Findings<'_>, items: &GuestItems, report: &SnpReport) {
    let policy = report.policy;
    let form = if !bit(policy, MUST_BE_ONE) {
        Err(Rejection::PolicyReservedBitClear)
    } else if policy >> FIRST_UNKNOWN != 0 {
        Err(Rejection::PolicyUnknownBits { got: policy })
    } else {
        Ok(format!("{policy:#x}"))
    };
    findings.always("snp.guest.policy", form);

    let require = |index, wanted: bool, refusal: Rejection| {
        if bit(policy, index) == wanted { Ok(format!("bit {index} is {}", u8::from(wanted))) } else { Err(refusal) }
    };
    findings.item("snp.guest.debug", &items.debug, |_| require(DEBUG, false, Rejection::DebugAllowed));
    findings.item("snp.guest.migration_agent", &items.migration_agent, |_| {
        let none = require(MIGRATE_MA, false, Rejection::MigrationAgentAllowed)?;
        if report.report_id_ma == NO_MIGRATION_AGENT { Ok(none) } else { Err(Rejection::MigrationAgentAllowed) }
    });
    findings.item("snp.guest.smt", &items.smt, |_| require(SMT, false, Rejection::SmtAllowed));
    findings.item("snp.guest.single_socket", &items.single_socket, |_| {
        require(SINGLE_SOCKET, true, Rejection::SingleSocketNotRequired)
    });
    findings.item("snp.guest.cxl", &items.cxl, |_| require(CXL, false, Rejection::CxlAllowed));
    findings.item("snp.guest.aes_256_xts", &items.aes_256_xts, |_| {
        require(MEM_AES_256_XTS, true, Rejection::Aes256XtsNotRequired)
    });
    findings.item("snp.guest.rapl_disabled", &items.rapl_disabled, |_| {
        require(RAPL_DISABLED, true, Rejection::RaplNotDisabled)
    });
    findings.item("snp.guest.ciphertext_hiding", &items.ciphertext_hiding, |_| {
        require(CIPHERTEXT_HIDING, true, Rejection::CiphertextHidingNotRequired)
    });
    findings.item("snp.guest.page_swap_disabled", &items.page_swap_disabled, |_| {
        require(PAGE_SWAP_DISABLED, true, Rejection::PageSwapNotDisabled)
    });
    findings.item("snp.guest.abi", &items.abi_min, |minimum| {
        let [got_minor, got_major, ..] = policy.to_le_bytes();
        if (got_major, got_minor) >= (minimum.major, minimum.minor) {
            return Ok(format!("{got_major}.{got_minor}"));
        }
        let (minimum_major, minimum_minor) = (minimum.major, minimum.minor);
        Err(Rejection::AbiTooOld { got_major, got_minor, minimum_major, minimum_minor })
    });
}

pub(super) fn hold_platform(findings: &mut Findings<'_>, items: &PlatformItems, report: &SnpReport) {
    let rows: [(&'static str, &Rule<BitRule>, PlatformItem, u32); 7] = [
        ("snp.platform.smt", &items.smt, PlatformItem::Smt, 0),
        ("snp.platform.tsme", &items.tsme, PlatformItem::Tsme, 1),
        ("snp.platform.ecc", &items.ecc, PlatformItem::Ecc, 2),
        ("snp.platform.rapl_disabled", &items.rapl_disabled, PlatformItem::RaplDisabled, 3),
        ("snp.platform.ciphertext_hiding", &items.ciphertext_hiding, PlatformItem::CiphertextHiding, 4),
        ("snp.platform.alias_check", &items.alias_check, PlatformItem::AliasCheck, 5),
        ("snp.platform.tio", &items.tio, PlatformItem::Tio, 7),
    ];
    for (id, rule, item, index) in rows {
        findings.item(id, rule, |rule| {
            let required = match rule {
                BitRule::Required => true,
                BitRule::Forbidden => false,
            };
            let got = bit(report.platform_info, index);
            if got == required { Ok(got.to_string()) } else { Err(Rejection::Platform { item, got, required }) }
        });
    }
}
