//! Standard input and output as one connection, and the endpoint kind `stdio:`. Knows no protocol.
//!
//! What the shell gave us is often shared: a terminal with the shell itself, a pipe with other programs. Pipes and
//! terminals are therefore opened once more, so that not waiting is our own affair; what cannot be opened again is set
//! back when the connection ends, also after a panic. Numbers 0 and 1 are free of them from then on: whoever reads our
//! output sees its end when the connection closes it.
//!
//! Source: Twisted's `internet/stdio.py`.

use rustix::{
    fs::{FileType, Mode, OFlags, fstat, major, minor, open},
    io::fcntl_dupfd_cloexec,
    stdio::{dup2_stdin, dup2_stdout, stderr, stdin, stdout},
};
use std::{
    fs::File,
    io::{self, ErrorKind, Write},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::atomic::{AtomicBool, Ordering},
};
use tress_core::{
    Connection, Deferred, Port, Protocol, Reactor, Result, SharedFactory,
    driver::Opened,
    endpoint::{EndpointKind, EndpointSpec, Side},
    error::{CannotListen, ConnectError},
    reactor::Target,
};

const USAGE: &str = "stdio:";

/// Whether some connection has them, or had.
static TAKEN: AtomicBool = AtomicBool::new(false);

/// Makes one connection of standard input and output, as [`Reactor::adopt_files`] does of other files. They may be pipes,
/// a terminal, files, or one socket (`inetd`), which is a connection like any other then. Once in a process.
///
/// From then on, what the program prints by itself goes to standard error, and not between the protocol's bytes; and it
/// reads nothing by itself. What it had read into `std::io::stdin` before is lost.
///
/// The loop goes on when the connection ends: a program that lives for it alone stops its reactor in `connection_lost`.
///
/// Fails when they were taken before, or when the driver takes over no such thing: they are untouched then.
#[track_caller]
pub fn stdio<P: Protocol>(reactor: &Reactor, protocol: P) -> Deferred<Connection<P>> {
    let opened = match Own::take() {
        Ok(own) => own,
        Err(error) => return Deferred::fail(ConnectError(error)),
    };
    let mut protocol = Some(protocol);
    let adopted = reactor.adopt(opened.open(), move |_: &tress_core::Address| {
        protocol.take()
    });
    match adopted {
        Ok(connection) => {
            Own::leave();
            connection
        }
        Err(failure) => {
            TAKEN.store(false, Ordering::Release);
            Deferred::fail(failure)
        }
    }
}

/// The endpoint kind `stdio`, to listen at: the factory gets one connection, at once.
#[derive(Clone, Copy, Debug)]
pub struct Stdio;

impl EndpointKind for Stdio {
    fn listen(
        &self,
        reactor: &Reactor,
        spec: &EndpointSpec,
        factory: &SharedFactory,
    ) -> Result<Port> {
        self.check(reactor, spec, Side::Server)?;
        let own = Own::take().map_err(|error| CannotListen {
            at: USAGE.to_owned(),
            error,
        })?;
        let port = reactor.adopt_at(USAGE, own.open(), factory);
        match &port {
            Ok(_) => Own::leave(),
            Err(_) => TAKEN.store(false, Ordering::Release),
        }
        port
    }

    fn target(&self, _reactor: &Reactor, spec: &EndpointSpec) -> Result<Target> {
        Err(spec.problem("`stdio:` is to listen at, and nothing to connect to"))
    }

    fn check(&self, reactor: &Reactor, spec: &EndpointSpec, side: Side) -> Result {
        if side == Side::Client {
            return self.target(reactor, spec).map(drop);
        }
        let arguments = spec.arguments.iter().filter(|part| !part.is_empty());
        match arguments
            .chain(spec.options.iter().map(|(key, _)| key))
            .next()
        {
            Some(part) => {
                Err(spec.problem(format!("`{part}` is one part too many; expected `{USAGE}`")))
            }
            None => Ok(()),
        }
    }

    fn usage(&self, side: Side) -> &'static str {
        match side {
            Side::Server => USAGE,
            Side::Client => "",
        }
    }
}

/// What is ours of them.
enum Own {
    Socket(OwnedFd),
    Files(OwnedFd, OwnedFd),
}

impl Own {
    fn take() -> io::Result<Self> {
        if TAKEN.swap(true, Ordering::AcqRel) {
            let text = "standard input and output were taken before, by another connection";
            return Err(io::Error::new(ErrorKind::AlreadyExists, text));
        }
        let taken = Self::copy();
        if taken.is_err() {
            TAKEN.store(false, Ordering::Release);
        }
        taken
    }

    fn copy() -> io::Result<Self> {
        // What was printed before comes first.
        io::stdout().flush()?;
        if is_one_socket()? {
            return Ok(Self::Socket(copy_of(stdin())?));
        }
        let input = own(stdin(), "/proc/self/fd/0", OFlags::RDONLY)?;
        let output = own(stdout(), "/proc/self/fd/1", OFlags::WRONLY)?;
        Ok(Self::Files(input, output))
    }

    fn open(self) -> Opened {
        match self {
            Self::Socket(socket) => Opened::Stream(socket.into()),
            Self::Files(input, output) => Opened::Files {
                input: Some(input.into()),
                output: Some(output.into()),
            },
        }
    }

    /// Nobody else has them any more.
    fn leave() {
        let left = File::options().read(true).write(true).open("/dev/null");
        let left = left.and_then(|null| {
            dup2_stdin(&null)?;
            // Standard error may be closed.
            dup2_stdout(stderr()).or_else(|_| dup2_stdout(&null))?;
            Ok(())
        });
        if let Err(error) = left {
            // Only that their readers hear of the end when this process ends.
            tracing::warn!(target: "tress", "standard input and output stay open: {error}");
        }
    }
}

/// Whether both are the same socket.
fn is_one_socket() -> io::Result<bool> {
    let [input, output] = [fstat(stdin())?, fstat(stdout())?];
    let is_socket = FileType::from_raw_mode(input.st_mode) == FileType::Socket;
    Ok(is_socket && (input.st_dev, input.st_ino) == (output.st_dev, output.st_ino))
}

/// A descriptor of our own: what can be opened again is, as then it is also ours alone that it does not wait.
pub(crate) fn own(file: BorrowedFd<'_>, path: &str, access: OFlags) -> io::Result<OwnedFd> {
    if can_be_opened_again(file)? {
        let flags = access | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
        if let Ok(opened) = open(path, flags, Mode::empty()) {
            return Ok(opened);
        }
    }
    copy_of(file)
}

fn copy_of(file: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    Ok(fcntl_dupfd_cloexec(file.as_fd(), 3)?)
}

/// A file would begin anew, and the master of a terminal would be another's.
fn can_be_opened_again(file: BorrowedFd<'_>) -> io::Result<bool> {
    /// `/dev/ptmx` on Linux.
    const MASTERS: (u32, u32) = (5, 2);
    let status = fstat(file)?;
    Ok(match FileType::from_raw_mode(status.st_mode) {
        FileType::Fifo => true,
        FileType::CharacterDevice => {
            let device = (major(status.st_rdev), minor(status.st_rdev));
            rustix::termios::isatty(file) && device != MASTERS
        }
        _ => false,
    })
}
