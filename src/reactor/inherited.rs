//! Owns the sockets that the process was started with (socket activation, sd_listen_fds(3)) until they are put to use,
//! and tells what each is. Knows nothing of what their names mean.

use std::fmt;
use std::io;
use std::os::fd::AsRawFd;

use mio::net::UnixListener;
use socket2::{Domain, Socket, Type};

use super::datagram::UdpPort;
use super::listener::{DeadPeer, Listener};
use super::sys;

/// A descriptor that the process was started with.
#[derive(Debug)]
pub struct Inherited {
    /// `FileDescriptorName=` of systemd.socket(5): the unit's name where the unit does not say, and `unknown` where
    /// nobody named it.
    pub name: String,
    socket: Socket,
}

/// Why a descriptor cannot be used.
#[derive(Debug)]
pub enum Misfit {
    /// It is that, and not what is needed.
    Is { it: String, needed: &'static str },
    /// The kernel refused to say what it is, or to set it up.
    Refused(io::Error),
}

/// Those that were handed over to this very process, in their order. The first call has them all, and each is closed
/// when it is dropped; to be called before the process opens anything itself.
///
/// Fails when the environment (`LISTEN_PID`, `LISTEN_FDS`, `LISTEN_FDNAMES`) makes no sense.
pub fn inherited() -> io::Result<Vec<Inherited>> {
    // Names that are somebody else's are nothing to us, whatever is wrong with them.
    if sd_notify::listen_fds()?.len() == 0 {
        return Ok(Vec::new());
    }
    let named: Vec<_> = sd_notify::listen_fds_with_names()?.collect();
    let Some((first, _)) = named.first() else {
        return Ok(Vec::new());
    };
    let sockets = sys::adopt(*first, named.len());
    let names = named.into_iter().map(|(_, name)| name);
    let sockets: Vec<Socket> = sockets.into_iter().map(Socket::from).collect();
    refuse_twins(&sockets)?;
    Ok(names
        .zip(sockets)
        .map(|(name, socket)| Inherited { name, socket })
        .collect())
}

/// One socket cannot be two doors: each would have some of those who come.
fn refuse_twins(sockets: &[Socket]) -> io::Result<()> {
    let mut seen = Vec::new();
    for socket in sockets {
        let file = rustix::fs::fstat(socket)?;
        let number = socket.as_raw_fd();
        let this = (file.st_dev, file.st_ino);
        if let Some((_, other)) = seen.iter().find(|(seen, _)| *seen == this) {
            let what = format!("descriptors {other} and {number} are one socket");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, what));
        }
        seen.push((this, number));
    }
    Ok(())
}

impl Inherited {
    /// A TCP socket that listens. Those who come to it have the same options as those who come to one of our own.
    pub fn into_listener(self, dead_peer: DeadPeer) -> Result<Listener, Misfit> {
        let fits = self.is_ip()? && self.is(Type::STREAM)? && self.socket.is_listener()?;
        self.check(fits, "a TCP socket that listens (ListenStream=, Accept=no)")?;
        Ok(Listener::of(self.socket, dead_peer)?)
    }

    /// A Unix socket that listens.
    pub fn into_unix_listener(self) -> Result<UnixListener, Misfit> {
        let is_unix = self.socket.domain()? == Domain::UNIX;
        let fits = is_unix && self.is(Type::STREAM)? && self.socket.is_listener()?;
        let needed = "a Unix socket that listens (ListenStream=/path, Accept=no)";
        self.check(fits, needed)?;
        self.socket.set_nonblocking(true)?;
        Ok(UnixListener::from_std(self.socket.into()))
    }

    /// A UDP socket with a port.
    pub fn into_port(self) -> Result<UdpPort, Misfit> {
        let fits = self.is_ip()? && self.hears_all()?;
        self.check(
            fits,
            "a UDP socket with a port, for all to send to (ListenDatagram=)",
        )?;
        Ok(UdpPort::of(self.socket)?)
    }

    /// A UDP socket over IPv4, which alone has broadcasts.
    pub fn into_broadcast_port(self) -> Result<UdpPort, Misfit> {
        let fits = self.socket.domain()? == Domain::IPV4 && self.hears_all()?;
        self.check(fits, "an IPv4 UDP socket with a port (ListenDatagram=)")?;
        Ok(UdpPort::of_broadcast(self.socket)?)
    }

    fn is(&self, kind: Type) -> io::Result<bool> {
        Ok(self.socket.r#type()? == kind)
    }

    /// Whether it is one for datagrams that has a port and is not connected to anybody.
    fn hears_all(&self) -> io::Result<bool> {
        Ok(self.is(Type::DGRAM)? && self.has_port()? && self.socket.peer_addr().is_err())
    }

    fn has_port(&self) -> io::Result<bool> {
        let address = self.socket.local_addr()?.as_socket();
        Ok(address.is_some_and(|address| address.port() != 0))
    }

    fn is_ip(&self) -> io::Result<bool> {
        let domain = self.socket.domain()?;
        Ok(domain == Domain::IPV4 || domain == Domain::IPV6)
    }

    fn check(&self, fits: bool, needed: &'static str) -> Result<(), Misfit> {
        match fits {
            true => Ok(()),
            false => Err(Misfit::Is {
                it: self.describe()?,
                needed,
            }),
        }
    }

    /// What it is, in words.
    fn describe(&self) -> io::Result<String> {
        let family = match self.socket.domain()? {
            Domain::IPV4 => "IPv4",
            Domain::IPV6 => "IPv6",
            Domain::UNIX => "Unix",
            _ => "another family",
        };
        Ok(match self.socket.r#type()? {
            Type::STREAM if self.socket.is_listener()? => {
                format!("a stream socket that listens ({family})")
            }
            Type::STREAM => format!("a stream socket that does not listen ({family})"),
            Type::DGRAM if self.socket.peer_addr().is_ok() => {
                format!("a datagram socket that is connected ({family})")
            }
            Type::DGRAM if self.is_ip()? && !self.has_port()? => {
                format!("a datagram socket without a port ({family})")
            }
            Type::DGRAM => format!("a datagram socket ({family})"),
            _ => format!("a socket for neither streams nor datagrams ({family})"),
        })
    }
}

/// An error that is about what it is: the kernel answers for something that is no socket with ENOTSOCK.
impl From<io::Error> for Misfit {
    fn from(error: io::Error) -> Misfit {
        Misfit::Refused(error)
    }
}

impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Misfit::Is { it, needed } => write!(f, "it is {it}; needed is {needed}"),
            Misfit::Refused(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for Misfit {}
