//! The certificate of both servers, made for one run, and the client that trusts it. Knows no server.

use rustls::client::Resumption;
use rustls::pki_types::{CertificateDer, pem::PemObject as _};
use rustls::{ClientConfig, RootCertStore, crypto::aws_lc_rs};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The name in it.
pub const NAME: &str = "localhost";

/// Where it is, and its key.
#[derive(Debug)]
pub struct Certificate {
    certificate: PathBuf,
    key: PathBuf,
}

/// What the client does with the tickets it gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sessions {
    /// It uses each once, the last one first.
    Kept,
    /// Every handshake is a full one.
    Forgotten,
}

impl Certificate {
    /// Makes one, ECDSA P-256, and writes it and its key to this directory.
    ///
    /// # Errors
    /// They cannot be made or written.
    pub fn make(directory: &Path) -> io::Result<Self> {
        let made = rcgen::generate_simple_self_signed([NAME.to_owned()]);
        let made = made.map_err(io::Error::other)?;
        let files = Self {
            certificate: directory.join("tls-certificate.pem"),
            key: directory.join("tls-key.pem"),
        };
        std::fs::write(&files.certificate, made.cert.pem())?;
        std::fs::write(&files.key, made.signing_key.serialize_pem())?;
        Ok(files)
    }

    /// The words that a server is started with: certificate and key.
    #[must_use]
    pub fn files(&self) -> [String; 2] {
        [&self.certificate, &self.key].map(|path| path.to_string_lossy().into_owned())
    }

    /// A client that trusts it and nothing else.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn client(&self, sessions: Sessions) -> io::Result<Arc<ClientConfig>> {
        let mut roots = RootCertStore::empty();
        let own = CertificateDer::from_pem_file(&self.certificate).map_err(io::Error::other)?;
        roots.add(own).map_err(io::Error::other)?;
        let provider = Arc::new(aws_lc_rs::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.resumption = match sessions {
            Sessions::Kept => Resumption::in_memory_sessions(16),
            Sessions::Forgotten => Resumption::disabled(),
        };
        Ok(Arc::new(config))
    }
}
