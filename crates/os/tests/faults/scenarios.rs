//! The scenarios over streams. Each begins something, and says what must hold in the end if no fault got in the way.

use crate::{
    actor::Actor,
    stage::{Check, Kind, Scenario, Stage, to},
};
use std::{
    cell::Cell,
    io::{IoSlice, Write},
    rc::{Rc, Weak},
    sync::LazyLock,
    time::Duration,
};
use tress_core::{Deferred, Pace, Producer, Result, Transport, testing};

pub(crate) const ALL: &[Kind] = &[
    Kind::Mio,
    #[cfg(all(feature = "uring", target_os = "linux"))]
    Kind::Uring,
];

/// The same with every knob of the ring off, which polls and takes many times as long: for what is short.
const ALL_AND_PLAIN: &[Kind] = &[
    Kind::Mio,
    #[cfg(all(feature = "uring", target_os = "linux"))]
    Kind::Uring,
    #[cfg(all(feature = "uring", target_os = "linux"))]
    Kind::PlainUring,
];

const fn on_all(name: &'static str, play: fn(&Rc<Stage>) -> Result<Check>) -> Scenario {
    Scenario {
        name,
        kinds: ALL,
        makes_reactor: false,
        play,
    }
}

const fn on_plain_too(name: &'static str, play: fn(&Rc<Stage>) -> Result<Check>) -> Scenario {
    Scenario {
        kinds: ALL_AND_PLAIN,
        ..on_all(name, play)
    }
}

pub(crate) const ECHO: &str = "echo, little";
pub(crate) const HALF_CLOSE: &str = "the client half-closes";
/// The scenario in which what came is never read.
pub(crate) const UNREAD: &str = "closed with unread input";

/// All of them.
pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario {
        makes_reactor: true,
        ..on_plain_too("a reactor is made", |_| Ok(nothing()))
    },
    on_plain_too(ECHO, |stage| echo(stage, 10)),
    on_all("echo, much", |stage| echo(stage, 100_000)),
    on_all("pipelined lines", pipelined_lines),
    on_plain_too(HALF_CLOSE, client_half_closes),
    on_all("the server half-closes", server_half_closes),
    on_all("both ways with pauses", both_ways_with_pauses),
    on_all("a producer", produced),
    on_all("large pieces at once", large_pieces),
    on_all("many at once", many_at_once),
    on_all("closed at once", closed_at_once),
    on_all("refused", refused),
    on_all("cancelled", cancelled),
    on_all("aborted by the client", |stage| aborted(stage, true)),
    on_all("aborted by the server", |stage| aborted(stage, false)),
    on_all(UNREAD, unread),
    on_all("stops to listen", stops_to_listen),
    on_all("from an address, with options", with_options),
    on_all("called from a thread", from_a_thread),
    on_all("the reactor stops", reactor_stops),
];

/// So many bytes that say where they are.
pub(crate) fn pattern(bytes: usize) -> &'static [u8] {
    static LONGEST: LazyLock<Vec<u8>> = LazyLock::new(|| testing::pattern(MOST));
    &LONGEST[..bytes]
}

fn nothing() -> Check {
    Box::new(|| {})
}

fn echo(stage: &Rc<Stage>, bytes: usize) -> Result<Check> {
    let port = stage.listen_tcp(Actor::echo)?;
    echoes(stage, &to(&port), bytes)
}

/// A client of an echo that is there.
pub(crate) fn echoes(stage: &Rc<Stage>, to: &str, bytes: usize) -> Result<Check> {
    let said = pattern(bytes);
    let actor = Actor::new().says(said).closes_after(bytes);
    let client = stage.connect_to(to, actor);
    Ok(Box::new(move || {
        assert!(**client.received.borrow() == *said)
    }))
}

fn pipelined_lines(stage: &Rc<Stage>) -> Result<Check> {
    const LINES: usize = 300;
    let port = stage.listen_tcp(|| {
        let mut line = Vec::new();
        Actor::new().on_data(move |transport, _, data| {
            for &byte in data {
                if byte == b'\n' {
                    line.reverse();
                    transport.write(&line);
                    transport.write(b"\n");
                    line.clear();
                } else {
                    line.push(byte);
                }
            }
            Ok(())
        })
    })?;
    let said: String = (0..LINES).map(|number| format!("{number:05}\n")).collect();
    let expected: String = (0..LINES)
        .map(|number| {
            format!("{number:05}")
                .chars()
                .rev()
                .chain(['\n'])
                .collect::<String>()
        })
        .collect();
    let actor = Actor::new()
        .says(said.into_bytes())
        .closes_after(expected.len());
    let client = stage.connect(&port, actor);
    Ok(Box::new(move || {
        assert!(*client.received.borrow() == expected.into_bytes())
    }))
}

/// Asks, ends, and gets an answer to all of it.
fn client_half_closes(stage: &Rc<Stage>) -> Result<Check> {
    let question = pattern(100_000);
    let expected = question.len();
    let port = stage.listen_tcp(|| {
        let count = Rc::new(Cell::new(0));
        let counted = Rc::clone(&count);
        Actor::new()
            .on_data(move |_, _, data| {
                counted.set(counted.get() + data.len());
                Ok(())
            })
            .on_end(move |transport| {
                transport.write(count.get().to_string().as_bytes());
                transport.lose_connection();
                Ok(())
            })
    })?;
    let client = Actor::new().on_made(move |transport| {
        transport.write(question);
        transport.lose_write_connection();
        Ok(())
    });
    let client = stage.connect(&port, client);
    Ok(Box::new(move || {
        assert!(*client.received.borrow() == expected.to_string().into_bytes());
    }))
}

/// Greets and ends, and hears an answer.
fn server_half_closes(stage: &Rc<Stage>) -> Result<Check> {
    let heard = Rc::new(Cell::new(0));
    let counted = Rc::clone(&heard);
    let port = stage.listen_tcp(move || {
        let counted = Rc::clone(&counted);
        Actor::new()
            .on_made(|transport| {
                transport.write(b"hello");
                transport.lose_write_connection();
                Ok(())
            })
            .on_data(move |_, _, data| {
                counted.set(counted.get() + data.len());
                Ok(())
            })
    })?;
    let client = Actor::new().on_end(|transport| {
        transport.write(pattern(100_000));
        transport.lose_connection();
        Ok(())
    });
    let client = stage.connect(&port, client);
    Ok(Box::new(move || {
        assert_eq!(*client.received.borrow(), b"hello");
        assert_eq!(heard.get(), 100_000);
    }))
}

/// Bytes in one go.
const MOST: usize = 1024 * 1024;

/// Each end sends, and reads with pauses.
fn both_ways_with_pauses(stage: &Rc<Stage>) -> Result<Check> {
    // What io_uring brings comes in pieces of 4096 bytes, each of which can fail.
    let bytes = match stage.kind {
        Kind::Mio => MOST,
        #[cfg(all(feature = "uring", target_os = "linux"))]
        Kind::Uring | Kind::PlainUring => MOST / 16,
    };
    let pausing = move |stage: &Rc<Stage>| {
        let reactor = stage.reactor.downgrade();
        let mut next = bytes / 4;
        Actor::new()
            .on_made(move |transport| {
                transport.read_when_full(true);
                transport.write(pattern(bytes));
                transport.lose_write_connection();
                Ok(())
            })
            .on_data(move |transport, life, _| {
                if life.received.borrow().len() >= next {
                    next += bytes / 4;
                    transport.pause_producing();
                    let transport = transport.clone();
                    if let Some(reactor) = reactor.upgrade() {
                        let resume = move || transport.resume_producing();
                        reactor.call_later(Duration::from_millis(1), resume);
                    }
                }
                Ok(())
            })
            .on_end(|_| Ok(()))
    };
    let weak = Rc::downgrade(stage);
    let port = stage.listen_tcp(move || {
        let stage = weak.upgrade();
        stage.as_ref().map_or_else(Actor::new, pausing)
    })?;
    let client = stage.connect(&port, pausing(stage));
    let stage = Rc::downgrade(stage);
    Ok(Box::new(move || {
        assert!(**client.received.borrow() == *pattern(bytes));
        let stage = stage.upgrade().expect("it is being checked");
        assert_eq!(stage.received_in_all(), 2 * bytes);
    }))
}

struct Counting {
    left: usize,
    is_paused: bool,
}

impl Producer for Counting {
    fn resume_producing(&mut self, transport: &Transport) -> Result {
        self.is_paused = false;
        let part = self.left.min(20_000);
        self.left -= part;
        transport.write(&vec![7; part]);
        if self.left == 0 {
            transport.unregister_producer();
            transport.lose_connection();
        }
        Ok(())
    }
}

fn produced(stage: &Rc<Stage>) -> Result<Check> {
    let port = stage.listen_tcp(|| {
        Actor::new().on_made(|transport| {
            let producer = Counting {
                left: 100_000,
                is_paused: false,
            };
            transport.register_producer(producer, Pace::Pulled)
        })
    })?;
    let client = stage.connect(&port, Actor::new());
    Ok(Box::new(move || {
        assert!(*client.received.borrow() == vec![7; 100_000])
    }))
}

/// Many pieces of at least 16 KiB, lent to the transport.
fn large_pieces(stage: &Rc<Stage>) -> Result<Check> {
    const PIECE: usize = 20_000;
    const PIECES: usize = 8;
    let port = stage.listen_tcp(|| {
        Actor::new().on_made(|transport| {
            let bytes = pattern(PIECE * PIECES);
            let pieces: Vec<IoSlice<'_>> = bytes.chunks(PIECE).map(IoSlice::new).collect();
            let (first, second) = pieces.split_at(PIECES / 2);
            for pieces in [first, second] {
                let written = (&mut &*transport).write_vectored(pieces)?;
                assert_eq!(written, PIECE * PIECES / 2);
            }
            transport.lose_connection();
            Ok(())
        })
    })?;
    let client = stage.connect(&port, Actor::new());
    Ok(Box::new(move || {
        assert!(**client.received.borrow() == *pattern(PIECE * PIECES))
    }))
}

fn many_at_once(stage: &Rc<Stage>) -> Result<Check> {
    let port = stage.listen_tcp(Actor::echo)?;
    let to = to(&port);
    let checks: Result<Vec<Check>> = (0..8).map(|_| echoes(stage, &to, 100)).collect();
    let checks = checks?;
    Ok(Box::new(|| checks.into_iter().for_each(|check| check())))
}

fn closed_at_once(stage: &Rc<Stage>) -> Result<Check> {
    let port = stage.listen_tcp(|| {
        Actor::new().on_made(|transport| {
            transport.write(b"bye");
            transport.lose_connection();
            Ok(())
        })
    })?;
    let clients: Vec<_> = (0..3).map(|_| stage.connect(&port, Actor::new())).collect();
    Ok(Box::new(move || {
        for client in clients {
            assert_eq!(*client.received.borrow(), b"bye");
        }
    }))
}

fn refused(stage: &Rc<Stage>) -> Result<Check> {
    stage.is_rough.set(true);
    let port = stage.listen_tcp(Actor::new)?;
    let to = to(&port);
    port.stop_listening();
    stage.connect_to(&to, Actor::new());
    Ok(nothing())
}

/// One attempt is cancelled at once, and one when it may have come to something.
fn cancelled(stage: &Rc<Stage>) -> Result<Check> {
    stage.is_rough.set(true);
    let port = stage.listen_tcp(Actor::new)?;
    let (_, first) = stage.connecting(&to(&port), Actor::new());
    first.cancel();
    let leaves = Actor::new().on_made(|transport| {
        transport.lose_connection();
        Ok(())
    });
    let (_, second) = stage.connecting(&to(&port), leaves);
    stage.after(Duration::from_millis(1), move || second.cancel());
    Ok(nothing())
}

fn aborted(stage: &Rc<Stage>, by_client: bool) -> Result<Check> {
    stage.is_rough.set(true);
    let one = || {
        Actor::new().on_made(|transport| {
            transport.write(pattern(1000));
            Ok(())
        })
    };
    let other = || {
        Actor::new().on_data(|transport, _, _| {
            for _ in 0..8 {
                transport.write(pattern(MOST));
            }
            transport.abort_connection();
            Ok(())
        })
    };
    let port = stage.listen_tcp(move || if by_client { one() } else { other() })?;
    stage.connect(&port, if by_client { other() } else { one() });
    Ok(nothing())
}

/// The server closes without reading what came; what it said last arrives all the same.
fn unread(stage: &Rc<Stage>) -> Result<Check> {
    let weak = Rc::downgrade(stage);
    let port = stage.listen_tcp(move || {
        let weak = Weak::clone(&weak);
        Actor::new().on_made(move |transport| {
            transport.pause_producing();
            let transport = transport.clone();
            if let Some(stage) = weak.upgrade() {
                stage.after(Duration::from_millis(1), move || {
                    transport.write(b"bye");
                    transport.lose_connection();
                });
            }
            Ok(())
        })
    })?;
    let client = stage.connect(&port, Actor::new().says(pattern(50_000)));
    Ok(Box::new(move || {
        assert_eq!(*client.received.borrow(), b"bye")
    }))
}

/// The port stops when the first peer has come; that one is served on.
fn stops_to_listen(stage: &Rc<Stage>) -> Result<Check> {
    let listening = Rc::new(std::cell::RefCell::new(None::<tress_core::Port>));
    let stopping = Rc::clone(&listening);
    let port = stage.listen_tcp(move || {
        let stopping = Rc::clone(&stopping);
        Actor::echo().on_made(move |_| {
            if let Some(port) = stopping.take() {
                port.stop_listening();
            }
            Ok(())
        })
    })?;
    let to = to(&port);
    listening.replace(Some(port));
    echoes(stage, &to, 1000)
}

fn with_options(stage: &Rc<Stage>) -> Result<Check> {
    let port = stage.listen_tcp(Actor::echo)?;
    let actor = Actor::new().closes_after(5).on_made(|transport| {
        transport.set_nodelay(false)?;
        transport.set_keepalive(true)?;
        drop(transport.host());
        transport.write(b"hello");
        Ok(())
    });
    let from = format!("{}:bindAddress=127.0.0.1", to(&port));
    let client = stage.connect_to(&from, actor);
    Ok(Box::new(move || {
        assert_eq!(*client.received.borrow(), b"hello")
    }))
}

/// Another thread wakes the loop; what it asks for is done.
fn from_a_thread(stage: &Rc<Stage>) -> Result<Check> {
    let port = stage.listen_tcp(Actor::echo)?;
    let remote = stage.reactor.remote();
    let (resolver, called) = Deferred::pair();
    stage.await_end(called).detach();
    let called = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let flag = std::sync::Arc::clone(&called);
    let thread = std::thread::spawn(move || {
        let call = move |_: &tress_core::Reactor| {
            flag.store(true, std::sync::atomic::Ordering::Relaxed);
        };
        remote.call_from_thread(call).ok();
    });
    // It has been called by the time another call of this thread is.
    thread.join().ok();
    let resolver = Cell::new(Some(resolver));
    stage.reactor.call_later(Duration::from_millis(1), move || {
        if let Some(resolver) = resolver.take() {
            resolver.resolve(());
        }
    });
    let check = echoes(stage, &to(&port), 100)?;
    Ok(Box::new(move || {
        assert!(called.load(std::sync::atomic::Ordering::Relaxed));
        check();
    }))
}

/// With connections that are open, one of them with output left.
fn reactor_stops(stage: &Rc<Stage>) -> Result<Check> {
    let port = stage.listen_tcp(|| Actor::new().says(pattern(50_000)))?;
    let clients: Vec<_> = (0..2).map(|_| stage.connect(&port, Actor::new())).collect();
    stage.reactor.start()?;
    let reactor = stage.reactor.downgrade();
    stage.after(Duration::from_millis(1), move || {
        if let Some(reactor) = reactor.upgrade() {
            reactor.stop().ok();
        }
    });
    Ok(Box::new(move || {
        for client in clients {
            assert!(**client.received.borrow() == *pattern(50_000));
        }
    }))
}
