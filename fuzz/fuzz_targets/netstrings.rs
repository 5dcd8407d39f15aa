//! Netstrings: the same events, however the bytes are cut; one encoding for each string.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tress_core::framing::Netstring;
use tress_fuzz::{check_strings, split_header};

fuzz_target!(|data: &[u8]| {
    let Some(([longest, seed], bytes)) = split_header(data) else {
        return;
    };
    check_strings::<Netstring>(usize::from(longest) * 4, bytes, seed);
});
