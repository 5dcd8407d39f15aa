//! A finger question (RFC 1288): one line out, everything in until the server closes. Knows neither C nor the window
//! that asks.

use std::{
    cell::{Cell, RefCell},
    ffi::{c_char, c_int, c_void},
    fmt,
    rc::Rc,
    time::Duration,
};
use tress_core::{
    Failure, Protocol, Reactor, Result, Transport, endpoint::Side, error::ConnectionDone,
};

/// The longest answer, bytes.
const ANSWER_BYTES_MAX: usize = 65_536;
/// A server may say nothing for this long.
const SILENCE: Duration = Duration::from_secs(180);

type Function = extern "C" fn(*mut c_void, c_int, *const c_char, usize);

/// Whom to tell what came of a question.
pub struct Answered {
    function: Function,
    data: *mut c_void,
    is_too_late: Rc<Cell<bool>>,
}

impl fmt::Debug for Answered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Answered")
    }
}

impl Answered {
    pub(crate) fn new(function: Function, data: *mut c_void) -> Self {
        Self {
            function,
            data,
            is_too_late: Rc::default(),
        }
    }

    /// Nobody is told once this is set.
    pub(crate) fn unless(self, is_too_late: &Rc<Cell<bool>>) -> Self {
        Self {
            is_too_late: Rc::clone(is_too_late),
            ..self
        }
    }

    fn call(self, outcome: Result<&[u8]>) {
        if self.is_too_late.get() {
            return;
        }
        let (ok, mut text) = match outcome {
            Ok(answer) => (1, String::from_utf8_lossy(answer).into_owned()),
            Err(failure) => (0, failure.to_string()),
        };
        let length = text.len();
        text.push('\0');
        (self.function)(self.data, ok, text.as_ptr().cast(), length);
    }
}

/// Asks the server at `to`; `answered` is called in a later turn.
///
/// # Errors
/// The endpoint makes no sense, or the query is no line.
pub(crate) fn ask(reactor: &Reactor, to: &str, query: &str, answered: Answered) -> Result {
    reactor.check_endpoint(to, Side::Client)?;
    if query.contains(['\r', '\n']) {
        return Err(Failure::msg("a finger query is one line"));
    }
    // Whichever comes to an end first has it.
    let answered = Rc::new(RefCell::new(Some(answered)));
    let question = Question {
        query: format!("{query}\r\n"),
        answer: Vec::new(),
        answered: Rc::clone(&answered),
    };
    let (to, own) = (to.to_owned(), reactor.downgrade());
    // Not from in here: an attempt may fail at once.
    reactor.call_later(Duration::ZERO, move || {
        let Some(reactor) = own.upgrade() else { return };
        let connecting = reactor.connect_protocol(&to, question);
        let told = connecting.add_callbacks(drop, move |failure| {
            if let Some(answered) = answered.take() {
                answered.call(Err(failure));
            }
        });
        told.detach();
    });
    Ok(())
}

struct Question {
    query: String,
    answer: Vec<u8>,
    answered: Rc<RefCell<Option<Answered>>>,
}

impl Protocol for Question {
    fn connection_made(&mut self, transport: &Transport) -> Result {
        transport.set_idle_timeout(Some(SILENCE));
        transport.write(self.query.as_bytes());
        Ok(())
    }

    fn data_received(&mut self, _: &Transport, data: &[u8]) -> Result {
        if self.answer.len() + data.len() > ANSWER_BYTES_MAX {
            let text = format!("the answer is longer than {ANSWER_BYTES_MAX} bytes");
            return Err(Failure::msg(text));
        }
        self.answer.extend_from_slice(data);
        Ok(())
    }

    fn connection_lost(&mut self, reason: Failure) {
        let Some(answered) = self.answered.take() else {
            return;
        };
        match reason.check::<ConnectionDone>() {
            Some(ConnectionDone) => answered.call(Ok(&self.answer)),
            None => answered.call(Err(reason)),
        }
    }

    fn name(&self) -> &'static str {
        "finger question"
    }
}
