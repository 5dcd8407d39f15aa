//! Python's `ssl` as client and as server.

use crate::{Killed, World, skip};
use std::process::{Command, Stdio};

fn python(script: &str) -> Option<Command> {
    if Command::new("python3")
        .args(["-c", "import ssl"])
        .output()
        .is_ok_and(|o| o.status.success())
    {
        let mut command = Command::new("python3");
        command.args(["-c", script]);
        return Some(command);
    }
    skip("Python", "no python3 with ssl on the PATH");
    None
}

const CLIENT: &str = "\
import socket, ssl, sys
port, ca = int(sys.argv[1]), sys.argv[2]
context = ssl.create_default_context(cafile=ca)
with socket.create_connection(('127.0.0.1', port), timeout=20) as plain:
    with context.wrap_socket(plain, server_hostname='localhost') as s:
        text = b'x' * 10000 + b'\\r\\n'
        s.sendall(text * 10)
        count = 0
        while count < len(text) * 10:
            count += len(s.recv(65536))
        print(count)
        s.sendall(b'info\\r\\n')
        print(s.recv(65536).decode().strip())
        # Half of it: we say that no more follows, and hear that from the other side too.
        s.unwrap()
        print('closed')
";

#[test]
fn pythons_ssl_is_answered() {
    let world = World::new();
    let (_port, number) = world.listen("");
    let Some(mut command) = python(CLIENT) else {
        return;
    };
    command.args([number.to_string(), world.path("ca.pem")]);
    let (ok, said) = world.output(command, "");
    assert!(ok, "{said}");
    assert_eq!(said, "100020\nTLS 1.3, none, localhost, nobody\nclosed\n");
}

const SERVER: &str = "\
import socket, ssl, sys
cert, key, end = sys.argv[1:]
context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
context.load_cert_chain(cert, key)
listening = socket.create_server(('127.0.0.1', 0))
print(listening.getsockname()[1], flush=True)
while True:
    plain, _ = listening.accept()
    s = context.wrap_socket(plain, server_side=True)
    line = s.recv(65536)
    if end == 'cut':
        s.sendall(line[:3])
        s.detach()
        plain = None
        import os
        os._exit(0)
    s.sendall(line)
    s.unwrap().close()
";

fn server(world: &World, end: &str) -> Option<(Killed, String)> {
    let mut command = python(SERVER)?;
    let (cert, key) = (
        world.path("localhost.cert.pem"),
        world.path("localhost.key.pem"),
    );
    command.args([&cert, &key, end]);
    let mut server = Killed(command.stdout(Stdio::piped()).spawn().unwrap());
    let port = server.lines().recv_timeout(crate::PATIENCE).unwrap();
    Some((server, port))
}

#[test]
fn pythons_ssl_answers() {
    let world = World::new();
    let trust = world.option("trustRoots", "ca.pem");
    let Some((_server, port)) = server(&world, "well") else {
        return;
    };
    for _ in 0..2 {
        let said = world.connect(&format!("tls:localhost:{port}{trust}"), b"hello");
        assert_eq!(said[0], "hello");
        assert_eq!(said[2], "connection was closed cleanly");
    }
}

#[test]
fn a_python_that_dies_is_a_truncation() {
    let world = World::new();
    let trust = world.option("trustRoots", "ca.pem");
    let Some((_server, port)) = server(&world, "cut") else {
        return;
    };
    let said = world.connect(&format!("tls:localhost:{port}{trust}"), b"hello");
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].contains("without TLS's close_notify"), "{said:?}");
}
