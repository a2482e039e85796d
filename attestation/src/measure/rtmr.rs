//! Run-time measurement registers: extension and replay (TDX Module ABI, TDG.MR.RTMR.EXTEND).
//!
//! Decides: the value a register has after given digests, in order. Trusts the digests; that they describe anything is
//! for the event log to show.

use crate::crypto;

/// How many run-time measurement registers a TD has.
pub const RTMR_COUNT: usize = 4;

/// RTMR0 to RTMR3.
pub type Rtmrs = [[u8; 48]; RTMR_COUNT];

/// A register before the first extension.
pub const RTMR_INITIAL: [u8; 48] = [0; 48];

/// The register after one more digest: SHA-384(register ‖ digest).
#[must_use]
pub fn extend(register: &[u8; 48], digest: &[u8; 48]) -> [u8; 48] {
    let mut context = crypto::Sha384Context::new();
    context.update(register);
    context.update(digest);
    context.finish()
}

/// The register after all `digests`, from its initial value.
#[must_use]
pub fn replay<'a>(digests: impl IntoIterator<Item = &'a [u8; 48]>) -> [u8; 48] {
    digests.into_iter().fold(RTMR_INITIAL, |register, digest| extend(&register, digest))
}
