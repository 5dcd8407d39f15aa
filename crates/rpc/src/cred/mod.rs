//! Who may call, and what: credentials go to a [`Portal`], which asks its checkers for the avatar, the name that the
//! application knows its user by, and its [`Realm`] for the object that this avatar calls. Knows no protocol: each has its
//! own way to come by credentials. Source: Twisted's `cred/portal.py` and `cred/checkers.py`.

mod file;
mod gate;
mod memory;
mod realm;

pub use file::{
    BadPasswordFile, CHECKS_IN_FLIGHT, PasswordFile, REMEMBERED_FOR, REMEMBERED_MOST, hash_password,
};
pub(crate) use gate::LOGIN_ARGUMENTS;
pub use gate::{Entered, Gate};
#[cfg(feature = "pb")]
pub(crate) use memory::same;
pub use memory::{Anonymous, Memory, Tokens};
pub use realm::{Everybody, Realm, Session};

use crate::object::{Object, WrongInterface};

use std::{error::Error, fmt, rc::Rc};
use tress_core::{Deferred, Reactor, Result};

/// Who has logged in; `None` for anonymous, whom a portal has let in without a name.
pub type Avatar = Option<Rc<str>>;

/// What somebody shows to prove who they are. Its secrets are never shown.
#[derive(Clone)]
pub enum Credentials {
    /// Nothing.
    Anonymous,
    /// A name and a password.
    Password {
        /// The name.
        user: String,
        /// The password as it was typed.
        password: String,
    },
    /// Something that only its owner has, such as HTTP's bearer token.
    Token(String),
    /// A name, and the answer to a challenge that only who has the password can give.
    Challenge {
        /// The name.
        user: String,
        /// Whether the answer is that of this password.
        answers: Rc<dyn Fn(&str) -> bool>,
    },
}

/// Which of the [`Credentials`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sort {
    /// [`Credentials::Anonymous`]
    Anonymous,
    /// [`Credentials::Password`]
    Password,
    /// [`Credentials::Token`]
    Token,
    /// [`Credentials::Challenge`]
    Challenge,
}

impl Credentials {
    /// Which they are.
    #[must_use]
    pub fn sort(&self) -> Sort {
        match self {
            Self::Anonymous => Sort::Anonymous,
            Self::Password { .. } => Sort::Password,
            Self::Token(_) => Sort::Token,
            Self::Challenge { .. } => Sort::Challenge,
        }
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Anonymous => f.write_str("Anonymous"),
            Self::Password { user, .. } => write!(f, "Password({user:?}, …)"),
            Self::Token(_) => f.write_str("Token(…)"),
            Self::Challenge { user, .. } => write!(f, "Challenge({user:?}, …)"),
        }
    }
}

/// Knows some users.
pub trait Checker: 'static {
    /// Which credentials it can check.
    fn sorts(&self) -> &[Sort];

    /// Who shows them; fails with [`Unauthorized`] for nobody it knows. Is asked only for its sorts.
    fn check(&self, reactor: &Reactor, credentials: &Credentials) -> Deferred<Avatar>;
}

/// Lets in who shows what one of its checkers knows, to what its realm gives them; clones are the same portal.
#[derive(Clone)]
pub struct Portal {
    checkers: Rc<[Rc<dyn Checker>]>,
    /// None for the one that gives everybody the same object.
    realm: Option<Rc<dyn Realm>>,
}

impl Portal {
    /// Of these checkers, which are asked in this order, and the realm [`Everybody`].
    #[must_use]
    pub fn new(checkers: impl IntoIterator<Item = Rc<dyn Checker>>) -> Self {
        Self {
            checkers: checkers.into_iter().collect(),
            realm: None,
        }
    }

    /// For everybody, without a name.
    #[must_use]
    pub fn open() -> Self {
        Self::new([Rc::new(Anonymous) as Rc<dyn Checker>])
    }

    /// The same checkers, and another realm.
    #[must_use]
    pub fn with_realm(mut self, realm: Rc<dyn Realm>) -> Self {
        self.realm = Some(realm);
        self
    }

    /// Whether somebody could show credentials of this sort.
    #[must_use]
    pub fn takes(&self, sort: Sort) -> bool {
        let mut checkers = self.checkers.iter();
        checkers.any(|checker| checker.sorts().contains(&sort))
    }

    /// Lets whoever shows these call an object that is served: the [`Session`] has the object that the realm gives them in
    /// its place. Fails with [`Unauthorized`] when no checker knows them, with what a checker or the realm failed with, and
    /// with [`WrongInterface`] when the realm's object is of another interface.
    #[must_use]
    pub fn login(
        &self,
        reactor: &Reactor,
        credentials: Credentials,
        object: &Object,
    ) -> Deferred<Session> {
        let (portal, asked, object) = (self.clone(), reactor.clone(), object.clone());
        reactor.spawn(async move {
            let avatar = check(&portal.checkers, &asked, &credentials).await?;
            portal.enter(&asked, avatar, &object).await
        })
    }

    /// The first half of a [`login`](Self::login): who shows these. For protocols that ask with each request.
    #[must_use]
    pub fn authenticate(&self, reactor: &Reactor, credentials: Credentials) -> Deferred<Avatar> {
        let (checkers, asked) = (Rc::clone(&self.checkers), reactor.clone());
        reactor.spawn(async move { check(&checkers, &asked, &credentials).await })
    }

    /// The other half: what the realm gives this avatar in place of the object that is served.
    #[must_use]
    pub fn enter(&self, reactor: &Reactor, avatar: Avatar, object: &Object) -> Deferred<Session> {
        let Some(realm) = &self.realm else {
            return Deferred::succeed(Session::new(avatar, object));
        };
        let object = object.clone();
        let session = realm.request_avatar(reactor, avatar, &object);
        session.add_callback(move |mut session| {
            let (offered, asked) = (session.object().descriptor(), object.descriptor());
            if std::ptr::eq(offered, asked) {
                session.counted_as(&object);
                return Ok(session);
            }
            let (offered, asked) = (offered.name, asked.name);
            Err(WrongInterface { offered, asked }.into())
        })
    }

    /// Whether it may give one avatar another object than the next.
    #[cfg(feature = "http")]
    pub(crate) fn has_realm(&self) -> bool {
        self.realm.is_some()
    }
}

async fn check(
    checkers: &[Rc<dyn Checker>],
    reactor: &Reactor,
    credentials: &Credentials,
) -> Result<Avatar> {
    let sort = credentials.sort();
    let mut first = None;
    for checker in checkers
        .iter()
        .filter(|checker| checker.sorts().contains(&sort))
    {
        match checker.check(reactor, credentials).await {
            Ok(avatar) => return Ok(avatar),
            // That the disk is broken is more than that one checker knows nobody of that name.
            Err(failure) if failure.check::<Unauthorized>().is_none() => {
                first.get_or_insert(failure);
            }
            Err(_) => {}
        }
    }
    Err(first.unwrap_or_else(|| Unauthorized.into()))
}

impl fmt::Debug for Portal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sorts = self.checkers.iter().flat_map(|checker| checker.sorts());
        f.debug_tuple("Portal")
            .field(&sorts.collect::<Vec<_>>())
            .finish()
    }
}

/// No checker knows these credentials: which half of them is wrong is not said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unauthorized;

impl fmt::Display for Unauthorized {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no user with these credentials")
    }
}

impl Error for Unauthorized {}

#[cfg(test)]
mod tests;
