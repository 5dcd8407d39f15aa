//! XML-RPC, as Twisted and Python speak it: `POST` of a `methodCall`, answers with the status 200, and introspection. Knows
//! no connection.
//!
//! | fault code           | `faultCode` | `faultString`                                                   |
//! |----------------------|-------------|-----------------------------------------------------------------|
//! | `unknown-method`     | 8001        | `procedure NAME not found`                                      |
//! | `internal`           | 8002        | `error`                                                         |
//! | what is no call      | 8002        | `Can't deserialize input: ` and why                             |
//! | a whole number       | that number | the message                                                     |
//! | every other          | 8002        | the code and the message, `bad-arguments: …`                    |
//!
//! A number beyond 32 bits is an `i8`, one beyond 64 a `biginteger`, and nothing is `nil`: XML-RPC itself has no such
//! values, and Python and Twisted read these. Source: twisted/web/xmlrpc.py, xmlrpc.com/spec.md.

#![cfg_attr(
    not(feature = "http-client"),
    expect(
        dead_code,
        unused_imports,
        reason = "calls are written and answers read by clients alone"
    )
)]

mod read;
mod write;

pub(super) use read::answer as read_answer;
pub use read::{BadXml, MethodCall};
pub(super) use write::call;

use super::{
    answer::{self, Answer, Bounded},
    connection::{Session, done},
    mounts::Table,
};
use crate::{
    descriptor::Method,
    fault::{self, Fault},
    kind::Kind,
    object::CallContext,
    value::Value,
};
use hyper::StatusCode;
use tress_core::Deferred;
pub(super) use write::Unwritable;

/// What may be in the body of a request.
pub(super) const TYPES: &[&str] = &["text/xml", "application/xml"];
const ANSWER: &str = "text/xml; charset=utf-8";

const NOT_FOUND: i32 = 8001;
const FAILURE: i32 = 8002;

const LIST: &str = "system.listMethods";
const HELP: &str = "system.methodHelp";
const SIGNATURE: &str = "system.methodSignature";
const MULTICALL: &str = "system.multicall";

/// Answers one request.
pub(super) async fn serve(
    session: &Session,
    context: &CallContext,
    table: &Table,
    body: &[u8],
) -> Answer {
    let desk = Desk {
        session,
        context,
        table,
    };
    let result = match read(body, table.limits.nesting) {
        Ok(call) if call.method == MULTICALL => desk.multicall(call.arguments).await,
        Ok(call) => done(desk.call(&call.method, call.arguments)).await,
        Err(why) => {
            let message = format!("Can't deserialize input: {why}");
            Err(Fault::new(FAILURE.to_string(), message))
        }
    };
    let most = table.limits.response_bytes;
    let written = result.and_then(|value| {
        write::result(&value, most).map_err(|problem| match problem {
            Unwritable::TooLarge => Bounded::too_large(most),
            Unwritable::NoXml(why) => Fault::new("unwritable", format_args!("the result {why}")),
        })
    });
    let body = written.unwrap_or_else(|fault| {
        let (code, message) = told(&fault);
        write::fault(code, &message)
    });
    answer::answer(StatusCode::OK, ANSWER, body)
}

fn read(body: &[u8], nesting: usize) -> Result<MethodCall, String> {
    let text = std::str::from_utf8(body).map_err(|bad| bad.to_string())?;
    MethodCall::read(text, nesting).map_err(|bad| bad.to_string())
}

/// As the table above says it.
fn told(fault: &Fault) -> (i32, String) {
    let message = fault.message().to_owned();
    match fault.code() {
        fault::UNKNOWN_METHOD => (NOT_FOUND, message),
        fault::INTERNAL => (FAILURE, "error".to_owned()),
        code => match code.parse() {
            Ok(number) => (number, message),
            Err(_) => (FAILURE, fault.to_string()),
        },
    }
}

/// What a caller is told by the value of a fault: the table above, from right to left.
pub(super) fn fault_of(value: Value) -> Fault {
    let (mut code, mut text) = (None, String::new());
    if let Value::Record(fields) = value {
        for (name, value) in fields {
            match (name.as_str(), value) {
                ("faultCode", Value::Integer(number)) => code = i32::try_from(number).ok(),
                ("faultString", Value::String(said)) => text = said,
                _ => {}
            }
        }
    }
    let is_code = |word: &str| !word.contains(char::is_whitespace);
    match (code, text.split_once(": ")) {
        (Some(NOT_FOUND), _) => Fault::new(fault::UNKNOWN_METHOD, text),
        (Some(FAILURE), Some((code, message))) if is_code(code) => {
            Fault::new(code.to_owned(), message)
        }
        (Some(FAILURE) | None, _) => Fault::new(fault::INTERNAL, text),
        (Some(number), _) => Fault::new(number.to_string(), text),
    }
}

/// The methods of a path, for one request.
struct Desk<'a> {
    session: &'a Session,
    context: &'a CallContext,
    table: &'a Table,
}

impl Desk<'_> {
    fn call(&self, name: &str, arguments: Vec<Value>) -> Deferred<Result<Value, Fault>> {
        if name.starts_with("system.") {
            return Deferred::succeed(self.system(name, arguments));
        }
        match self.table.find(name) {
            Some(target) => self.session.call(self.context, target, arguments.into()),
            None => Deferred::succeed(Err(not_found(name))),
        }
    }

    /// What is asked about the methods.
    fn system(&self, name: &str, arguments: Vec<Value>) -> Result<Value, Fault> {
        if name == LIST {
            expect(LIST, &arguments, &[])?;
            let own = [LIST, HELP, SIGNATURE, MULTICALL];
            let names = self.table.methods.keys().map(String::as_str).chain(own);
            return Ok(Value::List(names.map(Value::from).collect()));
        }
        let (HELP | SIGNATURE) = name else {
            return Err(not_found(name));
        };
        expect(name, &arguments, &["the name of a method"])?;
        let Some(Value::String(asked)) = arguments.first() else {
            let message = format!("`{name}`: expected the name of a method");
            return Err(Fault::new(fault::BAD_ARGUMENTS, message));
        };
        let method = self.table.find(asked).map(|(_, method)| method);
        match (name, method, asked.as_str()) {
            (HELP, Some(method), _) => Ok(method.doc.into()),
            (_, Some(method), _) => Ok(signature(method)),
            (HELP, None, LIST) => Ok("The names of all methods.".into()),
            (HELP, None, HELP) => Ok("What a method does.".into()),
            (HELP, None, SIGNATURE) => {
                Ok("The types of a method: its result, then its arguments.".into())
            }
            (HELP, None, MULTICALL) => Ok("Makes several calls at once.".into()),
            (_, None, LIST) => Ok(signatures(&[&["array"]])),
            (_, None, HELP) => Ok(signatures(&[&["string", "string"]])),
            (_, None, SIGNATURE | MULTICALL) => Ok(signatures(&[&["array", "string"]])),
            (_, None, other) => Err(not_found(other)),
        }
    }

    /// All of them are called at once; each has a result in a list of its own, or is a fault.
    async fn multicall(&self, arguments: Vec<Value>) -> Result<Value, Fault> {
        expect(MULTICALL, &arguments, &["a list of calls"])?;
        let Some(Value::List(calls)) = arguments.into_iter().next() else {
            let message = format!("`{MULTICALL}`: expected a list of calls");
            return Err(Fault::new(fault::BAD_ARGUMENTS, message));
        };
        let (found, most) = (calls.len(), self.table.limits.batch);
        if found > most {
            let message = format!("at most {most} calls may come at once (`batch`), found {found}");
            return Err(Fault::new(fault::TOO_LARGE, message));
        }
        let called: Vec<_> = calls
            .into_iter()
            .map(|call| self.one_of_many(call))
            .collect();
        let mut results = Vec::with_capacity(found);
        for called in called {
            results.push(match done(called).await {
                Ok(value) => Value::List(vec![value]),
                Err(fault) => {
                    let (code, message) = told(&fault);
                    write::fault_value(code, &message)
                }
            });
        }
        Ok(Value::List(results))
    }

    fn one_of_many(&self, call: Value) -> Deferred<Result<Value, Fault>> {
        let bad = |message: &str| Deferred::succeed(Err(Fault::new(fault::BAD_ARGUMENTS, message)));
        let Value::Record(fields) = call else {
            return bad("expected a structure with `methodName` and `params`");
        };
        let (mut method, mut arguments) = (None, None);
        for (name, value) in fields {
            match (name.as_str(), value) {
                ("methodName", Value::String(name)) => method = Some(name),
                ("params", Value::List(values)) => arguments = Some(values),
                _ => return bad("expected a structure with `methodName` and `params`"),
            }
        }
        match (method, arguments) {
            (Some(method), _) if method == MULTICALL => {
                bad("`system.multicall` may not call itself")
            }
            (Some(method), Some(arguments)) => self.call(&method, arguments),
            _ => bad("expected a structure with `methodName` and `params`"),
        }
    }
}

fn not_found(name: &str) -> Fault {
    // Twisted's words.
    Fault::new(fault::UNKNOWN_METHOD, format!("procedure {name} not found"))
}

fn expect(method: &str, found: &[Value], expected: &[&str]) -> Result<(), Fault> {
    if found.len() == expected.len() {
        return Ok(());
    }
    let (expected, found) = (expected.len(), found.len());
    let message = format!("`{method}`: expected {expected} arguments, found {found}");
    Err(Fault::new(fault::BAD_ARGUMENTS, message))
}

/// Its result and its arguments; those at the end that may be left out make a signature more each.
fn signature(method: &Method) -> Value {
    let mut types = vec![type_name(&method.result.kind())];
    let kinds: Vec<Kind> = method.arguments.iter().map(|it| it.ty.kind()).collect();
    types.extend(kinds.iter().map(type_name));
    let optional = kinds.iter().rev();
    let optional = optional.take_while(|kind| matches!(kind, Kind::Optional(_)));
    let fewest = types.len() - optional.count();
    let all: Vec<&[&str]> = (fewest..=types.len()).map(|end| &types[..end]).collect();
    signatures(&all)
}

fn signatures(all: &[&[&str]]) -> Value {
    let one = |types: &&[&str]| Value::List(types.iter().map(|it| Value::from(*it)).collect());
    Value::List(all.iter().map(one).collect())
}

fn type_name(kind: &Kind) -> &'static str {
    match kind {
        Kind::Nothing => "nil",
        Kind::Boolean => "boolean",
        Kind::Integer => "int",
        Kind::Float => "double",
        Kind::String => "string",
        Kind::Bytes => "base64",
        Kind::List(_) => "array",
        Kind::Record(_) => "struct",
        Kind::Optional(inner) => type_name(inner),
        Kind::Any => "any",
    }
}
