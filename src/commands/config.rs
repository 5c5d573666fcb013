//! `mynah config`: what there is to set, and what is set.

use std::io::{self, Write};
use std::process::ExitCode;

use crate::cli::{ConfigArgs, ConfigCommand};
use crate::config::{Merged, default_file};
use crate::journal;

/// Prints it on standard output (exit status 0). What is wrong with the configuration stands on standard error (78, as
/// `serve` would end), and so does why nothing could be printed (1).
pub fn run(args: ConfigArgs) -> ExitCode {
    let text = match args.command {
        ConfigCommand::Default => default_file(),
        ConfigCommand::Check(args) => match Merged::read(&args) {
            Ok(merged) => {
                for warning in &merged.warnings {
                    say(&format!("warning: {warning}"));
                }
                merged.show()
            }
            Err(error) => {
                say(&error.to_string());
                return ExitCode::from(78);
            }
        },
    };
    let mut stdout = io::stdout().lock();
    match stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush())
    {
        Ok(()) => ExitCode::SUCCESS,
        // Who reads only the first lines has what he wanted.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("cannot write: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// As `serve` says it: what a path or a value has in it does nothing to a terminal.
fn say(line: &str) {
    journal::tell_last(format_args!("{line}"));
}
