//! Owns where the commands of an administrator find the server they are for: by its own configuration, read as it
//! reads it.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::control::AskError;
use crate::cli::{PlaceArgs, ServeArgs};
use crate::config::{Settings, Whereabouts};
use crate::control::{ErrorKind, Last};

/// Why something was not done.
#[derive(Debug)]
pub enum Failure {
    /// The command line is wrong. Exit status 2.
    Usage(String),
    /// There is nobody, nothing of that name. Exit status 3.
    Nobody(String),
    /// The configuration is wrong. Exit status 78, as of `serve`.
    Configuration(String),
    /// Anything else. Exit status 1.
    Other(String),
}

/// What the server is set to; of a configuration that is wrong, what is right in it and says where the server is, which is
/// told. With `surely` no guess is good enough, for something that is to be changed there.
pub fn settings(place: &PlaceArgs, surely: bool) -> Result<Settings, Failure> {
    // Where it is said where the server is, nothing else is needed to find it.
    if let (Some(control), None, None) = (&place.control, &place.config, &place.data_dir) {
        return Ok(Settings {
            control: Some(absolute(control)),
            ..Settings::default()
        });
    }
    let args = ServeArgs {
        config: place.config.clone(),
        data_dir: place.data_dir.clone(),
        ..ServeArgs::default()
    };
    let mut settings = whereabouts(&args, surely).map_err(Failure::Configuration)?;
    if let Some(control) = &place.control {
        settings.control = Some(absolute(control));
    }
    Ok(settings)
}

/// The same, or what is wrong.
pub fn whereabouts(args: &ServeArgs, surely: bool) -> Result<Settings, String> {
    let Whereabouts {
        settings,
        wrong,
        is_sure,
    } = Whereabouts::read(args)
        .map_err(|error| format!("{error}; --control PATH finds a server without it"))?;
    let Some(error) = wrong else {
        return Ok(settings);
    };
    if surely && !is_sure {
        return Err(format!(
            "{error}; --data-dir DIR says where the accounts are"
        ));
    }
    let data = settings.data_dir.display();
    // Standard error may be closed, which changes nothing.
    let _ = writeln!(
        io::stderr(),
        "mynah: {error}; going by the rest, with the data directory {data}"
    );
    Ok(settings)
}

/// A flag is as seen from here, where what stands in the configuration is as seen from the data directory.
fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.into())
}

/// Says why, and ends.
pub fn end(result: Result<(), Failure>) -> ExitCode {
    let (reason, status) = match result {
        Ok(()) => return ExitCode::SUCCESS,
        Err(Failure::Other(reason)) => (reason, 1),
        Err(Failure::Usage(reason)) => (reason, 2),
        Err(Failure::Nobody(reason)) => (reason, 3),
        Err(Failure::Configuration(reason)) => (reason, 78),
    };
    // Standard error may be closed, which changes nothing.
    let _ = writeln!(io::stderr(), "mynah: {reason}");
    ExitCode::from(status)
}

impl From<AskError> for Failure {
    fn from(error: AskError) -> Failure {
        Failure::Other(error.to_string())
    }
}

/// What the server says to it, as a failure if it is one.
pub fn done(last: Last) -> Result<Last, Failure> {
    let Some(error) = last.error else {
        return Ok(last);
    };
    Err(match last.kind {
        Some(ErrorKind::Nobody) => Failure::Nobody(error),
        Some(ErrorKind::Request) => Failure::Usage(error),
        _ => Failure::Other(error),
    })
}
