//! The policy items of SEV-SNP evidence: the tables `[snp.*]`.
//!
//! Decides: the form of each item. What an item means for a report is decided in [`super::accept`].

use serde::Deserialize;

use crate::digest::decode_hex;
use crate::policy::{Allowed, BitRule, Forbidden, HexBytes, MAX_AGE_SECS_MAX, PolicyError, Required, Rule};
use crate::snp::{Cpu, Product, SigningKey, Tcb};

/// Everything a policy says about SEV-SNP evidence.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SnpItems {
    pub(crate) report: ReportItems,
    pub(crate) guest: GuestItems,
    pub(crate) platform: PlatformItems,
    pub(crate) tcb: TcbItems,
    pub(crate) revocation: RevocationItems,
}

/// What the report must say about itself and the guest.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReportItems {
    pub(crate) versions: Vec<u32>,
    pub(crate) products: Vec<Product>,
    pub(crate) signing_keys: Vec<SigningKey>,
    /// Cloud providers whose VLEKs are accepted; meaningless for VCEKs.
    pub(crate) vlek_csp_ids: Rule<Vec<String>>,
    pub(crate) launch_digests: Rule<Allowed<48>>,
    pub(crate) host_data: Rule<Vec<HexBytes<32>>>,
    pub(crate) vmpl: Rule<Vec<u32>>,
    pub(crate) chip_ids: Rule<Vec<HexBytes<64>>>,
    pub(crate) guest_svn_min: Rule<u32>,
    pub(crate) family_ids: Rule<Vec<HexBytes<16>>>,
    pub(crate) image_ids: Rule<Vec<HexBytes<16>>>,
    pub(crate) id_key_digests: Rule<Vec<HexBytes<48>>>,
    pub(crate) author_key_digests: Rule<Vec<HexBytes<48>>>,
}

/// Bits of the guest policy (SNP ABI table "Guest Policy Structure").
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct GuestItems {
    pub(crate) debug: Rule<Forbidden>,
    pub(crate) migration_agent: Rule<Forbidden>,
    pub(crate) smt: Rule<Forbidden>,
    pub(crate) single_socket: Rule<Required>,
    pub(crate) cxl: Rule<Forbidden>,
    pub(crate) aes_256_xts: Rule<Required>,
    pub(crate) rapl_disabled: Rule<Required>,
    pub(crate) ciphertext_hiding: Rule<Required>,
    pub(crate) page_swap_disabled: Rule<Required>,
    pub(crate) abi_min: Rule<AbiVersion>,
}

/// The lowest firmware ABI the guest itself accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AbiVersion {
    pub(crate) major: u8,
    pub(crate) minor: u8,
}

/// Bits of PLATFORM_INFO (SNP ABI table "PLATFORM_INFO Field").
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PlatformItems {
    pub(crate) smt: Rule<BitRule>,
    pub(crate) tsme: Rule<BitRule>,
    pub(crate) ecc: Rule<BitRule>,
    pub(crate) rapl_disabled: Rule<BitRule>,
    pub(crate) ciphertext_hiding: Rule<BitRule>,
    pub(crate) alias_check: Rule<BitRule>,
    pub(crate) tio: Rule<BitRule>,
}

/// Whether the floors bind a TCB other than the reported one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum AtFloor {
    /// The same floors apply.
    Floor,
}

/// What the firmware must be.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TcbItems {
    pub(crate) provisional: Rule<Forbidden>,
    /// Mitigations that must have been active at launch and still are (report version 5).
    pub(crate) mitigations: Rule<u64>,
    pub(crate) launch: Rule<AtFloor>,
    pub(crate) committed: Rule<AtFloor>,
    /// Lowest acceptable reported TCBs. Every row that matches must hold, and at least one must match.
    pub(crate) floors: Rule<Vec<FloorRow>>,
}

/// A floor for one processor, or for every processor of a product.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FloorRow {
    product: Product,
    cpu: CpuPattern,
    /// Turin only.
    fmc: Option<u8>,
    boot_loader: u8,
    tee: u8,
    snp: u8,
    microcode: u8,
}

/// Which processors a floor is for: `"any"`, family-model, or family-model-stepping in hex, such as `"19-11-01"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) enum CpuPattern {
    Any,
    Model { family: u8, model: u8 },
    Exactly(Cpu),
}

impl FloorRow {
    /// The floor, when this row is about the processor. Unidentified processors match `"any"` only.
    pub(crate) fn floor_for(&self, product: Product, cpu: Option<Cpu>) -> Option<Tcb> {
        let matches = self.product == product
            && match self.cpu {
                CpuPattern::Any => true,
                CpuPattern::Model { family, model } => {
                    cpu.is_some_and(|cpu| (cpu.family, cpu.model) == (family, model))
                }
                CpuPattern::Exactly(wanted) => cpu == Some(wanted),
            };
        matches.then_some(Tcb {
            fmc: self.fmc,
            boot_loader: self.boot_loader,
            tee: self.tee,
            snp: self.snp,
            microcode: self.microcode,
        })
    }
}

/// Whether the root's revocation list is needed.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RevocationItems {
    pub(crate) crl: Rule<CrlRule>,
}

/// How old the list may be. Its own next-update date is always enforced.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CrlRule {
    pub(crate) max_age_secs: u64,
}

impl TryFrom<String> for CpuPattern {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        const FORM: &str = "a processor is \"any\" or family-model[-stepping] in hex, such as \"19-11-01\"";
        if text == "any" {
            return Ok(Self::Any);
        }
        let mut bytes = Vec::new();
        for part in text.split('-') {
            bytes.extend_from_slice(&decode_hex::<1>(part).map_err(|_| FORM)?);
        }
        match *bytes.as_slice() {
            [family, model] => Ok(Self::Model { family, model }),
            [family, model, stepping] => Ok(Self::Exactly(Cpu { family, model, stepping })),
            _ => Err(FORM),
        }
    }
}

impl SnpItems {
    /// Refuse values that look like checks and are none, or that no evidence could meet by accident.
    pub(crate) fn require_sensible(&self) -> Result<(), PolicyError> {
        let bad = |item, problem| Err(PolicyError::Item { item, problem });
        // What nothing can fail is a waiver, and waivers are spelled "unchecked".
        if matches!(self.tcb.mitigations, Rule::Check(0)) {
            return bad("snp.tcb.mitigations", "0 requires nothing; write \"unchecked\"");
        }
        if matches!(self.report.guest_svn_min, Rule::Check(0)) {
            return bad("snp.report.guest_svn_min", "0 requires nothing; write \"unchecked\"");
        }
        if matches!(&self.report.chip_ids, Rule::Check(ids) if ids.iter().any(|id| id.0 == [0; 64])) {
            return bad("snp.report.chip_ids", "zeros name no chip: they are what a masked one reports");
        }
        if matches!(self.revocation.crl, Rule::Check(rule) if rule.max_age_secs > MAX_AGE_SECS_MAX) {
            return bad("snp.revocation.crl", "an age of more than ten years requires nothing; write \"unchecked\"");
        }
        if let Rule::Check(rows) = &self.tcb.floors {
            for row in rows {
                match (row.product, row.fmc) {
                    (Product::Turin, None) => return bad("snp.tcb.floors", "a Turin floor needs fmc"),
                    (Product::Milan | Product::Genoa, Some(_)) => return bad("snp.tcb.floors", "only Turin has fmc"),
                    _ => {}
                }
            }
        }
        let floors_checked = matches!(self.tcb.floors, Rule::Check(_));
        let floors_needed = matches!(self.tcb.launch, Rule::Check(_)) || matches!(self.tcb.committed, Rule::Check(_));
        if floors_needed && !floors_checked {
            return bad("snp.tcb.floors", "launch and committed are held to floors, so floors must be given");
        }
        Ok(())
    }
}
