//! Checkers that hold what they know: nobody, users with passwords, tokens. They read no file.

use super::{Avatar, Checker, Credentials, Sort, Unauthorized};
use blake2::{Blake2s256, Digest};
use std::{collections::BTreeMap, fmt};
use subtle::ConstantTimeEq;
use tress_core::{Deferred, Reactor};

/// Lets everybody in who shows nothing, without a name. Source: Twisted's `AllowAnonymousAccess`.
#[derive(Clone, Copy, Debug)]
pub struct Anonymous;

impl Checker for Anonymous {
    fn sorts(&self) -> &[Sort] {
        &[Sort::Anonymous]
    }

    fn check(&self, _reactor: &Reactor, _credentials: &Credentials) -> Deferred<Avatar> {
        Deferred::succeed(None)
    }
}

/// Users whose passwords it knows as they are: for tests, and for protocols with challenges. Source: Twisted's
/// `InMemoryUsernamePasswordDatabaseDontUse`.
#[derive(Clone, Default)]
pub struct Memory(BTreeMap<String, String>);

impl Memory {
    /// Users and their passwords.
    pub fn new(users: impl IntoIterator<Item = (String, String)>) -> Self {
        Self(users.into_iter().collect())
    }
}

impl Checker for Memory {
    fn sorts(&self) -> &[Sort] {
        &[Sort::Password, Sort::Challenge]
    }

    fn check(&self, _reactor: &Reactor, credentials: &Credentials) -> Deferred<Avatar> {
        let (user, good) = match credentials {
            Credentials::Password { user, password } => {
                let known = self.0.get(user);
                // It takes as long for nobody.
                let is_same = same(known.map_or(b"", |it| it.as_bytes()), password.as_bytes());
                (user, is_same && known.is_some())
            }
            Credentials::Challenge { user, answers } => {
                let known = self.0.get(user);
                let answers = answers(known.map_or("", |it| it));
                (user, answers && known.is_some())
            }
            Credentials::Anonymous | Credentials::Token(_) => return Deferred::fail(Unauthorized),
        };
        if good {
            Deferred::succeed(Some(user.as_str().into()))
        } else {
            Deferred::fail(Unauthorized)
        }
    }
}

/// Users by tokens.
#[derive(Clone, Default)]
pub struct Tokens(Vec<(String, String)>);

impl Tokens {
    /// Tokens, and whose they are.
    pub fn new(tokens: impl IntoIterator<Item = (String, String)>) -> Self {
        Self(tokens.into_iter().collect())
    }
}

impl Checker for Tokens {
    fn sorts(&self) -> &[Sort] {
        &[Sort::Token]
    }

    fn check(&self, _reactor: &Reactor, credentials: &Credentials) -> Deferred<Avatar> {
        let Credentials::Token(shown) = credentials else {
            return Deferred::fail(Unauthorized);
        };
        // All are looked at: how long it takes says nothing about any.
        let mut found = None;
        for (token, user) in &self.0 {
            if same(token.as_bytes(), shown.as_bytes()) {
                found = Some(user);
            }
        }
        match found {
            Some(user) => Deferred::succeed(Some(user.as_str().into())),
            None => Deferred::fail(Unauthorized),
        }
    }
}

/// Whether they are equal, in a time that says neither where they differ nor how long what is known is.
pub(crate) fn same(known: &[u8], shown: &[u8]) -> bool {
    let [known, shown] = [known, shown].map(Blake2s256::digest);
    known.ct_eq(&shown).into()
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Memory({} users)", self.0.len())
    }
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tokens({})", self.0.len())
    }
}
