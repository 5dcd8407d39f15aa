//! Host names by the operating system: `getaddrinfo`, on threads that are there only while somebody asks: a pool of its
//! own. Knows no connection and no order of addresses.

pub use crate::pool::IDLE_MAX;

use crate::pool::Pool;
use std::{
    fmt, future, io,
    net::{SocketAddr, ToSocketAddrs},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
    time::Duration,
};
use tress_core::{
    Deferred, Reactor,
    error::DnsLookupError,
    jobs::{Job, JobId, JobLimits},
    names::{HostName, NameResolver},
};

/// Threads at once, over all reactors that share the resolver: so many slow servers hold up no other lookup.
pub const THREADS_MAX: usize = 4;
/// Lookups that may wait for a thread; more fail at once.
pub const LOOKUPS_WAITING_MAX: usize = 1024;

/// Looks names up as every program on this machine does: `/etc/hosts`, DNS, and whatever else is configured.
///
/// A lookup that is given up is forgotten while it waits; one that a thread has begun goes on there, and its answer is
/// dropped. Clones share the threads and the limits, and may serve reactors of different threads. Source: Twisted's
/// `GAIResolver` in `internet/_resolver.py`.
#[derive(Clone)]
pub struct SystemResolver(Arc<Office>);

/// Where lookups are done: threads of their own, so that a slow server holds up no other job.
struct Office {
    pool: Pool,
    look_up: fn(&str, u16) -> io::Result<Vec<SocketAddr>>,
}

/// Where the answer goes, shared by the loop that asks and the thread that answers. It goes through these from first to
/// last, but may be forgotten at any time.
#[derive(Default)]
enum Answer {
    /// Not there yet; whom to wake.
    Awaited(Option<Waker>),
    There(io::Result<Vec<SocketAddr>>),
    /// It was fetched, or nobody wants it.
    #[default]
    Gone,
}

impl SystemResolver {
    /// A resolver without a thread: the first lookup starts one.
    #[must_use]
    pub fn new() -> Self {
        Self::with(IDLE_MAX, |name, port| {
            Ok((name, port).to_socket_addrs()?.collect())
        })
    }

    fn with(idle: Duration, look_up: fn(&str, u16) -> io::Result<Vec<SocketAddr>>) -> Self {
        let limits = JobLimits {
            threads: THREADS_MAX,
            waiting: LOOKUPS_WAITING_MAX,
        };
        let pool = Pool::new("tress-names", limits, idle);
        Self(Arc::new(Office { pool, look_up }))
    }
}

impl Default for SystemResolver {
    fn default() -> Self {
        Self::new()
    }
}

impl NameResolver for SystemResolver {
    fn lookup(&self, reactor: &Reactor, name: &HostName, port: u16) -> Deferred<Vec<SocketAddr>> {
        let (office, name) = (Arc::clone(&self.0), name.clone());
        reactor.spawn(async move {
            let asked = Asked::start(office, &name, port).map_err(|error| {
                failed(
                    &name,
                    match error.kind() {
                        io::ErrorKind::QuotaExceeded => {
                            format!("{LOOKUPS_WAITING_MAX} lookups are waiting already")
                        }
                        _ => format!("no thread for it: {error}"),
                    },
                )
            })?;
            let answer = future::poll_fn(|context| asked.poll(context)).await;
            Ok(answer.map_err(|error| failed(&name, error.to_string()))?)
        })
    }
}

fn failed(name: &HostName, problem: String) -> DnsLookupError {
    DnsLookupError {
        name: name.to_string(),
        problem,
    }
}

impl fmt::Debug for SystemResolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SystemResolver({:?})", self.0.pool)
    }
}

/// A lookup, as long as anybody waits for it.
struct Asked {
    office: Arc<Office>,
    job: JobId,
    answer: Arc<Mutex<Answer>>,
}

impl Asked {
    fn start(office: Arc<Office>, name: &HostName, port: u16) -> io::Result<Self> {
        let answer = Arc::new(Mutex::new(Answer::Awaited(None)));
        let (place, name, look_up) = (Arc::clone(&answer), name.clone(), office.look_up);
        let job = Job::new(move || {
            if !matches!(*lock(&place), Answer::Gone) {
                fill_in(&place, look_up(name.as_str(), port));
            }
        });
        let job = office.pool.start(job).map_err(|refused| refused.error)?;
        Ok(Self {
            office,
            job,
            answer,
        })
    }

    fn poll(&self, context: &Context<'_>) -> Poll<io::Result<Vec<SocketAddr>>> {
        let mut place = lock(&self.answer);
        match std::mem::take(&mut *place) {
            Answer::There(answer) => Poll::Ready(answer),
            Answer::Awaited(_) => {
                *place = Answer::Awaited(Some(context.waker().clone()));
                Poll::Pending
            }
            Answer::Gone => Poll::Pending,
        }
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        *lock(&self.answer) = Answer::Gone;
        drop(self.office.pool.cancel(self.job));
    }
}

fn fill_in(place: &Mutex<Answer>, answer: io::Result<Vec<SocketAddr>>) {
    let mut place = lock(place);
    if let Answer::Awaited(waker) = std::mem::take(&mut *place) {
        *place = Answer::There(answer);
        drop(place);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// What a lock guards here is whole whenever it is free, whoever panicked.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Mio;
    use std::{sync::Condvar, thread};
    use tress_core::Failure;

    /// Closed while lookups of names with `slow` in them shall take long.
    static GATE: (Mutex<bool>, Condvar) = (Mutex::new(false), Condvar::new());

    fn open_gate() {
        *lock(&GATE.0) = true;
        GATE.1.notify_all();
    }

    fn fake(name: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        if name.starts_with("slow") {
            let open = lock(&GATE.0);
            let open = GATE.1.wait_while(open, |open| !*open);
            drop(open);
        }
        match name.starts_with("bad") {
            true => Err(io::Error::other("no such name")),
            false => Ok(vec![([192, 0, 2, 1], port).into()]),
        }
    }

    fn reactor() -> Reactor {
        Reactor::with(Mio::new().expect("epoll works"))
    }

    fn ask(resolver: &SystemResolver, reactor: &Reactor, name: &str) -> Deferred<Vec<SocketAddr>> {
        let name = HostName::parse(name).expect("it is a name");
        resolver.lookup(reactor, &name, 80)
    }

    /// Waits until no thread is left.
    fn until_ended(office: &crate::pool::Office) {
        while office.counts().threads > 0 {
            thread::yield_now();
        }
    }

    #[test]
    fn an_answer_comes_from_a_thread_that_ends_when_idle() {
        let resolver = SystemResolver::with(Duration::ZERO, fake);
        let reactor = reactor();
        let office = resolver.0.pool.office();
        let before = office.counts().threads;
        assert_eq!(before, 0, "none before the first lookup");
        for _ in 0..3 {
            let answer = reactor.run_until(ask(&resolver, &reactor, "a.example"));
            assert_eq!(answer.expect("it is found"), [([192, 0, 2, 1], 80).into()]);
            until_ended(&office);
        }
        let failure = reactor
            .run_until(ask(&resolver, &reactor, "bad.example"))
            .expect_err("there is none");
        let text = "cannot look up `bad.example`: no such name";
        assert_eq!(failure.to_string(), text);
        assert!(failure.check::<DnsLookupError>().is_some());
        assert_eq!(reactor.statistics().tasks, 0);
    }

    #[test]
    fn threads_that_wait_end_with_the_resolver() {
        let resolver = SystemResolver::with(Duration::MAX, fake);
        let reactor = reactor();
        let office = resolver.0.pool.office();
        let answer = reactor.run_until(ask(&resolver, &reactor, "a.example"));
        answer.expect("it is found");
        assert_eq!(office.counts().threads, 1);
        drop(resolver);
        until_ended(&office);
    }

    #[test]
    fn threads_and_waiting_lookups_are_limited_and_cancelled_ones_make_room() {
        let resolver = SystemResolver::with(Duration::ZERO, fake);
        let reactor = reactor();
        let office = resolver.0.pool.office();
        let mut asked: Vec<_> = (0..THREADS_MAX + LOOKUPS_WAITING_MAX)
            .map(|index| ask(&resolver, &reactor, &format!("slow{index}.example")))
            .collect();
        // Some may have been refused before the threads took theirs.
        asked.retain(|deferred| deferred.canceller().is_some());
        while office.counts().waiting + THREADS_MAX > asked.len() {
            thread::yield_now();
        }
        assert_eq!(office.counts().threads, THREADS_MAX);
        while office.counts().waiting < LOOKUPS_WAITING_MAX {
            asked.push(ask(&resolver, &reactor, "slow.example"));
        }
        let refused = ask(&resolver, &reactor, "slow.example").try_result();
        let failure: Failure = refused.expect("at once").expect_err("it is too many");
        assert!(
            failure
                .to_string()
                .ends_with("1024 lookups are waiting already"),
            "{failure}"
        );
        // What is given up waits no more; what has begun goes on, and is forgotten.
        for deferred in asked.drain(1..) {
            deferred.add_errback(|_| Ok(Vec::new())).cancel();
        }
        assert_eq!(office.counts().waiting, 0);
        open_gate();
        let answer = reactor.run_until(asked.remove(0));
        answer.expect("the first one was not given up");
        until_ended(&office);
    }

    #[test]
    fn the_systems_own_resolver_knows_localhost() {
        let resolver = SystemResolver::new();
        let reactor = reactor();
        match reactor.run_until(ask(&resolver, &reactor, "localhost")) {
            Ok(addresses) => {
                assert!(!addresses.is_empty());
                let ours =
                    |address: &SocketAddr| address.ip().is_loopback() && address.port() == 80;
                assert!(addresses.iter().all(ours), "{addresses:?}");
            }
            Err(failure) => println!("skipped: {failure}"),
        }
    }
}
