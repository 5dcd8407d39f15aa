//! Two hosts in the simulator: handshakes and much data over links of every kind, again and again the same.

use super::world::{Log, Recorder, letters};
use crate::{
    MemoryFiles,
    testing::{Authority, Issued},
};
use std::time::Duration;
use tress_core::{Protocol, Reactor, Result, Transport};
use tress_sim::{Fault, Policy, World};

const BYTES: usize = 40_000;

/// What the client saw, and the hash over every event of the network.
fn run(seed: u64, policy: Policy, ca: &str, pair: &Issued) -> (Vec<String>, u64) {
    let world = World::new(seed);
    world.set_policy(policy);
    let events = talk(&world, ca, pair);
    (events, world.trace_hash())
}

fn talk(world: &World, ca: &str, pair: &Issued) -> Vec<String> {
    let server = Reactor::with(world.host("10.0.0.1"));
    let client = Reactor::with(world.host("10.0.0.2"));
    let files = MemoryFiles::new();
    files.write("ca.pem", ca);
    files.write("pair.pem", pair.pair());
    crate::register(&server, files.clone());
    crate::register(&client, files);
    let log = Log::default();
    let echo = move || Recorder {
        echo: true,
        ..log.recorder()
    };
    server.listen("ssl:443:certKey=pair.pem", echo).unwrap();
    let log = Log::default();
    let seen = log.clone();
    let talks = move || Talks {
        recorder: seen.recorder(),
        came: 0,
    };
    let to = r"tls:localhost:trustRoots=ca.pem:endpoint=tcp\:10.0.0.1\:443";
    client.connect(to, talks).map(drop).detach();
    world.run_until_idle(&[&server, &client]).unwrap();
    log.take()
}

/// Sends much, and closes when it is back.
struct Talks {
    recorder: Recorder,
    came: usize,
}

impl Protocol for Talks {
    fn connection_made(&mut self, transport: &Transport) -> Result {
        let text = letters(BYTES);
        for piece in text.as_bytes().chunks(3_333) {
            transport.write(piece);
        }
        self.recorder.connection_made(transport)
    }
    fn data_received(&mut self, transport: &Transport, data: &[u8]) -> Result {
        self.came += data.len();
        if self.came == BYTES {
            transport.lose_connection();
        }
        self.recorder.data_received(transport, data)
    }
    fn connection_lost(&mut self, reason: tress_core::Failure) {
        self.recorder.connection_lost(reason);
    }
}

#[test]
fn the_same_seed_gives_the_same_events() {
    let authority = Authority::new("authority");
    // Signatures of Ed25519 have one length, those of ECDSA have several.
    let pair = authority.issue_ed25519("localhost");
    let ca = authority.pem();
    let text = letters(BYTES);
    let done = "lost: connection was closed cleanly".to_owned();
    let expected = ["made".to_owned(), format!("+{text}"), done];
    let policies = [(1, 500), (1460, 65_536), (7, 4_096), (65_536, 1_000_000)];
    for (index, (segment, window)) in policies.into_iter().enumerate() {
        let mut policy = Policy::default();
        policy.segment = segment;
        policy.window = window;
        policy.jitter = Duration::from_micros(900);
        for seed in 0..3 {
            let seed = 10 * index as u64 + seed;
            let (events, hash) = run(seed, policy, &ca, &pair);
            let shown: Vec<_> = events
                .iter()
                .map(|event| &event[..event.len().min(60)])
                .collect();
            assert!(events == expected, "seed {seed}: {shown:?}");
            assert_eq!(run(seed, policy, &ca, &pair), (events, hash), "seed {seed}");
        }
    }
}

/// Whatever strikes, the client gets what was sent or less, and one end; where nothing resets, all of it.
#[test]
fn faults_cost_connections_and_no_byte() {
    let authority = Authority::new("authority");
    let pair = authority.issue_ed25519("localhost");
    let (ca, text) = (authority.pem(), letters(BYTES));
    let mut broken = 0;
    tress_sim::check(0..40, |world| {
        for fault in [
            Fault::LateSegment,
            Fault::SmallWindow,
            Fault::ShortRead,
            Fault::ShortWrite,
            Fault::SpuriousReadiness,
            Fault::ClockJump,
        ] {
            world.set_fault(fault, 0.1);
        }
        world.set_fault(Fault::Reset, 0.003);
        let events = talk(world, &ca, &pair);
        let came: String = events
            .iter()
            .filter_map(|event| event.strip_prefix('+'))
            .collect();
        assert!(text.starts_with(&came), "other bytes came");
        let ends = events
            .iter()
            .filter(|event| event.starts_with("lost"))
            .count();
        assert!(ends <= 1, "{ends} ends");
        let struck = world.fault_count(Fault::Reset) > 0;
        assert!(struck || came == text && ends == 1, "something is missing");
        broken += usize::from(came != text);
        Ok(())
    });
    assert!((1..40).contains(&broken), "{broken}");
}
