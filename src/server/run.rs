//! Owns step 1 of the turn, *wait*, and what only production has: the poll, the listeners, the signals and
//! the clocks. Everything else is [`Server`]'s.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mio::Token;
use mio::net::TcpStream;

use super::clock::WallClock;
use super::core::Server;
use super::counters::Counters;
use super::limits::Limits;
use crate::journal::Limited;
use crate::protocol::registry::Protocol;
use crate::reactor::{Accept, Key, Listener, Pause, Poller, Reserve, Signal, Signals};

/// A socket that a protocol's clients connect to.
#[derive(Debug)]
pub struct Door {
    protocol: Protocol,
    address: SocketAddr,
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

/// How long what is due may take to go out once we are told to stop.
const STOPPING_TIME: Duration = Duration::from_secs(2);

/// Doors have the tokens from zero on, which no connection has.
const SIGNALS: Token = Token(u32::MAX as usize);

impl Door {
    /// Opens exactly that address, or says why not: never another one instead. Port 0 is any.
    pub fn open(protocol: Protocol, address: SocketAddr) -> Result<Door, OpenError> {
        let failed = |error| OpenError {
            protocol,
            address,
            error,
        };
        let listener = Listener::bind(address).map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(Door {
            protocol,
            address,
            listener,
            gate: Gate::Quiet,
            pause: Pause::default(),
        })
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
/// is due two seconds to go out; a second one ends it at once.
pub fn run(
    doors: Vec<Door>,
    limits: Limits,
    isolate: bool,
    ready: impl FnOnce(&[Door]),
) -> io::Result<Counters> {
    let driver = Driver::new(doors, limits, isolate)?;
    ready(&driver.doors);
    driver.run()
}

struct Driver {
    poller: Poller,
    signals: Signals,
    doors: Vec<Door>,
    reserve: Reserve,
    server: Server<TcpStream>,
    clock: WallClock,
    /// What is logged of accepts that failed.
    failures: Limited,
    stop_by: Option<Instant>,
}

impl Driver {
    fn new(mut doors: Vec<Door>, limits: Limits, isolate: bool) -> io::Result<Driver> {
        let poller = Poller::new()?;
        // Not SIGHUP: what nohup(1) ignores stays ignored.
        let catch = [Signal::Interrupt, Signal::Terminate];
        let signals = Signals::new(&poller, SIGNALS, &catch)?;
        for (index, door) in doors.iter_mut().enumerate() {
            poller.register_reading(&mut door.listener, Token(index))?;
        }
        Ok(Driver {
            poller,
            signals,
            doors,
            reserve: Reserve::new()?,
            server: Server::new(limits, isolate, Instant::now()),
            clock: WallClock::default(),
            failures: Limited::new("failed accepts"),
            stop_by: None,
        })
    }

    fn run(mut self) -> io::Result<Counters> {
        loop {
            self.wait()?;
            let now = Instant::now();
            self.accept(now);
            self.failures.catch_up(now);
            self.server.turn(now, self.clock.time_of_day());
            if let Some(stop_by) = self.stop_by
                && (self.server.is_empty() || now >= stop_by)
            {
                return Ok(*self.server.counters());
            }
        }
    }

    /// Step 1: waits, and passes on what the kernel tells.
    fn wait(&mut self) -> io::Result<()> {
        let mut signalled = false;
        let timeout = self.timeout(Instant::now());
        for readiness in self.poller.wait(timeout)? {
            if let Some(key) = Key::from_token(readiness.token) {
                self.server.handle_readiness(key, readiness);
            } else if readiness.token == SIGNALS {
                signalled = true;
            } else if let Some(door) = self.doors.get_mut(readiness.token.0)
                && door.gate == Gate::Quiet
            {
                door.gate = Gate::Waiting;
            }
        }
        if signalled {
            self.obey_signals();
        }
        Ok(())
    }

    /// How long nothing will be due: `None` is for ever.
    fn timeout(&self, now: Instant) -> Option<Duration> {
        let doors = self.doors.iter().filter_map(|door| match door.gate {
            Gate::Quiet => None,
            Gate::Waiting => Some(now),
            Gate::Shut { until } => Some(until),
        });
        let deadlines = doors.chain(self.server.next_deadline()).chain(self.stop_by);
        let next = deadlines.min()?;
        Some(next.saturating_duration_since(now))
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
        self.doors.clear();
        self.server.stop(now);
        self.stop_by = Some(now + STOPPING_TIME);
    }

    /// Step 2, for those who come: each door its share.
    fn accept(&mut self, now: Instant) {
        for door in &mut self.doors {
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
                        self.server.counters.shed += 1;
                        let pause = door.pause.after_failure();
                        door.gate = Gate::Shut { until: now + pause };
                        let what =
                            format_args!("{}: not accepting for {pause:?}: {error}", door.protocol);
                        self.failures.log(now, log::Level::Warn, what);
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
    server: &mut Server<TcpStream>,
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
