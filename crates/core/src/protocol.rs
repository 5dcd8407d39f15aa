//! `Protocol`: what a program does with the bytes of one connection. Knows neither sockets nor the loop.

use crate::{
    descriptor::Descriptor,
    failure::{Failure, Result},
    received::Received,
    transport::Transport,
};
use std::any::Any;

/// Callbacks over the bytes of one connection. All have defaults.
///
/// A protocol is never re-entered: what a callback asks of its transport happens after it returns. A callback that
/// returns `Err` or panics closes its own connection with that reason; the loop and all other connections go on.
/// Source: Twisted's `internet/protocol.py`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no protocol",
    label = "`Protocol` is not implemented for it",
    note = "implement `Protocol` for it: all its methods have defaults",
    note = "a `LineReceiver` or `StringReceiver` is one once it is in its framing: `Lines::new(receiver)`"
)]
pub trait Protocol: Any {
    /// The connection is there. Comes first, once.
    ///
    /// # Errors
    /// Closes the connection; so do all the others.
    fn connection_made(&mut self, transport: &Transport) -> Result {
        let _ = transport;
        Ok(())
    }

    /// Bytes arrived, at least one; how many at a time means nothing. They are lent for this call.
    ///
    /// # Errors
    /// Closes the connection.
    fn data_received(&mut self, transport: &Transport, data: &[u8]) -> Result {
        let _ = (transport, data);
        Ok(())
    }

    /// The same bytes, for a protocol that keeps them: it can take the buffer they lie in, so that nothing is copied.
    /// Called in place of `data_received` after [`Transport::deliver_buffers`]. A protocol that has this has
    /// `data_received` as well: whoever stands between it and the connection may have no buffer to give.
    ///
    /// # Errors
    /// Closes the connection.
    #[inline]
    fn buffer_received(&mut self, transport: &Transport, received: Received<'_>) -> Result {
        self.data_received(transport, received.bytes())
    }

    /// The peer sent an open file over a UNIX socket. Comes before the bytes that it was sent with, after
    /// [`Transport::receive_file_descriptors`]; those follow at once, even when this pauses reading. The default closes it.
    /// Twisted's `fileDescriptorReceived`.
    ///
    /// # Errors
    /// Closes the connection.
    fn file_descriptor_received(
        &mut self,
        transport: &Transport,
        descriptor: Descriptor,
    ) -> Result {
        let _ = transport;
        drop(descriptor);
        Ok(())
    }

    /// The peer sends no more, but may still read. The default closes once everything is sent.
    ///
    /// # Errors
    /// Closes the connection.
    fn read_closed(&mut self, transport: &Transport) -> Result {
        transport.lose_connection();
        Ok(())
    }

    /// More output waits than the high-water mark: stop writing until `write_resumed`.
    ///
    /// # Errors
    /// Closes the connection.
    fn write_paused(&mut self, transport: &Transport) -> Result {
        let _ = transport;
        Ok(())
    }

    /// All output has left: after `write_paused`, and whenever [`Transport::watch_flush`] asked for it.
    ///
    /// # Errors
    /// Closes the connection.
    fn write_resumed(&mut self, transport: &Transport) -> Result {
        let _ = transport;
        Ok(())
    }

    /// `resume_producing` was called after `pause_producing`: a protocol that kept bytes back goes on with them.
    ///
    /// # Errors
    /// Closes the connection.
    fn reading_resumed(&mut self, transport: &Transport) -> Result {
        let _ = transport;
        Ok(())
    }

    /// A layer is about to lie below this protocol ([`Transport::push_layer`]): what arrives from now on comes through
    /// it. A protocol that still keeps bytes which came before it refuses, as all framings do, with
    /// [`BytesBeforeLayer`](crate::error::BytesBeforeLayer): whoever sent them may have been somebody else, and they
    /// would pass for bytes that came through the layer (CVE-2011-0411).
    ///
    /// # Errors
    /// Closes the connection; the layer never begins.
    fn layer_pushed(&mut self, transport: &Transport) -> Result {
        let _ = transport;
        Ok(())
    }

    /// For the protocol of a [layer](crate::layer): something was asked of the transport above it, or what was asked
    /// before can go on. Comes after every callback in which that may be so: it is where a layer calls
    /// [`Inner::settle`](crate::layer::Inner::settle).
    ///
    /// # Errors
    /// Closes the connection.
    fn inner_requests(&mut self, transport: &Transport) -> Result {
        let _ = transport;
        Ok(())
    }

    /// The connection has ended. Comes last, exactly once: [`ConnectionDone`](crate::error::ConnectionDone) for a
    /// clean end, otherwise what ended it.
    fn connection_lost(&mut self, reason: Failure) {
        drop(reason);
    }

    /// What logs call this protocol.
    fn name(&self) -> &'static str {
        std::any::type_name::<Self>()
    }
}

impl Protocol for Box<dyn Protocol> {
    fn connection_made(&mut self, transport: &Transport) -> Result {
        (**self).connection_made(transport)
    }
    fn data_received(&mut self, transport: &Transport, data: &[u8]) -> Result {
        (**self).data_received(transport, data)
    }
    fn buffer_received(&mut self, transport: &Transport, received: Received<'_>) -> Result {
        (**self).buffer_received(transport, received)
    }
    fn file_descriptor_received(
        &mut self,
        transport: &Transport,
        descriptor: Descriptor,
    ) -> Result {
        (**self).file_descriptor_received(transport, descriptor)
    }
    fn read_closed(&mut self, transport: &Transport) -> Result {
        (**self).read_closed(transport)
    }
    fn write_paused(&mut self, transport: &Transport) -> Result {
        (**self).write_paused(transport)
    }
    fn write_resumed(&mut self, transport: &Transport) -> Result {
        (**self).write_resumed(transport)
    }
    fn reading_resumed(&mut self, transport: &Transport) -> Result {
        (**self).reading_resumed(transport)
    }
    fn layer_pushed(&mut self, transport: &Transport) -> Result {
        (**self).layer_pushed(transport)
    }
    fn inner_requests(&mut self, transport: &Transport) -> Result {
        (**self).inner_requests(transport)
    }
    fn connection_lost(&mut self, reason: Failure) {
        (**self).connection_lost(reason);
    }
    fn name(&self) -> &'static str {
        (**self).name()
    }
}
