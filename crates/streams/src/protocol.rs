//! The protocol below a stream: hands over what the loop tells, and asks nothing.

use crate::{shared::Shared, stream::Stream};
use std::{fmt, rc::Rc};
use tress_core::{
    Failure, Protocol, Result, Transport,
    error::{BytesBeforeLayer, ReactorGone},
    received::Received,
};

/// The protocol that goes with a [`Stream`]: for a factory, or for `Reactor::connect_protocol`.
pub struct StreamProtocol(Rc<Shared>);

/// A stream, and the protocol that makes it one once it is connected, whatever the transport. Until then reads and
/// writes are pending. When the protocol is dropped without a connection, they fail.
///
/// Most programs want [`connect_stream`](crate::connect_stream) or [`listen_streams`](crate::listen_streams).
#[must_use]
pub fn stream() -> (StreamProtocol, Stream) {
    let shared = Rc::<Shared>::default();
    (StreamProtocol(Rc::clone(&shared)), Stream::new(shared))
}

#[diagnostic::do_not_recommend]
impl Protocol for StreamProtocol {
    fn connection_made(&mut self, transport: &Transport) -> Result {
        let wanted = Rc::strong_count(&self.0) > 1;
        self.0.made(transport, wanted);
        Ok(())
    }

    fn data_received(&mut self, transport: &Transport, data: &[u8]) -> Result {
        self.0.arrived(transport, |unread| unread.copy(data));
        Ok(())
    }

    fn buffer_received(&mut self, transport: &Transport, received: Received<'_>) -> Result {
        self.0.arrived(transport, |unread| unread.push(received));
        Ok(())
    }

    fn read_closed(&mut self, _transport: &Transport) -> Result {
        self.0.read_closed();
        Ok(())
    }

    fn write_resumed(&mut self, _transport: &Transport) -> Result {
        self.0.flushed();
        Ok(())
    }

    /// What has not been read would pass for what came through the layer.
    fn layer_pushed(&mut self, _transport: &Transport) -> Result {
        match self.0.unread() {
            0 => Ok(()),
            bytes => Err(BytesBeforeLayer { bytes }.into()),
        }
    }

    fn connection_lost(&mut self, reason: Failure) {
        self.0.lost(reason);
    }
}

impl Drop for StreamProtocol {
    /// No `connection_lost` comes to a protocol that was never connected, or whose reactor was dropped.
    fn drop(&mut self) {
        if !self.0.has_ended() {
            self.0.lost(ReactorGone.into());
        }
    }
}

impl fmt::Debug for StreamProtocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StreamProtocol")
    }
}
