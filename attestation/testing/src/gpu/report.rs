//! A GPU report with every field public, signed like the device signs.

use super::keys::{GpuKeys, KeyName};
use super::rim::simulated_measurement;

/// Blocks of a Hopper report.
const BLOCKS: u8 = 64;

/// Request and response, before they are signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FakeGpuReport {
    /// Index and value of each block.
    pub blocks: Vec<(u8, Vec<u8>)>,
    /// Type and value of each opaque field.
    pub opaque: Vec<(u16, Vec<u8>)>,
    /// The device's own nonce.
    pub responder_nonce: [u8; 32],
    /// Bytes written over the signed part at this offset, before signing.
    pub overwrite: Vec<(usize, u8)>,
    /// Bytes behind the opaque fields, counted as opaque data.
    pub opaque_tail: Vec<u8>,
    /// Who signs.
    pub signed_by: KeyName,
}

impl FakeGpuReport {
    /// What an H100 in single-tenant mode reports.
    #[must_use]
    pub fn accepted(fwid: [u8; 48]) -> Self {
        let text = |text: &str| [text.as_bytes(), &[0]].concat();
        let opaque = vec![
            (6, vec![0x00, 0x9f, 0x00, 0x96, 0x01, 0, 0, 0]),
            (14, vec![0xb1, 0x03, 0, 0]),
            (15, text("882")),
            (17, text("1010")),
            (18, text("0200")),
            (3, text(super::SIMULATED_DRIVER)),
            (11, vec![0x55]),
            (20, fwid.to_vec()),
            (21, vec![0x55]),
            (34, vec![1, 0]),
            (36, vec![0, 0]),
        ];
        Self {
            blocks: (1..=BLOCKS).map(|index| (index, simulated_measurement(index - 1))).collect(),
            opaque,
            responder_nonce: [0x77; 32],
            overwrite: Vec::new(),
            opaque_tail: Vec::new(),
            signed_by: KeyName::Leaf,
        }
    }

    /// Set one opaque field, or remove it.
    pub fn set_opaque(&mut self, kind: u16, value: Option<&[u8]>) {
        self.opaque.retain(|(other, _)| *other != kind);
        self.opaque.extend(value.map(|value| (kind, value.to_vec())));
    }

    /// The bytes, signed.
    #[must_use]
    pub fn sign(&self, nonce: &[u8; 32], keys: &GpuKeys) -> Vec<u8> {
        let mut bytes = self.signed_bytes(nonce);
        for (offset, byte) in &self.overwrite {
            if let Some(slot) = bytes.get_mut(*offset) {
                *slot = *byte;
            }
        }
        let signature = keys.sign_fixed(self.signed_by, &bytes);
        bytes.extend(signature);
        bytes
    }

    fn signed_bytes(&self, nonce: &[u8; 32]) -> Vec<u8> {
        let u16_le = |value: usize| u16::try_from(value).unwrap_or(u16::MAX).to_le_bytes();
        let mut record = Vec::new();
        for (index, value) in &self.blocks {
            record.extend([*index, 1]);
            record.extend(u16_le(value.len() + 3));
            record.push(1);
            record.extend(u16_le(value.len()));
            record.extend(value);
        }
        let mut opaque = Vec::new();
        for (kind, value) in &self.opaque {
            opaque.extend(kind.to_le_bytes());
            opaque.extend(u16_le(value.len()));
            opaque.extend(value);
        }
        opaque.extend(&self.opaque_tail);

        let mut out = vec![0x11, 0xe0, 0x01, 0xff];
        out.extend(nonce);
        out.extend([0, 0x11, 0x60, 0, 0]);
        out.push(u8::try_from(self.blocks.len()).unwrap_or(u8::MAX));
        out.extend(u32::try_from(record.len()).unwrap_or(0).to_le_bytes().into_iter().take(3));
        out.extend(record);
        out.extend(self.responder_nonce);
        out.extend(u16_le(opaque.len()));
        out.extend(opaque);
        out
    }
}
