//! What is counted of an application, as text in Prometheus' exposition format, version 0.0.4. Counts nothing itself.
//!
//! Source: <https://prometheus.io/docs/instrumenting/exposition_formats/>, "Text-based format".

use self::Kind::{Counter, Gauge};
use super::{
    status::{Figures, seconds},
    tree::{Entry, State, Tree, add},
};
use std::{
    collections::BTreeMap,
    fmt::{self, Write},
};
use tress_core::reactor::{PortStatistics, Statistics};
use tress_rpc::Fault;

impl Tree {
    /// All figures.
    pub(crate) fn metrics(&self) -> Result<String, Fault> {
        let mut state = self.held()?;
        let mut text = Text::default();
        text.application(&state);
        if let Some(reactor) = self.reactor.upgrade() {
            text.reactor(&reactor.statistics());
        }
        let figures = state.figures();
        text.services(&state);
        text.endpoints(&state, &figures);
        Ok(text.0)
    }
}

/// What a number is.
#[derive(Clone, Copy)]
enum Kind {
    /// It never becomes less, but when what it counts begins anew. Its name ends with `_total`.
    Counter,
    Gauge,
}

/// A metric: its name without `tress_`, what it is, and one sentence.
type Metric = (&'static str, Kind, &'static str);

type Labels<'l> = [(&'static str, &'l str)];

#[derive(Default)]
struct Text(String);

impl Text {
    /// What all samples that follow are of.
    fn metric(&mut self, (name, kind, doc): Metric) {
        let kind = match kind {
            Counter => "counter",
            Gauge => "gauge",
        };
        let doc = doc.replace('\\', "\\\\").replace('\n', "\\n");
        self.line(format_args!("# HELP tress_{name} {doc}"));
        self.line(format_args!("# TYPE tress_{name} {kind}"));
    }

    fn sample(&mut self, name: &str, labels: &Labels<'_>, value: impl fmt::Display) {
        let labels: Vec<String> = labels
            .iter()
            .map(|(label, value)| format!("{label}=\"{}\"", escaped(value)))
            .collect();
        match labels.is_empty() {
            true => self.line(format_args!("tress_{name} {value}")),
            false => self.line(format_args!("tress_{name}{{{}}} {value}", labels.join(","))),
        }
    }

    fn line(&mut self, line: fmt::Arguments<'_>) {
        // A string takes everything.
        writeln!(self.0, "{line}").ok();
    }

    fn one(&mut self, metric: Metric, value: impl fmt::Display) {
        self.metric(metric);
        self.sample(metric.0, &[], value);
    }

    fn application(&mut self, state: &State) {
        let info = "application_info";
        self.metric((info, Gauge, "Which application this is; always 1."));
        let labels = [
            ("application", state.settings.name.as_str()),
            ("version", env!("CARGO_PKG_VERSION")),
        ];
        self.sample(info, &labels, 1);
        self.one(
            (
                "start_time_seconds",
                Gauge,
                "When the application was started, in seconds since 1970.",
            ),
            state.since.map_or(0, seconds),
        );
        self.one(
            (
                "reloads_total",
                Counter,
                "How often its file was read again, and taken.",
            ),
            state.reloads,
        );
    }

    fn reactor(&mut self, counted: &Statistics) {
        for (metric, count) in LOOP {
            self.one(*metric, count(counted));
        }
        self.one(
            (
                "longest_stall_seconds",
                Gauge,
                "The longest time that a callback held the loop.",
            ),
            counted.longest_stall.as_secs_f64(),
        );
    }

    fn services(&mut self, state: &State) {
        for (metric, count) in SERVICE {
            self.metric(*metric);
            for entry in &state.entries {
                self.sample(metric.0, &[("service", &entry.name)], count(entry));
            }
        }
    }

    fn endpoints(&mut self, state: &State, figures: &Figures) {
        let endpoints = by_endpoint(state, figures);
        for (metric, count) in ENDPOINT {
            self.metric(*metric);
            for ((services, at), counted) in &endpoints {
                let labels = [("service", services.as_str()), ("endpoint", at)];
                self.sample(metric.0, &labels, count(counted));
            }
        }
    }
}

/// Metrics, and where each is counted.
type Table<T> = &'static [(Metric, fn(&T) -> u64)];

#[rustfmt::skip]
const LOOP: Table<Statistics> = &[
    (("turns_total", Counter, "Turns of the loop."), |s| s.turns),
    (("connections", Gauge, "Open connections, those that it made itself included."), |s| s.connections as u64),
    (("connections_accepted_total", Counter, "Connections that came."), |s| s.accepted),
    (("connections_refused_total", Counter, "Connections that were refused because of a limit."), |s| s.refused),
    (("accept_errors_total", Counter, "Times that nothing could be accepted, for want of descriptors, say."), |s| s.accept_errors),
    (("datagrams_dropped_total", Counter, "Datagrams that came or were to be sent and were dropped."), |s| s.datagrams_dropped),
    (("queued_bytes", Gauge, "Bytes that wait to be sent."), |s| s.queued_bytes as u64),
    (("timers", Gauge, "Timed calls that wait."), |s| s.timers as u64),
    (("tasks", Gauge, "Tasks that wait."), |s| s.tasks as u64),
    (("child_processes", Gauge, "Child processes that have not exited."), |s| s.processes as u64),
    (("threads", Gauge, "Threads for jobs, busy or not."), |s| s.threads as u64),
    (("jobs_waiting", Gauge, "Jobs that wait for a thread."), |s| s.jobs_waiting as u64),
    (("jobs_running", Gauge, "Jobs that threads are at."), |s| s.jobs_running as u64),
    (("callback_failures_total", Counter, "Callbacks that failed or panicked."), |s| s.failures),
    (("stalls_total", Counter, "Callbacks that held the loop for longer than the limit stall."), |s| s.stalls),
];

#[rustfmt::skip]
const SERVICE: Table<Entry> = &[
    (("service_running", Gauge, "Whether a service runs: 1, or 0."), |e| u64::from(e.running)),
    (("service_restarts_total", Counter, "How often a service was started again."), |e| e.starts.saturating_sub(1)),
    (
        ("service_calls_total", Counter, "Calls of a service; not those of adapters that were made for its interface, such as finger."),
        |e| e.service.object.statistics().calls,
    ),
    (("service_call_faults_total", Counter, "Calls that were answered with a fault."), |e| e.service.object.statistics().faults),
    (("service_call_deadlines_total", Counter, "Calls that took longer than call_deadline."), |e| e.service.object.statistics().deadlines),
];

#[rustfmt::skip]
const ENDPOINT: Table<PortStatistics> = &[
    (("endpoint_connections", Gauge, "Open connections of an endpoint."), |p| p.connections as u64),
    (("endpoint_accepted_total", Counter, "Connections that were let in at an endpoint."), |p| p.accepted),
    (("endpoint_refused_total", Counter, "Connections that were refused there because of a limit."), |p| p.refused),
    (("endpoint_received_bytes_total", Counter, "Bytes that came there, below TLS."), |p| p.received),
    (("endpoint_sent_bytes_total", Counter, "Bytes that left there, below TLS."), |p| p.sent),
];

/// The figures of each endpoint that listens. Services that share one have one line, so that a sum counts nothing twice.
fn by_endpoint(state: &State, figures: &Figures) -> BTreeMap<(String, String), PortStatistics> {
    let mut endpoints = BTreeMap::<_, PortStatistics>::new();
    for (listener, counted) in state.listeners.iter().zip(&figures.listeners) {
        let served = state.entries.iter();
        let served = served.filter(|entry| listener.serves(&entry.service));
        let names: Vec<&str> = served.map(|entry| entry.name.as_str()).collect();
        let endpoint = (names.join(","), listener.described());
        add(endpoints.entry(endpoint).or_default(), counted);
    }
    endpoints
}

fn escaped(value: &str) -> String {
    let value = value.replace('\\', "\\\\").replace('"', "\\\"");
    value.replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_and_labels_are_escaped() {
        let mut text = Text::default();
        text.metric(("a", Gauge, "back\\slash\nline \"quoted\""));
        text.sample(
            "a",
            &[("b", "back\\slash\nline \"quoted\""), ("c", "")],
            0.5,
        );
        text.one(("d_total", Counter, "d"), 7);
        let expected = [
            r#"# HELP tress_a back\\slash\nline "quoted""#,
            "# TYPE tress_a gauge",
            r#"tress_a{b="back\\slash\nline \"quoted\"",c=""} 0.5"#,
            "# HELP tress_d_total d",
            "# TYPE tress_d_total counter",
            "tress_d_total 7",
        ];
        assert_eq!(text.0.lines().collect::<Vec<_>>(), expected);
    }
}
