//! What a machine does wrong: clocks that jump, disks that are full or cannot be written. Money and tabs survive it.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use acceptance::clock::WallClock;
use acceptance::payer::Payer;
use acceptance::processes::soon;
use acceptance::raw::{self, Answer};
use acceptance::{World, cli};
use attestation::{Clock, UnixTime};
use enclave::boot;
use enclave::config::GuardianConfig;

const TEN_YEARS: i64 = 10 * 365 * 24 * 3600;

/// Bytes of the disk that gets full: a world and some room.
const DISK_BYTES: u64 = 96 << 20;

/// The machine's clock, and how wrong it is.
struct Jumping(AtomicI64);

impl Clock for Jumping {
    fn now(&self) -> UnixTime {
        UnixTime(WallClock.now().0.saturating_add_signed(self.0.load(Ordering::Relaxed)))
    }
}

fn verdict(answer: &Answer) -> (u16, String) {
    (answer.status.as_u16(), answer.code())
}

/// Nothing is served that could not be charged, and nothing is charged
/// that was not served.
#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_jumps_ten_years_and_back_costs_nobody_anything() {
    let mut world = tokio::task::spawn_blocking(|| World::builder().start().unwrap()).await.unwrap();
    tokio::task::block_in_place(|| world.kill_guardian()).unwrap();
    let clock = Arc::new(Jumping(AtomicI64::new(0)));
    let jump = |by: i64| clock.0.store(by, Ordering::Relaxed);
    let config = GuardianConfig::load(&world.config_file()).unwrap();
    let node = tokio::spawn(boot::run(config, Arc::<Jumping>::clone(&clock)));
    for _ in 0..100 {
        if raw::get(world.guardian_port(), "/health").await.is_ok_and(|health| health.status.is_success()) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let mut payer = Payer::new(&world, 100_000).await.unwrap();
    let spend = payer.prepare(1024, 600).unwrap();
    let request = payer.tab_request(&spend).unwrap();
    assert!(payer.open(&request).await.unwrap().status.is_success());
    assert_eq!(payer.chat(&spend, "before", "hello", 4).await.unwrap().status.as_u16(), 200);

    // Ten years later the tab's end has passed: it is settled at what was served, and a request is refused.
    jump(TEN_YEARS);
    assert_eq!(verdict(&payer.chat(&spend, "later", "hello", 4).await.unwrap()).0, 403);
    tokio::time::sleep(Duration::from_secs(3)).await;
    jump(0);
    payer.sync().await.unwrap();
    let (spendable, reserved, pending) = payer.balance();
    assert_eq!((reserved, pending), (0, 0), "the tab is settled");
    // The ledger would answer the same reservation as before, and a second tab would be settled at nothing, by a second signature.
    assert_eq!(verdict(&payer.open(&request).await.unwrap()), (403, "credits.already_spent".to_owned()));
    assert!((99_000..100_000).contains(&spendable), "{spendable}: one small answer was paid");

    // Ten years before: tabs would outlive the longest allowed, signatures are of another time; nothing is reserved or charged.
    let spend = payer.opened(1024, 600).await.unwrap();
    jump(-TEN_YEARS);
    assert_eq!(
        verdict(&payer.chat(&spend, "earlier", "hello", 4).await.unwrap()),
        (403, "tab.signature_time".to_owned())
    );
    let other = payer.prepare(1024, 600).unwrap();
    let refused = payer.open(&payer.tab_request(&other).unwrap()).await.unwrap();
    assert_eq!(verdict(&refused), (400, "tab.too_long".to_owned()));

    // When the clock is right again, so is everything else: the same requests are served.
    jump(0);
    assert_eq!(payer.chat(&spend, "earlier", "hello", 4).await.unwrap().status.as_u16(), 200);
    assert!(payer.open(&payer.tab_request(&other).unwrap()).await.unwrap().status.is_success());
    for spend in [&spend, &other] {
        assert!(payer.close(spend).await.unwrap().status.is_success());
    }
    payer.sync().await.unwrap();
    let (after, reserved, pending) = payer.balance();
    assert_eq!((reserved, pending), (0, 0));
    assert!((spendable - 1000..spendable).contains(&after), "{after}: one more small answer was paid");
    node.abort();
    drop(tokio::task::spawn_blocking(move || drop(world)).await);
}

/// A small disk of its own, unmounted when dropped.
struct Disk(PathBuf);

impl Disk {
    /// `None` where disks cannot be mounted.
    fn mount(at: &Path) -> Option<Self> {
        std::fs::create_dir_all(at).unwrap();
        let size = format!("size={DISK_BYTES}");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(at).output().unwrap();
        mounted.status.success().then(|| Self(at.to_path_buf()))
    }

    /// Makes one folder of it read-only; others still write to the rest. With the value's end that ends.
    fn read_only(folder: &Path) -> Self {
        let mount = |args: &[&str]| assert!(Command::new("mount").args(args).arg(folder).status().unwrap().success());
        mount(&["--bind", folder.to_str().unwrap()]);
        let bound = Self(folder.to_path_buf());
        mount(&["-o", "remount,bind,ro"]);
        bound
    }

    /// A file that takes all the room there is.
    fn fill(&self) -> PathBuf {
        let file = self.0.join("filler");
        let mut filler = std::fs::File::create(&file).unwrap();
        for piece in [1 << 20, 4096, 1] {
            while filler.write_all(&vec![0; piece]).is_ok() {}
        }
        file
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Whatever still uses it goes with the test.
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// The ledger is the only part of a node's world that keeps something: it, and everybody's files, are on a disk that gets full.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_and_one_that_cannot_be_written_lose_nothing() {
    let temp = tempfile::tempdir().unwrap();
    let Some(disk) = Disk::mount(&temp.path().join("disk")) else {
        return println!("SKIP: disks cannot be mounted here; it takes root");
    };
    let dir = disk.0.join("world");
    let mut world = tokio::task::spawn_blocking(move || World::builder().dir(dir).start().unwrap()).await.unwrap();
    let mut payer = Payer::new(&world, 100_000).await.unwrap();
    let spend = payer.opened(4096, 600).await.unwrap();
    assert_eq!(payer.chat(&spend, "before", "hello", 4).await.unwrap().status.as_u16(), 200);

    // Full: what is open is served, since its reserve is recorded; nothing new is promised.
    let filler = disk.fill();
    assert_eq!(payer.chat(&spend, "full", "hello", 4).await.unwrap().status.as_u16(), 200);
    let other = payer.prepare(1024, 600).unwrap();
    let request = payer.tab_request(&other).unwrap();
    assert_eq!(verdict(&payer.open(&request).await.unwrap()), (503, "ledger.unavailable".to_owned()));
    assert_eq!(verdict(&payer.close(&spend).await.unwrap()), (503, "ledger.unavailable".to_owned()));

    let ended = tokio::task::block_in_place(|| soon(|| world.ledger_log().contains("No space left on device")));
    assert!(ended, "it says why: {}", world.ledger_log());

    // Cannot be written: the ledger does not start, and says why.
    tokio::task::block_in_place(|| world.kill_ledger()).unwrap();
    std::fs::remove_file(filler).unwrap();
    let read_only = Disk::read_only(&world.dir().join("ledger"));
    let refused = tokio::task::block_in_place(|| world.start_ledger()).unwrap_err().to_string();
    assert!(refused.contains("Read-only file system"), "{refused}");
    assert_eq!(verdict(&payer.open(&request).await.unwrap()), (503, "ledger.unavailable".to_owned()));

    // Room again: the same spend is taken, the first tab settles at all that was served under it.
    drop(read_only);
    tokio::task::block_in_place(|| world.start_ledger()).unwrap();
    let opened = payer.open(&request).await.unwrap();
    assert!(opened.status.is_success(), "{}", opened.json());
    let settled = payer.close(&spend).await.unwrap();
    assert_eq!(settled.status.as_u16(), 200, "{}", settled.json());
    assert_eq!(settled.json().pointer("/statement/requests").unwrap(), 2, "{}", settled.json());
    let charge = settled.json().pointer("/statement/charge").unwrap().as_u64().unwrap();
    assert!(payer.close(&other).await.unwrap().status.is_success());
    payer.sync().await.unwrap();
    assert_eq!(payer.balance(), (100_000 - charge, 0, 0));
    drop(tokio::task::spawn_blocking(move || drop(world)).await);
}

/// Where the log of receipts cannot be written, its node takes no work: it does not start, says why, and starts once there is room.
#[test]
fn a_full_disk_under_the_log_of_receipts_takes_no_work_and_loses_nothing() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("world");
    let Some(disk) = Disk::mount(&dir.join("receipt-log")) else {
        return println!("SKIP: disks cannot be mounted here; it takes root");
    };
    let mut world = World::builder().dir(dir).logged(1, 1).start().unwrap();
    let wallet = cli::funded_wallet(&world, "w", 100_000).unwrap();
    cli::chat(&world, &wallet, "hello", &["--max-tokens", "4"]).unwrap().success().unwrap();
    assert!(world.stop_guardian().unwrap());
    let entries = world.log_dir().join("entries");
    let held = std::fs::read(&entries).unwrap();
    // What is written next does not fit into the page that the file has.
    world.kill_keeper().unwrap();
    std::fs::write(&entries, held[36..72].repeat(4096 / 36)).unwrap();
    let filler = disk.fill();
    world.start_keeper().unwrap();
    let refused = world.start_guardian().unwrap_err().to_string();
    assert!(refused.contains("No space left on device"), "{refused}");
    std::fs::remove_file(filler).unwrap();
    world.kill_keeper().unwrap();
    std::fs::write(&entries, &held).unwrap();
    world.start_keeper().unwrap();
    world.start_guardian().unwrap();
    cli::chat(&world, &wallet, "hello", &["--max-tokens", "4"]).unwrap().success().unwrap();
    assert_eq!(std::fs::metadata(&entries).unwrap().len(), 4 * 36, "two boots and two receipts");
}

/// A loop that died in silence would let tabs outlive their end.
#[test]
fn a_node_whose_own_loops_end_ends() {
    let mut world = World::builder().start().unwrap();
    world.kill_guardian().unwrap();
    let started = world.start_guardian_as("cloister-panicking-guardian", "in loops");
    let ended = started.and_then(|()| world.wait_for_guardian("never said")).unwrap_err().to_string();
    assert!(ended.contains("ended with exit status: 1") && ended.contains("a loop of the guardian ended"), "{ended}");
    world.start_guardian().unwrap();
}
