//! The library held against real captures, really signed synthetic cases, one-fault tables and properties.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that cannot go on has failed")]

mod boundaries;
mod chain_faults;
mod channel;
mod document;
mod gpu_chain_faults;
mod gpu_exhaustive;
mod gpu_faults;
mod gpu_policy;
mod gpu_support;
mod gpu_timing;
mod gpu_vectors;
mod interop;
mod one_fault;
mod policy;
mod properties;
mod real_vectors;
mod receipts;
mod roots;
mod statements;
mod support;
mod synthetic_vectors;
mod transcript;
