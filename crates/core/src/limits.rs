//! Every limit of the engine in one table: name, unit, default, meaning. Enforces none of them.

use std::time::Duration;

/// The most workers of one process: `workers_max`. A reactor does not know how many others there are, so it is no row of
/// the table: who makes them and who reads the number from a file holds it.
pub const WORKERS_MAX: usize = 256;

/// What a limit counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Bytes.
    Bytes,
    /// A number of things.
    Count,
    /// Milliseconds in the table; `250ms`, `30s`, `5m` in a file.
    Time,
}

/// One row of the table.
#[derive(Clone, Copy, Debug)]
pub struct Limit {
    /// The name in files and listings.
    pub name: &'static str,
    /// What it counts.
    pub unit: Unit,
    /// What it means and what happens beyond it.
    pub meaning: &'static str,
    field: Field,
}

#[derive(Clone, Copy, Debug)]
enum Field {
    Number(fn(&mut Limits) -> &mut usize),
    Time(fn(&mut Limits) -> &mut Duration),
}

impl Limit {
    /// The value in `limits`: bytes, a count, or milliseconds.
    #[must_use]
    pub fn get(&self, limits: &Limits) -> u64 {
        let mut limits = limits.clone();
        match self.field {
            Field::Number(field) => *field(&mut limits) as u64,
            Field::Time(field) => u64::try_from(field(&mut limits).as_millis()).unwrap_or(u64::MAX),
        }
    }

    /// Changes the value in `limits`: bytes, a count, or milliseconds.
    pub fn set(&self, limits: &mut Limits, value: u64) {
        match self.field {
            Field::Number(field) => *field(limits) = usize::try_from(value).unwrap_or(usize::MAX),
            Field::Time(field) => *field(limits) = Duration::from_millis(value),
        }
    }

    const fn new(name: &'static str, unit: Unit, field: Field, meaning: &'static str) -> Self {
        Self {
            name,
            unit,
            meaning,
            field,
        }
    }
}

/// The limits that a reactor, its ports and its connections obey. The defaults are on.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Longest line without its delimiter, bytes.
    pub line: usize,
    /// Longest netstring or length-prefixed string, bytes.
    pub string: usize,
    /// A connection with no byte either way is closed after this; `Duration::ZERO` means never.
    pub idle: Duration,
    /// The first request must be complete within this, where a protocol asks for it.
    pub handshake: Duration,
    /// Closing, and stopping the whole reactor, takes no longer than this.
    pub shutdown: Duration,
    /// Of several workers, when the first has ended, the others are waited for no longer than this; a thread that a
    /// callback holds is left behind. The first worker's counts.
    pub worker_stop: Duration,
    /// A process that takes the place of this one is ready within this; otherwise it is ended, and this one goes on.
    pub upgrade: Duration,
    /// When another process has taken over, connections that are open have this long to end by themselves.
    pub drain: Duration,
    /// Making a connection takes no longer than this.
    pub connect: Duration,
    /// Accepted connections at once, over all ports of a reactor.
    pub connections: usize,
    /// Accepted connections at once from one IPv4 address or IPv6 /64 network. Those of UNIX sockets, which come from
    /// nowhere, are not counted.
    pub connections_per_peer: usize,
    /// Bytes read from one connection before the others have their turn.
    pub bytes_per_turn: usize,
    /// Output waiting for one peer above which nothing more is read from it, bytes.
    pub output_high_water: usize,
    /// Output waiting for one peer above which the connection is aborted, bytes.
    pub output_hard: usize,
    /// Longest datagram, either way, bytes.
    pub datagram: usize,
    /// Datagrams waiting to leave one port, bytes, with 64 more for each.
    pub datagram_output: usize,
    /// Open files waiting to leave through one connection.
    pub descriptors: usize,
    /// A callback that holds the loop longer is counted and named.
    pub stall: Duration,
    /// Calls from other threads that may wait at once.
    pub thread_calls: usize,
    /// Child processes that run at once.
    pub processes: usize,
    /// What is kept of what a process writes, where all of it is asked for, bytes.
    pub process_output: usize,
    /// Threads for jobs at once; zero counts as one. There is none before the first job.
    pub threads: usize,
    /// Jobs that may wait for a thread.
    pub jobs_waiting: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            line: 16_384,
            string: 99_999,
            idle: Duration::from_secs(60),
            handshake: Duration::from_secs(10),
            shutdown: Duration::from_secs(5),
            worker_stop: Duration::from_secs(30),
            upgrade: Duration::from_secs(20),
            drain: Duration::from_secs(30),
            connect: Duration::from_secs(30),
            connections: 65_536,
            connections_per_peer: 32_768,
            bytes_per_turn: 65_536,
            output_high_water: 65_536,
            output_hard: 16 * 1024 * 1024,
            datagram: 65_527,
            datagram_output: 1024 * 1024,
            descriptors: 64,
            stall: Duration::from_millis(10),
            thread_calls: 1_048_576,
            processes: 4096,
            process_output: 16 * 1024 * 1024,
            threads: 10,
            jobs_waiting: 65_536,
        }
    }
}

impl Limits {
    /// The table: every limit, in the order in which listings show it.
    #[rustfmt::skip] // one row a line
    pub const TABLE: &'static [Limit] = &[
        Limit::new("line", Unit::Bytes, Field::Number(|l| &mut l.line), "longest line without its end; longer closes the connection"),
        Limit::new("string", Unit::Bytes, Field::Number(|l| &mut l.string), "longest netstring or length-prefixed string; longer closes the connection"),
        Limit::new("idle", Unit::Time, Field::Time(|l| &mut l.idle), "no byte either way: the connection is closed; 0s means never"),
        Limit::new("handshake", Unit::Time, Field::Time(|l| &mut l.handshake), "the first request must be complete, where a protocol asks for it"),
        Limit::new("shutdown", Unit::Time, Field::Time(|l| &mut l.shutdown), "closing a connection, and stopping the whole, are cut off"),
        Limit::new("worker_stop", Unit::Time, Field::Time(|l| &mut l.worker_stop), "when the first worker has ended: others that a callback still holds are left behind"),
        Limit::new("upgrade", Unit::Time, Field::Time(|l| &mut l.upgrade), "a process that is to take over must be ready; otherwise it is ended, and this one goes on"),
        Limit::new("drain", Unit::Time, Field::Time(|l| &mut l.drain), "when another process has taken over: open connections that have not ended by themselves are closed"),
        Limit::new("connect", Unit::Time, Field::Time(|l| &mut l.connect), "making a connection is given up"),
        Limit::new("connections", Unit::Count, Field::Number(|l| &mut l.connections), "accepted connections at once; more are closed at once"),
        Limit::new("connections_per_peer", Unit::Count, Field::Number(|l| &mut l.connections_per_peer), "from one IPv4 address or IPv6 /64 network; more are closed at once"),
        Limit::new("bytes_per_turn", Unit::Bytes, Field::Number(|l| &mut l.bytes_per_turn), "read from one connection before the others have their turn"),
        Limit::new("output_high_water", Unit::Bytes, Field::Number(|l| &mut l.output_high_water), "waiting for one peer: nothing more is read from it until it drains"),
        Limit::new("output_hard", Unit::Bytes, Field::Number(|l| &mut l.output_hard), "waiting for one peer: the connection is aborted"),
        Limit::new("datagram", Unit::Bytes, Field::Number(|l| &mut l.datagram), "longest datagram, either way; longer ones are dropped"),
        Limit::new("datagram_output", Unit::Bytes, Field::Number(|l| &mut l.datagram_output), "datagrams waiting to leave one port, each with 64 more; newer ones are dropped"),
        Limit::new("descriptors", Unit::Count, Field::Number(|l| &mut l.descriptors), "open files waiting to leave through one connection; more are refused"),
        Limit::new("stall", Unit::Time, Field::Time(|l| &mut l.stall), "a callback that holds the loop longer is counted and named"),
        Limit::new("thread_calls", Unit::Count, Field::Number(|l| &mut l.thread_calls), "calls from other threads waiting; more are refused"),
        Limit::new("processes", Unit::Count, Field::Number(|l| &mut l.processes), "child processes at once; more are not started"),
        Limit::new("process_output", Unit::Bytes, Field::Number(|l| &mut l.process_output), "what a process writes, where all of it is asked for; with more it is killed"),
        Limit::new("threads", Unit::Count, Field::Number(|l| &mut l.threads), "threads for jobs, made when they are needed, at least one; more jobs wait"),
        Limit::new("jobs_waiting", Unit::Count, Field::Number(|l| &mut l.jobs_waiting), "jobs waiting for a thread; more fail at once"),
    ];

    /// The row of that name.
    #[must_use]
    pub fn find(name: &str) -> Option<&'static Limit> {
        Self::TABLE.iter().find(|limit| limit.name == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_reads_and_writes_its_own_field() {
        for (index, limit) in Limits::TABLE.iter().enumerate() {
            let mut limits = Limits::default();
            let value = 1_000_000 + index as u64;
            limit.set(&mut limits, value);
            assert_eq!(limit.get(&limits), value, "{}", limit.name);
            let changed = Limits::TABLE
                .iter()
                .filter(|other| other.get(&limits) != other.get(&Limits::default()));
            assert_eq!(changed.map(|l| l.name).collect::<Vec<_>>(), [limit.name]);
        }
    }
}
