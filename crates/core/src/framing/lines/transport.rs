//! The transport of a line protocol: sends lines, and switches between lines and raw bytes.

use super::Delimiter;
use crate::{framing::buffer::look_again, transport::Transport};
use std::{
    cell::{Cell, RefCell},
    fmt,
    ops::Deref,
    rc::Rc,
};

/// A [`Transport`] that knows what a line is: cheap to clone, good to keep, and usable from outside the protocol.
#[derive(Clone)]
pub struct LineTransport(Rc<State>);

struct State {
    transport: Transport,
    delimiter: Delimiter,
    raw: Cell<bool>,
    /// Lines are being cut: what changes is seen by whoever does that.
    cutting: Cell<bool>,
    put_back: RefCell<Vec<u8>>,
}

impl LineTransport {
    pub(super) fn new(transport: &Transport, delimiter: &Delimiter) -> Self {
        Self(Rc::new(State {
            transport: transport.clone(),
            delimiter: delimiter.clone(),
            raw: Cell::new(false),
            cutting: Cell::new(false),
            put_back: RefCell::default(),
        }))
    }

    /// Sends a line and its end. A line that has the delimiter in it arrives as two.
    #[inline]
    pub fn send_line(&self, line: &[u8]) {
        self.write(line);
        self.write(self.0.delimiter.bytes());
    }

    /// From now on bytes go to `raw_data_received`, those that have arrived and are not a delivered line included.
    pub fn set_raw_mode(&self) {
        self.0.raw.set(true);
        self.changed();
    }

    /// From now on lines go to `line_received`.
    pub fn set_line_mode(&self) {
        self.0.raw.set(false);
        self.changed();
    }

    /// The same, and `extra`, which raw mode had got too much, comes before everything else that has arrived.
    pub fn set_line_mode_with(&self, extra: &[u8]) {
        self.0.raw.set(false);
        self.0.put_back.borrow_mut().extend_from_slice(extra);
        self.changed();
    }

    /// Whether bytes go to `raw_data_received`.
    #[must_use]
    pub fn is_raw(&self) -> bool {
        self.0.raw.get()
    }

    /// What ends a line.
    #[must_use]
    pub fn delimiter(&self) -> &Delimiter {
        &self.0.delimiter
    }

    /// What is kept may mean something else now.
    fn changed(&self) {
        if !self.0.cutting.get() {
            look_again(self);
        }
    }

    pub(super) fn set_cutting(&self, cutting: bool) {
        self.0.cutting.set(cutting);
    }

    /// How many bytes wait to be looked at again.
    pub(super) fn put_back(&self) -> usize {
        self.0.put_back.borrow().len()
    }

    pub(super) fn take_put_back(&self) -> Vec<u8> {
        self.0.put_back.take()
    }
}

impl Deref for LineTransport {
    type Target = Transport;

    #[inline]
    fn deref(&self) -> &Transport {
        &self.0.transport
    }
}

impl fmt::Debug for LineTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (peer, delimiter, raw) = (self.peer(), self.delimiter(), self.is_raw());
        write!(f, "LineTransport({peer}, {delimiter:?}, raw: {raw})")
    }
}
