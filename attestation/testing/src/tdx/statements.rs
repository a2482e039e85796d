//! The statements Intel would sign about the simulated platform.

use serde_json::{Value, json};

/// TCB recovery of the simulated collateral.
pub const EVALUATION_NUMBER: u32 = 21;

fn components(svns: &[u8; 16]) -> Value {
    svns.iter().map(|svn| json!({ "svn": svn })).collect()
}

/// A platform level with every SGX component at `sgx`, and the TDX microcode component at `microcode`.
#[must_use]
pub fn platform_level(sgx: u8, pce_svn: u16, microcode: u8, date: &str, status: &str, advisories: &[&str]) -> Value {
    let tdx = [5, 0, microcode, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let tcb =
        json!({ "sgxtcbcomponents": components(&[sgx; 16]), "pcesvn": pce_svn, "tdxtcbcomponents": components(&tdx) });
    json!({ "tcb": tcb, "tcbDate": date, "tcbStatus": status, "advisoryIDs": advisories })
}

/// A level of the TDX module or of the quoting enclave.
#[must_use]
pub fn isv_level(isv_svn: u16, date: &str, status: &str, advisories: &[&str]) -> Value {
    json!({ "tcb": { "isvsvn": isv_svn }, "tcbDate": date, "tcbStatus": status, "advisoryIDs": advisories })
}

pub(crate) fn tcb_info(fmspc: &str) -> Value {
    let module = |id: &str| {
        json!({
            "id": id,
            "mrsigner": "00".repeat(48),
            "attributes": "00".repeat(8),
            "attributesMask": "FF".repeat(8),
            "tcbLevels": [
                isv_level(5, "2026-01-01T00:00:00Z", "UpToDate", &[]),
                isv_level(3, "2025-01-01T00:00:00Z", "OutOfDate", &["SIMULATED-SA-00003"]),
                isv_level(2, "2024-01-01T00:00:00Z", "Revoked", &["SIMULATED-SA-00004"]),
            ],
        })
    };
    json!({
        "id": "TDX",
        "version": 3,
        "issueDate": "2026-05-31T00:00:00Z",
        "nextUpdate": "2026-06-30T00:00:00Z",
        "fmspc": fmspc,
        "pceId": "0000",
        "tcbType": 0,
        "tcbEvaluationDataNumber": EVALUATION_NUMBER,
        "tdxModule": {
            "mrsigner": "00".repeat(48), "attributes": "00".repeat(8), "attributesMask": "FF".repeat(8),
        },
        "tdxModuleIdentities": [module("TDX_01")],
        "tcbLevels": [
            platform_level(3, 11, 2, "2026-01-01T00:00:00Z", "UpToDate", &[]),
            platform_level(2, 11, 2, "2025-01-01T00:00:00Z", "SWHardeningNeeded", &["SIMULATED-SA-00001"]),
            platform_level(1, 5, 2, "2024-01-01T00:00:00Z", "OutOfDate", &["SIMULATED-SA-00001", "SIMULATED-SA-00002"]),
        ],
    })
}

pub(crate) fn qe_identity(mr_signer: &[u8; 32]) -> Value {
    let mr_signer: String = mr_signer.iter().map(|byte| format!("{byte:02X}")).collect();
    json!({
        "id": "TD_QE",
        "version": 2,
        "issueDate": "2026-05-31T00:00:00Z",
        "nextUpdate": "2026-06-30T00:00:00Z",
        "tcbEvaluationDataNumber": EVALUATION_NUMBER,
        "miscselect": "00000000",
        "miscselectMask": "FFFFFFFF",
        "attributes": "11000000000000000000000000000000",
        "attributesMask": "FBFFFFFFFFFFFFFF0000000000000000",
        "mrsigner": mr_signer,
        "isvprodid": 2,
        "tcbLevels": [
            isv_level(7, "2026-01-01T00:00:00Z", "UpToDate", &[]),
            isv_level(6, "2025-01-01T00:00:00Z", "OutOfDate", &["SIMULATED-SA-00005"]),
        ],
    })
}
