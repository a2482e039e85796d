//! gpu (placeholder of the branch point).

mod policy;
mod rejection;

pub(crate) use policy::GpuItems;
pub use rejection::GpuRejection;
