//! The coverage-guided fuzzer: `FUZZ_TARGET=name fuzz-attestation [libFuzzer flags] corpus/name`.
#![no_main]

use std::sync::OnceLock;

use attestation_fuzz::{Target, target};

libfuzzer_sys::fuzz_target!(|data: &[u8]| (chosen().run)(data));

/// libFuzzer owns the arguments, so the target is named by the environment.
#[allow(clippy::disallowed_methods, reason = "libFuzzer owns the command line")]
fn chosen() -> &'static Target {
    static CHOSEN: OnceLock<&'static Target> = OnceLock::new();
    CHOSEN.get_or_init(|| {
        let name = std::env::var("FUZZ_TARGET").unwrap_or_default();
        target(&name).unwrap_or_else(|| panic!("FUZZ_TARGET={name:?} is not a target"))
    })
}
