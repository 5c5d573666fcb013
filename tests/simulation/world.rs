//! One run of the whole server on the in-memory network: who comes, what they do, what is checked.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use mynah::chat::{HISTORY_LINES, LOBBY, TimeOfDay};
use mynah::fanout::LagLimits;
use mynah::protocol::Decoded;
use mynah::protocol::registry::Protocol;
use mynah::protocol::tcp_room::frame::{self, Limits as FrameLimits, Message};
use mynah::reactor::Key;
use mynah::server::{Limits, Server};

use crate::network::{PeerEnd, Rng, SimStream, link};

/// What a peer has come for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Talks, listens and leaves by ending its half.
    Chatter,
    /// Talks and never reads.
    Deaf,
    /// Talks, then breaks a rule.
    Violator,
    /// Begins a frame and never finishes it, or never begins.
    Slowloris,
    /// Is killed.
    Killed,
}

struct Peer {
    end: PeerEnd,
    key: Key,
    kind: Kind,
    name: String,
    /// What it has still to send.
    plan: Vec<u8>,
    /// Texts in its plan, in order.
    said: Vec<String>,
    received: Vec<u8>,
    /// Bytes it reads at a time.
    appetite: usize,
    ended: bool,
    came: Instant,
}

/// A line as it was heard: name and text.
type Heard = (String, String);

/// What a peer has received, understood.
#[derive(Debug, Default)]
struct Understood {
    verdict: Option<bool>,
    history: Vec<Heard>,
    said: Vec<Heard>,
    /// Bytes of an unfinished frame at the end.
    left: usize,
}

pub struct World {
    rng: Rng,
    server: Server<SimStream>,
    limits: Limits,
    /// Everybody reads and time passes slowly: whoever stays in peace must lose nothing.
    calm: bool,
    base: Instant,
    now: Instant,
    peers: Vec<Peer>,
    /// Reads all and never leaves: it sees the room's one order.
    witness: Option<usize>,
    names: usize,
    turns: usize,
}

/// What a run came to, for the summary and for comparing two runs of one seed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    pub turns: usize,
    pub messages: u64,
    pub slow: u64,
    pub violations: u64,
    pub timed_out: u64,
    pub refused: u64,
    pub lost: u64,
    pub late: u64,
    /// Peers of whom it was checked that they were heard, and heard themselves, whole.
    pub checked_whole: usize,
    /// A digest of every byte that every peer received.
    pub digest: u64,
}

/// Appends of one turn beyond the backlog, at the most: see the turn's budget in the server.
const TURN_SLACK: usize = 1024 * 1024;

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
        let base = Instant::now();
        World {
            rng,
            server: Server::new(limits, false, base),
            limits,
            calm,
            base,
            now: base,
            peers: Vec::new(),
            witness: None,
            names: 0,
            turns: 0,
        }
    }

    /// Runs it all and checks the promises, during and after.
    pub fn run(mut self) -> Outcome {
        self.arrive_witness();
        let steps = 50 + self.rng.below(250);
        for _ in 0..steps {
            if self.peers.len() < 10 && self.rng.once_in(8) {
                self.arrive();
            }
            for index in 0..self.peers.len() {
                self.act(index);
            }
            self.pass_time();
        }
        let politely = self.rng.once_in(2);
        self.wind_down(politely);
        self.check_everything(politely)
    }

    fn arrive_witness(&mut self) {
        let (stream, end) = link(usize::MAX / 2, 0);
        let mut plan = Vec::new();
        frame::encode_join("witness", &mut plan);
        let index = self.add(
            stream,
            end,
            Kind::Chatter,
            "witness".to_string(),
            plan,
            Vec::new(),
        );
        self.peers[index].appetite = usize::MAX;
        self.witness = Some(index);
        // It is in before anybody else.
        self.send_all(index);
        self.turn();
        self.read(index);
    }

    fn arrive(&mut self) {
        let rng = &mut self.rng;
        let kind = match rng.below(10) {
            0 if !self.calm => Kind::Deaf,
            1 => Kind::Violator,
            2 if !self.calm => Kind::Slowloris,
            3 | 4 => Kind::Killed,
            _ => Kind::Chatter,
        };
        // Sometimes a name that somebody may hold, in other letters.
        let name = match rng.below(6) {
            0 => "Twin".to_string(),
            1 => "tWIN".to_string(),
            _ => {
                self.names += 1;
                format!("peer{}", self.names)
            }
        };
        let mut plan = Vec::new();
        frame::encode_join(&name, &mut plan);
        let mut said = Vec::new();
        for _ in 0..rng.below(12) {
            let mut text = format!("{name}-{}", rng.next());
            if rng.once_in(3) {
                text.push_str(&"x".repeat(rng.below(4000)));
            }
            frame::encode_say(TimeOfDay::MIDNIGHT, "forged", &text, &mut plan);
            said.push(text);
        }
        match kind {
            Kind::Violator => {
                let bad: &[&[u8]] = &[
                    b"\xff\xff\xff\xff",
                    b"GET / HTTP/1.1\r\n",
                    b"\xd7\x01\x00\x00",
                    b"\xd8\x01\x00\x00\x03\x00\x00\x00\xff\xff\xff\x7f",
                ];
                plan.extend_from_slice(bad[rng.below(bad.len())]);
                // What comes behind must not be heard, nor spoil the last words to it.
                frame::encode_say(TimeOfDay::MIDNIGHT, "x", "after the violation", &mut plan);
            }
            Kind::Slowloris => {
                plan.truncate(rng.below(plan.len()));
                said.clear();
            }
            Kind::Chatter | Kind::Deaf | Kind::Killed => {}
        }
        // A network on which a welcome takes longer than closing may is for the other runs.
        let (capacities, miserly) = match self.calm {
            true => ([10_000, 20_000, 50_000, 100_000], [0, 0, 0, 2000]),
            false => ([64, 500, 5000, 100_000], [0, 0, 7, 300]),
        };
        let capacity = capacities[rng.below(4)];
        let miserly = miserly[rng.below(4)];
        let (stream, end) = link(capacity, miserly);
        let index = self.add(stream, end, kind, name, plan, said);
        self.peers[index].appetite = match kind {
            Kind::Deaf => 0,
            _ if self.calm => usize::MAX,
            _ => [10, 300, usize::MAX][self.rng.below(3)],
        };
    }

    fn add(
        &mut self,
        stream: SimStream,
        end: PeerEnd,
        kind: Kind,
        name: String,
        plan: Vec<u8>,
        said: Vec<String>,
    ) -> usize {
        let peer = "127.0.0.1:4711".parse().unwrap();
        let key = self
            .server
            .accept(stream, peer, Protocol::TcpRoom, self.now)
            .expect("loopback is not limited");
        self.peers.push(Peer {
            end,
            key,
            kind,
            name,
            plan,
            said,
            received: Vec::new(),
            appetite: usize::MAX,
            ended: false,
            came: self.now,
        });
        self.peers.len() - 1
    }

    /// Whatever a peer may do in a moment.
    fn act(&mut self, index: usize) {
        let sends = self.rng.once_in(2);
        let reads = self.rng.once_in(2);
        let dies = self.rng.once_in(60);
        let portion = match self.rng.below(4) {
            0 => 1,
            1 => 1 + self.rng.below(30),
            _ => 1 + self.rng.below(8000),
        };
        let witness = self.witness == Some(index);
        let peer = &mut self.peers[index];
        if reads || witness {
            peer.end.receive(peer.appetite, &mut peer.received);
        }
        if peer.ended || witness {
            return;
        }
        if sends && !peer.plan.is_empty() {
            let portion = portion.min(peer.plan.len());
            let bytes: Vec<u8> = peer.plan.drain(..portion).collect();
            peer.end.send(&bytes);
        }
        match peer.kind {
            Kind::Chatter if peer.plan.is_empty() && self.rng.once_in(10) => {
                peer.end.end();
                peer.ended = true;
            }
            Kind::Killed if dies => {
                peer.end.reset();
                peer.ended = true;
            }
            _ => {}
        }
    }

    /// Time goes by as it would: the server is woken by edges and by its own deadlines, by nothing else.
    fn pass_time(&mut self) {
        let pause = match self.rng.below(20) {
            0 if !self.calm => Duration::from_secs(self.rng.below(25) as u64),
            0..=4 if self.calm => Duration::from_millis(self.rng.below(50) as u64),
            0..=4 => Duration::from_millis(self.rng.below(500) as u64),
            _ => Duration::from_millis(self.rng.below(5) as u64),
        };
        let until = self.now + pause;
        let mut at_once = 0;
        loop {
            let woken = self.tell_edges();
            let due = self.server.next_deadline().filter(|due| *due <= until);
            if !woken && due.is_none() {
                break;
            }
            if !woken {
                let due = due.unwrap_or(self.now);
                at_once = if due > self.now { 0 } else { at_once + 1 };
                assert!(at_once < 20_000, "the server spins");
                self.now = self.now.max(due);
            }
            self.take_turn();
        }
        self.now = until;
    }

    fn turn(&mut self) {
        self.tell_edges();
        self.take_turn();
    }

    /// Passes on every edge; says whether there was one.
    fn tell_edges(&mut self) -> bool {
        let mut woken = false;
        for peer in &self.peers {
            if let Some(readiness) = peer.end.take_edge(peer.key) {
                self.server.handle_readiness(peer.key, readiness);
                woken = true;
            }
        }
        woken
    }

    fn take_turn(&mut self) {
        let wall = TimeOfDay::new(12, 0, 0).unwrap();
        self.server.turn(self.now, wall);
        self.turns += 1;
        self.server.audit();
        let bound = 2 * (self.limits.lag.backlog_bytes + TURN_SLACK);
        let memory = self.server.log_memory();
        assert!(memory <= bound, "{memory} bytes of log, {bound} allowed");
    }

    fn send_all(&mut self, index: usize) {
        let peer = &mut self.peers[index];
        let bytes = std::mem::take(&mut peer.plan);
        peer.end.send(&bytes);
    }

    fn read(&mut self, index: usize) {
        let peer = &mut self.peers[index];
        peer.end.receive(usize::MAX, &mut peer.received);
    }

    /// Everybody goes, or the server does; in the end nobody is left and nothing is kept.
    fn wind_down(&mut self, politely: bool) {
        if politely {
            for index in 0..self.peers.len() {
                if self.witness != Some(index) && !self.peers[index].ended {
                    match self.peers[index].kind {
                        Kind::Chatter | Kind::Killed => {
                            self.send_all(index);
                            self.peers[index].end.end();
                            self.peers[index].ended = true;
                        }
                        Kind::Deaf | Kind::Violator | Kind::Slowloris => {}
                    }
                }
            }
            for _ in 0..400 {
                for index in 0..self.peers.len() {
                    if self.peers[index].kind != Kind::Deaf {
                        self.read(index);
                    }
                }
                self.pass_time();
            }
            for index in 0..self.peers.len() {
                // Who neither reads nor goes is reset, but for the witness.
                if self.witness != Some(index) && !self.peers[index].end.server_gone() {
                    self.peers[index].end.reset();
                }
            }
            self.pass_time();
            let hub = self.server.hub(Protocol::TcpRoom).unwrap();
            assert_eq!(hub.count(LOBBY), 1, "only the witness is left");
            assert_eq!(self.server.len(), 1);
        }
        self.server.stop(self.now);
        for _ in 0..100 {
            for index in 0..self.peers.len() {
                if self.peers[index].kind != Kind::Deaf {
                    self.read(index);
                }
                if self.peers[index].end.is_over() && !self.peers[index].ended {
                    self.peers[index].end.end();
                    self.peers[index].ended = true;
                }
            }
            self.pass_time();
            self.now += Duration::from_millis(100);
        }
        assert!(
            self.server.is_empty(),
            "{} connections stay for ever",
            self.server.len()
        );
        let memory = self.server.log_memory();
        assert!(memory <= 64 * 1024, "{memory} bytes of log for nobody");
        assert_eq!(
            self.server.next_deadline(),
            None,
            "nothing is due without anybody"
        );
    }

    fn check_everything(mut self, politely: bool) -> Outcome {
        for index in 0..self.peers.len() {
            self.read(index);
        }
        let counters = *self.server.counters();
        let all: Vec<Understood> = self
            .peers
            .iter()
            .map(|peer| understand(&peer.received))
            .collect();
        let order = &all[self.witness.unwrap()].said;
        assert_eq!(
            order.len() as u64,
            counters.messages,
            "the witness heard everything"
        );
        let place: HashMap<&Heard, usize> = order.iter().zip(0..).collect();
        assert_eq!(place.len(), order.len(), "nothing is said twice");

        let mut checked_whole = 0;
        for (peer, heard) in self.peers.iter().zip(&all) {
            let what = format!("{:?} {}", peer.kind, peer.name);
            // One order: what each heard is a run of it, and the history is what came just before.
            if let Some(first) = heard.said.first() {
                let start = *place
                    .get(first)
                    .unwrap_or_else(|| panic!("{what} heard what nobody did"));
                let run = order.get(start..start + heard.said.len());
                assert!(run == Some(&heard.said[..]), "{what} heard another order");
                let history = &order[start.saturating_sub(HISTORY_LINES)..start];
                assert!(heard.history == history, "{what} found another history");
            }
            // Everything that it said is heard in its order, under its own name, as far as it got.
            let mine: Vec<&str> = order
                .iter()
                .filter(|(name, text)| *name == peer.name && peer.said.contains(text))
                .map(|(_, text)| text.as_str())
                .collect();
            let said: Vec<&str> = peer.said.iter().map(String::as_str).collect();
            assert!(
                said.starts_with(&mine),
                "{what} said {said:?}, heard was {mine:?}"
            );
            // Who left in peace was heard whole and has heard itself whole; what was on its way when the
            // server was stopped may be lost, but no frame is torn.
            let at_peace = counters.slow + counters.closed_late + counters.timed_out == 0;
            if peer.kind == Kind::Chatter && peer.plan.is_empty() && peer.ended && at_peace {
                assert_eq!(heard.left, 0, "{what} got a torn frame");
                if heard.verdict == Some(true) && politely {
                    checked_whole += 1;
                    let (got, of) = (mine.len(), said.len());
                    assert!(mine == said, "{what}: {got} of {of} were heard");
                    let echoes = heard
                        .said
                        .iter()
                        .filter(|(name, _)| *name == peer.name)
                        .count();
                    assert_eq!(echoes, said.len(), "{what} did not hear itself whole");
                }
            }
            assert!(
                !order.iter().any(|(_, text)| text == "after the violation"),
                "{what}"
            );
            let stayed = self.now.duration_since(peer.came);
            assert!(
                peer.end.server_gone(),
                "{what} is still connected after {stayed:?}"
            );
        }
        Outcome {
            turns: self.turns,
            messages: counters.messages,
            slow: counters.slow,
            violations: counters.violations,
            timed_out: counters.timed_out,
            refused: counters.refused,
            lost: counters.lost,
            late: counters.closed_late,
            checked_whole,
            digest: digest(&self.peers) ^ self.now.duration_since(self.base).as_nanos() as u64,
        }
    }
}

/// Takes a peer's bytes apart; they must be whole frames, but for the last.
fn understand(received: &[u8]) -> Understood {
    let mut understood = Understood::default();
    let line = |message: &Message<'_>| (message.username.to_string(), message.text.to_string());
    let mut rest = received;
    if let Ok(Decoded::Done { frame, used }) = frame::decode_verdict(rest) {
        understood.verdict = Some(frame);
        rest = &rest[used..];
    }
    if understood.verdict == Some(true) {
        match frame::decode_history(rest, &FrameLimits::CLIENT).expect("a history") {
            Decoded::Done { frame, used } => {
                understood.history = frame.iter().map(line).collect();
                rest = &rest[used..];
            }
            Decoded::NeedMore { .. } => {
                understood.left = rest.len();
                return understood;
            }
        }
        while !rest.is_empty() {
            match frame::decode_message(rest, &FrameLimits::CLIENT).expect("a message") {
                Decoded::Done { frame, used } => {
                    assert_eq!(rest[..4], frame::SAID.to_le_bytes());
                    understood.said.push(line(&frame));
                    rest = &rest[used..];
                }
                Decoded::NeedMore { .. } => break,
            }
        }
    }
    understood.left = rest.len();
    understood
}

/// FNV-1a over all that was received.
fn digest(peers: &[Peer]) -> u64 {
    let bytes = peers.iter().flat_map(|peer| peer.received.iter());
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}
