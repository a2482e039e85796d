//! One accepted GPU, one fault per row, the exact code of the refusal; and every GPU code must have a row.

use std::collections::BTreeSet;

use attestation::gpu::{GpuEndorsements, GpuEvidence, GpuRejection};
use attestation::{ChainFault, RejectionClass, STRICT_POLICY, Transcript, UnixTime};
use attestation_testing::gpu::{CertIdHash, FakeGpu, FakeRim, FwidForm};

use crate::gpu_chain_faults::{chain_rows, ocsp_rows};
use crate::gpu_support::{Case, NONCE, NOW, accepted, keys};
use crate::support::{code, parse_policy, with_item};

/// What one row spoils.
pub(crate) enum Spoil {
    /// Something before it is signed.
    Gpu(fn(&mut FakeGpu<'_>)),
    /// The finished evidence.
    Evidence(fn(&mut GpuEvidence)),
    /// The finished endorsements.
    Endorsements(fn(&mut GpuEndorsements)),
    /// An item of the policy.
    Policy(&'static str, &'static str),
    /// Anything else about the appraisal.
    Case(fn(&mut Case)),
}

use Spoil::{Endorsements, Evidence, Gpu, Policy};

pub(crate) type Row = (&'static str, Spoil);

fn run(spoil: &Spoil) -> &'static str {
    let mut gpu = accepted();
    if let Gpu(fault) = spoil {
        fault(&mut gpu);
    }
    let mut case = Case::of(&gpu);
    match spoil {
        Gpu(_) => {}
        Evidence(fault) => fault(&mut case.evidence[0]),
        Endorsements(fault) => fault(&mut case.endorsements),
        Policy(item, value) => case.policy = parse_policy(&with_item(STRICT_POLICY, item, value)),
        Spoil::Case(fault) => fault(&mut case),
    }
    code(&case.appraise())
}

fn driver<'a>(gpu: &'a mut FakeGpu<'_>) -> &'a mut FakeRim {
    gpu.driver_rim.as_mut().unwrap()
}

fn edit(from: &str, to: &str) -> Vec<(String, String)> {
    vec![(from.to_owned(), to.to_owned())]
}

fn report_rows() -> Vec<Row> {
    vec![
        ("gpu.length", Evidence(|evidence| evidence.report.push(0))),
        ("gpu.length", Evidence(|evidence| evidence.report.truncate(evidence.report.len() - 1))),
        ("gpu.length", Evidence(|evidence| evidence.report.clear())),
        ("gpu.length", Evidence(|evidence| evidence.report.resize(8193, 0))),
        ("gpu.length", Gpu(|gpu| gpu.report.overwrite.push((44, 0xff)))),
        ("gpu.malformed", Gpu(|gpu| gpu.report.overwrite.push((1, 0xe1)))),
        ("gpu.malformed", Gpu(|gpu| gpu.report.overwrite.push((2, 0)))),
        ("gpu.malformed", Gpu(|gpu| gpu.report.overwrite.push((3, 0xfe)))),
        ("gpu.malformed", Gpu(|gpu| gpu.report.overwrite.push((36, 1)))),
        ("gpu.malformed", Gpu(|gpu| gpu.report.overwrite.push((38, 0x61)))),
        ("gpu.malformed", Gpu(|gpu| gpu.report.overwrite.push((39, 1)))),
        ("gpu.malformed", Gpu(|gpu| gpu.report.overwrite.push((40, 1)))),
        // One block fewer than the record holds, one more, and a value that contradicts its block.
        ("gpu.malformed", Gpu(|gpu| gpu.report.overwrite.push((41, 63)))),
        ("gpu.malformed", Gpu(|gpu| gpu.report.overwrite.push((41, 65)))),
        ("gpu.malformed", Gpu(|gpu| gpu.report.overwrite.push((50, 47)))),
        ("gpu.spdm_version", Gpu(|gpu| gpu.report.overwrite.push((0, 0x12)))),
        ("gpu.spdm_version", Gpu(|gpu| gpu.report.overwrite.push((37, 0x10)))),
        ("gpu.no_blocks", Gpu(|gpu| gpu.report.blocks.clear())),
        ("gpu.block_index", Gpu(|gpu| gpu.report.blocks[5].0 = 5)),
        ("gpu.block_index", Gpu(|gpu| gpu.report.blocks[0].0 = 0)),
        ("gpu.block_index", Gpu(|gpu| gpu.report.blocks.swap(3, 4))),
        ("gpu.measurement_specification", Gpu(|gpu| gpu.report.overwrite.push((46, 2)))),
        ("gpu.measurement_specification", Gpu(|gpu| gpu.report.overwrite.push((49, 0x81)))),
        ("gpu.measurement_specification", Gpu(|gpu| gpu.report.overwrite.push((49, 5)))),
        ("gpu.opaque_malformed", Gpu(|gpu| gpu.report.opaque_tail = vec![9, 0, 1])),
        ("gpu.opaque_malformed", Gpu(|gpu| gpu.report.opaque_tail = vec![9, 0, 2, 0, 1])),
        ("gpu.opaque_malformed", Gpu(|gpu| gpu.report.set_opaque(3, Some(b"580 95\0")))),
        ("gpu.opaque_malformed", Gpu(|gpu| gpu.report.set_opaque(3, Some(b"580.95.05\0x")))),
        ("gpu.opaque_malformed", Gpu(|gpu| gpu.report.set_opaque(3, Some(b"")))),
        ("gpu.opaque_malformed", Gpu(|gpu| gpu.report.set_opaque(17, Some(&[b'1'; 65])))),
        ("gpu.opaque_malformed", Gpu(|gpu| gpu.report.set_opaque(6, Some(&[0, 0x9f, 0, 0x96, 1, 1, 0, 0])))),
        ("gpu.opaque_malformed", Gpu(|gpu| gpu.report.set_opaque(11, Some(&[0xab])))),
        ("gpu.opaque_malformed", Gpu(|gpu| gpu.report.set_opaque(20, Some(&[0xf1; 47])))),
        ("gpu.opaque_malformed", Gpu(|gpu| gpu.report.set_opaque(21, Some(&[0xaa, 0xaa])))),
        ("gpu.opaque_malformed", Gpu(|gpu| gpu.report.set_opaque(22, Some(&[0; 12])))),
        ("gpu.opaque_malformed", Gpu(|gpu| gpu.report.set_opaque(22, Some(&[])))),
        ("gpu.opaque_malformed", Gpu(|gpu| gpu.report.set_opaque(34, Some(&[1])))),
        ("gpu.opaque_malformed", Gpu(|gpu| gpu.report.set_opaque(36, Some(&[0, 0, 0])))),
        ("gpu.opaque_duplicate", Gpu(|gpu| gpu.report.opaque.push((3, b"580.95.05".to_vec())))),
        ("gpu.opaque_duplicate", Gpu(|gpu| gpu.report.opaque.extend([(999, vec![]), (999, vec![])]))),
        ("gpu.signature", Evidence(|evidence| *evidence.report.last_mut().unwrap() ^= 1)),
        ("gpu.signature", Evidence(|evidence| evidence.report[60] ^= 1)),
        ("gpu.signature", Gpu(|gpu| gpu.report.signed_by = attestation_testing::gpu::KeyName::Brom)),
        ("gpu.nonce_mismatch", Spoil::Case(|case| case.nonce = [0x4f; 32])),
        (
            "gpu.nonce_mismatch",
            // The verifier's nonce in the device's half of the exchange.
            Spoil::Case(|case| {
                let mut gpu = accepted();
                gpu.report.responder_nonce = NONCE;
                case.evidence = vec![gpu.evidence([0; 32])];
            }),
        ),
    ]
}

fn device_rows() -> Vec<Row> {
    vec![
        ("gpu.fwid_malformed", Gpu(|gpu| gpu.chain[0].fwid = FwidForm::Garbage)),
        ("gpu.fwid_mismatch", Gpu(|gpu| gpu.chain[0].fwid = FwidForm::Composite([0xf2; 48]))),
        ("gpu.fwid_mismatch", Gpu(|gpu| gpu.chain[0].fwid = FwidForm::TcbInfo([0xf2; 48]))),
        ("gpu.fwid_mismatch", Gpu(|gpu| gpu.chain[0].fwid = FwidForm::Absent)),
        ("gpu.fwid_mismatch", Gpu(|gpu| gpu.report.set_opaque(20, Some(&[0xf2; 48])))),
        ("gpu.fwid_absent", Gpu(|gpu| gpu.report.set_opaque(20, None))),
        (
            "gpu.architecture_unknown",
            Gpu(|gpu| {
                let renamed = |name: &str| name.replace("GH100", "GX100");
                for at in 0..3 {
                    gpu.chain[at].common_name = renamed(&gpu.chain[at].common_name);
                    gpu.chain[at].issuer_name = gpu.chain[at].issuer_name.replace("GH100 A01", "GX100 A01");
                }
                gpu.chain[1].issuer_name = renamed(&gpu.chain[1].issuer_name);
            }),
        ),
        ("gpu.architecture_not_allowed", Policy("gpu.devices.architectures", "[\"blackwell\"]")),
        ("gpu.device_not_allowed", Policy("gpu.devices.serials", "[\"410500\"]")),
        ("gpu.count", Policy("gpu.devices.gpus", "{ min = 2, max = 8 }")),
        ("gpu.count", Spoil::Case(|case| case.evidence.clear())),
        ("gpu.count", Spoil::Case(|case| case.evidence.push(FakeGpu::numbered(keys(), NOW, 1).evidence(NONCE)))),
        (
            "gpu.device_repeated",
            Spoil::Case(|case| {
                case.policy = parse_policy(&with_item(STRICT_POLICY, "gpu.devices.gpus", "{ min = 2, max = 2 }"));
                case.evidence.push(accepted().evidence(NONCE));
            }),
        ),
        (
            "gpu.device_repeated",
            // Another certificate for the same device.
            Spoil::Case(|case| {
                case.policy = parse_policy(&with_item(STRICT_POLICY, "gpu.devices.gpus", "{ min = 2, max = 2 }"));
                let mut gpu = accepted();
                gpu.chain[0].serial = vec![1];
                case.evidence.push(gpu.evidence(NONCE));
            }),
        ),
        ("gpu.mode_absent", Gpu(|gpu| gpu.report.set_opaque(36, None))),
        ("gpu.mode_absent", Gpu(|gpu| gpu.report.set_opaque(34, None))),
        ("gpu.mode_absent", Gpu(|gpu| gpu.report.set_opaque(34, Some(&[0, 0])))),
        ("gpu.mode_unknown", Gpu(|gpu| gpu.report.set_opaque(36, Some(&[3, 0])))),
        ("gpu.mode_not_allowed", Gpu(|gpu| gpu.report.set_opaque(36, Some(&[1, 0])))),
        ("gpu.mode_not_allowed", Gpu(|gpu| gpu.report.set_opaque(36, Some(&[2, 0])))),
        ("gpu.protected_pcie", Gpu(|gpu| gpu.report.set_opaque(21, Some(&[0xaa])))),
        ("gpu.protected_pcie", Gpu(|gpu| gpu.report.set_opaque(21, None))),
        ("gpu.protected_pcie", Policy("gpu.devices.protected_pcie", "\"required\"")),
        ("gpu.version_not_allowed", Policy("gpu.driver.versions", "{ minimum = \"580.95.06\" }")),
        ("gpu.version_not_allowed", Policy("gpu.driver.versions", "{ allowed = [\"580.95.04\", \"590.12\"] }")),
        ("gpu.version_not_allowed", Policy("gpu.vbios.versions", "{ minimum = \"96.00.9F.00.02\" }")),
        ("gpu.version_not_allowed", Gpu(|gpu| gpu.report.set_opaque(3, None))),
    ]
}

fn manifest_rows() -> Vec<Row> {
    const SIGNED: &str = "</ds:SignatureValue>";
    vec![
        ("gpu.rim.missing", Gpu(|gpu| gpu.driver_rim = None)),
        ("gpu.rim.missing", Gpu(|gpu| gpu.vbios_rim = None)),
        ("gpu.rim.malformed", Endorsements(|given| given.driver_rim = Some(Vec::new()))),
        ("gpu.rim.malformed", Endorsements(|given| given.driver_rim = Some(vec![0xff; 10]))),
        ("gpu.rim.malformed", Gpu(|gpu| driver(gpu).edit_signed = edit("\n    <ns0:Meta", "\r    <ns0:Meta"))),
        ("gpu.rim.malformed", Gpu(|gpu| driver(gpu).edit_signed = edit(" corpus", "  corpus"))),
        (
            "gpu.rim.malformed",
            Gpu(|gpu| driver(gpu).edit_signed = edit("</SoftwareIdentity>\n", "</SoftwareIdentity> ")),
        ),
        ("gpu.rim.malformed", Gpu(|gpu| driver(gpu).edit_signed = edit(SIGNED, "=</ds:SignatureValue>"))),
        ("gpu.rim.limit", Endorsements(|given| given.driver_rim.as_mut().unwrap().resize(256 * 1024 + 1, b'\n'))),
        ("gpu.rim.forbidden", Gpu(|gpu| driver(gpu).edit_signed = edit("<Soft", "<!DOCTYPE a><Soft"))),
        ("gpu.rim.forbidden", Gpu(|gpu| driver(gpu).edit_signed = edit("    <ns0:Meta", "<!-- --><ns0:Meta"))),
        ("gpu.rim.forbidden", Gpu(|gpu| driver(gpu).edit_signed = edit("role=\"soft", "role=\"&#115;oft"))),
    ]
}

fn schema_rows() -> Vec<Row> {
    vec![
        ("gpu.rim.schema", Gpu(|gpu| driver(gpu).edit_document = edit("corpus=\"false\"", "corpus=\"true\""))),
        ("gpu.rim.schema", Gpu(|gpu| driver(gpu).edit_document = edit("name=\"GH100\"", "name=\"GH200\""))),
        ("gpu.rim.schema", Gpu(|gpu| driver(gpu).edit_document = edit("name=\"NVIDIA", "name=\"Another"))),
        ("gpu.rim.schema", Gpu(|gpu| driver(gpu).edit_document = edit("colloquialVersion", "colloquialVersio"))),
        ("gpu.rim.schema", Gpu(|gpu| driver(gpu).edit_document = edit("    <ns0:Meta", "text<ns0:Meta"))),
        ("gpu.rim.schema", Gpu(|gpu| driver(gpu).edit_document = edit("<ns0:Payload>", "<ns0:Payload>text"))),
        ("gpu.rim.schema", Gpu(|gpu| driver(gpu).edit_document = edit("active=\"True\"", "active=\"true\""))),
        ("gpu.rim.schema", Gpu(|gpu| driver(gpu).edit_document = edit("index=\"20\"", "index=\"020\""))),
        ("gpu.rim.schema", Gpu(|gpu| driver(gpu).edit_document = edit("type=\"Measurement\"", "type=\"File\""))),
        ("gpu.rim.schema", Gpu(|gpu| driver(gpu).edit_document = edit("alternatives=\"1\"", "alternatives=\"2\""))),
        ("gpu.rim.schema", Gpu(|gpu| driver(gpu).edit_document = edit("size=\"48\"", "size=\"47\""))),
        ("gpu.rim.schema", Gpu(|gpu| driver(gpu).measurements[3].index = 4)),
        (
            "gpu.rim.schema",
            // The signed document inside a new root.
            Gpu(|gpu| {
                driver(gpu).edit_signed = edit("<SoftwareIdentity", "<Wrapper><SoftwareIdentity");
                driver(gpu).edit_signed.extend(edit("</SoftwareIdentity>", "</SoftwareIdentity></Wrapper>"));
            }),
        ),
        ("gpu.rim.schema", Gpu(|gpu| driver(gpu).edit_signed = edit("<ds:KeyInfo>", "<ds:KeyInfo Id=\"a\">"))),
        (
            "gpu.rim.schema",
            Gpu(|gpu| driver(gpu).edit_signed = edit("<ds:KeyInfo>", "<ds:Object></ds:Object><ds:KeyInfo>")),
        ),
        ("gpu.rim.schema", Gpu(|gpu| driver(gpu).edit_signed = edit("<ds:KeyInfo>", "\n<ds:KeyInfo>"))),
        ("gpu.rim.schema", Endorsements(|given| given.driver_rim = Some(second_signature()))),
    ]
}

fn signature_rows() -> Vec<Row> {
    vec![
        ("gpu.rim.algorithm", Gpu(|gpu| driver(gpu).edit_signed_info = edit("more#ecdsa-sha384", "more#ecdsa-sha256"))),
        ("gpu.rim.algorithm", Gpu(|gpu| driver(gpu).edit_signed_info = edit("more#sha384", "more#sha256"))),
        (
            "gpu.rim.algorithm",
            Gpu(|gpu| driver(gpu).edit_signed_info = edit("2006/12/xml-c14n11", "2001/10/xml-exc-c14n#")),
        ),
        ("gpu.rim.reference", Gpu(|gpu| driver(gpu).edit_signed_info = edit("URI=\"\"", "URI=\"#a\""))),
        ("gpu.rim.reference", Gpu(|gpu| driver(gpu).edit_signed_info = edit("URI=\"\"", "Id=\"a\" URI=\"\""))),
        ("gpu.rim.reference", Gpu(|gpu| driver(gpu).edit_signed_info = edit("#enveloped-signature", "#base64"))),
        (
            "gpu.rim.reference",
            Gpu(|gpu| {
                driver(gpu).edit_signed_info =
                    edit("</ds:Transforms>", "<ds:Transform></ds:Transform></ds:Transforms>");
            }),
        ),
        ("gpu.rim.digest", Gpu(|gpu| driver(gpu).edit_signed = edit("tagId=\"simulated\"", "tagId=\"Simulated\""))),
        ("gpu.rim.digest", Gpu(|gpu| driver(gpu).edit_signed = edit("active=\"True\"", "active=\"False\""))),
        ("gpu.rim.signature", Gpu(|gpu| driver(gpu).signed_by = attestation_testing::gpu::KeyName::RimL3)),
    ]
}

fn comparison_rows() -> Vec<Row> {
    vec![
        ("gpu.rim.product", Gpu(|gpu| driver(gpu).product = "GB100".to_owned())),
        ("gpu.rim.version", Gpu(|gpu| driver(gpu).version = "580.95.06".to_owned())),
        ("gpu.rim.version", Gpu(|gpu| gpu.vbios_rim = Some(FakeRim::driver()))),
        ("gpu.rim.version", Gpu(|gpu| gpu.report.set_opaque(6, None))),
        ("gpu.rim.index_conflict", Gpu(|gpu| driver(gpu).measurements[7].active = true)),
        (
            "gpu.rim.empty",
            Gpu(|gpu| {
                for rim in [&mut gpu.driver_rim, &mut gpu.vbios_rim] {
                    rim.as_mut().unwrap().measurements.iter_mut().for_each(|measurement| measurement.active = false);
                }
            }),
        ),
        ("gpu.measurement_missing", Gpu(|gpu| drop(gpu.report.blocks.remove(25)))),
        ("gpu.measurement_mismatch", Gpu(|gpu| gpu.report.blocks[25].1[0] ^= 1)),
        ("gpu.measurement_mismatch", Gpu(|gpu| gpu.report.blocks[25].1.truncate(47))),
        ("gpu.measurement_mismatch", Gpu(|gpu| gpu.report.blocks[3].1 = gpu.report.blocks[4].1.clone())),
        (
            "gpu.measurement_mismatch",
            // Index 35 counts while the decoder is on, and while the report does not say.
            Gpu(|gpu| {
                gpu.report.set_opaque(11, Some(&[0xaa]));
                gpu.report.blocks[35].1[0] ^= 1;
            }),
        ),
        (
            "gpu.measurement_mismatch",
            Gpu(|gpu| {
                gpu.report.set_opaque(11, None);
                gpu.report.blocks[35].1[0] ^= 1;
            }),
        ),
    ]
}

/// The accepted manifest with its signature twice.
fn second_signature() -> Vec<u8> {
    let text = String::from_utf8(FakeRim::driver().sign(keys())).unwrap();
    let (from, to) = (text.find("<ds:Signature ").unwrap(), text.find("</SoftwareIdentity>").unwrap());
    [&text[..to], &text[from..to], &text[to..]].concat().into_bytes()
}

fn rows() -> Vec<Row> {
    let of_devices = [report_rows(), device_rows(), chain_rows()];
    let of_manifests = [manifest_rows(), schema_rows(), signature_rows(), comparison_rows(), ocsp_rows()];
    of_devices.into_iter().chain(of_manifests).flatten().collect()
}

#[test]
fn the_accepted_gpu_is_accepted_by_the_strict_policy() {
    let case = Case::of(&accepted());
    let mut transcript = Transcript::new();
    let claims = case.transcribed(&mut transcript).unwrap_or_else(|error| panic!("{error}\n{transcript}"));
    assert_eq!(claims.assurance(), attestation::AssuranceClass::Simulated);
    assert_eq!(claims.unchecked(), ["gpu.devices.serial", "gpu.vbios.version"]);
    let skipped: BTreeSet<&str> = transcript
        .checks
        .iter()
        .filter(|check| check.outcome == attestation::Outcome::Skip)
        .map(|check| check.id)
        .collect();
    assert_eq!(skipped.into_iter().collect::<Vec<_>>(), claims.unchecked());
    assert!(transcript.checks.iter().all(|check| check.id.starts_with("gpu.")), "{transcript}");
}

#[test]
fn each_gpu_fault_gives_its_code() {
    let mut wrong = Vec::new();
    for (number, (expected, spoil)) in rows().iter().enumerate() {
        let got = run(spoil);
        if got != *expected {
            wrong.push(format!("row {number}: expected {expected}, got {got}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_gpu_code_has_a_row() {
    let covered: BTreeSet<&str> =
        rows().iter().map(|(code, _)| *code).chain(JSON_ROWS.iter().map(|row| row.0)).collect();
    let codes = GpuRejection::codes();
    let missing: Vec<_> = codes.iter().filter(|code| !covered.contains(*code)).collect();
    assert!(missing.is_empty(), "{missing:?}");
    assert_eq!(codes.iter().collect::<BTreeSet<_>>().len(), codes.len(), "a code stands for one reason");
    let of_chains = ["chain.length", "chain.root_unknown", "chain.signature", "chain.role", "chain.expired"];
    assert!(of_chains.iter().all(|code| covered.contains(code) && ChainFault::codes().contains(code)));
}

/// Evidence as JSON.
const JSON_ROWS: &[(&str, &str, &str)] = &[
    ("gpu.evidence_malformed", "{", "[[{"),
    ("gpu.evidence_malformed", "\"arch\"", "\"extra\":0,\"arch\""),
    ("gpu.evidence_malformed", "\"arch\":\"HOPPER\",", ""),
    ("gpu.evidence_malformed", "4e4e", "4f4e"),
    ("gpu.evidence_malformed", "4e4e", "4E4e"),
    ("gpu.evidence_malformed", "\"evidence\":\"", "\"evidence\":\"*"),
    ("gpu.evidence_malformed", "\"certificate\":\"", "\"certificate\":\"*"),
    ("gpu.architecture_unknown", "HOPPER", "VOLTA"),
];

#[test]
fn evidence_in_json_is_read_strictly() {
    let gpu = accepted();
    let evidence = gpu.evidence(NONCE);
    let base64 = |bytes: &[u8]| serde_json::to_value(attestation::Base64(bytes.to_vec())).unwrap();
    let json = serde_json::json!({
        "arch": "HOPPER",
        "nonce": hex::encode(NONCE),
        "evidence": base64(&evidence.report),
        "certificate": base64(&evidence.certificate_chain),
    })
    .to_string();
    assert_eq!(GpuEvidence::list_from_json(json.as_bytes()).unwrap(), std::slice::from_ref(&evidence));
    let list = format!("[{json},{json}]");
    assert_eq!(GpuEvidence::list_from_json(list.as_bytes()).unwrap(), [evidence.clone(), evidence]);
    for (expected, from, to) in JSON_ROWS {
        assert!(json.contains(from), "{from}");
        let text = json.replacen(from, to, 1);
        assert_eq!(GpuEvidence::list_from_json(text.as_bytes()).unwrap_err().code(), *expected, "{from} → {to}");
    }
    for empty in ["", "[]", "null"] {
        assert_eq!(GpuEvidence::list_from_json(empty.as_bytes()).unwrap_err().code(), "gpu.evidence_malformed");
    }
    let many = format!("[{}]", vec![json.as_str(); 25].join(","));
    assert_eq!(GpuEvidence::list_from_json(many.as_bytes()).unwrap_err().code(), "gpu.evidence_malformed");
}

/// The twins of the rows above: what looks similar and is right.
#[test]
fn what_is_right_in_another_way_is_accepted() {
    let right: [fn(&mut FakeGpu<'_>); 11] = [
        |gpu| gpu.chain[0].fwid = FwidForm::TcbInfo([0xf1; 48]),
        |gpu| gpu.report.opaque.push((999, vec![1, 2, 3])),
        |gpu| gpu.report.set_opaque(11, Some(&[0xaa])),
        // Index 35 does not count while the decoder is off.
        |gpu| gpu.report.blocks[35].1[0] ^= 1,
        |gpu| drop(gpu.report.blocks.remove(35)),
        // A measurement no manifest expects.
        |gpu| gpu.report.blocks[60].1[0] ^= 1,
        // Another acceptable value.
        |gpu| gpu.report.blocks[3].1 = vec![0x5a; 48],
        |gpu| gpu.ocsp.iter_mut().for_each(|answer| answer.hash = CertIdHash::Sha1),
        |gpu| gpu.ocsp.iter_mut().for_each(|answer| answer.hash = CertIdHash::Sha256),
        |gpu| gpu.ocsp.reverse(),
        |gpu| {
            driver(gpu).edit_signed = edit("></ns0:Meta>", "/>");
            driver(gpu).edit_signed.extend(edit("corpus=\"false\" name=\"GH100\"", "name=\"GH100\" corpus=\"false\""));
        },
    ];
    for (number, change) in right.into_iter().enumerate() {
        let mut gpu = accepted();
        change(&mut gpu);
        assert_eq!(code(&Case::of(&gpu).appraise()), "ok", "case {number}");
    }
}

#[test]
fn several_devices_pass_together_and_fail_together() {
    let gpus: Vec<_> = (1..=3).map(|number| FakeGpu::numbered(keys(), NOW, number)).collect();
    let mut case = Case::of(&gpus[0]);
    case.policy = parse_policy(&with_item(STRICT_POLICY, "gpu.devices.gpus", "{ min = 3, max = 3 }"));
    case.evidence = gpus.iter().map(|gpu| gpu.evidence(NONCE)).collect();
    for gpu in &gpus[1..] {
        case.endorsements.ocsp.push(gpu.endorsements().ocsp.remove(0));
    }
    let claims = case.appraise().unwrap();
    let serials: Vec<_> = claims.devices().iter().map(|device| device.device_serial()).collect();
    assert_eq!(serials, ["41050101", "41050102", "41050103"]);
    // One response short: nobody vouches for the last device.
    let last = case.endorsements.ocsp.pop().unwrap();
    assert_eq!(code(&case.appraise()), "gpu.ocsp.missing");
    case.endorsements.ocsp.push(last);
    // One device with another nonce.
    case.evidence[1] = gpus[1].evidence([0; 32]);
    assert_eq!(code(&case.appraise()), "gpu.nonce_mismatch");
    // One device with other firmware.
    let mut other = gpus[2].clone();
    other.report.blocks[1].1[0] ^= 1;
    case.evidence[1] = gpus[1].evidence(NONCE);
    case.evidence[2] = other.evidence(NONCE);
    assert_eq!(code(&case.appraise()), "gpu.measurement_mismatch");
}

/// A remembered chain, manifest or response is asked for its dates, its root and its content again.
#[test]
fn remembering_changes_no_verdict() {
    let gpu = accepted();
    let mut case = Case::of(&gpu);
    assert_eq!(code(&case.appraise()), "ok");
    assert_eq!(code(&case.appraise()), "ok");
    case.now = UnixTime(NOW.0 + 86_401);
    assert_eq!(code(&case.appraise()), "gpu.ocsp.too_old");
    case.now = UnixTime(2_493_072_001);
    assert_eq!(code(&case.appraise()), "chain.expired");
    case.now = NOW;
    case.nonce = [0; 32];
    assert_eq!(code(&case.appraise()), "gpu.nonce_mismatch");
    case.nonce = NONCE;
    let roots = std::mem::replace(&mut case.roots, attestation::TrustRoots::vendor());
    assert_eq!(code(&case.appraise()), "chain.root_unknown");
    case.roots = roots;
    case.endorsements.driver_rim.as_mut().unwrap().push(b' ');
    assert_eq!(code(&case.appraise()), "gpu.rim.malformed");
    case.endorsements = gpu.endorsements();
    case.evidence[0].report[60] ^= 1;
    assert_eq!(code(&case.appraise()), "gpu.signature");
    assert_eq!(RejectionClass::Rejected.exit_code(), case.appraise().unwrap_err().exit_code());
}

#[test]
fn a_policy_that_refuses_gpus_refuses_this_one() {
    let mut case = Case::of(&accepted());
    case.policy = parse_policy(attestation::DEMO_POLICY);
    assert_eq!(code(&case.appraise()), "policy.platform_refused");
}
