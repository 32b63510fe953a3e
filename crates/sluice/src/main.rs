//! The program's entry: the command line in, the exit code out.

use clap::Parser;
use sluice::cli::Cli;
use sluice::error::Error;
use std::io::{self, BufWriter, ErrorKind, Write};
use std::process::ExitCode;

#[global_allocator]
static MEMORY: datapath::HugePages = datapath::HugePages;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let mut out = BufWriter::new(io::stdout().lock());
    let result = sluice::commands::run(cli.command, &mut out)
        .and_then(|code| out.flush().map(|()| code).map_err(Error::Output));
    match result {
        Ok(code) => code,
        // Whoever read has seen enough: `sluice sessions | head`.
        Err(Error::Output(error)) if error.kind() == ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            let _ = out.flush();
            eprintln!("sluice: {error}");
            error.exit_code()
        }
    }
}
