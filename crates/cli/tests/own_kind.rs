//! A user's own `main`: `tress` with one more kind of endpoint. Called as a test it starts itself as that program.

#![expect(
    clippy::disallowed_types,
    clippy::unwrap_used,
    reason = "the other end of the wire is not ours, and this whole file is a test"
)]

use std::{
    env, fs,
    io::{BufRead, BufReader, Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    process::{Command, ExitCode, Stdio},
};
use tress_cli::{Registry, main_with};
use tress_core::{
    Address, Port, Reactor, Result, SharedFactory,
    driver::ListenOptions,
    endpoint::{EndpointKind, EndpointSpec, Side},
    reactor::Target,
};

/// `loopback:PORT`: TCP that never leaves this machine.
struct Loopback;

const USAGE: &str = "loopback:PORT";

impl Loopback {
    fn address(spec: &EndpointSpec) -> Result<Address> {
        spec.only(1, &["port"], USAGE)?;
        let port = spec.named(0, "port");
        let port = port.ok_or_else(|| spec.problem("expected a port number"))?;
        let port = spec.number("port", port)?;
        Ok(SocketAddr::from((Ipv4Addr::LOCALHOST, port)).into())
    }
}

impl EndpointKind for Loopback {
    fn listen(
        &self,
        reactor: &Reactor,
        spec: &EndpointSpec,
        factory: &SharedFactory,
    ) -> Result<Port> {
        reactor.listen_at(&Self::address(spec)?, &ListenOptions::default(), factory)
    }

    fn target(&self, _reactor: &Reactor, spec: &EndpointSpec) -> Result<Target> {
        Ok(Target::new(Self::address(spec)?))
    }

    fn check(&self, _reactor: &Reactor, spec: &EndpointSpec, _side: Side) -> Result {
        Self::address(spec).map(drop)
    }

    fn usage(&self, _side: Side) -> &'static str {
        USAGE
    }
}

/// Set for the program, and not for the test.
const IS_PROGRAM: &str = "TRESS_OWN_KIND";

fn main() -> ExitCode {
    if env::var_os(IS_PROGRAM).is_none() {
        test();
        return ExitCode::SUCCESS;
    }
    let mut registry = Registry::builtin();
    registry.register_endpoint("loopback", || Loopback);
    main_with(&registry)
}

fn program(arguments: &[&str]) -> Command {
    let mut command = Command::new(env::current_exe().unwrap());
    command.env(IS_PROGRAM, "").args(arguments);
    command
}

fn test() {
    let directory = env::temp_dir().join(format!("tress-own-kind-{}", std::process::id()));
    fs::create_dir_all(&directory).unwrap();
    let file = directory.join("f.toml");
    let file = file.to_str().unwrap();

    let plugins = program(&["plugins"]).output().unwrap();
    let listed = String::from_utf8(plugins.stdout).unwrap();
    assert_eq!(
        listed.matches("\n  loopback  loopback:PORT\n").count(),
        2,
        "{listed}"
    );

    let write = |at: &str| {
        let users = "[provide.users]\nkind = 'finger.memory'\nusers = {zoe = 'here'}\n";
        let serve = format!("[[serve]]\nwhat = 'users'\nas = 'finger'\nat = '{at}'\n");
        fs::write(file, format!("{users}{serve}")).unwrap();
    };
    write("loopback:65536");
    let refused = program(&["check", file]).output().unwrap();
    let expected = format!("{file}:7: serve.at: port `65536` is no number from 0 to 65535\n");
    assert_eq!(String::from_utf8(refused.stderr).unwrap(), expected);
    assert_eq!(refused.status.code(), Some(2));

    write("loopback:0");
    let mut running = program(&["run", file])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut log = BufReader::new(running.stderr.take().unwrap()).lines();
    let listening = log.find_map(|line| {
        line.unwrap()
            .split_once("as finger (")
            .map(|(_, at)| at.to_owned())
    });
    let at: SocketAddr = listening.unwrap().trim_end_matches(')').parse().unwrap();
    assert!(at.ip().is_loopback());
    let mut stream = TcpStream::connect(at).unwrap();
    stream.write_all(b"zoe\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert_eq!(answer, "here\r\n");
    running.kill().unwrap();
    running.wait().unwrap();
    fs::remove_dir_all(&directory).unwrap();
}
