//! Owns the sockets that people come to, before the loop has them: which are wanted, how each is opened, and which
//! were handed over open. Knows nothing of what happens at them.

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::path::{Path, PathBuf};

use crate::chat::Name;
use crate::protocol::registry::{Protocol, Transport};
use crate::reactor::{DeadPeer, Inherited, Listener, Misfit, PrivateListener, UdpPort};

/// What people come to a door for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Purpose {
    /// To chat, in that protocol.
    Chat(Protocol),
    /// For figures over HTTP.
    Metrics,
    /// To keep order: `mynah ctl`.
    Control,
}

impl Purpose {
    /// All that there are.
    pub fn all() -> impl Iterator<Item = Purpose> {
        let chat = Protocol::ALL.iter().copied().map(Purpose::Chat);
        chat.chain([Purpose::Metrics, Purpose::Control])
    }

    /// As it is called in the configuration, and by whoever hands over a socket for it.
    pub fn name(self) -> &'static str {
        match self {
            Purpose::Chat(protocol) => protocol.name(),
            Purpose::Metrics => "metrics",
            Purpose::Control => "control",
        }
    }
}

impl Purpose {
    /// What carries it.
    pub fn transport(self) -> Transport {
        match self {
            Purpose::Chat(protocol) => protocol.transport(),
            Purpose::Metrics | Purpose::Control => Transport::Tcp,
        }
    }
}

impl fmt::Display for Purpose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A door that there is to be. Two that are equal are the same door: a reload leaves it as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// To chat, in a protocol that has no gateway.
    Chat {
        protocol: Protocol,
        address: SocketAddr,
    },
    /// To a mesh, all of which hears what is sent to `broadcast`, and where the gateway is called `name`.
    Gateway {
        address: SocketAddrV4,
        broadcast: Ipv4Addr,
        name: Name,
    },
    /// For figures.
    Metrics { address: SocketAddr },
    /// For `mynah ctl`: a Unix socket. Unless somebody has asked for it, it is served where that can be, and no reason
    /// not to serve.
    Control { path: PathBuf, asked: bool },
}

/// A socket that people come to, open.
#[derive(Debug)]
pub struct Door {
    pub(super) purpose: Purpose,
    pub(super) place: Place,
    /// `None` of one that was handed over: no reload closes it.
    pub(super) wanted: Option<Wanted>,
    pub(super) socket: DoorSocket,
}

/// Where a door is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// The port chosen by the kernel included.
    Address(SocketAddr),
    /// A Unix socket.
    Path(PathBuf),
}

#[derive(Debug)]
pub(super) enum DoorSocket {
    Listener(Listener),
    /// Not for chat.
    Unix(PrivateListener),
    Port(UdpPort),
    /// To a mesh, where all of it hears, and as whom the gateway answers.
    Gateway(UdpPort, SocketAddr, Name),
}

/// Why a door could not be opened.
#[derive(Debug)]
pub struct OpenError {
    pub purpose: Purpose,
    pub place: Place,
    pub error: io::Error,
}

/// Why a socket that the process was started with is no door.
#[derive(Debug)]
pub enum UnfitError {
    /// Nothing is called so that people come to.
    Name(String),
    /// It is the wrong kind of socket.
    Socket { purpose: Purpose, misfit: Misfit },
}

impl Wanted {
    /// What it is for.
    pub fn purpose(&self) -> Purpose {
        match self {
            Wanted::Chat { protocol, .. } => Purpose::Chat(*protocol),
            Wanted::Gateway { .. } => Purpose::Chat(Protocol::UdpMesh),
            Wanted::Metrics { .. } => Purpose::Metrics,
            Wanted::Control { .. } => Purpose::Control,
        }
    }

    /// Whether both are one door: how it came to be wanted makes no difference.
    pub fn is_at_the_door(&self, other: &Wanted) -> bool {
        match (self, other) {
            (Wanted::Control { path, .. }, Wanted::Control { path: other, .. }) => path == other,
            _ => self == other,
        }
    }

    /// Whether to go on without it where it cannot be opened.
    pub fn is_optional(&self) -> bool {
        matches!(self, Wanted::Control { asked: false, .. })
    }

    /// Where it is to be.
    pub fn place(&self) -> Place {
        match self {
            Wanted::Chat { address, .. } | Wanted::Metrics { address } => Place::Address(*address),
            Wanted::Gateway { address, .. } => Place::Address((*address).into()),
            Wanted::Control { path, .. } => Place::Path(path.clone()),
        }
    }

    /// The same at that place.
    pub(super) fn at(&self, place: &Place) -> Wanted {
        let mut other = self.clone();
        match (&mut other, place) {
            (Wanted::Chat { address, .. } | Wanted::Metrics { address }, Place::Address(place)) => {
                *address = *place
            }
            (Wanted::Gateway { address, .. }, Place::Address(SocketAddr::V4(place))) => {
                *address = *place;
            }
            (Wanted::Control { path, .. }, Place::Path(place)) => path.clone_from(place),
            // A door is at a place of its own kind.
            _ => {}
        }
        other
    }

    /// Opens exactly that, or says why not: never another address instead. Port 0 is any. Peers on its streams are
    /// given up as `dead_peer` says.
    pub fn open(&self, dead_peer: DeadPeer) -> Result<Door, OpenError> {
        let opened = match self {
            Wanted::Chat { protocol, address } => match protocol.transport() {
                Transport::Tcp => open_listener(*address, dead_peer),
                Transport::Udp => open_port(*address),
            },
            Wanted::Gateway {
                address,
                broadcast,
                name,
            } => open_gateway(*address, *broadcast, name.clone()),
            Wanted::Metrics { address } => open_listener(*address, dead_peer),
            Wanted::Control { path, .. } => PrivateListener::bind(path)
                .map(|listener| (Place::Path(path.clone()), DoorSocket::Unix(listener))),
        };
        match opened {
            Ok((place, socket)) => {
                warn_of(self.purpose(), &place);
                Ok(Door {
                    purpose: self.purpose(),
                    place,
                    wanted: Some(self.clone()),
                    socket,
                })
            }
            Err(error) => Err(OpenError {
                purpose: self.purpose(),
                place: self.place(),
                error,
            }),
        }
    }
}

/// Has the log told of what a door lets everybody do who can reach it.
fn warn_of(purpose: Purpose, place: &Place) {
    let Some(address) = place.address().filter(|at| !at.ip().is_loopback()) else {
        return;
    };
    match purpose {
        Purpose::Chat(Protocol::UdpRoom) => log::warn!(
            "udp-room on {address}: nobody there can prove who he is, and what is said crosses the network in clear"
        ),
        Purpose::Chat(Protocol::UdpLogin) => log::warn!(
            "udp-login on {address}: what is said, passwords too, crosses the network in clear"
        ),
        Purpose::Metrics => log::warn!(
            "metrics on {address}: everybody who can reach it reads the figures, without a password and in clear"
        ),
        _ => {}
    }
}

fn open_listener(address: SocketAddr, dead_peer: DeadPeer) -> io::Result<(Place, DoorSocket)> {
    let listener = Listener::bind_with(address, dead_peer)?;
    let place = Place::Address(listener.local_addr()?);
    Ok((place, DoorSocket::Listener(listener)))
}

fn open_port(address: SocketAddr) -> io::Result<(Place, DoorSocket)> {
    let port = UdpPort::bind(address)?;
    port.hear_of_unreachable()?;
    Ok((Place::Address(port.local_addr()?), DoorSocket::Port(port)))
}

fn open_gateway(
    address: SocketAddrV4,
    broadcast: Ipv4Addr,
    name: Name,
) -> io::Result<(Place, DoorSocket)> {
    let own = UdpPort::bind_broadcast(address)?;
    let local = own.local_addr()?;
    let address = SocketAddrV4::new(*address.ip(), local.port());
    let socket = gateway(own, address, broadcast, name)?;
    Ok((Place::Address(local), socket))
}

impl Door {
    /// Opens a door to chat, with peers on streams given up as is the default.
    pub fn open(protocol: Protocol, address: SocketAddr) -> Result<Door, OpenError> {
        Wanted::Chat { protocol, address }.open(DeadPeer::default())
    }

    /// Makes a door of a socket that the process was started with, by its name. `mesh` is where a mesh hears, and as
    /// whom a gateway answers.
    pub fn of_inherited(
        inherited: Inherited,
        dead_peer: DeadPeer,
        mesh: (Ipv4Addr, Name),
    ) -> Result<Door, UnfitError> {
        let name = inherited.name.clone();
        let Some(purpose) = Purpose::all().find(|purpose| purpose.name() == name) else {
            return Err(UnfitError::Name(name));
        };
        let unfit = |misfit| UnfitError::Socket { purpose, misfit };
        let (place, socket) = door_of(inherited, purpose, dead_peer, mesh).map_err(unfit)?;
        warn_of(purpose, &place);
        Ok(Door {
            purpose,
            place,
            wanted: None,
            socket,
        })
    }

    /// What people come there for.
    pub fn purpose(&self) -> Purpose {
        self.purpose
    }

    /// Where it is.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// Whether it takes datagrams.
    pub(super) fn is_port(&self) -> bool {
        match self.socket {
            DoorSocket::Listener(_) | DoorSocket::Unix(_) => false,
            DoorSocket::Port(_) | DoorSocket::Gateway(..) => true,
        }
    }
}

fn door_of(
    inherited: Inherited,
    purpose: Purpose,
    dead_peer: DeadPeer,
    (broadcast, name): (Ipv4Addr, Name),
) -> Result<(Place, DoorSocket), Misfit> {
    match purpose {
        Purpose::Chat(Protocol::UdpMesh) => {
            let own = inherited.into_broadcast_port()?;
            let local = own.local_addr()?;
            let SocketAddr::V4(address) = local else {
                return Err(Misfit::Refused(io::ErrorKind::Unsupported.into()));
            };
            let socket = gateway(own, address, broadcast, name)?;
            Ok((Place::Address(local), socket))
        }
        Purpose::Chat(protocol) if protocol.transport() == Transport::Udp => {
            let port = inherited.into_port()?;
            port.hear_of_unreachable()?;
            Ok((Place::Address(port.local_addr()?), DoorSocket::Port(port)))
        }
        Purpose::Chat(_) | Purpose::Metrics => {
            let listener = inherited.into_listener(dead_peer)?;
            let place = Place::Address(listener.local_addr()?);
            Ok((place, DoorSocket::Listener(listener)))
        }
        Purpose::Control => {
            let listener = inherited.into_unix_listener()?;
            let address = listener.local_addr()?;
            let path = address.as_pathname().unwrap_or_else(|| Path::new("@"));
            Ok((Place::Path(path.into()), DoorSocket::Unix(listener.into())))
        }
    }
}

/// A gateway whose own port that is.
fn gateway(
    mut own: UdpPort,
    address: SocketAddrV4,
    broadcast: Ipv4Addr,
    name: Name,
) -> io::Result<DoorSocket> {
    let broadcast = SocketAddrV4::new(broadcast, address.port());
    // A socket bound to one address hears no broadcasts (ip(7)).
    if !address.ip().is_unspecified() {
        own.hear_also(UdpPort::bind_broadcast_beside(*address.ip(), broadcast)?);
    }
    Ok(DoorSocket::Gateway(own, broadcast.into(), name))
}

impl Place {
    /// Where it is in the network, if it is there.
    pub fn address(&self) -> Option<SocketAddr> {
        match self {
            Place::Address(address) => Some(*address),
            Place::Path(_) => None,
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Address(address) => address.fmt(f),
            Place::Path(path) => path.display().fmt(f),
        }
    }
}

impl fmt::Display for UnfitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            UnfitError::Name(name) => {
                let names: Vec<&str> = Purpose::all().map(Purpose::name).collect();
                write!(
                    f,
                    "a socket was handed over that is called {name:?}; there is: {} (FileDescriptorName=)",
                    names.join(", ")
                )
            }
            UnfitError::Socket { purpose, misfit } => {
                write!(f, "the socket that was handed over for {purpose}: {misfit}")
            }
        }
    }
}

impl std::error::Error for UnfitError {}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let OpenError {
            purpose,
            place,
            error,
        } = self;
        write!(f, "cannot listen for {purpose} on {place}: {error}")
    }
}

impl std::error::Error for OpenError {}
