//! `tress` with quotes: the whole command line, and two kinds of provider and a protocol more.
//!
//! ```text
//! cargo run -p tress-quotes -- run examples/quotes/quotes.toml
//! ```

#![forbid(unsafe_code)]

fn main() -> std::process::ExitCode {
    tress_cli::main_with(&tress_quotes::registry())
}
