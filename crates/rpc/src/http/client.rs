//! A client of objects over HTTP: carries the calls of an interface in one dialect, each over a connection of its own.
//! Knows no interface; the bytes are hyper's.

use super::{
    answer::JSON,
    mounts::Dialect,
    xmlrpc::{self, Unwritable},
};
use crate::{
    arguments::{Arguments, BadCall},
    calls::ExposureLimits,
    client::Carrier,
    cred::Credentials,
    descriptor::{Descriptor, Method},
    distant::NoAnswer,
    fault::{BAD_ARGUMENTS, Fault, TOO_LARGE, UNAUTHORIZED},
    jsonrpc::{Answer, Parameters, Request as JsonRequest},
    nesting::is_deeper,
    object::CallContext,
    value::{BadValue, Value},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::{
    Request, Response, StatusCode,
    body::{Bytes, Incoming},
    client::conn::http1,
    header::{self, HeaderValue},
};
use std::{error::Error, fmt, future::poll_fn, pin::pin, rc::Rc, task::Poll};
use tress_core::{
    Deferred, Failure, Result, endpoint::EndpointSpec, error::TimedOut, wording::quoted,
};
use tress_streams::{Stream, connect_stream};

/// Carries calls to a server that speaks HTTP/1; clones are the same client.
///
/// Each call has a connection of its own, so that no call waits for another and cancelling one ends it there. Of the
/// limits it keeps `request_bytes`, `response_bytes`, `nesting` and `call_deadline`. Arguments go by place; when some are
/// given by name, all do, but for XML-RPC, which has no names. What a server refuses comes back as the [`Fault`] that it
/// names, or as one such as `http-502`. It follows no redirect, and no proxy is asked.
#[derive(Clone)]
pub struct HttpClient(Rc<Server>);

#[derive(Clone)]
struct Server {
    at: String,
    host: HeaderValue,
    spoken: Spoken,
    path: String,
    authorization: Option<HeaderValue>,
    descriptor: &'static Descriptor,
    limits: ExposureLimits,
}

/// The dialects in which calls can be made.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Spoken {
    Json,
    JsonRpc,
    XmlRpc,
}

impl HttpClient {
    /// Of the object behind an endpoint (`tcp:127.0.0.1:8008`), in that dialect, at the path that is usual for it:
    /// `/jsonrpc`, `/RPC2`, and for JSON the interface's name. Connects with the first call.
    ///
    /// # Errors
    /// The endpoint has a form that no endpoint has, or a host that HTTP has no words for; or nothing is called in that
    /// dialect.
    pub fn new(
        at: &str,
        dialect: Dialect,
        descriptor: &'static Descriptor,
        limits: ExposureLimits,
    ) -> Result<Self> {
        let (spoken, path) = match dialect {
            Dialect::Json => (Spoken::Json, format!("/{}", descriptor.name)),
            Dialect::JsonRpc => (Spoken::JsonRpc, "/jsonrpc".to_owned()),
            Dialect::XmlRpc => (Spoken::XmlRpc, "/RPC2".to_owned()),
            Dialect::Metrics => {
                return Err(NoAddress("metrics are read, and nothing is called".to_owned()).into());
            }
        };
        Ok(Self(Rc::new(Server {
            at: at.to_owned(),
            host: host_of(at)?,
            spoken,
            path,
            authorization: None,
            descriptor,
            limits,
        })))
    }

    /// At this path instead: that of all calls, or for JSON the one before the names of the methods.
    ///
    /// # Errors
    /// It does not begin with `/`, or has characters that no path has.
    pub fn at_path(self, path: &str) -> Result<Self, NoAddress> {
        let plain = |byte: u8| byte.is_ascii_graphic() && !b"\"#<>?\\^`{|}".contains(&byte);
        if !path.starts_with('/') || !path.bytes().all(plain) {
            let message = format!("expected a path such as `/jsonrpc`, found {}", quoted(path));
            return Err(NoAddress(message));
        }
        let path = match self.0.spoken {
            // The names of methods come behind it.
            Spoken::Json => path.trim_end_matches('/'),
            Spoken::JsonRpc | Spoken::XmlRpc => path,
        };
        let path = path.to_owned();
        Ok(self.with(|server| server.path = path))
    }

    /// Says with each call who calls: with HTTP Basic or a bearer token.
    ///
    /// # Errors
    /// They are none of these, or a name with a colon, which HTTP Basic cannot say.
    pub fn login(self, credentials: &Credentials) -> Result<Self, Fault> {
        let bad = |expected| Fault::new(BAD_ARGUMENTS, expected);
        let text = match credentials {
            Credentials::Password { user, .. } if user.contains(':') => {
                return Err(bad("a name with a colon cannot log in over HTTP"));
            }
            Credentials::Password { user, password } => {
                format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
            }
            Credentials::Token(token) => format!("Bearer {token}"),
            Credentials::Anonymous | Credentials::Challenge { .. } => {
                return Err(bad("expected a password or a token"));
            }
        };
        let mut value =
            HeaderValue::from_str(&text).map_err(|_| bad("a token has no control characters"))?;
        value.set_sensitive(true);
        Ok(self.with(|server| server.authorization = Some(value)))
    }

    fn with(self, change: impl FnOnce(&mut Server)) -> Self {
        let mut server = Rc::unwrap_or_clone(self.0);
        change(&mut server);
        Self(Rc::new(server))
    }
}

impl Carrier for HttpClient {
    fn descriptor(&self) -> &'static Descriptor {
        self.0.descriptor
    }

    fn call(&self, context: &CallContext, method: &str, arguments: Arguments) -> Deferred<Value> {
        let server = Rc::clone(&self.0);
        let Some((_, method)) = server.descriptor.method(method) else {
            return Deferred::fail(BadCall::unknown(server.descriptor, method));
        };
        let request = match server.request(method, arguments) {
            Ok(request) => request,
            Err(failure) => return Deferred::fail(failure),
        };
        let reactor = &context.reactor;
        let own = server.limits.call_deadline;
        let after = context
            .deadline
            .map_or(own, |deadline| deadline.since(reactor.now()).min(own));
        let connecting = connect_stream(reactor, &server.at);
        let object = server.descriptor.name.to_owned();
        let answered = reactor.spawn(async move {
            let response = exchange(connecting.await?, request, server.limits.response_bytes);
            let (status, body) = response.await?;
            server.read(status, &body)
        });
        let answered = answered.add_timeout(reactor, after);
        answered.add_errback(move |failure| match failure.check::<TimedOut>() {
            Some(_) => Err(NoAnswer { object, after }.into()),
            None => Err(failure),
        })
    }
}

/// Sends a request, and reads its answer. Dropping it closes the connection.
async fn exchange(
    stream: Stream,
    request: Request<Full<Bytes>>,
    most: usize,
) -> Result<(StatusCode, Bytes)> {
    let (mut sender, connection) = http1::handshake(stream).await?;
    let mut connection = pin!(connection);
    let mut answered = pin!(async move {
        let response: Response<Incoming> = sender.send_request(request).await?;
        let status = response.status();
        let body = Limited::new(response.into_body(), most).collect().await;
        match body {
            Ok(body) => Ok((status, body.to_bytes())),
            Err(error) if error.is::<LengthLimitError>() => {
                let message = format!("the answer has more than {most} bytes");
                Err(Fault::new(TOO_LARGE, message).into())
            }
            Err(error) => Err(match error.downcast::<hyper::Error>() {
                Ok(error) => Failure::from(*error),
                Err(error) => Failure::from(BadValue::new(error)),
            }),
        }
    });
    let mut ended = false;
    poll_fn(move |context| {
        // That it has ended, also badly, whoever waits for the answer is told.
        ended = ended || connection.as_mut().poll(context).is_ready();
        match answered.as_mut().poll(context) {
            Poll::Ready(answer) => Poll::Ready(answer),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

impl Server {
    fn request(
        &self,
        method: &'static Method,
        arguments: Arguments,
    ) -> Result<Request<Full<Bytes>>> {
        let most = self.limits.request_bytes;
        let too_large = || Fault::new(TOO_LARGE, format!("the request has more than {most} bytes"));
        let body = match self.spoken {
            Spoken::Json => {
                let Parameters(arguments) = Parameters::new(method, arguments)?;
                Bytes::from(serde_json::to_vec(&arguments)?)
            }
            Spoken::JsonRpc => {
                let request = JsonRequest {
                    method: method.name,
                    parameters: Parameters::new(method, arguments)?,
                    id: 1,
                };
                Bytes::from(serde_json::to_vec(&request)?)
            }
            Spoken::XmlRpc => {
                let arguments = by_place(method, arguments)?;
                let written = xmlrpc::call(method.name, &arguments, most);
                written.map_err(|problem| match problem {
                    Unwritable::TooLarge => too_large(),
                    Unwritable::NoXml(why) => {
                        Fault::new(BAD_ARGUMENTS, format_args!("an argument {why}"))
                    }
                })?
            }
        };
        if body.len() > most {
            return Err(too_large().into());
        }
        let path = match self.spoken {
            Spoken::Json => format!("{}/{}", self.path, method.name),
            // A path that was `/` alone.
            _ if self.path.is_empty() => "/".to_owned(),
            _ => self.path.clone(),
        };
        let content = match self.spoken {
            Spoken::Json | Spoken::JsonRpc => JSON,
            Spoken::XmlRpc => "text/xml",
        };
        let mut request = Request::post(path)
            .header(header::HOST, &self.host)
            .header(header::CONTENT_TYPE, content)
            .header(header::ACCEPT, content)
            .header(header::CONNECTION, "close");
        if let Some(authorization) = &self.authorization {
            request = request.header(header::AUTHORIZATION, authorization);
        }
        Ok(request.body(Full::new(body))?)
    }

    /// What an answer says.
    fn read(&self, status: StatusCode, body: &[u8]) -> Result<Value> {
        let bad = |why: &dyn fmt::Display| {
            Failure::from(BadValue::new(format_args!("the answer: {why}")))
        };
        if status != StatusCode::OK {
            return Err(refused(status, body).into());
        }
        // Around the result stands the response.
        let nesting = self.limits.nesting.saturating_add(1);
        if self.spoken != Spoken::XmlRpc && is_deeper(body, nesting) {
            return Err(bad(&format_args!("it is nested deeper than {nesting}")));
        }
        match self.spoken {
            Spoken::Json => serde_json::from_slice(body).map_err(|error| bad(&error)),
            Spoken::JsonRpc => match Answer::read(body) {
                Some(answer) => answer.result,
                None => Err(bad(&"expected one of JSON-RPC 2.0")),
            },
            Spoken::XmlRpc => {
                let text = std::str::from_utf8(body).map_err(|error| bad(&error))?;
                match xmlrpc::read_answer(text, nesting).map_err(|error| bad(&error))? {
                    Ok(result) => Ok(result),
                    Err(fault) => Err(xmlrpc::fault_of(fault).into()),
                }
            }
        }
    }
}

/// What a status other than 200 says: our own servers say it in JSON.
fn refused(status: StatusCode, body: &[u8]) -> Fault {
    let (mut code, mut message) = (None, None);
    if !is_deeper(body, 1)
        && let Ok(Value::Record(fields)) = serde_json::from_slice(body)
    {
        for (name, value) in fields {
            match (name.as_str(), value) {
                ("code", Value::String(said)) => code = Some(said),
                ("message", Value::String(said)) => message = Some(said),
                _ => {}
            }
        }
    }
    match (code, message) {
        (Some(code), Some(message)) => Fault::new(code, message),
        _ if status == StatusCode::UNAUTHORIZED => Fault::new(UNAUTHORIZED, status),
        _ => Fault::new(format!("http-{}", status.as_u16()), status),
    }
}

/// Each where the method has it; what was left out before others is nothing.
fn by_place(method: &'static Method, arguments: Arguments) -> Result<Vec<Value>, Fault> {
    let Arguments { positional, named } = arguments;
    let mut values: Vec<Option<Value>> = positional.into_iter().map(Some).collect();
    let bad = |why: fmt::Arguments<'_>| {
        Fault::new(BAD_ARGUMENTS, format_args!("`{}`: {why}", method.name))
    };
    for (name, value) in named {
        let mut known = method.arguments.iter();
        let Some(place) = known.position(|argument| argument.name == name) else {
            return Err(bad(format_args!("no argument is called {}", quoted(&name))));
        };
        values.resize(values.len().max(place + 1), None);
        if values[place].replace(value).is_some() {
            return Err(bad(format_args!("`{name}` is given twice")));
        }
    }
    let values = values.into_iter();
    Ok(values
        .map(|value| value.unwrap_or(Value::Nothing))
        .collect())
}

/// What `Host` is for the server behind an endpoint; what has no name is this machine.
fn host_of(at: &str) -> Result<HeaderValue> {
    let spec = EndpointSpec::parse(at)?;
    let host = match (&*spec.kind, spec.named(0, "host"), spec.named(1, "port")) {
        ("tcp" | "tcp6" | "ssl" | "tls", Some(host), Some(port)) if host.contains(':') => {
            format!("[{host}]:{port}")
        }
        ("tcp" | "tcp6" | "ssl" | "tls", Some(host), Some(port)) => format!("{host}:{port}"),
        _ => "localhost".to_owned(),
    };
    let value = HeaderValue::from_str(&host);
    Ok(value.map_err(|_| NoAddress(format!("{} is no host of HTTP", quoted(&host))))?)
}

/// A server that no request can be made for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoAddress(String);

impl fmt::Display for NoAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for NoAddress {}

impl fmt::Debug for HttpClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Server { at, path, .. } = &*self.0;
        write!(f, "HttpClient({path} at {at})")
    }
}
