//! The formats against the programs that others read them with.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test fails by panicking, and says what it skips"
)]

#[path = "formats/support.rs"]
mod support;

#[path = "formats/cpio.rs"]
mod cpio;
#[path = "formats/disk.rs"]
mod disk;
#[path = "formats/erofs.rs"]
mod erofs;
#[path = "formats/uki.rs"]
mod uki;
#[path = "formats/verity.rs"]
mod verity;
