//! A tokio runtime beside a reactor that runs its own loop: results, failures, cancelling, and what is left when the
//! reactor goes.

use std::{
    convert::Infallible,
    future, io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread,
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tress_core::{
    Deferred, Limits, Protocol, Reactor, Result, Transport,
    error::{Cancelled, Panicked},
};
use tress_os::Mio;
use tress_tokio::OnTokio;

/// As long as a test waits for what must come.
const PATIENCE: Duration = Duration::from_secs(30);

struct Echo;

impl Protocol for Echo {
    fn data_received(&mut self, transport: &Transport, data: &[u8]) -> Result {
        transport.write(data);
        Ok(())
    }
}

fn reactor() -> Reactor {
    Reactor::with(Mio::new().expect("epoll works"))
}

/// Says when it is dropped, and on which thread.
struct Dropped(mpsc::Sender<Option<String>>);

impl Drop for Dropped {
    fn drop(&mut self) {
        let thread = thread::current().name().map(str::to_owned);
        self.0.send(thread).ok();
    }
}

/// A client that only tokio can run, against a server of the same reactor.
#[test]
fn a_tcp_client_and_a_timer_of_tokios() {
    let reactor = reactor();
    let port = reactor.listen("tcp:0:interface=127.0.0.1", || Echo);
    let port = port.expect("a port is free").local_address().port();
    let port = port.expect("it is TCP");
    let own = reactor.clone();
    let answer = reactor.run_until(async move {
        let answer = own.on_tokio(async move {
            tokio::time::sleep(Duration::from_millis(2)).await;
            let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
            stream.write_all(b"hello").await?;
            let mut buffer = [0; 5];
            stream.read_exact(&mut buffer).await?;
            Ok::<_, io::Error>(buffer)
        });
        answer.await
    });
    assert_eq!(&answer.expect("it is echoed"), b"hello");
}

/// All futures of one reactor share one thread, which is not the reactor's and has a name.
#[test]
fn one_thread_for_a_reactor() {
    let reactor = reactor();
    let name = |reactor: &Reactor| {
        reactor.on_tokio(async {
            let current = thread::current();
            Ok::<_, Infallible>((current.id(), current.name().map(str::to_owned)))
        })
    };
    let (one, two) = (name(&reactor), name(&reactor));
    let both = reactor.run_until(async { Ok((one.await?, two.await?)) });
    let ((id, name), second) = both.expect("both end");
    assert_eq!(second.0, id);
    assert_ne!(id, thread::current().id());
    assert_eq!(name.as_deref(), Some("tress-tokio"));
}

#[test]
fn a_failure_and_a_panic_are_failures() {
    let reactor = reactor();
    let refused = reactor.on_tokio(async { Err::<(), _>(io::Error::other("no luck")) });
    let failure = reactor.run_until(refused).expect_err("it fails");
    assert_eq!(failure.to_string(), "no luck");
    let panics = reactor.on_tokio(async {
        tokio::task::yield_now().await;
        if true {
            panic!("as told");
        }
        Ok::<(), Infallible>(())
    });
    let failure = reactor.run_until(panics).expect_err("it panics");
    assert!(failure.check::<Panicked>().is_some(), "{failure}");
    // The runtime lives on.
    let fine = reactor.on_tokio(async { Ok::<_, Infallible>(7) });
    assert_eq!(reactor.run_until(fine).expect("it lives"), 7);
}

/// Cancelling aborts the future, on its own thread.
#[test]
fn cancelling_aborts() {
    let reactor = reactor();
    let (sender, dropped) = mpsc::channel();
    let guard = Dropped(sender);
    let waits = reactor.on_tokio(async move {
        let _guard = guard;
        future::pending::<()>().await;
        Ok::<(), Infallible>(())
    });
    let canceller = waits.canceller().expect("it waits");
    reactor.call_later(Duration::ZERO, move || canceller.cancel());
    let failure = reactor.run_until(waits).expect_err("it is cancelled");
    assert!(failure.check::<Cancelled>().is_some(), "{failure}");
    let thread = dropped.recv_timeout(PATIENCE).expect("it is dropped");
    assert_eq!(thread.as_deref(), Some("tress-tokio"));
}

/// Dropping the Deferred lets the future run.
#[test]
fn dropping_the_deferred_lets_it_run() {
    let reactor = reactor();
    let (sender, done) = mpsc::channel();
    drop(reactor.on_tokio(async move {
        tokio::time::sleep(Duration::from_millis(1)).await;
        sender.send("done").ok();
        Ok::<(), Infallible>(())
    }));
    assert_eq!(done.recv_timeout(PATIENCE), Ok("done"));
}

/// When the reactor goes, the thread ends and drops what ran there; what blocks it keeps nobody.
#[test]
fn dropping_the_reactor_ends_it() {
    let reactor = reactor();
    let (sender, dropped) = mpsc::channel();
    let guard = Dropped(sender);
    let waits = reactor.on_tokio(async move {
        let _guard = guard;
        future::pending::<()>().await;
        Ok::<(), Infallible>(())
    });
    let (blocks, blocked) = mpsc::channel::<()>();
    let (starts, started) = mpsc::channel();
    drop(reactor.on_tokio(async move {
        starts.send(()).ok();
        // Which nobody should do: it blocks the whole runtime.
        blocked.recv().ok();
        Ok::<(), Infallible>(())
    }));
    started.recv_timeout(PATIENCE).expect("it starts");
    drop(reactor);
    let Ok(Err(failure)) = waits.try_result() else {
        panic!("whoever waits is told");
    };
    let text = "abandoned: its resolver was dropped without being fired";
    assert_eq!(failure.to_string(), text);
    assert!(dropped.try_recv().is_err(), "it blocks");
    drop(blocks);
    let thread = dropped.recv_timeout(PATIENCE).expect("it is dropped");
    assert_eq!(thread.as_deref(), Some("tress-tokio"));
}

/// A reactor that has as many calls from threads waiting as it takes gets the result later.
#[test]
fn a_full_mailbox_delays_a_result() {
    let reactor = reactor();
    let mut limits = Limits::clone(&reactor.limits());
    limits.thread_calls = 1;
    reactor.set_limits(limits);
    assert!(reactor.remote().call_from_thread(|_| ()).is_ok());
    let runs = Arc::new(AtomicBool::new(false));
    let set = Arc::clone(&runs);
    let value = reactor.on_tokio(async move {
        set.store(true, Ordering::SeqCst);
        Ok::<_, Infallible>(5)
    });
    while !runs.load(Ordering::SeqCst) {
        thread::yield_now();
    }
    let value: Deferred<i32> = value;
    assert_eq!(reactor.run_until(value).expect("it comes"), 5);
}
