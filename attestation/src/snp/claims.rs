//! What an accepted SNP report claims, and why each claim may be believed.
//!
//! Decides: the source of each claim. The firmware signs fields it measured or set itself, and fields it was handed: by
//! the host at launch (HOST_DATA, ids), and by the guest at request (REPORT_DATA).

use super::SnpClaims;
use crate::result::Claim;

impl SnpClaims {
    /// The claims, for an attestation result.
    #[must_use]
    pub fn claims(&self) -> Vec<Claim> {
        let report = self.report();
        let mut claims = vec![
            Claim::derived("snp.product", self.product().to_string()),
            Claim::derived("snp.signing_key", self.signing_key().to_string()),
            Claim::proven("snp.report_version", report.version),
            Claim::proven("snp.launch_digest", hex::encode(report.measurement)),
            Claim::proven("snp.guest_policy", format!("{:#x}", report.policy)),
            Claim::proven("snp.platform_info", format!("{:#x}", report.platform_info)),
            Claim::proven("snp.vmpl", report.vmpl),
            Claim::proven("snp.chip_id", hex::encode(report.chip_id)),
            Claim::proven("snp.reported_tcb", self.reported_tcb().to_string()),
            Claim::asserted("snp.host_data", hex::encode(report.host_data)),
            Claim::asserted("snp.guest_svn", report.guest_svn),
            Claim::asserted("snp.family_id", hex::encode(report.family_id)),
            Claim::asserted("snp.image_id", hex::encode(report.image_id)),
            Claim::asserted("snp.report_data", hex::encode(report.report_data)),
        ];
        // A VLEK names a provider, and the provider says which chip answers: the certificate does not.
        if let Some(csp_id) = self.csp_id() {
            claims.push(Claim::derived("snp.csp_id", csp_id));
        }
        claims
    }
}
