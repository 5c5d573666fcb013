//! Owns the list of the protocols that there are, and hands what all of them share to the right one.
//! Knows each protocol's name and port, not its bytes.

use std::fmt;
use std::str::FromStr;

use super::{AfterVerdict, Patience, ServerSession, Step, Welcome, tcp_room};
use crate::chat::{Event, Refusal};

/// A protocol that the server speaks; also the wire format of an audience.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Protocol {
    TcpRoom,
}

/// What carries a protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    Tcp,
    Udp,
}

impl Protocol {
    /// Every protocol, in the order of the README.
    pub const ALL: &'static [Protocol] = &[Protocol::TcpRoom];

    /// As it is called on the command line and in logs.
    pub fn name(self) -> &'static str {
        match self {
            Protocol::TcpRoom => "tcp-room",
        }
    }

    /// Where its programs expect a server.
    pub fn default_port(self) -> u16 {
        match self {
            Protocol::TcpRoom => 42069,
        }
    }

    /// What carries it.
    pub fn transport(self) -> Transport {
        match self {
            Protocol::TcpRoom => Transport::Tcp,
        }
    }

    /// A session for a connection just accepted.
    pub fn session(self) -> Session {
        match self {
            Protocol::TcpRoom => Session::TcpRoom(tcp_room::server::Session::new()),
        }
    }

    /// Whether members hear their own words.
    pub fn echoes(self) -> bool {
        match self {
            Protocol::TcpRoom => true,
        }
    }

    /// Appends an event as members of this protocol hear it: whole frames, or nothing.
    pub fn encode_event(self, event: &Event<'_>, out: &mut Vec<u8>) {
        match self {
            Protocol::TcpRoom => tcp_room::server::encode_event(event, out),
        }
    }

    /// What a connection is told for which there is no room at all.
    pub fn no_room(self) -> &'static [u8] {
        match self {
            Protocol::TcpRoom => tcp_room::server::NO_ROOM,
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Protocol {
    type Err = UnknownProtocol;

    fn from_str(name: &str) -> Result<Protocol, UnknownProtocol> {
        let found = Protocol::ALL
            .iter()
            .find(|protocol| protocol.name() == name);
        found.copied().ok_or(UnknownProtocol)
    }
}

/// No protocol has that name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownProtocol;

impl fmt::Display for UnknownProtocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the protocols are:")?;
        Protocol::ALL
            .iter()
            .try_for_each(|protocol| write!(f, " {protocol}"))
    }
}

impl std::error::Error for UnknownProtocol {}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Transport::Tcp => "tcp",
            Transport::Udp => "udp",
        })
    }
}

/// A server session of any stream protocol.
#[derive(Debug)]
pub enum Session {
    TcpRoom(tcp_room::server::Session),
}

/// What a peer of any stream protocol broke.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Violation {
    TcpRoom(tcp_room::frame::Violation),
}

impl ServerSession for Session {
    type Violation = Violation;

    fn handle_bytes<'a>(
        &mut self,
        input: &'a [u8],
        out: &mut Vec<u8>,
    ) -> Result<Step<'a>, Violation> {
        match self {
            Session::TcpRoom(session) => {
                session.handle_bytes(input, out).map_err(Violation::TcpRoom)
            }
        }
    }

    fn handle_verdict(
        &mut self,
        verdict: Result<Welcome<'_>, Refusal>,
        out: &mut Vec<u8>,
    ) -> AfterVerdict {
        match self {
            Session::TcpRoom(session) => session.handle_verdict(verdict, out),
        }
    }

    fn farewell(violation: &Violation, out: &mut Vec<u8>) {
        match violation {
            Violation::TcpRoom(violation) => tcp_room::server::Session::farewell(violation, out),
        }
    }

    fn patience(&self, partial: usize) -> Patience {
        match self {
            Session::TcpRoom(session) => session.patience(partial),
        }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Violation::TcpRoom(violation) => violation.fmt(f),
        }
    }
}

impl std::error::Error for Violation {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_protocol_is_found_by_its_name() {
        for protocol in Protocol::ALL {
            assert_eq!(protocol.name().parse(), Ok(*protocol));
        }
        let error = "tcp-rom".parse::<Protocol>().unwrap_err();
        assert_eq!(error.to_string(), "the protocols are: tcp-room");
    }
}
