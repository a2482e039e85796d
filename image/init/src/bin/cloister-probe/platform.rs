//! What surrounds the kernel: devices, firmware tables, hot plug; and the lines of the checklist that others answer.

use std::fs;

use crate::files::{names, read};
use crate::report::{Report, say};

/// What firmware and kernel have measured into a TPM, if there is one: for whoever predicted it.
const REGISTERS: [u32; 3] = [4, 9, 11];

pub(crate) fn run(report: &mut Report) {
    for number in REGISTERS {
        let value = read(format!("/sys/class/tpm/tpm0/pcr-sha256/{number}"));
        if !value.is_empty() {
            say(&format!("PCR {number} {}", value.trim_end()));
        }
    }
    virtio(report);
    drivers(report);
    let upgrade = names("/sys/kernel/config").iter().any(|name| name == "acpi");
    report.check("11-no-table-upload", !upgrade, "no ACPI tables through configfs");
    report.not_here("11-acpi-access-to-memory", "a boot with a hostile table, observed from outside");
    report.not_here(
        "14-platform-policy",
        "no TEE here; debug, migration, TCB and attributes are in the report, for the verifier",
    );
    let (present, online) = (read("/sys/devices/system/cpu/present"), read("/sys/devices/system/cpu/online"));
    report.check(
        "15-processors",
        present == online,
        format_args!("present {} online {}", present.trim_end(), online.trim_end()),
    );
    let gpus: Vec<String> =
        names("/sys/class").into_iter().filter(|class| class == "drm" || class.contains("nvidia")).collect();
    report.none("16-no-gpu-driver", &gpus, "the kernel has none");
    report.not_here("16-gpu", "this image has no GPU driver; a GPU's report is the verifier's");
}

/// Feature 32 (VIRTIO_F_VERSION_1): the device speaks the modern interface, and the driver has no other.
fn virtio(report: &mut Report) {
    for device in names("/sys/bus/virtio/devices") {
        let features = read(format!("/sys/bus/virtio/devices/{device}/features"));
        report.check(
            "10-virtio-modern",
            features.chars().nth(32) == Some('1'),
            format_args!("{device} {}", features.trim_end()),
        );
    }
}

fn drivers(report: &mut Report) {
    let expected = ["virtio-pci", "pcieport"];
    let drivers: Vec<String> =
        names("/sys/bus/pci/drivers").into_iter().filter(|name| !expected.contains(&name.as_str())).collect();
    report.none("10-pci-drivers", &drivers, format_args!("no driver but {expected:?}"));
    for device in names("/sys/bus/pci/devices") {
        let at = format!("/sys/bus/pci/devices/{device}");
        let Ok(driver) = fs::read_link(format!("{at}/driver")) else { continue };
        let driver = driver.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let (vendor, id) = (read(format!("{at}/vendor")), read(format!("{at}/device")));
        let known = driver != "virtio-pci" || vendor.trim_end() == "0x1af4";
        report.check("10-device", known, format_args!("{device} {} {} {driver}", vendor.trim_end(), id.trim_end()));
    }
    let buses: Vec<String> = names("/sys/bus")
        .into_iter()
        .filter(|bus| ["usb", "scsi", "firewire", "thunderbolt"].contains(&bus.as_str()))
        .collect();
    report.none("10-buses", &buses, "no USB, SCSI, FireWire or Thunderbolt");
}
