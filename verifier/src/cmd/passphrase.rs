//! Where passphrases come from: a file, or a terminal.

use std::io::IsTerminal;
use std::path::Path;

use credits::vault::Passphrase;
use verifier::wallet_store::StoreError;
use verifier::{Error, WalletStore};
use zeroize::Zeroizing;

use super::read_text;

/// The passphrase of the wallet in a directory, if it takes one.
pub(super) fn of_wallet(directory: &Path, file: Option<&Path>) -> Result<Option<Passphrase>, Error> {
    if !WalletStore::is_sealed(directory) {
        return Ok(None);
    }
    match file {
        Some(file) => from_file(file).map(Some),
        None => ask("passphrase of the wallet: ").map(Some),
    }
}

/// A passphrase for a wallet that has none yet; nothing only if that was asked for.
pub(super) fn new(file: Option<&Path>, unsealed: bool) -> Result<Option<Passphrase>, Error> {
    match (file, unsealed) {
        (_, true) => Ok(None),
        (Some(file), false) => from_file(file).map(Some),
        (None, false) => {
            let passphrase = ask("new passphrase, at least 8 characters: ")?;
            let again = ask("the same again: ")?;
            if passphrase.is(&again) {
                return Ok(Some(passphrase));
            }
            Err(Error::Choice { code: "vault.passphrase_mismatch", message: "the two were not the same".to_owned() })
        }
    }
}

fn from_file(file: &Path) -> Result<Passphrase, Error> {
    let text = Zeroizing::new(read_text(Some(file), "the passphrase")?);
    Ok(Passphrase::new(&text).map_err(StoreError::Vault)?)
}

fn ask(question: &str) -> Result<Passphrase, Error> {
    // The question goes to the terminal itself, also when words or a voucher come from stdin.
    if !std::io::stderr().is_terminal() {
        return Err(StoreError::PassphraseNeeded.into());
    }
    let answer = rpassword::prompt_password(question);
    let answer = answer.map_err(|source| Error::Io { action: "ask for the passphrase".to_owned(), source })?;
    Ok(Passphrase::new(&Zeroizing::new(answer)).map_err(StoreError::Vault)?)
}
