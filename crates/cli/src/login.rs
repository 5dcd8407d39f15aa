//! Who calls: the options of the command line that say so, and the secret, which is in a file or in the environment and
//! never on a command line, where everybody on the machine can read it. Knows no protocol.

use clap::{Arg, ArgMatches};
use std::path::Path;
use tress_app::Registry;
use tress_core::wording::quoted;
use tress_rpc::cred::Credentials;

/// Where the password is, unless somebody says otherwise.
const PASSWORD: &str = "env:TRESS_PASSWORD";
/// The longest secret, bytes.
const SECRET_BYTES_MAX: usize = 4096;

/// Who calls, as the command line says it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Login {
    user: Option<String>,
    password: Option<String>,
    token: Option<String>,
}

/// The options.
pub(crate) fn options() -> [Arg; 3] {
    [
        Arg::new("user")
            .long("user")
            .short('u')
            .value_name("NAME")
            .conflicts_with("token")
            .help("Log in by this name, with a password"),
        Arg::new("password")
            .long("password")
            .value_name("PLACE")
            .requires("user")
            .help(
                "Where the password is: env:VARIABLE, or file:PATH [default: env:TRESS_PASSWORD]",
            ),
        Arg::new("token")
            .long("token")
            .value_name("PLACE")
            .help("Log in with a token, which is at env:VARIABLE, or file:PATH"),
    ]
}

pub(crate) fn parse(matches: &ArgMatches) -> Login {
    let one = |name: &str| matches.get_one(name).cloned();
    Login {
        user: one("user"),
        password: one("password"),
        token: one("token"),
    }
}

impl Login {
    /// What to log in with, if anybody is to.
    ///
    /// # Errors
    /// There is no such secret. No error shows one.
    pub(crate) fn credentials(&self, registry: &Registry) -> Result<Option<Credentials>, String> {
        Ok(match (&self.user, &self.token) {
            (Some(user), _) => Some(Credentials::Password {
                user: user.clone(),
                password: secret(
                    "password",
                    self.password.as_deref().unwrap_or(PASSWORD),
                    registry,
                )?,
            }),
            (None, Some(token)) => Some(Credentials::Token(secret("token", token, registry)?)),
            (None, None) => None,
        })
    }
}

/// The secret at a place.
fn secret(what: &str, place: &str, registry: &Registry) -> Result<String, String> {
    let files = registry.files();
    let text = match place.split_once(':') {
        Some(("env", name)) => files.variable(name).ok_or_else(|| {
            format!(
                "the {what}: the environment has no variable {}",
                quoted(name)
            )
        })?,
        Some(("file", path)) => {
            let bad = |why: &dyn std::fmt::Display| {
                format!("the {what}: cannot read {}: {why}", quoted(path))
            };
            let read = files.read(Path::new(path), SECRET_BYTES_MAX + 1);
            let (bytes, _) = read.map_err(|error| bad(&error))?;
            let text = String::from_utf8(bytes).map_err(|_| bad(&"it is not UTF-8"))?;
            let line = text.strip_suffix('\n').unwrap_or(&text);
            line.strip_suffix('\r').unwrap_or(line).to_owned()
        }
        // It may be the secret itself, which is not shown again.
        _ => {
            return Err(format!(
                "--{what} says where the {what} is, env:VARIABLE or file:PATH; a {what} itself does not belong on a command \
                 line"
            ));
        }
    };
    match text.len() {
        0 => Err(format!("the {what} is empty")),
        1..=SECRET_BYTES_MAX => Ok(text),
        _ => Err(format!("the {what} has more than {SECRET_BYTES_MAX} bytes")),
    }
}
