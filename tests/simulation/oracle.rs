//! Owns what is to be true after a run, whatever happened in it.
//!
//! What every member of the lobby was to hear, byte for byte, between its joining and its leaving, is in the
//! chronicle; what others were not to hear is known by its text.

use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hasher};

use mynah::chat::HISTORY_LINES;
use mynah::protocol::Told;
use mynah::protocol::registry::Protocol;
use mynah::protocol::tcrp::datagram::{ROOM_CLOSED, ToMember, decode_to_member};
use mynah::protocol::udp_login::frame as login;
use mynah::protocol::udp_mesh::frame as mesh;
use mynah::protocol::udp_room::frame as room;

use crate::air::Way;
use crate::arrivals::{EAR_OF_GROUP, EAR_OF_LOGIN};
use crate::chronicle::{Chronicle, Happened};
use crate::outcome::Outcome;
use crate::peers::client::{Client, Fate, Phase};
use crate::peers::scripted::{Heard, Kind, Understood, understand};
use crate::peers::{is_harmless, receiver_of};
use crate::world::{End, World};

impl World {
    pub(crate) fn check_everything(&mut self, end: End) -> Outcome {
        for peer in &mut self.scripted {
            peer.read();
        }
        let all: Vec<Understood> = self
            .scripted
            .iter()
            .map(|peer| understand(&peer.received))
            .collect();
        let order = &all[0].said;
        self.check_order(order);
        self.check_notices(&all[0].notices, end);
        let mut outcome = self.count();
        let notices = self.clients.iter().map(|client| client.notices);
        outcome.notices_heard = notices.sum();
        self.check_scripted(&all, end, &mut outcome);
        self.check_houses(&all, &mut outcome);
        match self.isolate {
            false => self.check_one_house(order, end, &mut outcome),
            true => self.check_each_house(order, end, &mut outcome),
        }
        for intruder in &mut self.intruders {
            intruder.read();
        }
        outcome.digest = self.digest();
        outcome
    }

    /// All protocols are in one house: what happened there is known from the witness and the ear.
    fn check_one_house(&self, order: &[Heard], end: End, outcome: &mut Outcome) {
        // What waited to be sent to the ear in a crash nobody knows, nor what had to make room for later.
        let mut chronicle = match self.left_unsent || self.counters.overflowed > 0 {
            true => Chronicle::unknown(),
            false => Chronicle::new(order, &self.clients[0].raw),
        };
        chronicle.check_names("witness");
        for client in self.clients.iter().skip(self.residents) {
            self.check_client(client, order, &mut chronicle, end, outcome);
        }
        if end != End::Crash && !self.left_unsent {
            self.check_mesh(order, &mut chronicle, outcome);
        }
    }

    /// Each protocol is in a house of its own, with a resident in those where one hears who comes and goes.
    fn check_each_house(&self, order: &[Heard], end: End, outcome: &mut Outcome) {
        let homes = [
            (Protocol::UdpRoom, "ear"),
            (Protocol::Group, EAR_OF_GROUP),
            (Protocol::UdpLogin, EAR_OF_LOGIN),
        ];
        for (resident, (home, name)) in self.clients[..self.residents].iter().zip(homes) {
            assert_eq!(
                (resident.protocol, resident.name.as_str()),
                (home, name),
                "the residents came in this order"
            );
            let heard = resident.told.iter().filter_map(|told| match told {
                Told::Message { from, text, .. } => Some((from.clone(), text.clone())),
                _ => None,
            });
            let heard: Vec<Heard> = heard.collect();
            self.check_order(&heard);
            let mut chronicle = match self.left_unsent || self.counters.overflowed > 0 {
                true => Chronicle::unknown(),
                false => Chronicle::by_resident(&heard, &resident.told),
            };
            chronicle.check_names(name);
            for client in self.clients.iter().skip(self.residents) {
                if client.protocol == home {
                    self.check_client(client, &heard, &mut chronicle, end, outcome);
                }
            }
        }
        for client in self.clients.iter().skip(self.residents) {
            if client.protocol == Protocol::Ucrp {
                self.check_client(client, order, &mut Chronicle::unknown(), end, outcome);
            }
        }
        self.check_mesh(order, &mut Chronicle::unknown(), outcome);
    }

    /// Where each protocol has a house of its own nothing gets from one into another; nowhere is heard what would do
    /// harm to a terminal.
    fn check_houses(&self, all: &[Understood], outcome: &mut Outcome) {
        let mut homes: HashMap<&str, Protocol> = HashMap::new();
        let scripted = self.scripted.iter().flat_map(|peer| &peer.said);
        homes.extend(scripted.map(|text| (text.as_str(), Protocol::TcpRoom)));
        let mesh = self.mesh.iter().flat_map(|peer| &peer.said);
        homes.extend(mesh.map(|text| (text.as_str(), Protocol::UdpMesh)));
        for client in &self.clients {
            let said = client.said.iter().chain(&client.said_privately);
            homes.extend(said.map(|text| (text.as_str(), client.protocol)));
        }
        let mut hear = |home: Protocol, (from, text): (&str, &str)| {
            assert!(is_harmless(from), "{home} heard of {from:?}");
            assert!(is_harmless(text), "{home} heard {text:?}");
            let text = text.strip_prefix("(private) ").unwrap_or(text);
            if let Some(said_at) = homes.get(text)
                && self.isolate
            {
                assert_eq!(*said_at, home, "heard from another house: {text}");
                outcome.heard_at_home += 1;
            }
        };
        for understood in all {
            let Understood {
                history,
                said,
                directs,
                ..
            } = understood;
            for (from, text) in history.iter().chain(said).chain(directs) {
                hear(Protocol::TcpRoom, (from, text));
            }
        }
        for client in &self.clients {
            for told in &client.told {
                match told {
                    Told::Message { from, text, .. } | Told::Direct { from, text } => {
                        hear(client.protocol, (from, text));
                    }
                    Told::Arrived { name } | Told::Left { name } => {
                        hear(client.protocol, (name, ""));
                    }
                    _ => {}
                }
            }
        }
        for peer in &self.mesh {
            for bytes in &peer.raw {
                if let Ok(mesh::Frame::Say { username, text }) = mesh::decode(bytes) {
                    hear(Protocol::UdpMesh, (username, text));
                }
            }
        }
    }

    /// Whether it is the name of somebody who keeps the rules, and says what it wants to say.
    fn is_honest(&self, name: &str) -> bool {
        let mut mad = self.clients.iter().filter(|client| client.mad.is_some());
        if mad.any(|client| client.name.eq_ignore_ascii_case(name)) {
            return false;
        }
        let mut clients = self.clients.iter();
        self.scripted.iter().any(|peer| peer.name == name)
            || clients.any(|client| client.name == name)
            || self.mesh.iter().any(|peer| peer.name == name)
    }

    /// Nothing is said twice, but by those whose datagrams are doubled on the way and have no number.
    fn check_order(&self, order: &[Heard]) {
        let unsure = self.unsure();
        let mut seen = HashSet::new();
        for heard in order {
            let (name, text) = heard;
            let fresh = seen.insert(heard);
            // Forged members of udp-room repeat what they have overheard, and others who keep no rules say anything.
            if !self.is_honest(name) {
                continue;
            }
            let unsure = unsure.contains(name.as_str());
            assert!(fresh || unsure, "{name} is heard twice with {text}");
            assert!(receiver_of(text).is_none(), "a direct message for all");
            assert!(!text.contains('/'), "a message of another room: {text}");
            assert!(!text.starts_with("forged"), "{name} was forged");
            assert_ne!(text, "after the violation");
        }
    }

    /// Those whose datagrams may be doubled on their way, and have no number to tell.
    fn unsure(&self) -> HashSet<&str> {
        let clients = self.clients.iter().filter(|client| {
            let numbered = matches!(client.protocol, Protocol::UdpLogin | Protocol::Group);
            !client.is_perfect() && (client.mad.is_some() || !numbered)
        });
        let mesh = self.mesh.iter().filter(|peer| peer.way == Way::Lossy);
        clients
            .map(|client| client.name.as_str())
            .chain(mesh.map(|peer| peer.name.as_str()))
            .collect()
    }

    fn check_scripted(&self, all: &[Understood], end: End, outcome: &mut Outcome) {
        let counters = &self.counters;
        let order = &all[0].said;
        let mut places: HashMap<&Heard, Vec<usize>> = HashMap::new();
        for (place, heard) in order.iter().enumerate() {
            places.entry(heard).or_default().push(place);
        }
        for (peer, heard) in self.scripted.iter().zip(all) {
            let what = format!("{:?} {}", peer.kind, peer.name);
            outcome.joined_tcp_room += u64::from(heard.verdict == Some(true));
            if peer.impostor {
                outcome.impostors += u64::from(heard.verdict == Some(false));
                assert_ne!(heard.verdict, Some(true), "{what} has somebody's name");
            }
            for (from, text) in &heard.directs {
                if self.is_honest(from) {
                    check_direct(&peer.name, text, outcome);
                }
            }
            // One order: what each heard is a run of it, and the history is what came just before.
            if let Some(first) = heard.said.first() {
                let starts = places.get(first);
                let starts = starts.unwrap_or_else(|| panic!("{what} heard what nobody did"));
                let is_run = starts.iter().any(|&start| {
                    let run = order.get(start..start + heard.said.len());
                    let history = &order[start.saturating_sub(HISTORY_LINES)..start];
                    run == Some(&heard.said[..]) && heard.history == history
                });
                assert!(
                    is_run,
                    "{what} heard another order or found another history"
                );
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
            let talker = matches!(peer.kind, Kind::Chatter | Kind::Flooder);
            let ended = peer.ended && end != End::Crash;
            if talker && peer.plan.is_empty() && ended && at_peace && !peer.kicked {
                assert_eq!(heard.left, 0, "{what} got a torn frame");
                if heard.verdict == Some(true) && end == End::Politely {
                    outcome.checked_tcp_room += 1;
                    let (got, of) = (mine.len(), said.len());
                    assert!(mine == said, "{what}: {got} of {of} were heard");
                    let echoes = heard
                        .said
                        .iter()
                        .filter(|(name, text)| *name == peer.name && peer.said.contains(text))
                        .count();
                    assert_eq!(echoes, said.len(), "{what} did not hear itself whole");
                }
            }
            let stayed = self.now.duration_since(peer.came);
            assert!(
                end == End::Crash || peer.end.server_gone(),
                "{what} is still connected after {stayed:?}"
            );
        }
    }

    fn check_client(
        &self,
        client: &Client,
        order: &[Heard],
        chronicle: &mut Chronicle<'_>,
        end: End,
        outcome: &mut Outcome,
    ) {
        let politely = end == End::Politely;
        let Client { name, protocol, .. } = client;
        let what = format!("{protocol} {name}");
        let joined = u64::from(client.joined());
        outcome.mad += joined & u64::from(client.mad.is_some());
        let refused = client.told.iter();
        let refused = refused.filter(|told| matches!(told, Told::Refused { .. }));
        let refused = refused.count() as u64;
        match protocol {
            Protocol::Group => {
                outcome.joined_group += joined;
                outcome.refused_group += refused;
            }
            Protocol::UdpRoom => {
                outcome.joined_udp_room += joined;
                outcome.refused_udp_room += refused;
            }
            Protocol::UdpLogin => {
                outcome.joined_udp_login += joined;
                outcome.refused_udp_login += refused;
                let new =
                    |told: &Told| matches!(told, Told::Notice { text } if text == "a new account");
                outcome.logged_in_again += joined & u64::from(!client.told.iter().any(new));
            }
            _ => {
                outcome.joined_ucrp += joined;
                outcome.refused_ucrp += refused;
            }
        }
        if client.impostor {
            outcome.impostors += refused;
            assert!(!client.joined(), "{what} has somebody's name");
        }
        if let Some(line) = &client.line {
            let gone = line.key.is_none() || line.end.server_gone();
            assert!(end == End::Crash || gone, "{what} is still connected");
        }
        let (unsure, mut directs) = (self.unsure(), HashSet::new());
        for told in &client.told {
            match told {
                Told::Direct { from, .. } if !self.is_honest(from) => {}
                Told::Message { from, .. } if !self.is_honest(from) => {}
                Told::Direct { from, text } => {
                    check_direct(name, text, outcome);
                    let fresh = directs.insert(text);
                    let unsure = unsure.contains(from.as_str());
                    assert!(
                        fresh || unsure || !client.is_perfect(),
                        "{what} heard twice from {from}: {text}"
                    );
                }
                Told::Message { text, .. } => match text.strip_prefix("(private) ") {
                    Some(text) => check_direct(name, text, outcome),
                    None => assert!(receiver_of(text).is_none(), "{what} heard {text}"),
                },
                _ => {}
            }
        }
        if let Some(room) = &client.room {
            return self.check_room_member(client, room, end, outcome);
        }
        let counters = &self.counters;
        // Somebody else may have had the name, before or instead.
        let namesakes = self.names.iter();
        let namesakes = namesakes.filter(|other| other.eq_ignore_ascii_case(name));
        if namesakes.count() > 1 {
            return;
        }
        let Some((from, until)) = chronicle.stay_of(name) else {
            return;
        };
        if !client.joined() || !client.is_perfect() {
            return;
        }
        let part = match client.phase == Phase::Dead || client.ended() {
            true => Part::Beginning,
            false => Part::All,
        };
        match protocol {
            Protocol::Group => {
                let in_peace = self.calm && client.phase != Phase::Dead && end != End::Crash;
                if in_peace {
                    outcome.checked_group += 1;
                    // In a crowd more waits to be read by who goes.
                    let crowded = self.outcome.mass_joins > 0;
                    check_group_member(client, &chronicle.happened[from..until], crowded);
                    check_said(client, order, politely);
                }
            }
            _ if counters.overflowed > 0 => {}
            Protocol::UdpRoom => {
                // Others are sent to at a pace.
                if client.is_loopback() {
                    let heard = client.raw.iter().filter(|bytes| is_room_event(bytes, name));
                    let expected = chronicle.datagrams(Protocol::UdpRoom, from, until, None);
                    compare(&what, heard, &expected, part);
                    outcome.checked_udp_room += 1;
                    check_said(client, order, politely);
                }
            }
            Protocol::UdpLogin => {
                // Before its first frame with the right sid it may not be sent all.
                let pong = client.raw.iter().position(|bytes| {
                    let reply = login::Reply::Pong;
                    matches!(login::decode_heard(bytes), Ok(login::Heard::Reply { reply: got, .. }) if got == reply)
                });
                let whole = counters.withheld == 0;
                let from_there = match whole {
                    true => 0,
                    false => pong.unwrap_or(client.raw.len()),
                };
                let heard = client.raw[from_there..].iter();
                let heard = heard.filter(|bytes| is_login_event(bytes));
                let expected = chronicle.datagrams(Protocol::UdpLogin, from, until, Some(name));
                let part = match (whole, part) {
                    (true, part) => part,
                    (false, Part::All) => Part::End,
                    (false, _) => Part::Middle,
                };
                compare(&what, heard, &expected, part);
                outcome.checked_udp_login += 1;
                // In a storm its program may have given up, and said so.
                check_said(client, order, politely && self.calm);
            }
            _ => {
                let heard = client.raw.iter().filter(|bytes| is_ucrp_event(bytes));
                let expected = chronicle.datagrams(Protocol::Ucrp, from, until, Some(name));
                compare(&what, heard, &expected, part);
                outcome.checked_ucrp += 1;
                check_said(client, order, politely);
            }
        }
    }

    /// A room's host says nothing, so it hears all that is said there: what the others hear is part of it.
    fn check_room_member(&self, client: &Client, room: &str, end: End, outcome: &mut Outcome) {
        let what = format!("{} in {room}", client.name);
        let tag = format!("{room}/");
        let mut closings = 0;
        let mut heard: Vec<&[u8]> = Vec::new();
        for bytes in &client.raw {
            if bytes == ROOM_CLOSED {
                closings += 1;
                continue;
            }
            let Ok(ToMember::Said { text, .. }) = decode_to_member(bytes) else {
                panic!("{what} got {bytes:?}");
            };
            assert!(text.starts_with(&tag), "{what} heard {text}");
            heard.push(bytes);
        }
        outcome.room_messages += heard.len() as u64;
        outcome.rooms_closed += closings;
        if !client.is_perfect() || self.counters.overflowed > 0 || self.left_unsent {
            return;
        }
        assert!(closings <= 1, "{what} is told {closings} times of its end");
        if !client.joined() {
            assert!(client.raw.is_empty(), "{what} hears and is not in");
            return;
        }
        let is_own = |bytes: &&[u8]| {
            let said = decode_to_member(bytes);
            matches!(said, Ok(ToMember::Said { sender, .. }) if sender == client.name)
        };
        // A room of that name may have been opened again.
        let hosts = self
            .clients
            .iter()
            .filter(|other| other.is_host && other.joined() && other.room.as_deref() == Some(room));
        // Whoever was in to the end hears of it. A token whose room has gone before it was shown is void.
        let was_in = |host: &Client| host.raw.iter().any(|bytes| is_own(&&bytes[..]));
        let was_in = !heard.is_empty() || hosts.clone().any(was_in);
        let to_the_end = client.fate != Fate::Dies && client.phase == Phase::Running;
        // Who was silent while the process was stopped for long is let go before.
        let heard_of = self.counters.silent == 0 && end != End::Crash;
        if was_in && to_the_end && !client.is_host && heard_of {
            assert_eq!(closings, 1, "{what} is not told of its end");
        }
        let mut perfect = hosts.clone().filter(|host| host.is_perfect()).peekable();
        if client.is_host
            || perfect.peek().is_none()
            || hosts
                .clone()
                .any(|host| !host.is_perfect() || host.phase == Phase::Dead)
        {
            return;
        }
        let is_run = perfect.any(|host| {
            let hosts = host.raw.iter().map(Vec::as_slice);
            let hosts = hosts.filter(|bytes| *bytes != ROOM_CLOSED && !is_own(bytes));
            let hosts: Vec<&[u8]> = hosts.collect();
            // Before it has shown its token a host hears nothing, and others may talk already.
            let before = heard.iter().position(|bytes| hosts.contains(bytes));
            let heard = &heard[before.unwrap_or(heard.len())..];
            match closings {
                1 => hosts.ends_with(heard),
                _ => heard.is_empty() || hosts.windows(heard.len()).any(|run| run == heard),
            }
        });
        assert!(is_run, "{what} heard something else than its host");
        outcome.checked_ucrp += 1;
    }

    fn check_mesh(&self, order: &[Heard], chronicle: &mut Chronicle<'_>, outcome: &mut Outcome) {
        let peers: HashSet<&str> = self.mesh.iter().map(|peer| peer.name.as_str()).collect();
        for peer in &self.mesh {
            let what = format!("udp-mesh {}", peer.name);
            let mut heard = Vec::new();
            for bytes in &peer.raw {
                match mesh::decode(bytes).expect("what we send the mesh is good") {
                    mesh::Frame::NameTaken => outcome.mesh_refusals += 1,
                    mesh::Frame::Welcome { .. } => outcome.mesh_welcomes += 1,
                    mesh::Frame::Join { .. } => panic!("the gateway asks nobody"),
                    // Who keeps no rules may be in the mesh, or not: then it is not told there.
                    mesh::Frame::Say { username, .. } if !self.is_honest(username) => {}
                    mesh::Frame::Say { text, .. } => {
                        assert!(receiver_of(text).is_none(), "{what} heard {text}");
                        heard.push(bytes);
                    }
                }
            }
            let got_in = |text: &String| order.iter().any(|(_, said)| said == text);
            outcome.joined_mesh += u64::from(peer.said.iter().any(got_in));
            assert!(!peer.impostor || !peer.said.iter().any(got_in), "{what}");
            // What another peer of the mesh says everybody there has heard.
            let shared = peers
                .iter()
                .any(|name| chronicle.stays(name) > 0 && !name.starts_with('m'));
            if peer.way == Way::Perfect && self.counters.overflowed == 0 && !shared {
                let end = chronicle.happened.len();
                let all = chronicle.events(Protocol::UdpMesh, 0, end);
                let all: Vec<&Vec<u8>> = all
                    .filter(|(happened, _)| {
                        !matches!(happened, Happened::Said((from, _))
                            if peers.contains(from.as_str()) || !self.is_honest(from))
                    })
                    .flat_map(|(_, datagrams)| datagrams)
                    .collect();
                assert!(
                    all.ends_with(&heard),
                    "{what} heard something else than the lobby"
                );
                outcome.checked_mesh += 1;
            }
        }
    }

    fn count(&self) -> Outcome {
        let counters = &self.counters;
        let weather = self.air.borrow().weather;
        Outcome {
            turns: self.turns,
            messages: counters.messages,
            slow: counters.slow,
            violations: counters.violations,
            timed_out: counters.timed_out,
            refused: counters.refused,
            connections_lost: counters.lost,
            closed_late: counters.closed_late,
            turned_away: counters.turned_away,
            over_rate: counters.over_rate,
            datagrams_lost: weather.lost,
            datagrams_doubled: weather.doubled,
            datagrams_late: weather.late,
            sends_refused: weather.refused,
            sends_retried: weather.retried,
            batches_short: weather.short,
            datagrams_dropped: counters.dropped,
            datagrams_withheld: counters.withheld,
            failed_sends: counters.failed_sends,
            failed_receives: counters.failed_receives,
            silent: counters.silent,
            never_came: counters.never_came,
            denied: counters.denied,
            registered: counters.registered,
            accounts_saved: self.disk.saved,
            saves_failed: self.disk.failed,
            saves_failed_late: self.disk.failed_late,
            not_hashed: self.disk.not_hashed,
            stopped_in_full_swing: self.still_in() as u64,
            overflowed: counters.overflowed,
            told_unreachable: weather.unreachable,
            told_unreachable_forged: weather.unreachable_forged,
            unreachable: counters.unreachable,
            full_turns: self.meter.full_turns.get(),
            died_in_send: self.meter.died_in_send.get(),
            ..self.outcome
        }
    }

    /// Of all that was received.
    fn digest(&self) -> u64 {
        let intruders = self.intruders.iter().map(|peer| &peer.received);
        let mut hasher = DefaultHasher::new();
        for peer in &self.scripted {
            hasher.write(&peer.received);
        }
        let datagrams = self.clients.iter().map(|client| &client.raw);
        let mesh = self.mesh.iter().map(|peer| &peer.raw);
        for bytes in datagrams.chain(mesh).flatten().chain(intruders) {
            hasher.write(bytes);
        }
        for client in &self.clients {
            hasher.write_usize(client.read);
        }
        hasher.write_u128(self.now.duration_since(self.base).as_nanos());
        hasher.finish()
    }
}

fn check_direct(name: &str, text: &str, outcome: &mut Outcome) {
    outcome.directs_heard += 1;
    let receiver = receiver_of(text).unwrap_or_else(|| panic!("{name} heard {text} privately"));
    assert!(receiver.eq_ignore_ascii_case(name), "{name} heard {text}");
}

/// What a client on a perfect way has said is heard once and in order; all of it, if it left in peace.
fn check_said(client: &Client, order: &[Heard], politely: bool) {
    let mine: Vec<&str> = order
        .iter()
        .filter(|(name, text)| {
            // It is heard as it was registered.
            name.eq_ignore_ascii_case(&client.name) && client.said.contains(text)
        })
        .map(|(_, text)| text.as_str())
        .collect();
    let said: Vec<&str> = client.said.iter().map(String::as_str).collect();
    let name = &client.name;
    // Outside this machine more than a rate is dropped.
    let in_peace = politely && client.left_at_ease && !client.ended();
    if client.is_loopback() && in_peace {
        assert!(
            mine == said,
            "{} {name}, last told {:?}: {} of {} were heard",
            client.protocol,
            client.told.last(),
            mine.len(),
            said.len()
        );
    } else {
        let mut all = said.iter();
        let in_order = mine.iter().all(|text| all.any(|said| said == text));
        assert!(in_order, "{name} said {said:?}, heard was {mine:?}");
    }
}

fn check_group_member(client: &Client, happened: &[Happened<'_>], crowded: bool) {
    let heard = client.told.iter().filter_map(|told| match told {
        Told::Arrived { name } => Some(("came", name.as_str())),
        Told::Left { name } => Some(("went", name)),
        Told::Message { from, text, .. } if !text.starts_with("(private)") => {
            Some((from.as_str(), text.as_str()))
        }
        _ => None,
    });
    let expected = happened.iter().filter_map(|happened| match happened {
        Happened::Joined(name) => Some(("came", name.as_str())),
        Happened::Left(name) => Some(("went", name)),
        Happened::Said((from, text)) => (*from != client.name).then_some((from, text)),
    });
    let (heard, expected): (Vec<_>, Vec<_>) = (heard.collect(), expected.collect());
    let differ = heard
        .iter()
        .zip(&expected)
        .position(|(one, other)| one != other);
    // Of who came and went just before it went itself, it may not have been told.
    let untold = expected.get(heard.len()..).unwrap_or_default();
    let only_notices = untold
        .iter()
        .all(|(what, _)| matches!(*what, "came" | "went"));
    assert!(
        expected.starts_with(&heard) && (only_notices || crowded),
        "group {} heard {} of {}, the first difference: {:?}",
        client.name,
        heard.len(),
        expected.len(),
        differ.map(|at| (&heard[at], &expected[at]))
    );
}

/// Which part of what is expected somebody has to have heard.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    All,
    /// Where it was nobody received any more.
    Beginning,
    /// It was sent less before it had shown that it receives there.
    End,
    Middle,
}

fn compare<'a>(
    what: &str,
    heard: impl Iterator<Item = &'a Vec<u8>>,
    expected: &[&[u8]],
    part: Part,
) {
    let heard: Vec<&[u8]> = heard.map(Vec::as_slice).collect();
    let good = match part {
        Part::All => heard == expected,
        Part::Beginning => expected.starts_with(&heard),
        Part::End => expected.ends_with(&heard),
        Part::Middle => heard.is_empty() || expected.windows(heard.len()).any(|part| part == heard),
    };
    let show = |list: &[&[u8]]| -> Vec<String> {
        let cut = list.iter().map(|bytes| &bytes[..bytes.len().min(60)]);
        cut.map(|bytes| String::from_utf8_lossy(bytes).into_owned())
            .collect()
    };
    assert!(
        good,
        "{what} heard {} of {}:\n{:#?}\nand not\n{:#?}",
        heard.len(),
        expected.len(),
        show(&heard),
        show(expected)
    );
}

fn is_room_event(bytes: &[u8], own: &str) -> bool {
    match room::decode_heard(bytes) {
        Ok(room::Heard::Message { .. } | room::Heard::Left { .. }) => true,
        // Its own is the answer to its asking.
        Ok(room::Heard::Joined { name }) => name != own,
        _ => false,
    }
}

fn is_login_event(bytes: &[u8]) -> bool {
    matches!(
        login::decode_heard(bytes),
        Ok(login::Heard::Message { .. } | login::Heard::Arrived { .. } | login::Heard::Left { .. })
    )
}

fn is_ucrp_event(bytes: &[u8]) -> bool {
    match decode_to_member(bytes) {
        Ok(ToMember::Said { text, .. }) => !text.starts_with("(private)"),
        _ => false,
    }
}
