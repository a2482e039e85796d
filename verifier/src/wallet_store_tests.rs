use credits::Bytes32;
use credits::checkpoint::ledger_id;

use super::*;

const SEED_FILE: &str = "seed.txt";
const STATE_FILE: &str = "state.json";

fn record() -> LedgerRecord {
    let (key, vk) = (Bytes32([1; 32]), Bytes32([2; 32]));
    let info = LedgerInfo {
        version: "cloister/ledger/v1".to_owned(),
        ledger_id: ledger_id(key, vk, None),
        ledger_key: key,
        admin_key: Bytes32([3; 32]),
        vk_digest: vk,
        holds_value: false,
        setup: "single-party".to_owned(),
        grace_secs: 60,
        root_window: 16,
        tab_secs_max: 3600,
        merge: None,
    };
    LedgerRecord { url: "http://127.0.0.1:1".to_owned(), info, witnesses: None }
}

fn made(directory: &Path) -> (WalletStore, RecoveryWords) {
    let words = RecoveryWords::generate().unwrap();
    (WalletStore::create(directory, &words, record(), None).unwrap(), words)
}

#[test]
fn a_wallet_survives_closing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("wallet");
    let (mut store, _) = made(&path);
    let value = credits::Credits::new(100).unwrap();
    let first = store.update(|wallet| wallet.deposit_outputs(value, 2)).unwrap();
    drop(store);
    let mut again = WalletStore::open(&path, None).unwrap();
    assert_eq!(again.ledger().url, "http://127.0.0.1:1");
    let second = again.update(|wallet| wallet.deposit_outputs(value, 2)).unwrap();
    assert_ne!(first[0].pk, second[0].pk, "lanes handed out before are not handed out again");
}

#[test]
fn one_process_at_a_time() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("wallet");
    let (store, words) = made(&path);
    assert!(matches!(WalletStore::open(&path, None), Err(StoreError::Locked { .. })));
    assert!(matches!(WalletStore::create(&path, &words, record(), None), Err(StoreError::Locked { .. })));
    drop(store);
    assert!(WalletStore::open(&path, None).is_ok());
}

#[test]
fn a_wallet_is_not_overwritten_and_none_is_made_by_opening() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("wallet");
    assert!(matches!(WalletStore::open(&path, None), Err(StoreError::Missing { .. })));
    assert!(!path.exists());
    let (store, words) = made(&path);
    drop(store);
    assert!(matches!(WalletStore::create(&path, &words, record(), None), Err(StoreError::Exists { .. })));
}

#[test]
fn files_are_private() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("wallet");
    let _made = made(&path);
    for file in [SEED_FILE, STATE_FILE, "ledger.json", LOCK_FILE] {
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
    assert!(WalletStore::open(&path, None).is_ok());
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
    assert!(matches!(WalletStore::open(&path, None), Err(StoreError::Damaged { file: STATE, .. })));
    std::fs::write(path.join(SEED_FILE), b"abandon abandon secretword").unwrap();
    let Err(error) = WalletStore::open(&path, None) else { panic!("opened") };
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
    assert_eq!(store.cached_key(CachedKey::Spend), None);
    store.cache_key(CachedKey::Spend, b"key bytes").unwrap();
    assert_eq!(store.cached_key(CachedKey::Spend).as_deref(), Some(&b"key bytes"[..]));
    assert_eq!(store.cached_key(CachedKey::Merge), None);
    std::fs::write(path.join(CachedKey::Spend.files().0), b"key bytez").unwrap();
    assert_eq!(store.cached_key(CachedKey::Spend), None);
}

fn passphrase(text: &str) -> Passphrase {
    Passphrase::new(text).unwrap()
}

/// Names of the files in a wallet's directory, and all their bytes.
fn content(directory: &Path) -> (Vec<String>, Vec<u8>) {
    let mut files: Vec<_> = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let names = files.iter().map(|path| path.file_name().unwrap().to_str().unwrap().to_owned()).collect();
    (names, files.iter().flat_map(|path| std::fs::read(path).unwrap()).collect())
}

fn contains(bytes: &[u8], part: &str) -> bool {
    bytes.windows(part.len()).any(|window| window == part.as_bytes())
}

const SEALED: [&str; 5] = ["key.json", "ledger.sealed", "lock", "seed.sealed", "state.sealed"];
const PLAIN: [&str; 4] = ["ledger.json", "lock", "seed.txt", "state.json"];

#[test]
fn a_sealed_wallets_files_tell_nothing_without_its_passphrase() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("wallet");
    let words = RecoveryWords::generate().unwrap();
    let first = passphrase("first passphrase");
    let mut store = WalletStore::create(&path, &words, record(), Some(&first)).unwrap();
    let value = credits::Credits::new(4711).unwrap();
    let outputs = store.update(|wallet| wallet.deposit_outputs(value, 2)).unwrap();
    drop(store);
    let (names, bytes) = content(&path);
    assert_eq!(names, SEALED);
    let one_word = words.reveal().split(' ').max_by_key(|word| word.len()).unwrap();
    let secrets = [one_word.to_owned(), "4711".to_owned(), outputs[0].pk.to_string(), outputs[0].b.to_string()];
    for secret in &secrets {
        assert!(!contains(&bytes, secret), "{secret}");
    }
    // The search finds them where they are.
    let mut store = WalletStore::open(&path, Some(&first)).unwrap();
    store.set_passphrase(None).unwrap();
    let (names, bytes) = content(&path);
    assert_eq!(names, PLAIN);
    assert!(contains(&bytes, one_word) && contains(&bytes, words.reveal()));
    drop(store);

    let mut store = WalletStore::open(&path, None).unwrap();
    store.set_passphrase(Some(&first)).unwrap();
    drop(store);
    assert_eq!(content(&path).0, SEALED);
    assert!(matches!(WalletStore::open(&path, None), Err(StoreError::PassphraseNeeded)));
    let wrong = WalletStore::open(&path, Some(&passphrase("First passphrase")));
    assert!(matches!(wrong, Err(StoreError::Vault(VaultError::PassphraseWrong))));
    // Another passphrase touches no other file; the old one is of no use any more.
    let mut store = WalletStore::open(&path, Some(&first)).unwrap();
    let sealed_before = std::fs::read(path.join("state.sealed")).unwrap();
    let second = passphrase("second passphrase");
    store.set_passphrase(Some(&second)).unwrap();
    assert_eq!(std::fs::read(path.join("state.sealed")).unwrap(), sealed_before);
    drop(store);
    assert!(WalletStore::open(&path, Some(&first)).is_err());
    let mut store = WalletStore::open(&path, Some(&second)).unwrap();
    assert_eq!(store.words().unwrap().reveal(), words.reveal());
    let next = store.update(|wallet| wallet.deposit_outputs(value, 2)).unwrap();
    assert_ne!(outputs[0].pk, next[0].pk, "the state is the one that was sealed");
}

/// Whatever a change of the protection has written when it is cut off, the wallet opens with one of the two.
#[test]
fn a_change_of_the_passphrase_can_be_cut_off_anywhere() {
    let dir = tempfile::tempdir().unwrap();
    let (plain, sealed) = (dir.path().join("plain"), dir.path().join("sealed"));
    let words = RecoveryWords::generate().unwrap();
    drop(WalletStore::create(&plain, &words, record(), None).unwrap());
    let secret = passphrase("a passphrase");
    std::fs::create_dir(&sealed).unwrap();
    for name in PLAIN {
        std::fs::copy(plain.join(name), sealed.join(name)).unwrap();
    }
    WalletStore::open(&sealed, None).unwrap().set_passphrase(Some(&secret)).unwrap();
    // In the order in which they are written, and removed.
    let sealing = ["key.json", "ledger.sealed", "state.sealed", "seed.sealed"];
    for written in 0..=sealing.len() {
        for removed in 0..=3 {
            if removed > 0 && written < sealing.len() {
                continue;
            }
            let path = dir.path().join(format!("cut-{written}-{removed}"));
            std::fs::create_dir(&path).unwrap();
            let copy = |from: &Path, names: &[&str]| {
                for name in names {
                    std::fs::copy(from.join(name), path.join(name)).unwrap();
                }
            };
            copy(&sealed, &sealing[..written]);
            copy(&plain, &["ledger.json", "state.json", "seed.txt"][removed..]);
            std::fs::write(path.join("seed.txt.77.tmp"), words.reveal()).unwrap();
            let is_sealed = written == sealing.len();
            let store = WalletStore::open(&path, is_sealed.then_some(&secret)).unwrap();
            assert_eq!(store.words().unwrap().reveal(), words.reveal(), "{written} written, {removed} removed");
            drop(store);
            assert_eq!(WalletStore::is_sealed(&path), is_sealed);
            if is_sealed {
                assert_eq!(content(&path).0, SEALED, "what is sealed does not stay in the open");
            }
        }
    }
}

/// The real change, with each of its writes refused in turn: an error is told, nothing more is taken in this process, and the
/// next one finds the wallet as it was before.
#[test]
fn a_change_that_fails_at_any_file_leaves_the_wallet_it_found() {
    let (old, new) = (passphrase("the old passphrase"), passphrase("the new passphrase"));
    let sealed = ["key.json", "ledger.sealed", "state.sealed", "seed.sealed"];
    let plain = ["ledger.json", "state.json", "seed.txt"];
    let directions: [(Option<&Passphrase>, Option<&Passphrase>, &[&str]); 3] =
        [(None, Some(&new), &sealed), (Some(&old), None, &plain), (Some(&old), Some(&new), &sealed[..1])];
    for (before, after, files) in directions {
        for file in files {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("wallet");
            let words = RecoveryWords::generate().unwrap();
            let mut store = WalletStore::create(&path, &words, record(), before).unwrap();
            // A directory where the temporary file would be.
            let blocker = path.join(format!("{file}.{}.tmp", std::process::id()));
            std::fs::create_dir(&blocker).unwrap();
            assert!(matches!(store.set_passphrase(after), Err(StoreError::File(_))), "{file}");
            let value = credits::Credits::new(5).unwrap();
            let refused = store.update(|wallet| wallet.deposit_outputs(value, 1)).map(|_| ());
            assert!(matches!(refused, Err(StoreError::Stale)), "{file}");
            assert!(matches!(store.set_passphrase(after), Err(StoreError::Stale)), "{file}");
            drop(store);
            std::fs::remove_dir(&blocker).unwrap();
            let mut store = WalletStore::open(&path, before).unwrap_or_else(|error| panic!("{file}: {error}"));
            assert_eq!(store.words().unwrap().reveal(), words.reveal(), "{file}");
            store.set_passphrase(after).unwrap();
            drop(store);
            let store = WalletStore::open(&path, after).unwrap();
            assert_eq!(store.words().unwrap().reveal(), words.reveal(), "{file}");
            assert_eq!(content(&path).0, if after.is_some() { &SEALED[..] } else { &PLAIN[..] }, "{file}");
        }
    }
}

#[test]
fn a_sealed_file_that_was_changed_or_moved_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("wallet");
    let secret = passphrase("a passphrase");
    drop(WalletStore::create(&path, &RecoveryWords::generate().unwrap(), record(), Some(&secret)).unwrap());
    let (seed, state) = (path.join("seed.sealed"), path.join("state.sealed"));
    let (seed_bytes, state_bytes) = (std::fs::read(&seed).unwrap(), std::fs::read(&state).unwrap());
    std::fs::write(&state, &seed_bytes).unwrap();
    let swapped = WalletStore::open(&path, Some(&secret));
    assert!(matches!(swapped, Err(StoreError::Vault(VaultError::Altered))));
    let mut altered = state_bytes.clone();
    *altered.last_mut().unwrap() ^= 1;
    std::fs::write(&state, &altered).unwrap();
    assert!(matches!(WalletStore::open(&path, Some(&secret)), Err(StoreError::Vault(VaultError::Altered))));
    std::fs::write(&state, &state_bytes).unwrap();
    // What was restored by hand beside sealed files that do not open is left alone.
    std::fs::write(&seed, &state_bytes).unwrap();
    std::fs::write(path.join("seed.txt"), "by hand").unwrap();
    assert!(matches!(WalletStore::open(&path, Some(&secret)), Err(StoreError::Vault(VaultError::Altered))));
    assert!(path.join("seed.txt").exists());
    std::fs::write(&seed, &seed_bytes).unwrap();
    // An unsealed wallet in its place is not taken for it.
    let other = dir.path().join("other");
    drop(WalletStore::create(&other, &RecoveryWords::generate().unwrap(), record(), None).unwrap());
    assert!(matches!(WalletStore::open(&other, Some(&secret)), Err(StoreError::NotSealed)));
    std::fs::write(path.join("key.json"), "{}").unwrap();
    assert!(matches!(WalletStore::open(&path, Some(&secret)), Err(StoreError::Damaged { file: "key.json", .. })));
}
