//! Owns who the members are: for each server, what carries them and which session they have.
//! Knows the protocols by their sessions only.

use std::net::SocketAddr;

use mynah::load::floor::{Floor, FloorCrowd};
use mynah::load::{Crowd, Ends, Mix, Part, Transport};
use mynah::protocol::ClientSession;
use mynah::protocol::registry::Protocol;

use crate::questions::Questions;
use crate::{irc, mqtt, nats, redis};

/// What is measured, as `--server` names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Server {
    Redis,
    Nats,
    Inspircd,
    Ngircd,
    Mosquitto,
    TcpRoom,
    Group,
    UdpRoom,
    UdpLogin,
    Ucrp,
    BareTcp,
    BareTcpCoalesce,
    BareUdp,
}

/// What is done with the members of whichever server.
pub trait Visitor {
    type Done;

    fn visit<C: Crowd>(self, crowd: &C) -> Self::Done;
}

impl Server {
    /// The bare loop that it is, if it is one.
    pub fn floor(self) -> Option<Floor> {
        match self {
            Server::BareTcp => Some(Floor::Stream),
            Server::BareTcpCoalesce => Some(Floor::Gathering),
            Server::BareUdp => Some(Floor::Datagrams),
            Server::Redis
            | Server::Nats
            | Server::Inspircd
            | Server::Ngircd
            | Server::Mosquitto
            | Server::TcpRoom
            | Server::Group
            | Server::UdpRoom
            | Server::UdpLogin
            | Server::Ucrp => None,
        }
    }

    /// Makes the members of this server, which is at `address`.
    pub fn visit<V: Visitor>(self, address: SocketAddr, visitor: V) -> Result<V::Done, String> {
        let stream = Transport::stream(address);
        let ours = |protocol| {
            let part = Part {
                protocol,
                address,
                ucrp: None,
                share: 1,
            };
            Mix::new(&[part], PREFIX).map_err(|error| error.to_string())
        };
        let floor = |floor, overhead| FloorCrowd::new(floor, address, overhead, true);
        Ok(match self {
            Server::Redis => visitor.visit(&People::new(stream, redis::Session::new)),
            Server::Nats => visitor.visit(&People {
                answer: Some(nats::answer),
                ..People::new(stream, nats::Session::new)
            }),
            Server::Inspircd | Server::Ngircd => visitor.visit(&People {
                echoes: false,
                answer: Some(irc::answer),
                longest_text: irc::LONGEST_TEXT,
                ..People::new(stream, irc::Session::new)
            }),
            Server::Mosquitto => visitor.visit(&People::new(stream, mqtt::Session::new)),
            Server::TcpRoom => visitor.visit(&ours(Protocol::TcpRoom)?),
            Server::Group => visitor.visit(&ours(Protocol::Group)?),
            Server::UdpRoom => visitor.visit(&ours(Protocol::UdpRoom)?),
            Server::UdpLogin => visitor.visit(&ours(Protocol::UdpLogin)?),
            Server::Ucrp => visitor.visit(&ours(Protocol::Ucrp)?),
            // A length and the text, and every sender hears itself: the same floor for all servers.
            Server::BareTcp => visitor.visit(&floor(Floor::Stream, FloorCrowd::LEAST_OVERHEAD)),
            Server::BareTcpCoalesce => {
                visitor.visit(&floor(Floor::Gathering, FloorCrowd::LEAST_OVERHEAD))
            }
            Server::BareUdp => visitor.visit(&floor(Floor::Datagrams, 0)),
        })
    }
}

/// The members of a server that is not ours.
struct People<S> {
    transport: Transport,
    session: Box<dyn Fn(&str) -> S>,
    /// Whether a sender hears itself.
    echoes: bool,
    /// How the server is told that a member is there, given the line in which it asks.
    answer: Option<Answer>,
    questions: Questions,
    longest_text: usize,
}

type Answer = fn(&[u8], &mut Vec<u8>);

/// Names are this and five digits: equally long, and a name wherever names have rules.
const PREFIX: &str = "m";

/// What every server takes that does not count in lines.
const LONGEST_TEXT: usize = 4096;

impl<S> People<S> {
    /// Members who hear themselves and are asked nothing.
    fn new(transport: Transport, session: impl Fn(&str) -> S + 'static) -> People<S> {
        People {
            transport,
            session: Box::new(session),
            echoes: true,
            answer: None,
            questions: Questions::default(),
            longest_text: LONGEST_TEXT,
        }
    }
}

impl<S: ClientSession> Crowd for People<S> {
    type Session = S;

    fn transport(&self, _member: usize) -> Transport {
        self.transport
    }

    fn session(&self, member: usize, _ends: &Ends) -> S {
        (self.session)(&format!("{PREFIX}{member:05}"))
    }

    fn echoes(&self, _member: usize) -> bool {
        self.echoes
    }

    fn answer(&self, member: usize, between: &[u8], out: &mut Vec<u8>) {
        if let Some(answer) = self.answer {
            self.questions
                .find(member, between, |line| answer(line, out));
        }
    }

    fn longest_text(&self) -> usize {
        self.longest_text
    }
}
