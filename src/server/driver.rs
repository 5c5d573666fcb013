//! Owns step 1 of the turn, *wait*, and what only production has: the poll, the entrances, the signals and
//! the clocks. Everything else is [`Server`]'s.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mio::Token;
use mio::net::TcpStream;

use super::annex::{Annex, Ticket};
use super::clock::WallClock;
use super::core::Server;
use super::counters::Counters;
use super::desk::Desk;
use super::doors::{Door, DoorSocket, Purpose};
use super::entrance::{Entrance, EntranceSocket, Entrances, Gate};
use super::reload::Terms;
use super::run::House;
use super::visiting::receive;
use crate::metrics::Histogram;
use crate::protocol::registry::Protocol;
use crate::reactor::{
    Accept, Helper, Key, Poller, Reserve, Signal, Signals, UdpPort, Urgency, Wire,
};
use crate::store::Done;

/// Connections taken per door and turn: the rest wait a turn, so that a crowd at the door does not keep
/// those inside waiting.
const ACCEPTS_PER_TURN: usize = 64;

/// Entrances have the tokens from zero on, and ports those from here on; connections have greater ones.
const PORTS: usize = 1 << 16;
const HELPER: Token = Token(u32::MAX as usize - 1);
const SIGNALS: Token = Token(u32::MAX as usize);

/// What the process does for the server: it waits, and passes on what the kernel tells.
///
/// SIGINT and SIGTERM close the doors and give what is due [`Limits::stopping_time`](super::Limits::stopping_time) to go
/// out, and logins under way the same time to be decided; a second one ends it at once.
#[derive(Debug)]
pub(super) struct Driver {
    poller: Poller,
    signals: Signals,
    entrances: Entrances,
    reserve: Reserve,
    pub(super) server: Server<TcpStream, UdpPort>,
    /// Those who do not chat.
    pub(super) annex: Annex<Wire>,
    /// How long each turn took.
    pub(super) turns: Histogram,
    /// Does what may take long; there where people can log in.
    helper: Option<Helper<Done>>,
    clock: WallClock,
    terms: Terms,
    pub(super) stop_by: Option<Instant>,
}

impl Driver {
    pub(super) fn new(doors: Vec<Door>, house: House) -> io::Result<Driver> {
        let poller = Poller::new()?;
        // Not SIGHUP: what nohup(1) ignores stays ignored.
        let catch = [Signal::Interrupt, Signal::Terminate];
        let signals = Signals::new(&poller, SIGNALS, &catch)?;
        let terms = house.terms;
        let mut server = Server::new(terms.limits, house.isolate, Instant::now());
        server.advertise(terms.advertise);
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
        let mut driver = Driver {
            poller,
            signals,
            entrances: Entrances::default(),
            reserve: Reserve::new()?,
            server,
            annex: Annex::default(),
            turns: Histogram::default(),
            helper,
            clock: WallClock::default(),
            terms,
            stop_by: None,
        };
        let access = driver.terms.access.get(&Purpose::Metrics);
        driver.annex.let_in(access);
        for door in doors {
            driver.open(door)?;
        }
        Ok(driver)
    }

    /// Has the kernel tell of a door.
    fn open(&mut self, door: Door) -> io::Result<()> {
        let Door {
            purpose,
            wanted,
            socket,
            ..
        } = door;
        let socket = match socket {
            DoorSocket::Listener(listener) => EntranceSocket::Tcp(listener),
            DoorSocket::Unix(listener) => EntranceSocket::Unix(listener),
            DoorSocket::Port(port) => {
                let Purpose::Chat(protocol) = purpose else {
                    return Err(io::ErrorKind::Unsupported.into());
                };
                let id = self.server.open_port(protocol, port);
                return self.register_port(id);
            }
            DoorSocket::Gateway(port, broadcast, name) => {
                let id = self.server.open_gateway(port, name, broadcast);
                return self.register_port(id);
            }
        };
        self.entrances
            .open(&self.poller, purpose, wanted, socket)
            .map(drop)
    }

    fn register_port(&mut self, id: u8) -> io::Result<()> {
        match self.server.port_mut(id) {
            Some(port) => self.poller.register(port, Token(PORTS + usize::from(id))),
            None => Ok(()),
        }
    }

    pub(super) fn run(mut self) -> io::Result<Counters> {
        self.give_jobs();
        let mut before = Instant::now();
        loop {
            let now = self.wait(before)?;
            self.accept(now);
            self.take_results(now);
            self.server.turn(now, self.clock.time_of_day());
            self.give_jobs();
            self.attend_to_visitors(now);
            // The next wait begins where this turn ends: one look at the clock for both.
            before = Instant::now();
            self.turns.record(before.saturating_duration_since(now));
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

    /// Step 1: waits, and passes on what the kernel tells; returns when that was.
    fn wait(&mut self, before: Instant) -> io::Result<Instant> {
        let mut signalled = false;
        let timeout = self.timeout(before);
        let told = self.poller.wait(timeout)?;
        let now = Instant::now();
        for readiness in told {
            let token = readiness.token;
            if let Some(key) = Key::from_token(token) {
                self.server.handle_readiness(key, readiness);
            } else if token == SIGNALS {
                signalled = true;
            } else if let Some(id) = port_of(token) {
                self.server.handle_port_readiness(id, readiness);
            } else if let Some(ticket) = Ticket::from_token(token) {
                self.annex.handle_readiness(ticket, readiness);
            } else {
                self.entrances.handle_readiness(token);
            }
        }
        if signalled {
            self.obey_signals();
        }
        Ok(now)
    }

    /// How long nothing will be due: `None` is for ever.
    fn timeout(&self, now: Instant) -> Option<Duration> {
        let entrances = self.entrances.next_deadline(now);
        let deadlines = entrances
            .into_iter()
            .chain(self.server.next_deadline())
            .chain(self.annex.next_deadline(now))
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
        self.entrances.close_all();
        self.server.stop(now);
        self.stop_by = Some(now + self.terms.limits.stopping_time);
    }

    /// Step 2, for those who come: each door its share.
    fn accept(&mut self, now: Instant) {
        for entrance in self.entrances.iter_mut() {
            match entrance.gate {
                Gate::Quiet => continue,
                Gate::Shut { until } if now < until => continue,
                Gate::Shut { .. } | Gate::Waiting => entrance.gate = Gate::Waiting,
            }
            let Entrance {
                purpose,
                socket: EntranceSocket::Tcp(listener),
                gate,
                pause,
                ..
            } = entrance
            else {
                continue;
            };
            let farewell = match purpose {
                Purpose::Chat(protocol) => protocol.no_room(),
                Purpose::Metrics | Purpose::Control => b"",
            };
            for _ in 0..ACCEPTS_PER_TURN {
                match listener.accept(&mut self.reserve, farewell) {
                    Accept::Connection { stream, peer } => {
                        pause.after_success();
                        let (server, poller) = (&mut self.server, &self.poller);
                        match purpose {
                            Purpose::Chat(protocol) => {
                                admit(server, poller, stream, peer, *protocol, now);
                            }
                            Purpose::Metrics if self.annex.admits(peer.ip()) => {
                                let annex = &mut self.annex;
                                receive(annex, poller, stream.into(), Desk::Figures, now);
                            }
                            Purpose::Metrics => {
                                server.note_not_let_in(format_args!("metrics {peer}"), now);
                            }
                            Purpose::Control => {}
                        }
                    }
                    Accept::Nothing => {
                        pause.after_success();
                        *gate = Gate::Quiet;
                        break;
                    }
                    // Edge-triggered: of those who wait the kernel will not tell again.
                    Accept::Shed { error, .. } | Accept::Failed(error) => {
                        let pause = pause.after_failure();
                        *gate = Gate::Shut { until: now + pause };
                        self.server.note_not_accepted(*purpose, &error, pause, now);
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
