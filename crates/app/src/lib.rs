//! The application: one TOML file names objects, protocols and endpoints, and everything in it is checked before
//! anything starts. Opens no socket, starts no thread and reads no clock: the caller brings the reactor.
//!
//! What a file may name stands in a [`Registry`]. A crate of your own plugs its kinds in where it defines them
//! ([`plug_in!`]); a program that has it takes all of them ([`Registry::plugged`]) and runs the file with [`run`](run::run).

#![forbid(unsafe_code)]

pub mod application;
mod builtin;
pub mod config;
pub mod control;
pub mod driver;
pub mod files;
pub mod finger_file;
mod moments;
mod others;
pub mod plug;
pub mod plugin;
pub mod registry;
pub mod run;
pub mod schema;
pub mod services;

#[cfg(test)]
mod testing;

pub use application::{Application, Place};
pub use control::Control;
pub use driver::{Driver, DriverChoice};
pub use plug::EndpointPlug;
pub use registry::{
    Access, CheckerKind, Exposure, LogHook, LogLevel, LogProblem, LogStep, Make, Manager, Moment,
    Provider, ProviderKind, Registry, Serves, Serving, Sharing, Successor, Upgrade,
};
pub use run::{Plan, Reload, RunError, run, run_application, run_text};
