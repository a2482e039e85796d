//! A ledger's directory: keys, parameters, description and database.
//!
//! ```text
//! ledger.json     the description, written last: its presence says that init finished
//! ledger.key      seed of the checkpoint key, 64 hex characters, mode 0600
//! admin.key       seed of the administrator key, the same; only `issue_voucher` reads it
//! proving.key     parameters of the proof system
//! verifying.key
//! merge-proving.key, merge-verifying.key   likewise, where notes can be merged
//! ledger.redb     the database; or, when it is in PostgreSQL:
//! postgres.url    how to connect, mode 0600: it may hold a password
//! postgres-ca.pem whose certificates the server's connection is protected with, if it is on another machine
//! ```

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use credits::bytes::decode_hex;
use credits::checkpoint::ledger_id;
use credits::keys::SEED_LEN;
use credits::ledger::LEDGER_VERSION;
use credits::params::{
    MergeProvingParams, MergeVerifyingParams, ParamsError, ProvingParams, VerifyingParams, setup, setup_merge,
};
use credits::{AdminKey, Bytes32, Credits, KeyError, LedgerInfo, LedgerKey, MergeInfo, SigningKey, Voucher};
use rand_core::{OsRng, RngCore};

use crate::clock::Clock;
use crate::durable::DurableLedger;
use crate::error::StoreError;
use crate::identity::{IdentityError, LedgerIdentity};
use crate::postgres_store::PostgresServer;
use crate::redb_store::create_database;
use crate::service::{PublishedKeys, PublishedParams};
use crate::spend_verifier::Verifiers;
use crate::witnessed::WitnessedHead;

const INFO_FILE: &str = "ledger.json";
const LEDGER_KEY_FILE: &str = "ledger.key";
const ADMIN_KEY_FILE: &str = "admin.key";
const PROVING_KEY_FILE: &str = "proving.key";
const VERIFYING_KEY_FILE: &str = "verifying.key";
const MERGE_PROVING_KEY_FILE: &str = "merge-proving.key";
const MERGE_VERIFYING_KEY_FILE: &str = "merge-verifying.key";
const DATABASE_FILE: &str = "ledger.redb";
const POSTGRES_FILE: &str = "postgres.url";
const POSTGRES_AUTHORITY_FILE: &str = "postgres-ca.pem";

/// Longest description file read.
const INFO_BYTES_MAX: u64 = 16 << 10;
/// Longest description of a connection, and longest file of certificates.
const POSTGRES_BYTES_MAX: u64 = 64 << 10;
/// Longest parameter file read; the proving key of merges, the larger, is about 5 MiB.
const PARAMS_BYTES_MAX: u64 = 16 << 20;
/// A key file: 64 characters and a line end.
const KEY_BYTES_MAX: u64 = 65;

const SECRET_MODE: u32 = 0o600;
const PUBLIC_MODE: u32 = 0o644;
const DIRECTORY_MODE: u32 = 0o700;

/// What is chosen when a ledger is made; it never changes afterwards.
#[derive(Clone, Debug)]
pub struct InitOptions {
    /// Whether its credits are worth money.
    pub holds_value: bool,
    /// Let a ledger whose credits are worth money have parameters that one party made.
    pub accept_single_party: bool,
    /// The parameters of a finished ceremony; made by this process alone otherwise.
    pub parameters: Option<Parameters>,
    /// Where the parameters of merges are from; without them it makes none.
    pub merges: Option<MergeSource>,
    /// See [`LedgerInfo::grace_secs`].
    pub grace_secs: u64,
    /// See [`LedgerInfo::root_window`].
    pub root_window: u64,
    /// See [`LedgerInfo::tab_secs_max`].
    pub tab_secs_max: u64,
    /// The PostgreSQL server to keep it on; a file in the directory otherwise.
    pub postgres: Option<PostgresOptions>,
}

/// Parameters of the proof system that a ceremony made (docs/decisions/0030).
#[derive(Clone, Debug)]
pub struct Parameters {
    /// An encoded [`ProvingParams`].
    pub proving_key: Vec<u8>,
    /// Its encoded [`VerifyingParams`].
    pub verifying_key: Vec<u8>,
    /// SHA-256 of the ceremony's transcript; [`LedgerInfo::setup`] names it.
    pub transcript_digest: Bytes32,
}

/// Where the parameters of merges are from.
#[derive(Clone, Debug)]
pub enum MergeSource {
    /// This process makes them, alone.
    MadeHere,
    /// A finished ceremony made them.
    Ceremony(Parameters),
}

/// How to reach a PostgreSQL server: see [`PostgresServer::new`].
#[derive(Clone)]
pub struct PostgresOptions {
    /// Connection URL; it may hold a password.
    pub url: String,
    /// Certificates (PEM) of the authority that vouches for the server.
    pub authority: Option<Vec<u8>>,
}

impl std::fmt::Debug for PostgresOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PostgresOptions").finish_non_exhaustive()
    }
}

impl Default for InitOptions {
    /// Test credits, no merges; five minutes of grace, 4,096 recent roots, reservations of up to a day.
    fn default() -> Self {
        Self {
            holds_value: false,
            accept_single_party: false,
            parameters: None,
            merges: None,
            grace_secs: 300,
            root_window: 4096,
            tab_secs_max: 86_400,
            postgres: None,
        }
    }
}

/// A ledger that is ready to be served.
pub struct OpenLedger {
    /// The ledger.
    pub ledger: DurableLedger,
    /// Its parameters, for handing out.
    pub params: PublishedParams,
    /// What witnesses cosigned, for handing out: nothing yet.
    pub witnessed: WitnessedHead,
}

/// Why a ledger's directory cannot be made or used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DirectoryError {
    /// There is something in the directory already.
    #[error("{} is not empty: a ledger is only made in a new or empty directory", path.display())]
    NotEmpty {
        /// The directory.
        path: PathBuf,
    },
    /// There is no ledger in the directory, or its making was cut short.
    #[error("{} holds no finished ledger: {INFO_FILE} is missing", path.display())]
    NoLedger {
        /// The directory.
        path: PathBuf,
    },
    /// A file could not be written.
    #[error("write {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The system's report.
        #[source]
        source: io::Error,
    },
    /// A file could not be read.
    #[error("read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's report.
        #[source]
        source: io::Error,
    },
    /// A key file can be read by others.
    #[error("{} has mode {mode:03o}: a key file must not be open to others (chmod 600)", path.display())]
    KeyMode {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// A file does not hold what it should.
    #[error("{} is malformed", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
    },
    /// The description does not belong to the keys.
    #[error("the ledger's files do not belong together")]
    Identity(#[source] IdentityError),
    /// The verifying key is not the one the description names.
    #[error("the verifying key is not the one the description names")]
    VerifyingKey,
    /// The administrator key is not the one the description names.
    #[error("the administrator key is not the one the description names")]
    AdminKey,
    /// The parameters of the proof system could not be made or read.
    #[error("the parameters of the proof system are unusable")]
    Params(#[source] ParamsError),
    /// Parameters that one party made are not taken for credits that are worth money.
    #[error(
        "whoever makes parameters alone can forge spends, so a ledger that holds value needs those of a ceremony: \
        give --parameters, or --accept-single-party if you bear that risk alone (ledger.single_party)"
    )]
    SingleParty,
    /// No key could be made.
    #[error("no key could be made")]
    Key(#[source] KeyError),
    /// A voucher without value was asked for.
    #[error("a voucher must be worth something")]
    VoucherZero,
    /// The database cannot be used.
    #[error("the ledger's database is unusable")]
    Store(#[source] StoreError),
}

/// Makes a ledger in a new or empty directory: keys, parameters, description, empty database.
///
/// # Errors
///
/// [`DirectoryError::SingleParty`] when its credits are worth money and no ceremony made its parameters.
pub fn init(directory: &Path, options: InitOptions) -> Result<LedgerInfo, DirectoryError> {
    // What can be mistyped is looked at before anything is made.
    let server = options.postgres.as_ref().map(server).transpose()?;
    let made_here = options.parameters.is_none() || matches!(options.merges, Some(MergeSource::MadeHere));
    if options.holds_value && made_here && !options.accept_single_party {
        return Err(DirectoryError::SingleParty);
    }
    let (setup, proving) = parameters(options.parameters)?;
    let verifying = proving.verifying();
    let merging = options.merges.map(merge_parameters).transpose()?;
    create_empty(directory)?;
    let (ledger_key, admin_key) = (new_key()?, new_key()?);
    let vk_digest = verifying.digest();
    let InitOptions { holds_value, grace_secs, root_window, tab_secs_max, postgres, .. } = options;
    let merge =
        merging.as_ref().map(|(setup, keys)| MergeInfo { vk_digest: keys.verifying().digest(), setup: setup.clone() });
    let info = LedgerInfo {
        version: LEDGER_VERSION.to_owned(),
        ledger_id: ledger_id(ledger_key.public(), vk_digest, merge.as_ref().map(|merge| merge.vk_digest)),
        ledger_key: ledger_key.public(),
        admin_key: admin_key.public(),
        vk_digest,
        holds_value,
        setup,
        grace_secs,
        root_window,
        tab_secs_max,
        merge,
    };
    let identity = LedgerIdentity::new(info.clone(), ledger_key.clone()).map_err(DirectoryError::Identity)?;
    write_new(&directory.join(LEDGER_KEY_FILE), SECRET_MODE, hex::encode(ledger_key.seed()).as_bytes())?;
    write_new(&directory.join(ADMIN_KEY_FILE), SECRET_MODE, hex::encode(admin_key.seed()).as_bytes())?;
    write_new(&directory.join(PROVING_KEY_FILE), PUBLIC_MODE, &proving.to_bytes())?;
    write_new(&directory.join(VERIFYING_KEY_FILE), PUBLIC_MODE, &verifying.to_bytes())?;
    if let Some((_, keys)) = merging {
        write_new(&directory.join(MERGE_PROVING_KEY_FILE), PUBLIC_MODE, &keys.to_bytes())?;
        write_new(&directory.join(MERGE_VERIFYING_KEY_FILE), PUBLIC_MODE, &keys.verifying().to_bytes())?;
    }
    match (server, postgres) {
        (Some(server), Some(PostgresOptions { url, authority })) => {
            write_new(&directory.join(POSTGRES_FILE), SECRET_MODE, url.as_bytes())?;
            if let Some(authority) = authority {
                write_new(&directory.join(POSTGRES_AUTHORITY_FILE), PUBLIC_MODE, &authority)?;
            }
            server.create_ledger(&identity)
        }
        _ => create_database(&directory.join(DATABASE_FILE), &identity),
    }
    .map_err(DirectoryError::Store)?;
    let path = directory.join(INFO_FILE);
    let text = serde_json::to_vec_pretty(&info).map_err(|_| DirectoryError::Malformed { path: path.clone() })?;
    write_new(&path, PUBLIC_MODE, &text)?;
    sync_directory(directory)?;
    Ok(info)
}

/// The parameters, and how they were made.
fn parameters(of_ceremony: Option<Parameters>) -> Result<(String, ProvingParams), DirectoryError> {
    let Some(Parameters { proving_key, verifying_key, transcript_digest }) = of_ceremony else {
        let (proving, _) = setup(&mut OsRng).map_err(DirectoryError::Params)?;
        return Ok(("single-party".to_owned(), proving));
    };
    let verifying = VerifyingParams::from_bytes(&verifying_key).map_err(DirectoryError::Params)?;
    let proving = ProvingParams::from_bytes(&proving_key, verifying.digest()).map_err(DirectoryError::Params)?;
    Ok((format!("ceremony:{transcript_digest}"), proving))
}

/// The same for merges.
fn merge_parameters(source: MergeSource) -> Result<(String, MergeProvingParams), DirectoryError> {
    let Parameters { proving_key, verifying_key, transcript_digest } = match source {
        MergeSource::MadeHere => {
            let keys = setup_merge(&mut OsRng).map_err(DirectoryError::Params)?;
            return Ok(("single-party".to_owned(), keys));
        }
        MergeSource::Ceremony(parameters) => parameters,
    };
    let verifying = MergeVerifyingParams::from_bytes(&verifying_key).map_err(DirectoryError::Params)?;
    let keys = MergeProvingParams::from_bytes(&proving_key, verifying.digest()).map_err(DirectoryError::Params)?;
    Ok((format!("ceremony:{transcript_digest}"), keys))
}

fn server(options: &PostgresOptions) -> Result<PostgresServer, DirectoryError> {
    PostgresServer::new(&options.url, options.authority.as_deref()).map_err(DirectoryError::Store)
}

/// The connection to PostgreSQL that the directory describes, when it does.
fn stored_server(directory: &Path) -> Result<Option<PostgresServer>, DirectoryError> {
    let path = directory.join(POSTGRES_FILE);
    // What cannot be looked at is not taken for absent: the connection would lose its protection.
    let exists =
        |path: &Path| path.try_exists().map_err(|source| DirectoryError::Read { path: path.to_owned(), source });
    if !exists(&path)? {
        return Ok(None);
    }
    check_secret_mode(&path)?;
    let url = String::from_utf8(read(&path, POSTGRES_BYTES_MAX)?);
    let url = url.map_err(|_| DirectoryError::Malformed { path })?;
    let authority = directory.join(POSTGRES_AUTHORITY_FILE);
    let authority = exists(&authority)?.then(|| read(&authority, POSTGRES_BYTES_MAX)).transpose()?;
    server(&PostgresOptions { url, authority }).map(Some)
}

/// Opens a ledger that [`init`] made. On a file one process at a time: it is locked. Blocks; not for threads that drive a
/// runtime.
pub fn open(directory: &Path, clock: Arc<dyn Clock>) -> Result<OpenLedger, DirectoryError> {
    let info = read_info(directory)?;
    let key: LedgerKey = read_key(&directory.join(LEDGER_KEY_FILE))?;
    let identity = LedgerIdentity::new(info, key).map_err(DirectoryError::Identity)?;
    let keys = |proving, verifying| {
        let verifying_key = read(&directory.join(verifying), PARAMS_BYTES_MAX)?.into();
        // Only handed out: wallets judge it by the digest of the verifying key inside it.
        let proving_key = read(&directory.join(proving), PARAMS_BYTES_MAX)?.into();
        Ok(PublishedKeys { proving_key, verifying_key })
    };
    let spend = keys(PROVING_KEY_FILE, VERIFYING_KEY_FILE)?;
    let spends = VerifyingParams::from_bytes(&spend.verifying_key).map_err(DirectoryError::Params)?;
    if spends.digest() != identity.info().vk_digest {
        return Err(DirectoryError::VerifyingKey);
    }
    let (mut merge, mut merges) = (None, None);
    if let Some(digest) = identity.info().merge_vk_digest() {
        let published = keys(MERGE_PROVING_KEY_FILE, MERGE_VERIFYING_KEY_FILE)?;
        let judged = MergeVerifyingParams::from_bytes(&published.verifying_key).map_err(DirectoryError::Params)?;
        if judged.digest() != digest {
            return Err(DirectoryError::VerifyingKey);
        }
        (merge, merges) = (Some(published), Some(judged));
    }
    let verifier = Verifiers { spends, merges };
    // Never made anew: a ledger that lost its database has lost its money, and an empty one would take every spent
    // note again.
    let ledger = match stored_server(directory)? {
        Some(server) => DurableLedger::open_postgres(server, identity, verifier, clock),
        None => DurableLedger::open_file(&directory.join(DATABASE_FILE), identity, verifier, clock),
    };
    let ledger = ledger.map_err(DirectoryError::Store)?;
    Ok(OpenLedger { ledger, params: PublishedParams { spend, merge }, witnessed: WitnessedHead::default() })
}

/// Signs a voucher with the administrator key. The service need not be running, and does not learn of it until it is
/// redeemed.
pub fn issue_voucher(directory: &Path, value: Credits) -> Result<Voucher, DirectoryError> {
    if value.is_zero() {
        return Err(DirectoryError::VoucherZero);
    }
    let info = read_info(directory)?;
    let key: AdminKey = read_key(&directory.join(ADMIN_KEY_FILE))?;
    if key.public() != info.admin_key {
        return Err(DirectoryError::AdminKey);
    }
    let mut voucher_id = Bytes32::default();
    OsRng.try_fill_bytes(&mut voucher_id.0).map_err(|_| DirectoryError::Key(KeyError::Random))?;
    Ok(Voucher::issue(&key, info.ledger_id, voucher_id, value))
}

/// Reads the description of the ledger in a directory.
pub fn read_info(directory: &Path) -> Result<LedgerInfo, DirectoryError> {
    let path = directory.join(INFO_FILE);
    let text = match read(&path, INFO_BYTES_MAX) {
        Err(DirectoryError::Read { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
            return Err(DirectoryError::NoLedger { path: directory.to_owned() });
        }
        other => other?,
    };
    serde_json::from_slice(&text).map_err(|_| DirectoryError::Malformed { path })
}

fn create_empty(directory: &Path) -> Result<(), DirectoryError> {
    let failed = |source| DirectoryError::Write { path: directory.to_owned(), source };
    fs::DirBuilder::new().recursive(true).mode(DIRECTORY_MODE).create(directory).map_err(failed)?;
    let mut entries = fs::read_dir(directory).map_err(failed)?;
    if entries.next().is_some() {
        return Err(DirectoryError::NotEmpty { path: directory.to_owned() });
    }
    Ok(())
}

fn new_key() -> Result<SigningKey, DirectoryError> {
    SigningKey::generate().map_err(DirectoryError::Key)
}

/// Writes a file that must not exist yet, and waits until it is on disk.
fn write_new(path: &Path, mode: u32, bytes: &[u8]) -> Result<(), DirectoryError> {
    let write = || {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
        file.write_all(bytes)?;
        file.sync_all()
    };
    write().map_err(|source| DirectoryError::Write { path: path.to_owned(), source })
}

fn sync_directory(directory: &Path) -> Result<(), DirectoryError> {
    let synced = File::open(directory).and_then(|file| file.sync_all());
    synced.map_err(|source| DirectoryError::Write { path: directory.to_owned(), source })
}

fn read(path: &Path, bytes_max: u64) -> Result<Vec<u8>, DirectoryError> {
    let failed = |source| DirectoryError::Read { path: path.to_owned(), source };
    let file = File::open(path).map_err(failed)?;
    let mut bytes = Vec::new();
    file.take(bytes_max.saturating_add(1)).read_to_end(&mut bytes).map_err(failed)?;
    match u64::try_from(bytes.len()) {
        Ok(len) if len <= bytes_max => Ok(bytes),
        _ => Err(DirectoryError::Malformed { path: path.to_owned() }),
    }
}

fn check_secret_mode(path: &Path) -> Result<(), DirectoryError> {
    let metadata = fs::metadata(path).map_err(|source| DirectoryError::Read { path: path.to_owned(), source })?;
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o077 == 0 { Ok(()) } else { Err(DirectoryError::KeyMode { path: path.to_owned(), mode }) }
}

fn read_key(path: &Path) -> Result<SigningKey, DirectoryError> {
    check_secret_mode(path)?;
    let text = read(path, KEY_BYTES_MAX)?;
    let text = std::str::from_utf8(&text).ok().map(str::trim_end);
    let seed = text.and_then(|text| decode_hex::<SEED_LEN>(text).ok());
    let seed = seed.ok_or_else(|| DirectoryError::Malformed { path: path.to_owned() })?;
    Ok(SigningKey::from_seed(&seed))
}
