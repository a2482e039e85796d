//! Intel TDX: quotes, PCK chains, quote collateral and TCB levels.
//!
//! Decides: whether a quote is genuine, that is, signed by a key that Intel's TD quoting enclave made on a platform
//! whose PCK Intel (or a named root) vouches for, and what Intel's collateral says about that platform; and whether a
//! policy accepts it ([`appraise`]). Facts are from the TDX DCAP Quote Library, the PCS API v4, the PCK Certificate and
//! CRL Specification, and the TDX Module ABI.

pub(crate) mod accept;
mod chain;
mod claims;
mod collateral;
pub(crate) mod padding;
mod pck;
mod policy;
mod qe;
mod quote;
mod rejection;
mod statements;
mod tcb;
mod verify;

pub use chain::named_platform;
pub use collateral::{COLLATERAL_BYTES_MAX, TdxCollateral};
pub use padding::without_padding;
pub use pck::{PckCa, PckFacts, PlatformConfiguration};
pub(crate) use policy::TdxItems;
pub use quote::{QUOTE_BYTES_MAX, QeReport, Td15, TdQuote, TdReport};
pub use rejection::TdxRejection;
pub use tcb::TcbStatus;
pub use verify::{TdxCache, TdxClaims, appraise};
