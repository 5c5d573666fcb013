//! Owns step 1 of the turn, *wait*, and what only production has: the poll, the listeners, the signals and
//! the clocks. Everything else is [`Server`]'s.

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::time::{Duration, Instant};

use mio::Token;
use mio::net::TcpStream;

use super::accounts::AccountSettings;
use super::clock::WallClock;
use super::core::Server;
use super::counters::Counters;
use super::limits::{Advertise, Limits};
use crate::chat::Name;
use crate::protocol::registry::{Protocol, Transport};
use crate::reactor::{
    Accept, DeadPeer, Helper, Key, Listener, Pause, Poller, Reserve, Signal, Signals, UdpPort,
    Urgency,
};
use crate::store::Done;

/// A socket that a protocol's clients come to.
#[derive(Debug)]
pub struct Door {
    protocol: Protocol,
    address: SocketAddr,
    socket: DoorSocket,
}

#[derive(Debug)]
enum DoorSocket {
    Listener(Listener),
    Port(UdpPort),
    /// To a mesh, and where all of it hears.
    Gateway(UdpPort, SocketAddr),
}

/// How the server behind the doors is to be.
#[derive(Debug)]
pub struct House {
    pub limits: Limits,
    /// Whether each protocol has rooms and names of its own.
    pub isolate: bool,
    /// Which address of a member others are told.
    pub advertise: Advertise,
    /// Without it, nobody can log in and no name is kept.
    pub accounts: Option<AccountSettings>,
    /// As whom a gateway answers the peers of a mesh.
    pub mesh_name: Name,
}

/// A door that people queue at.
#[derive(Debug)]
struct Entrance {
    protocol: Protocol,
    listener: Listener,
    gate: Gate,
    pause: Pause,
}

/// Whether a door is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Gate {
    /// Nobody waits; the kernel will tell.
    Quiet,
    /// Somebody may wait, and the kernel will not tell again.
    Waiting,
    /// There are no descriptors for more connections until somebody leaves.
    Shut { until: Instant },
}

/// Why a door could not be opened.
#[derive(Debug)]
pub struct OpenError {
    pub protocol: Protocol,
    pub address: SocketAddr,
    pub error: io::Error,
}

/// Connections taken per door and turn: the rest wait a turn, so that a crowd at the door does not keep
/// those inside waiting.
const ACCEPTS_PER_TURN: usize = 64;

/// Entrances have the tokens from zero on, and ports those from here on; connections have greater ones.
const PORTS: usize = 1 << 16;
const HELPER: Token = Token(u32::MAX as usize - 1);
const SIGNALS: Token = Token(u32::MAX as usize);

impl Door {
    /// Opens exactly that address, or says why not: never another one instead. Port 0 is any.
    pub fn open(protocol: Protocol, address: SocketAddr) -> Result<Door, OpenError> {
        Door::open_with(protocol, address, DeadPeer::default())
    }

    /// The same, peers on streams given up as that says.
    pub fn open_with(
        protocol: Protocol,
        address: SocketAddr,
        dead_peer: DeadPeer,
    ) -> Result<Door, OpenError> {
        let open = || {
            Ok(match protocol.transport() {
                Transport::Tcp => {
                    let listener = Listener::bind_with(address, dead_peer)?;
                    (listener.local_addr()?, DoorSocket::Listener(listener))
                }
                Transport::Udp => {
                    let port = UdpPort::bind(address)?;
                    port.hear_of_unreachable()?;
                    (port.local_addr()?, DoorSocket::Port(port))
                }
            })
        };
        Door::opened(protocol, address, open())
    }

    /// Opens a gateway to the mesh whose peers all hear what is sent to the address `broadcast`.
    pub fn open_gateway(address: SocketAddrV4, broadcast: Ipv4Addr) -> Result<Door, OpenError> {
        let open = || {
            let mut own = UdpPort::bind_broadcast(address)?;
            let local = own.local_addr()?;
            let broadcast = SocketAddrV4::new(broadcast, local.port());
            // A socket bound to one address hears no broadcasts (ip(7)).
            if !address.ip().is_unspecified() {
                own.hear_also(UdpPort::bind_broadcast_beside(*address.ip(), broadcast)?);
            }
            Ok((local, DoorSocket::Gateway(own, broadcast.into())))
        };
        Door::opened(Protocol::UdpMesh, address.into(), open())
    }

    fn opened(
        protocol: Protocol,
        wanted: SocketAddr,
        opened: io::Result<(SocketAddr, DoorSocket)>,
    ) -> Result<Door, OpenError> {
        match opened {
            Ok((address, socket)) => Ok(Door {
                protocol,
                address,
                socket,
            }),
            Err(error) => Err(OpenError {
                protocol,
                address: wanted,
                error,
            }),
        }
    }

    /// What is spoken there.
    pub fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// Where it is, the port chosen by the kernel included.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let OpenError {
            protocol,
            address,
            error,
        } = self;
        write!(f, "cannot listen for {protocol} on {address}: {error}")
    }
}

impl std::error::Error for OpenError {}

/// Runs the server behind its doors until a signal ends it, and returns what it has counted.
///
/// `ready` is called once everything is set up. SIGINT and SIGTERM close the doors and give what
/// is due [`Limits::stopping_time`] to go out, and logins under way the same time to be decided; a second one ends it at once.
pub fn run(doors: Vec<Door>, house: House, ready: impl FnOnce()) -> io::Result<Counters> {
    let driver = Driver::new(doors, house)?;
    ready();
    driver.run()
}

struct Driver {
    poller: Poller,
    signals: Signals,
    entrances: Vec<Entrance>,
    reserve: Reserve,
    server: Server<TcpStream, UdpPort>,
    /// Does what may take long; there where people can log in.
    helper: Option<Helper<Done>>,
    clock: WallClock,
    stopping_time: Duration,
    stop_by: Option<Instant>,
}

impl Driver {
    fn new(doors: Vec<Door>, house: House) -> io::Result<Driver> {
        let poller = Poller::new()?;
        // Not SIGHUP: what nohup(1) ignores stays ignored.
        let catch = [Signal::Interrupt, Signal::Terminate];
        let signals = Signals::new(&poller, SIGNALS, &catch)?;
        let mut server = Server::new(house.limits, house.isolate, Instant::now());
        server.advertise(house.advertise);
        let mut entrances = Vec::new();
        for door in doors {
            let id = match door.socket {
                DoorSocket::Listener(mut listener) => {
                    poller.register_reading(&mut listener, Token(entrances.len()))?;
                    entrances.push(Entrance {
                        protocol: door.protocol,
                        listener,
                        gate: Gate::Quiet,
                        pause: Pause::default(),
                    });
                    continue;
                }
                DoorSocket::Port(port) => server.open_port(door.protocol, port),
                DoorSocket::Gateway(port, broadcast) => {
                    server.open_gateway(port, house.mesh_name.clone(), broadcast)
                }
            };
            if let Some(port) = server.port_mut(id) {
                poller.register(port, Token(PORTS + usize::from(id)))?;
            }
        }
        let helper = match house.accounts {
            Some(accounts) if !accounts.served => {
                server.keep_accounts(accounts);
                None
            }
            Some(accounts) => {
                server.keep_accounts(accounts);
                Some(Helper::start(poller.waker(HELPER)?)?)
            }
            None => None,
        };
        Ok(Driver {
            poller,
            signals,
            entrances,
            reserve: Reserve::new()?,
            server,
            helper,
            clock: WallClock::default(),
            stopping_time: house.limits.stopping_time,
            stop_by: None,
        })
    }

    fn run(mut self) -> io::Result<Counters> {
        self.give_jobs();
        loop {
            self.wait()?;
            let now = Instant::now();
            self.accept(now);
            self.take_results(now);
            self.server.turn(now, self.clock.time_of_day());
            self.give_jobs();
            if let Some(stop_by) = self.stop_by
                && (now >= stop_by || self.is_done())
            {
                self.server.tell_the_rest();
                return Ok(*self.server.counters());
            }
        }
    }

    /// Whether everybody was told what is due, those included whose passwords are still with the helper.
    fn is_done(&self) -> bool {
        self.server.is_empty() && !self.server.has_jobs_under_way()
    }

    /// Step 1: waits, and passes on what the kernel tells.
    fn wait(&mut self) -> io::Result<()> {
        let mut signalled = false;
        let timeout = self.timeout(Instant::now());
        for readiness in self.poller.wait(timeout)? {
            let token = readiness.token;
            if let Some(key) = Key::from_token(token) {
                self.server.handle_readiness(key, readiness);
            } else if token == SIGNALS {
                signalled = true;
            } else if let Some(entrance) = self.entrances.get_mut(token.0) {
                if entrance.gate == Gate::Quiet {
                    entrance.gate = Gate::Waiting;
                }
            } else if let Some(id) = port_of(token) {
                self.server.handle_port_readiness(id, readiness);
            }
        }
        if signalled {
            self.obey_signals();
        }
        Ok(())
    }

    /// How long nothing will be due: `None` is for ever.
    fn timeout(&self, now: Instant) -> Option<Duration> {
        let entrances = self
            .entrances
            .iter()
            .filter_map(|entrance| match entrance.gate {
                Gate::Quiet => None,
                Gate::Waiting => Some(now),
                Gate::Shut { until } => Some(until),
            });
        let deadlines = entrances
            .chain(self.server.next_deadline())
            .chain(self.stop_by);
        let next = deadlines.min()?;
        Some(next.saturating_duration_since(now))
    }

    /// Step 4, for what the helper has finished.
    fn take_results(&mut self, now: Instant) {
        while let Some(done) = self.helper.as_ref().and_then(Helper::finished) {
            self.server.handle_done(done, now);
        }
    }

    /// What came up in the turn that may take long.
    fn give_jobs(&mut self) {
        let Some(helper) = &self.helper else {
            return;
        };
        while let Some(job) = self.server.next_job() {
            let urgency = match job.is_save() {
                true => Urgency::First,
                false => Urgency::Later,
            };
            // The server never has more with the helper than the helper takes.
            let given = helper.submit(urgency, move || job.run());
            debug_assert!(given.is_ok(), "invariant: the server bounds its jobs");
        }
    }

    fn obey_signals(&mut self) {
        let Some(signal) = self.signals.pending().last() else {
            return;
        };
        let now = Instant::now();
        if self.stop_by.is_some() {
            log::warn!("stopping at once: {signal}");
            self.stop_by = Some(now);
            return;
        }
        log::info!("stopping: {signal}, {} connections", self.server.len());
        self.entrances.clear();
        self.server.stop(now);
        self.stop_by = Some(now + self.stopping_time);
    }

    /// Step 2, for those who come: each door its share.
    fn accept(&mut self, now: Instant) {
        for door in &mut self.entrances {
            match door.gate {
                Gate::Quiet => continue,
                Gate::Shut { until } if now < until => continue,
                Gate::Shut { .. } | Gate::Waiting => door.gate = Gate::Waiting,
            }
            for _ in 0..ACCEPTS_PER_TURN {
                match door
                    .listener
                    .accept(&mut self.reserve, door.protocol.no_room())
                {
                    Accept::Connection { stream, peer } => {
                        door.pause.after_success();
                        admit(
                            &mut self.server,
                            &self.poller,
                            stream,
                            peer,
                            door.protocol,
                            now,
                        );
                    }
                    Accept::Nothing => {
                        door.pause.after_success();
                        door.gate = Gate::Quiet;
                        break;
                    }
                    // Edge-triggered: of those who wait the kernel will not tell again.
                    Accept::Shed { error, .. } | Accept::Failed(error) => {
                        let pause = door.pause.after_failure();
                        door.gate = Gate::Shut { until: now + pause };
                        self.server
                            .note_not_accepted(door.protocol, &error, pause, now);
                        break;
                    }
                }
            }
        }
    }
}

/// Takes a connection in and has the kernel tell of it: two system calls for its whole life, this
/// registration and the close.
fn admit(
    server: &mut Server<TcpStream, UdpPort>,
    poller: &Poller,
    stream: TcpStream,
    peer: SocketAddr,
    protocol: Protocol,
    now: Instant,
) {
    let Some(key) = server.accept(stream, peer, protocol, now) else {
        return;
    };
    let registered = match server.stream_mut(key) {
        Some(stream) => poller.register(stream, key.token()),
        None => Ok(()),
    };
    if let Err(error) = registered {
        server.drop_connection(key, error);
    }
}

/// The port of a token, if it is one's.
fn port_of(token: Token) -> Option<u8> {
    u8::try_from(token.0.checked_sub(PORTS)?).ok()
}
