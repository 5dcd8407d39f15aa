//! The handle on a running application that its own providers, a signal and the runner have. Keeps nothing alive.

use super::{
    Application, LimitStatus, Metrics, NOT_RUNNING, NOT_UPGRADED, REFUSED, Reloaded, ServiceStatus,
    Statistics, Upgraded,
};
use crate::{application::Tree, others::Others};
use std::{
    fmt,
    path::Path,
    rc::{Rc, Weak},
    time::Duration,
};
use tress_core::{Address, Deferred, Reactor, Result};
use tress_rpc::{CallContext, Fault};

/// Reaches an application from inside its own program; clones are the same. Every call of it is done at once, whole or not
/// at all, and answers with a [`Fault`] when the application is not there or cannot do it.
#[derive(Clone, Default)]
pub struct Control(pub(crate) Weak<Tree>);

impl Control {
    pub(crate) fn of(tree: &Rc<Tree>) -> Self {
        Self(Rc::downgrade(tree))
    }

    /// Reads the file again, as [`Application::reload`], and tells the log what came of it.
    /// While an upgrade goes on it is done afterwards, by whichever process goes on.
    pub fn reload_and_say(&self) {
        if self.0.upgrade().is_some_and(|tree| tree.reloads_later()) {
            tracing::info!(target: "tress", "an upgrade is going on: the file is read again after it");
            return;
        }
        match self.with(Tree::reload) {
            Ok(done) => {
                let changes = [
                    ("started", &done.started),
                    ("restarted", &done.restarted),
                    ("stopped", &done.stopped),
                ];
                let changes = changes.iter().filter(|(_, names)| !names.is_empty());
                let changes: Vec<String> = changes
                    .map(|(verb, names)| format!("{verb} {}", names.join(", ")))
                    .collect();
                let changes = match changes.is_empty() {
                    true => "nothing has changed".to_owned(),
                    false => changes.join("; "),
                };
                tracing::info!(target: "tress", "read again: {changes}");
            }
            Err(fault) if fault.code() == NOT_RUNNING => {}
            Err(fault) => {
                for line in fault.message().lines() {
                    tracing::error!(target: "tress", "not read again: {line}");
                }
            }
        }
    }

    /// Whether another process has taken over.
    pub(crate) fn has_left(&self) -> bool {
        self.0.upgrade().is_some_and(|tree| tree.has_left())
    }

    /// Tells the manager of services that it runs.
    pub(crate) fn tell_running(&self) {
        if let Some(tree) = self.0.upgrade() {
            tree.tell_running("");
        }
    }

    /// Has another process take over, as [`Application::upgrade`], and tells the log what came of it.
    pub fn upgrade_and_say(&self) {
        let upgraded = self.upgraded(None).map(drop);
        let said = upgraded.add_errback(|failure| {
            for line in Fault::of(&failure).message().lines() {
                tracing::error!(target: "tress", "not upgraded: {line}");
            }
            Ok(())
        });
        said.detach();
    }

    fn upgraded(&self, binary: Option<&Path>) -> Deferred<u32> {
        let begun = self.with(|tree| tree.upgrade(binary));
        let upgraded = begun.unwrap_or_else(Deferred::fail);
        upgraded.add_errback(|failure| {
            let is_fault = failure.check::<Fault>().is_some();
            Deferred::fail(match is_fault {
                true => failure,
                false => Fault::new(NOT_UPGRADED, failure).into(),
            })
        })
    }

    /// Those who do the same after a reload, and in an upgrade.
    pub(crate) fn set_others(&self, others: Others) {
        if let Some(tree) = self.0.upgrade() {
            tree.set_others(others);
        }
    }

    /// On a worker that is not the first: another process has taken over. Fires when nobody is connected any more, at the latest
    /// after `limit`.
    pub(crate) fn leave(&self, reactor: &Reactor, limit: Duration) -> Deferred<()> {
        if let Some(tree) = self.0.upgrade() {
            tree.leave();
        }
        reactor.drain(limit).map(drop)
    }

    fn with<T>(&self, f: impl FnOnce(&Tree) -> Result<T, Fault>) -> Result<T, Fault> {
        match self.0.upgrade() {
            Some(tree) => f(&tree),
            None => Err(Fault::new(NOT_RUNNING, "the application has ended")),
        }
    }
}

impl Application for Control {
    async fn list(&self) -> Result<Vec<ServiceStatus>> {
        Ok(self.with(Tree::list)?)
    }

    async fn start(&self, name: String) -> Result<String> {
        let started = self.with(|tree| tree.start_service(&name))?;
        Ok(if started { "started" } else { "runs already" }.to_owned())
    }

    async fn stop(&self, name: String) -> Result<String> {
        let stopped = self.with(|tree| tree.stop_service(&name))?;
        Ok(if stopped { "stopped" } else { "does not run" }.to_owned())
    }

    async fn attach(&self, serve: String) -> Result<Vec<String>> {
        Ok(self.with(|tree| tree.attach(&serve))?)
    }

    async fn detach(&self, name: String) -> Result<()> {
        Ok(self.with(|tree| tree.detach(&name))?)
    }

    async fn reload(&self) -> Result<Reloaded> {
        Ok(self.with(Tree::reload)?)
    }

    async fn upgrade(&self, context: &CallContext, binary: Option<String>) -> Result<Upgraded> {
        if binary.is_some() && matches!(context.peer, Address::Ip(_)) {
            let text = "which program is started is said through a UNIX socket only";
            return Err(Fault::new(REFUSED, text).into());
        }
        let process = self.upgraded(binary.as_deref().map(Path::new)).await?;
        Ok(Upgraded { process })
    }

    async fn limits(&self) -> Result<Vec<LimitStatus>> {
        Ok(self.with(Tree::limits)?)
    }

    async fn statistics(&self) -> Result<Statistics> {
        Ok(self.with(Tree::statistics)?)
    }

    async fn log_level(&self, level: Option<String>) -> Result<String> {
        Ok(self.with(|tree| tree.log_level(level.as_deref()))?)
    }
}

impl Metrics for Control {
    async fn metrics(&self) -> Result<String> {
        Ok(self.with(Tree::metrics)?)
    }
}

impl fmt::Debug for Control {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Control")
    }
}
