//! Serial lines: a device is opened, told how bytes go over it, and adopted as one connection. Knows no protocol and no
//! modem.
//!
//! The settings are POSIX's (`termios(3)`), which the crate `rustix` has already: one more crate would add only names.
//! Source: Twisted's `internet/serialport.py`.

use crate::seam::{self, Call};
use rustix::{
    fs::{Mode, OFlags, open},
    termios::{
        ControlModes, InputModes, OptionalActions, QueueSelector, tcflush, tcgetattr, tcsetattr,
    },
};
use std::{
    io::{self, ErrorKind},
    os::fd::OwnedFd,
    path::Path,
};
use tress_core::{Connection, Deferred, Failure, Protocol, Reactor};

/// How bytes go over a serial line: 9600 baud, 8 data bits, no parity, 1 stop bit, no flow control by default, as in
/// Twisted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SerialLine {
    /// Bits a second, either way.
    pub speed: u32,
    /// Data bits in a character, 5 to 8.
    pub data_bits: u8,
    /// The bit that is added to check the others.
    pub parity: Parity,
    /// Two stop bits, and not one.
    pub two_stop_bits: bool,
    /// How a side that cannot take more says so.
    pub flow_control: FlowControl,
}

/// The bit that is added to check the others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Parity {
    /// There is none.
    #[default]
    None,
    /// It makes the number of ones even. Characters where it is wrong are read as NUL bytes.
    Even,
    /// It makes it odd.
    Odd,
}

/// How a side that cannot take more says so.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FlowControl {
    /// Not at all: what comes too fast is lost.
    #[default]
    None,
    /// By wires (RTS and CTS).
    Hardware,
    /// By characters (XON and XOFF), which then cannot be sent as data.
    Software,
}

impl Default for SerialLine {
    fn default() -> Self {
        Self {
            speed: 9600,
            data_bits: 8,
            parity: Parity::None,
            two_stop_bits: false,
            flow_control: FlowControl::None,
        }
    }
}

/// Makes a connection of a serial line (`/dev/ttyUSB0`). What waits in it from before is thrown away. The other end of a
/// line has no way to close it: it ends with its device, or by us. The system closes a line when it has sent what was
/// written, or after its own time (30 s on Linux), and the loop waits for that: so close it when the other side has
/// answered.
///
/// Fails when the device is not there, is no serial line, or does not know the settings; the error names it.
#[track_caller]
pub fn serial<P: Protocol>(
    reactor: &Reactor,
    device: impl AsRef<Path>,
    line: SerialLine,
    protocol: P,
) -> Deferred<Connection<P>> {
    let device = device.as_ref();
    let both = prepare(device, line).and_then(|line| {
        let input = seam::call(Call::Dup, || line.try_clone())?;
        Ok((input, line))
    });
    match both {
        Ok((input, output)) => {
            reactor.adopt_files(Some(input.into()), Some(output.into()), protocol)
        }
        Err(error) => {
            let doing = format!("opening the serial line `{}`", device.display());
            Deferred::fail(Failure::from(error).context(doing))
        }
    }
}

fn prepare(device: &Path, line: SerialLine) -> io::Result<OwnedFd> {
    // Without waiting for a modem to have a carrier.
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let opened = open(device, flags, Mode::empty())?;
    let mut settings = tcgetattr(&opened)?;
    settings.make_raw();
    settings.set_speed(line.speed)?;
    settings.control_modes = control(settings.control_modes, line)?;
    let software = InputModes::IXON | InputModes::IXOFF;
    settings
        .input_modes
        .set(software, line.flow_control == FlowControl::Software);
    let checks = line.parity != Parity::None;
    settings.input_modes.set(InputModes::INPCK, checks);
    tcsetattr(&opened, OptionalActions::Now, &settings)?;
    tcflush(&opened, QueueSelector::IOFlush)?;
    Ok(opened)
}

fn control(mut modes: ControlModes, line: SerialLine) -> io::Result<ControlModes> {
    let size = match line.data_bits {
        5 => ControlModes::CS5,
        6 => ControlModes::CS6,
        7 => ControlModes::CS7,
        8 => ControlModes::CS8,
        other => {
            let text = format!("{other} data bits: expected 5 to 8");
            return Err(io::Error::new(ErrorKind::InvalidInput, text));
        }
    };
    modes.remove(ControlModes::CSIZE);
    modes.insert(size | ControlModes::CREAD | ControlModes::CLOCAL);
    modes.set(ControlModes::PARENB, line.parity != Parity::None);
    modes.set(ControlModes::PARODD, line.parity == Parity::Odd);
    modes.set(ControlModes::CSTOPB, line.two_stop_bits);
    let hardware = line.flow_control == FlowControl::Hardware;
    modes.set(ControlModes::CRTSCTS, hardware);
    Ok(modes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_control_modes() {
        let modes = |line| control(ControlModes::empty(), line).expect("it is right");
        let always = ControlModes::CREAD | ControlModes::CLOCAL;
        let line = SerialLine::default();
        assert_eq!(modes(line), always | ControlModes::CS8);
        let line = SerialLine {
            data_bits: 7,
            parity: Parity::Even,
            two_stop_bits: true,
            flow_control: FlowControl::Hardware,
            ..line
        };
        let stops = ControlModes::CSTOPB | ControlModes::CRTSCTS;
        let even = always | ControlModes::CS7 | ControlModes::PARENB | stops;
        assert_eq!(modes(line), even);
        let odd = SerialLine {
            parity: Parity::Odd,
            ..line
        };
        assert_eq!(modes(odd), even | ControlModes::PARODD);
        for data_bits in [0, 4, 9] {
            let wrong = SerialLine { data_bits, ..line };
            let refused = control(ControlModes::empty(), wrong);
            let text = refused.expect_err("there is no such size").to_string();
            assert_eq!(text, format!("{data_bits} data bits: expected 5 to 8"));
        }
    }
}
