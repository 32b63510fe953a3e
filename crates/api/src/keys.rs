//! Access keys and their secrets.
//!
//! Signatures need the secrets themselves, so they cannot be kept as hashes. They are sealed with
//! ChaCha20-Poly1305 (RFC 8439) under a key in a file of its own: a copy of the database without that file gives
//! no secret away. The identifier is sealed along, so no secret can be moved to another key.

use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{ChaCha20Poly1305, Key, Nonce};
use control::records::AccessKey;
use control::{Draft, Refusal};
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Bytes of the nonce before a sealed secret.
const NONCE: usize = 12;

/// Why the sealing key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// The operating system said no.
    #[error("cannot use the key file {}: {error}", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What it said.
        error: io::Error,
    },
    /// It does not hold a key.
    #[error(
        "the key file {} does not hold 32 bytes: restore it, since the secrets of the access keys cannot be \
         read without it",
        .0.display()
    )]
    Damaged(PathBuf),
}

/// What seals secrets.
#[derive(Clone)]
pub struct Sealer(ChaCha20Poly1305);

impl Sealer {
    /// Reads the key from a file, which is made with a new one if it does not exist, readable by its owner only.
    ///
    /// # Errors
    /// If the file cannot be read or made, or does not hold a key.
    pub fn open(path: &Path) -> Result<Sealer, KeyFileError> {
        let failed = |error| KeyFileError::Io {
            path: path.to_owned(),
            error,
        };
        let mut bytes = Vec::new();
        match File::open(path) {
            Ok(file) => {
                file.take(64).read_to_end(&mut bytes).map_err(failed)?;
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {
                bytes = vec![0; 32];
                getrandom::fill(&mut bytes)
                    .map_err(|error| failed(io::Error::other(error.to_string())))?;
                let written = path.with_extension("new");
                let mut file = OpenOptions::new()
                    .write(true)
                    .create(true)
                    .truncate(true)
                    .mode(0o600)
                    .open(&written)
                    .map_err(failed)?;
                file.write_all(&bytes).map_err(failed)?;
                file.sync_all().map_err(failed)?;
                std::fs::rename(&written, path).map_err(failed)?;
                if let Some(dir) = path.parent() {
                    File::open(dir)
                        .and_then(|dir| dir.sync_all())
                        .map_err(failed)?;
                }
            }
            Err(error) => return Err(failed(error)),
        }
        let key: [u8; 32] = bytes
            .try_into()
            .map_err(|_| KeyFileError::Damaged(path.to_owned()))?;
        Ok(Sealer(ChaCha20Poly1305::new(&Key::from(key))))
    }

    /// Seals a text of something that has an identifier, the secret of a key.
    pub(crate) fn seal(&self, id: &str, secret: &str) -> Result<String, Refusal> {
        let mut nonce = [0; NONCE];
        random(&mut nonce)?;
        let sealed = self
            .0
            .encrypt(&Nonce::from(nonce), payload(id, secret.as_bytes()));
        let sealed = sealed.map_err(|_| Refusal::internal("The secret cannot be sealed."))?;
        let bytes = nonce.iter().chain(&sealed);
        Ok(bytes.map(|byte| format!("{byte:02x}")).collect())
    }

    /// The secret of a key; `None` if it was sealed with another key, or is damaged.
    pub fn unseal(&self, key: &AccessKey) -> Option<String> {
        self.open_text(&key.id, &key.sealed)
    }

    /// What was sealed for something that has an identifier.
    pub(crate) fn open_text(&self, id: &str, text: &str) -> Option<String> {
        let byte = |at| {
            text.get(at..at + 2)
                .and_then(|it| u8::from_str_radix(it, 16).ok())
        };
        let bytes: Option<Vec<u8>> = (0..text.len()).step_by(2).map(byte).collect();
        let bytes = bytes?;
        let (nonce, sealed) = bytes.split_at_checked(NONCE)?;
        let nonce: [u8; NONCE] = nonce.try_into().ok()?;
        let secret = self
            .0
            .decrypt(&Nonce::from(nonce), payload(id, sealed))
            .ok()?;
        String::from_utf8(secret).ok()
    }

    /// Makes an access key of a user, or with an empty name one of the account, and returns its identifier and
    /// secret: the secret cannot be asked for later.
    ///
    /// # Errors
    /// If there is no such user, it has as many keys as it may have, or the system gives no random numbers.
    pub fn create(&self, draft: &mut Draft, user: &str) -> Result<(String, String), Refusal> {
        let id = format!("LTAI{}", letters::<20>()?);
        let secret = letters::<30>()?;
        let key = AccessKey {
            id: id.clone(),
            meta: draft.meta("", ""),
            sealed: self.seal(&id, &secret)?,
            enabled: true,
            user: user.into(),
        };
        draft.add_access_key(key)?;
        Ok((id, secret))
    }
}

fn payload<'a>(id: &'a str, message: &'a [u8]) -> Payload<'a, 'a> {
    Payload {
        msg: message,
        aad: id.as_bytes(),
    }
}

fn random(bytes: &mut [u8]) -> Result<(), Refusal> {
    getrandom::fill(bytes)
        .map_err(|error| Refusal::internal(format!("The system gives no random numbers: {error}.")))
}

/// Random letters and digits, 6 bits each.
fn letters<const N: usize>() -> Result<String, Refusal> {
    const LETTERS: &[u8; 64] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz01";
    let mut bytes = [0; N];
    random(&mut bytes)?;
    Ok(bytes
        .iter()
        .map(|byte| char::from(LETTERS[usize::from(byte & 63)]))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use control::Cloud;

    #[test]
    fn a_secret_comes_back_only_with_its_key_file_and_identifier() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        let sealer = Sealer::open(&path).unwrap();
        let mut draft = Draft::new(Cloud::default(), 1);
        let (id, secret) = sealer.create(&mut draft, "").unwrap();
        assert_eq!((id.len(), secret.len()), (24, 30));
        let key = draft.access_keys.get(&id).unwrap();
        assert!(!key.sealed.contains(&secret));
        assert_eq!(Sealer::open(&path).unwrap().unseal(key), Some(secret));

        let mut moved = key.clone();
        moved.id = "LTAIother".into();
        assert_eq!(sealer.unseal(&moved), None);
        let mut damaged = key.clone();
        damaged.sealed.replace_range(
            40..42,
            if &damaged.sealed[40..42] == "00" {
                "01"
            } else {
                "00"
            },
        );
        assert_eq!(sealer.unseal(&damaged), None);
        let other = Sealer::open(&dir.path().join("other")).unwrap();
        assert_eq!(other.unseal(key), None);
    }

    #[test]
    fn a_damaged_key_file_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        std::fs::write(&path, "short").unwrap();
        assert!(matches!(Sealer::open(&path), Err(KeyFileError::Damaged(_))));
    }
}
