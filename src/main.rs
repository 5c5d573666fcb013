//! The door: parse, run one command, exit code.

use std::process::ExitCode;

use clap::Parser;
use mynah::cli::{Cli, Command};
use mynah::commands;

fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Serve(args) => commands::serve::run(args),
        Command::Config(args) => commands::config::run(args),
        Command::Chat(args) => commands::chat::run(args),
        Command::Bench(args) => commands::bench::run(args),
        Command::Ctl(args) => commands::ctl::run(args),
        Command::Account(args) => commands::account::run(args),
        Command::Top(args) => commands::top::run(args),
        Command::BenchFloor(args) => commands::bench::run_floor(args),
    }
}
