//! Test roots and signing fakes: what the simulated TEE and the negative tables sign with.
//!
//! A fake differs from hardware in nothing but its root: certificates carry AMD's extensions and algorithms, reports
//! are byte-exact and really signed. Production code takes roots as an argument and never depends on this crate, so
//! what is made here fails under vendor roots by construction.
//!
//! - [`TestPki`]: root → intermediate → endorsement key, and revocation lists.
//! - [`FakeSnp`]: a report, every field public, signed by the endorsement key.
//! - [`tdx::FakeTdx`]: a TD quote with its collateral, under a root of Intel's kind.
//! - [`gpu::FakeGpu`]: a GPU's evidence, manifests and OCSP responses, signed by [`gpu::GpuKeys`].
//! - [`AcceptedCase`]: a whole document with its channel, accepted by the demo policy until a test spoils one thing.

mod case;
mod certificate;
mod clock;
mod der;
pub mod gpu;
mod launch;
mod pki;
mod report;
pub mod tdx;

pub use case::{AcceptedCase, accepted_document};
pub use certificate::{Issuer, SignatureScheme, SubjectKey, VekSpec};
pub use clock::FixedClock;
pub use launch::launch_digest_of;
pub use pki::{CrlSpec, NAME_PREFIX, TestPki, TestPkiError, pem};
pub use report::{FakeSnp, simulated_launch_digest};
