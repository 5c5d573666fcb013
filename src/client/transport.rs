//! Owns the words for what carries a session: what is asked for, and what stands once it is opened.
//! Knows no protocol and opens nothing.

use std::net::{Ipv4Addr, SocketAddr};

use super::address::Address;

/// What a session is carried by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transport {
    /// A stream to this server.
    pub stream: Option<Address>,
    /// Datagrams, beside it or alone.
    pub datagrams: Option<Datagrams>,
}

/// Whom datagrams go to and come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Datagrams {
    /// One server and nobody else. Local port 0 is any free one.
    Server { at: Place, local_port: u16 },
    /// Anybody, at the address that the stream has at our end and a port of the kernel's choice.
    Peers,
    /// Everybody on the network, at `port` of all addresses. With `bind` at that address, and at the
    /// broadcast address.
    Broadcast {
        bind: Option<Ipv4Addr>,
        broadcast: Ipv4Addr,
        port: u16,
    },
}

/// Where a server takes datagrams.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// There.
    At(Address),
    /// Where the stream goes to, at this port.
    BesideStream { port: u16 },
}

/// What stands, for sessions that have to tell others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Endpoints {
    /// The server's end of the stream.
    pub server: Option<SocketAddr>,
    /// Our end of the stream.
    pub stream: Option<SocketAddr>,
    /// Where our datagrams are sent from.
    pub datagrams: Option<SocketAddr>,
}

impl Transport {
    /// A stream and nothing else.
    pub fn stream(server: Address) -> Transport {
        Transport {
            stream: Some(server),
            datagrams: None,
        }
    }

    /// Datagrams and nothing else.
    pub fn datagrams(datagrams: Datagrams) -> Transport {
        Transport {
            stream: None,
            datagrams: Some(datagrams),
        }
    }

    /// A stream, and datagrams beside it.
    pub fn both(server: Address, datagrams: Datagrams) -> Transport {
        Transport {
            stream: Some(server),
            datagrams: Some(datagrams),
        }
    }
}
