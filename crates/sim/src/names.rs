//! The names of a virtual network: one table for all of its hosts, asked over the network. Moves no segment.

use crate::{
    faults::Fault,
    world::{World, host_address},
};
use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
};
use tress_core::{
    Deferred, Reactor,
    error::DnsLookupError,
    names::{HostName, NameResolver},
};

/// By the name in lower case, without a dot at its end.
pub(crate) type NameTable = BTreeMap<String, Vec<IpAddr>>;

impl World {
    /// Gives a name these addresses, in the order of preference, instead of those that it had. Whether a host has them
    /// does not matter: to connect to one that nobody has stays unanswered.
    ///
    /// # Panics
    /// `name` is no host name, or one of `addresses` is none that a host can have.
    #[track_caller]
    pub fn add_name(&self, name: &str, addresses: &[&str]) {
        let name = match HostName::parse(name) {
            Ok(name) => key(&name),
            Err(bad) => panic!("{bad}"),
        };
        let addresses = addresses.iter().map(|address| host_address(address));
        let addresses = addresses.collect();
        self.0.borrow_mut().names.insert(name, addresses);
    }
}

/// An answer takes as long as a segment there and back, without jitter, and tells what is in the table when it comes.
impl NameResolver for World {
    fn lookup(&self, reactor: &Reactor, name: &HostName, port: u16) -> Deferred<Vec<SocketAddr>> {
        let (world, name) = (self.clone(), name.clone());
        let round_trip = self.policy().latency * 2;
        reactor.after(round_trip).add_callback(move |()| {
            let mut network = world.0.borrow_mut();
            let is_lost = network.faults.strikes(Fault::FailedLookup);
            let found = network.names.get(&key(&name));
            match found.filter(|_| !is_lost) {
                Some(found) => {
                    let addresses = found.iter().map(|ip| SocketAddr::new(*ip, port));
                    Ok(addresses.collect())
                }
                None => Err(DnsLookupError {
                    name: name.to_string(),
                    problem: "no name of this virtual network".to_owned(),
                }
                .into()),
            }
        })
    }
}

fn key(name: &HostName) -> String {
    let name = name.as_str();
    name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase()
}
