//! What an accepted quote claims, and why each claim may be believed.
//!
//! Decides: the source of each claim. The TDX module measures MRTD and extends RTMRs; the host chooses owner and
//! configuration ids; the TD chooses REPORT_DATA. The TCB status is a conclusion from Intel's statements.

use super::TdxClaims;
use crate::result::Claim;

impl TdxClaims {
    /// The claims, for an attestation result.
    #[must_use]
    pub fn claims(&self) -> Vec<Claim> {
        let body = &self.quote().body;
        let [rtmr0, rtmr1, rtmr2, rtmr3] = body.rtmrs.map(hex::encode);
        let mut claims = vec![
            Claim::derived("tdx.fmspc", hex::encode(self.fmspc())),
            Claim::derived("tdx.pck_ca", self.pck_ca().to_string()),
            Claim::derived("tdx.ppid", hex::encode(self.ppid())),
            Claim::derived("tdx.tcb_status", self.status().to_string()),
            Claim::derived("tdx.tcb_date", self.tcb_date().0),
            Claim::derived("tdx.advisories", self.advisories().to_vec()),
            Claim::derived("tdx.evaluation_number", self.evaluation_number()),
            Claim::proven("tdx.quote_version", self.quote().version),
            Claim::proven("tdx.tee_tcb_svn", hex::encode(body.tee_tcb_svn)),
            Claim::proven("tdx.mr_seam", hex::encode(body.mr_seam)),
            Claim::proven("tdx.td_attributes", format!("{:#x}", body.td_attributes)),
            Claim::proven("tdx.xfam", format!("{:#x}", body.xfam)),
            Claim::proven("tdx.mr_td", hex::encode(body.mr_td)),
            Claim::proven("tdx.rtmr0", rtmr0),
            Claim::proven("tdx.rtmr1", rtmr1),
            Claim::proven("tdx.rtmr2", rtmr2),
            Claim::proven("tdx.rtmr3", rtmr3),
            Claim::asserted("tdx.mr_config_id", hex::encode(body.mr_config_id)),
            Claim::asserted("tdx.mr_owner", hex::encode(body.mr_owner)),
            Claim::asserted("tdx.mr_owner_config", hex::encode(body.mr_owner_config)),
            Claim::asserted("tdx.report_data", hex::encode(body.report_data)),
        ];
        if let Some(td_1_5) = &body.td_1_5 {
            claims.push(Claim::proven("tdx.tee_tcb_svn_2", hex::encode(td_1_5.tee_tcb_svn_2)));
            claims.push(Claim::proven("tdx.mr_service_td", hex::encode(td_1_5.mr_service_td)));
        }
        claims
    }
}
