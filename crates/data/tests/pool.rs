//! The pool on real threads and a real file: what is committed, what is taken back, who waits, what cancelling does in
//! each state. Nothing waits for time to pass: a gate holds a piece of work where the test wants it.

#![expect(clippy::unwrap_used, reason = "this whole file is a test")]

use std::{
    path::PathBuf,
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};
use tress_core::{
    Deferred, Failure, Reactor, Result, ThreadFailure, error::Cancelled, error::TimedOut,
    gather_results, testing::ManualClock,
};
use tress_data::{ConnectionPool, DataError, PoolLimits, rusqlite};
use tress_os::Mio;

/// A directory that goes with its test.
struct Place(PathBuf);

impl Place {
    fn new() -> Self {
        static LAST: AtomicU32 = AtomicU32::new(0);
        let number = LAST.fetch_add(1, Ordering::Relaxed);
        let name = format!("tress-data-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn file(&self) -> PathBuf {
        self.0.join("users.sqlite")
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).unwrap();
    }
}

/// Closed until it is opened; tells whether somebody stands before it.
#[derive(Clone, Default)]
struct Gate(Arc<(Mutex<(bool, usize)>, Condvar)>);

impl Gate {
    fn pass(&self) {
        let mut state = self.0.0.lock().unwrap();
        state.1 += 1;
        drop(self.0.1.wait_while(state, |(open, _)| !*open).unwrap());
    }

    fn open(&self) {
        self.0.0.lock().unwrap().0 = true;
        self.0.1.notify_all();
    }

    fn arrived(&self) -> usize {
        self.0.0.lock().unwrap().1
    }
}

struct Bench {
    reactor: Reactor,
    pool: ConnectionPool,
    place: Place,
}

/// A table `users(name, status)` with nobody in it.
fn bench(limits: impl FnOnce(&mut PoolLimits)) -> Bench {
    let place = Place::new();
    let reactor = Reactor::with(Mio::new().unwrap());
    let mut all = PoolLimits::default();
    limits(&mut all);
    let pool = ConnectionPool::open(&reactor, place.file(), all).unwrap();
    let table = "CREATE TABLE users (name TEXT PRIMARY KEY, status TEXT NOT NULL)";
    let made = reactor.run_until(pool.run_operation(table, ()));
    assert_eq!(made.unwrap(), 0);
    Bench {
        reactor,
        pool,
        place,
    }
}

impl Bench {
    fn until(&self, mut condition: impl FnMut() -> bool) {
        while !condition() {
            self.reactor.turn(Some(Duration::from_millis(1))).unwrap();
        }
    }

    fn set(&self, name: &str, status: &str) -> Deferred<usize> {
        let row = (name.to_owned(), status.to_owned());
        self.pool
            .run_operation("INSERT INTO users VALUES (?1, ?2)", row)
    }

    fn names(&self) -> Vec<String> {
        let names = self
            .pool
            .run_query("SELECT name FROM users ORDER BY name", (), |row| row.get(0));
        self.reactor.run_until(names).unwrap()
    }

    /// An interaction that has written, and waits before it is committed.
    fn held(&self, name: &'static str, gate: &Gate) -> Deferred<()> {
        let (pass, before) = (gate.clone(), gate.arrived());
        let work = self.pool.run_interaction(move |transaction| {
            transaction.execute("INSERT INTO users VALUES (?1, '')", [name])?;
            pass.pass();
            Ok(())
        });
        self.until(|| gate.arrived() > before);
        work
    }

    fn idle(&self) {
        self.until(|| self.pool.working() == 0 && self.pool.waiting() == 0);
    }
}

#[track_caller]
fn failed<T: 'static>(deferred: Deferred<T>) -> Failure {
    let Ok(Err(failure)) = deferred.try_result() else {
        panic!("it has not failed")
    };
    failure
}

#[test]
fn what_is_written_is_read_also_by_who_opens_the_file_later() {
    let bench = bench(|_| ());
    assert_eq!(
        bench
            .reactor
            .run_until(bench.set("moshez", "Happy and well"))
            .unwrap(),
        1
    );
    let read = |row: &rusqlite::Row<'_>| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?));
    let all = bench
        .pool
        .run_query("SELECT * FROM users WHERE name = ?1", ["moshez"], read);
    let all = bench.reactor.run_until(all).unwrap();
    assert_eq!(all, [("moshez".to_owned(), "Happy and well".to_owned())]);
    bench.reactor.run_until(bench.pool.close()).unwrap();
    let again = ConnectionPool::open(&bench.reactor, bench.place.file(), PoolLimits::default());
    let names = again
        .unwrap()
        .run_query("SELECT name FROM users", (), |row| row.get(0));
    let names: Vec<String> = bench.reactor.run_until(names).unwrap();
    assert_eq!(names, ["moshez"]);
}

#[test]
fn what_fails_or_panics_takes_everything_back() {
    let bench = bench(|_| ());
    let twice = bench.pool.run_interaction(|transaction| {
        transaction.execute("INSERT INTO users VALUES ('a', '')", ())?;
        transaction.execute("INSERT INTO users VALUES ('a', '')", ())?;
        Ok(())
    });
    let failure = bench.reactor.run_until(twice).unwrap_err();
    assert!(
        failure
            .to_string()
            .starts_with("UNIQUE constraint failed: users.name")
    );
    assert!(failure.check::<rusqlite::Error>().is_some());
    let torn = bench
        .pool
        .run_interaction(|transaction| -> Result<(), ThreadFailure> {
            transaction.execute("INSERT INTO users VALUES ('b', '')", ())?;
            panic!("torn")
        });
    let failure = bench.reactor.run_until(torn).unwrap_err();
    assert_eq!(failure.to_string(), "a callback panicked: torn");
    let own = bench
        .pool
        .run_interaction(|transaction| -> Result<(), ThreadFailure> {
            transaction.execute("INSERT INTO users VALUES ('c', '')", ())?;
            Err(ThreadFailure::msg("changed my mind"))
        });
    assert_eq!(
        bench.reactor.run_until(own).unwrap_err().to_string(),
        "changed my mind"
    );
    assert_eq!(bench.names(), [""; 0]);
}

#[test]
fn an_open_transaction_is_not_left_to_the_next() {
    let bench = bench(|limits| limits.connections = 1);
    let left = bench.pool.run_with_connection(|connection| {
        connection.execute_batch("BEGIN; INSERT INTO users VALUES ('a', '')")?;
        Ok(())
    });
    bench.reactor.run_until(left).unwrap();
    assert_eq!(bench.names(), [""; 0]);
    bench.reactor.run_until(bench.set("b", "")).unwrap();
    assert_eq!(bench.names(), ["b"]);
}

#[test]
fn no_more_work_than_connections_and_the_rest_in_order() {
    let bench = bench(|limits| limits.connections = 2);
    let (gate, begun) = (Gate::default(), Arc::new(Mutex::new(Vec::new())));
    let work: Vec<_> = (0..6)
        .map(|number| {
            let (pass, begun) = (gate.clone(), Arc::clone(&begun));
            bench.pool.run_with_connection(move |_| {
                begun.lock().unwrap().push(number);
                pass.pass();
                Ok(number)
            })
        })
        .collect();
    bench.until(|| gate.arrived() == 2);
    assert_eq!((bench.pool.working(), bench.pool.waiting()), (2, 4));
    let mut first = begun.lock().unwrap().clone();
    first.sort_unstable();
    assert_eq!(first, [0, 1]);
    gate.open();
    let done = bench.reactor.run_until(gather_results(work)).unwrap();
    assert_eq!(done, [0, 1, 2, 3, 4, 5]);
    assert_eq!((bench.pool.working(), bench.pool.waiting()), (0, 0));
}

#[test]
fn too_much_that_waits_fails_at_once() {
    let bench = bench(|limits| (limits.connections, limits.waiting) = (1, 1));
    let gate = Gate::default();
    let held = bench.held("a", &gate);
    let waits = bench.set("b", "");
    let failure = failed(bench.set("c", ""));
    assert_eq!(failure.check(), Some(&DataError::TooManyWaiting(1)));
    gate.open();
    bench
        .reactor
        .run_until(gather_results([held, waits.map(drop)]))
        .unwrap();
    assert_eq!(bench.names(), ["a", "b"]);
}

#[test]
fn cancelled_while_it_waits_it_never_begins() {
    let bench = bench(|limits| limits.connections = 1);
    let gate = Gate::default();
    let held = bench.held("a", &gate);
    let begun = Arc::new(AtomicBool::new(false));
    let begins = Arc::clone(&begun);
    let waits = bench.pool.run_with_connection(move |_| {
        begins.store(true, Ordering::SeqCst);
        Ok(())
    });
    assert_eq!(bench.pool.waiting(), 1);
    waits.cancel();
    assert!(failed(waits).check::<Cancelled>().is_some());
    assert_eq!(bench.pool.waiting(), 0, "its place is free");
    gate.open();
    bench.reactor.run_until(held).unwrap();
    bench.idle();
    assert!(!begun.load(Ordering::SeqCst));
    assert_eq!(bench.names(), ["a"]);
}

#[test]
fn cancelled_before_the_commit_it_is_taken_back_and_holds_its_turn_until_then() {
    let bench = bench(|limits| limits.connections = 1);
    let gate = Gate::default();
    let held = bench.held("a", &gate);
    held.cancel();
    assert!(failed(held).check::<Cancelled>().is_some(), "at once");
    let next = bench.set("b", "");
    assert_eq!((bench.pool.working(), bench.pool.waiting()), (1, 1));
    gate.open();
    bench.reactor.run_until(next).unwrap();
    assert_eq!(bench.names(), ["b"]);
}

/// Without an end: only an interrupt can end it.
const ENDLESS: &str =
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n";

#[test]
fn a_statement_without_end_is_interrupted_and_the_connection_goes_on() {
    let bench = bench(|limits| limits.connections = 1);
    let endless = bench
        .pool
        .run_query(ENDLESS, (), |row| row.get::<_, i64>(0));
    bench.until(|| bench.reactor.statistics().jobs_running == 1);
    endless.cancel();
    assert!(failed(endless).check::<Cancelled>().is_some());
    assert_eq!(bench.names(), [""; 0], "the same connection");
}

#[test]
fn what_takes_too_long_is_cancelled_by_the_clock() {
    let place = Place::new();
    let clock = ManualClock::new();
    let reactor = Reactor::with(Mio::with_clock(clock.clone()).unwrap());
    let pool = ConnectionPool::open(&reactor, place.file(), PoolLimits::default()).unwrap();
    let endless = pool.run_query(ENDLESS, (), |row| row.get::<_, i64>(0));
    let short = Some(Duration::from_millis(1));
    reactor.turn(short).unwrap();
    assert_eq!(pool.working(), 1);
    clock.advance(PoolLimits::default().time);
    while pool.working() > 0 {
        reactor.turn(short).unwrap();
    }
    let failure = failed(endless);
    assert!(failure.check::<TimedOut>().is_some(), "{failure}");
}

#[test]
fn rows_and_bytes_have_a_limit() {
    let bench = bench(|limits| (limits.rows, limits.bytes) = (3, 1000));
    let count = |most: usize| {
        format!(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT {most}) SELECT i FROM n"
        )
    };
    let ask = |sql: String| {
        let rows = bench
            .pool
            .run_query(sql, (), |row| row.get::<_, rusqlite::types::Value>(0));
        bench.reactor.run_until(rows)
    };
    assert_eq!(ask(count(3)).unwrap().len(), 3);
    assert_eq!(
        ask(count(4)).unwrap_err().check(),
        Some(&DataError::TooManyRows(3))
    );
    let long =
        |bytes: usize| format!("SELECT zeroblob({bytes}) UNION ALL SELECT zeroblob({bytes})");
    assert_eq!(ask(long(500)).unwrap().len(), 2);
    assert_eq!(
        ask(long(501)).unwrap_err().check(),
        Some(&DataError::TooManyBytes(1000))
    );
    let failure = ask("SELECT zeroblob(1001)".to_owned()).unwrap_err();
    assert!(failure.to_string().contains("too big"), "{failure}");
}

#[test]
fn closing_waits_for_what_was_asked_for_and_takes_nothing_new() {
    let bench = bench(|limits| limits.connections = 1);
    let gate = Gate::default();
    let (held, waits) = (bench.held("a", &gate), bench.set("b", ""));
    let closed = bench.pool.close();
    let failure = failed(bench.set("c", ""));
    assert_eq!(failure.check(), Some(&DataError::Closed));
    let Err(closed) = closed.try_result() else {
        panic!("somebody works still")
    };
    gate.open();
    bench.reactor.run_until(closed).unwrap();
    for done in [held, waits.map(drop)] {
        done.try_result()
            .unwrap_or_else(|_| panic!("it waited for it"))
            .unwrap();
    }
    assert!(bench.pool.close().try_result().is_ok(), "twice");
    let left: Vec<_> = std::fs::read_dir(&bench.place.0)
        .unwrap()
        .map(|e| e.unwrap().file_name())
        .collect();
    assert_eq!(left, ["users.sqlite"], "the log is in the file, and gone");
}

#[test]
fn what_is_no_file_is_refused() {
    let place = Place::new();
    let reactor = Reactor::with(Mio::new().unwrap());
    let open =
        |path: PathBuf| ConnectionPool::open(&reactor, path, PoolLimits::default()).unwrap_err();
    for none in ["", ":memory:"] {
        let failure = Failure::from(open(none.into()));
        assert_eq!(failure.check(), Some(&DataError::NoFile(none.into())));
    }
    std::fs::write(place.file(), [b'x'; 4096]).unwrap();
    let text = open(place.file()).to_string();
    assert!(text.contains("file is not a database"), "{text}");
    let text = open(place.0.join("missing/users.sqlite")).to_string();
    assert!(text.contains("unable to open database file"), "{text}");
}

#[test]
fn a_pool_outlives_its_reactor_harmlessly() {
    let Bench {
        reactor,
        pool,
        place,
    } = bench(|_| ());
    drop(reactor);
    let failure = failed(pool.run_operation("DELETE FROM users", ()));
    assert!(failure.check::<tress_core::error::ReactorGone>().is_some());
    drop((pool, place));
}
