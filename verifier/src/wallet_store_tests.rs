use credits::Bytes32;
use credits::checkpoint::ledger_id;

use super::*;

fn record() -> LedgerRecord {
    let (key, vk) = (Bytes32([1; 32]), Bytes32([2; 32]));
    let info = LedgerInfo {
        version: "cloister/ledger/v1".to_owned(),
        ledger_id: ledger_id(key, vk),
        ledger_key: key,
        admin_key: Bytes32([3; 32]),
        vk_digest: vk,
        holds_value: false,
        setup: "single-party".to_owned(),
        grace_secs: 60,
        root_window: 16,
        tab_secs_max: 3600,
    };
    LedgerRecord { url: "http://127.0.0.1:1".to_owned(), info }
}

fn made(directory: &Path) -> (WalletStore, RecoveryWords) {
    let words = RecoveryWords::generate().unwrap();
    (WalletStore::create(directory, &words, record()).unwrap(), words)
}

#[test]
fn a_wallet_survives_closing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("wallet");
    let (mut store, _) = made(&path);
    let value = credits::Credits::new(100).unwrap();
    let first = store.update(|wallet| wallet.deposit_outputs(value, 2)).unwrap();
    drop(store);
    let mut again = WalletStore::open(&path).unwrap();
    assert_eq!(again.ledger().url, "http://127.0.0.1:1");
    let second = again.update(|wallet| wallet.deposit_outputs(value, 2)).unwrap();
    assert_ne!(first[0].pk, second[0].pk, "lanes handed out before are not handed out again");
}

#[test]
fn one_process_at_a_time() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("wallet");
    let (store, words) = made(&path);
    assert!(matches!(WalletStore::open(&path), Err(StoreError::Locked { .. })));
    assert!(matches!(WalletStore::create(&path, &words, record()), Err(StoreError::Locked { .. })));
    drop(store);
    assert!(WalletStore::open(&path).is_ok());
}

#[test]
fn a_wallet_is_not_overwritten_and_none_is_made_by_opening() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("wallet");
    assert!(matches!(WalletStore::open(&path), Err(StoreError::Missing { .. })));
    assert!(!path.exists());
    let (store, words) = made(&path);
    drop(store);
    assert!(matches!(WalletStore::create(&path, &words, record()), Err(StoreError::Exists { .. })));
}

#[test]
fn files_are_private() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("wallet");
    let _made = made(&path);
    for file in [SEED_FILE, STATE_FILE, LEDGER_FILE, LOCK_FILE] {
        let mode = std::fs::metadata(path.join(file)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{file}");
    }
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
}

#[test]
fn a_crash_between_write_and_rename_leaves_the_old_state() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("wallet");
    drop(made(&path));
    std::fs::write(path.join("state.json.999.tmp"), b"{\"half\":").unwrap();
    assert!(WalletStore::open(&path).is_ok());
}

#[test]
fn a_change_that_cannot_be_stored_stops_the_wallet() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("wallet");
    let (mut store, _) = made(&path);
    let blocker = path.join(format!("{STATE_FILE}.{}.tmp", std::process::id()));
    std::fs::create_dir(&blocker).unwrap();
    let value = credits::Credits::new(100).unwrap();
    assert!(matches!(store.update(|wallet| wallet.deposit_outputs(value, 2)), Err(StoreError::File(_))));
    std::fs::remove_dir(&blocker).unwrap();
    assert!(matches!(store.update(|wallet| wallet.deposit_outputs(value, 2)), Err(StoreError::Stale)));
}

#[test]
fn damage_is_named_without_the_words() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("wallet");
    drop(made(&path));
    std::fs::write(path.join(STATE_FILE), b"{\"format\":").unwrap();
    assert!(matches!(WalletStore::open(&path), Err(StoreError::Damaged { file: STATE_FILE, .. })));
    std::fs::write(path.join(SEED_FILE), b"abandon abandon secretword").unwrap();
    let Err(error) = WalletStore::open(&path) else { panic!("opened") };
    assert!(!crate::error::chain(&error).contains("secretword"));
}

#[test]
fn words_round_trip_and_are_judged() {
    // BIP-39's own vector for 32 zero bytes.
    let zero = format!("{}art", "abandon ".repeat(23));
    assert!(RecoveryWords::parse(&zero).is_ok());
    assert!(RecoveryWords::parse(&zero.to_uppercase().replace(' ', " \n")).is_ok());
    assert!(RecoveryWords::parse(&"abandon ".repeat(24)).is_err(), "checksum");
    assert!(RecoveryWords::parse(&format!("{}about", "abandon ".repeat(11))).is_err(), "12 words");
    assert!(RecoveryWords::parse("").is_err());
    let words = RecoveryWords::generate().unwrap();
    assert_eq!(words.reveal().split(' ').count(), 24);
    assert_ne!(words.reveal(), RecoveryWords::generate().unwrap().reveal());
    assert_eq!(RecoveryWords::parse(words.reveal()).unwrap().reveal(), words.reveal());
}

#[test]
fn a_damaged_proving_key_is_not_used() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("wallet");
    let (store, _) = made(&path);
    assert_eq!(store.cached_proving_key(), None);
    store.cache_proving_key(b"key bytes").unwrap();
    assert_eq!(store.cached_proving_key().as_deref(), Some(&b"key bytes"[..]));
    std::fs::write(path.join(PROVING_KEY_FILE), b"key bytez").unwrap();
    assert_eq!(store.cached_proving_key(), None);
}
