//! Netstrings and length prefixes: the case tables, limits, and what a peer's mistakes cost.

use super::{Events, Subject, check, run};
use crate::{
    failure::{Failure, Result},
    framing::{
        Format, Int8Strings, Int16Strings, Int32Strings, Netstring, Netstrings, Prefix,
        StringOptions, StringReceiver, StringTooLong, StringTransport, Strings,
    },
    testing::memory::{Tester, linked_pair},
};
use std::{marker::PhantomData, time::Duration};

/// Does what the strings say.
pub(super) struct Scripted {
    events: Events,
    default: bool,
}

impl StringReceiver for Scripted {
    fn string_received(&mut self, transport: &StringTransport, string: &[u8]) -> Result {
        self.events.push("string", string);
        match string {
            b"pause" => transport.pause_producing(),
            b"close" => transport.lose_connection(),
            b"abort" => transport.abort_connection(),
            b"fail" => return Err(Failure::msg("asked to")),
            _ => {}
        }
        Ok(())
    }

    fn length_limit_exceeded(&mut self, transport: &StringTransport, at_least: usize) -> Result {
        if self.default {
            transport.abort_connection();
        }
        self.events.push("long", at_least.to_string().as_bytes());
        Ok(())
    }
}

pub(super) struct Of<F> {
    pub(super) max_length: Option<usize>,
    default: bool,
    format: PhantomData<F>,
}

pub(super) fn of<F>(max_length: Option<usize>) -> Of<F> {
    Of {
        max_length,
        default: false,
        format: PhantomData,
    }
}

impl<F: Format> Subject for Of<F> {
    type Protocol = Strings<Scripted, F>;

    fn build(&self, events: &Events) -> Strings<Scripted, F> {
        let scripted = Scripted {
            events: events.clone(),
            default: self.default,
        };
        let max_length = self.max_length;
        Strings::with(scripted, StringOptions { max_length })
    }
}

#[test]
fn netstrings_are_strict() {
    let all = of::<Netstring>(None);
    check(&all, b"", &[]);
    check(&all, b"0:,", &["string "]);
    check(
        &all,
        b"5:hello,3:a:,,0:,2:x",
        &["string hello", "string a:,", "string "],
    );
    check(&all, b"12:hello world!,", &["string hello world!"]);
    for wrong in [
        &b"007:James B,"[..],
        b"00:,",
        b"01:a,",
        b":,",
        b"-1:,",
        b"+1:a,",
        b" 1:a,",
        b"1 :a,",
        b"1;a,",
        b"1:a;",
        b"0:x",
        b",",
        b"\xff",
        b"GET / HTTP/1.1\r\n",
    ] {
        check(&all, wrong, &["closed "]);
    }
    check(&all, b"1:a,1:bb,1:c,", &["string a", "closed "]);
}

#[test]
fn netstrings_longer_than_the_limit_are_refused_unread() {
    let ten = of::<Netstring>(Some(10));
    check(&ten, b"10:0123456789,", &["string 0123456789"]);
    check(
        &ten,
        b"9:012345678,11:",
        &["string 012345678", "long 11", "closed "],
    );
    check(&ten, b"100", &["long 100", "closed "]);
    check(
        &of::<Netstring>(Some(0)),
        b"0:,1:x,",
        &["string ", "long 1", "closed "],
    );

    let all = of::<Netstring>(None);
    let longest = [b"99999:", &[b'x'; 99_999][..], b","].concat();
    assert_eq!(run(&all, [&longest[..]])[0].len(), "string ".len() + 99_999);
    check(&all, b"99999:", &[]);
    check(&all, b"100000:", &["long 100000", "closed "]);
    check(&all, &[b'9'; 10_000], &["long 999999", "closed "]);
    check(&of::<Netstring>(Some(usize::MAX)), &[b'9'; 30], &[]);
}

#[test]
fn prefixes_are_big_endian() {
    check(
        &of::<Prefix<1>>(None),
        b"\x05hello\0\x01",
        &["string hello", "string "],
    );
    check(
        &of::<Prefix<2>>(None),
        b"\0\x05hello\0\0\0",
        &["string hello", "string "],
    );
    check(
        &of::<Prefix<3>>(None),
        b"\0\0\x05hello\0\0\0\0",
        &["string hello", "string "],
    );
    check(
        &of::<Prefix<4>>(None),
        b"\0\0\0\x05hello\0\0\0\0\0",
        &["string hello", "string "],
    );
    let long = [&b"\x01\x02"[..], &[b'x'; 258]].concat();
    assert_eq!(run(&of::<Prefix<2>>(None), [&long[..]])[0].len(), 265);
}

#[test]
fn prefixed_strings_longer_than_the_limit_are_refused_unread() {
    let default = of::<Prefix<4>>(None);
    check(&default, b"\0\x01\x86\x9f", &[]);
    check(&default, b"\0\x01\x86\xa0", &["long 100000", "closed "]);
    check(
        &default,
        b"\xff\xff\xff\xff....",
        &["long 4294967295", "closed "],
    );
    check(
        &of::<Prefix<1>>(Some(2)),
        b"\x02ab\x03abc",
        &["string ab", "long 3", "closed "],
    );
    let longest = [&b"\0\x01\x86\x9f"[..], &[b'x'; 99_999]].concat();
    assert_eq!(run(&default, longest.chunks(1_460)).len(), 1);
}

#[test]
fn nothing_comes_after_closing_was_asked_for() {
    let all = of::<Netstring>(None);
    check(&all, b"5:close,1:x,", &["string close", "closed "]);
    check(&all, b"5:abort,1:x,", &["string abort", "aborted "]);
    check(&all, b"4:fail,1:x,", &["string fail", "aborted "]);
    // A mistake after the close is nobody's.
    check(&all, b"5:close,nonsense", &["string close", "closed "]);
}

#[test]
fn a_pause_stops_delivery_in_mid_buffer() {
    let events = [
        "string pause",
        "pause ",
        "string pause",
        "pause ",
        "string x",
    ];
    check(&of::<Netstring>(None), b"5:pause,5:pause,1:x,", &events);
    check(&of::<Prefix<1>>(None), b"\x05pause\x05pause\x01x", &events);
    let wrong = ["string pause", "pause ", "closed "];
    check(&of::<Netstring>(None), b"5:pause,x", &wrong);
}

#[test]
fn what_is_kept_comes_before_the_end_of_the_peers_bytes() {
    let events = Events::default();
    let tester = Tester::new(of::<Netstring>(None).build(&events));
    tester.receive(b"5:pause,5:later,");
    tester.with(|strings, transport| {
        crate::protocol::Protocol::read_closed(strings, transport).unwrap();
    });
    assert!(!tester.is_closed());
    tester.transport().resume_producing();
    tester.settle();
    assert_eq!(events.take(), ["string pause", "string later"]);
    assert!(tester.is_closed());
}

#[test]
fn memory_grows_with_what_arrived_and_is_given_back() {
    let tester = Tester::new(of::<Prefix<4>>(Some(usize::MAX)).build(&Events::default()));
    tester.receive(b"\x7f\xff\xff\xff only the beginning");
    assert!(tester.with(|strings, _| strings.buffer().capacity()) < 1_000);

    let tester = Tester::new(of::<Netstring>(None).build(&Events::default()));
    let longest = [b"99999:", &[b'x'; 99_999][..], b","].concat();
    tester.receive_cut(&longest, 1_460);
    assert_eq!(tester.with(|strings, _| strings.buffer().capacity()), 0);
}

/// Has defaults only, and echoes.
struct Echo;

impl StringReceiver for Echo {
    fn string_received(&mut self, transport: &StringTransport, string: &[u8]) -> Result {
        Ok(transport.send_string(string)?)
    }
}

/// Says something and hears the echo.
struct Caller(Events);

impl StringReceiver for Caller {
    fn connection_made(&mut self, transport: &StringTransport) -> Result {
        transport.send_string(b"")?;
        transport.send_string(&[0xff; 255])?;
        Ok(())
    }
    fn string_received(&mut self, transport: &StringTransport, string: &[u8]) -> Result {
        self.0.push(&string.len().to_string(), b"");
        if !string.is_empty() {
            transport.lose_connection();
        }
        Ok(())
    }
}

fn converse<F: Format>() {
    let events = Events::default();
    let (server, client) = (
        Strings::<_, F>::new(Echo),
        Strings::<_, F>::new(Caller(events.clone())),
    );
    let pair = linked_pair(server, client);
    assert_eq!(events.take(), ["0 ", "255 "]);
    assert!(pair.server.is_closed() && pair.client.is_closed());
}

#[test]
fn both_ends_understand_each_other() {
    converse::<Netstring>();
    converse::<Prefix<1>>();
    converse::<Prefix<2>>();
    converse::<Prefix<3>>();
    converse::<Prefix<4>>();
}

#[test]
fn a_string_that_does_not_fit_its_prefix_is_not_sent() {
    fn longest<F: Format>(longest: usize) {
        let tester = Tester::new(Strings::<_, F>::new(Echo));
        let transport = StringTransport::new::<F>(tester.transport());
        let length = longest + 1;
        let error = transport.send_string(&vec![0; length]).unwrap_err();
        assert_eq!(error, StringTooLong { length, longest });
        tester.settle();
        assert_eq!(tester.sent(), b"");
        transport.send_string(&vec![0; longest]).unwrap();
        tester.settle();
        assert_eq!(tester.sent().len(), longest + size_of_prefix(longest));
    }
    fn size_of_prefix(longest: usize) -> usize {
        if longest == 255 { 1 } else { 2 }
    }
    longest::<Prefix<1>>(255);
    longest::<Prefix<2>>(65_535);
    assert_eq!(<Prefix<4> as Format>::LONGEST, 0xffff_ffff);
}

#[test]
fn the_defaults_close() {
    let tester = Tester::new(Int32Strings::new(Echo));
    tester.receive(b"\0\0\0\x01a\xff\xff\xff\xff");
    assert!(tester.is_closed() && !tester.was_aborted());
    assert_eq!(tester.sent(), b"\0\0\0\x01a", "the answer before leaves");
    let tester = Tester::new(Int16Strings::new(Echo));
    tester.receive(b"\0\x01");
    tester.peer_closes_write();
    assert!(tester.is_closed() && !tester.was_aborted());
    let tester = Tester::new(Int8Strings::new(Echo));
    tester.advance(Duration::from_secs(100));
    assert!(tester.was_aborted());
    let tester = Tester::new(Netstrings::new(Echo));
    assert_eq!(tester.with(|strings, _| size_of_val(strings.receiver())), 0);
}
