//! Owns one tcp-room peer that follows a script of bytes, good or bad, and what it made of what it received.

use std::time::Instant;

use mynah::chat::{SERVER_NAME, TimeOfDay};
use mynah::protocol::Decoded;
use mynah::protocol::tcp_room::frame::{self, Limits as FrameLimits, Message};
use mynah::reactor::Key;

use super::text;
use crate::rng::Rng;
use crate::stream::PeerEnd;

/// What a peer has come for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
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
    /// Talks more at once than one turn takes in, then listens and leaves.
    Flooder,
}

pub struct Scripted {
    pub end: PeerEnd,
    pub key: Key,
    pub kind: Kind,
    pub name: String,
    /// What it has still to send.
    pub plan: Vec<u8>,
    /// Texts in its plan, in order.
    pub said: Vec<String>,
    pub received: Vec<u8>,
    /// Bytes it reads at a time.
    pub appetite: usize,
    pub ended: bool,
    pub came: Instant,
    /// Its name is the one of somebody's account.
    pub impostor: bool,
    /// Somebody has put it out.
    pub kicked: bool,
}

/// The bytes that somebody of that kind and name is going to send, and the texts in them.
pub fn script(kind: Kind, name: &str, rng: &mut Rng) -> (Vec<u8>, Vec<String>) {
    let mut plan = Vec::new();
    frame::encode_join(name, &mut plan);
    let mut said = Vec::new();
    let lines = match kind {
        Kind::Flooder => 50,
        _ => rng.below(12),
    };
    for _ in 0..lines {
        let mut text = text(name, rng, 4000);
        while kind == Kind::Flooder && text.len() < 1500 {
            text.push_str(" and so on");
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
        Kind::Chatter | Kind::Deaf | Kind::Killed | Kind::Flooder => {}
    }
    (plan, said)
}

impl Scripted {
    /// Whatever a peer may do in a moment. A witness reads, and that is all.
    pub fn act(&mut self, witness: bool, rng: &mut Rng) {
        let sends = rng.once_in(2);
        let reads = rng.once_in(2);
        let dies = rng.once_in(60);
        let portion = match rng.below(4) {
            0 => 1,
            1 => 1 + rng.below(30),
            _ => 1 + rng.below(8000),
        };
        if reads || witness {
            self.end.receive(self.appetite, &mut self.received);
        }
        if self.ended || witness {
            return;
        }
        if sends && !self.plan.is_empty() {
            let portion = match self.kind {
                Kind::Flooder => self.plan.len(),
                _ => portion.min(self.plan.len()),
            };
            let bytes: Vec<u8> = self.plan.drain(..portion).collect();
            self.end.send(&bytes);
        }
        match self.kind {
            Kind::Chatter | Kind::Flooder if self.plan.is_empty() && rng.once_in(10) => {
                self.leave();
            }
            Kind::Killed if dies => {
                match rng.once_in(2) {
                    true => self.end.reset(),
                    false => self.end.reset_in_send(rng.below(3) as u32),
                }
                self.ended = true;
            }
            _ => {}
        }
    }

    pub fn send_all(&mut self) {
        let bytes = std::mem::take(&mut self.plan);
        self.end.send(&bytes);
    }

    pub fn read(&mut self) {
        self.end.receive(usize::MAX, &mut self.received);
    }

    pub fn leave(&mut self) {
        self.end.end();
        self.ended = true;
    }
}

/// A line as it was heard: name and text.
pub type Heard = (String, String);

/// What a peer has received, understood.
#[derive(Debug, Default)]
pub struct Understood {
    pub verdict: Option<bool>,
    pub history: Vec<Heard>,
    pub said: Vec<Heard>,
    /// What the server itself said.
    pub notices: Vec<String>,
    /// What was said to it alone.
    pub directs: Vec<Heard>,
    /// Bytes of an unfinished frame at the end.
    pub left: usize,
}

/// Takes a peer's bytes apart; they must be whole frames, but for the last.
pub fn understand(received: &[u8]) -> Understood {
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
                    let (name, text) = line(&frame);
                    if name == SERVER_NAME {
                        understood.notices.push(text);
                        rest = &rest[used..];
                        continue;
                    }
                    match text.strip_prefix("(private) ") {
                        Some(text) => understood.directs.push((name, text.to_string())),
                        None => understood.said.push((name, text)),
                    }
                    rest = &rest[used..];
                }
                Decoded::NeedMore { .. } => break,
            }
        }
    }
    understood.left = rest.len();
    understood
}
