//! Owns what a run of the load generator is to do. Knows not how it is done.

use std::fmt;
use std::time::Duration;

/// One run: members come in, some of them talk at a pace for some time, all of them listen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Plan {
    /// All that are in the room, senders among them. At least one, or two where senders do not hear themselves.
    pub members: usize,
    /// How many of them take turns at talking. Between one and `members`.
    pub senders: usize,
    /// How much is said.
    pub pace: Pace,
    /// The bytes of one message's text. At least [`Plan::LEAST_PAYLOAD`].
    pub payload: usize,
    /// How long messages are sent; what is still under way then is waited for.
    pub duration: Duration,
    /// How long messages are sent before anything is counted.
    pub warm_up: Duration,
    /// Members that may be on their way in at one time.
    pub logins_in_flight: usize,
    /// The server's process, where its processor time and memory are to be measured.
    pub server: Option<u32>,
}

impl Plan {
    /// The bytes by which a message is known again: who sent it, which of theirs it is, when it was to be sent.
    pub const LEAST_PAYLOAD: usize = 32;

    /// The longest text that any protocol here takes.
    pub const MOST_PAYLOAD: usize = crate::chat::MAX_TEXT_BYTES;

    /// A sender's number has so many values, and no process has as many descriptors.
    pub const MOST_MEMBERS: usize = 1 << 16;

    /// For each member and sender four bytes say what comes next: these are a gigabyte of them.
    pub const MOST_PAIRS: usize = 1 << 28;

    /// Whether it can be done, whoever the members are.
    pub fn check(&self) -> Result<(), PlanError> {
        let Plan {
            members, senders, ..
        } = *self;
        let most = |value: &'static str, got: usize, least: usize, most: usize| match (least..=most)
            .contains(&got)
        {
            true => Ok(()),
            false => Err(PlanError::OutOfRange {
                value,
                got,
                least,
                most,
            }),
        };
        most("members", members, 1, Plan::MOST_MEMBERS)?;
        most(
            "senders",
            senders,
            1,
            members.min(Plan::MOST_PAIRS / members),
        )?;
        most(
            "payload",
            self.payload,
            Plan::LEAST_PAYLOAD,
            Plan::MOST_PAYLOAD,
        )?;
        most(
            "logins in flight",
            self.logins_in_flight,
            1,
            Plan::MOST_MEMBERS,
        )?;
        match self.pace {
            Pace::Window(0) => Err(PlanError::NoWindow),
            Pace::Rate(rate) if !(Pace::LEAST_RATE..=Pace::MOST_RATE).contains(&rate) => {
                Err(PlanError::Rate { got: rate })
            }
            Pace::Window(_) | Pace::Rate(_) => Ok(()),
        }?;
        let longest = self.duration.max(self.warm_up);
        if longest > Plan::LONGEST {
            return Err(PlanError::TooLong { got: longest });
        }
        match self.duration.is_zero() {
            true => Err(PlanError::NoTime),
            false => Ok(()),
        }
    }

    /// The time of a message is counted in nanoseconds of which there are 2^48, three days.
    pub const LONGEST: Duration = Duration::from_secs(24 * 3600);
}

/// How much is said.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pace {
    /// As fast as it goes, with at most that many messages in flight: one is until everybody has it.
    Window(u32),
    /// That many messages a second, by all senders together, come what may: lateness counts from when a message
    /// should have been sent.
    Rate(f64),
}

impl Pace {
    /// One in a thousand seconds.
    pub const LEAST_RATE: f64 = 0.001;

    /// One a nanosecond is nobody's.
    pub const MOST_RATE: f64 = 1e8;
}

/// What of a plan cannot be, and what could.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum PlanError {
    /// A number that is too small or too large.
    OutOfRange {
        value: &'static str,
        got: usize,
        least: usize,
        most: usize,
    },
    /// Nothing may be in flight, so nothing is ever sent.
    NoWindow,
    /// Not a number of messages a second.
    Rate { got: f64 },
    /// Nothing can be measured in no time.
    NoTime,
    /// Longer than [`Plan::LONGEST`].
    TooLong { got: Duration },
    /// Nobody would hear the only member: it does not hear itself.
    NobodyListens,
    /// These members cannot say as long a text in one piece.
    PayloadOverMessage { got: usize, most: usize },
    /// There cannot be as many of these members.
    TooMany { got: usize, most: usize },
}

impl fmt::Display for PlanError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PlanError::OutOfRange {
                value,
                got,
                least,
                most,
            } => write!(f, "{value}: {got} is not between {least} and {most}"),
            PlanError::NoWindow => write!(
                f,
                "window: with 0 in flight nothing is sent, 1 is the least"
            ),
            PlanError::Rate { got } => write!(
                f,
                "rate: {got} is not a number of messages a second between {} and {}",
                Pace::LEAST_RATE,
                Pace::MOST_RATE
            ),
            PlanError::NoTime => write!(f, "duration: nothing can be measured in 0 s"),
            PlanError::TooLong { got } => write!(
                f,
                "duration: {} s is too long, {} s is the most",
                got.as_secs(),
                Plan::LONGEST.as_secs()
            ),
            PlanError::NobodyListens => write!(
                f,
                "members: in this protocol nobody hears their own words, so there must be 2 at least"
            ),
            PlanError::PayloadOverMessage { got, most } => write!(
                f,
                "payload: {got} bytes do not fit into one message of this protocol, {most} is the most"
            ),
            PlanError::TooMany { got, most } => {
                write!(
                    f,
                    "members: {got} of this protocol cannot be, {most} is the most"
                )
            }
        }
    }
}

impl std::error::Error for PlanError {}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: Plan = Plan {
        members: 100,
        senders: 1,
        pace: Pace::Window(1),
        payload: 64,
        duration: Duration::from_secs(1),
        warm_up: Duration::ZERO,
        logins_in_flight: 16,
        server: None,
    };

    fn refused(change: impl FnOnce(&mut Plan)) -> String {
        let mut plan = GOOD;
        change(&mut plan);
        plan.check().expect_err("it cannot be").to_string()
    }

    #[test]
    fn what_cannot_be_is_named_with_what_could() {
        assert_eq!(GOOD.check(), Ok(()));
        for (said, wanted) in [
            (
                refused(|plan| plan.members = 0),
                "members: 0 is not between 1 and 65536",
            ),
            (
                refused(|plan| plan.members = 70_000),
                "members: 70000 is not between 1 and 65536",
            ),
            (
                refused(|plan| plan.senders = 0),
                "senders: 0 is not between 1 and 100",
            ),
            (
                refused(|plan| plan.senders = 101),
                "senders: 101 is not between 1 and 100",
            ),
            (
                refused(|plan| (plan.members, plan.senders) = (32_768, 10_000)),
                "senders: 10000 is not between 1 and 8192",
            ),
            (
                refused(|plan| plan.payload = 31),
                "payload: 31 is not between 32 and 4096",
            ),
            (
                refused(|plan| plan.payload = 4097),
                "payload: 4097 is not between 32 and 4096",
            ),
            (
                refused(|plan| plan.logins_in_flight = 0),
                "logins in flight: 0 is not between 1 and 65536",
            ),
            (
                refused(|plan| plan.pace = Pace::Window(0)),
                "window: with 0 in flight nothing is sent, 1 is the least",
            ),
            (
                refused(|plan| plan.pace = Pace::Rate(-1.0)),
                "rate: -1 is not a number of messages a second between 0.001 and 100000000",
            ),
            (
                refused(|plan| plan.pace = Pace::Rate(f64::NAN)),
                "rate: NaN is not a number of messages a second between 0.001 and 100000000",
            ),
            (
                refused(|plan| plan.duration = Duration::ZERO),
                "duration: nothing can be measured in 0 s",
            ),
            (
                refused(|plan| plan.warm_up = Duration::from_secs(86_401)),
                "duration: 86401 s is too long, 86400 s is the most",
            ),
        ] {
            assert_eq!(said, wanted);
        }
    }
}
