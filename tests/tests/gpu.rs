//! The GPU behind NVIDIA's driver: judged before it takes work, watched while it does. The double stands where the driver's library
//! is loaded (`tests/doubles/nvml.c`); everything from `cloister-nvml` on is what production runs.

use std::sync::Arc;
use std::time::{Duration, Instant};

use acceptance::nvml_double::GpuPlayed;
use acceptance::payer::{CHAT, Payer};
use acceptance::processes::{repo_root, signal, soon};
use acceptance::raw;
use acceptance::scripted_engine::{ScriptedEngine, Step, text_chunk};
use acceptance::world::run;
use acceptance::{World, cli};
use attestation::gpu::{GpuEvidence, GpuReport};
use attestation::{AttestationDocument, Nonce};
use serde_json::{Value, json};

/// From a change to a node that takes no more work (issue: drain within 5 s).
const DRAIN: Duration = Duration::from_secs(5);

/// What NVIDIA publishes as a sample: a real H100's answer to a nonce that nobody here drew.
fn captured() -> GpuEvidence {
    let dir = repo_root().join("tests/vectors/nvidia/real/h100-580.95.05-coco");
    let json = std::fs::read(dir.join("evidence.json")).unwrap();
    GpuEvidence::list_from_json(&json).unwrap().remove(0)
}

fn played(world: &World) -> std::sync::MutexGuard<'_, GpuPlayed> {
    world.nvml().unwrap().played()
}

async fn epoch(world: &World) -> u64 {
    let answer = raw::get(world.guardian_port(), &format!("/v1/attestation?nonce={}", Nonce::random().unwrap())).await;
    AttestationDocument::from_json(&answer.unwrap().body).unwrap().gpu.unwrap().epoch
}

#[test]
fn a_gpu_takes_work_only_after_the_guardian_judged_it_and_clients_do_too() {
    let mut world = World::builder().by_nvml().start().unwrap();
    assert_eq!(played(&world).calls, ["ready 0", "report", "ready 1"], "it is asked first, and only then told");
    let verified = cli::verify(&world, &world.guardian_url()).unwrap().success().unwrap();
    let claims = verified.json["node"]["claims"].as_array().unwrap();
    assert!(claims.iter().any(|claim| claim["name"] == "gpu.attested" && claim["value"] == true), "{claims:?}");
    let wallet = cli::funded_wallet(&world, "w", 100_000).unwrap();
    let run = cli::chat(&world, &wallet, "Say hello.", &[]).unwrap().success().unwrap();
    // The receipt names the evidence that the client appraised, or a later one.
    let kept: Value = serde_json::from_slice(&std::fs::read(run.text("/receipt/file").unwrap()).unwrap()).unwrap();
    let events = kept["receipt"]["event_log"].as_array().unwrap();
    let named = events.iter().find(|event| event["type"] == "gpu.evidence").unwrap();
    let document = AttestationDocument::from_json(kept["attestation"].to_string().as_bytes()).unwrap();
    let binding = document.gpu.unwrap().binding();
    assert_eq!((&named["evidence_digest"], &named["epoch"]), (&json!(binding.evidence_digest), &json!(binding.epoch)));

    // Killed, a guardian leaves it taking work; the next one takes that back before it has judged.
    world.kill_guardian().unwrap();
    assert_eq!(played(&world).ready, 1);
    played(&world).calls.clear();
    world.start_guardian().unwrap();
    assert_eq!(played(&world).calls, ["ready 0", "report", "ready 1"]);
    // Stopped, it takes it back itself.
    assert!(world.stop_guardian().unwrap());
    assert_eq!(played(&world).ready, 0);
}

/// What is wrong at boot, the code it is refused with, and how it is played.
type Wrong = (&'static str, &'static str, fn(&mut GpuPlayed));

const AT_BOOT: &[Wrong] = &[
    ("confidential mode off", "gpu.not_confidential", |gpu| gpu.settings[1] = 0),
    ("developers' tools on", "gpu.developer_tools", |gpu| gpu.settings[2] = 1),
    ("a simulation", "gpu.no_hardware", |gpu| gpu.settings[0] = 1),
    ("protected PCIe", "gpu.joined", |gpu| gpu.settings[3] = 1),
    ("encrypted NVLink", "gpu.joined", |gpu| gpu.settings[3] = 2),
    ("a mode that has no name", "gpu.lost", |gpu| gpu.settings[3] = 7),
    ("no device", "gpu.count", |gpu| gpu.devices = 0),
    ("two devices", "gpu.count", |gpu| gpu.devices = 2),
    ("a device that fell off the bus", "gpu.lost", |gpu| gpu.code = 15),
    ("another genuine device than is endorsed", "gpu.ocsp.cert_id", |gpu| gpu.number = 9),
    ("an answer to another nonce", "gpu.nonce_mismatch", |gpu| gpu.other_nonce = true),
    ("another measurement", "gpu.measurement_mismatch", |gpu| gpu.other_measurement = true),
    ("NVIDIA's own sample, replayed", "chain.root_unknown", |gpu| gpu.replayed = Some(captured())),
    ("more report than fits", "gpu.lost", |gpu| gpu.report_size = Some(9000)),
    ("no report", "gpu.lost", |gpu| gpu.report_size = Some(0)),
    ("half a report", "gpu.length", |gpu| gpu.report_size = Some(1000)),
    ("more certificates than fit", "gpu.lost", |gpu| gpu.chain_size = Some(5121)),
    ("half a chain", "chain.", |gpu| gpu.chain_size = Some(2000)),
    ("a UUID that never ends", "gpu.lost", |gpu| gpu.uuid = "U".repeat(120)),
    ("a driver whose name is none", "gpu.lost", |gpu| gpu.driver = "5 80".to_owned()),
    ("a state that may not be set", "no permission", |gpu| gpu.ready_code = 4),
];

#[test]
fn a_gpu_that_is_not_right_takes_no_work_and_the_node_does_not_start() {
    let mut world = World::builder().by_nvml().start().unwrap();
    assert!(world.stop_guardian().unwrap());
    for (what, code, spoil) in AT_BOOT {
        {
            let mut gpu = played(&world);
            // As a guardian that was killed left it.
            *gpu = GpuPlayed { ready: 1, ..GpuPlayed::default() };
            spoil(&mut gpu);
        }
        let refused = world.start_guardian().unwrap_err().to_string();
        assert!(refused.contains("ended with exit status: 1") && refused.contains(code), "{what}: {refused}");
        let gpu = played(&world);
        let told = gpu.ready == 0 || gpu.ready_code != 0;
        assert!(told && !gpu.calls.contains(&"ready 1".to_owned()), "{what}: {:?}", gpu.calls);
    }
    *played(&world) = GpuPlayed::default();
    world.kill_nvml_service().unwrap();
    let refused = world.start_guardian().unwrap_err().to_string();
    assert!(refused.contains("gpu.lost"), "{refused}");
    world.start_nvml_service().unwrap();

    // Whatever else is wrong: judged, told to take work, and told not to.
    world.kill_ledger().unwrap();
    let refused = world.start_guardian().unwrap_err().to_string();
    assert!(refused.contains("connect to the ledger"), "{refused}");
    assert_eq!(played(&world).calls, ["ready 0", "report", "ready 1", "ready 0"]);
    world.start_ledger().unwrap();
    world.start_guardian().unwrap();
}

/// An engine whose streams never end, and whose plain answers never come.
fn endless(world: &World) -> ScriptedEngine {
    let script = |asked: &Value| {
        if asked["stream"] != true {
            return vec![Step::Pause(Duration::from_secs(60))];
        }
        let piece = [Step::event(&text_chunk("word ")), Step::Pause(Duration::from_millis(200))];
        let mut steps = vec![Step::stream_head()];
        steps.extend(std::iter::repeat_n(piece, 150).flatten());
        steps
    };
    ScriptedEngine::start(&world.engine_socket(), Arc::new(script)).unwrap()
}

const WHILE_IT_WORKS: &[Wrong] = &[
    ("it is gone", "gpu.lost", |gpu| gpu.code = 15),
    ("another device is in its place", "gpu.state_changed", |gpu| {
        gpu.number = 9;
        gpu.uuid = "GPU-99999999-2222-3333-4444-555555555555".to_owned();
    }),
    ("another device that lies about its name", "gpu.device_changed", |gpu| {
        gpu.number = 9;
        gpu.events = 1;
    }),
    ("it was reset", "gpu.device_changed", |gpu| {
        gpu.chains.clear();
        gpu.events = 1;
    }),
    ("it measures something else", "gpu.measurement_mismatch", |gpu| {
        gpu.other_measurement = true;
        gpu.events = 1;
    }),
    ("developers' tools were let in", "gpu.developer_tools", |gpu| gpu.settings[2] = 1),
    ("somebody took its work away", "gpu.not_ready", |gpu| gpu.ready = 0),
    ("another driver was loaded", "gpu.state_changed", |gpu| gpu.driver = "590.12".to_owned()),
];

/// In each case: no new tab, what is under way broken off, the GPU told, and the tab settled, all in time.
#[tokio::test(flavor = "multi_thread")]
async fn a_gpu_that_changes_while_it_works_stops_the_node_within_five_seconds() {
    let mut world = tokio::task::spawn_blocking(|| World::builder().by_nvml().start().unwrap()).await.unwrap();
    tokio::task::block_in_place(|| world.kill_guardian()).unwrap();
    tokio::task::block_in_place(|| world.kill_engine()).unwrap();
    let _engine = endless(&world);
    for (what, code, change) in WHILE_IT_WORKS {
        *played(&world) = GpuPlayed::default();
        stops(&mut world, what, code, |world| change(&mut played(world))).await;
        assert_eq!(played(&world).calls.last().unwrap(), "ready 0", "{what}: it was told to take no more work");
    }
    // The process that speaks to the driver is part of it: gone, another one, or stuck. Nobody can be told then.
    *played(&world) = GpuPlayed::default();
    stops(&mut world, "the service is gone", "gpu.lost", |world| world.kill_nvml_service().unwrap()).await;
    tokio::task::block_in_place(|| world.start_nvml_service()).unwrap();
    stops(&mut world, "another service", "gpu.state_changed", |world| {
        world.kill_nvml_service().unwrap();
        world.start_nvml_service().unwrap();
    })
    .await;
    stops(&mut world, "the service hangs", "gpu.lost", |world| {
        signal(world.nvml_service_pid().unwrap(), "STOP").unwrap();
    })
    .await;
    drop(tokio::task::spawn_blocking(move || drop(world)).await);
}

async fn stops(world: &mut World, what: &str, code: &str, change: impl FnOnce(&mut World)) {
    tokio::task::block_in_place(|| world.start_guardian()).unwrap();
    let mut payer = Payer::new(world, 64 * 1024).await.unwrap();
    let spend = payer.opened(1024, 600).await.unwrap();
    let next = payer.prepare(1024, 600).unwrap();
    let next = payer.tab_request(&next).unwrap();
    let port = world.guardian_port();
    let ask = |stream: bool| {
        let body = json!({"model": "smollm2-135m", "stream": stream, "max_tokens": 20,
            "messages": [{"role": "user", "content": "go on"}]});
        let headers = payer.chat_headers(&spend, &stream.to_string(), body.to_string().as_bytes());
        let mut request = http::Request::post(CHAT).header("content-type", "application/json");
        for (name, value) in headers.pairs() {
            request = request.header(name, value);
        }
        tokio::spawn(raw::send_and_take_what_comes(port, request.body(body.to_string().into()).unwrap()))
    };
    let (streaming, waiting) = (ask(true), ask(false));
    tokio::time::sleep(Duration::from_millis(500)).await;

    tokio::task::block_in_place(|| change(world));
    let changed = Instant::now();
    // A node that has ended refuses the connection, which is a refusal too.
    while payer.open(&next).await.is_ok_and(|answer| answer.code() != "node.draining") {
        assert!(changed.elapsed() < DRAIN, "{what}: new tabs are taken\n{}", world.guardian_log());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let (answer, whole) = streaming.await.unwrap().unwrap();
    let text = String::from_utf8_lossy(&answer.body);
    assert!(
        !whole && text.contains("word ") && text.contains("node.draining") && !text.contains("[DONE]"),
        "{what}: {text}"
    );
    let (answer, _) = waiting.await.unwrap().unwrap();
    assert_eq!((answer.status.as_u16(), answer.code().as_str()), (503, "node.draining"), "{what}");
    assert!(changed.elapsed() < DRAIN, "{what}: {:?}", changed.elapsed());
    let ended = tokio::task::block_in_place(|| world.wait_for_guardian("never said")).unwrap_err().to_string();
    assert!(ended.contains(code) && ended.contains("ended with exit status: 1"), "{what}: {ended}");
    payer.sync().await.unwrap();
    let (spendable, reserved, _) = payer.balance();
    assert!(reserved == 0 && spendable < 64 * 1024, "{what}: the tab is settled at what was told");
}

/// A critical event is no fault by itself: the GPU is attested again at once, and goes on if it is what it was.
#[tokio::test(flavor = "multi_thread")]
async fn after_a_critical_event_the_gpu_is_attested_again() {
    let world = tokio::task::spawn_blocking(|| World::builder().by_nvml().start().unwrap()).await.unwrap();
    assert_eq!(epoch(&world).await, 0);
    played(&world).events = 1;
    // Before anybody asks for it.
    let reports = |world: &World| played(world).calls.iter().filter(|call| *call == "report").count();
    let deadline = Instant::now() + DRAIN;
    while reports(&world) == 1 {
        assert!(Instant::now() < deadline, "{}", world.guardian_log());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(epoch(&world).await, 1);
    assert_eq!(played(&world).calls, ["ready 0", "report", "ready 1", "report"], "it took work all the while");
    drop(tokio::task::spawn_blocking(move || drop(world)).await);
}

/// The program for people: what a real H100 said passes through it byte by byte, and what makes no sense is said.
#[test]
fn what_the_driver_gives_is_passed_on_byte_by_byte() {
    let world = World::builder().by_nvml().start().unwrap();
    let double = world.nvml().unwrap();
    let nvml = |arguments: &[&str]| {
        let mut command = double.command(world.program("cloister-nvml"));
        command.args(arguments);
        command
    };
    let real = captured();
    let nonce = hex::encode(GpuReport::parse(&real.report).unwrap().nonce);
    played(&world).replayed = Some(real.clone());
    let said = run(&mut nvml(&["evidence", "--nonce", &nonce])).unwrap();
    assert_eq!(GpuEvidence::list_from_json(said.as_bytes()).unwrap(), [real]);
    let state: Value = serde_json::from_str(&run(&mut nvml(&["state", "--json"])).unwrap()).unwrap();
    assert_eq!(
        (&state["confidential"], &state["dev_tools"], &state["ready"]),
        (&json!(true), &json!(false), &json!(true))
    );
    let told = run(&mut nvml(&["state"])).unwrap();
    assert!(told.contains("confidential      yes") && told.contains("GPU-11111111"), "{told}");
    for (arguments, reason) in [
        (&["evidence", "--nonce", "00"][..], "32 bytes in hex"),
        (&["state", "--library", "/nowhere/libnvidia-ml.so.1"], "load /nowhere"),
    ] {
        let mut command = world.program("cloister-nvml");
        if !arguments.contains(&"--library") {
            command = double.command(command);
        }
        let refused = run(command.args(arguments)).unwrap_err().to_string();
        assert!(refused.contains("exit status: 1") && refused.contains(reason), "{refused}");
    }
    played(&world).code = 15;
    let refused = run(&mut nvml(&["state"])).unwrap_err().to_string();
    assert!(refused.contains("the GPU is lost"), "{refused}");
    assert!(soon(|| world.guardian_log().contains("gpu.lost")));
    // A socket that cannot be made ends the program, which says so.
    let refused = run(&mut nvml(&["serve", "--socket", "/nowhere/nvml.sock"])).unwrap_err().to_string();
    assert!(refused.contains("listen on /nowhere/nvml.sock"), "{refused}");
}
