//! The kinds of checker, for `[auth.NAME]`. Who knows whom stands in `tress_rpc::cred`.

use crate::{
    config::{OptionSpec, Options, Problem, ValueKind},
    files::Files,
    registry::CheckerKind,
};
use std::rc::Rc;
use tress_rpc::cred::{Checker, Memory, PasswordFile, Tokens};

/// The largest password file that is read, bytes.
const MAX_FILE_BYTES: usize = 16 << 20;

/// `kind = "file"`
pub(super) const FILE: CheckerKind = CheckerKind {
    name: "file",
    doc: "Users in a text file, `user:hash` a line, with Argon2 hashes of their passwords.",
    options: &[OptionSpec {
        name: "path",
        value: ValueKind::Path,
        required: true,
        default: "",
        doc: "The file, relative to the directory of the configuration file.",
    }],
    make: |options, files| {
        let path = options.path("path")?;
        let bad = |message: String| options.problem("path", message);
        let (bytes, _) = files
            .read(&path, MAX_FILE_BYTES + 1)
            .map_err(|error| bad(format!("cannot read the file: {error}")))?;
        if bytes.len() > MAX_FILE_BYTES {
            return Err(bad("the file is larger than 16 MiB".into()));
        }
        let text = str::from_utf8(&bytes).map_err(|_| bad("the file is not UTF-8 text".into()))?;
        let users = PasswordFile::read(text).map_err(|error| bad(error.to_string()))?;
        Ok(Rc::new(users) as Rc<dyn Checker>)
    },
};

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
        let users = secrets(options, files, "users")?;
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
        let users = secrets(options, files, "users")?;
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
