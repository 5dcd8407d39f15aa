//! TLS over any transport: [`ServerTls`] and [`ClientTls`] are layers, [`StartTls`] begins one in mid-stream, and the
//! endpoint kinds `ssl:` and `tls:` put them below a whole port or connection.
//!
//! The cryptography and the protocol are rustls'. Here are the configuration with its errors, certificates chosen by
//! name, and the pump between rustls and a transport. No socket, clock or file is touched: the reactor has the time, and
//! files are asked of [`Files`].
//!
//! What is fixed: TLS 1.2 and 1.3 only; a client always verifies the server's chain and name, and nothing turns that
//! off; no early data, no renegotiation, no compression.

#![forbid(unsafe_code)]

mod client;
mod clock;
mod directory;
mod endpoint;
mod error;
mod fields;
mod files;
mod identity;
mod info;
mod layer;
mod server;
mod session;
mod start;
mod trust;

pub use client::{ClientConfig, ClientTls};
pub use endpoint::register;
pub use error::{BadTls, Problem, TlsError, Truncated};
pub use files::{Files, Found, MemoryFiles, Pem};
pub use identity::Identity;
pub use info::{TlsInfo, TlsVersion};
pub use server::{ServerConfig, ServerTls};
pub use start::StartTls;
pub use trust::Trust;

/// Sessions that one configuration keeps for resumption; the oldest is forgotten first.
pub const SESSIONS_KEPT: usize = 1024;

/// The directory of `tls:DIRECTORY` is looked at for changes at most this often.
pub const DIRECTORY_LOOK: std::time::Duration = std::time::Duration::from_secs(1);

/// A file of certificates, keys or revocation lists is no longer than this, bytes.
pub const PEM_BYTES_MAX: usize = 16 * 1024 * 1024;

/// The cryptography: passed to rustls explicitly, never installed for the whole process.
fn provider() -> std::sync::Arc<rustls::crypto::CryptoProvider> {
    std::sync::Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
