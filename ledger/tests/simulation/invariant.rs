//! What must hold after every step, by name.

/// What must hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Invariant {
    /// Minted + claimed = in notes + behind open reservations + charged, by secrets that the ledger does not know; and no more is
    /// minted than vouchers were issued for.
    Conservation,
    /// A nullifier and a successor are reserved once.
    OneReservation,
    /// A reservation ends once.
    OneOutcome,
    /// The successor of a spend is one leaf, worth what was not charged.
    SuccessorExact,
    /// A reservation has a proof of its own statement, over a note that exists and is not spent.
    SpendsProved,
    /// A charge is signed by the guardian, or is the last total that it signed.
    ChargesSigned,
    /// An honest guardian charges no more than it sent, and settles no less.
    ChargesServed,
    /// The ledger ends a reservation after its time, and guardians settle none after theirs.
    InTime,
    /// The log only grows, and what was acknowledged is in it.
    LogOnlyGrows,
    /// The log gives the heads and sums that the ledger tells; a bystander's wallet accepts it.
    LogReplays,
    /// A payee is owed the sum of the charges to it less that of its claims.
    PayeesAreSums,
    /// A claim is signed by its payee's key, which is none that anybody signs with.
    ClaimsSigned,
    /// A payee's claims are numbered without gap: each counts once.
    ClaimsCountedOnce,
    /// No claim is above what its payee is owed then.
    ClaimsCovered,
    /// What an operator earned becomes notes of its owner's and nobody else's, and at the end all of it does.
    EarningsKept,
    /// What is handed out is charged and can be claimed; every withdrawal is told of by the wallets of its owner, from the seed
    /// alone too, and at the end it is in wallets or can be claimed by its text.
    WithdrawalsKept,
    /// What a program counts as claimed is in the log, in its own note.
    DepositsWon,
    /// A wallet that is on one device, and has lost nothing, has no two notes opened on one key.
    NoteKeysUnlinked,
    /// A withdrawal has keys that no other spend has, and names no guardian.
    WithdrawalsUnlinked,
    /// Answers are proved by what the ledger signed.
    AnswersProved,
    /// A repeated call has the outcome that it had.
    RepeatsAgree,
    /// A merge of notes that are free, under a root that is known, is refused by no ledger.
    GoodMergesTaken,
    /// A stake is signed by its payee, in order, and of what it is owed; what the rules allow is done.
    StakesCovered,
    /// A stake is not taken back while it answers for a guardian.
    StakesHeld,
    /// A stake is lost only for two things that a key which it answered for then had signed, and that contradict each other.
    FaultsProved,
    /// No two things that an honest guardian signs contradict each other, whatever becomes of its messages.
    HonestSayOneThing,
    /// A rating is by the key of a tab that was charged, once.
    RatingsEarned,
    /// A device never sees less than it saw, and what it sees is the ledger's log.
    ViewsOnlyGrow,
    /// Pages that contradict what a device has seen are refused and change nothing.
    HostileViewsRefused,
    /// A device is worth what the log up to where it read makes it worth.
    WalletsExact,
    /// A device has no two spends of one note under way.
    OneSpendPerNote,
    /// What an honest guardian served and cannot charge is at most one interval between running totals, unless the ledger left it
    /// without an answer.
    ExposureBounded,
    /// The settlement of an honest guardian agrees with its receipts.
    SettlementsExplained,
    /// What is not allowed is refused.
    FraudRefused,
    /// Once faults stop: every reservation ends, every device catches up, also from its seed alone, and every owner has what
    /// was deposited and claimed and not charged.
    EverythingEnds,
}

/// One that did not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Violation {
    pub(crate) invariant: Invariant,
    pub(crate) what: String,
}

impl Invariant {
    /// Nothing, if the condition holds.
    pub(crate) fn require(self, holds: bool, what: impl FnOnce() -> String) -> Result<(), Violation> {
        if holds { Ok(()) } else { Err(self.violated(what())) }
    }

    pub(crate) const fn violated(self, what: String) -> Violation {
        Violation { invariant: self, what }
    }
}
