//! What each avatar calls: realms and sessions. Knows no credentials.

use super::Avatar;
use crate::object::Object;
use std::fmt;
use tress_core::{Deferred, Reactor};

/// Gives each avatar the object that it calls. Source: Twisted's `IRealm`.
///
/// ```
/// use std::rc::Rc;
/// use tress_core::{Deferred, Reactor, Result};
/// use tress_rpc::{Object, cred::{Anonymous, Avatar, Checker, Portal, Realm, Session}, interface};
///
/// /// What is on a shelf.
/// #[interface(crate = "tress_rpc")]
/// trait Shelf {
///     /// All of it.
///     async fn list(&self) -> Result<Vec<String>>;
/// }
///
/// struct Books(&'static str, Rc<str>);
///
/// impl Shelf for Books {
///     async fn list(&self) -> Result<Vec<String>> {
///         Ok(vec![format!("{} of {}", self.0, self.1)])
///     }
/// }
///
/// /// Each has a shelf; who has no name sees everybody's.
/// struct Library;
///
/// impl Realm for Library {
///     fn request_avatar(&self, _: &Reactor, avatar: Avatar, shared: &Object) -> Deferred<Session> {
///         let shelf = match &avatar {
///             Some(name) => <dyn DynShelf>::object(Rc::new(Books("the diary", name.clone()))),
///             None => shared.clone(),
///         };
///         let session = Session::new(avatar, &shelf);
///         Deferred::succeed(session.on_logout(|| println!("somebody has left the library")))
///     }
/// }
///
/// let checkers = [Rc::new(Anonymous) as Rc<dyn Checker>];
/// let portal = Portal::new(checkers).with_realm(Rc::new(Library));
/// ```
pub trait Realm: 'static {
    /// What this avatar calls in place of `object`, which is what the exposure serves: an object of its own, or the same.
    /// Its interface must be that of `object`, from which the exposure was made. A failure is told to whoever logs in.
    fn request_avatar(
        &self,
        reactor: &Reactor,
        avatar: Avatar,
        object: &Object,
    ) -> Deferred<Session>;
}

/// The realm in which all call the same object, and which has nothing to do when they go. What a [`Portal`](super::Portal)
/// has unless it is given another.
#[derive(Clone, Copy, Debug)]
pub struct Everybody;

impl Realm for Everybody {
    fn request_avatar(
        &self,
        _reactor: &Reactor,
        avatar: Avatar,
        object: &Object,
    ) -> Deferred<Session> {
        Deferred::succeed(Session::new(avatar, object))
    }
}

/// Somebody has logged in: who, what they call, and what is done when they have gone, which is once, when this is dropped.
/// Whoever serves them keeps it until the connection has ended or they have given up what they call.
pub struct Session {
    avatar: Avatar,
    object: Object,
    logout: Option<Box<dyn FnOnce()>>,
}

impl Session {
    /// This avatar calls this object.
    #[must_use]
    pub fn new(avatar: Avatar, object: &Object) -> Self {
        Self {
            avatar,
            object: object.clone(),
            logout: None,
        }
    }

    /// The same, with something to do when it ends. It may be called while a connection ends, or inside a call.
    #[must_use]
    pub fn on_logout(mut self, logout: impl FnOnce() + 'static) -> Self {
        let before = self.logout.take();
        self.logout = Some(Box::new(move || {
            if let Some(before) = before {
                before();
            }
            logout();
        }));
        self
    }

    /// Who.
    #[must_use]
    pub fn avatar(&self) -> &Avatar {
        &self.avatar
    }

    /// What they call.
    #[must_use]
    pub fn object(&self) -> &Object {
        &self.object
    }

    /// What is called counts as calls of that one.
    pub(super) fn counted_as(&mut self, other: &Object) {
        self.object.counted_as(other);
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if let Some(logout) = self.logout.take() {
            logout();
        }
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (avatar, object) = (self.avatar.as_deref(), &self.object);
        write!(f, "Session({avatar:?}, {object:?})")
    }
}
