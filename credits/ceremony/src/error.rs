//! Why a file or a transcript is refused.

use std::fmt;

use credits::params::ParamsError;

/// A kind of file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileKind {
    /// Prepared powers of tau: the outcome of phase 1.
    Ptau,
    /// A key of snarkjs: the state of phase 2.
    Zkey,
}

impl fmt::Display for FileKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ptau => "powers-of-tau file",
            Self::Zkey => "zkey",
        })
    }
}

/// Why the ceremony cannot go on. Sections are numbered as in the files, contributions from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CeremonyError {
    /// The file is of another kind or version.
    #[error("this is no {file} of a version this program reads: check the path")]
    Magic {
        /// What was expected.
        file: FileKind,
    },
    /// The file ends before its last section does, or goes on behind it.
    #[error("the {file} is cut short or has bytes behind its end: fetch it again")]
    Truncated {
        /// Which file.
        file: FileKind,
    },
    /// A section is missing, there twice, unknown, or not as long as the header says.
    #[error("section {section} of the {file} is missing, repeated or has another length than the header says")]
    Section {
        /// Which file.
        file: FileKind,
        /// Which section.
        section: u32,
    },
    /// The header names another curve or proof system, or sizes beyond the limits.
    #[error("the {file} is for another curve or proof system, or larger than this program handles")]
    Header {
        /// Which file.
        file: FileKind,
    },
    /// A point is not canonical, not on the curve or not in its subgroup.
    #[error("section {section} of the {file} has bytes that are no group element")]
    Point {
        /// Which file.
        file: FileKind,
        /// Which section.
        section: u32,
    },
    /// The powers of tau are too few for the circuit.
    #[error("the circuit needs powers of tau of degree 2^{needed}, the file has 2^{got}: take a larger one")]
    PtauPower {
        /// The circuit's.
        needed: u32,
        /// The file's.
        got: u32,
    },
    /// The points of a section are not successive powers of one tau.
    #[error("section {section} of the powers-of-tau file is not a series of powers: do not use this file")]
    PtauPowers {
        /// Which section.
        section: u32,
    },
    /// The points of a section are not the Lagrange form of the powers.
    #[error("section {section} of the powers-of-tau file does not follow from its powers: prepare the file again")]
    PtauLagrange {
        /// Which section.
        section: u32,
    },
    /// Nobody contributed to phase 1, or tau is a root of unity.
    #[error("the powers of tau are degenerate: nobody contributed to them")]
    PtauDegenerate,
    /// The circuit has more constraints or variables than the limits allow.
    #[error("the circuit is larger than this program handles")]
    CircuitTooLarge,
    /// What contributions leave alone is not what the circuit and the powers of tau give.
    #[error(
        "section {section} of the zkey does not follow from the circuit and the powers of tau: it is of another ceremony, or forged"
    )]
    Circuit {
        /// Which section.
        section: u32,
    },
    /// The hash of what came before is not what the contributor signed for.
    #[error("contribution {contribution} does not follow the ones before it: one was changed, removed or moved")]
    Transcript {
        /// Which contribution.
        contribution: usize,
    },
    /// The contributor did not prove to know the factor.
    #[error("contribution {contribution} does not prove that its maker knew its factor")]
    Knowledge {
        /// Which contribution.
        contribution: usize,
    },
    /// The factor is one: nothing was contributed.
    #[error("contribution {contribution} changes nothing")]
    NoChange {
        /// Which contribution.
        contribution: usize,
    },
    /// Delta after a contribution, or the key's, is not delta before it times the factor.
    #[error("delta after contribution {contribution} is not delta before it times the contributed factor")]
    Delta {
        /// Which contribution; the number of contributions when it is the key's own delta that does not fit.
        contribution: usize,
    },
    /// The points of L or H are not those of the start divided by delta.
    #[error("section {section} of the zkey does not follow from its contributions")]
    Query {
        /// 8 for L, 9 for H.
        section: u32,
    },
    /// A beacon's contribution does not follow from the beacon.
    #[error("contribution {contribution} is not what its beacon gives")]
    Beacon {
        /// Which contribution.
        contribution: usize,
    },
    /// A beacon's work is out of bounds.
    #[error("there are at most two beacons; one is hashed 2^10 to 2^24 times and has 1 to 255 bytes")]
    BeaconBounds,
    /// The zkey has no contribution.
    #[error("nobody but beacons contributed to the zkey, so everybody could forge proofs: contribute first")]
    NoContribution,
    /// There are too many contributions for one more.
    #[error("the zkey has the most contributions this program handles")]
    TooManyContributions,
    /// A name is not 1 to 64 printable ASCII characters.
    #[error("a contributor's name is 1 to 64 printable ASCII characters")]
    Name,
    /// The operating system gave no randomness.
    #[error("the operating system gave no randomness")]
    Random,
    /// The finished key is refused.
    #[error("the finished key cannot be used")]
    Params(#[source] ParamsError),
}

impl CeremonyError {
    /// The stable code of the refusal.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Magic { .. } => "ceremony.magic",
            Self::Truncated { .. } => "ceremony.truncated",
            Self::Section { .. } => "ceremony.section",
            Self::Header { .. } => "ceremony.header",
            Self::Point { .. } => "ceremony.point",
            Self::PtauPower { .. } => "ceremony.ptau_power",
            Self::PtauPowers { .. } => "ceremony.ptau_powers",
            Self::PtauLagrange { .. } => "ceremony.ptau_lagrange",
            Self::PtauDegenerate => "ceremony.ptau_degenerate",
            Self::CircuitTooLarge => "ceremony.circuit_too_large",
            Self::Circuit { .. } => "ceremony.circuit",
            Self::Transcript { .. } => "ceremony.transcript",
            Self::Knowledge { .. } => "ceremony.knowledge",
            Self::NoChange { .. } => "ceremony.no_change",
            Self::Delta { .. } => "ceremony.delta",
            Self::Query { .. } => "ceremony.query",
            Self::Beacon { .. } => "ceremony.beacon",
            Self::BeaconBounds => "ceremony.beacon_bounds",
            Self::NoContribution => "ceremony.no_contribution",
            Self::TooManyContributions => "ceremony.too_many_contributions",
            Self::Name => "ceremony.name",
            Self::Random => "ceremony.random",
            Self::Params(cause) => cause.code(),
        }
    }
}
