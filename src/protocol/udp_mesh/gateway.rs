//! Owns the gateway's conversation with a mesh: what its peers ask of one peer who speaks for a whole lobby,
//! what it answers, and which broadcasts are its own that came back.
//! Knows no socket and no clock, and nothing of who is in the lobby.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::hash::BuildHasher;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use super::askers::Askers;
use super::frame::{self, Frame, Violation};
use crate::chat::{Event, Line, Name};
use crate::protocol::{Datagrams, Dropped};

/// One conversation with all of a mesh.
///
/// Driving it: give it every datagram by [`handle_datagram`](Gateway::handle_datagram) and do what is asked. A
/// newcomer is answered at once, by [`answer_taken`](Gateway::answer_taken) or
/// [`answer_welcome`](Gateway::answer_welcome), at its address and the mesh's port. What [`encode_event`] made is
/// broadcast after [`note_sent`](Gateway::note_sent).
#[derive(Debug)]
pub struct Gateway {
    /// As whom it answers those who come.
    name: Name,
    askers: Askers,
    /// What it has broadcast and may hear again, by its hash: broadcasts come back.
    sent: VecDeque<(Instant, u64)>,
    /// How often each stands there. Its hasher is what hashes them: keyed, for peers choose what they say.
    echoes: HashMap<u64, u32>,
}

/// What a datagram asks of the gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked<'a> {
    /// Nothing: it is an answer to a peer who joins; the lobby is in already.
    Nothing,
    /// Nothing: it is one of our own that came back. Somebody who has just left the lobby and says the same words from
    /// the mesh is not told from that.
    Echo,
    /// 471: may it be `username`? `None` is a name that breaks the rules, and is taken.
    Newcomer { username: Option<&'a str> },
    /// 472: `username` says something.
    Says { username: &'a str, text: &'a str },
}

/// How long a broadcast may take to come back: it waits while the kernel takes no more, and again while the process is
/// stopped. One that is not known any more is relayed in the name of a member who may have left meanwhile.
pub const ECHO_TIME: Duration = Duration::from_secs(60);

/// Broadcasts remembered for that long. What is forgotten is still not relayed: its name is held by a member
/// who is no peer of the mesh.
pub const MAX_ECHOES: usize = 4096;

impl Gateway {
    /// Will answer newcomers as `name`.
    pub fn new(name: Name) -> Gateway {
        Gateway {
            name,
            askers: Askers::default(),
            sent: VecDeque::new(),
            echoes: HashMap::new(),
        }
    }

    /// Whether that is as whom it answers.
    pub fn is_called(&self, name: &str) -> bool {
        self.name.same_as(name)
    }

    /// Takes one datagram. A newcomer that it gives is one that may be answered, which counts as its answer.
    pub fn handle_datagram<'a>(
        &mut self,
        from: IpAddr,
        datagram: &'a [u8],
        now: Instant,
    ) -> Result<Asked<'a>, Dropped> {
        if self.is_echo(datagram, now) {
            return Ok(Asked::Echo);
        }
        let username = match frame::decode(datagram) {
            Ok(Frame::Join { username }) => Some(username).filter(|name| !self.name.same_as(name)),
            Err(Violation::NotAName {
                number: frame::JOIN,
                ..
            }) => None,
            Ok(Frame::Say { username, .. }) if self.name.same_as(username) => {
                return Err(Dropped::forged("in the name of the gateway"));
            }
            Ok(Frame::Say { username, text }) => return Ok(Asked::Says { username, text }),
            Ok(Frame::NameTaken | Frame::Welcome { .. }) => return Ok(Asked::Nothing),
            Err(_) => return Err(Dropped::malformed("no datagram of the mesh")),
        };
        if !self.askers.may_answer(from, now) {
            return Err(Dropped::too_soon("it was answered within the last second"));
        }
        Ok(Asked::Newcomer { username })
    }

    /// Adds what a newcomer is told whose name is somebody else's.
    pub fn answer_taken(&self, out: &mut Datagrams) {
        out.push(frame::encode_taken);
    }

    /// Adds what any other newcomer is told: who answers, and the last of what was said, oldest first.
    pub fn answer_welcome<'l>(
        &self,
        history: impl IntoIterator<Item = &'l Line>,
        out: &mut Datagrams,
    ) {
        out.push(|out| frame::encode_welcome(self.name.as_str(), history, out));
    }

    /// Adds the broadcasts by which the server itself says something: in the gateway's own name, for peers take no other
    /// that breaks the rules for names. Nobody in the mesh has it: see [`answer_taken`](Gateway::answer_taken).
    pub fn encode_notice(&self, text: &str, out: &mut Datagrams) {
        frame::encode_say(self.name.as_str(), text, |datagram| {
            out.push(|out| out.extend_from_slice(datagram));
        });
    }

    /// That is going to be broadcast.
    pub fn note_sent(&mut self, datagram: &[u8], now: Instant) {
        if self.sent.len() == MAX_ECHOES {
            self.forget_oldest();
        }
        let hash = self.echoes.hasher().hash_one(datagram);
        self.sent.push_back((now, hash));
        *self.echoes.entry(hash).or_default() += 1;
    }

    /// Whether this is one of its own that came back: each does once on most networks, and twice where
    /// datagrams are doubled or two ways lead there.
    fn is_echo(&mut self, datagram: &[u8], now: Instant) -> bool {
        while let Some((sent, _)) = self.sent.front()
            && now.saturating_duration_since(*sent) > ECHO_TIME
        {
            self.forget_oldest();
        }
        let hash = self.echoes.hasher().hash_one(datagram);
        self.echoes.contains_key(&hash)
    }

    fn forget_oldest(&mut self) {
        if let Some((_, hash)) = self.sent.pop_front()
            && let Entry::Occupied(mut times) = self.echoes.entry(hash)
        {
            match *times.get() {
                0 | 1 => drop(times.remove()),
                more => *times.get_mut() = more - 1,
            }
        }
    }
}

/// Adds the broadcasts that an event is, if any: only what is said publicly is told to the mesh.
pub fn encode_event(event: &Event<'_>, out: &mut Datagrams) {
    match event {
        Event::Said { from, text, .. } => {
            frame::encode_say(from, text, |datagram| {
                out.push(|out| out.extend_from_slice(datagram));
            });
        }
        Event::Direct { .. }
        | Event::Arrived { .. }
        | Event::Left { .. }
        | Event::NameAsked
        // In whose name it is said, only the gateway knows: see `encode_notice`.
        | Event::Notice { .. }
        | Event::RoomClosed => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::{Contact, TimeOfDay};

    fn ip(n: u8) -> IpAddr {
        [192, 0, 2, n].into()
    }

    fn gateway() -> Gateway {
        Gateway::new(Name::parse("mynah").unwrap())
    }

    fn join(name: &str) -> Vec<u8> {
        let mut datagram = Vec::new();
        frame::encode_join(name, &mut datagram);
        datagram
    }

    fn say(name: &str, text: &str) -> Vec<u8> {
        let mut said = Vec::new();
        frame::encode_say(name, text, |datagram| said.extend_from_slice(datagram));
        said
    }

    #[test]
    fn its_own_name_is_nobody_elses() {
        let (name, now) = (Name::parse("mynah").unwrap(), Instant::now());
        let mut gateway = Gateway::new(name);
        let from = IpAddr::from([192, 0, 2, 1]);
        let mut datagram = Vec::new();
        frame::encode_join("Mynah", &mut datagram);
        let asked = gateway.handle_datagram(from, &datagram, now);
        assert_eq!(asked, Ok(Asked::Newcomer { username: None }));
        frame::encode_say("mynah", "forged", |datagram| {
            assert!(gateway.handle_datagram(from, datagram, now).is_err());
        });
    }

    #[test]
    fn r48_a_newcomer_is_answered_once_a_second_and_a_speaker_always_heard() {
        let (mut gateway, start) = (gateway(), Instant::now());
        let at = |millis| start + Duration::from_millis(millis);
        let asks = |username| Ok(Asked::Newcomer { username });
        let mia = join("mia");
        let waits = Err(Dropped::too_soon("it was answered within the last second"));
        assert_eq!(
            gateway.handle_datagram(ip(1), &mia, at(0)),
            asks(Some("mia"))
        );
        assert_eq!(gateway.handle_datagram(ip(1), &mia, at(999)), waits);
        assert_eq!(
            gateway.handle_datagram(ip(2), &mia, at(999)),
            asks(Some("mia"))
        );
        let nobody = join("a:b");
        assert_eq!(
            gateway.handle_datagram(ip(1), &nobody, at(1000)),
            asks(None)
        );
        assert_eq!(gateway.handle_datagram(ip(1), &nobody, at(1001)), waits);
        // Who speaks was not answered.
        let hi = say("mia", "hi");
        for millis in [1001, 1002] {
            let (username, text) = ("mia", "hi");
            assert_eq!(
                gateway.handle_datagram(ip(1), &hi, at(millis)),
                Ok(Asked::Says { username, text })
            );
        }
    }

    #[test]
    fn what_others_answer_asks_nothing_and_junk_is_dropped() {
        let (mut gateway, now) = (gateway(), Instant::now());
        let mut answers = Datagrams::new();
        gateway.answer_taken(&mut answers);
        gateway.answer_welcome([], &mut answers);
        for answer in answers.iter() {
            let asked = gateway.handle_datagram(ip(1), answer, now);
            assert_eq!(asked, Ok(Asked::Nothing));
        }
        let unnamed = say("a:b", "hi");
        for junk in [&b""[..], b"junk", &unnamed, &[0x80; 5000]] {
            let dropped = gateway.handle_datagram(ip(1), junk, now);
            assert_eq!(dropped, Err(Dropped::malformed("no datagram of the mesh")));
        }
    }

    #[test]
    fn the_answers_are_one_datagram_each() {
        let gateway = gateway();
        let mut out = Datagrams::new();
        let lines = [1, 2].map(|n| Line {
            time: TimeOfDay::MIDNIGHT,
            from: "ann".to_string(),
            text: format!("line {n}"),
        });
        gateway.answer_taken(&mut out);
        gateway.answer_welcome(&lines, &mut out);
        let frames: Vec<Frame<'_>> = out.iter().map(|d| frame::decode(d).unwrap()).collect();
        assert_eq!(
            frames,
            [
                Frame::NameTaken,
                Frame::Welcome {
                    username: "mynah",
                    lines: vec!["> 00:00:00 ann: line 1", "> 00:00:00 ann: line 2"],
                }
            ]
        );
    }

    #[test]
    fn a_broadcast_comes_back_soon_and_perhaps_twice() {
        let (mut gateway, start) = (gateway(), Instant::now());
        let [one, two, three] = ["one", "two", "three"].map(|text| say("ann", text));
        gateway.note_sent(&one, start);
        gateway.note_sent(&two, start);
        let soon = start + Duration::from_millis(1);
        let username = "ann";
        for (datagram, asked) in [
            (&one, Asked::Echo),
            (&one, Asked::Echo),
            (
                &three,
                Asked::Says {
                    username,
                    text: "three",
                },
            ),
        ] {
            assert_eq!(gateway.handle_datagram(ip(9), datagram, soon), Ok(asked));
        }
        let late = start + ECHO_TIME + Duration::from_millis(1);
        let text = "two";
        assert_eq!(
            gateway.handle_datagram(ip(9), &two, late),
            Ok(Asked::Says { username, text })
        );
    }

    #[test]
    fn r48_what_is_broadcast_twice_is_known_for_its_time_from_the_second() {
        let (mut gateway, start) = (gateway(), Instant::now());
        let one = say("ann", "one");
        let later = start + ECHO_TIME / 2;
        gateway.note_sent(&one, start);
        gateway.note_sent(&one, later);
        let heard = |gateway: &mut Gateway, at| gateway.handle_datagram(ip(9), &one, at);
        let end = later + ECHO_TIME;
        for at in [start, start + ECHO_TIME + Duration::from_millis(1), end] {
            assert_eq!(heard(&mut gateway, at), Ok(Asked::Echo));
        }
        let (username, text) = ("ann", "one");
        let said = Ok(Asked::Says { username, text });
        assert_eq!(heard(&mut gateway, end + Duration::from_millis(1)), said);
        assert!(gateway.sent.is_empty() && gateway.echoes.is_empty());
    }

    #[test]
    fn a_storm_of_broadcasts_takes_no_more_memory() {
        let (mut gateway, now) = (gateway(), Instant::now());
        for n in 0..2 * MAX_ECHOES {
            gateway.note_sent(&n.to_be_bytes(), now);
        }
        assert_eq!(gateway.sent.len(), MAX_ECHOES);
        assert_eq!(gateway.echoes.len(), MAX_ECHOES);
    }

    #[test]
    fn only_what_is_said_publicly_is_told() {
        let mut out = Datagrams::new();
        let time = TimeOfDay::MIDNIGHT;
        let long = "x".repeat(4096);
        for (text, datagrams) in [("hi", 1), (&long, 2)] {
            let from = "bob";
            encode_event(&Event::Said { from, text, time }, &mut out);
            assert_eq!(out.len(), datagrams);
            let first = out.iter().next().unwrap().to_vec();
            assert!(first.len() <= frame::MAX_DATAGRAM_BYTES);
            assert!(matches!(
                frame::decode(&first),
                Ok(frame::Frame::Say {
                    username: "bob",
                    ..
                })
            ));
            out.clear();
        }
        let (name, contact) = ("bob", Contact::NONE);
        for event in [
            Event::Arrived { name, contact },
            Event::Left { name, contact },
            Event::Direct {
                from: name,
                text: "hi",
                time,
            },
            Event::NameAsked,
            Event::RoomClosed,
        ] {
            encode_event(&event, &mut out);
        }
        assert!(out.is_empty());
    }
}
