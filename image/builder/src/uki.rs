//! The unified kernel image: kernel, ramdisk and command line as sections of systemd's UEFI stub.
//!
//! Decides: which sections, in which order, with exactly the bytes given, as ukify of systemd 257 has them (but the kernel's `.sbat` is not
//! merged into the stub's). The guest does not trust the stub's command line, as the stub takes another from the host: the ramdisk decides.

use crate::pe::{NewSection, PeError, add_sections, clear_nx_compatible, is_nx_compatible};

/// The longest command line that the kernel takes, without its NUL.
pub const CMDLINE_BYTES_MAX: usize = 2047;
/// The longest text of the other kinds.
pub const TEXT_BYTES_MAX: usize = 4096;

/// What a unified kernel image is made of.
#[derive(Debug, Clone, Copy)]
pub struct UkiParts<'a> {
    /// The stub, `linuxx64.efi.stub`.
    pub stub: &'a [u8],
    /// The kernel, a bzImage.
    pub linux: &'a [u8],
    /// The ramdisk.
    pub initrd: &'a [u8],
    /// The kernel's command line.
    pub cmdline: &'a str,
    /// The text of an os-release file.
    pub osrel: &'a str,
    /// The kernel's release.
    pub uname: &'a str,
}

/// Why an image could not be built.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UkiError {
    /// A text is longer than its limit, or not of printable ASCII.
    #[error("{section} is not printable ASCII of at most {limit} bytes")]
    Text {
        /// The section.
        section: &'static str,
        /// Its limit.
        limit: usize,
    },
    /// The kernel is not a PE file, so no firmware starts it.
    #[error("the kernel cannot be started by UEFI firmware")]
    Kernel(#[source] PeError),
    /// The sections could not be added to the stub.
    #[error("add sections to the stub")]
    Stub(#[from] PeError),
}

/// Builds the image.
///
/// # Errors
/// [`UkiError`] when a part is not what it should be, or does not fit.
pub fn build(parts: UkiParts<'_>) -> Result<Vec<u8>, UkiError> {
    let UkiParts { stub, linux, initrd, cmdline, osrel, uname } = parts;
    let kernel_is_nx_compatible = is_nx_compatible(linux).map_err(UkiError::Kernel)?;
    let sections = [
        section(".osrel", text(".osrel", osrel, TEXT_BYTES_MAX)?),
        section(".cmdline", text(".cmdline", cmdline, CMDLINE_BYTES_MAX)?),
        section(".uname", text(".uname", uname, TEXT_BYTES_MAX)?),
        NewSection { code: true, ..section(".linux", linux) },
        section(".initrd", initrd),
    ];
    let mut uki = add_sections(stub, &sections)?;
    // Firmware that enforces this enforces it for what it started: the stub must not ask for more than its kernel can bear.
    if !kernel_is_nx_compatible {
        clear_nx_compatible(&mut uki)?;
    }
    Ok(uki)
}

fn section<'a>(name: &'a str, bytes: &'a [u8]) -> NewSection<'a> {
    NewSection { name, bytes, code: false }
}

fn text<'a>(section: &'static str, text: &'a str, limit: usize) -> Result<&'a [u8], UkiError> {
    let printable = text.bytes().all(|byte| byte == b'\n' || byte == b' ' || byte.is_ascii_graphic());
    if printable && text.len() <= limit { Ok(text.as_bytes()) } else { Err(UkiError::Text { section, limit }) }
}
