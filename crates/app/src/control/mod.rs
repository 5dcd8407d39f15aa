//! The application as an object: what an operator, or a program of theirs, may ask of a running one, through any protocol.
//! Knows no protocol; what becomes of the calls stands in `application`.
//!
//! A file serves it with a `[control]` section, or as `kind = "application"`, like any other object:
//!
//! ```toml
//! [control]                       # a UNIX socket beside the file that only its owner opens: for `tress ctl`
//!
//! [provide.myself]
//! kind = "application"
//!
//! [[serve]]
//! what = "myself"
//! as = "http"
//! at = "tcp:8100:interface=127.0.0.1"
//! auth = "staff"
//! ```

mod handle;

pub use handle::Control;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tress_core::Result;
use tress_rpc::{CallContext, interface};

/// The code of the fault for a service that there is none of.
pub const NO_SUCH_SERVICE: &str = "no-such-service";
/// The code of the fault for a change that was found wrong before anything was changed; the message says all that is.
pub const REFUSED: &str = "refused";
/// The code of the fault for a change that was right and failed, as when an address is in use. Everything is as before.
pub const CANNOT_START: &str = "cannot-start";
/// The code of the fault while the application does not run: it starts, stops, or has stopped.
pub const NOT_RUNNING: &str = "not-running";

/// The code of the fault for an upgrade that did not come about; the message says why. Everything is as before.
pub const NOT_UPGRADED: &str = "not-upgraded";

/// The running application: its services, its limits, and what may be changed while it runs.
#[interface(crate = "tress_rpc")]
pub trait Application {
    /// Every service, in the order of the file; those that were attached come last.
    async fn list(&self) -> Result<Vec<ServiceStatus>>;

    /// Starts a service that was stopped, or that has failed: `started`, or `runs already`.
    async fn start(&self, name: String) -> Result<String>;

    /// Stops a service: nobody is let in any more, and who is connected has until the limit `shutdown`; a child process is asked
    /// to end, and killed after its `kill_time`. `stopped`, or `does not run`.
    async fn stop(&self, name: String) -> Result<String>;

    /// Adds services, as `[[serve]]` sections in TOML, and starts them: all or none. They last until they are detached, or the
    /// file is read again. Answers with their names.
    async fn attach(&self, serve: String) -> Result<Vec<String>>;

    /// Stops a service and forgets it, until the file is read again.
    async fn detach(&self, name: String) -> Result<()>;

    /// Reads the file again, and makes the application what it says. A wrong file changes nothing; what is unchanged goes on
    /// undisturbed.
    async fn reload(&self) -> Result<Reloaded>;

    /// Starts the program anew, or another one that is at this path on the application's machine, and has it take over every
    /// socket that listens: nobody who connects meanwhile is lost. Answers when that has happened; this process then ends when
    /// those that are connected have, or after the limit `drain`. When the new process fails, or is not ready within the limit
    /// `upgrade`, everything is as before. Which program is started is said only from inside this one, or through a UNIX socket.
    async fn upgrade(&self, context: &CallContext, binary: Option<String>) -> Result<Upgraded>;

    /// Every limit that is in force, and where it was set.
    async fn limits(&self) -> Result<Vec<LimitStatus>>;

    /// What has come and gone, in all and for each service.
    async fn statistics(&self) -> Result<Statistics>;

    /// What is logged: changes it, to a level such as `debug` or that of one module, `tress_app=debug`, and answers with all
    /// that is in force. Changes nothing when nothing is given.
    async fn log_level(&self, level: Option<String>) -> Result<String>;
}

/// What is counted of a running application. Whoever reaches it can change nothing.
#[interface(crate = "tress_rpc")]
pub trait Metrics {
    /// All figures as text, in Prometheus' exposition format.
    async fn metrics(&self) -> Result<String>;
}

/// A service of an application.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ServiceStatus {
    /// What it is called.
    pub name: String,
    /// `running` or `stopped`; of a child process, and of a service of the program's own, also `waiting` (it has failed and is
    /// started again), `given up` (it has failed too often), `finished` and `stopping`.
    pub state: String,
    /// Which provider it serves; `[run]` for a child process, `[service]` for a service of the program's own.
    pub what: String,
    /// Through which protocols.
    #[serde(rename = "as")]
    pub protocols: Vec<String>,
    /// At which endpoints; where the system chose a port, with the address in parentheses. `process 4711` for a child process.
    pub at: Vec<String>,
    /// Whether it was attached, and is in no file.
    pub attached: bool,
    /// Since when it is so, seconds since 1970.
    pub since: u64,
}

/// What a reload did: the names of services.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Reloaded {
    /// These are new, or did not run.
    pub started: Vec<String>,
    /// These are what the file says now, and their connections end.
    pub restarted: Vec<String>,
    /// The file has these no more.
    pub stopped: Vec<String>,
    /// These go on as they were.
    pub kept: Vec<String>,
}

/// What an upgrade did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Upgraded {
    /// The process that has taken over.
    pub process: u32,
}

/// A limit that is in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LimitStatus {
    /// Its name in `[limits]`.
    pub name: String,
    /// How much it is.
    pub value: u64,
    /// Of what: `bytes`, `count` or `milliseconds`.
    pub unit: String,
    /// Where it was set: `finger.toml:12`, or `default`.
    pub set: String,
}

/// What an application has done and holds. Bytes are those on the wire, below TLS.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Statistics {
    /// The application's name.
    pub application: String,
    /// Since when it runs, seconds since 1970.
    pub since: u64,
    /// Reloads that changed or confirmed it.
    pub reloads: u64,
    /// Open connections, those that it made itself included.
    pub connections: u64,
    /// Bytes that wait to be sent.
    pub queued_bytes: u64,
    /// Callbacks that failed or panicked.
    pub failures: u64,
    /// Callbacks that held the loop for longer than the limit `stall`.
    pub stalls: u64,
    /// In the order of the list.
    pub services: Vec<ServiceStatistics>,
}

/// What a service has done and holds. Services that share an HTTP listener share its figures.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ServiceStatistics {
    /// What it is called.
    pub name: String,
    /// The same as in the list.
    pub state: String,
    /// Since when it is so, seconds since 1970.
    pub since: u64,
    /// How often it was started again, by somebody or because it had failed.
    pub restarts: u64,
    /// Open connections.
    pub connections: u64,
    /// Connections that were let in so far.
    pub accepted: u64,
    /// Connections that were refused because of a limit.
    pub refused: u64,
    /// Bytes that came.
    pub received: u64,
    /// Bytes that left.
    pub sent: u64,
}
