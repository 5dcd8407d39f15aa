//! Ports that several reactors of one process listen at: one opens them and lends, the others listen at copies. Copies
//! nothing itself: who makes the threads does.
//!
//! A port is known by what it was asked for (`0.0.0.0:8007`), so a kind of endpoint that lies on another need not know.

use super::{Port, Reactor};
use crate::{
    descriptor::Descriptor,
    driver::{Opened, Token},
    error::CannotListen,
    factory::SharedFactory,
    failure::Result,
};
use std::io;

/// Copies of sockets that listen, each with what it was asked for, in the order in which they were opened.
#[derive(Debug, Default)]
pub struct SharedPorts(Vec<(String, Descriptor)>);

/// What a reactor does with ports beside using them.
#[derive(Debug, Default)]
pub(super) enum Sharing {
    /// Nothing.
    #[default]
    Alone,
    /// Keeps a copy of each that it opens.
    Lends(SharedPorts),
    /// Listens at one of these where it would open the same.
    Borrows(SharedPorts),
}

impl SharedPorts {
    /// Copies of them all, each made by `copy`.
    ///
    /// # Errors
    /// What `copy` failed with.
    pub fn copied(&self, copy: impl Fn(&Descriptor) -> io::Result<Descriptor>) -> io::Result<Self> {
        let copied = self.0.iter();
        let copied = copied.map(|(at, socket)| Ok((at.clone(), copy(socket)?)));
        copied.collect::<io::Result<_>>().map(Self)
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Reactor {
    /// Keeps a copy of every port that is opened from now on, until [`Reactor::lent_ports`].
    pub fn lend_ports(&self) {
        self.0
            .sharing
            .replace(Sharing::Lends(SharedPorts::default()));
    }

    /// The copies that were kept; no more are kept.
    #[must_use]
    pub fn lent_ports(&self) -> SharedPorts {
        match self.0.sharing.take() {
            Sharing::Lends(ports) => ports,
            Sharing::Alone | Sharing::Borrows(_) => SharedPorts::default(),
        }
    }

    /// Listens at these, each once, where the same would be opened: what was asked for decides. Ends with
    /// [`Reactor::return_ports`].
    pub fn borrow_ports(&self, ports: SharedPorts) {
        self.0.sharing.replace(Sharing::Borrows(ports));
    }

    /// Closes the copies that nothing listened at.
    pub fn return_ports(&self) {
        drop(self.0.sharing.take());
    }

    /// Listens at the port that was borrowed for this, if there is one: for kinds of endpoint that take over sockets
    /// which can be taken once.
    ///
    /// # Errors
    /// As [`Reactor::adopt_at`].
    pub fn listen_borrowed(&self, at: &str, factory: &SharedFactory) -> Option<Result<Port>> {
        let socket = match &mut *self.0.sharing.borrow_mut() {
            Sharing::Borrows(ports) => {
                let place = ports.0.iter().position(|(asked, _)| asked == at)?;
                ports.0.remove(place).1
            }
            Sharing::Alone | Sharing::Lends(_) => return None,
        };
        Some(self.adopt_at(at, Opened::Port(socket), factory))
    }

    /// Keeps a copy of this port, if the reactor lends; otherwise it is closed.
    pub(super) fn lend(&self, at: &str, token: Token) -> Result {
        let lends = matches!(*self.0.sharing.borrow(), Sharing::Lends(_));
        if !lends {
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
        if let Sharing::Lends(ports) = &mut *self.0.sharing.borrow_mut() {
            ports.0.push((at.to_owned(), copy));
        }
        Ok(())
    }
}
