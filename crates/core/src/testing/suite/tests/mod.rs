//! The suite on a driver made of queues, and what can be seen of the loop only from below.

mod loopback;

use super::{
    World,
    recorder::{Recorder, listen_once, pair, set_limits},
    veil::Veil,
};
use crate::{
    reactor::{Port, Reactor, Rejected},
    testing::ManualClock,
};
use loopback::{Loopback, Waits};
use std::{rc::Rc, time::Duration};

/// One reactor on a loopback of queues.
struct LoopbackWorld {
    reactor: Reactor,
    clock: ManualClock,
    waits: Waits,
}

impl LoopbackWorld {
    fn new() -> Self {
        let clock = ManualClock::new();
        let waits = Waits::default();
        Self {
            reactor: Reactor::with(Loopback::new(clock.clone(), waits.clone())),
            clock,
            waits,
        }
    }

    fn turn(&self) {
        let turned = self.reactor.turn(Some(Duration::ZERO));
        turned.expect("the loopback always works");
    }
}

impl World for LoopbackWorld {
    fn reactor(&self) -> Reactor {
        self.reactor.clone()
    }

    fn client(&self) -> Reactor {
        self.reactor.clone()
    }

    fn listen_at(&self) -> String {
        "tcp:0:interface=127.0.0.1".to_owned()
    }

    fn connect_to(&self, port: &Port) -> String {
        let port = port.local_address().port().expect("it is an IP address");
        format!("tcp:127.0.0.1:{port}")
    }

    fn until(&self, condition: &mut dyn FnMut() -> bool) {
        for _ in 0..100_000 {
            if condition() {
                return;
            }
            let turned = self.reactor.turn(Some(Duration::from_millis(1)));
            turned.expect("the loopback always works");
        }
        panic!("the condition does not hold after 100,000 turns");
    }

    fn settle(&self) {
        for _ in 0..3 {
            self.turn();
        }
        while self.reactor.has_backlog() {
            self.turn();
        }
    }

    fn advance(&self, by: Duration) {
        self.clock.advance(by);
        self.settle();
    }

    fn pass(&self) -> Rc<dyn Fn(Duration)> {
        let clock = self.clock.clone();
        Rc::new(move |by| clock.advance(by))
    }

    fn silent(&self) -> Option<String> {
        Some("tcp:192.0.2.1:9".to_owned())
    }

    fn connect_from_elsewhere(&self, port: &Port) -> Option<String> {
        Some(format!("{}:bindAddress=192.0.2.7", self.connect_to(port)))
    }
}

check_driver!(loopback_driver, LoopbackWorld::new);

/// The same under a layer, which nobody above it notices.
struct VeiledWorld {
    world: LoopbackWorld,
    kinds: &'static str,
}

impl VeiledWorld {
    fn one() -> Self {
        Self::with("thin:")
    }

    fn two() -> Self {
        Self::with("thick:thin:")
    }

    fn with(kinds: &'static str) -> Self {
        let world = LoopbackWorld::new();
        for (key, kind) in (0x21..).zip(["thin", "thick"]) {
            super::veil::add_kind(&world.reactor, kind, &Veil::new(key));
        }
        Self { world, kinds }
    }
}

impl World for VeiledWorld {
    fn reactor(&self) -> Reactor {
        self.world.reactor()
    }

    fn client(&self) -> Reactor {
        self.world.client()
    }

    fn listen_at(&self) -> String {
        format!("{}{}", self.kinds, self.world.listen_at())
    }

    fn connect_to(&self, port: &Port) -> String {
        format!("{}{}", self.kinds, self.world.connect_to(port))
    }

    fn until(&self, condition: &mut dyn FnMut() -> bool) {
        self.world.until(condition);
    }

    fn settle(&self) {
        self.world.settle();
    }

    fn advance(&self, by: Duration) {
        self.world.advance(by);
    }

    fn pass(&self) -> Rc<dyn Fn(Duration)> {
        self.world.pass()
    }

    fn gives_buffers(&self) -> bool {
        false
    }

    fn silent(&self) -> Option<String> {
        self.world.silent()
    }

    fn connect_from_elsewhere(&self, port: &Port) -> Option<String> {
        let to = self.world.connect_from_elsewhere(port)?;
        Some(format!("{}{to}", self.kinds))
    }
}

check_driver!(under_a_layer, VeiledWorld::one);
check_driver!(under_two_layers, VeiledWorld::two);

#[test]
fn every_behaviour_is_in_the_table_once() {
    let mut names: Vec<&str> = super::BEHAVIOURS.iter().map(|(_, name, _)| *name).collect();
    names.sort_unstable();
    let all = names.len();
    names.dedup();
    assert_eq!(names.len(), all);
}

#[test]
fn call_from_thread_after_the_end_gives_the_call_back() {
    let gone = LoopbackWorld::new().reactor.remote();
    let refused = gone.call_from_thread(|_| ());
    assert!(matches!(refused, Err(Rejected::Gone(..))), "{refused:?}");
}

/// The last wait ended in time, or so little early that the next one is exact.
#[track_caller]
fn check_wait(world: &LoopbackWorld, until: Duration) {
    let wait = world.waits.last().flatten().expect("it has an end");
    assert!(
        wait <= until,
        "it waits for {wait:?}, longer than {until:?}"
    );
    assert!(wait + Duration::from_millis(100) >= until, "{wait:?}");
}

/// The wait after slow timed calls ends when the next one is due, not later by as much as they took.
#[test]
fn slow_timers_do_not_put_off_the_next() {
    let world = LoopbackWorld::new();
    let clock = world.clock.clone();
    let slow = move || clock.advance(Duration::from_secs(5));
    world.reactor.call_later(Duration::ZERO, slow);
    let next = world.reactor.call_later(Duration::from_secs(6), || ());
    world.reactor.turn(None).expect("it works");
    assert!(next.is_active());
    check_wait(&world, Duration::from_secs(1));
}

/// The same for tasks.
#[test]
fn slow_tasks_do_not_put_off_the_next_timer() {
    let world = LoopbackWorld::new();
    let clock = world.clock.clone();
    let (resolver, waits) = crate::Deferred::<()>::pair();
    let task = world.reactor.spawn(async move {
        waits.await?;
        clock.advance(Duration::from_secs(5));
        Ok(())
    });
    task.detach();
    resolver.resolve(());
    let next = world.reactor.call_later(Duration::from_secs(6), || ());
    world.reactor.turn(None).expect("it works");
    assert!(next.is_active());
    check_wait(&world, Duration::from_secs(1));
}

/// A host that slept by itself: a timed call that became due meanwhile does not make the turn wait.
#[test]
fn a_host_that_slept_does_not_sleep_again() {
    let world = LoopbackWorld::new();
    world.turn();
    world.reactor.call_later(Duration::from_secs(6), || ());
    world.clock.advance(Duration::from_secs(5));
    world.reactor.turn(None).expect("it works");
    check_wait(&world, Duration::from_secs(1));
}

/// The loop's own time may lag a little behind the clock: no wait ends late by that.
#[test]
fn a_wait_does_not_end_late_by_what_the_time_lags() {
    const LAG: Duration = Duration::from_millis(15);
    let world = LoopbackWorld::new();
    world.turn();
    world.reactor.call_later(Duration::from_secs(6), || ());
    world.clock.advance(LAG);
    world.reactor.turn(None).expect("it works");
    check_wait(&world, Duration::from_secs(6) - LAG);
}

/// What is asked of a connection while another is settled before the wait is done in the next turn, which comes at once.
#[test]
fn what_is_asked_before_the_wait_does_not_wait() {
    let world = LoopbackWorld::new();
    let [asks, asked] = [(); 2].map(|()| pair(&world, Recorder::new(), Recorder::new()));
    world.settle();
    let transport = asked.server.transport();
    let asks = asks.server.transport();
    asks.push_call(Box::new(move |_| transport.write(b"asked")));
    let turned = world.reactor.turn(Some(Duration::from_secs(9)));
    turned.expect("it works");
    assert_eq!(world.waits.last(), Some(Some(Duration::ZERO)));
    world.turn();
    assert_eq!(asked.client.bytes(), b"asked");
}

/// The high-water mark is where output is not too much yet.
#[test]
fn write_paused_comes_above_the_high_water_mark() {
    let world = LoopbackWorld::new();
    let pair = pair(&world, Recorder::new(), Recorder::new());
    pair.client.transport().pause_producing();
    let server = pair.server.transport();
    while server.statistics().queued == 0 {
        server.write(&[0; 4096]);
        world.settle();
    }
    server.write(&vec![0; server.room()]);
    world.settle();
    let high_water = world.reactor.limits().output_high_water;
    assert_eq!(server.statistics().queued, high_water);
    assert_eq!(pair.server.count("write paused"), 0);
    server.write(b"x");
    world.settle();
    assert_eq!(pair.server.count("write paused"), 1);
}

/// Deadlines are counted in coarse units of time, and are never early, wherever in a unit they began.
#[test]
fn deadlines_are_not_early() {
    const MILLISECOND: Duration = Duration::from_millis(1);
    let unit = 1 << crate::transport::COARSE_SHIFT;
    for eighth in 0..8 {
        let world = LoopbackWorld::new();
        set_limits(&world.reactor, |limits| limits.idle = 120 * MILLISECOND);
        let until_unit = unit - world.reactor.now().0 % unit;
        let begin = until_unit + eighth * unit / 8;
        world.clock.advance(Duration::from_nanos(begin));
        let pair = pair(&world, Recorder::new(), Recorder::new());
        (0..119).for_each(|_| world.advance(MILLISECOND));
        assert!(!pair.server.is_lost(), "begun {eighth}/8 into a unit");
        (0..200).for_each(|_| world.advance(MILLISECOND));
        assert!(pair.server.is_lost(), "begun {eighth}/8 into a unit");
    }
}

/// The sweep over a large table is made in parts, and comes to the end.
#[test]
fn deadlines_are_met_at_the_end_of_a_large_table() {
    let world = LoopbackWorld::new();
    set_limits(&world.reactor, |limits| {
        limits.idle = Duration::from_secs(1)
    });
    for _ in 0..5000 {
        listen_once(&world, Recorder::new());
    }
    let pair = pair(&world, Recorder::new(), Recorder::new());
    (0..30).for_each(|_| world.advance(Duration::from_millis(100)));
    assert!(pair.server.is_lost());
}

/// A writer that is never quite drained does not keep what has left.
#[test]
fn output_that_has_left_is_not_kept() {
    let mut out = crate::outgoing::Outgoing::default();
    out.extend(&[0; 1000]);
    for _ in 0..1000 {
        out.extend(&[0; 1000]);
        out.consume(1000);
    }
    assert_eq!(out.pending(), 1000);
    let Some(crate::outgoing::Taken::Copied(buffer, _)) = out.take() else {
        panic!("something waits");
    };
    let kept = buffer.capacity();
    assert!(kept <= 64 * 1024, "{kept} bytes are kept for 1000");
}
