//! The entry through which the guardian asks the platform for reports (`configfs-tsm`).
//!
//! Decides: that there is one entry, made before any service runs, and that the guardian can use it and nobody can make another.
//! Where no platform has registered, as under plain QEMU, there is none; a guardian whose measured configuration names it then ends
//! at boot.

use rustix::fs::{Mode, Uid, chown, mkdir, rmdir};
use rustix::io::Errno;
use rustix::mount::MountFlags;

use crate::fatal::{Fatal, OrFatal};
use crate::mounts;
use crate::sandbox::GUARDIAN_ID;

/// Where the entry is seen, here and in the guardian's place.
pub(crate) const ENTRY: &str = "/run/tsm";

/// Where configfs is mounted meanwhile.
const CONFIGFS: &str = "/run/configfs";
const MADE: &str = "/run/configfs/tsm/report/guardian";

/// Makes the entry, if this machine has a platform that reports.
pub(crate) fn make() -> Result<(), Fatal> {
    mounts::directory(CONFIGFS, 0o700)?;
    mounts::pseudo("configfs", CONFIGFS, "")?;
    match mkdir(MADE, Mode::from_raw_mode(0o755)) {
        Ok(()) => {
            // What else the entry has, everybody may read and nobody write.
            let asked = format!("{MADE}/inblob");
            chown(&asked, Some(Uid::from_raw(GUARDIAN_ID)), None).fatal("report-entry", &asked)?;
            mounts::directory(ENTRY, 0o755)?;
            mounts::bind(MADE, ENTRY, MountFlags::empty())?;
        }
        // ENXIO: no driver has registered. ENOENT: the kernel was built without.
        Err(Errno::NXIO | Errno::NOENT) => {}
        Err(error) => return Err(error).fatal("report-entry", MADE),
    }
    mounts::detach(CONFIGFS)?;
    rmdir(CONFIGFS).fatal("report-entry", CONFIGFS)
}
