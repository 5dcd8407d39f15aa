//! The one door for `unsafe`: each function here is safe to call and says why its inside is sound.
#![expect(unsafe_code, reason = "this module is where tress may")]

pub(crate) mod inherited;
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

/// The ring of operations that io_uring shares with us: what an operation may touch stays alive and in its place
/// until its last completion, whatever the callers do.
#[cfg(all(feature = "uring", target_os = "linux"))]
pub(crate) mod ring {
    use crate::seam::{self, Call};
    use crate::uring::work::{Done, Key, Loan, Outcome, Piece, Work};
    use crate::waits::Waits;
    use io_uring::{
        EnterFlags, IoUring, cqueue, opcode, squeue,
        types::{CancelBuilder, Fd, SubmitArgs, Timespec},
    };
    use socket2::Socket;
    use std::{
        collections::VecDeque,
        io, mem,
        os::fd::{AsRawFd, FromRawFd, OwnedFd},
        ptr::NonNull,
        rc::Rc,
        sync::atomic::{AtomicU64, Ordering},
        time::Duration,
    };
    use tress_core::driver::Token;

    /// Buffers for what is received, a power of two, and the size of each.
    const BUFFERS: u16 = 1024;
    const BUFFER_BYTES: usize = 4096;
    /// The only group of buffers.
    const GROUP: u16 = 0;
    /// No wait is longer; the loop just waits again.
    const LONGEST: Duration = Duration::from_secs(86_400);
    /// How often a ring that is dropped cancels what is in flight, and how long it waits each time.
    const END_ROUNDS: u32 = 50;
    const END_WAIT: Duration = Duration::from_millis(10);

    /// The ring. Only the thread that made it may use it, and no other can.
    pub(crate) struct Ring {
        io: IoUring,
        buffers: Buffers,
        operations: Vec<Operation>,
        free: Vec<u32>,
        /// Entries that the submission queue had no room for.
        waiting: VecDeque<squeue::Entry>,
        /// Completions that the last `enter` found and that nobody has pulled.
        found: usize,
        unsubmitted: bool,
        waits: Waits,
    }

    /// A place for an operation; `work` is there from `start` to the last completion.
    struct Operation {
        generation: u32,
        token: Token,
        cancelled: bool,
        work: Option<Work>,
    }

    impl Ring {
        /// Gives a ring its buffers.
        pub(crate) fn new(io: IoUring) -> io::Result<Self> {
            let ring = Self {
                io,
                buffers: Buffers::new(),
                operations: Vec::new(),
                free: Vec::new(),
                waiting: VecDeque::new(),
                found: 0,
                unsubmitted: false,
                waits: Waits::default(),
            };
            let address = ring.buffers.address();
            let submitter = ring.io.submitter();
            seam::before(Call::IoUringRegister)?;
            // SAFETY: the entries are at this address, aligned, and are freed only after `drop` has unregistered them.
            unsafe { submitter.register_buf_ring_with_flags(address, BUFFERS, GROUP, 0)? };
            Ok(ring)
        }

        /// Asks the kernel for something, at the next `enter` at the latest.
        pub(crate) fn start(&mut self, token: Token, work: Work) -> Key {
            let entry = entry(&work);
            let place = self.free.pop().unwrap_or_else(|| {
                self.operations.push(Operation {
                    generation: 0,
                    token,
                    cancelled: false,
                    work: None,
                });
                u32::try_from(self.operations.len() - 1).expect("memory is smaller")
            });
            let operation = &mut self.operations[place as usize];
            operation.generation = operation.generation.wrapping_add(1);
            operation.token = token;
            operation.cancelled = false;
            operation.work = Some(work);
            let key = Key::new(place, operation.generation);
            #[cfg(feature = "faults")]
            let entry = match &operation.work {
                Some(work) => seam::ring::entry(entry, work, GROUP, key),
                None => entry,
            };
            self.push(entry.user_data(key.user_data()));
            key
        }

        /// Ends an operation soon: its last completion is still to come, and others may come before.
        pub(crate) fn cancel(&mut self, key: Key) {
            if let Some(operation) = self.operation(key)
                && !operation.cancelled
            {
                operation.cancelled = true;
                self.push_cancel(key);
            }
        }

        /// Submits what was started and waits for completions, at most for `timeout`.
        ///
        /// # Errors
        /// The ring is of no use any more.
        pub(crate) fn enter(&mut self, timeout: Option<Duration>) -> io::Result<()> {
            let all = self.push_waiting();
            let result = seam::once(Call::IoUringEnter, || match timeout {
                Some(timeout) if timeout.is_zero() || !all => self.poll(),
                None if !all => self.poll(),
                None => self.io.submit_and_wait(1),
                Some(timeout) => {
                    let timeout = Timespec::from(timeout.min(LONGEST));
                    let arguments = SubmitArgs::new().timespec(&timeout);
                    self.io.submitter().submit_with_args(1, &arguments)
                }
            });
            self.found = self.io.completion().len();
            if result.is_ok() {
                self.unsubmitted = !self.waiting.is_empty();
            }
            self.waits.ended(result)
        }

        /// The next of the completions that `enter` found.
        pub(crate) fn pull(&mut self) -> Option<Done> {
            while self.found > 0 {
                self.found -= 1;
                let completion = self.io.completion().next()?;
                if let Some(done) = self.done(&completion) {
                    return Some(done);
                }
            }
            None
        }

        /// Lets the kernel fill this buffer; any other will do as well as the one that was lent with that number.
        #[inline]
        pub(crate) fn give_back(&mut self, loan: Loan) {
            self.buffers.give(loan.id, loan.buffer);
        }

        /// Whether something was started that the kernel does not know of yet.
        pub(crate) fn has_unsubmitted(&self) -> bool {
            self.unsubmitted
        }

        /// The ring's own descriptor, readable while completions wait.
        pub(crate) fn descriptor(&self) -> i32 {
            self.io.as_raw_fd()
        }

        fn operation(&mut self, key: Key) -> Option<&mut Operation> {
            let operation = self.operations.get_mut(key.place())?;
            let place = u32::try_from(key.place()).ok()?;
            let same = Key::new(place, operation.generation) == key;
            (same && operation.work.is_some()).then_some(operation)
        }

        /// Turns a completion into what its operation has come to.
        fn done(&mut self, completion: &cqueue::Entry) -> Option<Done> {
            let (key, answer) = Key::from_user_data(completion.user_data());
            #[cfg(not(feature = "faults"))]
            let result = completion.result();
            #[cfg(feature = "faults")]
            let result = seam::ring::result(completion);
            if answer {
                self.cancel_answered(key, result);
                return None;
            }
            let result = u32::try_from(result).map_err(|_| io::Error::from_raw_os_error(-result));
            let loan = self.loan(completion.flags());
            let operation = self.operation(key)?;
            let (token, work) = (operation.token, operation.work.take()?);
            let more = cqueue::more(completion.flags());
            let outcome = match &work {
                Work::Accept(_) => Outcome::Accepted(result.and_then(|_| accepted(completion))),
                Work::Connect(_, address) => {
                    Outcome::Connected(result.map(drop), Rc::clone(address))
                }
                Work::Receive(_) => Outcome::Received(result.map(|count| count as usize), loan),
                Work::Rest(_) => Outcome::Rested,
                Work::Watch(_) => Outcome::Woken,
                Work::Send(..) => return self.sent(key, token, work, result),
            };
            if more {
                operation.work = Some(work);
            } else {
                self.free.push(u32::try_from(key.place()).ok()?);
            }
            Some(Done {
                token,
                outcome,
                more,
            })
        }

        /// A send completes once, and gives its piece back.
        fn sent(
            &mut self,
            key: Key,
            token: Token,
            work: Work,
            result: io::Result<u32>,
        ) -> Option<Done> {
            self.free.push(u32::try_from(key.place()).ok()?);
            let Work::Send(_, piece) = work else {
                return None;
            };
            Some(Done {
                token,
                outcome: Outcome::Sent(result.map(|count| count as usize), piece),
                more: false,
            })
        }

        /// The buffer that a completion names. It takes one even from an operation that failed or was cancelled.
        fn loan(&mut self, flags: u32) -> Option<Loan> {
            let id = cqueue::buffer_select(flags)?;
            let buffer = self.buffers.take(id)?;
            Some(Loan { buffer, id })
        }

        /// Only a failure is answered: the operation was just between two waits, so once more if it is still there.
        fn cancel_answered(&mut self, key: Key, result: i32) {
            if result < 0 && self.operation(key).is_some() {
                self.push_cancel(key);
            }
        }

        fn push_cancel(&mut self, key: Key) {
            let entry = opcode::AsyncCancel::new(key.user_data()).build();
            let entry = entry.flags(squeue::Flags::SKIP_SUCCESS);
            #[cfg(feature = "faults")]
            let entry = seam::ring::cancellation(entry, key);
            self.push(entry.user_data(key.user_data_of_cancellation()));
        }

        /// Puts an entry into the submission queue, or behind those that wait for room there.
        fn push(&mut self, entry: squeue::Entry) {
            self.unsubmitted = true;
            if !self.waiting.is_empty() || !self.try_push(&entry) {
                self.waiting.push_back(entry);
                self.push_waiting();
            }
        }

        /// Moves what waits into the submission queue, submitting when that is full. False when some is left.
        fn push_waiting(&mut self) -> bool {
            while let Some(entry) = self.waiting.pop_front() {
                if !self.try_push(&entry) {
                    self.waiting.push_front(entry);
                    if seam::once(Call::IoUringEnter, || self.io.submit()).is_err() {
                        return false;
                    }
                }
            }
            true
        }

        fn try_push(&mut self, entry: &squeue::Entry) -> bool {
            // SAFETY: every entry was made by `entry` for work in `operations`, or refers to no memory. Work stays
            // there until its last completion, and `drop` would rather leak it than free it earlier.
            unsafe { self.io.submission().push(entry) }.is_ok()
        }

        /// Submits, and lets the kernel post what is ready, without waiting.
        fn poll(&mut self) -> io::Result<usize> {
            let count = u32::try_from(self.io.submission().len()).expect("the queue is short");
            let events = EnterFlags::GETEVENTS.bits();
            let submitter = self.io.submitter();
            // SAFETY: there are that many entries, and there is no argument.
            unsafe { submitter.enter::<libc::sigset_t>(count, 0, events, None) }
        }

        fn in_flight(&self) -> usize {
            self.operations.len() - self.free.len()
        }
    }

    impl Drop for Ring {
        fn drop(&mut self) {
            for _ in 0..END_ROUNDS {
                self.enter(Some(Duration::ZERO)).ok();
                while self.pull().is_some() {}
                if self.in_flight() == 0 {
                    break;
                }
                let (wait, all) = (Timespec::from(END_WAIT), CancelBuilder::any());
                // It finds nothing when all has just ended by itself.
                self.io
                    .submitter()
                    .register_sync_cancel(Some(wait), all)
                    .ok();
            }
            // It fails also when it was never registered; then the kernel knows no buffer either.
            self.io.submitter().unregister_buf_ring(GROUP).ok();
            if self.in_flight() == 0 {
                self.buffers.free();
            } else {
                tracing::error!(target: "tress", "io_uring keeps {} operations; their memory is left", self.in_flight());
                mem::forget(mem::take(&mut self.operations));
                mem::forget(mem::take(&mut self.buffers.entries));
            }
        }
    }

    /// The kernel's view of some work. What it points to is on the heap and does not move with the work.
    fn entry(work: &Work) -> squeue::Entry {
        match work {
            Work::Accept(socket) => opcode::AcceptMulti::new(Fd(socket.as_raw_fd()))
                .flags(libc::SOCK_CLOEXEC)
                .build(),
            Work::Connect(socket, address) => opcode::Connect::new(
                Fd(socket.as_raw_fd()),
                address.as_ptr().cast(),
                address.len(),
            )
            .build(),
            Work::Receive(socket) => opcode::RecvMulti::new(Fd(socket.as_raw_fd()), GROUP).build(),
            Work::Send(socket, piece) => send_entry(socket, piece),
            Work::Rest(time) => opcode::Timeout::new(&raw const **time).build(),
            Work::Watch(file) => {
                let readable = u32::from(libc::POLLIN.cast_unsigned());
                opcode::PollAdd::new(Fd(file.as_raw_fd()), readable)
                    .multi(true)
                    .build()
            }
        }
    }

    fn send_entry(socket: &Socket, piece: &Piece) -> squeue::Entry {
        let rest = piece.rest();
        let length = u32::try_from(rest.len().min(1 << 30)).expect("it is at most that");
        opcode::Send::new(Fd(socket.as_raw_fd()), rest.as_ptr(), length)
            .flags(libc::MSG_NOSIGNAL)
            .build()
    }

    fn accepted(completion: &cqueue::Entry) -> io::Result<Socket> {
        // SAFETY: this is the result of an accept that succeeded: a descriptor the kernel has just made for us.
        let descriptor = unsafe { OwnedFd::from_raw_fd(completion.result()) };
        Ok(descriptor.into())
    }

    /// Eight bytes of the entries; the kernel only reads them.
    #[repr(C, align(4096))]
    struct Page([AtomicU64; WORDS]);

    const WORDS: usize = 512;

    /// The buffers that the kernel may fill. Each is either the kernel's or lent.
    struct Buffers {
        /// 16 bytes for each: the address; the length, the number and, in the first, the tail.
        entries: Box<[Page]>,
        /// The buffers that are the kernel's, by number.
        given: Box<[Option<NonNull<[u8]>>]>,
        tail: u16,
    }

    impl Buffers {
        fn new() -> Self {
            let pages = (usize::from(BUFFERS) * 2).div_ceil(WORDS);
            let page = || Page([const { AtomicU64::new(0) }; WORDS]);
            let mut buffers = Self {
                entries: (0..pages).map(|_| page()).collect(),
                given: vec![None; BUFFERS.into()].into(),
                tail: 0,
            };
            for id in 0..BUFFERS {
                buffers.give(id, Box::default());
            }
            buffers
        }

        fn address(&self) -> u64 {
            self.entries.as_ptr().expose_provenance() as u64
        }

        /// Makes this buffer the kernel's under this number, unless it has one with that number.
        fn give(&mut self, id: u16, mut buffer: Box<[u8]>) {
            let Some(place @ None) = self.given.get_mut(usize::from(id)) else {
                return;
            };
            if buffer.is_empty() {
                buffer = vec![0; BUFFER_BYTES].into();
            }
            let length = u32::try_from(buffer.len()).unwrap_or(u32::MAX);
            let pointer = NonNull::from(Box::leak(buffer));
            *place = Some(pointer);
            let address = pointer.as_ptr().cast::<u8>().expose_provenance() as u64;
            let at = usize::from(self.tail & (BUFFERS - 1)) * 2;
            // In the first entry the last two bytes are the tail, which must not change before the entry is complete.
            let last = if at == 0 { self.tail } else { 0 };
            self.word(at).store(address, Ordering::Relaxed);
            self.word(at + 1)
                .store(second(length, id, last), Ordering::Relaxed);
            self.tail = self.tail.wrapping_add(1);
            let first = self.word(1).load(Ordering::Relaxed).to_ne_bytes();
            let [a, b, c, d, e, f, _, _] = first;
            let [g, h] = self.tail.to_ne_bytes();
            let first = u64::from_ne_bytes([a, b, c, d, e, f, g, h]);
            self.word(1).store(first, Ordering::Release);
        }

        #[inline]
        fn word(&self, at: usize) -> &AtomicU64 {
            &self.entries[at / WORDS].0[at % WORDS]
        }

        /// Takes the buffer that the kernel has filled.
        fn take(&mut self, id: u16) -> Option<Box<[u8]>> {
            let pointer = self.given.get_mut(usize::from(id))?.take()?;
            // SAFETY: `give` made it of a box and it is taken once. The kernel names it in a completion, and so has
            // done with it; or there is no operation left that could use it.
            Some(unsafe { Box::from_raw(pointer.as_ptr()) })
        }

        /// Frees all, when the kernel uses none any more.
        fn free(&mut self) {
            for id in 0..BUFFERS {
                drop(self.take(id));
            }
        }
    }

    /// The second half of an entry, in the order of its bytes in memory.
    fn second(length: u32, id: u16, last: u16) -> u64 {
        let ([a, b, c, d], [e, f], [g, h]) =
            (length.to_ne_bytes(), id.to_ne_bytes(), last.to_ne_bytes());
        u64::from_ne_bytes([a, b, c, d, e, f, g, h])
    }
}
