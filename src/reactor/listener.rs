//! Owns the listening sockets: how they are bound, what every accepted connection inherits, and what
//! happens when the kernel has nothing left to accept with. Knows nothing of what is served.

use std::io;
use std::net::{IpAddr, Shutdown, SocketAddr};
use std::time::Duration;

use mio::event::Source;
use mio::net::{TcpListener, TcpStream};
use mio::{Interest, Registry, Token};
use rustix::io::Errno;
use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};

use super::descriptors::Reserve;
use super::stream::{Stream, retrying};

/// A TCP socket that listens at exactly the address that was asked for.
///
/// Register it with [`register_reading`](super::Poller::register_reading); when it is readable,
/// [`accept`](Listener::accept) until [`Accept::Nothing`], or go on in the next turn without waiting
/// for another readiness.
#[derive(Debug)]
pub struct Listener {
    inner: TcpListener,
}

/// What came of one [`Listener::accept`].
#[derive(Debug)]
pub enum Accept {
    /// Somebody is there. The socket's options are set already.
    Connection {
        stream: TcpStream,
        /// In [`plain`] form.
        peer: SocketAddr,
    },
    /// Nobody waits; the next one makes the listener readable.
    Nothing,
    /// The kernel has no descriptor or no memory for a connection. If possible, the one that waited
    /// longest was told farewell and closed.
    ///
    /// Others may wait without another readiness to announce them: try again after a [`Pause`].
    Shed {
        error: io::Error,
        turned_away: Option<SocketAddr>,
    },
    /// Something that a listener should never meet; try again after a [`Pause`].
    Failed(io::Error),
}

/// Connections that wait to be accepted. The kernel caps it by `net.core.somaxconn`, 4,096 by
/// default, and the peers beyond it try again after a second: more than a turn of the loop lets wait.
const BACKLOG: i32 = 4096;

/// When the kernel gives up a peer that it hears nothing of: one whose power was cut must be gone within a minute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeadPeer {
    /// One that is idle is probed after this (`TCP_KEEPIDLE`),
    pub idle: Duration,
    /// and again after each of this (`TCP_KEEPINTVL`).
    pub interval: Duration,
    /// It is gone after so long without an answer, be it to a probe or to what it was sent (`TCP_USER_TIMEOUT`, which
    /// overrides the number of probes: tcp(7)).
    pub unacknowledged: Duration,
}

impl Default for DeadPeer {
    fn default() -> Self {
        DeadPeer {
            idle: Duration::from_secs(20),
            interval: Duration::from_secs(10),
            unacknowledged: Duration::from_secs(30),
        }
    }
}

/// Where there is no time for it, as many probes are unanswered.
const KEEPALIVE_PROBES: u32 = 3;

/// Dead connections that one accept skips. A queue full of them is worth going on for; an error
/// that stays is not, and ends as [`Accept::Failed`].
const MAX_SKIPPED: usize = 64;

impl Listener {
    /// Listens at `addr`, or fails; never at another address or port, never beside another
    /// (no `SO_REUSEPORT`). Port 0 is any free one.
    ///
    /// An IPv6 address takes IPv6 only, whatever the system's default: who wants both families binds
    /// both, and then sees the same address in one form.
    pub fn bind(addr: SocketAddr) -> io::Result<Listener> {
        Listener::bind_with(addr, DeadPeer::default())
    }

    /// The same, its connections' peers given up as that says.
    pub fn bind_with(addr: SocketAddr, dead_peer: DeadPeer) -> io::Result<Listener> {
        Listener::bind_as(addr, dead_peer, false)
    }

    /// The same where one of our own is in the way that [shares](Listener::share) its address.
    pub fn bind_beside(addr: SocketAddr, dead_peer: DeadPeer) -> io::Result<Listener> {
        let listener = Listener::bind_as(addr, dead_peer, true)?;
        listener.share(false)?;
        Ok(listener)
    }

    fn bind_as(addr: SocketAddr, dead_peer: DeadPeer, beside: bool) -> io::Result<Listener> {
        let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
        if addr.is_ipv6() {
            socket.set_only_v6(true)?;
        }
        // A restarted server need not wait for its former connections' TIME_WAIT. On Linux this
        // does not let two of them listen at one port.
        socket.set_reuse_address(true)?;
        set_inherited_options(&socket, dead_peer)?;
        socket.set_nonblocking(true)?;
        if beside {
            socket.set_reuse_port(true)?;
        }
        socket.bind(&addr.into())?;
        socket.listen(BACKLOG)?;
        Ok(Listener {
            inner: TcpListener::from_std(socket.into()),
        })
    }

    /// One that somebody else has bound and that listens already. Whether an IPv6 one takes IPv4 too was decided there;
    /// those who come are [`plain`] all the same.
    pub(super) fn of(socket: Socket, dead_peer: DeadPeer) -> io::Result<Listener> {
        set_inherited_options(&socket, dead_peer)?;
        socket.set_nonblocking(true)?;
        Ok(Listener {
            inner: TcpListener::from_std(socket.into()),
        })
    }

    /// Whether its address is to be had by [`bind_beside`](Listener::bind_beside) as well: for the moment in which that
    /// one takes its place. It is `SO_REUSEPORT` (socket(7)), which both need, and both of one user.
    pub fn share(&self, shared: bool) -> io::Result<()> {
        SockRef::from(&self.inner).set_reuse_port(shared)
    }

    /// From now on the peers of those who are accepted are given up as that says.
    pub fn give_up_peers(&self, dead_peer: DeadPeer) -> io::Result<()> {
        set_inherited_options(&SockRef::from(&self.inner), dead_peer)
    }

    /// Where it listens, with the real port.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.inner.local_addr()
    }

    /// Takes one connection. Without a descriptor for it, the `reserve` is given up for a moment to
    /// send it `farewell` (as much as the kernel takes at once) and close it.
    pub fn accept(&mut self, reserve: &mut Reserve, farewell: &[u8]) -> Accept {
        let error = match self.accept_living() {
            Ok((stream, peer)) => return Accept::Connection { stream, peer },
            Err(error) => error,
        };
        match Refusal::of(&error) {
            Refusal::Nobody => Accept::Nothing,
            Refusal::Exhausted => self.shed(error, reserve, farewell),
            Refusal::Dead | Refusal::Other => Accept::Failed(error),
        }
    }

    fn shed(&self, error: io::Error, reserve: &mut Reserve, farewell: &[u8]) -> Accept {
        match reserve.lend(|| self.turn_away(farewell)) {
            Ok(peer) => Accept::Shed {
                error,
                turned_away: Some(peer),
            },
            // Linux looks for a descriptor before it looks for a connection: there was none.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Accept::Nothing,
            Err(_) => Accept::Shed {
                error,
                turned_away: None,
            },
        }
    }

    /// Accepts a connection only to end it.
    fn turn_away(&self, farewell: &[u8]) -> io::Result<SocketAddr> {
        let (mut stream, peer) = self.accept_living()?;
        let _ = stream.send(farewell);
        let _ = stream.shutdown(Shutdown::Write);
        // Closing with unread bytes would be a reset, which may overtake the farewell.
        let _ = stream.recv(&mut [0; 4096]);
        Ok(peer)
    }

    /// The first connection that did not die while it waited.
    fn accept_living(&self) -> io::Result<(TcpStream, SocketAddr)> {
        let mut skipped = 0;
        loop {
            match retrying(|| self.inner.accept()) {
                Ok((stream, peer)) => return Ok((stream, plain(peer))),
                Err(error) => match Refusal::of(&error) {
                    Refusal::Dead if skipped < MAX_SKIPPED => skipped += 1,
                    _ => return Err(error),
                },
            }
        }
    }
}

impl Source for Listener {
    fn register(&mut self, registry: &Registry, token: Token, what: Interest) -> io::Result<()> {
        self.inner.register(registry, token, what)
    }

    fn reregister(&mut self, registry: &Registry, token: Token, what: Interest) -> io::Result<()> {
        self.inner.reregister(registry, token, what)
    }

    fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        self.inner.deregister(registry)
    }
}

/// On Linux an accepted socket has the options of the one it was accepted from, so an accept costs
/// no further system call.
fn set_inherited_options(socket: &Socket, dead_peer: DeadPeer) -> io::Result<()> {
    // Whole turns are written at once; Nagle would only hold back their last segment.
    socket.set_tcp_nodelay(true)?;
    let keepalive = TcpKeepalive::new()
        .with_time(dead_peer.idle)
        .with_interval(dead_peer.interval)
        .with_retries(KEEPALIVE_PROBES);
    socket.set_tcp_keepalive(&keepalive)?;
    socket.set_tcp_user_timeout(Some(dead_peer.unacknowledged))
}

/// Why there is no connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refusal {
    /// Nobody waits.
    Nobody,
    /// The connection that waited is dead: accept(2) reports what happened to it as its own error.
    Dead,
    /// No descriptor, no memory.
    Exhausted,
    /// Anything else.
    Other,
}

impl Refusal {
    fn of(error: &io::Error) -> Refusal {
        match Errno::from_io_error(error) {
            Some(Errno::AGAIN) => Refusal::Nobody,
            Some(
                Errno::CONNABORTED
                | Errno::PROTO
                | Errno::PERM
                | Errno::TIMEDOUT
                | Errno::NETDOWN
                | Errno::NOPROTOOPT
                | Errno::HOSTDOWN
                | Errno::NONET
                | Errno::HOSTUNREACH
                | Errno::OPNOTSUPP
                | Errno::NETUNREACH,
            ) => Refusal::Dead,
            Some(Errno::MFILE | Errno::NFILE | Errno::NOMEM | Errno::NOBUFS) => Refusal::Exhausted,
            _ => Refusal::Other,
        }
    }
}

/// The one form of an address: an IPv4 address that came dressed as IPv6 (`::ffff:a.b.c.d`) is IPv4
/// again. Limits, bans and tokens compare addresses, and must not see one peer as two.
pub fn plain(addr: SocketAddr) -> SocketAddr {
    match addr.ip() {
        IpAddr::V6(ip) => match ip.to_ipv4_mapped() {
            Some(ip) => SocketAddr::new(IpAddr::V4(ip), addr.port()),
            None => addr,
        },
        IpAddr::V4(_) => addr,
    }
}

/// How long to leave a listener alone that could not accept: 10 ms, doubled up to a second, so that a
/// server at its limit neither spins nor stays deaf for long after a connection has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pause {
    next: Duration,
}

const SHORTEST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

impl Pause {
    /// Nothing has failed yet.
    pub fn new() -> Pause {
        Pause {
            next: SHORTEST_PAUSE,
        }
    }

    /// How long to wait after this failure; the next one will wait longer.
    pub fn after_failure(&mut self) -> Duration {
        let pause = self.next;
        self.next = LONGEST_PAUSE.min(pause * 2);
        pause
    }

    /// A connection was accepted (or nobody waits): begin anew.
    pub fn after_success(&mut self) {
        *self = Pause::new();
    }
}

impl Default for Pause {
    fn default() -> Self {
        Pause::new()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::net::{Ipv4Addr, Ipv6Addr};
    use std::time::Instant;

    use super::*;
    use crate::reactor::Poller;

    const LISTENER: Token = Token(1);

    fn loopback() -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, 0))
    }

    /// A listener on IPv6 loopback, or `None` (and a word about it) on a machine without.
    fn listener_v6() -> Option<Listener> {
        match Listener::bind(SocketAddr::from((Ipv6Addr::LOCALHOST, 0))) {
            Ok(listener) => Some(listener),
            Err(error) => {
                println!("SKIPPED: no IPv6 on this machine ({error})");
                None
            }
        }
    }

    /// Waits for readiness, as the loop does, and takes what there is.
    fn accept_one(poller: &mut Poller, listener: &mut Listener) -> (TcpStream, SocketAddr) {
        let mut reserve = Reserve::new().unwrap();
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            match listener.accept(&mut reserve, b"") {
                Accept::Connection { stream, peer } => return (stream, peer),
                Accept::Nothing => {}
                other => panic!("{other:?}"),
            }
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "nobody came");
            let _ = poller.wait(Some(left)).unwrap();
        }
    }

    fn connect_and_accept(mut listener: Listener) {
        let mut poller = Poller::new().unwrap();
        poller.register_reading(&mut listener, LISTENER).unwrap();
        let mut reserve = Reserve::new().unwrap();
        assert!(matches!(
            listener.accept(&mut reserve, b""),
            Accept::Nothing
        ));

        let addr = listener.local_addr().unwrap();
        assert_ne!(addr.port(), 0);
        let mut client = std::net::TcpStream::connect(addr).unwrap();
        let (mut stream, peer) = accept_one(&mut poller, &mut listener);
        assert_eq!(peer, client.local_addr().unwrap());
        assert_eq!(stream.send(b"hello").unwrap(), 5);
        drop(stream);
        let mut heard = Vec::new();
        client.read_to_end(&mut heard).unwrap();
        assert_eq!(heard, b"hello");
        assert!(matches!(
            listener.accept(&mut reserve, b""),
            Accept::Nothing
        ));
    }

    #[test]
    fn it_accepts_over_ipv4() {
        connect_and_accept(Listener::bind(loopback()).unwrap());
    }

    #[test]
    fn it_accepts_over_ipv6() {
        if let Some(listener) = listener_v6() {
            connect_and_accept(listener);
        }
    }

    #[test]
    fn r02_an_accepted_socket_inherits_its_options() {
        let mut poller = Poller::new().unwrap();
        let seconds = Duration::from_secs;
        let dead_peer = DeadPeer {
            idle: seconds(7),
            interval: seconds(3),
            unacknowledged: seconds(19),
        };
        let mut listener = Listener::bind_with(loopback(), dead_peer).unwrap();
        poller.register_reading(&mut listener, LISTENER).unwrap();
        let _client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (stream, _) = accept_one(&mut poller, &mut listener);
        let socket = SockRef::from(&stream);
        assert!(socket.tcp_nodelay().unwrap());
        assert!(socket.keepalive().unwrap());
        assert_eq!(socket.tcp_keepalive_time().unwrap(), seconds(7));
        assert_eq!(socket.tcp_keepalive_interval().unwrap(), seconds(3));
        assert_eq!(socket.tcp_keepalive_retries().unwrap(), KEEPALIVE_PROBES);
        assert_eq!(socket.tcp_user_timeout().unwrap(), Some(seconds(19)));
        assert!(socket.nonblocking().unwrap());
    }

    #[test]
    fn a_port_in_use_is_refused_and_another_is_not_taken() {
        let first = Listener::bind(loopback()).unwrap();
        let error = Listener::bind(first.local_addr().unwrap()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    }

    #[test]
    fn a_port_is_free_again_as_soon_as_its_server_is_gone() {
        let mut poller = Poller::new().unwrap();
        let mut listener = Listener::bind(loopback()).unwrap();
        let addr = listener.local_addr().unwrap();
        poller.register_reading(&mut listener, LISTENER).unwrap();
        let client = std::net::TcpStream::connect(addr).unwrap();
        let (stream, _) = accept_one(&mut poller, &mut listener);
        // Closed by the server first, so TIME_WAIT is on its side.
        drop((stream, listener));
        drop(client);
        Listener::bind(addr).unwrap();
    }

    #[test]
    fn both_families_may_have_the_same_port() {
        let Some(v6) = listener_v6() else { return };
        let port = v6.local_addr().unwrap().port();
        match Listener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port))) {
            Ok(v4) => assert_eq!(v4.local_addr().unwrap().port(), port),
            // Another program may have it; what must not be is that our own IPv6 half does.
            Err(error) => assert_eq!(error.kind(), io::ErrorKind::AddrInUse),
        }
        assert!(SockRef::from(&v6.inner).only_v6().unwrap());
    }

    #[test]
    fn errors_of_a_dead_connection_are_not_those_of_the_listener() {
        let table = [
            (Errno::AGAIN, Refusal::Nobody),
            (Errno::CONNABORTED, Refusal::Dead),
            (Errno::PROTO, Refusal::Dead),
            (Errno::MFILE, Refusal::Exhausted),
            (Errno::NFILE, Refusal::Exhausted),
            (Errno::NOMEM, Refusal::Exhausted),
            (Errno::NOBUFS, Refusal::Exhausted),
            (Errno::BADF, Refusal::Other),
        ];
        for (errno, refusal) in table {
            assert_eq!(Refusal::of(&errno.into()), refusal, "{errno}");
        }
    }

    #[test]
    fn r34_an_address_has_one_form() {
        let table = [
            ("[::ffff:192.0.2.7]:7000", "192.0.2.7:7000"),
            ("192.0.2.7:7000", "192.0.2.7:7000"),
            ("[2001:db8::7]:7000", "[2001:db8::7]:7000"),
            ("[::1]:7000", "[::1]:7000"),
            // The older "compatible" form never meant an IPv4 peer.
            ("[::192.0.2.7]:7000", "[::192.0.2.7]:7000"),
        ];
        for (dressed, expected) in table {
            let dressed: SocketAddr = dressed.parse().unwrap();
            assert_eq!(plain(dressed), expected.parse().unwrap());
        }
    }

    #[test]
    fn pauses_double_up_to_a_second_and_begin_anew() {
        let mut pause = Pause::new();
        let millis: Vec<u128> = (0..9).map(|_| pause.after_failure().as_millis()).collect();
        assert_eq!(millis, [10, 20, 40, 80, 160, 320, 640, 1000, 1000]);
        pause.after_success();
        assert_eq!(pause.after_failure(), SHORTEST_PAUSE);
    }
}
