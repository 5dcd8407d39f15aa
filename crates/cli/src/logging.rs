//! Where the log of `tress run` goes, and how much of it: on stderr, by level and module, changed while it runs. Knows no
//! application.

use std::{
    collections::BTreeMap,
    io,
    sync::{Arc, Mutex, PoisonError},
};
use tracing::{Level, level_filters::LevelFilter};
use tracing_subscriber::{
    filter::Targets, fmt, layer::SubscriberExt, reload, util::SubscriberInitExt,
};
use tress_app::{LogLevel, Registry};
use tress_core::wording::{quoted, unknown};

/// The most modules that have a level of their own.
const MODULES_MAX: usize = 100;

const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

/// Begins to log at this level. The same registry, whose applications can change it; unless the program has set up a log of
/// its own.
pub(crate) fn start(level: Level, registry: &Registry) -> Registry {
    let mut registry = registry.clone();
    if let Some(change) = begin(level) {
        registry.set_log_level(change);
    }
    registry
}

fn begin(level: Level) -> Option<LogLevel> {
    let levels = Levels::all(level.into());
    let (filter, handle) = reload::Layer::new(levels.targets());
    let output = fmt::layer().with_writer(io::stderr).with_ansi(false);
    let subscriber = tracing_subscriber::registry().with(filter).with(output);
    subscriber.try_init().ok()?;
    let levels = Mutex::new(levels);
    Some(Arc::new(move |change| {
        let mut levels = levels.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(change) = change {
            let changed = levels.changed(change)?;
            let taken = handle.reload(changed.targets());
            taken.map_err(|error| format!("the log cannot be changed: {error}"))?;
            *levels = changed;
        }
        Ok(levels.to_string())
    }))
}

/// What is logged.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Levels {
    all: LevelFilter,
    modules: BTreeMap<String, LevelFilter>,
}

impl Levels {
    fn all(level: LevelFilter) -> Self {
        Self {
            all: level,
            modules: BTreeMap::new(),
        }
    }

    fn targets(&self) -> Targets {
        let modules = self.modules.iter();
        let modules = modules.map(|(module, level)| (module.clone(), *level));
        Targets::new().with_default(self.all).with_targets(modules)
    }

    /// With a list such as `info,tress=debug`. A level alone is that of all, and ends what was said of modules.
    fn changed(&self, change: &str) -> Result<Self, String> {
        let mut changed = self.clone();
        for part in change.split(',').map(str::trim) {
            match part.split_once('=') {
                None => changed = Self::all(level(part)?),
                Some((module, part)) => {
                    let plain = |c: char| c.is_ascii_alphanumeric() || "_:-.".contains(c);
                    if module.is_empty() || module.len() > 100 || !module.chars().all(plain) {
                        return Err(format!("{} is no module, as `tress` is", quoted(module)));
                    }
                    changed.modules.insert(module.to_owned(), level(part)?);
                }
            }
        }
        match changed.modules.len() {
            0..=MODULES_MAX => Ok(changed),
            more => Err(format!("{more} modules; expected at most {MODULES_MAX}")),
        }
    }
}

fn level(word: &str) -> Result<LevelFilter, String> {
    match LEVELS.contains(&word) {
        true => word.parse().map_err(|_| unknown("level", word, &LEVELS)),
        false => Err(unknown("level", word, &LEVELS)),
    }
}

impl std::fmt::Display for Levels {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.all)?;
        for (module, level) in &self.modules {
            write!(f, ",{module}={level}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_of_all_and_of_modules() {
        let mut levels = Levels::all(LevelFilter::INFO);
        for (change, expected) in [
            ("tress=debug", "info,tress=debug"),
            (
                "tress::http=trace, mine=off",
                "info,mine=off,tress=debug,tress::http=trace",
            ),
            ("warn", "warn"),
            ("debug,tress=warn", "debug,tress=warn"),
        ] {
            levels = levels.changed(change).unwrap();
            assert_eq!(levels.to_string(), expected, "{change}");
        }
        for (wrong, expected) in [
            (
                "dbug",
                "unknown level `dbug`; expected one of `off`, `error`, `warn`, `info`, `debug`, `trace`; did you mean `debug`?",
            ),
            (
                "",
                "unknown level ``; expected one of `off`, `error`, `warn`, `info`, `debug`, `trace`",
            ),
            (
                "tress=",
                "unknown level ``; expected one of `off`, `error`, `warn`, `info`, `debug`, `trace`",
            ),
            ("=info", "`` is no module, as `tress` is"),
            ("a b=info", "`a b` is no module, as `tress` is"),
        ] {
            assert_eq!(levels.changed(wrong), Err(expected.to_owned()), "{wrong}");
        }
        let many: Vec<String> = (0..=MODULES_MAX).map(|n| format!("m{n}=info")).collect();
        assert!(
            levels
                .changed(&many.join(","))
                .unwrap_err()
                .contains("at most 100")
        );
    }
}
