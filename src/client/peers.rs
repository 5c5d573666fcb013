//! Owns the streams between this client and others: how they come about, their bytes and their ends.
//! Knows nothing of what is said over them.
//!
//! ```text
//!              somebody came                      Close, when there is more to send
//!   Waiting ──────────────────┐                ┌───────────────────────────────▶ Closing
//!                             ├──▶ Standing ───┤                                    │ sent, and
//!   Connecting ───────────────┘                │ an end, an error, too slow         ▼ heard out
//!              it is taken                     └──────────────────────────────▶ (forgotten)
//! ```
//!
//! Another client is not to be trusted more than a server: one that does not read, or that never ends a
//! message, loses its stream.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use mio::net::{TcpListener, TcpStream};
use mio::{Interest, Registry, Token};

use super::connect::is_connected;
use super::link::{Link, Received};
use crate::protocol::{Call, PeerEvent, PeerLink};
use crate::reactor::{Readiness, plain};

/// All of them.
#[derive(Debug)]
pub struct Peers {
    registry: Registry,
    /// The token of link 0; the others' follow.
    first: Token,
    /// Where we can be reached: our own address as the server sees it.
    local: Option<IpAddr>,
    peers: BTreeMap<PeerLink, Peer>,
    /// What the session was not told yet.
    news: VecDeque<(PeerLink, News)>,
}

/// What became of a stream, bytes apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum News {
    Listening { port: u16 },
    Connected,
    Closed,
}

#[derive(Debug)]
enum Peer {
    /// For one connection from that IP.
    Waiting {
        listener: TcpListener,
        from: IpAddr,
        readable: bool,
    },
    /// What is said already waits in the link.
    Connecting {
        link: Link<TcpStream>,
        deadline: Instant,
    },
    Standing(Link<TcpStream>),
    /// The session has done with it.
    Closing {
        link: Link<TcpStream>,
        deadline: Instant,
    },
}

/// How long a connection may take to come about.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);

/// How long the other side may take to read the rest.
const CLOSE_LIMIT: Duration = Duration::from_secs(2);

/// Who lets so much wait does not read.
const MAX_UNSENT: usize = 256 * 1024;

/// What came and is no whole message: more than any message has.
const MAX_UNUSED: usize = 8 * 1024 * 1024;

/// Reads per turn of what nobody wants any more.
const READS_PER_TURN: usize = 4;

/// Connections from elsewhere that are turned away per turn.
const ACCEPTS_PER_TURN: usize = 16;

impl Peers {
    /// None yet. `registry` is that of the loop's poll.
    pub fn new(registry: Registry, first: Token, local: Option<IpAddr>) -> Peers {
        Peers {
            registry,
            first,
            local,
            peers: BTreeMap::new(),
            news: VecDeque::new(),
        }
    }

    /// Does what a session wants done.
    pub fn call(&mut self, call: Call, now: Instant) {
        match call {
            Call::Listen { link, from } => match self.listen(link, from.ip()) {
                Ok(port) => self.news.push_back((link, News::Listening { port })),
                Err(_) => self.news.push_back((link, News::Closed)),
            },
            Call::Connect { link, to } => {
                if self.connect(link, to, now).is_err() {
                    self.news.push_back((link, News::Closed));
                }
            }
            Call::Send { link, bytes } => self.send(link, &bytes),
            Call::Close { link } => self.close(link, now),
        }
    }

    fn listen(&mut self, link: PeerLink, from: IpAddr) -> io::Result<u16> {
        let local = self.local.ok_or(io::ErrorKind::AddrNotAvailable)?;
        let mut listener = TcpListener::bind(SocketAddr::new(local, 0))?;
        let port = listener.local_addr()?.port();
        let token = self.token(link);
        self.registry
            .register(&mut listener, token, Interest::READABLE)?;
        let waiting = Peer::Waiting {
            listener,
            from,
            readable: true,
        };
        self.peers.insert(link, waiting);
        Ok(port)
    }

    fn connect(&mut self, link: PeerLink, to: SocketAddr, now: Instant) -> io::Result<()> {
        let mut stream = TcpStream::connect(to)?;
        self.register(link, &mut stream)?;
        let connecting = Peer::Connecting {
            link: Link::new(stream),
            deadline: now + CONNECT_LIMIT,
        };
        self.peers.insert(link, connecting);
        Ok(())
    }

    fn register(&self, link: PeerLink, stream: &mut TcpStream) -> io::Result<()> {
        let both = Interest::READABLE | Interest::WRITABLE;
        self.registry.register(stream, self.token(link), both)
    }

    fn token(&self, link: PeerLink) -> Token {
        Token(self.first.0 + link.0 as usize)
    }

    fn send(&mut self, link: PeerLink, bytes: &[u8]) {
        let unsent = match self.peers.get_mut(&link) {
            Some(Peer::Standing(link)) => {
                link.output().extend_from_slice(bytes);
                link.send_out();
                link.unsent()
            }
            Some(Peer::Connecting { link, .. }) => {
                link.output().extend_from_slice(bytes);
                link.unsent()
            }
            // Nobody is there to send it to.
            Some(Peer::Waiting { .. } | Peer::Closing { .. }) | None => 0,
        };
        if unsent > MAX_UNSENT {
            self.lose(link);
        }
    }

    fn close(&mut self, link: PeerLink, now: Instant) {
        self.news.retain(|(about, _)| *about != link);
        match self.peers.remove(&link) {
            Some(Peer::Standing(stream)) => {
                let closing = Peer::Closing {
                    link: stream,
                    deadline: now + CLOSE_LIMIT,
                };
                self.peers.insert(link, closing);
                self.progress(link, now);
            }
            Some(closing @ Peer::Closing { .. }) => drop(self.peers.insert(link, closing)),
            Some(Peer::Waiting { .. } | Peer::Connecting { .. }) | None => {}
        }
    }

    /// It is over, and not because the session wanted it.
    fn lose(&mut self, link: PeerLink) {
        self.peers.remove(&link);
        self.news.push_back((link, News::Closed));
    }

    /// Remembers what the poll said, if it was about one of these.
    pub fn handle_readiness(&mut self, readiness: Readiness) {
        let Some(number) = readiness.token.0.checked_sub(self.first.0) else {
            return;
        };
        let link = u32::try_from(number).map(PeerLink);
        match link.ok().and_then(|link| self.peers.get_mut(&link)) {
            Some(Peer::Waiting { readable, .. }) => *readable = true,
            Some(
                Peer::Connecting { link, .. } | Peer::Standing(link) | Peer::Closing { link, .. },
            ) => link.handle_readiness(readiness),
            None => {}
        }
    }

    /// Goes on with everything that needs no session.
    pub fn advance(&mut self, now: Instant) {
        let links: Vec<PeerLink> = self.peers.keys().copied().collect();
        for link in links {
            self.progress(link, now);
        }
    }

    fn progress(&mut self, link: PeerLink, now: Instant) {
        let Some(peer) = self.peers.remove(&link) else {
            return;
        };
        let next = match peer {
            Peer::Waiting {
                listener,
                from,
                readable,
            } => self.accept(link, listener, from, readable),
            Peer::Connecting {
                link: mut stream,
                deadline,
            } => match is_connected(stream.stream()) {
                Ok(true) => {
                    self.news.push_back((link, News::Connected));
                    stream.send_out();
                    Some(Peer::Standing(stream))
                }
                Ok(false) if now < deadline => Some(Peer::Connecting {
                    link: stream,
                    deadline,
                }),
                Ok(false) | Err(_) => None,
            },
            Peer::Standing(mut stream) => {
                stream.send_out();
                Some(Peer::Standing(stream))
            }
            Peer::Closing {
                link: mut stream,
                deadline,
            } => {
                if !has_ended(&mut stream) && now < deadline {
                    let closing = Peer::Closing {
                        link: stream,
                        deadline,
                    };
                    self.peers.insert(link, closing);
                }
                return;
            }
        };
        match next {
            Some(peer) => drop(self.peers.insert(link, peer)),
            None => self.lose(link),
        }
    }

    fn accept(
        &mut self,
        link: PeerLink,
        listener: TcpListener,
        from: IpAddr,
        readable: bool,
    ) -> Option<Peer> {
        let mut accepts = if readable { ACCEPTS_PER_TURN } else { 0 };
        while accepts > 0 {
            accepts -= 1;
            match listener.accept() {
                Ok((mut stream, peer)) if plain(peer).ip() == from => {
                    self.register(link, &mut stream).ok()?;
                    // It is one line at a time.
                    let _ = stream.set_nodelay(true);
                    self.news.push_back((link, News::Connected));
                    return Some(Peer::Standing(Link::new(stream)));
                }
                // Somebody else, who has no business here.
                Ok(_) => {}
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock => {
                        return Some(Peer::Waiting {
                            listener,
                            from,
                            readable: false,
                        });
                    }
                    // Gone before we looked, or a signal: there may be another.
                    io::ErrorKind::ConnectionAborted | io::ErrorKind::Interrupted => {}
                    // No descriptor is free, say. It would be so at once again, and again.
                    _ => return None,
                },
            }
        }
        Some(Peer::Waiting {
            listener,
            from,
            readable,
        })
    }

    /// What the session is to be told next.
    pub fn next_news(&mut self) -> Option<(PeerLink, News)> {
        self.news.pop_front()
    }

    /// The streams that may have something to read.
    pub fn readable(&self) -> Vec<PeerLink> {
        let readable = |peer: &Peer| matches!(peer, Peer::Standing(link) if link.may_receive());
        let links = self.peers.iter().filter(|(_, peer)| readable(peer));
        links.map(|(link, _)| *link).collect()
    }

    /// Reads once; whether something is new in [`input`](Peers::input). An end is news.
    pub fn receive(&mut self, link: PeerLink) -> bool {
        let Some(Peer::Standing(stream)) = self.peers.get_mut(&link) else {
            return false;
        };
        match stream.receive() {
            Ok(Received::Bytes) => return true,
            Ok(Received::Nothing) => {}
            Ok(Received::End) | Err(_) => self.lose(link),
        }
        false
    }

    /// What came over a stream and was not used up.
    pub fn input(&self, link: PeerLink) -> &[u8] {
        match self.peers.get(&link) {
            Some(Peer::Standing(link)) => link.input(),
            _ => &[],
        }
    }

    /// The first `used` bytes of the input were understood.
    pub fn use_up(&mut self, link: PeerLink, used: usize) {
        if let Some(Peer::Standing(stream)) = self.peers.get_mut(&link) {
            stream.use_up(used);
            if stream.input().len() > MAX_UNUSED {
                self.lose(link);
            }
        }
    }

    /// Whether there is something to do at once.
    pub fn has_news(&self) -> bool {
        let accepting = |peer: &Peer| matches!(peer, Peer::Waiting { readable: true, .. });
        !self.news.is_empty() || self.peers.values().any(accepting)
    }

    /// When patience ends with one of them.
    pub fn next_deadline(&self) -> Option<Instant> {
        let deadlines = self.peers.values().filter_map(|peer| match peer {
            Peer::Connecting { deadline, .. } | Peer::Closing { deadline, .. } => Some(*deadline),
            Peer::Waiting { .. } | Peer::Standing(_) => None,
        });
        deadlines.min()
    }

    /// Bytes that wait to be sent.
    pub fn unsent(&self) -> usize {
        let unsent = self.peers.values().map(|peer| match peer {
            Peer::Waiting { .. } => 0,
            Peer::Connecting { link, .. } | Peer::Standing(link) | Peer::Closing { link, .. } => {
                link.unsent()
            }
        });
        unsent.sum()
    }
}

impl News {
    /// As the session is told.
    pub fn event(self) -> PeerEvent<'static> {
        match self {
            News::Listening { port } => PeerEvent::Listening { port },
            News::Connected => PeerEvent::Connected,
            News::Closed => PeerEvent::Closed,
        }
    }
}

/// Sends the rest and our end, and reads what is still said to nobody: a close with unread bytes would be a
/// reset, which may overtake our last words.
fn has_ended(link: &mut Link<TcpStream>) -> bool {
    link.send_out();
    if link.unsent() > 0 {
        return false;
    }
    if !link.is_finished() {
        link.finish();
    }
    // Who goes on and on is cut off at the deadline.
    for _ in 0..READS_PER_TURN {
        match link.receive() {
            Ok(Received::Bytes) => {
                let all = link.input().len();
                link.use_up(all);
            }
            Ok(Received::Nothing) => return false,
            Ok(Received::End) | Err(_) => return true,
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net;

    use super::*;
    use crate::reactor::Poller;

    const FIRST: Token = Token(9);
    const LINK: PeerLink = PeerLink(3);

    struct Client {
        poller: Poller,
        peers: Peers,
    }

    impl Client {
        fn new() -> Client {
            let poller = Poller::new().unwrap();
            let registry = poller.registry().try_clone().unwrap();
            let local = IpAddr::from([127, 0, 0, 1]);
            Client {
                poller,
                peers: Peers::new(registry, FIRST, Some(local)),
            }
        }

        fn call(&mut self, call: Call) {
            self.peers.call(call, Instant::now());
        }

        fn send(&mut self, bytes: &[u8]) {
            let bytes = bytes.to_vec();
            self.call(Call::Send { link: LINK, bytes });
        }

        /// Takes turns until this comes to something.
        fn until<T>(&mut self, mut done: impl FnMut(&mut Peers) -> Option<T>) -> T {
            let deadline = Instant::now() + Duration::from_secs(10);
            loop {
                self.peers.advance(Instant::now());
                if let Some(result) = done(&mut self.peers) {
                    return result;
                }
                let left = deadline.saturating_duration_since(Instant::now());
                assert!(!left.is_zero(), "not in time");
                for readiness in self.poller.wait(Some(left)).unwrap() {
                    self.peers.handle_readiness(readiness);
                }
            }
        }

        fn news(&mut self) -> News {
            self.until(|peers| {
                let (link, news) = peers.next_news()?;
                assert_eq!(link, LINK);
                Some(news)
            })
        }

        /// Reads until there is so much: an end behind it would take it away.
        fn hear(&mut self, count: usize) -> Vec<u8> {
            self.until(|peers| {
                while peers.input(LINK).len() < count && peers.receive(LINK) {}
                let input = peers.input(LINK).to_vec();
                (input.len() >= count).then_some(input)
            })
        }

        fn listen(&mut self) -> u16 {
            let from = "127.0.0.1:1".parse().unwrap();
            self.call(Call::Listen { link: LINK, from });
            match self.news() {
                News::Listening { port } => port,
                other => panic!("{other:?}"),
            }
        }

        /// Connected to this test.
        fn connected() -> (Client, net::TcpStream) {
            let mut client = Client::new();
            let listener = net::TcpListener::bind("127.0.0.1:0").unwrap();
            let to = listener.local_addr().unwrap();
            client.call(Call::Connect { link: LINK, to });
            client.send(b"early ");
            assert_eq!(client.news(), News::Connected);
            let stream = listener.accept().unwrap().0;
            let limit = Some(Duration::from_secs(10));
            stream.set_read_timeout(limit).unwrap();
            (client, stream)
        }
    }

    #[test]
    fn two_clients_connect_talk_and_close() {
        let (mut one, mut other) = (Client::new(), Client::new());
        let port = one.listen();
        let to = SocketAddr::from(([127, 0, 0, 1], port));
        other.call(Call::Connect { link: LINK, to });
        assert_eq!(other.news(), News::Connected);
        assert_eq!(one.news(), News::Connected);
        one.send(b"hello");
        assert_eq!(other.hear(5), b"hello");
        other.peers.use_up(LINK, 4);
        assert_eq!(other.peers.input(LINK), b"o");
        other.send(b"last words");
        other.call(Call::Close { link: LINK });
        assert_eq!(one.hear(10), b"last words");
        one.peers.use_up(LINK, 10);
        let end = one.until(|peers| {
            peers.receive(LINK);
            peers.next_news()
        });
        assert_eq!(end, (LINK, News::Closed));
        // The closing one is not told, and forgets it.
        other.until(|peers| peers.peers.is_empty().then_some(()));
        assert_eq!(other.peers.next_news(), None);
    }

    #[test]
    fn the_door_is_for_one_alone() {
        let mut client = Client::new();
        let port = client.listen();
        let socket =
            socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        let elsewhere = SocketAddr::from(([127, 0, 0, 88], 0));
        socket.bind(&elsewhere.into()).unwrap();
        let door = SocketAddr::from(([127, 0, 0, 1], port));
        socket.connect(&door.into()).unwrap();
        let mut right = net::TcpStream::connect(door).unwrap();
        assert_eq!(client.news(), News::Connected);
        let mut wrong = net::TcpStream::from(socket);
        assert_eq!(wrong.read(&mut [0]).unwrap_or(0), 0);
        right.write_all(b"it is me").unwrap();
        assert_eq!(client.hear(8), b"it is me");
        let error = net::TcpStream::connect(door).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
    }

    #[test]
    fn what_cannot_be_is_told() {
        let mut client = Client::new();
        let nobody = net::TcpListener::bind("127.0.0.1:0").unwrap();
        let to = nobody.local_addr().unwrap();
        drop(nobody);
        client.call(Call::Connect { link: LINK, to });
        assert_eq!(client.news(), News::Closed);
        client.peers.local = None;
        client.call(Call::Listen {
            link: LINK,
            from: to,
        });
        assert_eq!(client.news(), News::Closed);
        client.send(b"to nobody");
        assert_eq!(client.peers.next_news(), None);
    }

    #[test]
    fn a_door_that_fails_is_given_up() {
        let mut client = Client::new();
        client.listen();
        let Some(Peer::Waiting { listener, .. }) = client.peers.peers.get(&LINK) else {
            panic!("no door");
        };
        // Accepting fails from now on, and not for want of somebody.
        let socket = socket2::SockRef::from(listener);
        socket.shutdown(net::Shutdown::Both).unwrap();
        assert_eq!(client.news(), News::Closed);
        assert!(client.peers.peers.is_empty() && !client.peers.has_news());
    }

    #[test]
    fn what_is_said_early_is_said_first() {
        let (mut client, mut stream) = Client::connected();
        client.send(b"and late");
        client.call(Call::Close { link: LINK });
        // What the other side says now is nobody's, and no reason for a reset.
        stream.write_all(b"too late").unwrap();
        let mut heard = String::new();
        client.peers.advance(Instant::now());
        stream.read_to_string(&mut heard).unwrap();
        assert_eq!(heard, "early and late");
        drop(stream);
        client.until(|peers| peers.peers.is_empty().then_some(()));
    }

    #[test]
    fn who_does_not_read_loses_its_stream() {
        let (mut client, _stream) = Client::connected();
        let mut sent = 0;
        while client.peers.next_news().is_none() {
            client.send(&[b'x'; 64 * 1024]);
            sent += 64 * 1024;
            assert!(sent < 100_000_000, "somebody keeps all of it");
        }
        assert_eq!(client.peers.unsent(), 0);
        client.send(b"to nobody");
        assert_eq!(client.peers.next_news(), None);
    }

    #[test]
    fn who_never_connects_or_never_ends_is_given_up() {
        let mut client = Client::new();
        let now = Instant::now();
        // An address of TEST-NET, where nobody is; some machines refuse it at once.
        let to = "192.0.2.1:9".parse().unwrap();
        client.peers.call(Call::Connect { link: LINK, to }, now);
        client.peers.advance(now + CONNECT_LIMIT);
        assert_eq!(client.peers.next_news(), Some((LINK, News::Closed)));

        let (mut client, stream) = Client::connected();
        let now = Instant::now();
        client.peers.call(Call::Close { link: LINK }, now);
        client.peers.advance(now);
        assert_eq!(client.peers.next_deadline(), Some(now + CLOSE_LIMIT));
        client.peers.advance(now + CLOSE_LIMIT);
        assert!(client.peers.peers.is_empty());
        drop(stream);
    }
}
