//! The kernel as the firmware sees it on a machine without SEV.
//!
//! QEMU writes a few fields of the kernel's setup header before it hands it to the firmware, unless the guest is a SEV guest. To show the
//! firmware's check at work without SEV, the table must hold the hash of that patched kernel. The fields are those of the Linux boot
//! protocol (Documentation/arch/x86/boot.rst).

use anyhow::Context;

const REAL_ADDRESS: u32 = 0x1_0000;
const CMDLINE_ADDRESS: u32 = 0x2_0000;

/// Bytes below the top of memory that QEMU keeps for ACPI tables and the firmware's own data.
const ACPI_DATA_LEN: u64 = 0x2_8000;

/// `kernel` with the fields that QEMU writes, for a machine with `memory` bytes below 4 GiB and a ramdisk of `initrd_len` bytes.
pub(crate) fn patched(kernel: &[u8], initrd_len: usize, memory: u64) -> anyhow::Result<Vec<u8>> {
    let mut bytes = kernel.to_vec();
    let mut put = |at: usize, value: &[u8]| -> anyhow::Result<()> {
        let field = bytes.get_mut(at..at.saturating_add(value.len())).context("the kernel has no setup header")?;
        field.copy_from_slice(value);
        Ok(())
    };
    let load_flags = *kernel.get(0x211).context("the kernel has no setup header")?;
    let initrd_len = u64::try_from(initrd_len)?;
    let highest = memory - ACPI_DATA_LEN - 1;
    let initrd_address = u32::try_from((highest - initrd_len) & !4095)?;
    // type_of_loader: QEMU.
    put(0x210, &[0xb0])?;
    // loadflags: CAN_USE_HEAP.
    put(0x211, &[load_flags | 0x80])?;
    put(0x218, &initrd_address.to_le_bytes())?;
    put(0x21c, &u32::try_from(initrd_len)?.to_le_bytes())?;
    // heap_end_ptr.
    put(0x224, &(CMDLINE_ADDRESS - REAL_ADDRESS - 0x200).to_le_bytes())?;
    put(0x228, &CMDLINE_ADDRESS.to_le_bytes())?;
    Ok(bytes)
}
