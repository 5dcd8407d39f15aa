//! Datagram ports: whole datagrams, failures that end nothing, limits, and one end. A driver that has none says so.

mod addresses;
mod delivery;
mod life;
mod limits;

pub use addresses::*;
pub use delivery::*;
pub use life::*;
pub use limits::*;

use super::{
    World,
    recorder::{Log, watch},
};
use crate::{
    Result,
    address::Address,
    datagram::{DatagramProtocol, DatagramTransport},
    error::CannotListen,
    reactor::Reactor,
};
use std::{io, net::Ipv4Addr};

type OnStart = Option<Box<dyn FnMut(&DatagramTransport) -> Result>>;
type OnDatagram = Option<Box<dyn FnMut(&DatagramTransport, &[u8], &Address) -> Result>>;

/// Writes down every callback, and does what it was told to do in it.
#[derive(Default)]
struct Grams {
    log: Log,
    start: OnStart,
    datagram: OnDatagram,
    refused: OnStart,
    stop: Option<Box<dyn FnMut()>>,
}

impl Grams {
    fn new(log: &Log) -> Self {
        Self {
            log: log.clone(),
            ..Self::default()
        }
    }

    fn on_start(mut self, f: impl FnMut(&DatagramTransport) -> Result + 'static) -> Self {
        self.start = Some(Box::new(f));
        self
    }

    fn on_datagram(
        mut self,
        f: impl FnMut(&DatagramTransport, &[u8], &Address) -> Result + 'static,
    ) -> Self {
        self.datagram = Some(Box::new(f));
        self
    }

    fn on_refused(mut self, f: impl FnMut(&DatagramTransport) -> Result + 'static) -> Self {
        self.refused = Some(Box::new(f));
        self
    }

    fn on_stop(mut self, f: impl FnMut() + 'static) -> Self {
        self.stop = Some(Box::new(f));
        self
    }

    /// Sends back what arrives.
    fn echo(log: &Log) -> Self {
        Self::new(log).on_datagram(|transport, data, from| Ok(transport.write_to(data, from)?))
    }
}

impl DatagramProtocol for Grams {
    fn start_protocol(&mut self, transport: &DatagramTransport) -> Result {
        self.log.note("start");
        self.start.as_mut().map_or(Ok(()), |f| f(transport))
    }

    fn datagram_received(
        &mut self,
        transport: &DatagramTransport,
        data: &[u8],
        from: &Address,
    ) -> Result {
        let text = match data.len() {
            0..100 => String::from_utf8_lossy(data).into_owned(),
            bytes => format!("{bytes} bytes"),
        };
        self.log.note(text);
        let datagram = self.datagram.as_mut();
        datagram.map_or(Ok(()), |f| f(transport, data, from))
    }

    fn connection_refused(&mut self, transport: &DatagramTransport) -> Result {
        self.log.note("refused");
        self.refused.as_mut().map_or(Ok(()), |f| f(transport))
    }

    fn stop_protocol(&mut self) {
        self.log.note("stop");
        if let Some(stop) = &mut self.stop {
            stop();
        }
    }
}

/// Where a port can be; on a driver without datagrams nowhere, which it says: then there is nothing to test.
#[track_caller]
fn place(world: &dyn World) -> Option<String> {
    let at = world.datagrams_at();
    if at.is_none() {
        let refused = world
            .reactor()
            .listen_datagrams("udp:0:interface=127.0.0.1", Grams::default());
        let failure = refused.expect_err("the driver has none");
        let cannot = failure.check::<CannotListen>();
        let error = &cannot.expect("it is that error").error;
        assert_eq!(error.kind(), io::ErrorKind::Unsupported);
        assert_eq!(error.to_string(), "this driver has no datagrams");
    }
    at
}

/// The same on a driver that has UDP. UNIX sockets have no groups and no broadcast.
#[track_caller]
fn udp_place(world: &dyn World) -> Option<String> {
    place(world).filter(|at| at.starts_with("udp:"))
}

#[track_caller]
fn open(reactor: &Reactor, at: &str, protocol: Grams) -> DatagramTransport {
    let port = reactor.listen_datagrams(at, protocol);
    port.expect("a port can be opened there")
}

/// A port with this protocol, and one that is connected to it.
struct Two {
    server: DatagramTransport,
    client: DatagramTransport,
    /// What the client's protocol wrote down.
    log: Log,
}

#[track_caller]
fn two(world: &dyn World, server: Grams) -> Option<Two> {
    let at = place(world)?;
    let server = open(&world.reactor(), &at, server);
    let log = Log::default();
    let to = world.datagrams_to(&server);
    let client = world.client().connect_datagrams(&to, Grams::new(&log));
    let client = client.expect("it is there");
    Some(Two {
        server,
        client,
        log,
    })
}

impl Two {
    #[track_caller]
    fn another(&self, world: &dyn World) -> DatagramTransport {
        let to = world.datagrams_to(&self.server);
        let another = world.client().connect_datagrams(&to, Grams::default());
        another.expect("it is there")
    }

    #[track_caller]
    fn send(&self, data: &[u8]) {
        self.client.write(data).expect("there is room");
    }
}

/// The address by which a port reaches itself.
fn reachable(own: &Address) -> Address {
    match own {
        Address::Ip(address) if address.ip().is_unspecified() => {
            Address::Ip((Ipv4Addr::LOCALHOST, address.port()).into())
        }
        other => other.clone(),
    }
}

/// A client of a port that has gone.
fn refused(
    world: &dyn World,
    then: impl FnMut(&DatagramTransport) -> Result + 'static,
) -> Option<(DatagramTransport, Log)> {
    let at = place(world)?;
    let server = open(&world.reactor(), &at, Grams::default());
    let (log, to) = (Log::default(), world.datagrams_to(&server));
    let protocol = Grams::new(&log).on_refused(then);
    let client = world.client().connect_datagrams(&to, protocol);
    let end = watch(server.stop_listening());
    world.until(&mut || end.count("ok") == 1);
    Some((client.expect("it was there"), log))
}
