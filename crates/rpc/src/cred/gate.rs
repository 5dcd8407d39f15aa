//! The logins of one connection, for protocols on which somebody says who they are and then calls. Knows no protocol: each
//! has its own words for a login, and for a call that comes before it.

use super::{Credentials, Portal, Session, Sort, Unauthorized};
use crate::{
    arguments::Arguments,
    calls::{Calls, ExposureLimits},
    descriptor::Argument,
    fault::{self, Fault},
    kind::Type,
    object::{CallContext, Object},
    value::Value,
};
use std::{
    cell::{Cell, RefCell},
    fmt,
    rc::{Rc, Weak},
};
use tress_core::{
    Canceller, DelayedCall, Failure, Result, Transport, error::TimedOut, wording::quoted,
};

/// What a login takes, wherever arguments have names: a name and a password, or a token.
pub(crate) const LOGIN_ARGUMENTS: &[Argument] = &[
    argument("username"),
    argument("password"),
    argument("token"),
];

const fn argument(name: &'static str) -> Argument {
    Argument {
        name,
        ty: Type::of::<Option<String>>(),
        limit: None,
    }
}

impl Credentials {
    /// What somebody shows who logs in with these arguments: a name and a password, or a token alone, by place; or
    /// `username` and `password`, or `token`, by name.
    ///
    /// # Errors
    /// They are something else.
    pub fn of_arguments(arguments: Arguments) -> Result<Self, Fault> {
        let text = |value: Value| match value {
            Value::String(text) => Some(text),
            _ => None,
        };
        let Arguments { positional, named } = arguments;
        let mut texts = [None, None, None];
        let mut is_good = positional.is_empty() || named.is_empty();
        let places = match positional.len() {
            1 => &[2_usize][..],
            _ => &[0, 1],
        };
        is_good &= positional.len() <= places.len();
        let named = named.into_iter().map(|(name, value)| {
            let place = LOGIN_ARGUMENTS.iter().position(|known| known.name == name);
            (place, value)
        });
        let placed = places.iter().copied().map(Some).zip(positional);
        for (place, value) in placed.chain(named) {
            let slot = place.and_then(|place| texts.get_mut(place));
            match (slot, value) {
                (Some(_), Value::Nothing) => {}
                (Some(slot @ None), value) => {
                    *slot = text(value);
                    is_good &= slot.is_some();
                }
                _ => is_good = false,
            }
        }
        match texts {
            [Some(user), Some(password), None] if is_good => Ok(Self::Password { user, password }),
            [None, None, Some(token)] if is_good => Ok(Self::Token(token)),
            _ => Err(Fault::new(
                fault::BAD_ARGUMENTS,
                "a login takes `username` and `password`, or `token`",
            )),
        }
    }

    /// The same the other way round, by name.
    ///
    /// # Errors
    /// They are neither a password nor a token.
    pub fn into_arguments(self) -> Result<Arguments, Fault> {
        let named = |name: &str, value: String| (name.to_owned(), Value::String(value));
        match self {
            Self::Password { user, password } => {
                Ok(vec![named("username", user), named("password", password)].into())
            }
            Self::Token(token) => Ok(vec![named("token", token)].into()),
            Self::Anonymous | Self::Challenge { .. } => Err(Fault::new(
                fault::BAD_ARGUMENTS,
                "expected a password or a token",
            )),
        }
    }
}

/// The calls of one connection, and the logins before them. Dropping it, with the connection, ends a login that waits, which is
/// not answered, and the sessions.
///
/// A protocol makes its calls of what [`Gate::enter`] gives. Where [`Gate::has_logins`], it has a word for
/// [`Gate::login`], and reads nothing while [`Gate::is_asking`], so that who sends calls after the login without waiting
/// has logged in when they are read.
pub struct Gate(Rc<Inner>);

struct Inner {
    object: Object,
    limits: ExposureLimits,
    portal: Option<Portal>,
    /// What is called by who has not logged in, if they may.
    anybody: RefCell<Option<Rc<Entered>>>,
    state: RefCell<State>,
    failed: Cell<usize>,
    /// Closes the connection of somebody who does not log in.
    late: RefCell<Option<DelayedCall>>,
}

enum State {
    /// Nobody has logged in.
    Out,
    /// The portal is asked.
    Asking(Option<Canceller>),
    /// It was wrong, which is said later.
    Wrong(DelayedCall),
    In(Rc<Entered>),
    /// Nobody logs in any more.
    Closed,
}

/// Somebody who may call, and their calls.
#[derive(Debug)]
pub struct Entered {
    // In this order: the calls end before the session does.
    calls: Calls,
    session: Session,
}

impl Entered {
    fn new(session: Session, limits: ExposureLimits) -> Rc<Self> {
        let calls = Calls::new(session.object(), limits);
        Rc::new(Self { calls, session })
    }

    /// The calls of what they call.
    #[must_use]
    pub fn calls(&self) -> &Calls {
        &self.calls
    }

    /// The same call as theirs.
    #[must_use]
    pub fn context(&self, context: CallContext) -> CallContext {
        let avatar = self.session.avatar().clone();
        CallContext { avatar, ..context }
    }
}

impl Gate {
    /// For those who call this object, or what the realm of the portal gives them in its place. Without a portal that is
    /// everybody, and there are no logins. Of the limits `login_attempts`, `login_deadline`, `login_delay` and, for the
    /// portal's answer, `call_deadline` are kept.
    #[must_use]
    pub fn new(object: &Object, limits: ExposureLimits, portal: Option<&Portal>) -> Self {
        let open = || Entered::new(Session::new(None, object), limits);
        Self(Rc::new(Inner {
            object: object.clone(),
            limits,
            portal: portal.cloned(),
            anybody: RefCell::new(portal.is_none().then(open)),
            state: RefCell::new(State::Out),
            failed: Cell::new(0),
            late: RefCell::default(),
        }))
    }

    /// What is allowed.
    #[must_use]
    pub fn limits(&self) -> &ExposureLimits {
        &self.0.limits
    }

    /// Whether there is anybody to log in as.
    #[must_use]
    pub fn has_logins(&self) -> bool {
        self.0.portal.is_some()
    }

    /// The connection is there: somebody who must log in has `login_deadline` for that.
    ///
    /// # Errors
    /// The reactor has been dropped.
    pub fn connection_made(&self, transport: &Transport) -> Result {
        let Some(portal) = &self.0.portal else {
            return Ok(());
        };
        let reactor = transport.reactor()?;
        let (weak, client) = (Rc::downgrade(&self.0), transport.clone());
        if portal.takes(Sort::Anonymous) {
            let asked = portal.login(&reactor, Credentials::Anonymous, &self.0.object);
            let asked = asked.add_timeout(&reactor, self.0.limits.call_deadline);
            transport.pause_producing();
            asked
                .add_both(move |result| anybody(&weak, &client, result))
                .detach();
            return Ok(());
        }
        let late = reactor.call_later(self.0.limits.login_deadline, move || {
            if let Some(inner) = weak.upgrade() {
                tracing::info!(target: "tress", "{}: nobody has logged in in time", client.peer());
                drop(inner.state.replace(State::Closed));
                client.lose_connection();
            }
        });
        self.0.late.replace(Some(late));
        Ok(())
    }

    /// Who calls: whoever has logged in, or anybody where they need not.
    ///
    /// # Errors
    /// [`fault::UNAUTHORIZED`]: they have to log in first.
    pub fn enter(&self) -> Result<Rc<Entered>, Fault> {
        if let State::In(entered) = &*self.0.state.borrow() {
            return Ok(Rc::clone(entered));
        }
        let anybody = self.0.anybody.borrow().clone();
        anybody.ok_or_else(|| Fault::new(fault::UNAUTHORIZED, "log in first"))
    }

    /// Whether a login waits for its answer.
    #[must_use]
    pub fn is_asking(&self) -> bool {
        matches!(&*self.0.state.borrow(), State::Asking(_) | State::Wrong(_))
    }

    /// Logs somebody in who shows this. `answer` is called once, at once or later, and never after this has been dropped;
    /// after the last that may fail the connection is closed.
    pub fn login(
        &self,
        transport: &Transport,
        arguments: Arguments,
        answer: impl FnOnce(Result<(), Fault>) + 'static,
    ) {
        let inner = &self.0;
        let Some(portal) = &inner.portal else {
            return answer(Err(Fault::new(
                fault::UNKNOWN_METHOD,
                "there are no logins",
            )));
        };
        let refused = match &*inner.state.borrow() {
            State::Out => None,
            State::Asking(_) | State::Wrong(_) => Some((fault::BUSY, "a login is under way")),
            State::In(_) => Some((fault::UNAUTHORIZED, "somebody has logged in before")),
            State::Closed => Some((fault::UNAUTHORIZED, "no more logins")),
        };
        if let Some((code, message)) = refused {
            return answer(Err(Fault::new(code, message)));
        }
        let credentials = match Credentials::of_arguments(arguments) {
            Ok(credentials) => credentials,
            Err(fault) => return answer(Err(fault)),
        };
        let Ok(reactor) = transport.reactor() else {
            return; // and nobody to tell
        };
        let user = match &credentials {
            Credentials::Password { user, .. } => quoted(user),
            _ => "a token".to_owned(),
        };
        let asked = portal.login(&reactor, credentials, &inner.object);
        let asked = asked.add_timeout(&reactor, inner.limits.call_deadline);
        inner.state.replace(State::Asking(asked.canceller()));
        let (weak, client) = (Rc::downgrade(inner), transport.clone());
        let told = asked.add_both(move |result| done(&weak, client, &user, result, answer));
        told.detach();
    }
}

/// Those who need not log in are let in, or not.
fn anybody(gate: &Weak<Inner>, transport: &Transport, result: Result<Session>) {
    let Some(inner) = gate.upgrade() else {
        return;
    };
    match result {
        Ok(session) => {
            let entered = Entered::new(session, inner.limits);
            inner.anybody.replace(Some(entered));
            transport.resume_producing();
        }
        Err(failure) => {
            tracing::warn!(target: "tress", "nobody can call without a login: {failure}");
            transport.lose_connection();
        }
    }
}

/// The portal has said something.
fn done(
    gate: &Weak<Inner>,
    transport: Transport,
    user: &str,
    result: Result<Session>,
    answer: impl FnOnce(Result<(), Fault>) + 'static,
) {
    let Some(inner) = gate.upgrade() else {
        return;
    };
    if !matches!(&*inner.state.borrow(), State::Asking(_)) {
        return; // it was too late
    }
    let peer = transport.peer();
    let failure = match result {
        Ok(session) => {
            tracing::debug!(target: "tress", "{peer} has logged in as {user}");
            let entered = Entered::new(session, inner.limits);
            inner.state.replace(State::In(entered));
            if let Some(late) = inner.late.take() {
                late.cancel().ok();
            }
            return answer(Ok(()));
        }
        Err(failure) => failure,
    };
    let failed = inner.failed.get() + 1;
    inner.failed.set(failed);
    if failure.check::<Unauthorized>().is_some() {
        tracing::info!(target: "tress", "{peer}: login {failed} as {user} failed");
    }
    let fault = said(&failure);
    let Ok(reactor) = transport.reactor() else {
        return;
    };
    let weak = Weak::clone(gate);
    let wrong = reactor.call_later(inner.limits.login_delay, move || {
        let Some(inner) = weak.upgrade() else {
            return;
        };
        let is_last = inner.failed.get() >= inner.limits.login_attempts;
        let next = if is_last { State::Closed } else { State::Out };
        inner.state.replace(next);
        answer(Err(fault));
        if is_last {
            transport.lose_connection();
        }
    });
    inner.state.replace(State::Wrong(wrong));
}

/// What somebody is told whose login failed so.
fn said(failure: &Failure) -> Fault {
    if failure.check::<TimedOut>().is_some() {
        return Fault::new(fault::DEADLINE, "nobody decided in time");
    }
    Fault::told(failure, format_args!("a login"))
}

impl Drop for Gate {
    fn drop(&mut self) {
        if let Some(late) = self.0.late.take() {
            late.cancel().ok();
        }
        drop(self.0.anybody.take());
        let state = self.0.state.replace(State::Closed);
        match state {
            State::Asking(Some(canceller)) => canceller.cancel(),
            State::Wrong(wrong) => drop(wrong.cancel()),
            State::Asking(None) | State::Out | State::In(_) | State::Closed => {}
        }
    }
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match &*self.0.state.borrow() {
            State::Out => "nobody",
            State::Asking(_) | State::Wrong(_) => "a login waits",
            State::In(_) => "somebody",
            State::Closed => "closed",
        };
        write!(f, "Gate({state})")
    }
}
