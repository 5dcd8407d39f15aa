//! Lines of JSON-RPC: the same answers, however they are cut, and what is answered is JSON, whatever came.

#![no_main]

use libfuzzer_sys::fuzz_target;
use std::rc::Rc;
use tress_core::{Address, Factory, Result, testing::memory::Tester};
use tress_fuzz::{Events, same_however_cut, split_header};
use tress_rpc::{ExposureLimits, Value, interface, jsonrpc::JsonRpcLines};

/// Gives back what it is given.
#[interface(crate = "tress_rpc")]
trait Same {
    /// Anything.
    #[name = "v"]
    async fn value(&self, a: Option<Value>) -> Result<Option<Value>>;
}

struct Echo;

impl Same for Echo {
    async fn value(&self, a: Option<Value>) -> Result<Option<Value>> {
        Ok(a)
    }
}

fuzz_target!(|data: &[u8]| {
    let Some(([seed], bytes)) = split_header(data) else {
        return;
    };
    let object = <dyn DynSame>::object(Rc::new(Echo));
    let limits = ExposureLimits {
        request_bytes: 1000,
        nesting: 9,
        batch: 9,
        ..ExposureLimits::default()
    };
    let build = |_| {
        let mut factory = JsonRpcLines::new(&object, limits);
        factory.build_protocol(&Address::Unknown).expect("always")
    };
    same_however_cut(build, bytes, seed);
    let tester = Tester::new(build(Events::default()));
    tester.receive(bytes);
    for line in tester.sent().split_inclusive(|byte| *byte == b'\n') {
        serde_json::from_slice::<serde_json::Value>(line).expect("every answer is JSON");
    }
});
