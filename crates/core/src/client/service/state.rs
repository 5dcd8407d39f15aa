//! The states of a `ClientService`, and what leads from one to the next. Does nothing by itself: it says what is to be
//! done, and calls nobody.
//!
//! ```text
//! New, Stopped --start--> Connecting --built--> Made --made--> Preparing --prepared--> Connected
//!                          ^  |   |               |             |   |                   |     |
//!                  its time|  |   |failed         +----lost-----+   |rejected           |lost |
//!                          |  |   v               v             |   v                   v     |
//!                         Waiting <-----------------------------+  Closing(Retry) --> Waiting |
//!                             |stop                                                           |stop
//!                             v                                                               v
//!                         Cancelling(Stop) --failed--> Stopped <--lost-- Closing(Stop) <------+
//! ```
//! Stopped in `Made` or `Preparing` it is `Closing(Stop)`, stopped in `Waiting` it is `Stopped`. Started again while
//! `Cancelling` or `Closing` for a stop, it is to `Restart`, and goes on to `Connecting` instead of `Stopped`.
//! An event that a state does not name changes nothing: it comes from what that state has already given up.

use crate::{
    deferred::Canceller,
    failure::{Failure, Result},
    reactor::DelayedCall,
    transport::{Link, Transport},
};
use std::rc::{Rc, Weak};

/// Where a service stands. Whatever is held here is weak: the loop owns the connection.
#[derive(Default)]
pub(super) enum State {
    /// It was never started: who asks for a connection waits.
    New,
    /// `None`: the attempt is just being asked for.
    Connecting(Option<Canceller>),
    /// The attempt was cancelled, and has yet to fail.
    Cancelling(Then),
    /// The protocol was built and is being told. Whatever comes of that, the end is that the connection is lost.
    Made,
    /// The connection is there, and the hook looks at it.
    Preparing(Weak<Link>, Option<Canceller>),
    /// There is a connection.
    Connected(Weak<Link>),
    /// The connection has yet to end.
    Closing(Then),
    /// The next attempt has its time. `None`: which is just being set.
    Waiting(Option<DelayedCall>),
    /// It was stopped, or gave up.
    #[default]
    Stopped,
}

/// What follows when what is open has ended.
pub(super) enum Then {
    Stop,
    Restart,
    /// The hook rejected the connection.
    Retry(Failure),
}

pub(super) enum Event {
    Start,
    Stop,
    /// A protocol was built.
    Built,
    /// The attempt has an end.
    Made(Result<Transport>),
    /// The hook has an end.
    Prepared(Result),
    /// The connection has ended, and its protocol knows.
    Lost(Failure),
    /// The time for the next attempt has come.
    Due,
    /// No more is tried, after this.
    GiveUp(Failure),
}

/// What is to be done about it, once the new state is in place.
pub(super) enum Action {
    Nothing,
    /// Somebody started it twice.
    Complain,
    Connect,
    /// The stop is complete, and it connects again.
    Restart,
    Cancel(Option<Canceller>),
    Prepare(Transport),
    /// There is a connection: tell everybody who waits for it.
    Tell(Weak<Link>),
    /// Close the connection, and cancel the hook that looks at it.
    Close(Weak<Link>, Option<Canceller>),
    /// An attempt has failed; cancel the hook.
    Failed(Failure, Option<Canceller>),
    /// A connection has ended that everybody was told of.
    Lost(Failure),
    /// It has stopped; cancel the next attempt.
    Stopped(Option<DelayedCall>),
    /// It has stopped by itself.
    GaveUp(Failure),
}

impl State {
    pub(super) fn step(self, event: Event) -> (Self, Action) {
        match event {
            Event::Start => self.start(),
            Event::Stop => self.stop(),
            Event::Built => match self {
                Self::Connecting(_) => (Self::Made, Action::Nothing),
                other => (other, Action::Nothing),
            },
            Event::Made(made) => self.made(made),
            Event::Prepared(prepared) => self.prepared(prepared),
            Event::Lost(reason) => self.lost(reason),
            Event::Due => match self {
                Self::Waiting(_) => (Self::Connecting(None), Action::Connect),
                other => (other, Action::Nothing),
            },
            Event::GiveUp(reason) => match self {
                Self::Waiting(_) => (Self::Stopped, Action::GaveUp(reason)),
                other => (other, Action::Nothing),
            },
        }
    }

    fn start(self) -> (Self, Action) {
        match self {
            Self::New | Self::Stopped => (Self::Connecting(None), Action::Connect),
            Self::Cancelling(Then::Stop) => (Self::Cancelling(Then::Restart), Action::Nothing),
            Self::Closing(Then::Stop) => (Self::Closing(Then::Restart), Action::Nothing),
            running @ (Self::Connecting(_)
            | Self::Cancelling(Then::Restart | Then::Retry(_))
            | Self::Made
            | Self::Preparing(..)
            | Self::Connected(_)
            | Self::Closing(Then::Restart | Then::Retry(_))
            | Self::Waiting(_)) => (running, Action::Complain),
        }
    }

    fn stop(self) -> (Self, Action) {
        match self {
            Self::New | Self::Stopped => (Self::Stopped, Action::Stopped(None)),
            Self::Connecting(attempt) => (Self::Cancelling(Then::Stop), Action::Cancel(attempt)),
            Self::Cancelling(_) => (Self::Cancelling(Then::Stop), Action::Nothing),
            // Its transport is not known yet: it is closed when it is.
            Self::Made | Self::Closing(_) => (Self::Closing(Then::Stop), Action::Nothing),
            Self::Preparing(link, hook) => (Self::Closing(Then::Stop), Action::Close(link, hook)),
            Self::Connected(link) => (Self::Closing(Then::Stop), Action::Close(link, None)),
            Self::Waiting(next) => (Self::Stopped, Action::Stopped(next)),
        }
    }

    fn made(self, made: Result<Transport>) -> (Self, Action) {
        match (self, made) {
            (Self::Connecting(_) | Self::Made, Ok(transport)) => {
                let link = Rc::downgrade(&transport.0);
                (Self::Preparing(link, None), Action::Prepare(transport))
            }
            (Self::Closing(then), Ok(transport)) => {
                let link = Rc::downgrade(&transport.0);
                (Self::Closing(then), Action::Close(link, None))
            }
            (Self::Connecting(_), Err(reason)) => failed(reason, None),
            (Self::Cancelling(then), Err(_)) => then.follow(),
            // It ended inside `connection_made`, after which it is lost; or the attempt is none of ours any more.
            (other, Ok(_) | Err(_)) => (other, Action::Nothing),
        }
    }

    fn prepared(self, prepared: Result) -> (Self, Action) {
        match (self, prepared) {
            (Self::Preparing(link, _), Ok(())) => {
                (Self::Connected(Weak::clone(&link)), Action::Tell(link))
            }
            (Self::Preparing(link, _), Err(reason)) => {
                let then = Then::Retry(reason);
                (Self::Closing(then), Action::Close(link, None))
            }
            (other, Ok(()) | Err(_)) => (other, Action::Nothing),
        }
    }

    fn lost(self, reason: Failure) -> (Self, Action) {
        match self {
            Self::Made => failed(reason, None),
            Self::Preparing(_, hook) => failed(reason, hook),
            Self::Connected(_) => (Self::Waiting(None), Action::Lost(reason)),
            Self::Closing(then) => then.follow(),
            // Of a connection that never got as far as to have its protocol, the attempt tells.
            other @ (Self::New
            | Self::Connecting(_)
            | Self::Cancelling(_)
            | Self::Waiting(_)
            | Self::Stopped) => (other, Action::Nothing),
        }
    }
}

fn failed(reason: Failure, hook: Option<Canceller>) -> (State, Action) {
    (State::Waiting(None), Action::Failed(reason, hook))
}

impl Then {
    fn follow(self) -> (State, Action) {
        match self {
            Self::Stop => (State::Stopped, Action::Stopped(None)),
            Self::Restart => (State::Connecting(None), Action::Restart),
            Self::Retry(reason) => failed(reason, None),
        }
    }
}
