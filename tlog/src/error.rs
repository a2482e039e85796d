//! Why a note, a checkpoint or a proof is not what it says.

/// Why a note, a checkpoint or a proof was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LogFault {
    /// The text is no key of a log or a witness.
    #[error("{text:?} is not a log key: {problem}")]
    Key {
        /// What was given; never a secret.
        text: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A part does not have its form.
    #[error("the {part} is malformed: {problem}")]
    Malformed {
        /// Which part.
        part: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// The checkpoint carries no signature of the key.
    #[error("the checkpoint is not signed by {key}")]
    Unsigned {
        /// The key.
        key: String,
    },
    /// A signature of the checkpoint under the key's name and id does not verify.
    #[error("the checkpoint's signature does not verify")]
    Signature,
    /// The checkpoint is another log's.
    #[error("the checkpoint is of log {got:?}, expected {expected:?}")]
    Origin {
        /// The checkpoint's log.
        got: String,
        /// The key's log.
        expected: String,
    },
    /// The inclusion proof does not lead from the entry to the checkpoint.
    #[error("the log does not hold this entry: the inclusion proof does not verify")]
    NotInLog,
    /// The newer log does not extend the older one.
    #[error("the log was changed: its {got} entries do not begin with the {seen} seen before")]
    Forked {
        /// Size of the newer one.
        got: u64,
        /// Size of the older one.
        seen: u64,
    },
    /// Too few of the named witnesses cosigned the checkpoint.
    #[error("{got} of the named witnesses cosigned the checkpoint, {needed} are needed")]
    Unwitnessed {
        /// How many did.
        got: usize,
        /// How many are needed.
        needed: usize,
    },
    /// The cosignatures are old, or of a time that has not come yet.
    #[error(
        "the witnesses cosigned at {cosigned}, and it is {now} here (Unix seconds): the head is old, or a clock is wrong"
    )]
    NotLately {
        /// The latest time that as many as are needed had reached.
        cosigned: u64,
        /// The reader's time.
        now: u64,
    },
}

impl LogFault {
    /// A part that does not have its form.
    pub(crate) fn malformed(part: &'static str, problem: impl std::fmt::Display) -> Self {
        Self::Malformed { part, problem: problem.to_string() }
    }

    /// The stable code.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Key { .. } => "log.key",
            Self::Malformed { .. } => "log.malformed",
            Self::Unsigned { .. } => "log.unsigned",
            Self::Signature => "log.signature",
            Self::Origin { .. } => "log.origin",
            Self::NotInLog => "log.not_included",
            Self::Forked { .. } => "log.forked",
            Self::Unwitnessed { .. } => "log.not_cosigned",
            Self::NotLately { .. } => "log.not_lately",
        }
    }
}
