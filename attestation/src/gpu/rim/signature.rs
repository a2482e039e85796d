//! The XML signature of a manifest (W3C XML Signature 1.1), in the one shape NVIDIA uses.
//!
//! Decides: whether the whole document except its one signature is what the signer's key signed, and who that signer is.
//! There is one signature, directly in the root; it refers to the document it is in (`URI=""`) and names exactly one
//! method for each step, so there is nothing to choose and nothing to point elsewhere. Measurements are read from the
//! tree verified here, never from another parse. Trusts nothing on entry but the tree's form.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::canonical::canonicalise;
use super::xml::{Element, Node};
use crate::crypto;
use crate::gpu::GpuRejection;

/// XML Signature.
const DS: &str = "http://www.w3.org/2000/09/xmldsig#";
const C14N_1_1: &str = "http://www.w3.org/2006/12/xml-c14n11";
const ENVELOPED: &str = "http://www.w3.org/2000/09/xmldsig#enveloped-signature";
const ECDSA_SHA384: &str = "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha384";
const SHA384: &str = "http://www.w3.org/2001/04/xmldsig-more#sha384";

/// More certificates than this are not read.
const CERTIFICATES_MAX: usize = 8;

/// The signature's parts.
#[derive(Debug)]
pub(crate) struct Signature<'t, 'a> {
    element: &'t Element<'a>,
    signed_info: &'t Element<'a>,
    digest: [u8; 48],
    value: [u8; 96],
    /// Certificates as given, DER, signer first.
    pub(crate) certificates: Vec<Vec<u8>>,
}

/// The signature of a document with this root.
pub(crate) fn read<'t, 'a>(root: &'t Element<'a>) -> Result<Signature<'t, 'a>, GpuRejection> {
    let schema = GpuRejection::RimSchema { what: "one Signature in the root" };
    let mut found = root.elements().filter(|element| element.uri == DS);
    let element = found.next().filter(|element| element.local == "Signature").ok_or_else(|| schema.clone())?;
    let elsewhere = root.elements().filter(|other| !std::ptr::eq(*other, element)).any(mentions_signatures);
    if elsewhere || found.next().is_some() || !element.attributes.is_empty() || element.declarations.len() != 1 {
        return Err(schema);
    }
    let [signed_info, value, key_info] = parts(element, ["SignedInfo", "SignatureValue", "KeyInfo"])?;
    for part in [signed_info, value, key_info] {
        require_bare(part)?;
    }
    let digest = read_signed_info(signed_info)?;
    let [data] = parts(key_info, ["X509Data"])?;
    require_bare(data)?;
    Ok(Signature {
        element,
        signed_info,
        digest,
        value: base64_of(value)?.try_into().map_err(|_| GpuRejection::RimSchema { what: "SignatureValue" })?,
        certificates: certificates(data)?,
    })
}

impl Signature<'_, '_> {
    /// Whether `root`, which this signature was read from, has the digest that SignedInfo names.
    pub(crate) fn require_digest(&self, root: &Element<'_>) -> Result<(), GpuRejection> {
        let digest = crypto::sha384(&canonicalise(root, &[], Some(self.element)));
        if digest == self.digest { Ok(()) } else { Err(GpuRejection::RimDigest) }
    }

    /// Whether the key `point` signed SignedInfo.
    pub(crate) fn verify(&self, root: &Element<'_>, point: &[u8]) -> Result<(), GpuRejection> {
        // In scope of SignedInfo is what its two ancestors declare.
        let inherited: Vec<_> = root.declarations.iter().chain(&self.element.declarations).copied().collect();
        let signed = canonicalise(self.signed_info, &inherited, None);
        crypto::verify_ecdsa_p384(point, &signed, &self.value).map_err(|_refused| GpuRejection::RimSignature)
    }
}

/// The digest of the one reference, after every method named is the expected one.
fn read_signed_info(signed_info: &Element<'_>) -> Result<[u8; 48], GpuRejection> {
    let [canonicalisation, method, reference] =
        parts(signed_info, ["CanonicalizationMethod", "SignatureMethod", "Reference"])?;
    require_algorithm(canonicalisation, C14N_1_1)?;
    require_algorithm(method, ECDSA_SHA384)?;
    let refers_to_all = matches!(reference.attributes.as_slice(), [only] if (only.name, only.value) == ("URI", ""));
    if !refers_to_all || !reference.declarations.is_empty() {
        return Err(GpuRejection::RimReference);
    }
    let [transforms, digest_method, digest] = parts(reference, ["Transforms", "DigestMethod", "DigestValue"])?;
    require_bare(transforms)?;
    require_bare(digest)?;
    let [enveloped, canonicalised] =
        parts(transforms, ["Transform", "Transform"]).map_err(|_| GpuRejection::RimReference)?;
    require_algorithm(enveloped, ENVELOPED).map_err(|_| GpuRejection::RimReference)?;
    require_algorithm(canonicalised, C14N_1_1).map_err(|_| GpuRejection::RimReference)?;
    require_algorithm(digest_method, SHA384)?;
    base64_of(digest)?.try_into().map_err(|_| GpuRejection::RimSchema { what: "DigestValue" })
}

/// Exactly these elements of XML Signature inside, and no text.
fn parts<'t, 'a, const N: usize>(
    element: &'t Element<'a>,
    names: [&str; N],
) -> Result<[&'t Element<'a>; N], GpuRejection> {
    let schema = || GpuRejection::RimSchema { what: "parts of the Signature" };
    let inside: Vec<&Element<'a>> = element.elements().collect();
    let inside: [&Element<'a>; N] = inside.try_into().map_err(|_| schema())?;
    let named = inside.iter().zip(names).all(|(part, name)| part.uri == DS && part.local == name);
    if named && element.children.len() == N { Ok(inside) } else { Err(schema()) }
}

/// No attributes and no declarations.
fn require_bare(element: &Element<'_>) -> Result<(), GpuRejection> {
    if element.attributes.is_empty() && element.declarations.is_empty() {
        return Ok(());
    }
    Err(GpuRejection::RimSchema { what: "attributes in the Signature" })
}

/// One attribute, `Algorithm`, with this value, and nothing inside.
fn require_algorithm(element: &Element<'_>, expected: &str) -> Result<(), GpuRejection> {
    let named = matches!(element.attributes.as_slice(), [only] if (only.name, only.value) == ("Algorithm", expected));
    if named && element.children.is_empty() && element.declarations.is_empty() {
        return Ok(());
    }
    Err(GpuRejection::RimAlgorithm { expected: expected.rsplit(['#', '/']).next().unwrap_or_default().to_owned() })
}

/// Whether anything of XML Signature is in here.
fn mentions_signatures(element: &Element<'_>) -> bool {
    element.uri == DS || element.elements().any(mentions_signatures)
}

fn certificates(data: &Element<'_>) -> Result<Vec<Vec<u8>>, GpuRejection> {
    let schema = || GpuRejection::RimSchema { what: "X509Data" };
    let count = data.children.len();
    if count == 0 || count > CERTIFICATES_MAX || data.elements().count() != count {
        return Err(schema());
    }
    let certificate = |element: &Element<'_>| {
        if element.uri != DS || element.local != "X509Certificate" {
            return Err(schema());
        }
        require_bare(element)?;
        base64_of(element)
    };
    data.elements().map(certificate).collect()
}

/// The bytes of an element that contains only base64, in lines of any length.
fn base64_of(element: &Element<'_>) -> Result<Vec<u8>, GpuRejection> {
    let malformed = || GpuRejection::RimMalformed { what: "base64" };
    let [Node::Text(text)] = element.children.as_slice() else {
        return Err(malformed());
    };
    // Outside of what is signed, so only one kind of white space is skipped: any other byte in its place is refused.
    let joined: String = text.split('\n').collect();
    STANDARD.decode(joined).map_err(|_| malformed())
}
