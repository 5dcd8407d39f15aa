//! The binary `tress`.

fn main() -> std::process::ExitCode {
    tress_cli::main_with(&tress_cli::Registry::builtin())
}
