//! An XML-RPC call: it is read or refused, never deeper than the limit, and a shorter limit changes nothing but that.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tress_fuzz::split_header;
use tress_rpc::{Value, http::xmlrpc::MethodCall};

fuzz_target!(|data: &[u8]| {
    let Some(([nesting], bytes)) = split_header(data) else {
        return;
    };
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let nesting = usize::from(nesting % 8);
    let Ok(call) = MethodCall::read(text, nesting) else {
        return;
    };
    let depth = call.arguments.iter().map(Value::depth).max();
    assert!(depth.unwrap_or(0) <= nesting);
    // No number in it is not one: it compares with itself.
    assert_eq!(MethodCall::read(text, 100), Ok(call));
});
