//! No call of a driver goes past the seam, as far as its name shows that it is one.

use std::{fs, path::Path};

/// What a system call looks like where it is made.
const CALLS: &[&str] = &[
    ".accept()",
    ".bind(&",
    ".connect(&",
    ".listen(",
    ".shutdown(",
    ".take_error()",
    ".peer_addr()",
    ".local_addr()",
    ".register(",
    ".reregister(",
    ".try_clone()",
    ".try_clone_to_owned()",
    ".set_permissions(",
    ".write_vectored(",
    ".recv_with_flags(",
    ".send_vectored_with_flags(",
    ".submit_and_wait(",
    ".submit()",
    ".read(&mut",
    "io::pipe",
    "pidfd_open(",
    "pidfd_send_signal(",
    "waitid(",
    "set_linger(",
    "set_tcp_nodelay(",
    "set_keepalive(",
    "set_reuse_address(",
    "File::open(",
    "Socket::new(",
    "libc::recv",
    "libc::send",
    "libc::eventfd(",
    "symlink(",
    "read_link(",
    "symlink_metadata(",
    "remove_file(",
    "recvmsg(stream",
    "sendmsg(stream",
];
/// Tests, and what is made on a thread of its own.
const PASSED: [&str; 3] = ["tests.rs", "pitfalls.rs", "resolver.rs"];
/// The seam is at most so many lines before the call, or after it.
const BEFORE: usize = 12;
const AFTER: usize = 2;

fn past_the_seam(text: &str) -> Vec<(usize, &str)> {
    let lines: Vec<&str> = text.lines().collect();
    let is_call = |line: &str| {
        let is_text = line.trim_start().starts_with("//") || line.contains("fn ");
        !is_text && CALLS.iter().any(|call| line.contains(call))
    };
    let is_seamed = |number: usize| {
        let last = (number + AFTER).min(lines.len() - 1);
        let near = &lines[number.saturating_sub(BEFORE)..=last];
        near.iter().any(|line| line.contains("seam::"))
    };
    let numbered = lines.iter().enumerate();
    numbered
        .filter(|(number, line)| is_call(line) && !is_seamed(*number))
        .map(|(number, line)| (number + 1, *line))
        .collect()
}

fn check(directory: &Path, found: &mut Vec<String>) {
    for entry in fs::read_dir(directory)
        .expect("the source is there")
        .flatten()
    {
        let path = entry.path();
        if path.is_dir() {
            check(&path, found);
        } else if !PASSED.iter().any(|name| path.ends_with(name)) {
            let text = fs::read_to_string(&path).expect("it is text");
            let text = text
                .split("#[cfg(test)]\nmod tests {")
                .next()
                .unwrap_or_default();
            for (line, call) in past_the_seam(text) {
                found.push(format!("{}:{line}: {}", path.display(), call.trim()));
            }
        }
    }
}

#[test]
fn no_call_goes_past_the_seam() {
    let mut found = Vec::new();
    check(
        &Path::new(env!("CARGO_MANIFEST_DIR")).join("src"),
        &mut found,
    );
    assert!(found.is_empty(), "without `seam`: {found:#?}");
}

#[test]
fn a_call_past_the_seam_is_found() {
    assert_eq!(past_the_seam("a\n  x.accept()\n"), [(2, "  x.accept()")]);
    assert_eq!(past_the_seam("seam::call(A, || x.accept())"), []);
    assert_eq!(past_the_seam("// x.accept()\nfn listen(at: u8) {"), []);
}
