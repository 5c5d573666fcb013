//! Owns the crowd whose members speak our own protocols, several at once if need be. Knows of a protocol what makes
//! one of its sessions, and how much it can say in one piece.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Instant;

use super::crowd::{Crowd, Datagrams, Ends, Transport};
use super::newcomer::Newcomer;
use crate::chat::{Choice, MAX_TEXT_BYTES, Name};
use crate::protocol::registry::Protocol;
use crate::protocol::{
    ClientSession, Command, Context, PeerEvent, PeerLink, Unsupported, tcp_room, tcrp, udp_login,
    udp_mesh, udp_room,
};

/// Members of one or several protocols, all in one room.
#[derive(Clone, Debug)]
pub struct Mix {
    parts: Vec<Part>,
    /// Which part each member is of, again and again.
    pattern: Vec<u8>,
    prefix: String,
    /// Opened by member 0 where all speak `tcrp`: a new one every time, for the last one closes a moment later than
    /// its host leaves.
    room: String,
}

/// The members of one protocol in a [`Mix`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// `ucrp` is `tcrp`: who talks there got its token here.
    pub protocol: Protocol,
    /// The server; for `udp-mesh` the broadcast address.
    pub address: SocketAddr,
    /// Where the datagrams of `tcrp` go, if that is not the port after `address`'s.
    pub ucrp: Option<SocketAddr>,
    /// How many of its members there are to how many of the others'.
    pub share: u16,
}

/// Why members cannot be mixed like that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MixError {
    /// Nobody at all.
    Empty,
    /// Nobody of that protocol.
    NoShare { protocol: Protocol },
    /// More than [`Mix::MOST_SHARES`] together.
    TooManyShares { got: usize },
    /// There is no port behind the last one.
    NoPortBehind { address: SocketAddr },
    /// A mesh is IPv4, and has equals only.
    Mesh,
    /// It cannot begin a name.
    NotAName { prefix: String },
}

/// Digits behind the prefix of a name: as many as the highest number of a member has.
const DIGITS: usize = 5;

/// For accounts that are there to be used up.
const PASSWORD: &str = "a load generator's";

impl Mix {
    /// What shares may come to together.
    pub const MOST_SHARES: usize = 1000;

    /// Members of these protocols, dealt out in proportion. Their names are `prefix` and five digits.
    pub fn new(parts: &[Part], prefix: &str) -> Result<Mix, MixError> {
        for part in parts {
            if part.share == 0 {
                let protocol = part.protocol;
                return Err(MixError::NoShare { protocol });
            }
            if part.protocol.kin() == Protocol::Tcrp
                && part.ucrp.is_none()
                && part.address.port() == u16::MAX
            {
                let address = part.address;
                return Err(MixError::NoPortBehind { address });
            }
            if part.protocol == Protocol::UdpMesh && !part.address.is_ipv4() {
                return Err(MixError::Mesh);
            }
        }
        let got = parts.iter().map(|part| usize::from(part.share)).sum();
        if got == 0 {
            return Err(MixError::Empty);
        }
        if got > Mix::MOST_SHARES {
            return Err(MixError::TooManyShares { got });
        }
        if Name::parse(&format!("{prefix}{:08x}", 0)).is_err() {
            let prefix = prefix.to_string();
            return Err(MixError::NotAName { prefix });
        }
        Ok(Mix {
            parts: parts.to_vec(),
            pattern: deal(parts, got),
            prefix: prefix.to_string(),
            room: format!("{prefix}{:08x}", random_bits()),
        })
    }

    /// The protocol of a member.
    pub fn protocol(&self, member: usize) -> Protocol {
        self.part(member).protocol
    }

    fn part(&self, member: usize) -> &Part {
        let part = self.pattern[member % self.pattern.len()];
        &self.parts[usize::from(part)]
    }

    fn name(&self, member: usize) -> String {
        format!("{}{member:0DIGITS$}", self.prefix)
    }

    fn has(&self, protocol: Protocol) -> bool {
        let kin = |part: &Part| part.protocol.kin() == protocol.kin();
        self.parts.iter().any(kin)
    }
}

fn random_bits() -> u32 {
    let mut bits = [0; 4];
    getrandom::fill(&mut bits).expect("invariant: the kernel has random bits (getrandom(2))");
    u32::from_le_bytes(bits)
}

/// Whose turn it is, so that each has as many as its share, as evenly spread as can be: whoever is furthest behind.
fn deal(parts: &[Part], all: usize) -> Vec<u8> {
    let mut dealt = vec![0; parts.len()];
    let mut pattern = Vec::with_capacity(all);
    for turn in 1..=all {
        let behind = |number: &usize| {
            let share = i64::from(parts[*number].share);
            share * turn as i64 - dealt[*number] * all as i64
        };
        // The first of equals: `max_by_key` would take the last.
        if let Some(next) = (0..parts.len()).rev().max_by_key(behind) {
            dealt[next] += 1;
            pattern.push(next as u8);
        }
    }
    pattern
}

impl Crowd for Mix {
    type Session = Member;

    fn transport(&self, member: usize) -> Transport {
        let Part {
            protocol,
            address,
            ucrp,
            ..
        } = *self.part(member);
        match protocol {
            Protocol::TcpRoom | Protocol::Group => Transport::stream(address),
            Protocol::UdpRoom | Protocol::UdpLogin => Transport::datagrams(address),
            Protocol::Tcrp | Protocol::Ucrp => {
                let behind = || SocketAddr::new(address.ip(), address.port().wrapping_add(1));
                Transport::both(address, ucrp.unwrap_or_else(behind))
            }
            Protocol::UdpMesh => Transport {
                stream: None,
                datagrams: Some(mesh(address, member)),
            },
        }
    }

    fn session(&self, member: usize, ends: &Ends) -> Member {
        let name = self.name(member);
        match self.part(member).protocol {
            Protocol::TcpRoom => Member::TcpRoom(tcp_room::client::Session::new(&name)),
            Protocol::Group => {
                let own = ends
                    .stream
                    .map_or(IpAddr::from(Ipv4Addr::UNSPECIFIED), |own| own.ip());
                Member::Group(Newcomer::new(&name, own))
            }
            Protocol::UdpRoom => Member::UdpRoom(Box::new(udp_room::client::Session::new(&name))),
            Protocol::UdpLogin => {
                let session = udp_login::client::Session::new(&name, PASSWORD.to_string());
                Member::UdpLogin(Box::new(session))
            }
            Protocol::Tcrp | Protocol::Ucrp => {
                let alone = self
                    .parts
                    .iter()
                    .all(|part| part.protocol.kin() == Protocol::Tcrp);
                let choice = match (alone, member) {
                    // The others' only room.
                    (false, _) => Choice::Lobby,
                    (true, 0) => Choice::Create(&self.room),
                    (true, _) => Choice::Join(&self.room),
                };
                Member::Tcrp(Box::new(tcrp::client::Session::new(&name, choice)))
            }
            Protocol::UdpMesh => {
                let name = Name::parse(&name).expect("invariant: the prefix makes a name");
                let own = ends.datagrams.map(|own| own.ip());
                let own = own.into_iter().collect();
                // What it was made at is not asked before it starts.
                let now = Instant::now();
                Member::UdpMesh(Box::new(udp_mesh::client::Session::new(name, own, now)))
            }
        }
    }

    fn echoes(&self, member: usize) -> bool {
        match self.part(member).protocol {
            Protocol::TcpRoom | Protocol::UdpRoom | Protocol::UdpMesh => true,
            Protocol::Group | Protocol::UdpLogin | Protocol::Tcrp | Protocol::Ucrp => false,
        }
    }

    fn needs_own_words(&self, member: usize) -> bool {
        match self.part(member).protocol {
            Protocol::UdpRoom | Protocol::UdpMesh => true,
            Protocol::TcpRoom
            | Protocol::Group
            | Protocol::UdpLogin
            | Protocol::Tcrp
            | Protocol::Ucrp => false,
        }
    }

    fn longest_text(&self) -> usize {
        let mut longest = MAX_TEXT_BYTES;
        if self.has(Protocol::UdpRoom) {
            longest = longest.min(udp_room::frame::say_space(&self.name(0)));
        }
        if self.has(Protocol::UdpLogin) {
            longest = longest.min(udp_login::frame::data_space(""));
        }
        if self.has(Protocol::Tcrp) {
            longest = longest.min(MAX_TEXT_BYTES - UCRP_HEAD);
        }
        if self.has(Protocol::UdpMesh) {
            longest = longest.min(MAX_TEXT_BYTES - MESH_HEAD);
        }
        longest
    }

    fn most_members(&self) -> usize {
        match self.has(Protocol::UdpMesh) {
            true => MESH_MEMBERS,
            false => usize::MAX,
        }
    }
}

/// Lengths, the longest name of a room, and a token.
const UCRP_HEAD: usize = 2 + 64 + 64;

/// A name, and the rest of a pickle.
const MESH_HEAD: usize = 64 + 96;

/// Every one of them hears what every one says at the same port, and each costs two sockets.
const MESH_MEMBERS: usize = 200;

/// A loopback address of its own for every member, and the broadcast address of them all.
fn mesh(address: SocketAddr, member: usize) -> Datagrams {
    let broadcast = match address.ip() {
        IpAddr::V4(broadcast) => broadcast,
        IpAddr::V6(_) => Ipv4Addr::UNSPECIFIED,
    };
    let own = u32::from(Ipv4Addr::new(127, 1, 0, 1)) + member as u32;
    Datagrams::Broadcast {
        bind: own.into(),
        broadcast,
        port: address.port(),
    }
}

/// A session of one of the protocols.
pub enum Member {
    TcpRoom(tcp_room::client::Session),
    Group(Newcomer),
    UdpRoom(Box<udp_room::client::Session>),
    UdpLogin(Box<udp_login::client::Session>),
    Tcrp(Box<tcrp::client::Session>),
    UdpMesh(Box<udp_mesh::client::Session>),
}

/// The same of whichever it is.
macro_rules! each {
    ($member:expr, $session:ident => $result:expr) => {
        match $member {
            Member::TcpRoom($session) => $result,
            Member::Group($session) => $result,
            Member::UdpRoom($session) => $result,
            Member::UdpLogin($session) => $result,
            Member::Tcrp($session) => $result,
            Member::UdpMesh($session) => $result,
        }
    };
}

impl ClientSession for Member {
    /// In words, for they are of different types.
    type Violation = String;

    fn start(&mut self, context: &mut Context<'_>) {
        each!(self, session => session.start(context));
    }

    fn handle_bytes(&mut self, input: &[u8], context: &mut Context<'_>) -> Result<usize, String> {
        each!(self, session => session.handle_bytes(input, context).map_err(|violation| violation.to_string()))
    }

    fn handle_stream_end(&mut self, context: &mut Context<'_>) -> bool {
        each!(self, session => session.handle_stream_end(context))
    }

    fn handle_datagram(&mut self, from: SocketAddr, datagram: &[u8], context: &mut Context<'_>) {
        each!(self, session => session.handle_datagram(from, datagram, context));
    }

    fn handle_peer(
        &mut self,
        link: PeerLink,
        event: PeerEvent<'_>,
        context: &mut Context<'_>,
    ) -> usize {
        each!(self, session => session.handle_peer(link, event, context))
    }

    fn handle_command(
        &mut self,
        command: Command<'_>,
        context: &mut Context<'_>,
    ) -> Result<(), Unsupported> {
        each!(self, session => session.handle_command(command, context))
    }

    fn handle_timeout(&mut self, context: &mut Context<'_>) {
        each!(self, session => session.handle_timeout(context));
    }

    fn next_deadline(&self) -> Option<Instant> {
        each!(self, session => session.next_deadline())
    }

    fn is_joined(&self) -> bool {
        each!(self, session => session.is_joined())
    }

    fn unanswered(&self) -> usize {
        each!(self, session => session.unanswered())
    }

    fn has_left(&self) -> bool {
        each!(self, session => session.has_left())
    }
}

impl fmt::Display for MixError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MixError::Empty => write!(f, "no protocol is named"),
            MixError::NoShare { protocol } => {
                write!(f, "{protocol}: a share of 0 is nobody, 1 is the least")
            }
            MixError::TooManyShares { got } => write!(
                f,
                "shares of {got} in all are too many, {} is the most",
                Mix::MOST_SHARES
            ),
            MixError::NoPortBehind { address } => {
                write!(f, "{address}: there is no port behind 65535 for ucrp")
            }
            MixError::Mesh => write!(f, "udp-mesh: its broadcast address is IPv4"),
            MixError::NotAName { prefix } => {
                write!(f, "{prefix:?} and a number are not a name")
            }
        }
    }
}

impl std::error::Error for MixError {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::Plan;

    fn part(protocol: Protocol, share: u16) -> Part {
        Part {
            protocol,
            address: "127.0.0.1:1000".parse().unwrap(),
            ucrp: None,
            share,
        }
    }

    #[test]
    fn members_are_dealt_out_in_proportion_and_evenly() {
        use Protocol::{Group, TcpRoom, Tcrp};
        let mix = Mix::new(&[part(TcpRoom, 3), part(Group, 1)], "m").unwrap();
        let dealt: Vec<Protocol> = (0..8).map(|member| mix.protocol(member)).collect();
        let round = [TcpRoom, TcpRoom, Group, TcpRoom];
        assert_eq!(dealt, [round, round].concat());
        let mix = Mix::new(&[part(TcpRoom, 1), part(Group, 1), part(Tcrp, 1)], "m").unwrap();
        let dealt: Vec<Protocol> = (0..4).map(|member| mix.protocol(member)).collect();
        assert_eq!(dealt, [TcpRoom, Group, Tcrp, TcpRoom]);
    }

    #[test]
    fn names_are_equally_long() {
        let mix = Mix::new(&[part(Protocol::TcpRoom, 1)], "m").unwrap();
        assert_eq!(mix.name(0), "m00000");
        assert_eq!(mix.name(Plan::MOST_MEMBERS - 1), "m65535");
    }

    #[test]
    fn datagrams_of_tcrp_go_where_they_are_to() {
        let mut tcrp = part(Protocol::Tcrp, 1);
        let to = |part| Mix::new(&[part], "m").unwrap().transport(0).datagrams;
        let server = |address: &str| Some(Datagrams::Server(address.parse().unwrap()));
        assert_eq!(to(tcrp), server("127.0.0.1:1001"));
        tcrp.ucrp = Some("127.0.0.2:7".parse().unwrap());
        assert_eq!(to(tcrp), server("127.0.0.2:7"));
    }

    #[test]
    fn what_cannot_be_mixed_is_named() {
        let said = |parts: &[Part], prefix: &str| Mix::new(parts, prefix).unwrap_err().to_string();
        let room = part(Protocol::TcpRoom, 1);
        assert_eq!(said(&[], "m"), "no protocol is named");
        let none = part(Protocol::Group, 0);
        assert_eq!(
            said(&[room, none], "m"),
            "group: a share of 0 is nobody, 1 is the least"
        );
        let much = part(Protocol::Group, 1000);
        assert_eq!(
            said(&[room, much], "m"),
            "shares of 1001 in all are too many, 1000 is the most"
        );
        let last = Part {
            address: "127.0.0.1:65535".parse().unwrap(),
            ..part(Protocol::Tcrp, 1)
        };
        assert_eq!(
            said(&[last], "m"),
            "127.0.0.1:65535: there is no port behind 65535 for ucrp"
        );
        let mesh = Part {
            address: "[::1]:5238".parse().unwrap(),
            ..part(Protocol::UdpMesh, 1)
        };
        assert_eq!(
            said(&[mesh], "m"),
            "udp-mesh: its broadcast address is IPv4"
        );
        assert_eq!(said(&[room], "a b"), "\"a b\" and a number are not a name");
    }
}
