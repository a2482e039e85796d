//! The GPU of a world: its keys, NVIDIA's driver as a double, and the service that speaks to it.

use std::path::PathBuf;

use anyhow::Context;
use attestation_testing::gpu::GpuKeys;

use super::{READY, World};
use crate::nvml_double::NvmlDouble;
use crate::processes::Process;

impl World {
    /// Makes the simulated GPU's keys before anything else: the guardian's configuration names its roots.
    pub(super) fn make_gpu(&mut self, by_nvml: bool) -> anyhow::Result<()> {
        let file = self.gpu_keys_file();
        if !file.exists() {
            std::fs::write(&file, GpuKeys::generate()?.to_json()?)?;
        }
        if by_nvml {
            let keys = GpuKeys::from_json(&std::fs::read(&file)?)?;
            self.nvml = Some(NvmlDouble::start(&self.dir.join("sockets"), keys)?);
            self.start_nvml_service()?;
        }
        Ok(())
    }

    pub(super) fn gpu_keys_file(&self) -> PathBuf {
        self.dir.join("sim/gpu.json")
    }

    /// The double of NVIDIA's driver, in a world that has one.
    #[must_use]
    pub fn nvml(&self) -> Option<&NvmlDouble> {
        self.nvml.as_ref()
    }

    pub(super) fn nvml_socket(&self) -> PathBuf {
        self.dir.join("sockets/nvml.sock")
    }

    /// Starts the service that speaks to the driver.
    pub fn start_nvml_service(&mut self) -> anyhow::Result<()> {
        let double = self.nvml.as_ref().context("there is no driver")?;
        let socket = self.nvml_socket();
        let mut command = double.command(self.program("cloister-nvml"));
        command.args(["serve", "--socket"]).arg(&socket);
        let mut process = Process::start("cloister-nvml", &mut command)?;
        process.wait_until(READY, |process| process.stderr().contains("ready on"))?;
        self.nvml_service = Some(process);
        Ok(())
    }

    /// Its process.
    #[must_use]
    pub fn nvml_service_pid(&self) -> Option<u32> {
        self.nvml_service.as_ref().map(Process::id)
    }

    /// Kills it.
    pub fn kill_nvml_service(&mut self) -> anyhow::Result<()> {
        self.nvml_service.take().context("no service for GPUs runs")?.kill()
    }
}
