//! Datagrams: the trait `DatagramProtocol`, the handle on a port, and what goes between them and a driver. Knows no
//! socket and no endpoint.

mod batch;
mod queue;
mod transport;

pub use batch::Datagrams;
pub use queue::DatagramQueue;
pub use transport::{DatagramStatistics, DatagramTransport};
pub(crate) use transport::{Link, State};

use crate::{address::Address, failure::Result};
use std::{any::Any, error::Error, fmt};

/// Callbacks over the datagrams of one port. All have defaults.
///
/// It is never re-entered: what a callback asks of its transport happens after it returns. Other than in a
/// [`Protocol`](crate::Protocol), a failure or a panic ends nothing: anybody can send a datagram, under any name, so one
/// that its protocol cannot stand must not end the service for all others. It is logged with whom it came from (at most
/// once a second), counted ([`DatagramStatistics::failures`]), and the port goes on with the next.
/// Source: Twisted's `internet/protocol.py` and `internet/udp.py`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no datagram protocol",
    label = "`DatagramProtocol` is not implemented for it",
    note = "implement `DatagramProtocol` for it: all its methods have defaults"
)]
pub trait DatagramProtocol: Any {
    /// The port is open. Comes first, once, before whoever opened it goes on.
    ///
    /// # Errors
    /// Closes the port: it was not opened, and `stop_protocol` does not come.
    fn start_protocol(&mut self, transport: &DatagramTransport) -> Result {
        let _ = transport;
        Ok(())
    }

    /// A datagram arrived, whole; it may be empty. It is lent for this call. What is written while the datagrams that
    /// came together with it are delivered leaves together.
    ///
    /// # Errors
    /// Logged and counted; the port goes on.
    fn datagram_received(
        &mut self,
        transport: &DatagramTransport,
        data: &[u8],
        from: &Address,
    ) -> Result {
        let _ = (transport, data, from);
        Ok(())
    }

    /// Nobody has the address that the port is connected to, as far as the other machine tells. Says not which
    /// datagram was lost, nor of how many; nothing is closed. Comes to connected ports only.
    ///
    /// # Errors
    /// Logged and counted; the port goes on.
    fn connection_refused(&mut self, transport: &DatagramTransport) -> Result {
        let _ = transport;
        Ok(())
    }

    /// The port is closed. Comes last, exactly once, if `start_protocol` succeeded.
    fn stop_protocol(&mut self) {}

    /// What logs call this protocol.
    fn name(&self) -> &'static str {
        std::any::type_name::<Self>()
    }
}

/// Why a datagram was not sent. Its data is not kept.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DatagramError {
    /// It is longer than a datagram can be there (Twisted's `MessageLengthError`).
    TooLong {
        /// How long it is.
        bytes: usize,
        /// The longest, bytes: the limit `datagram`, or what IP has room for.
        limit: usize,
    },
    /// As much waits as the limit `datagram_output` allows. The ones that wait stay.
    QueueFull {
        /// The limit, bytes.
        limit: usize,
    },
    /// The port has no peer that it could go to: `write_to` names one.
    NotConnected,
    /// The port is connected, and to somebody else.
    OtherPeer(Address),
    /// No port like this one reaches that address: another family, or no address at all.
    Unreachable(Address),
    /// The port is closed, or about to be.
    Stopped,
}

impl fmt::Display for DatagramError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong { bytes, limit } => {
                write!(
                    f,
                    "a datagram of {bytes} bytes is too long; the limit is {limit}"
                )
            }
            Self::QueueFull { limit } => {
                write!(
                    f,
                    "more datagrams wait than the limit of {limit} bytes allows"
                )
            }
            Self::NotConnected => f.write_str("the port is not connected: name who is to get it"),
            Self::OtherPeer(peer) => write!(f, "the port is connected to {peer}"),
            Self::Unreachable(to) => write!(f, "no datagram can go from this port to {to}"),
            Self::Stopped => f.write_str("the port is closed"),
        }
    }
}

impl Error for DatagramError {}

#[cfg(test)]
mod tests;
