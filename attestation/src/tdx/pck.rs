//! Intel's extension of PCK certificates (Intel SGX PCK Certificate and CRL Specification §1.3.5).
//!
//! Decides: whether the extension has exactly its one form, in DER, with every element in its place. The certificate's
//! signature is checked elsewhere.

use std::fmt;

use serde::Deserialize;
use x509_parser::certificate::X509Certificate;

use crate::tdx::TdxRejection;
use crate::x509::der::{self, Der};

/// The extension, 1.2.840.113741.1.13.1: DER without its header. Elements add their number.
const OID_SGX_DER: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf8, 0x4d, 0x01, 0x0d, 0x01];
/// Numbers of the elements.
const PPID: u8 = 1;
const TCB: u8 = 2;
const PCE_ID: u8 = 3;
const FMSPC: u8 = 4;
const SGX_TYPE: u8 = 5;
const PLATFORM_INSTANCE_ID: u8 = 6;
const CONFIGURATION: u8 = 7;
/// Numbers inside the TCB, after the sixteen components.
const TCB_COMPONENTS: u8 = 16;
const TCB_PCE_SVN: u8 = 17;
const TCB_CPU_SVN: u8 = 18;
/// Numbers inside the configuration.
const DYNAMIC_PLATFORM: u8 = 1;
const CACHED_KEYS: u8 = 2;
const SMT_ENABLED: u8 = 3;

/// Which CA of Intel's issued a PCK.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PckCa {
    /// Of single-package platforms.
    Processor,
    /// Of multi-package platforms, registered with Intel.
    Platform,
}

impl fmt::Display for PckCa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Processor => "processor",
            Self::Platform => "platform",
        })
    }
}

/// How a platform is set up, as its PCK says. Only PCKs of the Platform CA say all three.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PlatformConfiguration {
    /// Whether packages may be added later.
    pub dynamic_platform: Option<bool>,
    /// Whether Intel keeps the platform's root keys.
    pub cached_keys: Option<bool>,
    /// Whether hyper-threading is on.
    pub smt_enabled: Option<bool>,
}

/// What a PCK certifies about its platform.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PckFacts {
    /// Provisioning id: names one machine.
    pub ppid: [u8; 16],
    /// The sixteen TCB components.
    pub components: [u8; 16],
    /// Security version of the provisioning certification enclave.
    pub pce_svn: u16,
    /// CPUSVN the components were taken from.
    pub cpu_svn: [u8; 16],
    /// Which provisioning certification enclave.
    pub pce_id: [u8; 2],
    /// Family, model, stepping, platform and custom SKU.
    pub fmspc: [u8; 6],
    /// 0 standard, 1 scalable, 2 scalable with integrity.
    pub sgx_type: u8,
    /// Which platform of several packages; Platform CA only.
    pub platform_instance_id: Option<[u8; 16]>,
    /// How it is set up.
    pub configuration: PlatformConfiguration,
}

/// The elements of the extension still to be read.
struct Elements<'a>(Der<'a>);

impl<'a> Elements<'a> {
    fn new(content: &'a [u8]) -> Self {
        Self(Der::new(content))
    }

    /// The content of `SEQUENCE { OID arc.number, value }`, which holds nothing else.
    fn element(&mut self, arc: &[u8], number: u8, tag: u8) -> Option<&'a [u8]> {
        let mut element = Der::new(self.0.value(der::SEQUENCE)?);
        let oid = element.value(der::OID)?;
        let content = element.value(tag)?;
        let named = oid.split_last().is_some_and(|(last, head)| *last == number && head == arc);
        (named && element.is_empty()).then_some(content)
    }

    fn octets<const N: usize>(&mut self, arc: &[u8], number: u8) -> Option<[u8; N]> {
        self.element(arc, number, der::OCTETS)?.try_into().ok()
    }

    /// A non-negative INTEGER of at most 16 bits in the fewest bytes (X.690 §8.3.2).
    fn small_integer(&mut self, arc: &[u8], number: u8) -> Option<u16> {
        match *self.element(arc, number, der::INTEGER)? {
            [low] if low < 0x80 => Some(u16::from(low)),
            [0, low] if low >= 0x80 => Some(u16::from(low)),
            [high, low] if high != 0 && high < 0x80 => Some(u16::from_be_bytes([high, low])),
            [0, high, low] if high >= 0x80 => Some(u16::from_be_bytes([high, low])),
            _ => None,
        }
    }

    fn boolean(&mut self, arc: &[u8], number: u8) -> Option<bool> {
        match self.element(arc, number, der::BOOLEAN)? {
            [0] => Some(false),
            [0xff] => Some(true),
            _ => None,
        }
    }
}

impl PckFacts {
    /// Read the extension of a PCK certificate.
    pub(crate) fn of(certificate: &X509Certificate<'_>, ca: PckCa) -> Result<Self, TdxRejection> {
        let mut found = certificate.extensions().iter().filter(|extension| extension.oid.as_bytes() == OID_SGX_DER);
        let extension = found.next().ok_or(TdxRejection::PckExtensionMissing)?;
        if found.next().is_some() {
            return Err(TdxRejection::PckExtensionMalformed);
        }
        Self::read(extension.value, ca).ok_or(TdxRejection::PckExtensionMalformed)
    }

    fn read(extension: &[u8], ca: PckCa) -> Option<Self> {
        const SGX_TYPE_MAX: u8 = 2;
        let arc = OID_SGX_DER;
        let mut outer = Der::new(extension);
        let mut all = Elements::new(outer.value(der::SEQUENCE)?);
        let ppid = all.octets(arc, PPID)?;
        let (components, pce_svn, cpu_svn) = tcb(all.element(arc, TCB, der::SEQUENCE)?)?;
        let pce_id = all.octets(arc, PCE_ID)?;
        let fmspc = all.octets(arc, FMSPC)?;
        let sgx_type = match all.element(arc, SGX_TYPE, der::ENUMERATED)? {
            [sgx_type] if *sgx_type <= SGX_TYPE_MAX => *sgx_type,
            _ => return None,
        };
        // The Platform CA always certifies both; the Processor CA knows neither.
        let (platform_instance_id, configuration) = match ca {
            PckCa::Processor => (None, PlatformConfiguration::default()),
            PckCa::Platform => {
                let instance = all.octets(arc, PLATFORM_INSTANCE_ID)?;
                (Some(instance), configuration(all.element(arc, CONFIGURATION, der::SEQUENCE)?)?)
            }
        };
        let facts =
            Self { ppid, components, pce_svn, cpu_svn, pce_id, fmspc, sgx_type, platform_instance_id, configuration };
        (all.0.is_empty() && outer.is_empty()).then_some(facts)
    }
}

/// The sixteen components, PCESVN and CPUSVN.
fn tcb(content: &[u8]) -> Option<([u8; 16], u16, [u8; 16])> {
    let arc = [OID_SGX_DER, &[TCB]].concat();
    let mut all = Elements::new(content);
    let mut components = [0; 16];
    for (slot, number) in components.iter_mut().zip(1..=TCB_COMPONENTS) {
        *slot = u8::try_from(all.small_integer(&arc, number)?).ok()?;
    }
    let pce_svn = all.small_integer(&arc, TCB_PCE_SVN)?;
    let cpu_svn = all.octets(&arc, TCB_CPU_SVN)?;
    all.0.is_empty().then_some((components, pce_svn, cpu_svn))
}

fn configuration(content: &[u8]) -> Option<PlatformConfiguration> {
    let arc = [OID_SGX_DER, &[CONFIGURATION]].concat();
    let mut all = Elements::new(content);
    let configuration = PlatformConfiguration {
        dynamic_platform: Some(all.boolean(&arc, DYNAMIC_PLATFORM)?),
        cached_keys: Some(all.boolean(&arc, CACHED_KEYS)?),
        smt_enabled: Some(all.boolean(&arc, SMT_ENABLED)?),
    };
    all.0.is_empty().then_some(configuration)
}
