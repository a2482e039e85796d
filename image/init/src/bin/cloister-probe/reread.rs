//! Reads one block of the model volume again and again, past the page cache, until the kernel stops the machine because it
//! changed, or for ever.

use std::fs::{self, File};
use std::os::unix::fs::OpenOptionsExt;
use std::process::ExitCode;
use std::time::Duration;

use crate::files::read;
use crate::report::say;
use crate::system::Devices;

const BLOCK_LEN: usize = 4096;

pub(crate) fn run() -> ExitCode {
    match open() {
        Ok((file, block)) => read_forever(&file, block),
        Err(error) => {
            say(&format!("READFAILED {error}"));
            ExitCode::FAILURE
        }
    }
}

/// The model volume, or the engine's in an image without one; and the block in the middle of its data.
fn open() -> std::io::Result<(File, u64)> {
    let devices = Devices::mount("/run/probe-reread")?;
    let volume = if devices.mapped("model").is_some() { "model" } else { "engine" };
    let node = devices.mapped(volume).ok_or(std::io::ErrorKind::NotFound)?;
    let name = node.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let sectors: u64 = read(format!("/sys/block/{name}/size")).trim_end().parse().map_err(std::io::Error::other)?;
    let file = fs::OpenOptions::new().read(true).custom_flags(libc::O_DIRECT).open(node)?;
    let block = sectors / 8 / 2;
    say(&format!("READREADY volume={volume} block={block}"));
    Ok((file, block))
}

fn read_forever(file: &File, block: u64) -> ExitCode {
    use std::os::unix::fs::FileExt;
    // Direct reads need an aligned buffer; one of twice the length holds an aligned block.
    let mut buffer = vec![0_u8; 2 * BLOCK_LEN];
    let skip = buffer.as_ptr().align_offset(BLOCK_LEN);
    let Some(aligned) = buffer.get_mut(skip..skip.saturating_add(BLOCK_LEN)) else { return ExitCode::FAILURE };
    let mut reads: u64 = 0;
    loop {
        if let Err(error) = file.read_exact_at(aligned, block.saturating_mul(4096)) {
            say(&format!("READFAILED after {reads} reads: {error}"));
            return ExitCode::FAILURE;
        }
        reads += 1;
        if reads.is_multiple_of(20) {
            say(&format!("READ {reads}"));
        }
        std::thread::sleep(Duration::from_millis(300));
    }
}
