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

use crate::error::LogFault;

/// Longest note that is read: sixteen signatures that resist quantum computers have room.
pub const NOTE_BYTES_MAX: usize = 128 * 1024;
/// Most signatures of a note that are read; the specification asks for at least 16.
pub const NOTE_SIGNATURES_MAX: usize = 64;
/// Longest name of a key.
const NAME_BYTES_MAX: usize = 256;
/// Signature type of a plain Ed25519 signature.
const ED25519: u8 = 0x01;
/// What stands between the text of a note and its signatures.
const BREAK: &str = "\n\n";
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
    /// [`LogFault::Key`] when a note's key cannot have that name.
    pub fn new(name: &str, key: ReceiptPublicKey) -> Result<Self, LogFault> {
        check_name(name)?;
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
        key_id(ED25519, &self.name, &self.key)
    }
}

impl fmt::Display for LogKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_key(f, ED25519, &self.name, &self.key)
    }
}

impl FromStr for LogKey {
    type Err = LogFault;

    fn from_str(text: &str) -> Result<Self, LogFault> {
        let (name, key) = read_key(ED25519, text)?;
        Ok(Self { name, key })
    }
}

fn check_name(name: &str) -> Result<(), LogFault> {
    // The bound on length is ours, the rest is the specification's.
    let plain = |c: char| !c.is_whitespace() && !c.is_control() && c != '+';
    if name.is_empty() || name.len() > NAME_BYTES_MAX || !name.chars().all(plain) {
        let problem = "a name is not empty, at most 256 bytes, and without spaces and plus signs";
        return Err(LogFault::Key { text: name.to_owned(), problem });
    }
    Ok(())
}

/// First four bytes of `SHA-256(name ‖ 0x0A ‖ kind ‖ key)`, `kind` being the type of the signatures.
pub(crate) fn key_id(kind: u8, name: &str, key: &ReceiptPublicKey) -> [u8; 4] {
    let hashed = [name.as_bytes(), b"\n", &[kind], &key.0].concat();
    let [a, b, c, d, ..] = Sha256Digest::of(&hashed).0;
    [a, b, c, d]
}

pub(crate) fn write_key(f: &mut fmt::Formatter<'_>, kind: u8, name: &str, key: &ReceiptPublicKey) -> fmt::Result {
    let bytes = [&[kind], key.0.as_slice()].concat();
    write!(f, "{name}+{}+{}", hex::encode(key_id(kind, name, key)), STANDARD.encode(bytes))
}

pub(crate) fn read_key(kind: u8, text: &str) -> Result<(String, ReceiptPublicKey), LogFault> {
    let bad = |problem| LogFault::Key { text: text.to_owned(), problem };
    let mut parts = text.splitn(3, '+');
    // The base64 part may hold plus signs, the others may not.
    let (Some(name), Some(id), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
        return Err(bad("it does not have three parts joined by plus signs"));
    };
    let key = STANDARD.decode(key).map_err(|_| bad("its last part is not base64"))?;
    let Some((found, key)) = key.split_first() else {
        return Err(bad("its last part is empty"));
    };
    if *found != kind {
        return Err(bad("it is a key for signatures of another kind"));
    }
    let key = ReceiptPublicKey(<[u8; 32]>::try_from(key).map_err(|_| bad("it is not an Ed25519 key"))?);
    check_name(name)?;
    if hex::encode(key_id(kind, name, &key)) != id {
        return Err(bad("its hash is not that of its name and key"));
    }
    Ok((name.to_owned(), key))
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
    /// [`LogFault::Key`] when a note's key cannot have that name.
    pub fn new(name: &str, key: ReceiptKey) -> Result<Self, LogFault> {
        Ok(Self { public: LogKey::new(name, key.public())?, key })
    }

    /// The signer of a secret text, see [`secret_text`].
    ///
    /// # Errors
    /// [`LogFault::Key`], which never repeats the text.
    pub fn from_secret_text(text: &str) -> Result<Self, LogFault> {
        let bad = |problem| LogFault::Key { text: "the secret key".to_owned(), problem };
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
        format!("{text}\n{}", self.line(text))
    }

    /// Adds this signature to a note that others signed.
    ///
    /// # Errors
    /// [`LogFault::Malformed`] when it is none.
    pub fn add_to(&self, note: &str) -> Result<String, LogFault> {
        let (text, _) = split(note)?;
        Ok(format!("{note}{}", self.line(text)))
    }

    fn line(&self, text: &str) -> String {
        line(&self.public.name, self.public.id(), &self.key.sign(text.as_bytes()))
    }
}

/// The note of `text`, which ends in a newline, signed by `key` under `name`.
///
/// # Errors
/// [`LogFault::Key`] when a note's key cannot have that name.
pub fn sign_note(name: &str, key: &ReceiptKey, text: &str) -> Result<String, LogFault> {
    let public = LogKey::new(name, key.public())?;
    Ok(format!("{text}\n{}", line(name, public.id(), &key.sign(text.as_bytes()))))
}

/// A signature line: of a key with this name and id.
pub(crate) fn line(name: &str, id: [u8; 4], signature: &[u8]) -> String {
    let signature = [id.as_slice(), signature].concat();
    format!("{SIGNATURE_MARK}{name} {}\n", STANDARD.encode(signature))
}

/// How a signer is kept in a file: `PRIVATE+KEY+NAME+HASH+BASE64`, the form of Go's `golang.org/x/mod/sumdb/note`.
///
/// # Errors
/// [`LogFault::Key`] when a note's key cannot have that name.
pub fn secret_text(name: &str, seed: &[u8; 32]) -> Result<Zeroizing<String>, LogFault> {
    let refused = |_| LogFault::Key { text: name.to_owned(), problem: "the seed is refused" };
    let signer = NoteSigner::new(name, ReceiptKey::from_seed(seed).map_err(refused)?)?;
    let key = Zeroizing::new([&[ED25519], seed.as_slice()].concat());
    let key = Zeroizing::new(STANDARD.encode(key.as_slice()));
    Ok(Zeroizing::new(format!("{SECRET_MARK}{name}+{}+{}", hex::encode(signer.public.id()), key.as_str())))
}

/// The text of `note`, once `key` is found to have signed it.
///
/// # Errors
/// [`LogFault::Malformed`], [`LogFault::Unsigned`] or [`LogFault::Signature`].
pub fn open_note<'a>(note: &'a str, key: &LogKey) -> Result<&'a str, LogFault> {
    let (text, signatures) = split(note)?;
    let mut signed = false;
    for NoteSignature { name, id, signature } in &signatures {
        if *name != key.name || *id != key.id() {
            continue;
        }
        let signature = <[u8; 64]>::try_from(signature.as_slice()).map_err(|_| LogFault::Signature)?;
        key.key.verify(text.as_bytes(), &signature).map_err(|_| LogFault::Signature)?;
        signed = true;
    }
    if signed { Ok(text) } else { Err(LogFault::Unsigned { key: key.to_string() }) }
}

/// A line that says that somebody signed. Nothing is verified.
pub(crate) struct NoteSignature<'a> {
    pub(crate) name: &'a str,
    pub(crate) id: [u8; 4],
    pub(crate) signature: Vec<u8>,
}

/// The text of a note and the lines of its signatures. Nothing is verified.
pub(crate) fn split(note: &str) -> Result<(&str, Vec<NoteSignature<'_>>), LogFault> {
    let bad = |problem: &str| LogFault::malformed("checkpoint", problem);
    if note.len() > NOTE_BYTES_MAX {
        return Err(bad("it is too long"));
    }
    if note.bytes().any(|byte| byte < 0x20 && byte != b'\n') {
        return Err(bad("it has control characters"));
    }
    // The last empty line ends the text; the newline before it belongs to the text.
    let (text, signatures) = note.rsplit_once(BREAK).ok_or_else(|| bad("it has no signatures"))?;
    let text = note.get(..=text.len()).unwrap_or_default();
    Ok((text, signature_lines(signatures)?))
}

/// Signature lines, each with its end.
pub(crate) fn signature_lines(lines: &str) -> Result<Vec<NoteSignature<'_>>, LogFault> {
    let bad = |problem: &str| LogFault::malformed("checkpoint", problem);
    let lines = lines.strip_suffix('\n').ok_or_else(|| bad("its last line does not end"))?;
    if lines.split('\n').count() > NOTE_SIGNATURES_MAX {
        return Err(bad("it has too many signatures"));
    }
    let read = |line| {
        let (name, signature) = signature_line(line).ok_or_else(|| bad("a signature line has another form"))?;
        let (id, signature) = signature.split_first_chunk::<4>().ok_or_else(|| bad("a signature is too short"))?;
        Ok(NoteSignature { name, id: *id, signature: signature.to_vec() })
    };
    lines.split('\n').map(read).collect()
}

fn signature_line(line: &str) -> Option<(&str, Vec<u8>)> {
    let (name, signature) = line.strip_prefix(SIGNATURE_MARK)?.split_once(' ')?;
    let plain = !name.is_empty() && !name.contains(|c: char| c.is_whitespace() || c == '+');
    let signature = STANDARD.decode(signature).ok()?;
    plain.then_some((name, signature))
}
