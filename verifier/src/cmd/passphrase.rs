//! Where passphrases come from: a file, or a terminal.

use std::io::IsTerminal;
use std::path::Path;

use credits::vault::{Passphrase, VaultError};
use verifier::files::read_capped;
use verifier::wallet_store::StoreError;
use verifier::{Error, WalletStore};
use zeroize::Zeroizing;

/// Longest file: a passphrase and a line end.
const FILE_BYTES_MAX: u64 = 1026;

/// The passphrase of the wallet in a directory, if it takes one or one was given.
pub(super) fn of_wallet(directory: &Path, file: Option<&Path>) -> Result<Option<Passphrase>, Error> {
    match file {
        Some(file) => from_file(file).map(Some),
        None if WalletStore::is_sealed(directory) => ask("passphrase of the wallet: ").map(Some),
        None => Ok(None),
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
    let bytes = Zeroizing::new(read_capped(file, FILE_BYTES_MAX)?);
    let text = std::str::from_utf8(&bytes).map_err(|_| StoreError::Vault(VaultError::PassphraseLength))?;
    Ok(Passphrase::new(text).map_err(StoreError::Vault)?)
}

fn ask(question: &str) -> Result<Passphrase, Error> {
    // The question goes to the terminal itself, whatever comes from stdin or goes to stderr.
    if !std::io::stderr().is_terminal() && !std::io::stdin().is_terminal() {
        return Err(StoreError::PassphraseNeeded.into());
    }
    let answer = rpassword::prompt_password(question);
    let answer = answer.map_err(|source| Error::Io { action: "ask for the passphrase".to_owned(), source })?;
    Ok(Passphrase::new(&Zeroizing::new(answer)).map_err(StoreError::Vault)?)
}
