//! What this program does when it is the process under test.

use crate::run::AT;
use std::{io::Write, process::ExitCode};
use tress_core::{Failure, Pace, Producer, Protocol, Reactor, Result, Transport, WeakReactor};
use tress_os::{Mio, stdio, systemd::Systemd};

/// Sends back what comes, and stops the reactor at the end.
struct Echo {
    reactor: WeakReactor,
    at_data: fn(&Transport, &[u8]) -> Result,
    at_start: fn(&Transport),
}

impl Protocol for Echo {
    fn connection_made(&mut self, transport: &Transport) -> Result {
        (self.at_start)(transport);
        Ok(())
    }

    fn data_received(&mut self, transport: &Transport, data: &[u8]) -> Result {
        (self.at_data)(transport, data)
    }

    fn connection_lost(&mut self, reason: Failure) {
        eprintln!("lost: {reason}");
        if let Some(reactor) = self.reactor.upgrade() {
            reactor.stop().ok();
        }
    }
}

/// Has something to write whenever there is room.
struct Endless;

impl Producer for Endless {
    fn resume_producing(&mut self, transport: &Transport) -> Result {
        transport.write(&[b'y'; 4096]);
        Ok(())
    }
}

fn echo(reactor: &Reactor) -> Echo {
    Echo {
        reactor: reactor.downgrade(),
        at_data: |transport, data| {
            transport.write(data);
            Ok(())
        },
        at_start: |_| (),
    }
}

fn flood(transport: &Transport) {
    transport
        .register_producer(Endless, Pace::Pulled)
        .expect("it is the first");
}

pub(crate) fn play(role: &str) -> ExitCode {
    let reactor = Reactor::with(Mio::new().expect("epoll works"));
    let mut protocol = echo(&reactor);
    match role {
        "echo" | "twice" | "prints" | "unwinds" => {}
        "flood" => protocol.at_start = flood,
        "panics" => protocol.at_data = |_, _| panic!("ouch"),
        "half" => protocol.at_start = Transport::lose_write_connection,
        "endpoint" => return endpoint(&reactor),
        "systemd" => return serve(&reactor),
        "leak" => return leak(),
        other => panic!("there is no role {other}"),
    }
    print!("before ");
    stdio::stdio(&reactor, protocol).detach();
    if role == "twice" {
        let second = stdio::stdio(&reactor, echo(&reactor));
        second
            .add_both(|result| eprintln!("second: {:?}", result.err().map(|f| f.to_string())))
            .detach();
    }
    if role == "prints" {
        println!("printed");
        std::io::stdout().flush().expect("it goes to stderr");
    }
    if role == "unwinds" {
        // What keeps the reactor is dropped while this unwinds.
        reactor.turn(None).expect("the driver works");
        panic!("outside the loop");
    }
    reactor.run().expect("the driver works");
    ExitCode::SUCCESS
}

fn endpoint(reactor: &Reactor) -> ExitCode {
    reactor.endpoint_kind("stdio", stdio::Stdio);
    let own = reactor.clone();
    let port = reactor.listen("stdio:", move || echo(&own));
    let port = port.expect("nobody has them");
    assert!(port.is_listening());
    eprintln!("at {}", port.local_address());
    let again = reactor.listen("stdio:", || -> Echo { panic!("it listens nowhere") });
    eprintln!("again: {}", again.expect_err("they are taken"));
    reactor.run().expect("the driver works");
    assert!(!port.is_listening());
    ExitCode::SUCCESS
}

/// Echoes at every endpoint of the variable, one a line, until standard input ends.
fn serve(reactor: &Reactor) -> ExitCode {
    reactor.endpoint_kind("systemd", Systemd::of_process());
    for at in std::env::var(AT).expect("it is set").lines() {
        let own = reactor.clone();
        match reactor.listen(at, move || echo(&own)) {
            Ok(port) => eprintln!("listening at {}", port.local_address()),
            Err(failure) => {
                eprintln!("{failure}");
                return ExitCode::from(2);
            }
        }
    }
    reactor.run().expect("the driver works");
    ExitCode::SUCCESS
}

/// Whether a child that is started in any way has what was inherited.
fn leak() -> ExitCode {
    drop(Systemd::of_process());
    let listed = std::process::Command::new("ls")
        .args(["-l", "/proc/self/fd"])
        .output();
    let listed = listed.expect("there is `ls`");
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    eprintln!(
        "{}",
        if listed.contains("socket:") {
            "leaked"
        } else {
            "closed"
        }
    );
    ExitCode::SUCCESS
}
