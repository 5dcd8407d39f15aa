//! An application's file: any bytes are read or refused with at least one problem that can be printed.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tress_app::config::{Config, Problems, Unit};

fuzz_target!(|data: &[u8]| {
    match Config::parse("dir/app.toml", data) {
        Err(problems) => assert!(!problems.to_string().is_empty()),
        Ok(config) => {
            let mut problems = Problems::new("dir/app.toml");
            let known = [
                ("line", Unit::Bytes),
                ("connections", Unit::Count),
                ("idle", Unit::Time),
            ];
            config.read_limits(&known, &mut problems);
            assert!(problems.to_string().len() < 64 * data.len() + 64 * 1024);
        }
    }
});
