//! Owns what becomes of the bytes that members are sent: scanned for messages while messages are sent, understood by
//! sessions otherwise. Knows not who says what.

use std::io;
use std::net::SocketAddr;

use super::{BUFFER, Crew, State, Why};
use crate::load::crowd::Crowd;
use crate::load::ledger::Ledger;
use crate::load::scan::{Heard, ROOM};
use crate::load::text::Id;
use crate::protocol::ClientSession;
use crate::reactor::{DatagramPort, Stream};

impl<C: Crowd> Crew<'_, C> {
    pub(super) fn read_stream(&mut self, number: usize, read_closed: bool) {
        while let Some(stream) = self.streams[number].as_mut() {
            let from = self.scans[number].restore(&mut self.buffer);
            match stream.recv(&mut self.buffer[ROOM..]) {
                Ok(0) => return self.end_stream(number, "the server has ended the connection"),
                Ok(length) => {
                    self.tally.bytes += length as u64;
                    self.tally.reads += 1;
                    if self.listening {
                        self.hear(number, from, ROOM + length);
                    } else {
                        self.take(number, length);
                    }
                    // The kernel has no more, or it will say so.
                    if length < BUFFER && !read_closed {
                        return;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) => return self.end_stream(number, &error.to_string()),
            }
        }
    }

    /// Bytes of a member that is in, while messages are sent.
    fn hear(&mut self, number: usize, from: usize, to: usize) {
        let now = self.start.elapsed().as_nanos() as u64;
        self.ledger.set_now(now);
        let mut listener = Listener {
            crowd: self.crowd,
            ledger: &mut self.ledger,
            member: number,
            answers: &mut self.answers,
        };
        let bytes = &self.buffer[from..to];
        self.scanner
            .scan(&mut self.scans[number], bytes, &mut listener);
        if !self.answers.is_empty() {
            self.send_answers(number);
        }
    }

    /// Bytes before messages are sent.
    fn take(&mut self, number: usize, length: usize) {
        self.tally.heard_at = Some(self.now);
        let bytes = &self.buffer[ROOM..ROOM + length];
        if self.members[number].state != State::Asking {
            self.crowd.answer(number, bytes, &mut self.answers);
            return self.send_answers(number);
        }
        let mut pending = std::mem::take(&mut self.members[number].pending);
        pending.extend_from_slice(bytes);
        let used = self.with(number, |session, context| {
            session.handle_bytes(&pending, context)
        });
        match used {
            Some(Ok(used)) => {
                pending.drain(..used);
            }
            Some(Err(violation)) => {
                let reason = format!("the server breaks the protocol: {violation}");
                self.end(number, Why::Lost(reason));
            }
            None => {}
        }
        self.members[number].pending = pending;
        self.look(number);
    }

    fn send_answers(&mut self, number: usize) {
        if self.answers.is_empty() {
            return;
        }
        let member = &mut self.members[number];
        member.stream.append(&mut self.answers);
        if !member.listed {
            member.listed = true;
            self.unsent.push(number);
        }
    }

    pub(super) fn read_port(&mut self, number: usize) {
        let Some(mut inbox) = self.inbox.take() else {
            return;
        };
        while let Some(port) = self.ports[number].as_mut() {
            match port.recv_batch(&mut inbox) {
                Ok(()) => {
                    self.tally.reads += 1;
                    self.tally.heard_at = Some(self.now);
                    if self.listening {
                        let now = self.start.elapsed().as_nanos() as u64;
                        self.ledger.set_now(now);
                    }
                    for datagram in inbox.iter() {
                        self.tally.bytes += datagram.bytes.len() as u64;
                        self.hear_datagram(number, datagram.from, datagram.bytes);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                    self.end(number, Why::Unreachable(error));
                }
                // It concerns one datagram, which is lost.
                Err(_) => {}
            }
        }
        self.inbox = Some(inbox);
    }

    fn hear_datagram(&mut self, number: usize, from: SocketAddr, datagram: &[u8]) {
        if self.listening
            && let Some(id) = self.scanner.find(datagram)
        {
            self.ledger.receive(number, id);
            let is_own = usize::from(id.sender) == number;
            if !is_own || !self.crowd.needs_own_words(number) {
                return;
            }
        }
        self.with(number, |session, context| {
            session.handle_datagram(from, datagram, context);
        });
        self.look(number);
    }
}

/// Enters what one member hears into the ledger.
struct Listener<'a, C> {
    crowd: &'a C,
    ledger: &'a mut Ledger,
    member: usize,
    answers: &'a mut Vec<u8>,
}

impl<C: Crowd> Heard for Listener<'_, C> {
    fn expected(&self, sender: u16) -> u32 {
        self.ledger.expected(self.member, sender)
    }

    fn run(&mut self, sender: u16, first: u32, end: u32) {
        self.ledger.receive_run(self.member, sender, first, end);
    }

    fn message(&mut self, id: Id) {
        self.ledger.receive(self.member, id);
    }

    fn between(&mut self, bytes: &[u8]) {
        self.crowd.answer(self.member, bytes, self.answers);
    }
}
