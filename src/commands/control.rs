//! Owns asking a server over its control socket, for the commands that do. Knows nothing of what is asked.

use std::fmt;
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use socket2::{Domain, SockAddr, Socket, Type};

use crate::control::{Last, Request};
use crate::reactor::MAX_SOCKET_PATH;

/// So long it may say nothing. It answers at once, or when a password is hashed and on the disk.
const PATIENCE: Duration = Duration::from_secs(10);

/// A longer line is none of ours: the longest has all figures in it.
const MAX_LINE: u64 = 64 * 1024 * 1024;

/// Why there is no answer.
#[derive(Debug)]
pub enum AskError {
    /// There is no socket, or nobody listens at it.
    NoServer { path: PathBuf },
    /// It is somebody else's.
    Denied { path: PathBuf, owner: Option<u32> },
    /// A path that no socket can have.
    TooLong { path: PathBuf },
    /// It has hung up without reading what was asked: it stops, or is too busy. Nothing was done.
    Unheard { path: PathBuf },
    /// It does not answer in time.
    Silent { path: PathBuf },
    /// The answer ended too early, or is none: nothing is known of what became of the request.
    Lost { path: PathBuf, reason: String },
    /// The system refused something else.
    System { path: PathBuf, error: io::Error },
}

/// Asks, and hands on every line of the answer but the last, which is returned. Where `handle` fails, nothing more is
/// read.
pub fn ask(
    path: &Path,
    request: &Request,
    mut handle: impl FnMut(&[u8]) -> Result<(), String>,
) -> Result<Last, AskError> {
    let socket = connect(path)?;
    let at = |error: io::Error| match error.kind() {
        ErrorKind::WouldBlock | ErrorKind::TimedOut => AskError::Silent { path: path.into() },
        // What the kernel says of a Unix socket that was closed with something unread in it (unix(7)).
        ErrorKind::ConnectionReset => AskError::Unheard { path: path.into() },
        _ => lost(path, error),
    };
    let unheard = match (&socket).write_all(&request.encode()) {
        // It has closed already, and may have said why.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => true,
        written => written.map(|()| false).map_err(at)?,
    };
    let mut answer = BufReader::new(&socket);
    let mut line = Vec::new();
    loop {
        line.clear();
        let read = answer.by_ref().take(MAX_LINE).read_until(b'\n', &mut line);
        if read.map_err(at)? == 0 {
            if unheard {
                return Err(AskError::Unheard { path: path.into() });
            }
            return Err(lost(path, "the server has ended the connection"));
        }
        if line.pop() != Some(b'\n') {
            return Err(lost(path, "a line is not whole"));
        }
        if let Some(last) = Last::decode(&line) {
            return Ok(last);
        }
        handle(&line).map_err(|reason| lost(path, reason))?;
    }
}

fn connect(path: &Path) -> Result<Socket, AskError> {
    let system = |error| AskError::System {
        path: path.into(),
        error,
    };
    if path.as_os_str().len() > MAX_SOCKET_PATH {
        return Err(AskError::TooLong { path: path.into() });
    }
    let address = SockAddr::unix(path).map_err(system)?;
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None).map_err(system)?;
    // For connecting as well: where too many wait to be accepted it would wait with them (unix(7)).
    socket.set_write_timeout(Some(PATIENCE)).map_err(system)?;
    socket.set_read_timeout(Some(PATIENCE)).map_err(system)?;
    match socket.connect(&address) {
        Ok(()) => Ok(socket),
        Err(error) => Err(match error.kind() {
            ErrorKind::NotFound | ErrorKind::ConnectionRefused => {
                AskError::NoServer { path: path.into() }
            }
            ErrorKind::PermissionDenied => AskError::Denied {
                path: path.into(),
                owner: owner_of(path),
            },
            ErrorKind::WouldBlock | ErrorKind::TimedOut => AskError::Silent { path: path.into() },
            _ => system(error),
        }),
    }
}

/// Who may come there: whose the socket is, or else the first folder above it that can be looked at.
fn owner_of(path: &Path) -> Option<u32> {
    let metadata = path.ancestors().find_map(|path| path.metadata().ok());
    metadata.map(|metadata| metadata.uid())
}

fn lost(path: &Path, reason: impl ToString) -> AskError {
    AskError::Lost {
        path: path.into(),
        reason: reason.to_string(),
    }
}

impl fmt::Display for AskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AskError::NoServer { path } => write!(
                f,
                "no server listens at {}: start one with `mynah serve`, or say with --config, --data-dir or \
                 --control where it is",
                path.display()
            ),
            AskError::Denied { path, owner } => {
                write!(f, "{}: permission denied; ", path.display())?;
                match owner {
                    Some(uid) => write!(f, "it is for user {uid} and root alone"),
                    None => write!(f, "it is for the user of the server and root alone"),
                }
            }
            AskError::TooLong { path } => write!(
                f,
                "{}: {} bytes, and the path of a socket has {MAX_SOCKET_PATH} at the most (unix(7)): name a shorter one \
                 with `control` in the configuration, or --control",
                path.display(),
                path.as_os_str().len()
            ),
            AskError::Unheard { path } => write!(
                f,
                "{}: the server has hung up, for it stops or is too busy; nothing was done",
                path.display()
            ),
            AskError::Silent { path } => write!(
                f,
                "{}: no answer within {} s; whether it was done is not known",
                path.display(),
                PATIENCE.as_secs()
            ),
            AskError::Lost { path, reason } => write!(
                f,
                "{}: {reason}; whether it was done is not known",
                path.display()
            ),
            AskError::System { path, error } => write!(f, "{}: {error}", path.display()),
        }
    }
}

impl std::error::Error for AskError {}
