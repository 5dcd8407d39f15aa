//! Tasks that serve connections: how they fail, how many there are, and what is logged.

use crate::{simulated::Sim, support::Task};
use futures_util::io::{AsyncReadExt, AsyncWriteExt};
use std::{cell::RefCell, io, rc::Rc};
use tress_core::{Deferred, Failure, Result, SharedFactory, testing::logged};
use tress_streams::{Stream, StreamFactory, connect_stream};

/// What is logged when a client connects, says hello and waits for the end; and how that end looks to it.
fn visit_logged(sim: &Sim) -> (Vec<String>, String) {
    let mut end = String::new();
    let lines = logged(|| {
        end = sim.visit(|mut stream| async move {
            // It may be over already.
            stream.write_all(b"hello").await.ok();
            Ok(match stream.read_to_end(&mut Vec::new()).await {
                Ok(_) => "end".to_owned(),
                Err(error) => format!("{:?}", error.kind()),
            })
        });
    });
    (lines, end)
}

#[track_caller]
fn check_failure<T>(serve: impl Fn(Stream) -> T + 'static, expected: &[&str], failures: u64)
where
    T: Future<Output = Result> + 'static,
{
    let sim = Sim::new(1);
    sim.serve(serve);
    let (lines, end) = visit_logged(&sim);
    assert_eq!(lines.len(), expected.len(), "{lines:?}");
    for (line, part) in lines.iter().zip(expected) {
        assert!(line.starts_with("ERROR "), "{line}");
        assert!(line.contains(part), "{line}");
    }
    assert_eq!(end, "ConnectionReset");
    let statistics = sim.server.statistics();
    assert_eq!(statistics.failures, failures);
    assert_eq!((statistics.connections, statistics.tasks), (0, 0));
}

#[test]
fn a_task_that_fails_is_logged_once_and_resets_its_connection() {
    check_failure(
        |mut stream| async move {
            stream.read_exact(&mut [0; 5]).await?;
            Err(Failure::msg("the cat sat on it"))
        },
        &["the cat sat on it"],
        1,
    );
    check_failure(|_| async { Err(Failure::msg("at once")) }, &["at once"], 1);
}

#[test]
fn a_task_that_panics_is_logged_once_and_resets_its_connection() {
    let late = |mut stream: Stream| async move {
        stream.read_exact(&mut [0; 5]).await?;
        panic!("the cat jumped")
    };
    check_failure(late, &["the cat jumped"], 1);
    check_failure(|_| async { panic!("at once") }, &["at once"], 1);
    check_failure(
        |_| -> std::future::Ready<Result> { panic!("even before") },
        &["even before"],
        1,
    );
}

#[test]
fn a_task_that_fails_as_its_connection_did_is_not_logged() {
    check_failure(
        |mut stream| async move {
            stream.read_exact(&mut [0; 5]).await?;
            Err(io::Error::from(io::ErrorKind::UnexpectedEof).into())
        },
        &[],
        0,
    );
    let sim = Sim::new(2);
    sim.serve(|mut stream| async move {
        stream.read_to_end(&mut Vec::new()).await?;
        Ok(())
    });
    let lines = logged(|| {
        sim.visit(|mut stream| async move {
            stream.write_all(b"hello").await?;
            stream.flush().await?;
            stream.abort();
            Ok(())
        });
    });
    assert_eq!(lines, [""; 0]);
    assert_eq!(sim.server.statistics().failures, 0);
}

#[test]
fn a_task_that_fails_after_its_connection_has_ended_is_logged_once() {
    let sim = Sim::new(3);
    sim.serve(|mut stream| async move {
        stream.read_to_end(&mut Vec::new()).await.ok();
        Err(Failure::msg("no room in the attic"))
    });
    let lines = logged(|| {
        sim.visit(|mut stream| async move {
            stream.write_all(b"hello").await?;
            stream.flush().await?;
            stream.abort();
            Ok(())
        });
    });
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].starts_with("ERROR "), "{lines:?}");
    assert!(lines[0].contains("no room in the attic"), "{lines:?}");
    assert!(
        lines[0].contains("after the connection had ended"),
        "{lines:?}"
    );
}

#[test]
fn what_is_logged_names_who_serves() {
    async fn attic(_: Stream) -> Result {
        Err(Failure::msg("no"))
    }
    let sim = Sim::new(4);
    sim.serve(attic);
    let (lines, _) = visit_logged(&sim);
    assert!(lines[0].contains("attic"), "{lines:?}");
    assert!(lines[0].contains("10.0.0.2:"), "{lines:?}");
}

#[test]
fn tasks_are_bounded_even_when_their_connections_have_ended() {
    let sim = Sim::new(5);
    let waiting: Rc<RefCell<Vec<tress_core::Resolver<()>>>> = Rc::default();
    let all = Rc::clone(&waiting);
    let serve = move |stream: Stream| {
        let (resolver, deferred) = Deferred::pair();
        all.borrow_mut().push(resolver);
        async move {
            drop(stream);
            deferred.await
        }
    };
    let factory = StreamFactory::new(serve).with_tasks(2);
    let factory = SharedFactory::new(factory);
    sim.server
        .listen_shared("tcp:7", &factory)
        .expect("it is free");
    let lines = logged(|| {
        for _ in 0..4 {
            connect_stream(&sim.client, "tcp:10.0.0.1:7").detach();
            sim.run();
        }
    });
    assert_eq!(waiting.borrow().len(), 2);
    assert_eq!(sim.server.statistics().connections, 0);
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].contains("2 tasks run already"), "{lines:?}");
    let resolver = waiting.borrow_mut().remove(0);
    resolver.resolve(());
    sim.run();
    let lines = logged(|| {
        for _ in 0..2 {
            connect_stream(&sim.client, "tcp:10.0.0.1:7").detach();
            sim.run();
        }
    });
    assert_eq!(waiting.borrow().len(), 2);
    assert_eq!(lines.len(), 1, "{lines:?}");
}

#[test]
fn dropping_the_reactor_drops_its_tasks() {
    let sim = Sim::new(8);
    let ended = Rc::new(RefCell::new(Vec::new()));
    let seen = Rc::clone(&ended);
    struct Note(Rc<RefCell<Vec<&'static str>>>);
    impl Drop for Note {
        fn drop(&mut self) {
            self.0.borrow_mut().push("dropped");
        }
    }
    sim.serve(move |mut stream| {
        let note = Note(Rc::clone(&seen));
        async move {
            stream.read_to_end(&mut Vec::new()).await?;
            drop(note);
            Ok(())
        }
    });
    let client = connect_stream(&sim.client, "tcp:10.0.0.1:7");
    sim.run();
    assert_eq!(sim.server.statistics().tasks, 1);
    let lines = logged(|| drop(sim));
    assert_eq!(*ended.borrow(), ["dropped"]);
    assert_eq!(lines, [""; 0]);
    let mut client = client.try_result().unwrap().unwrap();
    assert_eq!(Task::new().write(&mut client, b"x"), "Other");
}

#[test]
fn what_a_task_writes_at_once_leaves_with_the_connection() {
    let sim = Sim::new(6);
    sim.serve(|mut stream| async move {
        stream.write_all(b"welcome").await?;
        Ok(())
    });
    let got = sim.visit(|mut stream| async move {
        let mut got = String::new();
        stream.read_to_string(&mut got).await?;
        Ok(got)
    });
    assert_eq!(got, "welcome");
}

#[test]
fn a_stream_may_leave_its_task() {
    let sim = Sim::new(7);
    let (mut server, mut client) = sim.pair();
    let task = Task::new();
    assert_eq!(task.write(&mut server, b"still here"), "10");
    sim.run();
    assert_eq!(task.read(&mut client, 99), "still here");
}
