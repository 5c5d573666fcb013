//! Owns what happened in the lobby, in order, and as what members of each protocol were told of it.
//!
//! The witness has seen the one order of messages, the ear who came and went in between.

use std::collections::{BTreeMap, HashSet};

use mynah::chat::{Contact, Event, TimeOfDay};
use mynah::protocol::registry::Protocol;
use mynah::protocol::udp_room::frame as room;
use mynah::protocol::{Datagrams, Told};

use crate::peers::scripted::Heard;

/// Something that happened in the lobby.
#[derive(Debug, PartialEq)]
pub enum Happened<'a> {
    Joined(String),
    Left(String),
    Said(&'a Heard),
}

/// All of it, in order.
pub struct Chronicle<'a> {
    pub happened: Vec<Happened<'a>>,
    /// The same as datagrams of a protocol, as far as it is asked for.
    encoded: BTreeMap<Protocol, Vec<Vec<Vec<u8>>>>,
}

impl<'a> Chronicle<'a> {
    /// From the order of messages, and the datagrams of somebody who was there from the beginning.
    pub fn new(order: &'a [Heard], ear: &[Vec<u8>]) -> Chronicle<'a> {
        let mut happened = Vec::new();
        let mut order = order.iter();
        // What is left of a message that came in several datagrams.
        let mut pieces: Vec<Vec<u8>> = Vec::new();
        for bytes in ear {
            match room::decode_heard(bytes).expect("what we send is good") {
                room::Heard::Joined { name } => happened.push(Happened::Joined(name.to_string())),
                room::Heard::Left { name } => happened.push(Happened::Left(name.to_string())),
                room::Heard::Message { .. } => {
                    if pieces.is_empty() {
                        let said = order.next().expect("the ear heard what nobody did");
                        happened.push(Happened::Said(said));
                        pieces = encode(Protocol::UdpRoom, &Happened::Said(said));
                        pieces.reverse();
                    }
                    assert_eq!(
                        pieces.pop().as_ref(),
                        Some(bytes),
                        "the ear heard another order"
                    );
                }
                _ => {}
            }
        }
        // The ear may have left when the last word was said.
        let left = order.count();
        assert!(
            left == 0 && pieces.is_empty(),
            "the ear missed {left} messages"
        );
        Chronicle {
            happened,
            encoded: BTreeMap::new(),
        }
    }

    /// Of a house of one protocol alone, by somebody who was there from the beginning and said nothing.
    pub fn by_resident(order: &'a [Heard], told: &[Told]) -> Chronicle<'a> {
        let mut order = order.iter();
        let happened = told.iter().filter_map(|told| match told {
            Told::Arrived { name } => Some(Happened::Joined(name.clone())),
            Told::Left { name } => Some(Happened::Left(name.clone())),
            Told::Message { .. } => order.next().map(Happened::Said),
            _ => None,
        });
        Chronicle {
            happened: happened.collect(),
            encoded: BTreeMap::new(),
        }
    }

    /// Of a house in which nobody hears who comes and goes.
    pub fn unknown() -> Chronicle<'a> {
        Chronicle {
            happened: Vec::new(),
            encoded: BTreeMap::new(),
        }
    }

    /// Nobody has a name that somebody has, and nobody speaks who is not in.
    pub fn check_names(&self, resident: &str) {
        let mut held = HashSet::from([resident.to_string()]);
        for happened in &self.happened {
            match happened {
                Happened::Joined(name) => {
                    let own = name == resident;
                    assert!(
                        held.insert(name.to_lowercase()) || own,
                        "two are called {name}"
                    );
                }
                Happened::Left(name) => {
                    assert!(held.remove(&name.to_lowercase()), "{name} left twice");
                }
                Happened::Said((name, _)) => {
                    assert!(
                        held.contains(&name.to_lowercase()),
                        "{name} speaks, and is not in"
                    );
                }
            }
        }
    }

    /// How often somebody of that name came.
    pub fn stays(&self, name: &str) -> usize {
        let is_it = |happened: &&Happened<'_>| matches!(happened, Happened::Joined(who) if who.eq_ignore_ascii_case(name));
        self.happened.iter().filter(is_it).count()
    }

    /// What happened while the only bearer of that name was in.
    pub fn stay_of(&self, name: &str) -> Option<(usize, usize)> {
        if self.stays(name) != 1 {
            return None;
        }
        let is_joined = |happened: &Happened<'_>| matches!(happened, Happened::Joined(who) if who.eq_ignore_ascii_case(name));
        let from = self.happened.iter().position(is_joined)? + 1;
        let is_left = |happened: &Happened<'_>| matches!(happened, Happened::Left(who) if who.eq_ignore_ascii_case(name));
        let until = self.happened.iter().position(is_left);
        Some((from, until.unwrap_or(self.happened.len())))
    }

    pub fn events(
        &mut self,
        protocol: Protocol,
        from: usize,
        until: usize,
    ) -> impl Iterator<Item = (&Happened<'a>, &Vec<Vec<u8>>)> {
        let happened = &self.happened;
        let encoded = self.encoded.entry(protocol).or_insert_with(|| {
            let encoded = happened.iter().map(|happened| encode(protocol, happened));
            encoded.collect()
        });
        happened[from..until].iter().zip(&encoded[from..until])
    }

    /// What a member that was in meanwhile was sent, but for what was said by `but`.
    pub fn datagrams(
        &mut self,
        protocol: Protocol,
        from: usize,
        until: usize,
        but: Option<&str>,
    ) -> Vec<&[u8]> {
        let events = self.events(protocol, from, until);
        let events = events.filter(|(happened, _)| match happened {
            Happened::Said((name, _)) => !but.is_some_and(|but| name.eq_ignore_ascii_case(but)),
            Happened::Joined(_) | Happened::Left(_) => true,
        });
        let datagrams = events.flat_map(|(_, datagrams)| datagrams);
        datagrams.map(Vec::as_slice).collect()
    }
}

fn encode(protocol: Protocol, happened: &Happened<'_>) -> Vec<Vec<u8>> {
    let mut out = Datagrams::new();
    let (contact, time) = (Contact::NONE, TimeOfDay::MIDNIGHT);
    let event = match happened {
        Happened::Joined(name) => Event::Arrived { name, contact },
        Happened::Left(name) => Event::Left { name, contact },
        Happened::Said((from, text)) => Event::Said { from, text, time },
    };
    protocol.encode_datagrams(&event, &mut out);
    out.iter().map(<[u8]>::to_vec).collect()
}
