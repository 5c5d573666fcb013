//! Owns the datagram ports of one client and the datagrams that wait to be sent. Knows nothing of what
//! they mean.
//!
//! Datagrams are lost wherever there is no room for them, here too: nothing waits without bound.

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4};
use std::time::{Duration, Instant};

use mio::Token;

use super::failure::said_in_passing;
use crate::protocol::Destination;
use crate::reactor::{BATCH, DatagramPort, Inbox, Outgoing, Poller, Readiness, UdpPort};

/// The ports, and whom they serve.
#[derive(Debug)]
pub struct Ports {
    /// Never empty. Everything is sent from the one at `sender`.
    ports: Vec<Port>,
    sender: usize,
    aim: Aim,
    unsent: VecDeque<(Destination, Vec<u8>)>,
    writable: bool,
    /// How many were sent since the last rest, and until when the next rest lasts if that is a whole burst.
    burst: usize,
    rest_until: Instant,
    inbox: Inbox,
    trouble: Option<Trouble>,
}

#[derive(Debug)]
struct Port {
    socket: UdpPort,
    /// The kernel may have something. Edge-triggered: true until it said that it has not.
    readable: bool,
}

#[derive(Debug)]
enum Aim {
    /// One server, of which a name may give an address of either family: each has its port. Once it was
    /// `heard`, it is settled which one it is.
    Server {
        addresses: Vec<SocketAddr>,
        heard: bool,
    },
    Peers,
    Broadcast(SocketAddr),
}

/// Why nothing may be heard, and whether somebody was told.
#[derive(Debug)]
struct Trouble {
    at: SocketAddr,
    reason: Reason,
    told: bool,
    /// Whether it is told once more when it happens once more.
    again: bool,
    since: Instant,
    /// How often it happened since then.
    count: u32,
}

#[derive(Debug, PartialEq, Eq)]
enum Reason {
    NobodyListens,
    /// As the kernel says it.
    Other(String),
}

/// Datagrams that may wait. A port that cannot send so many has no way out.
const MAX_UNSENT: usize = 1024;

/// Sent at once, and the rest after that: some 6,000 a second. Where nothing is ever confirmed, a whole file
/// would else be thrown at a server whose buffer holds a few hundred.
const BURST: usize = BATCH;
const REST: Duration = Duration::from_millis(5);

/// With more than this unsent, nothing more is to be said.
const CONGESTED: usize = 64;

/// When this much was refused, over more than that time and with nothing heard in between, the server is gone.
const GONE_REFUSALS: u32 = 3;
const GONE_TIME: Duration = Duration::from_secs(5);

/// More batches of broadcasts than a socket has room for, as systems are set up.
const BROADCAST_BATCHES: usize = 64;

impl Ports {
    /// To and from one server: the first of `addresses` of each family counts. Fails when no port can be
    /// had for any.
    pub fn to_server(
        poller: &Poller,
        first: Token,
        addresses: &[SocketAddr],
        local_port: u16,
    ) -> io::Result<Ports> {
        let mut kept: Vec<SocketAddr> = Vec::new();
        let mut sockets = Vec::new();
        let mut failure = None;
        for &address in addresses {
            if kept.iter().any(|kept| kept.is_ipv4() == address.is_ipv4()) {
                continue;
            }
            let any: IpAddr = match address {
                SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
                SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
            };
            match UdpPort::connect(SocketAddr::new(any, local_port), address) {
                Ok(socket) => {
                    kept.push(address);
                    sockets.push(socket);
                }
                // A machine without that family, perhaps.
                Err(error) => failure = failure.or(Some(error)),
            }
        }
        if sockets.is_empty() {
            return Err(failure.unwrap_or(io::ErrorKind::AddrNotAvailable.into()));
        }
        let aim = Aim::Server {
            addresses: kept,
            heard: false,
        };
        Ports::new(poller, first, sockets, aim)
    }

    /// From and to anybody, at a port of the kernel's choice.
    pub fn to_peers(poller: &Poller, first: Token, local: IpAddr) -> io::Result<Ports> {
        let socket = UdpPort::bind(SocketAddr::new(local, 0))?;
        Ports::new(poller, first, vec![socket], Aim::Peers)
    }

    /// From and to everybody on the network. A failure comes with what could not be had.
    pub fn to_all(
        poller: &Poller,
        first: Token,
        bind: Option<Ipv4Addr>,
        broadcast: Ipv4Addr,
        port: u16,
    ) -> Result<Ports, (String, io::Error)> {
        let what = match bind {
            Some(bind) => format!("--bind {bind}"),
            None => format!("UDP port {port}"),
        };
        let of = |what: String| move |error| (what, error);
        let own = SocketAddrV4::new(bind.unwrap_or(Ipv4Addr::UNSPECIFIED), port);
        let to = SocketAddrV4::new(broadcast, port);
        let mut sockets = vec![UdpPort::bind_broadcast(own).map_err(of(what.clone()))?];
        // Who is bound to an address of its own hears no broadcasts there.
        if let Some(bind) = bind.filter(|bind| *bind != broadcast) {
            let twin = UdpPort::bind_broadcast_beside(bind, to);
            sockets.push(twin.map_err(of(format!("--broadcast {broadcast}")))?);
        }
        Ports::new(poller, first, sockets, Aim::Broadcast(to.into())).map_err(of(what))
    }

    fn new(poller: &Poller, first: Token, sockets: Vec<UdpPort>, aim: Aim) -> io::Result<Ports> {
        let mut ports = Vec::new();
        for (mut socket, token) in sockets.into_iter().zip(first.0..) {
            poller.register(&mut socket, Token(token))?;
            ports.push(Port {
                socket,
                readable: true,
            });
        }
        Ok(Ports {
            ports,
            sender: 0,
            aim,
            unsent: VecDeque::new(),
            writable: true,
            burst: 0,
            rest_until: Instant::now(),
            inbox: Inbox::new(),
            trouble: None,
        })
    }

    /// Where datagrams are sent from.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.ports[self.sender].socket.local_addr()
    }

    /// Whether they go to everybody.
    pub fn is_to_all(&self) -> bool {
        matches!(self.aim, Aim::Broadcast(_))
    }

    /// Where they go, for people: the server or the broadcast address.
    pub fn place(&self) -> Option<SocketAddr> {
        match &self.aim {
            Aim::Server { addresses, .. } => addresses.get(self.sender).copied(),
            Aim::Peers => None,
            Aim::Broadcast(to) => Some(*to),
        }
    }

    /// Remembers what the poll said about the port at that place.
    pub fn handle_readiness(&mut self, index: usize, readiness: Readiness) {
        if let Some(port) = self.ports.get_mut(index) {
            port.readable |= readiness.readable || readiness.read_closed;
            self.writable |= readiness.writable && index == self.sender;
        }
    }

    /// Whether [`receive`](Ports::receive) may find something.
    pub fn may_receive(&self) -> bool {
        self.ports.iter().any(|port| port.readable)
    }

    /// Takes in what has come, a batch from each port at most, and of broadcasts more than that when they
    /// belong before an answer.
    pub fn receive(&mut self, datagrams: &mut Vec<(SocketAddr, Vec<u8>)>) {
        if let (Aim::Broadcast(_), [_, _]) = (&self.aim, &self.ports[..]) {
            return self.receive_in_order(datagrams);
        }
        for index in 0..self.ports.len() {
            self.receive_from(index, datagrams);
        }
    }

    /// An answer may tell again what was broadcast before it, which waits at another port than it does: all
    /// of that goes first.
    fn receive_in_order(&mut self, datagrams: &mut Vec<(SocketAddr, Vec<u8>)>) {
        const ANSWERS: usize = 0;
        const BROADCASTS: usize = 1;
        let mut answers = Vec::new();
        self.receive_from(ANSWERS, &mut answers);
        if answers.is_empty() {
            return self.receive_from(BROADCASTS, datagrams);
        }
        // What the poll said of it was before the answers came.
        self.ports[BROADCASTS].readable = true;
        for _ in 0..BROADCAST_BATCHES {
            self.receive_from(BROADCASTS, datagrams);
        }
        datagrams.append(&mut answers);
    }

    fn receive_from(&mut self, index: usize, datagrams: &mut Vec<(SocketAddr, Vec<u8>)>) {
        let port = &mut self.ports[index];
        if !port.readable {
            return;
        }
        match port.socket.recv_batch(&mut self.inbox) {
            Ok(()) => self.take_over(datagrams),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => port.readable = false,
            Err(error) => self.handle_error(index, &error),
        }
    }

    fn take_over(&mut self, datagrams: &mut Vec<(SocketAddr, Vec<u8>)>) {
        for datagram in self.inbox.iter() {
            if let Aim::Server { addresses, heard } = &mut self.aim {
                // What came before the port was connected may be anybody's.
                let Some(index) = addresses.iter().position(|at| *at == datagram.from) else {
                    continue;
                };
                if !*heard {
                    *heard = true;
                    self.sender = index;
                    self.writable = true;
                }
                self.trouble = None;
            }
            // Half a datagram is none.
            if !datagram.truncated {
                datagrams.push((datagram.from, datagram.bytes.to_vec()));
            }
        }
    }

    /// Has a datagram sent. With too many waiting it is lost, as it might be anywhere on its way.
    pub fn push(&mut self, to: Destination, bytes: Vec<u8>) {
        if self.unsent.len() < MAX_UNSENT {
            self.unsent.push_back((to, bytes));
        }
    }

    /// Sends what the kernel takes, a burst at most.
    pub fn send_out(&mut self, now: Instant) {
        if self.burst >= BURST && self.rest_until <= now {
            self.burst = 0;
        }
        let mut refused = false;
        while self.writable && self.burst < BURST && !self.unsent.is_empty() {
            let port = &mut self.ports[self.sender];
            let to = |to: Destination| match (to, &self.aim) {
                (Destination::Server, Aim::Server { addresses, .. }) => {
                    addresses.get(self.sender).copied()
                }
                (Destination::Broadcast, Aim::Broadcast(to)) => Some(*to),
                (Destination::Peer(to), Aim::Peers | Aim::Broadcast(_)) => Some(to),
                // A session that was given other ports than it needs.
                _ => None,
            };
            let outgoing: Vec<Outgoing<'_>> = self
                .unsent
                .iter()
                .take(BURST - self.burst)
                .map_while(|(destination, bytes)| {
                    to(*destination).map(|to| Outgoing {
                        to: to.into(),
                        bytes,
                    })
                })
                .collect();
            if outgoing.is_empty() {
                self.unsent.pop_front();
                continue;
            }
            match port.socket.send_batch(&outgoing) {
                Ok(sent) => {
                    self.unsent.drain(..sent);
                    self.burst += sent;
                    self.rest_until = now + REST;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.writable = false,
                // It is about one that was sent before: this one goes now.
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused && !refused => {
                    refused = true;
                    self.handle_error(self.sender, &error);
                }
                Err(error) => {
                    let at = outgoing.first().map(|outgoing| outgoing.to.address());
                    self.unsent.pop_front();
                    self.handle_send_error(at, &error);
                }
            }
        }
    }

    /// What a port says instead of a datagram.
    fn handle_error(&mut self, index: usize, error: &io::Error) {
        if index != self.sender {
            return;
        }
        let at = self.place();
        if let Aim::Server { addresses, heard } = &self.aim
            && !heard
            && index + 1 < addresses.len()
        {
            // The server may be one of the other family; whatever was said is repeated there.
            self.sender += 1;
            self.writable = true;
            return;
        }
        self.handle_send_error(at, error);
    }

    fn handle_send_error(&mut self, at: Option<SocketAddr>, error: &io::Error) {
        let reason = match error.kind() {
            io::ErrorKind::ConnectionRefused => Reason::NobodyListens,
            _ => Reason::Other(said_in_passing(error)),
        };
        let known = |trouble: &Trouble| trouble.reason == reason && Some(trouble.at) == at;
        let Some(at) = at else {
            return;
        };
        if let Some(trouble) = self.trouble.as_mut().filter(|trouble| known(trouble)) {
            trouble.count = trouble.count.saturating_add(1);
            trouble.told &= !std::mem::take(&mut trouble.again);
            return;
        }
        self.trouble = Some(Trouble {
            reason,
            at,
            told: false,
            again: false,
            since: Instant::now(),
            count: 1,
        });
    }

    /// The person has said something else: should that meet the same trouble, it is news again.
    pub fn expect_news(&mut self) {
        if let Some(trouble) = &mut self.trouble {
            trouble.again = true;
        }
    }

    /// Where the server was, if it seems to be there no more.
    pub fn gone(&self, now: Instant) -> Option<SocketAddr> {
        let trouble = self.trouble.as_ref()?;
        let is_gone = matches!(self.aim, Aim::Server { .. })
            && trouble.reason == Reason::NobodyListens
            && trouble.count >= GONE_REFUSALS
            && now.saturating_duration_since(trouble.since) > GONE_TIME;
        is_gone.then_some(trouble.at)
    }

    /// What became of datagrams, once for each thing said: for people, with the address.
    pub fn take_news(&mut self) -> Option<String> {
        let trouble = self.trouble.as_mut().filter(|trouble| !trouble.told)?;
        trouble.told = true;
        let at = trouble.at;
        Some(match &trouble.reason {
            Reason::NobodyListens => format!("nobody listens at {at}"),
            Reason::Other(reason) => format!("nothing can be sent to {at}: {reason}"),
        })
    }

    /// Why the server is not heard, if that is known: without its address.
    pub fn trouble(&self) -> Option<&str> {
        match (&self.aim, &self.trouble.as_ref()?.reason) {
            (Aim::Peers | Aim::Broadcast(_), _) => None,
            (Aim::Server { .. }, Reason::NobodyListens) => Some("nobody listens there"),
            (Aim::Server { .. }, Reason::Other(reason)) => Some(reason),
        }
    }

    /// When the rest between two bursts is over, if somebody waits for that.
    pub fn next_deadline(&self) -> Option<Instant> {
        let waits = self.burst >= BURST && !self.unsent.is_empty();
        waits.then_some(self.rest_until)
    }

    /// Datagrams that wait to be sent.
    pub fn unsent(&self) -> usize {
        self.unsent.len()
    }

    /// Whether so many wait that nothing should be added.
    pub fn is_congested(&self) -> bool {
        self.unsent.len() > CONGESTED
    }
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use super::*;

    const FIRST: Token = Token(3);

    /// Ports and the poll that they are registered with.
    struct Client {
        poller: Poller,
        ports: Ports,
    }

    impl Client {
        fn new(open: impl FnOnce(&Poller) -> io::Result<Ports>) -> Client {
            let poller = Poller::new().unwrap();
            let ports = open(&poller).unwrap();
            Client { poller, ports }
        }

        fn to_server(addresses: &[SocketAddr]) -> Client {
            Client::new(|poller| Ports::to_server(poller, FIRST, addresses, 0))
        }

        /// Takes turns until this comes to something.
        fn until<T>(&mut self, mut done: impl FnMut(&mut Ports) -> Option<T>) -> T {
            let deadline = Instant::now() + Duration::from_secs(10);
            loop {
                self.ports.send_out(Instant::now());
                if let Some(result) = done(&mut self.ports) {
                    return result;
                }
                let left = deadline.saturating_duration_since(Instant::now());
                assert!(!left.is_zero(), "not in time");
                if !self.ports.may_receive() {
                    for readiness in self.poller.wait(Some(left)).unwrap() {
                        let index = readiness.token.0 - FIRST.0;
                        self.ports.handle_readiness(index, readiness);
                    }
                }
            }
        }

        fn hear(&mut self) -> (SocketAddr, Vec<u8>) {
            self.until(|ports| {
                let mut datagrams = Vec::new();
                ports.receive(&mut datagrams);
                datagrams.pop()
            })
        }

        fn hear_of_trouble(&mut self) -> String {
            self.until(|ports| {
                let mut datagrams = Vec::new();
                ports.receive(&mut datagrams);
                assert_eq!(datagrams, []);
                ports.take_news()
            })
        }
    }

    fn socket(ip: &str) -> (UdpSocket, SocketAddr) {
        let socket = UdpSocket::bind((ip, 0)).unwrap();
        let limit = Some(Duration::from_secs(10));
        socket.set_read_timeout(limit).unwrap();
        let address = socket.local_addr().unwrap();
        (socket, address)
    }

    fn hear(socket: &UdpSocket) -> (Vec<u8>, SocketAddr) {
        let mut buffer = [0; 8192];
        let (length, from) = socket.recv_from(&mut buffer).unwrap();
        (buffer[..length].to_vec(), from)
    }

    #[test]
    fn a_server_and_nobody_else_is_talked_with() {
        let (server, address) = socket("127.0.0.1");
        let mut client = Client::to_server(&[address]);
        let peer = Destination::Peer(address);
        client.ports.push(peer, b"lost: there are no peers".into());
        client.ports.push(Destination::Server, b"hello".into());
        client.ports.send_out(Instant::now());
        assert_eq!(client.ports.unsent(), 0);
        let (heard, from) = hear(&server);
        assert_eq!(heard, b"hello");
        let (stranger, _) = socket("127.0.0.1");
        stranger.send_to(b"psst", from).unwrap();
        server.send_to(&[b'x'; 5000], from).unwrap();
        server.send_to(b"hi", from).unwrap();
        let expected = (address, b"hi".to_vec());
        assert_eq!(client.hear(), expected, "whole, and from the server");
    }

    #[test]
    fn a_server_that_is_not_there_is_told_once_until_it_is() {
        let (server, address) = socket("127.0.0.1");
        drop(server);
        let mut client = Client::to_server(&[address]);
        client.ports.push(Destination::Server, b"anybody?".into());
        let news = format!("nobody listens at {address}");
        assert_eq!(client.hear_of_trouble(), news);
        assert_eq!(client.ports.trouble(), Some("nobody listens there"));
        // The next thing said may be told so once more, and whatever else is repeated is not.
        for (said, news) in [(false, false), (true, true), (false, false)] {
            if said {
                client.ports.expect_news();
            }
            client
                .ports
                .push(Destination::Server, b"anybody else?".into());
            let before = client.ports.trouble.as_ref().map(|trouble| trouble.count);
            client.until(|ports| {
                ports.receive(&mut Vec::new());
                (ports.trouble.as_ref().map(|trouble| trouble.count) > before).then_some(())
            });
            assert_eq!(client.ports.take_news().is_some(), news);
        }
        let now = Instant::now();
        assert_eq!(client.ports.gone(now), None, "not yet");
        assert_eq!(client.ports.gone(now + GONE_TIME), Some(address));
        // Whatever is sent next goes all the same, although the kernel has that error to tell first.
        let server = UdpSocket::bind(address).unwrap();
        client.ports.push(Destination::Server, b"still?".into());
        client.ports.send_out(Instant::now());
        let (heard, from) = hear(&server);
        assert_eq!(heard, b"still?");
        assert_eq!(client.ports.take_news(), None, "told already");
        server.send_to(b"yes", from).unwrap();
        assert_eq!(client.hear().1, b"yes");
        assert_eq!(client.ports.trouble(), None);
        assert_eq!(client.ports.gone(now + GONE_TIME), None);
    }

    #[test]
    fn a_server_of_the_other_family_is_found() {
        let Ok(nobody) = UdpSocket::bind("[::1]:0") else {
            println!("SKIPPED: no IPv6 here");
            return;
        };
        let nowhere = nobody.local_addr().unwrap();
        drop(nobody);
        let (server, address) = socket("127.0.0.1");
        let mut client = Client::to_server(&[nowhere, address]);
        assert_eq!(client.ports.place(), Some(nowhere));
        client.ports.push(Destination::Server, b"first".into());
        client.until(|ports| {
            ports.receive(&mut Vec::new());
            (ports.place() == Some(address)).then_some(())
        });
        assert_eq!(client.ports.take_news(), None, "no trouble yet");
        // As a session repeats what was not answered.
        client.ports.push(Destination::Server, b"again".into());
        client.ports.send_out(Instant::now());
        assert_eq!(hear(&server).0, b"again");
    }

    #[test]
    fn peers_are_anybody() {
        let mut client =
            Client::new(|poller| Ports::to_peers(poller, FIRST, Ipv4Addr::LOCALHOST.into()));
        let own = client.ports.local_addr().unwrap();
        let (one, address) = socket("127.0.0.1");
        client.ports.push(Destination::Server, b"lost".into());
        client
            .ports
            .push(Destination::Peer(address), b"hello".into());
        client.ports.send_out(Instant::now());
        assert_eq!(hear(&one), (b"hello".to_vec(), own));
        one.send_to(b"hi", own).unwrap();
        assert_eq!(client.hear(), (address, b"hi".to_vec()));
        // What can never be sent is told, and costs nothing else.
        let never: SocketAddr = "127.0.0.1:0".parse().unwrap();
        client.ports.push(Destination::Peer(never), b"?".into());
        client.ports.push(Destination::Peer(address), b"!".into());
        client.ports.send_out(Instant::now());
        assert_eq!(hear(&one).0, b"!");
        let news = client.ports.take_news().unwrap();
        assert!(
            news.starts_with("nothing can be sent to 127.0.0.1:0: "),
            "{news}"
        );
        assert_eq!(client.ports.trouble(), None, "it is nobody's server");
    }

    #[test]
    fn a_bound_address_hears_broadcasts_too() {
        let broadcast = Ipv4Addr::new(127, 255, 255, 255);
        let free = socket("0.0.0.0").1.port();
        let open = |last| {
            let bind = Ipv4Addr::new(127, 9, 9, last);
            let open =
                |poller: &Poller, bind| Ports::to_all(poller, FIRST, Some(bind), broadcast, free);
            // An address of nobody here (TEST-NET-3).
            let nobody = Ipv4Addr::new(203, 0, 113, 1);
            let (what, _) = open(&Poller::new().unwrap(), nobody).unwrap_err();
            assert_eq!(what, "--bind 203.0.113.1");
            Client::new(|poller| open(poller, bind).map_err(|(_, error)| error))
        };
        let (mut one, mut other) = (open(1), open(2));
        let own = one.ports.local_addr().unwrap();
        one.ports.push(Destination::Broadcast, b"to all".into());
        one.ports.send_out(Instant::now());
        for client in [&mut one, &mut other] {
            assert_eq!(client.hear(), (own, b"to all".to_vec()));
        }
        other.ports.push(Destination::Peer(own), b"to one".into());
        other.ports.send_out(Instant::now());
        assert_eq!(one.hear().1, b"to one");
    }

    #[test]
    fn what_waits_has_a_limit() {
        let (_server, address) = socket("127.0.0.1");
        let mut client = Client::to_server(&[address]);
        for _ in 0..2 * MAX_UNSENT {
            client.ports.push(Destination::Server, vec![0]);
        }
        assert_eq!(client.ports.unsent(), MAX_UNSENT);
        assert!(client.ports.is_congested());
        // And goes in bursts with a rest between them.
        let mut now = Instant::now();
        for left in (0..MAX_UNSENT).step_by(BURST).rev() {
            client.ports.send_out(now);
            client.ports.send_out(now);
            assert_eq!(client.ports.unsent(), left);
            let next = client.ports.next_deadline();
            assert_eq!(next, (left > 0).then_some(now + REST));
            now += REST;
        }
        assert!(!client.ports.is_congested());
    }
}
