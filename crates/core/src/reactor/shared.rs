//! Ports that several reactors listen at: one opens them and lends, the others listen at copies. They are workers of one
//! process, or of a process that takes the place of another. Makes neither threads nor processes itself.
//!
//! A port is known by what it was asked for (`0.0.0.0:8007`), so a kind of endpoint that lies on another need not know.

use super::{Entry, Port, Reactor};
use crate::{
    address::{Address, UnixName},
    descriptor::Descriptor,
    driver::{Opened, Token, UnixOptions},
    error::CannotListen,
    factory::SharedFactory,
    failure::Result,
};
use std::io;

/// Copies of sockets that listen, each with what it was asked for, in the order in which they were opened.
#[derive(Debug, Default)]
pub struct SharedPorts {
    ports: Vec<(String, Descriptor)>,
    /// Of a process that ends: the files of its UNIX sockets will be ours.
    inherited: bool,
}

/// What a reactor does with ports beside using them.
#[derive(Debug, Default)]
pub(super) struct Sharing {
    /// Keeps a copy of each that it opens here.
    lends: Option<SharedPorts>,
    /// Listens at one of these where it would open the same.
    borrows: SharedPorts,
    /// Inherited ports whose files another process still has, and what was asked for them.
    files: Vec<(Token, UnixOptions)>,
    /// How many ports have been opened.
    opened: u64,
}

impl Sharing {
    /// One more port: how many there were before.
    pub(super) fn number(&mut self) -> u64 {
        self.opened += 1;
        self.opened - 1
    }
}

impl SharedPorts {
    /// Those of another process, which ends when this one has taken its place: [`Reactor::take_files`] belongs to them.
    #[must_use]
    pub fn inherited(ports: Vec<(String, Descriptor)>) -> Self {
        let inherited = true;
        Self { ports, inherited }
    }

    /// Each with what it was asked for.
    #[must_use]
    pub fn into_inner(self) -> Vec<(String, Descriptor)> {
        self.ports
    }

    /// Copies of them all, each made by `copy`.
    ///
    /// # Errors
    /// What `copy` failed with.
    pub fn copied(&self, copy: impl Fn(&Descriptor) -> io::Result<Descriptor>) -> io::Result<Self> {
        let copied = self.ports.iter();
        let copied = copied.map(|(at, socket)| Ok((at.clone(), copy(socket)?)));
        Ok(Self {
            ports: copied.collect::<io::Result<_>>()?,
            inherited: false,
        })
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ports.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ports.is_empty()
    }
}

impl Reactor {
    /// Keeps a copy of every port that is opened from now on, until [`Reactor::lent_ports`].
    pub fn lend_ports(&self) {
        self.0.sharing.borrow_mut().lends = Some(SharedPorts::default());
    }

    /// The copies that were kept; no more are kept.
    #[must_use]
    pub fn lent_ports(&self) -> SharedPorts {
        let lent = self.0.sharing.borrow_mut().lends.take();
        lent.unwrap_or_default()
    }

    /// Listens at these, each once, where the same would be opened: what was asked for decides. Ends with
    /// [`Reactor::return_ports`].
    pub fn borrow_ports(&self, ports: SharedPorts) {
        self.0.sharing.borrow_mut().borrows = ports;
    }

    /// Closes the copies that nothing listened at.
    pub fn return_ports(&self) {
        let left = std::mem::take(&mut self.0.sharing.borrow_mut().borrows);
        drop(left);
    }

    /// A copy of every port there is, in the order in which they were opened: for another process to listen at. What is no
    /// socket ([`Port::is_socket`]) is not among them.
    ///
    /// # Errors
    /// There is no room for so many, or the driver's ports are not the system's.
    pub fn copy_ports(&self) -> io::Result<SharedPorts> {
        let core = &self.0;
        let mut found: Vec<(u64, String, Token)> = Vec::new();
        for (slot, entry) in core.table.borrow().iter().enumerate() {
            if let Entry::Port(generation, port) = entry {
                let (generation, (at, number)) = (*generation, &port.at);
                let slot = u32::try_from(slot).expect("tokens are 32 bits");
                found.push((*number, at.clone(), Token { slot, generation }));
            }
        }
        found.sort_unstable_by_key(|(number, ..)| *number);
        let mut driver = core.driver.borrow_mut();
        let copied = found
            .into_iter()
            .map(|(_, at, token)| Ok((at, driver.copy_port(token)?)));
        Ok(SharedPorts {
            ports: copied.collect::<io::Result<_>>()?,
            inherited: false,
        })
    }

    /// The files of UNIX ports, with their locks, are those of another process from now on, which has copies of them all: they
    /// stay when the ports are closed.
    pub fn leave_files(&self) {
        let core = &self.0;
        let ports = core.tokens(|entry| matches!(entry, Entry::Port(..)));
        let mut driver = core.driver.borrow_mut();
        ports.into_iter().for_each(|token| driver.leave_file(token));
    }

    /// Process `of` has left them: the files of inherited UNIX ports are removed with the ports from now on. What cannot be had
    /// is logged.
    pub fn take_files(&self, of: u32) {
        let files = std::mem::take(&mut self.0.sharing.borrow_mut().files);
        for (token, options) in files {
            let taken = self.0.driver.borrow_mut().take_file(token, &options, of);
            if let Err(error) = taken {
                tracing::warn!(target: "tress", "the file of a UNIX socket is not taken over: {error}");
            }
        }
    }

    /// Listens at the port that was borrowed for this, if there is one: for kinds of endpoint that take over sockets
    /// which can be taken once.
    ///
    /// # Errors
    /// As [`Reactor::adopt_at`].
    pub fn listen_borrowed(&self, at: &str, factory: &SharedFactory) -> Option<Result<Port>> {
        let mut sharing = self.0.sharing.borrow_mut();
        let ports = &mut sharing.borrows.ports;
        let place = ports.iter().position(|(asked, _)| asked == at)?;
        let socket = ports.remove(place).1;
        drop(sharing);
        Some(self.adopt_at(at, Opened::Port(socket), factory))
    }

    pub(super) fn inherits_ports(&self) -> bool {
        self.0.sharing.borrow().borrows.inherited
    }

    /// This port was inherited, and may have a file.
    pub(super) fn note_file(&self, at: &Address, token: Token, options: &UnixOptions) {
        let mut sharing = self.0.sharing.borrow_mut();
        if sharing.borrows.inherited && matches!(at, Address::Unix(UnixName::Path(_))) {
            sharing.files.push((token, options.clone()));
        }
    }

    /// Keeps a copy of this port, if the reactor lends; otherwise it is closed.
    pub(super) fn lend(&self, at: &str, token: Token) -> Result {
        if self.0.sharing.borrow().lends.is_none() {
            return Ok(());
        }
        let mut driver = self.0.driver.borrow_mut();
        let copy = driver.copy_port(token).map_err(|error| {
            driver.close(token, false);
            CannotListen {
                at: at.to_owned(),
                error,
            }
        })?;
        if let Some(lends) = &mut self.0.sharing.borrow_mut().lends {
            lends.ports.push((at.to_owned(), copy));
        }
        Ok(())
    }
}
