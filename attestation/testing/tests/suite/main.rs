//! The library held against real captures, really signed synthetic cases, one-fault tables and properties.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that cannot go on has failed")]

mod azure;
mod azure_chain;
mod azure_policy;
mod boundaries;
mod chain_faults;
mod channel;
mod composite;
mod document;
mod ear;
mod eventlog;
mod evidence;
mod gpu_chain_faults;
mod gpu_exhaustive;
mod gpu_faults;
mod gpu_ocsp_requests;
mod gpu_policy;
mod gpu_support;
mod gpu_vectors;
mod interop;
mod measure;
mod measure_uki;
mod one_fault;
mod policy;
mod properties;
mod real_vectors;
mod receipts;
mod reference;
mod roots;
mod snp_exhaustive;
mod statements;
mod support;
mod synthetic_vectors;
mod tdx_behaviour;
mod tdx_exhaustive;
mod tdx_fault_rows;
mod tdx_faults;
mod tdx_strict;
mod tdx_support;
mod tdx_vectors;
mod transcript;
