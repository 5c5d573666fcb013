//! Owns how a client fails, and the exit status and the words for it.

use std::fmt;
use std::io;

/// Why a client ended otherwise than by leaving.
#[derive(Debug)]
pub enum Failure {
    /// It was asked for something that cannot be. Exit status 2.
    Usage { reason: String },
    /// The kernel refused something that no server has to do with. Exit status 1.
    System {
        doing: &'static str,
        error: io::Error,
    },
    /// No connection came about. Exit status 1.
    Unreachable { reason: String },
    /// The connection was lost, or what was sent over it was not confirmed. Exit status 1.
    Lost { server: String, reason: String },
    /// The server would not have us, or equals, of whom there is no place. Exit status 3.
    Refused {
        server: Option<String>,
        reason: String,
    },
}

impl Failure {
    /// For `map_err`: the kernel refused while `doing` this.
    pub(super) fn system(doing: &'static str) -> impl FnOnce(io::Error) -> Failure {
        move |error| Failure::System { doing, error }
    }

    /// For the shell; 0 is having left politely, which is no failure.
    pub fn exit_status(&self) -> u8 {
        match self {
            Failure::System { .. } | Failure::Unreachable { .. } | Failure::Lost { .. } => 1,
            Failure::Usage { .. } => 2,
            Failure::Refused { .. } => 3,
        }
    }

    /// Why, without where.
    pub fn reason(&self) -> String {
        match self {
            Failure::Usage { reason }
            | Failure::Unreachable { reason }
            | Failure::Lost { reason, .. }
            | Failure::Refused { reason, .. } => reason.clone(),
            Failure::System { doing, error } => format!("{doing}: {}", said_in_passing(error)),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Lost { server, reason }
            | Failure::Refused {
                server: Some(server),
                reason,
            } => {
                write!(f, "{server}: {reason}")
            }
            _ => f.write_str(&self.reason()),
        }
    }
}

impl std::error::Error for Failure {}

/// A system's error as the end of a sentence: without the capital it begins with.
pub fn said_in_passing(error: &io::Error) -> String {
    let text = error.to_string();
    let mut chars = text.chars();
    match chars.next() {
        Some(first) => first.to_lowercase().chain(chars).collect(),
        None => text,
    }
}
