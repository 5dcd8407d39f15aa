//! Starting a child process: its pipes and its terminal, what it inherits, and why it could not be started. Knows no
//! driver and waits for no child.
//!
//! The program is run by `std::process::Command`, which tells what went wrong after the fork. Before the child runs it,
//! all descriptors of this process are marked to be closed, and those that the child shall have are put in their places:
//! so none leaks, whoever opened it and however.

pub(crate) mod terminal;

use crate::{
    seam::{self, Call},
    sys::exec::{self, Plan},
    systemd::VARIABLES,
};
use rustix::{
    fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
    process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open},
};
use std::{
    collections::BTreeMap,
    env,
    ffi::OsString,
    fs, io,
    os::unix::process::CommandExt,
    process::{self, Stdio},
};
use tress_core::process::{ChildDescriptor, Command, SpawnError};

/// Our end of a descriptor of a child.
pub(crate) enum End {
    /// We read.
    Input(OwnedFd),
    /// We write.
    Output(OwnedFd),
    /// Both.
    Socket(OwnedFd),
    /// A terminal.
    Terminal(OwnedFd),
}

/// What a child is started with, made before there is one: so what fails here leaves nothing behind.
pub(crate) struct Prepared {
    command: process::Command,
    /// Our ends, by the child's numbers. Taken by who starts it.
    pub(crate) ends: Vec<(u32, End)>,
    plan: Plan,
    program: String,
    /// To say what a refusal is about.
    changes_user: bool,
}

/// A child that runs.
pub(crate) struct Started {
    pub(crate) id: u32,
    /// Readable when the child has exited; names this child and never another.
    pub(crate) handle: OwnedFd,
}

/// Opens everything that the child needs.
pub(crate) fn prepare(command: &Command) -> Result<Prepared, SpawnError> {
    let failed = |doing: String| {
        let program = command.shown();
        move |error: io::Error| SpawnError {
            program,
            doing: Some(doing),
            error,
        }
    };
    if let Some(directory) = &command.directory {
        let shown = format!("its working directory `{}`", directory.display());
        match seam::call(Call::Stat, || fs::metadata(directory)) {
            Ok(found) if found.is_dir() => {}
            Ok(_) => return Err(failed(shown)(io::ErrorKind::NotADirectory.into())),
            Err(error) => return Err(failed(shown)(error)),
        }
    }
    let mut ends = Vec::new();
    let mut given = BTreeMap::new();
    let mut controlling = None;
    if let Some(size) = command.terminal {
        let doing = "its terminal".to_owned();
        if !command.has_usual_descriptors() {
            let text = "a child in a terminal has no other descriptors";
            let error = io::Error::new(io::ErrorKind::InvalidInput, text);
            return Err(failed(doing)(error));
        }
        let (ours, theirs) = terminal::open(size).map_err(failed(doing))?;
        ends.push((1, End::Terminal(ours)));
        given.extend([0, 1, 2].map(|number| (number, None)));
        controlling = Some(theirs);
    } else {
        for (&number, what) in &command.descriptors {
            let opened = open(what).map_err(failed(format!("its descriptor {number}")))?;
            ends.extend(opened.ours.map(|end| (number, end)));
            given.insert(number, Some(opened.theirs));
        }
        for number in 0..3 {
            if let std::collections::btree_map::Entry::Vacant(place) = given.entry(number) {
                let nothing = null().map_err(failed("/dev/null".to_owned()))?;
                place.insert(Some(nothing));
            }
        }
    }
    let plan = Plan::new(given, controlling).map_err(failed("its descriptors".to_owned()))?;
    Ok(Prepared {
        command: std_command(command, env::vars_os()),
        ends,
        plan,
        program: command.shown(),
        changes_user: command.user.is_some() || command.group.is_some(),
    })
}

impl Prepared {
    /// Runs the program.
    pub(crate) fn start(mut self) -> Result<Started, SpawnError> {
        let failed = |error: io::Error| {
            let needs_rights = matches!(error.kind(), io::ErrorKind::PermissionDenied);
            let doing = (needs_rights && self.changes_user)
                .then(|| "becoming another user or group".to_owned());
            SpawnError {
                program: self.program.clone(),
                doing,
                error,
            }
        };
        exec::before_exec(&mut self.command, self.plan);
        let child = seam::call(Call::Fork, || self.command.spawn()).map_err(failed)?;
        let id = child.id();
        let pid = Pid::from_child(&child);
        match seam::call(Call::PidfdOpen, || {
            Ok(pidfd_open(pid, PidfdFlags::empty())?)
        }) {
            Ok(handle) => Ok(Started { id, handle }),
            Err(error) => {
                end_unwatched(pid, child);
                Err(SpawnError {
                    program: self.program,
                    doing: Some("watching it".to_owned()),
                    error,
                })
            }
        }
    }
}

/// A child that cannot be watched is not to run.
fn end_unwatched(pid: Pid, mut child: process::Child) {
    kill_process(pid, Signal::KILL).ok();
    // It has been killed, so this takes no time.
    child.wait().ok();
}

fn std_command(
    command: &Command,
    own: impl Iterator<Item = (OsString, OsString)>,
) -> process::Command {
    let mut made = process::Command::new(&command.program);
    if let Some(name) = &command.name {
        made.arg0(name);
    }
    made.args(&command.arguments)
        .env_clear()
        .envs(command.resolved_environment(inheritable(own)))
        .stdin(Stdio::inherit())
        .stdout(Stdio::inherit())
        .stderr(Stdio::inherit());
    if let Some(directory) = &command.directory {
        made.current_dir(directory);
    }
    if let Some(group) = command.group {
        made.gid(group);
    }
    if let Some(user) = command.user {
        made.uid(user);
    }
    made
}

/// The environment of this process, without what systemd says to it alone.
fn inheritable(
    all: impl Iterator<Item = (OsString, OsString)>,
) -> impl Iterator<Item = (OsString, OsString)> {
    all.filter(|(name, _)| !VARIABLES.iter().any(|own| name == own))
}

/// What a child gets, and our end of it.
struct Opened {
    theirs: OwnedFd,
    ours: Option<End>,
}

fn open(what: &ChildDescriptor) -> io::Result<Opened> {
    let (theirs, ours) = match what {
        ChildDescriptor::Read => {
            let (reader, writer) = seam::call(Call::Pipe, io::pipe)?;
            (writer.into(), Some(End::Input(reader.into())))
        }
        ChildDescriptor::Write => {
            let (reader, writer) = seam::call(Call::Pipe, io::pipe)?;
            (reader.into(), Some(End::Output(writer.into())))
        }
        ChildDescriptor::Socket => {
            let (ours, theirs) = seam::call(Call::Socketpair, || {
                socket2::Socket::pair(socket2::Domain::UNIX, socket2::Type::STREAM, None)
            })?;
            (theirs.into(), Some(End::Socket(ours.into())))
        }
        ChildDescriptor::Inherit(number) => (exec::copy_of(*number)?, None),
        ChildDescriptor::File(file) => (copy(file.as_fd())?, None),
        _ => return Err(io::ErrorKind::Unsupported.into()),
    };
    Ok(Opened { theirs, ours })
}

fn copy(file: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    seam::call(Call::Dup, || Ok(rustix::io::fcntl_dupfd_cloexec(file, 0)?))
}

fn null() -> io::Result<OwnedFd> {
    let mut options = fs::File::options();
    options.read(true).write(true);
    let file = seam::call(Call::Open, || options.open("/dev/null"))?;
    Ok(file.into())
}

/// A copy of it with a number of at least `lowest`.
pub(crate) fn copy_above(file: BorrowedFd<'_>, lowest: i32) -> io::Result<OwnedFd> {
    let copy = seam::call(Call::Dup, || {
        Ok(rustix::io::fcntl_dupfd_cloexec(file, lowest)?)
    })?;
    debug_assert!(copy.as_raw_fd() >= lowest);
    Ok(copy)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_systemd_says_to_us_is_not_said_to_children() {
        let all = VARIABLES.iter().chain(&["PATH", "LISTEN"]);
        let all = all.map(|name| (OsString::from(name), OsString::from("1")));
        let command = Command::new("x").inherit_environment();
        let names = |command: &Command| {
            let made = std_command(command, all.clone());
            let names = made.get_envs().map(|(name, _)| name.to_owned());
            names.collect::<Vec<_>>()
        };
        assert_eq!(names(&command), ["LISTEN", "PATH"]);
        // Whoever means it says so.
        let command = command.variable("NOTIFY_SOCKET", "/run/x");
        assert_eq!(names(&command), ["LISTEN", "NOTIFY_SOCKET", "PATH"]);
    }
}
