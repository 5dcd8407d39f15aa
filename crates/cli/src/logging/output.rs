//! Lines on their way out: in one of three forms, to where they go, and what is said of those that were left out. Knows no
//! level.

use std::{
    borrow::Cow,
    fmt,
    io::{self, Write},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tracing::{
    Event, Level, Subscriber,
    field::{Field, Visit},
    span::{Attributes, Id},
};
use tracing_subscriber::{
    Layer,
    fmt::{
        MakeWriter,
        format::Writer,
        time::{FormatTime, SystemTime},
    },
    layer::Context,
    registry::LookupSpan,
};
use tress_app::config::LogFormat;
use tress_os::logs::{LogOutput, journal};

/// The longest message in the journal, in bytes: one datagram has room for it, and for all fields beside it.
const MESSAGE_BYTES_MAX: usize = 65_536;
/// The most bytes of one field beside it, and the most of such fields.
const FIELD_BYTES_MAX: usize = 1_024;
const FIELDS_MAX: usize = 32;

/// What a line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Text,
    Json,
    Journal,
}

impl From<LogFormat> for Form {
    fn from(format: LogFormat) -> Self {
        match format {
            LogFormat::Text => Self::Text,
            LogFormat::Json => Self::Json,
        }
    }
}

/// Where lines go, from all threads. Clones are the same.
#[derive(Clone, Debug)]
pub(super) struct Shared(Arc<Mutex<Output>>);

#[derive(Debug)]
struct Output {
    form: Form,
    to: LogOutput,
    /// Where it is said at once that lines are lost, unless that is where they go.
    stderr: LogOutput,
    left_out: u64,
    /// Why the first of them was.
    why: String,
}

impl Shared {
    pub(super) fn new(form: Form, to: LogOutput) -> Self {
        Self(Arc::new(Mutex::new(Output {
            form,
            to,
            stderr: LogOutput::stderr(),
            left_out: 0,
            why: String::new(),
        })))
    }

    fn lock(&self) -> MutexGuard<'_, Output> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn form(&self) -> Form {
        self.lock().form
    }

    /// Goes there from now on.
    pub(super) fn replace(&self, to: LogOutput) {
        self.lock().to = to;
    }

    pub(super) fn reopen(&self) -> io::Result<()> {
        self.lock().to.reopen()
    }

    /// Of the log itself.
    pub(super) fn notice(&self, text: &dyn fmt::Display) {
        let mut output = self.lock();
        let line = notice(output.form, text);
        output.line(&line);
    }

    /// Says what it has not said.
    pub(super) fn end(&self) {
        self.lock().confess();
    }

    fn line(&self, line: &[u8]) {
        self.lock().line(line);
    }
}

impl Output {
    /// Loses it, and nothing else, where it cannot be written.
    fn line(&mut self, line: &[u8]) {
        self.confess();
        if let Err(error) = self.to.write(line) {
            if self.left_out == 0 {
                self.why = error.to_string();
                if !self.to.is_stderr() {
                    let text = format!("the log loses lines: {error}\n");
                    self.stderr.write(text.as_bytes()).ok();
                }
            }
            self.left_out += 1;
        }
    }

    /// Says how many lines were lost, once one can be written.
    fn confess(&mut self) {
        if self.left_out > 0 {
            let text = format!("{} lines were lost: {}", self.left_out, self.why);
            if self.to.write(&notice(self.form, &text)).is_ok() {
                self.left_out = 0;
            }
        }
    }
}

/// A line of the log about itself.
fn notice(form: Form, text: &dyn fmt::Display) -> Vec<u8> {
    let message = text.to_string();
    let mut time = String::new();
    if SystemTime.format_time(&mut Writer::new(&mut time)).is_err() {
        time.clear();
    }
    match form {
        Form::Text => format!("{time}  WARN tress: {message}\n").into_bytes(),
        Form::Json => {
            let line = serde_json::json!({
                "timestamp": time, "level": "WARN", "message": message, "target": "tress",
            });
            format!("{line}\n").into_bytes()
        }
        Form::Journal => journal::entry([
            ("PRIORITY", "4"),
            ("SYSLOG_IDENTIFIER", "tress"),
            ("TARGET", "tress"),
            ("MESSAGE", &message),
        ]),
    }
}

impl<'w> MakeWriter<'w> for Shared {
    type Writer = Line;

    fn make_writer(&'w self) -> Line {
        Line(self.clone())
    }
}

/// Takes one line, which comes whole.
pub(super) struct Line(Shared);

impl Write for Line {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.line(&one_line(line));
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The same with one end: a peer's text must not pass for a line of ours.
fn one_line(line: &[u8]) -> Cow<'_, [u8]> {
    let text = line.strip_suffix(b"\n").unwrap_or(line);
    if !text.iter().any(|byte| matches!(byte, b'\n' | b'\r')) {
        return line.into();
    }
    let mut escaped = Vec::with_capacity(line.len() + 16);
    for byte in text {
        match byte {
            b'\n' => escaped.extend_from_slice(b"\\n"),
            b'\r' => escaped.extend_from_slice(b"\\r"),
            byte => escaped.push(*byte),
        }
    }
    escaped.extend_from_slice(&line[text.len()..]);
    escaped.into()
}

/// Makes entries for the journal.
pub(super) struct ToJournal(pub(super) Shared);

/// A span as entries name it: `worker{number=1}`.
struct Named(String);

impl<S: Subscriber + for<'l> LookupSpan<'l>> Layer<S> for ToJournal {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        let fields = fields.others.iter();
        let fields: Vec<String> = fields
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        let mut name = format!("{}{{{}}}", attributes.metadata().name(), fields.join(" "));
        cut(&mut name, FIELD_BYTES_MAX);
        if let Some(span) = context.span(id) {
            span.extensions_mut().insert(Named(name));
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let metadata = event.metadata();
        let mut fields = Fields::default();
        event.record(&mut fields);
        let spans = context.event_scope(event).map(|scope| {
            let names = scope.from_root().map(|span| {
                let extensions = span.extensions();
                let named = extensions.get::<Named>();
                named.map_or_else(String::new, |named| named.0.clone())
            });
            names.collect::<Vec<_>>().join(":")
        });
        let line = metadata.line().map(|line| line.to_string());
        let known = [
            ("PRIORITY", Some(priority(*metadata.level()))),
            ("SYSLOG_IDENTIFIER", Some("tress")),
            ("TARGET", Some(metadata.target())),
            ("SPAN", spans.as_deref().filter(|spans| !spans.is_empty())),
            ("CODE_FILE", metadata.file()),
            ("CODE_LINE", line.as_deref()),
            ("MESSAGE", Some(fields.message.as_str())),
        ];
        let known = known.into_iter();
        let known = known.filter_map(|(name, value)| Some((name, value?)));
        let own = fields.others.iter();
        // So that none passes for one of the journal's own.
        let own: Vec<_> = own
            .map(|(name, value)| (format!("F_{name}"), value))
            .collect();
        let own = own
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()));
        self.0.line(&journal::entry(known.chain(own)));
    }
}

/// As syslog has them.
fn priority(level: Level) -> &'static str {
    match level {
        Level::ERROR => "3",
        Level::WARN => "4",
        Level::INFO => "6",
        Level::DEBUG | Level::TRACE => "7",
    }
}

#[derive(Default)]
struct Fields {
    message: String,
    others: Vec<(String, String)>,
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value.to_owned());
    }
}

impl Fields {
    fn put(&mut self, field: &Field, mut value: String) {
        if field.name() == "message" {
            cut(&mut value, MESSAGE_BYTES_MAX);
            self.message = value;
        } else if self.others.len() < FIELDS_MAX {
            cut(&mut value, FIELD_BYTES_MAX);
            self.others.push((field.name().to_owned(), value));
        }
    }
}

/// To at most so many bytes, between characters.
fn cut(text: &mut String, most: usize) {
    if text.len() > most {
        let end = (0..=most).rev().find(|end| text.is_char_boundary(*end));
        text.truncate(end.unwrap_or_default());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{env, fs, os::unix::net::UnixDatagram, path::Path, process};
    use tracing_subscriber::layer::SubscriberExt;
    use tress_os::logs::Rotation;

    const ROTATION: Rotation = Rotation { bytes: 0, keep: 0 };

    #[test]
    fn a_line_is_one_line() {
        for (line, expected) in [
            ("all is well\n", "all is well\n"),
            (
                "/tmp/x\n2026 ERROR forged\r\n",
                "/tmp/x\\n2026 ERROR forged\\r\n",
            ),
            ("\n\n", "\\n\n"),
            ("", ""),
        ] {
            assert_eq!(one_line(line.as_bytes()), expected.as_bytes(), "{line:?}");
        }
    }

    #[test]
    fn the_journal_gets_fields() {
        let path = env::temp_dir().join(format!("tress-fields-{}", process::id()));
        let journald = UnixDatagram::bind(&path).unwrap();
        let shared = Shared::new(Form::Journal, LogOutput::journal_at(&path).unwrap());
        let subscriber = tracing_subscriber::registry().with(ToJournal(shared.clone()));
        let line = line!() + 3;
        tracing::subscriber::with_default(subscriber, || {
            let _span = tracing::info_span!("worker", number = 1).entered();
            tracing::warn!(target: "tress", user = "zoe", count = 3, "no {}\nat all", "status");
            tracing::error!(target: "mine", message = "é".repeat(MESSAGE_BYTES_MAX));
        });
        let heard = || {
            let mut entry = vec![0; 1 << 18];
            let length = journald.recv(&mut entry).unwrap();
            String::from_utf8_lossy(&entry[..length]).into_owned()
        };
        let file = file!();
        let length = "no status\nat all".len();
        assert_eq!(
            heard(),
            format!(
                "PRIORITY=4\nSYSLOG_IDENTIFIER=tress\nTARGET=tress\nSPAN=worker{{number=1}}\nCODE_FILE={file}\nCODE_LINE={line}\n\
                 MESSAGE\n{}\0\0\0\0\0\0\0no status\nat all\nF_USER=zoe\nF_COUNT=3\n",
                char::from(u8::try_from(length).unwrap())
            )
        );
        let long = heard();
        assert!(long.starts_with("PRIORITY=3\n"), "{}", &long[..50]);
        let message = long.split_once("\nMESSAGE=").unwrap().1;
        assert_eq!(message, format!("{}\n", "é".repeat(MESSAGE_BYTES_MAX / 2)));
        shared.notice(&"as said");
        assert!(heard().ends_with("TARGET=tress\nMESSAGE=as said\n"));
        fs::remove_file(&path).unwrap();
    }

    #[test]
    fn what_was_lost_is_said_when_there_is_room_again() {
        let path = env::temp_dir().join(format!("tress-lost-{}", process::id()));
        for (form, is_lost) in [
            (Form::Text, "  WARN tress: 2 lines were lost: "),
            (Form::Json, r#""message":"2 lines were lost: "#),
        ] {
            let full = LogOutput::file(Path::new("/dev/full"), ROTATION).unwrap();
            let shared = Shared::new(form, full);
            shared.line(b"a\n");
            shared.line(b"b\n");
            shared.replace(LogOutput::file(&path, ROTATION).unwrap());
            shared.line(b"c\n");
            shared.line(b"d\n");
            shared.end();
            let text = fs::read_to_string(&path).unwrap();
            let lines: Vec<&str> = text.lines().collect();
            assert_eq!(lines[1..], ["c", "d"], "{text}");
            assert!(lines[0].contains(is_lost), "{text}");
            assert!(lines[0].contains("No space left"), "{text}");
            if form == Form::Json {
                let line: serde_json::Value = serde_json::from_str(lines[0]).unwrap();
                assert_eq!(line["level"], "WARN");
            }
            fs::remove_file(&path).unwrap();
        }
    }

    #[test]
    fn texts_are_cut_between_characters() {
        for (most, expected) in [(0, ""), (1, "a"), (2, "a"), (3, "aé"), (4, "aéb")] {
            let mut text = "aéb".to_owned();
            cut(&mut text, most);
            assert_eq!(text, expected, "{most}");
        }
    }
}
