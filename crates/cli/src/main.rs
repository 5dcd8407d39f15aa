//! The binary `tress`: the library with what is built in. Knows nothing else.

#![forbid(unsafe_code)]

fn main() -> std::process::ExitCode {
    tress_cli::main()
}
