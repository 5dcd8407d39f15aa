//! Open files over UNIX sockets (`SCM_RIGHTS`). What comes is closed on `exec`, and nothing is lost unseen.

use super::{Mio, socket, socket::Slot};
use crate::seam::{self, Call};
use mio::net::TcpStream;
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
    clock::Clock,
    descriptor::{Descriptor, Passing},
    driver::{Lease, Token},
    outgoing::Outgoing,
};

/// Open files in one message: as many as Linux takes (`SCM_MAX_FD`).
const TOGETHER: usize = 253;
/// Pieces of output in one message.
const PIECES: usize = 64;

/// Whether a connection gets what comes.
pub(super) fn set(slot: &mut Slot, yes: bool) -> io::Result<()> {
    let socket::Socket::Stream(stream) = &slot.socket else {
        return Err(io::ErrorKind::NotConnected.into());
    };
    let address = seam::call(Call::Getsockname, || SockRef::from(stream).local_addr())?;
    if !address.is_unix() {
        return Err(io::Error::new(
            io::ErrorKind::Unsupported,
            "only UNIX sockets carry open files",
        ));
    }
    if yes {
        slot.set(socket::PASSING);
    } else {
        slot.clear(socket::PASSING);
    }
    Ok(())
}

/// Receives bytes and the open files that came with them.
pub(super) fn receive(stream: &TcpStream, lease: &mut Lease) -> io::Result<usize> {
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

impl<C: Clock> Mio<C> {
    /// Sends output up to the byte that the first open file goes with, then that byte with it, and so on.
    pub(super) fn send_descriptors(
        &mut self,
        token: Token,
        out: &mut Outgoing,
        passing: &mut Passing,
    ) -> io::Result<()> {
        while !out.is_empty() && !passing.is_empty() {
            let Some(slot) = self.slot(token) else {
                return Ok(());
            };
            let socket::Socket::Stream(stream) = &slot.socket else {
                return Ok(());
            };
            let files: Vec<BorrowedFd<'_>> = passing.due(TOGETHER).map(AsFd::as_fd).collect();
            let count = files.len();
            match send(stream, out, passing.room(count), &files) {
                Ok(bytes) => {
                    out.consume(bytes);
                    passing.sent(count, bytes);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return self.wait_for_room(token);
                }
                Err(error) => return Err(error),
            }
        }
        if out.is_empty() {
            return Ok(());
        }
        tress_core::driver::Driver::send(self, token, out)
    }
}

/// Sends at most so many bytes, with these open files.
fn send(
    stream: &TcpStream,
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
