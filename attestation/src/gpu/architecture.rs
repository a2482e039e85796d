//! The devices this version knows.
//!
//! Decides: which chip is which architecture. The chip's name comes from a verified certificate, never from a label.

use std::fmt;

/// Device architecture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Architecture {
    /// H100, H200, GH200: chip GH100.
    Hopper,
    /// B100, B200, GB200: chip GB100.
    Blackwell,
    /// NVSwitch of the third generation: chip LS10. Its reports have no driver.
    Ls10,
}

impl Architecture {
    /// The architecture of a chip, as device certificates name it.
    pub(crate) fn of_chip(chip: &str) -> Option<Self> {
        match chip {
            "GH100" => Some(Self::Hopper),
            "GB100" => Some(Self::Blackwell),
            "LS_10" => Some(Self::Ls10),
            _ => None,
        }
    }

    /// The product a manifest for this architecture names.
    #[must_use]
    pub fn product(self) -> &'static str {
        match self {
            Self::Hopper => "GH100",
            Self::Blackwell => "GB100",
            Self::Ls10 => "LS10",
        }
    }

    /// Whether it is a GPU rather than a switch.
    #[must_use]
    pub fn is_gpu(self) -> bool {
        !matches!(self, Self::Ls10)
    }
}

impl fmt::Display for Architecture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Hopper => "Hopper",
            Self::Blackwell => "Blackwell",
            Self::Ls10 => "LS10",
        })
    }
}
