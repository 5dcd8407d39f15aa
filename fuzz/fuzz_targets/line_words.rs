//! Lines that people type: words come back when they are quoted, and every answer ends in one empty line.

#![no_main]

use libfuzzer_sys::fuzz_target;
use std::rc::Rc;
use tress_core::{Address, Factory, Result, testing::memory::Tester};
use tress_fuzz::{Events, same_however_cut, split_header};
use tress_rpc::{
    ExposureLimits, interface,
    line::{LineFactory, words},
};

/// Gives back what it is given.
#[interface(crate = "tress_rpc")]
trait Same {
    /// A text.
    #[name = "t"]
    async fn text(&self, a: String, b: Option<u8>) -> Result<String>;
}

struct Echo;

impl Same for Echo {
    async fn text(&self, a: String, _b: Option<u8>) -> Result<String> {
        Ok(a)
    }
}

fuzz_target!(|data: &[u8]| {
    let Some(([seed], bytes)) = split_header(data) else {
        return;
    };
    if let Ok(found) = words(bytes) {
        let escape = |word: &String| word.replace('\\', r"\\").replace('"', "\\\"");
        let quoted: Vec<String> = found.iter().map(|w| format!("\"{}\"", escape(w))).collect();
        assert_eq!(words(quoted.join(" ").as_bytes()), Ok(found));
    }
    let object = <dyn DynSame>::object(Rc::new(Echo));
    let limits = ExposureLimits {
        request_bytes: 1000,
        ..ExposureLimits::default()
    };
    let build = |_| {
        let mut factory = LineFactory::new(&object, limits).expect("it can be said");
        factory.build_protocol(&Address::Unknown).expect("always")
    };
    same_however_cut(build, bytes, seed);
    let tester = Tester::new(build(Events::default()));
    tester.receive(bytes);
    let sent = tester.sent();
    assert!(sent.is_empty() || sent.ends_with(b"\r\n\r\n") || sent.starts_with(b"\r\n"));
});
