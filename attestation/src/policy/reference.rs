//! The part of a policy that signed reference values fill in: the table `[reference_values]`, and the items that say
//! `"reference-values"`.
//!
//! Decides: whose reference values count, and for which images. An item left to them accepts nothing until some were
//! given; a table that nothing uses, and an item without a table, are errors of the policy.

use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer};

use super::rule::HexBytes;
use crate::reference::manifest::parse_version;
use crate::reference::{ImageMode, ReferenceRejection, ReferenceValues};
use crate::signing::ReceiptPublicKey;

/// The word that leaves an item to reference values.
const REFERENCE_VALUES: &str = "reference-values";

/// Values an item allows: listed in the policy, or taken from reference values.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Allowed<const N: usize> {
    values: Vec<HexBytes<N>>,
    from_reference_values: bool,
}

impl<const N: usize> Allowed<N> {
    pub(crate) fn values(&self) -> &[HexBytes<N>] {
        &self.values
    }

    pub(crate) fn is_from_reference_values(&self) -> bool {
        self.from_reference_values
    }

    /// Allow more values, when the item is left to reference values.
    pub(crate) fn fill(&mut self, values: impl IntoIterator<Item = [u8; N]>) {
        if self.from_reference_values {
            self.values.extend(values.into_iter().map(HexBytes));
        }
    }
}

impl<'de, const N: usize> Deserialize<'de> for Allowed<N>
where
    Vec<HexBytes<N>>: DeserializeOwned,
{
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = toml::Value::deserialize(deserializer)?;
        if value.as_str() == Some(REFERENCE_VALUES) {
            return Ok(Self { values: Vec::new(), from_reference_values: true });
        }
        let values = Vec::deserialize(value).map_err(D::Error::custom)?;
        Ok(Self { values, from_reference_values: false })
    }
}

/// As the policy has it; what reference values added stands after the word.
impl<const N: usize> std::fmt::Debug for Allowed<N> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.from_reference_values {
            write!(f, "{REFERENCE_VALUES} ")?;
        }
        self.values.fmt(f)
    }
}

/// Which reference values count.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReferenceItems {
    /// Keys whose word is taken.
    pub(crate) signers: Vec<ReceiptPublicKey>,
    flavours: Vec<String>,
    modes: Vec<ImageMode>,
    image_version_min: ImageVersion,
}

/// `major.minor.patch`, compared number by number.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
struct ImageVersion([u32; 3]);

impl TryFrom<String> for ImageVersion {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        parse_version(&text).map(Self).ok_or("a version is three numbers with dots, such as \"0.1.0\"")
    }
}

impl ReferenceItems {
    /// Whether these values are for an image the policy accepts.
    pub(crate) fn accept(&self, values: &ReferenceValues) -> Result<(), ReferenceRejection> {
        if !self.flavours.contains(&values.flavour) {
            return Err(ReferenceRejection::Flavour { got: values.flavour.clone() });
        }
        if !self.modes.contains(&values.mode) {
            return Err(ReferenceRejection::Mode { got: values.mode });
        }
        let new_enough = parse_version(&values.image_version).is_some_and(|got| got >= self.image_version_min.0);
        if !new_enough {
            let [major, minor, patch] = self.image_version_min.0;
            let minimum = format!("{major}.{minor}.{patch}");
            return Err(ReferenceRejection::ImageVersion { got: values.image_version.clone(), minimum });
        }
        Ok(())
    }
}
