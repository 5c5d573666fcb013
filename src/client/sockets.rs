//! Owns all sockets of one client: the stream to the server, the datagram ports, the streams to other
//! clients, as far as its [`Transport`] has them. Knows nothing of what is said over them.

use std::net::SocketAddr;
use std::time::Instant;

use mio::Token;
use mio::net::TcpStream;

use super::connect::{Connector, Waited};
use super::failure::{Failure, said_in_passing};
use super::link::Link;
use super::peers::Peers;
use super::ports::Ports;
use super::transport::{Datagrams, Endpoints, Place, Transport};
use crate::reactor::Readiness;

/// What stands.
#[derive(Debug)]
pub struct Sockets {
    /// The stream to the server, until it has ended as it should.
    pub link: Option<Link<TcpStream>>,
    pub ports: Option<Ports>,
    pub peers: Peers,
    endpoints: Endpoints,
    tokens: Tokens,
}

/// By which readiness is told apart. The streams to other clients have all numbers from `first_peer` on.
#[derive(Clone, Copy, Debug)]
pub struct Tokens {
    /// The one that the [`Connector`] was given.
    pub connection: Token,
    /// It and the next one.
    pub first_port: Token,
    pub first_peer: Token,
}

impl Sockets {
    /// Connects and binds, with an ear for signals.
    pub fn open(
        connector: &mut Connector<'_>,
        transport: &Transport,
        tokens: Tokens,
    ) -> Result<Waited<Sockets>, Failure> {
        let mut endpoints = Endpoints::default();
        let mut link = None;
        if let Some(address) = &transport.stream {
            let (stream, server) = match connector.connect(address)? {
                Waited::For(connected) => connected,
                Waited::Interrupted => return Ok(Waited::Interrupted),
            };
            endpoints.server = Some(server);
            endpoints.stream = stream.local_addr().ok();
            link = Some(Link::new(stream));
        }
        let ports = match &transport.datagrams {
            None => None,
            Some(datagrams) => match open_ports(connector, datagrams, &endpoints, tokens)? {
                Waited::For(ports) => Some(ports),
                Waited::Interrupted => return Ok(Waited::Interrupted),
            },
        };
        endpoints.datagrams = ports.as_ref().and_then(|ports| ports.local_addr().ok());
        let registry = connector.poller().registry().try_clone();
        let registry = registry.map_err(Failure::system("opening a poll"))?;
        let local = endpoints.stream.map(|local| local.ip());
        Ok(Waited::For(Sockets {
            link,
            ports,
            peers: Peers::new(registry, tokens.first_peer, local),
            endpoints,
            tokens,
        }))
    }

    /// What stands, for the session.
    pub fn endpoints(&self) -> &Endpoints {
        &self.endpoints
    }

    /// Whom we talk with, for people: there is always a server or a broadcast address.
    pub fn place(&self) -> String {
        let datagrams = || self.ports.as_ref().and_then(Ports::place);
        let place = self.endpoints.server.or_else(datagrams);
        place.map_or_else(String::new, |place| place.to_string())
    }

    /// The one who may refuse us: a server, for on a network of equals nobody speaks for all.
    pub fn server(&self) -> Option<String> {
        let is_network = self.ports.as_ref().is_some_and(Ports::is_to_all);
        (!is_network).then(|| self.place())
    }

    /// Remembers what the poll said, if it was about one of these.
    pub fn handle_readiness(&mut self, readiness: Readiness) {
        let token = readiness.token;
        if token == self.tokens.connection {
            if let Some(link) = &mut self.link {
                link.handle_readiness(readiness);
            }
        } else if token >= self.tokens.first_peer {
            self.peers.handle_readiness(readiness);
        } else if let Some(ports) = &mut self.ports
            && let Some(index) = token.0.checked_sub(self.tokens.first_port.0)
        {
            ports.handle_readiness(index, readiness);
        }
    }

    /// Sends what the kernel takes.
    pub fn send_out(&mut self, now: Instant) {
        if let Some(link) = &mut self.link {
            link.send_out();
        }
        if let Some(ports) = &mut self.ports {
            ports.send_out(now);
        }
    }

    /// When there is something to do without readiness.
    pub fn next_deadline(&self) -> Option<Instant> {
        let ports = self.ports.as_ref().and_then(Ports::next_deadline);
        ports.into_iter().chain(self.peers.next_deadline()).min()
    }

    /// Whether anything may be there to be taken in.
    pub fn may_receive(&self) -> bool {
        self.link.as_ref().is_some_and(Link::may_receive)
            || self.ports.as_ref().is_some_and(Ports::may_receive)
            || self.peers.has_news()
            || !self.peers.readable().is_empty()
    }

    /// Whether something waits to be sent to the server, as far as we know.
    pub fn has_unsent(&self) -> bool {
        self.link.as_ref().is_some_and(|link| link.unsent() > 0)
            || self.ports.as_ref().is_some_and(|ports| ports.unsent() > 0)
            || self.peers.unsent() > 0
    }

    /// Bytes that were ever sent to the server over the stream: how progress is seen. Datagrams are none,
    /// for those may be repeated without end.
    pub fn sent_in_all(&self) -> u64 {
        self.link.as_ref().map_or(0, Link::sent_in_all)
    }

    /// Whether so much waits to be sent that nothing should be added.
    pub fn is_congested(&self) -> bool {
        self.link.as_ref().is_some_and(Link::is_congested)
            || self.ports.as_ref().is_some_and(Ports::is_congested)
    }
}

fn open_ports(
    connector: &mut Connector<'_>,
    datagrams: &Datagrams,
    endpoints: &Endpoints,
    tokens: Tokens,
) -> Result<Waited<Ports>, Failure> {
    let first = tokens.first_port;
    let opened = match datagrams {
        Datagrams::Server { at, local_port } => {
            let addresses = match at {
                Place::At(address) => match connector.look_up(address)? {
                    Waited::For(addresses) => addresses,
                    Waited::Interrupted => return Ok(Waited::Interrupted),
                },
                Place::BesideStream { port } => endpoints
                    .server
                    .map(|server| with_port(server, *port))
                    .into_iter()
                    .collect(),
            };
            let what = match addresses.first() {
                Some(address) if *local_port == 0 => address.to_string(),
                _ => format!("UDP port {local_port}"),
            };
            let poller = connector.poller();
            Ports::to_server(poller, first, &addresses, *local_port).map_err(|error| (what, error))
        }
        Datagrams::Peers => {
            let local = endpoints.stream.map(|local| local.ip());
            let local = local.unwrap_or(std::net::Ipv4Addr::UNSPECIFIED.into());
            Ports::to_peers(connector.poller(), first, local)
                .map_err(|error| (format!("UDP on {local}"), error))
        }
        Datagrams::Broadcast {
            bind,
            broadcast,
            port,
        } => Ports::to_all(connector.poller(), first, *bind, *broadcast, *port),
    };
    match opened {
        Ok(ports) => Ok(Waited::For(ports)),
        Err((what, error)) => Err(Failure::Unreachable {
            reason: format!("{what}: {}", said_in_passing(&error)),
        }),
    }
}

/// The same host, and for an IPv6 one the same network.
fn with_port(mut address: SocketAddr, port: u16) -> SocketAddr {
    address.set_port(port);
    address
}
