//! What the simulated platform plays.

/// What the simulated platform plays.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Hardware {
    /// An SEV-SNP machine.
    #[default]
    Snp,
    /// A TDX machine.
    Tdx,
    /// An SEV-SNP machine with a GPU.
    SnpWithGpu,
    /// A TDX machine with a GPU.
    TdxWithGpu,
}

impl Hardware {
    /// Arguments of `cloister-host sim-tee serve`.
    #[must_use]
    pub fn serve_args(self) -> &'static [&'static str] {
        match self {
            Self::Snp => &[],
            Self::Tdx => &["--tee", "tdx"],
            Self::SnpWithGpu => &["--gpu"],
            Self::TdxWithGpu => &["--tee", "tdx", "--gpu"],
        }
    }

    /// Whether it has one.
    #[must_use]
    pub fn has_gpu(self) -> bool {
        match self {
            Self::Snp | Self::Tdx => false,
            Self::SnpWithGpu | Self::TdxWithGpu => true,
        }
    }

    /// What the kernel calls the driver.
    #[must_use]
    pub fn provider(self) -> &'static str {
        match self {
            Self::Snp | Self::SnpWithGpu => "sev_guest",
            Self::Tdx | Self::TdxWithGpu => "tdx_guest",
        }
    }
}
