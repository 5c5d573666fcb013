//! Owns the connections of those who do not chat but ask something about the server: the annex, beside the house.
//! Knows nothing of what is asked there, nor of who answers; a connection it knows as a
//! [`Stream`], and a desk by when a question is whole.
//!
//! Each asks once and is answered once. Whatever they do, the annex holds [`VISITORS`] of them per desk, each for a
//! bounded time and with a bounded question; each turn takes one read and one write of each at the most, and gives out
//! one question, so that nobody who chats waits for them.
//!
//! ```text
//!          whole, or       answered             all sent           peer ends, or
//!          refused         (any turn later)                        has had its time
//!  ─▶ Asking ────▶ Waiting ────▶ Answering ────────▶ Lingering ────▶ (gone)
//!       │             │              │                                 ▲
//!       └─────────────┴──────────────┴── dead, or too late ────────────┘
//! ```

use std::collections::VecDeque;
use std::io;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use mio::Token;
use zeroize::Zeroizing;

use super::access::{Access, Gate};
use super::address::Network;
use super::control::Asker;
use super::desk::{Desk, Question, Rest};
use crate::reactor::{Readiness, Stream};

/// The annex, driven like the server: [`admit`](Annex::admit) who comes, pass on every
/// [`handle_readiness`](Annex::handle_readiness); each turn [`take_in`](Annex::take_in), answer what
/// [`next_question`](Annex::next_question) has, then or later, and [`send_out`](Annex::send_out); again at the latest at
/// [`next_deadline`](Annex::next_deadline).
#[derive(Debug)]
pub(super) struct Annex<S> {
    /// So few that to look through them costs less than to keep an index.
    visitors: Vec<Visitor<S>>,
    questions: VecDeque<(Ticket, Question)>,
    last: u32,
    /// From where people may come for figures.
    gate: Gate,
}

/// By which an answer finds whoever asked, and readiness finds its stream. No two who are there have the same, nor do
/// one who is there and one who went before: they are counted on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ticket(u32);

#[derive(Debug)]
struct Visitor<S> {
    ticket: Ticket,
    desk: Desk,
    /// Whom its place is counted for. `None` at the control socket, where all are one.
    from: Option<Network>,
    stream: S,
    state: State,
    /// The state's end, whatever happens.
    until: Instant,
    /// The kernel has bytes for us that we have not taken, or an end.
    readable: bool,
    /// The kernel takes no more: wait for the writable edge.
    blocked: bool,
    /// The peer has ended its half.
    ended: bool,
    /// What it may have said before it was taken in was looked at.
    looked_at: bool,
}

/// Where somebody finds a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seat {
    Free,
    /// That of one who goes: by its place among the visitors.
    Of(usize),
}

#[derive(Debug)]
enum State {
    /// So much of the question is here.
    Asking { heard: Zeroizing<Vec<u8>> },
    /// The question is given out.
    Waiting,
    /// So much of the answer is sent.
    Answering { answer: Vec<u8>, sent: usize },
    /// All is sent and our half is ended; so much was read of the peer's since, to no use. To close with unread bytes
    /// would be a reset, which destroys an answer that is still under way.
    Lingering { drained: usize },
    /// Let go at the end of the turn.
    Gone,
}

/// So many at each desk. When more come, one of those goes whose network has most places, and more than that of who comes:
/// one who has been sent its answer, else who has taken longest to ask, else one who does not take its answer. So
/// whoever comes from an address that has fewer places than others finds one and keeps it, whatever those others do,
/// unless all of them are just being answered. With one place it is let go for others only while every place that
/// can be had is another network's, and its own is the oldest.
///
/// Nobody goes before what was said until then was looked at: who asks at once, as a scraper does, and was taken in is
/// answered, wherever it comes from.
pub(super) const VISITORS: usize = 64;

/// So many for figures are one network's at the most. Another one has the place of one of its own who has been sent its
/// answer or has taken longest to ask; if there is none it is closed.
const VISITORS_OF_NETWORK: usize = 32;

/// So many of one network are taken in during one turn, and the rest closed: a crowd that goes again at once takes no
/// places from those who are asking.
const NEW_OF_NETWORK: usize = 8;

/// For the whole question.
const ASKING_TIME: Duration = Duration::from_secs(10);

/// For the answer to come: what must be hashed and saved for it waits behind others'.
const WAITING_TIME: Duration = Duration::from_secs(60);

/// For the whole answer to be taken.
const ANSWERING_TIME: Duration = Duration::from_secs(10);

/// For the peer to end its half,
const LINGERING_TIME: Duration = Duration::from_secs(2);

/// and so much may come of it until then.
const LINGERING_BYTES: usize = 64 * 1024;

/// One read.
const READ_BYTES: usize = 4096;

/// Tickets are tokens from here on: beyond those of doors, below those of the helper and the signals.
const TICKETS: u32 = 1 << 30;

impl Ticket {
    /// As a mio token: less than 2^32, as no connection's is.
    pub(super) fn token(self) -> Token {
        Token((TICKETS | self.0) as usize)
    }

    /// `None` for what is no visitor's.
    pub(super) fn from_token(token: Token) -> Option<Ticket> {
        let bits = u32::try_from(token.0).ok()?;
        (bits & !(TICKETS - 1) == TICKETS).then_some(Ticket(bits & (TICKETS - 1)))
    }
}

/// As the server knows who asks.
impl From<Ticket> for Asker {
    fn from(ticket: Ticket) -> Asker {
        Asker(ticket.0)
    }
}

impl From<Asker> for Ticket {
    fn from(asker: Asker) -> Ticket {
        Ticket(asker.0)
    }
}

impl<S> Default for Annex<S> {
    fn default() -> Self {
        Annex {
            visitors: Vec::new(),
            questions: VecDeque::new(),
            last: 0,
            gate: Gate::default(),
        }
    }
}

impl<S: Stream> Annex<S> {
    /// Lets people in for figures from where that says, from now on; without it, from everywhere.
    pub(super) fn let_in(&mut self, access: Option<&Access>) {
        self.gate = access.map(Gate::new).unwrap_or_default();
    }

    /// Whether somebody from there is let in for figures.
    pub(super) fn admits(&self, address: IpAddr) -> bool {
        self.gate.admits(address)
    }

    /// Takes somebody in; the owner registers the stream under the ticket. `None` if there is no place for it: the stream is
    /// closed.
    pub(super) fn admit(
        &mut self,
        stream: S,
        desk: Desk,
        from: Option<Network>,
        now: Instant,
    ) -> Option<Ticket> {
        if let Seat::Of(at) = self.seat(desk, from)? {
            self.visitors.remove(at);
        }
        self.last = (self.last + 1) % TICKETS;
        let ticket = Ticket(self.last);
        self.visitors.push(Visitor {
            ticket,
            desk,
            from,
            stream,
            state: State::Asking {
                heard: Zeroizing::default(),
            },
            until: now + ASKING_TIME,
            // It may have asked already, and is heard in this turn then.
            readable: true,
            blocked: false,
            ended: false,
            looked_at: false,
        });
        Some(ticket)
    }

    /// Whether whoever comes next may find no place that the end of this turn will have.
    pub(super) fn is_to_be_heard_first(&self, desk: Desk) -> bool {
        let mut there = self.visitors.iter().filter(|other| other.desk == desk);
        there.clone().count() >= VISITORS && there.any(|other| !other.looked_at)
    }

    fn seat(&self, desk: Desk, from: Option<Network>) -> Option<Seat> {
        let there = || {
            let all = self.visitors.iter().enumerate();
            all.filter(|(_, other)| other.desk == desk)
        };
        let of = |network| there().filter(move |(_, other)| other.from == network);
        let places_of = |network| of(network).count();
        let own = places_of(from);
        let new = of(from).filter(|(_, other)| !other.looked_at).count();
        if from.is_some() && new >= NEW_OF_NETWORK {
            return None;
        }
        let has_enough = from.is_some() && own >= VISITORS_OF_NETWORK;
        if !has_enough && there().count() < VISITORS {
            return Some(Seat::Free);
        }
        let goes = there().filter_map(|(at, other)| {
            let is_own = other.from == from;
            let order = other.may_go(is_own)?;
            let places = match is_own {
                true => own,
                false if has_enough => return None,
                false => places_of(other.from),
            };
            (is_own || places > own).then_some(((std::cmp::Reverse(places), order, at), at))
        });
        goes.min().map(|(_, at)| Seat::Of(at))
    }

    /// The stream of a visitor, to be registered.
    pub(super) fn stream_mut(&mut self, ticket: Ticket) -> Option<&mut S> {
        Some(&mut self.visitor(ticket)?.stream)
    }

    /// Whether somebody was heard and has not all of its answer yet.
    pub(super) fn owes_answers(&self) -> bool {
        let owed = |visitor: &Visitor<S>| {
            matches!(visitor.state, State::Waiting | State::Answering { .. })
        };
        self.visitors.iter().any(owed)
    }

    /// How many there are.
    #[cfg(test)]
    fn len(&self) -> usize {
        self.visitors.len()
    }

    /// Lets one go who could not be registered.
    pub(super) fn drop_visitor(&mut self, ticket: Ticket) {
        self.visitors.retain(|visitor| visitor.ticket != ticket);
    }

    /// Notes what the kernel told; nothing is done before the turn.
    pub(super) fn handle_readiness(&mut self, ticket: Ticket, readiness: Readiness) {
        if let Some(visitor) = self.visitor(ticket) {
            visitor.readable |= readiness.readable || readiness.read_closed;
            visitor.blocked &= !readiness.writable;
        }
    }

    /// Reads of everybody who has something to say, once, and ends what has lasted too long.
    pub(super) fn take_in(&mut self, now: Instant) {
        for visitor in &mut self.visitors {
            if visitor.listens() {
                visitor.read();
            }
            visitor.looked_at = true;
            if let Some(question) = visitor.question(now) {
                visitor.enter(State::Waiting, now + WAITING_TIME);
                self.questions.push_back((visitor.ticket, question));
            }
            visitor.judge(now);
        }
    }

    /// The oldest question that nobody has seen yet. For one a turn there is always time.
    pub(super) fn next_question(&mut self) -> Option<(Ticket, Question)> {
        self.questions.pop_front()
    }

    /// Answers. Whoever asked may have gone meanwhile.
    pub(super) fn answer(&mut self, ticket: Ticket, answer: Vec<u8>, now: Instant) {
        if let Some(visitor) = self.visitor(ticket)
            && matches!(visitor.state, State::Waiting)
        {
            let state = State::Answering { answer, sent: 0 };
            visitor.enter(state, now + ANSWERING_TIME);
        }
    }

    /// Writes to everybody who is being answered, once, and lets go who is done.
    pub(super) fn send_out(&mut self, now: Instant) {
        for visitor in &mut self.visitors {
            if visitor.wants_to_write() {
                visitor.write(now);
            }
        }
        self.visitors
            .retain(|visitor| !matches!(visitor.state, State::Gone));
        if self.visitors.is_empty() {
            self.visitors = Vec::new();
        }
    }

    /// When the next turn is due at the latest; `now` is at once, `None` when something is ready.
    pub(super) fn next_deadline(&self, now: Instant) -> Option<Instant> {
        if !self.questions.is_empty() {
            return Some(now);
        }
        let due = |visitor: &Visitor<S>| match visitor.listens() || visitor.wants_to_write() {
            true => now,
            false => visitor.until,
        };
        self.visitors.iter().map(due).min()
    }

    fn visitor(&mut self, ticket: Ticket) -> Option<&mut Visitor<S>> {
        let mut visitors = self.visitors.iter_mut();
        visitors.find(|visitor| visitor.ticket == ticket)
    }
}

impl<S: Stream> Visitor<S> {
    fn enter(&mut self, state: State, until: Instant) {
        self.state = state;
        self.until = until;
    }

    /// Whether it may be let go for another, those first whose number is less. For one of its own network it goes on
    /// taking its answer, however slowly.
    fn may_go(&self, for_its_own: bool) -> Option<u8> {
        match self.state {
            _ if !self.looked_at => None,
            State::Lingering { .. } | State::Gone => Some(0),
            State::Asking { .. } => Some(1),
            State::Answering { .. } => (self.blocked && !for_its_own).then_some(2),
            State::Waiting => None,
        }
    }

    /// Whether to read from it. Who waits for an answer or takes one has said all that is heard.
    fn listens(&self) -> bool {
        let hears = matches!(self.state, State::Asking { .. } | State::Lingering { .. });
        hears && self.readable && !self.ended
    }

    fn wants_to_write(&self) -> bool {
        matches!(self.state, State::Answering { .. }) && !self.blocked
    }

    /// One read.
    fn read(&mut self) {
        let mut buffer = [0; READ_BYTES];
        let room = match &self.state {
            State::Asking { heard } => {
                READ_BYTES.min(self.desk.longest().saturating_sub(heard.len()))
            }
            _ => READ_BYTES,
        };
        let Some(buffer) = buffer.get_mut(..room) else {
            return;
        };
        let count = match self.stream.recv(buffer) {
            Ok(0) => {
                self.ended = true;
                return;
            }
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.readable = false;
                return;
            }
            Err(_) => {
                self.state = State::Gone;
                return;
            }
        };
        match &mut self.state {
            State::Asking { heard } => heard.extend(buffer.iter().take(count)),
            State::Lingering { drained } => *drained += count,
            State::Waiting | State::Answering { .. } | State::Gone => {}
        }
    }

    /// What it asks, once that is known.
    fn question(&self, now: Instant) -> Option<Question> {
        let State::Asking { heard } = &self.state else {
            return None;
        };
        let rest = match self.ended {
            true => Rest::Ended,
            false if now >= self.until => Rest::TooLate,
            false => Rest::MayCome,
        };
        self.desk.hear(heard, rest)
    }

    /// Ends what has come to its end.
    fn judge(&mut self, now: Instant) {
        let late = now >= self.until;
        let is_over = match &self.state {
            State::Asking { heard } => late || self.ended || heard.len() >= self.desk.longest(),
            State::Waiting => late,
            State::Answering { .. } if late => {
                // Or the kernel would keep what was not taken for as long as it likes.
                self.stream.forget_unsent();
                true
            }
            State::Answering { .. } => false,
            State::Lingering { drained } => late || self.ended || *drained > LINGERING_BYTES,
            State::Gone => true,
        };
        if is_over {
            self.state = State::Gone;
        }
    }

    /// One write.
    fn write(&mut self, now: Instant) {
        let State::Answering { answer, sent } = &mut self.state else {
            return;
        };
        let rest = answer.get(*sent..).unwrap_or_default();
        match self.stream.send(rest) {
            Ok(count) if count < rest.len() => {
                *sent += count;
                self.blocked = true;
            }
            Ok(_) if self.ended || self.stream.finish().is_err() => self.state = State::Gone,
            Ok(_) => self.enter(State::Lingering { drained: 0 }, now + LINGERING_TIME),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.blocked = true,
            Err(_) => self.state = State::Gone,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::io::IoSlice;
    use std::net::SocketAddr;
    use std::rc::Rc;

    use super::*;
    use crate::http::{Method, Page, Request};
    use crate::server::address::PeerAddress;

    /// A connection in memory, and what becomes of it.
    #[derive(Clone, Debug, Default)]
    struct Pipe(Rc<RefCell<Ends>>);

    #[derive(Debug, Default)]
    struct Ends {
        to_read: VecDeque<u8>,
        peer_ended: bool,
        taken: Vec<u8>,
        /// So much is taken until somebody makes room.
        room: usize,
        finished: bool,
        forgotten: bool,
    }

    impl Stream for Pipe {
        fn recv(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let mut ends = self.0.borrow_mut();
            let count = ends.to_read.len().min(buffer.len());
            for (byte, read) in buffer.iter_mut().zip(ends.to_read.drain(..count)) {
                *byte = read;
            }
            match (count, ends.peer_ended) {
                (0, false) => Err(io::ErrorKind::WouldBlock.into()),
                _ => Ok(count),
            }
        }

        fn send(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let mut ends = self.0.borrow_mut();
            let count = ends.room.min(bytes.len());
            if count == 0 {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            ends.room -= count;
            ends.taken.extend(&bytes[..count]);
            Ok(count)
        }

        fn send_vectored(&mut self, _: &[IoSlice<'_>]) -> io::Result<usize> {
            unreachable!("answers are in one piece")
        }

        fn finish(&mut self) -> io::Result<()> {
            self.0.borrow_mut().finished = true;
            Ok(())
        }

        fn forget_unsent(&mut self) {
            self.0.borrow_mut().forgotten = true;
        }
    }

    struct House {
        annex: Annex<Pipe>,
        now: Instant,
    }

    impl House {
        fn new() -> House {
            House {
                annex: Annex::default(),
                now: Instant::now(),
            }
        }

        fn come(&mut self) -> (Pipe, Option<Ticket>) {
            self.come_as(None)
        }

        /// Somebody from a network of that number.
        fn come_from(&mut self, network: u8) -> (Pipe, Option<Ticket>) {
            let address = SocketAddr::from(([192, 0, 2, network], 9));
            let network = PeerAddress::new(address).network();
            self.come_as(Some(network))
        }

        fn come_as(&mut self, from: Option<Network>) -> (Pipe, Option<Ticket>) {
            let pipe = Pipe::default();
            pipe.0.borrow_mut().room = usize::MAX;
            let ticket = self
                .annex
                .admit(pipe.clone(), Desk::Figures, from, self.now);
            (pipe, ticket)
        }

        fn is_there(&mut self, ticket: Option<Ticket>) -> bool {
            self.annex.stream_mut(ticket.unwrap()).is_some()
        }

        fn say(&mut self, pipe: &Pipe, ticket: Ticket, bytes: &[u8]) {
            pipe.0.borrow_mut().to_read.extend(bytes);
            self.ready(ticket);
        }

        fn ready(&mut self, ticket: Ticket) {
            let readiness = Readiness {
                token: ticket.token(),
                readable: true,
                writable: true,
                read_closed: false,
            };
            self.annex.handle_readiness(ticket, readiness);
        }

        /// Turns until nothing is due at once, or a question is asked.
        fn turn(&mut self) -> Option<(Ticket, Question)> {
            loop {
                self.annex.take_in(self.now);
                let question = self.annex.next_question();
                self.annex.send_out(self.now);
                let due = self.annex.next_deadline(self.now);
                if question.is_some() || due.is_none_or(|due| due > self.now) {
                    return question;
                }
            }
        }

        fn pass(&mut self, time: Duration) {
            self.now += time;
        }
    }

    const ASKED: &[u8] = b"GET /metrics HTTP/1.0\r\n\r\n";

    fn metrics() -> Question {
        let (page, method) = (Page::Metrics, Method::Get);
        Question::Http(Ok(Request { page, method }))
    }

    #[test]
    fn a_question_in_pieces_is_answered_once_and_politely() {
        let mut house = House::new();
        let (pipe, ticket) = house.come();
        let ticket = ticket.unwrap();
        let (last, first) = ASKED.split_last().unwrap();
        for byte in first {
            house.say(&pipe, ticket, &[*byte]);
            assert_eq!(house.turn(), None);
        }
        house.say(&pipe, ticket, &[*last]);
        assert_eq!(house.turn(), Some((ticket, metrics())));
        assert_eq!(house.turn(), None, "it is asked once");
        house.annex.answer(ticket, b"answer".to_vec(), house.now);
        house.annex.answer(ticket, b"another".to_vec(), house.now);
        house.turn();
        assert_eq!(pipe.0.borrow().taken, b"answer");
        assert!(pipe.0.borrow().finished && !pipe.0.borrow().forgotten);
        assert_eq!(house.annex.len(), 1, "it lingers");
        house.say(&pipe, ticket, ASKED);
        assert_eq!(
            house.turn(),
            None,
            "what comes behind is read and not heard"
        );
        assert!(pipe.0.borrow().to_read.is_empty());
        pipe.0.borrow_mut().peer_ended = true;
        house.ready(ticket);
        house.turn();
        assert_eq!(house.annex.len(), 0);
        assert_eq!(house.annex.next_deadline(house.now), None);
    }

    #[test]
    fn an_answer_goes_as_it_is_taken_and_one_that_is_not_is_cut() {
        let mut house = House::new();
        let (pipe, ticket) = house.come();
        let ticket = ticket.unwrap();
        pipe.0.borrow_mut().room = 3;
        house.say(&pipe, ticket, ASKED);
        house.turn().unwrap();
        house.annex.answer(ticket, vec![b'a'; 8], house.now);
        house.turn();
        assert_eq!(pipe.0.borrow().taken.len(), 3);
        house.pass(Duration::from_secs(9));
        pipe.0.borrow_mut().room = 3;
        house.ready(ticket);
        house.turn();
        assert_eq!(pipe.0.borrow().taken.len(), 6);
        house.pass(Duration::from_secs(1));
        house.turn();
        assert_eq!(house.annex.len(), 0);
        assert!(pipe.0.borrow().forgotten && !pipe.0.borrow().finished);
    }

    #[test]
    fn an_answer_to_one_who_has_gone_finds_nobody() {
        let mut house = House::new();
        let (pipe, ticket) = house.come();
        let ticket = ticket.unwrap();
        house.say(&pipe, ticket, ASKED);
        house.turn().unwrap();
        house.pass(WAITING_TIME);
        house.turn();
        assert_eq!(house.annex.len(), 0, "there are limits to waiting, too");
        let (other, _) = house.come();
        house.annex.answer(ticket, b"answer".to_vec(), house.now);
        house.turn();
        assert!(pipe.0.borrow().taken.is_empty() && other.0.borrow().taken.is_empty());
    }

    #[test]
    fn who_takes_too_long_to_ask_is_told_and_who_says_nothing_goes() {
        let mut house = House::new();
        let (pipe, dripping) = house.come();
        let (_silent, _) = house.come();
        house.say(&pipe, dripping.unwrap(), &ASKED[..5]);
        assert_eq!(house.turn(), None);
        assert_eq!(
            house.annex.next_deadline(house.now),
            Some(house.now + ASKING_TIME)
        );
        house.pass(ASKING_TIME);
        let (ticket, question) = house.turn().unwrap();
        assert_eq!(Some(ticket), dripping);
        assert!(matches!(question, Question::Http(Err(_))));
        assert_eq!(house.annex.len(), 1);
    }

    #[test]
    fn places_go_to_those_who_ask() {
        let mut house = House::new();
        let (_first, first) = house.come();
        let (second, asking) = house.come();
        house.say(&second, asking.unwrap(), ASKED);
        house.turn().unwrap();
        let rest: Vec<_> = (2..VISITORS).map(|_| house.come()).collect();
        assert_eq!(house.annex.len(), VISITORS);
        assert_eq!(house.turn(), None);
        // The first has said nothing for longest.
        let (_last, last) = house.come();
        assert!(last.is_some() && house.annex.stream_mut(first.unwrap()).is_none());
        assert!(house.annex.stream_mut(asking.unwrap()).is_some());
        assert_eq!(house.annex.len(), VISITORS);
        for (pipe, ticket) in rest {
            house.say(&pipe, ticket.unwrap(), ASKED);
        }
        let asked = (2..VISITORS).filter_map(|_| house.turn()).count();
        assert_eq!(asked, VISITORS - 2);
        let (_, one_more) = house.come();
        assert!(one_more.is_some(), "in the place of the last");
        house.say(&Pipe::default(), one_more.unwrap(), b"");
    }

    #[test]
    fn nobody_is_taken_in_while_all_are_being_answered() {
        let mut house = House::new();
        let come: Vec<_> = (0..VISITORS).map(|_| house.come()).collect();
        for (pipe, ticket) in &come {
            house.say(pipe, ticket.unwrap(), ASKED);
        }
        while house.turn().is_some() {}
        assert_eq!(house.come().1, None);
        assert_eq!(house.annex.len(), VISITORS);
    }

    #[test]
    fn a_network_that_takes_places_takes_its_own() {
        let mut house = House::new();
        let (slow, asker) = house.come_from(7);
        assert_eq!(house.turn(), None);
        // Four networks that have all places between them, and go on coming.
        let mut come = Vec::new();
        for n in 0..10 * VISITORS {
            let (pipe, ticket) = house.come_from((n % 4) as u8);
            come.push(pipe);
            // One who holds its place says something now and then.
            if let Some(ticket) = ticket.filter(|_| n % 3 == 0) {
                house.say(&come[n], ticket, b"G");
            }
            house.turn();
            assert!(
                house.annex.len() <= VISITORS && house.is_there(asker),
                "{n}"
            );
        }
        assert_eq!(house.annex.len(), VISITORS);
        house.say(&slow, asker.unwrap(), ASKED);
        assert_eq!(house.turn(), Some((asker.unwrap(), metrics())));
        // And another finds a place as well.
        let (_late, late) = house.come_from(8);
        assert!(house.is_there(late) && house.is_there(asker));
    }

    #[test]
    fn one_network_has_so_many_places_and_the_others_are_free() {
        let mut house = House::new();
        let mut of_one = Vec::new();
        for n in 0..VISITORS_OF_NETWORK {
            if n % NEW_OF_NETWORK == 0 && n > 0 {
                assert_eq!(house.come_from(1).1, None, "so many in one turn");
                house.turn();
            }
            of_one.push(house.come_from(1));
        }
        house.turn();
        let (_, another) = house.come_from(1);
        assert!(house.is_there(another) && !house.is_there(of_one[0].1));
        assert_eq!(house.annex.len(), VISITORS_OF_NETWORK);
        for (pipe, ticket) in &of_one {
            house.say(pipe, ticket.unwrap(), ASKED);
        }
        house.annex.take_in(house.now);
        let (_, in_its_place) = house.come_from(1);
        assert!(house.is_there(in_its_place) && !house.is_there(another));
        assert!(house.come_from(2).1.is_some());
    }

    #[test]
    fn a_crowd_that_goes_again_at_once_takes_nobodys_place() {
        let mut house = House::new();
        let (slow, asker) = house.come_from(1);
        house.turn();
        for _ in 0..100 {
            for _ in 0..VISITORS {
                let (pipe, _) = house.come_from(1);
                pipe.0.borrow_mut().peer_ended = true;
            }
            house.turn();
            assert_eq!(house.annex.len(), 1);
        }
        house.say(&slow, asker.unwrap(), ASKED);
        assert_eq!(house.turn(), Some((asker.unwrap(), metrics())));
    }

    #[test]
    fn who_has_asked_before_it_was_taken_in_is_heard_whoever_comes_behind() {
        let mut house = House::new();
        let (pipe, ticket) = house.come_from(1);
        pipe.0.borrow_mut().to_read.extend(ASKED);
        let behind: Vec<_> = (0..VISITORS).map(|_| house.come_from(1)).collect();
        assert!(behind.iter().filter(|(_, ticket)| ticket.is_none()).count() > 1);
        assert_eq!(house.turn(), Some((ticket.unwrap(), metrics())));
    }

    #[test]
    fn the_door_waits_for_those_inside_to_be_looked_at() {
        let mut house = House::new();
        for n in 0..VISITORS {
            assert!(!house.annex.is_to_be_heard_first(Desk::Figures));
            assert!(house.come_from(n as u8).1.is_some());
        }
        assert!(house.annex.is_to_be_heard_first(Desk::Figures));
        assert!(!house.annex.is_to_be_heard_first(Desk::Control));
        house.turn();
        assert!(!house.annex.is_to_be_heard_first(Desk::Figures));
        // All places are other networks', one each: the oldest goes.
        assert!(house.come_from(u8::MAX).1.is_some());
    }

    #[test]
    fn who_does_not_take_its_answer_makes_room_for_another_network() {
        let mut house = House::new();
        let mut deaf = Vec::new();
        for n in 0..VISITORS {
            deaf.push(house.come_from((n % 4) as u8));
            house.turn();
        }
        for (pipe, ticket) in &deaf {
            pipe.0.borrow_mut().room = 1;
            house.say(pipe, ticket.unwrap(), ASKED);
        }
        while let Some((ticket, _)) = house.turn() {
            house.annex.answer(ticket, b"answer".to_vec(), house.now);
        }
        house.turn();
        assert_eq!(house.come_from(1).1, None, "for one of its own none goes");
        let (_, other) = house.come_from(9);
        assert!(house.is_there(other) && !house.is_there(deaf[0].1));
    }

    #[test]
    fn one_who_goes_on_talking_behind_the_answer_is_left() {
        let mut house = House::new();
        let (pipe, ticket) = house.come();
        let ticket = ticket.unwrap();
        house.say(&pipe, ticket, ASKED);
        house.turn().unwrap();
        house.annex.answer(ticket, b"answer".to_vec(), house.now);
        house.say(&pipe, ticket, &vec![0; 1 << 20]);
        house.turn();
        assert_eq!(house.annex.len(), 0);
        assert!(pipe.0.borrow().to_read.len() > (1 << 20) - 2 * LINGERING_BYTES);
    }

    #[test]
    fn a_ticket_is_a_token_and_other_tokens_are_no_tickets() {
        for ticket in [Ticket(0), Ticket(1), Ticket(TICKETS - 1)] {
            assert_eq!(Ticket::from_token(ticket.token()), Some(ticket));
        }
        for other in [
            0,
            1 << 16,
            u32::MAX as usize,
            u32::MAX as usize - 1,
            1 << 32,
        ] {
            assert_eq!(Ticket::from_token(Token(other)), None, "{other}");
        }
    }
}
