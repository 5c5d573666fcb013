//! Owns one peer's part in the mesh: how it comes in, what it answers, what it remembers and what it tells
//! the person. Knows no socket, no clock, no terminal.
//!
//! ```text
//!             2 s without a 370
//!   Joining ───────────────────▶ In
//!      │ 370
//!      ▼
//!   Refused
//! ```
//!
//! While joining, 471 is sent three times, for datagrams are lost; what is heard meanwhile is kept and told
//! once we are in, behind the history. There is no leaving: a peer falls silent.

mod outputs;

use std::collections::VecDeque;
use std::mem;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use super::askers::Askers;
use super::frame::{self, Frame, Violation};
use super::known::Known;
use super::said::{Past, Said, past, remove_common};
use super::unheard::Unheard;
use crate::chat::{History, Name, TimeOfDay, harmless};
use crate::protocol::{Command, Told, Unsupported};

pub use outputs::{Destination, Outgoing, Outputs};

/// What the one room of a mesh is called.
pub const ROOM: &str = "mesh";

/// How often 471 is sent.
pub const ASKS: u8 = 3;

/// How long between two 471s.
pub const ASK_INTERVAL: Duration = Duration::from_millis(500);

/// How long after the last 471 a 370 counts: with three of them, until 2 s after the first.
pub const LAST_ANSWER: Duration = Duration::from_millis(1000);

/// One peer. Driving it: [`start`](Peer::start) once; then for whatever comes, one input and everything
/// that it put into the [`Outputs`], before the next. When a datagram and a deadline are there together, the
/// datagram goes first, for it may be the refusal.
#[derive(Debug)]
pub struct Peer {
    name: Name,
    own_addresses: Vec<IpAddr>,
    state: State,
    /// Whether a 371 has filled the history.
    welcomed: bool,
    history: History,
    known: Known,
    askers: Askers,
    unheard: Unheard,
}

#[derive(Debug, Default)]
enum State {
    Joining(Joining),
    In,
    #[default]
    Refused,
}

#[derive(Debug)]
struct Joining {
    /// How many 471s are sent.
    asked: u8,
    /// When the next is due, or we are in.
    next: Instant,
    /// Typed by a person who did not wait.
    waiting: VecDeque<String>,
    /// What a 371 told, oldest first.
    history: Vec<Past>,
    /// What was said meanwhile.
    heard: VecDeque<Said>,
}

impl Peer {
    /// Will ask to be let in as `name`. `own_addresses` are those that our own broadcasts come back from.
    pub fn new(name: Name, own_addresses: Vec<IpAddr>, now: Instant) -> Peer {
        Peer {
            name,
            own_addresses: own_addresses.iter().map(IpAddr::to_canonical).collect(),
            state: State::Joining(Joining {
                asked: 0,
                next: now,
                waiting: VecDeque::new(),
                history: Vec::new(),
                heard: VecDeque::new(),
            }),
            welcomed: false,
            history: History::default(),
            known: Known::default(),
            askers: Askers::default(),
            unheard: Unheard::default(),
        }
    }

    /// The first 471.
    pub fn start(&mut self, now: Instant, out: &mut Outputs) {
        self.handle_timeout(now, out);
    }

    /// Takes one datagram, `time` being the local time. One that breaks the rules changes nothing, and is
    /// answered at most by a 370.
    pub fn handle_datagram(
        &mut self,
        from: SocketAddr,
        datagram: &[u8],
        now: Instant,
        time: TimeOfDay,
        out: &mut Outputs,
    ) -> Result<(), Violation> {
        let from = from.ip().to_canonical();
        let frame = match frame::decode(datagram) {
            Ok(frame) => frame,
            Err(violation) => {
                if let Violation::NotAName { number, .. } = violation
                    && number == frame::JOIN
                    && matches!(self.state, State::In)
                {
                    self.answer_taken(from, now, out);
                }
                return Err(violation);
            }
        };
        self.state = match (mem::take(&mut self.state), frame) {
            (State::Joining(_), Frame::NameTaken) => {
                let reason = format!("the name {:?} is taken or not allowed", self.name.as_str());
                out.told.push(Told::Refused { reason });
                State::Refused
            }
            (State::Joining(joining), Frame::Join { username }) => {
                // Nobody who is not in answers.
                self.hear_of(username, now);
                State::Joining(joining)
            }
            (State::Joining(mut joining), Frame::Welcome { username, lines }) => {
                self.hear_of(username, now);
                if self.is_first_welcome(&lines) {
                    joining.history = past(&lines);
                    let history = &joining.history;
                    remove_common(&mut joining.heard, history, |said, past| past.is(said));
                }
                State::Joining(joining)
            }
            (State::Joining(mut joining), Frame::Say { username, text }) => {
                let is_own = self.name.same_as(username) && self.is_own_address(from);
                if !is_own && !text.is_empty() {
                    self.hear_of(username, now);
                    joining.hear(Said::new(time, username, text));
                }
                State::Joining(joining)
            }

            // Too late: nobody throws out a peer that is in.
            (State::In, Frame::NameTaken) => State::In,
            (State::In, Frame::Join { username }) => {
                if self.name.same_as(username) {
                    self.answer_taken(from, now, out);
                } else {
                    self.hear_of(username, now);
                    self.answer_welcome(from, now, out);
                }
                State::In
            }
            (State::In, Frame::Welcome { username, lines }) => {
                self.hear_of(username, now);
                if self.is_first_welcome(&lines) {
                    self.handle_late_history(past(&lines), out);
                }
                State::In
            }
            (State::In, Frame::Say { username, text }) => {
                self.handle_said(from, username, text, now, time, out);
                State::In
            }

            (State::Refused, Frame::Join { .. } | Frame::NameTaken) => State::Refused,
            (State::Refused, Frame::Welcome { .. } | Frame::Say { .. }) => State::Refused,
        };
        Ok(())
    }

    /// Does what is due. To be called at [`next_deadline`](Peer::next_deadline), or later.
    pub fn handle_timeout(&mut self, now: Instant, out: &mut Outputs) {
        self.state = match mem::take(&mut self.state) {
            State::Joining(joining) if now < joining.next => State::Joining(joining),
            State::Joining(mut joining) if joining.asked < ASKS => {
                out.send(Destination::Broadcast, |bytes| {
                    frame::encode_join(self.name.as_str(), bytes);
                });
                joining.asked += 1;
                // From now, not from when it was due: a process that slept still asks three times, and
                // waits for the answers.
                joining.next = now
                    + match joining.asked {
                        ASKS => LAST_ANSWER,
                        _ => ASK_INTERVAL,
                    };
                State::Joining(joining)
            }
            State::Joining(joining) => {
                self.enter(joining, now, out);
                State::In
            }
            State::In => {
                while let Some(lost) = self.unheard.take_lost(now) {
                    let text = format!("not heard back: {lost}");
                    out.told.push(Told::Notice { text });
                }
                State::In
            }
            State::Refused => State::Refused,
        };
    }

    /// When [`handle_timeout`](Peer::handle_timeout) is to be called next; `None` while nothing is due.
    pub fn next_deadline(&self) -> Option<Instant> {
        match &self.state {
            State::Joining(joining) => Some(joining.next),
            State::In => self.unheard.next_deadline(),
            State::Refused => None,
        }
    }

    /// Says a text: harmless, and in several datagrams where it is long. The person is told of it when it
    /// comes back, or that it did not. Typed while joining, it waits. Empty text is ignored.
    pub fn say(&mut self, text: &str, now: Instant, out: &mut Outputs) {
        match &mut self.state {
            State::Joining(joining) => joining.waiting.push_back(text.to_string()),
            State::In => self.send_say(text, now, out),
            State::Refused => {}
        }
    }

    /// Does what a person asks.
    pub fn handle_command(
        &mut self,
        command: Command<'_>,
        now: Instant,
        out: &mut Outputs,
    ) -> Result<(), Unsupported> {
        match command {
            Command::Say(text) => self.say(text, now, out),
            Command::Who => out.told.push(Told::Members {
                names: self.members(now),
            }),
            // Leaving is falling silent.
            Command::Leave => {}
            Command::Direct { .. }
            | Command::Start { .. }
            | Command::Chat { .. }
            | Command::End { .. } => return Err(Unsupported),
        }
        Ok(())
    }

    /// Us, then the peers that were heard of in the last 15 minutes, sorted: nobody has the whole list.
    pub fn members(&mut self, now: Instant) -> Vec<String> {
        let mut names = vec![self.name.to_string()];
        names.extend(self.known.names(now));
        names
    }

    /// Whether we are in.
    pub fn is_joined(&self) -> bool {
        matches!(self.state, State::In)
    }

    /// Whether the name was refused: it is over.
    pub fn is_refused(&self) -> bool {
        matches!(self.state, State::Refused)
    }

    /// How many of our datagrams have not come back yet. One that does not for 2 s was lost and counts no
    /// more.
    pub fn unanswered(&self) -> usize {
        self.unheard.len()
    }

    /// Whether another line is welcome. What is said anyhow is taken; but a pipe that does not ask fills the
    /// memory while we join, and the socket afterwards.
    pub fn wants_lines(&self) -> bool {
        match &self.state {
            State::Joining(joining) => joining.waiting.len() < MAX_WAITING,
            State::In => self.unheard.len() < MAX_ON_THE_WAY,
            State::Refused => false,
        }
    }

    /// A 472 while we are in.
    fn handle_said(
        &mut self,
        from: IpAddr,
        username: &str,
        text: &str,
        now: Instant,
        time: TimeOfDay,
        out: &mut Outputs,
    ) {
        if text.is_empty() {
            return;
        }
        let said = if !self.name.same_as(username) {
            self.hear_of(username, now);
            Said::new(time, username, text)
        } else if self.unheard.came(text) {
            Said::new(time, self.name.as_str(), text)
        } else if self.is_own_address(from) {
            // Ours, and told already: two of our sockets heard it, or the network doubled it. Or it comes
            // so late that nobody waits for it.
            return;
        } else {
            Said::new(time, username, text)
        };
        self.remember(&said);
        out.told.push(said.told(false));
    }

    /// Joining is over.
    fn enter(&mut self, joining: Joining, now: Instant, out: &mut Outputs) {
        out.told.push(Told::Joined {
            name: self.name.to_string(),
            room: ROOM.to_string(),
        });
        for past in joining.history {
            self.handle_past(past, out);
        }
        for said in joining.heard {
            self.remember(&said);
            out.told.push(said.told(false));
        }
        for text in joining.waiting {
            self.send_say(&text, now, out);
        }
    }

    fn send_say(&mut self, text: &str, now: Instant, out: &mut Outputs) {
        let name = self.name.as_str();
        // Divided before it is made harmless, which makes some texts longer, and then again.
        for part in frame::pieces(name, text) {
            let part = harmless(part);
            frame::pieces(name, &part).for_each(|piece| self.unheard.sent(piece, now));
            frame::encode_say(name, &part, |datagram| {
                out.send(Destination::Broadcast, |bytes| {
                    bytes.extend_from_slice(datagram)
                });
            });
        }
    }

    /// The first 371 came after we were in: its lines are older than all that we have.
    fn handle_late_history(&mut self, history: Vec<Past>, out: &mut Outputs) {
        let heard = mem::take(&mut self.history);
        let heard: Vec<Said> = heard
            .lines()
            .map(|line| Said::new(line.time, &line.from, &line.text))
            .collect();
        let mut history = VecDeque::from(history);
        remove_common(&mut history, &heard, Past::is);
        for past in history {
            self.handle_past(past, out);
        }
        heard.iter().for_each(|said| self.remember(said));
    }

    fn handle_past(&mut self, past: Past, out: &mut Outputs) {
        match past {
            Past::Said(said) => {
                self.remember(&said);
                out.told.push(said.told(true));
            }
            Past::Other(text) => out.told.push(Told::Notice { text }),
        }
    }

    /// What is told to newcomers is harmless, whatever came.
    fn remember(&mut self, said: &Said) {
        self.history
            .push(said.time, &said.from, &harmless(&said.text));
    }

    fn hear_of(&mut self, username: &str, now: Instant) {
        if !self.name.same_as(username) {
            self.known.heard_of(username, now);
        }
    }

    /// Whether this 371 is the one that fills the history. One without lines is not: it comes from a peer
    /// that has just come itself.
    fn is_first_welcome(&mut self, lines: &[&str]) -> bool {
        let is_first = !self.welcomed && !lines.is_empty();
        self.welcomed |= is_first;
        is_first
    }

    fn is_own_address(&self, address: IpAddr) -> bool {
        self.own_addresses.contains(&address)
    }

    /// Answers a 471 with 371, unless that asker was answered a moment ago.
    fn answer_welcome(&mut self, asker: IpAddr, now: Instant, out: &mut Outputs) {
        if self.askers.may_answer(asker, now) {
            out.send(Destination::Address(asker), |bytes| {
                frame::encode_welcome(self.name.as_str(), self.history.lines(), bytes);
            });
        }
    }

    /// Answers a 471 with 370, unless that asker was answered a moment ago.
    fn answer_taken(&mut self, asker: IpAddr, now: Instant, out: &mut Outputs) {
        if self.askers.may_answer(asker, now) {
            out.send(Destination::Address(asker), frame::encode_taken);
        }
    }
}

impl Joining {
    fn hear(&mut self, said: Said) {
        if self.heard.len() == MAX_HEARD {
            self.heard.pop_front();
        }
        self.heard.push_back(said);
    }
}

/// How many lines somebody may type (or pipe) before we are in.
const MAX_WAITING: usize = 256;

/// How many of our datagrams may be on their way before no further line is welcome: little enough for any
/// socket to take at once.
const MAX_ON_THE_WAY: usize = 16;

/// How many lines said while we join are kept for later: a busy room says less in two seconds.
const MAX_HEARD: usize = 256;

#[cfg(test)]
mod tests;
