//! What the targets share: pieces to cut bytes into, and what a protocol did with them. Knows no format.

use std::{cell::RefCell, rc::Rc};
use tress_core::{
    Protocol, Result,
    framing::{Format, Parsed, StringOptions, StringReceiver, StringTransport, Strings},
    testing::memory::Tester,
};

/// More bytes than this show nothing that fewer do not.
pub const INPUT_BYTES_MAX: usize = 4096;

/// The first `N` bytes, which choose how the others are used, and the others.
#[must_use]
pub fn split_header<const N: usize>(data: &[u8]) -> Option<([u8; N], &[u8])> {
    let (header, rest) = data.split_first_chunk()?;
    (rest.len() <= INPUT_BYTES_MAX).then_some((*header, rest))
}

/// `bytes` in pieces of at most 16 bytes, more often of few, as `seed` says.
pub fn pieces(mut bytes: &[u8], seed: u8) -> impl Iterator<Item = &[u8]> {
    let mut state = u32::from(seed) * 2 + 1;
    std::iter::from_fn(move || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        let (piece, rest) = bytes
            .split_at_checked(1 + (state & 15) as usize)
            .unwrap_or((bytes, &[]));
        bytes = rest;
        (!piece.is_empty()).then_some(piece)
    })
}

/// What happened to a protocol, in order. A clone is the same list.
#[derive(Clone, Debug, Default)]
pub struct Events(Rc<RefCell<Vec<Event>>>);

type Event = (&'static str, Vec<u8>);

impl Events {
    /// One event more; raw bytes are joined, as how they are cut means nothing.
    pub fn push(&self, event: &'static str, bytes: &[u8]) {
        let mut events = self.0.borrow_mut();
        match events.last_mut() {
            Some((last, raw)) if event == "raw" && *last == "raw" => raw.extend_from_slice(bytes),
            _ => events.push((event, bytes.to_vec())),
        }
    }
}

/// Everything that can be seen of a protocol.
struct Seen {
    events: Events,
    aborted: bool,
    closed: bool,
    sent: Vec<u8>,
}

/// What a protocol does to which these pieces come, and then the end.
fn observe<'a, P: Protocol>(
    build: &impl Fn(Events) -> P,
    input: impl IntoIterator<Item = &'a [u8]>,
) -> Seen {
    let events = Events::default();
    let tester = Tester::new(build(events.clone()));
    for piece in input {
        tester.receive(piece);
        while !tester.has_ended() && tester.transport().is_paused() {
            events.push("pause", b"");
            tester.transport().resume_producing();
            tester.settle();
        }
    }
    tester.peer_closes_write();
    Seen {
        events,
        aborted: tester.was_aborted(),
        closed: tester.is_closed(),
        sent: tester.sent(),
    }
}

/// The same must happen when the bytes come whole, in pieces, and one by one. Only of a connection that is aborted the
/// one may have sent more than the other: an answer that has not left then is thrown away.
///
/// # Panics
/// Something else happens.
pub fn same_however_cut<P: Protocol>(build: impl Fn(Events) -> P, bytes: &[u8], seed: u8) {
    let whole = observe(&build, [bytes]);
    for cut in [
        observe(&build, pieces(bytes, seed)),
        observe(&build, bytes.chunks(1)),
    ] {
        assert_eq!(*whole.events.0.borrow(), *cut.events.0.borrow());
        assert_eq!((whole.aborted, whole.closed), (cut.aborted, cut.closed));
        if whole.aborted {
            assert!(cut.sent.starts_with(&whole.sent));
        } else {
            assert_eq!(whole.sent, cut.sent);
        }
    }
}

/// Sends back each string, and does what some say.
struct Repeat(Events);

impl StringReceiver for Repeat {
    fn string_received(&mut self, transport: &StringTransport, string: &[u8]) -> Result {
        self.0.push("string", string);
        match string {
            b"pause" => transport.pause_producing(),
            b"close" => transport.lose_connection(),
            _ => transport.send_string(string)?,
        }
        Ok(())
    }

    fn read_closed(&mut self, transport: &StringTransport) -> Result {
        self.0.push("read closed", b"");
        transport.lose_connection();
        Ok(())
    }
}

/// What holds for every format of strings.
///
/// # Panics
/// It does not hold.
pub fn check_strings<F: Format>(longest: usize, bytes: &[u8], seed: u8) {
    let options = StringOptions {
        max_length: Some(longest),
    };
    let build = |events| Strings::<_, F>::with(Repeat(events), options.clone());
    same_however_cut(build, bytes, seed);
    let mut rest = bytes;
    while !rest.is_empty() {
        let Parsed::String { string, taken } = { F::FORMAT }.parse(rest, longest) else {
            return;
        };
        assert!(string.len() <= longest && string.end <= taken && taken <= rest.len());
        let begun = &rest[..taken - 1];
        assert!(begun.is_empty() || { F::FORMAT }.parse(begun, longest) == Parsed::More);
        assert_eq!(
            encode::<F>(&rest[string]),
            &rest[..taken],
            "two encodings of one string"
        );
        rest = &rest[taken..];
    }
}

fn encode<F: Format>(string: &[u8]) -> Vec<u8> {
    struct Silent;
    impl Protocol for Silent {}
    let tester = Tester::new(Silent);
    F::write(tester.transport(), string);
    tester.settle();
    tester.sent()
}
