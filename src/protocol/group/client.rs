//! Owns our conversation with a server as the client sees it, and who is in the room; what goes on without the server
//! is in [`peer`](super::peer). Knows no socket, no terminal, and the time only as it is told.
//!
//! ```text
//!             LIST                another line
//!  AwaitList ──────▶ Joined ──────────┐
//!      │ ERROR         ▲              │
//!      ▼               └──────────────┘
//!   Refused
//! ```

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use super::direct::{self, Handshake};
use super::frame::{self, FromServer, Violation};
use super::participants::{MAX_PARTICIPANTS, Participant};
use super::peer::{DrawSecret, Peers, is_same};
use crate::chat::{MAX_TEXT_BYTES, Name, split};
use crate::protocol::{
    ClientSession, Command, Context, Decoded, PeerEvent, PeerLink, Told, Unsupported,
};

/// The client half of one connection.
pub struct Session {
    name: String,
    /// Where we can be reached, as we tell it.
    contact: SocketAddr,
    state: State,
    members: Members,
    /// `None` refuses all: the person wants nobody to connect.
    peers: Option<Peers>,
    /// How much of the next frame was there when it was not whole, and how much it needs.
    searched: usize,
    needed: usize,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    AwaitList,
    Joined,
    #[default]
    Refused,
}

impl Session {
    /// Will register as `name`, a name that keeps the rules, to be reached at `local_ip` and `udp_port`. Without `p2p` no
    /// invitation to talk directly is sent or heeded (a port of 0 tells the others so). `draw` gives the secrets of
    /// ours.
    pub fn new(
        name: &str,
        local_ip: IpAddr,
        udp_port: u16,
        p2p: bool,
        draw: DrawSecret,
    ) -> Session {
        Session {
            name: name.to_string(),
            contact: SocketAddr::new(local_ip.to_canonical(), udp_port),
            state: State::AwaitList,
            members: Members::default(),
            peers: p2p.then(|| Peers::new(draw)),
            searched: 0,
            needed: 0,
        }
    }

    fn handle_frame(&mut self, frame: FromServer<'_>, context: &mut Context<'_>) {
        let told = &mut *context.told;
        match (self.state, frame) {
            (State::Refused, _) => {}
            (State::AwaitList | State::Joined, FromServer::List(participants)) => {
                if self.state == State::AwaitList {
                    self.state = State::Joined;
                    told.push(Told::Joined {
                        name: self.name.clone(),
                        room: "lobby".to_string(),
                    });
                }
                self.members = Members::default();
                for participant in participants {
                    self.members.insert(&participant);
                }
                let names = self.members.names();
                told.push(Told::Members { names });
            }
            // Existing servers tell us of ourselves, too.
            (
                State::AwaitList | State::Joined,
                FromServer::Joined(Participant { nickname, .. })
                | FromServer::Left(Participant { nickname, .. }),
            ) if nickname == self.name => {}
            // Who comes before LIST is in it.
            (State::AwaitList, FromServer::Joined(_) | FromServer::Left(_)) => {}
            (State::Joined, FromServer::Joined(participant)) => {
                let name = participant.nickname;
                if self.members.insert(&participant) {
                    told.push(Told::Arrived {
                        name: name.to_string(),
                    });
                    if let Some(peers) = &mut self.peers {
                        peers.handle_arrived(name, context);
                    }
                }
            }
            (State::Joined, FromServer::Left(participant)) => {
                let name = participant.nickname;
                if self.members.remove(name) {
                    told.push(Told::Left {
                        name: name.to_string(),
                    });
                    if let Some(peers) = &mut self.peers {
                        peers.handle_left(name, context);
                    }
                }
            }
            (State::AwaitList | State::Joined, FromServer::Broadcast { nickname, text }) => {
                told.push(Told::Message {
                    from: nickname.to_string(),
                    text: text.to_string(),
                    time: None,
                    history: false,
                });
            }
            (State::AwaitList, FromServer::Error { text }) => {
                self.state = State::Refused;
                told.push(Told::Refused {
                    reason: text.to_string(),
                });
            }
            (State::Joined, FromServer::Error { text }) => told.push(Told::Notice {
                text: text.to_string(),
            }),
            (State::AwaitList | State::Joined, FromServer::Other { line }) => {
                if !line.is_empty() {
                    told.push(Told::Notice {
                        text: line.to_string(),
                    });
                }
            }
        }
    }

    fn start_direct(&mut self, to: &str, context: &mut Context<'_>) -> Result<(), String> {
        let peers = self.peers.as_mut().ok_or(NO_P2P)?;
        let (name, address) = self
            .members
            .find(to)
            .ok_or_else(|| format!("{to} is not here"))?;
        if name == self.name {
            return Err("that is yourself".to_string());
        }
        let address = address.ok_or_else(|| {
            format!("{name} cannot be reached directly: the server tells no address for it")
        })?;
        peers.start(name, address, context);
        Ok(())
    }

    /// Says something directly. Whether there is a conversation for it.
    fn chat(&mut self, to: &str, text: &str, context: &mut Context<'_>) -> bool {
        let name = self.meant(to);
        let peers = self.peers.as_mut();
        peers.is_some_and(|peers| peers.chat(&name, text, context))
    }

    fn end_direct(&mut self, with: &str, context: &mut Context<'_>) -> bool {
        let name = self.meant(with);
        let peers = self.peers.as_mut();
        peers.is_some_and(|peers| peers.end(&name, context))
    }

    /// As whoever a person means writes the name: somebody here, or else who has left and still talks with us.
    fn meant(&self, name: &str) -> String {
        let here = self.members.find(name).map(|(name, _)| name);
        let gone = || self.peers.as_ref().and_then(|peers| peers.meant(name));
        here.or_else(gone).unwrap_or(name).to_string()
    }
}

const NO_P2P: &str = "no direct sessions: --no-p2p was asked for";

impl ClientSession for Session {
    type Violation = Violation;

    fn start(&mut self, context: &mut Context<'_>) {
        let (ip, port) = (self.contact.ip(), self.contact.port());
        frame::encode_register(&self.name, ip, port, &mut context.out.stream);
    }

    fn handle_bytes(
        &mut self,
        input: &[u8],
        context: &mut Context<'_>,
    ) -> Result<usize, Violation> {
        let mut used = 0;
        while let Some(rest) = input
            .get(used..)
            .filter(|rest| rest.len() >= self.needed.max(1))
        {
            self.needed = 0;
            let searched = std::mem::take(&mut self.searched);
            match frame::decode_from_server(rest, searched)? {
                Decoded::NeedMore { needed } => (self.searched, self.needed) = (rest.len(), needed),
                Decoded::Done {
                    frame,
                    used: length,
                } => {
                    used += length;
                    self.handle_frame(frame, context);
                }
            }
        }
        Ok(used)
    }

    fn handle_datagram(&mut self, from: SocketAddr, datagram: &[u8], context: &mut Context<'_>) {
        let Some(peers) = self.peers.as_mut().filter(|_| self.state == State::Joined) else {
            return;
        };
        match direct::decode_handshake(datagram) {
            Some(Handshake::Init { secret, port }) => {
                // An invitation from nobody listed is ignored, and so is one that we sent ourselves.
                if let Some(name) = self.members.at(from, &self.name) {
                    peers.handle_init(name, from, &secret, port, context);
                }
            }
            Some(Handshake::Ack { secret }) => peers.handle_ack(from, &secret, context),
            None => {}
        }
    }

    fn handle_peer(
        &mut self,
        link: PeerLink,
        event: PeerEvent<'_>,
        context: &mut Context<'_>,
    ) -> usize {
        let peers = self.peers.as_mut();
        peers.map_or(0, |peers| peers.handle_event(link, event, context))
    }

    fn handle_command(
        &mut self,
        command: Command<'_>,
        context: &mut Context<'_>,
    ) -> Result<(), Unsupported> {
        let done = match command {
            Command::Say(text) => {
                for piece in split(text, MAX_TEXT_BYTES) {
                    frame::encode_broadcast(&self.name, &[piece], &mut context.out.stream);
                }
                Ok(())
            }
            Command::Who => {
                let names = self.members.names();
                context.told.push(Told::Members { names });
                Ok(())
            }
            Command::Start { to } => self.start_direct(to, context),
            Command::Chat { to, text } => match self.chat(to, text, context) {
                true => Ok(()),
                false => Err(format!("there is no direct session with {to}: /start {to}")),
            },
            // Only what goes directly is heard by one alone.
            Command::Direct { to, text } => match self.chat(to, text, context) {
                true => Ok(()),
                false => return Err(Unsupported),
            },
            Command::End { with } => match self.end_direct(with, context) {
                true => Ok(()),
                false => Err(format!("there is no direct session with {with}")),
            },
            // Leaving is closing the connection, and all others.
            Command::Leave => {
                if let Some(peers) = &mut self.peers {
                    peers.end_all(context);
                }
                Ok(())
            }
        };
        if let Err(text) = done {
            context.told.push(Told::Notice { text });
        }
        Ok(())
    }

    fn handle_timeout(&mut self, context: &mut Context<'_>) {
        if let Some(peers) = &mut self.peers {
            peers.handle_timeout(context);
        }
    }

    fn next_deadline(&self) -> Option<Instant> {
        self.peers.as_ref().and_then(Peers::next_deadline)
    }

    fn is_joined(&self) -> bool {
        self.state == State::Joined
    }

    /// The server confirms nothing; but who invites somebody waits for the answer.
    fn unanswered(&self) -> usize {
        self.peers.as_ref().map_or(0, Peers::undecided)
    }
}

/// Everybody in the room, ourselves too.
#[derive(Debug, Default)]
struct Members {
    by_name: HashMap<String, Member>,
    /// How many ever came, which is the order of their joining.
    count: u64,
}

#[derive(Debug)]
struct Member {
    number: u64,
    /// `None` cannot be reached directly.
    address: Option<SocketAddr>,
}

impl Members {
    /// Whether it was not there before.
    fn insert(&mut self, participant: &Participant<'_>) -> bool {
        let address = address(participant);
        if let Some(member) = self.by_name.get_mut(participant.nickname) {
            member.address = address;
            return false;
        }
        if self.by_name.len() < MAX_PARTICIPANTS {
            let number = self.count;
            self.count += 1;
            let name = participant.nickname.to_string();
            self.by_name.insert(name, Member { number, address });
        }
        true
    }

    fn remove(&mut self, name: &str) -> bool {
        self.by_name.remove(name).is_some()
    }

    /// In the order of their joining.
    fn names(&self) -> Vec<String> {
        let mut members: Vec<(&String, u64)> = self
            .by_name
            .iter()
            .map(|(name, member)| (name, member.number))
            .collect();
        members.sort_unstable_by_key(|(_, number)| *number);
        members.into_iter().map(|(name, _)| name.clone()).collect()
    }

    /// Whom a person means: exactly, or else as names are compared. With where it is reached.
    fn find(&self, name: &str) -> Option<(&str, Option<SocketAddr>)> {
        let exact = self.by_name.get_key_value(name);
        let (name, member) = exact.or_else(|| {
            let wanted = Name::parse(name).ok()?;
            self.by_name.iter().find(|(name, _)| wanted.same_as(name))
        })?;
        Some((name, member.address))
    }

    /// Whose datagrams come from there, but for ours: the first who came, should several say that they do.
    fn at(&self, address: SocketAddr, own_name: &str) -> Option<&str> {
        let is_there = |at: &SocketAddr| is_same(*at, address);
        self.by_name
            .iter()
            .filter(|(name, member)| {
                member.address.as_ref().is_some_and(is_there) && *name != own_name
            })
            .min_by_key(|(_, member)| member.number)
            .map(|(name, _)| name.as_str())
    }
}

/// Where somebody can be reached, if that is one place at all.
fn address(participant: &Participant<'_>) -> Option<SocketAddr> {
    let ip = participant.ip?.to_canonical();
    let is_many = ip.is_multicast() || ip == IpAddr::V4(std::net::Ipv4Addr::BROADCAST);
    let nowhere = participant.port == 0 || ip.is_unspecified() || is_many;
    (!nowhere).then(|| SocketAddr::new(ip, participant.port))
}
