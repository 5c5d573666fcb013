//! Owns step 1 of the turn, *wait*, and what only production has: the poll, the entrances, the signals and
//! the clocks. Everything else is [`Server`]'s.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use mio::{Token, Waker};

use super::annex::{Annex, Ticket};
use super::clock::WallClock;
use super::control::Asker;
use super::core::Server;
use super::counters::Counters;
use super::desk::Desk;
use super::doors::{Door, DoorSocket, Place, Purpose, Wanted};
use super::entrance::{Entrance, EntranceSocket, Entrances, Gate};
use super::manager::ServiceManager;
use super::reload::{Reloads, Reread, Terms};
use super::run::House;
use super::swap::Reading;
use super::visiting::{date, receive_administrator, receive_onlooker};
use crate::metrics::Histogram;
use crate::protocol::registry::Protocol;
use crate::reactor::{
    Accept, ControllingTerminal, Helper, Key, Poller, Reserve, Signal, Signals, UdpPort, Urgency,
    Wire, is_ignored,
};
use crate::store::Done;

/// Connections taken per door and turn: the rest wait a turn, so that a crowd at the door does not keep
/// those inside waiting.
const ACCEPTS_PER_TURN: usize = 64;

/// Entrances have the tokens from zero on, and ports those from here on; connections have greater ones.
const PORTS: usize = 1 << 16;

/// Whether a drain is over is looked at so often: everybody is asked whether he is still there.
const LOOK_EVERY: Duration = Duration::from_millis(50);

const HELPER: Token = Token(u32::MAX as usize - 1);
const SIGNALS: Token = Token(u32::MAX as usize);

/// What the process does for the server: it waits, and passes on what the kernel tells.
///
/// | signal | what comes of it |
/// |---|---|
/// | SIGINT, SIGTERM | the doors are closed; what is due has [`Limits::stopping_time`](super::Limits::stopping_time) to go out, and logins under way the same time to be decided; a second one ends it at once |
/// | SIGHUP | the configuration is read again, where there is one and it was not ignored at the start |
/// | SIGUSR2 | a drain: nobody is let in any more, and it stops once all have left or [`Terms::drain_timeout`] is over |
///
/// ```text
///              USR2               empty, or too late
///  Serving ───────────▶ Draining ────────────────────▶ Stopping ──▶ (the end)
///     │                     INT, TERM                     ▲ │ INT, TERM: at once
///     └───────────────────────────────────────────────────┘ └──▶
/// ```
#[derive(Debug)]
pub(super) struct Driver {
    poller: Poller,
    signals: Signals,
    terminal: ControllingTerminal,
    pub(super) entrances: Entrances,
    /// By their numbers.
    pub(super) ports: BTreeMap<u8, OpenPort>,
    reserve: Reserve,
    pub(super) server: Server<TcpStream, UdpPort>,
    /// Those who do not chat.
    pub(super) annex: Annex<Wire>,
    /// How long each turn took.
    pub(super) turns: Histogram,
    /// How other threads end the wait.
    pub(super) waker: Arc<Waker>,
    /// Does what may take long; there where people can log in.
    helper: Option<Helper<Done>>,
    /// Whether that was so at the start.
    pub(super) serves_logins: bool,
    clock: WallClock,
    pub(super) terms: Terms,
    pub(super) reread: Option<Reread>,
    pub(super) reading: Option<Reading>,
    /// Those that were waited for in vain.
    pub(super) stuck: Vec<Reading>,
    /// Who waits to hear how a reload went, and whether it is the next one.
    pub(super) reloaders: Vec<(Asker, bool)>,
    pub(super) reloads: Reloads,
    pub(super) manager: ServiceManager,
    phase: Phase,
}

/// A datagram port, as the driver knows it.
#[derive(Debug)]
pub(super) struct OpenPort {
    purpose: Purpose,
    place: Place,
    /// `None` of one that was handed over.
    wanted: Option<Wanted>,
}

/// Where an open door is to be found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Opened {
    Entrance(usize),
    Port(u8),
}

/// How far the server has come.
#[derive(Clone, Copy, Debug)]
enum Phase {
    Serving,
    /// Nobody is let in, and nobody is put out before that.
    Draining {
        until: Instant,
        look: Instant,
    },
    /// The last words.
    Stopping {
        by: Instant,
    },
}

/// The signals of a server that is yet to be: from here on neither SIGHUP nor SIGUSR2 ends the process, and one that comes
/// before it serves is obeyed as soon as it does. SIGINT and SIGTERM end it as they end any until then: a start may wait
/// for whoever has the configuration.
#[derive(Debug)]
pub struct Caught {
    poller: Poller,
    signals: Signals,
    terminal: ControllingTerminal,
}

impl Caught {
    /// Those of the table of `Driver`. To be called before anything that may take its time.
    ///
    /// Fails when the kernel has no descriptors for it.
    pub fn new() -> io::Result<Caught> {
        let poller = Poller::new()?;
        let mut catch = vec![Signal::User2];
        // What nohup(1) has ignored stays ignored.
        if !is_ignored(Signal::Hangup) {
            catch.push(Signal::Hangup);
        }
        let signals = Signals::new(&poller, SIGNALS, &catch)?;
        Ok(Caught {
            poller,
            signals,
            terminal: ControllingTerminal::of_process(),
        })
    }
}

impl Driver {
    pub(super) fn new(doors: Vec<Door>, house: House, caught: Caught) -> io::Result<Driver> {
        let now = Instant::now();
        let Caught {
            poller,
            signals,
            terminal,
        } = caught;
        signals.catch_also(&[Signal::Interrupt, Signal::Terminate])?;
        let waker = Arc::new(poller.waker(HELPER)?);
        let terms = house.terms;
        let mut server = Server::new(terms.rules.limits, house.isolate, now);
        let accounts = house.accounts.as_ref();
        let serves_logins = accounts.is_some_and(|a| a.served);
        // Who cannot log in can still be given an account, and a ban be kept.
        let needs_helper = accounts.is_some_and(|a| a.served || a.kept);
        if let Some(accounts) = house.accounts {
            server.keep_accounts(accounts);
        }
        let helper = match needs_helper {
            true => Some(Helper::start(Arc::clone(&waker))?),
            false => None,
        };
        server.keep_bans(house.bans, now, date());
        server.describe(house.about);
        let mut driver = Driver {
            poller,
            signals,
            terminal,
            entrances: Entrances::default(),
            ports: BTreeMap::new(),
            reserve: Reserve::new()?,
            server,
            annex: Annex::default(),
            turns: Histogram::default(),
            waker,
            helper,
            serves_logins,
            clock: WallClock::default(),
            terms: Terms::default(),
            reread: house.reread,
            reading: None,
            stuck: Vec::new(),
            reloaders: Vec::new(),
            reloads: Reloads::default(),
            manager: ServiceManager::from_environment(now),
            phase: Phase::Serving,
        };
        driver.put_in_force(&terms, now);
        driver.terms = terms;
        for door in doors {
            driver.open(door)?;
        }
        Ok(driver)
    }

    /// Has the kernel tell of a door. With an error it is closed.
    pub(super) fn open(&mut self, door: Door) -> io::Result<Opened> {
        let Door {
            purpose,
            place,
            wanted,
            socket,
        } = door;
        let socket = match socket {
            DoorSocket::Listener(listener) => EntranceSocket::Tcp(listener),
            DoorSocket::Unix(listener) => EntranceSocket::Unix(listener),
            DoorSocket::Port(port) => {
                let Purpose::Chat(protocol) = purpose else {
                    return Err(io::ErrorKind::Unsupported.into());
                };
                let id = self.server.open_port(protocol, port);
                return self.register_port(id, purpose, place, wanted);
            }
            DoorSocket::Gateway(port, broadcast, name) => {
                let id = self.server.open_gateway(port, name, broadcast);
                return self.register_port(id, purpose, place, wanted);
            }
        };
        self.entrances
            .open(&self.poller, (purpose, place), wanted, socket)
            .map(Opened::Entrance)
    }

    fn register_port(
        &mut self,
        id: u8,
        purpose: Purpose,
        place: Place,
        wanted: Option<Wanted>,
    ) -> io::Result<Opened> {
        let registered = match self.server.port_mut(id) {
            Some(port) => self.poller.register(port, Token(PORTS + usize::from(id))),
            None => Ok(()),
        };
        let port = OpenPort {
            purpose,
            place,
            wanted,
        };
        self.ports.insert(id, port);
        if let Err(error) = registered {
            self.close(&Opened::Port(id));
            return Err(error);
        }
        Ok(Opened::Port(id))
    }

    /// Closes a door. Connections that came by it stay; guests of a port go.
    pub(super) fn close(&mut self, door: &Opened) {
        match *door {
            Opened::Entrance(at) => self.entrances.close(&self.poller, at),
            // No port that was handed over is closed before the end, and of others the kernel forgets what is closed.
            Opened::Port(id) => {
                self.ports.remove(&id);
                drop(self.server.close_port(id, Instant::now()));
            }
        }
    }

    /// All doors: where each is, and what in the configuration it is for.
    pub(super) fn doors(&self) -> impl Iterator<Item = (Opened, &Place, Option<&Wanted>)> {
        let entrances = self.entrances.iter();
        let entrances =
            entrances.map(|(at, door)| (Opened::Entrance(at), &door.place, door.wanted.as_ref()));
        let ports = self.ports.iter();
        let ports = ports.map(|(id, port)| (Opened::Port(*id), &port.place, port.wanted.as_ref()));
        entrances.chain(ports)
    }

    /// What a door is for, and where it is.
    pub(super) fn place(&self, door: &Opened) -> Option<(Purpose, &Place)> {
        match door {
            Opened::Entrance(at) => self.entrances.get(*at).map(|e| (e.purpose, &e.place)),
            Opened::Port(id) => self.ports.get(id).map(|port| (port.purpose, &port.place)),
        }
    }

    /// A door, as the log calls it.
    pub(super) fn describe(&self, door: &Opened) -> String {
        self.place(door)
            .map_or_else(String::new, |(purpose, place)| {
                format!("{purpose} on {place}")
            })
    }

    /// Whether the address of a door is to be had by another of ours as well.
    pub(super) fn share(&mut self, door: &Opened, shared: bool) -> io::Result<()> {
        match *door {
            Opened::Entrance(at) => self.entrances.share(at, shared),
            Opened::Port(id) => match self.server.port_mut(id) {
                Some(port) => port.share(shared),
                None => Ok(()),
            },
        }
    }

    pub(super) fn is_serving(&self) -> bool {
        matches!(self.phase, Phase::Serving)
    }

    /// Whether nothing but the last words is said any more.
    pub(super) fn is_stopping(&self) -> bool {
        matches!(self.phase, Phase::Stopping { .. })
    }

    pub(super) fn run(mut self) -> io::Result<Counters> {
        self.manager.ready(Instant::now());
        self.give_jobs();
        let mut before = Instant::now();
        loop {
            let now = self.wait(before)?;
            self.accept(now);
            self.take_results(now);
            self.server.turn(now, self.clock.time_of_day());
            self.tell_manager(now);
            self.attend_to_visitors(now);
            self.give_jobs();
            // The next wait begins where this turn ends: one look at the clock for both.
            before = Instant::now();
            self.turns.record(before.saturating_duration_since(now));
            if self.is_over(now) {
                self.server.tell_the_rest();
                return Ok(*self.server.counters());
            }
        }
    }

    /// Goes from one phase to the next, and says whether there is none.
    fn is_over(&mut self, now: Instant) -> bool {
        match self.phase {
            Phase::Serving => false,
            Phase::Draining { until, .. } if now >= until => {
                let (members, _) = self.server.population();
                self.stop(
                    &format!("the drain has taken its time, members left: {members}"),
                    now,
                );
                self.is_done()
            }
            Phase::Draining { look, .. } if now < look => false,
            Phase::Draining { .. } if self.server.is_drained() => {
                self.stop("drained", now);
                self.is_done()
            }
            Phase::Draining { until, .. } => {
                let look = until.min(now + LOOK_EVERY);
                self.phase = Phase::Draining { until, look };
                false
            }
            Phase::Stopping { by } => now >= by || self.is_done(),
        }
    }

    fn tell_manager(&mut self, now: Instant) {
        if self.manager.listens() {
            let draining = matches!(self.phase, Phase::Draining { .. });
            self.manager.turn(self.server.population(), draining, now);
        }
    }

    /// Whether everybody was told what is due, those included whose passwords are still with the helper.
    fn is_done(&self) -> bool {
        self.server.is_empty() && !self.server.has_jobs_under_way() && !self.annex.owes_answers()
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
            .chain(self.manager.next_deadline())
            .chain(self.reading_deadline())
            .chain(match self.phase {
                Phase::Serving => None,
                Phase::Draining { look, .. } => Some(look),
                Phase::Stopping { by } => Some(by),
            });
        let next = deadlines.min()?;
        Some(next.saturating_duration_since(now))
    }

    /// Step 4, for what the helper has finished.
    fn take_results(&mut self, now: Instant) {
        while let Some(done) = self.helper.as_ref().and_then(Helper::finished) {
            self.server.handle_done(done, now);
        }
        self.end_reload(now);
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
        let signals: Vec<Signal> = self.signals.pending().collect();
        let now = Instant::now();
        let ends = |signal: &&Signal| matches!(signal, Signal::Interrupt | Signal::Terminate);
        // What else came with it is of no use any more.
        if let Some(signal) = signals.iter().find(ends) {
            match self.phase {
                Phase::Stopping { .. } => {
                    log::warn!("stopping at once: {signal}");
                    self.phase = Phase::Stopping { by: now };
                }
                Phase::Serving | Phase::Draining { .. } => self.stop(&signal.to_string(), now),
            }
            return;
        }
        for signal in signals {
            match signal {
                // Who has closed its window has done with it. The shell there may have told the same.
                Signal::Hangup if self.terminal.is_gone() => {
                    if !self.is_stopping() {
                        self.stop("the terminal is gone", now);
                    }
                }
                Signal::Hangup => self.begin_reload(now),
                Signal::User2 => self.drain(&signal.to_string(), now),
                Signal::Interrupt | Signal::Terminate | Signal::WindowChange => {}
            }
        }
    }

    /// Closes all doors, and gives what is due its time.
    pub(super) fn stop(&mut self, why: &str, now: Instant) {
        log::info!("stopping: {why}, {} connections", self.server.len());
        self.forget_reload(now);
        self.manager.stopping(now);
        self.entrances.close_all();
        self.server.stop(now);
        let by = now + self.terms.rules.limits.stopping_time;
        self.phase = Phase::Stopping { by };
    }

    /// Lets nobody in any more, and waits until all have left. Doors that nobody chats at stay open: they tell how far it
    /// is.
    pub(super) fn drain(&mut self, why: &str, now: Instant) {
        let until = match self.phase {
            Phase::Serving => now + self.terms.drain_timeout,
            Phase::Draining { until, .. } => {
                let left = until.saturating_duration_since(now).as_secs();
                log::info!("{why}: it drains already, and stops in {left} s at the latest");
                return;
            }
            Phase::Stopping { .. } => {
                log::info!("{why}: it stops already");
                return;
            }
        };
        let (members, _) = self.server.population();
        let timeout = self.terms.drain_timeout.as_secs();
        log::info!(
            "draining: {why}, members: {members}; nobody is let in any more, and it stops once all have left, in \
             {timeout} s at the latest"
        );
        self.forget_reload(now);
        self.entrances.close_to_chat(&self.poller);
        self.server.drain(self.terms.drain_timeout, now);
        self.manager.draining(now);
        self.phase = Phase::Draining { until, look: now };
    }

    /// Step 2, for those who come: each door its share.
    fn accept(&mut self, now: Instant) {
        for entrance in self.entrances.iter_mut() {
            match entrance.gate {
                Gate::Quiet => continue,
                Gate::Shut { until } if now < until => continue,
                Gate::Shut { .. } | Gate::Waiting => entrance.gate = Gate::Waiting,
            }
            if let Purpose::Control = entrance.purpose {
                let (annex, poller) = (&mut self.annex, &self.poller);
                receive_administrator(annex, poller, entrance, now);
                continue;
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
                let is_for_figures = matches!(purpose, Purpose::Metrics);
                if is_for_figures && self.annex.is_to_be_heard_first(Desk::Figures) {
                    break;
                }
                match listener.accept(&mut self.reserve, farewell) {
                    Accept::Connection { stream, peer } => {
                        pause.after_success();
                        let (server, poller) = (&mut self.server, &self.poller);
                        match purpose {
                            Purpose::Chat(protocol) => {
                                admit(server, poller, stream, peer, *protocol, now);
                            }
                            Purpose::Metrics => {
                                let annex = &mut self.annex;
                                receive_onlooker(server, annex, poller, (stream, peer), now);
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
