//! `mynah top`: finds out whom to ask, and hands it to the view.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use super::place::whereabouts;
use crate::cli::{ServeArgs, TopArgs};
use crate::top::{self, Settings, Source};

/// Watches until somebody leaves (exit status 0). When it cannot (1; 78 where the configuration is wrong, 2 where it
/// has no control socket), standard error says why.
pub fn run(args: TopArgs) -> ExitCode {
    let TopArgs {
        target,
        interval,
        once,
        control,
        data_dir,
        config,
    } = args;
    let source = match (target, control) {
        (Some(source), _) => source,
        (None, Some(path)) => Source::Control(path),
        (None, None) => match control_socket(config, data_dir) {
            Ok(path) => Source::Control(path),
            Err(failure) => return failure,
        },
    };
    let settings = Settings {
        source,
        interval,
        once,
    };
    match top::run(settings) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => fail(&failure.to_string(), 1),
    }
}

/// Where the server that is started with the same settings has its control socket.
fn control_socket(config: Option<PathBuf>, data_dir: Option<PathBuf>) -> Result<PathBuf, ExitCode> {
    let args = ServeArgs {
        config,
        data_dir,
        ..ServeArgs::default()
    };
    let settings = whereabouts(&args, false).map_err(|error| fail(&error, 78))?;
    settings.control_path().ok_or_else(|| {
        let none =
            "the configuration has no control socket; name the metrics socket, as 127.0.0.1:9464";
        fail(none, 2)
    })
}

fn fail(reason: &str, status: u8) -> ExitCode {
    // Standard error may be closed, which changes nothing.
    let _ = writeln!(io::stderr(), "mynah: {reason}");
    ExitCode::from(status)
}
