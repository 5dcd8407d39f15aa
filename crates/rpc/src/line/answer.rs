//! Results and faults as lines of text, as the table of the module has them. Sends nothing.

use crate::{
    fault::{Fault, TOO_LARGE},
    kind::Kind,
    value::{Value, encoded},
};

const END: &str = "\r\n";

/// The lines of an answer, with the empty one that ends it.
#[derive(Debug)]
pub(super) struct Answer {
    text: String,
    room: usize,
}

impl Answer {
    /// None yet; the answer may have so many bytes.
    pub(super) fn new(room: usize) -> Self {
        let text = String::new();
        Self { text, room }
    }

    /// A result of that kind.
    pub(super) fn of(kind: &Kind, value: &Value, room: usize) -> Result<String, Fault> {
        let mut answer = Self::new(room);
        match value {
            Value::Nothing if *kind == Kind::Nothing => answer.line("ok")?,
            Value::Nothing => {}
            Value::String(text) => answer.lines(text)?,
            Value::List(items) => {
                for item in items {
                    answer.line(&in_line(item))?;
                }
            }
            Value::Record(fields) => {
                for (name, value) in fields {
                    answer.line(&format!("{name}: {}", in_line(value)))?;
                }
            }
            other => answer.line(&in_line(other))?,
        }
        answer.done()
    }

    /// A fault, which always has room.
    pub(super) fn refused(fault: &Fault) -> String {
        let mut text = String::from("! ");
        push(&mut text, &fault.to_string());
        text + END + END
    }

    /// A text, whose lines are its own.
    pub(super) fn lines(&mut self, text: &str) -> Result<(), Fault> {
        if text.is_empty() {
            return self.line("");
        }
        text.lines().try_for_each(|line| self.line(line))
    }

    /// One line.
    pub(super) fn line(&mut self, line: &str) -> Result<(), Fault> {
        if line.is_empty() || line.starts_with('!') {
            self.text.push(' ');
        }
        push(&mut self.text, line);
        self.text.push_str(END);
        if self.text.len() + END.len() > self.room {
            let message = format!("the answer has more than {} bytes", self.room);
            return Err(Fault::new(TOO_LARGE, message));
        }
        Ok(())
    }

    pub(super) fn done(self) -> Result<String, Fault> {
        Ok(self.text + END)
    }
}

/// A value in one line.
fn in_line(value: &Value) -> String {
    match value {
        Value::Nothing => String::new(),
        Value::Boolean(value) => value.to_string(),
        Value::Integer(number) => number.to_string(),
        Value::Float(number) => number.to_string(),
        Value::String(text) => text.clone(),
        Value::Bytes(bytes) => encoded(bytes),
        // Its names are texts, so it can be written.
        Value::List(_) | Value::Record(_) => serde_json::to_string(value).unwrap_or_default(),
    }
}

/// A text in which nothing ends a line or steers a terminal.
fn push(out: &mut String, text: &str) {
    let text = text.chars();
    out.extend(text.map(|c| if c.is_control() && c != '\t' { ' ' } else { c }));
}
