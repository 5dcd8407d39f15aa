//! A protocol that writes down what happens to it, for the tests of this crate. Asserts nothing.

use std::{
    cell::{Cell, RefCell},
    io,
    rc::Rc,
};
use tress_core::{
    Failure, Protocol, Result, Transport,
    error::{ConnectError, ConnectionLost},
};

/// What a [`Peer`] saw; clones are the same.
#[derive(Clone, Default)]
pub(crate) struct Seen {
    pub(crate) bytes: Rc<RefCell<Vec<u8>>>,
    pub(crate) chunks: Rc<RefCell<Vec<usize>>>,
    pub(crate) read_closed: Rc<Cell<usize>>,
    pub(crate) paused: Rc<Cell<usize>>,
    pub(crate) transport: Rc<RefCell<Option<Transport>>>,
    pub(crate) lost: Rc<RefCell<Option<Failure>>>,
}

impl Seen {
    pub(crate) fn transport(&self) -> Transport {
        let transport = self.transport.borrow();
        transport.clone().expect("the connection was made")
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes.borrow()).into_owned()
    }

    /// The system's error that ended the connection; `None` for a clean end or none.
    pub(crate) fn broken_by(&self) -> Option<io::ErrorKind> {
        let lost = self.lost.borrow();
        let error = lost.as_ref()?.check::<ConnectionLost>()?;
        Some(error.0.kind())
    }

    pub(crate) fn is_lost(&self) -> bool {
        self.lost.borrow().is_some()
    }
}

type Hook = fn(&Transport, &[u8]);

/// Does what its hooks do, and writes everything down.
#[derive(Clone)]
pub(crate) struct Peer {
    pub(crate) seen: Seen,
    pub(crate) made: Hook,
    pub(crate) data: Hook,
    pub(crate) end: Hook,
}

impl Peer {
    /// Says nothing and stays.
    pub(crate) fn silent() -> Self {
        Self {
            seen: Seen::default(),
            made: |_, _| {},
            data: |_, _| {},
            end: |_, _| {},
        }
    }

    /// Sends back what it gets, and closes when its peer does.
    pub(crate) fn echo() -> Self {
        Self {
            data: |transport, data| transport.write(data),
            end: |transport, _| transport.lose_connection(),
            ..Self::silent()
        }
    }
}

impl Protocol for Peer {
    fn connection_made(&mut self, transport: &Transport) -> Result {
        self.seen.transport.replace(Some(transport.clone()));
        (self.made)(transport, &[]);
        Ok(())
    }

    fn data_received(&mut self, transport: &Transport, data: &[u8]) -> Result {
        self.seen.bytes.borrow_mut().extend_from_slice(data);
        self.seen.chunks.borrow_mut().push(data.len());
        (self.data)(transport, data);
        Ok(())
    }

    fn read_closed(&mut self, transport: &Transport) -> Result {
        self.seen.read_closed.set(self.seen.read_closed.get() + 1);
        (self.end)(transport, &[]);
        Ok(())
    }

    fn write_paused(&mut self, _transport: &Transport) -> Result {
        self.seen.paused.set(self.seen.paused.get() + 1);
        Ok(())
    }

    fn connection_lost(&mut self, reason: Failure) {
        assert!(!self.seen.is_lost(), "connection_lost came twice");
        self.seen.lost.replace(Some(reason));
    }
}

/// The system's error that an attempt to connect ended in.
pub(crate) fn refused_by(failure: &Failure) -> Option<io::ErrorKind> {
    Some(failure.check::<ConnectError>()?.0.kind())
}
