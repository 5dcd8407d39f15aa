//! Two hosts in the simulator, with tasks at both ends: copying, splitting, back-pressure, half-close, resets.

use crate::support::{Task, pattern};
use futures_util::io::{self, AsyncBufReadExt, AsyncReadExt, AsyncWriteExt};
use std::{
    cell::{Cell, RefCell},
    io::ErrorKind,
    rc::Rc,
};
use tress_core::{Deferred, Failure, Limits, Reactor, Result};
use tress_sim::World;
use tress_streams::{Stream, UNREAD_BYTES, connect_stream, listen_streams};

const AT: &str = "tcp:10.0.0.1:7";

/// A server and a client in one world.
pub(crate) struct Sim {
    pub(crate) world: World,
    pub(crate) server: Reactor,
    pub(crate) client: Reactor,
}

impl Sim {
    pub(crate) fn new(seed: u64) -> Self {
        let world = World::new(seed);
        Self {
            server: Reactor::with(world.host("10.0.0.1")),
            client: Reactor::with(world.host("10.0.0.2")),
            world,
        }
    }

    /// Runs both until nothing more happens.
    pub(crate) fn run(&self) {
        let ran = self.world.run_until_idle(&[&self.server, &self.client]);
        ran.expect("it comes to rest");
    }

    /// Serves every connection with this.
    pub(crate) fn serve<T>(&self, serve: impl Fn(Stream) -> T + 'static)
    where
        T: Future<Output = Result> + 'static,
    {
        listen_streams(&self.server, "tcp:7", serve).expect("it is free");
    }

    /// A client that does this with its stream, and what came of it.
    pub(crate) fn visit<T, R: 'static>(&self, visit: impl FnOnce(Stream) -> T + 'static) -> R
    where
        T: Future<Output = Result<R>> + 'static,
    {
        let connecting = connect_stream(&self.client, AT);
        let visiting = async move { visit(connecting.await?).await };
        let visit = self.client.spawn(visiting);
        self.run();
        let result = visit.try_result().expect("it has come to an end");
        result.expect("it went well")
    }

    /// Both ends of one connection, for tests that poll by hand.
    pub(crate) fn pair(&self) -> (Stream, Stream) {
        let place = Rc::new(RefCell::new(None));
        let taken = Rc::clone(&place);
        self.serve(move |stream| {
            taken.replace(Some(stream));
            async { Ok(()) }
        });
        let client = connect_stream(&self.client, AT);
        self.run();
        let client = client.try_result().expect("it is connected");
        let server = place.take().expect("it is accepted");
        (server, client.expect("it is connected"))
    }
}

async fn echo(stream: Stream) -> Result {
    let (reader, mut writer) = stream.split();
    io::copy(reader, &mut writer).await?;
    writer.close().await?;
    Ok(())
}

#[test]
fn an_echo_by_copy_gives_back_what_it_got() {
    let sim = Sim::new(1);
    sim.serve(echo);
    let sent = pattern(1_000_003);
    let expected = sent.clone();
    let got = sim.visit(|stream| async move {
        let (mut reader, mut writer) = stream.split();
        let mut got = Vec::new();
        let write = async {
            writer.write_all(&sent).await?;
            writer.close().await
        };
        let read = reader.read_to_end(&mut got);
        futures_util::future::try_join(write, read).await?;
        Ok(got)
    });
    assert!(got == expected, "the bytes are others");
    assert_eq!(sim.server.statistics().connections, 0);
    assert_eq!(sim.client.statistics().connections, 0);
    assert_eq!(sim.server.statistics().tasks, 0);
}

#[test]
fn copy_buf_copies_everything() {
    let sim = Sim::new(2);
    sim.serve(|mut stream| async move {
        let mut got = Vec::new();
        io::copy_buf(&mut stream, &mut got).await?;
        stream.write_all(&got).await?;
        Ok(())
    });
    let sent = pattern(300_000);
    let expected = sent.clone();
    let got = sim.visit(|mut stream| async move {
        stream.write_all(&sent).await?;
        stream.close().await?;
        let mut got = Vec::new();
        io::copy_buf(&mut stream, &mut got).await?;
        Ok(got)
    });
    assert!(got == expected, "the bytes are others");
}

#[test]
fn lines_are_read_without_another_buffer() {
    let sim = Sim::new(13);
    sim.serve(|mut stream| async move {
        let mut line = String::new();
        while stream.read_line(&mut line).await? > 0 {
            stream.write_all(line.to_uppercase().as_bytes()).await?;
            line.clear();
        }
        Ok(())
    });
    let got = sim.visit(|mut stream| async move {
        stream.write_all(b"one\ntwo\nthree").await?;
        stream.close().await?;
        let mut got = String::new();
        stream.read_to_string(&mut got).await?;
        Ok(got)
    });
    assert_eq!(got, "ONE\nTWO\nTHREE");
}

#[test]
fn a_task_may_read_what_another_writes() {
    let sim = Sim::new(3);
    sim.serve(echo);
    let reactor = sim.client.clone();
    let got = sim.visit(move |stream| async move {
        let (mut reader, mut writer) = stream.split();
        let writing = reactor.spawn(async move {
            for number in 0..1000_u32 {
                writer.write_all(&number.to_be_bytes()).await?;
                if number % 7 == 0 {
                    writer.flush().await?;
                }
            }
            writer.close().await?;
            Ok(())
        });
        let mut got = Vec::new();
        reader.read_to_end(&mut got).await?;
        writing.await?;
        Ok(got)
    });
    let expected: Vec<u8> = (0..1000_u32).flat_map(u32::to_be_bytes).collect();
    assert_eq!(got, expected);
}

#[test]
fn both_ends_half_close_one_after_the_other() {
    for server_first in [true, false] {
        let sim = Sim::new(4);
        let (server, client) = sim.pair();
        let (mut first, mut second) = match server_first {
            true => (server, client),
            false => (client, server),
        };
        let task = Task::new();
        assert_eq!(task.write(&mut first, b"question"), "8");
        assert_eq!(task.close(&mut first), "pending");
        sim.run();
        assert_eq!(task.close(&mut first), "done");
        assert_eq!(task.read(&mut second, 99), "question");
        assert_eq!(task.read(&mut second, 99), "end");
        assert_eq!(task.read(&mut first, 99), "pending");
        assert_eq!(task.write(&mut second, b"answer"), "6");
        sim.run();
        assert_eq!(task.read(&mut first, 99), "answer");
        assert_eq!(task.read(&mut first, 99), "pending");
        assert_eq!(task.close(&mut second), "done");
        sim.run();
        assert_eq!(task.read(&mut first, 99), "end");
        assert_eq!(sim.server.statistics().connections, 0);
        assert_eq!(sim.client.statistics().connections, 0);
    }
}

#[test]
fn a_reader_that_never_reads_makes_the_writer_wait() {
    let sim = Sim::new(5);
    let (server, mut client) = sim.pair();
    let task = Task::new();
    let piece = pattern(100_000);
    let mut written = 0;
    loop {
        match &*task.write(&mut client, &piece) {
            "pending" if task.wakes() == 0 => {
                sim.run();
                if task.wakes() == 0 {
                    break;
                }
            }
            "pending" => {}
            count => written += count.parse::<usize>().unwrap(),
        }
        assert!(written < 10_000_000, "it goes on for ever");
    }
    let limits = Limits::default();
    let window = sim.world.policy().window;
    let received = server.transport().unwrap().statistics().received;
    let buffered = UNREAD_BYTES + limits.bytes_per_turn;
    assert!(received <= buffered as u64, "{received} bytes are kept");
    let most = buffered + window + limits.output_high_water;
    assert!(written <= most, "{written} bytes went into the void");
    assert!(server.transport().unwrap().is_paused());
    sim.run();
    assert_eq!(server.transport().unwrap().statistics().received, received);
}

#[test]
fn a_reader_that_reads_on_gets_all_of_it() {
    let sim = Sim::new(6);
    let (mut server, mut client) = sim.pair();
    let task = Task::new();
    let sent = pattern(1_000_000);
    let (mut written, mut got) = (0, Vec::new());
    while got.len() < sent.len() {
        while let Ok(count) = task.write(&mut client, &sent[written..]).parse::<usize>()
            && count > 0
        {
            written += count;
        }
        sim.run();
        got.extend(task.read_all(&mut server));
    }
    assert!(got == sent, "the bytes are others");
}

#[test]
fn a_reset_reaches_the_tasks_at_the_other_end() {
    for seed in 0..20 {
        let sim = Sim::new(seed);
        let kinds: Rc<RefCell<Vec<ErrorKind>>> = Rc::default();
        let seen = Rc::clone(&kinds);
        sim.serve(move |stream| {
            let seen = Rc::clone(&seen);
            async move {
                let (mut reader, mut writer) = stream.split();
                let note = |error: std::io::Error| seen.borrow_mut().push(error.kind());
                let mut sink = Vec::new();
                let read = async { reader.read_to_end(&mut sink).await.map(drop) };
                let write = async {
                    let data = pattern(1_000_000);
                    writer.write_all(&data).await
                };
                let (read, write) = futures_util::future::join(read, write).await;
                read.unwrap_or_else(note);
                write.unwrap_or_else(note);
                Ok(())
            }
        });
        sim.visit(|mut stream| async move {
            stream.write_all(b"hello").await?;
            let mut some = [0; 100];
            stream.read_exact(&mut some).await?;
            stream.abort();
            Ok(())
        });
        let reset = ErrorKind::ConnectionReset;
        assert_eq!(*kinds.borrow(), [reset, reset], "seed {seed}");
    }
}

#[test]
fn dropping_a_future_that_reads_loses_nothing() {
    let sim = Sim::new(7);
    let (mut server, mut client) = sim.pair();
    let task = Task::new();
    for _ in 0..3 {
        let mut buffer = [0; 4];
        let mut reading = Box::pin(server.read_exact(&mut buffer));
        assert!(
            task.poll(|context| reading.as_mut().poll(context))
                .is_pending()
        );
        drop(reading);
        assert_eq!(task.read(&mut server, 1), "pending");
    }
    assert_eq!(task.write(&mut client, b"all"), "3");
    sim.run();
    assert_eq!(task.wakes(), 1);
    assert_eq!(task.read(&mut server, 9), "all");
}

#[test]
fn a_refused_connection_fails_the_deferred() {
    let sim = Sim::new(8);
    let refused = connect_stream(&sim.client, AT);
    sim.run();
    let refused = refused.try_result().expect("it has failed");
    let failure = refused.expect_err("nobody listens");
    assert_eq!(failure.to_string(), "could not connect: connection refused");
}

#[test]
fn cancelling_gives_the_attempt_up() {
    let sim = Sim::new(9);
    let accepted = Rc::new(Cell::new(0));
    let count = Rc::clone(&accepted);
    sim.serve(move |stream| {
        count.set(count.get() + 1);
        echo(stream)
    });
    let connecting: Deferred<Stream> = connect_stream(&sim.client, AT);
    connecting.cancel();
    assert!(matches!(connecting.try_result(), Ok(Err(_))));
    sim.run();
    assert_eq!(sim.client.statistics().connections, 0);
    assert_eq!(sim.server.statistics().connections, 0);
}

#[test]
fn a_deferred_that_nobody_waits_for_closes_its_stream() {
    let sim = Sim::new(10);
    sim.serve(echo);
    connect_stream(&sim.client, AT).detach();
    sim.run();
    assert_eq!(sim.client.statistics().connections, 0);
    assert_eq!(sim.server.statistics().connections, 0);
}

#[test]
fn stopping_the_reactor_ends_every_stream() {
    let sim = Sim::new(11);
    let (mut server, mut client) = sim.pair();
    let task = Task::new();
    assert_eq!(task.read(&mut server, 1), "pending");
    sim.server.start().expect("it does not run");
    sim.server.stop().expect("it runs");
    sim.run();
    assert_eq!(task.read(&mut client, 1), "end");
    assert_eq!(task.read(&mut server, 1), "ConnectionAborted");
    assert_eq!(task.write(&mut server, b"x"), "BrokenPipe");
}

#[test]
fn a_failure_from_a_stream_is_an_io_error() {
    let sim = Sim::new(12);
    sim.serve(|stream| async move {
        drop(stream);
        Ok(())
    });
    let kind = sim.visit(|mut stream| async move {
        let error: Failure = stream.read_exact(&mut [0; 4]).await.unwrap_err().into();
        Ok(error.check::<std::io::Error>().map(std::io::Error::kind))
    });
    assert_eq!(kind, Some(ErrorKind::UnexpectedEof));
}
