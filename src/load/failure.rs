//! Owns how a run of the load generator fails, and the words for it.

use std::fmt;
use std::io;

use super::plan::PlanError;

/// Why a run came to nothing.
#[derive(Debug)]
pub enum Failure {
    /// It cannot be done as it was planned.
    Plan(PlanError),
    /// So many members need more descriptors than a process may have here.
    Descriptors {
        members: usize,
        needed: u64,
        limit: u64,
    },
    /// The process whose cost is to be measured is not there, or may not be looked at.
    Process { pid: u32, error: io::Error },
    /// No connection came about.
    Unreachable { address: String, error: io::Error },
    /// The server would not have a member, in its own words.
    Refused {
        address: String,
        member: usize,
        reason: String,
    },
    /// A member's connection ended before it was in.
    Lost {
        address: String,
        member: usize,
        reason: String,
    },
    /// Nothing came for a long time though members were on their way in.
    Silent {
        address: String,
        members: usize,
        waited: u64,
    },
    /// The kernel refused something that no server has to do with.
    System {
        doing: &'static str,
        error: io::Error,
    },
}

impl Failure {
    /// For `map_err`: the kernel refused while `doing` this.
    pub(super) fn system(doing: &'static str) -> impl FnOnce(io::Error) -> Failure {
        move |error| Failure::System { doing, error }
    }
}

impl From<PlanError> for Failure {
    fn from(error: PlanError) -> Failure {
        Failure::Plan(error)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Plan(error) => error.fmt(f),
            Failure::Descriptors {
                members,
                needed,
                limit,
            } => write!(
                f,
                "{members} members need {needed} descriptors, and the limit here is {limit}"
            ),
            Failure::Process { pid, error } => write!(f, "process {pid}: {error}"),
            Failure::Unreachable { address, error } => write!(f, "{address}: {error}"),
            Failure::Refused {
                address,
                member,
                reason,
            } => write!(f, "{address}: member {member} is refused: {reason}"),
            Failure::Lost {
                address,
                member,
                reason,
            } => write!(
                f,
                "{address}: member {member} did not get in: {reason}; is this the right protocol?"
            ),
            Failure::Silent {
                address,
                members,
                waited,
            } => write!(
                f,
                "{address}: nothing came for {waited} s, with {members} members in"
            ),
            Failure::System { doing, error } => write!(f, "{doing}: {error}"),
        }
    }
}

impl std::error::Error for Failure {}
