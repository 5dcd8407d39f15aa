//! What is no socket: pipes, terminals and files, where bytes are read from one and written to another. Knows neither
//! who opened them nor what for.

use super::{Mio, Socket, socket};
use crate::seam::{self, Call};
use mio::{Interest, Registry, Token as Mark, event::Source, unix::SourceFd};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::{FileType, OFlags, fcntl_getfl},
    io::{Errno, FdFlags, fcntl_setfd, ioctl_fionbio},
    net::{RecvFlags, SendAncillaryBuffer, SendFlags, Shutdown, recv, sendmsg, shutdown},
};
use std::{
    io::{self, IoSlice},
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
};
use tress_core::{
    clock::Clock,
    driver::{Lease, Report, Token},
};

/// Two ends as one connection; either may be missing. They are descriptors of their own, so that each is registered
/// for itself, but may be copies of one.
pub(super) struct Files {
    input: Option<End>,
    output: Option<End>,
}

struct End {
    descriptor: OwnedFd,
    kind: Kind,
    /// The system tells when it is ready. What it never tells of is always ready.
    is_told: bool,
    /// It waited before it was ours, and does so again after: others may have it open.
    waits_after: bool,
}

/// Which way bytes go.
#[derive(Clone, Copy)]
enum Way {
    In,
    Out,
}

/// What differs in reading.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// One read takes all there is.
    Pipe,
    /// One read takes a line at most, and the end is an error.
    Terminal,
    /// Closing it says nothing to the other side, as long as anybody has a copy.
    Socket,
    /// One read may leave something.
    Other,
}

impl Files {
    /// Makes both ends such that they never wait.
    pub(super) fn new(input: Option<OwnedFd>, output: Option<OwnedFd>) -> io::Result<Self> {
        if input.is_none() && output.is_none() {
            let text = "there is nothing to read from and nothing to write to";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        Ok(Self {
            input: input.map(|input| End::new(input, Way::In)).transpose()?,
            output: output
                .map(|output| End::new(output, Way::Out))
                .transpose()?,
        })
    }

    /// The flags of its slot: the system tells of room from the beginning, and what it does not tell of is there.
    pub(super) fn flags(&self) -> u16 {
        socket::FOR_WRITING | socket::UNREAD | socket::SHARED
    }

    /// Our side of a terminal, if it is one.
    pub(super) fn terminal(&self) -> Option<BorrowedFd<'_>> {
        let is_terminal = |end: &&End| end.kind == Kind::Terminal;
        self.input.as_ref().filter(is_terminal).map(AsFd::as_fd)
    }

    pub(super) fn read_input(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(input) = &self.input else {
            return Err(io::ErrorKind::WouldBlock.into());
        };
        if input.kind == Kind::Socket {
            let room = seam::room(Call::Recv, buffer.len())?;
            let (length, _) = recv(input, &mut buffer[..room], RecvFlags::DONTWAIT)?;
            return Ok(length);
        }
        let room = seam::room(Call::Read, buffer.len())?;
        match rustix::io::read(input, &mut buffer[..room]) {
            // So the system says that nobody has the other side open.
            Err(Errno::IO) if input.kind == Kind::Terminal => Ok(0),
            result => Ok(result?),
        }
    }

    /// Whether something may be left to read although the buffer was not filled.
    pub(super) fn may_have_more(&self) -> bool {
        let is_pipe = |end: &End| end.kind == Kind::Pipe && end.is_told;
        !self.input.as_ref().is_some_and(is_pipe)
    }

    pub(super) fn write(&self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        let output = self.output.as_ref().ok_or(io::ErrorKind::BrokenPipe)?;
        if output.kind == Kind::Socket {
            let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
            return seam::write_vectored(Call::Sendmsg, pieces, |pieces| {
                let nothing = &mut SendAncillaryBuffer::default();
                Ok(sendmsg(output, pieces, nothing, flags)?)
            });
        }
        seam::write_vectored(Call::Writev, pieces, |pieces| {
            Ok(rustix::io::writev(output, pieces)?)
        })
    }

    /// Whether nobody can read any more what is written.
    fn is_output_lost(&self) -> bool {
        let Some(output) = &self.output else {
            return false;
        };
        let mut asked = [PollFd::new(output, PollFlags::empty())];
        let at_once = Timespec::default();
        match seam::call(Call::Poll, || Ok(poll(&mut asked, Some(&at_once))?)) {
            Ok(_) => asked[0]
                .revents()
                .intersects(PollFlags::ERR | PollFlags::HUP),
            Err(_) => false,
        }
    }

    /// Closes the output. What is registered is told of as long as anybody has a copy: it is taken out first.
    pub(super) fn close_output(&mut self, registry: &Registry) {
        if let Some(output) = self.output.take() {
            output.deregister(registry);
            if output.kind == Kind::Socket {
                // It fails when the other side has gone.
                shutdown(&output, Shutdown::Write).ok();
            }
        }
    }
}

impl End {
    fn new(descriptor: OwnedFd, way: Way) -> io::Result<Self> {
        let flags = fcntl_getfl(&descriptor)?;
        let refused = match (way, flags & OFlags::ACCMODE) {
            (Way::In, OFlags::WRONLY) => Some("what is to be read is open for writing only"),
            (Way::Out, OFlags::RDONLY) => Some("what is to be written is open for reading only"),
            _ => None,
        };
        if let Some(text) = refused {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        fcntl_setfd(&descriptor, FdFlags::CLOEXEC)?;
        let status = seam::call(Call::Fstat, || Ok(rustix::fs::fstat(&descriptor)?))?;
        let kind = match FileType::from_raw_mode(status.st_mode) {
            FileType::Fifo => Kind::Pipe,
            FileType::Socket => Kind::Socket,
            _ if rustix::termios::isatty(&descriptor) => Kind::Terminal,
            _ => Kind::Other,
        };
        // Of a socket each call can say that it does not wait.
        let waits = !flags.contains(OFlags::NONBLOCK) && kind != Kind::Socket;
        if waits {
            ioctl_fionbio(&descriptor, true)?;
        }
        Ok(Self {
            descriptor,
            kind,
            is_told: true,
            waits_after: waits,
        })
    }

    fn register(&mut self, registry: &Registry, mark: Mark, interest: Interest) -> io::Result<()> {
        let descriptor = self.descriptor.as_raw_fd();
        match seam::call(Call::EpollCtl, || {
            SourceFd(&descriptor).register(registry, mark, interest)
        }) {
            // What lies on a disk is always ready.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                self.is_told = false;
                Ok(())
            }
            result => result,
        }
    }

    fn deregister(&self, registry: &Registry) {
        if self.is_told {
            // It fails only for what is not registered.
            SourceFd(&self.descriptor.as_raw_fd())
                .deregister(registry)
                .ok();
        }
    }
}

impl Drop for End {
    fn drop(&mut self) {
        if self.waits_after {
            // It worked the other way round.
            ioctl_fionbio(&self.descriptor, false).ok();
        }
    }
}

impl AsFd for End {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

impl Source for Files {
    /// Each end goes through `seam::call` for itself.
    fn register(&mut self, registry: &Registry, mark: Mark, _: Interest) -> io::Result<()> {
        if let Some(input) = &mut self.input {
            input.register(registry, mark, Interest::READABLE)?;
        }
        let Some(output) = &mut self.output else {
            return Ok(());
        };
        let registered = output.register(registry, mark, Interest::WRITABLE);
        if let (Err(_), Some(input)) = (&registered, &self.input) {
            input.deregister(registry);
        }
        registered
    }

    /// The interest of an end never changes; this only has the system tell again (`seam::faults` asks for it).
    fn reregister(&mut self, registry: &Registry, mark: Mark, _: Interest) -> io::Result<()> {
        let input = self.input.iter().map(|end| (end, Interest::READABLE));
        let output = self.output.iter().map(|end| (end, Interest::WRITABLE));
        for (end, interest) in input.chain(output).filter(|(end, _)| end.is_told) {
            SourceFd(&end.descriptor.as_raw_fd()).reregister(registry, mark, interest)?;
        }
        Ok(())
    }

    fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        for end in [&self.input, &self.output].into_iter().flatten() {
            end.deregister(registry);
        }
        Ok(())
    }
}

impl<C: Clock> Mio<C> {
    /// An event of files: room to write, bytes, or the end of either.
    pub(super) fn files_event(
        &mut self,
        token: Token,
        bits: u8,
        lease: &mut Lease,
    ) -> Option<Report> {
        let room = self.room_event(token, bits);
        if room.is_some() {
            return room;
        }
        self.cursor += 1;
        let slot = &mut self.slots[token.slot as usize];
        let Socket::Files(files) = &slot.socket else {
            return None;
        };
        let nothing_comes = files.input.is_none() || slot.has(socket::ENDED);
        if nothing_comes && files.output.is_none() && !slot.has(socket::ENDED) {
            slot.set(socket::ENDED);
            return Some(Report::ReadClosed { conn: token });
        }
        if nothing_comes && files.is_output_lost() {
            self.remove(token);
            let error = io::ErrorKind::BrokenPipe.into();
            return Some(Report::Closed { token, error });
        }
        if nothing_comes {
            return None;
        }
        self.bytes_event(token, bits, lease)
    }
}
