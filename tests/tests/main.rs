//! All acceptance tests, in one binary.

mod abuse;
mod claims;
mod crash;
mod layering;
mod licences;
mod money;
mod openai;
mod tidy;
mod trust;
