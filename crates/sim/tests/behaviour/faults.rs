//! Everything that can go wrong: each kind strikes, is counted, and costs what it says and no more.

use crate::peer::{Peer, Seen};
use std::{cell::RefCell, io, path::Path, rc::Rc, time::Duration};
use tress_core::{
    Address, DatagramProtocol, DatagramTransport, Failure, Protocol, Reactor, Result, Transport,
    driver::Driver, names::NameResolver, process::Command,
};
use tress_sim::{Fault, World};

const SERVER: &str = "10.0.0.1";
const CLIENT: &str = "10.0.0.2";

fn reactors(world: &World) -> (Reactor, Reactor) {
    (
        Reactor::with(world.host(SERVER)),
        Reactor::with(world.host(CLIENT)),
    )
}

/// Connects to an echo and sends it so many bytes, again and again; gives what each saw.
fn exchanges(world: &World, count: usize) -> Vec<Seen> {
    let (server, client) = reactors(world);
    server.listen("tcp:7", Peer::echo).expect("it is free");
    let mut all = Vec::new();
    for _ in 0..count {
        let peer = Peer {
            made: |transport, _| transport.write(&tress_core::testing::pattern(3000)),
            data: |transport, _| {
                if transport.statistics().received == 3000 {
                    transport.lose_connection();
                }
            },
            ..Peer::silent()
        };
        all.push(peer.seen.clone());
        client
            .connect_protocol("tcp:10.0.0.1:7:timeout=20", peer)
            .detach();
        world
            .run_for(Duration::from_secs(30), &[&server, &client])
            .expect("it goes on");
    }
    all
}

/// Those that got everything back, byte for byte. Nobody got another byte.
#[track_caller]
fn whole(all: &[Seen]) -> usize {
    let sent = tress_core::testing::pattern(3000);
    for seen in all {
        assert!(
            sent.starts_with(&seen.bytes.borrow()),
            "other bytes came back"
        );
    }
    let whole = all
        .iter()
        .filter(|seen| seen.bytes.borrow().len() == sent.len());
    whole.count()
}

#[test]
fn what_only_delays_loses_nothing() {
    for fault in [
        Fault::LateSegment,
        Fault::Partition,
        Fault::LateAccept,
        Fault::SmallWindow,
        Fault::ShortRead,
        Fault::ShortWrite,
        Fault::SpuriousReadiness,
        Fault::SpuriousWakeup,
        Fault::ClockJump,
    ] {
        let world = World::new(1);
        world.set_fault(fault, if fault == Fault::Partition { 0.01 } else { 0.3 });
        let all = exchanges(&world, 10);
        assert_eq!(whole(&all), 10, "{fault}");
        assert!(world.fault_count(fault) > 0, "{fault}");
        let counted = Fault::ALL
            .iter()
            .filter(|fault| world.fault_count(**fault) > 0);
        assert_eq!(counted.count(), 1, "only {fault}");
    }
}

#[test]
fn what_costs_connections_costs_some() {
    for (fault, chance) in [
        (Fault::Reset, 0.02),
        (Fault::RefusedConnect, 0.3),
        (Fault::BlackHoledConnect, 0.3),
        (Fault::NoDescriptor, 0.2),
    ] {
        let world = World::new(1);
        world.set_fault(fault, chance);
        let all = exchanges(&world, 20);
        let whole = whole(&all);
        assert!((1..20).contains(&whole), "{fault}: {whole}");
        assert!(world.fault_count(fault) > 0, "{fault}");
        world.clear_faults();
        let (server, client) = reactors(&world);
        server.listen("tcp:8", Peer::echo).expect("it is free");
        let peer = Peer::echo();
        let seen = peer.seen.clone();
        client.connect_protocol("tcp:10.0.0.1:8", peer).detach();
        world.run_until_idle(&[&server, &client]).expect("it ends");
        assert!(
            seen.transport.borrow().is_some(),
            "{fault}: nothing strikes any more"
        );
    }
}

#[test]
fn a_narrow_link_takes_its_time() {
    let world = World::new(1);
    let mut policy = world.policy();
    policy.bandwidth = 1000;
    world.set_policy(policy);
    let (server, client) = reactors(&world);
    server.listen("tcp:7", Peer::silent).expect("it is free");
    let peer = Peer {
        made: |transport, _| transport.write(&[0; 5000]),
        ..Peer::silent()
    };
    client.connect_protocol("tcp:10.0.0.1:7", peer).detach();
    world.run_until_idle(&[&server, &client]).expect("it ends");
    let took = Duration::from_nanos(world.now().0);
    assert!(took > Duration::from_secs(5), "{took:?}");
    assert!(took < Duration::from_millis(5100), "{took:?}");
}

/// Counts the datagrams that come, in order or not.
#[derive(Default)]
struct Counting(std::rc::Rc<std::cell::RefCell<Vec<u32>>>);

impl DatagramProtocol for Counting {
    fn datagram_received(&mut self, _: &DatagramTransport, data: &[u8], _: &Address) -> Result {
        let number = data.try_into().map(u32::from_be_bytes);
        self.0
            .borrow_mut()
            .push(number.map_err(|_| Failure::msg("cut"))?);
        Ok(())
    }
}

/// The numbers that arrive of 0 to 999, sent a millisecond apart.
fn arriving(fault: Option<Fault>) -> Vec<u32> {
    let world = World::new(3);
    let mut policy = world.policy();
    policy.jitter = Duration::ZERO;
    world.set_policy(policy);
    if let Some(fault) = fault {
        world.set_fault(fault, 0.1);
    }
    let (server, client) = reactors(&world);
    let counting = Counting::default();
    let numbers = counting.0.clone();
    server
        .listen_datagrams("udp:7", counting)
        .expect("it is free");
    let port = client
        .connect_datagrams("udp:10.0.0.1:7", Counting::default())
        .expect("there is a way");
    for number in 0..1000_u32 {
        port.write(&number.to_be_bytes()).expect("there is room");
        let step = Duration::from_millis(1);
        world
            .run_for(step, &[&server, &client])
            .expect("it goes on");
    }
    world
        .run_for(Duration::from_secs(1), &[&server, &client])
        .expect("it goes on");
    let struck = fault.map_or(0, |fault| world.fault_count(fault));
    assert_eq!(fault.is_some(), struck > 0);
    numbers.take()
}

#[test]
fn datagrams_are_lost_doubled_and_out_of_order() {
    let sorted = |mut numbers: Vec<u32>| {
        numbers.sort_unstable();
        numbers
    };
    let all: Vec<u32> = (0..1000).collect();
    assert_eq!(arriving(None), all);
    let lost = arriving(Some(Fault::LostDatagram));
    assert!((850..950).contains(&lost.len()), "{}", lost.len());
    assert_eq!(lost, sorted(lost.clone()));
    let mut doubled = arriving(Some(Fault::DuplicatedDatagram));
    assert!((1050..1150).contains(&doubled.len()), "{}", doubled.len());
    doubled.dedup();
    assert_eq!(doubled, all);
    let late = arriving(Some(Fault::ReorderedDatagram));
    assert_ne!(late, all);
    assert_eq!(sorted(late), all);
}

#[test]
fn a_partition_holds_everything_back_until_it_ends() {
    let world = World::new(1);
    let (server, client) = reactors(&world);
    let other = Reactor::with(world.host("10.0.0.3"));
    server.listen("tcp:7", Peer::echo).expect("it is free");
    let peers = [Peer::silent(), Peer::silent()];
    let seen = peers.each_ref().map(|peer| peer.seen.clone());
    for (reactor, peer) in [&client, &other].into_iter().zip(peers) {
        reactor.connect_protocol("tcp:10.0.0.1:7", peer).detach();
    }
    let all = [&server, &client, &other];
    world.run_until_idle(&all).expect("it ends");
    world.partition(SERVER, CLIENT, Duration::from_secs(10));
    seen[0].transport().write(b"cut off");
    seen[1].transport().write(b"not cut off");
    world
        .run_for(Duration::from_secs(9), &all)
        .expect("it goes on");
    assert_eq!(seen[0].text(), "");
    assert_eq!(seen[1].text(), "not cut off");
    world
        .run_for(Duration::from_secs(2), &all)
        .expect("it goes on");
    assert_eq!(seen[0].text(), "cut off");
    assert_eq!(world.fault_count(Fault::Partition), 1);
}

#[test]
fn a_crash_tells_nobody_and_a_restart_answers_with_resets() {
    let world = World::new(1);
    let (server, client) = reactors(&world);
    server.listen("tcp:7", Peer::echo).expect("it is free");
    let peer = Peer::silent();
    let seen = peer.seen.clone();
    client.connect_protocol("tcp:10.0.0.1:7", peer).detach();
    world.run_until_idle(&[&server, &client]).expect("it ends");
    world
        .disk(SERVER)
        .write(Path::new("kept"), b"yes")
        .expect("there is room");
    world.crash(SERVER);
    let error = server.turn(Some(Duration::ZERO)).expect_err("it has gone");
    assert_eq!(error.to_string(), "the host has crashed");
    drop(server);
    seen.transport().write(b"anybody?");
    world
        .run_for(Duration::from_secs(5), &[&client])
        .expect("it goes on");
    assert!(!seen.is_lost());
    let late = Peer::silent();
    let late_seen = late.seen.clone();
    client.connect_protocol("tcp:10.0.0.1:7", late).detach();
    world
        .run_for(Duration::from_secs(5), &[&client])
        .expect("it goes on");
    world.restart(SERVER);
    let server = Reactor::with(world.host(SERVER));
    server
        .listen("tcp:7", Peer::echo)
        .expect("nobody else is there");
    world
        .run_for(Duration::from_secs(5), &[&server, &client])
        .expect("it goes on");
    assert_eq!(seen.broken_by(), Some(io::ErrorKind::ConnectionReset));
    assert!(
        late_seen.transport.borrow().is_some(),
        "who went on asking is answered"
    );
    let (kept, _) = world
        .disk(SERVER)
        .read(Path::new("kept"))
        .expect("it stays");
    assert_eq!(kept, b"yes");
    let counts = [Fault::HostCrash, Fault::HostRestart].map(|fault| world.fault_count(fault));
    assert_eq!(counts, [1, 1]);
}

#[test]
fn a_full_disk_keeps_what_it_has() {
    let world = World::new(1);
    let _driver = world.host(SERVER);
    let disk = world.disk(SERVER);
    let path = Path::new("a");
    assert_eq!(
        disk.read(path).expect_err("there is none").kind(),
        io::ErrorKind::NotFound
    );
    disk.write(path, b"old").expect("there is room");
    let before = disk.version(path);
    disk.set_full(true);
    let error = disk.write(path, b"new").expect_err("it is full");
    assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    assert_eq!(disk.version(path), before);
    assert_eq!(disk.read(path).expect("it is there").0, b"old");
    disk.set_full(false);
    world.set_fault(Fault::FullDisk, 1.0);
    assert!(disk.write(path, b"new").is_err());
    world.clear_faults();
    disk.write(path, b"new").expect("there is room");
    assert_ne!(disk.version(path), before);
    assert_eq!(world.fault_count(Fault::FullDisk), 2);
}

#[test]
fn the_calendar_jumps_and_the_clock_does_not() {
    let world = World::new(1);
    let driver = world.host(SERVER);
    let (before, now) = (driver.wall(), driver.now());
    world.set_calendar(Duration::from_secs(60), true);
    assert_eq!(driver.wall() + Duration::from_secs(60), before);
    world.set_calendar(Duration::from_secs(120), false);
    assert_eq!(driver.wall(), before + Duration::from_secs(60));
    assert_eq!(driver.now(), now);
}

#[test]
fn children_are_not_started_or_are_killed() {
    let world = World::new(1);
    world.add_program("ends", || {
        |child: &mut tress_sim::ProgramHandle, _: tress_sim::ProgramEvent<'_>| child.exit(0)
    });
    let reactor = Reactor::with(world.host(SERVER));
    let run = || reactor.run_until(reactor.get_process_value(&Command::new("ends")));
    assert_eq!(run().expect("nothing strikes"), 0);
    world.set_fault(Fault::FailedSpawn, 1.0);
    let failure = run().expect_err("it cannot be started");
    let text = "cannot start `ends`: Resource temporarily unavailable (os error 11)";
    assert_eq!(failure.to_string(), text);
    world.clear_faults();
    world.set_fault(Fault::KilledChild, 1.0);
    let failure = run().expect_err("it was killed");
    assert!(failure.to_string().contains("SIGKILL"), "{failure}");
    world.clear_faults();
    assert_eq!(run().expect("nothing strikes"), 0);
}

#[test]
fn names_are_not_found_for_a_while() {
    let world = World::new(1);
    world.add_name("here.example", &[SERVER]);
    let reactor = Reactor::with(world.host(CLIENT));
    let name = tress_core::names::HostName::parse("here.example").expect("it is one");
    let look = || reactor.run_until(world.lookup(&reactor, &name, 7));
    assert_eq!(look().expect("it is in the table").len(), 1);
    world.set_fault(Fault::FailedLookup, 1.0);
    assert!(look().is_err());
    world.clear_faults();
    assert_eq!(look().expect("it is in the table").len(), 1);
    assert_eq!(world.fault_count(Fault::FailedLookup), 1);
}

#[test]
fn a_wait_ends_for_nothing_and_the_next_goes_on() {
    let world = World::new(1);
    world.set_fault(Fault::SpuriousWakeup, 0.9);
    let reactor = Reactor::with(world.host(SERVER));
    let after = reactor.after(Duration::from_secs(5));
    reactor.run_until(after).expect("it ends");
    assert!(world.fault_count(Fault::SpuriousWakeup) > 0);
    assert_eq!(world.now().0, 5_000_000_000);
}

/// A reactor that the world turns waits, too: it is turned once more, on the way to what comes next.
#[test]
fn a_wait_for_the_world_ends_for_nothing() {
    let run = |chance: f64| {
        let world = World::new(1);
        world.set_fault(Fault::SpuriousWakeup, chance);
        let reactors = [SERVER, CLIENT].map(|host| Reactor::with(world.host(host)));
        let fired = Rc::new(RefCell::new(Vec::new()));
        for second in 1..=20 {
            let (fired, at) = (Rc::clone(&fired), world.clone());
            reactors[0].call_later(Duration::from_secs(second), move || {
                fired.borrow_mut().push((second, at.now().0));
            });
        }
        let all: Vec<&Reactor> = reactors.iter().collect();
        let time = Duration::from_secs(21);
        world.run_for(time, &all).expect("it goes on");
        let turns: u64 = all.iter().map(|reactor| reactor.statistics().turns).sum();
        (
            fired.take(),
            turns,
            world.fault_count(Fault::SpuriousWakeup),
        )
    };
    let (in_order, least, none) = run(0.0);
    let on_time: Vec<(u64, u64)> = (1..=20)
        .map(|second| (second, second * 1_000_000_000))
        .collect();
    assert_eq!((&in_order, none), (&on_time, 0));
    let (fired, turns, woken) = run(0.5);
    assert_eq!(fired, on_time, "nothing comes before its time, or after it");
    assert!((10..35).contains(&woken), "{woken} of 42");
    assert_eq!(turns, least + woken);
}

#[test]
fn the_same_seed_strikes_in_the_same_places() {
    let run = |seed| {
        let world = World::new(seed);
        for fault in Fault::ALL {
            world.set_fault(fault, 0.02);
        }
        exchanges(&world, 10);
        let counts = Fault::ALL.map(|fault| world.fault_count(fault));
        (counts, world.trace_hash(), world.now())
    };
    assert_eq!(run(7), run(7));
    assert_ne!(run(7), run(8));
}

struct Quiet;

impl Protocol for Quiet {
    fn connection_made(&mut self, transport: &Transport) -> Result {
        transport.write(b"x");
        Ok(())
    }
}

/// A chance of nothing is no fault, and changes nothing else.
#[test]
fn a_chance_of_nothing_changes_nothing() {
    let run = |sets: bool| {
        let world = World::new(5);
        if sets {
            for fault in Fault::ALL {
                world.set_fault(fault, 0.0);
            }
        }
        let (server, client) = reactors(&world);
        server.listen("tcp:7", || Quiet).expect("it is free");
        client.connect("tcp:10.0.0.1:7", || Quiet).detach();
        world.run_until_idle(&[&server, &client]).expect("it ends");
        world.trace_hash()
    };
    assert_eq!(run(true), run(false));
}
