//! `mynah serve`: the server, from its flags to its end.

use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::ExitCode;

use crate::cli::ServeArgs;
use crate::config::{Listen, Settings};
use crate::journal;
use crate::protocol::registry::Protocol;
use crate::reactor::raise_descriptor_limit;
use crate::server::{self, AccountSettings, Door, House};
use crate::store;

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
    let doors: Result<Vec<Door>, String> = settings
        .listen
        .iter()
        .map(|listen| open(settings, listen))
        .collect();
    let doors = doors?;
    let accounts = match doors
        .iter()
        .any(|door| door.protocol() == Protocol::UdpLogin)
    {
        true => Some(accounts(settings)?),
        false => None,
    };
    let listening = listening(&doors);
    let house = House {
        limits: settings.limits,
        isolate: settings.isolate,
        accounts,
        mesh_name: crate::chat::Name::parse("mynah").map_err(|error| error.to_string())?,
    };
    let counters = server::run(doors, house, || announce(&listening))
        .map_err(|error| format!("the event loop failed: {error}"))?;
    log::info!("stopped: {counters}");
    Ok(())
}

fn open(_: &Settings, listen: &Listen) -> Result<Door, String> {
    let Listen { protocol, address } = *listen;
    let door = match (protocol, address) {
        (Protocol::UdpMesh, SocketAddr::V4(address)) => {
            Door::open_gateway(address, Ipv4Addr::BROADCAST)
        }
        (Protocol::UdpMesh, SocketAddr::V6(address)) => {
            return Err(format!(
                "cannot listen for udp-mesh on {address}: it broadcasts, which IPv6 does not have"
            ));
        }
        _ => Door::open(protocol, address),
    };
    let in_clear = matches!(protocol, Protocol::UdpRoom | Protocol::UdpLogin);
    if in_clear && !address.ip().is_loopback() {
        log::warn!(
            "{protocol} on {address}: names and passwords cross the network in clear, and anybody can send \
             in another's address"
        );
    }
    door.map_err(|error| error.to_string())
}

fn accounts(settings: &Settings) -> Result<AccountSettings, String> {
    let path = settings.data_dir.join(store::FILE_NAME);
    let loaded = store::load(&path).map_err(|error| error.to_string())?;
    Ok(AccountSettings {
        accounts: loaded.accounts,
        path,
        open: true,
        cost: store::HashCost::default(),
    })
}

/// A line for each socket.
fn listening(doors: &[Door]) -> Vec<u8> {
    let mut out = Vec::new();
    for door in doors {
        let protocol = door.protocol();
        let transport = protocol.transport();
        let _ = writeln!(out, "listening {protocol} {transport} {}", door.address());
    }
    out
}

/// Says on standard output where the server listens. Whoever started it may have closed its end of that:
/// no reason not to serve.
fn announce(listening: &[u8]) {
    let mut out = listening.to_vec();
    out.extend_from_slice(b"ready\n");
    let mut stdout = io::stdout().lock();
    if let Err(error) = stdout.write_all(&out).and_then(|()| stdout.flush()) {
        log::warn!("nobody was told where it listens: {error}");
    }
}
