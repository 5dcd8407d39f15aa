//! Standard input and output: pipes, files, terminals, sockets and nothing; and what is left of them after.

use crate::run::{end, feed, in_role, temporary, waits};
use rustix::{
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
    termios::{LocalModes, OptionalActions, OutputModes, tcgetattr, tcsetattr},
};
use socket2::{Domain, Socket, Type};
use std::{
    fs::File,
    io::{Read, Seek, Write},
    net::Shutdown,
    os::fd::OwnedFd,
    process::{Command, Stdio},
};

pub(crate) const TESTS: &[(&str, fn())] = &[
    ("pipes", pipes),
    ("files", files),
    (
        "a_file_is_written_where_it_was",
        a_file_is_written_where_it_was,
    ),
    ("nothing", nothing),
    ("a_reader_that_leaves_early", a_reader_that_leaves_early),
    ("a_closed_output_is_seen", a_closed_output_is_seen),
    ("a_terminal", a_terminal),
    ("one_socket", one_socket),
    ("two_sockets_wait_again", two_sockets_wait_again),
    ("pipes_wait_all_the_time", pipes_wait_all_the_time),
    ("once_in_a_process", once_in_a_process),
    (
        "what_is_printed_is_not_between",
        what_is_printed_is_not_between,
    ),
    ("the_endpoint", the_endpoint),
];

fn piped(role: &str) -> Command {
    let mut command = in_role(role);
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    command
}

/// Byte-exact, and what was printed before comes first.
fn pipes() {
    let input: Vec<u8> = (0..1_000_000_u32).map(|n| (n % 251) as u8).collect();
    let ended = feed(piped("echo"), input.clone());
    assert_eq!(&ended.output[..7], b"before ");
    assert!(ended.output[7..] == input, "{} bytes", ended.output.len());
    assert_eq!(ended.errors, "lost: connection was closed cleanly\n");
    assert_eq!(ended.code, Some(0));
}

/// `program < file > file`.
fn files() {
    let input = vec![b'a'; 300_000];
    let mut output = temporary(b"");
    let mut command = in_role("echo");
    command
        .stdin(temporary(&input))
        .stdout(output.try_clone().expect("there is room"));
    let ended = end(command.spawn().expect("it can be started"));
    let mut written = Vec::new();
    output.rewind().expect("it is a file");
    output.read_to_end(&mut written).expect("it is open");
    assert_eq!(written.len(), 7 + input.len());
    assert!(written.ends_with(&input));
    assert_eq!(ended.code, Some(0));
}

/// The place in a file is shared, as of a script that several programs write to.
fn a_file_is_written_where_it_was() {
    let mut output = temporary(b"");
    output.write_all(b"first ").expect("there is room");
    let mut command = piped("echo");
    command.stdout(output.try_clone().expect("there is room"));
    feed(command, b"second".to_vec());
    output.write_all(b" third").expect("there is room");
    let mut written = String::new();
    output.rewind().expect("it is a file");
    output.read_to_string(&mut written).expect("it is text");
    assert_eq!(written, "first before second third");
}

/// `/dev/null` ends at once, and takes everything.
fn nothing() {
    let mut command = in_role("echo");
    command.stdin(Stdio::null()).stdout(Stdio::null());
    let ended = end(command.spawn().expect("it can be started"));
    assert_eq!(ended.errors, "lost: connection was closed cleanly\n");
    assert_eq!(ended.code, Some(0));
}

/// `program | head -1`: it ends, although its input goes on.
fn a_reader_that_leaves_early() {
    let mut child = piped("flood").spawn().expect("it can be started");
    let mut output = child.stdout.take().expect("it is piped");
    output
        .read_exact(&mut [0; 100])
        .expect("it writes without end");
    drop(output);
    let input = child.stdin.take();
    let ended = end(child);
    assert!(
        ended
            .errors
            .starts_with("lost: connection was lost: Broken pipe"),
        "{}",
        ended.errors
    );
    assert_eq!(ended.code, Some(0));
    drop(input);
}

/// The reader sees the end while the program lives on.
fn a_closed_output_is_seen() {
    let mut child = piped("half").spawn().expect("it can be started");
    let mut output = Vec::new();
    let mut pipe = child.stdout.take().expect("it is piped");
    pipe.read_to_end(&mut output).expect("it is a pipe");
    assert_eq!(output, b"before ");
    drop(pipe);
    let input = child.stdin.take().expect("it is piped");
    assert!(child.try_wait().expect("it is our child").is_none());
    drop(input);
    assert_eq!(end(child).code, Some(0));
}

/// Both sides of a terminal that changes no byte.
fn terminal() -> (File, File) {
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)
        .expect("there are terminals");
    grantpt(&master).expect("it is ours");
    unlockpt(&master).expect("it is ours");
    let name = ptsname(&master, Vec::new()).expect("it has a name");
    let name = name.to_str().expect("it is ASCII").to_owned();
    let slave = File::options().read(true).write(true).open(name);
    let slave = slave.expect("it is unlocked");
    let mut modes = tcgetattr(&slave).expect("it is a terminal");
    modes.local_modes -= LocalModes::ECHO | LocalModes::ICANON;
    modes.output_modes -= OutputModes::OPOST;
    tcsetattr(&slave, OptionalActions::Now, &modes).expect("it is a terminal");
    (File::from(master), slave)
}

/// The shell's own view of it waits, before and after; and a terminal that hangs up is an end.
fn a_terminal() {
    let (mut master, slave) = terminal();
    let mut command = in_role("echo");
    command
        .stdin(slave.try_clone().expect("there is room"))
        .stdout(slave.try_clone().expect("there is room"));
    let child = command.spawn().expect("it can be started");
    drop(command);
    master.write_all(b"hello").expect("there is room");
    let mut output = [0; 12];
    master.read_exact(&mut output).expect("it echoes");
    assert_eq!(&output, b"before hello");
    assert!(waits(&slave), "the terminal of others does not wait");
    drop(slave);
    drop(master);
    let ended = end(child);
    assert!(ended.errors.starts_with("lost: "), "{}", ended.errors);
    assert_eq!(ended.code, Some(0));
}

fn sockets() -> (Socket, Socket) {
    Socket::pair(Domain::UNIX, Type::STREAM, None).expect("there is a pair")
}

fn stdio(socket: &Socket) -> Stdio {
    OwnedFd::from(socket.try_clone().expect("there is room")).into()
}

/// As `inetd` passes it: a connection like any other, with half-close. After it, others that have it find it waiting.
fn one_socket() {
    for role in ["echo", "panics", "unwinds"] {
        let (mut ours, theirs) = sockets();
        let mut command = in_role(role);
        command.stdin(stdio(&theirs)).stdout(stdio(&theirs));
        let child = command.spawn().expect("it can be started");
        drop(command);
        ours.write_all(b"hello").expect("there is room");
        ours.shutdown(Shutdown::Write).expect("it is connected");
        let ended = end(child);
        assert!(waits(&theirs), "{role}: others find that it does not wait");
        drop(theirs);
        let mut output = Vec::new();
        ours.read_to_end(&mut output).expect("it is connected");
        match role {
            "echo" => assert_eq!(output, b"before hello"),
            _ => assert!(output.starts_with(b"before ")),
        }
        let panicked = ended.errors.contains("panicked");
        assert_eq!(panicked, role != "echo", "{}", ended.errors);
    }
}

/// One for each way. They cannot be opened again: they are set back.
fn two_sockets_wait_again() {
    for role in ["echo", "panics", "unwinds"] {
        let (mut to, input) = sockets();
        let (mut from, output) = sockets();
        let mut command = in_role(role);
        command.stdin(stdio(&input)).stdout(stdio(&output));
        let child = command.spawn().expect("it can be started");
        drop(command);
        to.write_all(b"hello").expect("there is room");
        to.shutdown(Shutdown::Write).expect("it is connected");
        let ended = end(child);
        assert!(waits(&input) && waits(&output), "{role}: {}", ended.errors);
        drop(output);
        let mut bytes = Vec::new();
        from.read_to_end(&mut bytes).expect("it is connected");
        assert!(b"before hello".starts_with(&bytes), "{role}");
        assert!(role != "echo" || bytes.len() == 12);
    }
}

/// They are opened again: whoever shares them never sees a difference.
fn pipes_wait_all_the_time() {
    let (input, mut to) = std::io::pipe().expect("there is a pipe");
    let (mut from, output) = std::io::pipe().expect("there is a pipe");
    let mut command = in_role("echo");
    command
        .stdin(input.try_clone().expect("there is room"))
        .stdout(output.try_clone().expect("there is room"));
    let child = command.spawn().expect("it can be started");
    drop(command);
    to.write_all(b"hello").expect("there is room");
    let mut bytes = [0; 12];
    from.read_exact(&mut bytes).expect("it echoes");
    assert!(waits(&input) && waits(&output));
    drop(to);
    assert_eq!(end(child).code, Some(0));
}

fn once_in_a_process() {
    let ended = feed(piped("twice"), b"x".to_vec());
    assert_eq!(ended.output, b"before x");
    let text = "second: Some(\"could not connect: standard input and output were taken before";
    assert!(ended.errors.starts_with(text), "{}", ended.errors);
    assert_eq!(ended.code, Some(0));
}

fn what_is_printed_is_not_between() {
    let ended = feed(piped("prints"), b"x".to_vec());
    assert_eq!(ended.output, b"before x");
    assert!(ended.errors.starts_with("printed\n"), "{}", ended.errors);
}

fn the_endpoint() {
    let ended = feed(piped("endpoint"), b"hello".to_vec());
    assert_eq!(ended.output, b"hello");
    let lines: Vec<&str> = ended.errors.lines().collect();
    assert_eq!(lines[0], "at stdio:");
    let again = "again: cannot listen at stdio:: standard input and output were taken before";
    assert!(lines[1].starts_with(again), "{lines:?}");
    assert_eq!(lines[2], "lost: connection was closed cleanly");
    assert_eq!(ended.code, Some(0));
}
