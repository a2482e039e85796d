//! Stand-ins for the CUDA libraries that PyTorch is linked against and a run on the CPU never calls.
//!
//! Decides: nothing about their content, which `engine/slim_stubs.py` does for tests as well; only that it runs in the tool root, with a
//! Python of locked packages, so that the result does not depend on the machine's compiler.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;
use attestation::Sha256Digest;

use crate::deb;
use crate::fetch::{Store, sha256_of};
use crate::inputs::Gathered;
use crate::toolroot::{Job, Mount, ToolRoot};

/// Counted up when the script below changes.
const RECIPE: &str = "1";

/// Packages of the engine's Python that the script needs.
const PYTHON: [&str; 4] = ["python3.11-minimal", "libpython3.11-minimal", "libpython3.11-stdlib", "libexpat1"];

/// Where PyTorch looks for its libraries.
const PLACE: &str = "usr/lib/engine/torch/lib";

/// Below `/rust` there is PyTorch's wheel, below `/vendor` Python, and `/src` is `engine/`. What is a link is PyTorch's own.
const MAKE: &str = r#"
folder=/build/site/torch/lib
mkdir -p "$folder"
for library in /rust/torch/lib/libtorch*.so /rust/torch/lib/libc10*.so /rust/torch/lib/libcaffe2*.so; do
    ln -s "$library" "$folder/"
done
/vendor/usr/bin/python3.11 /src/slim_stubs.py /build/site
find "$folder" -type l -delete
"#;

/// What they are made from.
#[derive(Debug)]
pub struct Recipe<'a> {
    /// `engine/` of the checkout.
    pub engine: &'a Path,
    /// The flavour's inputs: PyTorch's wheel and Python's packages.
    pub gathered: &'a Gathered,
    /// Where packages are.
    pub store: &'a Store,
    /// What compiles them.
    pub tools: &'a ToolRoot,
    /// Where they are kept.
    pub cache: &'a Path,
}

/// The stand-ins by their path in the engine volume, from the cache if they are there.
///
/// # Errors
/// When an input is missing or the script fails.
pub fn build(recipe: &Recipe<'_>) -> anyhow::Result<BTreeMap<String, PathBuf>> {
    let (torch, torch_dir) = recipe.gathered.wheel("torch")?;
    let python = PYTHON.iter().map(|name| recipe.gathered.deb(name)).collect::<anyhow::Result<Vec<_>>>()?;
    let script = recipe.engine.join("slim_stubs.py");
    let script = sha256_of(&script).with_context(|| format!("read {}", script.display()))?;
    let mut parts = vec![RECIPE, MAKE, recipe.tools.key(), &script, &torch.sha256];
    parts.extend(python.iter().map(|deb| deb.sha256.as_str()));
    let key = Sha256Digest::of(parts.join("\n").as_bytes()).to_hex();
    let dir = recipe.cache.join(format!("stand-ins-{key}"));
    if !dir.exists() {
        let work = tempfile::Builder::new().prefix(".stand-ins-").tempdir_in(recipe.cache)?;
        let (root, out) = (work.path().join("python"), work.path().join("build"));
        fs::create_dir(&root)?;
        fs::create_dir(&out)?;
        for package in python {
            deb::extract(&recipe.store.path(package), &root)?;
        }
        run(recipe, torch_dir, &root, &out)?;
        match fs::rename(out.join("site/torch/lib"), &dir) {
            // Somebody else was faster, with the same content.
            Err(_) if dir.exists() => {}
            renamed => renamed.with_context(|| format!("write {}", dir.display()))?,
        }
    }
    let mut made = BTreeMap::new();
    for entry in fs::read_dir(&dir)? {
        let entry = entry?;
        made.insert(format!("{PLACE}/{}", entry.file_name().to_string_lossy()), entry.path());
    }
    Ok(made)
}

fn run(recipe: &Recipe<'_>, torch: &Path, python: &Path, out: &Path) -> anyhow::Result<()> {
    let mounts = [
        Mount { from: recipe.engine, at: "src", writable: false },
        Mount { from: torch, at: "rust", writable: false },
        Mount { from: python, at: "vendor", writable: false },
        Mount { from: out, at: "build", writable: true },
    ];
    let env = [
        "PYTHONHOME=/vendor/usr".to_owned(),
        "PYTHONDONTWRITEBYTECODE=1".to_owned(),
        "LD_LIBRARY_PATH=/vendor/usr/lib/x86_64-linux-gnu:/vendor/lib/x86_64-linux-gnu".to_owned(),
    ];
    let log = recipe.cache.join("stand-ins.log");
    let what = "make stand-ins for CUDA libraries";
    let job = Job { what, mounts: &mounts, env: &env, script: MAKE, args: &[], log: &log };
    Ok(recipe.tools.run(&job, &mut |_| {})?)
}
