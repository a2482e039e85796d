//! NVIDIA's management library (NVML), loaded at run time: the fifteen functions that a confidential GPU needs.
//!
//! Decides: nothing. Sizes that the library states are held against the buffers it filled, numbers it has no name for are errors,
//! and a function that it lacks is an error when it is called.
#![allow(unsafe_code, reason = "functions of a C library; each call says why it is sound")]

use std::ffi::c_uint;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use attestation::Nonce;
use attestation::gpu::GpuEvidence;
use nvml_wrapper_sys::bindings as sys;
use platform_service::{Environment, GpuDeviceState, GpuState, MultiGpuMode};

/// Room for a text, its end included: the longest that NVIDIA's headers name.
const TEXT_BYTES_MAX: usize = 96;

/// What is critical: a device that fails, is reset or is gone.
const CRITICAL_EVENTS: u32 = sys::nvmlEventTypeDoubleBitEccError
    | sys::nvmlEventTypeXidCriticalError
    | sys::nvmlEventTypeFatalPoisonError
    | sys::nvmlEventTypeGpuUnavailableError
    | sys::nvmlEventTypeGpuRecoveryAction;

/// Time of one wait for an event.
const EVENT_WAIT_MILLIS: c_uint = 1000;

/// The library, initialised.
pub(crate) struct Nvml {
    library: sys::NvmlLib,
    /// Nothing when there are none to wait for.
    events: Mutex<Option<u64>>,
    instance: String,
    setting: Mutex<()>,
}

/// Why NVML gave no answer.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum NvmlError {
    /// The library could not be loaded.
    #[error("load {path}: {reason}")]
    Load { path: String, reason: String },
    /// The machine has no randomness.
    #[error("no randomness")]
    NoRandomness,
    /// It is another version than was expected.
    #[error("the library has no {0}")]
    Missing(&'static str),
    /// The call failed.
    #[error("{function} returned {code} ({})", meaning(*code))]
    Call { function: &'static str, code: u32 },
    /// The call succeeded and its answer makes no sense.
    #[error("{function} answered {what}")]
    Nonsense { function: &'static str, what: String },
}

/// Calls a function of the library, if it has it, and makes its return value an error.
macro_rules! call {
    ($nvml:expr, $function:ident($($argument:expr),*)) => {{
        let name = stringify!($function);
        let function = $nvml.library.$function.as_ref().map_err(|_| NvmlError::Missing(name))?;
        // SAFETY: the type of the function is that of NVIDIA's header; every pointer is to a live local of that header's type (or
        // to a buffer whose length is passed beside it), and every handle was given by this library, which stays loaded as long as any of them.
        let code = unsafe { function($($argument),*) };
        if code == sys::nvmlReturn_enum_NVML_SUCCESS { Ok(()) } else { Err(NvmlError::Call { function: name, code }) }
    }};
}

impl Nvml {
    /// Loads and initialises the library.
    pub(crate) fn load(path: &Path) -> Result<Self, NvmlError> {
        // SAFETY: loading runs the library's initialisers: it is part of the measured image, as this program is.
        let library = unsafe { sys::NvmlLib::new(path) }.map_err(|error| NvmlError::Load {
            path: path.display().to_string(),
            reason: std::error::Error::source(&error).map_or_else(|| error.to_string(), ToString::to_string),
        })?;
        let instance = Nonce::random().map_err(|_| NvmlError::NoRandomness)?.to_string();
        let nvml = Self { library, events: Mutex::new(None), instance, setting: Mutex::new(()) };
        call!(nvml, nvmlInit_v2())?;
        Ok(nvml)
    }

    /// What the driver says now.
    pub(crate) fn state(&self) -> Result<GpuState, NvmlError> {
        let settings = self.settings()?;
        Ok(GpuState {
            instance: self.instance.clone(),
            driver_version: self.driver_version()?,
            environment: environment(settings.environment)?,
            confidential: flag("confidential mode", settings.ccFeature)?,
            dev_tools: flag("developers' mode", settings.devToolsMode)?,
            multi_gpu_mode: multi_gpu_mode(settings.multiGpuMode)?,
            ready: self.ready()?,
            devices: self.devices()?.into_iter().map(|device| self.device_state(device)).collect::<Result<_, _>>()?,
            events: *self.events.lock().unwrap_or_else(PoisonError::into_inner),
        })
    }

    fn settings(&self) -> Result<sys::nvmlSystemConfComputeSettings_t, NvmlError> {
        let size = u32::try_from(size_of::<sys::nvmlSystemConfComputeSettings_t>()).unwrap_or(u32::MAX);
        let mut settings = sys::nvmlSystemConfComputeSettings_t {
            // NVML's versions of structures: the size, and the number in the highest byte.
            version: size | (1 << 24),
            environment: u32::MAX,
            ccFeature: u32::MAX,
            devToolsMode: u32::MAX,
            multiGpuMode: u32::MAX,
        };
        call!(self, nvmlSystemGetConfComputeSettings(&raw mut settings))?;
        Ok(settings)
    }

    fn ready(&self) -> Result<bool, NvmlError> {
        let mut accepting: c_uint = u32::MAX;
        call!(self, nvmlSystemGetConfComputeGpusReadyState(&raw mut accepting))?;
        match accepting {
            0 => Ok(false),
            1 => Ok(true),
            other => {
                Err(NvmlError::Nonsense { function: "nvmlSystemGetConfComputeGpusReadyState", what: other.to_string() })
            }
        }
    }

    /// Lets the GPUs take work, or no longer.
    pub(crate) fn set_ready(&self, ready: bool) -> Result<(), NvmlError> {
        // In the order in which they were asked: the last word counts.
        let _turn = self.setting.lock().unwrap_or_else(PoisonError::into_inner);
        call!(self, nvmlSystemSetConfComputeGpusReadyState(c_uint::from(ready)))
    }

    fn driver_version(&self) -> Result<String, NvmlError> {
        let mut buffer = [0; TEXT_BYTES_MAX];
        call!(self, nvmlSystemGetDriverVersion(buffer.as_mut_ptr(), text_len()))?;
        text("nvmlSystemGetDriverVersion", &buffer)
    }

    fn devices(&self) -> Result<Vec<sys::nvmlDevice_t>, NvmlError> {
        let mut count: c_uint = 0;
        call!(self, nvmlDeviceGetCount_v2(&raw mut count))?;
        (0..count)
            .map(|index| {
                let mut device: sys::nvmlDevice_t = std::ptr::null_mut();
                call!(self, nvmlDeviceGetHandleByIndex_v2(index, &raw mut device))?;
                Ok(device)
            })
            .collect()
    }

    fn device_state(&self, device: sys::nvmlDevice_t) -> Result<GpuDeviceState, NvmlError> {
        let (mut uuid, mut vbios) = ([0; TEXT_BYTES_MAX], [0; TEXT_BYTES_MAX]);
        call!(self, nvmlDeviceGetUUID(device, uuid.as_mut_ptr(), text_len()))?;
        call!(self, nvmlDeviceGetVbiosVersion(device, vbios.as_mut_ptr(), text_len()))?;
        Ok(GpuDeviceState {
            uuid: text("nvmlDeviceGetUUID", &uuid)?,
            vbios_version: text("nvmlDeviceGetVbiosVersion", &vbios)?,
        })
    }

    /// Report and certificates of every device, all asked with this nonce.
    pub(crate) fn evidence(&self, nonce: [u8; 32]) -> Result<Vec<GpuEvidence>, NvmlError> {
        self.devices()?.into_iter().map(|device| self.evidence_of(device, nonce)).collect()
    }

    fn evidence_of(&self, device: sys::nvmlDevice_t, nonce: [u8; 32]) -> Result<GpuEvidence, NvmlError> {
        let mut report = sys::nvmlConfComputeGpuAttestationReport_t {
            isCecAttestationReportPresent: 0,
            attestationReportSize: 0,
            cecAttestationReportSize: 0,
            nonce,
            attestationReport: [0; 8192],
            cecAttestationReport: [0; 4096],
        };
        call!(self, nvmlDeviceGetConfComputeGpuAttestationReport(device, &raw mut report))?;
        let mut chain = sys::nvmlConfComputeGpuCertificate_t {
            certChainSize: 0,
            attestationCertChainSize: 0,
            certChain: [0; 4096],
            attestationCertChain: [0; 5120],
        };
        call!(self, nvmlDeviceGetConfComputeGpuCertificate(device, &raw mut chain))?;
        Ok(GpuEvidence {
            report: filled(
                "nvmlDeviceGetConfComputeGpuAttestationReport",
                &report.attestationReport,
                report.attestationReportSize,
            )?,
            certificate_chain: filled(
                "nvmlDeviceGetConfComputeGpuCertificate",
                &chain.attestationCertChain,
                chain.attestationCertChainSize,
            )?,
        })
    }

    /// Asks to be told of critical events of all devices.
    pub(crate) fn register_events(&self) -> Result<EventSet, NvmlError> {
        let mut set: sys::nvmlEventSet_t = std::ptr::null_mut();
        call!(self, nvmlEventSetCreate(&raw mut set))?;
        for device in self.devices()? {
            let mut supported = 0;
            call!(self, nvmlDeviceGetSupportedEventTypes(device, &raw mut supported))?;
            let critical = supported & u64::from(CRITICAL_EVENTS);
            if critical == 0 {
                return Err(NvmlError::Nonsense {
                    function: "nvmlDeviceGetSupportedEventTypes",
                    what: "no critical event".to_owned(),
                });
            }
            call!(self, nvmlDeviceRegisterEvents(device, critical, set))?;
        }
        *self.events.lock().unwrap_or_else(PoisonError::into_inner) = Some(0);
        Ok(EventSet(set))
    }

    /// Counts them, until the library gives up; from then on the state has no count any more.
    pub(crate) fn count_events(&self, EventSet(set): EventSet) -> NvmlError {
        loop {
            let mut event = sys::nvmlEventData_t {
                device: std::ptr::null_mut(),
                eventType: 0,
                eventData: 0,
                gpuInstanceId: 0,
                computeInstanceId: 0,
            };
            let waited: Result<(), NvmlError> =
                (|| call!(self, nvmlEventSetWait_v2(set, &raw mut event, EVENT_WAIT_MILLIS)))();
            let mut events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
            match waited {
                Err(NvmlError::Call { code: sys::nvmlReturn_enum_NVML_ERROR_TIMEOUT, .. }) => {}
                Ok(()) => *events = events.map(|count| count.saturating_add(1)),
                Err(error) => {
                    *events = None;
                    return error;
                }
            }
        }
    }
}

/// Where events are waited for.
pub(crate) struct EventSet(sys::nvmlEventSet_t);

// SAFETY: NVML is thread-safe by its documentation, and a set belongs to no thread.
unsafe impl Send for EventSet {}

fn flag(what: &str, value: u32) -> Result<bool, NvmlError> {
    match value {
        0 => Ok(false),
        1 => Ok(true),
        other => Err(unnamed(what, other)),
    }
}

fn environment(value: u32) -> Result<Environment, NvmlError> {
    match value {
        sys::NVML_CC_SYSTEM_ENVIRONMENT_UNAVAILABLE => Ok(Environment::Unavailable),
        sys::NVML_CC_SYSTEM_ENVIRONMENT_SIM => Ok(Environment::Simulation),
        sys::NVML_CC_SYSTEM_ENVIRONMENT_PROD => Ok(Environment::Production),
        other => Err(unnamed("environment", other)),
    }
}

fn multi_gpu_mode(value: u32) -> Result<MultiGpuMode, NvmlError> {
    match value {
        sys::NVML_CC_SYSTEM_MULTIGPU_NONE => Ok(MultiGpuMode::None),
        sys::NVML_CC_SYSTEM_MULTIGPU_PROTECTED_PCIE => Ok(MultiGpuMode::ProtectedPcie),
        sys::NVML_CC_SYSTEM_MULTIGPU_NVLE => Ok(MultiGpuMode::EncryptedNvlink),
        other => Err(unnamed("multi-GPU mode", other)),
    }
}

fn unnamed(what: &str, value: u32) -> NvmlError {
    NvmlError::Nonsense { function: "nvmlSystemGetConfComputeSettings", what: format!("{what} {value}") }
}

/// The part of a buffer that the library says it filled.
fn filled(function: &'static str, buffer: &[u8], size: c_uint) -> Result<Vec<u8>, NvmlError> {
    let part = usize::try_from(size).ok().filter(|size| *size > 0).and_then(|size| buffer.get(..size));
    part.map(<[u8]>::to_vec).ok_or_else(|| NvmlError::Nonsense { function, what: format!("{size} bytes") })
}

fn text(function: &'static str, buffer: &[std::ffi::c_char]) -> Result<String, NvmlError> {
    let bytes = buffer.iter().take_while(|byte| **byte != 0).map(|byte| u8::try_from(*byte).ok());
    let text: Option<Vec<u8>> = bytes.collect();
    let printable =
        text.filter(|text| !text.is_empty() && text.len() < buffer.len() && text.iter().all(u8::is_ascii_graphic));
    let text = printable.and_then(|text| String::from_utf8(text).ok());
    text.ok_or_else(|| NvmlError::Nonsense { function, what: "something that is no name".to_owned() })
}

fn text_len() -> c_uint {
    c_uint::try_from(TEXT_BYTES_MAX).unwrap_or(0)
}

/// The names of what happens to GPUs.
fn meaning(code: u32) -> &'static str {
    match code {
        sys::nvmlReturn_enum_NVML_ERROR_NOT_SUPPORTED => "not supported",
        sys::nvmlReturn_enum_NVML_ERROR_NO_PERMISSION => "no permission",
        sys::nvmlReturn_enum_NVML_ERROR_DRIVER_NOT_LOADED => "the driver is not loaded",
        sys::nvmlReturn_enum_NVML_ERROR_TIMEOUT => "it took too long",
        sys::nvmlReturn_enum_NVML_ERROR_GPU_IS_LOST => "the GPU is lost",
        sys::nvmlReturn_enum_NVML_ERROR_RESET_REQUIRED => "the GPU needs a reset",
        sys::nvmlReturn_enum_NVML_ERROR_LIB_RM_VERSION_MISMATCH => "library and driver are of different versions",
        sys::nvmlReturn_enum_NVML_ERROR_GPU_NOT_FOUND => "no GPU",
        sys::nvmlReturn_enum_NVML_ERROR_ARGUMENT_VERSION_MISMATCH => "another version of the structure",
        _ => "see nvmlReturn_t",
    }
}
