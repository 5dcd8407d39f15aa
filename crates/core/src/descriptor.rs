//! Open files that go through a connection to another process, and those that wait for that. Opens and closes nothing
//! itself: what is dropped is closed.

use std::{collections::VecDeque, error::Error, fmt};

#[cfg(not(unix))]
type Inside = std::convert::Infallible;
#[cfg(unix)]
type Inside = std::os::fd::OwnedFd;

/// An open file, socket or pipe of this process. Dropping it closes it.
///
/// On UNIX systems it is made from an [`OwnedFd`](std::os::fd::OwnedFd) or a [`File`](std::fs::File), and becomes an
/// `OwnedFd` again; elsewhere there is none.
#[derive(Debug)]
pub struct Descriptor(Inside);

#[cfg(unix)]
mod unix {
    use super::Descriptor;
    use std::{
        fs::File,
        os::fd::{AsFd, BorrowedFd, OwnedFd},
    };

    impl From<OwnedFd> for Descriptor {
        fn from(descriptor: OwnedFd) -> Self {
            Self(descriptor)
        }
    }

    impl From<File> for Descriptor {
        fn from(file: File) -> Self {
            Self(file.into())
        }
    }

    impl From<Descriptor> for OwnedFd {
        fn from(descriptor: Descriptor) -> Self {
            descriptor.0
        }
    }

    impl AsFd for Descriptor {
        fn as_fd(&self) -> BorrowedFd<'_> {
            self.0.as_fd()
        }
    }
}

/// Descriptors that wait in the output of a connection, each for its byte.
#[derive(Debug, Default)]
pub struct Passing {
    /// How far behind the front of the output the byte is, in order.
    entries: VecDeque<(usize, Descriptor)>,
}

impl Passing {
    /// How many bytes leave before the first descriptor does; `None` when none waits.
    #[must_use]
    pub fn distance(&self) -> Option<usize> {
        self.entries.front().map(|(distance, _)| *distance)
    }

    /// Those that go with the first byte, in order, at most `most`.
    pub fn due(&self, most: usize) -> impl Iterator<Item = &Descriptor> {
        let due = self.entries.iter().take(most);
        due.take_while(|(distance, _)| *distance == 0)
            .map(|(_, descriptor)| descriptor)
    }

    /// How many bytes may leave with the first `due` of them: others go with the byte after that.
    #[must_use]
    pub fn room(&self, due: usize) -> usize {
        let next = self.entries.get(due);
        // One byte has to leave with those that are due, also when there are more than can go at once.
        next.map_or(usize::MAX, |(distance, _)| (*distance).max(1))
    }

    /// The first `due` descriptors, and so many bytes, have left.
    ///
    /// # Panics
    /// When fewer wait.
    pub fn sent(&mut self, due: usize, bytes: usize) {
        self.entries.drain(..due);
        for (distance, _) in &mut self.entries {
            *distance = distance.saturating_sub(bytes);
        }
    }

    /// How many wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether none waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// One more, for the byte so far behind the front.
    pub(crate) fn push(&mut self, distance: usize, descriptor: Descriptor) {
        self.entries.push_back((distance, descriptor));
    }
}

/// A descriptor that cannot be sent.
#[derive(Debug)]
pub struct NotPassed {
    /// The descriptor.
    pub descriptor: Descriptor,
    /// Why not.
    pub why: WhyNotPassed,
}

/// Why a descriptor cannot be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhyNotPassed {
    /// Only UNIX sockets carry descriptors.
    NoUnixSocket,
    /// A layer lies below the protocol: a descriptor has no place in what it makes of the bytes.
    Layer,
    /// As many wait as the limit `descriptors` allows.
    QueueFull,
    /// Nothing can be written any more.
    Ended,
}

impl fmt::Display for NotPassed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.why {
            WhyNotPassed::NoUnixSocket => "only UNIX sockets carry descriptors",
            WhyNotPassed::Layer => "descriptors do not go through layers",
            WhyNotPassed::QueueFull => "more descriptors wait than the limit `descriptors` allows",
            WhyNotPassed::Ended => "nothing can be written any more, and no descriptor sent",
        })
    }
}

impl Error for NotPassed {}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::{io, os::fd::OwnedFd};

    fn passing(distances: &[usize]) -> Passing {
        let mut passing = Passing::default();
        for distance in distances {
            let (_, writer) = io::pipe().expect("there is a pipe");
            passing.push(*distance, OwnedFd::from(writer).into());
        }
        passing
    }

    /// What is sent at once, until nothing waits: how many descriptors, and the most bytes that may go with them.
    #[track_caller]
    fn check(distances: &[usize], most: usize, expected: &[(usize, usize)]) {
        let mut passing = passing(distances);
        let mut steps = Vec::new();
        while !passing.is_empty() {
            let due = passing.due(most).count();
            let room = passing.room(due);
            steps.push((due, room));
            passing.sent(due, room);
        }
        assert_eq!(steps, expected);
        assert_eq!(passing.distance(), None);
    }

    #[test]
    fn descriptors_wait_for_their_bytes() {
        const REST: usize = usize::MAX;
        check(&[0], 9, &[(1, REST)]);
        check(&[3], 9, &[(0, 3), (1, REST)]);
        check(&[0, 0, 2], 9, &[(2, 2), (1, REST)]);
        check(&[1, 1, 5, 6], 9, &[(0, 1), (2, 4), (1, 1), (1, REST)]);
        // More at one byte than can go at once: the rest goes with the byte after it.
        check(&[0, 0, 0], 2, &[(2, 1), (1, REST)]);
    }

    #[test]
    fn a_part_of_the_room_is_used() {
        let mut passing = passing(&[7]);
        passing.sent(0, 5);
        assert_eq!((passing.distance(), passing.len()), (Some(2), 1));
    }
}
