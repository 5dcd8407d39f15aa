//! Endpoint strings (`tcp:8007:interface=127.0.0.1`) and the kinds that understand them. Opens nothing itself.
//!
//! The grammar is Twisted's: `:` separates, `=` assigns, `\` takes the next character as it is.

use crate::{
    address::Address,
    driver::{ConnectOptions, ListenOptions},
    endpoint_datagram,
    endpoint_unix::{Unix, flag},
    factory::SharedFactory,
    failure::{Failure, Result},
    names::{BadHostName, HostName},
    reactor::{Destination, Port, Reactor, Target},
    wording::unknown,
};
use std::{
    collections::BTreeMap,
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    rc::Rc,
    time::Duration,
};

/// An endpoint string in its parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointSpec {
    /// The name before the first `:`.
    pub kind: String,
    /// Parts without a `=`, in order.
    pub arguments: Vec<String>,
    /// Parts with a `=`, in order.
    pub options: Vec<(String, String)>,
}

/// What is wrong with an endpoint string.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadEndpoint {
    /// The string.
    pub endpoint: String,
    /// What is wrong and what was expected.
    pub problem: String,
}

impl fmt::Display for BadEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "endpoint `{}`: {}", self.endpoint, self.problem)
    }
}

impl std::error::Error for BadEndpoint {}

/// Which end an endpoint string describes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// To listen at.
    Server,
    /// To connect to.
    Client,
}

/// A kind of endpoint: what the name before the first `:` stands for.
///
/// A kind that lies on another, as `tls:` and `haproxy:` do, takes its own options out of the parts
/// ([`EndpointSpec::inner`], [`EndpointSpec::as_kind`]), asks the reactor for the rest
/// ([`Reactor::listen_spec`], [`Reactor::target`], [`Reactor::check_spec`]), and puts its layer below the factory
/// ([`SharedFactory::layered`]) or at the end of [`Target::layers`].
pub trait EndpointKind: 'static {
    /// Listens.
    ///
    /// # Errors
    /// The parts are wrong, or nothing can listen there.
    fn listen(
        &self,
        reactor: &Reactor,
        spec: &EndpointSpec,
        factory: &SharedFactory,
    ) -> Result<Port>;

    /// What to connect to.
    ///
    /// # Errors
    /// The parts are wrong.
    fn target(&self, reactor: &Reactor, spec: &EndpointSpec) -> Result<Target>;

    /// Looks at the parts without opening anything.
    ///
    /// # Errors
    /// The parts are wrong.
    fn check(&self, reactor: &Reactor, spec: &EndpointSpec, side: Side) -> Result;

    /// Whether several workers can listen there at once, looked at without opening anything. A kind that lies on another
    /// asks [`Reactor::check_shared`] for the rest; one that does not say is not shared.
    ///
    /// # Errors
    /// Why not.
    fn check_shared(&self, reactor: &Reactor, spec: &EndpointSpec) -> Result {
        let _ = reactor;
        Err(spec.problem(format!(
            "`{}:` is for one worker: there is no socket to share",
            spec.kind
        )))
    }

    /// How it is written, with its kind, for listings and errors: `tcp:PORT[:interface=ADDRESS]`. Empty for a side that
    /// it is not for.
    fn usage(&self, side: Side) -> &'static str;
}

impl EndpointSpec {
    /// Takes an endpoint string apart. A string without any `:` that is not all digits is a kind without parts.
    ///
    /// # Errors
    /// A dangling `\`, or an empty kind.
    pub fn parse(text: &str) -> Result<Self, BadEndpoint> {
        let bad = |problem: &str| BadEndpoint {
            endpoint: text.to_owned(),
            problem: problem.to_owned(),
        };
        let mut parts = split(text)
            .ok_or_else(|| bad("it ends in a lone `\\`"))?
            .into_iter();
        let kind = match parts.next() {
            Some(Part { key: None, value }) if !value.is_empty() => value,
            _ => return Err(bad("expected a kind first, as in `tcp:8007`")),
        };
        let mut spec = Self {
            kind,
            arguments: Vec::new(),
            options: Vec::new(),
        };
        for part in parts {
            match part.key {
                None => spec.arguments.push(part.value),
                Some(key) if spec.option(&key).is_some() => {
                    return Err(bad(&format!("`{key}` is given twice")));
                }
                Some(key) => spec.options.push((key, part.value)),
            }
        }
        Ok(spec)
    }

    /// Whether it is of a kind for [`Reactor::listen_datagrams`] and not for connections.
    #[must_use]
    pub fn carries_datagrams(&self) -> bool {
        endpoint_datagram::is_kind(&self.kind)
    }

    /// The option of that name.
    #[must_use]
    pub fn option(&self, name: &str) -> Option<&str> {
        let found = self.options.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| &**value)
    }

    /// An error about this endpoint.
    #[must_use]
    pub fn problem(&self, problem: impl Into<String>) -> Failure {
        BadEndpoint {
            endpoint: self.to_string(),
            problem: problem.into(),
        }
        .into()
    }

    /// What lies below this one, when its first argument is another kind: `haproxy:tcp:8080:interface=::1` lies on
    /// `tcp:8080:interface=::1`. The options called `own` are left out.
    ///
    /// # Errors
    /// There is no other kind.
    pub fn inner(&self, own: &[&str]) -> Result<Self> {
        let Some((kind, arguments)) = self.arguments.split_first() else {
            return Err(self.nothing_below());
        };
        if kind.is_empty() {
            return Err(self.nothing_below());
        }
        let mut inner = self.as_kind(kind, own);
        inner.arguments = arguments.to_vec();
        Ok(inner)
    }

    /// The same parts as another kind: `tls:example.org:443:timeout=5` is `tcp:example.org:443:timeout=5` below. The
    /// options called `own` are left out.
    #[must_use]
    pub fn as_kind(&self, kind: &str, own: &[&str]) -> Self {
        let left = |(name, _): &&(String, String)| !own.contains(&&**name);
        Self {
            kind: kind.to_owned(),
            arguments: self.arguments.clone(),
            options: self.options.iter().filter(left).cloned().collect(),
        }
    }

    fn nothing_below(&self) -> Failure {
        let kind = &self.kind;
        self.problem(format!(
            "expected another endpoint behind `{kind}:`, as in `{kind}:tcp:8007`"
        ))
    }

    /// The argument at `index`, which may be given by name instead.
    #[must_use]
    pub fn named(&self, index: usize, name: &str) -> Option<&str> {
        self.arguments
            .get(index)
            .map(|value| &**value)
            .or_else(|| self.option(name))
    }

    /// Refuses more than so many arguments and what is none of these options, so that a slip of the pen is not silently
    /// ignored. `usage` is how the kind is written.
    ///
    /// # Errors
    /// The first part that is not known, with the nearest that is.
    pub fn only(&self, arguments: usize, options: &[&str], usage: &str) -> Result {
        if let Some(extra) = self.arguments.get(arguments) {
            return Err(self.problem(format!(
                "`{extra}` is one part too many; expected `{usage}`"
            )));
        }
        for (key, _) in &self.options {
            if !options.contains(&&**key) {
                return Err(self.problem(unknown("option", key, options)));
            }
        }
        Ok(())
    }
}

impl EndpointSpec {
    /// `text`, the part called `name`, as an unsigned number.
    ///
    /// # Errors
    /// It is none, or too large for an `N`.
    pub fn number<N: std::str::FromStr>(&self, name: &str, text: &str) -> Result<N> {
        let bits = 8 * size_of::<N>();
        text.parse().map_err(|_| {
            let most = u64::MAX >> 64_usize.saturating_sub(bits);
            self.problem(format!("{name} `{text}` is no number from 0 to {most}"))
        })
    }
}

impl fmt::Display for EndpointSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&quote(&self.kind))?;
        for argument in &self.arguments {
            write!(f, ":{}", quote(argument))?;
        }
        for (key, value) in &self.options {
            write!(f, ":{}={}", quote(key), quote(value))?;
        }
        Ok(())
    }
}

/// Escapes a string so that it is one part of an endpoint string.
#[must_use]
pub fn quote(part: &str) -> String {
    let mut quoted = String::with_capacity(part.len());
    for c in part.chars() {
        if matches!(c, '\\' | ':' | '=') {
            quoted.push('\\');
        }
        quoted.push(c);
    }
    quoted
}

struct Part {
    key: Option<String>,
    value: String,
}

/// Splits at unescaped `:`, and each part at its first unescaped `=`. `None` for a dangling `\`.
fn split(text: &str) -> Option<Vec<Part>> {
    let mut parts = Vec::new();
    let mut part = Part {
        key: None,
        value: String::new(),
    };
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => part.value.push(chars.next()?),
            ':' => {
                parts.push(part);
                part = Part {
                    key: None,
                    value: String::new(),
                };
            }
            '=' if part.key.is_none() => part.key = Some(std::mem::take(&mut part.value)),
            c => part.value.push(c),
        }
    }
    parts.push(part);
    Some(parts)
}

/// The kinds that a reactor knows, by name.
pub(crate) struct Kinds(BTreeMap<String, Rc<dyn EndpointKind>>);

impl Kinds {
    pub(crate) fn builtin() -> Self {
        let mut kinds: BTreeMap<String, Rc<dyn EndpointKind>> = BTreeMap::new();
        kinds.insert("tcp".to_owned(), Rc::new(TCP));
        kinds.insert("tcp6".to_owned(), Rc::new(TCP6));
        kinds.insert("unix".to_owned(), Rc::new(Unix));
        Self(kinds)
    }
}

impl Reactor {
    /// Adds a kind of endpoint, or replaces the one of that name.
    pub fn endpoint_kind(&self, name: &str, kind: impl EndpointKind) {
        self.0
            .kinds
            .borrow_mut()
            .0
            .insert(name.to_owned(), Rc::new(kind));
    }

    /// The names of the kinds it knows for that side, with how they are written.
    #[must_use]
    pub fn endpoint_kinds(&self, side: Side) -> Vec<(String, &'static str)> {
        let kinds = self.0.kinds.borrow();
        kinds
            .0
            .iter()
            .map(|(name, kind)| (name.clone(), kind.usage(side)))
            .filter(|(_, usage)| !usage.is_empty())
            .collect()
    }

    /// Checks an endpoint string without opening anything.
    ///
    /// # Errors
    /// It is not one, or its kind is not known.
    pub fn check_endpoint(&self, at: &str, side: Side) -> Result {
        self.check_spec(&EndpointSpec::parse(at)?, side)
    }

    /// The same for an endpoint string in its parts.
    ///
    /// # Errors
    /// It is not one, or its kind is not known.
    pub fn check_spec(&self, spec: &EndpointSpec, side: Side) -> Result {
        self.kind(spec)?.check(self, spec, side)
    }

    /// Whether several workers can listen at this endpoint at once.
    ///
    /// # Errors
    /// It is not one, its kind is not known, or why it cannot be shared.
    pub fn check_shared(&self, spec: &EndpointSpec) -> Result {
        self.kind(spec)?.check_shared(self, spec)
    }

    pub(crate) fn kind(&self, spec: &EndpointSpec) -> Result<Rc<dyn EndpointKind>> {
        let kinds = self.0.kinds.borrow();
        match kinds.0.get(&spec.kind) {
            Some(kind) => Ok(Rc::clone(kind)),
            None if spec.carries_datagrams() => Err(spec.problem(format!(
                "`{}` carries datagrams and no connections",
                spec.kind
            ))),
            None => {
                let known: Vec<&str> = kinds.0.keys().map(|name| &**name).collect();
                Err(spec.problem(unknown("kind of endpoint", &spec.kind, &known)))
            }
        }
    }
}

/// `tcp:` and `tcp6:`: they differ in where they listen when no interface is given, and only `tcp:` looks up names,
/// as it tries the addresses of both families.
struct Tcp {
    wildcard: IpAddr,
    destination: fn(&EndpointSpec, &str, u16) -> Result<Destination>,
    server: &'static str,
    client: &'static str,
}

const TCP: Tcp = Tcp {
    wildcard: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
    destination: address_or_host,
    server: "tcp:PORT[:interface=ADDRESS][:backlog=COUNT][:reuse=0|1]",
    client: "tcp:HOST:PORT[:timeout=SECONDS][:bindAddress=ADDRESS]",
};

const TCP6: Tcp = Tcp {
    wildcard: IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    destination: only_address,
    server: "tcp6:PORT[:interface=ADDRESS][:backlog=COUNT][:reuse=0|1]",
    client: "tcp6:ADDRESS:PORT[:timeout=SECONDS][:bindAddress=ADDRESS]",
};

impl Tcp {
    fn server(&self, spec: &EndpointSpec) -> Result<(Address, ListenOptions)> {
        spec.only(1, &["port", "interface", "backlog", "reuse"], self.server)?;
        let port = spec.named(0, "port");
        let port = spec.number(
            "port",
            port.ok_or_else(|| spec.problem("expected a port number"))?,
        )?;
        let ip = match spec.option("interface") {
            None | Some("") => self.wildcard,
            Some(interface) => own_address(spec, interface)?,
        };
        let mut options = ListenOptions::default();
        if let Some(backlog) = spec.option("backlog") {
            options.backlog = spec.number("backlog", backlog)?;
        }
        options.reuse_port = flag(spec, "reuse")?.unwrap_or_default();
        if options.reuse_port && port == 0 {
            return Err(
                spec.problem("reuse `1` needs a port: with 0 each socket would have another")
            );
        }
        Ok((SocketAddr::new(ip, port).into(), options))
    }
}

impl EndpointKind for Tcp {
    fn listen(
        &self,
        reactor: &Reactor,
        spec: &EndpointSpec,
        factory: &SharedFactory,
    ) -> Result<Port> {
        let (address, options) = self.server(spec)?;
        reactor.listen_at(&address, &options, factory)
    }

    fn target(&self, _reactor: &Reactor, spec: &EndpointSpec) -> Result<Target> {
        spec.only(2, &["host", "port", "timeout", "bindAddress"], self.client)?;
        let host = spec
            .named(0, "host")
            .ok_or_else(|| spec.problem("expected a host name or an address"))?;
        let port = spec
            .named(1, "port")
            .ok_or_else(|| spec.problem("expected a port number"))?;
        let to = (self.destination)(spec, host, spec.number("port", port)?)?;
        let bind = spec
            .option("bindAddress")
            .map(|bind| own_address(spec, bind))
            .transpose()?;
        let timeout: Option<u32> = spec
            .option("timeout")
            .map(|t| spec.number("timeout", t))
            .transpose()?;
        Ok(Target {
            options: ConnectOptions {
                bind: bind.map(|ip| SocketAddr::new(ip, 0).into()),
                ..ConnectOptions::default()
            },
            timeout: timeout.map(|seconds| Duration::from_secs(seconds.into())),
            ..Target::from(to)
        })
    }

    fn check(&self, reactor: &Reactor, spec: &EndpointSpec, side: Side) -> Result {
        match side {
            Side::Server => self.server(spec).map(drop),
            Side::Client => self.target(reactor, spec).map(drop),
        }
    }

    fn check_shared(&self, _reactor: &Reactor, _spec: &EndpointSpec) -> Result {
        Ok(())
    }

    fn usage(&self, side: Side) -> &'static str {
        match side {
            Side::Server => self.server,
            Side::Client => self.client,
        }
    }
}

/// An address, or a name that will be looked up.
fn address_or_host(spec: &EndpointSpec, host: &str, port: u16) -> Result<Destination> {
    if let Some(ip) = ip_address(host) {
        return Ok(Destination::Address(SocketAddr::new(ip, port).into()));
    }
    match HostName::parse(host) {
        Ok(name) => Ok(Destination::Host(name, port)),
        Err(BadHostName { problem, .. }) => Err(spec.problem(format!(
            "`{host}` is no IP address and no host name: {problem}"
        ))),
    }
}

fn only_address(spec: &EndpointSpec, host: &str, port: u16) -> Result<Destination> {
    let ip = ip_address(host).ok_or_else(|| {
        spec.problem(format!(
            "`{host}` is no IP address; to connect to a host name, write `tcp:{}:{port}`",
            quote(host)
        ))
    })?;
    Ok(Destination::Address(SocketAddr::new(ip, port).into()))
}

/// An address of this machine.
pub(crate) fn own_address(spec: &EndpointSpec, text: &str) -> Result<IpAddr> {
    ip_address(text).ok_or_else(|| {
        spec.problem(format!(
            "`{text}` is no IP address; names are looked up only to connect to them: \
             write an address of this machine, such as `127.0.0.1` or `\\:\\:1`"
        ))
    })
}

/// Numeric addresses, and `localhost`, which RFC 6761 says is the loopback whatever a resolver says.
pub(crate) fn ip_address(text: &str) -> Option<IpAddr> {
    let is_localhost = HostName::parse(text).is_ok_and(|name| name.is_localhost());
    if is_localhost {
        return Some(Ipv4Addr::LOCALHOST.into());
    }
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    type Parts<'a> = (&'a str, &'a [&'a str], &'a [(&'a str, &'a str)]);

    #[track_caller]
    fn check(text: &str, expected: Result<Parts<'_>, &str>) {
        match (EndpointSpec::parse(text), expected) {
            (Ok(spec), Ok((kind, arguments, options))) => {
                assert_eq!(spec.kind, kind);
                assert_eq!(spec.arguments, arguments);
                let got: Vec<_> = spec.options.iter().map(|(k, v)| (&**k, &**v)).collect();
                assert_eq!(got, options);
                assert_eq!(EndpointSpec::parse(&spec.to_string()), Ok(spec));
            }
            (Err(error), Err(text)) => assert!(error.problem.contains(text), "{error}"),
            (got, expected) => panic!("{text}: got {got:?}, expected {expected:?}"),
        }
    }

    /// What lies below, without the wrapper's option `own`.
    #[track_caller]
    fn check_below(text: &str, inner: Result<&str, &str>, as_tcp: &str) {
        let spec = EndpointSpec::parse(text).expect("it has the grammar");
        match (spec.inner(&["own"]), inner) {
            (Ok(below), Ok(expected)) => {
                assert_eq!(below.to_string(), expected);
                assert_eq!(EndpointSpec::parse(expected), Ok(below));
            }
            (Err(failure), Err(text)) => assert!(failure.to_string().contains(text), "{failure}"),
            (got, expected) => panic!("{text}: got {got:?}, expected {expected:?}"),
        }
        assert_eq!(spec.as_kind("tcp", &["own"]).to_string(), as_tcp);
    }

    #[test]
    fn a_kind_that_lies_on_another_finds_its_parts_as_they_were_quoted() {
        check_below(
            r"haproxy:tcp:8080:interface=\:\:1:own=a\=b",
            Ok(r"tcp:8080:interface=\:\:1"),
            r"tcp:tcp:8080:interface=\:\:1",
        );
        check_below(
            r"a:b:unix:/x\:y\\:mode=600",
            Ok(r"b:unix:/x\:y\\:mode=600"),
            r"tcp:b:unix:/x\:y\\:mode=600",
        );
        check_below(
            "tls:example.org:443:timeout=5:own=",
            Ok("example.org:443:timeout=5"),
            "tcp:example.org:443:timeout=5",
        );
        check_below(r"a:we\:ird:1", Ok(r"we\:ird:1"), r"tcp:we\:ird:1");
        check_below("a", Err("behind `a:`"), "tcp");
        check_below("a:", Err("behind `a:`"), "tcp:");
        check_below("a:x=1", Err("behind `a:`"), "tcp:x=1");
    }

    #[test]
    fn the_grammar_is_twisteds() {
        check("tcp:80", Ok(("tcp", &["80"], &[])));
        check(
            "tcp:80:interface=::1",
            Ok(("tcp", &["80", "", "1"], &[("interface", "")])),
        );
        check(
            r"tcp:80:interface=\:\:1",
            Ok(("tcp", &["80"], &[("interface", "::1")])),
        );
        check("unix:/a=b", Ok(("unix", &[], &[("/a", "b")])));
        check(r"unix:/a\=b\\", Ok(("unix", &[r"/a=b\"], &[])));
        check("tcp:a=b=c", Ok(("tcp", &[], &[("a", "b=c")])));
        check("stdio:", Ok(("stdio", &[""], &[])));
        check(r"tcp:\", Err("lone"));
        check("", Err("kind"));
        check(":80", Err("kind"));
        check("tcp:a=1:a=2", Err("twice"));
    }
}
