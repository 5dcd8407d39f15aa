//! Lines: the same events, however the bytes are cut; the pure function agrees with itself.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tress_core::{
    Result,
    framing::{Cut, Delimiter, LineOptions, LineReceiver, LineTransport, Lines, cut_line},
};
use tress_fuzz::{Events, same_however_cut, split_header};

/// Does what the lines say.
struct Scripted {
    events: Events,
    tolerant: bool,
}

impl LineReceiver for Scripted {
    fn line_received(&mut self, transport: &LineTransport, line: &[u8]) -> Result {
        self.events.push("line", line);
        match line {
            b"pause" => transport.pause_producing(),
            b"close" => transport.lose_connection(),
            b"raw" => transport.set_raw_mode(),
            b"again" => transport.set_line_mode_with(b"once\r\nmore\r\n"),
            _ => transport.send_line(line),
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
        } else if !self.tolerant {
            transport.lose_connection();
        }
        Ok(())
    }

    fn read_closed(&mut self, transport: &LineTransport) -> Result {
        self.events.push("read closed", b"");
        transport.lose_connection();
        Ok(())
    }
}

fuzz_target!(|data: &[u8]| {
    let Some(([kind, longest, seed], bytes)) = split_header(data) else {
        return;
    };
    let delimiter = match kind % 6 {
        0 => Delimiter::CrLf,
        1 => Delimiter::Lf,
        2 => Delimiter::Either,
        3 => Delimiter::custom(b"\r\n\r\n"),
        4 => Delimiter::custom(b"aab"),
        _ => Delimiter::custom(b"\0"),
    };
    let longest = usize::from(longest);
    let build = |events| {
        let tolerant = kind & 128 != 0;
        let delimiter = delimiter.clone();
        let options = LineOptions {
            delimiter,
            max_length: Some(longest),
        };
        Lines::with(Scripted { events, tolerant }, options)
    };
    same_however_cut(build, bytes, seed);

    // With what it remembers of shorter inputs it finds what it finds at once.
    let whole = cut_line(bytes, &delimiter, longest, &mut 0);
    let mut scanned = 0;
    let step = 1 + usize::from(seed % 8);
    let ends = (1..=bytes.len()).step_by(step).chain([bytes.len()]);
    let cuts = ends.map(|end| cut_line(&bytes[..end], &delimiter, longest, &mut scanned));
    let first = cuts.into_iter().find(|cut| *cut != Cut::More);
    assert_eq!(first.unwrap_or(Cut::More), whole);
});
