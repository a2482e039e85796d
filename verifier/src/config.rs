//! Roots, policy and directories: what the user told this machine.
//!
//! Decides: where files are looked for. Trusts on entry: command line and environment of the user. Holds on exit: a [`Trust`]
//! that was named explicitly; there is no built-in policy and no fallback root.

use std::path::{Path, PathBuf};

use attestation::{AppraisalPolicy, PolicyError, ReferenceRejection, RootError, TrustRoots, UnixTime};

use crate::files::{FileError, read_capped};
use crate::release::REFERENCE_VALUES_FILE;
use crate::verify::Trust;

/// Largest root, policy or key file that is read.
pub const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// Why the configuration is not usable. The user is at fault.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// No policy was named and none is in the configuration directory.
    #[error("no appraisal policy: none was named, and there is none at {}", looked_at.display())]
    NoPolicy {
        /// Where it was looked for.
        looked_at: PathBuf,
    },
    /// The policy file cannot be read.
    #[error("read the policy")]
    PolicyFile(#[source] FileError),
    /// The policy is not a policy.
    #[error("the policy {} is not usable", path.display())]
    Policy {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: PolicyError,
    },
    /// A file of reference values cannot be read.
    #[error("read the reference values")]
    ReferenceFile(#[source] FileError),
    /// Reference values were refused.
    #[error("the reference values {} were refused", path.display())]
    Reference {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: ReferenceRejection,
    },
    /// The policy needs reference values, and none were named.
    #[error(transparent)]
    NoReference(ReferenceRejection),
    /// The root file cannot be read.
    #[error("read the root certificate")]
    RootFile(#[source] FileError),
    /// The root is not a root.
    #[error("the root certificate {} is not usable", path.display())]
    Root {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: RootError,
    },
    /// Neither the XDG variable nor the home directory is known.
    #[error("there is no {what} directory: HOME is not set")]
    NoHome {
        /// Which directory.
        what: &'static str,
    },
}

impl ConfigError {
    /// The stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::NoPolicy { .. } => "config.policy_missing",
            Self::PolicyFile(_) | Self::Policy { .. } => "config.policy",
            Self::ReferenceFile(_) => "config.reference_values",
            Self::Reference { source, .. } | Self::NoReference(source) => source.code(),
            Self::RootFile(_) | Self::Root { .. } => "config.root",
            Self::NoHome { .. } => "config.home",
        }
    }

    pub(crate) fn hint(&self) -> String {
        match self {
            Self::NoPolicy { looked_at } => format!(
                "name a policy with --policy FILE, or put one at {}; it says which measurements and firmware you accept",
                looked_at.display()
            ),
            Self::PolicyFile(_) | Self::Policy { .. } => {
                "every field of a policy is required; what is not checked must be spelled \"unchecked\"".to_owned()
            }
            Self::ReferenceFile(_) | Self::NoReference(_) => {
                "name the signed reference values of a release with --reference-values FILE".to_owned()
            }
            Self::Reference { .. } => {
                "the policy's table [reference_values] says whose reference values, and for which images, are accepted"
                    .to_owned()
            }
            Self::RootFile(_) | Self::Root { .. } => {
                "name one X.509 root certificate in PEM or DER with --root FILE".to_owned()
            }
            Self::NoHome { .. } => "set HOME, or name directories and files on the command line".to_owned(),
        }
    }
}

/// Loads what nodes are judged by: the named root or the embedded vendor roots, and a policy with the reference values it asks
/// for, which must hold at `now`.
///
/// # Errors
/// When a file is missing or not usable.
pub fn load_trust(
    root: Option<&Path>,
    policy: Option<&Path>,
    reference_values: &[PathBuf],
    now: UnixTime,
) -> Result<Trust, ConfigError> {
    let named = named_roots(&root.map(Path::to_owned).into_iter().collect::<Vec<_>>())?;
    let policy = load_policy_text(policy)?.1;
    Ok(Trust { roots: roots_of(&named)?, policy: fill_policy(policy, reference_values, now)?.1 })
}

/// Where reference values are read from when none are named.
///
/// # Errors
/// When there is no configuration directory.
pub fn default_reference_values() -> Result<PathBuf, ConfigError> {
    Ok(config_dir()?.join(REFERENCE_VALUES_FILE))
}

/// The policy with its reference values, and these as read. Nothing that follows can connect anywhere with a policy that lacks
/// what it asks for.
///
/// # Errors
/// When a file is missing, or its reference values are refused.
pub fn fill_policy(
    policy: AppraisalPolicy,
    named: &[PathBuf],
    now: UnixTime,
) -> Result<(Vec<Vec<u8>>, AppraisalPolicy), ConfigError> {
    let mut paths = named.to_vec();
    if named.is_empty() && policy.needs_reference_values() {
        paths.extend(default_reference_values().ok().filter(|path| path.exists()));
    }
    let mut read = Vec::with_capacity(paths.len());
    let mut policy = policy;
    for path in paths {
        let bytes = read_capped(&path, FILE_BYTES_MAX).map_err(ConfigError::ReferenceFile)?;
        policy = policy
            .with_reference_values(&bytes, now)
            .map_err(|source| ConfigError::Reference { path: path.clone(), source })?;
        read.push(bytes);
    }
    policy.require_reference_values(now).map_err(ConfigError::NoReference)?;
    Ok((read, policy))
}

/// The files of named roots, as they are; each is a usable root.
///
/// # Errors
/// When a file is missing or not usable.
pub fn named_roots(paths: &[PathBuf]) -> Result<Vec<Vec<u8>>, ConfigError> {
    let read = |path: &PathBuf| {
        let bytes = read_capped(path, FILE_BYTES_MAX).map_err(ConfigError::RootFile)?;
        TrustRoots::named(&bytes).map_err(|source| ConfigError::Root { path: path.clone(), source })?;
        Ok(bytes)
    };
    paths.iter().map(read).collect()
}

/// The trust in these roots, or in the embedded vendor roots when there are none.
///
/// # Errors
/// When one is not a root.
pub fn roots_of(named: &[Vec<u8>]) -> Result<TrustRoots, ConfigError> {
    let parsed = |bytes: &Vec<u8>| {
        TrustRoots::named(bytes).map_err(|source| ConfigError::Root { path: PathBuf::from("--root"), source })
    };
    let Some((first, rest)) = named.split_first() else { return Ok(TrustRoots::vendor()) };
    rest.iter().try_fold(parsed(first)?, |all, next| Ok(all.and(parsed(next)?)))
}

/// The common name of a root certificate, for people; nothing is decided by it.
#[must_use]
pub fn root_common_name(path: &Path) -> Option<String> {
    let bytes = read_capped(path, FILE_BYTES_MAX).ok()?;
    let pem = x509_parser::pem::parse_x509_pem(&bytes).ok().map(|(_, pem)| pem.contents);
    let der = pem.unwrap_or(bytes);
    let (_, certificate) = x509_parser::parse_x509_certificate(&der).ok()?;
    let name = certificate.subject().iter_common_name().next()?.as_str().ok()?;
    Some(crate::fetch::printable(name, 80))
}

/// A policy and its text.
///
/// # Errors
/// When there is none, or it is not usable.
pub fn load_policy_text(named: Option<&Path>) -> Result<(String, AppraisalPolicy), ConfigError> {
    let path = match named {
        Some(path) => path.to_owned(),
        None => config_dir()?.join("policy.toml"),
    };
    let bytes = match read_capped(&path, FILE_BYTES_MAX) {
        Err(error) if named.is_none() && error.is_not_found() => return Err(ConfigError::NoPolicy { looked_at: path }),
        other => other.map_err(ConfigError::PolicyFile)?,
    };
    // Bytes that are not text are not TOML either; the parser says where.
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let policy = AppraisalPolicy::from_toml(&text).map_err(|source| ConfigError::Policy { path, source })?;
    Ok((text, policy))
}

/// `$XDG_CONFIG_HOME/cloister` or `~/.config/cloister`.
///
/// # Errors
/// When neither is known.
pub fn config_dir() -> Result<PathBuf, ConfigError> {
    xdg_dir("XDG_CONFIG_HOME", ".config").ok_or(ConfigError::NoHome { what: "configuration" })
}

/// `$XDG_DATA_HOME/cloister` or `~/.local/share/cloister`.
///
/// # Errors
/// When neither is known.
pub fn data_dir() -> Result<PathBuf, ConfigError> {
    xdg_dir("XDG_DATA_HOME", ".local/share").ok_or(ConfigError::NoHome { what: "data" })
}

/// XDG Base Directory Specification: the variable counts only when it is an absolute path.
fn xdg_dir(variable: &str, below_home: &str) -> Option<PathBuf> {
    let named = std::env::var_os(variable).map(PathBuf::from).filter(|path| path.is_absolute());
    let base =
        named.or_else(|| std::env::home_dir().filter(|home| home.is_absolute()).map(|home| home.join(below_home)));
    base.map(|base| base.join("cloister"))
}
