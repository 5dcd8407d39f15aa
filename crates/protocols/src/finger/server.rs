//! The finger protocol (RFC 1288), server side: one line in, the answer out, close. Keeps no status.

use super::{
    MAX_BYTES,
    forward::{self, Forwarding},
    interface::{DynFinger, Finger, FingerClient},
    query::{Query, parse, push_line},
};
use std::{
    fmt,
    future::{Future, poll_fn},
    rc::Rc,
    task::Poll,
};
use tress_core::{
    Address, Bytes, Canceller, Deferred, Factory, Failure, Result, Transport,
    escape::Escaped,
    framing::{Delimiter, LineOptions, LineReceiver, LineTransport, Lines},
};
use tress_rpc::CallContext;

const NO_SUCH_USER: &str = "No such user";
const INTERNAL_ERROR: &str = "Internal error in server";
const FORWARDING_DENIED: &str = "Finger forwarding service denied";

/// Users of a list that are asked for before other connections have their turn.
const USERS_AT_ONCE: usize = 256;

/// What an operator decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FingerOptions {
    /// Whether `user@host` is asked of that host, or denied.
    pub forwarding: bool,
    /// The port of the other host's finger service.
    pub forwarding_port: u16,
}

impl Default for FingerOptions {
    fn default() -> Self {
        Self {
            forwarding: false,
            forwarding_port: 79,
        }
    }
}

/// Makes a [`FingerProtocol`] for each connection.
pub struct FingerFactory {
    finger: Rc<dyn DynFinger>,
    options: FingerOptions,
}

impl FingerFactory {
    /// Answers from this object.
    #[must_use]
    pub fn new(finger: Rc<dyn DynFinger>, options: FingerOptions) -> Self {
        Self { finger, options }
    }
}

#[diagnostic::do_not_recommend]
impl Factory for FingerFactory {
    type Protocol = Lines<FingerProtocol>;

    fn build_protocol(&mut self, _peer: &Address) -> Option<Lines<FingerProtocol>> {
        let finger = Rc::clone(&self.finger);
        Some(FingerProtocol::new(finger, self.options))
    }
}

/// One finger client. The query must arrive within the limit `handshake`.
pub struct FingerProtocol {
    finger: Rc<dyn DynFinger>,
    options: FingerOptions,
    state: State,
}

enum State {
    /// The query has not come yet.
    Query,
    /// The answer is on its way; what to cancel if the client leaves.
    Answering(Option<Canceller>),
    /// Another host answers.
    Forwarding(Forwarding),
    /// All is said.
    Done,
}

impl FingerProtocol {
    /// Answers from this object; in its framing, for it is of no use without.
    #[must_use]
    pub fn new(finger: Rc<dyn DynFinger>, options: FingerOptions) -> Lines<Self> {
        let receiver = Self {
            finger,
            options,
            state: State::Query,
        };
        let lines = LineOptions {
            delimiter: Delimiter::Either,
            max_length: Some(MAX_BYTES),
        };
        Lines::with(receiver, lines)
    }

    fn answer(&mut self, transport: &Transport, line: &[u8]) -> Result {
        let finger = FingerClient::new(Rc::clone(&self.finger), CallContext::of(transport)?);
        self.state = match parse(line) {
            Query::Unprintable => say(transport, NO_SUCH_USER),
            Query::Forward { .. } if !self.options.forwarding => say(transport, FORWARDING_DENIED),
            Query::Forward { query, host } => {
                let port = self.options.forwarding_port;
                State::Forwarding(forward::start(transport, &query, &host, port)?)
            }
            Query::User(name) => say_later(transport, finger.user(name).map(one)),
            Query::Everybody => {
                let reactor = transport.reactor()?;
                say_later(transport, reactor.spawn(everybody(finger)))
            }
        };
        Ok(())
    }
}

#[diagnostic::do_not_recommend]
impl LineReceiver for FingerProtocol {
    fn connection_made(&mut self, transport: &LineTransport) -> Result {
        transport.start_handshake();
        Ok(())
    }

    /// What follows the first line is ignored.
    fn line_received(&mut self, transport: &LineTransport, line: &[u8]) -> Result {
        match self.state {
            State::Query => self.answer(transport, line),
            State::Answering(_) | State::Forwarding(_) | State::Done => Ok(()),
        }
    }

    fn line_length_exceeded(&mut self, transport: &LineTransport, line: &[u8]) -> Result {
        if let State::Query = self.state {
            let (peer, line) = (transport.peer(), Escaped(line));
            tracing::info!(target: "tress", "finger: the query of {peer} is too long: {line}");
            self.state = State::Done;
            transport.lose_connection();
        }
        Ok(())
    }

    /// Clients may close their side after the query and still want the answer.
    fn read_closed(&mut self, transport: &LineTransport) -> Result {
        if let State::Query = self.state {
            self.state = State::Done;
            transport.lose_connection();
        }
        Ok(())
    }

    fn write_paused(&mut self, _transport: &LineTransport) -> Result {
        if let State::Forwarding(forwarding) = &self.state {
            forwarding.pause();
        }
        Ok(())
    }

    fn write_resumed(&mut self, _transport: &LineTransport) -> Result {
        if let State::Forwarding(forwarding) = &self.state {
            forwarding.resume();
        }
        Ok(())
    }

    fn connection_lost(&mut self, _reason: Failure) {
        match std::mem::replace(&mut self.state, State::Done) {
            State::Answering(Some(answer)) => answer.cancel(),
            State::Forwarding(forwarding) => forwarding.stop(),
            State::Query | State::Answering(None) | State::Done => {}
        }
    }
}

/// Sends this line and closes.
fn say(transport: &Transport, text: &str) -> State {
    transport.write_sequence([text.as_bytes(), b"\r\n"]);
    transport.lose_connection();
    State::Done
}

/// Sends the lines when they are there, and closes.
fn say_later(transport: &Transport, lines: Deferred<String>) -> State {
    let client = transport.clone();
    let said = lines.add_both(move |lines| {
        if client.is_closing() {
            return; // the client has left, and that cancelled the call
        }
        match lines {
            Ok(lines) => client.write_bytes(Bytes::from(lines)),
            Err(failure) => {
                let peer = client.peer();
                tracing::error!(target: "tress", "finger: a query of {peer} failed: {failure:?}");
                client.write_sequence([INTERNAL_ERROR.as_bytes(), b"\r\n"]);
            }
        }
        client.lose_connection();
    });
    let canceller = said.canceller();
    said.detach();
    State::Answering(canceller)
}

fn one(status: Option<String>) -> String {
    let mut answer = String::new();
    push_line(&mut answer, status.as_deref().unwrap_or(NO_SUCH_USER));
    answer
}

/// A line for each user. Who goes away meanwhile has none. A long list lets the loop turn now and then.
async fn everybody(finger: FingerClient) -> Result<String> {
    let mut answer = String::new();
    for (index, name) in finger.users().await?.into_iter().enumerate() {
        if index > 0 && index.is_multiple_of(USERS_AT_ONCE) {
            next_turn().await;
        }
        if let Some(status) = finger.user(name.clone()).await? {
            push_line(&mut answer, &format!("{name}: {status}"));
        }
    }
    Ok(answer)
}

/// Ready when the loop comes back to the task.
fn next_turn() -> impl Future<Output = ()> {
    let mut asked = false;
    poll_fn(move |context| {
        if asked {
            return Poll::Ready(());
        }
        asked = true;
        context.waker().wake_by_ref();
        Poll::Pending
    })
}

impl fmt::Debug for FingerFactory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("FingerFactory").field(&self.options).finish()
    }
}

impl fmt::Debug for FingerProtocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match &self.state {
            State::Query => "FingerProtocol(waits for the query)",
            State::Answering(_) => "FingerProtocol(waits for the answer)",
            State::Forwarding(_) => "FingerProtocol(forwards)",
            State::Done => "FingerProtocol(done)",
        })
    }
}
