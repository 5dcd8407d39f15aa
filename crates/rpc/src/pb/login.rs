//! Who may call: the challenge of Twisted's PB, and what is asked about its answer. Keeps no passwords.
//!
//! `login(user)` of the root object gives a challenge of 16 bytes and a challenger; its `respond(answer, mind)`, with the
//! MD5 digest of the MD5 digest of the password and the challenge, gives the avatar. `loginAnonymous(mind)` does so at
//! once. Minds (objects of the client's) are let go. A challenger may be answered once.

use super::broker::{Broker, Local, Reply};
use crate::{
    arguments::Arguments,
    calls::Calls,
    cred::{Credentials, Portal, Session, same},
    fault::{self, Fault},
    object::{CallContext, Object},
    value::Value,
};
use md5::{Digest, Md5};
use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    fmt,
    rc::Rc,
};
use tress_core::{Canceller, Deferred, Failure, error::TimedOut, wording::quoted};

/// Logins of one connection that wait for their results.
const LOGINS_AT_ONCE: usize = 8;

/// What somebody logs in with.
#[derive(Debug)]
pub enum PbCredentials {
    /// Nothing.
    Anonymous,
    /// The answer to a challenge.
    Response(PbResponse),
}

/// The answer to a challenge, which whoever knows a password can check. Twisted's `IUsernameHashedPassword`.
pub struct PbResponse {
    user: String,
    challenge: [u8; 16],
    response: Vec<u8>,
}

impl PbResponse {
    /// Who logs in, as the client says.
    #[must_use]
    pub fn user(&self) -> &str {
        &self.user
    }

    /// Whether the client has this password.
    #[must_use]
    pub fn is(&self, password: &[u8]) -> bool {
        self.is_digest(&Md5::digest(password).into())
    }

    /// Whether the client has the password of this MD5 digest.
    #[must_use]
    pub fn is_digest(&self, digest: &[u8; 16]) -> bool {
        same(&respond_digest(digest, &self.challenge), &self.response)
    }
}

/// What the owner of a password answers to a challenge.
pub(super) fn respond(password: &[u8], challenge: &[u8]) -> [u8; 16] {
    respond_digest(&Md5::digest(password).into(), challenge)
}

fn respond_digest(digest: &[u8; 16], challenge: &[u8]) -> [u8; 16] {
    Md5::new()
        .chain_update(digest)
        .chain_update(challenge)
        .finalize()
        .into()
}

/// Who decides: who has logged in to what, or why not, as of [`PbFactory::login`](super::PbFactory::login).
pub(super) type Decide = dyn Fn(&CallContext, PbCredentials) -> Deferred<Session>;

/// Has a portal decide.
pub(super) fn ask(portal: Portal, object: Object) -> Rc<Decide> {
    Rc::new(move |context, shown| {
        let credentials = match shown {
            PbCredentials::Anonymous => Credentials::Anonymous,
            PbCredentials::Response(response) => Credentials::Challenge {
                user: response.user.clone(),
                answers: Rc::new(move |password| response.is(password.as_bytes())),
            },
        };
        portal.login(&context.reactor, credentials, &object)
    })
}

/// The logins of one connection.
pub(super) struct Login {
    decide: Rc<Decide>,
    last: Cell<u64>,
    /// None when nobody logs in any more.
    waiting: RefCell<Option<BTreeMap<u64, Option<Canceller>>>>,
}

impl Login {
    pub(super) fn new(decide: &Rc<Decide>) -> Self {
        Self {
            decide: Rc::clone(decide),
            last: Cell::new(0),
            waiting: RefCell::new(Some(BTreeMap::new())),
        }
    }

    /// Cancels what waits; nobody logs in after this.
    pub(super) fn end(&self) {
        let waiting = self.waiting.take().into_iter().flatten();
        waiting
            .filter_map(|(_, login)| login)
            .for_each(|login| login.cancel());
    }

    /// How many wait; none when nobody logs in any more.
    fn waiting(&self) -> Option<usize> {
        self.waiting.borrow().as_ref().map(BTreeMap::len)
    }

    /// Enters one that waits.
    fn waits(&self, canceller: Option<Canceller>) -> u64 {
        let id = self.last.get() + 1;
        self.last.set(id);
        if let Some(waiting) = &mut *self.waiting.borrow_mut() {
            waiting.insert(id, canceller);
        }
        id
    }

    /// Whether that one waited until now.
    fn decided(&self, id: u64) -> bool {
        let mut waiting = self.waiting.borrow_mut();
        let waited = waiting.as_mut().and_then(|waiting| waiting.remove(&id));
        waited.is_some()
    }
}

/// What waits for the answer to a challenge.
pub(super) struct Challenger {
    user: String,
    challenge: [u8; 16],
    answered: Cell<bool>,
}

impl Broker {
    /// `login(user)` and `loginAnonymous(mind)`.
    pub(super) fn portal_called(
        self: &Rc<Self>,
        number: Option<i128>,
        method: &str,
        arguments: Arguments,
    ) {
        let challenge = match method {
            "login" => self.challenge(arguments),
            "loginAnonymous" => match taken(arguments, ["mind"]) {
                Ok([_mind]) => return self.log_in(number, PbCredentials::Anonymous),
                Err(fault) => Err(fault),
            },
            _ => Err(unknown(method)),
        };
        self.answer(number, challenge);
    }

    fn challenge(&self, arguments: Arguments) -> Result<Reply, Fault> {
        let [user] = taken(arguments, ["username"])?;
        let user = match user {
            Value::String(user) => Some(user),
            Value::Bytes(user) => String::from_utf8(user).ok(),
            _ => None,
        };
        let user = user.ok_or_else(|| bad("the name of a user"))?;
        let context = self.context().ok_or_else(|| bad("a connection"))?;
        let mut challenge = [0; 16];
        for part in challenge.chunks_exact_mut(8) {
            part.copy_from_slice(&context.reactor.entropy().to_le_bytes());
        }
        let challenger = Local::Challenger(Challenger {
            user,
            challenge,
            answered: Cell::new(false),
        });
        Ok(Reply::Challenge(challenge, self.expose(challenger)?))
    }

    /// `respond(response, mind)`.
    pub(super) fn challenger_called(
        self: &Rc<Self>,
        challenger: &Challenger,
        number: Option<i128>,
        method: &str,
        arguments: Arguments,
    ) {
        if method != "respond" {
            return self.answer(number, Err(unknown(method)));
        }
        let response = match taken(arguments, ["response", "mind"]) {
            Ok([Value::Bytes(response), _mind]) => response,
            Ok(_) => return self.answer(number, Err(bad("a response in bytes"))),
            Err(fault) => return self.answer(number, Err(fault)),
        };
        if challenger.answered.replace(true) {
            let fault = Fault::new(fault::UNAUTHORIZED, "the challenge was answered before");
            return self.answer(number, Err(fault));
        }
        let response = PbResponse {
            user: challenger.user.clone(),
            challenge: challenger.challenge,
            response,
        };
        self.log_in(number, PbCredentials::Response(response));
    }

    fn log_in(self: &Rc<Self>, number: Option<i128>, credentials: PbCredentials) {
        let (Some(login), Some(context)) = (&self.login, self.context()) else {
            return; // the connection has ended
        };
        let Some(waiting) = login.waiting() else {
            return;
        };
        if waiting >= LOGINS_AT_ONCE {
            let message = format!("{LOGINS_AT_ONCE} logins wait, and no more may");
            return self.answer(number, Err(Fault::new(fault::BUSY, message)));
        }
        let after = self.limits.call_deadline;
        let deadline = Some(context.reactor.now() + after);
        let context = CallContext {
            deadline,
            ..context
        };
        let asked = (login.decide)(&context, credentials).add_timeout(&context.reactor, after);
        let asked = match asked.try_result() {
            Ok(result) => return self.logged_in(number, result),
            Err(asked) => asked,
        };
        let id = login.waits(asked.canceller());
        let broker = Rc::downgrade(self);
        let told = asked.add_both(move |result| {
            let Some(broker) = broker.upgrade() else {
                return;
            };
            let login = broker.login.as_ref();
            if login.is_some_and(|login| login.decided(id)) {
                broker.logged_in(number, result);
            }
        });
        told.detach();
    }

    fn logged_in(&self, number: Option<i128>, result: Result<Session, Failure>) {
        if self.ended().is_some() {
            return; // and the session ends with it
        }
        let reply = match result {
            Ok(session) => {
                let calls = Rc::new(Calls::new(session.object(), self.limits));
                let avatar = Local::Object {
                    calls,
                    session: Some(session),
                };
                self.expose(avatar).map(Reply::Object)
            }
            Err(late) if late.check::<TimedOut>().is_some() => {
                Err(Fault::new(fault::DEADLINE, "nobody decided in time"))
            }
            Err(failure) => Err(Fault::told(&failure, format_args!("pb: a login"))),
        };
        self.answer(number, reply);
    }
}

/// These arguments and no others, by place or by name.
fn taken<const N: usize>(arguments: Arguments, names: [&str; N]) -> Result<[Value; N], Fault> {
    let Arguments { positional, named } = arguments;
    let mut values: Vec<Option<Value>> = positional.into_iter().map(Some).collect();
    if values.len() > N {
        return Err(bad(&format!("at most {N} arguments")));
    }
    values.resize(N, None);
    for (name, value) in named {
        let place = names.iter().position(|known| *known == name);
        match place.map(|place| values[place].replace(value)) {
            Some(None) => {}
            _ => return Err(bad(&format!("no other argument {}", quoted(&name)))),
        }
    }
    let values: Option<Vec<Value>> = values.into_iter().collect();
    let values = values.and_then(|values| values.try_into().ok());
    values.ok_or_else(|| bad(&format!("{N} arguments")))
}

fn bad(expected: &str) -> Fault {
    Fault::new(fault::BAD_ARGUMENTS, format_args!("expected {expected}"))
}

fn unknown(method: &str) -> Fault {
    let message = format_args!("expected a login, found {}", quoted(method));
    Fault::new(fault::UNKNOWN_METHOD, message)
}

impl fmt::Debug for PbResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PbResponse({})", quoted(&self.user))
    }
}
