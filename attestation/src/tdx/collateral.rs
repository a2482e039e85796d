//! Quote collateral: TCB information, QE identity and revocation lists, with the chains of their signers.
//!
//! Decides: whether collateral is well formed and really Intel's: signed by a TCB signer that a trusted root issued
//! directly and has not revoked. Dates are kept and checked at every use. The PCK revocation list is not opened here:
//! the CA in the quote's own chain must have signed it (`chain`), so `pck_crl_issuer_chain` is not read at all.

use serde::{Deserialize, Serialize};

use crate::crypto::{self, Sha256Context};
use crate::rejection::Rejection;
use crate::roots::TrustRoots;
use crate::tdx::TdxRejection;
use crate::tdx::chain::{self, IntelRoot};
use crate::tdx::statements::{QeIdentity, TcbInfo};
use crate::time::UnixTime;
use crate::x509::Validity;

/// The largest collateral that is read. Captured ones have 24 KiB.
pub const COLLATERAL_BYTES_MAX: usize = 128 * 1024;

/// The collateral of one quote, in the JSON form quote providers hand out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "CollateralJson", into = "CollateralJson")]
pub struct TdxCollateral {
    pck_crl_issuer_chain: String,
    root_ca_crl: Vec<u8>,
    pck_crl: Vec<u8>,
    tcb_info_issuer_chain: String,
    tcb_info: String,
    tcb_info_signature: [u8; 64],
    qe_identity_issuer_chain: String,
    qe_identity: String,
    qe_identity_signature: [u8; 64],
    /// SHA-256 of everything above, so that repeated use costs no hashing.
    digest: [u8; 32],
}

/// The members as they stand in the JSON: chains PEM, lists and signatures hex, statements the exact signed text.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct CollateralJson {
    pck_crl_issuer_chain: String,
    root_ca_crl: String,
    pck_crl: String,
    tcb_info_issuer_chain: String,
    tcb_info: String,
    tcb_info_signature: String,
    qe_identity_issuer_chain: String,
    qe_identity: String,
    qe_identity_signature: String,
}

impl TryFrom<CollateralJson> for TdxCollateral {
    type Error = hex::FromHexError;

    fn try_from(json: CollateralJson) -> Result<Self, Self::Error> {
        let signature = |text: &str| {
            let mut bytes = [0; 64];
            hex::decode_to_slice(text, &mut bytes).map(|()| bytes)
        };
        let mut collateral = Self {
            root_ca_crl: hex::decode(json.root_ca_crl)?,
            pck_crl: hex::decode(json.pck_crl)?,
            tcb_info_signature: signature(&json.tcb_info_signature)?,
            qe_identity_signature: signature(&json.qe_identity_signature)?,
            pck_crl_issuer_chain: json.pck_crl_issuer_chain,
            tcb_info_issuer_chain: json.tcb_info_issuer_chain,
            tcb_info: json.tcb_info,
            qe_identity_issuer_chain: json.qe_identity_issuer_chain,
            qe_identity: json.qe_identity,
            digest: [0; 32],
        };
        collateral.digest = collateral.computed_digest();
        Ok(collateral)
    }
}

impl From<TdxCollateral> for CollateralJson {
    fn from(collateral: TdxCollateral) -> Self {
        Self {
            pck_crl_issuer_chain: collateral.pck_crl_issuer_chain,
            root_ca_crl: hex::encode(collateral.root_ca_crl),
            pck_crl: hex::encode(collateral.pck_crl),
            tcb_info_issuer_chain: collateral.tcb_info_issuer_chain,
            tcb_info: collateral.tcb_info,
            tcb_info_signature: hex::encode(collateral.tcb_info_signature),
            qe_identity_issuer_chain: collateral.qe_identity_issuer_chain,
            qe_identity: collateral.qe_identity,
            qe_identity_signature: hex::encode(collateral.qe_identity_signature),
        }
    }
}

impl TdxCollateral {
    /// Read collateral: at most [`COLLATERAL_BYTES_MAX`] bytes, no unknown, repeated or missing members.
    ///
    /// # Errors
    /// `tdx.collateral_too_large`, `tdx.collateral_malformed`.
    pub fn from_json(bytes: &[u8]) -> Result<Self, Rejection> {
        if bytes.len() > COLLATERAL_BYTES_MAX {
            let (got, maximum) = (bytes.len(), COLLATERAL_BYTES_MAX);
            return Err(TdxRejection::CollateralTooLarge { got, maximum }.into());
        }
        serde_json::from_slice(bytes)
            .map_err(|error| TdxRejection::CollateralMalformed { detail: error.to_string() }.into())
    }

    /// The revocation list of the PCK CA, DER.
    pub(crate) fn pck_crl(&self) -> &[u8] {
        &self.pck_crl
    }

    /// Digest of every member.
    pub(crate) fn digest(&self) -> &[u8; 32] {
        &self.digest
    }

    fn computed_digest(&self) -> [u8; 32] {
        let mut context = Sha256Context::new();
        let members: [&[u8]; 9] = [
            self.pck_crl_issuer_chain.as_bytes(),
            &self.root_ca_crl,
            &self.pck_crl,
            self.tcb_info_issuer_chain.as_bytes(),
            self.tcb_info.as_bytes(),
            &self.tcb_info_signature,
            self.qe_identity_issuer_chain.as_bytes(),
            self.qe_identity.as_bytes(),
            &self.qe_identity_signature,
        ];
        for member in members {
            // Lengths keep the borders between members.
            context.update(&u64::try_from(member.len()).unwrap_or(u64::MAX).to_be_bytes());
            context.update(member);
        }
        context.finish()
    }
}

/// Collateral whose signatures were verified. Nothing in it depends on the time.
#[derive(Debug)]
pub(crate) struct VerifiedCollateral {
    /// The root everything ends in.
    pub(crate) root: IntelRoot,
    pub(crate) tcb_info: TcbInfo,
    pub(crate) qe_identity: QeIdentity,
    /// Validity of the TCB signers.
    signers: Vec<Validity>,
}

/// Verify both signers and both statements.
pub(crate) fn verify(collateral: &TdxCollateral, roots: &TrustRoots) -> Result<VerifiedCollateral, Rejection> {
    let tcb_chain = chain::signer_chain(&collateral.tcb_info_issuer_chain, roots)?;
    let (root, issuer) = IntelRoot::with_crl(tcb_chain.root, &collateral.root_ca_crl)?;
    let tcb_signer = chain::verify_signer(&tcb_chain, &root, &issuer)?;
    let mut signers = vec![tcb_signer.validity];
    let qe_signer = if collateral.qe_identity_issuer_chain == collateral.tcb_info_issuer_chain {
        tcb_signer.clone()
    } else {
        let qe_chain = chain::signer_chain(&collateral.qe_identity_issuer_chain, roots)?;
        let signer = chain::verify_signer(&qe_chain, &root, &issuer)?;
        signers.push(signer.validity);
        signer
    };
    crypto::verify_ecdsa_p256(&tcb_signer.point, collateral.tcb_info.as_bytes(), &collateral.tcb_info_signature)
        .map_err(|_| TdxRejection::TcbInfoSignature)?;
    crypto::verify_ecdsa_p256(&qe_signer.point, collateral.qe_identity.as_bytes(), &collateral.qe_identity_signature)
        .map_err(|_| TdxRejection::QeIdentitySignature)?;
    let tcb_info = TcbInfo::from_signed_text(&collateral.tcb_info)?;
    let qe_identity = QeIdentity::from_signed_text(&collateral.qe_identity)?;
    Ok(VerifiedCollateral { root, tcb_info, qe_identity, signers })
}

/// What a signed statement is called in a refusal.
const TCB_INFO: &str = "TCB information";
const QE_IDENTITY: &str = "QE identity";

impl VerifiedCollateral {
    /// Whether `now` is inside the validity of signers, statements and the root's revocation list.
    pub(crate) fn require_valid_at(&self, now: UnixTime) -> Result<(), Rejection> {
        for (what, issue_date, next_update) in self.statements() {
            if now < issue_date {
                return Err(TdxRejection::CollateralNotYetValid { what, issue_date, now }.into());
            }
            if now > next_update {
                return Err(TdxRejection::CollateralExpired { what, next_update, now }.into());
            }
        }
        for signer in &self.signers {
            signer.require(now)?;
        }
        self.root.require_valid_at(now)?;
        Ok(())
    }

    /// Whether both statements are at most `maximum_secs` old.
    pub(crate) fn require_age(&self, now: UnixTime, maximum_secs: u64) -> Result<u64, TdxRejection> {
        let mut oldest = 0;
        for (what, issue_date, _) in self.statements() {
            let age_secs = now.secs_since(issue_date);
            if age_secs > maximum_secs {
                return Err(TdxRejection::CollateralTooOld { what, age_secs, maximum_secs });
            }
            oldest = oldest.max(age_secs);
        }
        Ok(oldest)
    }

    fn statements(&self) -> [(&'static str, UnixTime, UnixTime); 2] {
        let (tcb_info, qe_identity) = (&self.tcb_info, &self.qe_identity);
        [
            (TCB_INFO, tcb_info.issue_date.0, tcb_info.next_update.0),
            (QE_IDENTITY, qe_identity.issue_date.0, qe_identity.next_update.0),
        ]
    }

    /// The TCB recovery both statements are of: mixing them would pair a new platform list with an old enclave list.
    pub(crate) fn evaluation_number(&self) -> Result<u32, TdxRejection> {
        let tcb_info = self.tcb_info.tcb_evaluation_data_number;
        let qe_identity = self.qe_identity.tcb_evaluation_data_number;
        if tcb_info == qe_identity {
            Ok(tcb_info)
        } else {
            Err(TdxRejection::EvaluationNumberMixed { tcb_info, qe_identity })
        }
    }
}
