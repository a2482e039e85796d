//! The first register state of a virtual CPU, as the page that is measured at launch.
//!
//! Decides: the 4096 bytes of a VMSA (APM Vol. 2, Table B-4 "VMSA Layout, State Save Area for SEV-ES"), for each way a
//! virtual machine monitor resets a CPU.

use super::Vmm;
use crate::measure::{CpuModel, PAGE_LEN};

/// Where the bootstrap processor starts: the architectural reset vector.
const BOOTSTRAP_EIP: u32 = 0xffff_fff0;

/// PAT after reset (APM Vol. 2, §7.8.2).
const PAT_RESET: u64 = 0x0007_0406_0007_0406;

/// What every virtual CPU of one guest has in common.
pub(super) struct InitialState {
    pub(super) vmm: Vmm,
    pub(super) cpu: CpuModel,
    pub(super) features: u64,
}

/// What differs between virtual machine monitors.
struct Reset {
    cs: u16,
    ss: u16,
    tr: u16,
    pat: u64,
    rdx: u64,
    mxcsr: u32,
    fcw: u16,
}

impl InitialState {
    pub(super) fn bootstrap_page(&self) -> [u8; PAGE_LEN] {
        self.page(BOOTSTRAP_EIP)
    }

    pub(super) fn application_page(&self, eip: u32) -> [u8; PAGE_LEN] {
        self.page(eip)
    }

    fn reset(&self, eip: u32) -> Reset {
        let bootstrap = eip == BOOTSTRAP_EIP;
        let amazon = |cs, rdx| Reset { cs, ss: 0x92, tr: 0x83, pat: PAT_RESET, rdx, mxcsr: 0, fcw: 0 };
        let accessed = if bootstrap { 0x9a } else { 0x9b };
        match self.vmm {
            // KVM's own reset: RDX holds the CPUID signature, MXCSR and FCW their architectural values.
            Vmm::Qemu => Reset {
                cs: 0x9b,
                ss: 0x93,
                tr: 0x8b,
                pat: PAT_RESET,
                rdx: u64::from(self.cpu.signature()),
                mxcsr: 0x1f80,
                fcw: 0x037f,
            },
            Vmm::Ec2 => amazon(accessed, 0x600),
            Vmm::Ec2RdxZero => amazon(accessed, 0),
            Vmm::Krun => amazon(0x9a, 0),
            Vmm::Gce => Reset { cs: 0x9b, ss: 0x93, tr: 0x8b, pat: 0x0007_0106, rdx: 0x600, mxcsr: 0, fcw: 0 },
        }
    }

    fn page(&self, eip: u32) -> [u8; PAGE_LEN] {
        let reset = self.reset(eip);
        let mut page = Page([0; PAGE_LEN]);
        page.segment(0x000, 0, 0x93, 0xffff, 0); // ES
        page.segment(0x010, 0xf000, reset.cs, 0xffff, eip & 0xffff_0000); // CS
        page.segment(0x020, 0, reset.ss, 0xffff, 0); // SS
        page.segment(0x030, 0, 0x93, 0xffff, 0); // DS
        page.segment(0x040, 0, 0x93, 0xffff, 0); // FS
        page.segment(0x050, 0, 0x93, 0xffff, 0); // GS
        page.segment(0x060, 0, 0, 0xffff, 0); // GDTR
        page.segment(0x070, 0, 0x82, 0xffff, 0); // LDTR
        page.segment(0x080, 0, 0, 0xffff, 0); // IDTR
        page.segment(0x090, 0, reset.tr, 0xffff, 0); // TR
        page.u64(0x0d0, 0x1000); // EFER.SVME, which KVM sets
        page.u64(0x148, 0x40); // CR4.MCE, which KVM sets
        page.u64(0x158, 0x10); // CR0.ET
        page.u64(0x160, 0x400); // DR7
        page.u64(0x168, 0xffff_0ff0); // DR6
        page.u64(0x170, 0x2); // RFLAGS
        page.u64(0x178, u64::from(eip & 0xffff)); // RIP
        page.u64(0x268, reset.pat); // G_PAT
        page.u64(0x310, reset.rdx); // RDX
        page.u64(0x3b0, self.features); // SEV_FEATURES
        page.u64(0x3e8, 0x1); // XCR0
        page.put(0x408, &reset.mxcsr.to_le_bytes()); // MXCSR
        page.put(0x410, &reset.fcw.to_le_bytes()); // X87_FCW
        page.0
    }
}

/// A page under construction.
struct Page([u8; PAGE_LEN]);

impl Page {
    fn put(&mut self, offset: usize, bytes: &[u8]) {
        for (target, byte) in self.0.iter_mut().skip(offset).zip(bytes) {
            *target = *byte;
        }
    }

    fn u64(&mut self, offset: usize, value: u64) {
        self.put(offset, &value.to_le_bytes());
    }

    /// Selector, attributes, limit, base (APM Vol. 2, Table B-2).
    fn segment(&mut self, offset: usize, selector: u16, attributes: u16, limit: u32, base: u32) {
        let [s0, s1] = selector.to_le_bytes();
        let [a0, a1] = attributes.to_le_bytes();
        self.put(offset, &[s0, s1, a0, a1]);
        self.put(offset.saturating_add(4), &limit.to_le_bytes());
        self.put(offset.saturating_add(8), &u64::from(base).to_le_bytes());
    }
}
