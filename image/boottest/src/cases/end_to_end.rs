//! The main job, from outside: a client verifies the guest, pays, and gets an answer from a model on a verity volume.
//!
//! The platform is simulated outside the guest and says what the manifest predicts for this launch; everything else is real. The guest is
//! booted as on SEV-SNP, through the firmware that checks kernel, ramdisk and command line.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use acceptance::processes::{Process, free_port};
use acceptance::world::run;
use anyhow::{Context as _, bail};

use crate::cases::firmware::Launch;
use crate::context::{Context, Image, tail};
use crate::outside::{LOG_ORIGIN, VsockDevice, bridge};
use crate::report::{Report, Verdict};
use crate::vm::{Boot, Disk, Machine, Outcome, Vm};

/// From power on to an attested answer.
const ATTESTED_GOAL: Duration = Duration::from_secs(15);

/// From power on to the first token.
const TOKEN_GOAL: Duration = Duration::from_secs(60);

/// After this long it will not come any more.
const LIMIT: Duration = Duration::from_secs(240);

/// What `cloister-init` says once the engine's socket has answered it.
const ENGINE_ANSWERS: &str = "cloister-init: the engine answers";

/// A guest with a platform, a network and vsock.
pub(crate) struct Guest {
    pub(crate) vm: Vm,
    port: u16,
    vsock: VsockDevice,
    _platform: Process,
    _keeper: Process,
}

impl Guest {
    pub(crate) fn start(context: &Context, image: &Image, boot: Boot, disks: Vec<Disk>) -> anyhow::Result<Self> {
        let folder = context.folder()?;
        let vsock = VsockDevice::start(&context.vsock_program, &folder, 3)?;
        let platform = context.outside.platform(&launch_digest(image)?, &vsock.uds)?;
        let keeper = context.outside.keeper(&folder, &vsock.uds)?;
        let mut machine = Machine::new(boot, disks);
        machine.cpus = 2;
        machine.port = Some(free_port()?);
        machine.vsock = Some(vsock.vhost_user.clone());
        let port = machine.port.context("the machine has a port")?;
        let vm = machine.start(&folder)?;
        Ok(Self { vm, port, vsock, _platform: platform, _keeper: keeper })
    }
}

/// What two processors of the first CPU model measure as.
fn launch_digest(image: &Image) -> anyhow::Result<String> {
    let row = image.manifest.snp.iter().find(|row| row.vcpus == 2).context("the manifest has a row for two CPUs")?;
    Ok(row.launch_digest.to_string())
}

/// Everything that one running guest shows.
pub(crate) fn run_all(context: &Context, report: &mut Report) {
    report.heading("an attested, paid answer from the shipped flavour");
    if let Err(error) = attempt(context, report) {
        report.case("end to end", Duration::ZERO, &Verdict::Failed(format!("{error:#}")));
    }
    let now = Instant::now();
    let verdict = watched(context).unwrap_or_else(|error| Verdict::Failed(format!("{error:#}")));
    report.case("init reaches the engine that it watches", now.elapsed(), &verdict);
}

/// What init says of its engine is shown by images that are not shipped. It ends only engines that it was once answered by.
fn watched(context: &Context) -> anyhow::Result<Verdict> {
    let image = &context.debug;
    let launch = Launch::of(image);
    let boot = launch.boot(context, image, &launch, None)?;
    let mut guest = Guest::start(context, image, boot, image.disks())?;
    Ok(match guest.vm.wait_for(ENGINE_ANSWERS, LIMIT) {
        Outcome::Said(after) => Verdict::Passed(format!("after {:.1} s", after.as_secs_f64())),
        other => Verdict::Failed(format!("{other:?}: {}", tail(&guest.vm.console()))),
    })
}

fn attempt(context: &Context, report: &mut Report) -> anyhow::Result<()> {
    let image = &context.production;
    let client = Client::prepare(context, image)?;
    let launch = Launch::of(image);
    let boot = launch.boot(context, image, &launch, None)?;
    let mut guest = Guest::start(context, image, boot, image.disks())?;
    let url = format!("https://127.0.0.1:{}", guest.port);

    let attested = client.until_verified(&url, &mut guest.vm)?;
    report.case("cold boot to an attested answer", attested, &within(attested, ATTESTED_GOAL));
    let (first, answer) = client.until_answered(&url, &mut guest.vm)?;
    report.case("cold boot to the first token, paid", first, &within(first, TOKEN_GOAL));
    report.detail(&format!("answer: {}", answer.trim().chars().take(100).collect::<String>()));
    let mut case = |name: &str, verdict: anyhow::Result<Verdict>, started: Instant| {
        let verdict = verdict.unwrap_or_else(|error| Verdict::Failed(format!("{error:#}")));
        report.case(name, started.elapsed(), &verdict);
    };
    let now = Instant::now();
    case("verified over vsock as over the network", client.over_vsock(&guest.vsock.uds), now);
    let now = Instant::now();
    case("its receipt stands in the log that the host keeps", client.logged(), now);
    let now = Instant::now();
    case("the console stayed empty", Ok(silent(&guest.vm)), now);
    let now = Instant::now();
    case(
        "signed reference values are accepted by a policy that asks for them",
        client.reference_values(&url, image, None),
        now,
    );
    let now = Instant::now();
    let refused = Some("reference.mode");
    case(
        "reference values of the debug flavour are refused",
        client.reference_values(&url, &context.debug, refused),
        now,
    );
    let (equal, lines) = client.audit(&url, &image.dir)?;
    case("audit: the live node equals the rebuilt image", Ok(equal), now);
    for line in lines.lines() {
        report.detail(line);
    }
    let now = Instant::now();
    let verdict = client.audit_after_a_change(context, &url, image);
    let verdict = verdict.unwrap_or_else(|error| Verdict::Failed(format!("{error:#}")));
    report.case("audit: one changed byte is named", now.elapsed(), &verdict);
    Ok(())
}

/// Goals are for a machine that does nothing else. A missed one is said; twice as long is a failure anywhere.
fn within(took: Duration, goal: Duration) -> Verdict {
    let missed = if took <= goal { "" } else { ", MISSED" };
    let text = format!("{:.1} s, goal {} s{missed}", took.as_secs_f64(), goal.as_secs());
    if took <= goal * 2 { Verdict::Passed(text) } else { Verdict::Failed(text) }
}

/// The firmware clears the screen before anything of ours runs; after that there must be nothing.
fn silent(vm: &Vm) -> Verdict {
    let console = vm.console();
    match without_terminal_control(&console).trim() {
        "" => Verdict::Passed("not one character".to_owned()),
        _ => Verdict::Failed(tail(&console)),
    }
}

/// `text` without the sequences that move a terminal's cursor or set its mode: an escape, `[`, parameters, one letter.
fn without_terminal_control(text: &str) -> String {
    let mut parts = text.split("\u{1b}[");
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let end = part.find(|c: char| c.is_ascii_alphabetic());
        plain.push_str(end.and_then(|end| part.get(end + 1..)).unwrap_or_default());
    }
    plain
}

/// `cloister`, with a wallet, the simulated root and a policy for one image.
struct Client<'a> {
    context: &'a Context,
    policy: PathBuf,
    wallet: PathBuf,
}

impl<'a> Client<'a> {
    fn prepare(context: &'a Context, image: &Image) -> anyhow::Result<Self> {
        let dir = context.folder()?;
        let outside = &context.outside;
        let mut command = outside.program("cloister-host");
        command.args(["sim-tee", "policy", "--launch-digest", &launch_digest(image)?]);
        let policy = dir.join("policy.toml");
        fs::write(&policy, run(&mut command)?)?;
        let wallet = dir.join("wallet");
        let mut command = outside.program("cloister");
        command.args(["wallet", "new", "--no-passphrase", "--ledger", &outside.ledger_url(), "--wallet"]).arg(&wallet);
        run(&mut command)?;
        let mut command = outside.program("cloister");
        command.args(["wallet", "deposit", "--wallet"]).arg(&wallet).arg(outside.voucher(1_000_000)?);
        run(&mut command)?;
        Ok(Self { context, policy, wallet })
    }

    fn cloister(&self, words: &[&str], policy: &Path) -> Command {
        let mut command = self.context.outside.program("cloister");
        command.args(words).arg("--policy").arg(policy);
        command.arg("--root").arg(self.context.outside.vendor().join("root.pem"));
        command
    }

    /// Asks again and again until the guest is verified; the machine's age then.
    fn until_verified(&self, url: &str, vm: &mut Vm) -> anyhow::Result<Duration> {
        loop {
            let output = self.cloister(&["verify", url], &self.policy).output()?;
            if output.status.success() {
                return Ok(vm.age());
            }
            if !vm.runs() || vm.age() > LIMIT {
                let said = String::from_utf8_lossy(&output.stderr).into_owned();
                bail!("never verified; last: {said}; console: {} {}", tail(&vm.console()), vm.complaints());
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Asks until the engine is up; the machine's age at the first byte of the answer, and the answer.
    fn until_answered(&self, url: &str, vm: &mut Vm) -> anyhow::Result<(Duration, String)> {
        loop {
            let mut command = self.cloister(&["chat", url, "Name a color.", "--max-tokens", "4"], &self.policy);
            let mut child = command
                .arg("--wallet")
                .arg(&self.wallet)
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .context("start cloister chat")?;
            let mut stdout = child.stdout.take().context("it has an output")?;
            let mut first = [0; 1];
            let got = stdout.read(&mut first)?;
            let at = vm.age();
            let mut answer = String::from_utf8_lossy(first.get(..got).unwrap_or_default()).into_owned();
            stdout.read_to_string(&mut answer)?;
            let output = child.wait_with_output()?;
            if output.status.success() && !answer.trim().is_empty() {
                return Ok((at, answer));
            }
            if !vm.runs() || vm.age() > LIMIT {
                bail!("no answer; last: {answer} {}", String::from_utf8_lossy(&output.stderr));
            }
            std::thread::sleep(Duration::from_millis(250));
        }
    }

    /// Judges the stored receipt offline: the guest appended to its log over vsock, and signed the head.
    fn logged(&self) -> anyhow::Result<Verdict> {
        let receipts = fs::read_dir(self.wallet.join("receipts")).context("receipts were stored")?;
        // Calls that were sent before the engine was ready were refused, which the node receipts as well.
        let served = |file: &fs::DirEntry| !file.file_name().to_string_lossy().starts_with("refusal-");
        let receipts: Vec<_> = receipts.filter_map(Result::ok).filter(served).map(|file| file.path()).collect();
        let [file] = receipts.as_slice() else { bail!("{} receipts were stored, not one", receipts.len()) };
        let file = file.display().to_string();
        let output = self.cloister(&["--json", "receipt", "verify", &file], &self.policy).output()?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let said: serde_json::Value = serde_json::from_str(&text).context(text.clone())?;
        let (origin, index) = (said.pointer("/log/origin"), said.pointer("/log/index"));
        let stands = origin.and_then(serde_json::Value::as_str) == Some(LOG_ORIGIN)
            && index.and_then(serde_json::Value::as_u64) == Some(1);
        Ok(if output.status.success() && stands {
            Verdict::Passed(format!("entry 1 of {LOG_ORIGIN}"))
        } else {
            Verdict::Failed(text.chars().take(300).collect())
        })
    }

    fn over_vsock(&self, uds: &Path) -> anyhow::Result<Verdict> {
        let url = format!("https://127.0.0.1:{}", bridge(uds)?);
        let output = self.cloister(&["verify", &url], &self.policy).output()?;
        Ok(if output.status.success() {
            Verdict::Passed("same checks, same verdict".to_owned())
        } else {
            Verdict::Failed(String::from_utf8_lossy(&output.stderr).trim().to_owned())
        })
    }

    /// A policy that names a signer instead of digests. With `refused` the values must be refused with that code.
    fn reference_values(&self, url: &str, image: &Image, refused: Option<&str>) -> anyhow::Result<Verdict> {
        let dir = self.context.folder()?;
        let (key, log) = (dir.join("release.key"), dir.join("log.key"));
        image_builder::release::keygen(&key, &log, "test.example/cloister")?;
        let signer = fs::read_to_string(key.with_extension("pub"))?;
        let keys = image_builder::release::ReleaseKeys::load(&key, None)?;
        let values = image_builder::publish::sign(&image.dir, &keys.release, crate::now(), 7)?;
        let own = dir.join("values.corim");
        fs::rename(values, &own)?;
        let policy = dir.join("policy.toml");
        fs::write(&policy, asking(&fs::read_to_string(&self.policy)?, signer.trim())?)?;
        let mut command = self.cloister(&["--json", "verify", url], &policy);
        let output = command.arg("--reference-values").arg(&own).output()?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let said = format!("{text}{}", String::from_utf8_lossy(&output.stderr));
        Ok(match (refused, output.status.success()) {
            (None, true) => Verdict::Passed("signed by the named key, mode production".to_owned()),
            (Some(code), false) if said.contains(code) => Verdict::Passed(format!("refused: {code}")),
            _ => Verdict::Failed(said.chars().take(300).collect()),
        })
    }

    fn audit(&self, url: &str, image: &Path) -> anyhow::Result<(Verdict, String)> {
        let mut command = self.cloister(&["audit", url], &self.policy);
        let output = command.arg("--image").arg(image).output()?;
        let lines = String::from_utf8_lossy(&output.stdout).into_owned();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let verdict = match output.status.code() {
            Some(0) => Verdict::Passed("every line equal".to_owned()),
            code => Verdict::Failed(format!("exit code {code:?}: {}", said.trim())),
        };
        Ok((verdict, lines))
    }

    /// The auditor's own image, with one byte of its ramdisk changed: not what runs, and the audit says which file.
    fn audit_after_a_change(&self, context: &Context, url: &str, image: &Image) -> anyhow::Result<Verdict> {
        let dir = context.folder()?;
        for name in image.manifest.artifacts.keys().map(String::as_str).chain(["manifest.json"]) {
            std::os::unix::fs::symlink(image.file(name), dir.join(name))?;
        }
        let changed = context.flipped(&image.file("initrd.cpio"), 0x1_0000)?;
        fs::remove_file(dir.join("initrd.cpio"))?;
        fs::rename(changed, dir.join("initrd.cpio"))?;
        let mut command = self.cloister(&["audit", url], &self.policy);
        let output = command.arg("--image").arg(&dir).output()?;
        let lines = String::from_utf8_lossy(&output.stdout).into_owned();
        let named = lines.lines().find(|line| line.contains("initrd.cpio") && line.contains("DIFFERS"));
        Ok(match (output.status.code(), named) {
            (Some(10), Some(line)) => Verdict::Passed(line.trim().chars().take(100).collect()),
            (code, _) => Verdict::Failed(format!("exit code {code:?}; {}", lines.lines().last().unwrap_or_default())),
        })
    }
}

/// The policy with a signer in the place of digests.
fn asking(policy: &str, signer: &str) -> anyhow::Result<String> {
    let mut lines: Vec<String> = Vec::new();
    let mut replaced = 0;
    for line in policy.lines() {
        let name = line.split(" = ").next().unwrap_or_default();
        if line.starts_with("launch_digests = [") {
            replaced += 1;
            lines.push("launch_digests = \"reference-values\"".to_owned());
        } else if matches!(name, "signers") {
            lines.push(format!("signers = [\"{signer}\"]"));
        } else {
            lines.push(line.to_owned());
        }
    }
    if replaced != 1 {
        bail!("the policy has {replaced} lists of launch digests");
    }
    let table = format!(
        "\n[reference_values]\nsigners = [\"{signer}\"]\nflavours = [\"cpu\", \"debug\"]\nmodes = [\"production\"]\n\
         image_version_min = \"0.0.1\"\n"
    );
    let text = lines.join("\n");
    Ok(if text.contains("[reference_values]") { text } else { text + &table })
}
