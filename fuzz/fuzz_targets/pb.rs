//! PB: a server's answers to any bytes do not depend on how they were cut, and after a close there are none. Plain values
//! and those of PB are read, and objects passed and given back.

#![no_main]

use libfuzzer_sys::fuzz_target;
use std::rc::Rc;
use tress_core::{Address, Deferred, Factory, testing::memory::Tester};
use tress_fuzz::{pieces, split_header};
use tress_rpc::{
    CallContext, ExposureLimits, Value, interface,
    pb::{PbArguments, PbFactory, PbObject, PbProtocol, PbValue, Referenceable},
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

/// The same, with everything that PB has, and itself.
struct Everything;

impl Referenceable for Everything {
    fn remote_message_received(
        self: Rc<Self>,
        _context: &CallContext,
        _method: &str,
        arguments: PbArguments,
    ) -> Deferred<PbValue> {
        let named = arguments.named.into_iter().map(|(_, value)| value);
        let mut values: Vec<PbValue> = arguments.positional.into_iter().chain(named).collect();
        for value in &values {
            value.clone().value().ok();
        }
        values.push(PbObject::from(self).into());
        Deferred::succeed(PbValue::List(values))
    }
}

fn server(object: PbObject) -> Tester<PbProtocol> {
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
    let object: PbObject = match seed % 2 {
        0 => (&<dyn DynEcho>::object(Rc::new(Same))).into(),
        _ => Rc::new(Everything).into(),
    };
    let (whole, cut) = (server(object.clone()), server(object));
    whole.receive(bytes);
    for piece in pieces(bytes, seed) {
        cut.receive(piece);
    }
    assert_eq!(whole.sent(), cut.sent());
    assert_eq!(whole.is_closed(), cut.is_closed());
});
