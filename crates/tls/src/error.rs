//! What can be wrong with a configuration, and how a connection fails: in words for who runs the program.

use rustls::{AlertDescription, CertificateError};
use std::{error::Error, fmt};

/// A configuration that cannot be used: which file, and what is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadTls {
    /// The file, as it was named.
    pub file: String,
    /// What is wrong.
    pub problem: Problem,
}

/// What is wrong with a file.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Problem {
    /// It, or the directory, cannot be read.
    Unreadable(String),
    /// It is no PEM, or what the PEM holds is broken.
    Malformed(String),
    /// A certificate in it is of X.509 version 1 or 2, which can name no host.
    OldVersion,
    /// No PEM certificate is in it.
    NoCertificate,
    /// No private key is in it.
    NoKey,
    /// The private key in it needs a passphrase.
    EncryptedKey,
    /// The private key is of a kind that is not supported.
    UnsupportedKey,
    /// The certificate of this file is not for the key of that other file.
    Mismatch {
        /// The file with the key.
        key: String,
    },
    /// The certificate has expired.
    Expired {
        /// When, as `2026-11-23 10:00:00 UTC`.
        at: String,
    },
    /// The certificate is not valid yet.
    NotYetValid {
        /// From when on it is.
        from: String,
    },
    /// No revocation list is in it.
    NoRevocationList,
    /// No certificate for a server, with its key and at least one DNS name, is in the directory.
    NoServer,
}

impl BadTls {
    pub(crate) fn new(file: String, problem: Problem) -> Self {
        Self { file, problem }
    }
}

impl fmt::Display for BadTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`: {}", self.file, self.problem)
    }
}

impl Error for BadTls {}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(why) => write!(f, "cannot be read: {why}"),
            Self::Malformed(what) => write!(f, "malformed: {what}"),
            Self::OldVersion => f.write_str(
                "its certificate is of X.509 version 1 or 2: expected version 3, with the names in subjectAltName",
            ),
            Self::NoCertificate => {
                f.write_str("no PEM certificate in it: expected `-----BEGIN CERTIFICATE-----`")
            }
            Self::NoKey => {
                f.write_str("no private key in it: expected `-----BEGIN PRIVATE KEY-----`")
            }
            Self::EncryptedKey => f.write_str(
                "its private key is encrypted: decrypt it, as with `openssl pkey -in FILE -out FILE`",
            ),
            Self::UnsupportedKey => {
                f.write_str("its private key is neither RSA, ECDSA (P-256, P-384, P-521) nor Ed25519")
            }
            Self::Mismatch { key } => {
                write!(f, "its certificate does not belong to the private key of `{key}`")
            }
            Self::Expired { at } => write!(f, "its certificate expired at {at}"),
            Self::NotYetValid { from } => write!(f, "its certificate is not valid before {from}"),
            Self::NoRevocationList => {
                f.write_str("no revocation list in it: expected `-----BEGIN X509 CRL-----`")
            }
            Self::NoServer => f.write_str(
                "no usable pair in its `.pem` files: expected a certificate that names a DNS name, and its key",
            ),
        }
    }
}

/// The peer closed the connection without saying that this was all (no `close_notify`): somebody may have cut off the
/// end of what it sent. What came has been delivered.
///
/// Twisted's `TLSMemoryBIOProtocol` ends such a connection with `ConnectionLost`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Truncated;

impl fmt::Display for Truncated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the peer ended the connection without TLS's close_notify: what it sent may be incomplete")
    }
}

impl Error for Truncated {}

/// TLS failed on a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TlsError {
    /// The peer does not accept our certificate, or that we have none: what it said.
    CertificateRefused(String),
    /// The peer ended TLS with another alert: what it said.
    Alert(String),
    /// We do not accept the peer's certificate.
    BadCertificate {
        /// The name that we asked for, when we are the client.
        name: Option<String>,
        /// Why.
        problem: String,
    },
    /// The peer sent no certificate, and one is required.
    NoCertificate,
    /// No application protocol (ALPN) in common.
    NoProtocol,
    /// What came is no TLS.
    NotTls,
    /// The peer broke the protocol, or can do nothing that we can.
    Peer(String),
    /// It is our own fault.
    Own(String),
}

impl TlsError {
    /// From rustls' error; `name` is the one that a client asked for.
    #[cold]
    pub(crate) fn from_rustls(error: &rustls::Error, name: Option<&str>) -> Self {
        use rustls::{Error as E, InvalidMessage};
        match error {
            E::AlertReceived(alert) => Self::from_alert(*alert),
            E::InvalidCertificate(problem) => Self::BadCertificate {
                name: name.map(str::to_owned),
                problem: certificate_problem(problem),
            },
            E::NoCertificatesPresented => Self::NoCertificate,
            E::NoApplicationProtocol => Self::NoProtocol,
            E::InvalidMessage(
                InvalidMessage::InvalidContentType | InvalidMessage::UnknownProtocolVersion,
            ) => Self::NotTls,
            E::General(_)
            | E::Other(_)
            | E::FailedToGetCurrentTime
            | E::FailedToGetRandomBytes
            | E::EncryptError
            | E::InconsistentKeys(_)
            | E::BadMaxFragmentSize => Self::Own(error.to_string()),
            peer => Self::Peer(peer.to_string()),
        }
    }

    fn from_alert(alert: AlertDescription) -> Self {
        use AlertDescription as A;
        let said = match alert {
            A::BadCertificate => "bad certificate",
            A::UnsupportedCertificate => "unsupported certificate",
            A::CertificateRevoked => "it is revoked",
            A::CertificateExpired => "it has expired or is not valid yet",
            A::CertificateUnknown => "unknown certificate",
            A::UnknownCA => "unknown certificate authority",
            A::AccessDenied => "access denied",
            A::CertificateRequired | A::NoCertificate => "a certificate is required",
            A::NoApplicationProtocol => return Self::NoProtocol,
            A::ProtocolVersion => return Self::Alert("no TLS version in common".to_owned()),
            A::HandshakeFailure | A::InsufficientSecurity => {
                return Self::Alert("nothing in common, or a certificate is missing".to_owned());
            }
            A::UnrecognisedName => return Self::Alert("it serves no such name".to_owned()),
            other => return Self::Alert(words(&format!("{other:?}"))),
        };
        Self::CertificateRefused(said.to_owned())
    }
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CertificateRefused(said) => write!(f, "the peer refused our certificate: {said}"),
            Self::Alert(said) => write!(f, "the peer ended TLS: {said}"),
            Self::BadCertificate {
                name: None,
                problem,
            } => {
                write!(f, "the peer's certificate is not accepted: {problem}")
            }
            Self::BadCertificate {
                name: Some(name),
                problem,
            } => write!(f, "the certificate of `{name}` is not accepted: {problem}"),
            Self::NoCertificate => f.write_str("the peer sent no certificate"),
            Self::NoProtocol => f.write_str("no application protocol (ALPN) in common"),
            Self::NotTls => f.write_str("the peer does not speak TLS"),
            Self::Peer(problem) | Self::Own(problem) => write!(f, "TLS: {problem}"),
        }
    }
}

impl Error for TlsError {}

fn certificate_problem(problem: &CertificateError) -> String {
    use CertificateError as C;
    match problem {
        C::UnknownIssuer => "it was not issued by an authority that we trust".to_owned(),
        C::BadSignature => "its signature is wrong".to_owned(),
        C::Revoked => "it is revoked".to_owned(),
        C::UnknownRevocationStatus => "no revocation list tells whether it is revoked".to_owned(),
        C::BadEncoding => "it is malformed".to_owned(),
        other => other.to_string(),
    }
}

/// `UnexpectedMessage` as `unexpected message`.
fn words(name: &str) -> String {
    let mut words = String::new();
    for c in name.chars() {
        if c.is_uppercase() && !words.is_empty() {
            words.push(' ');
        }
        words.extend(c.to_lowercase());
    }
    words
}
