//! What every protocol does with the calls that it reads: count them, give each a deadline, and answer it once. Knows no
//! protocol and writes nothing.
//!
//! A call that is done at once, as most are, costs neither a timer nor an entry; one that waits has both, and ends by its
//! result, by its deadline, or silently with the [`Calls`] of its connection.

use crate::{
    arguments::{Arguments, BadCall},
    fault::{self, Fault},
    object::{CallContext, Object},
    value::Value,
};
use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    fmt,
    rc::Rc,
    time::Duration,
};
use tress_core::{Canceller, DelayedCall, Result};

/// What an object that is served allows its callers. Every protocol keeps those of them that it can meet; their ranges are
/// in [`ExposureLimits::TABLE`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExposureLimits {
    /// `request_bytes`: of one request. 1 MiB by default.
    pub request_bytes: usize,
    /// `response_bytes`: of one answer; a larger one becomes the fault [`fault::TOO_LARGE`]. 16 MiB by default.
    pub response_bytes: usize,
    /// `nesting`: lists and records in each other, in a request. 32 by default.
    pub nesting: usize,
    /// `batch`: calls in one request. 100 by default.
    pub batch: usize,
    /// `calls_in_flight`: calls of one connection that wait for their results; one more fails with [`fault::BUSY`]. 1000
    /// by default.
    pub calls_in_flight: usize,
    /// `call_deadline`: how long a call may take; then it is cancelled, and fails with [`fault::DEADLINE`]. 30 s by default.
    pub call_deadline: Duration,
    /// `login_attempts`: logins of one connection that may fail; then it is closed. 3 by default.
    pub login_attempts: usize,
    /// `login_deadline`: how long a connection may take to log in, where it must; then it is closed. 60 s by default.
    pub login_deadline: Duration,
    /// `login_delay`: how long after a login that failed this is said, and nothing else is read. 1 s by default.
    pub login_delay: Duration,
}

impl Default for ExposureLimits {
    fn default() -> Self {
        Self {
            request_bytes: 1 << 20,
            response_bytes: 16 << 20,
            nesting: 32,
            batch: 100,
            calls_in_flight: 1000,
            call_deadline: Duration::from_secs(30),
            login_attempts: 3,
            login_deadline: Duration::from_secs(60),
            login_delay: Duration::from_secs(1),
        }
    }
}

/// The calls of one connection to one object. Dropping it cancels those that wait; they are not answered.
pub struct Calls {
    object: Object,
    limits: ExposureLimits,
    waiting: Rc<Waiting>,
}

#[derive(Default)]
struct Waiting {
    calls: RefCell<BTreeMap<u64, Call>>,
    last: Cell<u64>,
}

struct Call {
    canceller: Option<Canceller>,
    timeout: DelayedCall,
    answer: Answer,
}

type Answer = Box<dyn FnOnce(Result<Value, Fault>)>;

impl Calls {
    /// None yet.
    #[must_use]
    pub fn new(object: &Object, limits: ExposureLimits) -> Self {
        Self {
            object: object.clone(),
            limits,
            waiting: Rc::default(),
        }
    }

    /// The object.
    #[must_use]
    pub fn object(&self) -> &Object {
        &self.object
    }

    /// What it allows.
    #[must_use]
    pub fn limits(&self) -> &ExposureLimits {
        &self.limits
    }

    /// Calls that wait for their results.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.waiting.calls.borrow().len()
    }

    /// Makes a call; `answer` is called once, at once or later, and never after this has been dropped. What a failure says
    /// to callers is a [`Fault`]; what it does not say is logged.
    pub fn call(
        &self,
        context: &CallContext,
        method: &str,
        arguments: impl Into<Arguments>,
        answer: impl FnOnce(Result<Value, Fault>) + 'static,
    ) {
        let counts = Rc::clone(self.object.counts());
        counts.called();
        let answer = move |result: Result<Value, Fault>| {
            if let Err(fault) = &result {
                counts.failed(fault);
            }
            answer(result);
        };
        let limit = self.limits.calls_in_flight;
        if self.in_flight() >= limit {
            let message = format!("{limit} calls wait for their results, and no more may");
            return answer(Err(Fault::new(fault::BUSY, message)));
        }
        let descriptor = self.object.descriptor();
        let Some(known) = descriptor.method(method) else {
            return answer(Err((&BadCall::unknown(descriptor, method)).into()));
        };
        let deadline = context.reactor.now() + self.limits.call_deadline;
        let context = &CallContext {
            deadline: Some(context.deadline.map_or(deadline, |own| own.min(deadline))),
            ..context.clone()
        };
        let called = self.object.make(context, known, arguments.into());
        let named = (descriptor.name, known.1.name);
        let called = match called.try_result() {
            Ok(result) => return answer(told(named, result)),
            Err(called) => called,
        };
        let id = self.waiting.last.get() + 1;
        self.waiting.last.set(id);
        let call = Call {
            canceller: called.canceller(),
            timeout: self.timeout(context, id),
            answer: Box::new(answer),
        };
        self.waiting.calls.borrow_mut().insert(id, call);
        let waiting = Rc::downgrade(&self.waiting);
        let done = called.add_both(move |result| {
            let waiting = waiting.upgrade();
            let call = waiting.and_then(|waiting| waiting.calls.borrow_mut().remove(&id));
            if let Some(call) = call {
                // It has not run: then the call would be gone.
                call.timeout.cancel().ok();
                (call.answer)(told(named, result));
            }
        });
        done.detach();
    }

    /// Ends the call of that number with its deadline.
    fn timeout(&self, context: &CallContext, id: u64) -> DelayedCall {
        let waiting = Rc::downgrade(&self.waiting);
        let now = context.reactor.now();
        let left = context.deadline.unwrap_or(now).since(now);
        context.reactor.call_later(left, move || {
            let waiting = waiting.upgrade();
            let call = waiting.and_then(|waiting| waiting.calls.borrow_mut().remove(&id));
            if let Some(call) = call {
                (call.answer)(Err(Fault::new(fault::DEADLINE, "no result in time")));
                if let Some(canceller) = call.canceller {
                    canceller.cancel();
                }
            }
        })
    }
}

impl Drop for Calls {
    fn drop(&mut self) {
        for call in self.waiting.calls.take().into_values() {
            call.timeout.cancel().ok();
            if let Some(canceller) = call.canceller {
                canceller.cancel();
            }
        }
    }
}

/// What the caller is told; the log is told what the caller is not.
fn told(called: (&str, &str), result: Result<Value>) -> Result<Value, Fault> {
    let (interface, method) = called;
    result.map_err(|failure| Fault::told(&failure, format_args!("`{interface}.{method}`")))
}

impl fmt::Debug for Calls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, waiting) = (self.object.descriptor().name, self.in_flight());
        write!(f, "Calls({waiting} of {name} wait)")
    }
}
