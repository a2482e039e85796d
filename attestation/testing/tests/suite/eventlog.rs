//! Event logs: real ones replay to the registers of the guests they came from, and to nothing else once a digest, a
//! length or an order is changed.

use std::fs;

use attestation::measure::eventlog::{
    DataCoverage, DstackEventLog, EventLog, EventLogError, EventType, HashAlgorithm, verify_pcr_replay, verify_replay,
};
use attestation::measure::rtmr::Rtmrs;
use proptest::prelude::*;
use serde_json::Value;

use crate::support::vectors;

const CC_LOGS: [&str; 4] = ["coco-gcp", "coco-grub-gke", "coco-ovmf", "gcp-cos113"];
const TPM_LOG: &str = "gce-snp-ubuntu2404-vtpm";

/// RTMR0 in a TDX quote of version 4: 48 bytes of header and the fields of the TD report before it.
const QUOTE_RTMR0: usize = 48 + 328;

fn file(log: &str, name: &str) -> Vec<u8> {
    fs::read(vectors().join("eventlog").join(log).join(name)).unwrap()
}

fn log_bytes(log: &str) -> Vec<u8> {
    file(log, "log.bin")
}

fn expected(log: &str) -> Value {
    serde_json::from_slice(&file(log, "expected.json")).unwrap()
}

fn rtmrs_of_quote(quote: &[u8]) -> Rtmrs {
    std::array::from_fn(|index| quote[QUOTE_RTMR0 + 48 * index..][..48].try_into().unwrap())
}

fn expected_rtmrs(log: &str) -> Rtmrs {
    let expected = expected(log);
    std::array::from_fn(|index| {
        let value = expected["replayed"].get(format!("RTMR{index}"));
        value.map_or([0; 48], |value| hex::decode(value.as_str().unwrap()).unwrap().try_into().unwrap())
    })
}

fn dstack() -> (Rtmrs, String) {
    let report: Value = serde_json::from_slice(&file("dstack-quote-report", "quote-report.json")).unwrap();
    let quote = hex::decode(report["quote"].as_str().unwrap()).unwrap();
    (rtmrs_of_quote(&quote), report["event_log"].as_str().unwrap().to_owned())
}

/// Where `part` lies in `whole`.
fn offset_of(whole: &[u8], part: &[u8]) -> usize {
    part.as_ptr().addr() - whole.as_ptr().addr()
}

/// Where the last event ends.
fn end_of_events(bytes: &[u8], log: &EventLog<'_>) -> usize {
    let last = log.events().last().unwrap().data;
    offset_of(bytes, last) + last.len()
}

#[test]
fn every_cc_log_replays_to_the_registers_an_independent_program_computed() {
    for name in CC_LOGS {
        let bytes = log_bytes(name);
        let log = EventLog::parse(&bytes).unwrap();
        assert_eq!(u64::try_from(log.events().len()).ok(), expected(name)["events"].as_u64(), "{name}");
        assert_eq!(log.algorithms(), [HashAlgorithm::Sha384]);
        assert_eq!(verify_replay(&log, &expected_rtmrs(name)), Ok(()), "{name}");
        assert_eq!(log.verify_data(), Ok(()), "{name}");
    }
}

#[test]
fn a_log_replays_to_the_registers_of_the_quote_taken_in_the_same_guest() {
    let (bytes, quote) = (log_bytes("gcp-cos113"), file("gcp-cos113", "quote.bin"));
    let log = EventLog::parse(&bytes).unwrap();
    let registers = rtmrs_of_quote(&quote);
    assert_ne!(registers[2], [0; 48]);
    assert_eq!(verify_replay(&log, &registers), Ok(()));
    let other = log_bytes("coco-gcp");
    let refused = verify_replay(&EventLog::parse(&other).unwrap(), &registers);
    assert_eq!(refused, Err(EventLogError::RtmrMismatch { register: 0 }));
}

#[test]
fn a_tpm_log_replays_to_the_pcrs_an_independent_program_computed() {
    let bytes = log_bytes(TPM_LOG);
    let log = EventLog::parse(&bytes).unwrap();
    assert_eq!(log.events().len(), 116);
    let replayed = log.replay_pcrs_sha256().unwrap();
    let expected = expected(TPM_LOG);
    let expected = expected["replayed"].as_object().unwrap();
    let got: Vec<_> = replayed.extended().map(|(index, value)| (format!("PCR{index}"), hex::encode(value))).collect();
    assert_eq!(got.len(), expected.len());
    for (name, value) in &got {
        assert_eq!(expected[name].as_str(), Some(value.as_str()), "{name}");
    }
    let mut pcrs: Vec<_> = replayed.extended().map(|(index, value)| (index, *value)).collect();
    assert_eq!(verify_pcr_replay(&log, &pcrs), Ok(()));
    pcrs[3].1[0] ^= 1;
    assert_eq!(verify_pcr_replay(&log, &pcrs), Err(EventLogError::PcrMismatch { register: 3 }));
    assert_eq!(verify_pcr_replay(&log, &[(24, [0; 32])]), Err(EventLogError::PcrMismatch { register: 24 }));
    assert_eq!(log.verify_data(), Ok(()));
    assert_eq!(replayed.get(17), Some(&[0xff; 32]));
    assert!(log.replay_pcrs_sha384().is_ok());
    // Its registers are not those of a TD.
    assert_eq!(log.replay_rtmrs().unwrap_err().code(), "eventlog.register");
}

#[test]
fn a_cc_log_has_no_sha256_bank() {
    let bytes = log_bytes("gcp-cos113");
    assert_eq!(EventLog::parse(&bytes).unwrap().replay_pcrs_sha256().unwrap_err().code(), "eventlog.bank_missing");
}

#[test]
fn a_flipped_digest_is_found_in_the_register_it_belongs_to() {
    let original = log_bytes("gcp-cos113");
    let registers = expected_rtmrs("gcp-cos113");
    let log = EventLog::parse(&original).unwrap();
    for event in log.events() {
        let mut changed = original.clone();
        changed[offset_of(&original, event.digests[0].digest)] ^= 1;
        let register = usize::try_from(event.register).unwrap() - 1;
        let refused = verify_replay(&EventLog::parse(&changed).unwrap(), &registers);
        assert_eq!(refused, Err(EventLogError::RtmrMismatch { register }));
    }
    for (register, value) in registers.iter().enumerate() {
        let mut other = registers;
        other[register] = value.map(|byte| byte ^ 1);
        assert_eq!(verify_replay(&log, &other), Err(EventLogError::RtmrMismatch { register }));
    }
}

#[test]
fn changed_data_is_never_taken_for_what_was_measured() {
    for name in CC_LOGS.into_iter().chain([TPM_LOG]) {
        let original = log_bytes(name);
        let log = EventLog::parse(&original).unwrap();
        let mut covered = 0;
        for (number, event) in log.events().iter().enumerate() {
            let before = event.coverage();
            if before != DataCoverage::Covered {
                assert_ne!(before, DataCoverage::Contradicted, "{name} event {number}");
                continue;
            }
            covered += 1;
            let mut changed = original.clone();
            changed[offset_of(&original, event.data) + event.data.len() - 1] ^= 1;
            let log = EventLog::parse(&changed).unwrap();
            let after = log.events()[number].coverage();
            assert_ne!(after, DataCoverage::Covered, "{name} event {number} {:?}", event.event_type);
            if after == DataCoverage::Contradicted {
                assert_eq!(log.verify_data(), Err(EventLogError::DataMismatch { event: number }));
            }
        }
        assert!(covered * 3 >= log.events().len(), "{name}: {covered} of {}", log.events().len());
    }
}

#[test]
fn the_event_types_whose_digest_is_defined_over_their_data_are_covered() {
    let bytes = log_bytes(TPM_LOG);
    let log = EventLog::parse(&bytes).unwrap();
    for event in log.events() {
        let defined = matches!(
            event.event_type,
            EventType::SEPARATOR
                | EventType::S_CRTM_VERSION
                | EventType::EFI_ACTION
                | EventType::EFI_GPT_EVENT
                | EventType::EFI_VARIABLE_DRIVER_CONFIG
                | EventType::EFI_VARIABLE_BOOT
                | EventType::EFI_VARIABLE_AUTHORITY
        ) || event.data.starts_with(b"grub_cmd: ")
            || event.data.starts_with(b"kernel_cmdline: ");
        assert_eq!(event.coverage() == DataCoverage::Covered, defined || event.event_type == EventType(0x11));
    }
}

#[test]
fn unmeasured_events_reach_no_register() {
    let bytes = log_bytes("coco-grub-gke");
    let log = EventLog::parse(&bytes).unwrap();
    let unmeasured = log.events().iter().filter(|event| event.coverage() == DataCoverage::NotMeasured).count();
    assert_eq!(unmeasured, 2);
    assert!(log.events()[0].data.starts_with(b"SP800-155 Event3"));
    // The same events as measured ones name MRTD, which no event can extend.
    let mut changed = bytes.clone();
    let at = offset_of(&bytes, log.events()[0].digests[0].digest) - 2 - 4 - 4;
    changed[at] = 0x0a;
    let refused = EventLog::parse(&changed).unwrap().replay_rtmrs();
    assert_eq!(refused, Err(EventLogError::Register { event: 0, index: 0 }));
}

#[test]
fn every_truncation_is_an_error_or_replays_to_other_registers() {
    for name in CC_LOGS.into_iter().chain([TPM_LOG]) {
        let bytes = log_bytes(name);
        let whole = EventLog::parse(&bytes).unwrap();
        let end = end_of_events(&bytes, &whole);
        let mut boundaries = 0;
        for length in 0..end {
            let Ok(short) = EventLog::parse(&bytes[..length]) else { continue };
            assert!(short.events().len() < whole.events().len(), "{name} at {length}");
            boundaries += 1;
        }
        // A log cut between two events is well formed; only its replay shows what is missing.
        assert_eq!(boundaries, whole.events().len(), "{name}");
        let last = offset_of(&bytes, whole.events().last().unwrap().digests[0].digest) - 2 - 12;
        let short = EventLog::parse(&bytes[..last]).unwrap();
        if name == TPM_LOG {
            assert_ne!(short.replay_pcrs_sha256().unwrap(), whole.replay_pcrs_sha256().unwrap());
        } else {
            assert_ne!(short.replay_rtmrs().unwrap(), whole.replay_rtmrs().unwrap());
        }
    }
}

#[test]
fn spoiled_structure_is_refused_by_name() {
    let original = log_bytes("gcp-cos113");
    let log = EventLog::parse(&original).unwrap();
    let first = offset_of(&original, log.events()[0].digests[0].digest);
    let end = end_of_events(&original, &log);
    let length = first + 48;
    let spoilt: [(usize, &[u8], &str); 13] = [
        (4, &[4], "eventlog.header"),
        (8, &[1], "eventlog.header"),
        (28, &[0xff; 4], "eventlog.header"),
        (32, b"spec", "eventlog.header"),
        (32 + 21, &[1], "eventlog.header"),
        (32 + 24, &[0], "eventlog.header"),
        (32 + 28, &[0xff], "eventlog.algorithm"),
        (32 + 30, &[32], "eventlog.header"),
        (first - 6, &[2], "eventlog.digests"),
        (first - 2, &[0x0b], "eventlog.digests"),
        (length, &[0xff; 4], "eventlog.event_too_large"),
        (length, &[0xff, 0xff, 0, 0], "eventlog.truncated"),
        (end + 8, &[0], "eventlog.digests"),
    ];
    for (offset, bytes, expected) in spoilt {
        let mut changed = original.clone();
        changed[offset..offset + bytes.len()].copy_from_slice(bytes);
        assert_eq!(EventLog::parse(&changed).unwrap_err().code(), expected, "at {offset}");
    }
    assert_eq!(EventLog::parse(&vec![0; (4 << 20) + 1]).unwrap_err().code(), "eventlog.too_large");
}

#[test]
fn the_log_stops_at_its_limit_of_events() {
    let original = log_bytes("gcp-cos113");
    let log = EventLog::parse(&original).unwrap();
    let start = offset_of(&original, log.events()[0].digests[0].digest) - 2 - 12;
    let mut many = original[..start].to_vec();
    let mut event = original[start..start + 14 + 48].to_vec();
    event.extend([0; 4]);
    many.extend(event.iter().cycle().take(event.len() * 16_384));
    assert_eq!(EventLog::parse(&many).unwrap().events().len(), 16_384);
    many.extend(event);
    assert_eq!(EventLog::parse(&many).unwrap_err().code(), "eventlog.too_many_events");
}

#[test]
fn a_startup_locality_event_sets_where_pcr_0_starts() {
    let original = log_bytes(TPM_LOG);
    let header_len = 32 + usize::from(original[28]);
    let mut bytes = original[..header_len].to_vec();
    bytes.extend([0, 0, 0, 0, 3, 0, 0, 0, 3, 0, 0, 0]);
    for (algorithm, length) in [(4_u16, 20), (0x0b, 32), (0x0c, 48)] {
        bytes.extend(algorithm.to_le_bytes());
        bytes.extend(vec![0; length]);
    }
    bytes.extend(17_u32.to_le_bytes());
    bytes.extend(b"StartupLocality\0\x03");
    let log = EventLog::parse(&bytes).unwrap();
    let pcrs = log.replay_pcrs_sha256().unwrap();
    assert_eq!(pcrs.get(0).unwrap()[31], 3);
    assert_eq!((pcrs.get(0).unwrap()[30], pcrs.extended().count()), (0, 0));
}

#[test]
fn a_dstack_log_replays_to_its_quote() {
    let (registers, json) = dstack();
    let log = DstackEventLog::from_json(json.as_bytes()).unwrap();
    assert_eq!(log.verify_replay(&registers), Ok(()));
    assert_eq!(log.verify_data(), Ok(()));
    assert!(registers.iter().all(|register| *register != [0; 48]));
    let runtime = log.events().iter().filter(|event| event.event_type == EventType::DSTACK_RUNTIME);
    assert!(runtime.clone().count() > 5 && runtime.clone().all(|event| event.coverage() == DataCoverage::Covered));
    let app_id = runtime.clone().find(|event| event.event == "app-id").unwrap();
    assert_eq!(hex::encode(&app_id.payload), "3763bc34552cf3a27ff71ad5f7a90471562a1a2d");
}

/// One member of one event of the dstack log replaced.
fn dstack_with(event: usize, member: &str, value: Value) -> Vec<u8> {
    let mut log: Value = serde_json::from_str(&dstack().1).unwrap();
    log[event][member] = value;
    serde_json::to_vec(&log).unwrap()
}

#[test]
fn a_changed_dstack_event_is_found() {
    let (registers, json) = dstack();
    let log = DstackEventLog::from_json(json.as_bytes()).unwrap();
    let app_id = log.events().iter().position(|event| event.event == "app-id").unwrap();
    for (number, event) in log.events().iter().enumerate() {
        let mut digest = event.digest;
        digest[47] ^= 1;
        let changed = DstackEventLog::from_json(&dstack_with(number, "digest", hex::encode(digest).into())).unwrap();
        assert_eq!(changed.verify_replay(&registers), Err(EventLogError::RtmrMismatch { register: event.imr }));
    }
    for (member, value) in [("event", "app-ID"), ("event_payload", "00")] {
        let changed = DstackEventLog::from_json(&dstack_with(app_id, member, value.into())).unwrap();
        assert_eq!(changed.verify_replay(&registers), Ok(()));
        assert_eq!(changed.verify_data(), Err(EventLogError::DataMismatch { event: app_id }));
    }
    let stripped = DstackEventLog::from_json(&dstack_with(7, "event_payload", "".into())).unwrap();
    assert_eq!(stripped.events()[7].coverage(), DataCoverage::Absent);
}

#[test]
fn malformed_dstack_logs_are_refused_by_name() {
    for (member, value, expected) in [
        ("imr", Value::from(4), "eventlog.register"),
        ("imr", Value::from(-1), "eventlog.json"),
        ("digest", Value::from("00"), "eventlog.digests"),
        ("event_payload", Value::from("0"), "eventlog.json"),
        ("event_type", Value::from(3), "eventlog.json"),
        ("extra", Value::from(3), "eventlog.json"),
    ] {
        let refused = DstackEventLog::from_json(&dstack_with(0, member, value)).unwrap_err();
        assert_eq!(refused.code(), expected, "{member}");
    }
    let json = dstack().1;
    for length in 0..json.len() {
        assert_eq!(DstackEventLog::from_json(&json.as_bytes()[..length]).unwrap_err().code(), "eventlog.json");
    }
}

proptest! {
    #[test]
    fn no_bytes_make_the_parser_panic(
        changes in proptest::collection::vec((0_usize..6000, any::<u8>()), 1..16),
        noise in proptest::collection::vec(any::<u8>(), 0..300),
    ) {
        let _ = EventLog::parse(&noise).map(|log| log.replay_rtmrs());
        let mut bytes = log_bytes("gcp-cos113");
        let header = bytes[..65].to_vec();
        for (offset, value) in changes {
            bytes[offset] = value;
        }
        for bytes in [bytes, [header, noise].concat()] {
            if let Ok(log) = EventLog::parse(&bytes) {
                let _ = (log.replay_rtmrs(), log.replay_pcrs_sha384(), log.verify_data());
            }
        }
    }
}
