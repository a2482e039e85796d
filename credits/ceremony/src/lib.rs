//! Phase 2 of the ceremony that makes the parameters of the spend circuit: Groth16 over BN254 (docs/decisions/0030).
//!
//! Files are those of snarkjs, so that another program, by other people, verifies the same transcript. Nothing here does I/O:
//! files are bytes, and randomness is an argument. `docs/protocol.md` §3.5.
//!
//! ```text
//! ptau (phase 1) ─ Ptau::read ─┐
//! circuit ─────────────────────┴ start ─ Zkey ─ contribute … contribute ─ verify ─ Verified::proving_params
//! ```

mod combine;
mod container;
mod contribution;
mod derive;
mod error;
mod hash;
mod limits;
mod points;
mod ptau;
mod start;
mod verify;
mod zkey;

pub use contribution::{Beacon, Contribution, contribute, contribute_beacon};
pub use error::{CeremonyError, FileKind};
pub use hash::{Hash, grouped};
pub use ptau::{PTAU_BYTES_MAX, Ptau};
pub use start::{r1cs, start};
pub use verify::{Verified, verify};
pub use zkey::{ZKEY_BYTES_MAX, Zkey};
