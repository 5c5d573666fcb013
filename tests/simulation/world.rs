//! Owns one run of the whole server: its virtual time, who is there, and how it all ends.
//! Who comes is in `arrivals`, what is checked in the end in `oracle`.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use mynah::chat::{Name, TimeOfDay};
use mynah::fanout::LagLimits;
use mynah::protocol::registry::Protocol;
use mynah::protocol::tcp_room::frame::encode_say;
use mynah::reactor::{Key, Readiness};
use mynah::server::{AccountSettings, Counters, Limits, MessageRate, Server};
use mynah::store::HashCost;

use crate::air::{self, Air, BROADCAST, SimPort};
use crate::disk::{Crash, Disk};
use crate::order::WELCOME;
use crate::outcome::Outcome;
use crate::peers::client::{Client, Fate, Mailbox, Phase};
use crate::peers::hostile::{Intruder, Ports, attack};
use crate::peers::mesh::MeshPeer;
use crate::peers::scripted::{Kind, Scripted};
use crate::peers::text;
use crate::rng::Rng;
use crate::stream::{Meter, PeerEnd, SimStream, Telling};

pub struct World {
    pub(crate) rng: Rng,
    pub(crate) server: Server<SimStream, SimPort>,
    /// The server's, as they were when its life ended.
    pub(crate) counters: Counters,
    pub(crate) limits: Limits,
    /// Everybody reads and time passes slowly: whoever stays in peace must lose nothing.
    pub(crate) calm: bool,
    /// Every protocol has a house of its own.
    pub(crate) isolate: bool,
    pub(crate) base: Instant,
    pub(crate) now: Instant,
    pub(crate) meter: Rc<Meter>,
    pub(crate) air: Rc<RefCell<Air>>,
    pub(crate) ports: Ports,
    pub(crate) disk: Disk,
    /// Peers of tcp-room. The first is the witness, who reads all and never leaves: it sees the lobby's
    /// one order.
    pub(crate) scripted: Vec<Scripted>,
    /// All others who keep the rules. The first is the ear: a member of udp-room to whom nothing is lost,
    /// and who hears who comes and goes, too.
    pub(crate) clients: Vec<Client>,
    /// How many of them are there from the beginning to the end: the ear, and where each protocol has a house of
    /// its own, one more for each of those that tell who comes and goes.
    pub(crate) residents: usize,
    pub(crate) mesh: Vec<MeshPeer>,
    pub(crate) intruders: Vec<Intruder>,
    /// Everybody's names, for those who want to talk to somebody.
    pub(crate) names: Vec<String>,
    /// Names of accounts that were acknowledged, of earlier lives too.
    pub(crate) accounts: Vec<String>,
    pub(crate) rooms: usize,
    pub(crate) counted: usize,
    pub(crate) turns: u64,
    /// The kernel still refused datagrams when a life ended: nobody knows what everybody would have heard.
    pub(crate) left_unsent: bool,
    /// What happened that is counted nowhere else.
    pub(crate) outcome: Outcome,
    /// What everybody was told since the witness came.
    pub(crate) notices: Vec<String>,
    /// Newcomers are told something.
    pub(crate) welcomes: bool,
    /// Connections that are gone, of which the kernel may tell still.
    stale: Vec<Key>,
}

/// How a server's life ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Everybody has gone before.
    Politely,
    /// It is stopped while people talk.
    InFullSwing,
    /// Nobody asks it.
    Crash,
}

/// The least that Argon2 does.
pub const CHEAP: HashCost = HashCost {
    memory_kib: 8,
    passes: 1,
    lanes: 1,
};

impl World {
    pub fn new(seed: u64) -> World {
        let mut rng = Rng::new(seed);
        let mut limits = Limits::default();
        let calm = rng.once_in(3);
        let isolate = rng.once_in(4);
        if !calm && rng.once_in(2) {
            // Small enough that a few messages to a peer that does not read reach it.
            limits.lag = LagLimits {
                backlog_bytes: 2000 + rng.below(20_000),
                outbox_bytes: 1000 + rng.below(60_000),
                stall_bytes: 500 + rng.below(1000),
                stall_time: Duration::from_secs(30),
            };
            limits.unsent_bytes = 500 + rng.below(4000);
        }
        if rng.once_in(2) {
            limits.gathering.members = 1 + rng.below(3);
        }
        if !calm && rng.once_in(3) {
            limits.max_per_address = 1 + rng.below(4);
            limits.mesh_names_per_address = limits.max_per_address;
            limits.message_rate = Some(MessageRate {
                burst: 2,
                per_second: 1,
            });
        }
        if !calm && rng.once_in(6) {
            limits.mailing_bytes = 4096 + rng.below(8192);
        }
        let base = Instant::now();
        let air = Rc::new(RefCell::new(Air::new(rng.next(), !calm, base)));
        // Sometimes there are accounts that an older program has written.
        let old: Vec<String> = (0..rng.below(4)).map(|n| format!("old{n}")).collect();
        let entries: Vec<String> = old
            .iter()
            .map(|name| format!("\"{name}\": \"pw {name}\""))
            .collect();
        let file = (!old.is_empty()).then(|| format!("{{{}}}", entries.join(", ")).into_bytes());
        let disk = Disk::new(rng.next(), 0, file);
        let (server, ports) = start(&mut rng, &air, &disk, limits, isolate, base);
        World {
            disk,
            rng,
            server,
            counters: Counters::default(),
            limits,
            calm,
            isolate,
            base,
            now: base,
            meter: Rc::default(),
            air,
            ports,
            scripted: Vec::new(),
            clients: Vec::new(),
            residents: 0,
            mesh: Vec::new(),
            intruders: Vec::new(),
            names: Vec::new(),
            accounts: old,
            rooms: 0,
            counted: 0,
            turns: 0,
            left_unsent: false,
            outcome: Outcome::default(),
            notices: Vec::new(),
            welcomes: false,
            stale: Vec::new(),
        }
    }

    /// Runs it all and checks the promises, during and after.
    pub fn run(mut self) -> Outcome {
        let mut steps = 50 + self.rng.below(100);
        let mut total = Outcome::default();
        if self.rng.once_in(3) {
            // What happens before a crash, at any moment.
            let before = 1 + self.rng.below(steps);
            self.live(before);
            steps -= before;
            self.crash();
            total.add(&self.check_everything(End::Crash));
            self.begin_again();
        }
        self.live(steps);
        let end = match self.rng.once_in(2) {
            true => End::Politely,
            false => End::InFullSwing,
        };
        // Where each protocol has a house, a resident whose session is lost comes back, which nobody can any more.
        if !self.isolate && self.rng.once_in(4) {
            self.drain();
        }
        if end == End::Politely {
            self.all_go();
        }
        self.stop(end);
        total.add(&self.check_everything(end));
        total
    }

    fn live(&mut self, steps: usize) {
        self.welcomes = self.rng.once_in(3);
        if self.welcomes {
            self.server.welcome_newcomers(WELCOME);
        }
        self.give_jobs();
        if self.isolate {
            // One of the residents registers, which nobody can while passwords are in plain.
            self.pass(Duration::from_secs(1));
        }
        self.arrive_residents();
        self.notices.clear();
        self.disk.failing = if self.calm { 0 } else { self.rng.below(6) };
        for _ in 0..steps {
            self.somebody_arrives();
            if self.rng.once_in(150) {
                self.many_arrive();
            }
            self.act();
            if self.rng.once_in(50) {
                self.keep_order();
            }
            if self.rng.once_in(250) {
                self.many_go();
            }
            self.pass_time();
        }
    }

    /// The server ends in the midst of it all, with its machine or alone.
    fn crash(&mut self) {
        for peer in &mut self.scripted {
            peer.read();
        }
        // What flies lands, for those who are checked; nothing is heard any more.
        self.now += Duration::from_secs(1);
        self.air.borrow_mut().advance(self.now);
        self.pump_all();
        self.counters = *self.server.counters();
        // Nothing is owed to this one any more.
        self.server = Server::new(self.limits, self.isolate, self.now);
        self.left_unsent = !self.calm;
        self.outcome.crashes += 1;
    }

    /// Starts the server again, on what the disk has. Whoever was there is not known any more.
    fn begin_again(&mut self) {
        let crash = match self.rng.once_in(2) {
            true => Crash::Kill,
            false => Crash::PowerCut,
        };
        self.disk.crash(crash);
        self.disk.failing = 0;
        for name in &self.accounts {
            assert!(
                self.disk.has(name),
                "{name} was registered, and after a {crash:?} it is not"
            );
        }
        self.scripted.clear();
        self.clients.clear();
        self.mesh.clear();
        self.intruders.clear();
        self.names.clear();
        self.stale.clear();
        self.air.borrow_mut().forget_all();
        let (server, ports) = start(
            &mut self.rng,
            &self.air,
            &self.disk,
            self.limits,
            self.isolate,
            self.now,
        );
        (self.server, self.ports) = (server, ports);
        self.turns = 0;
        self.outcome = Outcome::default();
        let disk = &mut self.disk;
        (disk.saved, disk.failed, disk.failed_late, disk.not_hashed) = (0, 0, 0, 0);
        self.meter.full_turns.set(0);
        self.meter.died_in_send.set(0);
    }

    fn act(&mut self) {
        let residents = self.residents;
        for (index, peer) in self.scripted.iter_mut().enumerate() {
            peer.act(index == 0, &mut self.rng);
        }
        let mut air = self.air.borrow_mut();
        for (index, client) in self.clients.iter_mut().enumerate() {
            if index < residents {
                client.move_bytes(usize::MAX, &mut air, self.now);
                continue;
            }
            client.act(&self.names, &mut self.rng, &mut air, self.now);
            let portion = match self.rng.below(3) {
                0 => 1 + self.rng.below(30),
                _ => usize::MAX,
            };
            client.move_bytes(portion, &mut air, self.now);
        }
        for peer in &mut self.mesh {
            peer.act(&mut self.rng, &mut air);
        }
        for intruder in &mut self.intruders {
            if !intruder.plan.is_empty() && self.rng.once_in(2) {
                let portion = 1 + self.rng.below(intruder.plan.len());
                let bytes: Vec<u8> = intruder.plan.drain(..portion).collect();
                intruder.end.send(&bytes);
            }
            if intruder.reads {
                intruder.read();
            }
        }
        if self.rng.once_in(4) {
            attack(&self.ports, &self.names, &mut self.rng, &mut air);
        }
        if !self.calm && !air.maligned.is_empty() && self.rng.once_in(8) {
            let (port, address) = air.maligned[self.rng.below(air.maligned.len())];
            air.malign(port, address);
        }
        drop(air);
        // What the kernel had to tell of a connection may come after its end.
        if !self.stale.is_empty() && self.rng.once_in(4) {
            let key = self.stale[self.rng.below(self.stale.len())];
            self.tell_late(key);
        }
    }

    /// An event of a connection that is gone finds nobody, whoever has its place now.
    fn tell_late(&mut self, gone: Key) {
        let same_place = |(end, key): (&PeerEnd, Option<Key>)| {
            key.is_some_and(|key| key != gone && key.index() == gone.index()) && !end.server_gone()
        };
        let has_successor = self.lines().any(same_place);
        self.outcome.late_events += 1;
        self.outcome.late_events_at_successors += u64::from(has_successor);
        let before = self.server.next_deadline();
        self.server.handle_readiness(
            gone,
            Readiness {
                token: gone.token(),
                readable: true,
                writable: true,
                read_closed: true,
            },
        );
        let after = self.server.next_deadline();
        assert_eq!(after, before, "an event of the dead woke the living");
        self.server.audit();
    }

    /// All connections that there ever were.
    pub(crate) fn lines(&self) -> impl Iterator<Item = (&PeerEnd, Option<Key>)> {
        let scripted = self.scripted.iter().map(|peer| (&peer.end, Some(peer.key)));
        let clients = self.clients.iter().filter_map(|client| {
            let line = client.line.as_ref()?;
            Some((&line.end, line.key))
        });
        let intruders = self.intruders.iter().map(|peer| (&peer.end, peer.key));
        scripted.chain(clients).chain(intruders)
    }

    /// Time goes by as it would: the server is woken by edges and by its own deadlines, by nothing else.
    pub(crate) fn pass_time(&mut self) {
        // The process may be stopped for long, or its machine: then everything is due at once.
        if !self.calm && self.rng.once_in(400) {
            // Who hears its own broadcasts later than this takes them for somebody else's.
            let longest = if self.isolate { 2 * 3600 } else { 20 };
            self.now += Duration::from_secs(self.rng.below(longest) as u64);
            self.outcome.suspensions += 1;
        }
        let pause = match self.rng.below(20) {
            0 if !self.calm => Duration::from_secs(self.rng.below(25) as u64),
            0..=4 if self.calm => Duration::from_millis(self.rng.below(50) as u64),
            0..=4 => Duration::from_millis(self.rng.below(500) as u64),
            // It stands still.
            5 | 6 => Duration::ZERO,
            _ => Duration::from_millis(self.rng.below(5) as u64),
        };
        self.pass(pause);
    }

    pub(crate) fn pass(&mut self, pause: Duration) {
        let until = self.now + pause;
        let mut at_once = 0;
        loop {
            let woken = self.tell_what_happened();
            let due = self.server.next_deadline().filter(|due| *due <= until);
            if woken {
                self.take_turn();
                continue;
            }
            let next = due.into_iter().chain(self.next_event(until)).min();
            let Some(next) = next else {
                break;
            };
            let due = due.is_some_and(|due| due <= next);
            at_once = if next > self.now { 0 } else { at_once + 1 };
            assert!(at_once < 20_000, "the server spins");
            self.now = self.now.max(next);
            if due {
                self.take_turn();
            }
        }
        self.now = until;
    }

    /// When something happens that is not the server's doing.
    fn next_event(&self, until: Instant) -> Option<Instant> {
        let clients = self.clients.iter().filter_map(Client::next_due);
        let others = [self.air.borrow().next_due(), self.disk.next_due()];
        let next = clients.chain(others.into_iter().flatten()).min()?;
        (next <= until).then_some(next)
    }

    /// Lets everything happen that is due now, but for the server, which is told. Says whether there was
    /// anything to tell.
    pub(crate) fn tell_what_happened(&mut self) -> bool {
        self.air.borrow_mut().advance(self.now);
        self.pump_all();
        let mut air = self.air.borrow_mut();
        let mut woken = false;
        let (rng, whims) = (&mut self.rng, air.fierce);
        let mut telling = || match whims {
            true => [Telling::Late, Telling::Twice, Telling::Once][rng.below(24).min(2)],
            false => Telling::Once,
        };
        for id in 0..4 {
            if let Some(readiness) = air.take_edge(id, &mut telling) {
                self.server.handle_port_readiness(id, readiness);
                woken = true;
            }
        }
        drop(air);
        while let Some(done) = self.disk.finish(self.now) {
            self.server.handle_done(done, self.now);
            woken = true;
        }
        let scripted = self.scripted.iter().map(|peer| (&peer.end, Some(peer.key)));
        let lines = self.clients.iter().filter_map(|client| {
            let line = client.line.as_ref()?;
            Some((&line.end, line.key))
        });
        let intruders = self.intruders.iter().map(|peer| (&peer.end, peer.key));
        for (end, key) in scripted.chain(lines).chain(intruders) {
            if let Some(key) = key
                && let Some(readiness) = end.take_edge(key, &mut telling)
            {
                self.server.handle_readiness(key, readiness);
                woken = true;
            }
        }
        woken
    }

    fn give_jobs(&mut self) {
        while let Some(job) = self.server.next_job() {
            self.disk.take(job, self.now);
        }
    }

    /// Everybody takes in what has arrived. Whoever is told that its account is made has it on the disk.
    fn pump_all(&mut self) {
        let mut air = self.air.borrow_mut();
        for client in &mut self.clients {
            let before = client.told.len();
            client.pump(&mut air, self.now);
            if client.protocol == Protocol::UdpLogin
                && client.mad.is_none()
                && client.told.len() > before
                && client.joined()
                && !self.accounts.contains(&client.name)
            {
                assert!(
                    self.disk.has(&client.name),
                    "{} is in, and its account is not on the disk",
                    client.name
                );
                self.accounts.push(client.name.clone());
            }
        }
        for peer in &mut self.mesh {
            peer.pump(&mut air);
        }
    }

    pub(crate) fn take_turn(&mut self) {
        // What the clock on the wall shows is nothing that anything hangs on.
        let mut number = |limit| self.rng.below(limit) as u32;
        let wall = TimeOfDay::new(number(24), number(60), number(60));
        self.meter.begin_turn();
        self.air.borrow_mut().begin_turn(self.now);
        self.server.turn(self.now, wall.unwrap());
        self.turns += 1;
        self.server.audit();
        self.check_turn();
        self.give_jobs();
        if self.turns.is_multiple_of(16) {
            let gone = self.lines().filter(|(end, _)| end.server_gone());
            self.stale = gone.filter_map(|(_, key)| key).collect();
        }
    }

    /// Lets everybody move what bytes there are, but for those who do not read.
    fn move_all(&mut self) {
        for peer in &mut self.scripted {
            if peer.kind != Kind::Deaf {
                peer.read();
            }
        }
        let mut air = self.air.borrow_mut();
        for client in &mut self.clients {
            client.move_bytes(usize::MAX, &mut air, self.now);
        }
    }

    /// The weather clears and everybody goes; in the end nobody is left but the witness and the ear.
    fn all_go(&mut self) {
        self.air.borrow_mut().fierce = false;
        for peer in self.scripted.iter_mut().skip(1) {
            if !peer.ended && matches!(peer.kind, Kind::Chatter | Kind::Killed) {
                peer.send_all();
                peer.leave();
            }
        }
        for step in 0..140 {
            let mut air = self.air.borrow_mut();
            for client in self.clients.iter_mut().skip(self.residents) {
                // Hosts first: their rooms close, and those in them hear of it.
                let time = match client.is_host {
                    true => 0,
                    false => 70,
                };
                let patience = step == 130 || client.ended();
                match client.fate {
                    Fate::Dies if step == time => client.die(&mut air),
                    Fate::Dies => {}
                    _ if step >= time && (client.joined() && client.may_leave() || patience) => {
                        client.leave(&mut air, self.now);
                    }
                    _ => {}
                }
            }
            drop(air);
            self.move_all();
            self.pass_time();
        }
        for _ in 0..5 {
            self.move_all();
            self.pass(Duration::from_secs(2));
        }
        // Those who fell silent are given up; on this machine, where silence means nothing, because the kernel tells
        // of programs that have ended.
        for _ in 0..8 {
            self.witness_speaks();
            for client in &self.clients[self.residents..] {
                if let Some(Mailbox { address, port, .. }) = client.mailbox {
                    self.air.borrow_mut().tell_deserted(port, address);
                }
            }
            self.pass(Duration::from_secs(130));
            self.move_all();
        }
        // Who neither reads nor goes is reset, but for the residents.
        let lines = self.lines().skip(1).filter(|(end, key)| {
            let resident = |client: &Client| {
                let line = client.line.as_ref();
                line.is_some_and(|line| line.key == *key)
            };
            !end.server_gone() && !self.clients[..self.residents].iter().any(resident)
        });
        lines.for_each(|(end, _)| end.reset());
        self.pass_time();
        self.pass(Duration::from_secs(1));
        self.check_who_is_left();
        for client in &mut self.clients[..self.residents] {
            client.leave(&mut self.air.borrow_mut(), self.now);
        }
        self.move_all();
        self.pass(Duration::from_secs(1));
        // Whose program gave up while the process was stopped for hours cannot say that it goes.
        let residents = self.clients[..self.residents].iter();
        let given_up = residents.filter(|client| client.ended()).count();
        assert!(self.server.guests() <= given_up, "guests stay");
    }

    /// What everybody hears, and somebody may have to be told of that.
    pub(crate) fn witness_speaks(&mut self) {
        let text = text("witness", &mut self.rng, 100);
        let witness = &mut self.scripted[0];
        let mut frame = Vec::new();
        encode_say(TimeOfDay::MIDNIGHT, "witness", &text, &mut frame);
        witness.said.push(text);
        witness.end.send(&frame);
    }

    fn stop(&mut self, end: End) {
        self.server.stop(self.now);
        for _ in 0..60 {
            self.move_all();
            for peer in &mut self.scripted {
                if peer.end.is_over() && !peer.ended {
                    peer.leave();
                }
            }
            self.pass_time();
            self.pass(Duration::from_millis(100));
        }
        // For what the kernel will not take a driver does not wait.
        let (fierce, connections) = (self.air.borrow().fierce, self.server.len());
        assert!(
            self.server.is_empty() || fierce && connections == 0,
            "{} connections stay for ever",
            self.server.len()
        );
        self.left_unsent = !self.server.is_empty();
        let memory = self.server.log_memory();
        // One log for each format of those that go over streams.
        assert!(memory <= 2 * 64 * 1024, "{memory} bytes of log for nobody");
        if end == End::Politely {
            // A save that the disk refused is not tried again any more.
            self.pass(Duration::from_secs(31));
            assert_eq!(
                self.server.next_deadline(),
                None,
                "nothing is due without anybody"
            );
        }
        self.counters = *self.server.counters();
    }

    /// Everybody who is in when a run is stopped.
    pub(crate) fn still_in(&self) -> usize {
        let clients = self.clients.iter().skip(self.residents);
        clients
            .filter(|client| client.phase == Phase::Running && client.joined() && !client.ended())
            .count()
    }
}

/// A server with all its ports, and the accounts that the disk has.
fn start(
    rng: &mut Rng,
    air: &Rc<RefCell<Air>>,
    disk: &Disk,
    limits: Limits,
    isolate: bool,
    now: Instant,
) -> (Server<SimStream, SimPort>, Ports) {
    let mut server = Server::new(limits, isolate, now);
    let mut secrets = Rng::new(rng.next());
    server.draw_secrets_from(move || {
        let bits = u128::from(secrets.next()) << 64 | u128::from(secrets.next());
        bits.to_be_bytes()
    });
    let port = |server: &mut Server<_, _>, protocol| {
        let socket = air::open(air, protocol);
        server.open_port(protocol, socket)
    };
    let ports = Ports {
        room: port(&mut server, Protocol::UdpRoom),
        login: port(&mut server, Protocol::UdpLogin),
        ucrp: port(&mut server, Protocol::Ucrp),
        mesh: {
            let socket = air::open(air, Protocol::UdpMesh);
            let name = Name::parse("mynah").unwrap();
            server.open_gateway(socket, name, BROADCAST.parse().unwrap())
        },
    };
    server.keep_accounts(AccountSettings {
        accounts: disk.load(),
        path: "accounts in memory".into(),
        served: true,
        kept: true,
        open: true,
        cost: CHEAP,
    });
    (server, ports)
}
