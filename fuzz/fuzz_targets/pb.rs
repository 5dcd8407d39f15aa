//! PB: a server's answers to any bytes do not depend on how they were cut, and after a close there are none.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tress_core::{Address, Factory, testing::memory::Tester};
use tress_fuzz::{pieces, split_header};
use tress_rpc::{
    ExposureLimits, Object, Value, interface,
    pb::{PbFactory, PbProtocol},
};

/// Gives back what it gets.
#[interface(crate = "tress_rpc")]
trait Echo {
    /// The same.
    async fn echo(&self, value: Value) -> tress_core::Result<Value>;
}

struct Same;

impl Echo for Same {
    async fn echo(&self, value: Value) -> tress_core::Result<Value> {
        Ok(value)
    }
}

fn server(object: &Object) -> Tester<PbProtocol> {
    let limits = ExposureLimits {
        request_bytes: 2048,
        ..ExposureLimits::default()
    };
    let mut factory = PbFactory::new(object, limits).classes(["a.B"]);
    let protocol = factory.build_protocol(&Address::Unknown);
    let tester = Tester::new(protocol.expect("it builds for everybody"));
    // Half of what is found lies behind the handshakes.
    tester.receive(b"\x02\x82pb\x02\x80\x13\x87\x06\x81");
    tester
}

fuzz_target!(|data: &[u8]| {
    let Some(([seed], bytes)) = split_header(data) else {
        return;
    };
    let object = <dyn DynEcho>::object(std::rc::Rc::new(Same));
    let (whole, cut) = (server(&object), server(&object));
    whole.receive(bytes);
    for piece in pieces(bytes, seed) {
        cut.receive(piece);
    }
    assert_eq!(whole.sent(), cut.sent());
    assert_eq!(whole.is_closed(), cut.is_closed());
});
