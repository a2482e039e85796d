//! A simulated GPU: report, device chain, manifests and OCSP responses, right by default and wrong where a test asks.
//!
//! Everything is really signed, byte for byte in the form NVIDIA uses; only the roots differ, and their names say
//! SIMULATED. [`FakeGpu::evidence`] answers any nonce, so a simulated platform can serve live evidence.

mod certificate;
mod keys;
mod ocsp;
mod report;
mod rim;

use attestation::UnixTime;
use attestation::gpu::{GpuEndorsements, GpuEvidence, OcspAnswer};
use attestation::{RootError, TrustRoots};

pub use certificate::{EcCurve, FwidForm, GpuCertificate};
pub use keys::{GpuKeys, GpuKeysError, KeyName};
pub use ocsp::{CertIdHash, FakeOcsp, OcspStatus, Responder, ResponderName};
pub use report::FakeGpuReport;
pub use rim::{FakeMeasurement, FakeRim};

use crate::certificate::{NOT_AFTER, NOT_BEFORE};

/// Version of the simulated driver.
pub const SIMULATED_DRIVER: &str = "580.95.05";
/// Version of the simulated VBIOS.
pub const SIMULATED_VBIOS: &str = "96.00.9F.00.01";
/// Seconds an OCSP response is good for.
const OCSP_PERIOD_SECS: u64 = 7 * 24 * 3600;
/// Simulated firmware identity.
const FWID: [u8; 48] = [0xf1; 48];

/// A simulated GPU with its endorsements, every part public until it is signed.
#[derive(Debug, Clone)]
pub struct FakeGpu<'a> {
    /// Who signs.
    pub keys: &'a GpuKeys,
    /// Device chain, leaf first.
    pub chain: Vec<GpuCertificate>,
    /// What the device reports.
    pub report: FakeGpuReport,
    /// The driver's manifest.
    pub driver_rim: Option<FakeRim>,
    /// The VBIOS's manifest.
    pub vbios_rim: Option<FakeRim>,
    /// OCSP responses.
    pub ocsp: Vec<FakeOcsp>,
}

impl<'a> FakeGpu<'a> {
    /// An H100 the strict policy accepts at `now` under its own roots.
    #[must_use]
    pub fn accepted(keys: &'a GpuKeys, now: UnixTime) -> Self {
        let chain = device_chain();
        let driver_rim = FakeRim::driver();
        // Nobody answers for the leaf, which a device makes at each boot, nor for roots.
        let of_device = chain.iter().zip(chain.iter().skip(1)).skip(1);
        let of_rim = driver_rim.chain.iter().zip(driver_rim.chain.iter().skip(1));
        let good = |(subject, issuer)| FakeOcsp::good(subject, issuer, now, OCSP_PERIOD_SECS);
        let ocsp = of_device.chain(of_rim).map(good).collect();
        Self {
            keys,
            chain,
            report: FakeGpuReport::accepted(FWID),
            driver_rim: Some(driver_rim),
            vbios_rim: Some(FakeRim::vbios()),
            ocsp,
        }
    }

    /// The same GPU model with another serial number.
    #[must_use]
    pub fn numbered(keys: &'a GpuKeys, now: UnixTime, number: u8) -> Self {
        let mut gpu = Self::accepted(keys, now);
        let brom_serial = gpu.chain.get(1).map(|brom| brom.serial.clone()).unwrap_or_default();
        for certificate in gpu.chain.iter_mut().take(2) {
            certificate.serial.push(number);
        }
        for answer in gpu.ocsp.iter_mut().filter(|answer| answer.serial == brom_serial) {
            answer.serial.push(number);
        }
        gpu
    }

    /// The GPU's answer to `nonce`.
    #[must_use]
    pub fn evidence(&self, nonce: [u8; 32]) -> GpuEvidence {
        GpuEvidence {
            report: self.report.sign(&nonce, self.keys),
            certificate_chain: self
                .chain
                .iter()
                .map(|certificate| certificate.pem(self.keys))
                .collect::<String>()
                .into(),
        }
    }

    /// What comes beside it.
    #[must_use]
    pub fn endorsements(&self) -> GpuEndorsements {
        let answer = |spec: &FakeOcsp| OcspAnswer { response: spec.sign(self.keys), nonce: spec.request_nonce };
        GpuEndorsements {
            driver_rim: self.driver_rim.as_ref().map(|rim| rim.sign(self.keys)),
            vbios_rim: self.vbios_rim.as_ref().map(|rim| rim.sign(self.keys)),
            ocsp: self.ocsp.iter().map(answer).collect(),
        }
    }
}

/// The roots that trust simulated devices and manifests.
///
/// # Errors
/// Never with keys of this crate.
pub fn simulated_gpu_roots(keys: &GpuKeys) -> Result<TrustRoots, RootError> {
    let mut roots = keys.roots().iter().map(|root| TrustRoots::named(root));
    let first = roots.next().ok_or(RootError::Malformed)??;
    roots.try_fold(first, |all, root| Ok(all.and(root?)))
}

/// Leaf, boot ROM, provisioner, identity, root.
pub(crate) fn device_chain() -> Vec<GpuCertificate> {
    let names = [
        (KeyName::Leaf, "SIMULATED GH100 A01 GSP FMC LF"),
        (KeyName::Brom, "SIMULATED GH100 A01 GSP BROM"),
        (KeyName::Provisioner, "SIMULATED GH100 Provisioner ICA 1"),
        (KeyName::Identity, "SIMULATED GH100 Identity"),
        (KeyName::DeviceRoot, "SIMULATED Device Identity CA"),
    ];
    let mut chain = certificate::chain(&names, (NOT_BEFORE, NOT_AFTER));
    if let Some(leaf) = chain.first_mut() {
        leaf.fwid = FwidForm::Composite(FWID);
    }
    chain
}
