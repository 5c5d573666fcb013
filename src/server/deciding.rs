//! Owns step 3 of the turn for connections: what a session asks is decided by the hub, and what became of it
//! is told. The same for guests is in `receiving`.

use std::net::IpAddr;

use super::address::PeerAddress;
use super::closing::Who;
use super::connection::{CloseReason, Connection, Place};
use super::core::{NO_SECRET, Server};
use super::limits::Advertise;
use crate::chat::{Choice, Contact, Deliver, Event, LOBBY, Name, Refusal, Request, Said};
use crate::protocol::registry::{Session, Violation};
use crate::protocol::{AfterVerdict, Secret, ServerSession, Welcome};
use crate::reactor::{DatagramPort, Key, Stream};

impl<S: Stream, D: DatagramPort> Server<S, D> {
    /// Step 3: what a session asks, the hub decides.
    pub(super) fn decide(&mut self, key: Key, request: Request<'_>) {
        let Some(connection) = self.tenants.get(key) else {
            return;
        };
        let (house, place, wall) = (connection.house(), connection.place, self.wall);
        match (request, place) {
            (
                Request::Enter {
                    choice,
                    name,
                    contact,
                },
                _,
            ) => {
                let contact = self.contact_of(connection.peer, contact);
                let entered = self.name_for(house, choice, name).and_then(|name| {
                    let (hub, mut delivery) = self.desk(house).ok_or(Refusal::NoSuchRoom)?;
                    hub.enter(choice, name, contact, key, &mut delivery)
                });
                if entered == Err(Refusal::NameTaken) {
                    self.tell_holder(house, choice, name);
                }
                self.tell_verdict(key, entered.map(|_| NO_SECRET));
            }
            (Request::Reserve { choice, name }, _) => {
                let reserved = self.reserve(key, choice, &name);
                self.tell_verdict(key, reserved);
            }
            (Request::Say { text, time }, Place::In { id, .. }) => {
                if self.has_rate_left(key)
                    && let Some((hub, mut delivery)) = self.desk(house)
                {
                    let said = hub.say(id, text, time.unwrap_or(wall), &mut delivery);
                    self.counters.messages += u64::from(matches!(said, Said::ToOthers(_)));
                }
            }
            (Request::Direct { to, text }, Place::In { id, .. }) => {
                if self.has_rate_left(key)
                    && let Some((hub, mut delivery)) = self.desk(house)
                {
                    let said = hub.direct(id, to, text, wall, &mut delivery);
                    self.counters.messages += u64::from(matches!(said, Said::ToOthers(_)));
                }
            }
            (Request::Leave, _) => self.begin_close(key, CloseReason::Asked),
            (
                Request::Say { .. } | Request::Direct { .. },
                Place::Nowhere | Place::Leaving { .. },
            )
            | (
                Request::Appear
                | Request::FindAccount { .. }
                | Request::Authenticate { .. }
                | Request::Members
                | Request::KeepAlive,
                _,
            ) => {
                debug_assert!(false, "invariant: sessions let only members speak");
            }
        }
    }

    /// Tells a session what became of its peer's wish to come in.
    pub(super) fn tell_verdict(&mut self, key: Key, entered: Result<Secret, Refusal>) {
        let Some(connection) = self.tenants.get_mut(key) else {
            return;
        };
        let room = connection.room().unwrap_or(LOBBY);
        let Some(house) = self.houses.get(connection.house()) else {
            return;
        };
        let roster = house.hub.roster(room);
        let verdict = entered.and_then(|secret| {
            let history = house.hub.history(room).ok_or(Refusal::NoSuchRoom)?;
            Ok(Welcome {
                history,
                members: &roster,
                secret,
            })
        });
        let mut frame = Vec::new();
        let after = connection.session.handle_verdict(verdict, &mut frame);
        drop(roster);
        self.push_private(key, &frame);
        match entered {
            Ok(_) => {
                let is_in = self.tenants.get(key).is_some_and(|c| c.room().is_some());
                if is_in {
                    self.counters.joined += 1;
                    log::debug!("{}: joined", self.who(key));
                }
                if after == AfterVerdict::Close {
                    self.begin_close(key, CloseReason::Answered);
                }
            }
            Err(refusal) => {
                self.counters.refused += 1;
                match after {
                    AfterVerdict::Close => self.begin_close(key, CloseReason::Refused(refusal)),
                    AfterVerdict::Stay => {}
                }
            }
        }
    }

    /// Where a peer can be reached by others: at the port that it says, at the address that it comes from, or a
    /// stranger's machine could be made the target of what they send there.
    fn contact_of(&self, peer: PeerAddress, claimed: Contact) -> Contact {
        match (self.limits.advertise, peer.ip()) {
            _ if claimed.port == 0 => Contact::NONE,
            (Advertise::Claimed, _) => claimed,
            (Advertise::Connection, IpAddr::V4(ip)) => Contact { ip, ..claimed },
            (Advertise::Connection, IpAddr::V6(_)) => Contact::NONE,
        }
    }

    /// The name somebody wants in a room, unless an account keeps it for somebody else.
    pub(super) fn name_for(
        &self,
        house: usize,
        choice: Choice<'_>,
        name: &str,
    ) -> Result<Name, Refusal> {
        let name = Name::parse(name).map_err(Refusal::NotAName)?;
        let lobby = match choice {
            Choice::Lobby => true,
            Choice::Join(room) => self.is_lobby(house, room),
            Choice::Create(_) => false,
        };
        let kept = self
            .accounts
            .as_ref()
            .is_some_and(|accounts| accounts.house() == house && accounts.exists(name.as_str()));
        match lobby && kept {
            true => Err(Refusal::NameTaken),
            false => Ok(name),
        }
    }

    fn is_lobby(&self, house: usize, room: &str) -> bool {
        let hub = self.houses.get(house).map(|house| &house.hub);
        let lobby = hub.and_then(|hub| hub.room_name(LOBBY));
        lobby.is_some_and(|lobby| lobby.same_as(room))
    }

    /// Tells whoever holds a name that somebody asked for it, where its protocol has a way.
    pub(super) fn tell_holder(&mut self, house: usize, choice: Choice<'_>, name: &str) {
        if choice != Choice::Lobby {
            return;
        }
        let Some((hub, mut delivery)) = self.desk(house) else {
            return;
        };
        if let Some(seat) = hub.find(LOBBY, name).and_then(|id| hub.seat(id)) {
            delivery.to_member(seat, Event::NameAsked);
        }
    }

    /// Whether a member may say one more thing now; what it may not is counted and dropped.
    fn has_rate_left(&mut self, key: Key) -> bool {
        let (Some(rate), Some(connection)) = (self.limits.message_rate, self.tenants.get_mut(key))
        else {
            return true;
        };
        if connection.peer.is_loopback() || connection.rate.take(rate, self.start, self.now) {
            return true;
        }
        self.note_over_rate(key);
        false
    }

    /// Counts a message that was dropped, and has the log told.
    pub(super) fn note_over_rate(&mut self, key: Key) {
        self.counters.over_rate += 1;
        let Server {
            tenants,
            houses,
            notes,
            now,
            ..
        } = self;
        let who = Who {
            tenants,
            houses,
            key,
        };
        notes.over_rate(*now, format_args!("{who}"));
        self.watch_notes();
    }

    pub(super) fn end_for_violation(&mut self, key: Key, violation: Violation) {
        self.counters.violations += 1;
        let mut farewell = Vec::new();
        Session::farewell(&violation, &mut farewell);
        self.push_private(key, &farewell);
        self.begin_close(key, CloseReason::Violation(violation));
    }

    /// Gives one connection bytes of its own.
    pub(super) fn push_private(&mut self, key: Key, frame: &[u8]) {
        let house = self.tenants.get(key).map(Connection::house);
        if let Some((_, mut delivery)) = house.and_then(|house| self.desk(house)) {
            delivery.push_private(key, |_, out| out.extend_from_slice(frame));
        }
    }
}
