//! Calls to an object on another reactor: every call has one end, whatever happens to the answer. Both reactors are on
//! networks in memory and turned by hand on one thread: the order is the test's.

use std::{cell::RefCell, net::SocketAddr, rc::Rc, time::Duration};
use tress_core::{
    Address, Deferred, EventType, Failure, Phase, Reactor, Resolver, Result, error::Cancelled,
    testing::memory::Table,
};
use tress_rpc::{
    BadValue, CallContext, CallLimits, Carrier, Client, Distant, Fault, HomeStopped, Homes,
    NoAnswer, TooManyCalls, Value, interface,
};

/// Answers when it is told to.
#[interface(crate = "tress_rpc")]
trait Slow {
    /// Says it again.
    async fn say(&self, text: String) -> Result<String>;

    /// Who asks, and from where.
    async fn who(&self, context: CallContext) -> Result<String>;

    /// How long they wait.
    async fn left(&self, context: CallContext) -> Result<String>;
}

/// The calls that it has got, with what to answer them with.
#[derive(Default)]
struct Slowly {
    calls: RefCell<Vec<(String, Resolver<String>)>>,
    cancelled: Rc<RefCell<Vec<String>>>,
}

impl Slow for Slowly {
    #[expect(
        refining_impl_trait,
        reason = "a Deferred is as good as an async function"
    )]
    fn say(&self, text: String) -> Deferred<String> {
        let (cancelled, name) = (Rc::clone(&self.cancelled), text.clone());
        let (resolver, deferred) =
            Deferred::with_canceller(move || cancelled.borrow_mut().push(name));
        self.calls.borrow_mut().push((text, resolver));
        deferred
    }

    async fn who(&self, context: CallContext) -> Result<String> {
        let avatar = context.avatar.as_deref().unwrap_or("nobody");
        Ok(format!("{avatar} at {}", context.peer))
    }

    async fn left(&self, context: CallContext) -> Result<String> {
        let left = context.deadline.map(|at| at.since(context.reactor.now()));
        Ok(format!("{left:?}"))
    }
}

struct Pair {
    home: Table,
    away: Table,
    slow: Rc<Slowly>,
}

/// What a call ended with, once it has.
type End = Rc<RefCell<Vec<Result<String>>>>;

impl Pair {
    fn new() -> Self {
        let (home, away, slow) = (Table::new(), Table::new(), Rc::<Slowly>::default());
        let object = <dyn DynSlow>::object(Rc::clone(&slow));
        Homes::of(home.reactor()).publish("slow", object);
        Self { home, away, slow }
    }

    fn client(&self, limits: CallLimits) -> Client {
        let home = self.home.reactor().remote();
        Client::new(Distant::with_limits(
            &home,
            "slow",
            <dyn DynSlow>::DESCRIPTOR,
            limits,
        ))
    }

    fn call<T: serde::de::DeserializeOwned + 'static>(
        &self,
        client: &Client,
        method: &str,
        text: &str,
    ) -> Deferred<T> {
        let context = CallContext::local(self.away.reactor());
        client.call(&context, method, vec![Value::from(text)])
    }

    /// Both loops do what they were asked.
    fn turn(&self) {
        for _ in 0..3 {
            for reactor in [self.away.reactor(), self.home.reactor()] {
                reactor.turn(Some(Duration::ZERO)).expect("it goes on");
            }
        }
    }
}

fn end(deferred: Deferred<String>) -> End {
    let end = End::default();
    let kept = Rc::clone(&end);
    deferred
        .add_both(move |result| kept.borrow_mut().push(result))
        .detach();
    end
}

#[track_caller]
fn failure(end: &End) -> Failure {
    let mut ends = end.borrow_mut();
    assert_eq!(ends.len(), 1, "{ends:?}");
    ends.remove(0).expect_err("it failed")
}

#[test]
fn a_call_is_answered_once() {
    let pair = Pair::new();
    let client = pair.client(CallLimits::default());
    let good = end(pair.call(&client, "say", "a"));
    let bad = end(pair.call(&client, "say", "b"));
    pair.turn();
    let calls = pair.slow.calls.take();
    assert!(good.borrow().is_empty());
    for (text, resolver) in calls {
        match &*text {
            "a" => resolver.resolve("again".to_owned()),
            _ => resolver.fail(HomeStopped { object: text }),
        }
    }
    pair.turn();
    assert_eq!(good.borrow()[0].as_ref().expect("it worked"), "again");
    assert_eq!(failure(&bad).to_string(), "the home of `b` has stopped");
    let left = pair.away.reactor().statistics().timers;
    assert_eq!(left, 0, "the deadlines are gone with the answers");
    pair.away.advance(Duration::from_secs(60));
    pair.turn();
    assert_eq!(good.borrow().len(), 1);
}

#[test]
fn who_calls_is_known_at_home() {
    let pair = Pair::new();
    let client = pair.client(CallLimits::default());
    let mut context = CallContext::local(pair.away.reactor());
    let unknown = end(client.call(&context, "who", Vec::<Value>::new()));
    context.peer = Address::from(SocketAddr::from(([10, 0, 0, 7], 79)));
    context.avatar = Some("moshez".into());
    let known = end(client.call(&context, "who", Vec::<Value>::new()));
    pair.turn();
    let said = |end: &End| end.borrow_mut().remove(0).expect("it worked");
    assert_eq!(said(&unknown), format!("nobody at {}", Address::Unknown));
    assert_eq!(said(&known), "moshez at 10.0.0.7:79");
}

#[test]
fn bad_calls_say_what_is_bad_here_and_there() {
    let pair = Pair::new();
    let object = <dyn DynSlow>::object(Rc::clone(&pair.slow));
    let near = Client::new(object);
    let far = pair.client(CallLimits::default());
    for client in [near, far] {
        let unknown = end(pair.call(&client, "sya", "a"));
        pair.turn();
        assert_eq!(failure(&unknown).to_string(), "`Slow` has no method `sya`");
        let context = CallContext::local(pair.away.reactor());
        let few = end(client.call(&context, "say", Vec::<Value>::new()));
        pair.turn();
        assert_eq!(failure(&few).to_string(), "`Slow.say`: `text` is missing");
        let kind = end(client.call(&context, "say", vec![Value::Nothing]));
        pair.turn();
        let text = "`Slow.say`: `text`: invalid type: unit value, expected a string";
        assert_eq!(failure(&kind).to_string(), text);
    }
    assert!(pair.slow.calls.borrow().is_empty(), "none was made");
    let client = pair.client(CallLimits::default());
    let wrong = pair.call::<Vec<String>>(&client, "say", "a");
    pair.turn();
    let (_, resolver) = pair.slow.calls.take().remove(0);
    resolver.resolve("a".to_owned());
    pair.turn();
    let result = wrong.try_result().expect("it is there");
    assert!(result.expect_err("no list").check::<BadValue>().is_some());
}

#[test]
fn what_callers_are_told_is_told_to_those_far_away() {
    let pair = Pair::new();
    let client = pair.client(CallLimits::default());
    let refused = end(pair.call(&client, "say", "a"));
    pair.turn();
    let (_, resolver) = pair.slow.calls.take().remove(0);
    resolver.fail(Fault::new("not-today", "come back tomorrow"));
    pair.turn();
    let told = Fault::of(&failure(&refused));
    assert_eq!(told, Fault::new("not-today", "come back tomorrow"));
    let unknown = end(pair.call(&client, "sya", "a"));
    pair.turn();
    let told = Fault::of(&failure(&unknown));
    assert_eq!(told.code(), tress_rpc::fault::UNKNOWN_METHOD);
}

#[test]
fn so_many_in_flight_and_no_more() {
    let pair = Pair::new();
    let limits = CallLimits {
        in_flight: 2,
        ..CallLimits::default()
    };
    let client = pair.client(limits);
    let first = pair.call::<String>(&client, "say", "a");
    let second = end(pair.call(&client, "say", "b"));
    let third = end(pair.call(&client, "say", "c"));
    assert_eq!(failure(&third).check(), Some(&TooManyCalls { limit: 2 }));
    first.cancel();
    assert!(first.try_result().is_ok());
    let fourth = end(pair.call(&client, "say", "d"));
    pair.turn();
    assert!(second.borrow().is_empty() && fourth.borrow().is_empty());
    let _ = client.descriptor();
}

#[test]
fn a_cancel_cancels_at_home_and_only_that_call() {
    let pair = Pair::new();
    let (client, other) = (
        pair.client(CallLimits::default()),
        pair.client(CallLimits::default()),
    );
    // The first call of another reactor has the same number as this one's.
    let elsewhere = Table::new();
    let context = CallContext::local(elsewhere.reactor());
    let far = end(other.call(&context, "say", vec![Value::from("far")]));
    elsewhere
        .reactor()
        .turn(Some(Duration::ZERO))
        .expect("it goes on");
    pair.turn();
    let cancelled = pair.call::<String>(&client, "say", "a");
    let same = end(pair.call(&client, "say", "c"));
    let kept = end(pair.call(&other, "say", "b"));
    pair.turn();
    cancelled.cancel();
    let result = cancelled.try_result().expect("it has an end");
    assert!(
        result
            .expect_err("cancelled")
            .check::<Cancelled>()
            .is_some()
    );
    pair.turn();
    assert_eq!(*pair.slow.cancelled.borrow(), ["a"]);
    for (_, resolver) in pair.slow.calls.take() {
        resolver.resolve("again".to_owned());
    }
    pair.turn();
    elsewhere
        .reactor()
        .turn(Some(Duration::ZERO))
        .expect("it goes on");
    for kept in [far, same, kept] {
        assert_eq!(kept.borrow()[0].as_ref().expect("it goes on"), "again");
    }
}

#[test]
fn a_cancel_after_the_first_call_cancels_that_one() {
    let pair = Pair::new();
    let client = pair.client(CallLimits::default());
    let first = end(pair.call(&client, "say", "a"));
    let second = pair.call::<String>(&client, "say", "b");
    pair.turn();
    second.cancel();
    pair.turn();
    assert_eq!(*pair.slow.cancelled.borrow(), ["b"]);
    assert!(first.borrow().is_empty());
    drop(second);
}

#[test]
fn no_answer_in_time_is_a_failure_and_cancels() {
    let pair = Pair::new();
    let limits = CallLimits {
        deadline: Duration::from_secs(2),
        ..CallLimits::default()
    };
    let client = pair.client(limits);
    let late = end(pair.call(&client, "say", "a"));
    pair.turn();
    pair.away.advance(Duration::from_secs(3));
    pair.turn();
    let text = "no answer from `slow` within 2s (`call_deadline`)";
    let failed = failure(&late);
    assert!(failed.check::<NoAnswer>().is_some());
    assert_eq!(failed.to_string(), text);
    assert_eq!(*pair.slow.cancelled.borrow(), ["a"]);
    pair.turn();
    assert!(late.borrow().is_empty(), "no second end");
}

/// Until when the caller waits goes along, as how long: the clocks of the two have nothing to do with each other.
#[test]
fn the_shorter_of_the_callers_deadline_and_the_limit_counts_here_and_there() {
    let limits = CallLimits {
        deadline: Duration::from_secs(10),
        ..CallLimits::default()
    };
    for (own, shorter) in [(None, 10), (Some(2), 2), (Some(20), 10), (Some(0), 0)] {
        let pair = Pair::new();
        pair.home.advance(Duration::from_secs(5_000));
        pair.away.advance(Duration::from_secs(100));
        let client = pair.client(limits);
        let mut context = CallContext::local(pair.away.reactor());
        let now = context.reactor.now();
        context.deadline = own.map(|own| now + Duration::from_secs(own));
        let shorter = Duration::from_secs(shorter);
        let left = end(client.call(&context, "left", Vec::<Value>::new()));
        let late = end(client.call(&context, "say", vec![Value::from("a")]));
        if !shorter.is_zero() {
            pair.turn();
            let said = left.borrow_mut().remove(0).expect("in time");
            assert_eq!(said, format!("{:?}", Some(shorter)), "{own:?}");
            assert!(late.borrow().is_empty(), "{own:?}");
            pair.away.advance(shorter - Duration::from_millis(1));
            pair.turn();
            assert!(late.borrow().is_empty(), "{own:?}");
            pair.away.advance(Duration::from_millis(1));
        }
        pair.turn();
        let failed = failure(&late);
        let expected = NoAnswer {
            object: "slow".to_owned(),
            after: shorter,
        };
        assert_eq!(failed.check(), Some(&expected), "{own:?}");
        assert_eq!(*pair.slow.cancelled.borrow(), ["a"], "{own:?}");
    }
}

#[test]
fn a_home_that_goes_fails_what_runs_and_what_waits() {
    let pair = Pair::new();
    let client = pair.client(CallLimits::default());
    let runs = end(pair.call(&client, "say", "a"));
    pair.turn();
    let waits = end(pair.call(&client, "say", "b"));
    let Pair { home, away, slow } = pair;
    drop((home, slow));
    away.reactor()
        .turn(Some(Duration::ZERO))
        .expect("it goes on");
    assert!(!runs.borrow().is_empty());
    failure(&runs);
    assert!(failure(&waits).check::<HomeStopped>().is_some());
    let context = CallContext::local(away.reactor());
    let after = client.call::<String>(&context, "say", vec![Value::from("c")]);
    let result = after.try_result().expect("at once");
    assert!(result.expect_err("gone").check::<HomeStopped>().is_some());
}

#[test]
fn a_home_that_stops_fails_what_runs() {
    let pair = Pair::new();
    let client = pair.client(CallLimits::default());
    let runs = end(pair.call(&client, "say", "a"));
    let home: &Reactor = pair.home.reactor();
    home.start().expect("it did not run");
    pair.turn();
    let after = Rc::new(RefCell::new(0));
    let count = Rc::clone(&after);
    home.add_system_event_trigger(Phase::After, EventType::Shutdown, move || {
        *count.borrow_mut() += 1;
    });
    home.stop().expect("it runs");
    for _ in 0..5 {
        pair.home.reactor().turn(Some(Duration::ZERO)).ok();
    }
    assert_eq!(*after.borrow(), 1, "it has stopped");
    pair.away
        .reactor()
        .turn(Some(Duration::ZERO))
        .expect("it goes on");
    assert!(failure(&runs).check::<HomeStopped>().is_some());
    pair.slow.calls.borrow_mut().clear();
    let late = end(pair.call(&client, "say", "b"));
    for reactor in [pair.home.reactor(), pair.away.reactor()] {
        reactor.turn(Some(Duration::ZERO)).ok();
    }
    assert!(pair.slow.calls.borrow().is_empty(), "nobody is at home");
    assert!(failure(&late).check::<HomeStopped>().is_some());
}

#[test]
fn nobody_of_that_name_is_a_failure() {
    let pair = Pair::new();
    let home = pair.home.reactor().remote();
    let nobody = Distant::new(&home, "nobody", <dyn DynSlow>::DESCRIPTOR);
    let context = CallContext::local(pair.away.reactor());
    let called = nobody.call(&context, "say", vec![Value::from("a")].into());
    pair.turn();
    let result = called.try_result().expect("it has an end");
    let text = result.expect_err("nobody").to_string();
    assert_eq!(text, "the home of `nobody` has stopped");
}
