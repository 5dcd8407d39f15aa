//! What the service manager is told of this process (`NOTIFY_SOCKET`, `WATCHDOG_USEC`, `WATCHDOG_PID`; `sd_notify(3)`,
//! `sd_watchdog_enabled(3)`). Knows no moment at which it is told anything.

use crate::seam::{self, Call};
use socket2::{Domain, SockAddr, Socket, Type};
use std::{
    env,
    ffi::{OsStr, OsString},
    io::{self, ErrorKind},
    os::unix::ffi::OsStrExt,
    process,
    time::Duration,
};
use tress_core::wording::quoted;

/// How long one message may wait for room in the manager's socket.
const SEND_WAIT: Duration = Duration::from_secs(1);

/// The service manager that has started this process, systemd or whoever keeps to its variables.
#[derive(Debug)]
pub struct ServiceManager {
    socket: Socket,
    address: SockAddr,
    watchdog: Option<Duration>,
}

impl ServiceManager {
    /// The one that has started this process; `None` if nobody wants to be told anything.
    ///
    /// # Errors
    /// One of the variables is wrong, or there is no socket to be had. Nobody can be told then.
    pub fn of_process() -> io::Result<Option<Self>> {
        let Some(name) = env::var_os("NOTIFY_SOCKET") else {
            return Ok(None);
        };
        let watchdog = watchdog(process::id(), env::var_os).map_err(invalid)?;
        Self::at(&name, watchdog).map(Some)
    }

    /// The one that listens at this socket, an absolute path or `@` and an abstract name, and wants to hear at least so often
    /// that this process is alive.
    ///
    /// # Errors
    /// That is no name of a socket, or no socket can be had. Whether anybody listens there shows the first message.
    pub fn at(name: &OsStr, watchdog: Option<Duration>) -> io::Result<Self> {
        let mut bytes = name.as_bytes().to_vec();
        match bytes.first() {
            Some(b'/') => {}
            Some(b'@') if bytes.len() > 1 => bytes[0] = 0,
            _ => {
                let name = quoted(&name.to_string_lossy());
                return Err(invalid(format!(
                    "NOTIFY_SOCKET is {name}; expected an absolute path, or `@` and a name"
                )));
            }
        }
        let address = SockAddr::unix(OsStr::from_bytes(&bytes))?;
        let socket = seam::call(Call::Socket, || {
            Socket::new(Domain::UNIX, Type::DGRAM, None)
        })?;
        seam::call(Call::Setsockopt, || {
            socket.set_write_timeout(Some(SEND_WAIT))
        })?;
        Ok(Self {
            socket,
            address,
            watchdog,
        })
    }

    /// Tells it this: lines such as `READY=1`. Waits at most a second, where the manager does not read.
    ///
    /// # Errors
    /// It was not told.
    pub fn tell(&self, state: &str) -> io::Result<()> {
        let most = seam::room(Call::Send, state.len())?;
        if most < state.len() {
            return Err(ErrorKind::WouldBlock.into());
        }
        self.socket.send_to(state.as_bytes(), &self.address)?;
        Ok(())
    }

    /// How long it may hear no `WATCHDOG=1` before it takes this process for dead; `None` if it does not watch.
    #[must_use]
    pub fn watchdog(&self) -> Option<Duration> {
        self.watchdog
    }
}

fn invalid(text: String) -> io::Error {
    io::Error::new(ErrorKind::InvalidInput, text)
}

/// What the variables of the watchdog say to this process.
fn watchdog(
    own: u32,
    variable: impl Fn(&'static str) -> Option<OsString>,
) -> Result<Option<Duration>, String> {
    let number = |name: &'static str| -> Result<Option<u64>, String> {
        let Some(value) = variable(name) else {
            return Ok(None);
        };
        let value = value.to_string_lossy().into_owned();
        let number = value.parse().ok().filter(|number| *number > 0);
        let number = number.ok_or_else(|| {
            let value = quoted(&value);
            format!("{name} is {value}; expected a whole number from 1")
        })?;
        Ok(Some(number))
    };
    let others = number("WATCHDOG_PID")?.is_some_and(|pid| pid != own.into());
    let every = number("WATCHDOG_USEC")?;
    Ok(every.filter(|_| !others).map(Duration::from_micros))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::{
        linux::net::SocketAddrExt,
        unix::net::{SocketAddr, UnixDatagram},
    };

    #[test]
    fn what_the_watchdog_wants() {
        #[track_caller]
        fn check(usec: &str, pid: &str, expected: Result<Option<u64>, &str>) {
            let variable = |name: &str| {
                let value = if name == "WATCHDOG_USEC" { usec } else { pid };
                (value != "-").then(|| value.into())
            };
            match (watchdog(7, variable), expected) {
                (Ok(found), Ok(expected)) => {
                    assert_eq!(found, expected.map(Duration::from_micros));
                }
                (Err(found), Err(expected)) => assert_eq!(found, expected),
                (found, expected) => panic!("{found:?}, expected {expected:?}"),
            }
        }
        check("-", "-", Ok(None));
        check("-", "7", Ok(None));
        check("30000000", "-", Ok(Some(30_000_000)));
        check("1", "7", Ok(Some(1)));
        check("1", "8", Ok(None));
        let from_1 = |name: &str, value: &str| {
            format!("{name} is `{value}`; expected a whole number from 1")
        };
        for wrong in ["", "0", "-1", "1s", "18446744073709551616"] {
            check(wrong, "-", Err(&from_1("WATCHDOG_USEC", wrong)));
            check("1", wrong, Err(&from_1("WATCHDOG_PID", wrong)));
        }
    }

    #[test]
    fn it_is_told_by_path_and_by_abstract_name() {
        let id = process::id();
        let path = env::temp_dir().join(format!("tress-notify-{id}"));
        let by_path = UnixDatagram::bind(&path).unwrap();
        let name = format!("tress-notify-{id}");
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        let by_name = UnixDatagram::bind_addr(&address).unwrap();
        for (at, socket) in [
            (path.as_os_str().to_owned(), by_path),
            (format!("@{name}").into(), by_name),
        ] {
            let manager = ServiceManager::at(&at, None).unwrap();
            manager.tell("READY=1\nSTATUS=two words").unwrap();
            let mut heard = [0; 100];
            let length = socket.recv(&mut heard).unwrap();
            assert_eq!(&heard[..length], b"READY=1\nSTATUS=two words");
            drop(socket);
            std::fs::remove_file(&path).ok();
            assert!(manager.tell("STOPPING=1").is_err(), "nobody is there");
        }
        for wrong in ["", "@", "run/notify", "vsock:2:1"] {
            let refused = ServiceManager::at(OsStr::new(wrong), None).unwrap_err();
            assert!(
                refused.to_string().starts_with("NOTIFY_SOCKET is `"),
                "{refused}"
            );
        }
    }
}
