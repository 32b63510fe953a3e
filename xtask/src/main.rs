//! The project's own chores.
//!
//! ```text
//! cargo xtask kernel            rebuild crates/kernel/sluice.bpf.o
//! cargo xtask kernel --check    prove that it belongs to its source
//! ```

mod kernel;

use std::process::ExitCode;

const USAGE: &str = "usage: cargo xtask kernel [--check]";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let result = match args[..] {
        ["kernel"] => kernel::build(),
        ["kernel", "--check"] => kernel::check(),
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match result {
        Ok(message) => {
            println!("{message}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
