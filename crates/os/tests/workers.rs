//! Workers listen at the same sockets, all get peers, and all stop when one does; nothing of them is left.

#![cfg(target_os = "linux")]

use std::{
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
        mpsc::{Sender, channel},
    },
    thread,
    time::{Duration, Instant},
};
use tress_core::{
    Failure, Limits, Protocol, Reactor, Remote, Result, Transport, error::CannotListen,
};
use tress_os::{
    Mio, Worker, Workers,
    workers::{BadWorkers, WORKERS_MAX},
};

const LOOPBACK: &str = "tcp:0:interface=127.0.0.1";

/// Descriptors and threads are the process's: one test at a time.
fn alone() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    ONE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn reactor() -> Result<Reactor> {
    Ok(Reactor::with(Mio::new()?))
}

fn workers(count: usize) -> Workers {
    Workers::new(count, reactor).expect("there may be so many")
}

#[cfg(all(feature = "uring", target_os = "linux"))]
fn on_uring() -> Result<Reactor> {
    Ok(Reactor::with(tress_os::Uring::new()?))
}

/// Says which worker it is on, and sends back what it gets.
struct Echo(usize);

impl Protocol for Echo {
    fn connection_made(&mut self, transport: &Transport) -> Result {
        transport.write(&[u8::try_from(self.0)?]);
        Ok(())
    }

    fn data_received(&mut self, transport: &Transport, data: &[u8]) -> Result {
        transport.write(data);
        Ok(())
    }
}

/// Stops a worker, also when a check failed: nobody waits for workers that go on for ever.
struct Stop<'w>(&'w Remote);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.stop();
    }
}

/// Serves `Echo` on so many workers while `with` talks to them, and stops through the worker of that index.
fn served(count: usize, stopped: usize, with: impl FnOnce(SocketAddr, &Remote) + Send) -> Result {
    served_on(reactor, count, stopped, with)
}

fn served_on(
    make: fn() -> Result<Reactor>,
    count: usize,
    stopped: usize,
    with: impl FnOnce(SocketAddr, &Remote) + Send,
) -> Result {
    let (tell, told) = channel();
    thread::scope(|scope| {
        scope.spawn(move || {
            let mut known: Vec<(usize, SocketAddr, Remote)> = told.iter().take(count).collect();
            known.sort_by_key(|(index, ..)| *index);
            if let Some((_, at, remote)) = known.get(stopped) {
                let _stop = Stop(remote);
                assert!(known.iter().all(|(_, own, _)| own == at), "{known:?}");
                with(*at, remote);
            }
        });
        let workers = Workers::new(count, make).expect("there may be so many");
        workers.run(|worker| listen(worker, &tell))
    })
}

fn listen(worker: &Worker, tell: &Sender<(usize, SocketAddr, Remote)>) -> Result {
    let index = worker.index();
    let port = worker.reactor().listen(LOOPBACK, move || Echo(index))?;
    let at = port.local_address().to_string().parse()?;
    tell.send((index, at, worker.reactor().remote()))
        .map_err(|_| Failure::msg("nobody asks"))
}

/// Which worker has taken it, once it has.
fn connect(at: SocketAddr) -> (TcpStream, usize) {
    let mut stream = TcpStream::connect(at).expect("it listens");
    let mut index = [0];
    stream.read_exact(&mut index).expect("it is served");
    (stream, usize::from(index[0]))
}

/// How long a thread may take to go on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

fn descriptors() -> usize {
    fs::read_dir("/proc/self/fd").expect("it is there").count()
}

/// Those of the workers.
fn threads() -> Vec<String> {
    let tasks = fs::read_dir("/proc/self/task").expect("it is there");
    let names = tasks.filter_map(|task| {
        let name = fs::read_to_string(task.ok()?.path().join("comm")).ok()?;
        Some(name.trim().to_owned())
    });
    let mut names: Vec<String> = names
        .filter(|name| name.starts_with("tress-worker"))
        .collect();
    names.sort();
    names
}

/// A thread that was joined may be listed for a moment longer.
#[track_caller]
fn no_threads() {
    let start = Instant::now();
    while !threads().is_empty() {
        assert!(start.elapsed() < PATIENCE, "{:?}", threads());
        thread::yield_now();
    }
}

#[test]
fn every_worker_gets_peers_of_one_port() {
    check_peers_of_one_port(reactor);
}

#[cfg(all(feature = "uring", target_os = "linux"))]
#[test]
fn every_worker_gets_peers_of_one_port_on_io_uring() {
    match on_uring() {
        Ok(_) => check_peers_of_one_port(on_uring),
        Err(error) => println!("skipped: this machine has no io_uring for us: {error}"),
    }
}

fn check_peers_of_one_port(make: fn() -> Result<Reactor>) {
    let _alone = alone();
    for count in [1, 2, 4] {
        let counts: Vec<AtomicUsize> = (0..count).map(|_| AtomicUsize::new(0)).collect();
        served_on(make, count, 0, |at, _| {
            let mut open = Vec::new();
            // However the system wakes them: every one has had its turn, within bounds.
            for _ in 0..5_000 {
                let (stream, index) = connect(at);
                counts[index].fetch_add(1, Ordering::Relaxed);
                open.push(stream);
                if open.len() > 100 {
                    open.clear();
                }
                if counts.iter().all(|count| count.load(Ordering::Relaxed) > 0) {
                    break;
                }
            }
            let others = (1..count).map(|index| format!("tress-worker-{index}"));
            assert_eq!(threads(), others.collect::<Vec<_>>());
        })
        .expect("they stop well");
        let all = counts.iter().all(|count| count.load(Ordering::Relaxed) > 0);
        assert!(all, "{count} workers: {counts:?}");
    }
}

#[test]
fn all_stop_when_any_is_stopped_also_with_open_connections() {
    let _alone = alone();
    for stopped in [0, 1, 2] {
        let mut open = Vec::new();
        served(3, stopped, |at, _| {
            open.extend((0..20).map(|_| connect(at).0));
            open[0].write_all(b"x").expect("it is open");
            open[0].read_exact(&mut [0]).expect("it is served");
        })
        .expect("they stop well");
        for stream in &mut open {
            assert_eq!(stream.read(&mut [0]).unwrap_or(0), 0, "all are closed");
        }
    }
}

/// A port that is free now, and may be so for a while.
fn free_port() -> u16 {
    let socket = TcpListener::bind("127.0.0.1:0").expect("there is room");
    socket.local_addr().expect("it has one").port()
}

#[test]
fn each_has_a_socket_of_its_own_where_that_is_asked_for() {
    check_sockets_of_their_own(reactor);
}

#[cfg(all(feature = "uring", target_os = "linux"))]
#[test]
fn each_has_a_socket_of_its_own_on_io_uring() {
    match on_uring() {
        Ok(_) => check_sockets_of_their_own(on_uring),
        Err(error) => println!("skipped: this machine has no io_uring for us: {error}"),
    }
}

fn check_sockets_of_their_own(make: fn() -> Result<Reactor>) {
    let _alone = alone();
    let port = free_port();
    let at = format!("tcp:{port}:interface=127.0.0.1:reuse=1");
    let (tell, told) = channel();
    let result = thread::scope(|scope| {
        scope.spawn(move || {
            let known: Vec<Remote> = told.iter().take(2).collect();
            let _stop = Stop(&known[1]);
            let at = SocketAddr::from(([127, 0, 0, 1], port));
            let listening = fs::read_to_string("/proc/net/tcp").expect("it is there");
            let own = format!("0100007F:{port:04X} 00000000:0000 0A");
            assert_eq!(listening.matches(&own).count(), 2, "{listening}");
            // The system decides by the peer's port: by none of a hundred for the same would be odd.
            let mut open = Vec::new();
            let mut seen = [false; 2];
            while seen.contains(&false) && open.len() < 200 {
                let (stream, index) = connect(at);
                open.push(stream);
                seen[index] = true;
            }
            assert_eq!(seen, [true; 2]);
        });
        let tell = Mutex::new(tell);
        let two = Workers::new(2, make).expect("there may be two");
        two.run(|worker| {
            let index = worker.index();
            worker.reactor().listen(&at, move || Echo(index))?;
            let remote = worker.reactor().remote();
            let tell = tell.lock().expect("no panic");
            tell.send(remote).map_err(|_| Failure::msg("nobody asks"))
        })
    });
    result.expect("they stop well");
    let alone = make().expect("it worked a moment ago");
    let first = alone.listen(&at, || Echo(0)).expect("it is free");
    let refused = alone.listen(&at.replace(":reuse=1", ""), || Echo(0));
    assert!(refused.is_err(), "the other did not say so");
    drop(first);
}

#[test]
fn nothing_is_left_however_often_they_run() {
    let _alone = alone();
    served(2, 0, |at, _| drop(connect(at))).expect("they stop well");
    let before = descriptors();
    for round in 0..50 {
        served(2, round % 2, |at, _| drop(connect(at))).expect("they stop well");
    }
    assert_eq!(descriptors(), before);
    no_threads();
}

#[test]
fn nothing_is_served_where_one_cannot_listen() {
    let _alone = alone();
    let taken = TcpListener::bind("127.0.0.1:0").expect("there is room");
    let at = format!(
        "tcp:{}:interface=127.0.0.1",
        taken.local_addr().expect("it has one").port()
    );
    let set_up = AtomicUsize::new(0);
    let before = descriptors();
    let failure = workers(2).run(|worker| {
        set_up.fetch_add(1, Ordering::Relaxed);
        worker.reactor().listen(LOOPBACK, || Echo(0))?;
        worker.reactor().listen(&at, || Echo(0))?;
        Ok(())
    });
    let failure = failure.expect_err("it is in use");
    assert!(failure.check::<CannotListen>().is_some(), "{failure}");
    assert_eq!(set_up.into_inner(), 1);
    assert_eq!(descriptors(), before);
}

#[test]
fn one_that_cannot_be_set_up_ends_all_before_they_run() {
    let _alone = alone();
    for panics in [false, true] {
        let failure = workers(3).run(|worker| {
            worker.reactor().listen(LOOPBACK, || Echo(0))?;
            let ran = || -> () { panic!("it ran") };
            worker.reactor().call_later(Duration::ZERO, ran);
            match worker.index() {
                1 if panics => panic!("torn"),
                1 => Err(Failure::msg("no memory")),
                _ => Ok(()),
            }
        });
        let text = failure.expect_err("one failed").to_string();
        let why = if panics { "torn" } else { "no memory" };
        assert!(text.starts_with("worker 1") && text.contains(why), "{text}");
    }
    no_threads();
}

#[test]
fn a_peer_that_does_not_go_does_not_keep_any_longer_than_the_limit() {
    /// Writes more than anybody reads.
    struct Full;
    impl Protocol for Full {
        fn connection_made(&mut self, transport: &Transport) -> Result {
            transport.write(&vec![0; 8 << 20]);
            Ok(())
        }
    }
    let _alone = alone();
    let (tell, told) = channel();
    let result = thread::scope(|scope| {
        scope.spawn(move || {
            let (at, remote): (SocketAddr, Remote) = told.recv().expect("it is told");
            let mut open: Vec<TcpStream> = (0..8)
                .map(|_| TcpStream::connect(at).expect("it listens"))
                .collect();
            for stream in &mut open {
                stream.read_exact(&mut [0]).expect("it is served");
            }
            remote.stop();
            told.recv().expect_err("they have ended");
            drop(open);
        });
        let tell = Mutex::new(Some(tell));
        let result = workers(2).run(|worker| {
            let mut limits = Limits::default();
            limits.shutdown = Duration::from_millis(50);
            worker.reactor().set_limits(limits);
            let port = worker.reactor().listen(LOOPBACK, || Full)?;
            let at = port.local_address().to_string().parse()?;
            if let (Some(tell), false) = (&*tell.lock().expect("no panic"), worker.is_home()) {
                tell.send((at, worker.reactor().remote())).ok();
            }
            Ok(())
        });
        drop(tell);
        result
    });
    result.expect("they stop well");
}

#[test]
fn how_many_there_may_be() {
    for count in [0, WORKERS_MAX + 1, 1_000] {
        let refused = Workers::new(count, reactor).expect_err("too few or too many");
        assert_eq!(refused, BadWorkers(count));
        let text = format!("{count} workers: expected 1 to 256");
        assert_eq!(refused.to_string(), text);
    }
    assert!(Workers::new(Workers::available(), reactor).is_ok());
}
