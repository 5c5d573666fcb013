//! Owns one run of the whole server: its virtual time, who is there, and how it all ends.
//! Who comes is in `arrivals`, what is checked in the end in `oracle`.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use mynah::chat::{LOBBY, Name, TimeOfDay};
use mynah::fanout::LagLimits;
use mynah::protocol::registry::Protocol;
use mynah::reactor::{Key, Readiness};
use mynah::server::{AccountSettings, Limits, MessageRate, Server};
use mynah::store::{self, HashCost};

use crate::air::{self, Air, BROADCAST, SimPort};
use crate::disk::Disk;
use crate::outcome::Outcome;
use crate::peers::client::{Client, Fate, Phase};
use crate::peers::hostile::{Intruder, Ports, attack};
use crate::peers::mesh::MeshPeer;
use crate::peers::scripted::{Kind, Scripted};
use crate::rng::Rng;
use crate::stream::SimStream;

pub struct World {
    pub(crate) rng: Rng,
    pub(crate) server: Server<SimStream, SimPort>,
    pub(crate) limits: Limits,
    /// Everybody reads and time passes slowly: whoever stays in peace must lose nothing.
    pub(crate) calm: bool,
    pub(crate) base: Instant,
    pub(crate) now: Instant,
    pub(crate) air: Rc<RefCell<Air>>,
    pub(crate) ports: Ports,
    pub(crate) disk: Disk,
    /// Peers of tcp-room. The first is the witness, who reads all and never leaves: it sees the lobby's
    /// one order.
    pub(crate) scripted: Vec<Scripted>,
    /// All others who keep the rules. The first is the ear: a member of udp-room to whom nothing is lost,
    /// and who hears who comes and goes, too.
    pub(crate) clients: Vec<Client>,
    pub(crate) mesh: Vec<MeshPeer>,
    pub(crate) intruders: Vec<Intruder>,
    /// Everybody's names, for those who want to talk to somebody.
    pub(crate) names: Vec<String>,
    /// Names and passwords of accounts that were acknowledged.
    pub(crate) accounts: Vec<String>,
    pub(crate) rooms: usize,
    pub(crate) counted: usize,
    pub(crate) turns: u64,
    /// Connections that are gone, of which the kernel may tell still.
    stale: Vec<Key>,
}

/// Appends of one turn beyond the backlog, at the most: see the turn's budget in the server.
const TURN_SLACK: usize = 1024 * 1024;

/// The least that Argon2 does.
const CHEAP: HashCost = HashCost {
    memory_kib: 8,
    passes: 1,
    lanes: 1,
};

impl World {
    pub fn new(seed: u64) -> World {
        let mut rng = Rng::new(seed);
        let mut limits = Limits::default();
        let calm = rng.once_in(3);
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
        let base = Instant::now();
        let air = Rc::new(RefCell::new(Air::new(rng.next(), !calm, base)));
        let mut server = Server::new(limits, false, base);
        let mut secrets = Rng::new(rng.next());
        server.draw_secrets_from(move || {
            let bits = u128::from(secrets.next()) << 64 | u128::from(secrets.next());
            bits.to_be_bytes()
        });
        let port = |server: &mut Server<_, _>, protocol| {
            let socket = air::open(&air, protocol);
            server.open_port(protocol, socket)
        };
        let ports = Ports {
            room: port(&mut server, Protocol::UdpRoom),
            login: port(&mut server, Protocol::UdpLogin),
            ucrp: port(&mut server, Protocol::Ucrp),
            mesh: {
                let socket = air::open(&air, Protocol::UdpMesh);
                let name = Name::parse("mynah").unwrap();
                server.open_gateway(socket, name, BROADCAST.parse().unwrap())
            },
        };
        server.keep_accounts(AccountSettings {
            accounts: store::Accounts::new(),
            path: "accounts in memory".into(),
            served: true,
            open: true,
            cost: CHEAP,
        });
        let failing = if calm { 0 } else { rng.below(6) };
        World {
            disk: Disk::new(rng.next(), failing),
            rng,
            server,
            limits,
            calm,
            base,
            now: base,
            air,
            ports,
            scripted: Vec::new(),
            clients: Vec::new(),
            mesh: Vec::new(),
            intruders: Vec::new(),
            names: Vec::new(),
            accounts: Vec::new(),
            rooms: 0,
            counted: 0,
            turns: 0,
            stale: Vec::new(),
        }
    }

    /// Runs it all and checks the promises, during and after.
    pub fn run(mut self) -> Outcome {
        self.arrive_witness_and_ear();
        let steps = 50 + self.rng.below(100);
        for _ in 0..steps {
            self.somebody_arrives();
            self.act();
            self.pass_time();
        }
        let politely = self.rng.once_in(2);
        if politely {
            self.all_go();
        }
        self.stop(politely);
        self.check_everything(politely)
    }

    fn act(&mut self) {
        for (index, peer) in self.scripted.iter_mut().enumerate() {
            peer.act(index == 0, &mut self.rng);
        }
        let mut air = self.air.borrow_mut();
        for client in self.clients.iter_mut().skip(1) {
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
        }
        if self.rng.once_in(4) {
            attack(&self.ports, &self.names, &mut self.rng, &mut air);
        }
        drop(air);
        // What the kernel had to tell of a connection may come after its end.
        if !self.stale.is_empty() && self.rng.once_in(4) {
            let key = self.stale[self.rng.below(self.stale.len())];
            let readiness = Readiness {
                token: key.token(),
                readable: true,
                writable: true,
                read_closed: true,
            };
            self.server.handle_readiness(key, readiness);
        }
    }

    /// Time goes by as it would: the server is woken by edges and by its own deadlines, by nothing else.
    pub(crate) fn pass_time(&mut self) {
        let pause = match self.rng.below(20) {
            0 if !self.calm => Duration::from_secs(self.rng.below(25) as u64),
            0..=4 if self.calm => Duration::from_millis(self.rng.below(50) as u64),
            0..=4 => Duration::from_millis(self.rng.below(500) as u64),
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
        let mut air = self.air.borrow_mut();
        air.advance(self.now);
        for client in &mut self.clients {
            let before = client.told.len();
            client.pump(&mut air, self.now);
            if client.protocol == Protocol::UdpLogin
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
        let mut woken = false;
        for id in 0..4 {
            if let Some(readiness) = air.take_edge(id) {
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
                && let Some(readiness) = end.take_edge(key)
            {
                self.server.handle_readiness(key, readiness);
                woken = true;
            }
        }
        woken
    }

    pub(crate) fn take_turn(&mut self) {
        let wall = TimeOfDay::new(12, 0, 0).unwrap();
        self.server.turn(self.now, wall);
        self.turns += 1;
        self.server.audit();
        let bound = 2 * (self.limits.lag.backlog_bytes + TURN_SLACK);
        let memory = self.server.log_memory();
        assert!(memory <= bound, "{memory} bytes of log, {bound} allowed");
        while let Some(job) = self.server.next_job() {
            self.disk.take(job, self.now);
        }
        if self.turns.is_multiple_of(16) {
            let gone = self.scripted.iter().filter(|peer| peer.end.server_gone());
            self.stale = gone.map(|peer| peer.key).collect();
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
            for client in self.clients.iter_mut().skip(1) {
                // Hosts first: their rooms close, and those in them hear of it.
                let time = match client.is_host {
                    true => 0,
                    false => 70,
                };
                let patience = step == 130 || client.ended();
                match client.fate {
                    Fate::Dies if step == time => client.die(),
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
        // Those who fell silent are given up.
        for _ in 0..8 {
            self.pass(Duration::from_secs(130));
            self.move_all();
        }
        // Who neither reads nor goes is reset, but for the witness.
        let scripted = self.scripted.iter().skip(1).map(|peer| &peer.end);
        let lines = self
            .clients
            .iter()
            .filter_map(|client| client.line.as_ref());
        let intruders = self.intruders.iter().map(|peer| &peer.end);
        for end in scripted.chain(lines.map(|line| &line.end)).chain(intruders) {
            if !end.server_gone() {
                end.reset();
            }
        }
        self.pass_time();
        let hub = self.server.hub(Protocol::TcpRoom).unwrap();
        let left: Vec<_> = hub.members(LOBBY).map(|(name, _)| name.as_str()).collect();
        assert_eq!(left, ["witness", "ear"], "only they are left");
        assert_eq!(hub.total(), 2, "nobody holds a name anywhere");
        assert_eq!((self.server.len(), self.server.guests()), (1, 1));
        self.clients[0].leave(&mut self.air.borrow_mut(), self.now);
        self.pass(Duration::from_secs(1));
        assert_eq!(self.server.guests(), 0);
    }

    fn stop(&mut self, politely: bool) {
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
        assert!(
            self.server.is_empty(),
            "{} connections stay for ever",
            self.server.len()
        );
        let memory = self.server.log_memory();
        // One log for each format of those that go over streams.
        assert!(memory <= 2 * 64 * 1024, "{memory} bytes of log for nobody");
        if politely {
            // A save that the disk refused is not tried again any more.
            self.pass(Duration::from_secs(31));
            assert_eq!(
                self.server.next_deadline(),
                None,
                "nothing is due without anybody"
            );
        }
    }

    /// Everybody who is in when a run is stopped.
    pub(crate) fn still_in(&self) -> usize {
        let clients = self.clients.iter().skip(1);
        clients
            .filter(|client| client.phase == Phase::Running && client.joined() && !client.ended())
            .count()
    }
}
