//! `mynah serve`: the server, from its flags to its end.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;

use crate::cli::ServeArgs;
use crate::config::{Listen, Merged, Registration, Service, Settings};
use crate::journal;
use crate::protocol::registry::{Protocol, Transport};
use crate::reactor::{give_back_code, give_back_free_memory, raise_descriptor_limit};
use crate::server::{self, AccountSettings, Door, House, Place, Purpose, Terms, Wanted};
use crate::store::{self, Accounts, Lock, LockError};

/// So many accounts that nobody can use are named in the log.
const DENIED_TOLD: usize = 10;

/// Why there is no serving.
enum Failure {
    /// Something that a person has to put right: EX_CONFIG of sysexits.h, which service managers can be told
    /// not to try again after. Exit status 78.
    Configuration(String),
    /// Anything else. Exit status 1.
    Other(String),
}

/// Serves until a signal ends it (exit status 0). When it cannot (1; 78 where the configuration or the
/// accounts' file are wrong), standard error says why.
pub fn run(args: ServeArgs) -> ExitCode {
    let parent = args.parent.map_or(Ok(()), super::parent::end_with);
    let result = parent
        .map_err(|error| Failure::Other(error.to_string()))
        .and_then(|()| {
            Merged::read(&args).map_err(|error| Failure::Configuration(error.to_string()))
        })
        .and_then(|merged| {
            // Dropped last: what is logged until then gets out.
            let _journal = journal::start(merged.settings.log_level.clone())
                .map_err(|error| Failure::Other(format!("cannot start the log: {error}")))?;
            for warning in &merged.warnings {
                log::warn!("{warning}");
            }
            match &merged.file {
                Some(path) => log::debug!("configuration: {}", path.display()),
                None => log::debug!("configuration: no file"),
            }
            serve(&merged.settings)
        });
    let (reason, status) = match result {
        Ok(()) => return ExitCode::SUCCESS,
        Err(Failure::Configuration(reason)) => (reason, 78),
        Err(Failure::Other(reason)) => (reason, 1),
    };
    journal::tell_last(format_args!("{reason}"));
    ExitCode::from(status)
}

fn serve(settings: &Settings) -> Result<(), Failure> {
    match raise_descriptor_limit() {
        Ok(limit) => log::debug!("up to {limit} descriptors"),
        Err(error) => log::warn!("the descriptor limit stays as it is: {error}"),
    }
    log::debug!("data directory: {}", settings.data_dir.display());
    let logs_in = |listen: &Listen| listen.service == Service::Chat(Protocol::UdpLogin);
    // Kept until the end.
    let _lock = match settings.listen.iter().any(logs_in) {
        true => lock(&settings.data_dir)?,
        false => None,
    };
    let accounts = load_accounts(settings)?;
    let terms = terms(settings).map_err(Failure::Other)?;
    let mut doors = Vec::new();
    for wanted in &terms.doors {
        let door = wanted.open(terms.limits.dead_peer);
        doors.push(door.map_err(|error| Failure::Other(error.to_string()))?);
        warn_of(wanted);
    }
    let listening = listening(&doors);
    let house = House {
        terms,
        isolate: settings.isolate,
        accounts: Some(AccountSettings {
            accounts,
            path: settings.accounts_path(),
            served: settings.listen.iter().any(logs_in),
            open: settings.registration == Registration::Open,
            cost: settings.hash_cost,
        }),
        reread: None,
    };
    // What is needed from here on is needed for long.
    give_back_free_memory();
    let ready = || {
        announce(&listening);
        give_back_code();
    };
    let counters = server::run(doors, house, ready)
        .map_err(|error| Failure::Other(format!("the event loop failed: {error}")))?;
    log::info!("stopped: {counters}");
    Ok(())
}

/// What the settings say that a reload may change.
fn terms(settings: &Settings) -> Result<Terms, String> {
    let wanted = settings
        .listen
        .iter()
        .map(|listen| wanted(listen, settings));
    let access = settings.access.iter();
    Ok(Terms {
        doors: wanted.collect::<Result<Vec<Wanted>, String>>()?,
        limits: settings.limits,
        advertise: settings.advertise,
        welcome: settings.welcome.clone(),
        access: access
            .map(|(service, access)| (purpose(*service), access.clone()))
            .collect(),
        drain_timeout: settings.drain_timeout,
    })
}

fn purpose(service: Service) -> Purpose {
    match service {
        Service::Chat(protocol) => Purpose::Chat(protocol),
        Service::Metrics => Purpose::Metrics,
    }
}

/// The door that somebody wants to be listened at.
fn wanted(listen: &Listen, settings: &Settings) -> Result<Wanted, String> {
    let Listen { service, address } = *listen;
    match (service, address) {
        (Service::Metrics, address) => Ok(Wanted::Metrics { address }),
        (Service::Chat(Protocol::UdpMesh), SocketAddr::V4(address)) => Ok(Wanted::Gateway {
            address,
            broadcast: settings.mesh.broadcast,
            name: settings.mesh.name.clone(),
        }),
        (Service::Chat(Protocol::UdpMesh), SocketAddr::V6(address)) => Err(format!(
            "cannot listen for udp-mesh on {address}: it broadcasts, which IPv6 does not have"
        )),
        (Service::Chat(protocol), address) => Ok(Wanted::Chat { protocol, address }),
    }
}

/// Has the log told of what a door lets everybody do who can reach it.
fn warn_of(wanted: &Wanted) {
    let Some(address) = wanted.place().address() else {
        return;
    };
    if address.ip().is_loopback() {
        return;
    }
    match wanted.purpose() {
        Purpose::Chat(Protocol::UdpRoom) => log::warn!(
            "udp-room on {address}: nobody there can prove who he is, and what is said crosses the network in clear"
        ),
        Purpose::Chat(Protocol::UdpLogin) => log::warn!(
            "udp-login on {address}: what is said, passwords too, crosses the network in clear"
        ),
        Purpose::Metrics => log::warn!(
            "metrics on {address}: everybody who can reach it reads the figures, without a password and in clear"
        ),
        _ => {}
    }
}

/// Takes the data directory for this server alone. Where it cannot be made, nobody can register, which is no
/// reason not to serve.
fn lock(data_dir: &Path) -> Result<Option<Lock>, Failure> {
    match Lock::take(data_dir) {
        Ok(lock) => Ok(Some(lock)),
        Err(error @ LockError::Held { .. }) => Err(Failure::Other(error.to_string())),
        Err(error @ LockError::Refused { .. }) => {
            log::warn!("{error}: nobody can register");
            Ok(None)
        }
    }
}

/// The accounts of the data directory. A file that cannot be read to its last byte is no reason to serve
/// without accounts: every name in it could be taken by anybody.
fn load_accounts(settings: &Settings) -> Result<Accounts, Failure> {
    let path = settings.accounts_path();
    let loaded = store::load(&path).map_err(|error| Failure::Configuration(error.to_string()))?;
    if loaded.is_exposed() {
        let mode = loaded.mode.unwrap_or_default();
        let path = path.display();
        log::warn!("{path}: others can read it (mode {mode:04o}) until the next registration");
    }
    let plain = loaded.accounts.plain_left();
    if plain > 0 {
        log::warn!("{}: {plain} passwords are in plain", path.display());
    }
    let denied = loaded.accounts.denied();
    let more = denied.len().saturating_sub(DENIED_TOLD);
    for denied in denied.take(DENIED_TOLD) {
        let path = path.display();
        log::warn!("{path}: the account is kept and nobody can use it: {denied}");
    }
    if more > 0 {
        log::warn!(
            "{}: {more} more accounts that nobody can use",
            path.display()
        );
    }
    Ok(loaded.accounts)
}

/// A line for each socket.
fn listening(doors: &[Door]) -> Vec<u8> {
    let mut out = Vec::new();
    for door in doors {
        let (purpose, place) = (door.purpose(), door.place());
        let carrier = match (purpose, place) {
            (_, Place::Path(_)) => "unix".to_owned(),
            (Purpose::Chat(protocol), _) => protocol.transport().to_string(),
            _ => Transport::Tcp.to_string(),
        };
        let _ = writeln!(out, "listening {purpose} {carrier} {place}");
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
