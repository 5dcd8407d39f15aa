//! Which driver a file asks for, before there is a reactor that could check the rest of it. Knows no driver itself.

use crate::{
    config::{self, Config, Options, Problems},
    run::RunError,
};
use std::path::Path;

/// The drivers by the names that the option `driver` has for them.
pub(crate) const NAMES: &[&str] = &["mio", "uring", "auto"];

/// What to take the loop's events from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Driver {
    /// mio, which every system has. The default.
    #[default]
    Mio,
    /// io_uring, or nothing.
    Uring,
    /// io_uring where it can be had, and mio elsewhere.
    Auto,
}

/// What a file says about the driver.
#[derive(Debug)]
pub struct DriverChoice {
    driver: Driver,
    file: String,
    app: Option<Options>,
}

impl DriverChoice {
    /// Reads that much of a file. What is wrong with it is no matter here: then it is the default, and whoever loads the
    /// file says what it is.
    #[must_use]
    pub fn read(path: &Path) -> Self {
        let file = path.to_string_lossy().into_owned();
        let bytes = config::read_file(path).ok();
        let app = bytes.map(|bytes| Config::read(&bytes, &mut Problems::new(&*file)).app.options);
        let named = app
            .as_ref()
            .and_then(|app| app.optional_string("driver").ok());
        let driver = match named.flatten() {
            Some("uring") => Driver::Uring,
            Some("auto") => Driver::Auto,
            _ => Driver::Mio,
        };
        Self { driver, file, app }
    }

    /// Which one.
    #[must_use]
    pub fn driver(&self) -> Driver {
        self.driver
    }

    /// The error for one that cannot be had, because of this.
    #[must_use]
    pub fn refused(&self, reason: &str) -> RunError {
        let mut problems = Problems::new(&*self.file);
        if let Some(app) = &self.app {
            let message = format!(
                "io_uring cannot be had: {reason}; expected `mio` here, or `auto`, which then takes mio"
            );
            problems.push(app.problem("driver", message));
        }
        RunError::File(problems)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(name: &str, text: &str) -> DriverChoice {
        let directory = std::env::temp_dir();
        let path = directory.join(format!("tress-driver-{}-{name}.toml", std::process::id()));
        std::fs::write(&path, text).expect("it can be written");
        let choice = DriverChoice::read(&path);
        std::fs::remove_file(&path).ok();
        choice
    }

    #[test]
    fn each_driver_has_its_name_and_mio_is_the_default() {
        for (name, line, driver) in [
            ("mio", "driver = 'mio'", Driver::Mio),
            ("uring", "driver = 'uring'", Driver::Uring),
            ("auto", "driver = 'auto'", Driver::Auto),
            ("absent", "", Driver::Mio),
            ("unknown", "driver = 'epoll'", Driver::Mio),
            ("number", "driver = 3", Driver::Mio),
        ] {
            let choice = read(name, &format!("[app]\n{line}\n"));
            assert_eq!(choice.driver(), driver, "{line}");
        }
        assert_eq!(read("broken", "[app\n").driver(), Driver::Mio);
        let absent = DriverChoice::read(Path::new("/nonexistent/tress.toml"));
        assert_eq!(absent.driver(), Driver::Mio);
    }

    #[test]
    fn a_refusal_names_file_key_and_reason() {
        let choice = read("refused", "[app]\nname = 'x'\ndriver = 'uring'\n");
        let refused = choice.refused("the kernel says no");
        assert_eq!(refused.exit_code(), 2);
        let text = refused.to_string();
        assert!(
            text.ends_with(
                "refused.toml:3: app.driver: io_uring cannot be had: the kernel says no; expected `mio` here, or \
                 `auto`, which then takes mio"
            ),
            "{text}"
        );
    }
}
