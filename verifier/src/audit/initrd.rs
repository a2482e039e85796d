//! Files in an uncompressed initial ramdisk.
//!
//! Decides: where a file lies in an archive of the kernel's "newc" format. Trusts nothing about the bytes.

/// Magic of an entry without checksum.
const MAGIC: &[u8] = b"070701";

/// Magic and thirteen numbers of eight digits.
const HEADER_LEN: usize = 6 + 13 * 8;

/// Positions of two of the numbers: size of the data, length of the name.
const SIZE: usize = 6;
const NAME_LEN: usize = 11;

/// Most entries read.
const ENTRIES_MAX: usize = 4096;

/// The only file of this name, with or without a leading slash; `None` too when the bytes are no such archive.
pub(super) fn find<'a>(archive: &'a [u8], wanted: &str) -> Option<&'a [u8]> {
    let (mut rest, mut at, mut found) = (archive, 0_usize, None);
    for _ in 0..ENTRIES_MAX {
        let header = rest.get(..HEADER_LEN).filter(|header| header.starts_with(MAGIC))?;
        let number = |index: usize| {
            let start = index.checked_mul(8)?.checked_add(MAGIC.len())?;
            let digits = std::str::from_utf8(header.get(start..start.checked_add(8)?)?).ok()?;
            usize::from_str_radix(digits, 16).ok()
        };
        let name_end = HEADER_LEN.checked_add(number(NAME_LEN)?)?;
        let name = rest.get(HEADER_LEN..name_end)?.strip_suffix(&[0])?;
        if name == b"TRAILER!!!" {
            // The kernel goes on with whatever archive follows, and its files replace these.
            return found.filter(|_| rest.get(name_end..).is_some_and(|after| after.iter().all(|byte| *byte == 0)));
        }
        // Both are padded so that what follows starts at a multiple of four from the start of the archive.
        let data_start = padded(at, name_end)?;
        let data_end = data_start.checked_add(number(SIZE)?)?;
        let data = rest.get(data_start..data_end)?;
        if name.strip_prefix(b"/").unwrap_or(name) == wanted.as_bytes() {
            // The kernel unpacks both, so the later one counts: neither is what was measured to be one file.
            if found.replace(data).is_some() {
                return None;
            }
        }
        let next = padded(at, data_end)?;
        rest = rest.get(next..)?;
        at = at.checked_add(next)?;
    }
    None
}

fn padded(at: usize, offset: usize) -> Option<usize> {
    at.checked_add(offset)?.checked_next_multiple_of(4)?.checked_sub(at)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(crate) fn archive(files: &[(&str, &[u8])]) -> Vec<u8> {
        let mut out = Vec::new();
        for (name, data) in files.iter().chain(&[("TRAILER!!!", b"".as_slice())]) {
            out.extend(format!("070701{:048}{:08x}{:032}{:08x}{:08}", 0, data.len(), 0, name.len() + 1, 0).bytes());
            out.extend(name.bytes().chain([0]));
            out.resize(out.len().next_multiple_of(4), 0);
            out.extend_from_slice(data);
            out.resize(out.len().next_multiple_of(4), 0);
        }
        out
    }

    #[test]
    fn files_are_found_once() {
        let files = [("init", b"x".as_slice()), ("measured/image.json", b"{}"), ("/measured/guardian.toml", b"a = 1")];
        let bytes = archive(&files);
        assert_eq!(find(&bytes, "measured/image.json"), Some(b"{}".as_slice()));
        assert_eq!(find(&bytes, "measured/guardian.toml"), Some(b"a = 1".as_slice()));
        assert_eq!(find(&bytes, "measured"), None);
        assert_eq!(find(&[bytes.as_slice(), &[0; 512]].concat(), "init"), Some(b"x".as_slice()));
        assert_eq!(find(&[bytes.as_slice(), &archive(&[("other", b"y")])].concat(), "init"), None);
        assert_eq!(find(&archive(&[("a", b"1"), ("a", b"2")]), "a"), None);
        for end in 0..bytes.len() - 16 {
            assert_eq!(find(&bytes[..end], "init"), None, "{end}");
        }
    }
}
