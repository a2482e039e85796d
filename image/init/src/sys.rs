//! The system calls that no safe crate offers: device-mapper requests, an interface flag, new namespaces; and, for the probe,
//! calls that are expected to fail. All `unsafe` of the crate is here.

#![allow(unsafe_code, reason = "ioctl, unshare and raw system calls; each block says why its arguments are valid")]

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::os::raw::c_long;

use rustix::thread::UnshareFlags;

/// Length of `struct dm_ioctl` in `linux/dm-ioctl.h`.
const DM_HEADER_LEN: usize = 312;
/// Length of `struct dm_target_spec` there.
const DM_TARGET_LEN: usize = 40;
/// Room for what the kernel answers.
const DM_BUFFER_LEN: usize = 16 * 1024;
/// `DM_READONLY_FLAG`.
const DM_READONLY: u32 = 1;
/// `DM_STATUS_TABLE_FLAG`: status asks for the table's parameters.
const DM_STATUS_TABLE: u32 = 1 << 4;
/// The interface version we speak.
const DM_VERSION: [u32; 3] = [4, 0, 0];

const DM_DEV_CREATE: u64 = dm_request(3);
const DM_DEV_SUSPEND: u64 = dm_request(6);
const DM_TABLE_LOAD: u64 = dm_request(9);
const DM_TABLE_STATUS: u64 = dm_request(12);

/// `_IOWR(0xfd, number, struct dm_ioctl)`.
const fn dm_request(number: u64) -> u64 {
    (3 << 30) | (312 << 16) | (0xfd << 8) | number
}

/// Makes the read-only device `name` of one `verity` target, and gives its `dm-<minor>` number.
pub fn dm_create_verity(control: &File, name: &str, sectors: u64, table: &str) -> io::Result<u64> {
    let minor = dm(control, DM_DEV_CREATE, &dm_message(name, DM_READONLY, None))?.minor;
    dm(control, DM_TABLE_LOAD, &dm_message(name, DM_READONLY, Some((sectors, table))))?;
    // Suspending without the flag that asks for it is resuming: the loaded table becomes the live one.
    dm(control, DM_DEV_SUSPEND, &dm_message(name, DM_READONLY, None))?;
    Ok(minor)
}

/// Type and parameters of the live table of `name`.
pub fn dm_table(control: &File, name: &str) -> io::Result<String> {
    let answer = dm(control, DM_TABLE_STATUS, &dm_message(name, DM_STATUS_TABLE, None))?.bytes;
    let target = answer.get(DM_HEADER_LEN..).unwrap_or_default();
    let text = |bytes: Option<&[u8]>| {
        let bytes = bytes.unwrap_or_default();
        let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
        String::from_utf8_lossy(bytes.get(..end).unwrap_or_default()).into_owned()
    };
    Ok(format!("{} {}", text(target.get(24..DM_TARGET_LEN)), text(target.get(DM_TARGET_LEN..))))
}

struct DmAnswer {
    bytes: Vec<u8>,
    minor: u64,
}

/// `struct dm_ioctl`, and one `struct dm_target_spec` with its parameters if there is a table.
fn dm_message(name: &str, flags: u32, table: Option<(u64, &str)>) -> Vec<u8> {
    let mut message = Vec::with_capacity(DM_BUFFER_LEN);
    for number in DM_VERSION {
        message.extend(number.to_ne_bytes());
    }
    // data_size, data_start, target_count, open_count, flags, event_nr, padding.
    let words = [16 * 1024, 312, u32::from(table.is_some()), 0, flags, 0, 0];
    message.extend(words.iter().flat_map(|word| word.to_ne_bytes()));
    message.extend(0_u64.to_ne_bytes());
    message.extend(name.bytes().take(127));
    message.resize(DM_HEADER_LEN, 0);
    if let Some((sectors, parameters)) = table {
        message.extend(0_u64.to_ne_bytes());
        message.extend(sectors.to_ne_bytes());
        message.extend([0; 8]);
        message.extend(b"verity\0\0\0\0\0\0\0\0\0\0");
        message.extend(parameters.bytes());
        message.push(0);
    }
    message
}

fn dm(control: &File, request: u64, message: &[u8]) -> io::Result<DmAnswer> {
    let mut bytes = message.to_vec();
    if bytes.len() > DM_BUFFER_LEN {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    bytes.resize(DM_BUFFER_LEN, 0);
    // SAFETY: the buffer is as long as the header's data_size says, and the kernel reads and writes no more than that.
    let outcome = unsafe { libc::ioctl(control.as_raw_fd(), request, bytes.as_mut_ptr()) };
    if outcome < 0 {
        return Err(io::Error::last_os_error());
    }
    let device = bytes.get(40..48).and_then(|field| <[u8; 8]>::try_from(field).ok()).map_or(0, u64::from_ne_bytes);
    // The kernel's huge encoding: minor in bits 0-7 and 20-31.
    let minor = (device & 0xff) | ((device >> 12) & 0xf_ff00);
    Ok(DmAnswer { bytes, minor })
}

/// Marks the interface as up, through any IPv4 socket.
pub fn interface_up(socket: impl AsFd, name: &str) -> io::Result<()> {
    // struct ifreq: 16 bytes of name, then a union of 24 bytes that begins with the flags.
    let mut request = [0_u8; 40];
    for (slot, byte) in request.iter_mut().zip(name.bytes().take(15)) {
        *slot = byte;
    }
    let flags = u16::try_from(libc::IFF_UP | libc::IFF_RUNNING).map_err(io::Error::other)?;
    for (slot, byte) in request.iter_mut().skip(16).zip(flags.to_ne_bytes()) {
        *slot = byte;
    }
    // SAFETY: SIOCSIFFLAGS reads one struct ifreq, which is what the buffer holds.
    let outcome = unsafe { libc::ioctl(socket.as_fd().as_raw_fd(), libc::SIOCSIFFLAGS, request.as_mut_ptr()) };
    if outcome < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Moves this process (single-threaded) into new namespaces.
pub fn unshare(flags: UnshareFlags) -> io::Result<()> {
    // SAFETY: the one unsound flag is FILES, which closes descriptors that another thread may use; it is taken out.
    unsafe { rustix::thread::unshare_unsafe(flags.difference(UnshareFlags::FILES)) }.map_err(Into::into)
}

/// The error number of a call, 0 if it succeeds. For calls that are to be refused.
///
/// # Safety
/// No argument may be an address through which the call, if it is let through, would write to this process.
#[must_use]
pub unsafe fn errno_of(call: c_long, arguments: [c_long; 3]) -> i32 {
    let [first, second, third] = arguments;
    // SAFETY: the caller's promise.
    let outcome = unsafe { libc::syscall(call, first, second, third, 0, 0, 0) };
    if outcome < 0 { io::Error::last_os_error().raw_os_error().unwrap_or(-1) } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_those_of_the_header() {
        // Values printed by a C program that includes <linux/dm-ioctl.h>.
        assert_eq!(DM_DEV_CREATE, 0xc138_fd03);
        assert_eq!(DM_DEV_SUSPEND, 0xc138_fd06);
        assert_eq!(DM_TABLE_LOAD, 0xc138_fd09);
        assert_eq!(DM_TABLE_STATUS, 0xc138_fd0c);
    }

    #[test]
    fn messages_have_the_layout_of_the_header() {
        let message = dm_message("root", DM_READONLY, Some((8, "1 a b")));
        assert_eq!(message.len(), DM_HEADER_LEN + DM_TARGET_LEN + 6);
        assert_eq!(message[12..16], 16384_u32.to_ne_bytes());
        assert_eq!(message[16..20], 312_u32.to_ne_bytes());
        assert_eq!(message[20..24], 1_u32.to_ne_bytes());
        assert_eq!(&message[48..53], b"root\0");
        assert_eq!(&message[DM_HEADER_LEN + 8..DM_HEADER_LEN + 16], 8_u64.to_ne_bytes());
        assert_eq!(&message[DM_HEADER_LEN + 24..DM_HEADER_LEN + 31], b"verity\0");
    }
}
