//! Faults as Twisted's failures: `twisted.spread.pb.CopyableFailure`, which every Twisted knows. Knows no messages.
//!
//! The type of such a failure is the code of the fault, and its parents, by which Twisted catches failures, are the code
//! and the classes in the table of [`pb`](super). The other way, a type is the code, unless the table has it.

use super::{
    banana::{Item, Reader, TooLarge, Writer},
    jelly::{sequence, unicode},
    unjelly::{Allowed, BadJelly, unjelly},
};
use crate::{
    fault::{self, Fault},
    value::Value,
};

const COPYABLE_FAILURE: &[u8] = b"twisted.spread.pb.CopyableFailure";
const NO_SUCH_METHOD: &str = "twisted.spread.flavors.NoSuchMethod";
const UNAUTHORIZED_LOGIN: &str = "twisted.cred.error.UnauthorizedLogin";
const TIMEOUT_ERROR: &str = "twisted.internet.defer.TimeoutError";
const CANCELLED_ERROR: &str = "twisted.internet.defer.CancelledError";

/// What a fault of this code is caught as, beside its code.
fn parents(code: &str) -> &'static [&'static str] {
    match code {
        fault::UNKNOWN_METHOD => &[NO_SUCH_METHOD, "builtins.AttributeError"],
        fault::BAD_ARGUMENTS => &["builtins.TypeError"],
        fault::TOO_LARGE => &["twisted.spread.banana.BananaError"],
        fault::DEADLINE => &[TIMEOUT_ERROR],
        fault::UNAUTHORIZED => &[UNAUTHORIZED_LOGIN, "twisted.cred.error.LoginFailed"],
        fault::CANCELLED => &[CANCELLED_ERROR],
        _ => &[],
    }
}

/// The code of a failure of this type.
fn code(name: &str) -> &str {
    match name {
        NO_SUCH_METHOD => fault::UNKNOWN_METHOD,
        UNAUTHORIZED_LOGIN => fault::UNAUTHORIZED,
        TIMEOUT_ERROR => fault::DEADLINE,
        CANCELLED_ERROR => fault::CANCELLED,
        other => other,
    }
}

/// Writes a fault as a failure.
pub(super) fn failure(writer: &mut Writer<'_>, fault: &Fault) -> Result<(), TooLarge> {
    let error: &[&str] = match fault.code() {
        fault::INTERNAL => &["builtins.Exception"],
        _ => &["twisted.spread.pb.Error", "builtins.Exception"],
    };
    let names = [fault.code()]
        .into_iter()
        .chain(parents(fault.code()).iter().copied());
    let names: Vec<Value> = names
        .chain(error.iter().copied())
        .map(Value::from)
        .collect();
    let nothing = |writer: &mut Writer<'_>, key| -> Result<(), TooLarge> {
        pair(writer, key)?;
        sequence(writer, b"list", &[])
    };
    writer.list(2)?;
    writer.bytes(COPYABLE_FAILURE)?;
    writer.list(10)?;
    writer.bytes(b"dictionary")?;
    pair(writer, "type")?;
    writer.bytes(fault.code().as_bytes())?;
    pair(writer, "value")?;
    unicode(writer, fault.message())?;
    pair(writer, "parents")?;
    sequence(writer, b"list", &names)?;
    pair(writer, "traceback")?;
    unicode(writer, "Traceback unavailable\n")?;
    pair(writer, "tb")?;
    writer.list(1)?;
    writer.bytes(b"None")?;
    nothing(writer, "frames")?;
    nothing(writer, "stack")?;
    pair(writer, "count")?;
    writer.integer(0);
    pair(writer, "captureVars")?;
    writer.list(2)?;
    writer.bytes(b"boolean")?;
    writer.bytes(b"false")
}

/// The key of a pair, whose value follows.
fn pair(writer: &mut Writer<'_>, key: &str) -> Result<(), TooLarge> {
    writer.list(2)?;
    unicode(writer, key)
}

/// Reads the failure that a call failed with. One of another class (of an error that Twisted sends as itself) has its
/// name as the code.
pub(super) fn fault(
    reader: &mut Reader<'_>,
    allowed: &Allowed,
    remote: &mut Vec<i128>,
) -> Result<Fault, BadJelly> {
    let not = || BadJelly::new("expected a failure");
    let Some(Item::List(2)) = reader.next() else {
        return Err(not());
    };
    let name = reader.bytes().filter(|name| name.contains(&b'.'));
    let name = name.and_then(|name| std::str::from_utf8(name).ok());
    let name = name.ok_or_else(not)?;
    let Value::Record(state) = unjelly(reader, allowed, remote)? else {
        return Err(not());
    };
    let field = |wanted: &str| {
        let value = state.iter().find(|(key, _)| key == wanted);
        value.and_then(|(_, value)| text(value))
    };
    if name.as_bytes() != COPYABLE_FAILURE {
        return Ok(Fault::new(
            name.to_owned(),
            field("value").unwrap_or_default(),
        ));
    }
    let (Some(kind), Some(value)) = (field("type"), field("value")) else {
        return Err(not());
    };
    Ok(Fault::new(code(kind).to_owned(), value))
}

/// A text, whichever way it came.
fn text(value: &Value) -> Option<&str> {
    match value {
        Value::String(text) => Some(text),
        Value::Bytes(bytes) => std::str::from_utf8(bytes).ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::rc::Rc;

    fn read(bytes: &[u8]) -> Result<Fault, BadJelly> {
        let allowed = Allowed {
            nesting: 8,
            copies: 1000,
            classes: Rc::default(),
        };
        fault(&mut Reader::new(bytes), &allowed, &mut Vec::new())
    }

    fn written(fault: &Fault) -> Vec<u8> {
        let mut out = Vec::new();
        failure(&mut Writer::new(&mut out, true, 1 << 20), fault).expect("it is small");
        out
    }

    #[test]
    fn every_fault_comes_back() {
        for code in [
            fault::UNKNOWN_METHOD,
            fault::BAD_ARGUMENTS,
            fault::TOO_LARGE,
            fault::BUSY,
            fault::DEADLINE,
            fault::UNAUTHORIZED,
            fault::CANCELLED,
            fault::INTERNAL,
            "no-such-user",
            "quotes.NoQuote",
            "cache",
        ] {
            let fault = Fault::new(code, "nobody: ä");
            assert_eq!(read(&written(&fault)), Ok(fault));
        }
    }

    /// What Twisted 26.10 sends for `ValueError("no")`.
    #[test]
    fn a_failure_of_twisted_is_read() {
        let sent = b"\x02\x80!\x82twisted.spread.pb.CopyableFailure\x0b\x80\x05\x87\
            \x02\x80\x02\x80\x07\x82unicode\x05\x82count\x02\x81\
            \x02\x80\x02\x80\x07\x82unicode\x04\x82type\x13\x82builtins.ValueError\
            \x02\x80\x02\x80\x07\x82unicode\x05\x82value\x02\x80\x07\x82unicode\x02\x82no\
            \x02\x80\x02\x80\x07\x82unicode\x0b\x82captureVars\x02\x80\x07\x82boolean\x05\x82false\
            \x02\x80\x02\x80\x07\x82unicode\x02\x82tb\x01\x80\x01\x87\
            \x02\x80\x02\x80\x07\x82unicode\x10\x82unsafeTracebacks\x00\x81\
            \x02\x80\x02\x80\x07\x82unicode\x07\x82parents\x05\x80\x08\x87\
            \x02\x80\x07\x82unicode\x13\x82builtins.ValueError\x02\x80\x07\x82unicode\x12\x82builtins.Exception\
            \x02\x80\x07\x82unicode\x16\x82builtins.BaseException\x02\x80\x07\x82unicode\x0f\x82builtins.object\
            \x02\x80\x02\x80\x07\x82unicode\x06\x82frames\x01\x80\x08\x87\
            \x02\x80\x02\x80\x07\x82unicode\x05\x82stack\x01\x80\x08\x87\
            \x02\x80\x02\x80\x07\x82unicode\t\x82traceback\x02\x80\x07\x82unicode\x16\x82Traceback unavailable\n";
        assert_eq!(read(sent), Ok(Fault::new("builtins.ValueError", "no")));
        let other = b"\x02\x80\x09\x82app.Error\x02\x80\x05\x87\x02\x80\x05\x82value\x04\x82gone";
        assert_eq!(read(other), Ok(Fault::new("app.Error", "gone")));
        for bad in [
            &b"\x01\x81"[..],
            b"\x01\x80\x01\x87",
            b"\x02\x80\x07\x82unicode\x01\x82a",
        ] {
            assert_eq!(read(bad), Err(BadJelly::new("expected a failure")));
        }
    }

    /// The keys that Twisted needs, in the bytes it would send; only the order of keys is ours.
    #[test]
    fn a_failure_has_the_keys_of_twisted() {
        let sent = written(&Fault::new(fault::UNKNOWN_METHOD, "no"));
        let expected = b"\x02\x80!\x82twisted.spread.pb.CopyableFailure\x0a\x80\x05\x87\
            \x02\x80\x02\x80\x07\x82unicode\x04\x82type\x0e\x82unknown-method\
            \x02\x80\x02\x80\x07\x82unicode\x05\x82value\x02\x80\x07\x82unicode\x02\x82no\
            \x02\x80\x02\x80\x07\x82unicode\x07\x82parents\x06\x80\x08\x87\
            \x02\x80\x07\x82unicode\x0e\x82unknown-method\
            \x02\x80\x07\x82unicode\x23\x82twisted.spread.flavors.NoSuchMethod\
            \x02\x80\x07\x82unicode\x17\x82builtins.AttributeError\
            \x02\x80\x07\x82unicode\x17\x82twisted.spread.pb.Error\
            \x02\x80\x07\x82unicode\x12\x82builtins.Exception\
            \x02\x80\x02\x80\x07\x82unicode\t\x82traceback\x02\x80\x07\x82unicode\x16\x82Traceback unavailable\n\
            \x02\x80\x02\x80\x07\x82unicode\x02\x82tb\x01\x80\x01\x87\
            \x02\x80\x02\x80\x07\x82unicode\x06\x82frames\x01\x80\x08\x87\
            \x02\x80\x02\x80\x07\x82unicode\x05\x82stack\x01\x80\x08\x87\
            \x02\x80\x02\x80\x07\x82unicode\x05\x82count\x00\x81\
            \x02\x80\x02\x80\x07\x82unicode\x0b\x82captureVars\x02\x80\x07\x82boolean\x05\x82false";
        assert_eq!(sent, expected);
    }
}
