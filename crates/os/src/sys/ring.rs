//! The ring of operations that io_uring shares with us: what an operation may touch stays alive and in its place
//! until its last completion, whatever the callers do. Knows no socket's state and no protocol.

use crate::seam::{self, Call};
use crate::uring::{
    UringOptions,
    bell::{self, Bell, Resting},
    work::{Done, Key, Loan, Outcome, Piece, Work},
};
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
    ptr::{self, NonNull},
    rc::Rc,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};
use tress_core::driver::Token;

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
    options: UringOptions,
    buffers: Buffers,
    operations: Vec<Operation>,
    free: Vec<u32>,
    /// Entries that the submission queue had no room for.
    waiting: VecDeque<squeue::Entry>,
    /// What was seen before its turn, when an operation was ended at once.
    ahead: VecDeque<Done>,
    /// The kernel had no buffer for what came.
    lacks_buffers: bool,
    /// Completions that the last `enter` found and that nobody has pulled.
    found: usize,
    unsubmitted: bool,
    waits: Waits,
    /// What a foreign loop watches.
    bell: Bell,
    resting: Resting,
}

/// A place for an operation; `work` is there from `start` to the last completion.
struct Operation {
    generation: u32,
    token: Token,
    cancelled: bool,
    work: Option<Work>,
    /// The buffer that it receives into, if it has one of its own.
    buffer: Option<u32>,
}

impl Ring {
    /// Gives a ring its buffers. The options say what this kernel can do, but for these.
    pub(crate) fn new(io: IoUring, options: UringOptions) -> io::Result<Self> {
        let mut ring = Self {
            io,
            buffers: Buffers::new(&options),
            options,
            operations: Vec::new(),
            free: Vec::new(),
            waiting: VecDeque::new(),
            ahead: VecDeque::new(),
            lacks_buffers: false,
            found: 0,
            unsubmitted: false,
            waits: Waits::default(),
            bell: Bell::default(),
            resting: Resting::default(),
        };
        if ring.options.provided_buffers && !ring.provide_buffers()? {
            ring.options.provided_buffers = false;
            ring.options.multishot_receive = false;
            ring.buffers.free();
            ring.buffers = Buffers::new(&ring.options);
        }
        Ok(ring)
    }

    /// Shows the kernel the buffers. False when it knows of no such thing.
    fn provide_buffers(&self) -> io::Result<bool> {
        let (address, count) = (self.buffers.address(), self.options.buffers);
        let submitter = self.io.submitter();
        let registered = seam::once(Call::IoUringRegister, || {
            // SAFETY: the entries are at this address, aligned, and are freed only after `drop` has unregistered them.
            unsafe { submitter.register_buf_ring_with_flags(address, count, GROUP, 0) }
        });
        match registered {
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => Ok(false),
            result => result.map(|()| true),
        }
    }

    /// Asks the kernel for something, at the next `enter` at the latest.
    pub(crate) fn start(&mut self, token: Token, work: Work) -> Key {
        let buffer = match &work {
            Work::Receive(_) if !self.options.provided_buffers => Some(self.buffers.own()),
            _ => None,
        };
        let entry = self.entry(&work, buffer);
        let place = self.free.pop().unwrap_or_else(|| {
            self.operations.push(Operation {
                generation: 0,
                token,
                cancelled: false,
                work: None,
                buffer: None,
            });
            u32::try_from(self.operations.len() - 1).expect("memory is smaller")
        });
        let operation = &mut self.operations[place as usize];
        operation.generation = operation.generation.wrapping_add(1);
        operation.token = token;
        operation.cancelled = false;
        operation.work = Some(work);
        operation.buffer = buffer;
        let key = Key::new(place, operation.generation);
        #[cfg(feature = "faults")]
        let entry = match &operation.work {
            Some(work) => {
                let group = self.options.provided_buffers.then_some(GROUP);
                seam::ring::entry(entry, work, group, key)
            }
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

    /// Ends an operation now: it does no more, what it has done by then is pulled later, and what it had is free.
    pub(crate) fn cancel_now(&mut self, key: Key) {
        let Some(operation) = self.operation(key) else {
            return;
        };
        operation.cancelled = true;
        // What the kernel does not know of cannot be cancelled.
        let all = self.push_waiting();
        let submitted = seam::once(Call::IoUringEnter, || self.io.submit());
        let cancelled = seam::once(Call::IoUringRegister, || {
            let (wait, one) = (
                Timespec::from(END_WAIT),
                CancelBuilder::user_data(key.user_data()),
            );
            self.io.submitter().register_sync_cancel(Some(wait), one)
        });
        // The kernel may still have to say so.
        seam::once(Call::IoUringEnter, || self.poll()).ok();
        loop {
            let completion = self.io.completion().next();
            let Some(completion) = completion else { break };
            let done = self.done(&completion);
            self.ahead.extend(done);
        }
        self.found = 0;
        if self.operation(key).is_some() && (!all || submitted.is_err() || cancelled.is_err()) {
            self.push_cancel(key);
        }
    }

    /// Submits what was started and waits for completions, at most for `timeout`.
    ///
    /// # Errors
    /// The ring is of no use any more.
    pub(crate) fn enter(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        self.resting.set(false);
        if mem::take(&mut self.lacks_buffers) {
            self.buffers.grow();
        }
        let all = self.push_waiting() && self.ahead.is_empty();
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
        self.bell.silence();
        self.found = self.io.completion().len();
        if result.is_ok() {
            self.unsubmitted = !self.waiting.is_empty();
        }
        self.waits.ended(result)
    }

    /// The next of the completions that `enter` found.
    pub(crate) fn pull(&mut self) -> Option<Done> {
        if !self.ahead.is_empty() {
            return self.ahead.pop_front();
        }
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

    /// For a foreign loop: a descriptor that becomes readable when there is more than [`Ring::has_backlog`] knew of.
    ///
    /// # Errors
    /// It cannot be had.
    pub(crate) fn descriptor(&self) -> io::Result<i32> {
        self.bell.hang(&self.io)
    }

    /// What rings when there is something, once a foreign loop watches it.
    pub(crate) fn bell(&self) -> Bell {
        self.bell.clone()
    }

    /// A foreign loop watches the descriptor.
    pub(crate) fn is_watched(&self) -> bool {
        self.bell.is_there()
    }

    /// Whether there is something to tell the kernel, or to hear from it, without anything new: no descriptor tells of
    /// that. If not, whoever asks may wait for the descriptor, and what is started from then on makes it readable.
    pub(crate) fn has_backlog(&self) -> bool {
        let backlog =
            self.unsubmitted || !self.ahead.is_empty() || self.found > 0 || bell::is_due(&self.io);
        self.resting.set(!backlog);
        backlog
    }

    /// The driver has something to do in a turn.
    #[inline]
    pub(crate) fn asked(&self) {
        self.bell.asked(&self.resting);
    }

    /// What it uses of this kernel.
    #[cfg(test)]
    pub(crate) fn options(&self) -> &UringOptions {
        &self.options
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
        let own = operation.buffer.take();
        let (token, work) = (operation.token, operation.work.take()?);
        let loan = loan.or_else(|| self.loan_of(own?));
        let more = cqueue::more(completion.flags());
        let outcome = match &work {
            Work::Accept(_) => Outcome::Accepted(result.and_then(|_| accepted(completion))),
            Work::Connect(_, address) => Outcome::Connected(result.map(drop), Rc::clone(address)),
            Work::Receive(_) => {
                let full = |error: &io::Error| error.raw_os_error() == Some(libc::ENOBUFS);
                self.lacks_buffers |= result.as_ref().is_err_and(full);
                Outcome::Received(result.map(|count| count as usize), loan)
            }
            Work::Rest(_) => Outcome::Rested,
            Work::Watch(_) => Outcome::Woken,
            Work::AwaitInput(_) => Outcome::Readable,
            Work::AwaitRoom(_) => Outcome::Writable,
            Work::Send(..) => return self.sent(key, token, work, result),
        };
        if more {
            self.operations[key.place()].work = Some(work);
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
        self.loan_of(cqueue::buffer_select(flags)?.into())
    }

    fn loan_of(&mut self, id: u32) -> Option<Loan> {
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
        self.asked();
        if !self.waiting.is_empty() || !self.try_push(&entry) {
            self.waiting.push_back(entry);
            self.push_waiting();
        }
        if !self.options.batched_submission {
            // What is not taken now is taken later.
            seam::once(Call::IoUringEnter, || self.io.submit()).ok();
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
        if self.options.provided_buffers {
            // It fails also when it was never registered; then the kernel knows no buffer either.
            self.io.submitter().unregister_buf_ring(GROUP).ok();
        }
        if self.in_flight() == 0 {
            self.buffers.free();
        } else {
            tracing::error!(target: "tress", "io_uring keeps {} operations; their memory is left", self.in_flight());
            mem::forget(mem::take(&mut self.operations));
            mem::forget(mem::take(&mut self.buffers.entries));
        }
    }
}

impl Ring {
    /// The kernel's view of some work. What it points to is on the heap and does not move with the work; `buffer` is one
    /// that the operation has for itself.
    fn entry(&self, work: &Work, buffer: Option<u32>) -> squeue::Entry {
        match work {
            Work::Accept(socket) if self.options.multishot_accept => {
                opcode::AcceptMulti::new(Fd(socket.as_raw_fd()))
                    .flags(libc::SOCK_CLOEXEC)
                    .build()
            }
            Work::Accept(socket) => {
                opcode::Accept::new(Fd(socket.as_raw_fd()), ptr::null_mut(), ptr::null_mut())
                    .flags(libc::SOCK_CLOEXEC)
                    .build()
            }
            Work::Connect(socket, address) => opcode::Connect::new(
                Fd(socket.as_raw_fd()),
                address.as_ptr().cast(),
                address.len(),
            )
            .build(),
            Work::Receive(socket) => self.receive_entry(socket, buffer),
            Work::Send(socket, piece) => send_entry(socket, piece),
            Work::Rest(time) => opcode::Timeout::new(&raw const **time).build(),
            Work::Watch(file) => poll_entry(&**file, libc::POLLIN).multi(true).build(),
            Work::AwaitInput(file) => poll_entry(&**file, libc::POLLIN).build(),
            Work::AwaitRoom(file) => poll_entry(&**file, libc::POLLOUT).build(),
        }
    }

    fn receive_entry(&self, socket: &Socket, buffer: Option<u32>) -> squeue::Entry {
        let socket = Fd(socket.as_raw_fd());
        if let Some((address, length)) = buffer.and_then(|id| self.buffers.place(id)) {
            return opcode::Recv::new(socket, address, length).build();
        }
        if self.options.multishot_receive {
            return opcode::RecvMulti::new(socket, GROUP).build();
        }
        let most = u32::try_from(self.options.buffer_bytes).unwrap_or(u32::MAX);
        opcode::Recv::new(socket, ptr::null_mut(), most)
            .buf_group(GROUP)
            .build()
            .flags(squeue::Flags::BUFFER_SELECT)
    }
}

fn poll_entry(file: &dyn AsRawFd, events: libc::c_short) -> opcode::PollAdd {
    opcode::PollAdd::new(Fd(file.as_raw_fd()), u32::from(events.cast_unsigned()))
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

/// So many buffers are shown to the kernel at first. It fills the one that was given back longest ago, so each that is there
/// is touched in turn: more than are in use at once only put what is needed next out of the processor's caches.
const FIRST_BUFFERS: u16 = 64;

/// The buffers that the kernel may fill. Each is either the kernel's or lent; or, where the kernel is shown none, one of
/// an operation, or idle.
struct Buffers {
    /// 16 bytes for each: the address; the length, the number and, in the first, the tail. None where the kernel does not
    /// choose among them.
    entries: Box<[Page]>,
    /// The buffers that are not lent, by number.
    given: Vec<Option<NonNull<[u8]>>>,
    /// Numbers of those that no operation has, where the kernel does not choose.
    idle: Vec<u32>,
    /// How many the kernel may choose among at most, how many it was shown so far, and how large each is.
    count: u16,
    shown: u16,
    bytes: usize,
    tail: u16,
}

impl Buffers {
    fn new(options: &UringOptions) -> Self {
        let count = if options.provided_buffers {
            options.buffers
        } else {
            0
        };
        let pages = (usize::from(count) * 2).div_ceil(WORDS);
        let page = || Page([const { AtomicU64::new(0) }; WORDS]);
        let mut buffers = Self {
            entries: (0..pages).map(|_| page()).collect(),
            given: vec![None; count.into()],
            idle: Vec::new(),
            count,
            shown: 0,
            bytes: options.buffer_bytes,
            tail: 0,
        };
        buffers.grow();
        buffers
    }

    /// Shows the kernel as many again as it has, if there may be so many.
    fn grow(&mut self) {
        let until = self.shown.saturating_mul(2).max(FIRST_BUFFERS);
        let until = until.min(self.count);
        for id in self.shown..until {
            self.give(id.into(), Box::default());
        }
        self.shown = until;
    }

    fn address(&self) -> u64 {
        self.entries.as_ptr().expose_provenance() as u64
    }

    /// The number of a buffer for one operation alone.
    fn own(&mut self) -> u32 {
        if self.idle.is_empty() {
            let id = u32::try_from(self.given.len()).expect("memory is smaller");
            self.given.push(None);
            self.give(id, Box::default());
        }
        self.idle.pop().expect("there is one now")
    }

    /// Where that buffer is, and how long.
    fn place(&self, id: u32) -> Option<(*mut u8, u32)> {
        let pointer = (*self.given.get(id as usize)?)?;
        let length = u32::try_from(pointer.len()).unwrap_or(u32::MAX);
        Some((pointer.as_ptr().cast(), length))
    }

    /// Makes this buffer the kernel's under this number, unless it has one with that number.
    fn give(&mut self, id: u32, mut buffer: Box<[u8]>) {
        let Some(place @ None) = self.given.get_mut(id as usize) else {
            return;
        };
        if buffer.is_empty() {
            buffer = vec![0; self.bytes].into();
        }
        let length = u32::try_from(buffer.len()).unwrap_or(u32::MAX);
        let pointer = NonNull::from(Box::leak(buffer));
        *place = Some(pointer);
        match u16::try_from(id) {
            Ok(id) if id < self.count => self.show(id, pointer, length),
            _ => self.idle.push(id),
        }
    }

    /// Tells the kernel of a buffer.
    #[inline]
    fn show(&mut self, id: u16, pointer: NonNull<[u8]>, length: u32) {
        let address = pointer.as_ptr().cast::<u8>().expose_provenance() as u64;
        let at = usize::from(self.tail & (self.count - 1)) * 2;
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
    fn take(&mut self, id: u32) -> Option<Box<[u8]>> {
        let pointer = self.given.get_mut(id as usize)?.take()?;
        // SAFETY: `give` made it of a box and it is taken once. The kernel names it in a completion, and so has
        // done with it, or the only operation that had it has ended; or there is none left that could use it.
        Some(unsafe { Box::from_raw(pointer.as_ptr()) })
    }

    /// Frees all, when the kernel uses none any more.
    fn free(&mut self) {
        for id in 0..self.given.len() {
            drop(u32::try_from(id).ok().and_then(|id| self.take(id)));
        }
    }
}

/// The second half of an entry, in the order of its bytes in memory.
fn second(length: u32, id: u16, last: u16) -> u64 {
    let ([a, b, c, d], [e, f], [g, h]) =
        (length.to_ne_bytes(), id.to_ne_bytes(), last.to_ne_bytes());
    u64::from_ne_bytes([a, b, c, d, e, f, g, h])
}
