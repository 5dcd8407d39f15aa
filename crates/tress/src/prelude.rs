//! What most programs name: `use tress::prelude::*;`. Among it is what nearly all share state and count time with.

pub use crate::{
    Address, ClientCallbacks, ClientCreator, ClientFactory, ClientService, Connection, Connector,
    DatagramProtocol, DatagramTransport, Deferred, Factory, Failure, Protocol, Reactor,
    Reconnecting, Result, Sharing, Transport,
    framing::{LineReceiver, LineTransport, Lines},
};
pub use std::{cell::Cell, rc::Rc, time::Duration};
