//! Watches the GPUs while they take work.
//!
//! Decides: when a node stops because of them. What the driver says is asked every second, so that a change is known within five
//! (`GPU_WATCH_INTERVAL`, `GPU_STATE_TIMEOUT`); evidence is renewed in time, and at once after a critical event. Only a driver that
//! does not answer is asked twice.

use std::sync::atomic::Ordering;

use platform_service::{Environment, GpuState, MultiGpuMode};

use super::{GpuFault, Gpus};
use crate::attester::AttesterError;
use crate::limits::{
    ATTESTATION_TIMEOUT, GPU_EVENT_TIMEOUT, GPU_EVIDENCE_AGE_MAX, GPU_EVIDENCE_RENEWAL_AGE, GPU_WATCH_INTERVAL,
};

/// Refuses what no evidence may excuse.
pub(super) fn require_confidential(state: &GpuState) -> Result<(), GpuFault> {
    match (state.environment, state.multi_gpu_mode) {
        _ if !state.confidential => Err(GpuFault::NotConfidential),
        // Reports tell of it by measurements that no manifest names; the driver says it outright.
        _ if state.dev_tools => Err(GpuFault::DeveloperTools),
        (Environment::Unavailable | Environment::Simulation, _) => Err(GpuFault::NoHardware),
        (Environment::Production, mode @ (MultiGpuMode::ProtectedPcie | MultiGpuMode::EncryptedNvlink)) => {
            Err(GpuFault::Joined(mode))
        }
        (Environment::Production, MultiGpuMode::None) => Ok(()),
    }
}

impl Gpus {
    /// Returns when the GPUs may take no more work. Whoever watches stops the node first, and tells them then.
    pub async fn watch(&self) -> GpuFault {
        tokio::select! {
            fault = self.look_on() => fault,
            fault = self.renew() => fault,
        }
    }

    async fn look_on(&self) -> GpuFault {
        let Some(first) = &self.state else { return std::future::pending().await };
        let mut events = first.events;
        loop {
            tokio::time::sleep(GPU_WATCH_INTERVAL).await;
            let state = match self.attester.gpu_state().await {
                Ok(state) => state,
                Err(error) => return error.into(),
            };
            let Some(state) = state else { continue };
            if let Err(fault) = require_same(first, &state) {
                return fault;
            }
            if state.events != events {
                events = state.events;
                tracing::warn!(?events, "a critical event of a GPU: attesting it again");
                self.events.fetch_add(1, Ordering::AcqRel);
                self.renewal.notify_one();
            }
        }
    }

    async fn renew(&self) -> GpuFault {
        loop {
            let until_due = GPU_EVIDENCE_RENEWAL_AGE.saturating_sub(self.age());
            let after_event = tokio::select! {
                biased;
                () = self.renewal.notified() => true,
                () = tokio::time::sleep(until_due.max(GPU_WATCH_INTERVAL)) => false,
            };
            let round = self.younger_than(GPU_EVIDENCE_RENEWAL_AGE);
            let round = if after_event {
                tokio::time::timeout(GPU_EVENT_TIMEOUT, round).await
            } else {
                tokio::select! {
                    biased;
                    // An event is not made to wait for a round that began before it.
                    () = self.renewal.notified() => {
                        self.renewal.notify_one();
                        continue;
                    }
                    round = tokio::time::timeout(ATTESTATION_TIMEOUT.saturating_mul(3), round) => round,
                }
            };
            match round.unwrap_or(Err(GpuFault::Lost(AttesterError::Timeout))) {
                Ok(_) => {}
                // What there is is good for another while; after an event it is not.
                Err(GpuFault::Lost(error @ (AttesterError::Io(_) | AttesterError::Timeout | AttesterError::Busy)))
                    if !after_event && self.age() < GPU_EVIDENCE_AGE_MAX =>
                {
                    tracing::warn!(%error, "no newer evidence of the GPUs");
                }
                Err(fault) => return fault,
            }
        }
    }
}

/// Refuses what changed, and GPUs that somebody else told to take no work.
pub(super) fn require_same(first: &GpuState, state: &GpuState) -> Result<(), GpuFault> {
    require_confidential(state)?;
    let same = |one: &GpuState| {
        // The service itself, the driver, its devices, and whether it tells of events.
        (one.instance.clone(), one.driver_version.clone(), one.devices.clone(), one.events.is_some())
    };
    if same(first) != same(state) {
        return Err(GpuFault::StateChanged);
    }
    if state.ready { Ok(()) } else { Err(GpuFault::NotReady) }
}

#[cfg(test)]
mod tests {
    use platform_service::{Environment, GpuDeviceState, GpuState, MultiGpuMode};

    use super::{require_confidential, require_same};

    fn state() -> GpuState {
        GpuState {
            instance: "1".to_owned(),
            driver_version: "580.95.05".to_owned(),
            environment: Environment::Production,
            confidential: true,
            dev_tools: false,
            multi_gpu_mode: MultiGpuMode::None,
            ready: true,
            devices: vec![GpuDeviceState { uuid: "GPU-1".to_owned(), vbios_version: "96.00".to_owned() }],
            events: Some(0),
        }
    }

    #[test]
    fn only_a_confidential_gpu_that_stays_the_same_takes_work() {
        assert!(require_confidential(&state()).is_ok() && require_same(&state(), &state()).is_ok());
        type Fault = (&'static str, fn(&mut GpuState));
        let faults: [Fault; 11] = [
            ("gpu.not_confidential", |state| state.confidential = false),
            ("gpu.developer_tools", |state| state.dev_tools = true),
            ("gpu.no_hardware", |state| state.environment = Environment::Simulation),
            ("gpu.no_hardware", |state| state.environment = Environment::Unavailable),
            ("gpu.joined", |state| state.multi_gpu_mode = MultiGpuMode::ProtectedPcie),
            ("gpu.joined", |state| state.multi_gpu_mode = MultiGpuMode::EncryptedNvlink),
            ("gpu.state_changed", |state| state.driver_version.push('1')),
            ("gpu.state_changed", |state| state.devices.clear()),
            ("gpu.state_changed", |state| state.instance.push('1')),
            ("gpu.state_changed", |state| state.events = None),
            ("gpu.not_ready", |state| state.ready = false),
        ];
        for (at, (code, spoil)) in faults.into_iter().enumerate() {
            let mut spoiled = state();
            spoil(&mut spoiled);
            assert_eq!(require_same(&state(), &spoiled).map_err(|fault| fault.code()), Err(code));
            // At boot there is nothing to compare with, and they take no work yet.
            assert_eq!(require_confidential(&spoiled).is_ok(), at >= 6, "{code}");
        }
    }
}
