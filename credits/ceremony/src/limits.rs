//! How large a ceremony can be. The spend circuit has 2^13 rows.

/// The largest circuit, in rows, as a power of two. snarkjs hashes circuits beyond it differently than it describes.
pub(crate) const CIRCUIT_POWER_MAX: u32 = 14;
/// The most variables of a circuit.
pub(crate) const VARIABLES_MAX: usize = 1 << 15;
/// The most public inputs of a circuit.
pub(crate) const PUBLIC_MAX: usize = 64;
/// The most coefficients of a circuit's A and B.
pub(crate) const COEFFICIENTS_MAX: usize = 1 << 20;
/// The most contributions to a key.
pub(crate) const CONTRIBUTIONS_MAX: usize = 1024;
/// The most beacons among them: each costs who verifies up to 2^24 hashes.
pub(crate) const BEACONS_MAX: usize = 2;
/// Longest name of a contributor.
pub(crate) const NAME_LEN_MAX: usize = 64;
