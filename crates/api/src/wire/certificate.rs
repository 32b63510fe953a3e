//! The certificate of the HTTPS listener: one that is given, or one of our own, made at the first start.

use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose};
use sha2::{Digest, Sha256};
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{self, ServerConfig};

/// Why there is no certificate to serve with.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// The operating system said no.
    #[error("cannot {action} {}: {error}", .path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// What it said.
        error: io::Error,
    },
    /// A file does not hold what it should.
    #[error("{} holds no {what} in PEM: {error}", .path.display())]
    Pem {
        /// A certificate or a private key.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong.
        error: String,
    },
    /// Certificate and key do not belong together, or are of a kind that is not supported.
    #[error("the certificate {} cannot be used with its key: {error}", .path.display())]
    Unusable {
        /// The certificate's file.
        path: PathBuf,
        /// What is wrong.
        error: rustls::Error,
    },
    /// One of our own cannot be made.
    #[error("cannot make a certificate: {0}")]
    Make(#[from] rcgen::Error),
}

fn io_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> CertificateError {
    let path = path.to_owned();
    move |error| CertificateError::Io {
        action,
        path,
        error,
    }
}

/// The configuration for the certificate (with its chain) and the key in two PEM files, and the SHA-256 of the
/// certificate in hexadecimal.
///
/// # Errors
/// If they cannot be read or do not fit.
pub fn load(
    certificate: &Path,
    key: &Path,
) -> Result<(Arc<ServerConfig>, String), CertificateError> {
    let pem = |what, path: &Path, error: &dyn ToString| CertificateError::Pem {
        what,
        path: path.to_owned(),
        error: error.to_string(),
    };
    let text = fs::read(certificate).map_err(io_error("read", certificate))?;
    let chain: Vec<_> = CertificateDer::pem_slice_iter(&text)
        .collect::<Result<_, _>>()
        .map_err(|error| pem("certificate", certificate, &error))?;
    let Some(first) = chain.first() else {
        return Err(pem("certificate", certificate, &"there is none"));
    };
    let fingerprint = super::canonical::hex(&Sha256::digest(first));
    let text = fs::read(key).map_err(io_error("read", key))?;
    let key =
        PrivateKeyDer::from_pem_slice(&text).map_err(|error| pem("private key", key, &error))?;
    let unusable = |error| CertificateError::Unusable {
        path: certificate.to_owned(),
        error,
    };
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(unusable)?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(unusable)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok((Arc::new(config), fingerprint))
}

/// The first line of our own certificate's file; PEM leaves room for such words.
const MADE_FOR: &str = "Made by Sluice for: ";

/// The files of our own certificate in `dir`. They are made if they are not there, for `names`: host names or
/// addresses. One that is there stays, since clients have come to trust it.
///
/// # Errors
/// If they cannot be made.
pub fn own(dir: &Path, names: Vec<String>) -> Result<(PathBuf, PathBuf), CertificateError> {
    let (certificate, key) = (dir.join("certificate.pem"), dir.join("key.pem"));
    // The certificate is written last: if it is there, both are whole.
    match fs::read_to_string(&certificate) {
        Ok(text) => {
            for name in missing(&text, &names) {
                tracing::warn!(
                    "the certificate {} is not made for {name}: clients that check names refuse it there. Remove \
                     it, and a new one is made at the next start, which clients have to be told to trust",
                    certificate.display()
                );
            }
            return Ok((certificate, key));
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(io_error("read", &certificate)(error)),
    }
    let mut builder = DirBuilder::new();
    builder.recursive(true).mode(0o700);
    builder.create(dir).map_err(io_error("make", dir))?;
    let pair = KeyPair::generate()?;
    let title = format!("{MADE_FOR}{}\n", names.join(" "));
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name.push(DnType::CommonName, "Sluice");
    // What strict clients look for in a certificate of a server.
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    let made = params.self_signed(&pair)?;
    write(&key, &pair.serialize_pem())?;
    write(&certificate, &(title + &made.pem()))?;
    File::open(dir)
        .and_then(|dir| dir.sync_all())
        .map_err(io_error("sync", dir))?;
    Ok((certificate, key))
}

/// The names that a certificate of ours was not made for.
fn missing<'a>(certificate: &str, names: &'a [String]) -> Vec<&'a str> {
    let title = certificate.lines().next().unwrap_or("");
    let Some(made_for) = title.strip_prefix(MADE_FOR) else {
        return Vec::new();
    };
    let made_for: Vec<_> = made_for.split(' ').collect();
    let names = names.iter().map(|name| &**name);
    names.filter(|name| !made_for.contains(name)).collect()
}

fn write(path: &Path, text: &str) -> Result<(), CertificateError> {
    let new = path.with_extension("new");
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    let mut file = options.open(&new).map_err(io_error("make", &new))?;
    file.write_all(text.as_bytes())
        .and_then(|()| file.sync_all())
        .map_err(io_error("write", &new))?;
    fs::rename(&new, path).map_err(io_error("replace", path))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn own_in(dir: &Path) -> (PathBuf, PathBuf) {
        own(dir, vec!["localhost".into(), "127.0.0.1".into()]).unwrap()
    }

    #[test]
    fn our_own_is_made_once_and_readable_by_us_only() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().join("tls");
        let (certificate, key) = own_in(&dir);
        for path in [&certificate, &key] {
            let mode = fs::metadata(path).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
        let (_, fingerprint) = load(&certificate, &key).unwrap();
        assert_eq!(fingerprint.len(), 64);
        own_in(&dir);
        assert_eq!(load(&certificate, &key).unwrap().1, fingerprint);
    }

    #[test]
    fn it_is_told_for_which_names_it_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let (certificate, _) = own_in(dir.path());
        let text = fs::read_to_string(certificate).unwrap();
        let names = ["localhost", "192.0.2.1", "127.0.0.1"].map(str::to_owned);
        assert_eq!(missing(&text, &names), ["192.0.2.1"]);
    }

    #[test]
    fn a_crash_between_key_and_certificate_is_made_good() {
        let dir = tempfile::tempdir().unwrap();
        let (certificate, key) = own_in(dir.path());
        fs::remove_file(&certificate).unwrap();
        own_in(dir.path());
        load(&certificate, &key).unwrap();
    }

    #[test]
    fn what_does_not_fit_is_told() {
        let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (certificate, key) = own_in(one.path());
        let (_, wrong) = own_in(other.path());
        let error = |certificate: &Path, key: &Path| load(certificate, key).unwrap_err();
        assert!(matches!(
            error(&certificate, &wrong),
            CertificateError::Unusable { .. }
        ));
        assert!(matches!(
            error(&key, &key),
            CertificateError::Pem {
                what: "certificate",
                ..
            }
        ));
        let what = error(&certificate, &certificate);
        assert!(
            matches!(
                what,
                CertificateError::Pem {
                    what: "private key",
                    ..
                }
            ),
            "{what}"
        );
        let missing = one.path().join("missing");
        assert!(matches!(error(&missing, &key), CertificateError::Io { .. }));
    }
}
