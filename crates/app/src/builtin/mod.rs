//! What tress brings along, in two tables: a new provider or protocol is a row here. Makes nothing by itself.

mod application;
mod checkers;
mod every;
mod file;
mod finger;
mod memory;
#[cfg(feature = "sqlite")]
mod sqlite;

#[cfg(test)]
mod tests;

use crate::registry::{CheckerKind, Exposure, ProviderKind};

/// The kinds of provider.
pub(crate) const PROVIDERS: &[ProviderKind] = &[
    application::KIND,
    application::METRICS_KIND,
    file::KIND,
    memory::KIND,
    #[cfg(feature = "sqlite")]
    sqlite::KIND,
];

/// The kinds of checker.
pub(crate) const CHECKERS: &[CheckerKind] = &[checkers::FILE, checkers::MEMORY, checkers::TOKENS];

/// The protocols, each for the interface that it serves or for every one.
pub(crate) const EXPOSURES: &[Exposure] = &[
    every::AMP,
    every::HTTP,
    every::JSON_RPC,
    every::JSON_RPC_LINES,
    every::LINES,
    application::METRICS,
    every::PB,
    every::XML_RPC,
    finger::FINGER,
    finger::FINGER_SETTER,
];
