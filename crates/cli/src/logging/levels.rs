//! What is logged: a level for all, and others for modules. Knows no output.

use std::{collections::BTreeMap, fmt};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tress_core::wording::{quoted, unknown};

/// The most modules that have a level of their own.
const MODULES_MAX: usize = 100;

const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

/// What is logged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Levels {
    all: LevelFilter,
    modules: BTreeMap<String, LevelFilter>,
}

impl Levels {
    /// Of a list such as `info,tress=debug`. What it does not say of all is `info`.
    pub(crate) fn named(list: &str) -> Result<Self, String> {
        Self::all(LevelFilter::INFO).changed(list)
    }

    /// With these levels of modules as well.
    pub(crate) fn with(mut self, modules: &[(String, String)]) -> Result<Self, String> {
        for (module, level) in modules {
            self.set(module, level)?;
        }
        self.few()
    }

    fn all(level: LevelFilter) -> Self {
        Self {
            all: level,
            modules: BTreeMap::new(),
        }
    }

    pub(crate) fn targets(&self) -> Targets {
        let modules = self.modules.iter();
        let modules = modules.map(|(module, level)| (module.clone(), *level));
        Targets::new().with_default(self.all).with_targets(modules)
    }

    /// With a list such as `info,tress=debug`. A level alone is that of all, and ends what was said of modules.
    pub(crate) fn changed(&self, change: &str) -> Result<Self, String> {
        let mut changed = self.clone();
        for part in change.split(',').map(str::trim) {
            match part.split_once('=') {
                None => changed = Self::all(level(part)?),
                Some((module, part)) => changed.set(module, part)?,
            }
        }
        changed.few()
    }

    fn set(&mut self, module: &str, word: &str) -> Result<(), String> {
        let plain = |c: char| c.is_ascii_alphanumeric() || "_:-.".contains(c);
        if module.is_empty() || module.len() > 100 || !module.chars().all(plain) {
            return Err(format!("{} is no module, as `tress` is", quoted(module)));
        }
        self.modules.insert(module.to_owned(), level(word)?);
        Ok(())
    }

    fn few(self) -> Result<Self, String> {
        match self.modules.len() {
            0..=MODULES_MAX => Ok(self),
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

impl fmt::Display for Levels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
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
    fn levels_of_a_file() {
        let modules = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
            let owned = |(module, level): &(&str, &str)| ((*module).into(), (*level).into());
            pairs.iter().map(owned).collect()
        };
        let check = |list: &str, pairs: &[(&str, &str)], expected: &str| {
            let found = Levels::named(list).and_then(|levels| levels.with(&modules(pairs)));
            let found = found.map_or_else(|wrong| wrong, |levels| levels.to_string());
            assert!(found.starts_with(expected), "{found}");
        };
        check("debug", &[], "debug");
        check("tress=debug", &[], "info,tress=debug");
        check(
            "warn,tress=debug",
            &[("tress", "trace"), ("mine", "off")],
            "warn,mine=off,tress=trace",
        );
        check("info", &[("tress", "loud")], "unknown level `loud`");
        check("info", &[("a b", "info")], "`a b` is no module");
    }

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
