//! A terminal for a child: the side that we have, and the child's. Knows no process.

use crate::seam::{self, Call};
use rustix::{
    fd::OwnedFd,
    fs::{Mode, OFlags},
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
    termios::{OptionalActions, Winsize, tcgetattr, tcsetattr, tcsetwinsize},
};
use std::{io, os::fd::AsFd};
use tress_core::process::Terminal;

/// Ours first.
pub(super) fn open(terminal: Terminal) -> io::Result<(OwnedFd, OwnedFd)> {
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let ours = seam::call(Call::Open, || Ok(openpt(flags)?))?;
    grantpt(&ours)?;
    unlockpt(&ours)?;
    let name = ptsname(&ours, Vec::new())?;
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
    let theirs = seam::call(Call::Open, || {
        Ok(rustix::fs::open(&name, flags, Mode::empty())?)
    })?;
    if terminal.is_raw {
        let mut attributes = tcgetattr(&theirs)?;
        attributes.make_raw();
        tcsetattr(&theirs, OptionalActions::Now, &attributes)?;
    }
    resize(&theirs, terminal.rows, terminal.columns)?;
    Ok((ours, theirs))
}

/// Tells a terminal how large it is.
pub(crate) fn resize(terminal: impl AsFd, rows: u16, columns: u16) -> io::Result<()> {
    let size = Winsize {
        ws_row: rows,
        ws_col: columns,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    Ok(tcsetwinsize(terminal, size)?)
}
