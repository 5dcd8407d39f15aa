//! Lines: the case table, limits, raw mode, pausing and closing in mid-buffer.

use super::{Events, Subject, check, run};
use crate::{
    error::TimedOut,
    failure::{Failure, Result},
    framing::{Delimiter, LineOptions, LineReceiver, LineTransport, Lines},
    testing::memory::{Table, Tester, linked_pair},
};
use std::{cell::RefCell, rc::Rc, time::Duration};

/// Does what the lines say.
pub(super) struct Scripted {
    events: Events,
    /// Goes on after a line that is too long.
    tolerant: bool,
}

impl LineReceiver for Scripted {
    fn line_received(&mut self, transport: &LineTransport, line: &[u8]) -> Result {
        self.events.push("line", line);
        match line {
            b"pause" => transport.pause_producing(),
            b"close" => transport.lose_connection(),
            b"abort" => transport.abort_connection(),
            b"fail" => return Err(Failure::msg("asked to")),
            b"raw" => transport.set_raw_mode(),
            b"again" => transport.set_line_mode_with(b"once\r\nmore\r\n"),
            _ => {}
        }
        Ok(())
    }

    /// Raw bytes end at a `!`.
    fn raw_data_received(&mut self, transport: &LineTransport, data: &[u8]) -> Result {
        match data.iter().position(|byte| *byte == b'!') {
            None => self.events.push("raw", data),
            Some(end) => {
                self.events.push("raw", &data[..end]);
                transport.set_line_mode_with(&data[end + 1..]);
            }
        }
        Ok(())
    }

    fn line_length_exceeded(&mut self, transport: &LineTransport, line: &[u8]) -> Result {
        self.events.push("long", line);
        if line.starts_with(b"RAW") {
            transport.set_raw_mode();
        } else if line.starts_with(b"BACK") {
            transport.set_line_mode_with(b"a\r\nb");
        } else if !self.tolerant {
            transport.lose_connection();
        }
        Ok(())
    }
}

#[derive(Clone, Default)]
pub(super) struct Options {
    pub(super) delimiter: Delimiter,
    pub(super) max_length: Option<usize>,
    pub(super) tolerant: bool,
}

impl Subject for Options {
    type Protocol = Lines<Scripted>;

    fn build(&self, events: &Events) -> Lines<Scripted> {
        let scripted = Scripted {
            events: events.clone(),
            tolerant: self.tolerant,
        };
        let options = LineOptions {
            delimiter: self.delimiter.clone(),
            max_length: self.max_length,
        };
        Lines::with(scripted, options)
    }
}

fn ending(delimiter: Delimiter) -> Options {
    Options {
        delimiter,
        ..Options::default()
    }
}

fn at_most(max_length: usize) -> Options {
    Options {
        max_length: Some(max_length),
        ..Options::default()
    }
}

#[test]
fn lines_end_where_the_delimiter_says() {
    let cr_lf = Options::default();
    check(&cr_lf, b"", &[]);
    check(&cr_lf, b"\r\n", &["line "]);
    check(&cr_lf, b"one\r\ntwo\r\nthr", &["line one", "line two"]);
    check(
        &cr_lf,
        b"a\nb\rc\r\r\n\n\r\n",
        &["line a\\nb\\rc\\r", "line \\n"],
    );
    check(&cr_lf, b"\0\xff\r\n", &["line \\x00\\xff"]);

    let lf = ending(Delimiter::Lf);
    check(
        &lf,
        b"one\r\n\ntwo\n",
        &["line one\\r", "line ", "line two"],
    );

    let either = ending(Delimiter::Either);
    let lines = ["line one", "line two", "line \\r", "line ", "line "];
    check(&either, b"one\r\ntwo\n\r\r\n\r\n\nrest", &lines);

    let custom = ending(Delimiter::custom(b"aab"));
    check(&custom, b"xaaabyaabaab", &["line xa", "line y", "line "]);
    let custom = ending(Delimiter::custom(b"--"));
    check(&custom, b"a---b--", &["line a", "line -b"]);
}

#[test]
fn a_line_as_long_as_the_limit_is_the_longest() {
    let four = at_most(4);
    check(&four, b"1234\r\n123\r\n", &["line 1234", "line 123"]);
    check(&four, b"12345\r\nx\r\n", &["long 12345\\r", "closed "]);
    // Twisted: an undelimited buffer trips at the limit and the delimiter's length.
    check(&four, b"12345", &[]);
    check(&four, b"123456", &["long 123456", "closed "]);
    check(&four, b"123456\r\n", &["long 123456", "closed "]);
    check(
        &at_most(0),
        b"\r\n\r\nx\r\n",
        &["line ", "line ", "long x\\r", "closed "],
    );

    let either = Options {
        delimiter: Delimiter::Either,
        ..at_most(4)
    };
    check(&either, b"1234\r\n1234\n", &["line 1234", "line 1234"]);
    check(&either, b"12345\n", &["long 12345\\n", "closed "]);
    check(&either, b"1234\r\r\n", &["long 1234\\r\\r", "closed "]);
    let lf = Options {
        delimiter: Delimiter::Lf,
        ..at_most(4)
    };
    check(&lf, b"1234\n12345", &["line 1234", "long 12345", "closed "]);
}

#[test]
fn the_default_limit_is_twisteds() {
    let default = Options::default();
    let longest = [&[b'x'; 16_384][..], b"\r\n"].concat();
    let events = run(&default, [&longest[..]]);
    assert_eq!(events[0].len(), "line ".len() + 16_384);
    assert_eq!(run(&default, [&[b'x'; 16_385][..]]), [""; 0]);
    for input in [
        &[b'x'; 16_386][..],
        &[&[b'x'; 16_385][..], b"\r\n"].concat(),
    ] {
        let events = run(&default, [input]);
        assert_eq!(
            events[0].len(),
            "long ".len() + 16_385 + input[16_385..16_386].escape_ascii().count()
        );
        assert_eq!(events[1..], ["closed "]);
    }
}

#[test]
fn a_protocol_may_go_on_after_a_line_that_is_too_long() {
    let tolerant = Options {
        tolerant: true,
        ..at_most(4)
    };
    let events = ["long 123456", "line ok", "long 12345\\r", "line x", "line "];
    check(
        &tolerant,
        b"123456789\r0\n1\r\nok\r\n12345\r\nx\r\n\r\n",
        &events,
    );
    check(
        &tolerant,
        b"RAW456789!ok\r\n",
        &["long RAW456", "raw 789", "line ok"],
    );
    check(
        &tolerant,
        b"BACK56c\r\n",
        &["long BACK56", "line a", "line bc"],
    );
    let custom = Options {
        delimiter: Delimiter::custom(b"END"),
        ..tolerant
    };
    check(&custom, b"12345678EENDokEND", &["long 1234567", "line ok"]);
}

#[test]
fn raw_mode_gets_the_rest_and_gives_back_what_is_too_much() {
    let events = ["line a", "line raw", "raw b\\r\\nc", "line d", "line e"];
    check(
        &Options::default(),
        b"a\r\nraw\r\nb\r\nc!d\r\ne\r\n",
        &events,
    );
    check(
        &Options::default(),
        b"raw\r\n!!\r\n",
        &["line raw", "raw ", "line !"],
    );
    let events = ["line again", "line once", "line more", "line x"];
    check(&Options::default(), b"again\r\nx\r\n", &events);
}

#[test]
fn nothing_comes_after_closing_was_asked_for() {
    let all = Options::default();
    check(
        &all,
        b"a\r\nclose\r\nb\r\n",
        &["line a", "line close", "closed "],
    );
    check(&all, b"abort\r\nb\r\n", &["line abort", "aborted "]);
    check(&all, b"fail\r\nb\r\n", &["line fail", "aborted "]);
}

#[test]
fn a_pause_stops_delivery_in_mid_buffer() {
    let input = b"a\r\npause\r\npause\r\nb\r\npause\r\nc\r\nd";
    let events = [
        "line a",
        "line pause",
        "pause ",
        "line pause",
        "pause ",
        "line b",
        "line pause",
        "pause ",
        "line c",
    ];
    check(&Options::default(), input, &events);

    let events = Events::default();
    let tester = Tester::new(Options::default().build(&events));
    tester.receive(b"pause\r\nlater\r\n");
    tester.receive(b"latest\r\n");
    tester.peer_closes_write();
    tester.advance(Duration::from_secs(1));
    assert_eq!(events.take(), ["line pause"]);
    assert!(!tester.is_closed());
    tester.transport().resume_producing();
    tester.settle();
    assert_eq!(events.take(), ["line later", "line latest"]);
    assert!(tester.is_closed());
}

#[test]
fn what_is_kept_comes_before_the_end_of_the_peers_bytes() {
    // The core may learn of the end while a framing still keeps lines back.
    let events = Events::default();
    let tester = Tester::new(Options::default().build(&events));
    tester.receive(b"pause\r\nlater\r\n");
    tester.with(|lines, transport| {
        crate::protocol::Protocol::read_closed(lines, transport).unwrap();
    });
    assert!(!tester.is_closed());
    tester.transport().resume_producing();
    tester.settle();
    assert_eq!(events.take(), ["line pause", "line later"]);
    assert!(tester.is_closed());
}

/// Answers every line with 10,000 bytes.
struct Amplifier(Events);

impl LineReceiver for Amplifier {
    fn line_received(&mut self, transport: &LineTransport, line: &[u8]) -> Result {
        self.0.push("line", line);
        transport.write(&[b'x'; 10_000]);
        Ok(())
    }
}

#[test]
fn lines_wait_while_too_much_output_does() {
    let events = Events::default();
    let tester = Tester::new(Lines::new(Amplifier(events.clone())));
    tester.peer_stops_reading();
    tester.receive(&b"\r\n".repeat(10_000));
    assert_eq!(events.take().len(), 7);
    tester.peer_takes(65_000);
    tester.transport().pause_producing();
    tester.transport().resume_producing();
    tester.settle();
    assert_eq!(events.take().len(), 0);
    tester.peer_takes(5_000);
    assert_eq!(events.take().len(), 7);
    tester.peer_reads_on();
    assert_eq!(events.take().len(), 9_986);
    assert_eq!(tester.sent().len(), 100_000_000);
    assert!(!tester.has_ended());
}

#[test]
fn lines_go_on_when_all_the_output_leaves_at_once() {
    let events = Events::default();
    let tester = Tester::new(Lines::new(Amplifier(events.clone())));
    tester.receive(&b"\r\n".repeat(1_000));
    assert_eq!(events.take().len(), 1_000);
    assert_eq!(tester.sent().len(), 10_000_000);
    tester.peer_closes_write();
    assert!(tester.is_closed());

    let tester = Tester::new(Lines::new(Amplifier(events.clone())));
    tester.peer_stops_reading();
    tester.transport().read_when_full(true);
    tester.receive(&b"\r\n".repeat(1_000));
    assert_eq!(events.take().len(), 1_000);
}

#[test]
fn a_flood_without_end_keeps_little_memory() {
    let tolerant = Options {
        tolerant: true,
        ..Options::default()
    };
    for subject in [Options::default(), tolerant] {
        for size in [1_000, 65_536, 1 << 20] {
            let events = Events::default();
            let tester = Tester::new(subject.build(&events));
            let mut most = 0;
            for piece in vec![b'x'; 1 << 20].chunks(size) {
                tester.receive(piece);
                if !tester.has_ended() {
                    most = most.max(tester.with(|lines, _| lines.buffer().capacity()));
                }
            }
            assert_eq!(tester.is_closed(), !subject.tolerant);
            assert_eq!(events.take().len(), 1);
            assert!(most <= 65_536, "kept {most} bytes");
        }
    }
}

/// Has defaults only.
struct Plain;

impl LineReceiver for Plain {
    fn line_received(&mut self, transport: &LineTransport, line: &[u8]) -> Result {
        if line == b"raw" {
            transport.set_raw_mode();
        }
        Ok(())
    }
}

#[test]
fn the_defaults_close() {
    let tester = Tester::new(Lines::new(Plain));
    tester.receive(&[b'x'; 20_000]);
    assert!(tester.is_closed() && !tester.was_aborted());
    let tester = Tester::new(Lines::new(Plain));
    tester.receive(b"raw\r\nx");
    assert!(tester.was_aborted());
    let tester = Tester::new(Lines::new(Plain));
    tester.peer_closes_write();
    assert!(tester.is_closed() && !tester.was_aborted());
}

#[test]
fn the_limit_is_the_reactors_unless_given() {
    let table = Table::new();
    let mut limits = (*table.reactor().limits()).clone();
    limits.line = 3;
    table.reactor().set_limits(limits);
    let tester = Tester::on(&table, Lines::new(Plain));
    tester.receive(b"123\r\n");
    assert!(!tester.has_ended());
    tester.receive(b"1234\r\n");
    assert!(tester.is_closed());
}

/// Starts the handshake's deadline.
struct Shy(Rc<RefCell<Option<Failure>>>);

impl LineReceiver for Shy {
    fn connection_made(&mut self, transport: &LineTransport) -> Result {
        transport.start_handshake();
        transport.set_idle_timeout(None);
        Ok(())
    }
    fn line_received(&mut self, _transport: &LineTransport, _line: &[u8]) -> Result {
        Ok(())
    }
    fn connection_lost(&mut self, reason: Failure) {
        self.0.replace(Some(reason));
    }
}

#[test]
fn the_first_line_ends_the_handshake() {
    let reason = Rc::default();
    let tester = Tester::new(Lines::new(Shy(Rc::clone(&reason))));
    tester.receive(b"half a line");
    tester.advance(Duration::from_secs(11));
    assert!(tester.was_aborted());
    assert!(reason.take().unwrap().check::<TimedOut>().is_some());

    let tester = Tester::new(Lines::new(Shy(reason)));
    tester.receive(b"a line\r\nand a half");
    tester.advance(Duration::from_secs(1_000));
    assert!(!tester.has_ended());
}

#[test]
fn the_mode_can_be_changed_from_outside() {
    let events = Events::default();
    let tester = Tester::new(Options::default().build(&events));
    let transport = tester.with(|lines, _| lines.transport().cloned());
    let transport = transport.unwrap();
    tester.receive(b"pause\r\nraw bytes");
    transport.set_raw_mode();
    transport.resume_producing();
    tester.settle();
    assert_eq!(events.take(), ["line pause", "raw raw bytes"]);
    transport.set_line_mode_with(b"a line\r\nand ");
    transport.set_line_mode_with(b"a half");
    tester.settle();
    assert_eq!(events.take(), ["line a line"]);
    tester.receive(b" more\r\n");
    assert_eq!(events.take(), ["line and a half more"]);
    transport.send_line(b"from outside");
    tester.settle();
    assert_eq!(tester.sent(), b"from outside\r\n");
    assert!(format!("{transport:?}").contains("192.0.2.1:1"));
}

#[test]
fn half_a_line_is_looked_at_again_when_the_mode_changes() {
    let events = Events::default();
    let tester = Tester::new(Options::default().build(&events));
    let transport = tester.with(|lines, _| lines.transport().cloned());
    let transport = transport.unwrap();
    tester.receive(b"half a line");
    transport.set_line_mode_with(b"a\r\nb ");
    tester.settle();
    assert_eq!(events.take(), ["line a"]);
    transport.set_raw_mode();
    tester.settle();
    assert_eq!(events.take(), ["raw b half a line"]);
    transport.set_line_mode();
    tester.receive(b"half");
    transport.set_raw_mode();
    tester.receive(b"x!");
    assert_eq!(events.take(), ["raw halfx"]);
    tester.receive(b"\r\n");
    assert_eq!(events.take(), ["line "]);
}

/// Begins with raw bytes, or with a line of its own.
struct Early(Events, bool);

impl LineReceiver for Early {
    fn connection_made(&mut self, transport: &LineTransport) -> Result {
        if self.1 {
            transport.set_raw_mode();
        } else {
            transport.set_line_mode_with(b"own\r\n");
        }
        Ok(())
    }
    fn line_received(&mut self, _transport: &LineTransport, line: &[u8]) -> Result {
        self.0.push("line", line);
        Ok(())
    }
    fn raw_data_received(&mut self, _transport: &LineTransport, data: &[u8]) -> Result {
        self.0.push("raw", data);
        Ok(())
    }
}

#[test]
fn the_mode_can_be_set_when_the_connection_is_made() {
    let events = Events::default();
    let tester = Tester::new(Lines::new(Early(events.clone(), true)));
    tester.receive(b"x\r\n");
    assert_eq!(events.take(), ["raw x\\r\\n"]);
    drop(Tester::new(Lines::new(Early(events.clone(), false))));
    assert_eq!(events.take(), ["line own"]);
}

/// Says something and hears the echo.
struct Caller(Events);

impl LineReceiver for Caller {
    fn connection_made(&mut self, transport: &LineTransport) -> Result {
        transport.send_line(b"hello");
        transport.send_line(b"");
        Ok(())
    }
    fn line_received(&mut self, transport: &LineTransport, line: &[u8]) -> Result {
        self.0.push("line", line);
        if line.is_empty() {
            transport.lose_connection();
        }
        Ok(())
    }
}

struct Echo;

impl LineReceiver for Echo {
    fn line_received(&mut self, transport: &LineTransport, line: &[u8]) -> Result {
        transport.send_line(line);
        Ok(())
    }
}

#[test]
fn both_ends_understand_each_other() {
    for delimiter in [
        Delimiter::CrLf,
        Delimiter::Lf,
        Delimiter::Either,
        Delimiter::custom(b"<end>"),
    ] {
        let options = LineOptions {
            delimiter,
            max_length: None,
        };
        let events = Events::default();
        let caller = Lines::with(Caller(events.clone()), options.clone());
        let pair = linked_pair(Lines::with(Echo, options), caller);
        assert_eq!(events.take(), ["line hello", "line "]);
        assert!(pair.server.is_closed() && pair.client.is_closed());
    }
}

#[test]
#[should_panic(expected = "at least one byte")]
fn an_empty_delimiter_is_refused() {
    let options = LineOptions {
        delimiter: Delimiter::custom(b""),
        max_length: None,
    };
    drop(Lines::with(Plain, options));
}
