//! Owns what a datagram port is to those who use one: the second of the two transport traits, and its
//! production half, a UDP socket. Knows nothing of what the datagrams mean.

use std::ffi::CString;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4};
use std::os::fd::AsFd;

use mio::event::Source;
use mio::net::UdpSocket;
use mio::{Interest, Registry, Token};
use rustix::io::Errno;
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use zeroize::Zeroize;

use super::destination::Destination;
use super::listener::plain;
use super::stream::retrying;
use super::sys;

/// The addresses of this machine, loopback's too: those that its own broadcasts come back from.
pub fn own_addresses() -> io::Result<Vec<IpAddr>> {
    let addresses = sys::own_addresses()?;
    Ok(addresses.into_iter().map(|(_, address)| address).collect())
}

/// A port that takes and gives datagrams in batches, without ever blocking.
///
/// `WouldBlock` means: wait for readiness. `Interrupted` is never returned. Any other error concerns
/// one datagram, is to be counted, and ends nothing: a peer that went away or a network that is down
/// must not cost the others their port.
pub trait DatagramPort {
    /// Puts what has arrived, [`BATCH`] datagrams at most, into `inbox`, instead of what was there.
    /// At least one, or an error.
    ///
    /// After a readiness go on until `WouldBlock`, or (when the turn's budget is spent) in the next
    /// turn without waiting. A batch that is not full promises nothing: datagrams are no stream.
    fn recv_batch(&mut self, inbox: &mut Inbox) -> io::Result<()>;

    /// Sends the first datagrams of `outgoing`, in order, and returns how many: at least one unless
    /// there are none, [`SEND_BATCH`] at most. Go on with those behind them until `WouldBlock`.
    ///
    /// An error is about the first of them alone, which was not sent. `WouldBlock`: keep them all
    /// until the port is writable. Anything else (a destination that cannot be reached or is not
    /// allowed, a datagram too long for the way, a full queue of the device): drop that one and go on
    /// behind it.
    fn send_batch(&mut self, outgoing: &[Outgoing<'_>]) -> io::Result<usize>;

    /// Where it receives, where that is known.
    fn own_address(&self) -> Option<SocketAddr> {
        None
    }

    /// What is next of all that the kernel tells of what was sent. To be asked after an error, until there is nothing
    /// left.
    fn next_told(&mut self) -> Told {
        Told::Nothing
    }
}

/// One word of what a kernel tells of datagrams that were sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// That was all.
    Nothing,
    /// ICMP says that nobody receives there. It may have been told by anybody: ICMP can be forged.
    NobodyAt(SocketAddr),
    /// Anything else. There may be more behind it.
    Other,
}

/// A datagram to send. Many may share their bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outgoing<'a> {
    /// Of the port's own family.
    pub to: Destination,
    pub bytes: &'a [u8],
}

/// A datagram that has arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Incoming<'a> {
    /// In [`plain`] form.
    pub from: SocketAddr,
    pub bytes: &'a [u8],
    /// It was longer than [`MAX_DATAGRAM`], and these are only its first bytes.
    pub truncated: bool,
}

/// Datagrams per system call. It is also what one port may take in per turn before the connections
/// have theirs again; beyond 32 there is nothing to be gained by more.
pub const BATCH: usize = 32;

/// Datagrams sent per system call, at the most.
///
/// What one of 70 bytes costs on loopback, in nanoseconds:
///
/// | members | `sendto` | `sendmmsg`, 32 | 64 | 128 |
/// |---|---|---|---|---|
/// | 1 | 945 | 1000 | | |
/// | 8 | 732 | 704 | | |
/// | 32 | 716 | 677 | | |
/// | 100 | 711 | 680 | 674 | 670 |
/// | 256 | 715 | 682 | 679 | 677 |
/// | 1000 | 793 | 765 | 761 | 760 |
pub const SEND_BATCH: usize = 64;

/// What is kept of a datagram. No protocol here has longer ones; a peer that sends them is told apart
/// by [`Incoming::truncated`].
pub const MAX_DATAGRAM: usize = 4096;

/// One byte more than is kept, which is how a truncated datagram shows.
pub(super) const ROOM: usize = MAX_DATAGRAM + 1;

/// The buffers into which datagrams are received, again and again: 128 KiB, of which those few that
/// are ever filled are ever touched.
#[derive(Debug)]
pub struct Inbox {
    buffers: Box<[[u8; ROOM]]>,
    /// Who filled the first buffers, and how far.
    arrived: Vec<(SocketAddr, usize)>,
}

impl Inbox {
    /// Empty; its memory serves any number of ports in turn.
    pub fn new() -> Inbox {
        Inbox {
            buffers: vec![[0; ROOM]; BATCH].into_boxed_slice(),
            arrived: Vec::with_capacity(BATCH),
        }
    }

    /// The datagrams of the last batch, in the order of their arrival.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Incoming<'_>> {
        self.arrived
            .iter()
            .zip(&self.buffers)
            .map(|(&(from, len), buffer)| Incoming {
                from,
                bytes: &buffer[..len.min(MAX_DATAGRAM)],
                truncated: len > MAX_DATAGRAM,
            })
    }

    /// Whether a batch has no room for another datagram.
    pub fn is_full(&self) -> bool {
        self.arrived.len() == BATCH
    }

    /// Forgets the last batch.
    pub fn clear(&mut self) {
        self.arrived.clear();
    }

    /// Forgets the last batch and overwrites it: there was something in it that memory is not to keep.
    pub fn wipe(&mut self) {
        for (buffer, (_, len)) in self.buffers.iter_mut().zip(self.arrived.drain(..)) {
            buffer[..len.min(ROOM)].zeroize();
        }
    }

    /// For ports that have no kernel to do it: receives `bytes` as a socket would, truncation and all.
    ///
    /// # Panics
    ///
    /// If it [is full](Inbox::is_full).
    pub fn push(&mut self, from: SocketAddr, bytes: &[u8]) {
        let kept = bytes.len().min(ROOM);
        self.buffers[self.arrived.len()][..kept].copy_from_slice(&bytes[..kept]);
        self.arrived.push((plain(from), kept));
    }
}

impl Default for Inbox {
    fn default() -> Self {
        Inbox::new()
    }
}

/// A UDP socket.
///
/// Register it with [`register`](super::Poller::register), once.
#[derive(Debug)]
pub struct UdpPort {
    inner: UdpSocket,
    /// Until a kernel or a sandbox turns out to have no calls for many datagrams.
    batching: bool,
    /// Hears what this one does not; all is sent by this one.
    twin: Option<Box<UdpPort>>,
    /// The twin is asked first the next time: they take turns, so that whoever floods one keeps nobody from
    /// being heard by the other.
    twin_is_next: bool,
}

impl UdpPort {
    /// Takes the port `addr`, or fails; never another one, never beside another program (neither
    /// `SO_REUSEADDR` nor `SO_REUSEPORT`). Port 0 is any free one.
    ///
    /// An IPv6 address takes IPv6 only, whatever the system's default.
    pub fn bind(addr: SocketAddr) -> io::Result<UdpPort> {
        UdpPort::bind_as(addr, false)
    }

    /// The same where one of our own is in the way that [shares](UdpPort::share) its address.
    pub fn bind_beside(addr: SocketAddr) -> io::Result<UdpPort> {
        let port = UdpPort::bind_as(addr, true)?;
        port.share(false)?;
        Ok(port)
    }

    fn bind_as(addr: SocketAddr, beside: bool) -> io::Result<UdpPort> {
        let socket = Socket::new(Domain::for_address(addr), Type::DGRAM, Some(Protocol::UDP))?;
        if addr.is_ipv6() {
            socket.set_only_v6(true)?;
        }
        if beside {
            socket.set_reuse_port(true)?;
        }
        socket.bind(&addr.into())?;
        UdpPort::of(socket)
    }

    /// Whether its address is to be had by [`bind_beside`](UdpPort::bind_beside) as well: for the moment in which that
    /// one takes its place. See [`Listener::share`](super::Listener::share).
    pub fn share(&self, shared: bool) -> io::Result<()> {
        SockRef::from(&self.inner).set_reuse_port(shared)?;
        self.twin.as_ref().map_or(Ok(()), |twin| twin.share(shared))
    }

    /// One that has its port already, whoever bound it.
    pub(super) fn of(socket: Socket) -> io::Result<UdpPort> {
        socket.set_nonblocking(true)?;
        Ok(UdpPort {
            inner: UdpSocket::from_std(socket.into()),
            batching: true,
            twin: None,
            twin_is_next: false,
        })
    }

    /// The same of one that may send to broadcast addresses; nothing of it crosses a router.
    pub(super) fn of_broadcast(socket: Socket) -> io::Result<UdpPort> {
        socket.set_broadcast(true)?;
        socket.set_ttl_v4(1)?;
        UdpPort::of(socket)
    }

    /// Has the kernel keep what ICMP tells of those who were sent to, for
    /// [`next_told`](DatagramPort::next_told).
    pub fn hear_of_unreachable(&self) -> io::Result<()> {
        let ipv6 = self.local_addr()?.is_ipv6();
        sys::keep_errors(self.inner.as_fd(), ipv6)?;
        // One that was handed over may take both families, and IPv4 has an option of its own.
        if ipv6 && !SockRef::from(&self.inner).only_v6()? {
            sys::keep_errors(self.inner.as_fd(), false)?;
        }
        Ok(())
    }

    /// A client's port at `local` (port 0 is any free one) that hears `server` alone.
    ///
    /// It is told when nobody listens there: `ConnectionRefused`, which a later call of any kind returns
    /// instead of doing its work, once per datagram that came to nothing.
    pub fn connect(local: SocketAddr, server: SocketAddr) -> io::Result<UdpPort> {
        let port = UdpPort::bind(local)?;
        port.inner.connect(server)?;
        Ok(port)
    }

    /// Takes the port `addr` beside whoever else on this machine took it in the same way, and may send to
    /// broadcast addresses. Bound to a broadcast address it hears what is sent there, and nothing else.
    ///
    /// What it sends crosses no router. From an address of ours it leaves by the interface that has it, to
    /// 255.255.255.255 as well.
    pub fn bind_broadcast(addr: SocketAddrV4) -> io::Result<UdpPort> {
        UdpPort::bind_broadcast_on(None, addr, false)
    }

    /// The same where one of our own is in the way that [shares](UdpPort::share) its address.
    pub fn bind_broadcast_where_shared(addr: SocketAddrV4) -> io::Result<UdpPort> {
        let port = UdpPort::bind_broadcast_on(None, addr, true)?;
        port.share(false)?;
        Ok(port)
    }

    /// The twin of a port at the address `own`: hears what is sent to the broadcast address `addr` on the network of
    /// `own`. Bound to 255.255.255.255 it would hear the other networks of this machine as well.
    pub fn bind_broadcast_beside(own: Ipv4Addr, addr: SocketAddrV4) -> io::Result<UdpPort> {
        let interfaces = sys::own_addresses()?;
        let interface = interfaces.into_iter().find(|(_, ip)| *ip == own);
        UdpPort::bind_broadcast_on(interface.map(|(name, _)| name), addr, false)
    }

    fn bind_broadcast_on(
        interface: Option<CString>,
        addr: SocketAddrV4,
        beside: bool,
    ) -> io::Result<UdpPort> {
        let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
        socket.set_reuse_address(true)?;
        if beside {
            socket.set_reuse_port(true)?;
        }
        if let Some(interface) = interface {
            // An address may have a label of its own, as `eth0:1`. No interface has a colon in its name.
            let name = interface.as_bytes().split(|byte| *byte == b':').next();
            match socket.bind_device(name) {
                // Before Linux 5.7 that was root's alone; it hears all interfaces then.
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {}
                result => result?,
            }
        }
        socket.bind(&addr.into())?;
        UdpPort::of_broadcast(socket)
    }

    /// Receives what `twin` does, too. Registered together, they are one port.
    pub fn hear_also(&mut self, twin: UdpPort) {
        self.twin = Some(Box::new(twin));
    }

    /// Where it receives, with the real port.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.inner.local_addr()
    }

    fn send_now(&mut self, outgoing: &[Outgoing<'_>]) -> io::Result<usize> {
        // One alone is cheaper by the simpler call.
        if self.batching && outgoing.len() > 1 {
            match retrying(|| self.send_many(outgoing)) {
                Err(error) if is_unknown_call(&error) => self.batching = false,
                result => return result,
            }
        }
        self.send_one_by_one(outgoing)
    }

    fn recv_own(&mut self, inbox: &mut Inbox) -> io::Result<()> {
        inbox.clear();
        if self.batching {
            match retrying(|| self.recv_many(inbox)) {
                Err(error) if is_unknown_call(&error) => self.batching = false,
                result => return result,
            }
        }
        self.recv_one_by_one(inbox)
    }

    fn recv_many(&self, inbox: &mut Inbox) -> io::Result<()> {
        let Inbox { buffers, arrived } = inbox;
        self.inner.try_io(|| {
            sys::recv_many(self.inner.as_fd(), buffers, |from, len| {
                arrived.push((plain(from), len));
            })
        })
    }

    fn send_many(&self, outgoing: &[Outgoing<'_>]) -> io::Result<usize> {
        self.inner
            .try_io(|| sys::send_many(self.inner.as_fd(), outgoing))
    }

    fn recv_one_by_one(&self, inbox: &mut Inbox) -> io::Result<()> {
        while let Some(buffer) = inbox.buffers.get_mut(inbox.arrived.len()) {
            match retrying(|| self.inner.recv_from(buffer)) {
                Ok((len, from)) => inbox.arrived.push((plain(from), len)),
                Err(error) if inbox.arrived.is_empty() => return Err(error),
                Err(_) => break,
            }
        }
        Ok(())
    }

    fn send_one_by_one(&self, outgoing: &[Outgoing<'_>]) -> io::Result<usize> {
        let mut sent = 0;
        for datagram in outgoing.iter().take(SEND_BATCH) {
            let to = datagram.to.address();
            match retrying(|| self.inner.send_to(datagram.bytes, to)) {
                Ok(_) => sent += 1,
                // It is the first of the next call, which says so again.
                Err(_) if sent > 0 => break,
                Err(error) => return Err(error),
            }
        }
        Ok(sent)
    }
}

impl DatagramPort for UdpPort {
    fn recv_batch(&mut self, inbox: &mut Inbox) -> io::Result<()> {
        // Taken out, so that either can be the first.
        let Some(mut twin) = self.twin.take() else {
            return self.recv_own(inbox);
        };
        let twin_is_first = self.twin_is_next;
        self.twin_is_next = !twin_is_first;
        let first = match twin_is_first {
            true => twin.recv_own(inbox),
            false => self.recv_own(inbox),
        };
        let result = match first {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => match twin_is_first {
                true => self.recv_own(inbox),
                false => twin.recv_own(inbox),
            },
            result => result,
        };
        self.twin = Some(twin);
        result
    }

    fn send_batch(&mut self, outgoing: &[Outgoing<'_>]) -> io::Result<usize> {
        if outgoing.is_empty() {
            return Ok(0);
        }
        match self.send_now(outgoing) {
            // What ICMP has told of an earlier one comes instead of an answer about these; once.
            Err(error) if is_unreachable(&error) => self.send_now(outgoing),
            result => result,
        }
    }

    fn own_address(&self) -> Option<SocketAddr> {
        self.local_addr().ok()
    }

    fn next_told(&mut self) -> Told {
        match retrying(|| sys::recv_unreachable(self.inner.as_fd())) {
            Ok(Some(address)) => Told::NobodyAt(plain(address)),
            Ok(None) => Told::Other,
            Err(_) => Told::Nothing,
        }
    }
}

fn is_unreachable(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionRefused, HostUnreachable, NetworkUnreachable};
    matches!(
        error.kind(),
        ConnectionRefused | HostUnreachable | NetworkUnreachable
    )
}

fn is_unknown_call(error: &io::Error) -> bool {
    Errno::from_io_error(error) == Some(Errno::NOSYS)
}

impl Source for UdpPort {
    fn register(&mut self, registry: &Registry, token: Token, what: Interest) -> io::Result<()> {
        self.inner.register(registry, token, what)?;
        match &mut self.twin {
            Some(twin) => twin.register(registry, token, what),
            None => Ok(()),
        }
    }

    fn reregister(&mut self, registry: &Registry, token: Token, what: Interest) -> io::Result<()> {
        self.inner.reregister(registry, token, what)?;
        match &mut self.twin {
            Some(twin) => twin.reregister(registry, token, what),
            None => Ok(()),
        }
    }

    fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        self.inner.deregister(registry)?;
        match &mut self.twin {
            Some(twin) => twin.deregister(registry),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv6Addr;
    use std::time::{Duration, Instant};

    use super::*;
    use crate::reactor::Poller;

    const PORT: Token = Token(5);

    /// A port on loopback of each family, with and without calls for many datagrams: every test runs
    /// on each. IPv6 is left out, with a word about it, on a machine without.
    fn on_every_port(test: impl Fn(Receiver)) {
        for ip in [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()] {
            for batching in [true, false] {
                match UdpPort::bind(SocketAddr::new(ip, 0)) {
                    Ok(port) => test(Receiver::new(UdpPort { batching, ..port })),
                    Err(error) if ip.is_ipv6() => println!("SKIPPED: no IPv6 here ({error})"),
                    Err(error) => panic!("{error}"),
                }
            }
        }
    }

    /// A registered port, and one to talk to it with.
    struct Receiver {
        poller: Poller,
        port: UdpPort,
        addr: SocketAddr,
        other: UdpPort,
        inbox: Inbox,
    }

    impl Receiver {
        fn new(mut port: UdpPort) -> Receiver {
            let poller = Poller::new().unwrap();
            poller.register(&mut port, PORT).unwrap();
            let addr = port.local_addr().unwrap();
            let other = UdpPort {
                batching: port.batching,
                ..UdpPort::bind(SocketAddr::new(addr.ip(), 0)).unwrap()
            };
            Receiver {
                poller,
                port,
                addr,
                other,
                inbox: Inbox::new(),
            }
        }

        /// Takes in `count` datagrams as the loop does; what each was, and the size of each batch.
        fn recv(&mut self, count: usize) -> (Vec<(Vec<u8>, bool)>, Vec<usize>) {
            let deadline = Instant::now() + Duration::from_secs(10);
            let (mut datagrams, mut batches) = (Vec::new(), Vec::new());
            while datagrams.len() < count {
                match self.port.recv_batch(&mut self.inbox) {
                    Ok(()) => {
                        batches.push(self.inbox.iter().len());
                        for datagram in self.inbox.iter() {
                            assert_eq!(datagram.from, self.other.local_addr().unwrap());
                            datagrams.push((datagram.bytes.to_vec(), datagram.truncated));
                        }
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                        let left = deadline.saturating_duration_since(Instant::now());
                        assert!(!left.is_zero(), "only {} of {count}", datagrams.len());
                        let _ = self.poller.wait(Some(left)).unwrap();
                    }
                    Err(error) => panic!("{error}"),
                }
            }
            let end = self.port.recv_batch(&mut self.inbox).unwrap_err();
            assert_eq!(end.kind(), io::ErrorKind::WouldBlock);
            (datagrams, batches)
        }
    }

    /// Sends all there is, as the loop does; how many were refused.
    fn send_all(port: &mut UdpPort, mut outgoing: &[Outgoing<'_>]) -> Vec<io::Error> {
        let mut refused = Vec::new();
        while !outgoing.is_empty() {
            match port.send_batch(outgoing) {
                Ok(sent) => {
                    assert!((1..=SEND_BATCH).contains(&sent));
                    outgoing = &outgoing[sent..];
                }
                Err(error) => {
                    assert_ne!(
                        error.kind(),
                        io::ErrorKind::WouldBlock,
                        "loopback takes all"
                    );
                    refused.push(error);
                    outgoing = &outgoing[1..];
                }
            }
        }
        refused
    }

    #[test]
    fn more_than_a_batch_arrives_in_order_and_in_batches() {
        on_every_port(|mut receiver| {
            assert_eq!(receiver.port.send_batch(&[]).unwrap(), 0);
            let texts: Vec<String> = (0..2 * BATCH + 5)
                .map(|n| format!("datagram {n}"))
                .collect();
            let outgoing: Vec<Outgoing> = texts
                .iter()
                .map(|text| Outgoing {
                    to: receiver.addr.into(),
                    bytes: text.as_bytes(),
                })
                .collect();
            assert!(send_all(&mut receiver.other, &outgoing).is_empty());
            let (datagrams, batches) = receiver.recv(outgoing.len());
            assert!(
                datagrams
                    .iter()
                    .map(|(bytes, _)| &bytes[..])
                    .eq(texts.iter().map(|t| t.as_bytes()))
            );
            assert_eq!(batches, [BATCH, BATCH, 5]);
        });
    }

    #[test]
    fn a_datagram_too_long_to_keep_is_marked_and_its_neighbours_are_whole() {
        on_every_port(|mut receiver| {
            let bytes = vec![b'x'; 2 * MAX_DATAGRAM];
            let lengths = [0, MAX_DATAGRAM, MAX_DATAGRAM + 1, 2 * MAX_DATAGRAM, 1];
            let outgoing = lengths.map(|len| Outgoing {
                to: receiver.addr.into(),
                bytes: &bytes[..len],
            });
            assert!(send_all(&mut receiver.other, &outgoing).is_empty());
            let (datagrams, _) = receiver.recv(lengths.len());
            let shapes: Vec<(usize, bool)> = datagrams.iter().map(|(b, t)| (b.len(), *t)).collect();
            assert_eq!(
                shapes,
                [
                    (0, false),
                    (MAX_DATAGRAM, false),
                    (MAX_DATAGRAM, true),
                    (MAX_DATAGRAM, true),
                    (1, false)
                ]
            );
        });
    }

    #[test]
    fn r22_a_refused_datagram_costs_no_other() {
        on_every_port(|mut receiver| {
            let too_long = vec![0; 70_000];
            let good = |bytes| Outgoing {
                to: receiver.addr.into(),
                bytes,
            };
            let outgoing = [
                good(b"first"),
                good(&too_long),
                good(b"second"),
                Outgoing {
                    to: SocketAddr::new(receiver.addr.ip(), 0).into(),
                    bytes: b"to port 0",
                },
                good(b"third"),
            ];
            let refused = send_all(&mut receiver.other, &outgoing);
            let refused: Vec<_> = refused.iter().map(Errno::from_io_error).collect();
            assert_eq!(refused, [Some(Errno::MSGSIZE), Some(Errno::INVAL)]);
            let (datagrams, _) = receiver.recv(3);
            let heard: Vec<&[u8]> = datagrams.iter().map(|(bytes, _)| &bytes[..]).collect();
            assert_eq!(heard, [&b"first"[..], b"second", b"third"]);
        });
    }

    #[test]
    fn a_peer_that_went_away_ends_nothing() {
        on_every_port(|mut receiver| {
            let gone = UdpPort::bind(SocketAddr::new(receiver.addr.ip(), 0))
                .and_then(|port| port.local_addr())
                .unwrap();
            let outgoing = [gone, receiver.addr, gone, receiver.addr].map(|to| Outgoing {
                to: to.into(),
                bytes: b"hello",
            });
            for _ in 0..3 {
                assert!(send_all(&mut receiver.other, &outgoing).is_empty());
                assert_eq!(receiver.recv(2).0.len(), 2);
                let nothing = receiver.other.recv_batch(&mut receiver.inbox).unwrap_err();
                assert_eq!(nothing.kind(), io::ErrorKind::WouldBlock);
            }
        });
    }

    #[test]
    fn a_connected_port_hears_its_server_alone_and_whether_there_is_one() {
        on_every_port(|mut receiver| {
            let any = SocketAddr::new(receiver.addr.ip(), 0);
            let mut client = UdpPort {
                batching: receiver.port.batching,
                ..UdpPort::connect(any, receiver.addr).unwrap()
            };
            let to_client = [Outgoing {
                to: client.local_addr().unwrap().into(),
                bytes: b"hello",
            }];
            receiver.other.send_batch(&to_client).unwrap();
            receiver.port.send_batch(&to_client).unwrap();
            let mut inbox = Inbox::new();
            client.recv_batch(&mut inbox).unwrap();
            let from: Vec<SocketAddr> = inbox.iter().map(|datagram| datagram.from).collect();
            assert_eq!(from, [receiver.addr], "loopback is instant");

            let server = receiver.addr;
            drop(receiver);
            let to_server = [Outgoing {
                to: server.into(),
                bytes: b"hello",
            }];
            assert_eq!(client.send_batch(&to_server).unwrap(), 1);
            let error = client.recv_batch(&mut inbox).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
            let error = client.recv_batch(&mut inbox).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::WouldBlock, "once told");
        });
    }

    #[test]
    fn who_is_not_there_is_told_by_name_and_costs_the_others_nothing() {
        on_every_port(|mut receiver| {
            receiver.port.hear_of_unreachable().unwrap();
            let gone = UdpPort::bind(SocketAddr::new(receiver.addr.ip(), 0)).unwrap();
            let nobody = gone.local_addr().unwrap();
            drop(gone);
            let there = receiver.other.local_addr().unwrap();
            let to = |to: SocketAddr| Outgoing {
                to: to.into(),
                bytes: b"hello",
            };
            assert_eq!(receiver.port.send_batch(&[to(nobody)]).unwrap(), 1);
            // Loopback is instant, so the answer has come; it is not about this one.
            assert_eq!(receiver.port.send_batch(&[to(there)]).unwrap(), 1);
            assert_eq!(receiver.port.next_told(), Told::NobodyAt(nobody));
            assert_eq!(receiver.port.next_told(), Told::Nothing);
            let mut inbox = Inbox::new();
            receiver.other.recv_batch(&mut inbox).unwrap();
            assert_eq!(inbox.iter().len(), 1);
        });
    }

    #[test]
    fn what_else_the_kernel_tells_hides_nobody_behind_it() {
        const OTHERS: usize = 2 * BATCH;
        on_every_port(|mut receiver| {
            receiver.port.hear_of_unreachable().unwrap();
            let gone = UdpPort::bind(SocketAddr::new(receiver.addr.ip(), 0)).unwrap();
            let nobody = gone.local_addr().unwrap();
            drop(gone);
            let to = nobody.into();
            // The kernel says that it is longer than any datagram, and tells of it again in this way.
            let bytes = &[b'x'; 65_530];
            for _ in 0..OTHERS {
                receiver
                    .port
                    .send_batch(&[Outgoing { to, bytes }])
                    .unwrap_err();
            }
            let bytes = b"hello";
            let sent = receiver.port.send_batch(&[Outgoing { to, bytes }]);
            assert_eq!(sent.unwrap(), 1);
            for n in 0..OTHERS {
                assert_eq!(receiver.port.next_told(), Told::Other, "{n}");
            }
            assert_eq!(receiver.port.next_told(), Told::NobodyAt(nobody));
            assert_eq!(receiver.port.next_told(), Told::Nothing);
        });
    }

    #[test]
    fn two_sockets_heard_together_are_one_port() {
        let ephemeral = || UdpPort::bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        let (mut port, twin, mut sender) = (ephemeral(), ephemeral(), ephemeral());
        let addresses = [&port, &twin].map(|port| port.local_addr().unwrap());
        port.hear_also(twin);
        let mut poller = Poller::new().unwrap();
        poller.register(&mut port, PORT).unwrap();
        for (to, bytes) in addresses.into_iter().zip([b"own", b"his"]) {
            let to = to.into();
            sender.send_batch(&[Outgoing { to, bytes }]).unwrap();
        }
        let deadline = Instant::now() + Duration::from_secs(10);
        let (mut inbox, mut heard) = (Inbox::new(), Vec::new());
        while heard.len() < 2 {
            match port.recv_batch(&mut inbox) {
                Ok(()) => heard.extend(inbox.iter().map(|datagram| datagram.bytes.to_vec())),
                Err(error) => {
                    assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
                    let left = deadline.saturating_duration_since(Instant::now());
                    assert!(poller.wait(Some(left)).unwrap().all(|r| r.token == PORT));
                }
            }
        }
        assert_eq!(heard, [b"own", b"his"]);
    }

    #[test]
    fn who_floods_one_of_two_sockets_leaves_the_other_its_turn() {
        let ephemeral = || UdpPort::bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        for flooded in [0, 1] {
            let (mut port, twin, mut sender) = (ephemeral(), ephemeral(), ephemeral());
            let addresses = [&port, &twin].map(|port| port.local_addr().unwrap());
            port.hear_also(twin);
            let junk = Outgoing {
                to: addresses[flooded].into(),
                bytes: b"junk",
            };
            let word = Outgoing {
                to: addresses[1 - flooded].into(),
                bytes: b"word",
            };
            // Loopback is instant.
            assert!(send_all(&mut sender, &[junk; 4 * BATCH]).is_empty());
            assert!(send_all(&mut sender, &[word]).is_empty());
            let (mut inbox, mut batches) = (Inbox::new(), Vec::new());
            while port.recv_batch(&mut inbox).is_ok() {
                let words = inbox.iter().filter(|datagram| datagram.bytes == b"word");
                batches.push((inbox.iter().len(), words.count()));
            }
            assert_eq!(batches.len(), 5);
            let heard = batches.iter().position(|batch| *batch == (1, 1));
            assert!(heard.is_some_and(|turn| turn < 2), "{batches:?}");
        }
    }

    #[test]
    fn loopback_is_one_of_our_own_addresses() {
        let own = own_addresses().unwrap();
        assert!(own.contains(&Ipv4Addr::LOCALHOST.into()), "{own:?}");
    }

    #[test]
    fn r48_what_is_broadcast_crosses_no_router() {
        let any = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0);
        let beside = UdpPort::bind_broadcast_beside(Ipv4Addr::LOCALHOST, any).unwrap();
        for port in [UdpPort::bind_broadcast(any).unwrap(), beside] {
            assert_eq!(port.inner.ttl().unwrap(), 1);
            assert!(port.inner.broadcast().unwrap());
        }
    }

    #[test]
    fn a_broadcast_is_heard_by_all_who_share_the_port() {
        let broadcast = Ipv4Addr::new(127, 255, 255, 255);
        let one = UdpPort::bind_broadcast(SocketAddrV4::new(broadcast, 0)).unwrap();
        let SocketAddr::V4(addr) = one.local_addr().unwrap() else {
            panic!("bound to IPv4");
        };
        let other = UdpPort::bind_broadcast(addr).unwrap();
        let mut sender =
            UdpPort::bind_broadcast(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0)).unwrap();
        let outgoing = [Outgoing {
            to: SocketAddr::V4(addr).into(),
            bytes: b"to all",
        }];
        assert_eq!(sender.send_batch(&outgoing).unwrap(), 1);
        for mut port in [one, other] {
            let poller = &mut Poller::new().unwrap();
            poller.register(&mut port, PORT).unwrap();
            let _ = poller.wait(Some(Duration::from_secs(10))).unwrap();
            let mut inbox = Inbox::new();
            port.recv_batch(&mut inbox).unwrap();
            let heard: Vec<&[u8]> = inbox.iter().map(|datagram| datagram.bytes).collect();
            assert_eq!(heard, [b"to all"]);
        }
    }

    #[test]
    fn a_port_in_use_is_refused() {
        on_every_port(|receiver| {
            let error = UdpPort::bind(receiver.addr).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        });
    }

    #[test]
    fn a_port_without_kernel_fills_the_inbox_alike() {
        let mut inbox = Inbox::new();
        let from: SocketAddr = "[::ffff:192.0.2.7]:7000".parse().unwrap();
        for _ in 0..BATCH - 1 {
            inbox.push(from, b"short");
        }
        assert!(!inbox.is_full());
        inbox.push(from, &[b'x'; 2 * MAX_DATAGRAM]);
        assert!(inbox.is_full());
        let last = inbox.iter().last().unwrap();
        assert_eq!(last.from, "192.0.2.7:7000".parse().unwrap());
        assert_eq!((last.bytes.len(), last.truncated), (MAX_DATAGRAM, true));
        inbox.clear();
        assert_eq!(inbox.iter().len(), 0);
    }
}
