//! Plug-ins in processes of their own, in any language: `plugins.d/NAME.toml` beside the application's file says how one is
//! started, and the child tells which kinds of provider it gives. Everything goes over its standard input and output, as AMP.
//!
//! ```text
//!    tress                                     the child
//!      | hello(version, engine)        ------->  |
//!      | <-------  {version, name, release, kinds}
//!      | describe(kind)                ------->  |   for each kind
//!      | <-------  {doc, options, interface}
//!      | make(kind, object, options)   ------->  |   for each [provide.NAME] of such a kind
//!      | call(object, method, arguments, ..) ->  |   as often as the object is called
//!      | <-------  the result, or an error       |
//!      | forget(object), end of input  ------->  |   it ends by itself, or is ended
//! ```
//!
//! The messages are those of an ordinary interface ([`Plugin`]), so their form is that of [`tress_rpc::amp`]: `kind`,
//! `object`, `method`, `peer` and `avatar` are texts, and `options`, `arguments` and results JSON. What the child writes to
//! its standard error goes to the log.
//!
//! [`learn`] asks the plug-ins that a file names, before that is checked; `child` keeps one running. Knows no plug-in.

mod child;
mod learn;
mod link;
mod spec;
mod told;

#[cfg(test)]
mod tests;

pub use learn::{Which, learn};
pub use spec::{PLUGIN_OPTIONS, PluginSpec};
pub use told::Told;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use tress_core::Result;
use tress_rpc::{Value, interface};

/// The version of the protocol between tress and plug-ins. It counts by itself: neither a new tress nor a new plug-in
/// changes it.
pub const VERSION: u32 = 1;

/// What a plug-in offers to tress.
#[interface(crate = "tress_rpc")]
pub trait Plugin {
    /// Which versions tress speaks (all up to this), and which tress it is. Comes first, once.
    async fn hello(&self, version: u32, engine: String) -> Result<Hello>;

    /// What a kind is: `{doc, options, interface}`.
    async fn describe(&self, kind: String) -> Result<Value>;

    /// Makes an object of that kind, which is called by this name from now on.
    async fn make(&self, kind: String, object: String, options: Value) -> Result<()>;

    /// Calls an object: `arguments` is a record by name. `peer` is who calls, as an address, and `avatar` who has logged in.
    async fn call(
        &self,
        object: String,
        method: String,
        arguments: Value,
        peer: Option<String>,
        avatar: Option<String>,
    ) -> Result<Value>;

    /// The object is needed no more.
    async fn forget(&self, object: String) -> Result<()>;
}

/// Who a plug-in is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Hello {
    /// The version of the protocol that it will speak.
    pub version: u32,
    /// What it calls itself.
    pub name: String,
    /// Its own version, for people.
    pub release: String,
    /// The kinds that it gives, by the names behind the dot in files.
    pub kinds: Vec<String>,
}

/// A plug-in that was asked: how it is started, and what it told. May go to another thread.
#[derive(Clone, Debug)]
pub struct Known(pub(crate) Arc<(PluginSpec, Told)>);

impl Known {
    pub(crate) fn spec(&self) -> &PluginSpec {
        &self.0.0
    }

    pub(crate) fn told(&self) -> &Told {
        &self.0.1
    }
}
