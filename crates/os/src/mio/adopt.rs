//! Takes over what was opened elsewhere: inherited from who started this process, received through a socket, or made by
//! other code.

use super::{Mio, Socket, files::Files, socket};
use crate::{
    adopting::{self, Adopted},
    seam::{self, Call},
};
use mio::{
    Interest,
    net::{TcpListener, TcpStream, UdpSocket, UnixListener},
};
use std::{
    io,
    os::fd::{AsFd, OwnedFd},
};
use tress_core::{
    Address, Descriptor,
    clock::Clock,
    driver::{Opened, Token},
};

impl<C: Clock> Mio<C> {
    /// A copy of its own descriptor, for another driver to watch.
    #[cfg(all(feature = "uring", target_os = "linux"))]
    pub(crate) fn copy_descriptor(&self) -> io::Result<OwnedFd> {
        crate::sys::exec::copy_of(std::os::fd::AsRawFd::as_raw_fd(&self.poll).cast_unsigned())
    }

    /// Takes it over. It is closed when that fails.
    pub(super) fn take_over(&mut self, opened: Opened) -> io::Result<(Token, Address)> {
        match opened {
            Opened::Port(descriptor) => self.take_port(descriptor.into()),
            Opened::Stream(descriptor) => self.take_stream(descriptor.into()),
            Opened::Datagrams(descriptor, longest) => {
                let socket = adopting::datagrams(descriptor.into())?;
                self.insert_datagrams(UdpSocket::from_std(socket.into()), None, longest)
            }
            Opened::Files { input, output } => {
                let files = Files::new(input.map(OwnedFd::from), output.map(OwnedFd::from))?;
                let flags = files.flags();
                let token = self.insert(Socket::Files(files), flags, Interest::READABLE)?;
                Ok((token, Address::Unknown))
            }
            _ => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// A copy of a port's socket.
    pub(super) fn copied(&mut self, token: Token) -> io::Result<Descriptor> {
        let slot = self.slot(token).ok_or(io::ErrorKind::NotConnected)?;
        // A copy of a UNIX socket has neither the file nor its lock: those are the first's.
        let listener = match &slot.socket {
            Socket::Listener(listener) => listener.as_fd(),
            Socket::UnixListener(listener) => listener.as_fd(),
            _ => return Err(io::ErrorKind::InvalidInput.into()),
        };
        let copied = seam::call(Call::Dup, || listener.try_clone_to_owned())?;
        slot.set(socket::SHARED);
        Ok(copied.into())
    }

    fn take_port(&mut self, descriptor: OwnedFd) -> io::Result<(Token, Address)> {
        let Adopted {
            socket, address, ..
        } = adopting::port(descriptor)?;
        let listener = match address {
            Address::Unix(_) => Socket::UnixListener(UnixListener::from_std(socket.into())),
            _ => Socket::Listener(TcpListener::from_std(socket.into())),
        };
        let flags = socket::READING | socket::SHARED;
        let token = self.insert(listener, flags, Interest::READABLE)?;
        Ok((token, address))
    }

    fn take_stream(&mut self, descriptor: OwnedFd) -> io::Result<(Token, Address)> {
        let Adopted {
            socket,
            address,
            has_waited,
        } = adopting::connection(descriptor)?;
        let stream = Socket::Stream(TcpStream::from_std(socket.into()));
        let waits = if has_waited { socket::WAITS_AFTER } else { 0 };
        let token = self.insert(stream, socket::SHARED | waits, Interest::READABLE)?;
        Ok((token, address))
    }
}

#[cfg(test)]
mod tests {
    use crate::Mio;
    use std::{net::TcpStream, time::Duration};
    use tress_core::{
        Address,
        driver::{Driver, ListenOptions},
    };

    /// Closing ends no event while somebody else has the socket: without more, each of his peers would wake this loop.
    #[test]
    fn a_port_that_others_have_wakes_nobody_once_it_is_closed() {
        let mut driver = Mio::new().expect("epoll works");
        let at = "127.0.0.1:0".parse().expect("it is one");
        let listening = driver.listen(&Address::Ip(at), &ListenOptions::default());
        let (port, address) = listening.expect("it can listen");
        let copy = driver.copy_port(port).expect("it is a port");
        driver.close(port, false);
        let Address::Ip(address) = address else {
            panic!("it is at {address}");
        };
        let peer = TcpStream::connect(address);
        driver.wait(Some(Duration::ZERO)).expect("it can wait");
        assert_eq!(driver.found, 0);
        drop((copy, peer.expect("the copy listens")));
    }
}
