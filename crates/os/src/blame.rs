//! Whose fault it is that a port could not accept: what its driver does about that. Makes no call.
//!
//! Sources: accept(2) of Linux, which hands on what is wrong with the peer's connection; Twisted's `internet/tcp.py`.

use std::io;

/// Who is to blame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Blame {
    /// Nobody: there is nobody to accept.
    Nobody,
    /// The peer, who has gone again or cannot be reached: the next one may be waiting.
    Peer,
    /// The system, or this process's limits: peers must be turned away, and the port rests.
    Shortage,
    /// The port, for whatever reason: it rests.
    Port,
}

/// Who is to blame for this error of `accept`.
pub(crate) fn blame(error: &io::Error) -> Blame {
    match error.raw_os_error() {
        Some(libc::EAGAIN) => Blame::Nobody,
        Some(
            libc::EINTR
            | libc::ECONNABORTED
            | libc::ECONNRESET
            | libc::EPIPE
            | libc::ETIMEDOUT
            | libc::ENETDOWN
            | libc::ENETUNREACH
            | libc::EHOSTDOWN
            | libc::EHOSTUNREACH
            | libc::EPROTO
            | libc::ENOPROTOOPT
            | libc::EOPNOTSUPP,
        ) => Blame::Peer,
        #[cfg(target_os = "linux")]
        Some(libc::ENONET) => Blame::Peer,
        Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM) => Blame::Shortage,
        _ => Blame::Port,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_to_blame() {
        let check = |errors: &[i32], expected| {
            for &error in errors {
                let blamed = blame(&io::Error::from_raw_os_error(error));
                assert_eq!(blamed, expected, "{error}");
            }
        };
        check(&[libc::EAGAIN, libc::EWOULDBLOCK], Blame::Nobody);
        check(
            &[libc::ECONNABORTED, libc::EPROTO, libc::EINTR],
            Blame::Peer,
        );
        check(&[libc::EMFILE, libc::ENFILE, libc::ENOMEM], Blame::Shortage);
        check(&[libc::EBADF, libc::EINVAL, libc::EPERM], Blame::Port);
        assert_eq!(blame(&io::Error::other("what is that")), Blame::Port);
    }
}
