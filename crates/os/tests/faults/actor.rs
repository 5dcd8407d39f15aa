//! A protocol that notes its life and does what it was told to in each callback. Knows no scenario.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
};
use tress_core::{
    Descriptor, Failure, Protocol, Result, Transport,
    error::{ConnectionAborted, ConnectionDone, ConnectionLost, TimedOut},
};

/// What became of a protocol.
#[derive(Default)]
pub(crate) struct Life {
    pub(crate) made: Cell<u32>,
    pub(crate) received: RefCell<Vec<u8>>,
    pub(crate) has_ended: Cell<bool>,
    pub(crate) lost: RefCell<Vec<String>>,
    pub(crate) files: Cell<u32>,
    /// Counts what happens to any protocol of the run.
    pub(crate) progress: Rc<Cell<u64>>,
}

impl Life {
    pub(crate) fn is_open(&self) -> bool {
        self.made.get() > 0 && self.lost.borrow().is_empty()
    }

    fn goes_on(&self) {
        self.progress.set(self.progress.get() + 1);
    }
}

type On = Option<Box<dyn FnMut(&Transport) -> Result>>;
type OnData = Option<Box<dyn FnMut(&Transport, &Life, &[u8]) -> Result>>;
type OnFile = Option<Box<dyn FnMut(&Transport, Descriptor) -> Result>>;

/// The protocol. Closes when the peer has ended, unless it was told something else.
#[derive(Default)]
pub(crate) struct Actor {
    pub(crate) life: Rc<Life>,
    made: On,
    data: OnData,
    ended: On,
    file: OnFile,
}

impl Actor {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Sends back what comes.
    pub(crate) fn echo() -> Self {
        Self::new().on_data(|transport, _, data| {
            transport.write(data);
            Ok(())
        })
    }

    pub(crate) fn on_made(mut self, f: impl FnMut(&Transport) -> Result + 'static) -> Self {
        self.made = Some(Box::new(f));
        self
    }

    pub(crate) fn on_data(
        mut self,
        f: impl FnMut(&Transport, &Life, &[u8]) -> Result + 'static,
    ) -> Self {
        self.data = Some(Box::new(f));
        self
    }

    pub(crate) fn on_end(mut self, f: impl FnMut(&Transport) -> Result + 'static) -> Self {
        self.ended = Some(Box::new(f));
        self
    }

    pub(crate) fn on_file(
        mut self,
        f: impl FnMut(&Transport, Descriptor) -> Result + 'static,
    ) -> Self {
        self.file = Some(Box::new(f));
        self
    }

    /// Says all of this when it is connected.
    pub(crate) fn says(self, bytes: impl AsRef<[u8]> + 'static) -> Self {
        self.on_made(move |transport| {
            transport.write(bytes.as_ref());
            Ok(())
        })
    }

    /// Closes when that many bytes have come.
    pub(crate) fn closes_after(self, bytes: usize) -> Self {
        self.on_data(move |transport, life, _| {
            if life.received.borrow().len() >= bytes {
                transport.lose_connection();
            }
            Ok(())
        })
    }

    fn call(hook: &mut On, transport: &Transport) -> Result {
        hook.as_mut().map_or(Ok(()), |hook| hook(transport))
    }
}

impl Protocol for Actor {
    fn connection_made(&mut self, transport: &Transport) -> Result {
        self.life.made.set(self.life.made.get() + 1);
        self.life.goes_on();
        if self.file.is_some() {
            transport.receive_file_descriptors()?;
        }
        Self::call(&mut self.made, transport)
    }

    fn data_received(&mut self, transport: &Transport, data: &[u8]) -> Result {
        self.life.received.borrow_mut().extend_from_slice(data);
        self.life.goes_on();
        match &mut self.data {
            Some(hook) => hook(transport, &self.life, data),
            None => Ok(()),
        }
    }

    fn file_descriptor_received(&mut self, transport: &Transport, file: Descriptor) -> Result {
        self.life.files.set(self.life.files.get() + 1);
        self.life.goes_on();
        match &mut self.file {
            Some(hook) => hook(transport, file),
            None => Ok(()),
        }
    }

    fn read_closed(&mut self, transport: &Transport) -> Result {
        self.life.has_ended.set(true);
        self.life.goes_on();
        if self.ended.is_none() {
            transport.lose_connection();
        }
        Self::call(&mut self.ended, transport)
    }

    fn connection_lost(&mut self, reason: Failure) {
        self.life.lost.borrow_mut().push(short(&reason));
        self.life.goes_on();
    }
}

/// A failure in a word or two.
pub(crate) fn short(failure: &Failure) -> String {
    if failure.check::<ConnectionDone>().is_some() {
        "done".to_owned()
    } else if failure.check::<ConnectionAborted>().is_some() {
        "aborted".to_owned()
    } else if let Some(lost) = failure.check::<ConnectionLost>() {
        format!("broken: {}", lost.0)
    } else if let Some(late) = failure.check::<TimedOut>() {
        format!("{:?} deadline", late.deadline)
    } else {
        failure.error().to_string()
    }
}
