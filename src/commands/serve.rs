//! `mynah serve`: the server, from its flags to its end.

use std::io::{self, Write};
use std::process::ExitCode;

use crate::cli::ServeArgs;
use crate::config::Settings;
use crate::journal;
use crate::reactor::raise_descriptor_limit;
use crate::server::{self, Door};

/// Serves until a signal ends it (exit status 0). When it cannot (1), standard error says why.
pub fn run(args: ServeArgs) -> ExitCode {
    let settings = Settings::of_serve(args);
    // Dropped last: what is logged until then gets out.
    let journal = journal::start(settings.log_level);
    let result = match &journal {
        Ok(_) => serve(&settings),
        Err(error) => Err(format!("cannot start the log: {error}")),
    };
    drop(journal);
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            // Standard error may be closed, which changes nothing.
            let _ = writeln!(io::stderr(), "mynah: {reason}");
            ExitCode::FAILURE
        }
    }
}

fn serve(settings: &Settings) -> Result<(), String> {
    match raise_descriptor_limit() {
        Ok(limit) => log::debug!("up to {limit} descriptors"),
        Err(error) => log::warn!("the descriptor limit stays as it is: {error}"),
    }
    log::debug!("data directory: {}", settings.data_dir.display());
    let mut doors = Vec::new();
    for listen in &settings.listen {
        let door = Door::open(listen.protocol, listen.address);
        doors.push(door.map_err(|error| error.to_string())?);
    }
    let counters = server::run(doors, settings.limits, settings.isolate, announce)
        .map_err(|error| format!("the event loop failed: {error}"))?;
    log::info!("stopped: {counters}");
    Ok(())
}

/// Says on standard output where the server listens. Whoever started it may have closed its end of that:
/// no reason not to serve.
fn announce(doors: &[Door]) {
    let mut out = Vec::new();
    for door in doors {
        let protocol = door.protocol();
        let transport = protocol.transport();
        let _ = writeln!(out, "listening {protocol} {transport} {}", door.address());
    }
    out.extend_from_slice(b"ready\n");
    let mut stdout = io::stdout().lock();
    if let Err(error) = stdout.write_all(&out).and_then(|()| stdout.flush()) {
        log::warn!("nobody was told where it listens: {error}");
    }
}
