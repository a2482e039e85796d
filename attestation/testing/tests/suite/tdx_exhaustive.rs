//! Every bit and every length: captured quotes with one bit of the signed part turned, and cut off anywhere.

use attestation::tdx::{self, TdQuote, TdxCache};
use attestation::{RejectionClass, Transcript, TrustRoots, UnixTime};

use crate::support::{CAPTURED_POLICY, code, parse_policy};
use crate::tdx_support::{TdxEntry, tdx_entry};

const V4: &str = "tdx/real/v4-spr-00806f05-gcp-2026";
const V5: &str = "tdx/real/v5-td15-emr-go-tdx-guest";

/// The last of either case's rows: every signature holds and the captured policy accepts.
fn accepted_row(entry: &TdxEntry) -> crate::tdx_support::RealRow {
    entry.rows().pop().unwrap()
}

fn every_bit_flip_is_rejected(id: &str, signed_len: usize) {
    let entry = tdx_entry(id);
    let row = accepted_row(&entry);
    let (collateral, roots, policy) = (row.collateral(), TrustRoots::vendor(), parse_policy(CAPTURED_POLICY));
    // One cache for all: what was verified of the intact quote must not help a spoilt one.
    let cache = TdxCache::default();
    let verdict = |quote: &[u8]| {
        let at = UnixTime(row.at);
        code(&tdx::appraise(quote, &collateral, &roots, &policy, at, &cache, &mut Transcript::new()))
    };
    let mut quote = entry.quote();
    assert_eq!(TdQuote::parse(&quote).unwrap().signed_bytes(), &quote[..signed_len]);
    assert_eq!(verdict(&quote), "ok");
    for bit in 0..signed_len * 8 {
        let (byte, mask) = (bit / 8, 1 << (bit % 8));
        quote[byte] ^= mask;
        let verdict = verdict(&quote);
        quote[byte] ^= mask;
        // Fields with one right value are refused where they are read; everything else by the signature.
        let of_header = byte < 28 || (signed_len > 48 + 584 && (48..54).contains(&byte));
        if of_header {
            assert_ne!(verdict, "ok", "bit {bit}");
        } else {
            assert_eq!(verdict, "tdx.signature", "bit {bit}");
        }
    }
}

fn every_truncation_is_malformed(id: &str) {
    let entry = tdx_entry(id);
    let quote = entry.quote();
    let row = accepted_row(&entry);
    let (collateral, at) = (row.collateral(), UnixTime(row.at));
    let (roots, policy, cache) = (TrustRoots::vendor(), parse_policy(CAPTURED_POLICY), TdxCache::default());
    TdQuote::parse(&quote).unwrap();
    for length in 0..quote.len() {
        let cut = &quote[..length];
        let result = tdx::appraise(cut, &collateral, &roots, &policy, at, &cache, &mut Transcript::new());
        assert_eq!(result.unwrap_err().class(), RejectionClass::Malformed, "{length} bytes");
    }
}

/// What the certificates of a PEM text say: its base64, without line ends.
fn base64_of(text: &[u8]) -> Vec<String> {
    let text = String::from_utf8(text.to_vec()).unwrap();
    let certificate = |block: &str| block.lines().skip(1).take_while(|line| !line.contains("END")).collect::<String>();
    text.split("-----BEGIN").skip(1).map(|block| certificate(block).split_whitespace().collect()).collect()
}

/// Outside the text of the certificates nothing can change; inside it, only how the same base64 is laid out.
fn only_the_layout_of_the_pem_text_can_change(id: &str) {
    let entry = tdx_entry(id);
    let row = accepted_row(&entry);
    let (collateral, roots, policy) = (row.collateral(), TrustRoots::vendor(), parse_policy(CAPTURED_POLICY));
    let cache = TdxCache::default();
    let mut quote = entry.quote();
    let pem = TdQuote::parse(&quote).unwrap().pck_chain_pem;
    let pem_start = quote.len() - pem.len();
    for byte in 0..quote.len() {
        let intact = quote[byte];
        // One bit of each byte of the text: every changed text costs the verification of a chain.
        let bits = if byte < pem_start { 0..8 } else { byte % 7..byte % 7 + 1 };
        for bit in bits {
            quote[byte] ^= 1 << bit;
            let at = UnixTime(row.at);
            let result = tdx::appraise(&quote, &collateral, &roots, &policy, at, &cache, &mut Transcript::new());
            if result.is_ok() {
                assert!(byte >= pem_start, "byte {byte} bit {bit}");
                assert_eq!(base64_of(&quote[pem_start..]), base64_of(&pem), "byte {byte} bit {bit}");
            }
            quote[byte] = intact;
        }
    }
}

#[test]
fn exhaustive_only_the_pem_layout_of_a_version_4_quote_can_change() {
    only_the_layout_of_the_pem_text_can_change(V4);
}

#[test]
fn exhaustive_only_the_pem_layout_of_a_version_5_quote_can_change() {
    only_the_layout_of_the_pem_text_can_change(V5);
}

#[test]
fn exhaustive_every_bit_flip_of_a_version_4_quote_is_rejected() {
    every_bit_flip_is_rejected(V4, 48 + 584);
}

#[test]
fn exhaustive_every_bit_flip_of_a_version_5_quote_is_rejected() {
    every_bit_flip_is_rejected(V5, 48 + 6 + 648);
}

#[test]
fn exhaustive_every_truncation_of_a_version_4_quote_is_malformed() {
    every_truncation_is_malformed(V4);
}

#[test]
fn exhaustive_every_truncation_of_a_version_5_quote_is_malformed() {
    every_truncation_is_malformed(V5);
}
