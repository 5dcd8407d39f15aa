//! The seam of io_uring. An operation that is to fail is put to the kernel as one that does nothing, and its answer is
//! exchanged when it comes: so nothing is taken from a socket that nobody gets. One that goes on after its first answer
//! fails in between: the error comes before the answer that is there.

use super::{Call, faults};
use crate::uring::work::{Done, Key, Outcome, Work};
use io_uring::{cqueue, opcode, squeue, types::Fd};
use std::{os::fd::AsRawFd, ptr};

/// What is put to the kernel instead of `real`, for this work under this key. It refers to the work's own memory or to
/// none.
pub(crate) fn entry(
    real: squeue::Entry,
    work: &Work,
    group: Option<u16>,
    key: Key,
) -> squeue::Entry {
    let most = match work {
        Work::Receive(_) => usize::MAX,
        Work::Send(_, piece) => piece.rest().len(),
        _ => 0,
    };
    match (faults::room(name(work), most), work) {
        (Err(error), _) => {
            faults::exchange(key.user_data(), error);
            opcode::Nop::new().build()
        }
        (Ok(room), _) if room == most => real,
        (Ok(_), Work::Receive(socket)) => match group {
            Some(group) => {
                let one = opcode::Recv::new(Fd(socket.as_raw_fd()), ptr::null_mut(), 1);
                one.buf_group(group)
                    .build()
                    .flags(squeue::Flags::BUFFER_SELECT)
            }
            None => real,
        },
        (Ok(_), Work::Send(socket, piece)) => {
            let rest = piece.rest();
            opcode::Send::new(Fd(socket.as_raw_fd()), rest.as_ptr(), 1)
                .flags(libc::MSG_NOSIGNAL)
                .build()
        }
        (Ok(_), _) => real,
    }
}

/// The same for a cancellation.
pub(crate) fn cancellation(real: squeue::Entry, key: Key) -> squeue::Entry {
    match faults::room(Call::AsyncCancel, 0) {
        Ok(_) => real,
        Err(error) => {
            faults::exchange(key.user_data_of_cancellation(), error);
            opcode::Nop::new().build()
        }
    }
}

/// What the kernel says, or what it was planned to say.
pub(crate) fn result(completion: &cqueue::Entry) -> i32 {
    let exchanged = faults::exchanged(completion.user_data());
    exchanged.map_or_else(|| completion.result(), |error| -error)
}

/// An error that comes before this answer of an operation that goes on.
pub(crate) fn before(done: &Done) -> Option<Done> {
    if !done.more {
        return None;
    }
    let fails = |call| faults::room(call, 0).err();
    let outcome = match &done.outcome {
        Outcome::Accepted(_) => Outcome::Accepted(Err(fails(Call::Accept)?)),
        Outcome::Received(..) => Outcome::Received(Err(fails(Call::Recv)?), None),
        _ => return None,
    };
    Some(Done {
        token: done.token,
        outcome,
        more: true,
    })
}

fn name(work: &Work) -> Call {
    match work {
        Work::Accept(_) => Call::Accept,
        Work::Connect(..) => Call::Connect,
        Work::Receive(_) => Call::Recv,
        Work::Send(..) => Call::Send,
        Work::Rest(_) => Call::Timeout,
        Work::Watch(_) | Work::AwaitInput(_) | Work::AwaitRoom(_) => Call::PollAdd,
    }
}
