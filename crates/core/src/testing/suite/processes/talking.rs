//! What goes to a child and comes from it: through which descriptor, in which order, at whose pace; and what it was given.

use super::{Does, World, command, refused, run, start};
use crate::{
    process::{ChildDescriptor, Command, NotWritable, ProcessExitedAlready, Terminal},
    signal::Signal,
    testing::suite::recorder::{pattern, set_limits},
};

/// All that was written arrives, in order, and then the end.
pub fn write_and_close_stdin(world: &dyn World) {
    let Some(command) = command(world, Does::Copies) else {
        return;
    };
    let started = start(world, &command);
    started.process.write(b"hello ").expect("it runs");
    started
        .process
        .write_to_child(0, b"child")
        .expect("it runs");
    started.process.close_stdin();
    world.until(&mut || started.heard.has_ended());
    assert_eq!(started.heard.text(1), "hello child");
    assert!(started.heard.has("ended done"));
}

/// Each way to write where it cannot is refused with the reason.
pub fn what_cannot_be_written_to_says_why(world: &dyn World) {
    let Some(command) = command(world, Does::Copies) else {
        return;
    };
    let started = start(world, &command);
    let check = |descriptor: u32, part: &str| {
        let refused = started.process.write_to_child(descriptor, b"x");
        let failure = refused.expect_err("it is refused");
        assert!(failure.check::<NotWritable>().is_some());
        assert!(failure.to_string().contains(part), "{failure}");
        assert!(failure.to_string().contains(&command.shown()), "{failure}");
    };
    check(1, "the child writes there");
    check(7, "it is none of its pipes");
    started.process.close_stdin();
    check(0, "it was closed");
    world.until(&mut || started.heard.has_ended());
    let failure = started.process.write(b"x").expect_err("it has ended");
    assert!(failure.check::<ProcessExitedAlready>().is_some());
}

/// More than any pipe holds goes through, byte for byte, and the writer is paused on the way.
pub fn large_data_goes_through_a_child(world: &dyn World) {
    const BYTES: usize = 3 * 1024 * 1024;
    let Some(command) = command(world, Does::Copies) else {
        return;
    };
    let started = start(world, &command);
    let sent: Vec<u8> = pattern(BYTES);
    started.process.write(&sent).expect("it runs");
    started.process.close_stdin();
    world.until(&mut || started.heard.has_ended());
    let got = started
        .heard
        .bytes
        .borrow_mut()
        .remove(&1)
        .unwrap_or_default();
    assert!(got == sent, "{} bytes came back", got.len());
    assert!(started.heard.has("paused 0"));
}

/// A child that writes more than is read waits; when nobody reads any more, that ends it.
pub fn a_child_that_writes_more_than_is_read_waits(world: &dyn World) {
    let Some(command) = command(world, Does::Floods) else {
        return;
    };
    let started = start(world, &command);
    let (process, heard) = (started.process, started.heard);
    world.until(&mut || heard.length(1) > 1000);
    process.pipe(1).expect("it is open").pause_producing();
    world.settle();
    let got = heard.length(1);
    world.settle();
    assert_eq!(heard.length(1), got, "nothing comes while it is paused");
    process.pipe(1).expect("it is open").resume_producing();
    world.until(&mut || heard.length(1) > got);
    process.close_stdout();
    world.until(&mut || heard.has_ended());
    heard.check_life(
        &["exited SIGPIPE", "lost 0", "lost 1", "lost 2"],
        "ended SIGPIPE",
    );
}

/// A child that does not read makes its writer wait, up to the hard limit, which ends it.
pub fn a_child_that_does_not_read_is_waited_for(world: &dyn World) {
    let Some(command) = command(world, Does::Waits) else {
        return;
    };
    set_limits(&world.reactor(), |limits| {
        limits.output_hard = 4 * 1024 * 1024
    });
    let started = start(world, &command);
    let (process, heard) = (started.process, started.heard);
    process.write(&[0; 1024 * 1024]).expect("it runs");
    world.until(&mut || heard.has("paused 0"));
    world.settle();
    let queued = process.pipe(0).expect("it is open").statistics().queued;
    assert!(queued > 512 * 1024, "{queued}");
    process.write(&[0; 4 * 1024 * 1024]).expect("it runs");
    world.until(&mut || heard.has_ended());
    assert!(heard.has("ended SIGTERM"), "{:?}", heard.log.events());
}

/// Bytes go to the number they are written to, and come from the number they were written to.
pub fn descriptors_are_where_they_are_asked_for(world: &dyn World) {
    let Some(command) = command(world, Does::Crosses) else {
        return;
    };
    let command = command.descriptors([
        (3, ChildDescriptor::Write),
        (7, ChildDescriptor::Write),
        (4, ChildDescriptor::Read),
        (5, ChildDescriptor::Read),
        (9, ChildDescriptor::Read),
    ]);
    let started = start(world, &command);
    let (process, heard) = (started.process, started.heard);
    process.write_to_child(3, b"three\n").expect("it runs");
    process.write_to_child(7, b"seven\n").expect("it runs");
    assert!(process.write(b"x").is_err(), "0 is none of its pipes");
    world.until(&mut || heard.has_ended());
    assert_eq!(heard.text(5), "seventhree\n");
    assert_eq!(heard.text(4), "threeseven\n");
    assert_eq!(heard.text(9), "");
    let lost = ["lost 3", "lost 4", "lost 5", "lost 7", "lost 9"];
    let mut between = vec!["exited done"];
    between.extend(lost);
    heard.check_life(&between, "ended done");
}

/// A pair of sockets goes both ways.
pub fn a_socket_goes_both_ways(world: &dyn World) {
    let Some(command) = command(world, Does::AnswersAtItsSocket) else {
        return;
    };
    let command = command.descriptors([(3, ChildDescriptor::Socket)]);
    let started = start(world, &command);
    started
        .process
        .write_to_child(3, b"line\n")
        .expect("it runs");
    world.until(&mut || started.heard.has_ended());
    assert_eq!(started.heard.text(3), "got line\n");
    started
        .heard
        .check_life(&["exited done", "lost 3"], "ended done");
}

/// A terminal is 0, 1 and 2 in one, and counts as 1.
pub fn a_terminal_counts_as_one(world: &dyn World) {
    let Some(command) = command(world, Does::CopiesInItsTerminal) else {
        return;
    };
    let raw = Terminal {
        is_raw: true,
        ..Terminal::default()
    };
    let command = command.terminal(raw);
    let started = start(world, &command);
    let (process, heard) = (started.process, started.heard);
    process.write(b"to 0 ").expect("it runs");
    process.write_to_child(2, b"and 2").expect("it runs");
    world.until(&mut || heard.text(1) == "to 0 and 2");
    process.set_terminal_size(40, 100).expect("it has one");
    process.lose_connection();
    world.until(&mut || heard.has("lost 1"));
    process.signal_process(Signal::Kill).ok();
    world.until(&mut || heard.has_ended());
    assert!(process.set_terminal_size(41, 101).is_err());
    let events = heard.log.events();
    let lost = events.iter().filter(|event| event.starts_with("lost"));
    assert_eq!(lost.count(), 1, "{events:?}");
}

/// A child in a terminal has nothing else.
pub fn a_terminal_excludes_a_map(world: &dyn World) {
    let Some(command) = command(world, Does::CopiesInItsTerminal) else {
        return;
    };
    let command = command
        .terminal(Terminal::default())
        .descriptor(3, ChildDescriptor::Read);
    let text = refused(world, &command);
    let expected = ": its terminal: a child in a terminal has no other descriptors";
    assert!(
        text.starts_with("cannot start `") && text.ends_with(expected),
        "{text}"
    );
}

/// The one and the other as they were given, and no variable more.
pub fn arguments_and_environment(world: &dyn World) {
    let Some(tells) = command(world, Does::TellsArguments) else {
        return;
    };
    let heard = run(world, &tells.arguments(["one two", "", "three"])).heard;
    assert_eq!(heard.text(1), "one two\n\nthree\n");
    let tells = || command(world, Does::TellsEnvironment).expect("there was one before");
    assert_eq!(run(world, &tells()).heard.text(1), "");
    let variables = tells()
        .variable("A", "b")
        .variable("C", "d e")
        .without_variable("A");
    assert_eq!(run(world, &variables).heard.text(1), "C=d e\n");
}

/// It is named, with the reason, and its protocol hears nothing.
pub fn a_program_that_is_not_there(world: &dyn World) {
    if command(world, Does::Copies).is_none() {
        return;
    }
    let text = refused(world, &Command::new("no-such-program"));
    let reason = "No such file or directory (os error 2)";
    assert_eq!(text, format!("cannot start `no-such-program`: {reason}"));
    assert_eq!(world.reactor().statistics().processes, 0);
}
