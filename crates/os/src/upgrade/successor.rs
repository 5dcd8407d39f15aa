//! The old process: starts the new one, and waits until it is ready or will not be. Closes nothing.

use super::{
    CHANNEL, PORTS_MAX, Program, VARIABLE,
    wire::{self, Said},
};
use crate::sys::exec;
use std::{cell::RefCell, env, error::Error, fmt, path::Path, process, rc::Rc, time::Duration};
use tress_core::{
    Deferred, DelayedCall, EventType, Failure, Phase, Process, ProcessProtocol, Reactor, Resolver,
    Result, Signal, WeakReactor,
    process::{ChildDescriptor, Command},
    reactor::TriggerId,
};

/// No process takes the place of this one, which goes on as it was. The text says why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotUpgraded(pub String);

impl fmt::Display for NotUpgraded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for NotUpgraded {}

/// A process that is ready to take the place of this one, and takes peers already.
#[derive(Debug)]
pub struct Successor(Process);

impl Successor {
    /// Its number in the system.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.0.id()
    }

    /// All is its own: to be called when this process listens no more and has left the files
    /// ([`Reactor::leave_files`](tress_core::Reactor::leave_files)).
    pub fn go(&self) {
        // If it has ended there is nobody to be told, and its end is logged.
        self.0.write_to_child(CHANNEL, wire::GO).ok();
        self.0.close_child_descriptor(CHANNEL);
    }

    /// Sends it a signal.
    ///
    /// # Errors
    /// It has ended.
    pub fn signal(&self, signal: Signal) -> Result {
        self.0.signal_process(signal)
    }
}

/// Starts the program, or what is at `binary`, as this process was started and with copies of all ports of this reactor. Fires
/// when it is ready, within `limit`. Stopping the reactor before that kills it; afterwards it goes on by itself.
///
/// # Errors
/// [`NotUpgraded`], and nothing is left of the new process.
#[track_caller]
pub fn start(
    reactor: &Reactor,
    program: &Program,
    binary: Option<&Path>,
    limit: Duration,
) -> Deferred<Successor> {
    let (resolver, ready) = Deferred::pair();
    match prepare(reactor, program, binary) {
        Ok((command, hello)) => begin(reactor, &command, hello, limit, resolver),
        Err(why) => resolver.fail(NotUpgraded(why)),
    }
    ready
}

/// How it is started, and what it is told.
fn prepare(
    reactor: &Reactor,
    program: &Program,
    binary: Option<&Path>,
) -> Result<(Command, Vec<u8>), String> {
    let ports = reactor.copy_ports().map_err(|error| error.to_string())?;
    let ports = ports.into_inner();
    if ports.len() > PORTS_MAX {
        let count = ports.len();
        return Err(format!(
            "{count} sockets; at most {PORTS_MAX} can be passed"
        ));
    }
    let hello = wire::ports(ports.iter().map(|(at, _)| &**at));
    let standard = (0..3).filter(|number| exec::copy_of(*number).is_ok());
    let standard = standard.map(|number| (number, ChildDescriptor::Inherit(number)));
    let sockets = ports.into_iter().map(|(_, socket)| socket);
    let sockets = (CHANNEL + 1..).zip(sockets);
    let sockets = sockets.map(|(number, it)| (number, ChildDescriptor::File(Rc::new(it))));
    let channel = (CHANNEL, ChildDescriptor::Socket);
    let command = Command::new(binary.unwrap_or(&program.path))
        .name(&program.name)
        .arguments(&program.arguments)
        .inherit_environment()
        .variable(VARIABLE, process::id().to_string())
        .descriptors(standard.chain([channel]).chain(sockets))
        .detached();
    // What speaks to the manager of services is no child's; but this one will be the main process.
    let told = ["NOTIFY_SOCKET", "WATCHDOG_USEC"].into_iter();
    let told = told.filter_map(|name| Some((name, env::var_os(name)?)));
    let command = told.fold(command, |command, (name, value)| {
        command.variable(name, value)
    });
    Ok((command, hello))
}

fn begin(
    reactor: &Reactor,
    command: &Command,
    hello: Vec<u8>,
    limit: Duration,
    resolver: Resolver<Successor>,
) {
    let fate = Fate(Rc::new(RefCell::new(State::Open(Open {
        resolver,
        reactor: reactor.downgrade(),
        late: None,
        stopping: None,
    }))));
    let protocol = Watching {
        fate: fate.clone(),
        hello,
        said: Vec::new(),
    };
    let process = match reactor.spawn_process(command, protocol) {
        Ok(process) => process,
        Err(failure) => return fate.fail(failure.to_string()),
    };
    let shown = command.shown();
    tracing::info!(target: "tress", "started {shown} as process {} to take over", process.id());
    let (waiting, child) = (fate.clone(), process.clone());
    let late = reactor.call_later(limit, move || {
        waiting.kill(
            &child,
            format!("it was not ready within {limit:?} (`upgrade`)"),
        );
    });
    let waiting = fate.clone();
    let stopping =
        reactor.add_system_event_trigger(Phase::Before, EventType::Shutdown, move || {
            waiting.kill(&process, "this process stops".to_owned());
            // Whoever waits is told meanwhile.
            process.when_ended().map(drop).add_errback(|_| Ok(()))
        });
    if let State::Open(open) = &mut *fate.0.borrow_mut() {
        (open.late, open.stopping) = (Some(late), Some(stopping));
    }
}

/// What becomes of the new process.
#[derive(Clone)]
struct Fate(Rc<RefCell<State>>);

enum State {
    /// That is not known yet.
    Open(Open),
    /// It takes over.
    Ready,
    /// It does not, and ends or has ended.
    Failed,
}

struct Open {
    resolver: Resolver<Successor>,
    reactor: WeakReactor,
    late: Option<DelayedCall>,
    stopping: Option<TriggerId>,
}

impl Fate {
    /// Who is to be told, if it was open.
    fn decide(&self, state: State) -> Option<Resolver<Successor>> {
        let mut own = self.0.borrow_mut();
        if !matches!(*own, State::Open(_)) {
            return None;
        }
        let State::Open(open) = std::mem::replace(&mut *own, state) else {
            return None;
        };
        drop(own);
        if let Some(late) = open.late {
            late.cancel().ok();
        }
        if let (Some(reactor), Some(stopping)) = (open.reactor.upgrade(), open.stopping) {
            // False when it is what decides.
            _ = reactor.remove_system_event_trigger(stopping);
        }
        Some(open.resolver)
    }

    fn ready(&self, process: &Process) {
        if let Some(resolver) = self.decide(State::Ready) {
            resolver.resolve(Successor(process.clone()));
        }
    }

    fn fail(&self, why: String) {
        if let Some(resolver) = self.decide(State::Failed) {
            resolver.fail(NotUpgraded(why));
        }
    }

    /// It will not be ready.
    fn kill(&self, process: &Process, why: String) {
        if let Some(resolver) = self.decide(State::Failed) {
            process.signal_process(Signal::Kill).ok();
            resolver.fail(NotUpgraded(why));
        }
    }
}

/// The protocol of the new process.
struct Watching {
    fate: Fate,
    hello: Vec<u8>,
    said: Vec<u8>,
}

impl ProcessProtocol for Watching {
    fn connection_made(&mut self, process: &Process) -> Result {
        process.write_to_child(CHANNEL, &std::mem::take(&mut self.hello))
    }

    fn child_data_received(&mut self, process: &Process, _from: u32, data: &[u8]) -> Result {
        let room = wire::LINE_BYTES_MAX + wire::WHY_BYTES_MAX - self.said.len();
        self.said.extend_from_slice(&data[..data.len().min(room)]);
        match wire::read_answer(&self.said) {
            Said::Ready => self.fate.ready(process),
            Said::Wrong(what) => self.fate.kill(process, format!("it says {what}")),
            Said::Nothing | Said::Failed(_) => {}
        }
        Ok(())
    }

    fn process_exited(&mut self, _process: &Process, reason: &Failure) -> Result {
        if matches!(*self.fate.0.borrow(), State::Ready) {
            tracing::error!(target: "tress", "the process that has taken over has ended: {reason}");
        }
        Ok(())
    }

    fn process_ended(&mut self, reason: Failure) {
        let why = match wire::read_answer(&self.said) {
            Said::Failed(why) => String::from_utf8_lossy(why).into_owned(),
            Said::Nothing | Said::Ready | Said::Wrong(_) => {
                format!("it ended before it was ready: {reason}")
            }
        };
        self.fate.fail(why);
    }
}
