//! x
use crate::support::{CAPTURED_POLICY, code, unix_time};
use crate::tdx_support::*;
use attestation::{STRICT_POLICY, UnixTime};

#[test]
fn survey() {
    for prefix in ["tdx/real/", "tdx/synthetic/", "tdx/negative/", "tdx/dcap-qvl-synthetic/"] {
        for entry in tdx_entries(prefix) {
            if prefix == "tdx/real/" {
                for row in entry.rows() {
                    let r = appraise_captured(&entry.quote(), &row.collateral(), UnixTime(row.at));
                    let s = appraise_quote(
                        &entry.quote(),
                        &row.collateral(),
                        &attestation::TrustRoots::vendor(),
                        STRICT_POLICY,
                        UnixTime(row.at),
                    );
                    println!(
                        "{} {} -> {} {:?} {:?} strict {} | {}",
                        entry.id,
                        row.at,
                        code(&r),
                        r.as_ref().err().map(ToString::to_string),
                        r.as_ref().ok().map(|c| (c.status(), c.advisories().join(","))),
                        code(&s),
                        row.theirs
                    );
                }
                continue;
            }
            let dcap = prefix == "tdx/dcap-qvl-synthetic/";
            let (root, at) = if dcap {
                ("trust/intel/IntelSGXRootCA.der", UnixTime(1_751_624_191))
            } else {
                (entry.expected["root"].as_str().unwrap(), unix_time(entry.expected["at"].as_str().unwrap()))
            };
            let coll = if dcap { tdx_entry("tdx/negative/control-ok").collateral() } else { entry.collateral() };
            let r = appraise_quote(&entry.quote(), &coll, &roots_named(root), CAPTURED_POLICY, at);
            let s = appraise_quote(&entry.quote(), &coll, &roots_named(root), STRICT_POLICY, at);
            println!(
                "{} -> {} {:?} {:?} strict {} | {} {}",
                entry.id,
                code(&r),
                r.as_ref().err().map(ToString::to_string),
                r.as_ref().ok().map(|c| (c.status(), c.advisories().join(","))),
                code(&s),
                entry.expected["code"],
                entry.expected["policy"]
            );
        }
    }
}
