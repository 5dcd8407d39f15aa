//! Lines into standard error: a pipe, a terminal, a socket or a file, whose reader may be slow or gone. Opens no file by
//! name.

use super::patience::Patience;
use crate::{
    seam::{self, Call},
    stdio,
};
use rustix::{
    fs::{FileType, OFlags, fstat},
    io::write,
    net::{SendFlags, send},
    stdio::stderr,
};
use std::{
    io::{self, ErrorKind},
    os::fd::{AsFd, OwnedFd},
};

/// What a pipe that has room takes without waiting (`PIPE_BUF` on Linux).
const PIECE_BYTES: usize = 4096;

#[derive(Debug)]
pub(super) struct Stream {
    /// `None` when there is no standard error.
    file: Option<OwnedFd>,
    how: How,
    /// The rest of a line that was written in part.
    rest: Vec<u8>,
    patience: Patience,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum How {
    /// It is ours that it does not wait.
    Own,
    /// A socket: each call says that it is not to wait.
    Socket,
    /// Others have it, and it may wait: it is asked before each piece.
    Shared,
}

impl Stream {
    pub(super) fn stderr() -> Self {
        let own = stdio::own(stderr(), "/proc/self/fd/2", OFlags::WRONLY);
        Self::of(own.ok())
    }

    fn of(file: Option<OwnedFd>) -> Self {
        let how = file.as_ref().map_or(How::Shared, |file| {
            let status = fstat(file).map(|status| FileType::from_raw_mode(status.st_mode));
            let flags = rustix::fs::fcntl_getfl(file);
            match (status, flags) {
                (Ok(FileType::Socket), _) => How::Socket,
                (_, Ok(flags)) if flags.contains(OFlags::NONBLOCK) => How::Own,
                _ => How::Shared,
            }
        });
        Self {
            file,
            how,
            rest: Vec::new(),
            patience: Patience::default(),
        }
    }

    /// Does not fail once a part of the line has left: the rest is kept then.
    pub(super) fn write(&mut self, line: &[u8]) -> io::Result<()> {
        let rest = std::mem::take(&mut self.rest);
        let written = self.write_some(&rest);
        if written < rest.len() {
            self.rest = rest[written..].to_vec();
            return Err(too_slow());
        }
        match self.write_some(line) {
            0 if !line.is_empty() => Err(too_slow()),
            written => {
                self.rest = line[written..].to_vec();
                Ok(())
            }
        }
    }

    /// How much of it has left.
    fn write_some(&mut self, bytes: &[u8]) -> usize {
        let mut left = bytes;
        while !left.is_empty() {
            match self.write_once(left) {
                Ok(0) => break,
                Ok(count) => left = &left[count..],
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    let Some(file) = &self.file else { break };
                    if self.patience.wait(file.as_fd()).is_err() {
                        break;
                    }
                }
                Err(_) => break,
            }
        }
        bytes.len() - left.len()
    }

    fn write_once(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Some(file) = &self.file else {
            return Ok(0);
        };
        match self.how {
            How::Own => seam::call(Call::Writev, || Ok(write(file, bytes)?)),
            How::Socket => seam::call(Call::Send, || {
                Ok(send(
                    file,
                    bytes,
                    SendFlags::DONTWAIT | SendFlags::NOSIGNAL,
                )?)
            }),
            How::Shared => {
                self.patience.wait(file.as_fd())?;
                let piece = &bytes[..bytes.len().min(PIECE_BYTES)];
                seam::call(Call::Writev, || Ok(write(file, piece)?))
            }
        }
    }
}

fn too_slow() -> io::Error {
    io::Error::new(ErrorKind::TimedOut, "nobody read it in time")
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::io::ioctl_fionbio;
    use std::{
        io::{PipeReader, Read},
        os::unix::net::UnixStream,
    };

    /// Everything that a line may go to, with the way it is written to.
    fn pipe(own: bool) -> (Stream, PipeReader) {
        let (reader, writer) = io::pipe().unwrap();
        let writer: OwnedFd = writer.into();
        ioctl_fionbio(&writer, own).unwrap();
        let stream = Stream::of(Some(writer));
        assert_eq!(stream.how, if own { How::Own } else { How::Shared });
        (stream, reader)
    }

    /// Until nobody reads: the lines that were taken, which are 100 bytes long.
    fn fill(stream: &mut Stream) -> usize {
        stream.patience.exhaust();
        let line = [&[b'x'; 99][..], b"\n"].concat();
        let mut taken = 0;
        while stream.write(&line).is_ok() {
            taken += 1;
            assert!(taken < 1_000_000);
        }
        assert!(stream.write(&line).is_err(), "it stays so");
        taken
    }

    #[track_caller]
    fn check(mut stream: Stream, mut reader: impl Read + 'static) {
        let taken = fill(&mut stream);
        let mut some = vec![0; taken * 100];
        // What is kept of the last line may be missing yet.
        let mut read = 0;
        while read + 100 < some.len() {
            read += reader.read(&mut some[read..]).unwrap();
        }
        stream.patience = Patience::default();
        stream.write(b"again\n").unwrap();
        drop(stream);
        let mut rest = Vec::new();
        reader.read_to_end(&mut rest).unwrap();
        let all = [&some[..read], &rest].concat();
        let text = String::from_utf8(all).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), taken + 1, "none is torn, none is lost");
        assert!(lines[..taken].iter().all(|line| *line == "x".repeat(99)));
        assert_eq!(lines[taken], "again");
    }

    #[test]
    fn nobody_is_waited_for_for_ever_and_no_line_is_torn() {
        for own in [true, false] {
            let (stream, reader) = pipe(own);
            check(stream, reader);
        }
        let (ours, theirs) = UnixStream::pair().unwrap();
        let stream = Stream::of(Some(ours.into()));
        assert_eq!(stream.how, How::Socket);
        check(stream, theirs);
    }

    #[test]
    fn the_rest_of_a_line_comes_before_the_next() {
        for own in [true, false] {
            let (mut stream, mut reader) = pipe(own);
            stream.patience.exhaust();
            let long = [&[b'x'; 99_999][..], b"\n"].concat();
            stream.write(&long).unwrap(); // as much of it as a pipe takes
            assert!(stream.write(b"lost\n").is_err());
            let mut some = vec![0; 50_000];
            reader.read_exact(&mut some).unwrap();
            stream.patience = Patience::default();
            stream.write(b"next\n").unwrap();
            drop(stream);
            reader.read_to_end(&mut some).unwrap();
            assert!(
                some == [&long[..], b"next\n"].concat(),
                "{} bytes",
                some.len()
            );
        }
    }

    #[test]
    fn a_reader_that_has_gone_is_no_more_than_a_line_lost() {
        let (mut stream, reader) = pipe(true);
        drop(reader);
        assert!(stream.write(b"a\n").is_err());
        assert!(Stream::of(None).write(b"a\n").is_err());
    }
}
