//! Who may call: the challenge of Twisted's PB, and what is asked about its answer. Keeps no passwords.
//!
//! `login(user)` of the root object gives a challenge of 16 bytes and a challenger; its `respond(answer, mind)`, with the
//! MD5 digest of the MD5 digest of the password and the challenge, gives the avatar. `loginAnonymous(mind)` does so at
//! once. Minds (objects of the client's) are let go. A challenger may be answered once. What fails is said after
//! `login_delay`, and `login_attempts` of them close the connection: Twisted leaves both to whoever checks.

use super::{
    broker::{Broker, Local, Reply},
    referenceable::Waits,
    value::{PbArguments, PbValue},
};
use crate::{
    calls::Calls,
    cred::{Credentials, Portal, Session, same},
    fault::{self, Fault},
    object::{CallContext, Object},
};
use md5::{Digest, Md5};
use std::{cell::Cell, fmt, rc::Rc};
use tress_core::{Deferred, Failure, error::TimedOut, wording::quoted};

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
    waits: Rc<Waits>,
    /// Logins that failed.
    failed: Cell<usize>,
}

impl Login {
    pub(super) fn new(decide: &Rc<Decide>) -> Self {
        Self {
            decide: Rc::clone(decide),
            waits: Rc::default(),
            failed: Cell::default(),
        }
    }

    /// Cancels what waits.
    pub(super) fn end(&self) {
        self.waits.end();
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
        arguments: PbArguments,
    ) {
        let challenge = match method {
            "login" => self.challenge(arguments),
            "loginAnonymous" => match arguments.take(["mind"]) {
                Ok([_mind]) => return self.log_in(number, PbCredentials::Anonymous),
                Err(fault) => Err(fault),
            },
            _ => Err(unknown(method)),
        };
        self.answer(number, challenge);
    }

    fn challenge(&self, arguments: PbArguments) -> Result<Reply, Fault> {
        let [user] = arguments.take(["username"])?;
        let user = match user {
            PbValue::String(user) => Some(user),
            PbValue::Bytes(user) => String::from_utf8(user).ok(),
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
        arguments: PbArguments,
    ) {
        if method != "respond" {
            return self.answer(number, Err(unknown(method)));
        }
        let response = match arguments.take(["response", "mind"]) {
            Ok([PbValue::Bytes(response), _mind]) => response,
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
        // Each of those that wait may fail.
        let may_fail = self
            .limits
            .login_attempts
            .saturating_sub(login.failed.get());
        let most = LOGINS_AT_ONCE.min(may_fail);
        if login.waits.count() >= most {
            let message = format!("{most} logins wait, and no more may");
            return self.answer(number, Err(Fault::new(fault::BUSY, message)));
        }
        let after = self.limits.call_deadline;
        let deadline = Some(context.reactor.now() + after);
        let context = CallContext {
            deadline,
            ..context
        };
        let asked = (login.decide)(&context, credentials).add_timeout(&context.reactor, after);
        let (reactor, delay) = (context.reactor.downgrade(), self.limits.login_delay);
        let asked = asked.add_errback(move |failure| match reactor.upgrade() {
            Some(reactor) => reactor.defer_later(delay, move || Deferred::fail(failure)),
            None => Deferred::fail(failure),
        });
        let broker = Rc::downgrade(self);
        login.waits.on(asked, move |result| {
            if let Some(broker) = broker.upgrade() {
                broker.logged_in(number, result);
            }
        });
    }

    fn logged_in(&self, number: Option<i128>, result: Result<Session, Failure>) {
        let failed = result.is_err();
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
        if failed {
            self.login_failed();
        }
    }

    fn login_failed(&self) {
        let Some(login) = &self.login else { return };
        let failed = login.failed.get() + 1;
        login.failed.set(failed);
        if let Some(context) = self.context() {
            tracing::info!(target: "tress", "{}: login {failed} failed", context.peer);
        }
        if failed >= self.limits.login_attempts {
            login.end();
            self.lose_connection();
        }
    }
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
