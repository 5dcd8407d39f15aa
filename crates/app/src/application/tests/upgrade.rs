//! An upgrade as the application sees it: another process is ready when the test says so.

use super::{
    super::*,
    FINGER, USERS,
    control::{Heard, Running},
};
use crate::{
    Successor, Upgrade,
    control::{Application as _, NOT_RUNNING, NOT_UPGRADED, REFUSED, Upgraded},
    testing::logged,
};
use std::{
    cell::{Cell, RefCell},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tress_core::{Address, Failure, Resolver, testing::memory::Table};
use tress_rpc::{CallContext, Fault, fault::BUSY};

/// A process that was asked for: which program, within what time, and who waits.
type Asked = (Option<PathBuf>, Duration, Resolver<Successor>);

thread_local! {
    static ASKED: RefCell<Vec<Asked>> = RefCell::default();
}

/// Starts nothing.
pub(super) fn hook() -> Upgrade {
    Arc::new(|_: &Reactor, binary: Option<&Path>, limit| {
        let (resolver, ready) = Deferred::pair();
        let binary = binary.map(Path::to_owned);
        ASKED.with_borrow_mut(|asked| asked.push((binary, limit, resolver)));
        ready
    })
}

/// The process that has been asked for.
#[track_caller]
fn asked() -> Asked {
    ASKED.with_borrow_mut(Vec::pop).expect("one was asked for")
}

/// A process that says whether it was let go, and whether it is to read its file again.
fn successor() -> (Successor, Rc<Cell<Option<bool>>>) {
    let told = Rc::<Cell<_>>::default();
    let place = Rc::clone(&told);
    let go = Box::new(move |again| place.set(Some(again)));
    (Successor { process: 7, go }, told)
}

fn begin(running: &Running) -> Deferred<Upgraded> {
    let (control, reactor) = (running.control(), running.table.reactor().clone());
    let context = CallContext::local(&reactor);
    reactor.spawn(async move { control.upgrade(&context, Some("/b".to_owned())).await })
}

fn application() -> Running {
    let http = "[[serve]]\nwhat = 'users'\nas = 'http'\nat = 'tcp:80'\nanonymous = true\n";
    let limits = "[limits]\ndrain = '5s'\n";
    let running = Running::of(&format!("{USERS}{FINGER}{http}{limits}"));
    running.table.reactor().start().unwrap();
    running
}

#[track_caller]
fn code<T: std::fmt::Debug>(result: Result<T, Fault>) -> String {
    result.unwrap_err().code().to_owned()
}

#[test]
fn who_is_there_may_finish_and_then_the_process_ends() {
    let running = application();
    let (table, silent) = (&running.table, running.connect(79));
    let upgraded = begin(&running);
    let (binary, limit, resolver) = asked();
    assert_eq!(
        (binary, limit),
        (Some("/b".into()), Duration::from_secs(20))
    );
    assert!(running.listens(79), "nothing has changed yet");
    let (successor, told) = successor();
    resolver.resolve(successor);
    table.settle();
    let upgraded = upgraded.try_result().expect("at once").unwrap();
    assert_eq!((upgraded.process, told.get()), (7, Some(false)));
    assert!(!running.listens(79) && !running.listens(80));
    let refused = running.start("users-finger").unwrap_err();
    assert_eq!(refused.code(), NOT_RUNNING);
    assert_eq!(
        refused.message(),
        "another process has taken over from this one"
    );
    assert!(table.reactor().is_running());
    silent.say("moshez\r\n");
    table.settle();
    assert_eq!(silent.all(), "Happy\r\n");
    assert!(!table.reactor().is_running());
}

#[test]
fn nobody_may_stay_for_ever() {
    let running = application();
    let (table, silent) = (&running.table, running.connect(79));
    begin(&running).detach();
    asked().2.resolve(successor().0);
    table.advance(Duration::from_secs(4));
    assert!(table.reactor().is_running() && !silent.has_ended());
    table.advance(Duration::from_secs(2));
    assert!(!table.reactor().is_running() && silent.has_ended());
}

/// Over HTTP the next answer is the last.
#[test]
fn connections_that_stay_are_told() {
    let running = application();
    let request = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let kept = running.connect(80);
    let ask = |kept: &Heard| {
        kept.say(request);
        running.table.settle();
        kept.all().to_ascii_lowercase()
    };
    let answer = ask(&kept);
    assert!(answer.starts_with("http/1.1 200 ok") && !answer.contains("connection: close"));
    begin(&running).detach();
    asked().2.resolve(successor().0);
    running.table.settle();
    assert!(!kept.has_ended(), "a request may be on its way");
    let answer = ask(&kept);
    assert!(answer.starts_with("http/1.1 200 ok") && answer.contains("connection: close"));
    running.table.settle();
    assert!(kept.has_ended());
    assert!(!running.table.reactor().is_running());
}

#[test]
fn nothing_else_is_changed_meanwhile() {
    let running = application();
    let first = begin(&running);
    let more = "[[serve]]\nwhat = 'users'\nas = 'finger'\nat = 'tcp:81'\n";
    assert_eq!(code(running.start("users-finger")), BUSY);
    assert_eq!(code(running.stop("users-finger")), BUSY);
    assert_eq!(code(running.attach(more)), BUSY);
    assert_eq!(code(running.detach("users-finger")), BUSY);
    assert_eq!(
        code(running.reload(&format!("{USERS}{FINGER}{more}"))),
        BUSY
    );
    let second = begin(&running).try_result().expect("at once");
    assert_eq!(Fault::of(&second.unwrap_err()).code(), BUSY);
    // By a signal it is done later, by whoever goes on.
    let said = logged(|| running.control().reload_and_say());
    assert!(
        said[0].ends_with("the file is read again after it"),
        "{said:?}"
    );
    assert!(!running.listens(81));
    let (successor, told) = successor();
    asked().2.resolve(successor);
    running.table.settle();
    assert!(first.try_result().expect("at once").is_ok());
    assert_eq!(told.get(), Some(true));
}

#[test]
fn when_it_fails_everything_is_as_before() {
    let running = application();
    let more = "[[serve]]\nwhat = 'users'\nas = 'finger'\nat = 'tcp:81'\n";
    for again in [false, true] {
        let upgraded = begin(&running);
        if again {
            assert_eq!(
                code(running.reload(&format!("{USERS}{FINGER}{more}"))),
                BUSY
            );
            running.control().reload_and_say();
        }
        asked().2.fail(Failure::msg("no luck"));
        running.table.settle();
        let failed = upgraded.try_result().expect("at once").unwrap_err();
        let failed = Fault::of(&failed);
        assert_eq!((failed.code(), failed.message()), (NOT_UPGRADED, "no luck"));
        assert_eq!(
            running.listens(81),
            again,
            "what was asked for meanwhile is done"
        );
    }
    assert!(running.listens(79));
    assert_eq!(running.stop("users-finger").unwrap(), "stopped");
    let said = logged(|| {
        running.control().upgrade_and_say();
        asked().2.fail(Failure::msg("no\nluck"));
    });
    assert!(
        said[0].ends_with("not upgraded: no") && said[1].ends_with("not upgraded: luck"),
        "{said:?}"
    );
}

/// Whoever asked is gone, by a key or a deadline.
#[test]
fn it_goes_on_without_whoever_asked() {
    let running = application();
    begin(&running).cancel();
    running.table.settle();
    assert_eq!(code(running.start("users-finger")), BUSY);
    let (successor, told) = successor();
    asked().2.resolve(successor);
    assert_eq!(told.get(), Some(false));
    assert!(!running.listens(79));
}

/// It was told to stop before the other was ready.
#[test]
fn a_stop_is_a_stop() {
    let mut running = application();
    begin(&running).detach();
    running.end();
    asked().2.fail(Failure::msg("this process stops"));
    running.table.settle();
    assert_eq!(code(running.start("users-finger")), NOT_RUNNING);
}

#[test]
fn who_says_which_program_is_near() {
    let running = application();
    let reactor = running.table.reactor().clone();
    let far = Address::Ip("127.0.0.1:4711".parse().unwrap());
    let upgrade = |peer: Address, binary: Option<&str>| {
        let (control, binary) = (running.control(), binary.map(str::to_owned));
        let context = CallContext::from_peer(&reactor, peer);
        let asked = reactor.spawn(async move { control.upgrade(&context, binary).await });
        let answer = asked.try_result().ok()?;
        Some(code(answer.map_err(|failure| Fault::of(&failure))))
    };
    assert_eq!(upgrade(far.clone(), Some("/b")).as_deref(), Some(REFUSED));
    assert!(ASKED.with_borrow(Vec::is_empty));
    assert_eq!(upgrade(far, None), None, "it has begun");
    assert_eq!(asked().0, None);
}

#[test]
fn a_program_that_has_not_said_how_is_not_upgraded() {
    let table = Table::new();
    let mut application = super::load(&table, &format!("{USERS}{FINGER}")).unwrap();
    application.start(table.reactor()).unwrap();
    let said = logged(|| application.control().upgrade_and_say());
    assert!(
        said[0].ends_with("this program does not upgrade itself"),
        "{said:?}"
    );
}
