//! Two builds, byte by byte.
//!
//! Decides: whether two folders hold the same files. The first difference is named by file and offset, since that is where to look.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, BufReader, Read};
use std::path::Path;

/// What differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Difference {
    /// A file is in one folder only.
    Missing {
        /// Its name.
        file: String,
        /// `first` or `second`: the folder that lacks it.
        from: &'static str,
    },
    /// A byte differs, or one file ends earlier.
    Byte {
        /// The file.
        file: String,
        /// Offset of the first byte that differs.
        offset: u64,
        /// That byte of the first file; `None` past its end.
        first: Option<u8>,
        /// That byte of the second file; `None` past its end.
        second: Option<u8>,
    },
}

impl std::fmt::Display for Difference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let byte = |byte: &Option<u8>| byte.map_or("its end".to_owned(), |byte| format!("{byte:#04x}"));
        match self {
            Self::Missing { file, from } => write!(f, "{file} is missing from the {from} folder"),
            Self::Byte { file, offset, first, second } => {
                write!(
                    f,
                    "{file} differs at byte {offset}: {} in the first, {} in the second",
                    byte(first),
                    byte(second)
                )
            }
        }
    }
}

/// The first difference between two folders, files in order of their names; nothing when they are equal.
///
/// # Errors
/// When a folder or file cannot be read.
pub fn first_difference(first: &Path, second: &Path) -> io::Result<Option<Difference>> {
    let (left, right) = (names(first)?, names(second)?);
    for file in left.union(&right) {
        if !left.contains(file) {
            return Ok(Some(Difference::Missing { file: file.clone(), from: "first" }));
        }
        if !right.contains(file) {
            return Ok(Some(Difference::Missing { file: file.clone(), from: "second" }));
        }
        if let Some((offset, a, b)) = first_byte(&first.join(file), &second.join(file))? {
            return Ok(Some(Difference::Byte { file: file.clone(), offset, first: a, second: b }));
        }
    }
    Ok(None)
}

fn names(dir: &Path) -> io::Result<BTreeSet<String>> {
    fs::read_dir(dir)?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
}

type ByteDifference = (u64, Option<u8>, Option<u8>);

fn first_byte(first: &Path, second: &Path) -> io::Result<Option<ByteDifference>> {
    let (mut left, mut right) = (BufReader::new(File::open(first)?), BufReader::new(File::open(second)?));
    let (mut a, mut b) = (vec![0; 1 << 20], vec![0; 1 << 20]);
    let mut offset: u64 = 0;
    loop {
        let (left_len, right_len) = (fill(&mut left, &mut a)?, fill(&mut right, &mut b)?);
        let (left, right) = (a.get(..left_len).unwrap_or_default(), b.get(..right_len).unwrap_or_default());
        if left != right {
            let same = left.iter().zip(right).take_while(|(a, b)| a == b).count();
            let at = offset.saturating_add(u64::try_from(same).unwrap_or(0));
            return Ok(Some((at, left.get(same).copied(), right.get(same).copied())));
        }
        if left_len == 0 {
            return Ok(None);
        }
        offset = offset.saturating_add(u64::try_from(left_len).unwrap_or(0));
    }
}

fn fill(from: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while let Some(rest) = buffer.get_mut(filled..)
        && !rest.is_empty()
    {
        match from.read(rest)? {
            0 => break,
            got => filled = filled.saturating_add(got),
        }
    }
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::{Difference, first_difference};

    #[test]
    fn the_first_difference_is_named_by_file_and_byte() {
        let root = tempfile::tempdir().unwrap();
        let (a, b) = (root.path().join("a"), root.path().join("b"));
        for dir in [&a, &b] {
            fs::create_dir(dir).unwrap();
            fs::write(dir.join("kernel"), vec![7; 3 << 20]).unwrap();
            fs::write(dir.join("root"), b"same").unwrap();
        }
        assert_eq!(first_difference(&a, &b).unwrap(), None);
        let mut changed = vec![7; 3 << 20];
        changed[2_000_000] = 8;
        fs::write(b.join("kernel"), changed).unwrap();
        let byte = Difference::Byte { file: "kernel".to_owned(), offset: 2_000_000, first: Some(7), second: Some(8) };
        assert_eq!(first_difference(&a, &b).unwrap(), Some(byte));
        fs::write(b.join("kernel"), vec![7; 5]).unwrap();
        let short = Difference::Byte { file: "kernel".to_owned(), offset: 5, first: Some(7), second: None };
        assert_eq!(first_difference(&a, &b).unwrap(), Some(short));
        fs::remove_file(b.join("kernel")).unwrap();
        let gone = Difference::Missing { file: "kernel".to_owned(), from: "second" };
        assert_eq!(first_difference(&a, &b).unwrap(), Some(gone));
    }
}
