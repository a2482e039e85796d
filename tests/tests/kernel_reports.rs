//! Reports by the kernel's interface, as on hardware: what it may do short of a report over the bytes asked for costs a retry or an
//! answer that promises nothing, and never gives a client another report.

use std::time::{Duration, Instant};

use acceptance::processes::soon;
use acceptance::tsm_double::{Fault, TsmDouble};
use acceptance::world::Hardware;
use acceptance::{World, cli, raw};

/// A world with such a machine; where none can be had, the reason is said.
#[allow(clippy::print_stdout, reason = "a skip is said")]
fn world(hardware: Hardware) -> Option<World> {
    if let Some(reason) = TsmDouble::unavailable() {
        println!("SKIP: {reason}, so the kernel's report interface cannot be played");
        return None;
    }
    Some(World::builder().hardware(hardware).by_kernel().start().unwrap())
}

fn verifies(world: &World) {
    let run = cli::verify(world, &world.guardian_url()).unwrap().success().unwrap();
    assert_eq!((run.text("/verdict").unwrap(), run.text("/assurance").unwrap()), ("VERIFIED", "simulated"));
}

#[test]
fn machines_of_both_vendors_are_verified_by_the_kernels_reports_and_answer() {
    for (hardware, product) in [(Hardware::Snp, "Genoa"), (Hardware::Tdx, "TDX 90c06f000000")] {
        let Some(world) = world(hardware) else { return };
        let run = cli::verify(&world, &world.guardian_url()).unwrap().success().unwrap();
        assert_eq!(run.text("/node/product").unwrap(), product);
        let wallet = cli::funded_wallet(&world, "w", 100_000).unwrap();
        cli::chat(&world, &wallet, "Say hello.", &[]).unwrap().success().unwrap();
        assert!(world.kernel().unwrap().reports() >= 3, "one at boot and one for each client");
    }
}

#[test]
fn what_passes_costs_a_retry() {
    let Some(world) = world(Hardware::Snp) else { return };
    let kernel = world.kernel().unwrap();
    for fault in [Fault::UnderWay(3), Fault::OtherWriter(3)] {
        let before = kernel.reports();
        kernel.play(fault);
        verifies(&world);
        assert_eq!(kernel.fault(), Fault::None, "{fault:?} was met");
        assert!(kernel.reports() > before);
    }
    // The next write is not taken, which nobody is told: the counter would meet that of the last read.
    let before = kernel.reports();
    kernel.count_from(41, 42);
    verifies(&world);
    assert_eq!(
        kernel.reports(),
        before + 2,
        "the old bytes once more, which are given to nobody, then the ones asked for"
    );
    // The counter wraps.
    kernel.count_from(u64::MAX, u64::MAX);
    verifies(&world);
}

#[test]
fn what_stays_wrong_promises_nothing_and_passes_with_its_cause() {
    let Some(world) = world(Hardware::Snp) else { return };
    let kernel = world.kernel().unwrap();
    let lasting = [
        (Fault::OtherWriter(1_000), "report source is busy"),
        (Fault::Replay, "a report over other bytes"),
        (Fault::Truncated, "not a report"),
        (Fault::Endless, "longer than 32768 bytes"),
        (Fault::Refused, "Input/output error"),
        (Fault::OtherPlatform, "arm_cca_guest"),
        (Fault::NoProvider, "Inappropriate ioctl"),
        (Fault::Silent, "did not answer in time"),
    ];
    for (fault, words) in lasting {
        kernel.play(fault);
        let run = cli::verify(&world, &world.guardian_url()).unwrap();
        assert_eq!(run.error_code(), "attestation.unavailable", "{fault:?}: {}", run.stderr);
        assert!(soon(|| world.guardian_log().contains(words)), "{fault:?}: {}", world.guardian_log());
        kernel.play(Fault::None);
    }
    // The last call is still in the kernel's hands and keeps the entry; the next one waits for it.
    let (started, before) = (Instant::now(), kernel.reports());
    verifies(&world);
    assert!(started.elapsed() > Duration::from_millis(500), "it waited");
    assert_eq!(kernel.reports(), before + 2, "that of the call that was given up, then the one asked for");
}

#[test]
fn a_guardian_without_a_report_or_endorsements_does_not_start() {
    let Some(mut world) = world(Hardware::Snp) else { return };
    world.kill_guardian().unwrap();
    world.kernel().unwrap().play(Fault::Refused);
    let refused = world.start_guardian().unwrap_err().to_string();
    assert!(refused.contains("obtain the boot report") && refused.contains("Input/output error"), "{refused}");
    world.kernel().unwrap().play(Fault::None);
    std::fs::remove_file(world.collateral_socket()).unwrap();
    let refused = world.start_guardian().unwrap_err().to_string();
    assert!(refused.contains("obtain the boot report") && refused.contains("No such file"), "{refused}");
}

/// A guardian that knows what the vendor says about its machine goes on without the host that told it.
#[test]
fn endorsements_are_held() {
    let Some(world) = world(Hardware::Tdx) else { return };
    std::fs::remove_file(world.collateral_socket()).unwrap();
    verifies(&world);
}

/// A report of the ACI protocol answers one client. Many who want one, on a slow platform, do not keep the others from theirs.
#[test]
fn clients_of_one_protocol_do_not_starve_those_of_the_other() {
    let Some(world) = world(Hardware::Snp) else { return };
    world.kernel().unwrap().play(Fault::Slow);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let port = world.guardian_port();
    let asked: Vec<_> = (0..40)
        .map(|number: u8| {
            let path = format!("/v1/aci/attestation?nonce={}", hex::encode([number; 32]));
            runtime.spawn(async move { raw::get(port, &path).await.unwrap().status.as_u16() })
        })
        .collect();
    std::thread::sleep(Duration::from_millis(1500));
    let started = Instant::now();
    verifies(&world);
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    let answers: Vec<u16> = asked.into_iter().map(|asked| runtime.block_on(asked).unwrap()).collect();
    let count = |status| answers.iter().filter(|answer| **answer == status).count();
    assert!(count(200) >= 3 && count(429) >= 8 && count(200) + count(429) == 40, "{answers:?}");
}
