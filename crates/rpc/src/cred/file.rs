//! Users whose passwords are kept as Argon2 hashes (RFC 9106), in the PHC string format: one `user:hash` in a line. Is given
//! the text and opens no file. A password is checked on a thread, as that takes its time on purpose; one that was right is
//! remembered for a while, for protocols that show it with every request.

use super::{Avatar, Checker, Credentials, Sort, Unauthorized};
use crate::fault::{self, Fault};
use argon2::{
    Argon2, Params,
    password_hash::{PasswordHasher, PasswordVerifier, phc::PasswordHash},
};
use blake2::{Blake2s256, Digest};
use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    error::Error,
    fmt,
    rc::Rc,
    time::Duration,
};
use tress_core::{Deferred, Reactor, Time};

/// Users in a file, with the hashes of their passwords; clones are the same users.
///
/// A password that was right is remembered, as a digest with a key of this process, for [`REMEMBERED_FOR`] and with at most
/// [`REMEMBERED_MOST`] others: then it costs no Argon2. Whoever reads the file again makes a new one of these, which
/// remembers nothing. At most [`CHECKS_IN_FLIGHT`] wait for their threads; more fail with [`fault::BUSY`], so that a
/// flood of wrong passwords costs neither memory nor other jobs their threads for long.
#[derive(Clone)]
pub struct PasswordFile {
    users: Rc<BTreeMap<String, String>>,
    /// Checked for users that are not there, so that this takes as long as for one that is.
    nobody: String,
    remembered: Rc<RefCell<Remembered>>,
    checking: Rc<Cell<usize>>,
}

/// How long a password that was right is: 5 minutes.
pub const REMEMBERED_FOR: Duration = Duration::from_secs(300);

/// Passwords that are remembered at once; one more makes the oldest forgotten.
pub const REMEMBERED_MOST: usize = 1000;

/// Passwords that are checked or wait for that at once.
pub const CHECKS_IN_FLIGHT: usize = 64;

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
        Ok(Self {
            users: Rc::new(users),
            nobody,
            remembered: Rc::default(),
            checking: Rc::default(),
        })
    }
}

/// Whose passwords were right, until when.
#[derive(Default)]
struct Remembered {
    /// Of this process; made when it is needed.
    key: Option<[u8; 32]>,
    until: BTreeMap<Mark, Time>,
}

/// What is known again of a user and a password.
type Mark = [u8; 32];

impl Remembered {
    fn mark(&mut self, reactor: &Reactor, user: &str, password: &str) -> Mark {
        let key = self.key.get_or_insert_with(|| {
            let mut key = [0; 32];
            for part in key.chunks_exact_mut(8) {
                part.copy_from_slice(&reactor.entropy().to_le_bytes());
            }
            key
        });
        // BLAKE2 with a key in front is a keyed hash (RFC 7693, section 1.1, needs no HMAC).
        let digest = Blake2s256::new()
            .chain_update(*key)
            .chain_update((user.len() as u64).to_le_bytes())
            .chain_update(user)
            .chain_update(password);
        digest.finalize().into()
    }

    fn knows(&self, mark: &Mark, now: Time) -> bool {
        self.until.get(mark).is_some_and(|until| now < *until)
    }

    fn keep(&mut self, mark: Mark, until: Time) {
        while self.until.len() >= REMEMBERED_MOST && !self.until.contains_key(&mark) {
            let oldest = self.until.iter().min_by_key(|(_, until)| **until);
            let Some(oldest) = oldest.map(|(mark, _)| *mark) else {
                break;
            };
            self.until.remove(&oldest);
        }
        self.until.insert(mark, until);
    }
}

/// One check, until it is dropped.
struct Checking(Rc<Cell<usize>>);

impl Checking {
    /// Unless there are too many.
    fn begin(count: &Rc<Cell<usize>>) -> Option<Self> {
        if count.get() >= CHECKS_IN_FLIGHT {
            return None;
        }
        count.set(count.get() + 1);
        Some(Self(Rc::clone(count)))
    }
}

impl Drop for Checking {
    fn drop(&mut self) {
        self.0.set(self.0.get().saturating_sub(1));
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
        let now = reactor.now();
        let mark = self.remembered.borrow_mut().mark(reactor, user, password);
        if self.remembered.borrow().knows(&mark, now) {
            return Deferred::succeed(Some(user.as_str().into()));
        }
        let Some(checking) = Checking::begin(&self.checking) else {
            let message = format!("{CHECKS_IN_FLIGHT} logins wait, and no more may");
            return Deferred::fail(Fault::new(fault::BUSY, message));
        };
        let known = self.users.get(user);
        let hash = known.unwrap_or(&self.nobody).clone();
        let (password, is_known) = (password.clone(), known.is_some());
        let checked = reactor.defer_to_thread(move || Ok(verify(&password, &hash) && is_known));
        let (user, remembered) = (user.as_str().into(), Rc::clone(&self.remembered));
        checked.add_both(move |checked| {
            drop(checking);
            if !checked? {
                return Err(Unauthorized.into());
            }
            remembered.borrow_mut().keep(mark, now + REMEMBERED_FOR);
            Ok(Some(user))
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
