//! Processes for the sake of what they write, or of how they end: `get_process_output` and its like.

use super::{Does, World, command};
use crate::{
    deferred::Deferred,
    failure::Result,
    process::{Command, OutputTooLong, ProcessTerminated, UnexpectedErrorOutput},
    signal::Signal,
    testing::suite::recorder::set_limits,
};
use std::{cell::RefCell, rc::Rc};

/// What comes of a Deferred.
#[track_caller]
fn result<T: 'static>(world: &dyn World, deferred: Deferred<T>) -> Result<T> {
    let place = Rc::new(RefCell::new(None));
    let result = Rc::clone(&place);
    deferred
        .add_both(move |outcome| {
            result.replace(Some(outcome));
            Ok(())
        })
        .detach();
    world.until(&mut || place.borrow().is_some());
    place.take().expect("it is there")
}

/// Each of the three, for a child that writes to both and ends with a code.
pub fn the_output_of_a_process(world: &dyn World) {
    let reactor = world.reactor();
    let Some(both) = command(world, Does::WritesToBoth) else {
        let refused = reactor.get_process_output(&Command::new("cat"));
        assert!(result(world, refused).is_err());
        return;
    };
    let value = result(world, reactor.get_process_value(&both));
    assert_eq!(value.expect("it exited"), 3);
    let all = result(world, reactor.get_process_output_and_value(&both)).expect("it exited");
    assert_eq!((&all.out[..], &all.err[..]), (&b"one\n"[..], &b"two\n"[..]));
    assert_eq!(all.status.to_string(), "code 3");
    let tells = command(world, Does::TellsArguments).expect("there was one before");
    let output = result(world, reactor.get_process_output(&tells.argument("out")));
    assert_eq!(output.expect("it wrote"), b"out\n");
}

/// What is no output, and what is no value.
pub fn what_has_no_output_fails(world: &dyn World) {
    let reactor = world.reactor();
    let Some(killed) = command(world, Does::Raises(Signal::Kill)) else {
        return;
    };
    let failure = result(world, reactor.get_process_value(&killed)).expect_err("it is no value");
    assert!(failure.check::<ProcessTerminated>().is_some());
    let bad = command(world, Does::Complains).expect("there was one before");
    let failure = result(world, reactor.get_process_output(&bad)).expect_err("it is no output");
    assert!(failure.check::<UnexpectedErrorOutput>().is_some());
    assert!(failure.to_string().ends_with(": bad"), "{failure}");
    let missing = reactor.get_process_output(&Command::new("no-such-program"));
    let failure = result(world, missing).expect_err("there is none");
    assert!(
        failure.to_string().contains("`no-such-program`"),
        "{failure}"
    );
    assert_eq!(reactor.statistics().processes, 0);
}

/// Who writes more than the limit is killed, and so is who is not waited for any more.
pub fn output_has_a_limit_and_can_be_cancelled(world: &dyn World) {
    let reactor = world.reactor();
    let Some(floods) = command(world, Does::Floods) else {
        return;
    };
    set_limits(&reactor, |limits| limits.process_output = 1000);
    let failure = result(world, reactor.get_process_output(&floods)).expect_err("it never ends");
    assert_eq!(failure.check(), Some(&OutputTooLong { limit: 1000 }));
    let waits = command(world, Does::Waits).expect("there was one before");
    let endless = reactor.get_process_output(&waits);
    world.settle();
    let canceller = endless.canceller().expect("it waits");
    let handled = endless.add_errback(|_| Ok(Vec::new()));
    canceller.cancel();
    assert!(result(world, handled).is_ok());
    world.until(&mut || reactor.statistics().processes == 0);
}
