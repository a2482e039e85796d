//! Where reports and endorsements come from.

use std::path::PathBuf;

use serde::Deserialize;

/// The platform's report source. Device paths come from here only, never from a request or the environment.
#[derive(Debug, Clone, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum TeeConfig {
    /// A report service on a Unix socket (`cloister-host sim-tee`). What it signs verifies only under its own root.
    ReportSocket {
        /// Path of the socket.
        path: PathBuf,
    },
    /// The same service outside the virtual machine, reached by vsock. It is no more trusted than the socket: the host is asked.
    ReportVsock {
        /// Context id of the machine it runs on; 2 is the host.
        cid: u32,
        /// Its port.
        port: u32,
    },
    /// The kernel's report interface, on SEV-SNP and TDX.
    ConfigfsTsm {
        /// The report entry: in the image, the one that init makes.
        entry: PathBuf,
        /// The service that has what the vendor says about this machine. It is not trusted for it.
        collateral: ServiceAddress,
    },
    /// The kernel's device for SEV-SNP, where the kernel has no such interface (before 6.7).
    SevGuest {
        /// The device, `/dev/sev-guest`, which this user may open.
        device: PathBuf,
        /// As above.
        collateral: ServiceAddress,
    },
}

/// Where a service is.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum ServiceAddress {
    /// Path of a Unix socket.
    Socket(PathBuf),
    /// On another machine.
    Vsock {
        /// Context id of the machine; 2 is the host.
        cid: u32,
        /// Its port.
        port: u32,
    },
}

impl TeeConfig {
    /// The other machine that is asked, if one is: context id and port.
    pub(super) fn vsock_peer(&self) -> Option<(u32, u32)> {
        match self {
            Self::ReportVsock { cid, port } => Some((*cid, *port)),
            Self::ConfigfsTsm { collateral, .. } | Self::SevGuest { collateral, .. } => collateral.vsock_peer(),
            Self::ReportSocket { .. } => None,
        }
    }
}

impl ServiceAddress {
    pub(super) fn vsock_peer(&self) -> Option<(u32, u32)> {
        match self {
            Self::Vsock { cid, port } => Some((*cid, *port)),
            Self::Socket(_) => None,
        }
    }
}
