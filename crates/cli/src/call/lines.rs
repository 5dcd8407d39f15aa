//! The call in lines for people: a line there, and the lines of the answer up to the empty one. Knows no interface.

use super::carry::{Call, NoCall};
use std::mem;
use tress_core::{
    Deferred, Failure, Reactor, Resolver, Result, Transport,
    framing::{Delimiter, LineOptions, LineReceiver, LineTransport, Lines},
    wording::quoted,
};
use tress_rpc::{
    Arguments, BadValue, Fault, Value,
    cred::Credentials,
    fault::{INTERNAL, TOO_LARGE},
};

/// Logs in, and calls. A result is its lines: a text when it is one line, and otherwise a list.
pub(super) async fn call(reactor: &Reactor, at: &str, call: Call, most: usize) -> Result<Value> {
    let mut questions = Vec::new();
    match &call.credentials {
        None => {}
        Some(Credentials::Password { user, password }) => {
            questions.push(line(["login", user, password])?);
        }
        Some(Credentials::Token(token)) => questions.push(line(["login", token])?),
        Some(_) => return Err(bad("expected a password or a token").into()),
    }
    let words = words(&call)?;
    let words = std::iter::once(&*call.method).chain(words.iter().map(String::as_str));
    questions.push(line(words)?);
    let (resolver, answered) = Deferred::pair();
    let asker = Asker {
        questions: questions.into_iter(),
        lines: Vec::new(),
        bytes: 0,
        most,
        resolver: Some(resolver),
    };
    let options = LineOptions {
        delimiter: Delimiter::Either,
        max_length: Some(most),
    };
    let connection = reactor
        .connect_protocol(at, Lines::with(asker, options))
        .await?;
    let lines: Vec<String> = answered.await?;
    drop(connection);
    let mut lines: Vec<Value> = lines.into_iter().map(Value::String).collect();
    Ok(match lines.len() {
        0 => Value::Nothing,
        1 => lines.remove(0),
        _ => Value::List(lines),
    })
}

/// By place: what was left out before others has no words.
fn words(call: &Call) -> Result<Vec<String>, NoCall> {
    let Arguments { positional, named } = &call.arguments;
    let mut values: Vec<Option<&Value>> = positional.iter().map(Some).collect();
    let (_, method) = call
        .descriptor
        .method(&call.method)
        .ok_or_else(|| bad("there is no such method"))?;
    for (name, value) in named {
        let place = method.arguments.iter().position(|it| it.name == name);
        let place = place.ok_or_else(|| bad("there is no such argument"))?;
        values.resize(values.len().max(place + 1), None);
        values[place] = Some(value);
    }
    let words = values.into_iter().map(|value| match value {
        Some(Value::Nothing) | None => Err(bad("an argument can be left out only at the end")),
        Some(Value::Boolean(value)) => Ok(value.to_string()),
        Some(Value::Integer(number)) => Ok(number.to_string()),
        Some(Value::Float(number)) => Ok(number.to_string()),
        Some(Value::String(text)) => Ok(text.clone()),
        Some(Value::Bytes(_) | Value::List(_) | Value::Record(_)) => {
            Err(bad("an argument is a text, a number or a boolean"))
        }
    });
    words.collect()
}

fn bad(why: &str) -> NoCall {
    NoCall::new(format_args!("lines: {why}"))
}

/// Words as a line, in quotes where they need them.
fn line<'w>(words: impl IntoIterator<Item = &'w str>) -> Result<String, NoCall> {
    let mut line = String::new();
    for word in words {
        if word.chars().any(char::is_control) {
            return Err(bad("a word has no control characters"));
        }
        if !line.is_empty() {
            line.push(' ');
        }
        if word.is_empty() || word.contains([' ', '"']) {
            let word = word.replace('\\', "\\\\").replace('"', "\\\"");
            line.push_str(&format!("\"{word}\""));
        } else {
            line.push_str(word);
        }
    }
    Ok(line + "\r\n")
}

/// Asks one question after the other; the answer to the last is the one that is wanted.
struct Asker {
    questions: std::vec::IntoIter<String>,
    lines: Vec<String>,
    bytes: usize,
    most: usize,
    resolver: Option<Resolver<Vec<String>>>,
}

impl Asker {
    fn ask(&mut self, transport: &Transport) {
        match self.questions.next() {
            Some(question) => transport.write(question.as_bytes()),
            None => self.end(transport, None),
        }
    }

    fn end(&mut self, transport: &Transport, fault: Option<Fault>) {
        transport.lose_connection();
        let lines = mem::take(&mut self.lines);
        if let Some(resolver) = self.resolver.take() {
            match fault {
                Some(fault) => resolver.fail(fault),
                None => resolver.resolve(lines),
            }
        }
    }
}

impl LineReceiver for Asker {
    fn connection_made(&mut self, transport: &LineTransport) -> Result {
        self.ask(transport);
        Ok(())
    }

    fn line_received(&mut self, transport: &LineTransport, line: &[u8]) -> Result {
        if self.resolver.is_none() {
            return Ok(());
        }
        let line = String::from_utf8_lossy(line);
        if line.is_empty() {
            if let [only] = &self.lines[..]
                && let Some(fault) = only.strip_prefix("! ")
            {
                let fault = match fault.split_once(": ") {
                    Some((code, message)) => Fault::new(code.to_owned(), message),
                    None => Fault::new(INTERNAL, fault),
                };
                self.end(transport, Some(fault));
            } else if self.questions.len() == 0 {
                self.end(transport, None);
            } else {
                self.lines.clear();
                self.ask(transport);
            }
            return Ok(());
        }
        self.bytes += line.len();
        if self.bytes > self.most {
            let message = format!("the answer has more than {} bytes", self.most);
            self.end(transport, Some(Fault::new(TOO_LARGE, message)));
            return Ok(());
        }
        // A blank stands before a line that would be something else.
        let plain = line.strip_prefix(' ');
        let plain = plain.filter(|rest| rest.is_empty() || rest.starts_with('!'));
        self.lines.push(plain.unwrap_or(&line).to_owned());
        Ok(())
    }

    fn connection_lost(&mut self, reason: Failure) {
        if let Some(resolver) = self.resolver.take() {
            let lines = quoted(&self.lines.concat());
            let message = match self.lines.is_empty() {
                true => format!("the connection has ended: {reason}"),
                false => format!("the answer has no end: {lines}"),
            };
            resolver.fail(BadValue::new(message));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_as_they_are_read() {
        for words in [
            vec!["find", "a \"name\"", "3"],
            vec!["m", "", "\\", "a\\b", " "],
            vec!["m", "é", "a'b"],
        ] {
            let line = line(words.clone()).unwrap();
            assert_eq!(
                tress_rpc::line::words(line.trim_end().as_bytes()).unwrap(),
                words
            );
        }
        assert!(line(["m", "a\nquit"]).is_err());
    }
}
