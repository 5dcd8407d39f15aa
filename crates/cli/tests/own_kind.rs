//! A user's own `main`: `tress` with two more kinds of endpoint, which plug themselves in. Called as a test it starts itself as that program.

#![expect(
    clippy::disallowed_types,
    clippy::unwrap_used,
    reason = "the other end of the wire is not ours, and this whole file is a test"
)]

#[expect(
    dead_code,
    reason = "not all of the programs that share it need all of it"
)]
mod running;

use running::Running;
use std::{
    env, fs,
    io::{self, Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    os::unix::net::UnixDatagram,
    process::{Command, ExitCode},
    thread,
};
use tress_app::{EndpointPlug, plug_in};
use tress_core::{
    Address, Port, Reactor, Result, SharedFactory,
    driver::ListenOptions,
    endpoint::{EndpointKind, EndpointSpec, Side},
    reactor::Target,
};

plug_in!(EndpointPlug {
    name: "loopback",
    teach: |reactor, name| reactor.endpoint_kind(name, Loopback),
});
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

plug_in!(EndpointPlug {
    name: "stuck",
    teach: |reactor, name| reactor.endpoint_kind(name, Stuck),
});
/// `stuck:PORT`: the same, and on the second worker a callback that never returns.
struct Stuck;

impl EndpointKind for Stuck {
    fn listen(
        &self,
        reactor: &Reactor,
        spec: &EndpointSpec,
        factory: &SharedFactory,
    ) -> Result<Port> {
        if thread::current().name() == Some("tress-worker-1") {
            reactor.call_when_running(|| -> () {
                io::stderr().write_all(b"it is stuck\n").unwrap();
                loop {
                    thread::park();
                }
            });
        }
        Loopback.listen(reactor, spec, factory)
    }

    fn target(&self, reactor: &Reactor, spec: &EndpointSpec) -> Result<Target> {
        Loopback.target(reactor, spec)
    }

    fn check(&self, reactor: &Reactor, spec: &EndpointSpec, side: Side) -> Result {
        Loopback.check(reactor, spec, side)
    }

    fn usage(&self, _side: Side) -> &'static str {
        "stuck:PORT"
    }

    fn check_shared(&self, _reactor: &Reactor, _spec: &EndpointSpec) -> Result {
        Ok(())
    }
}

/// Set for the program, and not for the test.
const IS_PROGRAM: &str = "TRESS_OWN_KIND";

fn main() -> ExitCode {
    if env::var_os(IS_PROGRAM).is_none() {
        test();
        one_signal_ends_it_although_a_worker_is_stuck();
        return ExitCode::SUCCESS;
    }
    tress_cli::main()
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
    let running = Running::of(&mut program(&["run", file]));
    let at = running.address("finger");
    assert!(at.ip().is_loopback());
    let mut stream = TcpStream::connect(at).unwrap();
    stream.write_all(b"zoe\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert_eq!(answer, "here\r\n");
    drop(running);
    fs::remove_dir_all(&directory).unwrap();
}

fn one_signal_ends_it_although_a_worker_is_stuck() {
    let file = env::temp_dir().join(format!("tress-stuck-{}.toml", std::process::id()));
    let text = "[app]\nworkers = 2\n[limits]\nworker_stop = '10ms'\n[provide.users]\nkind = 'finger.memory'\n\
                [[serve]]\nwhat = 'users'\nas = 'finger'\nat = 'stuck:0'\n";
    fs::write(&file, text).unwrap();
    let manager = file.with_extension("notify");
    let hears = UnixDatagram::bind(&manager).unwrap();
    hears.set_read_timeout(Some(running::PATIENCE)).unwrap();
    let told = || {
        let mut message = [0; 1000];
        loop {
            match hears.recv(&mut message) {
                Ok(length) => return String::from_utf8(message[..length].to_vec()).unwrap(),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => panic!("{error}"),
            }
        }
    };
    let mut command = program(&["run", file.to_str().unwrap()]);
    command.env("NOTIFY_SOCKET", &manager);
    let mut running = Running::of(command.env("WATCHDOG_USEC", "200"));
    running.line("it is stuck");
    assert_eq!(told(), "READY=1\nSTATUS=1 service runs");
    // The first loop turns, and again and again the time is over in which the watchdog wants to hear of all.
    assert_eq!(told(), "WATCHDOG=1");
    for _ in 0..10 {
        running.signal("HUP");
        assert!(told().starts_with("RELOADING=1\n"));
        assert!(told().starts_with("READY=1\n"));
    }
    running.signal("INT");
    assert!(told().starts_with("STOPPING=1\n"));
    fs::remove_file(&manager).unwrap();
    let (said, code) = running.ends();
    assert_eq!(code, Some(1), "{said:?}");
    let last = "worker 1 did not end within 10ms (`worker_stop`): a callback holds the thread, which was left behind";
    assert_eq!(said.last().map(String::as_str), Some(last), "{said:?}");
    assert!(
        !said.iter().any(|line| line.contains("has stopped")),
        "{said:?}"
    );
    fs::remove_file(&file).unwrap();
}
