//! hyper as a server and as a client over streams on real sockets, with itself and with curl.
#![expect(clippy::print_stderr, reason = "what was skipped")]

use crate::{
    sockets::{endpoint, reactor, run, serve},
    support::{Task, pattern},
};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{
    Request, Response, Version, body::Incoming, client::conn::http1 as client, rt::Write,
    server::conn::http1 as server, service::service_fn,
};
use std::{
    convert::Infallible,
    fs,
    io::ErrorKind,
    path::PathBuf,
    pin::Pin,
    process::{Child, Command, Stdio},
    task::Poll,
    time::Duration,
};
use tress_core::{Port, Reactor, Result, testing::memory::Tester};
use tress_streams::{Stream, connect_stream, stream};

/// The size of the large bodies.
const LARGE: usize = 16 << 20;

/// Answers with what it was sent; whoever sends nothing gets a greeting.
async fn answer(request: Request<Incoming>) -> hyper::Result<Response<Full<Bytes>>> {
    let path = request.uri().path().to_owned();
    let body = request.into_body().collect().await?.to_bytes();
    let body = match body.len() {
        0 => Bytes::from(format!("hello from {path}")),
        _ => body,
    };
    Ok(Response::new(Full::new(body)))
}

async fn serve_http(stream: Stream) -> Result {
    let serving = server::Builder::new().serve_connection(stream, service_fn(answer));
    serving.await?;
    Ok(())
}

/// A client's connection, whose own work is a task of its own.
async fn connect(reactor: &Reactor, port: &Port) -> Result<client::SendRequest<Full<Bytes>>> {
    let stream = connect_stream(reactor, &endpoint(port)).await?;
    let (sender, connection) = client::handshake(stream).await?;
    let ended = reactor.spawn(async move { Ok(connection.await?) });
    ended.detach();
    Ok(sender)
}

fn request(path: &str, body: impl Into<Bytes>) -> Request<Full<Bytes>> {
    let request = Request::builder().uri(path).method("POST");
    let request = request.header("host", "tress.example");
    let body = Full::new(body.into());
    request.body(body).expect("it has all that it needs")
}

#[test]
fn a_client_and_a_server_keep_their_connection() {
    let reactor = reactor();
    let port = serve(&reactor, serve_http);
    let own = reactor.clone();
    run(&reactor, async move {
        let mut sender = connect(&own, &port).await?;
        for number in 0..20 {
            let path = format!("/{number}");
            sender.ready().await?;
            let response = sender.send_request(request(&path, "")).await?;
            assert_eq!(response.version(), Version::HTTP_11);
            let body = response.into_body().collect().await?.to_bytes();
            assert_eq!(body, format!("hello from {path}"));
        }
        assert_eq!(own.statistics().accepted, 1);
        Ok(())
    });
    assert_eq!(reactor.statistics().failures, 0);
    assert_eq!(reactor.statistics().connections, 0);
}

#[test]
fn large_bodies_go_both_ways() {
    let reactor = reactor();
    let port = serve(&reactor, serve_http);
    let own = reactor.clone();
    run(&reactor, async move {
        let mut sender = connect(&own, &port).await?;
        let sent = Bytes::from(pattern(LARGE));
        for _ in 0..2 {
            sender.ready().await?;
            let response = sender.send_request(request("/", sent.clone())).await?;
            let body = response.into_body().collect().await?.to_bytes();
            assert!(body == sent, "the bytes are others");
        }
        assert_eq!(own.statistics().accepted, 1);
        Ok(())
    });
    assert_eq!(reactor.statistics().failures, 0);
}

/// hyper takes an answer for unfinished until it is flushed, and an end of the peer's before that for an error: whoever
/// closes as soon as he has the answer may be faster than the next turn of the loop.
#[test]
fn hyper_never_waits_for_a_flush() {
    let (protocol, mut stream) = stream();
    let tester = Tester::new(protocol);
    let task = Task::new();
    let flush = |stream: &mut Stream| {
        let flushed = task.poll(|context| Write::poll_flush(Pin::new(stream), context));
        flushed.map_err(|error| error.kind())
    };
    tester.peer_stops_reading();
    assert_eq!(task.write(&mut stream, b"answer"), "6");
    tester.settle();
    assert_eq!(flush(&mut stream), Poll::Ready(Ok(())));
    assert_eq!(task.flush(&mut stream), "pending");
    let shut = task.poll(|context| Write::poll_shutdown(Pin::new(&mut stream), context));
    assert!(shut.is_pending());
    tester.peer_resets();
    let reset = ErrorKind::ConnectionReset;
    assert_eq!(flush(&mut stream), Poll::Ready(Err(reset)));
}

#[test]
fn an_answer_may_come_before_the_request_is_read() {
    let reactor = reactor();
    let port = serve(&reactor, |stream| async move {
        let service = service_fn(|_request: Request<Incoming>| async {
            let response = Response::builder().status(413);
            let response = response.body(Full::new(Bytes::from_static(b"too large")));
            Ok::<_, Infallible>(response.unwrap())
        });
        // It may or may not have noticed that the client went on writing.
        server::Builder::new()
            .serve_connection(stream, service)
            .await
            .ok();
        Ok(())
    });
    let own = reactor.clone();
    run(&reactor, async move {
        let mut sender = connect(&own, &port).await?;
        sender.ready().await?;
        let body = pattern(LARGE);
        let response = sender.send_request(request("/", body)).await?;
        assert_eq!(response.status(), 413);
        Ok(())
    });
}

/// curl, and where its output goes; `None`, and a line that says so, where there is none.
fn curl(name: &str) -> Option<(Command, PathBuf)> {
    if Command::new("curl").arg("--version").output().is_err() {
        eprintln!("skipped: this machine has no curl");
        return None;
    }
    let directory = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::create_dir_all(&directory).expect("cargo made its parent");
    let mut command = Command::new("curl");
    command.args(["--silent", "--show-error", "--fail", "--noproxy", "*"]);
    command.args(["--max-time", "50"]).stdin(Stdio::null());
    Some((command, directory))
}

/// Waits for a program while the loop goes on.
async fn ended(reactor: &Reactor, mut program: Child) -> Result {
    loop {
        if let Some(status) = program.try_wait()? {
            assert!(status.success(), "{status}");
            return Ok(());
        }
        reactor.after(Duration::from_millis(2)).await?;
    }
}

#[test]
fn curl_asks_twice_on_one_connection() {
    let Some((mut curl, directory)) = curl("twice") else {
        return;
    };
    let reactor = reactor();
    let port = serve(&reactor, serve_http);
    let number = port.local_address().port().expect("it has a number");
    for path in ["first", "second"] {
        curl.arg("--output").arg(directory.join(path));
        curl.arg(format!("http://127.0.0.1:{number}/{path}"));
    }
    let own = reactor.clone();
    run(&reactor, async move {
        ended(&own, curl.spawn()?).await?;
        assert_eq!(own.statistics().accepted, 1);
        Ok(())
    });
    for path in ["first", "second"] {
        let got = fs::read_to_string(directory.join(path)).unwrap();
        assert_eq!(got, format!("hello from /{path}"));
    }
    assert_eq!(reactor.statistics().failures, 0);
}

#[test]
fn curl_sends_and_gets_a_large_body() {
    let Some((mut curl, directory)) = curl("large") else {
        return;
    };
    let sent = pattern(LARGE);
    fs::write(directory.join("sent"), &sent).unwrap();
    let reactor = reactor();
    let port = serve(&reactor, serve_http);
    let number = port.local_address().port().expect("it has a number");
    // Without `Expect: 100-continue`, for which curl would wait, and then with it.
    for expect in ["Expect:", "Expect: 100-continue"] {
        curl.args(["--header", expect, "--data-binary"]);
        curl.arg(format!("@{}", directory.join("sent").display()));
        curl.arg("--output").arg(directory.join("got"));
        curl.arg(format!("http://127.0.0.1:{number}/"));
        curl.arg("--next");
        curl.args(["--silent", "--show-error", "--fail", "--noproxy", "*"]);
    }
    curl.arg("--output").arg(directory.join("last"));
    curl.arg(format!("http://127.0.0.1:{number}/last"));
    let own = reactor.clone();
    run(&reactor, async move { ended(&own, curl.spawn()?).await });
    assert!(
        fs::read(directory.join("got")).unwrap() == sent,
        "the bytes are others"
    );
    fs::remove_dir_all(&directory).unwrap();
    assert_eq!(reactor.statistics().failures, 0);
}
