//! Serial lines, over a pair of terminals: what the settings do to one, and bytes both ways.

use crate::descriptors::{Recorder, Seen, World};
use crate::world::leftovers::Leftovers;
use rustix::{
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
    termios::{ControlModes, InputModes, LocalModes, OutputModes, tcgetattr},
};
use std::{
    fs::File,
    io::{Read, Write},
};
use tress_os::serial::{FlowControl, Parity, SerialLine, serial};

/// The other end of a line, and its device.
fn line() -> (File, String) {
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let other = openpt(flags).expect("there are terminals");
    grantpt(&other).expect("it is ours");
    unlockpt(&other).expect("it is ours");
    let name = ptsname(&other, Vec::new()).expect("it has a name");
    (
        File::from(other),
        name.to_str().expect("it is ASCII").to_owned(),
    )
}

/// Every byte as it is, either way, and the end when the device goes.
#[test]
fn a_line_carries_bytes() {
    let _none = Leftovers::none();
    let world = World::new();
    let (mut other, device) = line();
    let seen = Seen::default();
    let opened = serial(
        &world.0,
        &device,
        SerialLine::default(),
        Recorder(seen.clone()),
    );
    opened.detach();
    world.until(|| seen.has("made"));
    let every: Vec<u8> = (0..=255).collect();
    other.write_all(&every).expect("there is room");
    world.until(|| seen.bytes.borrow().len() == 256);
    assert_eq!(*seen.bytes.borrow(), every);
    seen.transport().write(&every);
    world.is_quiet();
    let mut answer = [0; 256];
    other.read_exact(&mut answer).expect("it was written");
    assert_eq!(answer[..], every);
    drop(other);
    world.until(|| seen.has("lost"));
}

#[test]
fn the_settings_are_set() {
    let _none = Leftovers::none();
    let world = World::new();
    let (_other, device) = line();
    let settings = SerialLine {
        speed: 115_200,
        parity: Parity::Odd,
        flow_control: FlowControl::Software,
        ..SerialLine::default()
    };
    let seen = Seen::default();
    serial(&world.0, &device, settings, Recorder(seen.clone())).detach();
    world.until(|| seen.has("made"));
    let set = tcgetattr(File::open(&device).expect("it is ours")).expect("it is a terminal");
    assert_eq!((set.input_speed(), set.output_speed()), (115_200, 115_200));
    assert!(
        !set.local_modes
            .intersects(LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG)
    );
    assert!(!set.output_modes.contains(OutputModes::OPOST));
    assert!(
        set.input_modes
            .contains(InputModes::IXON | InputModes::IXOFF)
    );
    assert!(
        set.control_modes
            .contains(ControlModes::PARODD | ControlModes::CREAD)
    );
}

#[test]
fn what_is_no_line_is_told() {
    let _none = Leftovers::none();
    let world = World::new();
    let refused = |device: &str, line| {
        let opened = serial(&world.0, device, line, Recorder(Seen::default()));
        let failure = world.0.run_until(opened).expect_err("it is none");
        failure.to_string()
    };
    let line = SerialLine::default();
    let text = refused("/dev/tty-nothing", line);
    let expected =
        "opening the serial line `/dev/tty-nothing`: No such file or directory (os error 2)";
    assert_eq!(text, expected);
    let text = refused("/dev/null", line);
    assert!(
        text.contains("`/dev/null`: ") && text.contains("os error 25"),
        "{text}"
    );
    let (_other, device) = self::line();
    let wrong = SerialLine {
        data_bits: 9,
        ..line
    };
    let text = refused(&device, wrong);
    assert!(text.ends_with("9 data bits: expected 5 to 8"), "{text}");
}
