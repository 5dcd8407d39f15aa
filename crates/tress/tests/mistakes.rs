//! The mistakes that people make first, and what the compiler says to each: `mistakes/*.rs`, with the text beside it.
//! Holds no case itself. A changed text is accepted with `TRYBUILD=overwrite`, after reading it.

use std::{env, path::PathBuf, process::Command};
use tress::{SharedFactory, prelude::*};

/// The release whose words the texts are: others put the same in different ones.
const RELEASE: &str = env!("CARGO_PKG_RUST_VERSION");

#[test]
fn each_mistake_gets_an_error_that_helps() {
    let version = of_rustc(&["--version"]);
    if !version.starts_with(&format!("rustc {RELEASE}.")) {
        println!("skipped: the compiler's words are those of {RELEASE}, this is {version}");
        return;
    }
    let cases = trybuild::TestCases::new();
    cases.compile_fail("tests/mistakes/*.rs");
    #[cfg(feature = "rpc")]
    cases.compile_fail("tests/mistakes/interface/*.rs");
    // Where the compiler has the standard library's source, it shows it.
    if sysroot().join("lib/rustlib/src/rust").exists() {
        println!(
            "skipped: mistakes/shows_std: the component rust-src changes the compiler's words"
        );
    } else {
        cases.compile_fail("tests/mistakes/shows_std/*.rs");
    }
}

fn sysroot() -> PathBuf {
    of_rustc(&["--print", "sysroot"]).into()
}

/// A line that the compiler which cargo uses says of itself.
fn of_rustc(arguments: &[&str]) -> String {
    let compiler = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(compiler).args(arguments).output();
    let output = output.expect("there is a compiler").stdout;
    String::from_utf8_lossy(&output).trim_end().to_owned()
}

#[test]
fn what_the_errors_advise_compiles() {
    let one = || Deferred::succeed("1".to_owned());
    let results = [
        one().map(|text| text.len()),
        one().add_callback(|text| Ok(text.len())),
        one().add_callback(|text| Ok(text.parse::<usize>()?)),
        one().add_callback(|text| text.parse::<usize>().map_err(Failure::from)),
    ];
    for result in results {
        assert_eq!(result.try_result().expect("it has fired").ok(), Some(1));
    }

    struct Echo;
    impl Protocol for Echo {}
    struct Chat(Rc<Cell<u32>>);
    impl LineReceiver for Chat {
        fn line_received(&mut self, _: &LineTransport, _: &[u8]) -> Result {
            self.0.set(1);
            Ok(())
        }
    }
    let lines = Rc::new(Cell::new(0));
    drop([
        SharedFactory::new(|| Echo),
        SharedFactory::new(|_: &Address| Some(Echo)),
        SharedFactory::new(move || Lines::new(Chat(lines.clone()))),
        SharedFactory::new(ClientCallbacks::new(|| Echo)),
    ]);
}
