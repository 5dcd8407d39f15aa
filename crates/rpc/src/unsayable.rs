//! Why an interface cannot be served over a protocol. Decides nothing.

use crate::descriptor::{Descriptor, Method};
use std::{error::Error, fmt};

/// A protocol has no words for an interface: it is refused before anybody calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsayable {
    /// The protocol.
    pub protocol: &'static str,
    /// The interface.
    pub interface: &'static str,
    /// The method that it has no words for.
    pub method: &'static str,
    /// Why.
    pub why: String,
}

impl Unsayable {
    /// What a protocol makes of each method of an interface, in their order.
    ///
    /// # Errors
    /// The first that it has no words for.
    pub(crate) fn of_each<T>(
        protocol: &'static str,
        descriptor: &'static Descriptor,
        plan: impl Fn(&'static Method) -> Result<T, String>,
    ) -> Result<Vec<T>, Self> {
        let planned = descriptor.methods.iter().map(|method| {
            plan(method).map_err(|why| Self {
                protocol,
                interface: descriptor.name,
                method: method.name,
                why,
            })
        });
        planned.collect()
    }
}

impl fmt::Display for Unsayable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            protocol,
            interface,
            method,
            why,
        } = self;
        write!(
            f,
            "`{interface}.{method}` cannot be served over {protocol}: {why}"
        )
    }
}

impl Error for Unsayable {}
