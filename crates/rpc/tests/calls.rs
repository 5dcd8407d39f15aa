//! The calls of one connection: each is answered once, whatever comes first; with the connection they end silently.

use std::{cell::RefCell, rc::Rc, time::Duration};
use tress_core::{Deferred, Failure, Resolver, Result, testing::memory::Table};
use tress_rpc::{CallContext, Calls, ExposureLimits, Fault, Value, interface};

/// Answers at once or when it is told to.
#[interface(crate = "tress_rpc")]
trait Desk {
    /// At once.
    async fn now(&self, text: String) -> Result<String>;
    /// When it is told to.
    async fn later(&self) -> Result<String>;
    /// Never well.
    async fn never(&self, fault: bool) -> Result<()>;
    /// Who asks, and for how long.
    async fn who(&self, context: CallContext, prefix: String) -> Result<String>;
    /// The same.
    async fn whose(&self, context: &CallContext) -> Result<String>;
}

#[derive(Default)]
struct Clerk {
    waiting: RefCell<Vec<Resolver<String>>>,
    cancelled: Rc<RefCell<usize>>,
}

#[expect(
    refining_impl_trait,
    reason = "a Deferred is as good as an async function"
)]
impl Desk for Clerk {
    async fn now(&self, text: String) -> Result<String> {
        Ok(text)
    }

    fn later(&self) -> Deferred<String> {
        let cancelled = Rc::clone(&self.cancelled);
        let (resolver, deferred) = Deferred::with_canceller(move || *cancelled.borrow_mut() += 1);
        self.waiting.borrow_mut().push(resolver);
        deferred
    }

    async fn never(&self, fault: bool) -> Result<()> {
        if fault {
            Err(Fault::new("closed", "come back tomorrow"))?;
        }
        Err(Failure::msg("the key is under the mat"))
    }

    async fn who(&self, context: CallContext, prefix: String) -> Result<String> {
        let left = context
            .deadline
            .expect("it has one")
            .since(context.reactor.now());
        Ok(format!("{prefix}{:?} {left:?}", context.avatar))
    }

    async fn whose(&self, context: &CallContext) -> Result<String> {
        Ok(format!("{:?}", context.avatar))
    }
}

struct Office {
    table: Table,
    clerk: Rc<Clerk>,
    calls: Calls,
    answers: Rc<RefCell<Vec<String>>>,
}

impl Office {
    fn new() -> Self {
        let clerk = Rc::<Clerk>::default();
        let limits = ExposureLimits {
            calls_in_flight: 2,
            call_deadline: Duration::from_secs(3),
            ..ExposureLimits::default()
        };
        Self {
            table: Table::new(),
            calls: Calls::new(&<dyn DynDesk>::object(Rc::clone(&clerk)), limits),
            clerk,
            answers: Rc::default(),
        }
    }

    fn call(&self, method: &str, arguments: Vec<Value>) {
        let mut context = CallContext::local(self.table.reactor());
        context.avatar = Some("moshez".into());
        let (answers, called) = (Rc::clone(&self.answers), method.to_owned());
        self.calls.call(&context, method, arguments, move |result| {
            let text = match result {
                Ok(value) => serde_json::to_string(&value).expect("it is JSON"),
                Err(fault) => fault.to_string(),
            };
            answers.borrow_mut().push(format!("{called}: {text}"));
        });
    }

    /// What has been answered since.
    fn answers(&self) -> Vec<String> {
        self.answers.take()
    }
}

#[test]
fn what_is_done_at_once_is_answered_at_once() {
    let office = Office::new();
    office.call("now", vec!["hello".into()]);
    office.call("now", vec![Value::Integer(3)]);
    office.call("gone", vec![]);
    office.call("never", vec![Value::Boolean(true)]);
    office.call("never", vec![Value::Boolean(false)]);
    office.call("who", vec!["I am ".into()]);
    office.call("whose", vec![]);
    assert_eq!(
        office.answers(),
        [
            "now: \"hello\"",
            "now: bad-arguments: `Desk.now`: `text`: invalid type: integer `3`, expected a string",
            "gone: unknown-method: `Desk` has no method `gone`",
            "never: closed: come back tomorrow",
            "never: internal: internal error",
            "who: \"I am Some(\\\"moshez\\\") 3s\"",
            "whose: \"Some(\\\"moshez\\\")\"",
        ]
    );
    assert_eq!(office.calls.in_flight(), 0);
}

#[test]
fn what_waits_is_answered_once_by_its_result_or_its_deadline() {
    let office = Office::new();
    office.call("later", vec![]);
    office.call("later", vec![]);
    office.call("now", vec!["third".into()]);
    let busy = "now: busy: 2 calls wait for their results, and no more may";
    assert_eq!(office.answers(), [busy]);
    let first = office.clerk.waiting.borrow_mut().remove(0);
    first.resolve("done".into());
    office.table.advance(Duration::ZERO);
    assert_eq!(office.answers(), ["later: \"done\""]);
    office.table.advance(Duration::from_secs(4));
    assert_eq!(office.answers(), ["later: deadline: no result in time"]);
    assert_eq!(*office.clerk.cancelled.borrow(), 1, "the late one");
    office.clerk.waiting.borrow_mut().clear();
    office.table.advance(Duration::from_secs(9));
    assert_eq!(office.answers(), [""; 0]);
    assert_eq!(office.calls.in_flight(), 0);
}

#[test]
fn with_the_connection_calls_end_silently() {
    let Office {
        table,
        clerk,
        calls,
        answers,
    } = Office::new();
    let office = Office {
        table,
        clerk: Rc::clone(&clerk),
        calls,
        answers: Rc::clone(&answers),
    };
    office.call("later", vec![]);
    let Office { table, calls, .. } = office;
    drop(calls);
    assert_eq!(*clerk.cancelled.borrow(), 1);
    for resolver in clerk.waiting.take() {
        resolver.resolve("too late".into());
    }
    table.advance(Duration::from_secs(9));
    assert_eq!(answers.take(), [""; 0]);
}
