//! Reference values as a CoRIM with one CoMID (draft-ietf-rats-corim).
//!
//! Decides: the one encoding of given values. Reading builds the values and encodes them again: what does not come out the
//! same is refused, so nothing in a text can be skipped. The environment of the one reference triple is a class, vendor
//! [`VENDOR`] and the flavour as model; each measurement has a text as key:
//!
//! | key | value |
//! |---|---|
//! | `image` | version (semver) and, as name, the mode |
//! | `snp/<vmm>/<cpu>/<vcpus>/<features, hex>` | launch digest, SHA-384 |
//! | `tdx/mrtd-single-pass`, `tdx/mrtd-two-pass`, `tdx/rtmr1`, `tdx/rtmr2` | register, SHA-384 |
//! | `vtpm/pcr4`, `vtpm/pcr9`, `vtpm/pcr11` | PCR of the SHA-256 bank |

use super::cbor::Value;
use super::manifest::{Hex48, PCR_BANK, RTMR0_REPLAY, SnpLaunch, TdxMeasurements, VtpmMeasurements};
use super::{ImageMode, ReferenceRejection, ReferenceValues};
use crate::digest::Hex32;
use crate::time::UnixTime;

/// Vendor of the class.
const VENDOR: &str = "cloister";

/// Profile: how this module names measurements.
const PROFILE: &str = "cloister:reference-values/v1";

/// CBOR tags of the format.
const UNSIGNED_CORIM: u64 = 501;
const COMID: u64 = 506;
const URI: u64 = 32;
const EPOCH_TIME: u64 = 1;

/// Digest algorithms of the IANA registry "Named Information Hash Algorithm".
const SHA_256: u64 = 1;
const SHA_384: u64 = 7;

/// Version scheme semver (CoSWID).
const SEMVER: u64 = 16_384;

/// Keys of the maps that are read.
const CORIM_TAGS: u64 = 1;
const CORIM_VALIDITY: u64 = 4;
const COMID_TRIPLES: u64 = 4;
const REFERENCE_TRIPLES: u64 = 0;
const VALUE_VERSION: u64 = 0;
const VALUE_DIGESTS: u64 = 2;
const VALUE_NAME: u64 = 11;

pub(super) fn encode(values: &ReferenceValues) -> Vec<u8> {
    let id = || Value::text(format!("{VENDOR}/{}/{}", values.flavour, values.image_version));
    let class = Value::numbered([(1, Value::text(VENDOR)), (2, Value::text(&values.flavour))]);
    let triple = Value::Array(vec![Value::numbered([(0, class)]), Value::Array(measurements(values))]);
    let comid = Value::numbered([
        (1, Value::numbered([(0, id())])),
        (COMID_TRIPLES, Value::numbered([(REFERENCE_TRIPLES, Value::Array(vec![triple]))])),
    ]);
    let time = |time: UnixTime| Value::tag(EPOCH_TIME, Value::Unsigned(time.0));
    let corim = Value::numbered([
        (0, id()),
        (CORIM_TAGS, Value::Array(vec![Value::tag(COMID, Value::Bytes(comid.encode()))])),
        (3, Value::tag(URI, Value::text(PROFILE))),
        (CORIM_VALIDITY, Value::numbered([(0, time(values.not_before)), (1, time(values.not_after))])),
    ]);
    Value::tag(UNSIGNED_CORIM, corim).encode()
}

fn measurements(values: &ReferenceValues) -> Vec<Value> {
    let measurement = |key: String, value: Value| Value::numbered([(0, Value::Text(key)), (1, value)]);
    let digest = |key: String, algorithm: u64, bytes: &[u8]| {
        let digest = Value::Array(vec![Value::Unsigned(algorithm), Value::Bytes(bytes.to_vec())]);
        measurement(key, Value::numbered([(VALUE_DIGESTS, Value::Array(vec![digest]))]))
    };
    let version = Value::numbered([(0, Value::text(&values.image_version)), (1, Value::Unsigned(SEMVER))]);
    let image = [(VALUE_VERSION, version), (VALUE_NAME, Value::text(values.mode.name()))];
    let mut all = vec![measurement("image".to_owned(), Value::numbered(image))];
    for launch in &values.snp {
        let SnpLaunch { vmm, cpu, vcpus, guest_features, launch_digest } = launch;
        all.push(digest(format!("snp/{vmm}/{cpu}/{vcpus}/{guest_features:x}"), SHA_384, &launch_digest.0));
    }
    if let Some(tdx) = &values.tdx {
        let registers = [&tdx.mrtd_single_pass, &tdx.mrtd_two_pass, &tdx.rtmr1, &tdx.rtmr2];
        all.extend(TDX_KEYS.iter().zip(registers).map(|(key, value)| digest((*key).to_owned(), SHA_384, &value.0)));
    }
    if let Some(vtpm) = &values.vtpm {
        let pcrs = [&vtpm.pcr4, &vtpm.pcr9, &vtpm.pcr11];
        all.extend(VTPM_KEYS.iter().zip(pcrs).map(|(key, value)| digest((*key).to_owned(), SHA_256, &value.0)));
    }
    all
}

const TDX_KEYS: [&str; 4] = ["tdx/mrtd-single-pass", "tdx/mrtd-two-pass", "tdx/rtmr1", "tdx/rtmr2"];
const VTPM_KEYS: [&str; 3] = ["vtpm/pcr4", "vtpm/pcr9", "vtpm/pcr11"];

pub(super) fn decode(bytes: &[u8]) -> Result<ReferenceValues, ReferenceRejection> {
    let malformed = |detail| ReferenceRejection::Malformed { detail };
    let corim = Value::decode(bytes).map_err(malformed)?;
    let corim = corim.as_tagged(UNSIGNED_CORIM).ok_or_else(|| malformed("the payload is not an unsigned CoRIM"))?;
    let comid = match corim.get(CORIM_TAGS).and_then(Value::as_array) {
        Some([tag]) => tag.as_tagged(COMID).and_then(Value::as_bytes),
        _ => None,
    };
    let comid =
        Value::decode(comid.ok_or_else(|| malformed("the CoRIM does not hold one CoMID"))?).map_err(malformed)?;
    let values = read(corim, &comid).ok_or_else(|| malformed("it is not a CoRIM of the profile"))?;
    values.require_sensible().map_err(malformed)?;
    if encode(&values) == bytes { Ok(values) } else { Err(malformed("it says more than the profile has")) }
}

/// What the CoRIM says; whether it says nothing else, encoding it again shows.
fn read(corim: &Value, comid: &Value) -> Option<ReferenceValues> {
    let validity = corim.get(CORIM_VALIDITY)?;
    let time = |key| Some(UnixTime(validity.get(key)?.as_tagged(EPOCH_TIME)?.as_unsigned()?));
    let triples = comid.get(COMID_TRIPLES)?.get(REFERENCE_TRIPLES)?.as_array()?;
    let [Value::Array(triple)] = triples else { return None };
    let [environment, Value::Array(measurements)] = triple.as_slice() else { return None };
    let (image, rest) = measurements.split_first()?;
    let image = image.get(1)?;
    let mut values = ReferenceValues {
        image_version: image.get(VALUE_VERSION)?.get(0)?.as_text()?.to_owned(),
        flavour: environment.get(0)?.get(2)?.as_text()?.to_owned(),
        mode: ImageMode::from_name(image.get(VALUE_NAME)?.as_text()?)?,
        not_before: time(0)?,
        not_after: time(1)?,
        snp: Vec::new(),
        tdx: None,
        vtpm: None,
    };
    let keyed: Vec<(&str, &[u8])> = rest.iter().map(keyed_digest).collect::<Option<_>>()?;
    let launches = keyed.iter().map_while(|(key, digest)| key.strip_prefix("snp/").map(|key| (key, *digest)));
    values.snp = launches.map(|(key, digest)| launch(key, digest)).collect::<Option<_>>()?;
    let find = |wanted: &str| keyed.iter().find(|(key, _)| *key == wanted).map(|(_, digest)| *digest);
    if find("tdx/rtmr1").is_some() {
        let [single, two, rtmr1, rtmr2] = TDX_KEYS.map(|key| find(key)?.try_into().ok().map(Hex48));
        values.tdx = Some(TdxMeasurements {
            mrtd_single_pass: single?,
            mrtd_two_pass: two?,
            rtmr1: rtmr1?,
            rtmr2: rtmr2?,
            rtmr0: RTMR0_REPLAY.to_owned(),
        });
    }
    if find("vtpm/pcr4").is_some() {
        let [pcr4, pcr9, pcr11] = VTPM_KEYS.map(|key| find(key)?.try_into().ok().map(Hex32));
        values.vtpm = Some(VtpmMeasurements { pcr4: pcr4?, pcr9: pcr9?, pcr11: pcr11?, bank: PCR_BANK.to_owned() });
    }
    Some(values)
}

/// Key and digest of a measurement.
fn keyed_digest(measurement: &Value) -> Option<(&str, &[u8])> {
    let [Value::Array(digest)] = measurement.get(1)?.get(VALUE_DIGESTS)?.as_array()? else { return None };
    let [_algorithm, Value::Bytes(bytes)] = digest.as_slice() else { return None };
    Some((measurement.get(0)?.as_text()?, bytes))
}

fn launch(key: &str, digest: &[u8]) -> Option<SnpLaunch> {
    let mut parts = key.split('/');
    let (vmm, cpu, vcpus, features) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    Some(SnpLaunch {
        vcpus: vcpus.parse().ok()?,
        cpu: cpu.to_owned(),
        guest_features: u64::from_str_radix(features, 16).ok()?,
        vmm: vmm.to_owned(),
        launch_digest: Hex48(digest.try_into().ok()?),
    })
}
