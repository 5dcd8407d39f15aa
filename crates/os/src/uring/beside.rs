//! What io_uring would do no better than epoll: datagrams, pipes, terminals, files and child processes. A mio driver
//! beside the ring has them, and the ring watches its descriptor; so there is one way to do each of them, and whoever has
//! none pays nothing.
//!
//! Its tokens are not ours: each has a slot of ours that names it.

use super::{
    BESIDE, Uring,
    slots::{Slots, State},
    work::Work,
};
use crate::mio::Mio;
#[cfg(feature = "faults")]
use crate::seam;
use std::{
    io,
    os::fd::OwnedFd,
    rc::Rc,
    time::{Duration, SystemTime},
};
use tress_core::{
    Address, Time,
    clock::Clock,
    driver::{Driver, Lease, Opened, Report, Spawned, Stopwatch, Token},
    process::{Command, SpawnError},
};

/// In a lease: its buffer is the one that epoll's reads share.
pub(super) const SHARED_BUFFER: u32 = u32::MAX;

/// The clock that both drivers have.
pub(super) struct SharedClock<C>(Rc<C>);

impl<C> SharedClock<C> {
    pub(super) fn new(clock: C) -> Self {
        Self(Rc::new(clock))
    }
}

impl<C> Clone for SharedClock<C> {
    fn clone(&self) -> Self {
        Self(Rc::clone(&self.0))
    }
}

impl<C: Clock> Clock for SharedClock<C> {
    fn now(&self) -> Time {
        self.0.now()
    }

    fn wall(&self) -> SystemTime {
        self.0.wall()
    }

    fn stopwatch(&self) -> Box<dyn Stopwatch> {
        self.0.stopwatch()
    }
}

/// Where it is in a turn.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// There is nothing to ask it.
    Quiet,
    /// It has something.
    Due,
    /// What it has is being pulled.
    Pulled,
}

/// The driver beside the ring.
pub(super) struct Beside<C> {
    pub(super) mio: Mio<SharedClock<C>>,
    /// The slots of ours, by its slots.
    ours: Vec<Token>,
    stage: Stage,
    /// Its descriptor, which the ring watches, and whether it does so now.
    descriptor: Rc<OwnedFd>,
    is_watched: bool,
    failed: Option<io::Error>,
}

impl<C: Clock> Beside<C> {
    fn new(clock: SharedClock<C>, bytes_per_turn: usize) -> io::Result<Self> {
        let mut mio = Mio::with_clock(clock)?;
        mio.set_bytes_per_turn(bytes_per_turn);
        let descriptor = mio.copy_descriptor()?;
        Ok(Self {
            mio,
            ours: Vec::new(),
            stage: Stage::Quiet,
            descriptor: Rc::new(descriptor),
            is_watched: false,
            failed: None,
        })
    }

    /// Gives what it has a slot of ours.
    fn name(&mut self, slots: &mut Slots, inner: Token) -> Token {
        let token = slots.insert(None, State::Beside(inner), 0);
        let index = inner.slot as usize;
        if self.ours.len() <= index {
            self.ours.resize(index + 1, Token::default());
        }
        self.ours[index] = token;
        token
    }

    /// It has something to tell, or to look at again.
    fn look(&mut self) {
        if self.stage == Stage::Quiet {
            self.stage = Stage::Due;
        }
    }
}

impl<C: Clock> Uring<C> {
    /// The driver beside the ring, made when it is needed first.
    pub(super) fn beside(&mut self) -> io::Result<&mut Beside<C>> {
        if self.beside.is_none() {
            let beside = Beside::new(self.clock.clone(), self.bytes_per_turn)?;
            self.beside = Some(Box::new(beside));
            self.watch_beside();
        }
        self.beside
            .as_deref_mut()
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// The driver beside the ring and its token, if this is something that it has.
    #[inline]
    pub(super) fn beside_of(&mut self, token: Token) -> Option<(&mut Mio<SharedClock<C>>, Token)> {
        let State::Beside(inner) = self.slots.get(token)?.state else {
            return None;
        };
        Some((&mut self.beside.as_mut()?.mio, inner))
    }

    /// Has the ring tell when it has something.
    fn watch_beside(&mut self) {
        if let Some(beside) = &mut self.beside
            && !beside.is_watched
        {
            beside.is_watched = true;
            let file = Rc::clone(&beside.descriptor);
            self.ring.start(BESIDE, Work::AwaitInput(file));
        }
    }

    /// The ring says that it has something.
    pub(super) fn beside_is_ready(&mut self) {
        if let Some(beside) = &mut self.beside {
            beside.is_watched = false;
            beside.look();
        }
    }

    /// Whether it has something to tell, to look at again, or to fail with.
    pub(super) fn beside_has_backlog(&self) -> bool {
        self.beside.as_ref().is_some_and(|beside| {
            beside.stage != Stage::Quiet || beside.failed.is_some() || beside.mio.backlog()
        })
    }

    /// Before a wait: how long it may be.
    ///
    /// # Errors
    /// What it failed with in the last turn.
    pub(super) fn wait_beside(
        &mut self,
        timeout: Option<Duration>,
    ) -> io::Result<Option<Duration>> {
        let Some(beside) = &mut self.beside else {
            return Ok(timeout);
        };
        if let Some(error) = beside.failed.take() {
            return Err(error);
        }
        if beside.mio.backlog() {
            beside.look();
        }
        #[cfg(feature = "faults")]
        if seam::faults::will_owe_events() {
            beside.look();
        }
        let deadline = beside.mio.deadline();
        let rest = Duration::from_nanos(deadline.0.saturating_sub(self.clock.now().0));
        if rest.is_zero() {
            beside.look();
        }
        if beside.stage != Stage::Quiet {
            return Ok(Some(Duration::ZERO));
        }
        if deadline == Time::NEVER {
            return Ok(timeout);
        }
        Ok(Some(timeout.map_or(rest, |timeout| timeout.min(rest))))
    }

    /// The next report of what it has.
    #[inline]
    pub(super) fn next_beside(&mut self, lease: &mut Lease) -> Option<Report> {
        if self.beside.as_ref()?.stage == Stage::Quiet {
            return None;
        }
        self.pull_beside(lease)
    }

    fn pull_beside(&mut self, lease: &mut Lease) -> Option<Report> {
        let beside = self.beside.as_mut()?;
        if beside.stage == Stage::Due {
            if let Err(error) = beside.mio.wait(Some(Duration::ZERO)) {
                beside.stage = Stage::Quiet;
                beside.failed = Some(error);
                // Whoever was given up still has to be waited for.
                self.watch_beside();
                return None;
            }
            beside.stage = Stage::Pulled;
        }
        self.lend_shared(lease);
        while let Some(beside) = &mut self.beside
            && let Some(report) = beside.mio.next(lease)
        {
            if let Some(report) = self.ours(report) {
                return Some(report);
            }
        }
        self.beside.as_mut()?.stage = Stage::Quiet;
        self.watch_beside();
        None
    }

    /// A report of its tokens as one of ours.
    fn ours(&mut self, report: Report) -> Option<Report> {
        let inner = match &report {
            Report::Data { conn } | Report::ReadClosed { conn } | Report::Sent { conn, .. } => {
                *conn
            }
            Report::Closed { token, .. } => *token,
            Report::Datagrams { port }
            | Report::DatagramError { port, .. }
            | Report::DatagramRoom { port } => *port,
            Report::ChildExited { child, .. } => *child,
            _ => return None,
        };
        let conn = *self.beside.as_ref()?.ours.get(inner.slot as usize)?;
        if self.slots.get(conn)?.state != State::Beside(inner) {
            return None;
        }
        Some(match report {
            Report::Data { .. } => Report::Data { conn },
            Report::ReadClosed { .. } => Report::ReadClosed { conn },
            Report::Sent { bytes, emptied, .. } => Report::Sent {
                conn,
                bytes,
                emptied,
            },
            Report::Datagrams { .. } => Report::Datagrams { port: conn },
            Report::DatagramError { error, .. } => Report::DatagramError { port: conn, error },
            Report::DatagramRoom { .. } => Report::DatagramRoom { port: conn },
            Report::Closed { error, .. } => {
                self.forget_beside(conn);
                Report::Closed { token: conn, error }
            }
            Report::ChildExited { status, .. } => {
                self.forget_beside(conn);
                Report::ChildExited {
                    child: conn,
                    status,
                }
            }
            _ => return None,
        })
    }

    /// The slot of ours dies.
    fn forget_beside(&mut self, token: Token) {
        self.slots.remove(token);
        self.accepting.descriptor_freed();
    }

    /// Closes something that it has. True when it was that.
    pub(super) fn close_beside(&mut self, token: Token, abort: bool) -> bool {
        let Some((mio, inner)) = self.beside_of(token) else {
            return false;
        };
        mio.close(inner, abort);
        self.forget_beside(token);
        true
    }

    /// Has it take something over.
    pub(super) fn take_beside(&mut self, opened: Opened) -> io::Result<(Token, Address)> {
        self.open_beside(|mio| mio.adopt(opened))
    }

    /// Has it open something.
    pub(super) fn open_beside(
        &mut self,
        open: impl FnOnce(&mut Mio<SharedClock<C>>) -> io::Result<(Token, Address)>,
    ) -> io::Result<(Token, Address)> {
        let (inner, address) = open(&mut self.beside()?.mio)?;
        self.ring.asked();
        Ok((self.name_beside(inner), address))
    }

    fn name_beside(&mut self, inner: Token) -> Token {
        match &mut self.beside {
            Some(beside) => beside.name(&mut self.slots, inner),
            None => Token::default(),
        }
    }

    pub(super) fn spawn_beside(&mut self, command: &Command) -> Result<Spawned, SpawnError> {
        let failed = |error| SpawnError {
            program: command.shown(),
            doing: None,
            error,
        };
        let mut spawned = self.beside().map_err(failed)?.mio.spawn(command)?;
        spawned.child = self.name_beside(spawned.child);
        for pipe in &mut spawned.pipes {
            pipe.conn = self.name_beside(pipe.conn);
        }
        Ok(spawned)
    }

    /// Lends the buffer that what does not come from the ring's buffers shares.
    pub(super) fn lend_shared(&mut self, lease: &mut Lease) {
        if lease.mark == SHARED_BUFFER {
            return;
        }
        lease.buffer = std::mem::take(&mut self.shared);
        if lease.buffer.len() != self.bytes_per_turn {
            lease.buffer = vec![0; self.bytes_per_turn].into();
        }
        lease.length = 0;
        lease.mark = SHARED_BUFFER;
        lease.reused = true;
    }
}
