//! JSON-RPC 2.0 (<https://www.jsonrpc.org/specification>): the messages, whatever carries them ([`respond`]), and lines of
//! text that do ([`JsonRpcLines`], [`JsonRpcClient`]). Knows no interface.
//!
//! A method bears its own name; `Quoter.quote` is `quote` of `Quoter`. Parameters come by place or by name; one that is
//! optional may be left out. Bytes are base64. What a call gives when it gives nothing is `null`. Members that the
//! specification does not know are ignored, one that comes twice is refused.
//!
//! | [`Fault`](crate::Fault) | `code` |
//! |---|---|
//! | the request is no JSON | −32700 |
//! | it is no request, or nested too deeply, or a batch of none or of too many | −32600 |
//! | [`UNKNOWN_METHOD`](crate::fault::UNKNOWN_METHOD) | −32601 |
//! | [`BAD_ARGUMENTS`](crate::fault::BAD_ARGUMENTS) | −32602 |
//! | [`INTERNAL`](crate::fault::INTERNAL) | −32603 |
//! | every other: [`TOO_LARGE`](crate::fault::TOO_LARGE), [`BUSY`](crate::fault::BUSY), an application's | −32000 |
//!
//! Whatever its number, an error that is a fault has the fault's code as `data.code`, which a [`JsonRpcClient`] reads first.
//!
//! Where callers of lines log in ([`JsonRpcLines::portal`]) they call `rpc.login`: names that begin so the specification
//! keeps for such things.

mod client;
mod lines;
mod request;
mod response;

#[cfg(feature = "http-client")]
pub(crate) use client::{Answer, Parameters, Request};
pub use client::{JsonRpcCaller, JsonRpcClient, connect_json_rpc};
pub use lines::{JsonRpcLines, JsonRpcProtocol};
pub use response::{Callee, refusal, respond};

#[cfg(test)]
mod tests;

/// How callers log in, where they do.
const LOGIN: &str = "rpc.login";
const NO_JSON: i32 = -32700;
const NO_REQUEST: i32 = -32600;
const NO_METHOD: i32 = -32601;
const BAD_PARAMETERS: i32 = -32602;
const INTERNAL_ERROR: i32 = -32603;
/// What the application and the server itself fail with; the specification leaves −32000 to −32099 to them.
const SERVER_ERROR: i32 = -32000;
