//! Staging: from a flavour and unpacked packages to the files of three volumes, each with where it came from.
//!
//! Decides: what is in a volume. Volumes start empty and get only what the flavour names and what that needs; a shell, an interpreter or a
//! set-user-id file is refused unless the flavour names it, and in the root volume always.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

use crate::elf::{self, Files};
use crate::flavour::Flavour;
use crate::lock::{LockedDeb, LockedWheel};
use crate::tree::{FileTree, Node};

/// Names of programs that run what they are told. None may be in a volume unless its flavour says so.
const INTERPRETERS: &[&str] = &[
    "ash", "awk", "bash", "busybox", "csh", "dash", "gawk", "gdb", "ksh", "lua", "mawk", "mksh", "nc", "node", "perl",
    "php", "rbash", "ruby", "sh", "socat", "ssh", "sshd", "strace", "su", "sudo", "tcsh", "toybox", "zsh",
];

/// Where a file came from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// A Debian package, by SHA-256.
    Deb(String),
    /// A wheel, by SHA-256.
    Wheel(String),
    /// A program of ours, by crate.
    Program(String),
    /// A file of `image/rootfs`, or made by the builder.
    Own,
    /// A file of the model.
    Model,
}

/// The files of the three volumes.
#[derive(Debug, Default)]
pub struct Staged {
    /// The root volume.
    pub root: FileTree,
    /// The engine volume.
    pub engine: FileTree,
    /// The model volume.
    pub model: FileTree,
    /// Where each file is from, by `<volume>/<path>`.
    pub origins: BTreeMap<String, Origin>,
}

/// A package unpacked on the building machine.
#[derive(Debug, Clone, Copy)]
pub struct Unpacked<'a, T> {
    /// What was locked.
    pub locked: &'a T,
    /// Where it was unpacked.
    pub dir: &'a Path,
}

/// What staging reads.
#[derive(Debug)]
pub struct Inputs<'a> {
    /// `image/rootfs`.
    pub rootfs: &'a Path,
    /// Our programs by name.
    pub programs: &'a BTreeMap<String, PathBuf>,
    /// The engine's packages.
    pub debs: Vec<Unpacked<'a, LockedDeb>>,
    /// The engine's wheels.
    pub wheels: Vec<Unpacked<'a, LockedWheel>>,
    /// Packages of the root volume.
    pub root_debs: Vec<Unpacked<'a, LockedDeb>>,
    /// Kernel modules by name.
    pub modules: BTreeMap<String, PathBuf>,
    /// Files of the engine volume that the builder made, by path.
    pub made: BTreeMap<String, PathBuf>,
    /// The model's files, by the path they shall have.
    pub model: BTreeMap<String, PathBuf>,
}

/// A path with the folders that Debian merged into `/usr`.
#[must_use]
pub fn merged(path: &str) -> String {
    let top = path.split('/').next().unwrap_or_default();
    match top {
        "bin" | "lib" | "lib64" | "sbin" => format!("usr/{path}"),
        _ => path.to_owned(),
    }
}

/// Stages all three volumes.
///
/// # Errors
/// When something the flavour names is in no input, or something it does not allow would enter.
pub fn stage(flavour: &Flavour, inputs: &Inputs<'_>) -> anyhow::Result<Staged> {
    let mut staged = Staged::default();
    stage_root(flavour, inputs, &mut staged).context("root volume")?;
    stage_engine(flavour, inputs, &mut staged).context("engine volume")?;
    for (path, file) in &inputs.model {
        staged.model.file(path, 0o444, file.clone())?;
        staged.origins.insert(format!("model/{path}"), Origin::Model);
    }
    require_clean("root", &staged.root, &[])?;
    require_clean("engine", &staged.engine, &flavour.engine.interpreters)?;
    require_clean("model", &staged.model, &[])?;
    Ok(staged)
}

fn stage_root(flavour: &Flavour, inputs: &Inputs<'_>, staged: &mut Staged) -> anyhow::Result<()> {
    for path in &flavour.root.directories {
        staged.root.directory(path, 0o755)?;
    }
    for (path, file) in files_below(inputs.rootfs)? {
        staged.root.file(&path, 0o444, file)?;
        staged.origins.insert(format!("root/{path}"), Origin::Own);
    }
    let (files, owners) = contents(&inputs.root_debs)?;
    for path in below(&files, &flavour.root.prefixes)? {
        put(&mut staged.root, &path, files.get(&path).context("it was just found")?)?;
        let owner = owners.get(&path).cloned().context("every file of a package has an owner")?;
        staged.origins.insert(format!("root/{path}"), owner);
    }
    for (path, name) in &flavour.root.modules {
        let file = inputs.modules.get(name).with_context(|| format!("no kernel module {name:?} is built"))?;
        staged.root.file(path, 0o444, file.clone())?;
        staged.origins.insert(format!("root/{path}"), Origin::Own);
    }
    programs(&flavour.root.programs, inputs, &mut staged.root, "root", &mut staged.origins)
}

fn stage_engine(flavour: &Flavour, inputs: &Inputs<'_>, staged: &mut Staged) -> anyhow::Result<()> {
    let recipe = &flavour.engine;
    for path in &recipe.directories {
        staged.engine.directory(path, 0o755)?;
    }
    for (path, target) in &recipe.links {
        staged.engine.symlink(path, target)?;
        staged.origins.insert(format!("engine/{path}"), Origin::Own);
    }
    for (path, text) in &recipe.texts {
        staged.engine.bytes(path, 0o444, text.clone().into_bytes())?;
        staged.origins.insert(format!("engine/{path}"), Origin::Own);
    }
    let (files, owners) = contents(&inputs.debs)?;
    for path in chosen(recipe, &files)? {
        let file = files.get(&path).with_context(|| format!("no locked package has {path}"))?;
        put(&mut staged.engine, &path, file)?;
        let owner = owners.get(&path).cloned().context("every file of a package has an owner")?;
        staged.origins.insert(format!("engine/{path}"), owner);
    }
    for wheel in &inputs.wheels {
        for (path, file) in files_below(wheel.dir)? {
            let Some(path) = installed(&path) else { continue };
            if staged.engine.get(&path).is_some() {
                continue;
            }
            put(&mut staged.engine, &path, &file)?;
            staged.origins.insert(format!("engine/{path}"), Origin::Wheel(wheel.locked.sha256.clone()));
        }
    }
    for (path, file) in &inputs.made {
        staged.engine.file(path, 0o444, file.clone())?;
        staged.origins.insert(format!("engine/{path}"), Origin::Own);
    }
    programs(&recipe.programs, inputs, &mut staged.engine, "engine", &mut staged.origins)
}

/// Files of packages by their path in the volume, and whose they are.
fn contents(debs: &[Unpacked<'_, LockedDeb>]) -> anyhow::Result<(Files, BTreeMap<String, Origin>)> {
    let (mut files, mut owners) = (Files::new(), BTreeMap::new());
    for deb in debs {
        for (path, file) in files_below(deb.dir)? {
            owners.insert(merged(&path), Origin::Deb(deb.locked.sha256.clone()));
            files.insert(merged(&path), file);
        }
    }
    Ok((files, owners))
}

/// Everything in `files` that begins with one of `prefixes`.
fn below(files: &Files, prefixes: &[String]) -> anyhow::Result<Vec<String>> {
    let mut found = Vec::new();
    for prefix in prefixes {
        let before = found.len();
        found.extend(files.keys().filter(|path| path.starts_with(prefix.as_str())).cloned());
        if found.len() == before {
            bail!("no locked package has anything at {prefix:?}");
        }
    }
    Ok(found)
}

/// What of the packages enters the engine volume.
fn chosen(recipe: &crate::flavour::EngineRecipe, files: &Files) -> anyhow::Result<BTreeSet<String>> {
    let mut roots = recipe.elf.clone();
    roots.extend(below(files, &recipe.elf_prefixes)?);
    let whole = below(files, &recipe.prefixes)?;
    // What comes as whole folders may hold shared objects too, which need theirs.
    roots.extend(whole.iter().filter(|path| path.ends_with(".so") || path.contains(".so.")).cloned());
    let mut chosen = elf::closure(files, &roots)?;
    chosen.extend(whole);
    Ok(chosen)
}

/// Where a file of a wheel goes (the wheel format's `.data` folders); scripts and headers are left out.
fn installed(path: &str) -> Option<String> {
    let (first, rest) = path.split_once('/').unwrap_or((path, ""));
    if first.ends_with(".data") {
        let (kind, inner) = rest.split_once('/')?;
        return matches!(kind, "purelib" | "platlib").then(|| format!("usr/lib/engine/{inner}"));
    }
    Some(format!("usr/lib/engine/{path}"))
}

fn programs(
    wanted: &BTreeMap<String, String>,
    inputs: &Inputs<'_>,
    tree: &mut FileTree,
    volume: &str,
    origins: &mut BTreeMap<String, Origin>,
) -> anyhow::Result<()> {
    for (path, name) in wanted {
        let file = inputs.programs.get(name).with_context(|| format!("no program {name:?} is built"))?;
        tree.file(path, 0o555, file.clone())?;
        origins.insert(format!("{volume}/{path}"), Origin::Program(name.clone()));
    }
    Ok(())
}

fn put(tree: &mut FileTree, path: &str, file: &Path) -> anyhow::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    match fs::read_link(file) {
        Ok(target) => tree.symlink(path, &target.to_string_lossy())?,
        Err(_) => {
            let executable = fs::metadata(file)?.permissions().mode() & 0o111 != 0;
            tree.file(path, if executable { 0o555 } else { 0o444 }, file.to_path_buf())?;
        }
    }
    Ok(())
}

/// Every file and link below `dir`, by path, sorted.
fn files_below(dir: &Path) -> anyhow::Result<BTreeMap<String, PathBuf>> {
    let mut found = BTreeMap::new();
    let mut waiting = vec![(String::new(), dir.to_path_buf())];
    while let Some((prefix, folder)) = waiting.pop() {
        for entry in fs::read_dir(&folder).with_context(|| format!("list {}", folder.display()))? {
            let entry = entry?;
            let name = entry.file_name().into_string().map_err(|name| anyhow::anyhow!("{name:?} is not UTF-8"))?;
            let path = if prefix.is_empty() { name } else { format!("{prefix}/{name}") };
            if entry.file_type()?.is_dir() {
                waiting.push((path, entry.path()));
            } else {
                found.insert(path, entry.path());
            }
        }
    }
    Ok(found)
}

/// No shell, no interpreter, no script, no set-user-id bit; links end inside the volume.
fn require_clean(volume: &str, tree: &FileTree, allowed: &[String]) -> anyhow::Result<()> {
    for (path, node) in tree.entries() {
        let name = path.rsplit('/').next().unwrap_or(path);
        let stem = name.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.');
        let runs_things = INTERPRETERS.contains(&name) || INTERPRETERS.contains(&stem) || stem == "python";
        match node {
            Node::File { mode, .. }
                if mode & 0o111 != 0 && runs_things && !allowed.iter().any(|known| known == path) =>
            {
                bail!("{volume} volume: {path} is an interpreter; nothing in the flavour allows it");
            }
            Node::File { mode, .. } | Node::Directory { mode } if mode & 0o6000 != 0 => {
                bail!("{volume} volume: {path} has a set-user-id bit");
            }
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{installed, merged, require_clean};
    use crate::tree::FileTree;

    #[test]
    fn an_interpreter_is_refused_unless_named() {
        for name in ["usr/bin/sh", "usr/bin/bash5.2", "usr/bin/python3.11", "usr/bin/perl"] {
            let mut tree = FileTree::default();
            tree.bytes(name, 0o555, vec![1]).unwrap();
            assert!(require_clean("root", &tree, &[]).is_err(), "{name}");
            require_clean("engine", &tree, &[name.to_owned()]).unwrap();
        }
    }

    #[test]
    fn a_set_user_id_file_is_refused() {
        let mut tree = FileTree::default();
        tree.bytes("usr/bin/tool", 0o4555, vec![1]).unwrap();
        assert!(require_clean("engine", &tree, &[]).is_err());
    }

    #[test]
    fn merged_folders_and_wheel_data_have_their_places() {
        assert_eq!(merged("lib/x86_64-linux-gnu/libc.so.6"), "usr/lib/x86_64-linux-gnu/libc.so.6");
        assert_eq!(merged("usr/lib/a"), "usr/lib/a");
        assert_eq!(installed("torch/lib/a.so").as_deref(), Some("usr/lib/engine/torch/lib/a.so"));
        assert_eq!(installed("a-1.data/purelib/x/y.py").as_deref(), Some("usr/lib/engine/x/y.py"));
        assert_eq!(installed("a-1.data/scripts/run"), None);
    }
}
