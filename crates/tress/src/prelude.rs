//! What most programs name: `use tress::prelude::*;`.

pub use crate::{
    Address, ClientCreator, ClientFactory, Connection, Connector, Deferred, Factory, Failure,
    Protocol, Reactor, Reconnecting, Result, Transport,
};
