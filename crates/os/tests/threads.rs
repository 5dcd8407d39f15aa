//! Every sentence of Twisted's `threading.rst` as a test, on the driver of the operating system.

use tress_core::{Reactor, ThreadFailure};
use tress_os::Mio;

fn reactor() -> Reactor {
    Reactor::with(Mio::new().expect("epoll works"))
}

#[test]
fn defer_to_thread_gives_the_result() {
    let reactor = reactor();
    let sum = reactor.defer_to_thread(|| Ok((1..=10).sum::<u32>()));
    assert_eq!(reactor.run_until(sum).expect("it works"), 55);
    let failed = reactor.defer_to_thread(|| Ok("x".parse::<u32>()?));
    let failure = reactor.run_until(failed).expect_err("it is no number");
    assert!(failure.check::<std::num::ParseIntError>().is_some());
    let panicked = reactor.defer_to_thread(|| -> Result<(), ThreadFailure> { panic!("boom") });
    let failure = reactor.run_until(panicked).expect_err("it panics");
    assert_eq!(failure.to_string(), "a callback panicked: boom");
}

#[test]
fn blocking_call_from_thread_re_raises() {
    let reactor = reactor();
    let remote = reactor.remote();
    let job = reactor.defer_to_thread(move || {
        let one = remote.blocking_call_from_thread(|_| Ok(1))?;
        let own = remote.blocking_call_from_thread(move |reactor| {
            reactor
                .after(std::time::Duration::from_millis(1))
                .map(move |()| one + 1)
        })?;
        let failed = remote.blocking_call_from_thread(|_| Ok("x".parse::<u32>()?));
        let failure = failed.expect_err("it is no number");
        assert!(failure.check::<std::num::ParseIntError>().is_some());
        Ok(own)
    });
    assert_eq!(reactor.run_until(job).expect("it works"), 2);
}
