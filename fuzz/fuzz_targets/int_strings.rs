//! Strings after a length of one, two or four bytes: the same events, however the bytes are cut.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tress_core::framing::Prefix;
use tress_fuzz::{check_strings, split_header};

fuzz_target!(|data: &[u8]| {
    let Some(([width, longest, seed], bytes)) = split_header(data) else {
        return;
    };
    let longest = usize::from(longest) * 4;
    match width % 3 {
        0 => check_strings::<Prefix<4>>(longest, bytes, seed),
        1 => check_strings::<Prefix<2>>(longest, bytes, seed),
        _ => check_strings::<Prefix<1>>(longest, bytes, seed),
    }
});
