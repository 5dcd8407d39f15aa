//! The one door for `unsafe`: each function here is safe to call and says why its inside is sound.
#![expect(unsafe_code, reason = "this module is where tress may")]

use signal_hook::SigId;
use std::io;
use tress_core::reactor::SignalSender;

/// Tells the loop whenever this signal is raised.
pub(crate) fn on_signal(signal: i32, sender: SignalSender, number: u32) -> io::Result<SigId> {
    let action = move || sender.raise(number);
    // SAFETY: the action runs inside a signal handler. It sets two atomics and writes eight bytes to an eventfd
    // (or a pipe): no lock, no allocation, no drop.
    unsafe { signal_hook::low_level::register(signal, action) }
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

/// The kernel's ring of operations: whatever an operation may touch stays alive and in its place until it is done.
#[cfg(all(feature = "uring", target_os = "linux"))]
pub(crate) mod ring {
    use io_uring::{
        IoUring, Probe, cqueue,
        opcode::{self, AcceptMulti, RecvMulti},
        squeue,
        types::{CancelBuilder, Fd, SubmitArgs, Timespec},
    };
    use socket2::{SockAddr, Socket};
    use std::{
        collections::VecDeque,
        fs::File,
        io,
        os::fd::{AsRawFd, FromRawFd, OwnedFd},
        ptr::NonNull,
        rc::Rc,
        sync::{
            Arc,
            atomic::{AtomicU64, Ordering},
        },
        time::Duration,
    };
    use tress_core::{driver::Token, outgoing::Taken};

    /// Operations handed to the kernel at once; more are handed over in parts.
    const SUBMISSIONS: u32 = 1024;
    /// Completions that the kernel can leave before it keeps them to itself for a while.
    const COMPLETIONS: u32 = 8192;
    /// Buffers for what is received, a power of two, and the size of each.
    const BUFFERS: u16 = 1024;
    pub(crate) const BUFFER_BYTES: usize = 4096;
    /// The only group of buffers.
    const GROUP: u16 = 0;
    /// In a completion's user data: the answer to a cancellation of the operation with the rest as its key.
    const CANCEL: u64 = 1 << 63;
    /// A wait is never longer; the loop just waits again.
    const LONGEST: Duration = Duration::from_secs(86_400);
    /// How often a ring that is dropped asks the kernel to end what is in flight, and waits how long each time.
    const DROP_ROUNDS: u32 = 50;
    const DROP_WAIT: Duration = Duration::from_millis(10);

    /// What the kernel is asked to do, with all it needs for that.
    pub(crate) enum Work {
        /// Accept until cancelled.
        Accept(Rc<Socket>),
        Connect(Rc<Socket>, Rc<SockAddr>),
        /// Receive into the ring's buffers until cancelled.
        Receive(Rc<Socket>),
        Send(Rc<Socket>, Piece),
        /// Wait by the system's clock.
        Rest(Duration),
        /// Tell whenever this eventfd is written to, until cancelled.
        Watch(Arc<File>),
    }

    /// Bytes that are being sent, and how many of them have left.
    #[derive(Debug)]
    pub(crate) struct Piece {
        pub(crate) taken: Taken,
        pub(crate) sent: usize,
    }

    impl Piece {
        pub(crate) fn rest(&self) -> &[u8] {
            &self.taken.bytes()[self.sent..]
        }
    }

    /// What an operation has come to.
    pub(crate) enum Outcome {
        Accepted(io::Result<Socket>),
        Connected(io::Result<()>),
        Received(io::Result<usize>, Option<Loan>),
        Sent(io::Result<usize>, Piece),
        Rested,
        Woken,
    }

    /// A buffer of the ring, lent until [`Ring::give_back`].
    pub(crate) struct Loan {
        pub(crate) buffer: Box<[u8]>,
        pub(crate) id: u16,
    }

    /// One completion.
    pub(crate) struct Done {
        pub(crate) token: Token,
        pub(crate) outcome: Outcome,
        /// The operation goes on.
        pub(crate) more: bool,
    }

    /// Names an operation in flight, and no later one.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) struct Key(u64);

    /// A place for an operation. `work` is there from the submission to the last completion.
    struct Operation {
        generation: u32,
        token: Token,
        cancelled: bool,
        work: Option<Running>,
    }

    enum Running {
        Accept(#[expect(dead_code, reason = "the socket stays open")] Rc<Socket>),
        Connect(#[expect(dead_code, reason = "both stay there")] (Rc<Socket>, Rc<SockAddr>)),
        Receive(#[expect(dead_code, reason = "the socket stays open")] Rc<Socket>),
        Send(Rc<Socket>, Piece),
        Rest(#[expect(dead_code, reason = "the kernel reads it")] Rc<Timespec>),
        Watch(#[expect(dead_code, reason = "the descriptor stays open")] Arc<File>),
    }

    /// The ring. It belongs to the thread that made it.
    pub(crate) struct Ring {
        io: IoUring,
        buffers: Buffers,
        operations: Vec<Operation>,
        free: Vec<u32>,
        /// Entries that the submission queue had no room for.
        waiting: VecDeque<squeue::Entry>,
        /// Completions that the last `enter` found and nobody has pulled.
        found: usize,
        unsubmitted: bool,
    }
}
