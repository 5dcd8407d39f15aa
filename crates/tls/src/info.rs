//! What a TLS connection knows of itself: `transport.info::<TlsInfo>()`.

use std::fmt;

/// What was agreed on, once the handshake is done: `transport.info::<TlsInfo>()`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TlsInfo {
    /// The application protocol (ALPN) that both ends speak: Twisted's `negotiatedProtocol`.
    pub negotiated_protocol: Option<Box<[u8]>>,
    /// The version of TLS.
    pub version: TlsVersion,
    /// The cipher suite, by its IANA name.
    pub cipher_suite: &'static str,
    /// The name that the client asked for.
    pub server_name: Option<Box<str>>,
    /// The peer's certificate and its chain, DER, verified.
    pub peer_certificates: Vec<Box<[u8]>>,
    /// Whether it goes on from an earlier session, so that no certificate was sent.
    pub resumed: bool,
}

/// A version of TLS. Older ones have known weaknesses and are not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum TlsVersion {
    /// TLS 1.2, RFC 5246.
    V1_2,
    /// TLS 1.3, RFC 8446.
    V1_3,
}

impl TlsVersion {
    /// The versions from `lowest` to `highest`, as rustls knows them.
    pub(crate) fn range(
        lowest: Self,
        highest: Self,
    ) -> Vec<&'static rustls::SupportedProtocolVersion> {
        let all = [
            (Self::V1_3, &rustls::version::TLS13),
            (Self::V1_2, &rustls::version::TLS12),
        ];
        let wanted = all
            .into_iter()
            .filter(|(version, _)| (lowest..=highest).contains(version));
        wanted.map(|(_, version)| version).collect()
    }
}

impl fmt::Display for TlsVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V1_2 => "TLS 1.2",
            Self::V1_3 => "TLS 1.3",
        })
    }
}
