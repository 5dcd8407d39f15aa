//! A finger client's line: no control character gets through, and the server answers the same however it was cut.

#![no_main]

use libfuzzer_sys::fuzz_target;
use std::rc::Rc;
use tress_core::Result;
use tress_fuzz::{INPUT_BYTES_MAX, same_however_cut, split_header};
use tress_protocols::finger::{Finger, FingerOptions, FingerProtocol, Query, parse};

/// Everybody says their own name.
struct Names;

impl Finger for Names {
    async fn user(&self, name: String) -> Result<Option<String>> {
        Ok(name.len().is_multiple_of(2).then_some(name))
    }

    async fn users(&self) -> Result<Vec<String>> {
        Ok(vec!["moshez".to_owned(), "shawn".to_owned()])
    }
}

fuzz_target!(|data: &[u8]| {
    let Some(([seed], bytes)) = split_header(data) else {
        return;
    };
    let clean = |text: &str| assert!(!text.contains(char::is_control));
    match parse(bytes) {
        Query::Everybody | Query::Unprintable => {}
        Query::User(name) => {
            clean(&name);
            assert!(!name.is_empty() && !name.contains('@'));
        }
        Query::Forward { query, host } => {
            clean(&query);
            clean(&host);
            assert!(!host.contains('@') && query.len() + host.len() < INPUT_BYTES_MAX);
        }
    }
    let options = FingerOptions::default();
    same_however_cut(
        |_| FingerProtocol::new(Rc::new(Names), options),
        bytes,
        seed,
    );
});
