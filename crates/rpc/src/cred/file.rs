//! Users whose passwords are kept as Argon2 hashes (RFC 9106), in the PHC string format: one `user:hash` in a line. Is given
//! the text and opens no file. A password is checked on a thread, as that takes its time on purpose.

use super::{Avatar, Checker, Credentials, Sort, Unauthorized};
use argon2::{
    Argon2, Params,
    password_hash::{PasswordHasher, PasswordVerifier, phc::PasswordHash},
};
use std::{collections::BTreeMap, error::Error, fmt};
use tress_core::{Deferred, Reactor};

/// Users in a file, with the hashes of their passwords.
#[derive(Clone)]
pub struct PasswordFile {
    users: BTreeMap<String, String>,
    /// Checked for users that are not there, so that this takes as long as for one that is.
    nobody: String,
}

/// No file has more users than this.
const MAX_USERS: usize = 100_000;

/// No hash may ask for more memory than this, in KiB: 1 GiB.
const MAX_KIB: u32 = 1 << 20;

impl PasswordFile {
    /// Reads a file's text. Empty lines and those that begin with `#` are left out.
    ///
    /// # Errors
    /// The first line that is none, or comes twice.
    pub fn read(text: &str) -> Result<Self, BadPasswordFile> {
        let mut users = BTreeMap::new();
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let bad = |problem: String| BadPasswordFile {
                line: index + 1,
                problem,
            };
            let (user, hash) = line
                .split_once(':')
                .filter(|(user, _)| !user.is_empty())
                .ok_or_else(|| bad("expected `user:hash`".into()))?;
            known_hash(hash).map_err(bad)?;
            if users.insert(user.to_owned(), hash.to_owned()).is_some() {
                return Err(bad(format!("`{user}` comes twice")));
            }
            if users.len() > MAX_USERS {
                return Err(bad(format!("more than {MAX_USERS} users")));
            }
        }
        let nobody = users.values().next().cloned().unwrap_or_default();
        Ok(Self { users, nobody })
    }
}

/// Whether it is the hash of a password that can be checked here.
fn known_hash(hash: &str) -> Result<(), String> {
    let expected = "expected an Argon2 hash, such as `$argon2id$v=19$m=19456,t=2,p=1$…`";
    let parsed = PasswordHash::new(hash).map_err(|error| format!("{expected}: {error}"))?;
    if !parsed.algorithm.as_str().starts_with("argon2") {
        return Err(expected.into());
    }
    let params = Params::try_from(&parsed).map_err(|error| format!("{expected}: {error}"))?;
    if params.m_cost() > MAX_KIB {
        return Err(format!(
            "a hash that takes more than {MAX_KIB} KiB of memory"
        ));
    }
    Ok(())
}

impl Checker for PasswordFile {
    fn sorts(&self) -> &[Sort] {
        &[Sort::Password]
    }

    fn check(&self, reactor: &Reactor, credentials: &Credentials) -> Deferred<Avatar> {
        let Credentials::Password { user, password } = credentials else {
            return Deferred::fail(Unauthorized);
        };
        let known = self.users.get(user);
        let hash = known.unwrap_or(&self.nobody).clone();
        let (password, is_known) = (password.clone(), known.is_some());
        let checked = reactor.defer_to_thread(move || Ok(verify(&password, &hash) && is_known));
        let user = user.as_str().into();
        checked.add_callback(move |good| {
            if good {
                Ok(Some(user))
            } else {
                Err(Unauthorized.into())
            }
        })
    }
}

fn verify(password: &str, hash: &str) -> bool {
    PasswordHash::new(hash).is_ok_and(|hash| {
        Argon2::default()
            .verify_password(password.as_bytes(), &hash)
            .is_ok()
    })
}

/// What a password file keeps of a password: its Argon2id hash with this salt, which is never used twice.
///
/// # Errors
/// The password is longer than 4 GiB.
pub fn hash_password(password: &str, salt: [u8; 16]) -> Result<String, impl Error + use<>> {
    let hash = Argon2::default().hash_password_with_salt(password.as_bytes(), &salt);
    hash.map(|hash: PasswordHash| hash.to_string())
}

impl fmt::Debug for PasswordFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PasswordFile({} users)", self.users.len())
    }
}

/// What is wrong with a password file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadPasswordFile {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub problem: String,
}

impl fmt::Display for BadPasswordFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { line, problem } = self;
        write!(f, "line {line}: {problem}")
    }
}

impl Error for BadPasswordFile {}
