//! The endpoint kind `unix`: its parts, which are Twisted's. Opens nothing and touches no file itself.
//!
//! Source: `_parseUNIX` and `_parseClientUNIX` in Twisted's `internet/endpoints.py`. Other than there, an abstract name
//! may begin with `@`, has no lock file, and `mode` has at most nine bits.

use crate::{
    address::{Address, UnixName},
    driver::{ConnectOptions, ListenOptions, UnixOptions},
    endpoint::{EndpointKind, EndpointSpec, Side},
    factory::SharedFactory,
    failure::Result,
    reactor::{Port, Reactor, Target},
};
use std::time::Duration;

const SERVER: &str = "unix:PATH[:mode=OCTAL][:lockfile=0|1][:backlog=COUNT]";
const CLIENT: &str = "unix:PATH[:lockfile=0|1][:timeout=SECONDS]";

/// `unix:`
pub(crate) struct Unix;

impl EndpointKind for Unix {
    fn listen(
        &self,
        reactor: &Reactor,
        spec: &EndpointSpec,
        factory: &SharedFactory,
    ) -> Result<Port> {
        let (address, options) = server(spec)?;
        reactor.listen_at(&address, &options, factory)
    }

    fn target(&self, _reactor: &Reactor, spec: &EndpointSpec) -> Result<Target> {
        target(spec)
    }

    fn check(&self, _reactor: &Reactor, spec: &EndpointSpec, side: Side) -> Result {
        match side {
            Side::Server => server(spec).map(drop),
            Side::Client => target(spec).map(drop),
        }
    }

    fn check_shared(&self, _reactor: &Reactor, _spec: &EndpointSpec) -> Result {
        Ok(())
    }

    fn usage(&self, side: Side) -> &'static str {
        match side {
            Side::Server => SERVER,
            Side::Client => CLIENT,
        }
    }
}

fn target(spec: &EndpointSpec) -> Result<Target> {
    spec.only(1, &["path", "lockfile", "timeout"], CLIENT)?;
    let name = name(spec, "path")?;
    let lock_file = lock_file(spec, &name)?.unwrap_or(false);
    let timeout = spec.option("timeout");
    let timeout: Option<u32> = timeout
        .map(|seconds| spec.number("timeout", seconds))
        .transpose()?;
    Ok(Target {
        options: ConnectOptions {
            unix_lock_file: lock_file,
            ..ConnectOptions::default()
        },
        timeout: timeout.map(|seconds| Duration::from_secs(seconds.into())),
        ..Target::new(Address::Unix(name))
    })
}

fn server(spec: &EndpointSpec) -> Result<(Address, ListenOptions)> {
    spec.only(1, &["address", "mode", "lockfile", "backlog"], SERVER)?;
    let name = name(spec, "address")?;
    let mut options = ListenOptions::default();
    if let Some(backlog) = spec.option("backlog") {
        options.backlog = spec.number("backlog", backlog)?;
    }
    let default = UnixOptions::default();
    options.unix = UnixOptions {
        mode: mode(spec, &name)?.unwrap_or(default.mode),
        lock_file: lock_file(spec, &name)?.unwrap_or(default.lock_file),
    };
    Ok((Address::Unix(name), options))
}

pub(crate) fn name(spec: &EndpointSpec, key: &str) -> Result<UnixName> {
    let text = spec.named(0, key);
    let text = text.ok_or_else(|| spec.problem("expected a path, or `@` and a name"))?;
    UnixName::parse(text).map_err(|bad| spec.problem(bad.to_string()))
}

pub(crate) fn mode(spec: &EndpointSpec, name: &UnixName) -> Result<Option<u32>> {
    let Some(text) = spec.option("mode") else {
        return Ok(None);
    };
    needs_a_file(spec, name, "mode")?;
    let digits = text.strip_prefix("0o").unwrap_or(text);
    let is_octal = !digits.is_empty() && digits.bytes().all(|digit| matches!(digit, b'0'..=b'7'));
    let mode = u32::from_str_radix(digits, 8).ok();
    match mode.filter(|mode| is_octal && *mode <= 0o777) {
        Some(mode) => Ok(Some(mode)),
        None => Err(spec.problem(format!(
            "mode `{text}` is no octal number from 0 to 777, as `660` is"
        ))),
    }
}

/// The lock file is wanted or not: a name without a file has none.
fn lock_file(spec: &EndpointSpec, name: &UnixName) -> Result<Option<bool>> {
    let wanted = flag(spec, "lockfile")?;
    if wanted == Some(true) {
        needs_a_file(spec, name, "lockfile")?;
    }
    Ok(wanted)
}

pub(crate) fn flag(spec: &EndpointSpec, key: &str) -> Result<Option<bool>> {
    match spec.option(key) {
        None => Ok(None),
        Some("0") => Ok(Some(false)),
        Some("1") => Ok(Some(true)),
        Some(text) => Err(spec.problem(format!("{key} `{text}` is neither 0 nor 1"))),
    }
}

fn needs_a_file(spec: &EndpointSpec, name: &UnixName, key: &str) -> Result {
    match name {
        UnixName::Path(_) => Ok(()),
        UnixName::Abstract(_) | UnixName::Unnamed => {
            Err(spec.problem(format!("an abstract name has no file and so no `{key}`")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(text: &str) -> EndpointSpec {
        EndpointSpec::parse(text).expect("it has a kind")
    }

    /// The address, the mode, whether there is a lock file, and the backlog.
    #[track_caller]
    fn check_server(text: &str, expected: Result<(&str, u32, bool, u32), &str>) {
        match (server(&spec(text)), expected) {
            (Ok((address, options)), Ok(expected)) => {
                let (address, UnixOptions { mode, lock_file }) =
                    (address.to_string(), options.unix);
                assert_eq!((&*address, mode, lock_file, options.backlog), expected);
            }
            (Err(failure), Err(problem)) => {
                let failure = failure.to_string();
                assert!(failure.contains(problem), "{failure}");
            }
            (got, expected) => panic!("{text}: got {got:?}, expected {expected:?}"),
        }
    }

    #[test]
    fn servers_take_twisteds_keys_with_its_defaults() {
        check_server("unix:/run/x", Ok(("/run/x", 0o666, true, 1024)));
        check_server(
            "unix:/run/x:mode=600:lockfile=0:backlog=50",
            Ok(("/run/x", 0o600, false, 50)),
        );
        check_server("unix:address=x:mode=0o17", Ok(("x", 0o17, true, 1024)));
        check_server("unix:x:mode=0660", Ok(("x", 0o660, true, 1024)));
        check_server(r"unix:a\:b\=c", Ok(("a:b=c", 0o666, true, 1024)));
        check_server("unix:@x", Ok(("@x", 0o666, true, 1024)));
        check_server("unix:@x:lockfile=0", Ok(("@x", 0o666, false, 1024)));
    }

    #[test]
    fn servers_refuse_what_is_wrong() {
        for mode in ["888", "1000", "", "-1", "+7", "rw", "0x7", "77777777777777"] {
            let problem = format!("mode `{mode}` is no octal number from 0 to 777");
            check_server(&format!("unix:x:mode={mode}"), Err(&problem));
        }
        check_server(
            "unix:x:lockfile=yes",
            Err("lockfile `yes` is neither 0 nor 1"),
        );
        check_server("unix:x:backlog=-1", Err("backlog `-1`"));
        check_server("unix:x:colour=red", Err("unknown option `colour`"));
        check_server("unix:x:timeout=3", Err("unknown option `timeout`"));
        check_server("unix:x:y", Err("one part too many"));
        check_server("unix", Err("expected a path"));
        check_server("unix:", Err("needs a name"));
        check_server("unix:@", Err("needs a name"));
        check_server("unix:@x:mode=600", Err("no file and so no `mode`"));
        check_server("unix:@x:lockfile=1", Err("no file and so no `lockfile`"));
        check_server(
            &format!("unix:{}", "x".repeat(108)),
            Err("the limit is 107"),
        );
    }

    /// The address, whether there must be a lock file, and the timeout in seconds.
    #[track_caller]
    fn check_client(text: &str, expected: Result<(&str, bool, Option<u64>), &str>) {
        match (target(&spec(text)), expected) {
            (Ok(target), Ok(expected)) => {
                let crate::reactor::Destination::Address(address) = target.to else {
                    panic!("{text}: a path is no host name");
                };
                let (address, timeout) = (address.to_string(), target.timeout);
                let seconds = timeout.map(|timeout| timeout.as_secs());
                let lock_file = target.options.unix_lock_file;
                assert_eq!((&*address, lock_file, seconds), expected);
            }
            (Err(failure), Err(problem)) => {
                let failure = failure.to_string();
                assert!(failure.contains(problem), "{failure}");
            }
            (got, expected) => panic!("{text}: got {got:?}, expected {expected:?}"),
        }
    }

    #[test]
    fn clients_take_twisteds_keys() {
        check_client("unix:/run/x", Ok(("/run/x", false, None)));
        check_client("unix:path=x:lockfile=1:timeout=9", Ok(("x", true, Some(9))));
        check_client("unix:@x:lockfile=0", Ok(("@x", false, None)));
        check_client("unix:@x:lockfile=1", Err("no file and so no `lockfile`"));
        check_client("unix:x:timeout=soon", Err("timeout `soon`"));
        check_client("unix:x:mode=600", Err("unknown option `mode`"));
        check_client("unix:x:y", Err("one part too many"));
        check_client("unix:", Err("needs a name"));
    }
}
