//! Virtual CPU models by the names QEMU gives them, and the CPUID signature each shows the guest.
//!
//! Decides: which signature a model name stands for. KVM's reset value of RDX is that signature, so it is measured
//! with the first register state of every CPU.

use super::MeasureError;

/// A virtual CPU model: its CPUID Fn0000_0001_EAX.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct CpuModel {
    signature: u32,
}

/// Name, combined family, combined model, stepping. Later versions of a QEMU model keep the signature of the first.
const MODELS: &[(&str, u8, u8, u8)] = &[
    ("EPYC", 23, 1, 2),
    ("EPYC-v1", 23, 1, 2),
    ("EPYC-v2", 23, 1, 2),
    ("EPYC-IBPB", 23, 1, 2),
    ("EPYC-v3", 23, 1, 2),
    ("EPYC-v4", 23, 1, 2),
    ("EPYC-v5", 23, 1, 2),
    ("EPYC-Rome", 23, 49, 0),
    ("EPYC-Rome-v1", 23, 49, 0),
    ("EPYC-Rome-v2", 23, 49, 0),
    ("EPYC-Rome-v3", 23, 49, 0),
    ("EPYC-Rome-v4", 23, 49, 0),
    ("EPYC-Rome-v5", 23, 49, 0),
    ("EPYC-Milan", 25, 1, 1),
    ("EPYC-Milan-v1", 25, 1, 1),
    ("EPYC-Milan-v2", 25, 1, 1),
    ("EPYC-Milan-v3", 25, 1, 1),
    ("EPYC-Genoa", 25, 17, 0),
    ("EPYC-Genoa-v1", 25, 17, 0),
    ("EPYC-Genoa-v2", 25, 17, 0),
    ("EPYC-Turin", 26, 0, 0),
    ("EPYC-Turin-v1", 26, 0, 0),
];

/// Largest stepping CPUID can express.
const STEPPING_MAX: u8 = 0x0f;

/// Families above this one are written as this base plus an extension (AMD 25481, CPUID Fn0000_0001_EAX).
const FAMILY_BASE: u8 = 0x0f;

impl CpuModel {
    /// The model QEMU knows by `name`, as written on its command line; case matters there and here.
    ///
    /// # Errors
    /// [`MeasureError::CpuModel`] for any other name.
    pub fn from_name(name: &str) -> Result<Self, MeasureError> {
        let unknown = || MeasureError::CpuModel { got: name.to_owned() };
        let (_, family, model, stepping) = MODELS.iter().find(|(known, ..)| *known == name).ok_or_else(unknown)?;
        Self::from_signature(*family, *model, *stepping)
    }

    /// A model by combined family, combined model and stepping, as reports of version 3 and later state them.
    ///
    /// # Errors
    /// [`MeasureError::CpuModel`] when the stepping does not fit four bits.
    pub fn from_signature(family: u8, model: u8, stepping: u8) -> Result<Self, MeasureError> {
        if stepping > STEPPING_MAX {
            return Err(MeasureError::CpuModel { got: format!("{family:02x}-{model:02x}-{stepping:02x}") });
        }
        let extended_family = u32::from(family.saturating_sub(FAMILY_BASE));
        let base_family = u32::from(family.min(FAMILY_BASE));
        let (extended_model, base_model) = (u32::from(model >> 4), u32::from(model & 0x0f));
        let signature = (extended_family << 20)
            | (extended_model << 16)
            | (base_family << 8)
            | (base_model << 4)
            | u32::from(stepping);
        Ok(Self { signature })
    }

    /// CPUID Fn0000_0001_EAX of the model.
    #[must_use]
    pub fn signature(self) -> u32 {
        self.signature
    }

    /// Every name [`Self::from_name`] knows.
    pub fn names() -> impl Iterator<Item = &'static str> {
        MODELS.iter().map(|(name, ..)| *name)
    }
}
