//! What all framings share: bytes that wait for the rest of their frame, and when to deliver nothing. Knows no format.

use crate::{
    error::BytesBeforeLayer,
    failure::Result,
    protocol::Protocol,
    transport::{
        Transport,
        flags::{ABORT, CLOSE, FULL, LOST, PAUSED, PUSHED, READ_WHEN_FULL},
    },
};
use std::time::Duration;

/// An empty buffer larger than this is given back: an idle connection keeps next to nothing.
const KEPT_BYTES: usize = 4096;
/// Never fewer bytes than this are copied to a frame that has begun.
const LEAST_COPY: usize = 256;

/// What a framing did with the bytes it was shown.
pub(super) enum Step {
    /// So many are done with.
    Took(usize),
    /// So many are done with, and these come before the rest.
    PutBack(usize, Vec<u8>),
    /// They are the beginning of something.
    More,
}

/// Bytes that have arrived and are not delivered yet.
///
/// While it is empty, frames are cut from the piece that arrived, without a copy. A frame in two pieces is put together
/// here, with no more than twice its bytes copied, and then the piece is cut directly again.
#[derive(Debug, Default)]
pub(super) struct Buffer {
    bytes: Vec<u8>,
    /// How many of `bytes` are done with.
    start: usize,
    /// Something is kept that may be whole: it waits until it may be delivered.
    waiting: bool,
    /// The peer sends no more, which its protocol hears after what is kept.
    ended: bool,
    /// Bytes copied so far: what a test of linear time counts.
    #[cfg(test)]
    pub(super) copied: usize,
}

enum Gate {
    Open,
    /// Not now.
    Waiting,
    /// Not any more.
    Closed,
    /// Never: a layer was pushed, and these bytes came before it.
    Layer,
}

impl Buffer {
    /// Calls `step` with what is kept and then with `data`, as often as it takes something and is let.
    #[inline]
    pub(super) fn feed(
        &mut self,
        transport: &Transport,
        data: &[u8],
        mut step: impl FnMut(&[u8]) -> Result<Step>,
    ) -> Result {
        let mut rest = data;
        // How many of the kept bytes, the last ones, came out of `data`.
        let mut fresh = 0;
        self.waiting = false;
        loop {
            let direct = self.is_empty();
            if direct && rest.is_empty() {
                return Ok(());
            }
            match gate(transport) {
                Gate::Open => {}
                Gate::Waiting => {
                    self.keep(rest);
                    self.waiting = true;
                    continue_later(transport);
                    return Ok(());
                }
                Gate::Closed => {
                    self.clear();
                    return Ok(());
                }
                Gate::Layer => {
                    let bytes = self.kept().len() + rest.len();
                    return Err(BytesBeforeLayer { bytes }.into());
                }
            }
            let (took, front) = match step(if direct { rest } else { self.kept() })? {
                Step::Took(took) => (took, Vec::new()),
                Step::PutBack(took, front) => (took, front),
                Step::More if rest.is_empty() => return Ok(()),
                Step::More => {
                    let count = match direct {
                        true => rest.len(),
                        false => rest.len().min(self.kept().len().max(LEAST_COPY)),
                    };
                    self.keep(&rest[..count]);
                    rest = &rest[count..];
                    fresh += count;
                    if direct {
                        return Ok(());
                    }
                    continue;
                }
            };
            if direct {
                rest = &rest[took..];
            } else {
                self.start += took;
                fresh = fresh.min(self.kept().len());
                if fresh == self.kept().len() {
                    // All that is kept is the end of `data`'s beginning: back to the piece itself.
                    rest = &data[data.len() - rest.len() - fresh..];
                    self.clear();
                    fresh = 0;
                }
            }
            if !front.is_empty() {
                self.put_front(&front);
            }
        }
    }

    /// These bytes come before everything that is kept.
    pub(super) fn put_front(&mut self, front: &[u8]) {
        self.bytes.splice(..self.start, front.iter().copied());
        self.start = 0;
    }

    /// A layer is pushed: nothing may be kept that came before it, nor what `more` bytes elsewhere came from.
    pub(super) fn layer_pushed(&self, more: usize) -> Result {
        match self.kept().len() + more {
            0 => Ok(()),
            bytes => Err(BytesBeforeLayer { bytes }.into()),
        }
    }

    /// Whether the end of the peer's bytes may be told now; if not, [`Buffer::take_end`] says when.
    pub(super) fn may_end(&mut self) -> bool {
        self.ended |= self.waiting;
        !self.waiting
    }

    /// Whether the end of the peer's bytes had to wait and may be told now. True once.
    pub(super) fn take_end(&mut self) -> bool {
        !self.waiting && std::mem::take(&mut self.ended)
    }

    fn kept(&self) -> &[u8] {
        &self.bytes[self.start..]
    }

    fn is_empty(&self) -> bool {
        self.start == self.bytes.len()
    }

    fn keep(&mut self, data: &[u8]) {
        if data.is_empty() {
            return;
        }
        // Moved down only when that is less than what was done with since: linear altogether.
        if self.start > self.bytes.len() / 2 {
            self.bytes.drain(..self.start);
            self.start = 0;
        }
        self.bytes.extend_from_slice(data);
        #[cfg(test)]
        {
            self.copied += data.len();
        }
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.start = 0;
        if self.bytes.capacity() > KEPT_BYTES {
            self.bytes = Vec::new();
        }
    }

    /// What it holds of the heap.
    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        self.bytes.capacity()
    }
}

/// Whether a frame may be delivered now.
#[inline]
fn gate(transport: &Transport) -> Gate {
    if transport.has(CLOSE | ABORT | LOST) {
        return Gate::Closed;
    }
    if transport.has(PUSHED) {
        return Gate::Layer;
    }
    let full = || {
        let high_water = transport.0.origin.limits.output_high_water;
        !transport.has(READ_WHEN_FULL)
            && (transport.has(FULL) || transport.statistics().queued > high_water)
    };
    if transport.has(PAUSED) || full() {
        return Gate::Waiting;
    }
    Gate::Open
}

/// Makes sure that what is kept is looked at again. `resume_producing` and `write_resumed` do that by themselves; but
/// when one callback wrote more than the high-water mark and all of it left at once, nobody says so.
#[cold]
fn continue_later(transport: &Transport) {
    if transport.has(PAUSED | FULL) {
        return;
    }
    if let Ok(reactor) = transport.reactor() {
        let transport = transport.clone();
        reactor.call_later(Duration::ZERO, move || look_again(&transport));
    }
}

/// Lets the protocol look at what it kept, right after whatever callback runs now.
pub(super) fn look_again(transport: &Transport) {
    transport.push_call(Box::new(|live| {
        if let Ok((protocol, transport)) = live
            && let Err(failure) = Protocol::reading_resumed(protocol, transport)
        {
            transport.fail(failure);
        }
    }));
}
