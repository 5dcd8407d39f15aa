//! Host names by the operating system: `getaddrinfo`, on threads that are there only while somebody asks. Knows no
//! connection and no order of addresses.
//!
//! No thread is started before the first lookup: from then on every system call of the C library is dearer in the whole
//! process, and a program that looks nothing up shall not pay for it. (With glibc 2.36 that stays so when the thread has
//! ended.) A thread that has had nothing to do for [`IDLE_MAX`] ends, and gives its memory back.

use std::{
    collections::VecDeque,
    fmt, future, io,
    net::{SocketAddr, ToSocketAddrs},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
    thread,
    time::Duration,
};
use tress_core::{
    Deferred, Reactor,
    error::DnsLookupError,
    names::{HostName, NameResolver},
};

/// Threads at once, over all reactors that share the resolver: so many slow servers hold up no other lookup.
pub const THREADS_MAX: usize = 4;
/// Lookups that may wait for a thread; more fail at once.
pub const LOOKUPS_WAITING_MAX: usize = 1024;
/// A thread without work ends after this.
pub const IDLE_MAX: Duration = Duration::from_secs(5);

/// Looks names up as every program on this machine does: `/etc/hosts`, DNS, and whatever else is configured.
///
/// A lookup that is given up is forgotten while it waits; one that a thread has begun goes on there, and its answer is
/// dropped. Clones share the threads and the limits, and may serve reactors of different threads. Source: Twisted's
/// `GAIResolver` in `internet/_resolver.py`.
#[derive(Clone)]
pub struct SystemResolver(Arc<Handle>);

/// Ends the threads when the last resolver has gone.
struct Handle(Arc<Office>);

/// Where lookups wait and threads take them.
struct Office {
    desk: Mutex<Desk>,
    /// There is a lookup, or everything ends.
    news: Condvar,
    idle: Duration,
    look_up: fn(&str, u16) -> io::Result<Vec<SocketAddr>>,
}

#[derive(Default)]
struct Desk {
    waiting: VecDeque<Arc<Lookup>>,
    threads: usize,
    /// Threads that wait for a lookup.
    idle: usize,
    closed: bool,
}

/// One question, shared by the loop that asks and the thread that answers.
struct Lookup {
    name: HostName,
    port: u16,
    answer: Mutex<Answer>,
}

/// A lookup goes through these from first to last, but may be forgotten at any time.
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
        Self(Arc::new(Handle(Arc::new(Office {
            desk: Mutex::default(),
            news: Condvar::new(),
            idle,
            look_up,
        }))))
    }
}

impl Default for SystemResolver {
    fn default() -> Self {
        Self::new()
    }
}

impl NameResolver for SystemResolver {
    fn lookup(&self, reactor: &Reactor, name: &HostName, port: u16) -> Deferred<Vec<SocketAddr>> {
        let office = Arc::clone(&self.0.0);
        let lookup = Arc::new(Lookup {
            name: name.clone(),
            port,
            answer: Mutex::new(Answer::Awaited(None)),
        });
        let asked = Asked { office, lookup };
        reactor.spawn(async move {
            asked.office.take(&asked.lookup)?;
            let answer = future::poll_fn(|context| asked.lookup.poll(context)).await;
            Ok(answer.map_err(|error| asked.lookup.failed(error.to_string()))?)
        })
    }
}

impl fmt::Debug for SystemResolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let desk = lock(&self.0.0.desk);
        let (threads, waiting) = (desk.threads, desk.waiting.len());
        write!(f, "SystemResolver({threads} threads, {waiting} waiting)")
    }
}

/// A lookup, as long as anybody waits for it.
struct Asked {
    office: Arc<Office>,
    lookup: Arc<Lookup>,
}

impl Drop for Asked {
    fn drop(&mut self) {
        *lock(&self.lookup.answer) = Answer::Gone;
        let mut desk = lock(&self.office.desk);
        desk.waiting
            .retain(|waiting| !Arc::ptr_eq(waiting, &self.lookup));
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        lock(&self.0.desk).closed = true;
        self.0.news.notify_all();
    }
}

impl Office {
    /// Takes a lookup in, and starts a thread for it if all are busy and there may be more.
    fn take(self: &Arc<Self>, lookup: &Arc<Lookup>) -> Result<(), DnsLookupError> {
        let mut desk = lock(&self.desk);
        if desk.waiting.len() >= LOOKUPS_WAITING_MAX {
            let problem = format!("{LOOKUPS_WAITING_MAX} lookups are waiting already");
            return Err(lookup.failed(problem));
        }
        if desk.idle <= desk.waiting.len() && desk.threads < THREADS_MAX {
            let office = Arc::clone(self);
            let thread = thread::Builder::new().name("tress-names".to_owned());
            match thread.spawn(move || office.work()) {
                Ok(_) => desk.threads += 1,
                // Those that are there will come to it.
                Err(_) if desk.threads > 0 => {}
                Err(error) => return Err(lookup.failed(format!("no thread for it: {error}"))),
            }
        }
        desk.waiting.push_back(Arc::clone(lookup));
        drop(desk);
        self.news.notify_one();
        Ok(())
    }

    /// What a thread does.
    fn work(&self) {
        while let Some(lookup) = self.next() {
            if lookup.is_wanted() {
                lookup.fill_in((self.look_up)(lookup.name.as_str(), lookup.port));
            }
        }
    }

    /// The next lookup; `None` when this thread shall end, and counts no more.
    fn next(&self) -> Option<Arc<Lookup>> {
        let mut desk = lock(&self.desk);
        loop {
            if let Some(lookup) = desk.waiting.pop_front() {
                return Some(lookup);
            }
            if desk.closed {
                break;
            }
            desk.idle += 1;
            let (back, waited) = self
                .news
                .wait_timeout(desk, self.idle)
                .unwrap_or_else(PoisonError::into_inner);
            desk = back;
            desk.idle -= 1;
            if waited.timed_out() && desk.waiting.is_empty() {
                break;
            }
        }
        desk.threads -= 1;
        None
    }
}

impl Lookup {
    fn is_wanted(&self) -> bool {
        !matches!(*lock(&self.answer), Answer::Gone)
    }

    fn fill_in(&self, answer: io::Result<Vec<SocketAddr>>) {
        let mut place = lock(&self.answer);
        if let Answer::Awaited(waker) = std::mem::take(&mut *place) {
            *place = Answer::There(answer);
            drop(place);
            if let Some(waker) = waker {
                waker.wake();
            }
        }
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

    fn failed(&self, problem: String) -> DnsLookupError {
        DnsLookupError {
            name: self.name.to_string(),
            problem,
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
    fn until_ended(office: &Office) {
        while lock(&office.desk).threads > 0 {
            thread::yield_now();
        }
    }

    #[test]
    fn an_answer_comes_from_a_thread_that_ends_when_idle() {
        let resolver = SystemResolver::with(Duration::ZERO, fake);
        let reactor = reactor();
        let office = Arc::clone(&resolver.0.0);
        assert_eq!(
            lock(&office.desk).threads,
            0,
            "none before the first lookup"
        );
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
        let office = Arc::clone(&resolver.0.0);
        let answer = reactor.run_until(ask(&resolver, &reactor, "a.example"));
        answer.expect("it is found");
        assert_eq!(lock(&office.desk).threads, 1);
        drop(resolver);
        until_ended(&office);
    }

    #[test]
    fn threads_and_waiting_lookups_are_limited_and_cancelled_ones_make_room() {
        let resolver = SystemResolver::with(Duration::ZERO, fake);
        let reactor = reactor();
        let office = Arc::clone(&resolver.0.0);
        let mut asked: Vec<_> = (0..THREADS_MAX + LOOKUPS_WAITING_MAX)
            .map(|index| ask(&resolver, &reactor, &format!("slow{index}.example")))
            .collect();
        // Some may have been refused before the threads took theirs.
        asked.retain(|deferred| deferred.canceller().is_some());
        while lock(&office.desk).waiting.len() + THREADS_MAX > asked.len() {
            thread::yield_now();
        }
        assert_eq!(lock(&office.desk).threads, THREADS_MAX);
        while lock(&office.desk).waiting.len() < LOOKUPS_WAITING_MAX {
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
        assert_eq!(lock(&office.desk).waiting.len(), 0);
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
