//! `mynah serve`: the server, from its flags to its end.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use crate::cli::ServeArgs;
use crate::config::{Change, Listen, Merged, Registration, Reload, Service, Settings, changed};
use crate::journal::{self, Journal};
use crate::protocol::registry::{Protocol, Transport};
use crate::reactor::{
    DeadPeer, Inherited, give_back_code, give_back_free_memory, inherited, raise_descriptor_limit,
};
use crate::server::{
    self, About, AccountSettings, BanSettings, Caught, Door, House, OpenError, Place, Purpose,
    Reread, Revision, Terms, Wanted,
};
use crate::store::{self, Accounts, Lock, LockError};

/// `mynah account` has the data directory's lock for some tens of milliseconds, which is no reason not to start.
const LOCK_TRIES: u32 = 100;
const LOCK_PAUSE: Duration = Duration::from_millis(20);

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

/// Serves until a signal ends it (exit status 0). When it cannot (1; 78 where the configuration, the accounts' file or
/// what the service manager hands over are wrong), standard error says why.
pub fn run(args: ServeArgs) -> ExitCode {
    // Before anything else is opened: their numbers are all that tells them from other descriptors.
    let inherited = inherited();
    // And before anything that takes its time: who reloads a server that is about to start does not mean to end it.
    let caught = Caught::new();
    let parent = args.parent.map_or(Ok(()), super::parent::end_with);
    let result = parent
        .map_err(|error| Failure::Other(error.to_string()))
        .and_then(|()| {
            Merged::read(&args).map_err(|error| Failure::Configuration(error.to_string()))
        })
        .and_then(|merged| {
            let inherited = inherited.map_err(|error| {
                Failure::Configuration(format!("the sockets that were handed over: {error}"))
            })?;
            // What is logged until the end gets out.
            let journal = journal::start(merged.settings.log_level.clone())
                .map_err(|error| Failure::Other(format!("cannot start the log: {error}")))?;
            tell_of(&merged);
            let journal = Arc::new(journal);
            let caught = caught
                .map_err(|error| Failure::Other(format!("signals cannot be caught: {error}")))?;
            let served = serve(args, &merged, inherited, caught, &journal);
            // Whoever reads a file that nobody answers for has it still.
            journal.flush();
            served
        });
    let (reason, status) = match result {
        Ok(()) => return ExitCode::SUCCESS,
        Err(Failure::Configuration(reason)) => (reason, 78),
        Err(Failure::Other(reason)) => (reason, 1),
    };
    journal::tell_last(format_args!("{reason}"));
    ExitCode::from(status)
}

/// What there is to say about where the settings come from.
fn tell_of(merged: &Merged) {
    for warning in &merged.warnings {
        log::warn!("{warning}");
    }
    match &merged.file {
        Some(path) => log::debug!("configuration: {}", path.display()),
        None => log::debug!("configuration: no file"),
    }
}

fn serve(
    args: ServeArgs,
    merged: &Merged,
    inherited: Vec<Inherited>,
    caught: Caught,
    journal: &Arc<Journal>,
) -> Result<(), Failure> {
    match raise_descriptor_limit() {
        Ok(limit) => log::debug!("up to {limit} descriptors"),
        Err(error) => log::warn!("the descriptor limit stays as it is: {error}"),
    }
    let settings = &merged.settings;
    log::debug!("data directory: {}", settings.data_dir.display());
    let mut doors = Vec::new();
    for one in inherited {
        doors.push(hand_over(one, settings)?);
    }
    let handed: Vec<(Purpose, Place)> = doors
        .iter()
        .map(|door| (door.purpose(), door.place().clone()))
        .collect();
    let mut terms = terms(settings, merged, &handed).map_err(Failure::Other)?;
    let wanted = terms.doors.iter().map(Wanted::purpose);
    let mut purposes = wanted.chain(handed.iter().map(|(purpose, _)| *purpose));
    let logs_in = purposes.any(|purpose| purpose == Purpose::Chat(Protocol::UdpLogin));
    // The file's own are counted where it is read; with those that were handed over there may be too many.
    let wanted = terms.doors.iter().map(Wanted::purpose);
    let purposes = wanted.chain(handed.iter().map(|(purpose, _)| *purpose));
    let ports = purposes.filter(|one| one.transport() == Transport::Udp);
    let ports = ports.count();
    if ports > server::MAX_PORTS {
        return Err(Failure::Configuration(format!(
            "{ports} UDP ports, those that were handed over among them, and there may be {}",
            server::MAX_PORTS
        )));
    }
    warn_of_tokens(&terms.doors, &handed);
    // Kept until the end.
    let lock = match (logs_in, settings.control_path()) {
        (true, _) => lock(&settings.data_dir)?,
        (false, Some(_)) => lock_if_free(&settings.data_dir),
        (false, None) => None,
    };
    terms
        .doors
        .extend(control(settings, lock.is_some(), &handed));
    let accounts = load_accounts(settings)?;
    log::debug!("{} accounts", accounts.len());
    let bans = BanSettings {
        bans: store::load_bans(&settings.bans_path())
            .map_err(|error| Failure::Configuration(error.to_string()))?,
        path: lock.as_ref().map(|_| settings.bans_path()),
    };
    for wanted in &terms.doors {
        match open(wanted, terms.rules.limits.dead_peer) {
            Ok(door) => doors.push(door),
            Err(error) if wanted.is_optional() => {
                log::warn!("{error}; `mynah ctl` does not reach this server");
            }
            Err(error) => return Err(Failure::Other(error.to_string())),
        }
    }
    let listening = listening(&doors);
    let about = About {
        version: crate::version::VERSION.to_owned(),
        data_dir: settings.data_dir.display().to_string(),
    };
    let house = House {
        terms,
        isolate: settings.isolate,
        accounts: Some(AccountSettings {
            accounts,
            path: settings.accounts_path(),
            served: logs_in,
            kept: lock.is_some(),
            open: settings.registration == Registration::Open,
            cost: settings.hash_cost,
        }),
        bans,
        about,
        reread: Some(reread(
            args,
            merged.clone(),
            lock.is_some(),
            handed,
            journal,
        )),
    };
    // What is needed from here on is needed for long.
    give_back_free_memory();
    let ready = || {
        announce(&listening);
        give_back_code();
    };
    // Until the end.
    let _lock = lock;
    let counters = server::run(doors, house, caught, ready)
        .map_err(|error| Failure::Other(format!("the event loop failed: {error}")))?;
    log::info!("stopped: {counters}");
    Ok(())
}

/// A door that the service manager has opened.
fn hand_over(inherited: Inherited, settings: &Settings) -> Result<Door, Failure> {
    let mesh = (settings.mesh.broadcast, settings.mesh.name.clone());
    let door = Door::of_inherited(inherited, settings.limits.dead_peer, mesh);
    door.map_err(|error| Failure::Configuration(error.to_string()))
}

/// What is named gets both halves; what is handed over may be one alone.
fn warn_of_tokens(wanted: &[Wanted], handed: &[(Purpose, Place)]) {
    let wanted = wanted.iter().map(Wanted::purpose);
    let purposes = wanted.chain(handed.iter().map(|(purpose, _)| *purpose));
    let purposes: Vec<Purpose> = purposes.collect();
    let is_there = |protocol| purposes.contains(&Purpose::Chat(protocol));
    if is_there(Protocol::Tcrp) && !is_there(Protocol::Ucrp) {
        log::warn!(
            "tcrp without ucrp: nobody can show the tokens that are given out there; hand over a socket for ucrp, too, or \
             name one in `listen`"
        );
    }
}

/// How the configuration is read again: by the same flags, and compared with what is in force.
fn reread(
    args: ServeArgs,
    merged: Merged,
    has_folder: bool,
    handed: Vec<(Purpose, Place)>,
    journal: &Arc<Journal>,
) -> Reread {
    let in_force = Arc::new(Mutex::new(merged));
    let journal = Arc::clone(journal);
    Reread::new(move || {
        let running = lock_merged(&in_force).clone();
        let mut merged = Merged::read_again(&args, &running).map_err(|error| error.to_string())?;
        let running = running.settings;
        let changes = changed(&running, &merged.settings);
        let settings = merged.settings.clone().as_reloaded(&running);
        let mut terms = terms(&settings, &merged, &handed)?;
        terms.doors.extend(control(&settings, has_folder, &handed));
        let (in_force, journal) = (Arc::clone(&in_force), Arc::clone(&journal));
        Ok(Revision {
            terms,
            changes: changes.iter().map(Change::to_string).collect(),
            in_force: Box::new(move || {
                // Whoever lowers the level hears of it, and whoever raises it.
                journal.set_filter(settings.log_level.louder(&running.log_level));
                tell_of(&merged);
                tell_changes(&changes);
                journal.set_filter(settings.log_level.clone());
                merged.settings = settings;
                *lock_merged(&in_force) = merged;
            }),
        })
    })
}

fn lock_merged(merged: &Mutex<Merged>) -> MutexGuard<'_, Merged> {
    merged.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A line for each.
fn tell_changes(changes: &[Change]) {
    for change in changes {
        match change.reload() {
            Reload::Now | Reload::NewConnections => log::info!("reloaded: {change}"),
            Reload::Restart => log::warn!("not reloaded: {change}"),
        }
    }
    if changes.is_empty() {
        log::info!("reloaded: nothing has changed");
    }
}

/// What the settings say that a reload may change. Where sockets were handed over, only those are opened besides that
/// somebody has named and that are not among them.
fn terms(settings: &Settings, said: &Merged, handed: &[(Purpose, Place)]) -> Result<Terms, String> {
    let mut doors = Vec::new();
    for listen in &settings.listen {
        if handed.is_empty() || said.names(listen.service) {
            doors.push(wanted(listen, settings)?);
        }
    }
    doors.retain(|door| !handed.contains(&(door.purpose(), door.place())));
    Ok(Terms {
        doors,
        ..settings.terms()
    })
}

/// The door of `mynah ctl`, if there is to be one. That in the data directory is of the server that has the directory,
/// and one that was handed over is enough.
fn control(settings: &Settings, has_folder: bool, handed: &[(Purpose, Place)]) -> Option<Wanted> {
    let asked = settings.control.is_some();
    let is_handed = handed
        .iter()
        .any(|(purpose, _)| *purpose == Purpose::Control);
    let path = settings
        .control_path()
        .filter(|_| asked || has_folder && !is_handed)?;
    let wanted = Wanted::Control { path, asked };
    (!handed.contains(&(Purpose::Control, wanted.place()))).then_some(wanted)
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

/// Opens a door. Two servers that begin in one folder at once get their control sockets one after the other.
fn open(wanted: &Wanted, dead_peer: DeadPeer) -> Result<Door, OpenError> {
    for _ in 0..LOCK_TRIES {
        match wanted.open(dead_peer) {
            Err(error) if error.error.kind() == io::ErrorKind::ResourceBusy => {
                thread::sleep(LOCK_PAUSE);
            }
            result => return result,
        }
    }
    wanted.open(dead_peer)
}

/// Takes the data directory for this server alone. Where it cannot be made, nobody can register, which is no
/// reason not to serve.
fn lock(data_dir: &Path) -> Result<Option<Lock>, Failure> {
    let mut tries = LOCK_TRIES;
    loop {
        match Lock::take(data_dir) {
            Ok(lock) => return Ok(Some(lock)),
            Err(LockError::Held { .. }) if tries > 0 => {
                tries -= 1;
                thread::sleep(LOCK_PAUSE);
            }
            Err(error @ LockError::Held { .. }) => return Err(Failure::Other(error.to_string())),
            Err(error @ LockError::Refused { .. }) => {
                log::warn!("{error}: nobody can register");
                return Ok(None);
            }
        }
    }
}

/// The same where nobody can log in. Several such servers may have one data directory: the first has it to itself, and
/// is the one that `mynah ctl` finds there.
fn lock_if_free(data_dir: &Path) -> Option<Lock> {
    match Lock::take(data_dir) {
        Ok(lock) => Some(lock),
        Err(LockError::Held { folder }) => {
            log::info!(
                "{}: another server keeps its accounts and bans there, and has its control socket there",
                folder.display()
            );
            None
        }
        Err(error @ LockError::Refused { .. }) => {
            log::warn!("{error}: bans last as long as this server");
            None
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

/// A line for each socket that people come to from elsewhere. Where the control socket is, the log says.
fn listening(doors: &[Door]) -> Vec<u8> {
    let mut out = Vec::new();
    for door in doors {
        let line = line_of(door);
        if door.purpose() == Purpose::Control {
            log::debug!("listening {line}");
            continue;
        }
        let _ = writeln!(out, "listening {line}");
    }
    out
}

/// What a socket is for, what carries it, and where it is.
fn line_of(door: &Door) -> String {
    let (purpose, place) = (door.purpose(), door.place());
    let carrier = match (purpose, place) {
        (_, Place::Path(_)) => "unix".to_owned(),
        (Purpose::Chat(protocol), _) => protocol.transport().to_string(),
        _ => Transport::Tcp.to_string(),
    };
    format!("{purpose} {carrier} {place}")
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
