//! The new process: finds out whose place it takes, and tells that one what comes of it. Ends no process.

use super::{
    CHANNEL, VARIABLE,
    wire::{self, GO},
};
use crate::{
    seam::{self, Call},
    sys::inherited,
};
use rustix::net::sockopt::socket_peercred;
use socket2::Socket;
use std::{
    env,
    io::{self, Read, Write},
    os::fd::{BorrowedFd, OwnedFd, RawFd},
    time::Duration,
};
use tress_core::{
    Address, Deferred, Descriptor, Failure, Protocol, Reactor, Resolver, Result, Transport,
    reactor::SharedPorts,
};

/// How long the old process may take to say what it passes on; it has begun before this one did.
const WAIT: Duration = Duration::from_secs(10);

/// The process whose place this one takes, before this one is ready. Dropping it without a word means that this process has
/// failed.
#[derive(Debug)]
pub struct Predecessor {
    id: u32,
    channel: Socket,
    ports: Vec<(String, Descriptor)>,
}

impl Predecessor {
    /// The one that started this process to take its place, if one did. To be asked first of all, once.
    ///
    /// # Errors
    /// It is gone, speaks another version, or does not say what it passes on.
    pub fn of_process() -> Result<Option<Self>> {
        let id = env::var(VARIABLE).ok();
        let Some(id) = id.and_then(|id| id.parse::<u32>().ok()) else {
            return Ok(None);
        };
        let is_its = |socket: BorrowedFd<'_>| match socket_peercred(socket) {
            Ok(opener) if opener.pid.as_raw_nonzero().get().cast_unsigned() == id => Ok(()),
            Ok(_) => Err(io::ErrorKind::NotFound.into()),
            Err(error) => Err(error.into()),
        };
        // Whoever has inherited the variable alone has no such socket.
        let Ok(Some(channel)) = inherited::take(number(CHANNEL), is_its) else {
            return Ok(None);
        };
        let mut channel = Socket::from(channel);
        match receive(&mut channel) {
            Ok(ports) => Ok(Some(Self { id, channel, ports })),
            Err(why) => {
                let why = format!("process {id} does not say what it passes on: {why}");
                channel.write_all(&wire::failed(&why)).ok();
                Err(Failure::msg(why))
            }
        }
    }

    /// Its number in the system.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.id
    }

    /// Its sockets, which the reactor that is given them listens at where the same is asked for.
    pub fn ports(&mut self) -> SharedPorts {
        SharedPorts::inherited(std::mem::take(&mut self.ports))
    }

    /// This process ends, because of that.
    pub fn failed(mut self, why: &str) {
        let mut end = why.len().min(wire::WHY_BYTES_MAX);
        while !why.is_char_boundary(end) {
            end -= 1;
        }
        self.channel.write_all(&wire::failed(&why[..end])).ok();
    }

    /// This process runs. Fires when it goes on alone: the old one has listened to its last peer, or is gone. Then the files of
    /// UNIX sockets are its own.
    pub fn ready(mut self, reactor: &Reactor) -> Deferred<()> {
        // Otherwise it is gone, and there is nobody to be told.
        self.channel.write_all(&wire::ready()).ok();
        let (resolver, alone) = Deferred::pair();
        let mut waiting = Some(Waiting {
            said: 0,
            alone: Some(resolver),
        });
        let channel = OwnedFd::from(self.channel);
        let adopted = reactor.adopt_connection(channel, move |_: &Address| waiting.take());
        adopted.map(drop).add_errback(|_| Ok(())).detach();
        let (on, old) = (reactor.downgrade(), self.id);
        alone.add_both(move |_| {
            if let Some(reactor) = on.upgrade() {
                reactor.take_files(old);
            }
        })
    }
}

/// The protocol of the new process towards the old one.
struct Waiting {
    /// How much of "go" has come.
    said: usize,
    alone: Option<Resolver<()>>,
}

impl Protocol for Waiting {
    fn data_received(&mut self, transport: &Transport, data: &[u8]) -> Result {
        self.said += data.len();
        if self.said >= GO.len() {
            transport.lose_connection();
        }
        Ok(())
    }

    fn connection_lost(&mut self, _reason: Failure) {
        if self.said == 0 {
            tracing::warn!(target: "tress", "the process whose place this one takes has ended without a word");
        }
        if let Some(alone) = self.alone.take() {
            alone.resolve(());
        }
    }
}

/// What the sockets are, and the sockets.
fn receive(channel: &mut Socket) -> Result<Vec<(String, Descriptor)>, String> {
    let text = |error: io::Error| error.to_string();
    channel.set_nonblocking(false).map_err(text)?;
    channel.set_read_timeout(Some(WAIT)).map_err(text)?;
    let mut said = Vec::new();
    let names = loop {
        let mut piece = [0; 4096];
        match seam::call(Call::Read, || channel.read(&mut piece)) {
            Ok(0) => return Err("it is gone".to_owned()),
            Ok(_) if said.len() > wire::PORTS_BYTES_MAX => {
                return Err("it says too much".to_owned());
            }
            Ok(count) => said.extend_from_slice(&piece[..count]),
            Err(error) => return Err(error.to_string()),
        }
        if let Some(names) = wire::read_ports(&said)? {
            break names;
        }
    };
    let sockets = (CHANNEL + 1..).zip(names);
    let sockets = sockets.map(|(place, name)| {
        let taken = inherited::take(number(place), |_| Ok(()));
        match taken {
            Ok(Some(socket)) => Ok((name, Descriptor::from(socket))),
            Ok(None) => Err(format!("{name} has been taken before")),
            Err(error) => Err(format!("{name} is not there: {error}")),
        }
    });
    sockets.collect()
}

fn number(place: u32) -> RawFd {
    RawFd::try_from(place).expect("there are at most PORTS_MAX")
}
