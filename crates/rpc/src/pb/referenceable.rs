//! `Referenceable`: what is called with everything that PB can say; and what waits for the end of something. Sends nothing.

use super::value::{PbArguments, PbValue};
use crate::object::CallContext;
use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    rc::Rc,
};
use tress_core::{Canceller, Deferred};

/// An object that peers call with everything that PB can say, objects among it: the names of its methods are looked up by
/// itself, and no interface describes it. Twisted's class of that name, whose methods are called `remote_…`.
///
/// It stands at the root of a [`PbFactory`](super::PbFactory), or is passed in a call or an answer as a
/// [`PbValue::Object`]; a peer that holds it may call it until it gives it back. Whatever it may be called with, it takes:
/// it checks its arguments itself.
///
/// ```
/// use std::rc::Rc;
/// use tress_core::Deferred;
/// use tress_rpc::{CallContext, Fault, fault, pb::{PbArguments, PbValue, Referenceable}};
///
/// /// Calls `hello` of whatever it is given.
/// struct Greeter;
///
/// impl Referenceable for Greeter {
///     fn remote_message_received(
///         self: Rc<Self>,
///         context: &CallContext,
///         method: &str,
///         arguments: PbArguments,
///     ) -> Deferred<PbValue> {
///         if method != "greet" {
///             return Deferred::fail(Fault::new(fault::UNKNOWN_METHOD, "greeters greet"));
///         }
///         match arguments.take(["whom"]) {
///             Ok([PbValue::Reference(whom)]) => whom.call_with(context, "hello", []),
///             Ok([other]) => Deferred::succeed(other),
///             Err(fault) => Deferred::fail(fault),
///         }
///     }
/// }
/// ```
pub trait Referenceable: 'static {
    /// Makes a call. It is cancelled when its deadline has come, when the peer gives the object back, and when the
    /// connection ends. A [`Fault`](crate::Fault) is told to the peer, every other failure to the log only.
    fn remote_message_received(
        self: Rc<Self>,
        context: &CallContext,
        method: &str,
        arguments: PbArguments,
    ) -> Deferred<PbValue>;
}

/// What waits, until it is told or all of it ends.
#[derive(Default)]
pub(super) struct Waits {
    last: Cell<u64>,
    waiting: RefCell<BTreeMap<u64, Option<Canceller>>>,
}

impl Waits {
    /// How many wait.
    pub(super) fn count(&self) -> usize {
        self.waiting.borrow().len()
    }

    /// Tells its end, now or later, unless this has ended before.
    pub(super) fn on<T: 'static>(
        self: &Rc<Self>,
        asked: Deferred<T>,
        told: impl FnOnce(tress_core::Result<T>) + 'static,
    ) {
        let asked = match asked.try_result() {
            Ok(result) => return told(result),
            Err(asked) => asked,
        };
        let id = self.last.get() + 1;
        self.last.set(id);
        self.waiting.borrow_mut().insert(id, asked.canceller());
        let waits = Rc::downgrade(self);
        let ended = asked.add_both(move |result| {
            let waited = waits
                .upgrade()
                .and_then(|waits| waits.waiting.borrow_mut().remove(&id));
            if waited.is_some() {
                told(result);
            }
        });
        ended.detach();
    }

    /// Cancels what waits; nobody is told.
    pub(super) fn end(&self) {
        let waiting = self.waiting.take().into_values();
        waiting.flatten().for_each(|asked| asked.cancel());
    }
}

impl Drop for Waits {
    fn drop(&mut self) {
        self.end();
    }
}
