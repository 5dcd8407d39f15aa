//! A PROXY header: any bytes are a header, the start of one, or none, and which of these does not change with more bytes.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tress_protocols::haproxy::{HEADER_BYTES_MAX, read_header};

fuzz_target!(|data: &[u8]| {
    let whole = read_header(data);
    for length in 0..data.len() {
        match read_header(&data[..length]) {
            Ok(None) => assert!(length < HEADER_BYTES_MAX),
            Ok(Some((proxied, used))) => {
                assert!(used <= length && used <= HEADER_BYTES_MAX);
                assert_eq!(whole, Ok(Some((proxied, used))));
                return;
            }
            Err(bad) => {
                assert_eq!(whole, Err(bad));
                return;
            }
        }
    }
});
