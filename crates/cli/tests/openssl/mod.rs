//! openssl's client, which nobody here wrote.

use std::{
    io::Write,
    process::{Command, Stdio},
};

/// What openssl is answered over TLS; none, and a word of it, where there is no openssl.
#[expect(clippy::print_stdout, reason = "a test that was skipped must say so")]
pub(crate) fn ask_over_tls(at: &str, request: &[u8]) -> Option<Vec<u8>> {
    let asked = Command::new("openssl")
        .args(["s_client", "-quiet", "-connect", at])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn();
    let Ok(mut asked) = asked else {
        println!("skipped: there is no openssl to ask");
        return None;
    };
    asked.stdin.as_mut().unwrap().write_all(request).unwrap();
    Some(asked.wait_with_output().unwrap().stdout)
}
