//! What goes wrong below the ledger's rules.

use std::error::Error;

use credits::LedgerError;

/// The storage failed or holds what no ledger writes. The ledger stops: nothing it would answer could be relied on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The database reported an error.
    #[error("the ledger's database failed to {doing}")]
    Database {
        /// The operation.
        doing: &'static str,
        /// The database's report.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// The database server does not answer, or not for now: what was under way may or may not have been done.
    #[error("the ledger's database server is not available: cannot {doing}")]
    Server {
        /// The operation.
        doing: &'static str,
        /// What was reported.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// The database server is set up so that it could lose what it acknowledged.
    #[error("the database server has {setting} off: it could lose what it acknowledged (turn it on)")]
    Undurable {
        /// The setting.
        setting: &'static str,
    },
    /// The connection would show the ledger to the network.
    #[error("a database on another machine is only reached over TLS: give the file of its certificate authority")]
    Unencrypted,
    /// The database is older than, or another than, the one this service has seen.
    #[error("the database does not continue the log this service has seen: it was put back, or is another one")]
    Behind,
    /// The database was made with other rules than the directory's description says.
    #[error("the database was made with other rules than the ledger's description says")]
    OtherRules,
    /// The description of the connection is malformed.
    #[error("the description of the database's connection is malformed")]
    Connection {
        /// What is wrong with it.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// The database holds a ledger already.
    #[error("the database holds a ledger already: a ledger is only made in an empty schema")]
    Occupied,
    /// The database holds no ledger.
    #[error("the database holds no ledger: what it held is lost, or this is another database")]
    NoLedger,
    /// A stored record does not decode.
    #[error("the ledger's database holds a malformed {record}")]
    Record {
        /// Kind of record.
        record: &'static str,
        /// The decoder's report.
        #[source]
        source: serde_json::Error,
    },
    /// A record that must exist does not.
    #[error("the ledger's database lacks a {record}")]
    Missing {
        /// Kind of record.
        record: &'static str,
    },
    /// Amounts do not add up.
    #[error("the ledger's {sum} overflows or does not add up")]
    Sum {
        /// Which amounts.
        sum: &'static str,
    },
    /// The note tree is full.
    #[error("the note tree is full")]
    NotesFull,
    /// The database belongs to another ledger.
    #[error("the database belongs to another ledger")]
    ForeignDatabase,
    /// The writer ended without being asked to.
    #[error("the ledger's writer ended")]
    WriterEnded,
    /// The writer's thread could not be started.
    #[error("the ledger's writer thread could not be started")]
    Spawn(#[source] std::io::Error),
}

impl StoreError {
    /// Whether the store can go on once its server answers again: nothing it holds is in doubt.
    pub fn is_passing(&self) -> bool {
        matches!(self, Self::Server { .. })
    }

    /// The error and its causes on one line, for the log.
    pub fn chain(&self) -> String {
        let mut text = self.to_string();
        let mut cause = self.source();
        while let Some(error) = cause {
            text.push_str(": ");
            text.push_str(&error.to_string());
            cause = error.source();
        }
        text
    }
}

/// Names the operation that a database error interrupted.
pub(crate) fn doing<E: Error + Send + Sync + 'static>(doing: &'static str) -> impl FnOnce(E) -> StoreError {
    move |error| StoreError::Database { doing, source: Box::new(error) }
}

/// Why an operation was not carried out: refused by the rules, or stopped by the storage.
#[derive(Debug)]
pub enum Abort {
    /// By the rules: this operation only.
    Refused(LedgerError),
    /// By the storage: this operation and all after it.
    Broken(StoreError),
}

impl From<LedgerError> for Abort {
    fn from(error: LedgerError) -> Self {
        Self::Refused(error)
    }
}

impl From<StoreError> for Abort {
    fn from(error: StoreError) -> Self {
        Self::Broken(error)
    }
}
