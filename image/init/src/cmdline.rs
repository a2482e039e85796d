//! The kernel's command line, which the host can choose where it is not measured (a UKI without Secure Boot): every word must be
//! on a list, with a value on a list, and at most once.
//!
//! On exit the kernel runs with the parameters that the image was designed for, and names the root volume this image was built
//! with. What acts before this check (a console, say) has shown kernel messages only: no volume is mounted yet.

use thiserror::Error;

use crate::config::{Mode, is_lowercase_hex32};

/// Longest line the kernel takes on x86.
const LINE_BYTES_MAX: usize = 2048;

/// What a key's value may be.
enum Values {
    /// No value: the bare word.
    Bare,
    /// Exactly this one.
    One(&'static str),
    /// `ttynull` in production; a serial port otherwise.
    Console,
    /// A digit.
    Digit,
    /// Addresses and an interface name: `ip=` is the host's business, and the guest trusts no peer for its address.
    Addresses,
    /// The measured root hash.
    RootHash,
}

/// A key, whether it must be there, and its values.
struct Key(&'static str, bool, Values);

/// Every key. Firmware that passes an initial ramdisk by name puts `initrd=initrd` in front; systemd's stub adds nothing of its own.
const KEYS: [Key; 13] = [
    Key("console", true, Values::Console),
    Key("panic", true, Values::One("-1")),
    Key("oops", true, Values::One("panic")),
    Key("random.trust_cpu", true, Values::One("on")),
    Key("random.trust_bootloader", true, Values::One("off")),
    Key("tsc", true, Values::One("reliable")),
    Key("no-kvmclock", true, Values::Bare),
    Key("lockdown", true, Values::One("confidentiality")),
    Key("cloister.roothash", true, Values::RootHash),
    Key("ip", false, Values::Addresses),
    Key("loglevel", false, Values::Digit),
    Key("quiet", false, Values::Bare),
    Key("initrd", false, Values::One("initrd")),
];

/// Why a command line was refused. It is the host's fault.
#[derive(Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum CmdlineError {
    /// Longer than the kernel takes, or not plain printable ASCII without quotes.
    #[error("the command line is too long or has a byte outside plain ASCII")]
    Bytes,
    /// A key that is not on the list.
    #[error("unknown parameter {key:?}")]
    Unknown {
        /// The key.
        key: String,
    },
    /// A key twice.
    #[error("parameter {key:?} is given twice")]
    Duplicate {
        /// The key.
        key: &'static str,
    },
    /// A value that is not on the key's list.
    #[error("parameter {key:?} has the value {got:?}")]
    Value {
        /// The key.
        key: &'static str,
        /// Its value.
        got: String,
    },
    /// A required key is not there.
    #[error("parameter {key:?} is missing")]
    Missing {
        /// The key.
        key: &'static str,
    },
    /// Another root hash than the measured one.
    #[error("cloister.roothash is {got:?}, measured is {expected:?}")]
    RootHash {
        /// The value given.
        got: String,
        /// The measured one.
        expected: String,
    },
}

impl CmdlineError {
    /// Stable name of the reason.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Bytes => "cmdline.bytes",
            Self::Unknown { .. } => "cmdline.unknown",
            Self::Duplicate { .. } => "cmdline.duplicate",
            Self::Value { .. } => "cmdline.value",
            Self::Missing { .. } => "cmdline.missing",
            Self::RootHash { .. } => "cmdline.roothash",
        }
    }
}

/// Checks `line`, as read from `/proc/cmdline`, for an image of that mode and root hash.
pub fn check(line: &[u8], mode: Mode, root_hash: &str) -> Result<(), CmdlineError> {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    // The kernel understands quotes; this parser does not, so they are refused rather than read in another way.
    if line.len() > LINE_BYTES_MAX || line.iter().any(|byte| !matches!(byte, b' '..=b'~') || *byte == b'"') {
        return Err(CmdlineError::Bytes);
    }
    let line = std::str::from_utf8(line).map_err(|_| CmdlineError::Bytes)?;
    let mut seen: Vec<&'static str> = Vec::new();
    for word in line.split(' ').filter(|word| !word.is_empty()) {
        let (name, value) = match word.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (word, None),
        };
        let Some(Key(key, _, values)) = KEYS.iter().find(|Key(key, ..)| *key == name) else {
            return Err(CmdlineError::Unknown { key: name.into() });
        };
        if seen.contains(key) {
            return Err(CmdlineError::Duplicate { key });
        }
        seen.push(key);
        values.check(key, value, mode, root_hash)?;
    }
    match KEYS.iter().find(|Key(key, required, _)| *required && !seen.contains(key)) {
        Some(Key(key, ..)) => Err(CmdlineError::Missing { key }),
        None => Ok(()),
    }
}

impl Values {
    fn check(&self, key: &'static str, value: Option<&str>, mode: Mode, root_hash: &str) -> Result<(), CmdlineError> {
        let accepted = match (self, value) {
            (Self::Bare, None) => true,
            (Self::One(only), Some(value)) => value == *only,
            (Self::Console, Some(value)) => match mode {
                Mode::Production => value == "ttynull",
                Mode::Debug | Mode::Test => matches!(value, "ttyS0" | "ttyS0,115200"),
            },
            (Self::Digit, Some(value)) => value.len() == 1 && value.bytes().all(|byte| byte.is_ascii_digit()),
            (Self::Addresses, Some(value)) => {
                value.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'z' | b'.' | b':'))
            }
            (Self::RootHash, Some(value)) if is_lowercase_hex32(value) => {
                if value != root_hash {
                    return Err(CmdlineError::RootHash { got: value.into(), expected: root_hash.into() });
                }
                true
            }
            (Self::Bare | Self::One(_) | Self::Console | Self::Digit | Self::Addresses | Self::RootHash, _) => false,
        };
        if accepted { Ok(()) } else { Err(CmdlineError::Value { key, got: value.unwrap_or_default().into() }) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash() -> String {
        "0a".repeat(32)
    }

    fn line(console: &str) -> String {
        format!(
            "console={console} panic=-1 oops=panic random.trust_cpu=on random.trust_bootloader=off tsc=reliable no-kvmclock \
             lockdown=confidentiality ip=10.0.2.15::10.0.2.2:255.255.255.0::eth0:off cloister.roothash={}",
            hash()
        )
    }

    fn code(line: &str, mode: Mode) -> &'static str {
        check(line.as_bytes(), mode, &hash()).map_or_else(|error| error.code(), |()| "accepted")
    }

    #[test]
    fn the_lines_of_the_flavours_are_accepted() {
        let production = line("ttynull");
        assert_eq!(code(&production, Mode::Production), "accepted");
        assert_eq!(code(&format!("initrd=initrd {production}\n"), Mode::Production), "accepted");
        assert_eq!(code(&format!("{production} quiet loglevel=3"), Mode::Production), "accepted");
        assert_eq!(code(&line("ttyS0"), Mode::Test), "accepted");
        assert_eq!(code(&line("ttyS0"), Mode::Debug), "accepted");
    }

    #[test]
    fn every_fault_has_its_code() {
        let good = line("ttynull");
        let root = format!("cloister.roothash={}", hash());
        let faults = [
            ("cmdline.bytes", format!("{good} quiet\u{e9}")),
            ("cmdline.bytes", format!("{good}\tquiet")),
            ("cmdline.bytes", format!("{good}\nquiet\n")),
            ("cmdline.bytes", format!("{good} initrd=\"initrd\"")),
            ("cmdline.bytes", format!("{good}{}", " ".repeat(LINE_BYTES_MAX))),
            ("cmdline.unknown", format!("{good} rdinit=/bin/sh")),
            ("cmdline.unknown", format!("{good} sandbox engine")),
            ("cmdline.unknown", format!("{good} random.trust-cpu=off")),
            ("cmdline.unknown", format!("{good} -- quiet")),
            ("cmdline.unknown", format!("{good} =")),
            ("cmdline.unknown", format!("{good} Quiet")),
            ("cmdline.duplicate", format!("{good} {root}")),
            ("cmdline.duplicate", format!("{good} console=ttyS0")),
            ("cmdline.duplicate", format!("quiet {good} quiet")),
            ("cmdline.value", good.replace("ttynull", "ttyS0")),
            ("cmdline.value", good.replace("ttynull", "ttynull,115200")),
            ("cmdline.value", good.replace("panic=-1", "panic=0")),
            ("cmdline.value", good.replace("trust_bootloader=off", "trust_bootloader=on")),
            ("cmdline.value", good.replace("=confidentiality", "=integrity")),
            ("cmdline.value", good.replace("no-kvmclock", "no-kvmclock=1")),
            ("cmdline.value", good.replace("tsc=reliable", "tsc")),
            ("cmdline.value", format!("{good} initrd=other")),
            ("cmdline.value", format!("{good} loglevel=10")),
            ("cmdline.value", good.replace("eth0:off", "eth0:off;")),
            ("cmdline.value", good.replace(&hash(), &hash().to_uppercase())),
            ("cmdline.value", good.replace(&hash(), "")),
            ("cmdline.missing", good.replace(&root, "")),
            ("cmdline.missing", good.replace("console=ttynull ", "")),
            ("cmdline.missing", good.replace("lockdown=confidentiality", "")),
            ("cmdline.missing", String::new()),
            ("cmdline.roothash", good.replace("0a0a", "0a0b")),
        ];
        for (expected, line) in faults {
            assert_eq!(code(&line, Mode::Production), expected, "{line}");
        }
        assert_eq!(code(&line("ttynull"), Mode::Test), "cmdline.value", "a test image that nobody can read");
    }
}
