//! The pipes of a plug-in: its standard output is read as AMP, its standard error as lines for the log, and when either says
//! what cannot be, the child is ended. Knows no kind.

use super::{DynPlugin, PluginSpec};
use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    time::Duration,
};
use tress_core::{
    Deferred, Failure, Protocol, Reactor, Resolver, Result, Time, Transport,
    framing::Strings,
    process::{LineLog, Process, ProcessDone, ProcessProtocol},
};
use tress_rpc::{
    Client,
    amp::{AmpBoxes, AmpCaller, AmpClient},
};

/// A child that was started.
pub(super) struct Link {
    pub(super) process: Process,
    /// What it is called by.
    pub(super) client: Client,
    /// Keeps the connection.
    _amp: AmpClient,
    ended: Rc<Ended>,
    started: RefCell<Option<Deferred<()>>>,
}

/// How it ended, for whoever waits for that.
#[derive(Default)]
struct Ended {
    /// It is being ended, and nothing of that is its fault.
    is_meant: Cell<bool>,
    why: RefCell<Option<String>>,
    waiting: RefCell<Vec<Resolver<String>>>,
}

impl Ended {
    fn set(&self, why: String) {
        self.why.replace(Some(why.clone()));
        for resolver in self.waiting.take() {
            resolver.resolve(why.clone());
        }
    }
}

impl Link {
    /// Starts the child.
    pub(super) fn start(spec: &PluginSpec, reactor: &Reactor) -> Result<Self> {
        let amp = AmpClient::new(<dyn DynPlugin>::DESCRIPTOR, spec.limits())?;
        let ended = Rc::<Ended>::default();
        let (resolver, started) = Deferred::pair();
        let pipes = Pipes {
            boxes: amp.protocol(),
            input: None,
            started: Some(resolver),
            errors: Lines::new(&spec.name, spec.log_lines),
            stop: spec.stop,
            wrong: None,
            has_ended: Cell::new(false),
            ended: Rc::clone(&ended),
        };
        let process = reactor.spawn_process(&spec.command(), pipes)?;
        Ok(Self {
            process,
            client: Client::new(amp.clone()),
            _amp: amp,
            ended,
            started: RefCell::new(Some(started)),
        })
    }

    /// Fires when it runs and can be asked. For one to wait.
    pub(super) fn when_started(&self) -> Deferred<()> {
        let started = self.started.borrow_mut().take();
        started.unwrap_or_else(|| Deferred::fail(Failure::msg("somebody waits for it already")))
    }

    /// Fires when the child has ended, with how.
    pub(super) fn when_ended(&self) -> Deferred<String> {
        if let Some(why) = &*self.ended.why.borrow() {
            return Deferred::succeed(why.clone());
        }
        let (resolver, deferred) = Deferred::pair();
        self.ended.waiting.borrow_mut().push(resolver);
        deferred
    }

    /// Ends its input; if it does not end by itself then, it is ended. Fires when it has.
    pub(super) fn stop(&self, reactor: &Reactor, patience: Duration) -> Deferred<()> {
        self.ended.is_meant.set(true);
        self.process.close_stdin();
        let process = self.process.clone();
        let later = reactor.call_later(patience, move || {
            process.stop(patience).detach();
        });
        self.when_ended().map(move |_| {
            // It has been called when this was what ended it.
            later.cancel().ok();
        })
    }
}

/// What the system tells of the child.
struct Pipes {
    boxes: Strings<AmpCaller, AmpBoxes>,
    /// Where is written to.
    input: Option<Transport>,
    /// Who waits for that.
    started: Option<Resolver<()>>,
    errors: Lines,
    stop: Duration,
    /// Why we have ended it.
    wrong: Option<&'static str>,
    /// Nothing more comes from it, which the boxes have heard.
    has_ended: Cell<bool>,
    ended: Rc<Ended>,
}

impl Pipes {
    fn lost(&mut self, reason: Failure) {
        if !self.has_ended.replace(true) {
            self.boxes.connection_lost(reason);
        }
    }

    /// It cannot be called any more.
    fn end(&mut self, process: &Process, why: &'static str) {
        self.lost(Failure::msg(why));
        if !self.ended.is_meant.get() {
            process.stop(self.stop).detach();
        }
    }
}

impl ProcessProtocol for Pipes {
    fn connection_made(&mut self, process: &Process) -> Result {
        let input = process.pipe(0);
        let input = input.ok_or_else(|| Failure::msg("it has no standard input"))?;
        // Answers must be read while it does not read calls: else both would wait for each other.
        input.read_when_full(true);
        self.boxes.connection_made(&input)?;
        self.input = Some(input);
        if let Some(started) = self.started.take() {
            started.resolve(());
        }
        Ok(())
    }

    fn out_received(&mut self, process: &Process, data: &[u8]) -> Result {
        let Some(input) = self.input.clone().filter(|_| !self.has_ended.get()) else {
            return Ok(());
        };
        let was_closing = input.is_closing();
        self.boxes.data_received(&input, data)?;
        if input.is_closing() && !was_closing {
            const WRONG: &str =
                "it wrote to its standard output what is no answer of AMP, or too long";
            self.wrong = Some(WRONG);
            self.end(process, WRONG);
        }
        Ok(())
    }

    fn err_received(&mut self, process: &Process, data: &[u8]) -> Result {
        let reactor = process.pipe(2).map(|pipe| pipe.reactor()).transpose()?;
        if let Some(reactor) = reactor {
            self.errors.received(data, reactor.now());
        }
        Ok(())
    }

    fn child_connection_lost(&mut self, process: &Process, descriptor: u32, _: &Failure) -> Result {
        match descriptor {
            0 => self.end(process, "it has closed its standard input"),
            1 => self.end(process, "it has closed its standard output"),
            _ => {}
        }
        Ok(())
    }

    /// What it wrote is read still; then its pipes are closed, whoever else may have them.
    fn process_exited(&mut self, process: &Process, _: &Failure) -> Result {
        process.stop(self.stop).detach();
        Ok(())
    }

    fn process_ended(&mut self, reason: Failure) {
        self.errors.ended();
        let how = if reason.check::<ProcessDone>().is_some() {
            "it has ended with code 0".to_owned()
        } else {
            reason.to_string()
        };
        self.lost(Failure::msg(how.clone()));
        self.ended.set(match self.wrong {
            Some(wrong) => wrong.to_owned(),
            None => how,
        });
    }

    fn name(&self) -> &'static str {
        "a plug-in"
    }
}

/// Standard error, as lines of the log; no more of them in a second than may be.
struct Lines {
    plugin: String,
    log: LineLog,
    most: usize,
    second: Option<Time>,
    /// Lines in this second.
    lines: usize,
}

impl Lines {
    fn new(plugin: &str, most: usize) -> Self {
        Self {
            plugin: plugin.to_owned(),
            log: LineLog::new(plugin),
            most,
            second: None,
            lines: 0,
        }
    }

    fn received(&mut self, data: &[u8], now: Time) {
        let is_new = self
            .second
            .is_none_or(|begun| now.since(begun) >= Duration::from_secs(1));
        if is_new {
            self.missed();
            self.second = Some(now);
        }
        for line in data.split_inclusive(|byte| *byte == b'\n') {
            if self.lines < self.most {
                self.log.received(line);
            }
            self.lines += usize::from(line.ends_with(b"\n"));
        }
    }

    /// Says how many were not logged, and begins to count anew.
    fn missed(&mut self) {
        if let Some(missed @ 1..) = self.lines.checked_sub(self.most) {
            let plugin = &self.plugin;
            tracing::warn!(target: "tress::child", "[{plugin}] wrote {missed} lines more in a second than are logged (`log_lines`)");
        }
        self.lines = 0;
    }

    fn ended(&mut self) {
        self.log.ended();
        self.missed();
    }
}
