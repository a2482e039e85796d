//! A report with every field public, signed like the firmware signs.

use attestation::snp::{Cpu, FirmwareVersion, Product, REPORT_LEN, SIGNED_LEN, SigningKey, Tcb};
use aws_lc_rs::digest::{SHA384, digest};

use crate::pki::TestPki;

/// Guest policy of a strictly launched guest: ABI 1.55, bit 17, RAPL off (23), ciphertext hiding (24), no page swap (25).
const STRICT_GUEST_POLICY: u64 = 1 << 25 | 1 << 24 | 1 << 23 | 1 << 17 | 1 << 8 | 55;
/// ECC (2), RAPL off (3), ciphertext hiding (4), alias check complete (5).
const STRICT_PLATFORM: u64 = 1 << 5 | 1 << 4 | 1 << 3 | 1 << 2;

/// What a simulated platform says it launched unless told otherwise.
#[must_use]
pub fn simulated_launch_digest() -> [u8; 48] {
    let hash = digest(&SHA384, b"cloister simulated launch digest");
    hash.as_ref().try_into().expect("invariant: a SHA-384 digest has 48 bytes")
}

/// The TCB the strict policy's floor for this product is at; for Milan, which it excludes, a late one.
pub(crate) fn floor_tcb(product: Product) -> Tcb {
    match product {
        Product::Milan => Tcb { fmc: None, boot_loader: 4, tee: 0, snp: 0x1d, microcode: 0xdb },
        Product::Genoa => Tcb { fmc: None, boot_loader: 0x0a, tee: 0, snp: 0x1c, microcode: 0x56 },
        Product::Turin => Tcb { fmc: Some(1), boot_loader: 3, tee: 2, snp: 5, microcode: 0x51 },
    }
}

/// The fields of a report, under the ABI's names.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are the ABI's and are documented at attestation::snp::SnpReport")]
pub struct FakeSnp {
    pub version: u32,
    pub guest_svn: u32,
    pub policy: u64,
    pub family_id: [u8; 16],
    pub image_id: [u8; 16],
    pub vmpl: u32,
    pub signature_algo: u32,
    pub current_tcb: Tcb,
    pub platform_info: u64,
    pub author_key_en: bool,
    pub mask_chip_key: bool,
    pub signing_key: u8,
    pub report_data: [u8; 64],
    pub measurement: [u8; 48],
    pub host_data: [u8; 32],
    pub id_key_digest: [u8; 48],
    pub author_key_digest: [u8; 48],
    pub report_id: [u8; 32],
    pub report_id_ma: [u8; 32],
    pub reported_tcb: Tcb,
    pub cpu: Option<Cpu>,
    pub chip_id: [u8; 64],
    pub committed_tcb: Tcb,
    pub current_version: FirmwareVersion,
    pub committed_version: FirmwareVersion,
    pub launch_tcb: Tcb,
    pub launch_mit_vector: u64,
    pub current_mit_vector: u64,
    /// Bytes written over the signed part at this offset, before signing.
    pub overwrite: Vec<(usize, u8)>,
}

impl FakeSnp {
    /// A report the demo policy accepts.
    #[must_use]
    pub fn accepted(pki: &TestPki) -> Self {
        let tcb = floor_tcb(pki.product());
        let (family, model) = match pki.product() {
            Product::Milan => (0x19, 0x01),
            Product::Genoa => (0x19, 0x11),
            Product::Turin => (0x1a, 0x02),
        };
        let firmware = FirmwareVersion { major: 1, minor: 55, build: 65 };
        Self {
            version: 5,
            guest_svn: 0,
            policy: STRICT_GUEST_POLICY,
            family_id: [0; 16],
            image_id: [0; 16],
            vmpl: 0,
            signature_algo: 1,
            current_tcb: tcb,
            platform_info: STRICT_PLATFORM,
            author_key_en: false,
            mask_chip_key: false,
            signing_key: 0,
            report_data: [0; 64],
            measurement: simulated_launch_digest(),
            host_data: [0; 32],
            id_key_digest: [0; 48],
            author_key_digest: [0; 48],
            report_id: [0x51; 32],
            report_id_ma: [0xff; 32],
            reported_tcb: tcb,
            cpu: Some(Cpu { family, model, stepping: 1 }),
            chip_id: pki.chip_id(),
            committed_tcb: tcb,
            current_version: firmware,
            committed_version: firmware,
            launch_tcb: tcb,
            launch_mit_vector: 0x3f,
            current_mit_vector: 0x3f,
            overwrite: Vec::new(),
        }
    }

    /// Set all four TCBs.
    pub fn set_tcb(&mut self, tcb: Tcb) {
        self.current_tcb = tcb;
        self.reported_tcb = tcb;
        self.committed_tcb = tcb;
        self.launch_tcb = tcb;
    }

    /// Name the kind of key that signs.
    pub fn set_signing_key(&mut self, kind: SigningKey) {
        self.signing_key = match kind {
            SigningKey::Vcek => 0,
            SigningKey::Vlek => 1,
        };
    }

    /// The 1184 bytes, signed by the chain's endorsement key.
    #[must_use]
    pub fn sign(&self, pki: &TestPki) -> Vec<u8> {
        let signed = self.signed_bytes();
        let signature = pki.sign_report(&signed);
        let (r, s) = signature.split_at_checked(48).expect("invariant: a fixed P-384 signature has 96 bytes");
        let mut report = signed;
        for scalar in [r, s] {
            report.extend(scalar.iter().rev());
            report.extend([0; 24]);
        }
        report.resize(REPORT_LEN, 0);
        report
    }

    fn signed_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(SIGNED_LEN);
        out.extend(self.version.to_le_bytes());
        out.extend(self.guest_svn.to_le_bytes());
        out.extend(self.policy.to_le_bytes());
        out.extend(self.family_id);
        out.extend(self.image_id);
        out.extend(self.vmpl.to_le_bytes());
        out.extend(self.signature_algo.to_le_bytes());
        out.extend(tcb_bytes(&self.current_tcb));
        out.extend(self.platform_info.to_le_bytes());
        let key_information =
            u32::from(self.author_key_en) | u32::from(self.mask_chip_key) << 1 | u32::from(self.signing_key) << 2;
        out.extend(key_information.to_le_bytes());
        out.extend([0; 4]);
        out.extend(self.report_data);
        out.extend(self.measurement);
        out.extend(self.host_data);
        out.extend(self.id_key_digest);
        out.extend(self.author_key_digest);
        out.extend(self.report_id);
        out.extend(self.report_id_ma);
        out.extend(tcb_bytes(&self.reported_tcb));
        match self.cpu {
            Some(cpu) if self.version >= 3 => out.extend([cpu.family, cpu.model, cpu.stepping]),
            _ => out.extend([0; 3]),
        }
        out.extend([0; 21]);
        out.extend(self.chip_id);
        out.extend(tcb_bytes(&self.committed_tcb));
        for version in [self.current_version, self.committed_version] {
            out.extend([version.build, version.minor, version.major, 0]);
        }
        out.extend(tcb_bytes(&self.launch_tcb));
        if self.version >= 5 {
            out.extend(self.launch_mit_vector.to_le_bytes());
            out.extend(self.current_mit_vector.to_le_bytes());
        }
        out.resize(SIGNED_LEN, 0);
        for (offset, byte) in &self.overwrite {
            if let Some(slot) = out.get_mut(*offset) {
                *slot = *byte;
            }
        }
        out
    }
}

/// A TCB in the layout of its product: with an FMC it is Turin's.
fn tcb_bytes(tcb: &Tcb) -> [u8; 8] {
    let Tcb { fmc, boot_loader, tee, snp, microcode } = *tcb;
    match fmc {
        Some(fmc) => [fmc, boot_loader, tee, snp, 0, 0, 0, microcode],
        None => [boot_loader, tee, 0, 0, 0, 0, snp, microcode],
    }
}
