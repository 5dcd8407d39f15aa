//! Applications on several workers: what is set on one is read on the other, the real binary, what is refused.

#![expect(
    clippy::disallowed_types,
    clippy::unwrap_used,
    reason = "the other end of the wire is not ours, and this whole file is a test"
)]

mod openssl;
#[expect(
    dead_code,
    reason = "not all of the programs that share it need all of it"
)]
mod running;

use openssl::ask_over_tls;
use running::{Running, tress};
use std::{
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    path::PathBuf,
    process::Output,
    sync::{Arc, mpsc::channel},
    thread,
};
use tress_app::{Place, Plan, Registry};
use tress_core::{Reactor, Remote};
use tress_os::Workers;

/// A file of that name and content, in a directory of this process.
fn file(name: &str, text: &str) -> PathBuf {
    let directory = std::env::temp_dir().join(format!("tress-workers-{}", std::process::id()));
    fs::create_dir_all(&directory).unwrap();
    let path = directory.join(name);
    fs::write(&path, text).unwrap();
    path
}

/// `workers = …`, finger and its setter, at these.
fn text(workers: &str, finger: &str, setter: &str) -> String {
    format!(
        "[app]\nworkers = {workers}\n[provide.users]\nkind = 'finger.memory'\n\
         [[serve]]\nwhat = 'users'\nas = 'finger'\nat = '{finger}'\n\
         [[serve]]\nwhat = 'users'\nas = 'finger-setter'\nanonymous = true\nat = '{setter}'\n"
    )
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

fn ask(at: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(at).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// How many peers this worker has accepted.
fn accepted(worker: &Remote) -> u64 {
    let counted =
        worker.blocking_call_from_thread(|reactor: &Reactor| Ok(reactor.statistics().accepted));
    counted.unwrap()
}

/// Which worker answers.
fn taken_by<T>(workers: &[Remote], work: impl FnOnce() -> T) -> (usize, T) {
    let before: Vec<u64> = workers.iter().map(accepted).collect();
    let done = work();
    let after: Vec<u64> = workers.iter().map(accepted).collect();
    let taken = before
        .iter()
        .zip(&after)
        .position(|(before, after)| before < after);
    (taken.unwrap(), done)
}

#[test]
fn what_is_set_on_one_worker_is_read_on_the_other() {
    check_set_and_read(tress::reactor);
}

#[cfg(all(feature = "uring", target_os = "linux"))]
#[test]
fn the_same_on_io_uring() {
    match tress::uring_reactor() {
        Ok(_) => check_set_and_read(tress::uring_reactor),
        Err(error) => println!("skipped: this machine has no io_uring for us: {error}"),
    }
}

fn check_set_and_read(make: fn() -> tress::Result<Reactor>) {
    let (finger, setter) = (free_port(), free_port());
    let at = |port| format!("tcp:{port}:interface=127.0.0.1");
    // A name of its own: the two that read it may do so at once.
    let path = file(
        &format!("set-{finger}.toml"),
        &text("2", &at(finger), &at(setter)),
    );
    let plan = Plan::read(&path, &Registry::builtin()).unwrap();
    assert_eq!(plan.workers().count(1), 2);
    let at = |port| SocketAddr::from(([127, 0, 0, 1], port));
    let (tell, told) = channel();
    thread::scope(|scope| {
        let plan = Arc::new(plan);
        scope.spawn(move || {
            let workers = Workers::new(2, make).unwrap();
            let ran = workers.run(move |worker| {
                let place = if worker.is_home() {
                    Place::Home
                } else {
                    Place::Away(worker.home().clone())
                };
                plan.set_up(worker.reactor(), &place, |_, _| Ok(()))?;
                tell.send((worker.index(), worker.reactor().remote()))
                    .unwrap();
                Ok(())
            });
            ran.unwrap();
        });
        let mut workers: Vec<(usize, Remote)> = told.iter().take(2).collect();
        workers.sort_by_key(|(index, _)| *index);
        let workers: Vec<Remote> = workers.into_iter().map(|(_, remote)| remote).collect();
        let mut seen = [[0; 2]; 2];
        for round in 0..5_000 {
            let set = format!("moshez\r\nround {round}\r\n");
            let (set_on, _) = taken_by(&workers, || ask(at(setter), &set));
            let (read_on, answer) = taken_by(&workers, || ask(at(finger), "moshez\r\n"));
            assert_eq!(answer, format!("round {round}\r\n"));
            seen[set_on][read_on] += 1;
            if seen.iter().flatten().all(|times| *times > 0) {
                break;
            }
        }
        workers[1].stop();
        assert!(seen[0][1] > 0 && seen[1][0] > 0, "{seen:?}");
    });
}

#[test]
fn the_command_runs_and_stops_them() {
    let (finger, setter) = (free_port(), free_port());
    let at = |port| format!("tcp:{port}:interface=127.0.0.1");
    let path = file("run.toml", &text("3", &at(finger), &at(setter)));
    for signal in ["TERM", "INT"] {
        let mut running = Running::start(&path);
        let lines: Vec<String> = (0..7).filter_map(|_| running.next_line()).collect();
        for worker in 0..3 {
            let name = format!("worker{{number={worker}}}");
            let its = lines.iter().filter(|line| line.contains(&name)).count();
            assert_eq!(its, if worker == 0 { 3 } else { 2 }, "{lines:?}");
        }
        let at = SocketAddr::from(([127, 0, 0, 1], finger));
        let open = TcpStream::connect(at).unwrap();
        assert!(!ask(at, "moshez\r\n").is_empty());
        running.signal(signal);
        let (rest, code) = running.ends();
        assert_eq!(code, Some(0), "{rest:?}");
        let stopped = rest.iter().filter(|line| line.ends_with("run has stopped"));
        assert_eq!(stopped.count(), 1, "{rest:?}");
        drop(open);
    }
}

/// Each worker has a ring, and a copy of the socket; both serve, and end.
#[cfg(all(feature = "uring", target_os = "linux"))]
#[test]
fn the_command_runs_them_on_io_uring() {
    if let Err(error) = tress::uring_reactor() {
        println!("skipped: this machine has no io_uring for us: {error}");
        return;
    }
    let (finger, setter) = (free_port(), free_port());
    let at = |port| format!("tcp:{port}:interface=127.0.0.1");
    let text = text("2\ndriver = 'uring'", &at(finger), &at(setter));
    let mut running = Running::start(&file("uring.toml", &text));
    assert_eq!((0..5).filter_map(|_| running.next_line()).count(), 5);
    let files = fs::read_dir(format!("/proc/{}/fd", running.child.id())).unwrap();
    let rings = files.flatten().filter(|file| {
        fs::read_link(file.path()).is_ok_and(|of| of.to_string_lossy().contains("io_uring"))
    });
    assert_eq!(rings.count(), 2);
    let at = |port| SocketAddr::from(([127, 0, 0, 1], port));
    for round in 0..100 {
        ask(at(setter), &format!("moshez\r\nround {round}\r\n"));
        let answer = ask(at(finger), "moshez\r\n");
        assert_eq!(answer, format!("round {round}\r\n"));
    }
    running.signal("TERM");
    assert_eq!(running.ends().1, Some(0));
}

/// What lies below TLS is what is shared.
#[test]
fn tls_on_several_workers() {
    let directory = file("tls", "").with_file_name("");
    let made = tress(&["cert", "--force", "--out", directory.to_str().unwrap()]).output();
    assert!(made.unwrap().status.success());
    let port = free_port();
    let names: Vec<_> = fs::read_dir(&directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    let of = |words: &str| {
        let found = names
            .iter()
            .find(|path| path.to_string_lossy().contains(words));
        found
            .unwrap_or_else(|| panic!("{names:?}"))
            .display()
            .to_string()
    };
    let (key, certificate) = (of("key.pem"), of("cert.pem"));
    let at = format!("ssl:{port}:interface=127.0.0.1:privateKey={key}:certKey={certificate}");
    let path = file("tls.toml", &text("2", &at, "tcp:0:interface=127.0.0.1"));
    let (code, said) = ends(&["check", path.to_str().unwrap()]);
    assert_eq!(code, Some(0), "{said}");
    let mut running = Running::start(&path);
    assert_eq!((0..5).filter_map(|_| running.next_line()).count(), 5);
    let client = format!("127.0.0.1:{port}");
    for _ in 0..8 {
        let Some(answer) = ask_over_tls(&client, b"moshez\r\n") else {
            break;
        };
        assert!(!answer.is_empty());
    }
    running.signal("TERM");
    assert_eq!(running.ends().1, Some(0));
}

fn ends(arguments: &[&str]) -> (Option<i32>, String) {
    let Output { status, stderr, .. } = tress(arguments).output().unwrap();
    (status.code(), String::from_utf8(stderr).unwrap())
}

#[test]
fn nothing_runs_where_an_endpoint_is_in_use() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().port();
    let held = TcpListener::bind(("127.0.0.1", taken)).ok();
    let at = |port| format!("tcp:{port}:interface=127.0.0.1");
    let held = held.unwrap_or_else(|| TcpListener::bind("127.0.0.1:0").unwrap());
    let taken = at(held.local_addr().unwrap().port());
    let path = file("taken.toml", &text("2", &at(free_port()), &taken));
    let (code, said) = ends(&["run", path.to_str().unwrap()]);
    assert_eq!(code, Some(2), "{said}");
    assert!(
        said.contains(&format!("cannot start `finger-setter` at `{taken}`")),
        "{said}"
    );
    assert!(said.contains("in use"), "{said}");
}

#[test]
fn check_refuses_what_cannot_be_shared() {
    let path = file("stdio.toml", &text("2", "stdio:", "tcp:0"));
    for command in ["check", "run"] {
        let (code, said) = ends(&[command, path.to_str().unwrap()]);
        assert_eq!(code, Some(2), "{said}");
        let expected =
            "stdio.toml:8: serve.at: `stdio:` is for one worker: there is no socket to share";
        assert!(said.contains(expected), "{said}");
    }
    let path = file("below.toml", &text("2", "haproxy:tcp:0", "unix:/tmp/a"));
    let (code, said) = ends(&["check", path.to_str().unwrap()]);
    assert_eq!(code, Some(0), "{said}");
}
