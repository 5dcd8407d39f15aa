//! What the kernel is asked to do and what comes of it: plain values. Owns memory, but shares none with the kernel.

use super::UringOptions;
use crate::seam::{self, Call};
use io_uring::{IoUring, Probe, opcode, types::Timespec};
use socket2::{SockAddr, Socket};
use std::{fs::File, io, os::fd::AsRawFd, rc::Rc, sync::Arc};
use tress_core::{driver::Token, outgoing::Taken};

/// Operations handed to the kernel at once; more are handed over in parts.
const SUBMISSIONS: u32 = 1024;
/// Completions that the kernel leaves at once; it keeps more than these to itself for a while.
const COMPLETIONS: u32 = 8192;

/// What the kernel is asked to do, with all it needs for that.
pub(crate) enum Work {
    /// Accept, until cancelled where the kernel can.
    Accept(Rc<Socket>),
    /// Connect to this address.
    Connect(Rc<Socket>, Rc<SockAddr>),
    /// Receive into the ring's own buffers, until cancelled where the kernel can.
    Receive(Rc<Socket>),
    /// Send what is left of the piece.
    Send(Rc<Socket>, Piece),
    /// Wait, by the system's clock.
    Rest(Rc<Timespec>),
    /// Tell whenever this descriptor becomes readable, until cancelled.
    Watch(Arc<File>),
    /// Tell once when it is readable.
    AwaitInput(Rc<dyn AsRawFd>),
    /// Tell once when there is room for output.
    AwaitRoom(Rc<dyn AsRawFd>),
}

/// Bytes that are being sent, and how many of them have left.
#[derive(Debug)]
pub(crate) struct Piece {
    pub(crate) taken: Taken,
    pub(crate) sent: usize,
}

impl Piece {
    /// What has not left yet.
    pub(crate) fn rest(&self) -> &[u8] {
        self.taken.bytes().get(self.sent..).unwrap_or(&[])
    }
}

/// What an operation has come to.
pub(crate) enum Outcome {
    Accepted(io::Result<Socket>),
    Connected(io::Result<()>, Rc<SockAddr>),
    Received(io::Result<usize>, Option<Loan>),
    Sent(io::Result<usize>, Piece),
    Rested,
    Woken,
    Readable,
    Writable,
}

/// A buffer that the kernel has filled; whoever has it gives it back with its number.
pub(crate) struct Loan {
    pub(crate) buffer: Box<[u8]>,
    pub(crate) id: u32,
}

/// One completion.
pub(crate) struct Done {
    /// For whom.
    pub(crate) token: Token,
    pub(crate) outcome: Outcome,
    /// The operation goes on.
    pub(crate) more: bool,
}

/// Names an operation in flight and no later one: its place, and how often that was given out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Key(u64);

impl Key {
    /// In user data: the answer to a cancellation of the operation with the rest as its key.
    const CANCEL: u64 = 1 << 63;
    /// Generations are 31 bits.
    const GENERATIONS: u32 = 0x7fff_ffff;

    pub(crate) fn new(place: u32, generation: u32) -> Self {
        Self(u64::from(generation & Self::GENERATIONS) << 32 | u64::from(place))
    }

    /// The key in a completion's user data, and whether that answers a cancellation.
    pub(crate) fn from_user_data(data: u64) -> (Self, bool) {
        (Self(data & !Self::CANCEL), data & Self::CANCEL != 0)
    }

    pub(crate) fn user_data(self) -> u64 {
        self.0
    }

    pub(crate) fn user_data_of_cancellation(self) -> u64 {
        self.0 | Self::CANCEL
    }

    #[expect(clippy::cast_possible_truncation, reason = "the low half is meant")]
    pub(crate) fn place(self) -> usize {
        self.0 as u32 as usize
    }
}

/// How a ring is set up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Setup {
    /// The kernel works for the ring only inside calls of the one thread that uses it (Linux 6.1).
    Deferred,
    /// As every kernel can.
    Plain,
}

impl Setup {
    /// The one to try first. Linux 6.6 to 6.8 accepted wrong descriptors on a deferred ring (axboe/liburing#1062).
    pub(super) fn best() -> Self {
        let release = std::fs::read_to_string("/proc/sys/kernel/osrelease");
        Self::best_for(&release.unwrap_or_default())
    }

    pub(super) fn best_for(release: &str) -> Self {
        let mut numbers = release.split(['.', '-']).map(str::parse::<u32>);
        match (numbers.next(), numbers.next()) {
            (Some(Ok(6)), Some(Ok(6..=8))) => Self::Plain,
            _ => Self::Deferred,
        }
    }

    /// An empty ring, and what of the options this kernel can do.
    pub(super) fn build(self, options: &UringOptions) -> io::Result<(IoUring, UringOptions)> {
        let mut builder = IoUring::builder();
        builder.setup_cqsize(COMPLETIONS);
        if self == Self::Deferred {
            builder
                .setup_single_issuer()
                .setup_defer_taskrun()
                .setup_coop_taskrun()
                .setup_submit_all();
        }
        let io = seam::once(Call::IoUringSetup, || builder.build(SUBMISSIONS));
        let io = io.map_err(explained)?;
        let has = io.params();
        // Linux 5.11: it waits with a time, polls by itself where an operation would wait, and loses no completion.
        if !(has.is_feature_ext_arg() && has.is_feature_fast_poll() && has.is_feature_nodrop()) {
            return Err(io::Error::new(
                io::ErrorKind::Unsupported,
                "its io_uring is older than that of Linux 5.11",
            ));
        }
        let mut probe = Probe::new();
        seam::once(Call::IoUringRegister, || {
            io.submitter().register_probe(&mut probe)
        })?;
        // What cannot be asked for came with the same Linux as these: 5.19, and 6.0.
        let is_5_19 = probe.is_supported(opcode::Socket::CODE);
        let is_6_0 = probe.is_supported(opcode::SendZc::CODE);
        Ok((io, options.as_far_as(is_5_19, is_6_0)))
    }
}

/// What it means that there is no ring, for whoever asked for one.
fn explained(error: io::Error) -> io::Error {
    let why = match error.raw_os_error() {
        Some(libc::ENOSYS) => "this Linux has no io_uring",
        Some(libc::EPERM) => "a filter forbids it, or the sysctl kernel.io_uring_disabled",
        Some(libc::ENOMEM) => "it needs memory that is locked, more than the limit RLIMIT_MEMLOCK",
        _ => return error,
    };
    io::Error::new(error.kind(), format!("{error}: {why}"))
}
