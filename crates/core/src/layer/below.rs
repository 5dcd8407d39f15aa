//! Where the output of a protocol above a layer goes: to the layer, piece by piece, as long as there is room below it.

use super::Output;
use crate::{
    failure::Result,
    outgoing::Taken,
    reactor::Below,
    transport::{
        Transport,
        flags::{BLOCKED, OUT, READ_WHEN_FULL},
    },
};

/// The end of a piece is taken as well when it is no more than this too long, bytes: what a layer adds to each record
/// would otherwise have the last bytes of a full queue leave by themselves.
const TAIL: usize = 512;

/// A piece of output of which the layer has taken the first bytes.
pub(super) struct Piece {
    taken: Taken,
    done: usize,
}

/// One round of settling a link above a layer.
pub(super) struct Pull<'a, 'o> {
    below: Transport,
    output: &'a mut Option<Output<'o>>,
    piece: &'a mut Option<Piece>,
    /// The layer itself runs, or has failed.
    pub(super) is_taking: bool,
    /// The protocol above writes no more.
    pub(super) is_shut: bool,
    /// The layer took none although there was room.
    refused: bool,
}

impl<'a, 'o> Pull<'a, 'o> {
    pub(super) fn new(
        below: Transport,
        output: &'a mut Option<Output<'o>>,
        piece: &'a mut Option<Piece>,
    ) -> Self {
        Self {
            below,
            output,
            piece,
            is_taking: false,
            is_shut: false,
            refused: false,
        }
    }

    /// Lets the layer take some; false when it takes no more for now.
    fn take_some(&mut self, link: &Transport) -> Result<bool> {
        let Some(output) = self.output.as_mut() else {
            return Ok(false);
        };
        let Some(piece) = &mut *self.piece else {
            return Ok(false);
        };
        let room = self.below.room();
        if room == 0 {
            self.below.watch_flush();
            return Ok(false);
        }
        let bytes = &piece.taken.bytes()[piece.done..];
        self.is_taking = true;
        let is_short = bytes.len() <= room + TAIL;
        let most = if is_short { bytes.len() } else { room };
        let count = output(&bytes[..most])?;
        assert!(count <= most, "a layer took more than it was given");
        self.is_taking = false;
        piece.done += count;
        if piece.done == piece.taken.bytes().len() {
            *self.piece = None;
        }
        link.0.out.borrow_mut().taken_sent(count);
        self.refused = count == 0;
        Ok(count > 0)
    }
}

impl Below for Pull<'_, '_> {
    fn send(&mut self, link: &Transport) -> Result {
        if !link.has(OUT) || link.has(BLOCKED) {
            return Ok(());
        }
        loop {
            if self.piece.is_none() {
                let taken = link.0.out.borrow_mut().take();
                *self.piece = taken.map(|taken| Piece { taken, done: 0 });
            }
            if !self.take_some(link)? {
                break;
            }
        }
        let mut out = link.0.out.borrow_mut();
        if out.is_done() {
            link.clear(OUT);
            out.clear();
        } else {
            link.set(BLOCKED);
        }
        Ok(())
    }

    /// Before the layer is up it needs bytes of its own, whatever the protocol above wants.
    fn update_reading(&mut self, link: &Transport) {
        if self.output.is_none() {
            return;
        }
        // What the layer adds may be what fills the queue below.
        let when_full = link.has(READ_WHEN_FULL);
        if self.below.has(READ_WHEN_FULL) != when_full {
            self.below.read_when_full(when_full);
        }
        if link.wants_no_data() {
            self.below.pause_producing();
        } else {
            self.below.resume_producing();
        }
    }

    fn shutdown_write(&mut self) -> bool {
        self.is_shut = self.output.is_some();
        self.is_shut
    }

    fn is_blocked(&self) -> bool {
        let bottom = || self.below.bottom();
        self.output.is_none() || self.refused || bottom().is_none_or(|link| link.has(BLOCKED))
    }

    fn is_drained(&mut self) -> bool {
        let drained = self.below.queued() == 0;
        if !drained {
            self.below.watch_flush();
        }
        drained
    }
}
