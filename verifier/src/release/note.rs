//! Signed notes: text with Ed25519 signatures under named keys (C2SP signed-note v1).
//!
//! Decides: whether a text is signed by the one key the caller trusts. Signatures of other keys are ignored, as the
//! specification demands; a signature under the trusted key's name and id that does not verify refuses the note. Trusts
//! nothing on entry; what is verified is the received text, byte for byte.

use std::fmt;
use std::str::FromStr;

use attestation::{ReceiptKey, ReceiptPublicKey, Sha256Digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use super::error::ReleaseError;

/// Longest note that is read.
pub const NOTE_BYTES_MAX: usize = 64 * 1024;
/// Most signatures of a note that are read; the specification asks for at least 16.
pub const NOTE_SIGNATURES_MAX: usize = 64;
/// Longest name of a key.
const NAME_BYTES_MAX: usize = 256;
/// Signature type of a plain Ed25519 signature.
const ED25519: u8 = 0x01;
/// What signature lines begin with: an em dash.
const SIGNATURE_MARK: &str = "\u{2014} ";
/// What the text of a secret key begins with.
const SECRET_MARK: &str = "PRIVATE+KEY+";

/// The key a log signs with, and the name it signs under. Its text is `NAME+HASH+BASE64`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogKey {
    name: String,
    key: ReceiptPublicKey,
}

impl LogKey {
    /// A key with a name.
    ///
    /// # Errors
    /// [`ReleaseError::LogKey`] when a note's key cannot have that name.
    pub fn new(name: &str, key: ReceiptPublicKey) -> Result<Self, ReleaseError> {
        // The bound on length is ours, the rest is the specification's.
        let plain = |c: char| !c.is_whitespace() && !c.is_control() && c != '+';
        if name.is_empty() || name.len() > NAME_BYTES_MAX || !name.chars().all(plain) {
            let problem = "a name is not empty, at most 256 bytes, and without spaces and plus signs";
            return Err(ReleaseError::LogKey { text: name.to_owned(), problem });
        }
        Ok(Self { name: name.to_owned(), key })
    }

    /// The name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// First four bytes of `SHA-256(name ‖ 0x0A ‖ 0x01 ‖ key)`.
    #[must_use]
    pub fn id(&self) -> [u8; 4] {
        let hashed = [self.name.as_bytes(), b"\n", &[ED25519], &self.key.0].concat();
        let [a, b, c, d, ..] = Sha256Digest::of(&hashed).0;
        [a, b, c, d]
    }
}

impl fmt::Display for LogKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = [&[ED25519], self.key.0.as_slice()].concat();
        write!(f, "{}+{}+{}", self.name, hex::encode(self.id()), STANDARD.encode(key))
    }
}

impl FromStr for LogKey {
    type Err = ReleaseError;

    fn from_str(text: &str) -> Result<Self, ReleaseError> {
        let bad = |problem| ReleaseError::LogKey { text: text.to_owned(), problem };
        let mut parts = text.splitn(3, '+');
        // The base64 part may hold plus signs, the others may not.
        let (Some(name), Some(id), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(bad("it does not have three parts joined by plus signs"));
        };
        let key = STANDARD.decode(key).map_err(|_| bad("its last part is not base64"))?;
        let Some((&ED25519, key)) = key.split_first() else {
            return Err(bad("it is not an Ed25519 key"));
        };
        let key = <[u8; 32]>::try_from(key).map_err(|_| bad("it is not an Ed25519 key"))?;
        let key = Self::new(name, ReceiptPublicKey(key))?;
        if hex::encode(key.id()) != id { Err(bad("its hash is not that of its name and key")) } else { Ok(key) }
    }
}

/// Signs notes.
#[derive(Debug)]
pub struct NoteSigner {
    public: LogKey,
    key: ReceiptKey,
}

impl NoteSigner {
    /// Signs with `key` under `name`.
    ///
    /// # Errors
    /// [`ReleaseError::LogKey`] when a note's key cannot have that name.
    pub fn new(name: &str, key: ReceiptKey) -> Result<Self, ReleaseError> {
        Ok(Self { public: LogKey::new(name, key.public())?, key })
    }

    /// The signer of a secret text, see [`secret_text`].
    ///
    /// # Errors
    /// [`ReleaseError::LogKey`], which never repeats the text.
    pub fn from_secret_text(text: &str) -> Result<Self, ReleaseError> {
        let bad = |problem| ReleaseError::LogKey { text: "the secret key".to_owned(), problem };
        let parts = text.strip_prefix(SECRET_MARK).ok_or_else(|| bad("it does not begin with PRIVATE+KEY+"))?;
        let mut parts = parts.splitn(3, '+');
        let (Some(name), Some(id), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(bad("it does not have five parts joined by plus signs"));
        };
        let key = Zeroizing::new(STANDARD.decode(key).map_err(|_| bad("its last part is not base64"))?);
        let Some((&ED25519, seed)) = key.split_first() else {
            return Err(bad("it is not an Ed25519 key"));
        };
        let seed = Zeroizing::new(<[u8; 32]>::try_from(seed).map_err(|_| bad("it is not an Ed25519 key"))?);
        let key = ReceiptKey::from_seed(&seed).map_err(|_| bad("it is not an Ed25519 key"))?;
        let signer = Self::new(name, key)?;
        if hex::encode(signer.public.id()) != id {
            Err(bad("its hash is not that of its name and key"))
        } else {
            Ok(signer)
        }
    }

    /// What signatures verify under.
    #[must_use]
    pub fn public(&self) -> &LogKey {
        &self.public
    }

    /// The note of `text`, which ends in a newline.
    #[must_use]
    pub fn sign(&self, text: &str) -> String {
        let signature = [self.public.id().as_slice(), &self.key.sign(text.as_bytes())].concat();
        format!("{text}\n{SIGNATURE_MARK}{} {}\n", self.public.name, STANDARD.encode(signature))
    }
}

/// How a signer is kept in a file: `PRIVATE+KEY+NAME+HASH+BASE64`, the form of Go's `golang.org/x/mod/sumdb/note`.
///
/// # Errors
/// [`ReleaseError::LogKey`] when a note's key cannot have that name.
pub fn secret_text(name: &str, seed: &[u8; 32]) -> Result<Zeroizing<String>, ReleaseError> {
    let refused = |_| ReleaseError::LogKey { text: name.to_owned(), problem: "the seed is refused" };
    let signer = NoteSigner::new(name, ReceiptKey::from_seed(seed).map_err(refused)?)?;
    let key = Zeroizing::new([&[ED25519], seed.as_slice()].concat());
    let key = Zeroizing::new(STANDARD.encode(key.as_slice()));
    Ok(Zeroizing::new(format!("{SECRET_MARK}{name}+{}+{}", hex::encode(signer.public.id()), key.as_str())))
}

/// The text of `note`, once `key` is found to have signed it.
///
/// # Errors
/// [`ReleaseError::Malformed`], [`ReleaseError::CheckpointUnsigned`] or [`ReleaseError::CheckpointSignature`].
pub fn open_note<'a>(note: &'a str, key: &LogKey) -> Result<&'a str, ReleaseError> {
    let bad = |problem: &str| ReleaseError::malformed("checkpoint", problem);
    if note.len() > NOTE_BYTES_MAX {
        return Err(bad("it is too long"));
    }
    if note.bytes().any(|byte| byte < 0x20 && byte != b'\n') {
        return Err(bad("it has control characters"));
    }
    // The last empty line ends the text; the newline before it belongs to the text.
    let (text, signatures) = note.rsplit_once("\n\n").ok_or_else(|| bad("it has no signatures"))?;
    let text = note.get(..=text.len()).unwrap_or_default();
    let signatures = signatures.strip_suffix('\n').ok_or_else(|| bad("its last line does not end"))?;
    if signatures.split('\n').count() > NOTE_SIGNATURES_MAX {
        return Err(bad("it has too many signatures"));
    }
    let mut signed = false;
    for line in signatures.split('\n') {
        let (name, signature) = signature_line(line).ok_or_else(|| bad("a signature line has another form"))?;
        let Some((id, signature)) = signature.split_first_chunk::<4>() else {
            return Err(bad("a signature is too short"));
        };
        if name != key.name || *id != key.id() {
            continue;
        }
        let signature = <[u8; 64]>::try_from(signature).map_err(|_| ReleaseError::CheckpointSignature)?;
        key.key.verify(text.as_bytes(), &signature).map_err(|_| ReleaseError::CheckpointSignature)?;
        signed = true;
    }
    if signed { Ok(text) } else { Err(ReleaseError::CheckpointUnsigned { key: key.to_string() }) }
}

fn signature_line(line: &str) -> Option<(&str, Vec<u8>)> {
    let (name, signature) = line.strip_prefix(SIGNATURE_MARK)?.split_once(' ')?;
    let plain = !name.is_empty() && !name.contains(|c: char| c.is_whitespace() || c == '+');
    let signature = STANDARD.decode(signature).ok()?;
    plain.then_some((name, signature))
}
