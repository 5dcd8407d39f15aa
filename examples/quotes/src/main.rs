//! `tress` with quotes: the whole command line, and two kinds of provider and a protocol more.
//!
//! ```text
//! cargo run -p tress-quotes -- run examples/quotes/quotes.toml
//! ```

#![forbid(unsafe_code)]

use tress_quotes as _; // its plug-ins register themselves

fn main() -> std::process::ExitCode {
    tress_cli::main()
}
