//! Callbacks of process protocols that fail: each costs its own child.

use super::{Does, World, command, start};
use crate::{
    Failure, Result,
    process::{Process, ProcessProtocol},
    signal::Signal,
    testing::suite::recorder::Log,
};

/// Fails where it is told to.
struct Failing {
    at: &'static str,
    panics: bool,
    log: Log,
}

impl Failing {
    fn at(&self, place: &str) -> Result {
        self.log.note(place);
        match (self.at == place, self.panics) {
            (true, true) => panic!("as it was told"),
            (true, false) => Err(Failure::msg("as it was told")),
            (false, _) => Ok(()),
        }
    }
}

impl ProcessProtocol for Failing {
    fn connection_made(&mut self, process: &Process) -> Result {
        self.at("made")?;
        process.write(b"x")
    }

    fn out_received(&mut self, process: &Process, _: &[u8]) -> Result {
        self.at("out")?;
        process.close_stdin();
        Ok(())
    }

    fn child_connection_lost(&mut self, _: &Process, _: u32, _: &Failure) -> Result {
        self.at("lost")
    }

    fn process_exited(&mut self, _: &Process, _: &Failure) -> Result {
        self.at("exited")
    }

    fn process_ended(&mut self, _: Failure) {
        self.at("ended").ok();
    }
}

/// A failure and a panic in each callback: the child is ended, its protocol hears that once, and others go on.
pub fn a_callback_that_fails_ends_its_child(world: &dyn World) {
    let commands = [Does::CopiesAndGoesOn, Does::Copies].map(|does| command(world, does));
    let [Some(endless), Some(copies)] = commands else {
        return;
    };
    for at in ["made", "out", "lost", "exited", "ended"] {
        for panics in [false, true] {
            let failures = world.reactor().statistics().failures;
            let log = Log::default();
            let protocol = Failing {
                at,
                panics,
                log: log.clone(),
            };
            let other = start(world, &copies);
            let process = world.reactor().spawn_process(&endless, protocol);
            let process = process.expect("it can be started");
            if matches!(at, "exited" | "ended") {
                world.until(&mut || log.count("out") == 1);
                process.signal_process(Signal::Kill).expect("it runs");
            }
            world.until(&mut || log.count("ended") == 1);
            let is_silent = at == "ended" && !panics;
            let failed = world.reactor().statistics().failures - failures;
            assert!(is_silent || failed >= 1, "{at}: {failed}");
            assert!(other.process.status().is_none(), "the others go on");
            other.process.close_stdin();
            world.until(&mut || other.heard.has_ended());
            assert_eq!(log.count("ended"), 1, "{at}");
            let last = log.events().pop();
            assert_eq!(last.as_deref(), Some("ended"), "{at}");
        }
    }
}
