//! Any addresses with any fate against a small model that knows no timer and no Deferred: the same attempts at the same
//! times, the same winner, the same losers closed, the same failures in the same order.

use super::world::{Outcome, World, address};
use crate::names::interleave;
use proptest::prelude::*;

const DELAY: u64 = 250;

/// What should be logged, given what becomes of each address, in the order in which they are tried.
struct Model<'a> {
    addresses: &'a [(String, Outcome)],
    now: u64,
    log: Vec<String>,
    begun: usize,
    /// Which, when it has its answer, and whether that is yes.
    running: Vec<(usize, u64, bool)>,
    failed: Vec<(usize, &'static str)>,
    /// When the next begins by itself.
    next_at: u64,
}

impl Model<'_> {
    fn note(&mut self, event: &str) {
        self.log.push(format!("{} {event}", self.now));
    }

    fn begin(&mut self) {
        while let Some((name, outcome)) = self.addresses.get(self.begun) {
            let index = self.begun;
            self.begun += 1;
            self.note(&format!("try {name}"));
            let (after, works) = match outcome {
                Outcome::Accepts(after) => (*after, true),
                Outcome::Refuses(after) => (*after, false),
                Outcome::Silent => (u64::MAX / 2, false),
                Outcome::Fails => {
                    self.failed.push((index, "no route"));
                    continue;
                }
            };
            self.running.push((index, self.now + after, works));
            self.next_at = self.now + DELAY;
            return;
        }
    }

    /// Closes all but one.
    fn close(&mut self, but: Option<usize>) {
        for (index, ..) in std::mem::take(&mut self.running) {
            if Some(index) != but {
                let name = &self.addresses[index].0;
                self.note(&format!("close {name}"));
            }
        }
    }

    fn run(mut self, timeout: u64) -> String {
        self.begin();
        while !self.running.is_empty() {
            let more = self.begun < self.addresses.len();
            let paced = if more { self.next_at } else { u64::MAX };
            let answer = self
                .running
                .iter()
                .min_by_key(|(index, at, _)| (*at, *index));
            let &(index, at, works) = answer.expect("it is not empty");
            self.now = timeout.min(paced).min(at);
            if self.now == timeout {
                self.close(None);
                self.note("failed: timeout");
                return self.log.join(", ");
            }
            if self.now == paced {
                self.begin();
            } else if works {
                let name = self.addresses[index].0.clone();
                self.close(Some(index));
                self.note(&format!("build {name}"));
                self.note("ok");
                self.note(&format!("close {name}"));
                return self.log.join(", ");
            } else {
                self.running.retain(|(other, ..)| *other != index);
                self.failed.push((index, "refused"));
                self.begin();
            }
        }
        self.failed.sort_unstable();
        let failed = self.failed.iter().map(|(index, why)| {
            let address = address(&self.addresses[*index].0);
            format!("{address}: could not connect: {why}")
        });
        let failed = failed.collect::<Vec<_>>().join("; ");
        self.note(&format!(
            "failed: no address of host.example:80 worked: {failed}"
        ));
        self.log.join(", ")
    }
}

fn outcome() -> impl Strategy<Value = Outcome> {
    // Few different times, so that much happens at once.
    let time = || prop_oneof![0..700_u64, (0..8_u64).prop_map(|steps| steps * 125)];
    prop_oneof![
        2 => time().prop_map(Outcome::Accepts),
        4 => time().prop_map(Outcome::Refuses),
        2 => Just(Outcome::Silent),
        1 => Just(Outcome::Fails),
    ]
}

proptest! {
    #[test]
    fn any_addresses_do_what_the_model_says(
        fates in prop::collection::vec((any::<bool>(), outcome()), 1..9),
        timeout in 1..4_u64,
    ) {
        let families = fates.iter().enumerate();
        let named: Vec<(String, Outcome)> = families
            .map(|(index, (is_v6, outcome))| {
                (format!("{}{index:x}", if *is_v6 { 6 } else { 4 }), *outcome)
            })
            .collect();
        let outcomes: Vec<(&str, Outcome)> =
            named.iter().map(|(name, outcome)| (&**name, *outcome)).collect();
        let world = World::new(&outcomes);
        world.connect(&format!("tcp:host.example:80:timeout={timeout}")).detach();
        world.log.take();
        let names: Vec<&str> = outcomes.iter().map(|(name, _)| *name).collect();
        world.names.answer(&names.join(" "));
        world.pass(10_000);

        let order = interleave(names.iter().map(|name| address(name)).collect());
        let in_order = |of: &std::net::SocketAddr| {
            let found = named.iter().find(|(name, _)| address(name) == *of);
            found.expect("it was in the answer").clone()
        };
        let addresses: Vec<_> = order.iter().map(in_order).collect();
        let model = Model {
            addresses: &addresses,
            now: 0,
            log: Vec::new(),
            begun: 0,
            running: Vec::new(),
            failed: Vec::new(),
            next_at: 0,
        };
        let mut log = world.log.take();
        if log.contains("timed out") {
            let end = log.find("failed: ").expect("it failed");
            log.replace_range(end.., "failed: timeout");
        }
        prop_assert_eq!(log, model.run(timeout * 1000));
        world.check_nothing_left();
    }
}
