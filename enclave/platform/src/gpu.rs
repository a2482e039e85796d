//! What the driver says of the GPUs. It is not signed: it decides when a node stops, never that one is believed.

use serde::{Deserialize, Serialize};

/// The state of all GPUs of one machine, from NVIDIA's management library.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GpuState {
    /// Drawn anew at each start of the service.
    pub instance: String,
    /// Version of the driver.
    pub driver_version: String,
    /// Where the confidential mode comes from.
    pub environment: Environment,
    /// Whether the confidential mode is on.
    pub confidential: bool,
    /// Whether developers' tools may look into it.
    pub dev_tools: bool,
    /// How several GPUs are joined.
    pub multi_gpu_mode: MultiGpuMode,
    /// Whether the GPUs take work.
    pub ready: bool,
    /// The devices, in the driver's order.
    pub devices: Vec<GpuDeviceState>,
    /// Critical events since the service began; nothing when the driver tells of none.
    pub events: Option<u64>,
}

/// One device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GpuDeviceState {
    /// NVIDIA's name of it.
    pub uuid: String,
    /// Version of its VBIOS.
    pub vbios_version: String,
}

/// Where the confidential mode comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Environment {
    /// There is none.
    Unavailable,
    /// A simulation of NVIDIA's.
    Simulation,
    /// Hardware.
    Production,
}

/// How several GPUs are joined.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MultiGpuMode {
    /// Not at all.
    None,
    /// By links in the clear, which nobody else shares.
    ProtectedPcie,
    /// By encrypted links.
    EncryptedNvlink,
}
