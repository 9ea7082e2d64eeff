//! The server's certificate: given, or made once and kept in the data directory.

mod encryption;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::{self, ServerConfig};

pub use encryption::Encryption;

const CERTIFICATE_FILE: &str = "server.crt";
const KEY_FILE: &str = "server.key";

/// Paths of PEM files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("could not read {}: {error}", path.display())]
    Read { path: PathBuf, error: io::Error },
    #[error("could not write {}: {error}", path.display())]
    Write { path: PathBuf, error: io::Error },
    #[error("no certificate found in {}", path.display())]
    NoCertificate { path: PathBuf },
    #[error("no private key found in {}", path.display())]
    NoKey { path: PathBuf },
    #[error("could not make a certificate: {0}")]
    Generate(#[from] rcgen::Error),
    #[error("certificate and key do not fit: {0}")]
    Mismatch(#[from] rustls::Error),
}

/// The server's identity, ready for handshakes.
#[derive(Clone)]
pub struct Identity {
    pub acceptor: TlsAcceptor,
    /// The same for clients that speak HTTP/2 inside.
    pub grpc: TlsAcceptor,
    /// The certificate in PEM, which SCRAM's channel binding covers.
    pub certificate_pem: Arc<[u8]>,
}

/// Loads the given files, or those of the data directory, made there when missing.
pub fn identity(given: Option<&TlsFiles>, data_dir: &Path) -> Result<Identity, TlsError> {
    match given {
        Some(files) => load(files),
        None => {
            let files = TlsFiles {
                certificate: data_dir.join(CERTIFICATE_FILE),
                key: data_dir.join(KEY_FILE),
            };
            if !files.certificate.exists() || !files.key.exists() {
                generate(&files)?;
            }
            load(&files)
        }
    }
}

fn load(files: &TlsFiles) -> Result<Identity, TlsError> {
    let certificate_pem = read(&files.certificate)?;
    let chain = rustls_pemfile::certs(&mut certificate_pem.as_slice())
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| TlsError::Read { path: files.certificate.clone(), error })?;
    if chain.is_empty() {
        return Err(TlsError::NoCertificate { path: files.certificate.clone() });
    }
    let key = rustls_pemfile::private_key(&mut read(&files.key)?.as_slice())
        .map_err(|error| TlsError::Read { path: files.key.clone(), error })?
        .ok_or_else(|| TlsError::NoKey { path: files.key.clone() })?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    let mut grpc = config.clone();
    grpc.alpn_protocols = vec![b"h2".to_vec()];
    Ok(Identity {
        acceptor: TlsAcceptor::from(Arc::new(config)),
        grpc: TlsAcceptor::from(Arc::new(grpc)),
        certificate_pem: certificate_pem.into(),
    })
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    fs::read(path).map_err(|error| TlsError::Read { path: path.to_owned(), error })
}

fn generate(files: &TlsFiles) -> Result<(), TlsError> {
    let names = vec!["localhost".into(), "127.0.0.1".into(), "::1".into()];
    let made = rcgen::generate_simple_self_signed(names)?;
    // The key first: a certificate without its key is made again at the next start.
    write(&files.key, &made.signing_key.serialize_pem(), 0o600)?;
    write(&files.certificate, &made.cert.pem(), 0o644)
}

/// Writes a file whole or not at all.
fn write(path: &Path, content: &str, mode: u32) -> Result<(), TlsError> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;

    let partial = path.with_extension("partial");
    let attempt = || -> io::Result<()> {
        let _ = fs::remove_file(&partial);
        let mut file =
            fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(&partial)?;
        file.write_all(content.as_bytes())?;
        file.sync_all()?;
        fs::rename(&partial, path)
    };
    attempt().map_err(|error| TlsError::Write { path: path.to_owned(), error })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_made_certificate_is_kept_and_private() {
        let dir = tempfile::tempdir().unwrap();
        let first = identity(None, dir.path()).unwrap();
        let again = identity(None, dir.path()).unwrap();
        assert_eq!(first.certificate_pem, again.certificate_pem);
        let mode = fs::metadata(dir.path().join(KEY_FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn missing_and_broken_files_are_named() {
        let dir = tempfile::tempdir().unwrap();
        let files =
            TlsFiles { certificate: dir.path().join("a.crt"), key: dir.path().join("a.key") };
        let error = identity(Some(&files), dir.path()).err().unwrap().to_string();
        assert!(error.contains("a.crt"), "{error}");
        fs::write(&files.certificate, "not pem").unwrap();
        assert!(matches!(identity(Some(&files), dir.path()), Err(TlsError::NoCertificate { .. })));
    }
}
