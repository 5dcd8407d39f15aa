//! The call over each protocol: connects, logs in, calls. Knows no interface.

use super::lines;
use std::{error::Error, fmt, time::Duration};
use tress_core::{Reactor, Result, wording::quoted};
use tress_rpc::{
    Arguments, CallContext, Carrier, Client, Descriptor, ExposureLimits, Value,
    amp::AmpClient,
    cred::Credentials,
    http::{Dialect, HttpClient},
    jsonrpc::JsonRpcClient,
    pb::PbClient,
};

/// What can be spoken.
pub(super) const PROTOCOLS: [&str; 7] = [
    "amp",
    "http",
    "jsonrpc",
    "jsonrpc-lines",
    "lines",
    "pb",
    "xmlrpc",
];

/// A call, ready to be made.
pub(super) struct Call {
    pub(super) protocol: String,
    pub(super) descriptor: &'static Descriptor,
    /// Whether that is the object's, and not made up.
    pub(super) typed: bool,
    pub(super) method: String,
    pub(super) arguments: Arguments,
    pub(super) path: Option<String>,
    pub(super) credentials: Option<Credentials>,
    pub(super) deadline: Duration,
}

/// A protocol has no words for a call: nobody was asked.
#[derive(Debug)]
pub(super) struct NoCall(String);

impl NoCall {
    pub(super) fn new(why: impl fmt::Display) -> Self {
        Self(why.to_string())
    }
}

impl fmt::Display for NoCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for NoCall {}

fn dialect(protocol: &str) -> Option<Dialect> {
    match protocol {
        "http" => Some(Dialect::Json),
        "jsonrpc" => Some(Dialect::JsonRpc),
        "xmlrpc" => Some(Dialect::XmlRpc),
        _ => None,
    }
}

/// Whether objects have paths there.
pub(super) fn has_paths(protocol: &str) -> bool {
    dialect(protocol).is_some()
}

/// Whether a protocol can carry such a call.
///
/// # Errors
/// It cannot: says what is missing.
pub(super) fn check(
    protocol: &str,
    typed: bool,
    has_path: bool,
    arguments: &Arguments,
    method: &str,
) -> Result<(), String> {
    let unknown = format_args!(
        "this program knows no interface with a method {}",
        quoted(method)
    );
    let by_place = arguments.positional.len();
    match protocol {
        "amp" if !typed && by_place > 0 => Err(format!(
            "AMP has arguments by name, and {unknown}: write each as NAME=VALUE"
        )),
        "http" if !typed && !has_path => Err(format!(
            "{unknown}: say the path of the object with --path, such as /Quoter"
        )),
        "xmlrpc" | "lines" if !typed && !arguments.named.is_empty() => Err(format!(
            "`{protocol}` has arguments by place, and {unknown}: write them without names"
        )),
        "jsonrpc" | "jsonrpc-lines" | "http"
            if !typed && by_place > 0 && !arguments.named.is_empty() =>
        {
            Err("JSON-RPC and HTTP+JSON have arguments by place or by name, not both".to_owned())
        }
        _ => Ok(()),
    }
}

/// Connects, logs in, and calls.
pub(super) async fn carry(reactor: &Reactor, at: &str, call: Call) -> Result<Value> {
    let limits = ExposureLimits {
        call_deadline: call.deadline,
        ..ExposureLimits::default()
    };
    let context = CallContext {
        deadline: Some(reactor.now() + call.deadline),
        ..CallContext::local(reactor)
    };
    let descriptor = call.descriptor;
    if let Some(dialect) = dialect(&call.protocol) {
        let mut client = HttpClient::new(at, dialect, descriptor, limits)?;
        if let Some(path) = &call.path {
            client = client.at_path(path).map_err(NoCall::new)?;
        }
        if let Some(credentials) = &call.credentials {
            client = client.login(credentials).map_err(NoCall::new)?;
        }
        return made(client, &context, call).await;
    }
    match &*call.protocol {
        "amp" => {
            let client = match call.typed {
                true => AmpClient::new(descriptor, limits)?,
                false => AmpClient::untyped(descriptor, limits)?,
            };
            reactor.connect_protocol(at, client.protocol()).await?;
            if let Some(credentials) = call.credentials.clone() {
                client.login(&context, credentials).await?;
            }
            made(client, &context, call).await
        }
        "jsonrpc-lines" => {
            let client = JsonRpcClient::new(descriptor, limits);
            reactor.connect_protocol(at, client.protocol()).await?;
            if let Some(credentials) = call.credentials.clone() {
                client.login(&context, credentials).await?;
            }
            made(client, &context, call).await
        }
        "pb" => {
            let root = PbClient::connect(reactor, at, limits).await?;
            let object = match &call.credentials {
                None => root,
                Some(Credentials::Password { user, password }) => {
                    root.login(&context, user, password.as_bytes()).await?
                }
                Some(_) => {
                    let message = "PB logs in with a name and a password, and has no tokens";
                    return Err(NoCall::new(message).into());
                }
            };
            made(object.carrier(descriptor), &context, call).await
        }
        "lines" => lines::call(reactor, at, call, limits.response_bytes).await,
        other => unreachable!("the grammar has no protocol {other}"),
    }
}

/// The client is kept for as long as the answer is waited for: with it ends its connection.
async fn made(carrier: impl Carrier, context: &CallContext, call: Call) -> Result<Value> {
    let Call {
        method, arguments, ..
    } = call;
    let client = Client::new(carrier);
    let result = client.call(context, &method, arguments).await;
    drop(client);
    result
}
