//! `tress-testee PROTOCOL --at ENDPOINT [--driver mio|uring] [--workers N]`: the smallest server per protocol, through the
//! public API, for outside suites and benches. Knows nothing of who connects.

#![forbid(unsafe_code)]
#![expect(
    clippy::print_stderr,
    reason = "a program, which talks to the terminal"
)]

use std::{
    error::Error,
    fmt,
    io::{self, Write},
    process::ExitCode,
};
use tress::{
    EventType, Phase, Port, Workers,
    endpoint::{BadEndpoint, EndpointSpec},
    error::CannotListen,
    framing::{
        Int32Strings, LineReceiver, LineTransport, Lines, Netstrings, StringReceiver,
        StringTransport,
    },
    prelude::*,
};

const USAGE: &str = "usage: tress-testee echo|discard|lines|netstrings|int32 --at ENDPOINT [--driver mio|uring] [--workers N]";

/// Sends back what it gets.
struct Echo;

impl Protocol for Echo {
    fn data_received(&mut self, transport: &Transport, data: &[u8]) -> Result {
        transport.write(data);
        Ok(())
    }
}

/// RFC 862: to whom it came from.
impl DatagramProtocol for Echo {
    fn datagram_received(
        &mut self,
        transport: &DatagramTransport,
        data: &[u8],
        from: &Address,
    ) -> Result {
        // What cannot go back is lost, as any datagram may be.
        transport.write_to(data, from).ok();
        Ok(())
    }
}

/// Reads and says nothing.
struct Discard;

impl Protocol for Discard {}

/// RFC 863.
impl DatagramProtocol for Discard {}

/// Sends back each line or string it gets.
struct Repeat;

impl LineReceiver for Repeat {
    fn line_received(&mut self, transport: &LineTransport, line: &[u8]) -> Result {
        transport.send_line(line);
        Ok(())
    }
}

impl StringReceiver for Repeat {
    fn string_received(&mut self, transport: &StringTransport, string: &[u8]) -> Result {
        Ok(transport.send_string(string)?)
    }
}

struct Options {
    protocol: String,
    at: String,
    driver: String,
    workers: String,
}

fn main() -> ExitCode {
    let Some(options) = parse(std::env::args().skip(1)) else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    match serve(options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("tress-testee: {failure}");
            ExitCode::from(exit_code(&failure))
        }
    }
}

/// As of `tress run`: 2 for what is wrong on the command line, also an endpoint where nothing can listen.
fn exit_code(failure: &Failure) -> u8 {
    let wrong = failure.check::<BadArgument>().is_some()
        || failure.check::<BadEndpoint>().is_some()
        || failure.check::<CannotListen>().is_some();
    if wrong { 2 } else { 1 }
}

/// What is not known here.
#[derive(Debug)]
struct BadArgument(String);

impl fmt::Display for BadArgument {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no {}; {USAGE}", self.0)
    }
}

impl Error for BadArgument {}

fn parse(mut arguments: impl Iterator<Item = String>) -> Option<Options> {
    let protocol = arguments.next()?;
    let mut options = Options {
        protocol,
        at: String::new(),
        driver: "mio".to_owned(),
        workers: "1".to_owned(),
    };
    while let Some(option) = arguments.next() {
        let value = arguments.next()?;
        match &*option {
            "--at" => options.at = value,
            "--driver" => options.driver = value,
            "--workers" => options.workers = value,
            _ => return None,
        }
    }
    (!options.at.is_empty()).then_some(options)
}

fn serve(options: Options) -> Result {
    let count = options.workers.parse();
    let count = count.map_err(|_| BadArgument(format!("number `{}`", options.workers)))?;
    let workers = Workers::new(count, maker(&options.driver)?)
        .map_err(|error| BadArgument(error.to_string()))?;
    workers.run(move |worker| {
        let reactor = worker.reactor();
        let at = listen(reactor, &options.protocol, &options.at)?;
        if worker.is_home() {
            // The reactor keeps them: they are for as long as it runs.
            let signals = reactor.stop_on_signals()?;
            reactor.add_system_event_trigger(Phase::After, EventType::Shutdown, move || {
                drop(signals);
            });
        }
        if worker.index() + 1 == worker.count() {
            // Nobody may be reading.
            writeln!(io::stdout(), "listening at {at}").ok();
        }
        Ok(())
    })
}

fn maker(driver: &str) -> Result<fn() -> Result<Reactor>> {
    match driver {
        "mio" => Ok(tress::reactor),
        #[cfg(feature = "uring")]
        "uring" => Ok(tress::uring_reactor),
        other => Err(BadArgument(format!("driver `{other}` here")).into()),
    }
}

/// Says where it listens.
fn listen(reactor: &Reactor, protocol: &str, at: &str) -> Result<Address> {
    let has_datagrams = EndpointSpec::parse(at)?.carries_datagrams();
    match protocol {
        "echo" if has_datagrams => return Ok(reactor.listen_datagrams(at, Echo)?.local_address()),
        "discard" if has_datagrams => {
            return Ok(reactor.listen_datagrams(at, Discard)?.local_address());
        }
        _ => {}
    }
    let port = listen_for_connections(reactor, protocol, at)?;
    Ok(port.local_address().clone())
}

fn listen_for_connections(reactor: &Reactor, protocol: &str, at: &str) -> Result<Port> {
    match protocol {
        "echo" => reactor.listen(at, || Echo),
        "discard" => reactor.listen(at, || Discard),
        "lines" => reactor.listen(at, || Lines::new(Repeat)),
        "netstrings" => reactor.listen(at, || Netstrings::new(Repeat)),
        "int32" => reactor.listen(at, || Int32Strings::new(Repeat)),
        other => Err(BadArgument(format!("protocol `{other}`")).into()),
    }
}
