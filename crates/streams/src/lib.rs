//! Any transport as a byte stream for async code: `AsyncRead`, `AsyncBufRead` and `AsyncWrite` of the crate
//! `futures-io`, and, with the feature `hyper`, `hyper::rt::{Read, Write}`. Knows no driver and no socket.
//!
//! ```
//! use futures_util::io::{AsyncReadExt, AsyncWriteExt};
//! use tress_core::Reactor;
//! use tress_streams::{connect_stream, listen_streams};
//!
//! # fn main() -> tress_core::Result<()> {
//! # let world = tress_sim::World::new(1);
//! # let (server, client) = (world.host("10.0.0.1"), world.host("10.0.0.2"));
//! # let (server, client) = (Reactor::with(server), Reactor::with(client));
//! listen_streams(&server, "tcp:7", |mut stream| async move {
//!     let mut text = String::new();
//!     stream.read_to_string(&mut text).await?;
//!     stream.write_all(text.to_uppercase().as_bytes()).await?;
//!     Ok(())
//! })?;
//!
//! let connecting = connect_stream(&client, "tcp:10.0.0.1:7");
//! let answer = client.spawn(async move {
//!     let mut stream = connecting.await?;
//!     stream.write_all(b"hello").await?;
//!     stream.close().await?;
//!     let mut answer = String::new();
//!     stream.read_to_string(&mut answer).await?;
//!     Ok(answer)
//! });
//! # world.run_until_idle(&[&server, &client])?;
//! assert_eq!(answer.try_result().unwrap()?, "HELLO");
//! # Ok(())
//! # }
//! ```
//!
//! # Reading
//!
//! What arrives stays in the buffer into which the driver read it, until the reader takes it from there: `poll_read`
//! copies it once, into the caller's buffer, and `poll_fill_buf` never. Small arrivals are the exception: they are
//! copied together, so that few bytes do not keep a large buffer (see `unread.rs` for the rule and its measurement).
//!
//! While bytes wait unread, at most [`UNREAD_BYTES`] and one buffer of the driver's (`Limits::bytes_per_turn`), the
//! transport is paused, and the peer has to wait as well. It is resumed once all of them have been read.
//!
//! At the peer's end of stream a read gives `Ok(0)`, and writing goes on. When the connection breaks, a read first
//! gives what had arrived, then the error, once, and `Ok(0)` after that. A connection that this end closes under its
//! reader (the reactor stops, say) is no end of stream but the error `ConnectionAborted`: the peer may have had more.
//!
//! # Writing
//!
//! A write takes as much as may wait for the peer (`Limits::output_high_water`) and is pending while that much waits.
//! What was written leaves by itself, at the end of the turn at the latest. `flush` is done when everything has left for
//! the operating system, so it waits for the next turn; hyper's is done at once. `close` flushes and tells the peer
//! that no more follows; reading goes on; a write after it fails with `BrokenPipe`. When the connection has broken,
//! everything on this side fails with the error that broke it, each time.
//!
//! # The end
//!
//! Dropping a [`Stream`] closes the connection: what was written still leaves, what arrives is thrown away.
//! [`Stream::abort`] resets it. Deadlines of the transport (`Limits::idle`, `Limits::shutdown`) hold as for any
//! protocol.

#![forbid(unsafe_code)]

mod error;
#[cfg(feature = "hyper")]
mod hyper;
mod protocol;
mod serve;
mod shared;
mod stream;
mod unread;

pub use protocol::{StreamProtocol, stream};
pub use serve::{StreamFactory, connect_stream, listen_streams};
pub use stream::Stream;
pub use unread::UNREAD_BYTES;
