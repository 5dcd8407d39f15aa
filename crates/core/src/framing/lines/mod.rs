//! Lines: `LineReceiver`, and `Lines`, which cuts bytes into lines for it. Knows no protocol that is made of lines.
//!
//! Source: `LineReceiver` of Twisted's `protocols/basic.py`. Two things differ: a line that is too long is shown up to
//! a fixed number of bytes, so that nothing depends on how the bytes were cut on the way; and a protocol that does not
//! close then has only that line skipped, not whatever happened to arrive with it.

mod delimiter;
mod transport;

pub use delimiter::{Cut, Delimiter, cut_line};
pub use transport::LineTransport;

use super::buffer::{Buffer, Step};
use crate::{
    escape::Escaped,
    failure::{Failure, Result},
    protocol::Protocol,
    transport::Transport,
};
use delimiter::skip_line;

/// What a program does with the lines of one connection. All but `line_received` have defaults; an error or a panic
/// closes the connection, as in a [`Protocol`].
#[expect(unused_variables, reason = "names are the documentation of defaults")]
#[diagnostic::on_unimplemented(
    message = "`{Self}` receives no lines",
    label = "`LineReceiver` is not implemented for it",
    note = "implement `LineReceiver` instead of `Protocol` for it: `Lines` is the protocol"
)]
pub trait LineReceiver: 'static {
    /// The connection is there.
    ///
    /// # Errors
    /// Closes the connection; so do all the others.
    fn connection_made(&mut self, transport: &LineTransport) -> Result {
        Ok(())
    }

    /// A line arrived; its end has been removed.
    ///
    /// # Errors
    /// Closes the connection.
    fn line_received(&mut self, transport: &LineTransport, line: &[u8]) -> Result;

    /// Bytes arrived after [`LineTransport::set_raw_mode`].
    ///
    /// # Errors
    /// Closes the connection; so does the default, for which raw mode is a mistake of the program.
    fn raw_data_received(&mut self, transport: &LineTransport, data: &[u8]) -> Result {
        Err(Failure::msg(
            "set_raw_mode was called, but raw_data_received is not implemented",
        ))
    }

    /// A line is longer than it may be; `line_so_far` is its beginning. The default logs that and closes the
    /// connection. If the connection is not closed, the rest of the line is skipped, or in raw mode delivered.
    ///
    /// # Errors
    /// Closes the connection.
    fn line_length_exceeded(&mut self, transport: &LineTransport, line_so_far: &[u8]) -> Result {
        let (name, peer) = (std::any::type_name::<Self>(), transport.peer());
        let line = Escaped(line_so_far);
        tracing::warn!(target: "tress", "{name}: {peer} is disconnected: its line is too long: {line}");
        transport.lose_connection();
        Ok(())
    }

    /// The peer sends no more; a line without an end is lost. The default closes once everything is sent.
    ///
    /// # Errors
    /// Closes the connection.
    fn read_closed(&mut self, transport: &LineTransport) -> Result {
        transport.lose_connection();
        Ok(())
    }

    /// More output waits than the high-water mark. No line comes until it has left, unless
    /// [`Transport::read_when_full`] was asked for.
    ///
    /// # Errors
    /// Closes the connection.
    fn write_paused(&mut self, transport: &LineTransport) -> Result {
        Ok(())
    }

    /// All output has left.
    ///
    /// # Errors
    /// Closes the connection.
    fn write_resumed(&mut self, transport: &LineTransport) -> Result {
        Ok(())
    }

    /// The connection has ended. Comes last, exactly once.
    fn connection_lost(&mut self, reason: Failure) {}
}

/// How lines end and how long they may be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LineOptions {
    /// What ends a line.
    pub delimiter: Delimiter,
    /// Longest line without its end, bytes; [`Limits::line`](crate::Limits) when `None`.
    pub max_length: Option<usize>,
}

/// Cuts what arrives into lines for `P`. The first line ends the handshake deadline, where one was started.
#[derive(Debug)]
pub struct Lines<P> {
    receiver: P,
    transport: Option<LineTransport>,
    options: LineOptions,
    cutter: Cutter,
    buffer: Buffer,
}

impl<P: LineReceiver> Lines<P> {
    /// Lines that end in CR LF and are as long as the reactor's limits allow.
    pub fn new(receiver: P) -> Self {
        Self::with(receiver, LineOptions::default())
    }

    /// Lines as `options` say.
    ///
    /// # Panics
    /// A custom delimiter is empty.
    pub fn with(receiver: P, options: LineOptions) -> Self {
        let delimiter = options.delimiter.bytes();
        assert!(!delimiter.is_empty(), "a delimiter has at least one byte");
        Self {
            receiver,
            transport: None,
            options,
            cutter: Cutter::default(),
            buffer: Buffer::default(),
        }
    }

    /// The protocol inside.
    pub fn receiver(&mut self) -> &mut P {
        &mut self.receiver
    }

    /// The transport that `P` gets, once the connection is there.
    #[must_use]
    pub fn transport(&self) -> Option<&LineTransport> {
        self.transport.as_ref()
    }

    /// Delivers what may be delivered.
    fn run(&mut self, data: &[u8]) -> Result {
        let (Some(transport), Some(longest)) = (&self.transport, self.options.max_length) else {
            return Ok(());
        };
        let front = transport.take_put_back();
        if !front.is_empty() {
            self.cutter.start_over();
            self.buffer.put_front(&front);
        }
        transport.set_cutting(true);
        let result = self.buffer.feed(transport, data, |input| {
            let receiver = &mut self.receiver;
            self.cutter.step(receiver, transport, longest, input)
        });
        transport.set_cutting(false);
        result?;
        if self.buffer.take_end() {
            return self.receiver.read_closed(transport);
        }
        Ok(())
    }

    #[cfg(test)]
    pub(super) fn buffer(&self) -> &Buffer {
        &self.buffer
    }

    /// How much of the line that has begun is not looked at again.
    #[cfg(test)]
    pub(super) fn scanned(&self) -> usize {
        self.cutter.scanned
    }
}

impl<P: LineReceiver> Protocol for Lines<P> {
    fn connection_made(&mut self, transport: &Transport) -> Result {
        let limits = &transport.0.origin.limits;
        self.options.max_length.get_or_insert(limits.line);
        let transport = LineTransport::new(transport, &self.options.delimiter);
        let transport = self.transport.insert(transport);
        transport.set_cutting(true);
        self.receiver.connection_made(transport)?;
        transport.set_cutting(false);
        // It may have put something back, though nothing has arrived.
        self.run(&[])
    }

    fn data_received(&mut self, _transport: &Transport, data: &[u8]) -> Result {
        self.run(data)
    }

    fn read_closed(&mut self, _transport: &Transport) -> Result {
        match &self.transport {
            Some(transport) if self.buffer.may_end() => self.receiver.read_closed(transport),
            _ => Ok(()),
        }
    }

    fn write_paused(&mut self, _transport: &Transport) -> Result {
        match &self.transport {
            Some(transport) => self.receiver.write_paused(transport),
            None => Ok(()),
        }
    }

    fn write_resumed(&mut self, _transport: &Transport) -> Result {
        if let Some(transport) = &self.transport {
            self.receiver.write_resumed(transport)?;
        }
        self.run(&[])
    }

    fn reading_resumed(&mut self, _transport: &Transport) -> Result {
        self.run(&[])
    }

    fn layer_pushed(&mut self, _transport: &Transport) -> Result {
        let put_back = self.transport.as_ref().map_or(0, LineTransport::put_back);
        self.buffer.layer_pushed(put_back)
    }

    fn connection_lost(&mut self, reason: Failure) {
        self.receiver.connection_lost(reason);
    }

    fn name(&self) -> &'static str {
        std::any::type_name::<P>()
    }
}

/// Where in a line the cutting stands.
#[derive(Debug, Default)]
struct Cutter {
    /// How many bytes of the line that has begun hold no end.
    scanned: usize,
    /// The line was too long, and its rest is skipped.
    skipping: bool,
    /// A line has been received.
    begun: bool,
}

impl Cutter {
    fn start_over(&mut self) {
        self.scanned = 0;
        self.skipping = false;
    }

    /// One callback, if there is something for it.
    #[inline]
    fn step<P: LineReceiver>(
        &mut self,
        receiver: &mut P,
        transport: &LineTransport,
        longest: usize,
        input: &[u8],
    ) -> Result<Step> {
        if transport.is_raw() {
            self.start_over();
            receiver.raw_data_received(transport, input)?;
            return Ok(self.took(transport, input.len()));
        }
        if self.skipping {
            let (taken, ended) = skip_line(input, transport.delimiter());
            self.skipping = !ended;
            return Ok(match taken {
                0 => Step::More,
                taken => Step::Took(taken),
            });
        }
        match cut_line(input, transport.delimiter(), longest, &mut self.scanned) {
            Cut::Line { length, taken } => {
                if !self.begun {
                    self.begun = true;
                    transport.handshake_done();
                }
                receiver.line_received(transport, &input[..length])?;
                Ok(self.took(transport, taken))
            }
            Cut::TooLong { shown } => {
                receiver.line_length_exceeded(transport, &input[..shown])?;
                let step = self.took(transport, shown);
                if transport.is_raw() || matches!(step, Step::PutBack(..)) {
                    return Ok(step);
                }
                self.skipping = true;
                Ok(Step::Took(0))
            }
            Cut::More => Ok(Step::More),
        }
    }

    /// So much is done with; what a callback has put back comes next.
    #[inline]
    fn took(&mut self, transport: &LineTransport, taken: usize) -> Step {
        let front = transport.take_put_back();
        if front.is_empty() {
            return Step::Took(taken);
        }
        self.start_over();
        Step::PutBack(taken, front)
    }
}
