//! What the kernel says of its block devices, in `/sys/block`.

use std::fs;
use std::io;
use std::path::Path;

use measured_init::disks::{BlockDevice, Kind};

/// Every disk and partition there is now.
pub(crate) fn block_devices() -> io::Result<Vec<BlockDevice>> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/sys/block")? {
        let entry = entry?;
        let disk = entry.file_name().to_string_lossy().into_owned();
        // Disks without a serial have no such file.
        let serial = line(&entry.path().join("serial")).unwrap_or_default();
        found.push(device(&disk, &entry.path(), Kind::Disk { serial })?);
        for part in fs::read_dir(entry.path())? {
            let part = part?;
            if part.path().join("partition").exists() {
                let name = part.file_name().to_string_lossy().into_owned();
                let kind = Kind::Partition { disk: disk.clone(), label: label(&part.path())? };
                found.push(device(&name, &part.path(), kind)?);
            }
        }
    }
    Ok(found)
}

fn device(name: &str, at: &Path, kind: Kind) -> io::Result<BlockDevice> {
    let sectors = line(&at.join("size"))?.parse().map_err(io::Error::other)?;
    Ok(BlockDevice { name: name.into(), number: line(&at.join("dev"))?, kind, sectors })
}

fn label(at: &Path) -> io::Result<String> {
    let event = fs::read_to_string(at.join("uevent"))?;
    Ok(event.lines().find_map(|line| line.strip_prefix("PARTNAME=")).unwrap_or_default().into())
}

fn line(file: &Path) -> io::Result<String> {
    Ok(fs::read_to_string(file)?.trim_end().to_owned())
}
