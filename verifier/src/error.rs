//! Every way this crate can say no, with a stable code, an exit code, and what to do next.
//!
//! Decides: how failures are told. One enum per activity is defined next to the activity; [`Error`] joins them for callers that
//! do everything. Codes are stable. `Display` is one clause without its cause; [`chain`] prints the causes too.

use attestation::{ReferenceRejection, Rejection};
use credits::ContradictionError;
use credits::audit::AuditFault;
use credits::ledger::LedgerError;
use credits::vault::VaultError;
use credits::wallet::WalletError;
use ledger_client::ConnectError;
use tlog::LogFault;

use crate::appraisal::{AppraisalError, EndorsementsError};
use crate::audit::AuditError;
use crate::bundle::BundleError;
use crate::config::ConfigError;
use crate::connect;
use crate::exchange::ExchangeError;
use crate::fetch::NodeError;
use crate::files::FileError;
use crate::logged::LogError;
use crate::payment::PaymentError;
use crate::release::ReleaseError;
use crate::release::error::Fault;
use crate::session::SessionError;
use crate::target::TargetError;
use crate::verify::VerifyError;
use crate::wallet_store::StoreError;

/// How a process ends. The numbers are part of the interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Exit {
    /// Accepted, done.
    Ok,
    /// Something on this machine failed.
    Internal,
    /// The command line is wrong, or something it names is missing.
    Usage,
    /// Rejected: node, receipt, settlement or ledger log.
    Rejected,
    /// Undecided: of a kind this version does not know, or not anchored.
    Unsupported,
    /// Evidence, an answer or a file is not what it should be.
    Malformed,
    /// Not enough credits, or the payment was refused.
    Payment,
    /// Node or ledger cannot be reached, or will not answer.
    Unavailable,
}

impl Exit {
    /// The process's exit code.
    #[must_use]
    pub fn code(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Internal => 1,
            Self::Usage => 2,
            Self::Rejected => 10,
            Self::Unsupported => 20,
            Self::Malformed => 30,
            Self::Payment => 40,
            Self::Unavailable => 50,
        }
    }

    /// The word of machine output.
    #[must_use]
    pub fn verdict(self) -> &'static str {
        match self {
            Self::Ok => "VERIFIED",
            Self::Rejected => "REJECTED",
            Self::Unsupported => "UNSUPPORTED",
            Self::Malformed => "MALFORMED",
            Self::Internal | Self::Usage | Self::Payment | Self::Unavailable => "ERROR",
        }
    }

    fn of_rejection(rejection: &Rejection) -> Self {
        match rejection.exit_code() {
            20 => Self::Unsupported,
            30 => Self::Malformed,
            // Whatever is not one of the two is a no.
            _ => Self::Rejected,
        }
    }
}

/// Any failure of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The address is not a node's.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// Roots, policy or directories could not be loaded.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// No connection.
    #[error(transparent)]
    Connect(#[from] connect::ConnectError),
    /// The node was not accepted.
    #[error(transparent)]
    Verify(#[from] VerifyError),
    /// A call of a session failed.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// An image cannot be read.
    #[error(transparent)]
    Audit(#[from] AuditError),
    /// An answer or its receipt was not accepted.
    #[error(transparent)]
    Exchange(#[from] ExchangeError),
    /// Files of evidence could not be appraised, or were not accepted.
    #[error(transparent)]
    Appraisal(#[from] AppraisalError),
    /// A stored receipt does not hold.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// A node's log of receipts was not accepted.
    #[error(transparent)]
    Log(#[from] LogError),
    /// A ledger's log was not accepted.
    #[error(transparent)]
    LedgerAudit(#[from] AuditFault),
    /// What was kept against a ledger says nothing against it.
    #[error(transparent)]
    LedgerEvidence(#[from] ContradictionError),
    /// A release of the image was not accepted.
    #[error(transparent)]
    Release(#[from] ReleaseError),
    /// The wallet's files.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A payment failed.
    #[error(transparent)]
    Payment(#[from] PaymentError),
    /// A file.
    #[error(transparent)]
    File(#[from] FileError),
    /// The user asked for something the node does not offer.
    #[error("{message}")]
    Choice {
        /// The stable code.
        code: &'static str,
        /// What is wrong.
        message: String,
    },
    /// The user stopped it.
    #[error("interrupted")]
    Interrupted,
    /// This machine refused something basic.
    #[error("{action}")]
    Io {
        /// What was tried.
        action: String,
        /// What the operating system said.
        #[source]
        source: std::io::Error,
    },
}

impl Error {
    /// The stable code.
    #[must_use]
    pub fn code(&self) -> &str {
        match self {
            Self::Target(_) => "target.invalid",
            Self::Config(error) => error.code(),
            Self::Connect(error) => handshake_refusal(error).unwrap_or("node.unreachable"),
            Self::Verify(VerifyError::Fetch(error)) => error.code(),
            Self::Verify(VerifyError::Rejected(rejection)) => rejection.code(),
            Self::Verify(VerifyError::OtherName { .. }) => "channel.other_name",
            Self::Verify(VerifyError::Nonce(_)) => "random.unavailable",
            Self::Session(error) => error.code(),
            Self::Audit(error) => error.code(),
            Self::Exchange(error) => error.code(),
            Self::Appraisal(error) => error.code(),
            Self::Bundle(error) => error.code(),
            Self::Log(error) => error.code(),
            Self::LedgerAudit(fault) => fault.code(),
            Self::LedgerEvidence(error) => error.code(),
            Self::Release(error) => error.code(),
            Self::Store(error) => error.code(),
            Self::Payment(error) => error.code(),
            Self::File(_) => "file.unusable",
            Self::Choice { code, .. } => code,
            Self::Interrupted => "interrupted",
            Self::Io { .. } => "machine.io",
        }
    }

    /// How a process that meets this ends.
    #[must_use]
    pub fn exit(&self) -> Exit {
        match self {
            Self::Config(ConfigError::Reference { source, .. }) => exit_of_reference(source),
            Self::Target(_) | Self::Config(_) | Self::Choice { .. } => Exit::Usage,
            Self::Connect(error) if handshake_refusal(error).is_some() => Exit::Rejected,
            Self::Connect(_) => Exit::Unavailable,
            Self::Verify(VerifyError::Fetch(error)) => exit_of_node(error),
            Self::Verify(VerifyError::Rejected(rejection)) => Exit::of_rejection(rejection),
            Self::Verify(VerifyError::OtherName { .. }) => Exit::Rejected,
            Self::Verify(VerifyError::Nonce(_)) | Self::Interrupted | Self::Io { .. } => Exit::Internal,
            Self::Session(error) => exit_of_session(error),
            Self::Audit(AuditError::File(error)) => exit_of_file(error),
            Self::Audit(AuditError::Manifest { .. }) => Exit::Malformed,
            Self::Exchange(error) => exit_of_exchange(error),
            Self::Appraisal(error) => exit_of_appraisal(error),
            Self::Bundle(BundleError::Malformed { .. }) => Exit::Malformed,
            Self::Bundle(BundleError::Rejected(rejection)) => Exit::of_rejection(rejection),
            Self::Bundle(BundleError::Log(fault)) | Self::Log(LogError::Fault(fault)) => exit_of_log(fault),
            Self::Bundle(BundleError::Offer(_) | BundleError::Receipt(_))
            | Self::Log(LogError::RolledBack { .. } | LogError::GrowthUnproved { .. }) => Exit::Rejected,
            Self::Log(LogError::Session(error)) => exit_of_session(error),
            Self::LedgerAudit(AuditFault::Replay(error)) => exit_of_wallet(error),
            Self::LedgerAudit(_) | Self::LedgerEvidence(_) => Exit::Rejected,
            Self::Release(error) => exit_of_release(error),
            Self::Store(error) => exit_of_store(error),
            Self::Payment(error) => exit_of_payment(error),
            Self::File(error) => exit_of_file(error),
        }
    }

    /// What to do next.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        if let Self::Config(error) = self {
            return Some(error.hint());
        }
        if let Self::Release(error) = self {
            return error.hint().map(str::to_owned);
        }
        let hint = match self.code() {
            "target.invalid" => "write the node's address as https://host:port",
            "node.unreachable" => "check the address, and that the node is running and reachable from here",
            "node.connection_lost" => "try again; a tab that stays open is refunded by the ledger when it ends",
            "tls.handshake_signature" => {
                "somebody between you and the node answers in its place: do not send anything there"
            }
            "tls.key_exchange" => {
                "the other end does not speak TLS 1.3 with X25519MLKEM768, which every node does: it is no node"
            }
            "chain.root_unknown" => "name the root with --root if this is a simulated or private machine",
            "wallet.missing" => "make one with: cloister wallet new --ledger URL",
            "wallet.exists" => "choose another directory with --wallet, or use the wallet that is there",
            "wallet.locked" => "stop the other cloister process, or choose another wallet with --wallet",
            "wallet.insufficient_balance" => {
                "add credits with: cloister wallet deposit VOUCHER, or ask for less with --max-tokens or --reserve"
            }
            "wallet.fragmented" => {
                "a tab is paid by one note: cloister wallet merge --at-least CREDITS makes a large one; or ask for less with --max-tokens or --reserve"
            }
            "ledger.unwitnessed" => {
                "compare your clock, ask the ledger's operator which witnesses cosign its log, and pay nothing until they do"
            }
            "wallet.merge_not_offered" => "this ledger has no parameters for merges: deposit vouchers with --notes 1",
            "wallet.passphrase_needed" => "give --passphrase-file FILE, or answer on a terminal",
            "vault.passphrase_wrong" => {
                "try again; who forgot it restores the wallet: cloister wallet restore --wallet NEW"
            }
            "wallet.not_sealed" => "look who changed the directory; leave --passphrase-file out if it never was sealed",
            "vault.altered" | "vault.malformed" => {
                "restore the wallet from its words: cloister wallet restore --wallet NEW"
            }
            "wallet.words" => "give the 24 words in their order, separated by spaces",
            "channel.other_name" => "reach the node by its own name, or ask who told you this one",
            "payment.other_ledger" => "use a wallet of the node's ledger, with --wallet",
            "payment.blamed" => "use another node; show the evidence to the ledger: cloister stake accuse FILE",
            "wallet.not_rateable" => "cloister wallet history lists the wallet's tabs; one that was charged is rated",
            "stake.held" => "cloister stake show PAYEE tells until when",
            "stake.stale" => "somebody with the same key acted meanwhile; run the command again",
            "payment.stake" => "use a node that more is at stake for, or a lower --min-stake (cloister stake show)",
            "payment.assurance" => "use a node on real hardware; credits that are worth money are not risked on others",
            "payment.ledger_changed" | "ledger.identity_mismatch" => {
                "check the ledger's address; a new ledger needs a new wallet"
            }
            "ledger.unavailable" => "check that the ledger is running, or name its address with --ledger",
            "wallet.ledger_rollback" | "wallet.ledger_fork" | "ledger.rollback" | "ledger.fork" => {
                "do not use this ledger; what it signed is kept (ledger-evidence in the wallet's directory): \
                 cloister ledger evidence FILE --ledger-key KEY"
            }
            "ledger.voucher_used" => {
                "the voucher is gone; if it was redeemed into this wallet, cloister wallet balance shows it"
            }
            "claim.above_charges" => "ask for less with --amount, or leave it out to claim all there is",
            "claim.stale" => "somebody with the same key claimed meanwhile; run the command again for what is left",
            "wallet.withdrawal_spent" => {
                "somebody deposited it; if it was this wallet, cloister wallet history shows it"
            }
            "wallet.payee_key" => {
                "make one with: cloister-host payee new --out payee.key, and name its payee in the node's configuration"
            }
            "ledger_client.url" | "ledger_client.https_unsupported" => "write the ledger's address as http://host:port",
            "wallet.ledger_missing" => "name the ledger with --ledger URL",
            "bundle.malformed" => "name a file from the wallet's receipts directory or from --keep-receipt",
            "stream.incomplete" => "treat the answer as cut off; the node signed for no more than you were shown",
            "choice.model" => "name one of the offered models with --model",
            code => return self.hint_of_family(code).map(str::to_owned),
        };
        Some(hint.to_owned())
    }

    fn hint_of_family(&self, code: &str) -> Option<&'static str> {
        match (self.exit(), self) {
            (Exit::Usage, Self::Appraisal(_)) => Some("name the directory that holds it with --endorsements DIR"),
            (Exit::Rejected, Self::Appraisal(_)) => Some("the FAIL lines say what was expected and what was found"),
            (Exit::Rejected, Self::Verify(_)) => Some("do not use this node; run cloister verify to see every check"),
            (Exit::Unsupported, Self::Verify(_)) => {
                Some("update cloister, or ask the operator which evidence the node gives")
            }
            (Exit::Rejected, _) if code.starts_with("receipt.") => {
                Some("do not trust the answer; keep the receipt as evidence")
            }
            (Exit::Rejected, _) if code.starts_with("settlement.") => {
                Some("keep the receipts as evidence; they show what was charged")
            }
            (Exit::Payment, Self::Exchange(_)) => {
                Some("reserve more with --reserve, or ask for fewer tokens with --max-tokens")
            }
            (Exit::Unavailable, _) => Some("try again later"),
            _ => None,
        }
    }
}

/// The code of a handshake with what no node is.
fn handshake_refusal(error: &connect::ConnectError) -> Option<&'static str> {
    use rustls::{AlertDescription, CertificateError};
    let connect::ConnectError::Handshake { source, .. } = error else { return None };
    match source.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>())? {
        rustls::Error::InvalidCertificate(CertificateError::BadSignature) => Some("tls.handshake_signature"),
        rustls::Error::AlertReceived(AlertDescription::HandshakeFailure) => Some("tls.key_exchange"),
        _ => None,
    }
}

fn exit_of_file(error: &FileError) -> Exit {
    if error.is_not_found() { Exit::Usage } else { Exit::Internal }
}

fn exit_of_release(error: &ReleaseError) -> Exit {
    match (error, error.fault()) {
        (ReleaseError::File(error), _) => exit_of_file(error),
        (_, Fault::Usage) => Exit::Usage,
        (_, Fault::Rejected) => Exit::Rejected,
        (_, Fault::Malformed) => Exit::Malformed,
        (_, Fault::File) => Exit::Internal,
    }
}

fn exit_of_log(fault: &LogFault) -> Exit {
    match fault {
        LogFault::Key { .. } => Exit::Usage,
        LogFault::Malformed { .. } => Exit::Malformed,
        _ => Exit::Rejected,
    }
}

fn exit_of_appraisal(error: &AppraisalError) -> Exit {
    match error {
        AppraisalError::File(error) | AppraisalError::Endorsements(EndorsementsError::File(error)) => {
            exit_of_file(error)
        }
        AppraisalError::Endorsements(EndorsementsError::Rejected(rejection)) => Exit::of_rejection(rejection),
        AppraisalError::Endorsements(EndorsementsError::Directory { .. }) => Exit::Internal,
        AppraisalError::Endorsements(_) | AppraisalError::SecondCpu { .. } | AppraisalError::GpuNonce => Exit::Usage,
        AppraisalError::Bundle(_) => Exit::Malformed,
        AppraisalError::Rejected(rejection) => Exit::of_rejection(rejection),
    }
}

fn exit_of_node(error: &NodeError) -> Exit {
    match error {
        NodeError::Refused { status, code, .. } => {
            let about_money = ["credits.", "spend."].iter().any(|family| code.starts_with(family));
            if status.as_u16() == 402 || (status.is_client_error() && about_money) {
                Exit::Payment
            } else {
                Exit::Unavailable
            }
        }
        NodeError::Closed | NodeError::Broken { .. } | NodeError::TimedOut { .. } => Exit::Unavailable,
        NodeError::TooLong { .. } | NodeError::Malformed { .. } => Exit::Malformed,
    }
}

fn exit_of_session(error: &SessionError) -> Exit {
    match error {
        SessionError::Node(error) => exit_of_node(error),
        SessionError::Signature { .. } | SessionError::Statement { .. } | SessionError::Settlement(_) => Exit::Rejected,
    }
}

/// Reference values nobody asked for, or none where some are needed, are a mistake of the command line.
fn exit_of_reference(refused: &ReferenceRejection) -> Exit {
    match refused {
        ReferenceRejection::Missing { .. } | ReferenceRejection::Unused => Exit::Usage,
        other => Exit::of_rejection(&Rejection::Reference(other.clone())),
    }
}

fn exit_of_exchange(error: &ExchangeError) -> Exit {
    match error {
        ExchangeError::Node(error) => exit_of_node(error),
        ExchangeError::Session(error) => exit_of_session(error),
        ExchangeError::Stream(_) | ExchangeError::Incomplete { .. } | ExchangeError::Receipt(_) => Exit::Rejected,
    }
}

fn exit_of_store(error: &StoreError) -> Exit {
    match error {
        StoreError::Missing { .. } | StoreError::Exists { .. } | StoreError::Words => Exit::Usage,
        StoreError::Locked { .. } | StoreError::File(_) | StoreError::Random | StoreError::Stale => Exit::Internal,
        StoreError::PassphraseNeeded
        | StoreError::NotSealed
        | StoreError::Vault(VaultError::PassphraseWrong | VaultError::PassphraseLength) => Exit::Usage,
        StoreError::Vault(VaultError::Random | VaultError::Memory) => Exit::Internal,
        StoreError::Damaged { .. } | StoreError::Vault(_) => Exit::Malformed,
        StoreError::Wallet(error) => exit_of_wallet(error),
    }
}

fn exit_of_wallet(error: &WalletError) -> Exit {
    match error {
        WalletError::InsufficientBalance { .. }
        | WalletError::Fragmented { .. }
        | WalletError::MergeNotOffered
        | WalletError::AmountZero
        | WalletError::Outputs { .. } => Exit::Payment,
        WalletError::NotRateable { .. } => Exit::Usage,
        WalletError::Format { .. } | WalletError::SeedMismatch | WalletError::StateCorrupt => Exit::Malformed,
        WalletError::TooManyNotes
        | WalletError::NotSynced
        | WalletError::NotPending { .. }
        | WalletError::NotePath { .. } => Exit::Internal,
        // Everything else is the ledger's doing, and so is whatever is added later until it is judged here.
        _ => Exit::Rejected,
    }
}

fn exit_of_payment(error: &PaymentError) -> Exit {
    match error {
        PaymentError::OtherLedger { .. }
        | PaymentError::Assurance { .. }
        | PaymentError::Blamed { .. }
        | PaymentError::Stake { .. }
        | PaymentError::NoTiers
        | PaymentError::NoTime => Exit::Payment,
        PaymentError::LedgerChanged { .. } | PaymentError::ProvingKey { .. } => Exit::Rejected,
        PaymentError::Store(error) => exit_of_store(error),
        PaymentError::Connect(ConnectError::Ledger(error)) | PaymentError::Ledger(error) => exit_of_ledger(error),
        PaymentError::Connect(_) => Exit::Usage,
        PaymentError::Prove { .. } => Exit::Internal,
        PaymentError::Open(error) | PaymentError::Close(error) => exit_of_session(error),
    }
}

fn exit_of_ledger(error: &LedgerError) -> Exit {
    match error.http_status() {
        503 => Exit::Unavailable,
        // The ledger's answer was refused by this side.
        502 => Exit::Rejected,
        _ => Exit::Payment,
    }
}

/// The error and its causes on one line.
#[must_use]
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let words = error.to_string();
        // Some libraries repeat their cause in their own words.
        if !text.ends_with(&words) {
            text.push_str(": ");
            text.push_str(&words);
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
#[path = "error_tests.rs"]
mod tests;
