//! The `appproxy` program; the library says how it is built.

use std::process::ExitCode;

fn main() -> ExitCode {
    appproxy::cli::main()
}
