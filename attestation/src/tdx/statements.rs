//! Intel's signed statements: TCB information version 3 and enclave identity version 2 (PCS API v4).
//!
//! Decides: whether a text is such a statement, with every required member present and of its type. Callers verify the
//! signature over the exact text first; on exit the values are Intel's, and which of them apply is for `tcb` and `qe`.
//! Members with other names are Intel's additions and are passed over; repeated ones are refused.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

use crate::tdx::{TcbStatus, TdxRejection};
use crate::time::UnixTime;

const TCB_INFO_ID: &str = "TDX";
const TCB_INFO_VERSION: u32 = 3;
const TCB_TYPE: u32 = 0;
const QE_IDENTITY_ID: &str = "TD_QE";
const QE_IDENTITY_VERSION: u32 = 2;

/// Fixed-size bytes in hex of either case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Hex<const N: usize>(pub(crate) [u8; N]);

impl<'de, const N: usize> Deserialize<'de> for Hex<N> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <&str>::deserialize(deserializer)?;
        let mut bytes = [0; N];
        hex::decode_to_slice(text, &mut bytes).map_err(|_| D::Error::custom("not hex of the required length"))?;
        Ok(Self(bytes))
    }
}

/// A date and time in RFC 3339.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Date(pub(crate) UnixTime);

impl<'de> Deserialize<'de> for Date {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <&str>::deserialize(deserializer)?;
        UnixTime::from_rfc3339(text)
            .map(Self)
            .ok_or_else(|| D::Error::custom("not a date of the form 2026-06-01T00:00:00Z"))
    }
}

/// Only what decides whether the rest can be read.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Kind {
    id: String,
    version: u32,
    #[serde(default)]
    tcb_type: u32,
}

/// TCB levels of one platform family and of the TDX modules.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TcbInfo {
    id: String,
    version: u32,
    tcb_type: u32,
    pub(crate) issue_date: Date,
    pub(crate) next_update: Date,
    pub(crate) fmspc: Hex<6>,
    pub(crate) pce_id: Hex<2>,
    pub(crate) tcb_evaluation_data_number: u32,
    pub(crate) tdx_module: TdxModule,
    /// Absent before TDX modules had versions.
    #[serde(default)]
    pub(crate) tdx_module_identities: Vec<TdxModuleIdentity>,
    pub(crate) tcb_levels: Vec<Level<PlatformTcb>>,
}

/// What every TDX module of version 0 must be.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TdxModule {
    pub(crate) mrsigner: Hex<48>,
    pub(crate) attributes: Hex<8>,
    pub(crate) attributes_mask: Hex<8>,
}

/// What a TDX module of one later version must be.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TdxModuleIdentity {
    /// `TDX_` and the version, two hex digits.
    pub(crate) id: String,
    pub(crate) mrsigner: Hex<48>,
    pub(crate) attributes: Hex<8>,
    pub(crate) attributes_mask: Hex<8>,
    pub(crate) tcb_levels: Vec<Level<IsvTcb>>,
}

/// A TCB level: what it requires, and what Intel says about whoever meets it. Levels stand from newest to oldest.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Level<T> {
    pub(crate) tcb: T,
    pub(crate) tcb_date: Date,
    #[serde(deserialize_with = "signed_status")]
    pub(crate) tcb_status: TcbStatus,
    #[serde(default, rename = "advisoryIDs")]
    pub(crate) advisory_ids: Vec<String>,
}

/// A status Intel signs. The two of relaunch are conclusions and never stand in a statement.
fn signed_status<'de, D: Deserializer<'de>>(deserializer: D) -> Result<TcbStatus, D::Error> {
    let status = TcbStatus::deserialize(deserializer)?;
    if status.is_relaunch() { Err(D::Error::custom("not a status of a TCB level")) } else { Ok(status) }
}

/// What a level of the platform requires.
#[derive(Debug, Clone, Copy, Deserialize)]
pub(crate) struct PlatformTcb {
    pub(crate) sgxtcbcomponents: [Component; 16],
    pub(crate) pcesvn: u16,
    pub(crate) tdxtcbcomponents: [Component; 16],
}

/// One component of a level.
#[derive(Debug, Clone, Copy, Deserialize)]
pub(crate) struct Component {
    pub(crate) svn: u8,
}

/// What a level of an enclave or TDX module requires.
#[derive(Debug, Clone, Copy, Deserialize)]
pub(crate) struct IsvTcb {
    pub(crate) isvsvn: u16,
}

/// The identity of the TD quoting enclave.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct QeIdentity {
    id: String,
    version: u32,
    pub(crate) issue_date: Date,
    pub(crate) next_update: Date,
    pub(crate) tcb_evaluation_data_number: u32,
    pub(crate) miscselect: Hex<4>,
    pub(crate) miscselect_mask: Hex<4>,
    pub(crate) attributes: Hex<16>,
    pub(crate) attributes_mask: Hex<16>,
    pub(crate) mrsigner: Hex<32>,
    pub(crate) isvprodid: u16,
    pub(crate) tcb_levels: Vec<Level<IsvTcb>>,
}

impl TcbInfo {
    /// Read TCB information of TDX, version 3.
    pub(crate) fn from_signed_text(text: &str) -> Result<Self, TdxRejection> {
        let (read, kind) = match serde_json::from_str::<Self>(text) {
            Ok(info) => {
                let kind = Kind { id: info.id.clone(), version: info.version, tcb_type: info.tcb_type };
                (Ok(info), kind)
            }
            // Other kinds lack members of ours: say which kind it is rather than what it lacks.
            Err(error) => {
                let malformed = TdxRejection::TcbInfoMalformed { detail: error.to_string() };
                (Err(malformed.clone()), serde_json::from_str(text).map_err(|_| malformed)?)
            }
        };
        let Kind { id, version, tcb_type } = kind;
        if id == TCB_INFO_ID && version == TCB_INFO_VERSION && tcb_type == TCB_TYPE {
            return read;
        }
        Err(TdxRejection::TcbInfoKind { id, version, tcb_type })
    }
}

impl QeIdentity {
    /// Read the identity of the TD quoting enclave, version 2.
    pub(crate) fn from_signed_text(text: &str) -> Result<Self, TdxRejection> {
        let (read, kind) = match serde_json::from_str::<Self>(text) {
            Ok(identity) => {
                let kind = Kind { id: identity.id.clone(), version: identity.version, tcb_type: 0 };
                (Ok(identity), kind)
            }
            Err(error) => {
                let malformed = TdxRejection::QeIdentityMalformed { detail: error.to_string() };
                (Err(malformed.clone()), serde_json::from_str(text).map_err(|_| malformed)?)
            }
        };
        let Kind { id, version, .. } = kind;
        if id == QE_IDENTITY_ID && version == QE_IDENTITY_VERSION {
            return read;
        }
        Err(TdxRejection::QeIdentityKind { id, version })
    }
}
