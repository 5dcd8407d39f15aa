//! `StartTls`: TLS that begins in mid-stream. Must not know any protocol that has such a command.

use crate::{layer::TlsLayer, server::ServerTls};
use tress_core::Transport;

/// Begins TLS on a connection that has talked in the clear so far.
pub trait StartTls {
    /// What was written before still goes out in the clear; what is written after waits for the handshake and is
    /// encrypted. The server calls it right after it has written that it is ready (`220 Go ahead`), the client when it
    /// has read that: with `&ServerTls`, or with [`ClientTls::layer`](crate::ClientTls::layer).
    ///
    /// Bytes that came before and have not been delivered are refused: an attacker could have put them there, and they
    /// would count as if they had come encrypted (CVE-2011-0411). The framings of `tress-core` see to that.
    ///
    /// `connection_made` is not called again. Source: Twisted's `ITLSTransport.startTLS`.
    fn start_tls(&self, tls: impl Into<TlsLayer>);
}

impl StartTls for Transport {
    fn start_tls(&self, tls: impl Into<TlsLayer>) {
        self.push_layer(tls.into());
    }
}

impl From<&ServerTls> for TlsLayer {
    fn from(tls: &ServerTls) -> Self {
        tls.layer()
    }
}
