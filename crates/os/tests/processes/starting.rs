//! What a child is started with, and why it is not started.

use crate::world::{Heard, Recorder, World, shell};
use rustix::io::{FdFlags, fcntl_setfd};
use std::{
    fs::{self, File},
    io::{Read, Write},
    os::{fd::AsRawFd, unix::fs::PermissionsExt},
    rc::Rc,
};
use tress_core::process::{ChildDescriptor, Command, SpawnError};

/// Why a command is refused.
#[track_caller]
fn refused(world: &World, command: &Command) -> String {
    let heard = Heard::default();
    let started = world
        .reactor
        .spawn_process(command, Recorder(heard.clone()));
    let failure = started.expect_err("it is refused");
    assert!(failure.check::<SpawnError>().is_some(), "{failure}");
    world.settle();
    assert_eq!(heard.all(), [""; 0], "its protocol hears nothing");
    failure.to_string()
}

#[test]
fn what_cannot_be_started_is_named_with_the_reason() {
    let world = World::new();
    let nothing = "No such file or directory (os error 2)";
    let denied = "Permission denied (os error 13)";
    let check = |command: &Command, expected: String| {
        assert_eq!(refused(&world, command), expected);
    };
    check(
        &Command::new("no-such-program"),
        format!("cannot start `no-such-program`: {nothing}"),
    );
    check(
        &Command::new("/etc/passwd"),
        format!("cannot start `/etc/passwd`: {denied}"),
    );
    check(
        &Command::new("/tmp"),
        format!("cannot start `/tmp`: {denied}"),
    );
    check(
        &Command::new("cat").directory("/no/such/place"),
        format!("cannot start `cat`: its working directory `/no/such/place`: {nothing}"),
    );
    check(
        &Command::new("cat").directory("/etc/passwd"),
        "cannot start `cat`: its working directory `/etc/passwd`: not a directory".to_owned(),
    );
    check(
        &Command::new("cat").descriptor(5, ChildDescriptor::Inherit(9999)),
        "cannot start `cat`: its descriptor 5: Bad file descriptor (os error 9)".to_owned(),
    );
    check(
        &Command::new("cat\n"),
        format!("cannot start `cat\\n`: {nothing}"),
    );
    world.end();
}

#[test]
fn a_user_that_may_not_be_become() {
    let world = World::new();
    // Root may: in a process that has given that up it is seen.
    let status = fs::read_to_string("/proc/self/status").expect("there is /proc");
    let is_root = status.lines().any(|line| line.starts_with("Uid:\t0\t0"));
    if is_root {
        let heard = world.run(&shell("id -u; id -g; id -G").user(65_534).group(65_533));
        assert_eq!(heard.data(1), "65534\n65533\n65533\n");
        // Root may become anybody: this test once more, by somebody who may not.
        let test = std::env::current_exe().expect("this program has a path");
        let again = Command::new(test)
            .arguments([
                "--exact",
                "starting::a_user_that_may_not_be_become",
                "--test-threads=1",
            ])
            .inherit_environment()
            .user(65_534)
            .group(65_533);
        match world.result(world.reactor.get_process_output_and_value(&again)) {
            Ok(output) => {
                let said = String::from_utf8_lossy(&output.out);
                assert!(said.contains("1 passed"), "{said}");
            }
            // Where it lies only root may go.
            Err(failure) => println!("skipped: {failure}"),
        }
    } else {
        let text = refused(&world, &Command::new("cat").user(0).group(0));
        let expected = "cannot start `cat`: becoming another user or group: \
                        Operation not permitted (os error 1)";
        assert_eq!(text, expected);
    }
    world.end();
}

#[test]
fn the_environment_is_empty_unless_inherited() {
    let world = World::new();
    let env = || Command::new("/usr/bin/env");
    assert_eq!(world.run(&env()).data(1), "");
    assert_eq!(world.run(&env().variable("A", "b")).data(1), "A=b\n");
    let inherited = world
        .run(&env().inherit_environment().variable("A", "b"))
        .data(1);
    assert!(
        inherited.contains("PATH=") && inherited.contains("A=b\n"),
        "{inherited}"
    );
    let without = env().inherit_environment().without_variable("PATH");
    assert!(!world.run(&without).data(1).contains("\nPATH="));
    world.end();
}

#[test]
fn name_arguments_and_directory() {
    let world = World::new();
    let command = Command::new("/bin/sh")
        .name("other")
        .arguments(["-c", "echo $0 \"$1\" $#; pwd", "zero"])
        .argument("one two")
        .directory("/usr");
    assert_eq!(world.run(&command).data(1), "zero one two 1\n/usr\n");
    let named = Command::new("/bin/cat")
        .name("other")
        .argument("/proc/self/cmdline");
    assert_eq!(world.run(&named).data(1), "other\0/proc/self/cmdline\0");
    world.end();
}

#[test]
fn the_standard_descriptors_are_always_there() {
    let world = World::new();
    let command =
        shell("cat; echo lost; echo lost >&2; readlink /proc/self/fd/0 /proc/self/fd/2 >&4")
            .descriptors([(4, ChildDescriptor::Read)]);
    assert_eq!(world.run(&command).data(4), "/dev/null\n/dev/null\n");
    world.end();
}

#[test]
fn files_and_inherited_descriptors() {
    let world = World::new();
    let path = std::env::temp_dir().join(format!("tress-child-{}", std::process::id()));
    let file = File::create(&path).expect("it can be made");
    // It is where the child's own numbers will be.
    let (mut reader, writer) = std::io::pipe().expect("there is a pipe");
    let number = u32::try_from(writer.as_raw_fd()).expect("it is open");
    let command = shell(&format!("echo file; echo pipe >&{}", 8))
        .descriptor(1, ChildDescriptor::File(Rc::new(file.into())))
        .descriptor(8, ChildDescriptor::Inherit(number));
    let heard = world.run(&command);
    assert_eq!(heard.data(1), "");
    drop(command);
    drop(writer);
    let mut text = String::new();
    reader.read_to_string(&mut text).expect("it can be read");
    assert_eq!(text, "pipe\n");
    assert_eq!(fs::read_to_string(&path).expect("it is there"), "file\n");
    fs::remove_file(&path).expect("it is there");
    drop(reader);
    world.end();
}

#[test]
fn no_descriptor_leaks_into_a_child() {
    let world = World::new();
    // One that whoever opened it forgot to have closed.
    let careless = File::open("/dev/null").expect("it is there");
    fcntl_setfd(&careless, FdFlags::empty()).expect("it is open");
    let (_other, heard_other) = world.start(&Command::new("cat"));
    let listed = world.run(&shell("ls /proc/self/fd"));
    // `ls` has one open for the directory.
    assert_eq!(listed.data(1), "0\n1\n2\n3\n");
    _other.lose_connection();
    world.until(|| heard_other.ended());
    drop(careless);
    world.end();
}

#[test]
fn signals_that_this_process_ignores_reach_a_child() {
    let world = World::new();
    let status = world
        .run(&Command::new("cat").argument("/proc/self/status"))
        .data(1);
    let mask = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name));
        line.and_then(|line| line.split_whitespace().last().map(str::to_owned))
    };
    // This one is ignored by every program written in Rust.
    // The C library keeps the thirty-second and the next for itself, and lets nobody change them.
    let ignored = mask("SigIgn:").and_then(|mask| u64::from_str_radix(&mask, 16).ok());
    assert_eq!(ignored.map(|mask| mask & 0x7fff_ffff), Some(0));
    assert_eq!(mask("SigBlk:").as_deref(), Some("0000000000000000"));
    world.end();
}

#[test]
fn a_program_is_looked_for_in_the_childs_own_path() {
    let world = World::new();
    let directory = std::env::temp_dir().join(format!("tress-path-{}", std::process::id()));
    fs::create_dir_all(&directory).expect("it can be made");
    let program = directory.join("tress-test-program");
    let mut file = File::create(&program).expect("it can be made");
    file.write_all(b"#!/bin/sh\necho found\n")
        .expect("it can be written");
    drop(file);
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("it is ours");
    let command = Command::new("tress-test-program");
    assert!(refused(&world, &command).contains("No such file"));
    let command = command.variable("PATH", directory.clone());
    assert_eq!(world.run(&command).data(1), "found\n");
    fs::remove_dir_all(&directory).expect("it is ours");
    world.end();
}
