//! TCB versions: eight bytes in the report whose layout depends on the product (SNP ABI "TCB_VERSION").
//!
//! Decides: how two TCB versions compare. Component by component only: the packed 64-bit number orders components
//! by significance and would call an older microcode newer.

use std::fmt;

use crate::rejection::Rejection;
use crate::snp::Product;

/// A TCB version as it stands in a report, before the product is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RawTcb {
    /// The eight bytes.
    pub bytes: [u8; 8],
    /// Where they stand in the report; for messages.
    pub(crate) offset: usize,
}

/// A TCB version with its components.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tcb {
    /// FMC firmware; only Turin has it.
    pub fmc: Option<u8>,
    /// AMD secure-processor boot loader.
    pub boot_loader: u8,
    /// AMD secure-processor operating system.
    pub tee: u8,
    /// SNP firmware.
    pub snp: u8,
    /// Lowest microcode patch level of all cores.
    pub microcode: u8,
}

impl RawTcb {
    /// Decode in the layout of `product`.
    ///
    /// # Errors
    /// [`Rejection::ReservedNotZero`] when a byte without meaning in this layout is set.
    pub fn decode(&self, product: Product) -> Result<Tcb, Rejection> {
        let [b0, b1, b2, b3, b4, b5, b6, b7] = self.bytes;
        let (tcb, reserved) = match product {
            Product::Milan | Product::Genoa => (
                Tcb { fmc: None, boot_loader: b0, tee: b1, snp: b6, microcode: b7 },
                [(2, b2), (3, b3), (4, b4), (5, b5)],
            ),
            Product::Turin => {
                // The last pair is a placeholder: Turin has three reserved bytes, the older layout four.
                (
                    Tcb { fmc: Some(b0), boot_loader: b1, tee: b2, snp: b3, microcode: b7 },
                    [(4, b4), (5, b5), (6, b6), (6, b6)],
                )
            }
        };
        match reserved.into_iter().find(|(_, byte)| *byte != 0) {
            Some((index, _)) => Err(Rejection::ReservedNotZero { offset: self.offset.saturating_add(index) }),
            None => Ok(tcb),
        }
    }
}

impl Tcb {
    /// Whether every component is at least the one of `floor`.
    #[must_use]
    pub fn at_least(&self, floor: &Self) -> bool {
        self.fmc.unwrap_or(0) >= floor.fmc.unwrap_or(0)
            && self.boot_loader >= floor.boot_loader
            && self.tee >= floor.tee
            && self.snp >= floor.snp
            && self.microcode >= floor.microcode
    }
}

impl fmt::Display for Tcb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(fmc) = self.fmc {
            write!(f, "fmc {fmc} ")?;
        }
        write!(f, "bl {} tee {} snp {} ucode {}", self.boot_loader, self.tee, self.snp, self.microcode)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RAW: RawTcb = RawTcb { bytes: [1, 2, 0, 0, 0, 0, 7, 8], offset: 0x38 };

    #[test]
    fn layouts_differ_by_product() {
        let genoa = RAW.decode(Product::Genoa).unwrap();
        assert_eq!(genoa, Tcb { fmc: None, boot_loader: 1, tee: 2, snp: 7, microcode: 8 });
        assert_eq!(RAW.decode(Product::Milan).unwrap(), genoa);
        assert_eq!(RAW.decode(Product::Turin), Err(Rejection::ReservedNotZero { offset: 0x38 + 6 }));
        let turin = RawTcb { bytes: [1, 2, 3, 4, 0, 0, 0, 8], offset: 0 };
        assert_eq!(
            turin.decode(Product::Turin).unwrap(),
            Tcb { fmc: Some(1), boot_loader: 2, tee: 3, snp: 4, microcode: 8 }
        );
        assert_eq!(turin.decode(Product::Genoa), Err(Rejection::ReservedNotZero { offset: 2 }));
    }

    #[test]
    fn comparison_is_per_component() {
        let floor = Tcb { fmc: None, boot_loader: 3, tee: 0, snp: 20, microcode: 200 };
        assert!(floor.at_least(&floor));
        // As packed integers the first of these is above the floor; its microcode is not.
        let newer_snp_older_microcode = Tcb { snp: 30, microcode: 199, ..floor };
        assert!(!newer_snp_older_microcode.at_least(&floor));
        assert!(Tcb { boot_loader: 4, ..floor }.at_least(&floor));
        assert!(!Tcb { boot_loader: 2, microcode: 255, ..floor }.at_least(&floor));
        assert!(!floor.at_least(&Tcb { fmc: Some(1), ..floor }));
    }
}
