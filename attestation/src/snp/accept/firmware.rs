//! Firmware: the order of the four TCB versions, floors, provisional firmware and mitigations.
//!
//! Decides: whether the firmware is recent enough, now and when the guest started, and cannot be rolled back.

use super::GenuineReport;
use crate::findings::Findings;
use crate::policy::Rule;
use crate::rejection::{Rejection, TcbKind};
use crate::snp::policy::{FloorRow, TcbItems};
use crate::snp::{SnpReport, Tcb};

pub(super) fn hold_tcb(findings: &mut Findings<'_>, items: &TcbItems, report: &SnpReport, genuine: &GenuineReport) {
    findings.always("snp.tcb.order", in_order(genuine));
    findings.item("snp.tcb.provisional", &items.provisional, |_| {
        // SNP ABI §3.3: firmware is provisional until committed; until then the host can roll it back.
        let committed =
            genuine.current_tcb == genuine.committed_tcb && report.current_version == report.committed_version;
        if committed { Ok("current is committed".to_owned()) } else { Err(Rejection::ProvisionalFirmware) }
    });
    let rows = &items.floors;
    findings.item("snp.tcb.reported", rows, |rows| {
        at_floor(rows, TcbKind::Reported, &genuine.reported_tcb, report, genuine)
    });
    findings.item("snp.tcb.committed", &both(&items.committed, rows), |rows| {
        at_floor(rows, TcbKind::Committed, &genuine.committed_tcb, report, genuine)
    });
    findings.item("snp.tcb.launch", &both(&items.launch, rows), |rows| {
        at_floor(rows, TcbKind::Launch, &genuine.launch_tcb, report, genuine)
    });
    findings.item("snp.tcb.mitigations", &items.mitigations, |required| mitigated(report, *required));
}

/// The floors, when `rule` asks for them.
fn both<'a, T>(rule: &Rule<T>, rows: &'a Rule<Vec<FloorRow>>) -> Rule<&'a [FloorRow]> {
    match (rule, rows) {
        (Rule::Check(_), Rule::Check(rows)) => Rule::Check(rows),
        _ => Rule::Unchecked,
    }
}

/// SNP ABI §3.3 and §8.6: firmware keeps committed ≤ current and reported ≤ current, component by component.
fn in_order(genuine: &GenuineReport) -> Result<String, Rejection> {
    let (upper_kind, upper) = (TcbKind::Current, genuine.current_tcb);
    for (lower_kind, lower) in [(TcbKind::Committed, genuine.committed_tcb), (TcbKind::Reported, genuine.reported_tcb)]
    {
        if !upper.at_least(&lower) {
            return Err(Rejection::TcbOrder { lower_kind, lower, upper_kind, upper });
        }
    }
    Ok(format!("current {upper}"))
}

fn at_floor(
    rows: &[FloorRow],
    kind: TcbKind,
    got: &Tcb,
    report: &SnpReport,
    genuine: &GenuineReport,
) -> Result<String, Rejection> {
    let product = genuine.product;
    let mut matched = false;
    for minimum in rows.iter().filter_map(|row| row.floor_for(product, report.cpu)) {
        matched = true;
        if !got.at_least(&minimum) {
            return Err(Rejection::TcbTooOld { kind, got: *got, minimum });
        }
    }
    if matched {
        return Ok(format!("{kind} {got}"));
    }
    let cpu = report.cpu.map_or_else(|| "unidentified CPU".to_owned(), |cpu| cpu.to_string());
    Err(Rejection::TcbFloorMissing { product, cpu })
}

/// Both vectors must have the bits: a mitigation loaded after launch did not protect the launch.
fn mitigated(report: &SnpReport, required: u64) -> Result<String, Rejection> {
    for vector in [report.launch_mit_vector, report.current_mit_vector] {
        // Reports before version 5 carry no vector and so prove no mitigation.
        let got = vector.unwrap_or(0);
        if got & required != required {
            return Err(Rejection::MitigationMissing { got, required });
        }
    }
    Ok(format!("{required:#x}"))
}
