//! Settlement of credits on an EVM: what is computed for the contracts of `solidity/` outside them.
//!
//! The contracts are Solidity; this crate writes one of them, [`poseidon`], whose constants nobody should type, and holds the
//! tests that run all of them on an EVM against proofs of the `credits` crate. `docs/decisions/0031-settlement-on-an-evm.md`.

pub mod matrix;
pub mod poseidon;
