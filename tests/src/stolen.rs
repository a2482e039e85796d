//! A TLS key of a node, stolen: read out of the memory of the process that holds it, which is the test's own (a guardian that is run
//! in it). What the thief has is the key alone, and not what attests it.

use std::fs::File;
use std::os::unix::fs::FileExt;

use anyhow::Context;
use attestation::Sha256Digest;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

/// How a P-256 key begins as PKCS #8 (RFC 5208, RFC 5915), up to its secret.
const HEAD: [u8; 36] = [
    0x30, 0x81, 0x87, 0x02, 0x01, 0x00, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08,
    0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x04, 0x6d, 0x30, 0x6b, 0x02, 0x01, 0x01, 0x04, 0x20,
];

/// All of it: head, secret, and the public point with what stands before it.
const KEY_BYTES: usize = 138;

/// The public point, uncompressed.
const POINT_BYTES: usize = 65;

/// What stands before the point in a SubjectPublicKeyInfo.
const SPKI_HEAD: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce,
    0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];

/// The key whose SubjectPublicKeyInfo has this digest.
///
/// # Errors
/// When this process has no such key, or its memory cannot be read.
pub fn tls_key(spki_sha256: &[u8; 32]) -> anyhow::Result<PrivateKeyDer<'static>> {
    let memory = File::open("/proc/self/mem")?;
    for (from, to) in writable()? {
        let mut bytes = vec![0; usize::try_from(to - from)?];
        // A mapping that went away meanwhile, or that nobody may read.
        if memory.read_exact_at(&mut bytes, from).is_err() {
            continue;
        }
        if let Some(key) = find(&bytes, spki_sha256) {
            return Ok(PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key)));
        }
    }
    anyhow::bail!("no such key is in this process")
}

/// Where this process writes.
fn writable() -> anyhow::Result<Vec<(u64, u64)>> {
    let maps = std::fs::read_to_string("/proc/self/maps")?;
    let mut found = Vec::new();
    for line in maps.lines() {
        let mut words = line.split(' ');
        let (range, permissions) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        if permissions.starts_with("rw") {
            let (from, to) = range.split_once('-').context("a range of addresses")?;
            found.push((u64::from_str_radix(from, 16)?, u64::from_str_radix(to, 16)?));
        }
    }
    Ok(found)
}

fn find(mut bytes: &[u8], spki_sha256: &[u8; 32]) -> Option<Vec<u8>> {
    while let Some(at) = bytes.iter().position(|byte| *byte == HEAD[0]) {
        bytes = bytes.get(at..)?;
        if bytes.starts_with(&HEAD)
            && let Some(key) = bytes.get(..KEY_BYTES)
        {
            let point = key.get(KEY_BYTES - POINT_BYTES..)?;
            if Sha256Digest::of(&[&SPKI_HEAD[..], point].concat()).0 == *spki_sha256 {
                return Some(key.to_vec());
            }
        }
        bytes = bytes.get(1..)?;
    }
    None
}
