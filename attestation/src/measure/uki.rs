//! What a boot from a unified kernel image measures as: PCRs 4, 9 and 11 of a TPM, RTMR1 and RTMR2 of a TD.
//!
//! Decides: the values, from the bytes of the image alone. Trusts that OVMF starts the image, that its stub is systemd-stub
//! and its kernel Linux with measurement of command line and ramdisk: another program measures other things, and the
//! values then match nothing. What the stub would measure beyond this is refused, not guessed (microcode, device trees,
//! profiles, PCR signatures), and so is a command line the stub would rewrite.
//!
//! Who measures what, in this order:
//! 1. OVMF: the image, "Calling EFI Application from Boot Option", the separators (PFP §3.3.4.5, PCR 4).
//! 2. systemd-stub: name and data of every section it knows (PCR 11); its kernel, through the firmware (PCR 4).
//! 3. The kernel's EFI stub: command line in UTF-16, and the ramdisk with what systemd-stub appends to it (PCR 9).
//!
//! A TD's firmware maps PCRs 2 to 6 to RTMR1, with one separator, and 8 to 15 to RTMR2, with none (UEFI §38.4.1; edk2
//! `TdTcg2Dxe`, and the logs of TDs under `tests/vectors/eventlog`).

use super::pe::PeImage;
use super::rtmr;
use super::{MeasureError, PAGE_LEN};
use crate::crypto;

/// Longest command line the kernel takes.
const CMDLINE_BYTES_MAX: usize = PAGE_LEN / 2;

/// Sections that are measured when present, in the order the stub measures them.
const MEASURED: [&str; 6] = [".linux", ".osrel", ".cmdline", ".initrd", ".uname", ".sbat"];

/// Sections the stub measures or acts on that no prediction is made for.
const REFUSED: [&str; 9] =
    [".ucode", ".splash", ".dtb", ".pcrsig", ".pcrpkey", ".profile", ".dtbauto", ".hwids", ".efifw"];

const CALLING_APPLICATION: &[u8] = b"Calling EFI Application from Boot Option";
const EXIT_INVOCATION: &[u8] = b"Exit Boot Services Invocation";
const EXIT_SUCCESS: &[u8] = b"Exit Boot Services Returned with Success";
/// EV_SEPARATOR's data when nothing failed.
const SEPARATOR: &[u8] = &[0; 4];

/// What a boot with the image as `-kernel` measures as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UkiMeasurements {
    /// PCR 4, SHA-256.
    pub pcr4: [u8; 32],
    /// PCR 9, SHA-256.
    pub pcr9: [u8; 32],
    /// PCR 11, SHA-256.
    pub pcr11: [u8; 32],
    /// RTMR1. Never compared with a TD's.
    pub rtmr1: [u8; 48],
    /// RTMR2. Never compared with a TD's.
    pub rtmr2: [u8; 48],
}

/// Predict the boot of a unified kernel image that the firmware takes from the hypervisor (QEMU's `-kernel`): it is loaded,
/// and so measured, before the boot manager says that it calls an application.
///
/// # Errors
/// `measure.pe`, `measure.uki`.
pub fn predict_uki(uki: &[u8]) -> Result<UkiMeasurements, MeasureError> {
    let uki = Uki::parse(uki)?;
    let calling = [Event::Data(CALLING_APPLICATION), Event::Data(SEPARATOR)];
    let started = [&[Event::Image(&uki.image)], calling.as_slice(), &[Event::Image(&uki.kernel)]].concat();
    let ended = [started.as_slice(), &[Event::Data(EXIT_INVOCATION), Event::Data(EXIT_SUCCESS)]].concat();
    let (sections, inputs) = (uki.section_events(), uki.kernel_inputs());
    let inputs = [Event::Data(&inputs.cmdline), Event::Data(&inputs.initrd)];
    Ok(UkiMeasurements {
        pcr4: pcr(&started),
        pcr9: pcr(&inputs),
        pcr11: pcr(&sections),
        rtmr1: register(&ended),
        rtmr2: register(&[sections.as_slice(), &inputs].concat()),
    })
}

/// PCR 4 of a boot from a disk's EFI system partition, where the boot manager loads the image itself. The other PCRs are
/// those of [`predict_uki`]; RTMR1 also covers the disk's partition table then, and is not predicted.
///
/// # Errors
/// As [`predict_uki`].
pub fn predict_pcr4_from_disk(uki: &[u8]) -> Result<[u8; 32], MeasureError> {
    let uki = Uki::parse(uki)?;
    let events =
        [Event::Data(CALLING_APPLICATION), Event::Data(SEPARATOR), Event::Image(&uki.image), Event::Image(&uki.kernel)];
    Ok(pcr(&events))
}

/// One thing that is measured.
#[derive(Clone, Copy)]
enum Event<'e> {
    Data(&'e [u8]),
    Image(&'e PeImage<'e>),
}

fn pcr(events: &[Event<'_>]) -> [u8; 32] {
    events.iter().fold([0; 32], |value, event| {
        let digest = match event {
            Event::Data(data) => crypto::sha256(data),
            Event::Image(image) => image.authenticode_sha256(),
        };
        crypto::sha256(&[value, digest].concat())
    })
}

fn register(events: &[Event<'_>]) -> [u8; 48] {
    events.iter().fold(rtmr::RTMR_INITIAL, |value, event| {
        let digest = match event {
            Event::Data(data) => crypto::sha384(data),
            Event::Image(image) => image.authenticode_sha384(),
        };
        rtmr::extend(&value, &digest)
    })
}

/// A unified kernel image whose boot is predictable.
struct Uki<'a> {
    image: PeImage<'a>,
    kernel: PeImage<'a>,
    cmdline: &'a str,
    initrd: &'a [u8],
    os_release: Option<&'a [u8]>,
    /// Name with its terminator, and data, of each measured section.
    measured: Vec<(Vec<u8>, &'a [u8])>,
}

/// What the kernel measures.
struct KernelInputs {
    cmdline: Vec<u8>,
    initrd: Vec<u8>,
}

fn wrong(section: &'static str, problem: &'static str) -> MeasureError {
    MeasureError::Uki { section, problem }
}

impl<'a> Uki<'a> {
    fn parse(bytes: &'a [u8]) -> Result<Self, MeasureError> {
        let image = PeImage::parse(bytes)?;
        for name in REFUSED {
            if image.section(name)?.is_some() {
                return Err(wrong(name, "is measured or used in a way that is not predicted"));
            }
        }
        let mut measured = Vec::new();
        for name in MEASURED {
            if let Some(data) = data(&image, name)? {
                measured.push(([name.as_bytes(), &[0]].concat(), data));
            }
        }
        let needed = |name| data(&image, name)?.ok_or_else(|| wrong(name, "is missing"));
        let (kernel, cmdline, initrd) = (needed(".linux")?, needed(".cmdline")?, needed(".initrd")?);
        let os_release = data(&image, ".osrel")?;
        let kernel = PeImage::parse(kernel)?;
        Ok(Self { kernel, cmdline: plain_cmdline(cmdline)?, initrd, os_release, measured, image })
    }

    fn section_events(&self) -> Vec<Event<'_>> {
        self.measured.iter().flat_map(|(name, data)| [Event::Data(name), Event::Data(data)]).collect()
    }

    fn kernel_inputs(&self) -> KernelInputs {
        let cmdline = self.cmdline.encode_utf16().chain([0]).flat_map(u16::to_le_bytes).collect();
        let mut initrd = self.initrd.to_vec();
        pad4(&mut initrd);
        if let Some(os_release) = self.os_release {
            initrd.extend(os_release_archive(os_release));
        }
        KernelInputs { cmdline, initrd }
    }
}

/// What a section holds, when there is one.
fn data<'a>(image: &PeImage<'a>, name: &'static str) -> Result<Option<&'a [u8]>, MeasureError> {
    let Some(section) = image.section(name)? else { return Ok(None) };
    let data = section.data().filter(|data| !data.is_empty());
    // The stub would measure zeros after the file's bytes, and takes an empty section for a missing one.
    data.map(Some).ok_or_else(|| wrong(name, "is empty or longer in memory than in the file"))
}

/// The command line, when the stub hands it on as it is: it strips blanks at the ends and replaces control characters, and
/// reads a leading `@` as the choice of a profile.
fn plain_cmdline(bytes: &[u8]) -> Result<&str, MeasureError> {
    let text = std::str::from_utf8(bytes).ok().filter(|text| text.bytes().all(|byte| matches!(byte, b' '..=b'~')));
    let text = text.ok_or_else(|| wrong(".cmdline", "is not printable ASCII"))?;
    if text.len() >= CMDLINE_BYTES_MAX {
        return Err(wrong(".cmdline", "is longer than the kernel reads"));
    }
    if text.trim_matches(' ') != text || text.starts_with('@') {
        return Err(wrong(".cmdline", "begins or ends with what the stub removes"));
    }
    Ok(text)
}

fn pad4(bytes: &mut Vec<u8>) {
    bytes.resize(bytes.len().next_multiple_of(4), 0);
}

/// The archive systemd-stub appends to the ramdisk: the directory `.extra` and `os-release` in it, and the trailer.
fn os_release_archive(os_release: &[u8]) -> Vec<u8> {
    const DIRECTORY: u32 = 0o040_555;
    const FILE: u32 = 0o100_444;
    let mut archive = Vec::new();
    entry(&mut archive, 1, DIRECTORY, ".extra", &[]);
    entry(&mut archive, 2, FILE, ".extra/os-release", os_release);
    // The trailer's digits are the only uppercase ones, and its one link is written in another field's place.
    archive.extend(format!("070701{:032}{:08}{:048}{}{:08}TRAILER!!!\0\0\0\0", 0, 1, 0, "0000000B", 0).bytes());
    archive
}

/// One entry in the kernel's format (Linux `Documentation/driver-api/early-userspace/buffer-format.rst`, "newc").
fn entry(archive: &mut Vec<u8>, inode: u32, mode: u32, name: &str, data: &[u8]) {
    let name_len = name.len().saturating_add(1);
    // Inode, mode, owner, group, links, time, size, four device numbers, length of the name, no checksum.
    let numbers = format!(
        "070701{inode:08x}{mode:08x}{:016}{:08x}{:08}{:08x}{:032}{name_len:08x}{:08}",
        0,
        1,
        0,
        data.len(),
        0,
        0
    );
    archive.extend(numbers.bytes());
    archive.extend(name.bytes());
    archive.push(0);
    pad4(archive);
    archive.extend(data);
    pad4(archive);
}
