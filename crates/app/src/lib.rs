//! The application: one TOML file names objects, protocols and endpoints, and everything in it is
//! checked before anything starts. Must not know: sockets, threads, clocks.

#![forbid(unsafe_code)]

pub mod config;
pub mod finger_file;
