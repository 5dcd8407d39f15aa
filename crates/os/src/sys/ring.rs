//! The ring of operations that io_uring shares with us: what an operation may touch stays alive and in its place
//! until its last completion, whatever the callers do. Knows no socket's state and no protocol.

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
