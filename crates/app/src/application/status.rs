//! What is told of an application: its services, limits, figures. Changes nothing; secrets are not even looked at.

use super::{
    task::TaskEntry,
    tree::{Entry, Past, State, Tree, add},
};
use crate::control::{LimitStatus, REFUSED, ServiceStatistics, ServiceStatus, Statistics};
use std::{path::Path, time::SystemTime};
use tress_core::{Limits, Reactor, limits::Unit, reactor::PortStatistics};
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
        for place in 0..state.entries.len() {
            let figures = state.figures(place);
            let entry = &state.entries[place];
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

    fn figures(&mut self, place: usize) -> PortStatistics {
        let Self {
            entries, listeners, ..
        } = self;
        let entry = &mut entries[place];
        let mut total = Past::total(&mut entry.past);
        for listener in listeners.iter().filter(|l| l.serves(&entry.service)) {
            for port in listener.ports() {
                add(&mut total, &port.statistics());
            }
        }
        total
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

fn word(entry: &Entry) -> &'static str {
    if entry.running { "running" } else { "stopped" }
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}
