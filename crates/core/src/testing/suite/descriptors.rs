//! Open files that go through a connection: with their bytes, never more than allowed, and closed when nobody takes them.
//! Where a transport carries none, it says so.

use super::{
    World,
    layers::KEY,
    recorder::{FLOOD, Log, Recorder, Seen, connect, listen, set_limits},
    veil::{Veil, hello},
};
use crate::{
    Failure, Result,
    descriptor::{Descriptor, NotPassed, WhyNotPassed},
    error::ConnectionLost,
    protocol::Protocol,
    reactor::Port,
    testing::logged,
    transport::Transport,
};
use std::{cell::RefCell, rc::Rc};

type Kept = Rc<RefCell<Vec<Descriptor>>>;
type OnDescriptor = Box<dyn FnMut(&Transport, Descriptor) -> Result>;

/// Writes down what comes, and does what it was told to with open files.
struct Taker {
    log: Log,
    asks: bool,
    descriptor: OnDescriptor,
}

impl Taker {
    fn new(log: &Log, descriptor: impl FnMut(&Transport, Descriptor) -> Result + 'static) -> Self {
        Self {
            log: log.clone(),
            asks: true,
            descriptor: Box::new(descriptor),
        }
    }
}

impl Protocol for Taker {
    fn connection_made(&mut self, transport: &Transport) -> Result {
        if self.asks {
            transport.receive_file_descriptors()?;
        }
        Ok(())
    }

    fn data_received(&mut self, _: &Transport, data: &[u8]) -> Result {
        for byte in data {
            self.log.note(char::from(*byte).to_string());
        }
        Ok(())
    }

    fn file_descriptor_received(&mut self, transport: &Transport, file: Descriptor) -> Result {
        self.log.note("file");
        (self.descriptor)(transport, file)
    }

    fn connection_lost(&mut self, reason: Failure) {
        let lost = reason.check::<ConnectionLost>().is_some();
        self.log.note(if lost { "broken" } else { "lost" });
    }
}

/// A port that gives this protocol to whoever comes first, and a client of it. Nothing where nothing carries open files,
/// which it shows.
#[track_caller]
fn client_of(world: &dyn World, taker: Taker) -> Option<(Port, Seen)> {
    client_with(world, taker, Recorder::new())
}

/// The same with this client.
#[track_caller]
fn client_with(world: &dyn World, taker: Taker, client: Recorder) -> Option<(Port, Seen)> {
    let (file, _) = world.descriptor()?;
    let mut taker = Some(taker);
    let passes = world.passes_descriptors();
    let port = listen(world, move |_: &crate::Address| {
        let mut taker = taker.take()?;
        taker.asks &= passes;
        Some(taker)
    });
    let client = connect(world, &port, client);
    world.until(&mut || client.is_made());
    if passes {
        return Some((port, client));
    }
    let sent = client.transport().send_file_descriptor(file);
    let NotPassed { why, .. } = sent.expect_err("it carries none");
    assert_eq!(why, WhyNotPassed::NoUnixSocket);
    client
        .transport()
        .receive_file_descriptors()
        .expect_err("it carries none");
    None
}

/// A protocol that keeps the open files it gets there.
fn keeper(log: &Log, kept: &Kept) -> Taker {
    let kept = Rc::clone(kept);
    Taker::new(log, move |_, file| {
        kept.borrow_mut().push(file);
        Ok(())
    })
}

/// Each comes before the byte it was sent with, in order, and is open until it is dropped there.
pub fn a_descriptor_comes_before_its_byte(world: &dyn World) {
    let (log, kept) = (Log::default(), Kept::default());
    let Some((_port, client)) = client_of(world, keeper(&log, &kept)) else {
        return;
    };
    let (file, is_closed) = world.descriptor().expect("it had one before");
    let (second, second_is_closed) = world.descriptor().expect("it had one before");
    let transport = client.transport();
    transport.write(b"a");
    world.until(&mut || log.count("a") == 1);
    transport.send_file_descriptor(file).expect("there is room");
    transport.write(b"b");
    world.until(&mut || log.count("b") == 1);
    transport
        .send_file_descriptor(second)
        .expect("there is room");
    world.settle();
    log.check(&["a", "file", "b"]);
    transport.write(b"c");
    world.until(&mut || log.count("c") == 1);
    log.check(&["a", "file", "b", "file", "c"]);
    assert!(!is_closed() && !second_is_closed());
    kept.borrow_mut().remove(0);
    world.until(&mut || is_closed());
    assert!(!second_is_closed());
}

/// Written in one callback, and many at one byte: all arrive, and those of a later byte not before the earlier bytes.
pub fn descriptors_between_writes_keep_their_order(world: &dyn World) {
    let (log, kept) = (Log::default(), Kept::default());
    let Some((_port, client)) = client_of(world, keeper(&log, &kept)) else {
        return;
    };
    let transport = client.transport();
    let send = |count| {
        for _ in 0..count {
            let (file, _) = world.descriptor().expect("it had one before");
            transport.send_file_descriptor(file).expect("there is room");
        }
    };
    send(2);
    transport.write(b"ab");
    send(1);
    transport.write(b"c");
    world.until(&mut || log.count("c") == 1);
    assert_eq!(kept.borrow().len(), 3);
    log.check(&["file", "file", "a", "b", "file", "c"]);
}

/// What was sent before a layer was pushed goes as it was; through the layer nothing can.
pub fn no_descriptor_goes_through_a_layer(world: &dyn World) {
    let (log, kept) = (Log::default(), Kept::default());
    let Some((_port, client)) = client_of(world, keeper(&log, &kept)) else {
        return;
    };
    let [file, late] = [(); 2].map(|()| world.descriptor().expect("it had one before").0);
    let transport = client.transport();
    transport.write(b"a");
    transport.send_file_descriptor(file).expect("there is room");
    transport.write(b"b");
    transport.push_layer(Veil::new(KEY));
    let sent = transport.send_file_descriptor(late);
    assert_eq!(
        sent.expect_err("a layer was pushed").why,
        WhyNotPassed::Layer
    );
    world.until(&mut || log.events().len() == 3 + hello(KEY).len());
    let events = log.events();
    let [file, b] = ["file", "b"].map(|what| events.iter().position(|event| event == what));
    assert!(file.is_some() && file < b, "{events:?}");
    let (late, _) = world.descriptor().expect("it had one before");
    let sent = transport.send_file_descriptor(late);
    assert_eq!(sent.expect_err("a layer is there").why, WhyNotPassed::Layer);
}

/// Written in one callback: not with a byte before it. The peer reads ten at a time, or it could not tell.
pub fn a_descriptor_does_not_overtake(world: &dyn World) {
    set_limits(&world.reactor(), |limits| limits.bytes_per_turn = 10);
    let (log, kept) = (Log::default(), Kept::default());
    let mut file = world.descriptor().map(|(file, _)| file);
    let passes = world.passes_descriptors();
    let client = Recorder::new().on_made(move |transport| {
        transport.write(&[b'a'; 20]);
        if let Some(file) = file.take().filter(|_| passes) {
            transport.send_file_descriptor(file)?;
        }
        transport.write(b"b");
        Ok(())
    });
    if client_with(world, keeper(&log, &kept), client).is_none() {
        return;
    }
    world.until(&mut || log.count("b") == 1);
    let events = log.events();
    assert_eq!(events.len(), 22);
    let before = events.iter().position(|event| event == "file");
    assert!(before.is_some_and(|before| before >= 10), "{events:?}");
}

/// With more bytes than the system has room for.
pub fn a_descriptor_behind_much_output(world: &dyn World) {
    let (log, kept) = (Log::default(), Kept::default());
    let Some((_port, client)) = client_of(world, keeper(&log, &kept)) else {
        return;
    };
    let (file, is_closed) = world.descriptor().expect("it had one before");
    let transport = client.transport();
    transport.write(&[b'x'; 1_000_000]);
    transport.send_file_descriptor(file).expect("there is room");
    transport.write(b"end");
    world.until(&mut || log.count("d") == 1);
    assert_eq!(log.count("x"), 1_000_000);
    assert_eq!(log.events()[0], "x", "it came with its own byte");
    assert_eq!(kept.borrow().len(), 1);
    assert!(!is_closed());
}

/// One too many comes back.
pub fn waiting_descriptors_are_limited(world: &dyn World) {
    set_limits(&world.client(), |limits| limits.descriptors = 2);
    let (log, kept) = (Log::default(), Kept::default());
    let Some((_port, client)) = client_of(world, keeper(&log, &kept)) else {
        return;
    };
    let transport = client.transport();
    let send = || {
        let (file, is_closed) = world.descriptor().expect("it had one before");
        (transport.send_file_descriptor(file), is_closed)
    };
    send().0.expect("there is room");
    send().0.expect("there is room");
    let (refused, is_closed) = send();
    let refused = refused.expect_err("the third");
    assert_eq!(refused.why, WhyNotPassed::QueueFull);
    assert!(!is_closed());
    drop(refused);
    world.until(&mut || is_closed());
    transport.write(b"x");
    world.until(&mut || log.count("x") == 1);
    assert_eq!(log.count("file"), 2);
    send().0.expect("there is room again");
}

/// Whoever did not ask for any hears of none, and keeps none open.
pub fn descriptors_that_nobody_asked_for_are_closed(world: &dyn World) {
    let log = Log::default();
    let mut taker = Taker::new(&log, |_, _| panic!("it did not ask"));
    taker.asks = false;
    let Some((_port, client)) = client_of(world, taker) else {
        return;
    };
    let (file, is_closed) = world.descriptor().expect("it had one before");
    client
        .transport()
        .send_file_descriptor(file)
        .expect("there is room");
    client.transport().write(b"x");
    world.until(&mut || log.count("x") == 1);
    world.until(&mut || is_closed());
    log.check(&["x"]);
}

/// What was not sent is closed with the connection, and that is logged.
pub fn descriptors_that_were_not_sent_are_closed(world: &dyn World) {
    let log = Log::default();
    let Some((_port, client)) = client_of(world, Taker::new(&log, |_, _| Ok(()))) else {
        return;
    };
    let (file, is_closed) = world.descriptor().expect("it had one before");
    let transport = client.transport();
    transport.send_file_descriptor(file).expect("there is room");
    let lines = logged(|| {
        transport.lose_connection();
        world.until(&mut || client.is_lost());
    });
    world.until(&mut || is_closed());
    let line = "WARN 1 file descriptors for";
    assert!(lines.iter().any(|l| l.starts_with(line)), "{lines:?}");
    let (late, _) = world.descriptor().expect("it had one before");
    let refused = transport.send_file_descriptor(late);
    assert_eq!(refused.expect_err("too late").why, WhyNotPassed::Ended);
    client.check(&["made", "lost: done"]);
}

/// What the peer sent to a connection that ends before it was read is closed by the system.
pub fn descriptors_that_were_not_read_are_closed(world: &dyn World) {
    let (log, place) = (Log::default(), Rc::new(RefCell::new(None)));
    let server = Rc::clone(&place);
    let taker = Taker::new(&log, move |transport, _| {
        transport.pause_producing();
        server.replace(Some(transport.clone()));
        Ok(())
    });
    let Some((_port, client)) = client_of(world, taker) else {
        return;
    };
    let send = |data: &[u8]| {
        let (file, is_closed) = world.descriptor().expect("it had one before");
        let sent = client.transport().send_file_descriptor(file);
        sent.expect("there is room");
        client.transport().write(data);
        is_closed
    };
    drop(send(b"a"));
    world.until(&mut || log.count("a") == 1);
    let is_closed = send(b"b");
    world.settle();
    assert!(!is_closed());
    let transport = place.borrow().clone().expect("it came");
    transport.abort_connection();
    world.until(&mut || is_closed());
    log.check(&["file", "a", "lost"]);
}

/// A protocol that fails with the first of two: the second is closed, and no byte follows.
pub fn a_failure_with_a_descriptor_costs_its_connection(world: &dyn World) {
    check_end(world, |_| Err(Failure::msg("no")));
}

/// The same when it panics: what was left goes to nobody else.
pub fn a_panic_with_a_descriptor_costs_its_connection(world: &dyn World) {
    check_end(world, |_| panic!("no"));
}

/// The same when it aborts by itself.
pub fn aborting_with_a_descriptor_delivers_no_more(world: &dyn World) {
    check_end(world, |transport| {
        transport.abort_connection();
        Ok(())
    });
}

/// Closing takes its time when the peer does not read; what comes meanwhile is for nobody.
pub fn closing_with_a_descriptor_delivers_no_more(world: &dyn World) {
    let log = Log::default();
    let taker = Taker::new(&log, |transport, _| {
        transport.write(&[0; FLOOD]);
        transport.lose_connection();
        Ok(())
    });
    let Some((_port, client)) = client_of(world, taker) else {
        return;
    };
    client.transport().pause_producing();
    let closed = send_two(world, &client);
    world.until(&mut || closed.iter().all(|is_closed| is_closed()));
    log.check(&["file"]);
    client.transport().resume_producing();
    world.until(&mut || client.is_lost());
    assert_eq!(client.received(), FLOOD);
    log.check(&["file", "lost"]);
}

#[track_caller]
fn check_end(world: &dyn World, end: impl Fn(&Transport) -> Result + 'static) {
    let log = Log::default();
    let taker = Taker::new(&log, move |transport, _| end(transport));
    let Some((_port, client)) = client_of(world, taker) else {
        return;
    };
    let closed = send_two(world, &client);
    world.until(&mut || client.is_lost());
    log.check(&["file", "lost"]);
    world.until(&mut || closed.iter().all(|is_closed| is_closed()));
}

/// Sends two open files with one byte. What says whether each is closed.
#[track_caller]
fn send_two(world: &dyn World, client: &Seen) -> Vec<Box<dyn Fn() -> bool>> {
    let closed = (0..2).map(|_| {
        let (file, is_closed) = world.descriptor().expect("it had one before");
        let sent = client.transport().send_file_descriptor(file);
        sent.expect("there is room");
        is_closed
    });
    let closed = closed.collect();
    client.transport().write(b"x");
    closed
}
