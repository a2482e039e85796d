//! `attestation` held against the libraries others use, on the vectors of `tests/vectors`.
//!
//! Decides: nothing. The tests compare verdicts and the bench compares times; both see each library through the same
//! small adapter here. Inputs are files of this repository, so an adapter panics where a file is not as expected.
//!
//! - [`compare`]: verdicts side by side, and the table of differences that are meant to be.
//! - [`snp`]: SEV-SNP reports by `attestation` and by the `sev` crate.
//! - [`tdx`]: TDX quotes by `attestation` and by `dcap-qvl`.
//! - [`launch`]: SEV-SNP launch digests by both and by the Python program `sev-snp-measure`.
//! - [`python`]: the pinned Python environment.
//! - [`vectors`]: where the files are.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "support of tests and a bench: they fail by panicking"
)]

pub mod compare;
pub mod launch;
pub mod python;
pub mod snp;
pub mod tdx;
pub mod vectors;
