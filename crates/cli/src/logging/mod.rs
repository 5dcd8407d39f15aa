//! The log of `tress run`: its levels, its form, where it goes, and how it changes while it runs. Knows no application.
//!
//! What is left out, by a limit or because nobody could take it, is counted and said. A log is never a reason to stop: who
//! cannot be written to loses lines.

mod levels;
mod output;
mod rate;

pub(crate) use levels::Levels;

use output::{Form, Shared, ToJournal};
use rate::{Cause, LeftOut, Limiter, Rate, Verdict};
use std::{
    io,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tracing::{Event, Subscriber};
use tracing_subscriber::{
    Layer,
    filter::Targets,
    fmt,
    layer::{Context, SubscriberExt},
    registry::LookupSpan,
    reload,
    util::SubscriberInitExt,
};
use tress_app::{
    LogProblem, LogStep, Registry,
    config::{LogFormat, LogSection, LogTo},
};
use tress_core::{Reactor, Remote, clock::Clock, wording::quoted};
use tress_os::{
    SystemClock,
    logs::{LogOutput, Rotation, journal},
};

/// What the command line says, which counts more than the file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Overrides {
    /// A list that was found right.
    pub(crate) level: Option<String>,
    pub(crate) format: Option<LogFormat>,
    pub(crate) to: Option<LogTo>,
}

/// All that is wanted of a log.
struct Wanted {
    levels: Levels,
    form: Form,
    to: LogTo,
    rotation: Rotation,
    rate: Rate,
}

impl Wanted {
    fn new(section: &LogSection, overrides: &Overrides) -> Result<Self, LogProblem> {
        let levels = Levels::named(&section.level).map_err(|wrong| ("level", wrong))?;
        let levels = levels.with(&section.modules);
        let mut levels = levels.map_err(|wrong| ("modules", wrong))?;
        if let Some(list) = &overrides.level {
            levels = Levels::named(list).map_err(|wrong| ("level", wrong))?;
        }
        let to = overrides.to.as_ref().unwrap_or(&section.to).clone();
        let form = match to {
            LogTo::Journal => Form::Journal,
            LogTo::Stderr | LogTo::File(_) => overrides.format.unwrap_or(section.format).into(),
        };
        Ok(Self {
            levels,
            form,
            to,
            rotation: Rotation {
                bytes: section.rotate_bytes,
                keep: section.keep,
            },
            rate: Rate {
                most: section.rate,
                period: section.rate_period,
            },
        })
    }

    fn open(&self) -> Result<LogOutput, LogProblem> {
        let opened = match &self.to {
            LogTo::Stderr => Ok(LogOutput::stderr()),
            LogTo::Journal => LogOutput::journal(),
            LogTo::File(path) => LogOutput::file(path, self.rotation),
        };
        opened.map_err(|error| self.refused(&error))
    }

    /// Whether it could be opened.
    fn try_open(&self) -> Result<(), LogProblem> {
        let tried = match &self.to {
            LogTo::Stderr => Ok(()),
            LogTo::Journal => LogOutput::journal().map(drop),
            LogTo::File(path) => LogOutput::try_file(path),
        };
        tried.map_err(|error| self.refused(&error))
    }

    fn refused(&self, error: &io::Error) -> LogProblem {
        let path = match &self.to {
            LogTo::File(path) => path,
            LogTo::Stderr | LogTo::Journal => Path::new(journal::SOCKET),
        };
        let path = quoted(&path.to_string_lossy());
        ("to", format!("the log cannot go to {path}: {error}"))
    }
}

/// The log of this process. Clones are the same.
#[derive(Clone)]
pub(crate) struct Log(Arc<Inner>);

struct Inner {
    overrides: Overrides,
    /// `None` where the program has set up a log of its own.
    filter: Option<reload::Handle<Targets, tracing_subscriber::Registry>>,
    shared: Shared,
    limited: Limited,
    present: Mutex<Present>,
}

/// What can be changed.
struct Present {
    levels: Levels,
    to: LogTo,
    rotation: Rotation,
}

/// Begins to log as the section says, as far as it is right, and the command line. The same registry, whose applications can
/// change it; unless the program has set up a log of its own. What of the section is wrong says whoever loads the file.
///
/// # Errors
/// What the command line says cannot be.
pub(crate) fn start(
    section: &LogSection,
    overrides: Overrides,
    registry: &Registry,
) -> Result<(Registry, Log), String> {
    let wanted = Wanted::new(section, &overrides);
    let wanted = wanted.or_else(|_| Wanted::new(&LogSection::default(), &overrides));
    let mut wanted = wanted.map_err(|(_, wrong)| wrong)?;
    let to = match wanted.open() {
        Ok(to) => to,
        Err((_, wrong)) if overrides.to.is_some() => return Err(format!("--log-to: {wrong}")),
        Err(_) => {
            wanted.to = LogTo::Stderr;
            if wanted.form == Form::Journal {
                wanted.form = Form::Text;
            }
            LogOutput::stderr()
        }
    };
    let log = Log::begin(wanted, to, overrides);
    let mut registry = registry.clone();
    if log.0.filter.is_some() {
        let own = log.clone();
        registry.set_log_level(Arc::new(move |change| own.level(change)));
        let own = log.clone();
        registry.set_log(Arc::new(move |section, step| own.change(section, step)));
    }
    Ok((registry, log))
}

/// A registry whose files may say what they log, and nothing is logged.
pub(crate) fn checked(registry: &Registry) -> Registry {
    let mut registry = registry.clone();
    registry.set_log(Arc::new(|section, _| {
        Wanted::new(section, &Overrides::default())?.try_open()
    }));
    registry
}

impl Log {
    fn begin(wanted: Wanted, to: LogOutput, overrides: Overrides) -> Self {
        let Wanted {
            levels, form, rate, ..
        } = wanted;
        let shared = Shared::new(form, to);
        let limited = Limited {
            limiter: Arc::new(Mutex::new(Limiter::new(rate))),
            shared: shared.clone(),
            home: Arc::default(),
        };
        let (filter, handle) = reload::Layer::new(levels.targets());
        let subscriber = tracing_subscriber::registry().with(filter);
        let subscriber = subscriber
            .with(limited.clone())
            .with(lines(form, shared.clone()));
        let begun = subscriber.try_init();
        Self(Arc::new(Inner {
            overrides,
            filter: begun.is_ok().then_some(handle),
            shared,
            limited,
            present: Mutex::new(Present {
                levels,
                to: wanted.to,
                rotation: wanted.rotation,
            }),
        }))
    }

    /// Whoever has moved the file wants another.
    pub(crate) fn reopen(&self) {
        match self.0.shared.reopen() {
            Ok(()) => tracing::info!(target: "tress", "received SIGUSR1, the log is opened anew"),
            Err(error) => {
                tracing::error!(target: "tress", "the log cannot be opened anew: {error}");
            }
        }
    }

    /// What a limit leaves out is said by this loop, if nothing else does it before.
    pub(crate) fn live_on(&self, reactor: &Reactor) {
        *locked(&self.0.limited.home) = Some(reactor.remote());
    }

    /// Says what it has not said.
    pub(crate) fn end(&self) {
        let left = locked(&self.0.limited.limiter).all();
        self.0.limited.say(&left);
        self.0.shared.end();
    }

    fn level(&self, change: Option<&str>) -> Result<String, String> {
        let mut present = locked(&self.0.present);
        if let Some(change) = change {
            let changed = present.levels.changed(change)?;
            self.filter(&changed)?;
            present.levels = changed;
        }
        Ok(present.levels.to_string())
    }

    fn filter(&self, levels: &Levels) -> Result<(), String> {
        let Some(filter) = &self.0.filter else {
            return Ok(());
        };
        let taken = filter.reload(levels.targets());
        taken.map_err(|error| format!("the log cannot be changed: {error}"))
    }

    fn change(&self, section: &LogSection, step: LogStep) -> Result<(), LogProblem> {
        let wanted = Wanted::new(section, &self.0.overrides)?;
        if step == LogStep::Check {
            wanted.try_open()?;
        }
        let (form, there) = (wanted.form, self.0.shared.form());
        if form != there {
            let key = match [form, there].contains(&Form::Journal) {
                true => "to",
                false => "format",
            };
            let message = "an application that runs cannot change this: expected what it was started with, or a start anew";
            return Err((key, message.to_owned()));
        }
        if step == LogStep::Check {
            return Ok(());
        }
        let mut present = locked(&self.0.present);
        if wanted.to == present.to && wanted.rotation == present.rotation {
            let opened = self.0.shared.reopen();
            opened.map_err(|error| wanted.refused(&error))?;
        } else {
            self.0.shared.replace(wanted.open()?);
        }
        let filtered = self.filter(&wanted.levels);
        filtered.map_err(|wrong| ("level", wrong))?;
        *present = Present {
            levels: wanted.levels,
            to: wanted.to,
            rotation: wanted.rotation,
        };
        let left = locked(&self.0.limited.limiter).change(wanted.rate);
        self.0.limited.say(&left);
        Ok(())
    }
}

/// What makes lines of events.
fn lines<S>(form: Form, shared: Shared) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'l> LookupSpan<'l>,
{
    let text = fmt::layer().with_writer(shared.clone()).with_ansi(false);
    match form {
        Form::Text => text.boxed(),
        Form::Json => text.json().flatten_event(true).boxed(),
        Form::Journal => ToJournal(shared).boxed(),
    }
}

/// Lets so many lines of a cause pass. Clones are the same.
#[derive(Clone)]
struct Limited {
    limiter: Arc<Mutex<Limiter>>,
    shared: Shared,
    /// Where what was left out is said in time.
    home: Arc<Mutex<Option<Remote>>>,
}

impl<S: Subscriber> Layer<S> for Limited {
    fn event_enabled(&self, event: &Event<'_>, _context: Context<'_, S>) -> bool {
        let cause = Cause::of(event.metadata());
        let verdict = locked(&self.limiter).judge(cause, SystemClock.now());
        match verdict {
            Verdict::Logged(left) => {
                self.say(left.as_slice());
                true
            }
            Verdict::LeftOut { first, left } => {
                if first {
                    self.say_after(left);
                }
                false
            }
        }
    }
}

impl Limited {
    fn say(&self, left: &[LeftOut]) {
        left.iter().for_each(|left| self.shared.notice(left));
    }

    /// When the period has ended, unless another line of the cause comes before.
    fn say_after(&self, left: Duration) {
        let limited = self.clone();
        if let Some(home) = &*locked(&self.home) {
            let asked = home.call_from_thread(move |reactor: &Reactor| {
                reactor.call_later(left, move || {
                    let due = locked(&limited.limiter).due(SystemClock.now());
                    limited.say(&due);
                });
            });
            // One that has ended needs none: the end says the rest.
            asked.ok();
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
