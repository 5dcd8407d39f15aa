//! Sockets that systemd opened for this process (`LISTEN_PID`, `LISTEN_FDS`, `LISTEN_FDNAMES`; `sd_listen_fds(3)`), and
//! the endpoint kind `systemd:`, by which they are named; and what systemd is told of this process ([`ServiceManager`]).
//! Opens no socket that is served.
//!
//! Source: Twisted's `python/systemd.py` and `_SystemdParser` in `internet/endpoints.py`.

mod manager;

pub use manager::ServiceManager;

use crate::sys::inherited;
use socket2::{Domain, SockRef};
use std::{
    env,
    io::{self, ErrorKind},
    os::fd::{BorrowedFd, OwnedFd, RawFd},
    process,
};
use tress_core::{
    Port, Reactor, Result, SharedFactory,
    driver::Opened,
    endpoint::{EndpointKind, EndpointSpec, Side},
    error::CannotListen,
    reactor::Target,
    wording::{quoted, unknown},
};

/// The variables by which systemd speaks to this process, and not to its children: those that get this process's
/// environment do not get these.
pub(crate) const VARIABLES: [&str; 6] = [
    "LISTEN_PID",
    "LISTEN_FDS",
    "LISTEN_FDNAMES",
    "NOTIFY_SOCKET",
    "WATCHDOG_PID",
    "WATCHDOG_USEC",
];

/// No process is passed more; a larger number is taken for a mistake.
const DESCRIPTORS_MAX: usize = 4096;
/// What systemd calls a descriptor that has no name.
const NAMELESS: &str = "unknown";

const USAGE: &str = "systemd:domain=INET|INET6|UNIX:index=NUMBER|name=NAME";

/// The endpoint kind `systemd`: `systemd:domain=INET:index=0`, `systemd:domain=UNIX:name=my-web.socket`. It listens at a
/// socket that systemd (or whoever else keeps to its variables) opened before this process was started.
///
/// `index` counts from 0; `name` is the socket unit's `FileDescriptorName=`, which is the unit's own name if it has none.
/// `domain`, which may come first without its key, must be the socket's. Each socket is taken once in a process, and is
/// closed when its port is stopped: systemd keeps its own copy. Datagram sockets are not for this; `Accept=yes` passes
/// connections, which [`stdio`](crate::stdio) is for.
#[derive(Clone, Debug)]
pub struct Systemd {
    /// The names, in order, or why there are none.
    names: Result<Vec<String>, String>,
}

impl Systemd {
    /// With what this process was started with. Marks all of it to be closed in children.
    #[must_use]
    pub fn of_process() -> Self {
        let variable = |name: &str| env::var_os(name).map(|it| it.to_string_lossy().into_owned());
        let names = parse(process::id(), variable);
        for index in 0..names.as_ref().map_or(0, Vec::len) {
            if let Err(error) = inherited::find(number(index)) {
                tracing::warn!(target: "tress", "descriptor {index} of LISTEN_FDS: {error}");
            }
        }
        Self { names }
    }

    /// The socket that was asked for, if it is of that domain.
    fn take(&self, wanted: &Wanted) -> io::Result<OwnedFd> {
        let names = match &self.names {
            Ok(names) => names,
            Err(problem) => return other(ErrorKind::NotFound, problem.clone()),
        };
        let index = match &wanted.which {
            Which::Index(index) if *index < names.len() => *index,
            Which::Index(index) => {
                let most = names.len() - 1;
                let text = format!("there is no descriptor {index}: systemd passed 0 to {most}");
                return other(ErrorKind::NotFound, text);
            }
            Which::Name(name) => match names.iter().position(|known| known == name) {
                Some(index) => index,
                None => {
                    let known: Vec<&str> = names.iter().map(|name| &**name).collect();
                    return other(ErrorKind::NotFound, unknown("descriptor", name, &known));
                }
            },
        };
        let shown = format!("descriptor {index}, {}", quoted(&names[index]));
        let (domain, name) = wanted.domain;
        let check = |socket: BorrowedFd<'_>| match SockRef::from(&socket).domain() {
            Ok(found) if found == domain => Ok(()),
            Ok(found) => other(
                ErrorKind::InvalidInput,
                format!("it is of the domain {}, and not {name}", name_of(found)),
            ),
            Err(error) => Err(error),
        };
        match inherited::take(number(index), check) {
            Ok(Some(socket)) => Ok(socket),
            Ok(None) => other(
                ErrorKind::AddrInUse,
                format!("{shown}: it is served by another endpoint, or was before"),
            ),
            Err(error) => other(error.kind(), format!("{shown}: {error}")),
        }
    }
}

fn other<T>(kind: ErrorKind, text: String) -> io::Result<T> {
    Err(io::Error::new(kind, text))
}

/// The parts of an endpoint.
#[derive(Debug, PartialEq, Eq)]
struct Wanted {
    domain: (Domain, &'static str),
    which: Which,
}

#[derive(Debug, PartialEq, Eq)]
enum Which {
    Index(usize),
    Name(String),
}

const DOMAINS: [(Domain, &str); 3] = [
    (Domain::IPV4, "INET"),
    (Domain::IPV6, "INET6"),
    (Domain::UNIX, "UNIX"),
];

fn name_of(domain: Domain) -> String {
    let known = DOMAINS.iter().find(|(known, _)| *known == domain);
    known.map_or_else(|| format!("{domain:?}"), |(_, name)| (*name).to_owned())
}

fn wanted(spec: &EndpointSpec) -> Result<Wanted> {
    spec.only(2, &["domain", "index", "name"], USAGE)?;
    let domain = spec.named(0, "domain");
    let domain = domain.ok_or_else(|| spec.problem(format!("expected a domain: `{USAGE}`")))?;
    let known = DOMAINS.iter().find(|(_, name)| *name == domain);
    let domain = *known.ok_or_else(|| {
        let names = DOMAINS.map(|(_, name)| name);
        spec.problem(unknown("domain", domain, &names))
    })?;
    let which = match (spec.named(1, "index"), spec.option("name")) {
        (Some(index), None) => Which::Index(spec.number("index", index)?),
        (None, Some(name)) => Which::Name(name.to_owned()),
        (Some(_), Some(_)) | (None, None) => {
            return Err(spec.problem("expected either `index` or `name`"));
        }
    };
    Ok(Wanted { domain, which })
}

impl EndpointKind for Systemd {
    fn listen(
        &self,
        reactor: &Reactor,
        spec: &EndpointSpec,
        factory: &SharedFactory,
    ) -> Result<Port> {
        let at = spec.to_string();
        if let Some(port) = reactor.listen_borrowed(&at, factory) {
            return port;
        }
        let socket = self.take(&wanted(spec)?).map_err(|error| CannotListen {
            at: at.clone(),
            error,
        })?;
        reactor.adopt_at(&at, Opened::Port(socket.into()), factory)
    }

    fn target(&self, _reactor: &Reactor, spec: &EndpointSpec) -> Result<Target> {
        Err(spec.problem("`systemd:` is to listen at, and nothing to connect to"))
    }

    fn check(&self, reactor: &Reactor, spec: &EndpointSpec, side: Side) -> Result {
        match side {
            Side::Server => wanted(spec).map(drop),
            Side::Client => self.target(reactor, spec).map(drop),
        }
    }

    fn check_shared(&self, _reactor: &Reactor, _spec: &EndpointSpec) -> Result {
        Ok(())
    }

    fn usage(&self, side: Side) -> &'static str {
        match side {
            Side::Server => USAGE,
            Side::Client => "",
        }
    }
}

fn number(index: usize) -> RawFd {
    inherited::FIRST + RawFd::try_from(index).expect("there are at most DESCRIPTORS_MAX")
}

/// The names of what was passed, at least one, or why there is nothing.
fn parse(own: u32, variable: impl Fn(&str) -> Option<String>) -> Result<Vec<String>, String> {
    let (Some(pid), Some(count)) = (variable("LISTEN_PID"), variable("LISTEN_FDS")) else {
        let text = "systemd passed no descriptor: LISTEN_PID and LISTEN_FDS are not set";
        return Err(text.to_owned());
    };
    match pid.parse::<u32>() {
        Ok(pid) if pid == own => {}
        Ok(pid) => {
            return Err(format!(
                "LISTEN_PID is {pid}: the descriptors were passed to another process, not to {own}"
            ));
        }
        Err(_) => return Err(format!("LISTEN_PID is no process: {}", quoted(&pid))),
    }
    let number = count.parse::<usize>().ok();
    let count = match number.filter(|number| *number <= DESCRIPTORS_MAX) {
        Some(0) => return Err("systemd passed no descriptor: LISTEN_FDS is 0".to_owned()),
        Some(count) => count,
        None => {
            return Err(format!(
                "LISTEN_FDS is no number from 0 to {DESCRIPTORS_MAX}: {}",
                quoted(&count)
            ));
        }
    };
    let Some(names) = variable("LISTEN_FDNAMES") else {
        return Ok(vec![NAMELESS.to_owned(); count]);
    };
    let names: Vec<String> = names.split(':').map(str::to_owned).collect();
    if names.len() != count {
        let named = names.len();
        return Err(format!(
            "LISTEN_FDNAMES names {named} descriptors, and LISTEN_FDS says {count}"
        ));
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// With these three variables, in process 7.
    #[track_caller]
    fn check(variables: [&str; 3], expected: Result<&[&str], &str>) {
        let names = ["LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"];
        let found = parse(7, |name| {
            let place = names.iter().position(|known| *known == name)?;
            Some(variables[place].to_owned()).filter(|value| value != "-")
        });
        match (found, expected) {
            (Ok(found), Ok(expected)) => assert_eq!(found, expected),
            (Err(found), Err(expected)) => assert!(found.contains(expected), "{found}"),
            (found, expected) => panic!("{variables:?}: {found:?}, expected {expected:?}"),
        }
    }

    #[test]
    fn what_systemd_says() {
        check(["7", "2", "a:b.socket"], Ok(&["a", "b.socket"]));
        check(["7", "1", "-"], Ok(&["unknown"]));
        check(["7", "3", "-"], Ok(&["unknown"; 3]));
        check(["7", "2", ":"], Ok(&["", ""]));
        check(["-", "1", "-"], Err("are not set"));
        check(["7", "-", "-"], Err("are not set"));
        check(["8", "1", "-"], Err("to another process, not to 7"));
        check(["x", "1", "-"], Err("no process: `x`"));
        check(["7", "0", "-"], Err("LISTEN_FDS is 0"));
        check(["7", "-1", "-"], Err("no number from 0 to 4096: `-1`"));
        check(["7", "4097", "-"], Err("no number"));
        check(["7", "many", "-"], Err("no number"));
        check(["7", "", "-"], Err("no number"));
        check(
            ["7", "2", "a"],
            Err("names 1 descriptors, and LISTEN_FDS says 2"),
        );
        check(["7", "1", "a:b"], Err("names 2"));
    }

    #[track_caller]
    fn check_spec(text: &str, expected: Result<(&str, Which), &str>) {
        let spec = EndpointSpec::parse(text).expect("it has a kind");
        match (wanted(&spec), expected) {
            (Ok(found), Ok((domain, which))) => {
                assert_eq!(found.domain.1, domain);
                assert_eq!(found.which, which);
            }
            (Err(failure), Err(problem)) => {
                let failure = failure.to_string();
                assert!(failure.contains(problem), "{failure}");
            }
            (found, expected) => panic!("{text}: {found:?}, expected {expected:?}"),
        }
    }

    #[test]
    fn the_parts_are_twisteds() {
        let name = |name: &str| Which::Name(name.to_owned());
        check_spec("systemd:domain=INET:index=0", Ok(("INET", Which::Index(0))));
        check_spec("systemd:INET6:index=3", Ok(("INET6", Which::Index(3))));
        check_spec("systemd:UNIX:3", Ok(("UNIX", Which::Index(3))));
        check_spec(
            "systemd:domain=INET:name=my-web.socket",
            Ok(("INET", name("my-web.socket"))),
        );
        check_spec(r"systemd:INET:name=a\:b", Ok(("INET", name("a:b"))));
        check_spec("systemd:index=0", Err("expected a domain"));
        check_spec("systemd:domain=INTE:index=0", Err("did you mean `INET`?"));
        check_spec("systemd:domain=INET", Err("either `index` or `name`"));
        check_spec(
            "systemd:INET:index=0:name=a",
            Err("either `index` or `name`"),
        );
        check_spec("systemd:INET:index=-1", Err("index `-1`"));
        check_spec("systemd:INET:idx=1", Err("unknown option `idx`"));
        check_spec("systemd:INET:0:1", Err("one part too many"));
    }

    #[test]
    fn what_is_not_there() {
        let kind = |names: &[&str]| Systemd {
            names: Ok(names.iter().map(|name| (*name).to_owned()).collect()),
        };
        let take = |kind: &Systemd, text: &str| {
            let spec = EndpointSpec::parse(text).expect("it has a kind");
            let taken = kind.take(&wanted(&spec).expect("it is right"));
            taken.expect_err("there is none").to_string()
        };
        let two = kind(&["web.socket", "admin.socket"]);
        let text = take(&two, "systemd:INET:index=2");
        assert_eq!(text, "there is no descriptor 2: systemd passed 0 to 1");
        let text = take(&two, "systemd:INET:name=wbe.socket");
        assert!(text.ends_with("did you mean `web.socket`?"), "{text}");
    }
}
