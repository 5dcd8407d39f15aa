//! `tress-bench tls-server`: what a server does with its connections, said once for both. Knows no TLS.

use super::{TOKIO, TRESS, of_tokio, of_tress};
use std::io;
use std::path::PathBuf;

/// A sink answers one byte after so many, and a source is asked for multiples of it, bytes.
pub const UNIT: usize = 16 * 1024 * 1024;

/// What is written in one go where much is, bytes.
pub const PIECE: usize = 64 * 1024;

/// What a server does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    /// Sends back what it gets.
    Echo,
    /// Takes what it gets, and answers one byte after each [`UNIT`].
    Sink,
    /// Gets eight bytes, a number with the highest byte first, and sends so many bytes.
    Source,
}

/// How a server is to be started.
#[derive(Debug)]
pub(super) struct Order {
    pub(super) service: Service,
    pub(super) port: u16,
    pub(super) certificate: PathBuf,
    pub(super) key: PathBuf,
}

/// What a sink has got.
#[derive(Debug, Default)]
pub(super) struct Got(usize);

impl Service {
    /// Its name on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Echo => "echo",
            Self::Sink => "sink",
            Self::Source => "source",
        }
    }
}

impl Got {
    /// So many bytes more; the answer to them.
    pub(super) fn more(&mut self, count: usize) -> &'static [u8] {
        self.0 += count;
        let units = self.0 / UNIT;
        self.0 %= UNIT;
        &b"........"[..units.min(8)]
    }
}

/// What a source was asked for.
pub(super) fn wanted(request: &[u8]) -> io::Result<usize> {
    let bytes = request.try_into().map_err(io::Error::other)?;
    usize::try_from(u64::from_be_bytes(bytes)).map_err(io::Error::other)
}

/// `tls-server WHO SERVICE PORT CERTIFICATE KEY`: serves until the process is killed.
///
/// # Errors
/// The words make no sense, the files cannot be used, or the port cannot be listened on.
pub fn serve(mut words: impl Iterator<Item = String>) -> io::Result<()> {
    let who = words.next().unwrap_or_default();
    let order = order(words).ok_or_else(|| {
        io::Error::other("tls-server tress|tokio-rustls echo|sink|source PORT CERTIFICATE KEY")
    })?;
    match who.as_str() {
        TRESS => of_tress::serve(&order),
        TOKIO => of_tokio::serve(&order),
        _ => Err(io::Error::other(format!("no server `{who}`"))),
    }
}

fn order(mut words: impl Iterator<Item = String>) -> Option<Order> {
    let name = words.next()?;
    let all = [Service::Echo, Service::Sink, Service::Source];
    Some(Order {
        service: all.into_iter().find(|service| service.name() == name)?,
        port: words.next()?.parse().ok()?,
        certificate: words.next()?.into(),
        key: words.next()?.into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sink_answers_once_for_each_unit() {
        let mut got = Got::default();
        assert_eq!(got.more(UNIT - 1), b"");
        assert_eq!(got.more(1), b".");
        assert_eq!(got.more(2 * UNIT + 7), b"..");
        assert_eq!(got.more(UNIT - 8), b"");
        assert_eq!(got.more(1), b".");
    }

    #[test]
    fn a_source_is_asked_with_eight_bytes() {
        assert_eq!(wanted(&[0, 0, 0, 0, 0, 1, 0, 2]).unwrap(), 65_538);
        assert!(wanted(b"").is_err() && wanted(&[0; 9]).is_err());
    }

    #[test]
    fn orders_are_complete_or_refused() {
        let words = |line: &str| line.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let order = |line: &str| order(words(line).into_iter());
        let source = order("source 81 c.pem k.pem").unwrap();
        assert!(source.service == Service::Source && source.port == 81);
        assert!(source.certificate.ends_with("c.pem") && source.key.ends_with("k.pem"));
        for line in ["", "echo", "lines 81 c k", "echo x c k", "echo 81 c"] {
            assert!(order(line).is_none(), "{line}");
        }
        let error = serve(words("twisted echo 81 c k").into_iter()).unwrap_err();
        assert!(error.to_string().contains("`twisted`"), "{error}");
    }
}
