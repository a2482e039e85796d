//! Which shared objects a program needs, from its own dynamic section.
//!
//! Decides: the closure of `DT_NEEDED` over the files of the locked packages. A file that nothing needs does not enter the volume.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use object::elf::{DT_NEEDED, DT_RPATH, DT_RUNPATH, FileHeader64};
use object::read::elf::{Dyn as _, FileHeader as _};
use object::{Endianness, elf};

/// Folders searched for shared objects, after the program's own.
const LIBRARY_FOLDERS: &[&str] = &["usr/lib/x86_64-linux-gnu", "usr/lib", "usr/lib64"];

/// Longest chain of symbolic links followed.
const LINKS_MAX: usize = 8;

/// Why a closure is not complete.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ElfError {
    /// A program of the recipe is in no package.
    #[error("no locked package has {path}")]
    Missing {
        /// Its path.
        path: String,
    },
    /// A shared object that something needs is in no package.
    #[error("{path} needs {library}, which no locked package has")]
    Library {
        /// Who needs it.
        path: String,
        /// What is needed.
        library: String,
    },
    /// A file cannot be read as ELF.
    #[error("{path} is not a readable ELF file: {reason}")]
    Form {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
}

/// Files of packages by their path in the volume.
pub type Files = BTreeMap<String, PathBuf>;

/// `roots` and every shared object they need, transitively: paths in the volume, symbolic links included.
///
/// # Errors
/// [`ElfError`] for a root or a shared object that `files` does not have.
pub fn closure(files: &Files, roots: &[String]) -> Result<BTreeSet<String>, ElfError> {
    let mut chosen = BTreeSet::new();
    let mut waiting: Vec<String> = roots.to_vec();
    while let Some(path) = waiting.pop() {
        let Some(target) = choose(files, &path, &mut chosen)? else { continue };
        let source = files.get(&target).ok_or_else(|| ElfError::Missing { path: target.clone() })?;
        let needs = needs(source)?;
        for library in needs.libraries {
            let found = locate(files, &target, &needs.folders, &library);
            waiting.push(found.ok_or_else(|| ElfError::Library { path: target.clone(), library })?);
        }
    }
    Ok(chosen)
}

/// Adds `path` and what it links to; the file at the end, unless it was there already.
fn choose(files: &Files, path: &str, chosen: &mut BTreeSet<String>) -> Result<Option<String>, ElfError> {
    let mut path = path.to_owned();
    for _ in 0..LINKS_MAX {
        let source = files.get(&path).ok_or_else(|| ElfError::Missing { path: path.clone() })?;
        if !chosen.insert(path.clone()) {
            return Ok(None);
        }
        match fs::read_link(source) {
            Ok(target) => path = beside(&path, &target.to_string_lossy()),
            Err(_) => return Ok(Some(path)),
        }
    }
    Err(ElfError::Missing { path })
}

/// A link's target as a path in the volume.
pub(crate) fn beside(path: &str, target: &str) -> String {
    let start = if target.starts_with('/') { "" } else { path.rsplit_once('/').map_or("", |(folder, _)| folder) };
    let mut parts: Vec<&str> = start.split('/').filter(|part| !part.is_empty()).collect();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            other => parts.push(other),
        }
    }
    crate::stage::merged(&parts.join("/"))
}

/// Where the loader would find `library`: the file's own search path, then the usual folders.
fn locate(files: &Files, from: &str, folders: &[String], library: &str) -> Option<String> {
    if let Some(path) = library.strip_prefix('/') {
        return Some(crate::stage::merged(path));
    }
    let own = from.rsplit_once('/').map_or("", |(folder, _)| folder);
    let searched = folders.iter().map(|folder| beside(from, &folder.replace("$ORIGIN", &format!("/{own}"))));
    searched
        .chain(std::iter::once(own.to_owned()))
        .chain(LIBRARY_FOLDERS.iter().map(|folder| (*folder).to_owned()))
        .map(|folder| format!("{folder}/{library}"))
        .find(|path| files.contains_key(path))
}

/// What a dynamic section asks for.
#[derive(Debug, Default)]
struct Needs {
    /// `DT_NEEDED`, and the interpreter with its whole path.
    libraries: Vec<String>,
    /// `DT_RUNPATH` and `DT_RPATH`.
    folders: Vec<String>,
}

fn needs(file: &Path) -> Result<Needs, ElfError> {
    let failed = |reason: String| ElfError::Form { path: file.into(), reason };
    let data = fs::read(file).map_err(|error| failed(error.to_string()))?;
    if !data.starts_with(b"\x7fELF") {
        return Ok(Needs::default());
    }
    read_needs(&data).map_err(|error| failed(error.to_string()))
}

fn read_needs(data: &[u8]) -> Result<Needs, object::Error> {
    let header = FileHeader64::<Endianness>::parse(data)?;
    let endian = header.endian()?;
    let mut needs = Needs::default();
    for segment in header.program_headers(endian, data)? {
        use object::read::elf::ProgramHeader as _;
        if segment.p_type(endian) == elf::PT_INTERP
            && let Ok(Some(path)) = segment.interpreter(endian, data)
        {
            needs.libraries.push(String::from_utf8_lossy(path).into_owned());
        }
    }
    let sections = header.sections(endian, data)?;
    if let Some((entries, link)) = sections.dynamic(endian, data)? {
        let strings = sections.strings(endian, data, link)?;
        for entry in entries {
            let text = || entry.string(endian, strings).map(|text| String::from_utf8_lossy(text).into_owned());
            match entry.tag(endian) {
                DT_NEEDED => needs.libraries.push(text()?),
                DT_RUNPATH | DT_RPATH => needs.folders.extend(text()?.split(':').map(str::to_owned)),
                _ => {}
            }
        }
    }
    Ok(needs)
}
