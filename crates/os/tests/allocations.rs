//! Nothing is allocated on the path of a message: counted over real sockets, by an allocator that counts.
#![expect(
    unsafe_code,
    reason = "an allocator is unsafe by nature; this one only counts"
)]

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    rc::Rc,
    sync::atomic::{AtomicUsize, Ordering},
};
use tress_core::{
    Address, DatagramProtocol, DatagramTransport, IntoFactory, Protocol, Reactor, Result,
    Transport,
    received::{Chunk, Received},
};

struct Counting;

static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call is passed on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

struct Echo;

impl Protocol for Echo {
    fn data_received(&mut self, transport: &Transport, data: &[u8]) -> Result {
        transport.write(data);
        Ok(())
    }
}

/// Takes every buffer and answers from it; the last one stays with it until the next.
struct Keeper(Option<Chunk>);

impl Protocol for Keeper {
    fn connection_made(&mut self, transport: &Transport) -> Result {
        transport.deliver_buffers();
        Ok(())
    }

    fn buffer_received(&mut self, transport: &Transport, received: Received<'_>) -> Result {
        let chunk = received.take();
        transport.write(&chunk);
        self.0 = Some(chunk);
        Ok(())
    }
}

/// Sends a message, and the next one for each answer.
struct PingPong {
    rounds: Rc<Cell<usize>>,
    received: usize,
}

const MESSAGE: &[u8] = &[7; 64];

impl Protocol for PingPong {
    fn connection_made(&mut self, transport: &Transport) -> Result {
        transport.write(MESSAGE);
        Ok(())
    }

    fn data_received(&mut self, transport: &Transport, data: &[u8]) -> Result {
        self.received += data.len();
        if self.received == MESSAGE.len() {
            self.received = 0;
            self.rounds.set(self.rounds.get() + 1);
            transport.write(MESSAGE);
        }
        Ok(())
    }
}

struct DatagramEcho;

impl DatagramProtocol for DatagramEcho {
    fn datagram_received(
        &mut self,
        transport: &DatagramTransport,
        data: &[u8],
        from: &Address,
    ) -> Result {
        Ok(transport.write_to(data, from)?)
    }
}

/// Sends two datagrams, and one for each answer.
struct DatagramPingPong(Rc<Cell<usize>>);

impl DatagramProtocol for DatagramPingPong {
    fn start_protocol(&mut self, transport: &DatagramTransport) -> Result {
        transport.write(MESSAGE)?;
        Ok(transport.write(MESSAGE)?)
    }

    fn datagram_received(
        &mut self,
        transport: &DatagramTransport,
        data: &[u8],
        _from: &Address,
    ) -> Result {
        self.0.set(self.0.get() + 1);
        Ok(transport.write(data)?)
    }
}

/// All in one test, since all threads share the count.
#[test]
fn a_message_costs_no_allocation() {
    check(|| Echo);
    check(|| Keeper(None));
    check_datagrams("udp:0:interface=127.0.0.1", 20, |port| {
        format!("udp:{}", port.local_address())
    });
    // One client, as the name of a UNIX socket is kept for the last one only.
    let name = format!("@tress-allocations-{}", std::process::id());
    check_datagrams(&format!("unixgram:{name}"), 1, |_| {
        format!("unixgram:{name}:bindAddress={name}-client")
    });
}

#[track_caller]
fn check_datagrams(at: &str, clients: usize, to: impl Fn(&DatagramTransport) -> String) {
    let reactor = Reactor::with(tress_os::Mio::new().expect("a driver"));
    let port = reactor.listen_datagrams(at, DatagramEcho).expect("a port");
    let rounds = Rc::new(Cell::new(0));
    for _ in 0..clients {
        let client = DatagramPingPong(Rc::clone(&rounds));
        let connected = reactor.connect_datagrams(&to(&port), client);
        connected.expect("it is there");
    }
    let turn_until = |target: usize| {
        while rounds.get() < target {
            reactor.turn(None).expect("the driver works");
        }
    };
    turn_until(1_000);
    let before = ALLOCATIONS.load(Ordering::Relaxed);
    turn_until(11_000);
    let allocations = ALLOCATIONS.load(Ordering::Relaxed) - before;
    assert_eq!(allocations, 0, "in 10,000 round trips, 20,000 datagrams");
}

#[track_caller]
fn check<M>(factory: impl IntoFactory<M>) {
    let reactor = Reactor::with(tress_os::Mio::new().expect("a driver"));
    let port = reactor
        .listen("tcp:0:interface=127.0.0.1", factory)
        .expect("a port");
    let port = port.local_address().port().expect("a number");
    let rounds = Rc::new(Cell::new(0));
    for _ in 0..20 {
        let client = PingPong {
            rounds: Rc::clone(&rounds),
            received: 0,
        };
        reactor
            .connect_protocol(&format!("tcp:127.0.0.1:{port}"), client)
            .detach();
    }
    let turn_until = |target: usize| {
        while rounds.get() < target {
            reactor.turn(None).expect("the driver works");
        }
    };
    turn_until(1_000);
    let before = ALLOCATIONS.load(Ordering::Relaxed);
    turn_until(11_000);
    let allocations = ALLOCATIONS.load(Ordering::Relaxed) - before;
    assert_eq!(allocations, 0, "in 10,000 round trips, 20,000 messages");
}
