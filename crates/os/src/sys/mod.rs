//! The one door for `unsafe`: each function here is safe to call and says why its inside is sound.
#![expect(unsafe_code, reason = "this module is where tress may")]

pub(crate) mod inherited;
#[cfg(all(feature = "uring", target_os = "linux"))]
pub(crate) mod ring;
pub(crate) mod signals;

use crate::seam::{self, Call};
use std::{io, os::fd::AsRawFd};

/// Receives what is there, as `Read::read` of a socket does: without its detours, for the path of every message.
#[inline(always)]
pub(crate) fn receive(socket: &impl AsRawFd, buffer: &mut [u8]) -> io::Result<usize> {
    let fd = socket.as_raw_fd();
    let room = seam::room(Call::Recv, buffer.len())?;
    // SAFETY: the buffer is valid for writes of its length, which the room is at most, and the socket is open as long as it is borrowed.
    let count = unsafe { libc::recv(fd, buffer.as_mut_ptr().cast(), room, 0) };
    usize::try_from(count).map_err(|_| io::Error::last_os_error())
}

/// Sends what there is room for, as `Write::write` of a socket does.
#[inline(always)]
pub(crate) fn send(socket: &impl AsRawFd, bytes: &[u8]) -> io::Result<usize> {
    let fd = socket.as_raw_fd();
    let room = seam::room(Call::Send, bytes.len())?;
    // SAFETY: the bytes are valid for reads of their length, which the room is at most, and the socket is open as long as it is borrowed.
    let count = unsafe { libc::send(fd, bytes.as_ptr().cast(), room, libc::MSG_NOSIGNAL) };
    usize::try_from(count).map_err(|_| io::Error::last_os_error())
}

/// The monotonic clock, in nanoseconds. Shorter than `Instant`, which the loop would notice.
#[inline]
pub(crate) fn monotonic() -> u64 {
    let mut now = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `now` is a valid place for the answer, and this clock exists on every system that has it in `libc`.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut now) };
    now.tv_sec.cast_unsigned() * 1_000_000_000 + now.tv_nsec.cast_unsigned()
}

/// The processor's cycle counter, where it has one that ticks at one rate on all cores.
#[inline]
pub(crate) fn cycles() -> u64 {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: every x86_64 processor has RDTSC, and it touches no memory.
    return unsafe { std::arch::x86_64::_rdtsc() };
    #[cfg(not(target_arch = "x86_64"))]
    return 0;
}

/// An eventfd: a count that other threads and signal handlers can write to.
#[cfg(all(feature = "uring", target_os = "linux"))]
pub(crate) fn event_descriptor() -> io::Result<std::fs::File> {
    use std::os::fd::{FromRawFd, OwnedFd};
    seam::before(Call::EventFd)?;
    // SAFETY: the call takes no pointer.
    let descriptor = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
    if descriptor < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just made it for us, and nobody else knows of it.
    let owned = unsafe { OwnedFd::from_raw_fd(descriptor) };
    Ok(owned.into())
}

/// What a child does between the fork and its program.
pub(crate) mod exec {
    use crate::process::copy_above;
    use std::{
        collections::BTreeMap,
        io,
        os::{
            fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd},
            unix::process::CommandExt,
        },
        process::Command,
    };

    /// The descriptors that a child shall have, in such places that none is in the way of another.
    pub(crate) struct Plan {
        /// Where they are, and the child's numbers, which are lower than all of those.
        moves: Vec<(OwnedFd, RawFd)>,
        /// The terminal that shall be the child's own.
        terminal: Option<OwnedFd>,
        /// They keep the child's numbers in use, so that nothing that is opened for the fork itself gets one.
        _taken: Vec<OwnedFd>,
    }

    impl Plan {
        /// `None` stands for the terminal.
        pub(crate) fn new(
            given: BTreeMap<u32, Option<OwnedFd>>,
            terminal: Option<OwnedFd>,
        ) -> io::Result<Self> {
            let too_high = |_| io::Error::from(io::ErrorKind::InvalidInput);
            let highest = given.last_key_value().map_or(2, |(number, _)| *number);
            let above = i32::try_from(highest).map_err(too_high)?.max(2);
            let above = above.checked_add(1).ok_or(io::ErrorKind::InvalidInput)?;
            let mut moves = Vec::new();
            let mut taken = Vec::new();
            for (number, file) in given {
                let number = RawFd::try_from(number).map_err(too_high)?;
                let Some(file) = file.as_ref().or(terminal.as_ref()) else {
                    continue;
                };
                moves.push((copy_above(file.as_fd(), above)?, number));
                let place = copy_above(file.as_fd(), number)?;
                if place.as_raw_fd() == number {
                    taken.push(place);
                }
            }
            let terminal = match terminal {
                Some(terminal) => Some(copy_above(terminal.as_fd(), above)?),
                None => None,
            };
            Ok(Self {
                moves,
                terminal,
                _taken: taken,
            })
        }

        /// In the child: nothing here may allocate or take a lock.
        fn run(&self) -> io::Result<()> {
            if let Some(terminal) = &self.terminal {
                rustix::process::setsid()?;
                rustix::process::ioctl_tiocsctty(terminal)?;
            }
            close_at_exec()?;
            for (file, number) in &self.moves {
                // SAFETY: the call takes no pointer, and in this process, which only the program will run in, nobody
                // owns what has that number.
                if unsafe { libc::dup2(file.as_raw_fd(), *number) } < 0 {
                    return Err(io::Error::last_os_error());
                }
            }
            forget_ignored_signals();
            Ok(())
        }
    }

    /// Has the child follow the plan before it runs the program.
    pub(crate) fn before_exec(command: &mut Command, plan: Plan) {
        // SAFETY: what runs after the fork makes system calls only, on what was opened before.
        unsafe { command.pre_exec(move || plan.run()) };
    }

    /// A copy of the descriptor of this process with that number, if it is open.
    pub(crate) fn copy_of(number: u32) -> io::Result<OwnedFd> {
        let number = RawFd::try_from(number).map_err(|_| io::ErrorKind::InvalidInput)?;
        crate::seam::before(crate::seam::Call::Dup)?;
        // SAFETY: the call takes no pointer.
        let copy = unsafe { libc::fcntl(number, libc::F_DUPFD_CLOEXEC, 3) };
        if copy < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the kernel has just made it for us, and nobody else knows of it.
        Ok(unsafe { OwnedFd::from_raw_fd(copy) })
    }

    /// Marks everything beyond 2 to be closed when the program begins.
    fn close_at_exec() -> io::Result<()> {
        let flags = libc::c_int::try_from(libc::CLOSE_RANGE_CLOEXEC).unwrap_or_default();
        // SAFETY: the call takes no pointer, and closes nothing yet.
        if unsafe { libc::close_range(3, libc::c_uint::MAX, flags) } == 0 {
            return Ok(());
        }
        // A kernel before 5.11: one by one.
        let most = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
        let most = most.and_then(|most| RawFd::try_from(most).ok());
        for number in 3..most.unwrap_or(65_536).min(65_536) {
            // SAFETY: it is only marked, if there is one; this process is the child's alone.
            let file = unsafe { BorrowedFd::borrow_raw(number) };
            rustix::io::fcntl_setfd(file, rustix::io::FdFlags::CLOEXEC).ok();
        }
        Ok(())
    }

    /// Signals that this process ignores would be ignored by the program as well.
    fn forget_ignored_signals() {
        for number in 1..=64 {
            // SAFETY: the default action is no code of ours. It fails for those that cannot be changed.
            unsafe { libc::signal(number, libc::SIG_DFL) };
        }
    }
}

/// Many datagrams with one system call: `recvmmsg` and `sendmmsg`.
pub(crate) mod datagrams {
    use crate::seam::{self, Call};
    use socket2::{SockAddr, SockAddrStorage};
    use std::{io, mem, os::fd::AsRawFd, ptr};

    /// Datagrams in one system call.
    pub(crate) const TOGETHER: usize = 32;

    /// What the kernel reads and writes beside the data, made once and used for every call.
    pub(crate) struct Headers {
        names: Box<[libc::sockaddr_storage]>,
        pieces: Box<[libc::iovec]>,
        headers: Box<[libc::mmsghdr]>,
    }

    /// What the kernel said of one datagram.
    pub(crate) struct Received {
        /// How much of it lies in its part of the buffer.
        pub(crate) length: usize,
        /// Whether that is all of it.
        pub(crate) is_whole: bool,
        /// Nothing for a UNIX socket without a name.
        pub(crate) from: Option<SockAddr>,
    }

    impl Default for Headers {
        fn default() -> Self {
            // SAFETY: zeros are a valid value: a family, and bytes.
            let name: libc::sockaddr_storage = unsafe { mem::zeroed() };
            // SAFETY: zeros are a valid value: null pointers of no length, and numbers.
            let header = || unsafe { mem::zeroed::<libc::mmsghdr>() };
            let piece = || libc::iovec {
                iov_base: ptr::null_mut(),
                iov_len: 0,
            };
            Self {
                names: vec![name; TOGETHER].into(),
                pieces: (0..TOGETHER).map(|_| piece()).collect(),
                headers: (0..TOGETHER).map(|_| header()).collect(),
            }
        }
    }

    impl Headers {
        /// Receives what is there without waiting, each datagram into its own `longest` bytes of the buffer. As many as
        /// the buffer has parts, at most [`TOGETHER`]; the first ones of `received` after this.
        pub(crate) fn receive(
            &mut self,
            socket: &impl AsRawFd,
            buffer: &mut [u8],
            longest: usize,
        ) -> io::Result<usize> {
            let mut count = 0;
            let parts = buffer.chunks_exact_mut(longest.max(1));
            for ((part, piece), (name, header)) in parts
                .zip(&mut self.pieces)
                .zip(self.names.iter_mut().zip(&mut self.headers))
            {
                piece.iov_base = part.as_mut_ptr().cast();
                piece.iov_len = longest;
                header.msg_len = 0;
                header.msg_hdr.msg_name = ptr::from_mut(name).cast();
                header.msg_hdr.msg_namelen = length_of_name();
                header.msg_hdr.msg_iov = ptr::from_mut(piece);
                header.msg_hdr.msg_iovlen = 1;
                header.msg_hdr.msg_flags = 0;
                count += 1;
            }
            let count = offered(seam::room(Call::Recvmmsg, count)?);
            let (fd, headers) = (socket.as_raw_fd(), self.headers.as_mut_ptr());
            // SAFETY: the first `count` headers have been pointed at a name of its own, at a piece of its own, and
            // through that at `longest` bytes of the borrowed buffer of its own; all of these live until the call
            // returns. Their other fields are zero, as nothing else ever sets them. The time is none.
            let received =
                unsafe { libc::recvmmsg(fd, headers, count, libc::MSG_DONTWAIT, ptr::null_mut()) };
            usize::try_from(received).map_err(|_| io::Error::last_os_error())
        }

        /// What the last `receive` says of the datagram at `index`, which is below its count.
        pub(crate) fn received(&self, index: usize) -> Received {
            let header = &self.headers[index];
            let length = header.msg_hdr.msg_namelen;
            let from = (length > 0).then(|| {
                let mut storage = SockAddrStorage::zeroed();
                // SAFETY: this is the type that it is storage for.
                *unsafe { storage.view_as() } = self.names[index];
                // SAFETY: the kernel has written a socket's address there, of this length.
                unsafe { SockAddr::new(storage, length.min(length_of_name())) }
            });
            Received {
                length: header.msg_len as usize,
                is_whole: header.msg_hdr.msg_flags & libc::MSG_TRUNC == 0,
                from,
            }
        }

        /// Sends datagrams without waiting, at most [`TOGETHER`], and says how many have left: at least one. An address
        /// that is an error counts like a datagram that the kernel refuses.
        pub(crate) fn send<'a>(
            &mut self,
            socket: &impl AsRawFd,
            datagrams: impl Iterator<Item = (io::Result<Option<SockAddr>>, &'a [u8])>,
        ) -> io::Result<usize> {
            let mut count = 0;
            for (((to, data), piece), (name, header)) in datagrams
                .zip(&mut self.pieces)
                .zip(self.names.iter_mut().zip(&mut self.headers))
            {
                let to = match to {
                    Err(error) if count == 0 => return Err(error),
                    Err(_) => break,
                    Ok(to) => to,
                };
                piece.iov_base = data.as_ptr().cast_mut().cast();
                piece.iov_len = data.len();
                header.msg_hdr.msg_iov = ptr::from_mut(piece);
                header.msg_hdr.msg_iovlen = 1;
                header.msg_hdr.msg_name = ptr::null_mut();
                header.msg_hdr.msg_namelen = 0;
                if let Some(to) = to {
                    header.msg_hdr.msg_namelen = to.len();
                    let mut storage = to.as_storage();
                    // SAFETY: this is the type that it is storage for.
                    *name = *unsafe { storage.view_as() };
                    header.msg_hdr.msg_name = ptr::from_mut(name).cast();
                }
                count += 1;
            }
            let count = offered(seam::room(Call::Sendmmsg, count)?);
            let flags = libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT;
            let (fd, headers) = (socket.as_raw_fd(), self.headers.as_mut_ptr());
            // SAFETY: the first `count` headers have been pointed at a piece of its own, and through that at borrowed
            // data, which the kernel only reads; and at no name or at one of its own. All of these live until the call
            // returns. Their other fields are zero, as nothing else ever sets them, or not read.
            let sent = unsafe { libc::sendmmsg(fd, headers, count, flags) };
            usize::try_from(sent).map_err(|_| io::Error::last_os_error())
        }
    }

    fn offered(count: usize) -> libc::c_uint {
        libc::c_uint::try_from(count).expect("it is at most 32")
    }

    fn length_of_name() -> libc::socklen_t {
        const LENGTH: usize = size_of::<libc::sockaddr_storage>();
        libc::socklen_t::try_from(LENGTH).expect("it is 128")
    }
}
