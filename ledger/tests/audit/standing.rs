//! Stakes, what loses them, and ratings, in logs that were written wrong and signed.

use credits::{
    Evidence, LedgerInfo, RatingEntry, RatingRequest, SettleEntry, SettledBy, SigningKey, SlashEntry, StakeAct,
    StakeEntry, StakeRequest,
};

use super::*;
use crate::support::stakes::two_charges;

/// A payee who was charged 40 for, under a tab of a known key, and what its log says next.
struct Log {
    info: LedgerInfo,
    verifying: VerifyingParams,
    entries: Vec<LogEntry>,
    /// Where the reservation is, whose proof proves nothing: what an audit finds when nothing else is wrong.
    reserve: u64,
    spend: Nullifier,
}

fn tab() -> SigningKey {
    SigningKey::from_seed(&[44; 32])
}

impl Log {
    async fn new() -> Self {
        let verifying = verifying();
        let info = info(verifying.digest());
        let mut entries = deposits(&info).await;
        let mut notes = NoteFrontier::new();
        for (_, leaf) in entries.iter().filter_map(LogEntry::appended_note) {
            notes.append(leaf).unwrap();
        }
        let reserve = u64::try_from(entries.len()).unwrap();
        let identity = LedgerIdentity::new(info.clone(), ledger_key()).unwrap();
        let ledger = VolatileLedger::volatile(identity, FakeProofs, TestClock::new()).unwrap();
        let mut spend = World::of(ledger, TestClock::new()).spend_under(notes.root(), 1, 100);
        (spend.context.ledger_id, spend.context.vk_digest) = (info.ledger_id, info.vk_digest);
        spend.context.tab_key = tab().public();
        let (nullifier, leaf) = (spend.nullifier, note::leaf(spend.inner_next, credits(60)));
        entries.push(LogEntry::Reserve(spend.entry()));
        entries.push(LogEntry::Settle(SettleEntry {
            nullifier,
            charge: credits(40),
            refund: credits(60),
            leaf_index: notes.len(),
            leaf,
            by: SettledBy::Guardian,
            signature: Some(settle(&info, &nullifier, 40).signature),
        }));
        Self { info, verifying, entries, reserve, spend: nullifier }
    }

    /// What an audit finds in the log with these entries behind it.
    fn with(&self, more: Vec<LogEntry>) -> AuditFault {
        audit(&self.info, &self.verifying, &[self.entries.clone(), more].concat()).unwrap_err()
    }

    fn is_right(&self, more: Vec<LogEntry>) {
        assert_eq!(self.with(more), AuditFault::Proof { index: self.reserve });
    }

    /// Of the entry that is so many behind the settlement.
    fn at(&self, number: u64) -> u64 {
        self.reserve + 2 + number
    }

    fn stake(&self, seq: u64, act: StakeAct, at: u64) -> LogEntry {
        let StakeRequest { payee, seq, act, signature } =
            StakeRequest::sign(&payee_key(), &self.info.ledger_id, seq, act);
        LogEntry::Stake(StakeEntry { payee, seq, act, at, signature })
    }

    fn put(&self, seq: u64, amount: u64) -> LogEntry {
        self.stake(seq, StakeAct::Put { amount: credits(amount) }, START)
    }

    fn back(&self, seq: u64, until: u64) -> LogEntry {
        self.stake(seq, StakeAct::Back { settle_key: settle_key().public(), until }, START)
    }

    fn slash(&self, at: u64, amount: u64, reward: u64, evidence: Evidence) -> LogEntry {
        let (payee, settle_key) = (payee_key().public(), settle_key().public());
        let (amount, reward) = (credits(amount), credits(reward));
        LogEntry::Slash(SlashEntry { payee, settle_key, evidence, reporter: payee, at, amount, reward })
    }

    fn rating(&self, key: &SigningKey, nullifier: Nullifier, score: u8) -> LogEntry {
        let RatingRequest { nullifier, score, signature } =
            RatingRequest::sign(key, &self.info.ledger_id, nullifier, score);
        LogEntry::Rating(RatingEntry { nullifier, score, signature })
    }
}

#[tokio::test]
async fn stakes_that_were_written_wrong_have_their_faults() {
    let log = Log::new().await;
    log.is_right(vec![]);
    log.is_right(vec![log.put(0, 30), log.put(1, 10)]);
    // Of more than the payee is owed, at once or together, or of what it claimed.
    assert_eq!(log.with(vec![log.put(0, 41)]), AuditFault::Stake { index: log.at(0) });
    assert_eq!(log.with(vec![log.put(0, 30), log.put(1, 11)]), AuditFault::Stake { index: log.at(1) });
    // By another number, another key, or in another order: wallets see that, too.
    let is_refused = |entries| matches!(log.with(entries), AuditFault::Replay(_));
    assert!(is_refused(vec![log.put(1, 1)]));
    assert!(is_refused(vec![log.put(0, 1), log.put(0, 1)]));
    assert!(is_refused(vec![log.put(0, 0)]));
    assert!(is_refused(vec![log.back(0, START + 60)]));
    let mut forged = log.put(0, 1);
    if let LogEntry::Stake(entry) = &mut forged {
        entry.act = StakeAct::Put { amount: credits(2) };
    }
    assert!(is_refused(vec![forged]));

    // Taken back while it answers for somebody, and once it does not.
    let held = vec![log.put(0, 30), log.back(1, START + 60)];
    let take = |at| log.stake(2, StakeAct::Take {}, at);
    assert!(is_refused([held.clone(), vec![take(START + 60)]].concat()));
    log.is_right([held.clone(), vec![take(START + 61), log.put(3, 40)]].concat());
    assert!(is_refused([held.clone(), vec![log.back(2, START + 59)]].concat()));

    // Lost for a fault, all of it, and a twentieth is the reporter's.
    let guilty = || two_charges(&log.info, &settle_key(), log.spend, [40, 41]);
    let lost = |at, amount, reward, evidence| [held.clone(), vec![log.slash(at, amount, reward, evidence)]].concat();
    log.is_right(lost(START, 30, 1, guilty()));
    log.is_right([lost(START, 30, 1, guilty()), vec![log.put(2, 11)]].concat());
    let more = [lost(START, 30, 1, guilty()), vec![log.put(2, 12)]].concat();
    assert_eq!(log.with(more), AuditFault::Stake { index: log.at(3) });
    assert!(is_refused(lost(START + 61, 30, 1, guilty())));
    assert!(is_refused(lost(START, 29, 1, guilty())));
    assert!(is_refused(lost(START, 30, 2, guilty())));
    let honest = two_charges(&log.info, &settle_key(), log.spend, [40, 40]);
    assert!(is_refused(lost(START, 30, 1, honest)));
    let strangers = two_charges(&log.info, &payee_key(), log.spend, [40, 41]);
    assert!(is_refused(lost(START, 30, 1, strangers)));
    let twice = [lost(START, 30, 1, guilty()), vec![log.slash(START, 30, 1, guilty())]].concat();
    assert!(is_refused(twice));
    assert!(is_refused(vec![log.slash(START, 30, 1, guilty())]));

    // Ratings: by the tab's key, once, of what was charged.
    let rated = |score| log.rating(&tab(), log.spend, score);
    log.is_right(vec![rated(5)]);
    assert_eq!(log.with(vec![rated(5), rated(5)]), AuditFault::Rating { index: log.at(1) });
    let strangers = log.rating(&payee_key(), log.spend, 5);
    assert_eq!(log.with(vec![strangers]), AuditFault::Rating { index: log.at(0) });
    let unknown = log.rating(&tab(), Nullifier(Fe::from(77)), 5);
    assert_eq!(log.with(vec![unknown]), AuditFault::Rating { index: log.at(0) });
    assert!(is_refused(vec![rated(6)]) && is_refused(vec![rated(0)]));
}
