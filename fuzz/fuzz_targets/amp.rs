//! An AMP client's bytes: the same answers, however they are cut, and no box has two readings.

#![no_main]

use libfuzzer_sys::fuzz_target;
use std::rc::Rc;
use tress_core::{Address, Factory, Result};
use tress_fuzz::{check_strings, same_however_cut, split_header};
use tress_rpc::{
    ExposureLimits, Value,
    amp::{AmpBoxes, AmpFactory},
    interface,
};

/// Gives back what it is given.
#[interface(crate = "tress_rpc")]
trait Same {
    /// Numbers.
    #[name = "n"]
    async fn numbers(&self, a: i64, b: Option<f64>) -> Result<Vec<f64>>;
    /// Texts.
    #[name = "t"]
    async fn texts(&self, a: Vec<String>) -> Result<Vec<String>>;
    /// Anything.
    #[name = "v"]
    async fn value(&self, a: Value) -> Result<Value>;
}

struct Echo;

impl Same for Echo {
    async fn numbers(&self, a: i64, b: Option<f64>) -> Result<Vec<f64>> {
        Ok(vec![b.unwrap_or_default(); (a & 7) as usize])
    }

    async fn texts(&self, a: Vec<String>) -> Result<Vec<String>> {
        Ok(a)
    }

    async fn value(&self, a: Value) -> Result<Value> {
        Ok(a)
    }
}

fuzz_target!(|data: &[u8]| {
    let Some(([seed], bytes)) = split_header(data) else {
        return;
    };
    check_strings::<AmpBoxes>(1000, bytes, seed);
    let object = <dyn DynSame>::object(Rc::new(Echo));
    let limits = ExposureLimits {
        request_bytes: 1000,
        ..ExposureLimits::default()
    };
    let build = |_| {
        let mut factory = AmpFactory::new(&object, limits).expect("it can be said");
        factory.build_protocol(&Address::Unknown).expect("always")
    };
    same_however_cut(build, bytes, seed);
});
