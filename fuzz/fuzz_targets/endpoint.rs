//! Endpoint strings: what is printed is read back as the same, and any text is one part when it is quoted.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tress_core::{
    endpoint::{EndpointSpec, Side, quote},
    testing::memory::Table,
};

thread_local! {
    static TABLE: Table = Table::new();
}

fuzz_target!(|text: &str| {
    if let Ok(spec) = EndpointSpec::parse(text) {
        assert_eq!(EndpointSpec::parse(&spec.to_string()), Ok(spec));
    }
    TABLE.with(|table| {
        for side in [Side::Server, Side::Client] {
            // Whatever it says of them: the built-in kinds only look.
            drop(table.reactor().check_endpoint(text, side));
        }
    });
    let quoted = quote(text);
    let spec = EndpointSpec::parse(&format!("kind:{quoted}:{quoted}={quoted}")).expect("quoted");
    assert_eq!(spec.arguments, [text]);
    assert_eq!(spec.options, [(text.to_owned(), text.to_owned())]);
});
