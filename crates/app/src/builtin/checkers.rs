//! The kinds of checker, for `[auth.NAME]`. Who knows whom stands in `tress_rpc::cred`.

use crate::{
    config::{OptionSpec, Options, Problem, ValueKind},
    files::{Files, Stamp},
    registry::CheckerKind,
};
use std::{
    cell::RefCell,
    path::{Path, PathBuf},
    rc::Rc,
    time::Duration,
};
use tress_core::{Deferred, Reactor, Time};
use tress_rpc::cred::{Avatar, Checker, Credentials, Memory, PasswordFile, Sort, Tokens};

/// The largest password file that is read, bytes.
const MAX_FILE_BYTES: usize = 16 << 20;

/// `kind = "file"`
pub(super) const FILE: CheckerKind = CheckerKind {
    name: "file",
    doc: "Users in a text file, `user:hash` a line, with Argon2 hashes of their passwords; changes count within a second.",
    options: &[OptionSpec {
        name: "path",
        value: ValueKind::Path,
        required: true,
        default: "",
        doc: "The file, relative to the directory of the configuration file.",
    }],
    make: |options, files| {
        let path = options.path("path")?;
        let read = read(&**files, &path).map_err(|message| options.problem("path", message));
        let (users, stamp) = read?;
        let latest = Latest {
            users,
            stamp,
            looked: None,
        };
        Ok(Rc::new(Watched {
            path,
            files: Rc::clone(files),
            latest: RefCell::new(latest),
        }))
    },
};

/// How often a password file is looked at, at most.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// A password file, which is read again when somebody logs in after it has changed. One that is wrong then, or gone, leaves
/// everything as it was, and the log is told once.
struct Watched {
    path: PathBuf,
    files: Rc<dyn Files>,
    latest: RefCell<Latest>,
}

struct Latest {
    users: PasswordFile,
    /// Of what was read last, right or wrong.
    stamp: Stamp,
    /// When it was looked at last.
    looked: Option<Time>,
}

impl Watched {
    fn look(&self, now: Time) {
        let mut latest = self.latest.borrow_mut();
        if latest
            .looked
            .is_some_and(|looked| now.since(looked) < LOOK_AGAIN)
        {
            return;
        }
        latest.looked = Some(now);
        let stamp = self.files.stamp(&self.path).unwrap_or_default();
        if stamp == latest.stamp {
            return;
        }
        latest.stamp = stamp;
        let path = self.path.display();
        match read(&*self.files, &self.path) {
            Ok((users, stamp)) => {
                tracing::info!(target: "tress", "{path}: the users have changed");
                latest.users = users;
                latest.stamp = stamp;
            }
            Err(why) => {
                tracing::warn!(target: "tress", "{path}: {why}; the users stay as they were");
            }
        }
    }
}

impl Checker for Watched {
    fn sorts(&self) -> &[Sort] {
        &[Sort::Password]
    }

    fn check(&self, reactor: &Reactor, credentials: &Credentials) -> Deferred<Avatar> {
        self.look(reactor.now());
        self.latest.borrow().users.check(reactor, credentials)
    }
}

/// The users in a file.
fn read(files: &dyn Files, path: &Path) -> Result<(PasswordFile, Stamp), String> {
    let read = files.read(path, MAX_FILE_BYTES + 1);
    let (bytes, stamp) = read.map_err(|error| format!("cannot read the file: {error}"))?;
    if bytes.len() > MAX_FILE_BYTES {
        return Err("the file is larger than 16 MiB".into());
    }
    let text = str::from_utf8(&bytes).map_err(|_| "the file is not UTF-8 text".to_owned())?;
    let users = PasswordFile::read(text).map_err(|error| error.to_string())?;
    Ok((users, stamp))
}

/// `kind = "memory"`
pub(super) const MEMORY: CheckerKind = CheckerKind {
    name: "memory",
    doc: "Users whose passwords are known as they are: what PB's challenge needs.",
    options: &[OptionSpec {
        name: "users",
        value: ValueKind::Secrets,
        required: true,
        default: "",
        doc: "Users and where their passwords are, as in { alice = { env = \"ALICE_PASSWORD\" } }.",
    }],
    make: |options, files| {
        let users = secrets(options, &**files, "users")?;
        Ok(Rc::new(Memory::new(users)))
    },
};

/// `kind = "tokens"`
pub(super) const TOKENS: CheckerKind = CheckerKind {
    name: "tokens",
    doc: "Users who show a secret and nothing else, such as HTTP's bearer token.",
    options: &[OptionSpec {
        name: "users",
        value: ValueKind::Secrets,
        required: true,
        default: "",
        doc: "Users and where their tokens are, as in { robot = { file = \"robot.token\" } }.",
    }],
    make: |options, files| {
        let users = secrets(options, &**files, "users")?;
        let tokens = users.into_iter().map(|(user, token)| (token, user));
        Ok(Rc::new(Tokens::new(tokens)))
    },
};

/// Users and their secrets, read from where they are.
fn secrets(
    options: &Options,
    files: &dyn Files,
    key: &str,
) -> Result<Vec<(String, String)>, Problem> {
    let secrets = options.secrets(key)?.into_iter();
    let read = secrets.map(|secret| Ok((secret.name.to_owned(), secret.read(files)?)));
    read.collect()
}
