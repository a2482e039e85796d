//! The firmware identity in the certificate of the key that signs reports (TCG DICE Attestation Architecture §6.1).
//!
//! Decides: what FWID the boot ROM certified. Hopper carries a CompositeDeviceID, Blackwell a TcbInfo; each has exactly
//! one SHA-384 digest. The certificate was verified before this is read.

use x509_parser::certificate::X509Certificate;

use crate::gpu::GpuRejection;
use crate::gpu::der::{self, Der};

/// Hopper and LS10: CompositeDeviceID.
const OID_COMPOSITE_DEVICE_ID: &str = "2.23.133.5.4.1";
/// Blackwell: TcbInfo.
const OID_TCB_INFO: &str = "2.23.133.5.4.1.1";
/// id-sha384, DER content.
const OID_SHA384: &[u8] = &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x02];

/// The certified firmware identity; `None` when the certificate names none.
pub(crate) fn certified(leaf: &X509Certificate<'_>) -> Result<Option<[u8; 48]>, GpuRejection> {
    let mut found = None;
    for extension in leaf.extensions() {
        let read = match extension.oid.to_id_string().as_str() {
            OID_COMPOSITE_DEVICE_ID => composite_device_id,
            OID_TCB_INFO => tcb_info,
            _ => continue,
        };
        let fwid = read(extension.value).ok_or(GpuRejection::FwidMalformed)?;
        if found.replace(fwid).is_some() {
            return Err(GpuRejection::FwidMalformed);
        }
    }
    Ok(found)
}

/// `SEQUENCE { version INTEGER, deviceID SubjectPublicKeyInfo, fwid FWID }`, or the FWID alone.
fn composite_device_id(bytes: &[u8]) -> Option<[u8; 48]> {
    let mut outer = Der::new(bytes);
    let mut alone = outer;
    if let Some(fwid) = fwid(&mut alone) {
        return alone.is_empty().then_some(fwid);
    }
    let mut fields = outer.inside(der::SEQUENCE)?;
    outer.end()?;
    fields.content(der::INTEGER)?;
    fields.content(der::SEQUENCE)?;
    let fwid = fwid(&mut fields)?;
    fields.end()?;
    Some(fwid)
}

/// `SEQUENCE { ..., fwids [6] IMPLICIT SEQUENCE OF FWID, ... }`.
fn tcb_info(bytes: &[u8]) -> Option<[u8; 48]> {
    let mut outer = Der::new(bytes);
    let mut fields = outer.inside(der::SEQUENCE)?;
    outer.end()?;
    let mut found = None;
    while !fields.is_empty() {
        let field = fields.any()?;
        if field.tag == der::constructed(6) {
            let mut list = Der::new(field.content);
            let fwid = fwid(&mut list)?;
            list.end()?;
            if found.replace(fwid).is_some() {
                return None;
            }
        }
    }
    found
}

/// `SEQUENCE { hashAlg OBJECT IDENTIFIER, digest OCTET STRING }`, SHA-384 only.
fn fwid(fields: &mut Der<'_>) -> Option<[u8; 48]> {
    let mut fwid = fields.inside(der::SEQUENCE)?;
    let algorithm = fwid.content(der::OID)?;
    let digest = fwid.only(der::OCTET_STRING)?;
    (algorithm == OID_SHA384).then_some(digest)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::x509::der_value;

    #[test]
    fn both_forms_carry_one_sha384_digest() {
        let digest = |byte: u8, oid: &[u8]| {
            let content = [der_value(der::OID, oid), der_value(der::OCTET_STRING, &[byte; 48])].concat();
            der_value(der::SEQUENCE, &content)
        };
        let good = digest(7, OID_SHA384);
        let list = |content: &[u8]| der_value(der::SEQUENCE, &der_value(der::constructed(6), content));
        assert_eq!(tcb_info(&list(&good)), Some([7; 48]));
        assert_eq!(tcb_info(&list(&[good.clone(), good.clone()].concat())), None);
        assert_eq!(tcb_info(&list(&digest(7, &[0x2a]))), None);
        assert_eq!(tcb_info(&der_value(der::SEQUENCE, &[])), None);

        let head = [der_value(der::INTEGER, &[1]), der_value(der::SEQUENCE, &[])].concat();
        let composite = |tail: &[u8]| der_value(der::SEQUENCE, &[head.clone(), tail.to_vec()].concat());
        assert_eq!(composite_device_id(&good), Some([7; 48]));
        assert_eq!(composite_device_id(&[good.clone(), good.clone()].concat()), None);
        assert_eq!(composite_device_id(&composite(&good)), Some([7; 48]));
        assert_eq!(composite_device_id(&composite(&[good.clone(), good].concat())), None);
        assert_eq!(composite_device_id(&composite(&[])), None);
    }
}
