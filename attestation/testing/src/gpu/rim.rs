//! A manifest as NVIDIA writes and signs it.
//!
//! The text is written in its canonical form from the start, so that signing it needs no canonicaliser: what a verifier
//! computes is held against bytes made another way.

use aws_lc_rs::digest::{SHA384, digest};

use super::certificate::{self, GpuCertificate, base64, lines};
use super::keys::{GpuKeys, KeyName};
use crate::certificate::{NOT_AFTER, NOT_BEFORE};

const DECLARATIONS: &str = "xmlns=\"http://standards.iso.org/iso/19770/-2/2015/schema.xsd\" \
     xmlns:ns0=\"http://standards.iso.org/iso/19770/-2/2015/schema.xsd\" \
     xmlns:ns2=\"http://www.w3.org/2001/04/xmlenc#sha384\"";
const SIGNED_INFO_DECLARATIONS: &str = "xmlns=\"http://standards.iso.org/iso/19770/-2/2015/schema.xsd\" \
     xmlns:ds=\"http://www.w3.org/2000/09/xmldsig#\" \
     xmlns:ns0=\"http://standards.iso.org/iso/19770/-2/2015/schema.xsd\" \
     xmlns:ns2=\"http://www.w3.org/2001/04/xmlenc#sha384\"";
const TCG: &str = "https://trustedcomputinggroup.org/resource/tcg-reference-integrity-manifest-rim-information-model/";

/// Measurements of the simulated driver; the VBIOS has the others up to 63.
const DRIVER_INDICES: std::ops::Range<u8> = 20..42;
/// Measurements of the simulated VBIOS.
const VBIOS_INDICES: std::ops::Range<u8> = 0..12;

/// What simulated firmware measures at an index of the manifest.
#[must_use]
pub(crate) fn simulated_measurement(index: u8) -> Vec<u8> {
    digest(&SHA384, &[b"simulated GPU measurement".as_slice(), &[index]].concat()).as_ref().to_vec()
}

/// One measurement of a manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FakeMeasurement {
    /// Index.
    pub index: u8,
    /// Whether it is to be compared.
    pub active: bool,
    /// Acceptable values.
    pub alternatives: Vec<Vec<u8>>,
    /// Stated size.
    pub size: usize,
}

/// A manifest, before it is signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FakeRim {
    /// Chip.
    pub product: String,
    /// Version.
    pub version: String,
    /// Measurements.
    pub measurements: Vec<FakeMeasurement>,
    /// Signer, L3, CA, root.
    pub chain: Vec<GpuCertificate>,
    /// Replacements in the document, before it is signed.
    pub edit_document: Vec<(String, String)>,
    /// Replacements in SignedInfo, before it is signed.
    pub edit_signed_info: Vec<(String, String)>,
    /// Replacements in the finished text.
    pub edit_signed: Vec<(String, String)>,
    /// Who signs.
    pub signed_by: KeyName,
}

impl FakeRim {
    /// The simulated driver's.
    #[must_use]
    pub fn driver() -> Self {
        Self::new(super::SIMULATED_DRIVER, DRIVER_INDICES)
    }

    /// The simulated VBIOS's.
    #[must_use]
    pub fn vbios() -> Self {
        Self::new(super::SIMULATED_VBIOS, VBIOS_INDICES)
    }

    fn new(version: &str, active: std::ops::Range<u8>) -> Self {
        let measurement = |index| {
            let is_active = active.contains(&index);
            let value = if is_active { simulated_measurement(index) } else { vec![0; 48] };
            // Every third measurement has an alternative nobody reports.
            let other = (index % 3 == 0 && is_active).then(|| vec![0x5a; 48]);
            let alternatives: Vec<_> = other.into_iter().chain([value]).collect();
            FakeMeasurement { index, active: is_active, alternatives, size: 48 }
        };
        Self {
            product: "GH100".to_owned(),
            version: version.to_owned(),
            measurements: (0..64).map(measurement).collect(),
            chain: signer_chain(),
            edit_document: Vec::new(),
            edit_signed_info: Vec::new(),
            edit_signed: Vec::new(),
            signed_by: KeyName::RimSigner,
        }
    }

    /// The text, signed.
    #[must_use]
    pub fn sign(&self, keys: &GpuKeys) -> Vec<u8> {
        let (head, tail) = self.document();
        let reference = digest(&SHA384, [head.as_str(), tail.as_str()].concat().as_bytes());
        let signed_info = edited(signed_info(reference.as_ref()), &self.edit_signed_info);
        let canonical =
            signed_info.replacen("<ds:SignedInfo>", &format!("<ds:SignedInfo {SIGNED_INFO_DECLARATIONS}>"), 1);
        let value = base64(&keys.sign_fixed(self.signed_by, canonical.as_bytes()));
        let certificate = |certificate: &GpuCertificate| {
            format!("<ds:X509Certificate>{}</ds:X509Certificate>", lines(&base64(&certificate.der(keys)), 64))
        };
        let certificates: String = self.chain.iter().map(certificate).collect();
        let signature = format!(
            "<ds:Signature xmlns:ds=\"http://www.w3.org/2000/09/xmldsig#\">{signed_info}\
             <ds:SignatureValue>{value}</ds:SignatureValue>\
             <ds:KeyInfo><ds:X509Data>{certificates}</ds:X509Data></ds:KeyInfo></ds:Signature>"
        );
        edited([head, signature, tail, "\n".to_owned()].concat(), &self.edit_signed).into_bytes()
    }

    /// What precedes and what follows the signature.
    fn document(&self) -> (String, String) {
        let Self { product, version, .. } = self;
        let resources: String = self.measurements.iter().map(resource).collect();
        let head = format!(
            "<SoftwareIdentity {DECLARATIONS} corpus=\"false\" name=\"{product}\" patch=\"false\" supplemental=\"false\" \
             tagId=\"simulated\" tagVersion=\"0\" version=\"1.0\">\n    \
             <ns0:Entity name=\"NVIDIA Corporation\" role=\"softwareCreator tagCreator\"></ns0:Entity>\n    \
             <ns0:Meta xmlns:ns1=\"{TCG}\" PayloadType=\"direct\" colloquialVersion=\"{version}\" edition=\"GPU\" \
             product=\"{product}\" revision=\"r1\" ns1:BindingSpec=\"RIMIM\"></ns0:Meta>\n    \
             <ns0:Payload>\n{resources}    </ns0:Payload>\n"
        );
        (edited(head, &self.edit_document), "</SoftwareIdentity>".to_owned())
    }
}

/// Signer, L3, CA, root.
pub(crate) fn signer_chain() -> Vec<GpuCertificate> {
    let names = [
        (KeyName::RimSigner, "SIMULATED RIM L4 Signer"),
        (KeyName::RimL3, "SIMULATED Reference Value L3 GH100 001"),
        (KeyName::RimCa, "SIMULATED Reference Value GH100 CA"),
        (KeyName::RimRoot, "SIMULATED CoRIM signing Root CA"),
    ];
    certificate::chain(&names, (NOT_BEFORE, NOT_AFTER))
}

fn resource(measurement: &FakeMeasurement) -> String {
    let FakeMeasurement { index, active, alternatives, size } = measurement;
    let count = alternatives.len();
    let active = if *active { "True" } else { "False" };
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let hashes: String = alternatives
        .iter()
        .enumerate()
        .map(|(number, value)| format!(" ns2:Hash{number}=\"{}\"", hex(value)))
        .collect();
    format!(
        "        <ns0:Resource active=\"{active}\" alternatives=\"{count}\" index=\"{index}\" \
         name=\"Measurement_{index}\" size=\"{size}\" type=\"Measurement\"{hashes}></ns0:Resource>\n"
    )
}

fn signed_info(reference: &[u8]) -> String {
    let digest = base64(reference);
    format!(
        "<ds:SignedInfo><ds:CanonicalizationMethod Algorithm=\"http://www.w3.org/2006/12/xml-c14n11\">\
         </ds:CanonicalizationMethod>\
         <ds:SignatureMethod Algorithm=\"http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha384\"></ds:SignatureMethod>\
         <ds:Reference URI=\"\"><ds:Transforms>\
         <ds:Transform Algorithm=\"http://www.w3.org/2000/09/xmldsig#enveloped-signature\"></ds:Transform>\
         <ds:Transform Algorithm=\"http://www.w3.org/2006/12/xml-c14n11\"></ds:Transform></ds:Transforms>\
         <ds:DigestMethod Algorithm=\"http://www.w3.org/2001/04/xmldsig-more#sha384\"></ds:DigestMethod>\
         <ds:DigestValue>{digest}</ds:DigestValue></ds:Reference></ds:SignedInfo>"
    )
}

/// Every replacement must find something, or a test would change nothing and not notice.
fn edited(mut text: String, edits: &[(String, String)]) -> String {
    for (from, to) in edits {
        assert!(text.contains(from.as_str()), "{from:?} is in the text");
        text = text.replacen(from.as_str(), to, 1);
    }
    text
}
