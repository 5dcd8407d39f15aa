//! An object served to AMP's clients. Knows no interface.

use super::{
    ANSWER, ASK, COMMAND, ERROR, ERROR_CODE, ERROR_DESCRIPTION, RESULT, UNHANDLED, UNKNOWN,
    form::{Bad, put_named},
    format::{Boxes, Pairs, VALUE_BYTES, put_pair},
    plan::{Plan, too_long},
};
use crate::{
    arguments::Arguments,
    calls::ExposureLimits,
    cred::{Gate, Portal},
    descriptor::Descriptor,
    fault::{self, Fault},
    object::{CallContext, Object},
    owed::Owed,
    unsayable::Unsayable,
    value::Value,
};
use std::{cell::RefCell, fmt, rc::Rc};
use tress_core::{
    Address, Factory, Result, Transport,
    escape::Escaped,
    framing::{StringOptions, StringReceiver, StringTransport},
};

/// Empty output is kept between answers up to so many bytes.
const KEPT_BYTES: usize = 4096;

/// Serves an object over AMP.
///
/// ```
/// # use std::rc::Rc;
/// # use tress_core::{Result, testing::memory::Table};
/// # use tress_rpc::{ExposureLimits, amp::AmpFactory, interface};
/// /// Adds.
/// #[interface(crate = "tress_rpc")]
/// pub trait Adder {
///     /// The sum of two numbers.
///     #[name = "Sum"]
///     async fn sum(&self, a: i64, b: i64) -> Result<i64>;
/// }
///
/// struct Exact;
/// impl Adder for Exact {
///     async fn sum(&self, a: i64, b: i64) -> Result<i64> {
///         Ok(a + b)
///     }
/// }
///
/// # fn main() -> Result {
/// let adder = <dyn DynAdder>::object(Rc::new(Exact));
/// # let table = Table::new();
/// # let reactor = table.reactor();
/// reactor.listen("tcp:1234", AmpFactory::new(&adder, ExposureLimits::default())?)?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct AmpFactory {
    object: Object,
    limits: ExposureLimits,
    plan: Rc<Plan>,
    portal: Option<Portal>,
}

impl AmpFactory {
    /// Serves this object within these limits. A box has `request_bytes` at most; `batch` has no meaning here.
    ///
    /// # Errors
    /// Its interface cannot be said in AMP: an argument's name has more than 255 bytes or is a key of AMP's own.
    pub fn new(object: &Object, limits: ExposureLimits) -> Result<Self, Unsayable> {
        Ok(Self {
            object: object.clone(),
            limits,
            plan: Rc::new(Plan::new(object.descriptor())?),
            portal: None,
        })
    }

    /// Lets those call whom this portal knows: they send `Login` with `username` and `password`, or with `token`, whose
    /// answer is empty. The avatar becomes that of the calls. A call before that is the error `unauthorized`, and so is
    /// a login that is wrong; [`login_attempts`](ExposureLimits::login_attempts) of them close the connection. What comes
    /// after a `Login` is read when that has been answered.
    ///
    /// # Errors
    /// The interface has a command of that name.
    pub fn portal(mut self, portal: Portal) -> Result<Self, Unsayable> {
        let plan = Plan::new(self.object.descriptor())?.with_login()?;
        self.plan = Rc::new(plan);
        self.portal = Some(portal);
        Ok(self)
    }

    /// Whether an interface can be said in AMP.
    ///
    /// # Errors
    /// Why not, as of [`AmpFactory::new`].
    pub fn check(descriptor: &'static Descriptor) -> Result<(), Unsayable> {
        Plan::new(descriptor).map(drop)
    }
}

#[diagnostic::do_not_recommend]
impl Factory for AmpFactory {
    type Protocol = Boxes<AmpProtocol>;

    fn build_protocol(&mut self, _peer: &Address) -> Option<Boxes<AmpProtocol>> {
        let protocol = AmpProtocol {
            gate: Gate::new(&self.object, self.limits, self.portal.as_ref()),
            plan: Rc::clone(&self.plan),
            answers: None,
        };
        let options = StringOptions {
            max_length: Some(self.limits.request_bytes),
        };
        Some(Boxes::with(protocol, options))
    }
}

/// One AMP client.
#[derive(Debug)]
pub struct AmpProtocol {
    gate: Gate,
    plan: Rc<Plan>,
    /// Once the connection is there.
    answers: Option<Rc<Answers>>,
}

/// What the answers of a connection share.
#[derive(Debug)]
struct Answers {
    transport: Transport,
    plan: Rc<Plan>,
    owed: Owed,
    /// The longest answer, bytes.
    longest: usize,
    /// Answers are put together here.
    out: RefCell<Vec<u8>>,
}

/// What a call is answered to; most are short.
enum Ask {
    Short([u8; 22], u8),
    Long(Box<[u8]>),
}

impl Ask {
    #[inline]
    fn new(ask: &[u8]) -> Self {
        let mut short = [0; 22];
        match (short.get_mut(..ask.len()), u8::try_from(ask.len())) {
            (Some(start), Ok(length)) => {
                start.copy_from_slice(ask);
                Self::Short(short, length)
            }
            _ => Self::Long(ask.into()),
        }
    }

    #[inline]
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Short(bytes, length) => &bytes[..usize::from(*length)],
            Self::Long(bytes) => bytes,
        }
    }
}

impl AmpProtocol {
    /// Makes the call that a box asks for.
    fn called(
        &self,
        answers: &Rc<Answers>,
        ask: Option<&[u8]>,
        command: &[u8],
        string: &[u8],
    ) -> Result {
        let place = self.plan.find(command);
        let is_login = place.is_some_and(|place| self.plan.is_login(place));
        let entered = match self.gate.enter() {
            Ok(entered) => Some(entered),
            Err(_) if is_login => None,
            Err(fault) => {
                if let Some(ask) = ask {
                    answers.refuse(ask, &fault);
                }
                return Ok(());
            }
        };
        let Some(place) = place else {
            if let Some(ask) = ask {
                let name = command[..command.len().min(128)].escape_ascii();
                let message = format!("Unhandled Command: '{name}'");
                answers.refuse(ask, &Fault::new(fault::UNKNOWN_METHOD, message));
            }
            return Ok(());
        };
        let command = self.plan.command(place);
        let arguments = match command.read(Pairs(string), self.gate.limits().nesting) {
            Ok(arguments) => arguments,
            Err(fault) => {
                if let Some(ask) = ask {
                    answers.refuse(ask, &fault);
                }
                return Ok(());
            }
        };
        let Some(entered) = entered.filter(|_| !is_login) else {
            self.log_in(answers, ask, place, arguments);
            return Ok(());
        };
        // Made anew each time: whoever keeps one keeps the reactor, which keeps us.
        let context = &entered.context(CallContext::of(&answers.transport)?);
        let calls = entered.calls();
        let name = command.method.name;
        let Some(ask) = ask else {
            calls.call(context, name, arguments, |_| ());
            return Ok(());
        };
        answers.owed.asked();
        let (answers, ask) = (Rc::clone(answers), Ask::new(ask));
        calls.call(context, name, arguments, move |result| {
            answers.answer(ask.bytes(), place, result);
            answers.owed.answered(&answers.transport);
        });
        Ok(())
    }

    /// Asks the portal, and reads on when it has answered.
    fn log_in(
        &self,
        answers: &Rc<Answers>,
        ask: Option<&[u8]>,
        place: usize,
        arguments: Arguments,
    ) {
        answers.owed.asked();
        let (answers, ask) = (Rc::clone(answers), ask.map(Ask::new));
        let transport = answers.transport.clone();
        self.gate.login(&transport, arguments, move |result| {
            if let Some(ask) = ask {
                answers.answer(ask.bytes(), place, result.map(|()| Value::Nothing));
            }
            answers.owed.answered(&answers.transport);
            answers.transport.resume_producing();
        });
        if self.gate.is_asking() {
            transport.pause_producing();
        }
    }
}

impl Answers {
    fn answer(&self, ask: &[u8], place: usize, result: Result<Value, Fault>) {
        let result = result.and_then(|value| self.succeed(ask, place, &value));
        if let Err(fault) = result {
            self.refuse(ask, &fault);
        }
    }

    /// Sends a result, if it can be said.
    fn succeed(&self, ask: &[u8], place: usize, value: &Value) -> Result<(), Fault> {
        let mut out = self.out.borrow_mut();
        out.clear();
        let command = self.plan.command(place);
        let written = put_pair(&mut out, ANSWER, ask).map_err(Bad::from);
        let written = written.and_then(|()| put_named(&mut out, RESULT, &command.result, value));
        match written {
            Ok(()) if out.len() + 2 > self.longest => {
                let message = format!("the answer has more than {} bytes", self.longest);
                Err(Fault::new(fault::TOO_LARGE, message))
            }
            Ok(()) => {
                self.send(&mut out);
                Ok(())
            }
            Err(Bad::TooLong) => Err(too_long("result")),
            Err(Bad::Other(why)) => {
                let (interface, method) = (self.plan.descriptor.name, command.method.name);
                tracing::warn!(target: "tress", "`{interface}.{method}` gives what its schema does not say: {why}");
                Err(Fault::internal())
            }
        }
    }

    /// Sends a fault, as the table of the module has it.
    fn refuse(&self, ask: &[u8], fault: &Fault) {
        let mut out = self.out.borrow_mut();
        out.clear();
        let code = match fault.code() {
            fault::UNKNOWN_METHOD => UNHANDLED,
            fault::INTERNAL => UNKNOWN,
            code if code.len() > VALUE_BYTES => UNKNOWN,
            code => code,
        };
        let message = match code {
            UNKNOWN => "Unknown Error",
            _ => fault.message(),
        };
        let message = &message.as_bytes()[..message.floor_char_boundary(VALUE_BYTES)];
        for (key, value) in [
            (ERROR, ask),
            (ERROR_CODE, code.as_bytes()),
            (ERROR_DESCRIPTION, message),
        ] {
            put_pair(&mut out, key, value).expect("all of them have been cut");
        }
        self.send(&mut out);
        if code == UNKNOWN {
            self.transport.lose_connection();
        }
    }

    fn send(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&[0, 0]);
        self.transport.write(out);
        if out.capacity() > KEPT_BYTES {
            *out = Vec::new();
        }
    }
}

#[diagnostic::do_not_recommend]
impl StringReceiver for AmpProtocol {
    fn connection_made(&mut self, transport: &StringTransport) -> Result {
        let answers = Answers {
            transport: Transport::clone(transport),
            plan: Rc::clone(&self.plan),
            owed: Owed::default(),
            longest: self.gate.limits().response_bytes,
            out: RefCell::default(),
        };
        self.answers = Some(Rc::new(answers));
        self.gate.connection_made(transport)
    }

    fn string_received(&mut self, transport: &StringTransport, string: &[u8]) -> Result {
        let Some(answers) = &self.answers else {
            return Ok(());
        };
        let (mut ask, mut command) = (None, None);
        let mut twice = false;
        for (key, value) in Pairs(string) {
            match key {
                ASK => twice |= ask.replace(value).is_some(),
                COMMAND => twice |= command.replace(value).is_some(),
                _ => {}
            }
        }
        match command {
            Some(command) if !twice => self.called(answers, ask, command, string),
            _ => {
                let (peer, string) = (transport.peer(), Escaped(string));
                tracing::warn!(target: "tress", "AMP: {peer} is cut off: expected a box with one `_command`, got {string}");
                transport.lose_connection();
                Ok(())
            }
        }
    }

    fn read_closed(&mut self, transport: &StringTransport) -> Result {
        match &self.answers {
            Some(answers) => answers.owed.ended(transport),
            None => transport.lose_connection(),
        }
        Ok(())
    }
}

impl fmt::Debug for Ask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ask({})", self.bytes().escape_ascii())
    }
}
