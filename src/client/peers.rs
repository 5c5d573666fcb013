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
                // Somebody else, who has no business here; or one who is gone again.
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Some(Peer::Waiting {
                        listener,
                        from,
                        readable: false,
                    });
                }
                Err(_) => {}
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
