//! Workers listen at the same sockets, all get peers, and all stop when one does; nothing of them is left.

#![cfg(target_os = "linux")]

use std::{
    fs,
    io::{self, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
        mpsc::{Receiver, Sender, channel},
    },
    thread,
    time::{Duration, Instant},
};
use tress_core::{
    EventType, Failure, Limits, Phase, Protocol, Reactor, Remote, Result, Transport,
    error::CannotListen, testing::logged,
};
use tress_os::{
    Mio, Worker, Workers,
    seam::{
        Call,
        faults::{self, Fault, Plan},
    },
    workers::{BadWorkers, WORKERS_MAX, WorkersLeft},
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
        workers.run(move |worker| listen(worker, &tell))
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
    // It is dropped before others count what is open.
    let tried = on_uring().map(drop);
    match tried {
        Ok(()) => check_sockets_of_their_own(on_uring),
        Err(error) => println!("skipped: this machine has no io_uring for us: {error}"),
    }
}

fn check_sockets_of_their_own(make: fn() -> Result<Reactor>) {
    let _alone = alone();
    let port = free_port();
    let at = format!("tcp:{port}:interface=127.0.0.1:reuse=1");
    let (tell, told) = channel();
    let everywhere = at.clone();
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
        let two = Workers::new(2, make).expect("there may be two");
        two.run(move |worker| {
            let index = worker.index();
            worker.reactor().listen(&everywhere, move || Echo(index))?;
            let remote = worker.reactor().remote();
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
    let set_up = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&set_up);
    let before = descriptors();
    let failure = workers(2).run(move |worker| {
        counted.fetch_add(1, Ordering::Relaxed);
        worker.reactor().listen(LOOPBACK, || Echo(0))?;
        worker.reactor().listen(&at, || Echo(0))?;
        Ok(())
    });
    let failure = failure.expect_err("it is in use");
    assert!(failure.check::<CannotListen>().is_some(), "{failure}");
    assert_eq!(set_up.load(Ordering::Relaxed), 1);
    assert_eq!(descriptors(), before);
}

#[test]
fn one_that_cannot_be_set_up_ends_all_before_they_run() {
    let _alone = alone();
    for panics in [false, true] {
        let ran = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&ran);
        let failure = workers(3).run(move |worker| {
            worker.reactor().listen(LOOPBACK, || Echo(0))?;
            let ran = Arc::clone(&counted);
            worker.reactor().call_when_running(move || {
                ran.fetch_add(1, Ordering::Relaxed);
            });
            match worker.index() {
                1 if panics => panic!("torn"),
                1 => Err(Failure::msg("no memory")),
                _ => Ok(()),
            }
        });
        let text = failure.expect_err("one failed").to_string();
        let why = if panics { "torn" } else { "no memory" };
        assert!(text.starts_with("worker 1") && text.contains(why), "{text}");
        assert_eq!(ran.load(Ordering::Relaxed), 0, "some ran");
    }
    no_threads();
}

/// Who is set up later finds all that are set up already waiting for it.
#[test]
fn none_runs_before_all_are_set_up() {
    let _alone = alone();
    let (tell, told) = channel();
    let ran = workers(3).run(move |worker| {
        let (tell, index, home) = (tell.clone(), worker.index(), worker.home().clone());
        tell.send((index, "is set up"))?;
        worker.reactor().call_when_running(move || {
            tell.send((index, "runs")).ok();
            home.stop();
        });
        Ok(())
    });
    ran.expect("they stop well");
    let events: Vec<(usize, &str)> = told.iter().collect();
    assert_eq!(events[0], (0, "is set up"));
    let setups = events.iter().take_while(|(_, what)| *what == "is set up");
    assert_eq!(setups.count(), 3, "{events:?}");
}

#[test]
fn each_knows_which_it_is_and_reaches_the_first() {
    let _alone = alone();
    let (tell, told) = channel();
    let came = Arc::new(AtomicUsize::new(0));
    let ran = workers(3).run(move |worker| {
        let (index, home) = (worker.index(), worker.home().clone());
        assert_eq!(worker.count(), 3);
        assert_eq!(worker.is_home(), index == 0);
        let (tell, came) = (tell.clone(), Arc::clone(&came));
        worker.reactor().call_when_running(move || {
            let called = home.call_from_thread(move |reactor| {
                let at = thread::current().name().map(str::to_owned);
                tell.send((index, at)).ok();
                if came.fetch_add(1, Ordering::Relaxed) == 2 {
                    reactor.stop().expect("it runs");
                }
            });
            called.expect("there is room");
        });
        Ok(())
    });
    ran.expect("they stop well");
    let here = thread::current().name().map(str::to_owned);
    let mut called: Vec<_> = told.iter().collect();
    called.sort();
    assert_eq!(called, [0, 1, 2].map(|index| (index, here.clone())));
}

/// Copies that a worker does not listen at, and those that were made for it, are gone: or the system would go on taking
/// peers whom nobody serves.
#[test]
fn a_port_that_only_the_first_has_ends_with_it() {
    let _alone = alone();
    let (tell, told) = channel();
    thread::scope(|scope| {
        scope.spawn(move || {
            let (at, home): (Vec<SocketAddr>, Remote) = told.recv().expect("it is told");
            let _stop = Stop(&home);
            for at in at {
                let start = Instant::now();
                // Once the queue of a socket that nobody accepts from is full, peers wait.
                let connect = || TcpStream::connect_timeout(&at, PATIENCE);
                let is_refused =
                    |error: io::Error| error.kind() == io::ErrorKind::ConnectionRefused;
                while !connect().is_err_and(is_refused) {
                    assert!(start.elapsed() < PATIENCE, "somebody has it open");
                }
            }
        });
        let ran = workers(3).run(move |worker| {
            if !worker.is_home() {
                return Ok(());
            }
            let (early, tell) = (worker.reactor().listen(LOOPBACK, || Echo(0))?, tell.clone());
            let weak = worker.reactor().downgrade();
            worker.reactor().call_when_running(move || {
                let reactor = weak.upgrade().ok_or_else(|| Failure::msg("it runs"))?;
                // Nobody can have a copy of it any more.
                let late = reactor.listen(LOOPBACK, || Echo(0))?;
                let mut at = Vec::new();
                for port in [early, late] {
                    at.push(port.local_address().to_string().parse()?);
                    port.stop_listening();
                }
                let home = reactor.remote();
                reactor.call_later(Duration::ZERO, move || drop(tell.send((at, home))));
                Ok::<_, Failure>(())
            });
            Ok(())
        });
        ran.expect("they stop well");
    });
}

/// What was asked for decides which copy a worker gets, not the order.
#[test]
fn each_port_is_its_own_on_all_workers() {
    let _alone = alone();
    let ports = [free_port(), free_port()];
    let (tell, told) = channel();
    thread::scope(|scope| {
        scope.spawn(move || {
            let remotes: Vec<Remote> = told.iter().take(2).collect();
            let _stop = Stop(&remotes[0]);
            for (kind, port) in ports.into_iter().enumerate() {
                let mut seen = [false; 2];
                for _ in 0..5_000 {
                    let (_stream, said) = connect(SocketAddr::from(([127, 0, 0, 1], port)));
                    assert_eq!(said / 10, kind, "the other port's protocol");
                    seen[said % 10] = true;
                    if seen == [true; 2] {
                        break;
                    }
                }
                assert_eq!(seen, [true; 2]);
            }
        });
        let ran = workers(2).run(move |worker| {
            let index = worker.index();
            let mut kinds = vec![0, 1];
            if index == 1 {
                kinds.reverse();
            }
            for kind in kinds {
                let at = format!("tcp:{}:interface=127.0.0.1", ports[kind]);
                worker
                    .reactor()
                    .listen(&at, move || Echo(kind * 10 + index))?;
            }
            tell.send(worker.reactor().remote())
                .map_err(|_| Failure::msg("nobody asks"))
        });
        ran.expect("they stop well");
    });
}

/// One copy for the first to lend, and one for each other worker.
#[test]
fn nothing_is_left_where_a_socket_cannot_be_copied() {
    let _alone = alone();
    let before = descriptors();
    let port = free_port();
    let at = format!("tcp:{port}:interface=127.0.0.1");
    for number in 1..=3 {
        let at = at.clone();
        faults::begin(Some(Plan {
            call: Call::Dup,
            number,
            fault: Fault::Error(libc::EMFILE),
        }));
        let ran = workers(3).run(move |worker| {
            let listens = worker.reactor().listen(&at, || Echo(0));
            if worker.is_home()
                && let Err(failure) = &listens
            {
                assert!(failure.check::<CannotListen>().is_some(), "{failure}");
                TcpListener::bind(("127.0.0.1", port)).expect("it does not listen");
            }
            worker
                .reactor()
                .call_when_running(|| -> () { panic!("it runs") });
            listens.map(drop)
        });
        assert!(faults::end().is_fulfilled, "copy {number}");
        let text = ran.expect_err("no descriptor is left").to_string();
        assert!(text.contains("Too many open files"), "{text}");
        no_threads();
        assert_eq!(descriptors(), before, "copy {number}");
    }
}

/// The next wait of this thread's loop fails with this error, which ends the loop.
fn break_loop(error: i32) {
    faults::begin(Some(Plan {
        call: Call::EpollWait,
        number: 1,
        fault: Fault::Error(error),
    }));
}

/// Also that of the first worker. Later failures are consequences, or nobody's business.
#[test]
fn the_loop_that_fails_first_stops_all_and_is_told() {
    let _alone = alone();
    for first in 0..3 {
        let failure = workers(3).run(move |worker| {
            let index = worker.index();
            let then = (first + 1) % 3;
            worker.reactor().call_when_running(move || {
                if index == first {
                    break_loop(libc::EBADF);
                } else if index == then && first != 0 {
                    // The first failure is known when its thread has ended.
                    let (start, thread) = (Instant::now(), format!("tress-worker-{first}"));
                    while threads().contains(&thread) {
                        assert!(start.elapsed() < PATIENCE, "{:?}", threads());
                        thread::yield_now();
                    }
                    break_loop(libc::EINVAL);
                }
            });
            Ok(())
        });
        faults::end();
        let text = failure.expect_err("a loop failed").to_string();
        let who = format!("worker {first}: ");
        assert!(
            text.starts_with(&who) && text.contains("Bad file descriptor"),
            "{text}"
        );
        no_threads();
    }
}

/// They stop together: whoever waits for something in its stop does not keep the others running.
#[test]
fn all_are_told_when_one_begins_to_stop() {
    let _alone = alone();
    for slow in [0, 1] {
        let (tell, told) = channel();
        let (told, heard) = (Arc::new(Mutex::new(told)), Arc::new(AtomicUsize::new(0)));
        let hears = Arc::clone(&heard);
        let ran = workers(2).run(move |worker| {
            let reactor = worker.reactor();
            if worker.index() != slow {
                let tell = tell.clone();
                reactor.add_system_event_trigger(Phase::After, EventType::Shutdown, move || {
                    tell.send(()).ok();
                });
                return Ok(());
            }
            let (remote, told, hears) = (reactor.remote(), Arc::clone(&told), Arc::clone(&hears));
            reactor.call_when_running(move || remote.stop());
            reactor.add_system_event_trigger(Phase::During, EventType::Shutdown, move || {
                let told = told.lock().expect("no panic");
                if told.recv_timeout(PATIENCE).is_ok() {
                    hears.fetch_add(1, Ordering::Relaxed);
                }
            });
            Ok(())
        });
        ran.expect("they stop well");
        assert_eq!(heard.load(Ordering::Relaxed), 1, "the other ran on");
    }
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
        workers(2).run(move |worker| {
            let mut limits = Limits::default();
            limits.shutdown = Duration::from_millis(50);
            worker.reactor().set_limits(limits);
            let port = worker.reactor().listen(LOOPBACK, || Full)?;
            let at = port.local_address().to_string().parse()?;
            if !worker.is_home() {
                tell.send((at, worker.reactor().remote())).ok();
            }
            Ok(())
        })
    });
    result.expect("they stop well");
}

/// A callback that does not return before it is let go, on the worker that asks for it.
struct Stuck {
    reached: Sender<()>,
    until: Mutex<Receiver<()>>,
}

impl Stuck {
    /// Who sends, or drops what sends, lets go.
    fn new() -> (Arc<Self>, Receiver<()>, Sender<()>) {
        let ((reached, is_reached), (release, until)) = (channel(), channel());
        let until = Mutex::new(until);
        (Arc::new(Self { reached, until }), is_reached, release)
    }

    fn hold(self: &Arc<Self>, reactor: &Reactor) {
        let stuck = Arc::clone(self);
        reactor.call_when_running(move || {
            stuck.reached.send(()).ok();
            stuck.until.lock().expect("no panic").recv().ok();
        });
    }
}

fn may_take(reactor: &Reactor, worker_stop: Duration) {
    let mut limits = Limits::default();
    limits.worker_stop = worker_stop;
    reactor.set_limits(limits);
}

#[test]
fn one_that_is_stuck_is_left_and_named() {
    let _alone = alone();
    let before = descriptors();
    let (stuck, reached, release) = Stuck::new();
    let (tell, told) = channel();
    let ending = thread::spawn(move || {
        reached.recv().expect("it comes there");
        let home: Remote = told.recv().expect("it is told");
        home.stop();
    });
    let mut result = Ok(());
    let log = logged(|| {
        result = workers(2).run(move |worker| {
            worker.reactor().listen(LOOPBACK, || Echo(0))?;
            if worker.is_home() {
                may_take(worker.reactor(), Duration::from_millis(20));
                tell.send(worker.reactor().remote()).ok();
            } else {
                stuck.hold(worker.reactor());
            }
            Ok(())
        });
    });
    ending.join().expect("it only stops");
    let failure = result.expect_err("one is left");
    let left = WorkersLeft {
        workers: vec![1],
        after: Duration::from_millis(20),
    };
    assert_eq!(failure.check(), Some(&left));
    let text = "worker 1 did not end within 20ms (`worker_stop`): a callback holds the thread, which was left behind";
    assert_eq!(failure.to_string(), text);
    assert_eq!(log, [format!("ERROR {text}")]);
    assert_eq!(threads(), ["tress-worker-1"]);
    drop(release);
    no_threads();
    assert_eq!(descriptors(), before, "it has ended as the others do");
}

/// One that has ended by then is not left, however short the limit; who failed first is told, and who is left is logged.
#[test]
fn of_several_only_the_stuck_ones_are_left() {
    let _alone = alone();
    for fails in [false, true] {
        let (stuck, reached, release) = Stuck::new();
        let reached = Mutex::new(reached);
        let mut result = Ok(());
        let log = logged(|| {
            result = workers(4).run(move |worker| {
                let reactor = worker.reactor();
                match worker.index() {
                    0 => {
                        may_take(reactor, Duration::ZERO);
                        reactor.add_system_event_trigger(Phase::After, EventType::Shutdown, || {
                            let start = Instant::now();
                            while threads() != ["tress-worker-1", "tress-worker-3"] {
                                assert!(start.elapsed() < PATIENCE, "{:?}", threads());
                                thread::yield_now();
                            }
                        });
                    }
                    // Its loop will fail, as it runs already.
                    2 if fails => reactor.start()?,
                    2 => {
                        let mut reached = reached.lock().expect("no panic");
                        let reached = std::mem::replace(&mut *reached, channel().1);
                        let remote = reactor.remote();
                        reactor.call_when_running(move || {
                            assert_eq!(reached.iter().take(2).count(), 2);
                            remote.stop();
                        });
                    }
                    _ => stuck.hold(reactor),
                }
                Ok(())
            });
        });
        let text = result.expect_err("some are left").to_string();
        let left = "worker 1 and worker 3 did not end within 0ns (`worker_stop`)";
        let logged = format!("ERROR {left}");
        assert!(log.iter().any(|line| line.starts_with(&logged)), "{log:?}");
        let told = if fails { "worker 2: " } else { left };
        assert!(text.starts_with(told), "{text}");
        drop(release);
        no_threads();
    }
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
