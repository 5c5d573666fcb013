//! `mynah account`: has the server that runs on the data directory change its accounts, or changes their file where
//! none runs.
//!
//! Who has the directory's lock writes the file, the server or this, so that neither undoes what the other has
//! confirmed. While a server starts or stops it has the lock and no socket, so both are tried until one is there.

mod password;

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use super::control::{self, AskError};
use super::ctl::{Shown, socket};
use super::place::{self, Failure};
use crate::chat::Name;
use crate::cli::{AccountArgs, AccountCommand};
use crate::config::Settings;
use crate::control::{AccountLine, ErrorKind, Last, Request, Row, encode_row};
use crate::store::{self, Accounts, HashCost, InsertError, Lock, LockError, Password, Phc};

/// How long a server that has the lock may take to open or close its socket.
const PATIENCE: Duration = Duration::from_secs(10);

/// And how long until it is looked at again.
const PAUSE: Duration = Duration::from_millis(20);

/// Changes an account, or shows all. Exit status 0 if it was done, 1 if not, 2 if the command line is wrong, 3 if there is
/// no such account.
pub fn run(args: AccountArgs) -> ExitCode {
    place::end(account(args))
}

fn account(args: AccountArgs) -> Result<(), Failure> {
    let settings = place::settings(&args.place, true)?;
    let (request, word) = request(args.command)?;
    let mut shown = Shown::new(args.json);
    let last = match &args.place.control {
        // Whoever names a server means that one.
        Some(_) => ask(&socket(&settings)?, &request, &mut shown)?,
        None => by_whoever_has_the_lock(&settings, &request, &mut shown)?,
    };
    let last = place::done(last)?;
    let text = match (args.json, &request) {
        (false, Request::Accounts) | (true, _) => shown.finish(&request, &last),
        (false, _) => match &last.note {
            Some(note) => format!("{word}; {note}\n"),
            None => format!("{word}\n"),
        },
    };
    // Who reads no more has what it wanted.
    let _ = io::stdout().lock().write_all(text.as_bytes());
    Ok(())
}

/// What is asked for, and what is said when it is done.
fn request(command: AccountCommand) -> Result<(Request, String), Failure> {
    Ok(match command {
        AccountCommand::Add {
            name,
            password_file,
        } => {
            let word = format!("{name} has an account");
            let password = password::read(password_file.as_deref())?;
            (Request::AccountAdd { name, password }, word)
        }
        AccountCommand::Passwd {
            name,
            password_file,
        } => {
            let word = format!("{name} has another password");
            let password = password::read(password_file.as_deref())?;
            (Request::AccountPasswd { name, password }, word)
        }
        AccountCommand::Delete { name } => {
            let word = format!("{name:?} has no account any more");
            (Request::AccountDelete { name }, word)
        }
        AccountCommand::List => (Request::Accounts, String::new()),
    })
}

fn ask(path: &std::path::Path, request: &Request, shown: &mut Shown) -> Result<Last, AskError> {
    control::ask(path, request, |line| shown.take(request, line))
}

fn by_whoever_has_the_lock(
    settings: &Settings,
    request: &Request,
    shown: &mut Shown,
) -> Result<Last, Failure> {
    // Nobody waits for the lock while it is hashed.
    let new = match request {
        Request::AccountAdd { password, .. } | Request::AccountPasswd { password, .. } => {
            Some(hash(password, settings.hash_cost)?)
        }
        _ => None,
    };
    // To look is no reason to make a directory.
    if matches!(request, Request::Accounts) && !settings.data_dir.exists() {
        return Ok(Last::count(0));
    }
    let deadline = Instant::now() + PATIENCE;
    loop {
        let held = match Lock::take(&settings.data_dir) {
            Ok(_lock) => return by_hand(settings, request, new, shown),
            Err(error @ LockError::Refused { .. }) => {
                return Err(Failure::Other(error.to_string()));
            }
            Err(LockError::Held { folder }) => folder,
        };
        let late = Instant::now() >= deadline;
        match settings.control_path() {
            Some(path) => match ask(&path, request, shown) {
                Err(AskError::NoServer { .. } | AskError::Unheard { .. }) if !late => {}
                Err(AskError::NoServer { path }) => return Err(unreachable(held, Some(path))),
                answered => return Ok(answered?),
            },
            None if late => return Err(unreachable(held, None)),
            None => {}
        }
        thread::sleep(PAUSE);
    }
}

fn unreachable(folder: PathBuf, path: Option<PathBuf>) -> Failure {
    let folder = folder.display();
    Failure::Other(match path {
        Some(path) => format!(
            "{folder} is in use by a server, but none listens at {}: say with --control where its control socket is, \
             or stop it",
            path.display()
        ),
        None => format!(
            "{folder} is in use by a server without a control socket (`control` is empty): stop it first"
        ),
    })
}

/// Changes the file. The lock is ours.
fn by_hand(
    settings: &Settings,
    request: &Request,
    new: Option<Phc>,
    shown: &mut Shown,
) -> Result<Last, Failure> {
    let path = settings.accounts_path();
    let loaded = store::load(&path).map_err(|error| Failure::Other(error.to_string()))?;
    let mut accounts = loaded.accounts;
    if matches!(request, Request::Accounts) {
        let lines = AccountLine::all(&accounts);
        let count = lines.len();
        for line in lines {
            let mut bytes = Vec::new();
            encode_row(&Row::Account(line), &mut bytes);
            shown
                .take(request, bytes.trim_ascii_end())
                .map_err(Failure::Other)?;
        }
        return Ok(Last::count(count));
    }
    if let Some(refused) = change(&mut accounts, request, new)? {
        return Ok(refused);
    }
    // What is written has no password in plain.
    let left: Vec<(Name, Password)> = accounts
        .plain()
        .map(|(name, password)| (name.clone(), password.clone()))
        .collect();
    for (name, password) in left {
        let phc = hash(&password, settings.hash_cost)?;
        accounts.set_hash(name.as_str(), phc);
    }
    let snapshot = accounts.snapshot();
    let snapshot = snapshot.map_err(|error| Failure::Other(error.to_string()))?;
    store::save(&path, &store::encode(&snapshot)).map_err(|error| {
        Failure::Other(format!("{}: cannot be written: {error}", path.display()))
    })?;
    Ok(Last::done())
}

/// Changes the accounts in the memory, or says why not.
fn change(
    accounts: &mut Accounts,
    request: &Request,
    new: Option<Phc>,
) -> Result<Option<Last>, Failure> {
    let nobody =
        |name: &str| Last::error(ErrorKind::Nobody, format!("there is no account {name:?}"));
    let missing = || Failure::Other("it is not for the accounts' file".to_owned());
    Ok(match request {
        Request::AccountAdd { name, .. } => {
            let inserted = accounts.insert(name.clone(), new.ok_or_else(missing)?);
            inserted.err().map(|error| match error {
                InsertError::Taken => Last::error(
                    ErrorKind::Exists,
                    format!("there is an account {:?} already", name.as_str()),
                ),
                InsertError::Full => Last::error(ErrorKind::Failed, error),
            })
        }
        Request::AccountPasswd { name, .. } => {
            let is_set = accounts.set_hash(name.as_str(), new.ok_or_else(missing)?);
            (!is_set).then(|| nobody(name.as_str()))
        }
        Request::AccountDelete { name } => {
            let taken = accounts.take(name);
            taken.is_none().then(|| nobody(name))
        }
        _ => return Err(missing()),
    })
}

fn hash(password: &Password, cost: HashCost) -> Result<Phc, Failure> {
    let mut salt = [0; 16];
    getrandom::fill(&mut salt).map_err(|error| Failure::Other(error.to_string()))?;
    store::hash(password, salt, cost).map_err(|error| Failure::Other(error.to_string()))
}
