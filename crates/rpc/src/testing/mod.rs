//! The conformance suite: one list of behaviours that every protocol shows which serves an object, for tress's own and for
//! those of others. Knows no protocol; each says with [`Exposure`] how it listens and how it is called.
//!
//! ```
//! use tress_core::{Deferred, Port, Reactor, Result};
//! use tress_rpc::{Client, Descriptor, ExposureLimits, Object, jsonrpc, testing::{Exposure, check}};
//!
//! struct Mine;
//!
//! impl Exposure for Mine {
//!     fn name(&self) -> &'static str {
//!         "mine"
//!     }
//!     fn listen(&self, on: &Reactor, at: &str, object: &Object, limits: ExposureLimits) -> Result<Port> {
//!         on.listen(at, jsonrpc::JsonRpcLines::new(object, limits))
//!     }
//!     fn connect(&self, on: &Reactor, to: &str, of: &'static Descriptor) -> Deferred<Client> {
//!         let client = jsonrpc::connect_json_rpc(on, to, of, ExposureLimits::default());
//!         client.map(Client::new)
//!     }
//!     fn exceptions(&self) -> &'static [(&'static str, &'static str)] {
//!         &[
//!             ("floats that are no numbers", "JSON has none"),
//!             ("a batch", "this one is not asked for batches"),
//!             ("malformed bytes", "this one is not asked for any"),
//!         ]
//!     }
//! }
//!
//! check(&Mine);
//! ```

mod behaviours;
#[cfg(test)]
mod cut;
mod fixture;

pub use behaviours::{BEHAVIOURS, Behaviour};
#[cfg(test)]
pub(crate) use cut::same_however_cut;
pub use fixture::{
    APPLE, DynSamples, DynValues, Fixture, Person, Samples, SamplesClient, Turn, Values,
    ValuesClient,
};

use crate::{Arguments, CallContext, Client, Descriptor, ExposureLimits, Fault, Object, Value};
use std::{
    cell::{Cell, OnceCell},
    rc::Rc,
};
use tress_core::{Deferred, Port, Protocol, Reactor, Result, Transport, testing::memory::Table};

/// A protocol, as the suite uses it.
pub trait Exposure {
    /// What it is called in reports.
    fn name(&self) -> &'static str;

    /// Serves an object.
    ///
    /// # Errors
    /// Its interface cannot be said.
    fn listen(
        &self,
        reactor: &Reactor,
        at: &str,
        object: &Object,
        limits: ExposureLimits,
    ) -> Result<Port>;

    /// A client of an object that is served there, with no limits of its own that matter; dropping it ends its connection.
    /// The descriptor may be another than the object's: what is wrong with a call the server has to find.
    fn connect(
        &self,
        reactor: &Reactor,
        to: &str,
        descriptor: &'static Descriptor,
    ) -> Deferred<Client>;

    /// The behaviours that it cannot show, by name, and why. One that it shows nevertheless is a mistake.
    fn exceptions(&self) -> &'static [(&'static str, &'static str)] {
        &[]
    }

    /// Bytes of so many calls of `nothing` in one request; none where there are no batches.
    fn batch(&self, calls: usize) -> Option<Vec<u8>> {
        let _ = calls;
        None
    }

    /// Bytes that are no call of anything.
    fn malformed(&self) -> Vec<Vec<u8>> {
        Vec::new()
    }
}

/// Checks every behaviour.
///
/// # Panics
/// The protocol does not show one, or shows one that it says it cannot; all of them are named.
#[track_caller]
pub fn check(exposure: &dyn Exposure) {
    let mut wrong = Vec::new();
    let exceptions = exposure.exceptions();
    for (name, _) in exceptions {
        if !BEHAVIOURS.iter().any(|behaviour| behaviour.name == *name) {
            wrong.push(format!("{name}: there is no such behaviour"));
        }
    }
    for behaviour in BEHAVIOURS {
        let name = behaviour.name;
        let excepted = exceptions.iter().find(|(known, _)| *known == name);
        match ((behaviour.check)(exposure), excepted) {
            (Ok(()), None) | (Err(_), Some(_)) => {}
            (Err(why), None) => wrong.push(format!("{name}: {why}")),
            (Ok(()), Some((_, why))) => {
                wrong.push(format!("{name}: it works, although \"{why}\""));
            }
        }
    }
    let exposure = exposure.name();
    assert!(wrong.is_empty(), "{exposure}:\n{}", wrong.join("\n"));
}

/// The limits of the suite: small ones.
#[must_use]
pub fn limits() -> ExposureLimits {
    ExposureLimits {
        request_bytes: 131_072,
        response_bytes: 131_072,
        nesting: 8,
        batch: 10,
        calls_in_flight: 20,
        ..ExposureLimits::default()
    }
}

/// The fixture behind one protocol, on a table top.
pub(crate) struct Stage<'e> {
    exposure: &'e dyn Exposure,
    pub(crate) table: Table,
    pub(crate) fixture: Rc<Fixture>,
    context: CallContext,
}

const AT: &str = "tcp:80";
const TO: &str = "tcp:192.0.2.2:80";

impl<'e> Stage<'e> {
    /// Serves `Samples`.
    pub(crate) fn samples(
        exposure: &'e dyn Exposure,
        limits: ExposureLimits,
    ) -> Result<Self, String> {
        let fixture = Rc::<Fixture>::default();
        let object = <dyn DynSamples>::object(Rc::clone(&fixture));
        Self::of(exposure, limits, fixture, &object)
    }

    /// Serves `Values`.
    pub(crate) fn values(
        exposure: &'e dyn Exposure,
        limits: ExposureLimits,
    ) -> Result<Self, String> {
        let fixture = Rc::<Fixture>::default();
        let object = <dyn DynValues>::object(Rc::clone(&fixture));
        Self::of(exposure, limits, fixture, &object)
    }

    fn of(
        exposure: &'e dyn Exposure,
        limits: ExposureLimits,
        fixture: Rc<Fixture>,
        object: &Object,
    ) -> Result<Self, String> {
        let table = Table::new();
        let port = exposure.listen(table.reactor(), AT, object, limits);
        port.map_err(|unsayable| unsayable.to_string())?;
        let context = CallContext::local(table.reactor());
        Ok(Self {
            exposure,
            table,
            fixture,
            context,
        })
    }

    /// A connection.
    pub(crate) fn client(&self, descriptor: &'static Descriptor) -> Result<Client, String> {
        let client = self.exposure.connect(self.table.reactor(), TO, descriptor);
        self.table.settle();
        match client.try_result() {
            Ok(client) => client.map_err(|failure| failure.to_string()),
            Err(_) => Err("the client does not connect".to_owned()),
        }
    }

    /// Begins a call.
    pub(crate) fn begin(
        &self,
        client: &Client,
        method: &str,
        arguments: impl Into<Arguments>,
    ) -> Deferred<Value> {
        let called = client.call(&self.context, method, arguments);
        self.table.settle();
        called
    }

    /// What comes of a call on a connection of its own.
    pub(crate) fn ask(
        &self,
        descriptor: &'static Descriptor,
        method: &str,
        arguments: impl Into<Arguments>,
    ) -> Result<Value, Fault> {
        let client = self.client(descriptor);
        let client = client.map_err(|why| Fault::new("nothing", why))?;
        ended(self.begin(&client, method, arguments))
    }

    /// Sends bytes on a connection of their own: whether anything is answered, or the connection closed.
    pub(crate) fn send(&self, bytes: Vec<u8>) -> bool {
        let heard = Rc::<Heard>::default();
        let peer = Raw {
            bytes,
            heard: Rc::clone(&heard),
        };
        let connected = self.table.reactor().connect_protocol(TO, peer);
        connected.detach();
        self.table.settle();
        // Some wait for more, and HTTP takes the end for a peer that has gone.
        if let (false, Some(transport)) = (heard.anything.get(), heard.transport.get()) {
            transport.lose_write_connection();
            self.table.settle();
        }
        heard.anything.get()
    }

    /// A batch of so many calls.
    pub(crate) fn batch(&self, calls: usize) -> Result<bool, String> {
        let bytes = self.exposure.batch(calls).ok_or("there are no batches")?;
        Ok(self.send(bytes))
    }

    /// What is malformed.
    pub(crate) fn malformed(&self) -> Vec<Vec<u8>> {
        self.exposure.malformed()
    }
}

/// What a call has come to.
pub(crate) fn ended(called: Deferred<Value>) -> Result<Value, Fault> {
    match called.try_result() {
        Ok(result) => result.map_err(|failure| Fault::of(&failure)),
        Err(_) => Err(Fault::new("nothing", "no answer")),
    }
}

/// What a raw peer knows.
#[derive(Default)]
struct Heard {
    anything: Cell<bool>,
    transport: OnceCell<Transport>,
}

/// Says something once.
struct Raw {
    bytes: Vec<u8>,
    heard: Rc<Heard>,
}

impl Protocol for Raw {
    fn connection_made(&mut self, transport: &Transport) -> Result {
        transport.write(&self.bytes);
        self.heard.transport.set(transport.clone()).ok();
        Ok(())
    }

    fn data_received(&mut self, _: &Transport, _: &[u8]) -> Result {
        self.heard.anything.set(true);
        Ok(())
    }

    fn connection_lost(&mut self, _: tress_core::Failure) {
        self.heard.anything.set(true);
    }
}
