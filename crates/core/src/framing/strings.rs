//! Strings of any bytes with their length before them: what netstrings and length prefixes have in common.

use super::{
    buffer::{Buffer, Step},
    misbehaved,
};
use crate::{
    failure::{Failure, Result},
    protocol::Protocol,
    transport::Transport,
};
use std::{error::Error, fmt, ops::Deref, ops::Range};

/// What a program does with the strings of one connection, whichever way they are framed. All but `string_received`
/// have defaults; an error or a panic closes the connection, as in a [`Protocol`].
#[expect(unused_variables, reason = "names are the documentation of defaults")]
#[diagnostic::on_unimplemented(
    message = "`{Self}` receives no strings",
    label = "`StringReceiver` is not implemented for it",
    note = "implement `StringReceiver` instead of `Protocol` for it: the framing around it is the protocol"
)]
pub trait StringReceiver: 'static {
    /// The connection is there.
    ///
    /// # Errors
    /// Closes the connection; so do all the others.
    fn connection_made(&mut self, transport: &StringTransport) -> Result {
        Ok(())
    }

    /// A string arrived, without what surrounded it.
    ///
    /// # Errors
    /// Closes the connection.
    fn string_received(&mut self, transport: &StringTransport, string: &[u8]) -> Result;

    /// The peer declares a string of `at_least` so many bytes, which is longer than it may be; nothing of it is read.
    /// The default logs that. The connection is closed after this in any case.
    ///
    /// # Errors
    /// Closes the connection too, as a failure.
    fn length_limit_exceeded(&mut self, transport: &StringTransport, at_least: usize) -> Result {
        let (name, peer) = (std::any::type_name::<Self>(), transport.peer());
        tracing::warn!(target: "tress", "{name}: {peer} is cut off: it declares a string of {at_least} bytes or more");
        transport.lose_connection();
        Ok(())
    }

    /// The peer sends no more; a string that is not whole is lost. The default closes once everything is sent.
    ///
    /// # Errors
    /// Closes the connection.
    fn read_closed(&mut self, transport: &StringTransport) -> Result {
        transport.lose_connection();
        Ok(())
    }

    /// More output waits than the high-water mark. No string comes until it has left, unless
    /// [`Transport::read_when_full`] was asked for.
    ///
    /// # Errors
    /// Closes the connection.
    fn write_paused(&mut self, transport: &StringTransport) -> Result {
        Ok(())
    }

    /// All output has left.
    ///
    /// # Errors
    /// Closes the connection.
    fn write_resumed(&mut self, transport: &StringTransport) -> Result {
        Ok(())
    }

    /// The connection has ended. Comes last, exactly once.
    fn connection_lost(&mut self, reason: Failure) {}
}

/// How a string looks on the wire: functions over bytes.
pub trait Format: Copy + 'static {
    /// The format, before its first byte.
    const FORMAT: Self;

    /// The longest string that can be written.
    const LONGEST: usize;

    /// Looks at the beginning of `input`, which holds at least one byte. A string may have `limit` bytes.
    ///
    /// After [`Parsed::More`] it is called with the same beginning and more behind it, so a format whose strings have many
    /// parts may remember how far it has looked; after anything else it is called with what follows.
    fn parse(&mut self, input: &[u8], limit: usize) -> Parsed;

    /// Writes `string`, which is no longer than [`Format::LONGEST`], and what surrounds it.
    fn write(transport: &Transport, string: &[u8]);
}

/// What a [`Format`] found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Parsed {
    /// A whole string.
    String {
        /// Where it is.
        string: Range<usize>,
        /// How many bytes it takes with what surrounds it.
        taken: usize,
    },
    /// The beginning of one.
    More,
    /// One that is longer than it may be.
    TooLong {
        /// Its length, as far as that was read.
        at_least: usize,
    },
    /// Something else.
    Malformed {
        /// What should have stood there.
        expected: &'static str,
    },
}

/// A string is longer than its framing can say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StringTooLong {
    /// How long it is, bytes.
    pub length: usize,
    /// How long it may be, bytes.
    pub longest: usize,
}

impl fmt::Display for StringTooLong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { length, longest } = self;
        write!(
            f,
            "a string of {length} bytes does not fit a length prefix for {longest}"
        )
    }
}

impl Error for StringTooLong {}

/// A [`Transport`] that sends strings: cheap to clone, good to keep, and usable from outside the protocol.
#[derive(Clone)]
pub struct StringTransport {
    transport: Transport,
    framing: Framing,
}

#[derive(Clone, Copy)]
struct Framing {
    longest: usize,
    write: fn(&Transport, &[u8]),
}

impl StringTransport {
    pub(super) fn new<F: Format>(transport: &Transport) -> Self {
        Self {
            transport: transport.clone(),
            framing: Framing {
                longest: F::LONGEST,
                write: F::write,
            },
        }
    }

    /// Sends a string.
    ///
    /// # Errors
    /// [`StringTooLong`] when its length does not fit the prefix; nothing is sent then.
    pub fn send_string(&self, string: &[u8]) -> Result<(), StringTooLong> {
        let (length, longest) = (string.len(), self.framing.longest);
        if length > longest {
            return Err(StringTooLong { length, longest });
        }
        (self.framing.write)(&self.transport, string);
        Ok(())
    }
}

impl Deref for StringTransport {
    type Target = Transport;

    fn deref(&self) -> &Transport {
        &self.transport
    }
}

impl fmt::Debug for StringTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StringTransport({})", self.transport.peer())
    }
}

/// How long strings may be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StringOptions {
    /// Longest received string, bytes; [`Limits::string`](crate::Limits) when `None`.
    pub max_length: Option<usize>,
}

/// Cuts what arrives into strings for `P`. Use it by the names of its formats, such as
/// [`Netstrings`](super::Netstrings). The first string ends the handshake deadline, where one was started.
#[derive(Debug)]
pub struct Strings<P, F> {
    receiver: P,
    options: StringOptions,
    /// A string has been received.
    begun: bool,
    buffer: Buffer,
    format: F,
}

impl<P: StringReceiver, F: Format> Strings<P, F> {
    /// Strings as long as the reactor's limits allow.
    pub fn new(receiver: P) -> Self {
        Self::with(receiver, StringOptions::default())
    }

    /// Strings as `options` say.
    pub fn with(receiver: P, options: StringOptions) -> Self {
        Self {
            receiver,
            options,
            begun: false,
            buffer: Buffer::default(),
            format: F::FORMAT,
        }
    }

    /// The protocol inside.
    pub fn receiver(&mut self) -> &mut P {
        &mut self.receiver
    }

    /// Delivers what may be delivered.
    fn run(&mut self, transport: &Transport, data: &[u8]) -> Result {
        let limits = &transport.0.origin.limits;
        let limit = self.options.max_length.unwrap_or(limits.string);
        let transport = &StringTransport::new::<F>(transport);
        let (receiver, begun, format) = (&mut self.receiver, &mut self.begun, &mut self.format);
        self.buffer
            .feed(transport, data, |input| match format.parse(input, limit) {
                Parsed::String { string, taken } => {
                    if !*begun {
                        *begun = true;
                        transport.handshake_done();
                    }
                    receiver.string_received(transport, &input[string])?;
                    Ok(Step::Took(taken))
                }
                Parsed::More => Ok(Step::More),
                Parsed::TooLong { at_least } => {
                    receiver.length_limit_exceeded(transport, at_least)?;
                    transport.lose_connection();
                    Ok(Step::Took(0))
                }
                Parsed::Malformed { expected } => {
                    misbehaved(transport, std::any::type_name::<P>(), expected, input);
                    Ok(Step::Took(0))
                }
            })?;
        if self.buffer.take_end() {
            return self.receiver.read_closed(transport);
        }
        Ok(())
    }

    #[cfg(test)]
    pub(super) fn buffer(&self) -> &Buffer {
        &self.buffer
    }
}

impl<P: StringReceiver, F: Format> Protocol for Strings<P, F> {
    fn connection_made(&mut self, transport: &Transport) -> Result {
        let transport = StringTransport::new::<F>(transport);
        self.receiver.connection_made(&transport)
    }

    fn data_received(&mut self, transport: &Transport, data: &[u8]) -> Result {
        self.run(transport, data)
    }

    fn read_closed(&mut self, transport: &Transport) -> Result {
        if self.buffer.may_end() {
            let transport = StringTransport::new::<F>(transport);
            return self.receiver.read_closed(&transport);
        }
        Ok(())
    }

    fn write_paused(&mut self, transport: &Transport) -> Result {
        let transport = StringTransport::new::<F>(transport);
        self.receiver.write_paused(&transport)
    }

    fn write_resumed(&mut self, transport: &Transport) -> Result {
        self.receiver
            .write_resumed(&StringTransport::new::<F>(transport))?;
        self.run(transport, &[])
    }

    fn reading_resumed(&mut self, transport: &Transport) -> Result {
        self.run(transport, &[])
    }

    fn layer_pushed(&mut self, _transport: &Transport) -> Result {
        self.buffer.layer_pushed(0)
    }

    fn connection_lost(&mut self, reason: Failure) {
        self.receiver.connection_lost(reason);
    }

    fn name(&self) -> &'static str {
        std::any::type_name::<P>()
    }
}
