//! Open files over UNIX sockets (`SCM_RIGHTS`). What comes is closed on `exec`, and nothing is lost unseen. Knows no
//! driver.

use crate::seam::{self, Call};
use rustix::{
    cmsg_space,
    net::{
        RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
        SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
    },
};
use socket2::SockRef;
use std::{
    io::{self, IoSlice, IoSliceMut},
    mem::MaybeUninit,
    os::fd::{AsFd, BorrowedFd},
};
use tress_core::{
    descriptor::{Descriptor, Passing},
    driver::Lease,
    outgoing::Outgoing,
};

/// Open files in one message: as many as Linux takes (`SCM_MAX_FD`).
const TOGETHER: usize = 253;
/// Pieces of output in one message.
const PIECES: usize = 64;

/// Refuses what is no UNIX socket.
pub(crate) fn check(socket: &impl AsFd) -> io::Result<()> {
    let address = seam::call(Call::Getsockname, || SockRef::from(socket).local_addr())?;
    if address.is_unix() {
        return Ok(());
    }
    Err(io::Error::new(
        io::ErrorKind::Unsupported,
        "only UNIX sockets carry open files",
    ))
}

/// Receives bytes and the open files that came with them.
pub(crate) fn receive(stream: &impl AsFd, lease: &mut Lease) -> io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(TOGETHER))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
    let room = seam::room(Call::Recvmsg, lease.buffer.len())?;
    let buffer = &mut [IoSliceMut::new(&mut lease.buffer[..room])];
    let received = recvmsg(stream, buffer, &mut control, flags)?;
    lease.descriptors.clear();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(files) = message {
            lease.descriptors.extend(files.map(Descriptor::from));
        }
    }
    if received.flags.contains(ReturnFlags::CTRUNC) {
        lease.descriptors.clear();
        let text = "open files were lost on their way: this process may have no more";
        return Err(io::Error::other(text));
    }
    Ok(received.bytes)
}

/// Sends output up to the byte that the first open file goes with, then that byte with it, and so on, until no file is
/// left. `WouldBlock` when there is no room for more.
pub(crate) fn send(
    stream: &impl AsFd,
    out: &mut Outgoing,
    passing: &mut Passing,
) -> io::Result<()> {
    while !out.is_empty() && !passing.is_empty() {
        let files: Vec<BorrowedFd<'_>> = passing.due(TOGETHER).map(AsFd::as_fd).collect();
        let count = files.len();
        match send_once(stream, out, passing.room(count), &files) {
            Ok(bytes) => {
                out.consume(bytes);
                passing.sent(count, bytes);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Sends at most so many bytes, with these open files.
fn send_once(
    stream: &impl AsFd,
    out: &Outgoing,
    most: usize,
    files: &[BorrowedFd<'_>],
) -> io::Result<usize> {
    let mut slices = [IoSlice::new(&[]); PIECES];
    let pieces = out.slices(&mut slices);
    let mut limited = [IoSlice::new(&[]); PIECES];
    let (mut left, mut used) = (most, 0);
    for slice in &slices[..pieces] {
        if left == 0 {
            break;
        }
        let part = &slice[..slice.len().min(left)];
        left -= part.len();
        limited[used] = IoSlice::new(part);
        used += 1;
    }
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(TOGETHER))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !files.is_empty() {
        control.push(SendAncillaryMessage::ScmRights(files));
    }
    let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
    seam::write_vectored(Call::Sendmsg, &limited[..used], |slices| {
        Ok(sendmsg(stream, slices, &mut control, flags)?)
    })
}
