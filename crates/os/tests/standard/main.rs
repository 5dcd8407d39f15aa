//! Standard input and output as one connection, and the sockets that systemd passes: with real processes, which are this
//! program in another role.
#![expect(
    clippy::print_stderr,
    clippy::print_stdout,
    reason = "what a process prints is what is tested here"
)]

mod inherited;
mod io;
mod roles;
mod run;

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    process::ExitCode,
};

fn main() -> ExitCode {
    if let Some(role) = std::env::var_os(run::ROLE) {
        return roles::play(&role.to_string_lossy());
    }
    let filter = std::env::args().skip(1).find(|word| !word.starts_with('-'));
    let mut failed = 0;
    let mut passed = 0;
    for (name, test) in io::TESTS.iter().chain(inherited::TESTS) {
        if filter
            .as_ref()
            .is_some_and(|filter| !name.contains(&**filter))
        {
            continue;
        }
        let before = run::descriptors();
        let ended = catch_unwind(AssertUnwindSafe(|| {
            test();
            assert_eq!(run::descriptors(), before, "descriptors are left open");
        }));
        println!(
            "test {name} ... {}",
            if ended.is_ok() { "ok" } else { "FAILED" }
        );
        passed += usize::from(ended.is_ok());
        failed += usize::from(ended.is_err());
    }
    println!("\ntest result: {passed} passed; {failed} failed");
    ExitCode::from(u8::from(failed > 0))
}
