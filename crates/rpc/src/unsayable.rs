//! Why an interface cannot be served over a protocol. Decides nothing.

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
