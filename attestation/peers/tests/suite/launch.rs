//! Launch digests: ours, `sev`'s and `sev-snp-measure`'s, for the same launches.

use std::collections::BTreeSet;

use attestation_peers::launch::{AMD_SEV_OVMF, DEBIAN_OVMF, Launch, by_sev_snp_measure, matrix};

#[test]
fn all_three_programs_compute_the_same_launch_digests() {
    let launches = matrix();
    assert_eq!(launches.len(), 3 * 4 * 3);
    let python = by_sev_snp_measure(&launches, &[]);
    let mut distinct = BTreeSet::new();
    for (launch, python) in launches.iter().zip(python) {
        let ours = launch.ours();
        assert_eq!(ours.len(), 96, "{launch:?}: {ours}");
        assert_eq!(ours, python, "sev-snp-measure: {launch:?}");
        assert_eq!(ours, launch.by_sev(), "sev: {launch:?}");
        distinct.insert(ours);
    }
    // Launches that differ in anything differ in their digest, so an equal one is not equal by accident.
    assert_eq!(distinct.len(), launches.len());
}

/// Each input really reaches each program: a launch that is altered for one of them alone is noticed.
#[test]
fn an_altered_launch_is_a_different_digest_for_every_program() {
    let launch = Launch { firmware: AMD_SEV_OVMF, kernel: true, vcpus: 2, cpu: "EPYC-Milan" };
    let altered = [
        Launch { kernel: false, ..launch },
        Launch { vcpus: 3, ..launch },
        Launch { cpu: "EPYC-Genoa", ..launch },
        Launch { firmware: DEBIAN_OVMF, kernel: false, ..launch },
    ];
    let python = by_sev_snp_measure(&altered, &[]);
    for (altered, python) in altered.iter().zip(python) {
        assert_ne!(launch.ours(), python, "{altered:?}");
        assert_ne!(launch.ours(), altered.by_sev(), "{altered:?}");
        assert_ne!(altered.ours(), launch.by_sev(), "{altered:?}");
    }
}

/// The Debian image has nowhere to put kernel hashes: we and `sev` refuse such a launch instead of leaving the kernel out.
#[test]
fn a_kernel_without_a_page_for_its_hashes_is_refused() {
    let launch = Launch { firmware: DEBIAN_OVMF, kernel: true, vcpus: 1, cpu: "EPYC-Milan" };
    assert_eq!(launch.ours(), "measure.kernel_hashes_section");
    let theirs = launch.by_sev();
    assert!(theirs.contains("SNP_KERNEL_HASHES"), "{theirs}");
}
