//! What io_uring does to those who do not expect it: tests of what others fell into. ARCHITECTURE.md has the whole list.

use super::{
    tests::{PATIENCE, Peer, Seen, World, on_both, on_both_with, world},
    *,
};
#[cfg(feature = "faults")]
use crate::seam::faults::{self, Fault, Plan};
use bytes::Bytes;
use std::{io::Write, net::SocketAddr, path::Path, time::Instant};
use work::Key;

/// So few buffers, and such small ones, that a lost one is missed.
fn few() -> UringOptions {
    UringOptions {
        buffers: 16,
        buffer_bytes: 512,
        ..UringOptions::default()
    }
}

/// A new peer sends so much, and all of it comes.
#[track_caller]
fn receives(world: &mut World, bytes: usize) {
    let (mut peer, conn) = world.accept();
    world.driver.start_reading(conn);
    let sent = tress_core::testing::pattern(bytes);
    let sender = std::thread::spawn(move || {
        peer.write_all(&sent).expect("it is open");
        (peer, sent)
    });
    let mut seen = Seen(Vec::new());
    world.until(&mut seen, |seen| seen.bytes().len() >= bytes);
    let (_peer, sent) = sender.join().expect("it could send");
    assert!(seen.bytes() == sent, "other bytes came");
    world.driver.close(conn, true);
}

/// Freed earlier, whatever is there by then would be sent.
#[test]
fn what_is_being_sent_lives_until_its_last_completion() {
    on_both(|mut world| {
        for abort in [true, false] {
            let (_peer, conn) = world.accept();
            let bytes = Bytes::from(vec![b'x'; 16 << 20]);
            let mut out = Outgoing::from(bytes.clone());
            world.driver.send(conn, &mut out).expect("it is open");
            drop(out);
            world.quiet();
            world.driver.close(conn, abort);
            assert!(!bytes.is_unique(), "freed while the kernel has it");
            let mut seen = Seen(Vec::new());
            world.until(&mut seen, |_| bytes.is_unique());
        }
    });
}

/// A receive that is cancelled may have taken a buffer before.
#[test]
fn a_buffer_comes_back_although_its_connection_has_gone() {
    on_both_with(&few(), |mut world| {
        for round in 0..40 {
            let (mut peer, conn) = world.accept();
            world.driver.start_reading(conn);
            world.turn(&mut Seen(Vec::new()));
            peer.write_all(b"late").expect("it is open");
            // By now the kernel has filled one, and nobody has heard of it.
            world.driver.wait(Some(PATIENCE)).expect("io_uring works");
            world.driver.close(conn, round % 2 == 0);
            world.turn(&mut Seen(Vec::new()));
        }
        receives(&mut world, 64 * 512);
    });
}

/// The kernel may end any operation that was to go on, and does so without an error that anybody would see: when it runs
/// out of buffers, or of room for completions. Here it is told to, behind the driver's back.
#[test]
fn an_operation_that_ends_by_itself_is_started_again() {
    on_both(|mut world| {
        let (mut peer, conn) = world.accept();
        world.driver.start_reading(conn);
        world.quiet();
        // The first that was started: it tells of wakes.
        world.driver.ring.cancel(Key::new(0, 1));
        for round in 0..3 {
            for token in [world.port, conn] {
                let slot = world.driver.slots.get(token).expect("it is open");
                let key = slot.incoming.expect("it is armed");
                world.driver.ring.cancel(key);
            }
            assert!(world.quiet().0.is_empty(), "somebody was told");
            peer.write_all(b"more").expect("it is open");
            let mut seen = Seen(Vec::new());
            world.until(&mut seen, |seen| seen.bytes() == b"more");
            drop(world.accept());
            let waker = world.driver.waker();
            let wakes = std::thread::spawn(move || waker.wake());
            let start = Instant::now();
            world.driver.wait(Some(PATIENCE)).expect("io_uring works");
            assert!(start.elapsed() < PATIENCE / 2, "it slept in round {round}");
            while world.driver.next(&mut world.lease).is_some() {}
            wakes.join().expect("it only wakes");
        }
    });
}

/// One peer could fill all buffers, whether it is read, and has its share of a turn, or not.
#[test]
fn a_flooding_peer_takes_no_buffer_from_the_others() {
    on_both_with(&few(), |mut world| {
        let (quiet, greedy) = (world.accept(), world.accept());
        let ((mut quiet, answered), (mut peer, flooded)) = (quiet, greedy);
        world.driver.set_bytes_per_turn(512);
        world.driver.start_reading(answered);
        world.driver.start_reading(flooded);
        world.turn(&mut Seen(Vec::new()));
        let flood = std::thread::spawn(move || {
            // Until it is closed.
            while peer.write_all(&[b'x'; 65_536]).is_ok() {}
        });
        for is_read in [true, false, true] {
            if is_read {
                world.driver.start_reading(flooded);
            } else {
                world.driver.stop_reading(flooded);
            }
            for _ in 0..20 {
                world.turn(&mut Seen(Vec::new()));
            }
            quiet.write_all(b"?").expect("it is open");
            let mut turns = 0;
            let mut seen = Seen(Vec::new());
            while !seen.bytes().contains(&b'?') {
                turns += 1;
                assert!(turns < 50, "nobody hears the other; read: {is_read}");
                world.turn(&mut seen);
            }
        }
        world.driver.close(flooded, true);
        world.turn(&mut Seen(Vec::new()));
        flood.join().expect("it only writes");
    });
}

/// As many peers as buffers and more: there may be none before anything has come.
#[test]
fn more_peers_than_buffers_are_all_heard() {
    on_both_with(&few(), |mut world| {
        let mut peers: Vec<(Peer, Token)> = (0..60).map(|_| world.accept()).collect();
        for (peer, conn) in &mut peers {
            world.driver.start_reading(*conn);
            peer.write_all(&[b'x'; 2000]).expect("it is open");
        }
        let mut seen = Seen(Vec::new());
        world.until(&mut seen, |seen| seen.bytes().len() == 60 * 2000);
    });
}

/// Linux 6.12 has named the same buffer twice.
#[test]
fn a_buffer_that_the_kernel_does_not_have_ends_the_connection_only() {
    on_both(|mut world| {
        let (_peer, conn) = world.accept();
        world.driver.start_reading(conn);
        world.quiet();
        let lease = &mut Lease::default();
        let report = world.driver.received(conn, Ok(5), None, true, lease);
        let Some(Report::Closed { token, error }) = report else {
            panic!("nobody was told")
        };
        assert_eq!(token, conn);
        let text = "the kernel named a buffer that it did not have";
        assert_eq!(error.to_string(), text);
        assert!(world.quiet().0.is_empty(), "somebody was told once more");
        receives(&mut world, 10_000);
    });
}

/// For each feature that some kernel does wrong there is a switch, and what is left works.
#[test]
fn each_feature_can_be_off_alone() {
    let switches: [fn(&mut UringOptions); 4] = [
        |options| options.multishot_accept = false,
        |options| options.multishot_receive = false,
        |options| options.provided_buffers = false,
        |options| options.batched_submission = false,
    ];
    for off in switches {
        let mut options = few();
        off(&mut options);
        on_both_with(&options, |mut world| {
            for _ in 0..3 {
                receives(&mut world, 100_000);
            }
        });
    }
}

/// Filters of system calls and old kernels refuse in many ways.
#[cfg(feature = "faults")]
#[test]
fn what_is_refused_is_done_without() {
    if world(Setup::Plain, &few()).is_none() {
        return;
    }
    let refusals = [
        libc::EPERM,
        libc::ENOSYS,
        libc::ENOMEM,
        libc::EOPNOTSUPP,
        libc::EINVAL,
    ];
    // The ring itself, what it can do, and its buffers; all of the first kind of ring.
    let calls = [
        (Call::IoUringSetup, 1),
        (Call::IoUringRegister, 1),
        (Call::IoUringRegister, 2),
    ];
    for (error, (call, number)) in refusals
        .into_iter()
        .flat_map(|error| calls.map(|call| (error, call)))
    {
        faults::begin(Some(Plan {
            call,
            number,
            fault: Fault::Error(error),
        }));
        let made = Uring::new();
        let calls = faults::end();
        assert!(calls.is_fulfilled, "{call:?} {number}");
        let mut driver = made.unwrap_or_else(|why| panic!("{call:?} {number}, {error}: {why}"));
        let any = Address::Ip(SocketAddr::from(([127, 0, 0, 1], 0)));
        let listens = driver.listen(&any, &ListenOptions::default());
        let (port, at) = listens.expect("port 0 is free");
        let mut world = World::around(driver, port, &at);
        receives(&mut world, 10_000);
    }
}

/// A thread of the kernel that polls, sends without copies and buffers that are filled bit by bit have cost others more
/// than they gained.
#[test]
fn what_does_not_pay_is_not_used() {
    let (io, _) = match Setup::Plain.build(&UringOptions::default()) {
        Ok(built) => built,
        Err(error) => return eprintln!("skipped: no io_uring for us: {error}"),
    };
    assert!(!io.params().is_setup_sqpoll());
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for file in ["sys/ring.rs", "uring/work.rs"] {
        let text = std::fs::read_to_string(source.join(file)).expect("the source is there");
        for unused in [
            "SendZc::new",
            "SendMsgZc",
            "RecvZc",
            "setup_sqpoll",
            "setup_iopoll",
            "register_napi",
            "PBUF_RING_INC",
        ] {
            assert!(!text.contains(unused), "{file}: {unused}");
        }
    }
}
