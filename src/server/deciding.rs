//! Owns step 3 of the turn: what a session asks is decided by the hub, and what became of it is told; for
//! connections and for guests.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use super::address::PeerAddress;
use super::connection::{CloseReason, Connection, Place};
use super::core::{NO_SECRET, Server};
use super::guest::Departure;
use super::limits::Advertise;
use crate::chat::{
    Choice, Contact, Deliver, Event, LOBBY, MemberId, Name, Refusal, Request, Said, TimeOfDay,
};
use crate::protocol::registry::{Session, Violation};
use crate::protocol::{AfterVerdict, Answer, Secret, ServerSession, Welcome};
use crate::reactor::{DatagramPort, Key, Stream};

/// How often somebody is told at the most that its name is asked for.
const NAME_ASKED_INTERVAL: Duration = Duration::from_secs(10);

impl<S: Stream, D: DatagramPort> Server<S, D> {
    /// Step 3: what a session asks, the hub decides.
    pub(super) fn decide(&mut self, key: Key, request: Request<'_>) {
        let Some(connection) = self.tenants.get(key) else {
            return;
        };
        let (house, place) = (connection.house(), connection.place);
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
                let entered = self.enter(key, house, choice, name, contact);
                self.tell_verdict(key, entered.map(|()| NO_SECRET));
            }
            (Request::Reserve { choice, name }, _) => {
                let reserved = self.reserve(key, choice, &name);
                if reserved == Err(Refusal::NameTaken) {
                    self.tell_holder(house, choice, &name);
                }
                self.tell_verdict(key, reserved);
            }
            (
                Request::Say {
                    text,
                    time,
                    claimed,
                },
                Place::In { id, .. },
            ) => {
                let said = self.say(key, house, id, text, time, claimed);
                self.tell_if_too_fast(key, said);
            }
            (Request::Direct { to, text, claimed }, Place::In { id, .. }) => {
                let said = self.direct(key, house, id, to, text, claimed);
                self.tell_if_too_fast(key, said);
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

    /// What a guest's session asks for.
    pub(super) fn decide_for_guest(&mut self, key: Key, request: Request<'_>) {
        let Some(guest) = self.tenants.guest(key) else {
            return;
        };
        let (house, id) = (guest.house(), guest.id());
        match (request, id) {
            (
                Request::Enter {
                    choice,
                    name,
                    contact,
                },
                None,
            ) => match self.enter(key, house, choice, name, contact) {
                Ok(()) => self.welcome(key, None),
                Err(refusal) => self.refuse(key, refusal),
            },
            (
                Request::Say {
                    text,
                    time,
                    claimed,
                },
                Some(id),
            ) => {
                let said = self.say(key, house, id, text, time, claimed);
                self.answer(key, Answer::Said(said));
            }
            (Request::Direct { to, text, claimed }, Some(id)) => {
                let said = self.direct(key, house, id, to, text, claimed);
                self.answer(key, Answer::Said(said));
            }
            (Request::Members, _) => {
                let room = id.and_then(|id| self.houses.get(house)?.hub.room_of(id));
                self.answer_with_roster(key, room.unwrap_or(LOBBY));
            }
            (Request::FindAccount { name }, _) => {
                let exists = self.account_exists(name);
                self.answer(key, Answer::Account { exists });
            }
            (Request::Authenticate { name, password }, _) => self.authenticate(key, name, password),
            (Request::KeepAlive, _) => {}
            (Request::Leave, _) => {
                self.answer(key, Answer::Gone);
                self.dismiss(key, Departure::Asked);
            }
            (Request::Enter { .. }, Some(_))
            | (Request::Say { .. } | Request::Direct { .. }, None)
            | (Request::Appear | Request::Reserve { .. }, _) => {
                debug_assert!(false, "invariant: sessions ask for what they may");
            }
        }
    }

    /// Lets somebody in, or says why not.
    fn enter(
        &mut self,
        key: Key,
        house: usize,
        choice: Choice<'_>,
        name: &str,
        contact: Contact,
    ) -> Result<(), Refusal> {
        if self.draining {
            return Err(Refusal::Draining);
        }
        let entered = self.name_for(house, choice, name).and_then(|name| {
            let (hub, mut delivery) = self.desk(house).ok_or(Refusal::NoSuchRoom)?;
            hub.enter(choice, name, contact, key, &mut delivery)
        });
        if entered == Err(Refusal::NameTaken) {
            self.tell_holder(house, choice, name);
        }
        entered.map(|_| ())
    }

    /// Counts a message that bears the name of somebody other than its sender. It is said all the same, under the
    /// name that was joined with. To compare names is work, so it is only done for who may speak now.
    fn note_claim(&mut self, house: usize, id: MemberId, claimed: Option<&str>) {
        let hub = self.houses.get(house).map(|house| &house.hub);
        let name = hub.and_then(|hub| hub.name(id));
        let is_forged = |(name, claimed): (&Name, &str)| !name.same_as(claimed);
        self.counters.forged += u64::from(name.zip(claimed).is_some_and(is_forged));
    }

    /// Says something to a member's room, if it may speak now.
    pub(super) fn say(
        &mut self,
        key: Key,
        house: usize,
        id: MemberId,
        text: &str,
        time: Option<TimeOfDay>,
        claimed: Option<&str>,
    ) -> Said {
        if !self.may_speak(key) {
            return Said::TooFast;
        }
        self.note_claim(house, id, claimed);
        let time = time.unwrap_or(self.wall);
        let Some((hub, mut delivery)) = self.desk(house) else {
            return Said::NobodyThere;
        };
        let said = hub.say(id, text, time, &mut delivery);
        self.counters.count_said(said);
        said
    }

    /// Says something to one member, if its speaker may speak now.
    fn direct(
        &mut self,
        key: Key,
        house: usize,
        id: MemberId,
        to: &str,
        text: &str,
        claimed: Option<&str>,
    ) -> Said {
        if !self.may_speak(key) {
            return Said::TooFast;
        }
        self.note_claim(house, id, claimed);
        let time = self.wall;
        let Some((hub, mut delivery)) = self.desk(house) else {
            return Said::NobodyThere;
        };
        let said = hub.direct(id, to, text, time, &mut delivery);
        self.counters.count_said(said);
        said
    }

    /// A connection is told what it should know of that which it said: most protocols have no word for it.
    fn tell_if_too_fast(&mut self, key: Key, said: Said) {
        if said != Said::TooFast {
            return;
        }
        let Some(connection) = self.tenants.get_mut(key) else {
            return;
        };
        let mut frame = Vec::new();
        connection.session.handle_too_fast(&mut frame);
        self.push_private(key, &frame);
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
                self.call_the_roll(key);
                self.greet(key);
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
                self.counters.count_refusal(refusal);
                match after {
                    AfterVerdict::Close => self.begin_close(key, CloseReason::Refused(refusal)),
                    AfterVerdict::Stay => {}
                }
            }
        }
    }

    /// Tells a newcomer who is in, where its protocol has that.
    fn call_the_roll(&mut self, key: Key) {
        let Some(connection) = self.tenants.get(key) else {
            return;
        };
        let (protocol, house) = (connection.protocol, connection.house());
        let Some(room) = connection.room() else {
            return;
        };
        let Some((hub, mut delivery)) = self.desk(house) else {
            return;
        };
        let roster = hub.roster(room);
        if let Some(shared) = delivery.exchange.roll(room, protocol, &roster) {
            delivery.push_shared(key, shared);
        }
    }

    /// Where a peer can be reached by others: at the port that it says, at the address that it comes from, or a
    /// stranger's machine could be made the target of what they send there.
    fn contact_of(&self, peer: PeerAddress, claimed: Contact) -> Contact {
        // Most protocols have no such thing; nobody is told where their members are.
        if claimed == Contact::NONE {
            return Contact::NONE;
        }
        let IpAddr::V4(own) = peer.ip() else {
            // Existing clients know IPv4 alone.
            return Contact::NONE;
        };
        let ip = match self.advertise {
            Advertise::Claimed if may_claim(own, claimed.ip) => claimed.ip,
            Advertise::Claimed | Advertise::Connection => own,
        };
        Contact { ip, ..claimed }
    }

    /// The name somebody wants in a room, unless an account keeps it for somebody else, or the server speaks under it.
    pub(super) fn name_for(
        &self,
        house: usize,
        choice: Choice<'_>,
        name: &str,
    ) -> Result<Name, Refusal> {
        let name = Name::parse(name).map_err(Refusal::NotAName)?;
        let lobby = self.is_lobby(house, choice);
        let kept = self
            .accounts
            .as_ref()
            .is_some_and(|accounts| accounts.house() == house && accounts.exists(name.as_str()));
        match lobby && (kept || self.is_a_gateways(house, name.as_str())) {
            true => Err(Refusal::NameTaken),
            false => Ok(name),
        }
    }

    fn is_lobby(&self, house: usize, choice: Choice<'_>) -> bool {
        let hub = self.houses.get(house).map(|house| &house.hub);
        let lobby = hub.and_then(|hub| hub.room_name(LOBBY));
        match choice {
            Choice::Lobby => true,
            Choice::Join(room) => lobby.is_some_and(|lobby| lobby.same_as(room)),
            Choice::Create(_) => false,
        }
    }

    /// Tells whoever holds a name in the lobby that somebody asked for it, where its protocol has a way; now and
    /// then, or those who ask could keep it from hearing anything else.
    pub(super) fn tell_holder(&mut self, house: usize, choice: Choice<'_>, name: &str) {
        if !self.is_lobby(house, choice) {
            return;
        }
        let now = self.moment();
        let hub = self.houses.get(house).map(|house| &house.hub);
        let seat = hub.and_then(|hub| hub.seat(hub.find(LOBBY, name)?));
        let Some((seat, guest)) = seat.and_then(|seat| Some((seat, self.tenants.guest_mut(seat)?)))
        else {
            return;
        };
        let asked = guest.asked.map(|asked| asked.before(now));
        if asked.is_some_and(|time| time < NAME_ASKED_INTERVAL) {
            return;
        }
        guest.asked = Some(now);
        if let Some((_, mut delivery)) = self.desk(house) {
            delivery.to_member(seat, Event::NameAsked);
        }
    }

    /// Whether a member may say one more thing now; what it may not is counted and dropped.
    fn may_speak(&mut self, key: Key) -> bool {
        let Some(rate) = self.limits.message_rate else {
            return true;
        };
        let (peer, bucket) = match self.tenants.get_mut(key) {
            Some(connection) => (connection.peer, &mut connection.rate),
            None => match self.tenants.guest_mut(key) {
                Some(guest) => (guest.peer, &mut guest.rate),
                None => return false,
            },
        };
        if peer.is_loopback() || bucket.take(rate, self.start, self.now) {
            return true;
        }
        self.note_over_rate(key);
        false
    }

    /// Counts a message that was dropped, and has the log told.
    pub(super) fn note_over_rate(&mut self, key: Key) {
        self.counters.over_rate += 1;
        self.note(key, |notes, now, who| {
            notes.over_rate(now, format_args!("{who}"))
        });
    }

    pub(super) fn end_for_violation(&mut self, key: Key, violation: Violation) {
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

/// Whether a peer may say of itself that it is there: never at an address that is everybody's or nobody's, and
/// at one of a private network only if it comes from one itself.
fn may_claim(own: Ipv4Addr, claimed: Ipv4Addr) -> bool {
    let is_nobodys = claimed.is_unspecified()
        || claimed.is_broadcast()
        || claimed.is_multicast()
        || claimed.octets()[0] == 0
        || claimed.octets()[0] >= 240;
    // What a provider's customers share (RFC 6598) is no more public than a private network.
    let is_shared = |ip: Ipv4Addr| ip.octets()[0] == 100 && ip.octets()[1] & 0xc0 == 64;
    let is_inside =
        |ip: Ipv4Addr| ip.is_private() || ip.is_link_local() || ip.is_loopback() || is_shared(ip);
    let is_same_machine = !claimed.is_loopback() || own.is_loopback();
    !is_nobodys && is_same_machine && (is_inside(own) || !is_inside(claimed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r47_nobody_is_named_who_could_not_be_the_one_who_says_so() {
        let table = [
            ("203.0.113.9", "198.51.100.7", true),
            ("203.0.113.9", "224.0.0.1", false),
            ("203.0.113.9", "255.255.255.255", false),
            ("203.0.113.9", "240.0.0.1", false),
            ("203.0.113.9", "0.0.0.0", false),
            ("203.0.113.9", "0.1.2.3", false),
            ("203.0.113.9", "127.0.0.1", false),
            ("203.0.113.9", "10.0.0.1", false),
            ("203.0.113.9", "192.168.1.1", false),
            ("203.0.113.9", "169.254.1.1", false),
            ("203.0.113.9", "100.64.0.1", false),
            ("203.0.113.9", "100.63.255.255", true),
            ("203.0.113.9", "100.128.0.1", true),
            ("192.168.1.2", "192.168.1.3", true),
            ("192.168.1.2", "198.51.100.7", true),
            ("192.168.1.2", "127.0.0.1", false),
            ("192.168.1.2", "224.0.0.1", false),
            ("127.0.0.1", "127.0.0.1", true),
            ("127.0.0.1", "10.0.0.1", true),
        ];
        for (own, claimed, may) in table {
            let (own, claimed_ip) = (own.parse().unwrap(), claimed.parse().unwrap());
            assert_eq!(may_claim(own, claimed_ip), may, "{own} says {claimed}");
        }
    }
}
