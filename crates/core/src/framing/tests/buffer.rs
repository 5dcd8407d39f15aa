//! The shared buffer: how much it copies. Counted, not timed.

use super::{Events, Subject, lines::Options, strings::of};
use crate::{
    framing::{Cut, Delimiter, Prefix, cut_line},
    testing::memory::Tester,
};

fn copied(input: &[u8], every: usize) -> usize {
    let tester = Tester::new(Options::default().build(&Events::default()));
    tester.receive_cut(input, every);
    tester.with(|lines, _| lines.buffer().copied)
}

#[test]
fn whole_lines_are_not_copied() {
    let input = b"sixteen bytes..\r\n".repeat(1_000);
    assert_eq!(copied(&input, input.len()), 0);
    assert_eq!(copied(&input, 17), 0);
}

#[test]
fn a_line_in_two_pieces_costs_no_copy_of_what_follows() {
    let input = b"sixteen bytes..\r\n".repeat(10_000);
    // Of each piece, the beginning of its last line and then enough to finish that.
    let pieces = input.len().div_ceil(20_000);
    let most = pieces * (17 + 256);
    assert!(copied(&input, 20_000) <= most);
}

#[test]
fn single_bytes_are_copied_once() {
    let input = [&[b'x'; 16_000][..], b"\r\n"].concat();
    assert_eq!(copied(&input, 1), input.len());
}

#[test]
fn no_byte_is_looked_at_twice() {
    let tester = Tester::new(Options::default().build(&Events::default()));
    for count in 1..1_000 {
        tester.receive(b"x");
        assert_eq!(tester.with(|lines, _| lines.scanned()), count);
    }
    // What was looked at before is taken to hold no end.
    let mut scanned = 4;
    let cut = cut_line(b"a\r\nbc", &Delimiter::CrLf, 99, &mut scanned);
    assert_eq!((cut, scanned), (Cut::More, 5));
}

#[test]
fn a_long_string_is_copied_once_and_its_follower_not() {
    let subject = of::<Prefix<4>>(None);
    let tester = Tester::new(subject.build(&Events::default()));
    let string = [&b"\0\x01\x86\x9f"[..], &[b'x'; 99_999]].concat();
    let input = string.repeat(10);
    tester.receive_cut(&input, 65_536);
    let copied = tester.with(|strings, _| strings.buffer().copied);
    assert!(copied < 2 * input.len(), "copied {copied}");
}

#[test]
fn a_pause_after_every_line_is_linear() {
    let events = Events::default();
    let tester = Tester::new(Options::default().build(&events));
    let input = b"pause\r\n".repeat(5_000);
    tester.receive(&input);
    while tester.transport().is_paused() {
        tester.transport().resume_producing();
        tester.settle();
    }
    assert_eq!(events.take().len(), 5_000);
    assert!(tester.with(|lines, _| lines.buffer().copied) < input.len());
}
