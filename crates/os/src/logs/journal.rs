//! The system's journal: entries of fields, a datagram each. Knows no field by name.
//!
//! Source: systemd's "Native Journal Protocol", <https://systemd.io/JOURNAL_NATIVE_PROTOCOL/>. Entries that are too large for
//! a datagram, which it would take in a file, are cut by whoever makes them.

use super::patience::Patience;
use crate::seam::{self, Call};
use socket2::{Domain, SockAddr, Socket, Type};
use std::{
    io::{self, ErrorKind},
    os::fd::AsFd,
    path::{Path, PathBuf},
};

/// Where journald listens.
pub const SOCKET: &str = "/run/systemd/journal/socket";

/// What is read before the longest field name ends.
const NAME_BYTES_MAX: usize = 64;

/// One entry of these fields. A name becomes capitals, digits and `_`, and one that has none of them is left out.
pub fn entry<'f>(fields: impl IntoIterator<Item = (&'f str, &'f str)>) -> Vec<u8> {
    let mut entry = Vec::new();
    for (name, value) in fields {
        let start = entry.len();
        let capitals = name.bytes().map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => byte.to_ascii_uppercase(),
            _ => b'_',
        });
        // Names that begin so are journald's own, or none.
        let capitals = capitals.skip_while(|byte| !byte.is_ascii_uppercase());
        entry.extend(capitals.take(NAME_BYTES_MAX));
        if entry.len() == start {
            continue;
        }
        if value.contains('\n') {
            entry.push(b'\n');
            entry.extend((value.len() as u64).to_le_bytes());
        } else {
            entry.push(b'=');
        }
        entry.extend(value.as_bytes());
        entry.push(b'\n');
    }
    entry
}

#[derive(Debug)]
pub(super) struct Journal {
    path: PathBuf,
    socket: Socket,
    patience: Patience,
}

fn connect(path: &Path) -> io::Result<Socket> {
    let socket = seam::call(Call::Socket, || {
        Socket::new(Domain::UNIX, Type::DGRAM.nonblocking(), None)
    })?;
    let address = SockAddr::unix(path)?;
    seam::call(Call::Connect, || socket.connect(&address))?;
    Ok(socket)
}

impl Journal {
    pub(super) fn connect(path: &Path) -> io::Result<Self> {
        Ok(Self {
            path: path.to_owned(),
            socket: connect(path)?,
            patience: Patience::default(),
        })
    }

    pub(super) fn write(&mut self, entry: &[u8]) -> io::Result<()> {
        let mut again = true;
        loop {
            let sent = seam::call(Call::Send, || self.socket.send(entry));
            match sent {
                Ok(_) => return Ok(()),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.patience.wait(self.socket.as_fd())?;
                }
                // It was started anew, which systemd does without us.
                Err(error) if again && is_gone(&error) => {
                    again = false;
                    self.socket = connect(&self.path)?;
                }
                Err(error) => return Err(error),
            }
        }
    }
}

fn is_gone(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::ConnectionRefused | ErrorKind::ConnectionReset | ErrorKind::NotConnected
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, os::unix::net::UnixDatagram};

    #[test]
    fn an_entry_is_what_the_protocol_says() {
        #[track_caller]
        fn check(fields: &[(&str, &str)], expected: &[u8]) {
            assert_eq!(entry(fields.iter().copied()), expected);
        }
        check(&[], b"");
        check(
            &[("MESSAGE", "a=b"), ("PRIORITY", "6")],
            b"MESSAGE=a=b\nPRIORITY=6\n",
        );
        check(
            &[("MESSAGE", "two\nlines"), ("x", "")],
            b"MESSAGE\n\x09\0\0\0\0\0\0\0two\nlines\nX=\n",
        );
        check(
            &[
                ("_SYSTEMD_UNIT", "mine"),
                ("9lives", "cat"),
                ("a.b\n=c", "d"),
                ("__", "e"),
            ],
            b"SYSTEMD_UNIT=mine\nLIVES=cat\nA_B__C=d\n",
        );
        let long = "n".repeat(70);
        let expected = format!("{}=v\n", "N".repeat(64));
        check(&[(&long, "v")], expected.as_bytes());
    }

    #[test]
    fn it_is_found_again_when_it_was_started_anew() {
        let path = std::env::temp_dir().join(format!("tress-journal-{}", std::process::id()));
        assert!(Journal::connect(&path).is_err(), "there is none");
        let heard = |socket: &UnixDatagram| {
            let mut entry = [0; 100];
            let length = socket.recv(&mut entry).unwrap();
            String::from_utf8(entry[..length].to_vec()).unwrap()
        };
        let journald = UnixDatagram::bind(&path).unwrap();
        let mut journal = Journal::connect(&path).unwrap();
        journal.write(b"MESSAGE=one\n").unwrap();
        assert_eq!(heard(&journald), "MESSAGE=one\n");
        drop(journald);
        fs::remove_file(&path).unwrap();
        assert!(journal.write(b"MESSAGE=lost\n").is_err());
        let journald = UnixDatagram::bind(&path).unwrap();
        journal.write(b"MESSAGE=two\n").unwrap();
        assert_eq!(heard(&journald), "MESSAGE=two\n");
        // One that does not read is not waited for when there is no patience left.
        journal.patience.exhaust();
        let taken = (0..100_000).take_while(|_| journal.write(b"A=b\n").is_ok());
        assert!((1..100_000).contains(&taken.count()));
        fs::remove_file(&path).unwrap();
    }
}
