//! What is told of an application: its services, limits, figures. Changes nothing; secrets are not even looked at.

use super::{
    listeners::Listener,
    task::TaskEntry,
    tree::{Entry, State, Tree, add},
};
use crate::control::{LimitStatus, REFUSED, ServiceStatistics, ServiceStatus, Statistics};
use std::{path::Path, time::SystemTime};
use tress_core::{Limits, Port, Reactor, limits::Unit, reactor::PortStatistics};
use tress_rpc::{Fault, fault::BAD_ARGUMENTS};

impl Tree {
    pub(crate) fn list(&self) -> Result<Vec<ServiceStatus>, Fault> {
        let state = self.looking()?;
        let reactor = self.reactor.upgrade();
        let services = state.entries.iter().map(|entry| state.service(entry));
        let tasks = state.tasks.iter();
        let tasks = tasks.map(|entry| task(entry, reactor.as_ref()));
        Ok(services.chain(tasks).collect())
    }

    pub(crate) fn limits(&self) -> Result<Vec<LimitStatus>, Fault> {
        let state = self.looking()?;
        let settings = &state.settings;
        let file = Path::new(&self.file).file_name();
        let file = file.map_or_else(|| self.file.as_str().into(), |name| name.to_string_lossy());
        let limits = Limits::TABLE.iter().map(|limit| {
            let set = settings
                .limits_set
                .iter()
                .find(|(name, _)| *name == limit.name);
            LimitStatus {
                name: limit.name.to_owned(),
                value: limit.get(&settings.limits),
                unit: match limit.unit {
                    Unit::Bytes => "bytes",
                    Unit::Count => "count",
                    Unit::Time => "milliseconds",
                }
                .to_owned(),
                set: set.map_or_else(
                    || "default".to_owned(),
                    |(_, line)| format!("{file}:{line}"),
                ),
            }
        });
        Ok(limits.collect())
    }

    pub(crate) fn statistics(&self) -> Result<Statistics, Fault> {
        let mut state = self.held()?;
        let mut all = Statistics {
            application: state.settings.name.clone(),
            since: state.since.map_or(0, seconds),
            reloads: state.reloads,
            ..Statistics::default()
        };
        if let Some(reactor) = self.reactor.upgrade() {
            let statistics = reactor.statistics();
            all.connections = statistics.connections as u64;
            all.queued_bytes = statistics.queued_bytes as u64;
            all.failures = statistics.failures;
            all.stalls = statistics.stalls;
        }
        let services = state.figures().services;
        for (entry, figures) in state.entries.iter().zip(services) {
            all.services.push(ServiceStatistics {
                name: entry.name.clone(),
                state: word(entry).to_owned(),
                since: seconds(entry.since),
                restarts: entry.starts.saturating_sub(1),
                connections: figures.connections as u64,
                accepted: figures.accepted,
                refused: figures.refused,
                received: figures.received,
                sent: figures.sent,
            });
        }
        let reactor = self.reactor.upgrade();
        for entry in &state.tasks {
            all.services.push(ServiceStatistics {
                name: entry.task.name.clone(),
                state: entry.state().to_owned(),
                since: seconds(entry.since(reactor.as_ref())),
                restarts: entry.starts.saturating_sub(1) + entry.task.restarts(),
                ..ServiceStatistics::default()
            });
        }
        Ok(all)
    }

    pub(crate) fn log_level(&self, level: Option<&str>) -> Result<String, Fault> {
        match self.registry.log_level() {
            Some(change) => change(level).map_err(|bad| Fault::new(BAD_ARGUMENTS, bad)),
            None => Err(Fault::new(
                REFUSED,
                "this program does not let its log be changed",
            )),
        }
    }
}

impl State {
    fn service(&self, entry: &Entry) -> ServiceStatus {
        let section = &entry.service.section;
        let listening = self.listeners.iter().filter(|l| l.serves(&entry.service));
        let mut at: Vec<String> = listening.map(|listener| listener.described()).collect();
        if at.is_empty() {
            at = section
                .endpoints
                .iter()
                .map(|at| at.value.clone())
                .collect();
        }
        ServiceStatus {
            name: entry.name.clone(),
            state: word(entry).to_owned(),
            what: section.what.clone(),
            protocols: section
                .protocols
                .iter()
                .map(|name| name.value.clone())
                .collect(),
            at,
            attached: entry.attached,
            since: seconds(entry.since),
        }
    }

    /// What is counted now, with one walk over all connections.
    pub(super) fn figures(&mut self) -> Figures {
        let past = self.entries.iter().flat_map(|entry| entry.past.ports());
        let present = self.listeners.iter().flat_map(Listener::ports);
        let mut counted = Port::statistics_of(past.chain(present)).into_iter();
        let mut services: Vec<PortStatistics> = Vec::with_capacity(self.entries.len());
        for entry in &mut self.entries {
            services.push(entry.past.total(&mut counted));
        }
        let mut listeners = Vec::with_capacity(self.listeners.len());
        for listener in &self.listeners {
            let mut total = PortStatistics::default();
            for port in counted.by_ref().take(listener.ports().count()) {
                add(&mut total, &port);
            }
            for (entry, service) in self.entries.iter().zip(&mut services) {
                if listener.serves(&entry.service) {
                    add(service, &total);
                }
            }
            listeners.push(total);
        }
        Figures {
            services,
            listeners,
        }
    }
}

fn task(entry: &TaskEntry, reactor: Option<&Reactor>) -> ServiceStatus {
    ServiceStatus {
        name: entry.task.name.clone(),
        state: entry.state().to_owned(),
        what: entry.task.what().to_owned(),
        protocols: Vec::new(),
        at: entry.task.at(),
        attached: false,
        since: seconds(entry.since(reactor)),
    }
}

/// Figures in the order of the entries, and in that of the listeners.
pub(super) struct Figures {
    pub(super) services: Vec<PortStatistics>,
    pub(super) listeners: Vec<PortStatistics>,
}

fn word(entry: &Entry) -> &'static str {
    if entry.running { "running" } else { "stopped" }
}

pub(super) fn seconds(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}
