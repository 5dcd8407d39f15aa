//! Sockets that whoever started this process opened for it, as systemd does.

use crate::run::{AT, end, in_role, start, with_descriptors};
use socket2::{Domain, SockAddr, Socket, Type};
use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{Ipv4Addr, SocketAddr},
    os::fd::OwnedFd,
    process::{Command, Stdio},
};

pub(crate) const TESTS: &[(&str, fn())] = &[
    ("by_index_and_by_name", by_index_and_by_name),
    ("what_is_wrong_is_told", what_is_wrong_is_told),
    ("children_get_nothing", children_get_nothing),
    ("with_systemds_own_program", with_systemds_own_program),
];

fn listening(domain: Domain) -> (Socket, SockAddr) {
    let socket = Socket::new(domain, Type::STREAM, None).expect("there is a socket");
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    socket.bind(&any.into()).expect("port 0 is free");
    socket.listen(8).expect("it is bound");
    let address = socket.local_addr().expect("it is bound");
    (socket, address)
}

fn is_echo(address: &SockAddr) {
    let mut client = Socket::new(address.domain(), Type::STREAM, None).expect("there is a socket");
    client.connect(address).expect("it listens");
    client.write_all(b"hello").expect("there is room");
    let mut answer = [0; 5];
    client.read_exact(&mut answer).expect("it echoes");
    assert_eq!(&answer, b"hello");
}

const THREE: &str = "LISTEN_PID=$$ LISTEN_FDS=3 LISTEN_FDNAMES=a.socket:b.socket:c.socket";

/// Two of three, and the third stays open for who asks later.
fn by_index_and_by_name() {
    for which in ["index=1", "name=b.socket"] {
        let (sockets, addresses): (Vec<Socket>, Vec<SockAddr>) =
            (0..3).map(|_| listening(Domain::IPV4)).unzip();
        let sockets: Vec<OwnedFd> = sockets.into_iter().map(OwnedFd::from).collect();
        let mut command = with_descriptors("systemd", &sockets, THREE);
        drop(sockets);
        command.env(
            AT,
            format!("systemd:domain=INET:{which}\nsystemd:INET:index=0"),
        );
        let mut child = start(command);
        is_echo(&addresses[1]);
        // It stops with the first that ends.
        let ended = end_of(&mut child);
        assert_eq!(ended, Some(0), "{which}");
    }
}

fn end_of(child: &mut std::process::Child) -> Option<i32> {
    drop(child.stdin.take());
    let mut errors = String::new();
    let mut pipe = child.stderr.take().expect("it is piped");
    pipe.read_to_string(&mut errors).expect("it is text");
    let code = child.wait().expect("it is our child").code();
    assert!(errors.starts_with("listening at 127.0.0.1:"), "{errors}");
    code
}

/// What it says, with these sockets and variables, at these endpoints.
#[track_caller]
fn check(sockets: Vec<Socket>, variables: &str, at: &str, expected: &str) {
    let sockets: Vec<OwnedFd> = sockets.into_iter().map(OwnedFd::from).collect();
    let mut command = with_descriptors("systemd", &sockets, variables);
    command.env(AT, at);
    let ended = end(start(command));
    let last = ended.errors.lines().last().unwrap_or_default();
    let first = at.lines().last().unwrap_or_default();
    let expected = format!("cannot listen at {first}: {expected}");
    assert!(last.starts_with(&expected), "{last}\n{expected}");
    assert_eq!(ended.code, Some(2));
}

fn what_is_wrong_is_told() {
    let tcp = || listening(Domain::IPV4).0;
    let one = "LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=web.socket";
    check(
        vec![],
        "",
        "systemd:INET:index=0",
        "systemd passed no descriptor: LISTEN_PID and LISTEN_FDS are not set",
    );
    check(
        vec![tcp()],
        "LISTEN_PID=1 LISTEN_FDS=1",
        "systemd:INET:index=0",
        "LISTEN_PID is 1: the descriptors were passed to another process, not to ",
    );
    check(
        vec![tcp()],
        one,
        "systemd:INET:index=1",
        "there is no descriptor 1: systemd passed 0 to 0",
    );
    check(
        vec![tcp()],
        one,
        "systemd:INET:name=wep.socket",
        "unknown descriptor `wep.socket`; expected `web.socket`; did you mean `web.socket`?",
    );
    check(
        vec![tcp()],
        one,
        "systemd:INET6:index=0",
        "descriptor 0, `web.socket`: it is of the domain INET, and not INET6",
    );
    check(
        vec![tcp()],
        one,
        "systemd:INET:index=0\nsystemd:INET:name=web.socket",
        "descriptor 0, `web.socket`: it is served by another endpoint, or was before",
    );
    let datagrams = Socket::new(Domain::IPV4, Type::DGRAM, None).expect("there is a socket");
    check(
        vec![datagrams],
        one,
        "systemd:INET:index=0",
        "expected a stream socket that listens; it is a datagram socket",
    );
    let idle = Socket::new(Domain::IPV4, Type::STREAM, None).expect("there is a socket");
    check(
        vec![idle],
        one,
        "systemd:INET:index=0",
        "expected a stream socket that listens; it is a socket that does not listen",
    );
    check(
        vec![],
        "LISTEN_PID=$$ LISTEN_FDS=200",
        "systemd:INET:index=199",
        "descriptor 199, `unknown`: Bad file descriptor (os error 9)",
    );
    check(
        vec![],
        "LISTEN_PID=$$ LISTEN_FDS=1",
        "systemd:INET:index=0",
        // It is the loop's own.
        "descriptor 0, `unknown`: this process has opened it itself",
    );
}

/// Not even those that another part of the program starts.
fn children_get_nothing() {
    let (socket, _) = listening(Domain::IPV4);
    let variables = "LISTEN_PID=$$ LISTEN_FDS=1";
    let command = with_descriptors("leak", &[socket.into()], variables);
    assert_eq!(end(start(command)).errors, "closed\n");
}

/// `systemd-socket-activate` needs no systemd. It starts the program when the first client comes.
fn with_systemds_own_program() {
    if Command::new("systemd-socket-activate")
        .arg("--version")
        .output()
        .is_err()
    {
        eprintln!("skipped: there is no systemd-socket-activate");
        return;
    }
    let path = std::env::temp_dir().join(format!("tress-activate-{}", std::process::id()));
    let program = in_role("systemd").get_program().to_owned();
    let mut child = Command::new("systemd-socket-activate")
        .arg("-l")
        .arg(&path)
        .arg("--fdname=web.socket")
        .arg(format!("--setenv={}=systemd", crate::run::ROLE))
        .arg(format!("--setenv={AT}=systemd:UNIX:name=web.socket"))
        .arg(program)
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it is there");
    let mut log = BufReader::new(child.stderr.take().expect("it is piped"));
    let mut line = String::new();
    while !line.contains("Listening on") {
        line.clear();
        assert!(
            log.read_line(&mut line).expect("it is text") > 0,
            "it ended"
        );
    }
    is_echo(&SockAddr::unix(&path).expect("it is short"));
    std::fs::remove_file(&path).ok();
    let mut rest = String::new();
    log.read_to_string(&mut rest).expect("it is text");
    assert_eq!(
        child.wait().expect("it is our child").code(),
        Some(0),
        "{rest}"
    );
    assert!(rest.contains("listening at /"), "{rest}");
}
