//! Child processes on the mio driver: their pipes, their exits, and those that were given up but still have to be
//! waited for. Runs no program itself.

use super::{Mio, Socket, files::Files, socket};
use crate::{
    process::{self, End, terminal},
    seam::{self, Call},
    signals,
};
use mio::{Interest, Registry, Token as Mark, event::Source, net::TcpStream, unix::SourceFd};
use rustix::process::{
    Signal as SystemSignal, WaitId, WaitIdOptions, WaitIdStatus, pidfd_send_signal, waitid,
};
use std::{
    io,
    os::fd::{AsFd, AsRawFd, OwnedFd},
};
use tress_core::{
    clock::Clock,
    driver::{Report, Spawned, SpawnedPipe, Token},
    process::{Command, ExitStatus, SpawnError},
    signal::Signal,
};

/// A child, as long as it has to be waited for.
pub(super) struct Child {
    /// Readable when it has exited.
    handle: OwnedFd,
    is_detached: bool,
    /// Nobody asks for it any more; the system keeps it until it has been waited for.
    is_given_up: bool,
    /// It has been waited for.
    is_over: bool,
}

impl Drop for Child {
    /// The driver goes, or could not take it. One that is not detached is killed, and waited for, which then takes no
    /// time.
    fn drop(&mut self) {
        let kill = || Ok(pidfd_send_signal(&self.handle, SystemSignal::KILL)?);
        if !self.is_over && !self.is_detached && seam::call(Call::PidfdSendSignal, kill).is_ok() {
            let handle = || WaitId::PidFd(self.handle.as_fd());
            let wait = || Ok(waitid(handle(), WaitIdOptions::EXITED)?);
            seam::call(Call::Waitid, wait).ok();
        }
    }
}

/// `Mio::insert` goes through `seam::call`.
impl Source for Child {
    fn register(&mut self, registry: &Registry, mark: Mark, interest: Interest) -> io::Result<()> {
        SourceFd(&self.handle.as_raw_fd()).register(registry, mark, interest)
    }

    fn reregister(
        &mut self,
        registry: &Registry,
        mark: Mark,
        interest: Interest,
    ) -> io::Result<()> {
        SourceFd(&self.handle.as_raw_fd()).reregister(registry, mark, interest)
    }

    fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        SourceFd(&self.handle.as_raw_fd()).deregister(registry)
    }
}

impl<C: Clock> Mio<C> {
    /// Starts a child. Its pipes are there before it is: what fails leaves nothing behind.
    pub(super) fn start_child(&mut self, command: &Command) -> Result<Spawned, SpawnError> {
        let mut prepared = process::prepare(command)?;
        let failed = |error| SpawnError {
            program: command.shown(),
            doing: Some("its pipes".to_owned()),
            error,
        };
        let mut pipes = Vec::new();
        for (descriptor, end) in prepared.ends.drain(..) {
            match self.insert_end(descriptor, end) {
                Ok(pipe) => pipes.push(pipe),
                Err(error) => {
                    self.remove_pipes(&pipes);
                    return Err(failed(error));
                }
            }
        }
        let started = prepared.start().and_then(|started| {
            let child = Socket::Child(Child {
                handle: started.handle,
                // Not yet: what could not be started is not to run.
                is_detached: false,
                is_given_up: false,
                is_over: false,
            });
            let id = started.id;
            match self.insert(child, socket::READING, Interest::READABLE) {
                Ok(child) => {
                    if let Some(slot) = self.slot(child)
                        && let Socket::Child(child) = &mut slot.socket
                    {
                        child.is_detached = command.is_detached;
                    }
                    Ok(Spawned {
                        child,
                        id,
                        pipes: Vec::new(),
                    })
                }
                Err(error) => Err(failed(error)),
            }
        });
        match started {
            Ok(spawned) => Ok(Spawned { pipes, ..spawned }),
            Err(error) => {
                self.remove_pipes(&pipes);
                Err(error)
            }
        }
    }

    fn insert_end(&mut self, descriptor: u32, end: End) -> io::Result<SpawnedPipe> {
        let is_writable = !matches!(end, End::Input(_));
        let conn = match end {
            End::Socket(socket) => {
                rustix::io::ioctl_fionbio(&socket, true)?;
                let stream = Socket::Stream(TcpStream::from_std(socket.into()));
                self.insert(stream, socket::SHARED, Interest::READABLE)?
            }
            end => {
                let files = match end {
                    End::Input(input) => Files::new(Some(input), None)?,
                    End::Output(output) => Files::new(None, Some(output))?,
                    End::Terminal(ours) | End::Socket(ours) => {
                        let copy = seam::call(Call::Dup, || ours.try_clone())?;
                        Files::new(Some(ours), Some(copy))?
                    }
                };
                let flags = files.flags();
                self.insert(Socket::Files(files), flags, Interest::READABLE)?
            }
        };
        Ok(SpawnedPipe {
            descriptor,
            conn,
            is_writable,
        })
    }

    fn remove_pipes(&mut self, pipes: &[SpawnedPipe]) {
        for pipe in pipes {
            self.remove(pipe.conn);
        }
    }

    /// A child may have exited.
    pub(super) fn child_event(&mut self, token: Token) -> Option<Report> {
        self.cursor += 1;
        let slot = self.slot(token)?;
        let Socket::Child(child) = &mut slot.socket else {
            return None;
        };
        let status = match wait(&child.handle) {
            Ok(None) => return None,
            Ok(Some(status)) => status,
            Err(error) => {
                tracing::warn!(target: "tress", "something else waited for a child: {error}");
                ExitStatus::Unknown
            }
        };
        child.is_over = true;
        let is_given_up = child.is_given_up;
        self.remove(token);
        (!is_given_up).then_some(Report::ChildExited {
            child: token,
            status,
        })
    }

    pub(super) fn signal(&mut self, token: Token, signal: Signal) -> io::Result<()> {
        let number = signals::number(signal)?;
        let slot = self.slot(token).ok_or(io::ErrorKind::NotFound)?;
        let Socket::Child(child) = &slot.socket else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        let number = SystemSignal::from_named_raw(number).ok_or(io::ErrorKind::InvalidInput)?;
        seam::call(Call::PidfdSendSignal, || {
            Ok(pidfd_send_signal(&child.handle, number)?)
        })
    }

    /// Nobody asks for it any more. True when it is a child and has still to be waited for.
    pub(super) fn give_up_child(&mut self, token: Token, kill: bool) -> bool {
        let Some(slot) = self.slot(token) else {
            return false;
        };
        let Socket::Child(child) = &mut slot.socket else {
            return false;
        };
        if kill {
            // It fails for one that has exited.
            seam::call(Call::PidfdSendSignal, || {
                Ok(pidfd_send_signal(&child.handle, SystemSignal::KILL)?)
            })
            .ok();
        }
        child.is_given_up = true;
        true
    }
}

/// How a child has exited, if it has. Then the system forgets it. What is wrong for a moment only must not cost that.
fn wait(handle: &OwnedFd) -> io::Result<Option<ExitStatus>> {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
    let wait = || {
        seam::call(Call::Waitid, || {
            Ok(waitid(WaitId::PidFd(handle.as_fd()), options)?)
        })
    };
    let status = wait().or_else(|error| match error.raw_os_error() {
        Some(libc::ECHILD) => Err(error),
        _ => wait(),
    })?;
    Ok(status.map(|status| exit_status(&status)))
}

fn exit_status(status: &WaitIdStatus) -> ExitStatus {
    if let Some(code) = status.exit_status() {
        return ExitStatus::Code(u8::try_from(code & 0xff).unwrap_or(u8::MAX));
    }
    let number = status.terminating_signal().unwrap_or_default();
    ExitStatus::Signal {
        signal: signals::from_number(number),
        dumped: status.dumped(),
    }
}

/// Tells a terminal how large it is.
pub(super) fn resize(socket: &Socket, rows: u16, columns: u16) -> io::Result<()> {
    match socket {
        Socket::Files(files) => match files.terminal() {
            Some(ours) => terminal::resize(ours, rows, columns),
            None => Err(io::ErrorKind::Unsupported.into()),
        },
        _ => Err(io::ErrorKind::Unsupported.into()),
    }
}
