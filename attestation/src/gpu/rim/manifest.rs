//! What a manifest says: version, product and the expected measurements (ISO/IEC 19770-2 SWID, TCG RIM IM §4).
//!
//! Decides: that a verified tree has the shape of NVIDIA's manifests: one entity, one set of metadata, one payload of
//! measurements with unique indices. On exit only active measurements remain, each with its alternatives.

use super::xml::{Element, Node};
use crate::gpu::GpuRejection;

/// SWID 2015.
const SWID: &str = "http://standards.iso.org/iso/19770/-2/2015/schema.xsd";
/// Namespace of the hash attributes.
const SHA384: &str = "http://www.w3.org/2001/04/xmlenc#sha384";
/// XML Signature.
const DS: &str = "http://www.w3.org/2000/09/xmldsig#";
/// Who makes these manifests.
const MAKER: &str = "NVIDIA Corporation";

/// Alternatives of one measurement. NVIDIA's have at most 4.
const ALTERNATIVES_MAX: usize = 32;
/// Longest measurement, in bytes. NVIDIA's have 48.
const SIZE_MAX: usize = 64;

/// A measurement the device must report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Expected {
    /// Index in the manifest; the report's block has this index plus one.
    pub(crate) index: u8,
    /// Length, in bytes, of the value.
    pub(crate) size: usize,
    /// Acceptable values.
    pub(crate) alternatives: Vec<Vec<u8>>,
}

/// A manifest's content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Manifest {
    /// Chip it is for.
    pub(crate) product: String,
    /// Driver or VBIOS version it is for.
    pub(crate) version: String,
    /// Active measurements.
    pub(crate) active: Vec<Expected>,
}

/// Read a verified tree.
pub(crate) fn read(root: &Element<'_>) -> Result<Manifest, GpuRejection> {
    require_root(root)?;
    require_no_text(root)?;
    let mut parts = root.elements();
    let names = [(SWID, "Entity"), (SWID, "Meta"), (SWID, "Payload"), (DS, "Signature")];
    let parts = names.map(|name| parts.next().filter(|part| (part.uri, part.local) == name));
    let [Some(entity), Some(meta), Some(payload), Some(_)] = parts else {
        return Err(schema("Entity, Meta, Payload and Signature, once each"));
    };
    if root.elements().count() != names.len() || entity.attribute("name") != Some(MAKER) {
        return Err(schema("Entity, Meta, Payload and Signature, once each"));
    }
    for empty in [entity, meta] {
        if !empty.children.is_empty() {
            return Err(schema("Entity and Meta are empty"));
        }
    }
    let text = |name| meta.attribute(name).filter(|value| !value.is_empty()).ok_or(schema("metadata"));
    let product = text("product")?;
    if root.attribute("name") != Some(product) {
        return Err(schema("name and product are the same"));
    }
    Ok(Manifest {
        product: product.to_owned(),
        version: text("colloquialVersion")?.to_owned(),
        active: read_payload(payload)?,
    })
}

/// The root is a SoftwareIdentity of SWID that describes a product, not a patch or an addition.
pub(crate) fn require_root(root: &Element<'_>) -> Result<(), GpuRejection> {
    let plain = ["corpus", "patch", "supplemental"].iter().all(|flag| root.attribute(flag) == Some("false"));
    if (root.uri, root.local) == (SWID, "SoftwareIdentity") && plain {
        return Ok(());
    }
    Err(schema("SoftwareIdentity is the root"))
}

fn read_payload(payload: &Element<'_>) -> Result<Vec<Expected>, GpuRejection> {
    require_no_text(payload)?;
    let mut seen = [false; 256];
    let mut active = Vec::new();
    for resource in payload.elements() {
        let (expected, is_active) = read_resource(resource).ok_or(schema("Resource"))?;
        let seen = seen.get_mut(usize::from(expected.index)).ok_or(schema("Resource"))?;
        if std::mem::replace(seen, true) {
            return Err(schema("each index occurs once"));
        }
        if is_active {
            active.push(expected);
        }
    }
    Ok(active)
}

/// One measurement and whether it is active; `None` when an attribute is missing, unknown or inconsistent.
fn read_resource(resource: &Element<'_>) -> Option<(Expected, bool)> {
    if (resource.uri, resource.local) != (SWID, "Resource") || !resource.children.is_empty() {
        return None;
    }
    let (mut index, mut size, mut active, mut count) = (None, None, None, None);
    let mut hashes: Vec<(usize, &str)> = Vec::new();
    for attribute in &resource.attributes {
        match (attribute.uri, attribute.local) {
            ("", "type") if attribute.value == "Measurement" => {}
            ("", "name") => {}
            ("", "index") => index = Some(decimal::<u8>(attribute.value)?),
            ("", "size") => size = Some(decimal::<usize>(attribute.value)?),
            ("", "alternatives") => count = Some(decimal::<usize>(attribute.value)?),
            ("", "active") => active = Some(flag(attribute.value)?),
            (SHA384, hash) => hashes.push((decimal(hash.strip_prefix("Hash")?)?, attribute.value)),
            _ => return None,
        }
    }
    let (size, count) = (size?, count?);
    if resource.attribute("type").is_none() || size == 0 || size > SIZE_MAX || !(1..=ALTERNATIVES_MAX).contains(&count)
    {
        return None;
    }
    hashes.sort_unstable();
    let numbered = hashes.iter().map(|(number, _)| *number).eq(0..count);
    let (index, active) = (index?, active?);
    let well_formed = hashes.iter().all(|(_, value)| is_hex_of(value, size));
    // What is not active is checked for its form and never needed again.
    let needed = if active { hashes.as_slice() } else { &[] };
    let alternatives: Vec<Vec<u8>> = needed.iter().map(|(_, value)| hex::decode(value).ok()).collect::<Option<_>>()?;
    (numbered && well_formed).then_some((Expected { index, size, alternatives }, active))
}

/// A number as `to_string` writes it.
fn decimal<T: std::str::FromStr + ToString>(text: &str) -> Option<T> {
    text.parse::<T>().ok().filter(|value| value.to_string() == text)
}

fn flag(text: &str) -> Option<bool> {
    match text {
        "True" => Some(true),
        "False" => Some(false),
        _ => None,
    }
}

/// Lowercase hex of exactly `size` bytes.
fn is_hex_of(text: &str, size: usize) -> bool {
    Some(text.len()) == size.checked_mul(2) && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

fn require_no_text(element: &Element<'_>) -> Result<(), GpuRejection> {
    let is_text = |node: &Node<'_>| matches!(node, Node::Text(text) if !text.trim_ascii().is_empty());
    if element.children.iter().any(is_text) { Err(schema("no text between elements")) } else { Ok(()) }
}

fn schema(what: &'static str) -> GpuRejection {
    GpuRejection::RimSchema { what }
}
