//! The guide. Every program in it is compiled and run by the tests.

#[doc = include_str!("../guide/first-server.md")]
pub mod first_server {}

#[doc = include_str!("../guide/clients.md")]
pub mod clients {}

#[doc = include_str!("../guide/datagrams.md")]
pub mod datagrams {}

#[doc = include_str!("../guide/endpoints.md")]
pub mod endpoints {}

#[doc = include_str!("../guide/files.md")]
pub mod files {}

#[cfg(feature = "mio")]
#[doc = include_str!("../guide/processes.md")]
pub mod processes {}

#[cfg(all(feature = "mio", target_os = "linux"))]
#[doc = include_str!("../guide/surroundings.md")]
pub mod surroundings {}

#[cfg(feature = "sim")]
#[doc = include_str!("../guide/simulator.md")]
pub mod simulator {}

#[cfg(feature = "tls")]
#[doc = include_str!("../guide/tls.md")]
pub mod tls {}

#[cfg(feature = "tokio")]
#[doc = include_str!("../guide/loops.md")]
pub mod loops {}

#[doc = include_str!("../guide/waiting.md")]
pub mod waiting {}

#[doc = include_str!("../guide/threads.md")]
pub mod threads {}

#[cfg(all(feature = "mio", feature = "data"))]
#[doc = include_str!("../guide/databases.md")]
pub mod databases {}

#[cfg(feature = "mio")]
#[doc = include_str!("../guide/workers.md")]
pub mod workers {}

#[cfg(all(feature = "app", feature = "mio"))]
#[doc = include_str!("../guide/services.md")]
pub mod services {}

#[cfg(all(feature = "app", feature = "sim"))]
#[doc = include_str!("../guide/operating.md")]
pub mod operating {}

#[cfg(all(feature = "app", feature = "sim"))]
#[doc = include_str!("../guide/logins.md")]
pub mod logins {}
#[cfg(all(feature = "app", feature = "rpc"))]
#[doc = include_str!("../guide/plugins.md")]
pub mod plugins {}

#[doc = include_str!("../guide/service.md")]
pub mod service {}

#[doc = include_str!("../guide/twisted.md")]
pub mod twisted {}
