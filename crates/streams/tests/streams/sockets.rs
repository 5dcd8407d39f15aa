//! The same streams on real sockets, with the mio driver.

use crate::support::pattern;
use futures_util::{
    future,
    io::{self, AsyncReadExt, AsyncWriteExt},
};
use std::time::Duration;
use tress_core::{Port, Reactor, Result};
use tress_streams::{Stream, connect_stream, listen_streams};

/// Longer than any of these tests takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A reactor on real sockets.
pub(crate) fn reactor() -> Reactor {
    Reactor::with(tress_os::Mio::new().expect("the system has descriptors"))
}

/// Runs this to its end.
pub(crate) fn run<T: 'static>(
    reactor: &Reactor,
    future: impl Future<Output = Result<T>> + 'static,
) -> T {
    let late = reactor.clone();
    let patience = reactor.call_later(PATIENCE, move || late.stop());
    let result = reactor.run_until(future);
    patience.cancel().ok();
    result.expect("it comes to a good end in time")
}

/// Serves every connection on the loopback interface with this.
pub(crate) fn serve<T>(reactor: &Reactor, serve: impl Fn(Stream) -> T + 'static) -> Port
where
    T: Future<Output = Result> + 'static,
{
    listen_streams(reactor, "tcp:0:interface=127.0.0.1", serve).expect("there is a port")
}

/// How this port is reached.
pub(crate) fn endpoint(port: &Port) -> String {
    let number = port.local_address().port().expect("it has a number");
    format!("tcp:127.0.0.1:{number}")
}

#[test]
fn many_megabytes_go_both_ways_at_once() {
    let reactor = reactor();
    let port = serve(&reactor, |stream| async move {
        let (reader, mut writer) = stream.split();
        io::copy(reader, &mut writer).await?;
        writer.close().await?;
        Ok(())
    });
    let sent = pattern(16 << 20);
    let connecting = connect_stream(&reactor, &endpoint(&port));
    run(&reactor, async move {
        let (reader, mut writer) = connecting.await?.split();
        let mut got = Vec::new();
        let write = async {
            writer.write_all(&sent).await?;
            writer.close().await
        };
        future::try_join(write, io::copy(reader, &mut got)).await?;
        assert!(got == sent, "the bytes are others");
        Ok(())
    });
}

#[test]
fn a_flush_is_enough_before_the_program_ends() {
    let reactor = reactor();
    let port = serve(&reactor, |mut stream| async move {
        let mut got = Vec::new();
        io::copy_buf(&mut stream, &mut got).await?;
        stream.write_all(&got.len().to_be_bytes()).await?;
        stream.flush().await?;
        stream.close().await?;
        Ok(())
    });
    let connecting = connect_stream(&reactor, &endpoint(&port));
    run(&reactor, async move {
        let mut stream = connecting.await?;
        stream.write_all(&pattern(5_000_000)).await?;
        stream.flush().await?;
        assert_eq!(stream.transport().unwrap().statistics().queued, 0);
        stream.close().await?;
        let mut length = [0; 8];
        stream.read_exact(&mut length).await?;
        assert_eq!(usize::from_be_bytes(length), 5_000_000);
        assert_eq!(stream.read(&mut length).await?, 0);
        Ok(())
    });
}

#[test]
fn a_reset_comes_as_the_systems_own_error() {
    let reactor = reactor();
    let port = serve(&reactor, |mut stream| async move {
        stream.read_exact(&mut [0; 4]).await?;
        stream.abort();
        Ok(())
    });
    let connecting = connect_stream(&reactor, &endpoint(&port));
    let error = run(&reactor, async move {
        let mut stream = connecting.await?;
        stream.write_all(b"more than four").await?;
        Ok(stream.read_to_end(&mut Vec::new()).await.unwrap_err())
    });
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    assert!(error.raw_os_error().is_some(), "{error}");
}

#[test]
fn a_writer_waits_for_a_reader_that_does_not_read() {
    let reactor = reactor();
    let (finished, has_finished) = tress_core::Deferred::<()>::pair();
    let finished = std::cell::Cell::new(Some(finished));
    let port = serve(&reactor, move |mut stream| {
        let finished = finished.take();
        async move {
            stream.write_all(&pattern(32 << 20)).await?;
            stream.close().await?;
            if let Some(finished) = finished {
                finished.resolve(());
            }
            Ok(())
        }
    });
    let connecting = connect_stream(&reactor, &endpoint(&port));
    let loop_ = reactor.clone();
    run(&reactor, async move {
        let mut stream = connecting.await?;
        // Many turns in which the writer could have gone on.
        for _ in 0..200 {
            loop_.after(Duration::ZERO).await?;
        }
        let statistics = stream.transport().unwrap().statistics();
        let most = (tress_streams::UNREAD_BYTES + loop_.limits().bytes_per_turn) as u64;
        assert!(statistics.received <= most, "{statistics:?}");
        let mut got = Vec::new();
        io::copy_buf(&mut stream, &mut got).await?;
        assert!(got == pattern(32 << 20), "the bytes are others");
        has_finished.await
    });
}
