//! Reports by the kernel's device for SEV-SNP, where it has no other interface: what firmware and host may do short of a report over
//! the bytes asked for gives a client an answer that promises nothing, and never another report.

use acceptance::processes::soon;
use acceptance::sev_guest_double::DeviceFault;
use acceptance::tsm_double::TsmDouble;
use acceptance::world::Hardware;
use acceptance::{World, cli};

/// A world with such a machine; where none can be had, the reason is said.
#[allow(clippy::print_stdout, reason = "a skip is said")]
fn world() -> Option<World> {
    if let Some(reason) = TsmDouble::unavailable() {
        println!("SKIP: {reason}, so the kernel's device cannot be played");
        return None;
    }
    Some(World::builder().hardware(Hardware::Snp).by_device().start().unwrap())
}

fn verifies(world: &World) {
    let run = cli::verify(world, &world.guardian_url()).unwrap().success().unwrap();
    assert_eq!((run.text("/verdict").unwrap(), run.text("/assurance").unwrap()), ("VERIFIED", "simulated"));
}

/// A client gets no report, and the operator reads why.
fn promises_nothing(world: &World, fault: DeviceFault, words: &str) {
    world.sev_guest().unwrap().play(fault);
    let run = cli::verify(world, &world.guardian_url()).unwrap();
    assert_eq!(run.error_code(), "attestation.unavailable", "{fault:?}: {}", run.stderr);
    assert!(soon(|| world.guardian_log().contains(words)), "{fault:?}: {}", world.guardian_log());
    world.sev_guest().unwrap().play(DeviceFault::None);
}

#[test]
fn a_machine_is_verified_by_the_devices_reports_and_answers() {
    let Some(world) = world() else { return };
    let run = cli::verify(&world, &world.guardian_url()).unwrap().success().unwrap();
    assert_eq!(run.text("/node/product").unwrap(), "Genoa");
    let wallet = cli::funded_wallet(&world, "w", 100_000).unwrap();
    cli::chat(&world, &wallet, "Say hello.", &[]).unwrap().success().unwrap();
    assert!(world.sev_guest().unwrap().reports() >= 3, "one at boot and one for each client");
}

#[test]
fn what_is_no_report_over_the_bytes_asked_for_is_given_to_nobody() {
    let Some(world) = world() else { return };
    let faults = [
        (DeviceFault::Status(0x27), "status is 0x27"),
        (DeviceFault::Length(1183), "not a report"),
        (DeviceFault::Length(u32::MAX), "longer than its answer"),
        (DeviceFault::OtherBytes, "a report over other bytes"),
        (DeviceFault::Replay, "a report over other bytes"),
        (DeviceFault::Silent, "did not answer in time"),
    ];
    for (fault, words) in faults {
        promises_nothing(&world, fault, words);
    }
    // The last call is still in the kernel's hands and keeps the device; the next one waits for it.
    verifies(&world);
}

/// After a message that failed the kernel has no key to the firmware any more. What to do is said, and nothing else helps.
#[test]
fn a_failed_message_is_the_end_until_the_machine_restarts() {
    let Some(world) = world() else { return };
    for (fault, said) in [(DeviceFault::Failed, "0x1d"), (DeviceFault::HostBusy, "0x200000000")] {
        promises_nothing(&world, fault, &format!("the firmware and the host said {said}"));
        let before = world.guardian_log().len();
        let run = cli::verify(&world, &world.guardian_url()).unwrap();
        assert_eq!(run.error_code(), "attestation.unavailable", "{fault:?}: {}", run.stderr);
        let since = || world.guardian_log().get(before..).unwrap_or_default().to_owned();
        assert!(soon(|| since().contains("needs a restart of the machine")), "{fault:?}: {}", since());
        world.sev_guest().unwrap().restart();
        verifies(&world);
    }
}

#[test]
fn a_guardian_without_its_device_does_not_start() {
    let Some(mut world) = world() else { return };
    world.kill_guardian().unwrap();
    let config = std::fs::read_to_string(world.config_file()).unwrap();
    let device = world.sev_guest().unwrap().device().display().to_string();
    for (path, words) in [("/nonexistent/sev-guest", "No such file"), ("/dev/null", "another device")] {
        std::fs::write(world.config_file(), config.replace(&device, path)).unwrap();
        let refused = world.start_guardian().unwrap_err().to_string();
        assert!(refused.contains("obtain the boot report") && refused.contains(words), "{refused}");
    }
}
