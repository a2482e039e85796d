//! REPORT_DATA of the open ACI protocol, `aci/1` §3.2, for clients that speak it.
//!
//! Decides: the 64 bytes. They cannot be taken for those of our own protocol: that fills all 64 with a SHA-512, this ends in 32 zeros,
//! and both hash what the client sent behind a name of their own.

use crate::digest::Sha256Digest;
use crate::report_data::Nonce;

/// The statement whose digest a report carries: keyset, and the client's nonce if it sent one.
#[must_use]
pub fn aci_statement(keyset_digest: &Sha256Digest, nonce: Option<&Nonce>) -> String {
    // Hexadecimal and fixed words only, so nothing needs escaping, and this is its own canonical form.
    let nonce = nonce.map_or_else(|| "null".to_owned(), |nonce| format!("\"{nonce}\""));
    format!("{{\"keyset_digest\":\"{keyset_digest}\",\"nonce\":{nonce},\"purpose\":\"aci.report_data.v1\"}}")
}

/// REPORT_DATA for that statement: its SHA-256, then zeros.
#[must_use]
pub fn aci_report_data(keyset_digest: &Sha256Digest, nonce: Option<&Nonce>) -> [u8; 64] {
    let digest = Sha256Digest::of(aci_statement(keyset_digest, nonce).as_bytes());
    let mut report_data = [0; 64];
    for (slot, byte) in report_data.iter_mut().zip(digest.0) {
        *slot = byte;
    }
    report_data
}

#[cfg(test)]
mod tests {
    use super::{Nonce, Sha256Digest, aci_report_data, aci_statement};

    #[test]
    fn the_statement_is_its_own_canonical_form() {
        let keyset = Sha256Digest([0xab; 32]);
        for nonce in [Some(Nonce([0x0c; 32])), None] {
            let statement = aci_statement(&keyset, nonce.as_ref());
            let value: serde_json::Value = serde_json::from_str(&statement).unwrap();
            assert_eq!(crate::to_jcs(&value).unwrap(), statement.as_bytes());
            assert_eq!(value["keyset_digest"], format!("sha256:{}", "ab".repeat(32)));
        }
        // sha256sum of the statement, made with other tools.
        let statement = aci_statement(&keyset, None);
        assert_eq!(
            statement,
            format!(
                "{{\"keyset_digest\":\"sha256:{}\",\"nonce\":null,\"purpose\":\"aci.report_data.v1\"}}",
                "ab".repeat(32)
            )
        );
        let report_data = aci_report_data(&keyset, None);
        assert_eq!(
            hex::encode(report_data),
            format!("c54db8fc6e93547d7249d9a4a620455324acfa51bf3633e2729f26cd3c26a6d4{}", "00".repeat(32))
        );
    }
}
