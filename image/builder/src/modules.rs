//! The kernel of a GPU flavour and the driver's modules for it, out of one tree.
//!
//! Decides: that the exceptions of `image/gpu/fragment.config` are the only difference to the kernel without modules, and that every
//! symbol a module wants is one that this kernel exports. Trusts the locked source packages. One of them brings most of the driver as an
//! object that Debian compiled from the published source; it is linked as it is.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use anyhow::Context;
use attestation::Sha256Digest;
use liblzma::read::XzDecoder;

use crate::fetch::Store;
use crate::kernel::{self, Kernel, Progress, SETTINGS, require_config};
use crate::lock::{Lock, LockedDeb};
use crate::toolroot::{self, Job, Mount, ToolRoot};
use crate::{deb, inputs};

/// Counted up when the scripts below change.
const RECIPE: &str = "2";

/// Role of the driver's source in the flavour's lock.
const ROLE: &str = "module-source";

/// Packages whose `usr/src/<archive>` holds the sources, and the archive.
const KERNEL: (&str, &str) = ("linux-source-6.12", "linux-source-6.12.tar.xz");
const DRIVER: (&str, &str) = ("nvidia-open-kernel-source", "nvidia-open-kernel.tar.xz");

/// The modules: what computing needs. Without a display there is nothing for `nvidia-modeset` and `nvidia-drm` to do.
pub const MODULES: [&str; 2] = ["nvidia", "nvidia-uvm"];

const CONFIGURE: &str = r#"
for patch in /build/patches/kernel/*.patch /build/patches/gpu-kernel/*.patch; do
    patch --directory=/build/linux-source-6.12 --strip=1 --fuzz=0 --batch < "$patch"
done
for patch in /build/patches/driver/*.patch; do
    patch --directory=/build/modules/nvidia-open-kernel --strip=1 --fuzz=0 --batch < "$patch"
done
cd /build/linux-source-6.12
make tinyconfig
cat /build/fragment.config >> .config
make olddefconfig
"#;

const COMPILE: &str = r#"
cd /build/linux-source-6.12
flags="-ftrack-macro-expansion=0 -Wno-misleading-indentation"
make "--jobs=$1" "KCFLAGS=-ffile-prefix-map=/build/linux-source-6.12/= $flags" bzImage modules
cp arch/x86/boot/bzImage /build/finished/bzImage
cp .config /build/finished/config
"#;

const LINK: &str = r#"
jobs=$1; shift
cd /build/modules/nvidia-open-kernel
make "--jobs=$jobs" SYSSRC=/build/linux-source-6.12 "NV_KERNEL_MODULES=$*" \
    "KCFLAGS=-ffile-prefix-map=/build/linux-source-6.12/= -ffile-prefix-map=/build/modules/nvidia-open-kernel/=" modules
for module in "$@"; do
    strip --strip-debug -o "/build/finished/$module.ko" "$module.ko"
done
"#;

/// What they are made from.
#[derive(Debug)]
pub struct Recipe<'a> {
    /// `image/kernel/`.
    pub kernel: &'a Path,
    /// `image/gpu/`: `fragment.config`, `patches/kernel/` and `patches/driver/`.
    pub gpu: &'a Path,
    /// The lock of the tools, with the kernel's source.
    pub tools: &'a Lock,
    /// The flavour's lock, with the driver's source and the tools that only this kernel needs.
    pub lock: &'a Lock,
    /// Where packages are fetched to.
    pub store: &'a Store,
    /// Where it is all built and kept.
    pub cache: &'a Path,
    /// Parallel jobs.
    pub jobs: usize,
}

/// A kernel and its modules.
#[derive(Debug, Clone)]
pub struct Built {
    /// The kernel.
    pub kernel: Kernel,
    /// The modules by name.
    pub modules: BTreeMap<String, PathBuf>,
}

/// The kernel and modules of `recipe`, from the cache if they are there.
///
/// # Errors
/// When an input is missing, the configuration is not what was asked for, or something does not compile.
pub fn build(recipe: &Recipe<'_>, progress: &mut dyn FnMut(Progress<'_>)) -> anyhow::Result<Built> {
    let kernel = recipe.tools.deb(kernel::ROLE, KERNEL.0)?;
    let driver = recipe.lock.deb(ROLE, DRIVER.0)?;
    let inputs = Inputs::read(recipe)?;
    let tools = tools(recipe.tools, recipe.lock);
    let key = inputs.key(&[kernel, driver], &toolroot::key(&tools));
    let dir = recipe.cache.join(format!("gpu-kernel-{key}"));
    let modules = MODULES.iter().map(|name| ((*name).to_owned(), dir.join(format!("{name}.ko")))).collect();
    let built = Built { kernel: Kernel { bz_image: dir.join("bzImage"), config: dir.join("config"), key }, modules };
    if dir.exists() {
        return Ok(built);
    }
    fs::create_dir_all(recipe.cache).with_context(|| format!("write {}", recipe.cache.display()))?;
    progress(Progress::Step("fetch the sources of kernel and driver"));
    recipe.store.ensure(&[kernel, driver], &mut |bytes| progress(Progress::Fetched(bytes)))?;
    let root = ToolRoot::prepare(&tools, recipe.store, recipe.cache, &mut |bytes| progress(Progress::Fetched(bytes)))?;
    let work = tempfile::Builder::new().prefix(".gpu-kernel-").tempdir_in(recipe.cache)?;
    let work = work.path();
    progress(Progress::Step("unpack the sources of kernel and driver"));
    for (package, (_, archive)) in [(kernel, KERNEL), (driver, DRIVER)] {
        unpack(recipe, package, archive, work)?;
    }
    inputs.write(work)?;
    compile(recipe, &inputs, &root, work, progress)?;
    match fs::rename(work.join("finished"), &dir) {
        Err(_) if dir.exists() => Ok(built),
        renamed => renamed.map(|()| built).with_context(|| format!("write {}", dir.display())),
    }
}

/// The tools of every kernel, and those that the lock of the flavour adds.
fn tools(tools: &Lock, lock: &Lock) -> Lock {
    let debs = [tools, lock].iter().flat_map(|lock| lock.role(toolroot::ROLE)).cloned().collect();
    Lock { debs, ..Lock::default() }
}

/// A package that holds one archive, which is unpacked in turn.
fn unpack(recipe: &Recipe<'_>, package: &LockedDeb, archive: &str, work: &Path) -> anyhow::Result<()> {
    let outer =
        inputs::unpacked(recipe.cache, &package.sha256, |into| Ok(deb::extract(&recipe.store.path(package), into)?))?;
    let path = outer.join("usr/src").join(archive);
    let packed = fs::File::open(&path).with_context(|| format!("open {}", path.display()))?;
    let mut archive = tar::Archive::new(XzDecoder::new(BufReader::with_capacity(1 << 20, packed)));
    archive.set_preserve_mtime(false);
    archive.unpack(work).with_context(|| format!("unpack {}", path.display()))
}

fn compile(
    recipe: &Recipe<'_>,
    inputs: &Inputs,
    tools: &ToolRoot,
    work: &Path,
    progress: &mut dyn FnMut(Progress<'_>),
) -> anyhow::Result<()> {
    let mounts = [Mount { from: work, at: "build", writable: true }];
    let env = SETTINGS.map(str::to_owned);
    let jobs = recipe.jobs.max(1).to_string();
    let mut args = vec![jobs.as_str()];
    args.extend(MODULES);
    let mut objects = 0;
    let steps = [
        ("configure", "configure the kernel with modules", CONFIGURE),
        ("compile", "compile the kernel with modules", COMPILE),
        ("link", "compile the driver's modules", LINK),
    ];
    for (step, what, script) in steps {
        progress(Progress::Step(what));
        let log = recipe.cache.join(format!("gpu-kernel-{step}.log"));
        let job = Job { what, mounts: &mounts, env: &env, script, args: &args, log: &log };
        tools.run(&job, &mut |line| {
            if line.starts_with("  CC ") || line.starts_with("  AS ") {
                objects += 1;
                progress(Progress::Objects(objects));
            }
        })?;
        if step == "configure" {
            let config = work.join(KERNEL.0).join(".config");
            let text = fs::read_to_string(&config).with_context(|| format!("read {}", config.display()))?;
            require_config(&inputs.fragment, &inputs.forbidden, &text)?;
        }
    }
    Ok(())
}

/// The files of `image/kernel/` and `image/gpu/`, whose bytes name the result.
#[derive(Debug)]
struct Inputs {
    fragment: String,
    forbidden: String,
    /// By path below `patches/`.
    patches: BTreeMap<String, Vec<u8>>,
}

impl Inputs {
    fn read(recipe: &Recipe<'_>) -> anyhow::Result<Self> {
        let text = |path: PathBuf| fs::read_to_string(&path).with_context(|| format!("read {}", path.display()));
        let base = text(recipe.kernel.join("fragment.config"))?;
        let forbidden = text(recipe.kernel.join("forbidden.config"))?;
        let (fragment, forbidden) = compose(&base, &forbidden, &text(recipe.gpu.join("fragment.config"))?);
        let mut patches = BTreeMap::new();
        let dirs = [
            ("kernel", recipe.kernel.join("patches")),
            ("gpu-kernel", recipe.gpu.join("patches/kernel")),
            ("driver", recipe.gpu.join("patches/driver")),
        ];
        for (of, dir) in dirs {
            for entry in fs::read_dir(&dir).with_context(|| format!("list {}", dir.display()))? {
                let path = entry?.path();
                if path.extension().is_some_and(|extension| extension == "patch") {
                    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                    patches.insert(format!("{of}/{name}"), fs::read(&path)?);
                }
            }
        }
        Ok(Self { fragment, forbidden, patches })
    }

    fn key(&self, sources: &[&LockedDeb], tools: &str) -> String {
        let mut parts = vec![RECIPE.as_bytes(), CONFIGURE.as_bytes(), COMPILE.as_bytes(), LINK.as_bytes()];
        parts.extend([tools.as_bytes(), self.fragment.as_bytes(), self.forbidden.as_bytes()]);
        parts.extend(SETTINGS.iter().chain(&MODULES).map(|text| text.as_bytes()));
        parts.extend(sources.iter().map(|deb| deb.sha256.as_bytes()));
        for (name, patch) in &self.patches {
            parts.extend([name.as_bytes(), patch.as_slice()]);
        }
        // Digests are of one length, so that the list of parts has one meaning.
        let digests: String = parts.into_iter().map(|part| Sha256Digest::of(part).to_hex()).collect();
        Sha256Digest::of(digests.as_bytes()).to_hex()
    }

    fn write(&self, work: &Path) -> anyhow::Result<()> {
        for folder in ["finished", "patches/kernel", "patches/gpu-kernel", "patches/driver"] {
            fs::create_dir_all(work.join(folder))?;
        }
        fs::write(work.join("fragment.config"), &self.fragment)?;
        for (name, patch) in &self.patches {
            fs::write(work.join("patches").join(name), patch)?;
        }
        Ok(())
    }
}

/// The lists of a kernel that has `own` beside `base`: a line of `own` replaces the one about the same option, and what `own` sets is no
/// longer forbidden.
#[must_use]
pub fn compose(base: &str, forbidden: &str, own: &str) -> (String, String) {
    let named: BTreeSet<&str> = own.lines().filter_map(option).collect();
    let set: BTreeSet<&str> = own.lines().filter(|line| !line.starts_with('#')).filter_map(option).collect();
    let without = |text: &str, names: &BTreeSet<&str>| -> String {
        let kept = text.lines().filter(|line| option(line).is_none_or(|name| !names.contains(name)));
        kept.map(|line| format!("{line}\n")).collect()
    };
    (without(base, &named) + own, without(forbidden, &set))
}

/// The option that a line is about.
fn option(line: &str) -> Option<&str> {
    let line = line.strip_prefix("# ").and_then(|rest| rest.strip_suffix(" is not set")).unwrap_or(line);
    let name = line.split('=').next().unwrap_or(line);
    name.starts_with("CONFIG_").then_some(name)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::compose;
    use crate::kernel::require_config;

    #[test]
    fn a_line_replaces_the_one_about_the_same_option() {
        let base = "# Why\nCONFIG_A=y\n# CONFIG_B is not set\nCONFIG_C=y\n";
        let (fragment, forbidden) =
            compose(base, "CONFIG_B\nCONFIG_C\nCONFIG_D\n", "CONFIG_B=y\n# CONFIG_C is not set\n");
        assert_eq!(fragment, "# Why\nCONFIG_A=y\nCONFIG_B=y\n# CONFIG_C is not set\n");
        assert_eq!(forbidden, "CONFIG_C\nCONFIG_D\n");
    }

    #[test]
    fn the_shipped_exceptions_do_not_contradict_the_lists() {
        let image = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let read = |path: &str| std::fs::read_to_string(image.join(path)).unwrap();
        let (base, forbidden) = (read("kernel/fragment.config"), read("kernel/forbidden.config"));
        let (fragment, forbidden) = compose(&base, &forbidden, &read("gpu/fragment.config"));
        require_config(&fragment, &forbidden, &fragment).unwrap();
    }
}
