//! The policy items of Azure's paravisor evidence: the table `[azure]`. The hardware report inside is held against
//! `[snp.*]` or `[tdx.*]` like any other.
//!
//! Decides: the form of each item.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::policy::{Forbidden, HexBytes, PolicyError, Required, Rule};

use super::PCRS_MAX;

/// Everything a policy says about vTPM evidence.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AzureItems {
    /// Whether a certificate of the provider must vouch for the attestation key beside the hardware report.
    pub(crate) ak_certificate: Rule<Required>,
    /// Allowed values by PCR index, written as a string.
    pub(crate) pcrs: Rule<BTreeMap<String, Vec<HexBytes<32>>>>,
    /// Whether UEFI secure boot must be on.
    pub(crate) secure_boot: Rule<Required>,
    /// Whether the host may not have a serial console.
    pub(crate) console: Rule<Forbidden>,
}

impl AzureItems {
    /// Refuse values that look like checks and are none.
    pub(crate) fn require_sensible(&self) -> Result<(), PolicyError> {
        let Rule::Check(pcrs) = &self.pcrs else { return Ok(()) };
        let is_index =
            |text: &String| text.parse::<usize>().is_ok_and(|index| index < PCRS_MAX && *text == index.to_string());
        if pcrs.is_empty() || !pcrs.keys().all(is_index) {
            return Err(PolicyError::Item { item: "azure.pcrs", problem: "name at least one PCR, \"0\" to \"23\"" });
        }
        Ok(())
    }
}
