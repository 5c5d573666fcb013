//! Owns what the load generator has to know of those who talk: where a member goes, which session it has, and what
//! its protocol does with what it says. Knows no protocol.

use std::net::{Ipv4Addr, SocketAddr};

use crate::chat::MAX_TEXT_BYTES;
use crate::protocol::ClientSession;

/// Members of one room, made on demand. Whoever wants to load a server with another protocol implements this and a
/// [`ClientSession`].
///
/// Members are numbered from 0. Number 0 comes in before all others, so it may open the room that they join. Those
/// who speak have the lowest numbers. All names should be equally long, so that all frames are.
///
/// What members say is ASCII without blanks (it begins with `~`), and is known again in what is received by its bytes:
/// they must come through unchanged and in one piece.
pub trait Crowd {
    /// What a member's conversation is had by.
    type Session: ClientSession;

    /// What carries this member's session. It must be the same whenever it is asked.
    fn transport(&self, member: usize) -> Transport;

    /// The session of this member, which starts next: its stream is connected and its port is open.
    fn session(&self, member: usize, ends: &Ends) -> Self::Session;

    /// Whether this member is sent what it says, as the others are.
    fn echoes(&self, member: usize) -> bool;

    /// Whether this member's session must be given its own words when a datagram brings them back: it says more only
    /// when it hears itself, or asks what is wrong when it does not.
    fn needs_own_words(&self, member: usize) -> bool {
        let _ = member;
        false
    }

    /// Whether this member's session is needed when it is in, though it says nothing: for keep-alives, or for what
    /// comes in datagrams that are no messages. A session that is not is dropped.
    fn needs_session(&self, member: usize) -> bool {
        self.transport(member).datagrams.is_some()
    }

    /// Once a member is in, what comes over its stream is not given to its session any more, but searched for messages. Here is
    /// what stands between those (frames' beginnings and ends, notices), in pieces of any size: what has to be answered (a
    /// server's question whether its client is there) is answered into `out`.
    fn answer(&self, member: usize, between: &[u8], out: &mut Vec<u8>) {
        let _ = (member, between, out);
    }

    /// The longest text that every member can say and hear in one piece, in bytes.
    fn longest_text(&self) -> usize {
        MAX_TEXT_BYTES
    }

    /// How many members there can be.
    fn most_members(&self) -> usize {
        usize::MAX
    }
}

/// What carries a member's session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transport {
    /// A stream to this server.
    pub stream: Option<SocketAddr>,
    /// Datagrams, beside it or alone. Who has both loses its stream once it is in, and does without.
    pub datagrams: Option<Datagrams>,
}

/// Whom datagrams go to and come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Datagrams {
    /// This server alone, from a port of the kernel's choice.
    Server(SocketAddr),
    /// Everybody on the network: as [`client::Datagrams::Broadcast`](crate::client::Datagrams::Broadcast), but each
    /// member has an address of its own.
    Broadcast {
        bind: Ipv4Addr,
        broadcast: Ipv4Addr,
        port: u16,
    },
}

/// What stands when a session is made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ends {
    /// Our end of the stream.
    pub stream: Option<SocketAddr>,
    /// Where our datagrams are sent from.
    pub datagrams: Option<SocketAddr>,
}

impl Transport {
    /// A stream and nothing else.
    pub fn stream(server: SocketAddr) -> Transport {
        Transport {
            stream: Some(server),
            datagrams: None,
        }
    }

    /// Datagrams to one server and nothing else.
    pub fn datagrams(server: SocketAddr) -> Transport {
        Transport {
            stream: None,
            datagrams: Some(Datagrams::Server(server)),
        }
    }

    /// A stream, then datagrams.
    pub fn both(stream: SocketAddr, datagrams: SocketAddr) -> Transport {
        Transport {
            stream: Some(stream),
            datagrams: Some(Datagrams::Server(datagrams)),
        }
    }

    /// Where it leads, for people.
    pub(super) fn place(&self) -> String {
        match (self.stream, self.datagrams) {
            (Some(address), _) | (None, Some(Datagrams::Server(address))) => address.to_string(),
            (
                None,
                Some(Datagrams::Broadcast {
                    broadcast, port, ..
                }),
            ) => format!("{broadcast}:{port}"),
            (None, None) => "nowhere".to_string(),
        }
    }
}
