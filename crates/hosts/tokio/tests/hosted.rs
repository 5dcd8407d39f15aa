//! A reactor inside tokio: who is woken by what, fairness, dropping, and what cannot be hosted.

use std::{
    cell::{Cell, RefCell},
    future::Future,
    io,
    rc::Rc,
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    runtime::{Builder, LocalOptions},
    task::{LocalSet, spawn_local, yield_now},
};
use tress_core::{
    Failure, Protocol, Reactor, Result, Transport,
    error::NotRunning,
    testing::{ManualClock, memory::MemoryDriver},
};
use tress_os::Mio;

/// So long that a test which waits for it has failed.
const NEVER: Duration = Duration::from_secs(3600);

/// As long as a test waits for what must come.
const PATIENCE: Duration = Duration::from_secs(30);

/// Runs it in a runtime, with a reactor.
fn inside<T, F: Future<Output = T>>(test: impl FnOnce(Reactor) -> F) -> T {
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build_local(LocalOptions::default())
        .expect("there is room for one");
    let reactor = Reactor::with(Mio::new().expect("epoll works"));
    runtime.block_on(test(reactor))
}

/// The reactor as a task of tokio's.
fn host(reactor: &Reactor) -> tokio::task::JoinHandle<()> {
    let reactor = reactor.clone();
    spawn_local(async move { tress_tokio::run(&reactor).await.expect("it works") })
}

#[derive(Clone, Default)]
struct Echo(Rc<RefCell<Option<Transport>>>);

impl Protocol for Echo {
    fn connection_made(&mut self, transport: &Transport) -> Result {
        self.0.replace(Some(transport.clone()));
        Ok(())
    }

    fn data_received(&mut self, transport: &Transport, data: &[u8]) -> Result {
        transport.write(data);
        Ok(())
    }
}

/// A server of ours, and a client of tokio's.
async fn connected(reactor: &Reactor) -> (Transport, TcpStream) {
    let echo = Echo::default();
    let made = echo.clone();
    let port = reactor.listen("tcp:0:interface=127.0.0.1", move || made.clone());
    let port = port.expect("a port is free").local_address().port();
    let stream = TcpStream::connect(("127.0.0.1", port.expect("it is TCP")));
    let stream = stream.await.expect("somebody listens");
    while echo.0.borrow().is_none() {
        yield_now().await;
    }
    let transport = echo.0.take().expect("it was made");
    (transport, stream)
}

async fn read(stream: &mut TcpStream, expected: &[u8]) {
    let mut buffer = vec![0; expected.len()];
    let comes = tokio::time::timeout(PATIENCE, stream.read_exact(&mut buffer)).await;
    comes.expect("it comes in time").expect("it comes");
    assert_eq!(buffer, expected);
}

/// What a task of tokio's writes to a transport between two turns leaves at once, although nothing comes from anywhere.
#[test]
fn a_write_between_turns_leaves() {
    inside(|reactor| async move {
        let host = host(&reactor);
        let (transport, mut stream) = connected(&reactor).await;
        stream.write_all(b"echo").await.expect("it is open");
        read(&mut stream, b"echo").await;
        for _ in 0..3 {
            // Both have come to rest.
            tokio::time::sleep(Duration::from_millis(2)).await;
            let before = reactor.statistics().turns;
            transport.write(b"between");
            // At once, and not when the next sweep for deadlines comes by.
            for _ in 0..10 {
                yield_now().await;
            }
            assert!(reactor.statistics().turns > before);
            read(&mut stream, b"between").await;
        }
        reactor.stop().expect("it runs");
        host.await.expect("it stops");
    });
}

/// A timed call that a task asks for comes at its time, although the reactor waits for nothing or for something later.
#[test]
fn a_timed_call_between_turns_is_made() {
    inside(|reactor| async move {
        let host = host(&reactor);
        let later = reactor.call_later(NEVER, || ());
        tokio::time::sleep(Duration::from_millis(2)).await;
        let soon = reactor.after(Duration::from_millis(3));
        let comes = tokio::time::timeout(PATIENCE, soon).await;
        comes.expect("it comes in time").expect("it comes");
        assert!(later.is_active());
        reactor.stop().expect("it runs");
        host.await.expect("it stops");
    });
}

#[test]
fn a_call_from_a_thread_wakes() {
    inside(|reactor| async move {
        let remote = reactor.remote();
        let thread = std::thread::Builder::new().spawn(move || {
            let stop = |reactor: &Reactor| reactor.stop().expect("it runs");
            remote.call_from_thread(stop).expect("there is room");
        });
        tress_tokio::run(&reactor).await.expect("it works");
        thread.expect("it starts").join().expect("no panic");
    });
}

/// A reactor that always has something to do leaves tokio's tasks their turns, and they it.
#[test]
fn neither_starves_the_other() {
    inside(|reactor| async move {
        fn again(reactor: &Reactor, calls: &Rc<Cell<u32>>) {
            calls.set(calls.get() + 1);
            let (own, calls) = (reactor.clone(), Rc::clone(calls));
            reactor.call_later(Duration::ZERO, move || again(&own, &calls));
        }
        let calls = Rc::new(Cell::new(0));
        again(&reactor, &calls);
        let host = host(&reactor);
        // A socket of tokio's is served, too.
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("one is free");
        let to = listener.local_addr().expect("it is bound");
        let served = spawn_local(async move {
            let (mut stream, _) = listener.accept().await.expect("it comes");
            stream.write_all(b"tokio").await.expect("it is open");
        });
        let mut stream = TcpStream::connect(to).await.expect("somebody listens");
        read(&mut stream, b"tokio").await;
        served.await.expect("no panic");
        for _ in 0..100 {
            yield_now().await;
        }
        let before = calls.get();
        for _ in 0..100 {
            yield_now().await;
        }
        let turns = calls.get() - before;
        assert!((50..=200).contains(&turns), "{turns} of 100");
        reactor.stop().expect("it runs");
        host.await.expect("it stops");
    });
}

/// Dropping the future between two turns loses nothing: the next goes on.
#[test]
fn dropping_it_and_going_on() {
    inside(|reactor| async move {
        let first = host(&reactor);
        let (transport, mut stream) = connected(&reactor).await;
        first.abort();
        assert!(first.await.is_err_and(|end| end.is_cancelled()));
        assert!(reactor.is_running());
        stream.write_all(b"meanwhile").await.expect("it is open");
        transport.write(b"first ");
        let second = host(&reactor);
        read(&mut stream, b"first meanwhile").await;
        reactor.stop().expect("it runs");
        second.await.expect("it stops");
        // And from the beginning.
        let own = reactor.clone();
        reactor.call_when_running(move || own.stop());
        tress_tokio::run(&reactor).await.expect("it works");
        assert!(!reactor.is_running());
        assert!(
            reactor
                .stop()
                .is_err_and(|failure| failure.check::<NotRunning>().is_some())
        );
    });
}

/// What needs tokio can be awaited in a task of the reactor, as it is polled inside the runtime.
#[test]
fn a_task_of_the_reactor_awaits_tokios_futures() {
    let value = inside(|reactor| async move {
        let host = host(&reactor);
        let value = reactor.spawn(async {
            tokio::time::sleep(Duration::from_millis(1)).await;
            let bound = TcpListener::bind("127.0.0.1:0").await?;
            Ok(bound.local_addr()?.port())
        });
        let value = value.await.expect("a port is free");
        reactor.stop().expect("it runs");
        host.await.expect("it stops");
        value
    });
    assert_ne!(value, 0);
}

#[test]
fn two_reactors_in_one_runtime() {
    inside(|reactor| async move {
        let other = Reactor::with(Mio::new().expect("epoll works"));
        let hosts = [host(&reactor), host(&other)];
        let (transport, mut stream) = connected(&other).await;
        let (_, mut second) = connected(&reactor).await;
        transport.write(b"one");
        read(&mut stream, b"one").await;
        second.write_all(b"two").await.expect("it is open");
        read(&mut second, b"two").await;
        for (reactor, host) in [&reactor, &other].into_iter().zip(hosts) {
            reactor.stop().expect("it runs");
            host.await.expect("it stops");
        }
    });
}

/// It is a future like others: in a `LocalSet` as well.
#[test]
fn in_a_local_set() {
    let runtime = Builder::new_current_thread().enable_all().build();
    let reactor = Reactor::with(Mio::new().expect("epoll works"));
    let own = reactor.clone();
    let set = LocalSet::new();
    set.spawn_local(async move {
        tokio::time::sleep(Duration::from_millis(1)).await;
        own.stop()
    });
    let ran = runtime
        .expect("there is room for one")
        .block_on(set.run_until(tress_tokio::run(&reactor)));
    ran.expect("it works");
}

#[test]
fn what_cannot_be_hosted() {
    inside(|reactor| async move {
        let memory = Reactor::with(MemoryDriver::new(&ManualClock::new()));
        let failure = tress_tokio::run(&memory).await.expect_err("it has none");
        assert_eq!(
            failure.to_string(),
            "the reactor's driver has no descriptor for another loop to watch"
        );
        assert!(!memory.is_running(), "it is half started");
        // One descriptor cannot be watched twice.
        let host = host(&reactor);
        yield_now().await;
        let failure: Failure = tress_tokio::run(&reactor).await.expect_err("it is hosted");
        let error = failure.check::<io::Error>().expect("it is that error");
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        reactor.stop().expect("it runs");
        host.await.expect("it stops");
    });
}

/// A reactor with nothing to do lets tokio sleep: it is not turned.
#[test]
fn a_reactor_at_rest_is_not_turned() {
    inside(|reactor| async move {
        let host = host(&reactor);
        let (_transport, mut stream) = connected(&reactor).await;
        stream.write_all(b"x").await.expect("it is open");
        read(&mut stream, b"x").await;
        let before = reactor.statistics().turns;
        for _ in 0..1000 {
            yield_now().await;
        }
        // The sweep for deadlines may come.
        let turns = reactor.statistics().turns - before;
        assert!(turns < 10, "{turns}");
        reactor.stop().expect("it runs");
        host.await.expect("it stops");
    });
}
