//! tdx (placeholder of the branch point).

mod policy;
mod rejection;

pub(crate) use policy::TdxItems;
pub use rejection::TdxRejection;
