//! Owns a world in which clients and a server talk without sockets, on a clock that the test holds: queues for their
//! streams, and a network that loses the datagrams it is told to lose.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use super::client::Session;
use super::{frame, server};
use crate::chat::{
    Contact, Deliver, Event, Hub, HubLimits, LOBBY, MemberId, Name, Refusal, Request, RoomId,
    TimeOfDay,
};
use crate::protocol::{
    Call, ClientSession, Command, Context, Destination, Outbound, PeerEvent, PeerLink, Secret,
    ServerSession, Step, Told, Unsupported, Welcome,
};

/// Whoever is seated hears the room.
#[derive(Default)]
struct Seats {
    seated: Vec<usize>,
    frames: Vec<(usize, Vec<u8>)>,
}

impl Deliver<usize> for Seats {
    fn to_room(&mut self, _: RoomId, event: Event<'_>, actor: usize) {
        for &seat in &self.seated {
            if seat != actor {
                let mut frame = Vec::new();
                server::encode_event(&event, &mut frame);
                self.frames.push((seat, frame));
            }
        }
    }

    fn to_member(&mut self, _: usize, _: Event<'_>) -> bool {
        true
    }

    fn seat(&mut self, seat: usize, _: RoomId, _: MemberId) {
        self.seated.push(seat);
    }

    fn unseat(&mut self, seat: usize, _: RoomId) {
        self.seated.retain(|seated| *seated != seat);
    }
}

/// One client, its connection, and what it was told.
struct Client {
    session: Session,
    told: Vec<Told>,
    out: Outbound,
    address: SocketAddr,
    server: server::Session,
    member: Option<MemberId>,
    to_server: Vec<u8>,
    to_client: Vec<u8>,
    /// What each stream brought and was not used.
    pending: HashMap<PeerLink, Vec<u8>>,
}

/// One end of a stream, or a listener.
type End = (usize, PeerLink);

struct World {
    now: Instant,
    hub: Hub<usize>,
    seats: Seats,
    clients: Vec<Client>,
    listeners: Vec<(u16, IpAddr, End)>,
    streams: Vec<(End, End)>,
    /// Ports were given out so far.
    ports: u16,
    /// Everything sent by UDP, with when and by whom.
    datagrams: Vec<(f64, usize, String)>,
    start: Instant,
    /// Which of those are lost.
    loses: fn(&str, usize) -> bool,
}

impl World {
    fn new(now: Instant) -> World {
        World {
            now,
            hub: Hub::new(HubLimits::default()),
            seats: Seats::default(),
            clients: Vec::new(),
            listeners: Vec::new(),
            streams: Vec::new(),
            ports: 0,
            datagrams: Vec::new(),
            start: now,
            loses: |_, _| false,
        }
    }

    /// These, all in. The earlier somebody stands in the list, the smaller its secrets are.
    fn of(names: &[&str], now: Instant) -> World {
        let mut world = World::new(now);
        for name in names {
            world.join(name, true);
        }
        world.forget();
        world
    }

    fn join(&mut self, name: &str, p2p: bool) {
        let number = self.clients.len() as u8 + 1;
        let ip = IpAddr::V4(Ipv4Addr::new(10, 0, 0, number));
        let mut drawn = 0;
        let draw = Box::new(move || {
            drawn += 1;
            let mut bits = [number; 16];
            bits[15] = drawn;
            bits
        });
        self.clients.push(Client {
            session: Session::new(name, ip, 5000, p2p, draw),
            told: Vec::new(),
            out: Outbound::default(),
            address: SocketAddr::new(ip, 5000),
            server: server::Session::new(),
            member: None,
            to_server: Vec::new(),
            to_client: Vec::new(),
            pending: HashMap::new(),
        });
        let index = self.clients.len() - 1;
        self.with(index, |session, context| session.start(context));
        self.pump();
    }

    fn forget(&mut self) {
        self.clients
            .iter_mut()
            .for_each(|client| client.told.clear());
    }

    fn with<T>(
        &mut self,
        index: usize,
        act: impl FnOnce(&mut Session, &mut Context<'_>) -> T,
    ) -> T {
        let client = &mut self.clients[index];
        let mut context = Context {
            now: self.now,
            time: TimeOfDay::MIDNIGHT,
            told: &mut client.told,
            out: &mut client.out,
        };
        act(&mut client.session, &mut context)
    }

    /// A command, not yet carried anywhere.
    fn type_in(&mut self, index: usize, command: Command<'_>) -> Result<(), Unsupported> {
        self.with(index, |session, context| {
            session.handle_command(command, context)
        })
    }

    fn command(&mut self, index: usize, command: Command<'_>) {
        self.type_in(index, command).unwrap();
        self.pump();
    }

    /// What somebody was told since this was asked before.
    fn told(&mut self, index: usize) -> Vec<Told> {
        std::mem::take(&mut self.clients[index].told)
    }

    /// The same, in short.
    fn heard(&mut self, index: usize) -> Vec<String> {
        let told = self.told(index);
        let short = told.into_iter().map(|told| match told {
            Told::Joined { name, room } => format!("joined {room} as {name}"),
            Told::Message { from, text, .. } => format!("<{from}> {text}"),
            Told::Direct { from, text } => format!("[{from}] {text}"),
            Told::Arrived { name } => format!("+{name}"),
            Told::Left { name } => format!("-{name}"),
            Told::Members { names } => format!("here: {}", names.join(" ")),
            Told::Notice { text } => text,
            Told::Refused { reason } => format!("refused: {reason}"),
            Told::Closed { reason } | Told::Lost { reason } => reason,
        });
        short.collect()
    }

    /// Carries everything everywhere, until all is still.
    fn pump(&mut self) {
        let mut still = false;
        while !still {
            still = true;
            for index in 0..self.clients.len() {
                let out = std::mem::take(&mut self.clients[index].out);
                still &= out == Outbound::default();
                self.clients[index].to_server.extend(out.stream);
                self.serve(index);
                for (to, datagram) in out.datagrams {
                    let Destination::Peer(to) = to else {
                        panic!("not to a peer");
                    };
                    self.carry(index, to, &datagram);
                }
                out.calls
                    .into_iter()
                    .for_each(|call| self.call(index, call));
            }
            for (seat, frame) in std::mem::take(&mut self.seats.frames) {
                still = false;
                self.clients[seat].to_client.extend(frame);
            }
            for index in 0..self.clients.len() {
                let mut bytes = std::mem::take(&mut self.clients[index].to_client);
                let used = self.with(index, |session, context| {
                    session.handle_bytes(&bytes, context)
                });
                bytes.drain(..used.unwrap());
                self.clients[index].to_client = bytes;
            }
        }
    }

    /// The server, with all that this client has sent.
    fn serve(&mut self, index: usize) {
        let bytes = std::mem::take(&mut self.clients[index].to_server);
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let client = &mut self.clients[index];
            let step = client.server.handle_bytes(rest, &mut client.to_client);
            let Ok(Step::Frame { used, request }) = step else {
                panic!("clients send whole frames: {step:?}");
            };
            rest = &rest[used..];
            match request {
                Some(Request::Enter {
                    choice,
                    name,
                    contact,
                }) => {
                    let IpAddr::V4(ip) = client.address.ip() else {
                        panic!("IPv4 only");
                    };
                    let contact = Contact { ip, ..contact };
                    let entered = Name::parse(name).map_err(Refusal::NotAName);
                    let entered = entered.and_then(|name| {
                        self.hub
                            .enter(choice, name, contact, index, &mut self.seats)
                    });
                    client.member = entered.ok();
                    let roster = self.hub.roster(LOBBY);
                    let verdict = entered.map(|_| Welcome {
                        history: self.hub.history(LOBBY).unwrap(),
                        members: &roster,
                        secret: Secret::new([0; 16]),
                    });
                    client.server.handle_verdict(verdict, &mut client.to_client);
                    if entered.is_ok() {
                        frame::encode_list(&roster, &mut client.to_client);
                    }
                }
                Some(Request::Say { text, .. }) => {
                    let time = TimeOfDay::MIDNIGHT;
                    let member = client.member.unwrap();
                    self.hub.say(member, text, time, &mut self.seats);
                }
                None => {}
                other => panic!("{other:?}"),
            }
        }
    }

    /// A client's connection is gone.
    fn disconnect(&mut self, index: usize) {
        let member = self.clients[index].member.take().unwrap();
        self.hub.leave(member, &mut self.seats);
        self.pump();
    }

    fn carry(&mut self, from: usize, to: SocketAddr, datagram: &[u8]) {
        let text = String::from_utf8(datagram.to_vec()).unwrap();
        let kind = text.split(':').next().unwrap().to_string();
        let earlier = self
            .datagrams
            .iter()
            .filter(|(_, by, sent)| *by == from && sent.starts_with(&kind));
        let lost = (self.loses)(&kind, earlier.count());
        let after = (self.now - self.start).as_secs_f64();
        self.datagrams.push((after, from, text));
        let from = self.clients[from].address;
        if !lost {
            self.receive(to, from, datagram);
        }
    }

    /// A datagram arrives, from wherever.
    fn receive(&mut self, to: SocketAddr, from: SocketAddr, datagram: &[u8]) {
        let receiver = self.clients.iter().position(|client| client.address == to);
        if let Some(receiver) = receiver {
            self.with(receiver, |session, context| {
                session.handle_datagram(from, datagram, context);
            });
        }
    }

    fn tell(&mut self, (index, link): End, event: PeerEvent<'_>) -> usize {
        self.with(index, |session, context| {
            session.handle_peer(link, event, context)
        })
    }

    fn call(&mut self, index: usize, call: Call) {
        match call {
            Call::Listen { link, from } => {
                self.ports += 1;
                let port = 40_000 + self.ports;
                self.listeners.push((port, from.ip(), (index, link)));
                self.tell((index, link), PeerEvent::Listening { port });
            }
            Call::Connect { link, to } => {
                let caller = self.clients[index].address.ip();
                let found = self.listeners.iter().position(|(port, from, (owner, _))| {
                    *port == to.port()
                        && *from == caller
                        && self.clients[*owner].address.ip() == to.ip()
                });
                match found {
                    Some(found) => {
                        let (_, _, listener) = self.listeners.remove(found);
                        self.streams.push((listener, (index, link)));
                        self.tell(listener, PeerEvent::Connected);
                        self.tell((index, link), PeerEvent::Connected);
                    }
                    None => {
                        self.tell((index, link), PeerEvent::Closed);
                    }
                }
            }
            Call::Send { link, bytes } => {
                let Some((index, link)) = self.other_end((index, link)) else {
                    return;
                };
                for byte in bytes {
                    let pending = self.clients[index].pending.entry(link).or_default();
                    pending.push(byte);
                    let mut bytes = std::mem::take(pending);
                    let used = self.tell((index, link), PeerEvent::Bytes(&bytes));
                    bytes.drain(..used);
                    self.clients[index].pending.insert(link, bytes);
                }
            }
            Call::Close { link } => {
                let end = (index, link);
                self.listeners.retain(|(_, _, listener)| *listener != end);
                if let Some(other) = self.other_end(end) {
                    self.streams.retain(|(one, two)| *one != end && *two != end);
                    self.tell(other, PeerEvent::Closed);
                }
            }
        }
    }

    fn other_end(&self, end: End) -> Option<End> {
        self.streams.iter().find_map(|(one, other)| match end {
            end if end == *one => Some(*other),
            end if end == *other => Some(*one),
            _ => None,
        })
    }

    fn advance(&mut self, seconds: f64) {
        let end = self.now + Duration::from_secs_f64(seconds);
        loop {
            let due = |client: &Client| client.session.next_deadline();
            let next = self.clients.iter().filter_map(due).min();
            let Some(next) = next.filter(|next| *next <= end) else {
                break;
            };
            assert!(next > self.now || self.now == self.start, "time goes on");
            self.now = next;
            for index in 0..self.clients.len() {
                self.with(index, |session, context| {
                    if session
                        .next_deadline()
                        .is_some_and(|due| due <= context.now)
                    {
                        session.handle_timeout(context);
                    }
                });
            }
            self.pump();
        }
        self.now = end;
    }

    /// When somebody sent what kind of datagram.
    fn sent(&self, index: usize, kind: &str) -> Vec<f64> {
        let theirs = self
            .datagrams
            .iter()
            .filter(|(_, by, text)| *by == index && text.starts_with(kind));
        theirs.map(|(after, _, _)| *after).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(names: &[&str]) -> World {
        World::of(names, Instant::now())
    }

    const ALICE: usize = 0;
    const BOB: usize = 1;
    const CAROL: usize = 2;

    const START_BOB: Command<'static> = Command::Start { to: "bob" };
    const START_ALICE: Command<'static> = Command::Start { to: "alice" };

    fn chat(to: &'static str) -> Command<'static> {
        Command::Chat { to, text: "psst" }
    }

    #[test]
    fn the_room() {
        let mut world = World::new(Instant::now());
        world.join("alice", true);
        world.join("bob", true);
        assert_eq!(
            world.heard(ALICE),
            ["joined lobby as alice", "here: alice", "+bob"]
        );
        assert_eq!(world.heard(BOB), ["joined lobby as bob", "here: alice bob"]);
        world.command(ALICE, Command::Say("hi: there"));
        assert_eq!(world.heard(BOB), ["<alice> hi: there"]);
        assert!(world.heard(ALICE).is_empty());
        world.command(BOB, Command::Who);
        assert_eq!(world.heard(BOB), ["here: alice bob"]);
        world.disconnect(BOB);
        assert_eq!(world.heard(ALICE), ["-bob"]);
    }

    #[test]
    fn a_long_line_is_several_broadcasts() {
        let mut world = of(&["alice", "bob"]);
        world.command(ALICE, Command::Say(&"é".repeat(3000)));
        let lengths: Vec<usize> = world.heard(BOB).iter().map(String::len).collect();
        assert_eq!(lengths, [4096 + 8, 1904 + 8]);
    }

    #[test]
    fn a_taken_name_is_a_refusal() {
        let mut world = of(&["alice"]);
        world.join("ALICE", true);
        assert_eq!(world.heard(BOB), ["refused: name taken"]);
    }

    #[test]
    fn a_direct_session_from_start_to_end() {
        let mut world = of(&["alice", "bob"]);
        world.command(ALICE, Command::Start { to: "BOB" });
        assert_eq!(world.heard(ALICE), ["direct session with bob started"]);
        assert_eq!(world.heard(BOB), ["direct session with alice started"]);
        assert!(world.listeners.is_empty(), "one connection, then closed");
        world.command(ALICE, chat("bob"));
        world.command(BOB, chat("alice"));
        world.command(
            BOB,
            Command::Direct {
                to: "alice",
                text: "é:\t",
            },
        );
        assert_eq!(world.heard(BOB), ["[alice] psst"]);
        assert_eq!(world.heard(ALICE), ["[bob] psst", "[bob] é:\t"]);
        world.command(ALICE, START_BOB);
        assert_eq!(
            world.heard(ALICE),
            ["there is a direct session with bob already"]
        );
        world.command(BOB, Command::End { with: "alice" });
        assert_eq!(world.heard(ALICE), ["direct session with bob ended"]);
        assert_eq!(world.heard(BOB), ["direct session with alice ended"]);
        world.command(ALICE, chat("bob"));
        world.command(ALICE, Command::End { with: "bob" });
        let nothing = "there is no direct session with bob";
        assert_eq!(
            world.heard(ALICE),
            [&format!("{nothing}: /start bob")[..], nothing]
        );
        world.advance(60.0);
        assert_eq!(
            (world.sent(ALICE, "INIT"), world.sent(BOB, "ACK")),
            (vec![0.0], vec![0.0])
        );

        // And once more, with a secret of its own.
        world.command(BOB, START_ALICE);
        assert_eq!(world.heard(ALICE), ["direct session with bob started"]);
        assert_eq!(world.streams.len(), 1);
    }

    #[test]
    fn lost_invitations_are_repeated() {
        let mut world = of(&["alice", "bob"]);
        world.loses = |kind, earlier| kind == "INIT" && earlier < 5;
        world.command(ALICE, START_BOB);
        assert_eq!(world.clients[ALICE].session.unanswered(), 1);
        world.command(ALICE, chat("bob"));
        world.advance(2.4);
        assert!(world.heard(ALICE).is_empty());
        world.advance(60.0);
        assert_eq!(world.sent(ALICE, "INIT"), [0.0, 0.5, 1.0, 1.5, 2.0, 2.5]);
        assert_eq!(world.heard(ALICE), ["direct session with bob started"]);
        // What was said meanwhile has waited.
        assert_eq!(
            world.heard(BOB),
            ["direct session with alice started", "[alice] psst"]
        );
        assert_eq!(world.clients[ALICE].session.unanswered(), 0);
    }

    #[test]
    fn who_never_answers_is_given_up() {
        let mut world = of(&["alice", "bob"]);
        world.loses = |kind, _| kind == "INIT";
        world.command(ALICE, START_BOB);
        world.command(ALICE, chat("bob"));
        world.command(ALICE, chat("bob"));
        world.advance(2.9);
        assert!(world.heard(ALICE).is_empty());
        world.advance(0.1);
        assert_eq!(
            world.heard(ALICE),
            [
                "no direct session with bob: bob does not answer",
                "not sent: psst",
                "not sent: psst"
            ]
        );
        assert!(world.listeners.is_empty());
        assert_eq!(world.sent(ALICE, "INIT").len(), 6);
        assert_eq!(world.clients[ALICE].session.next_deadline(), None);
    }

    #[test]
    fn a_lost_ack_does_not_matter_where_the_connection_comes() {
        let mut world = of(&["alice", "bob"]);
        world.loses = |kind, _| kind == "ACK";
        world.command(ALICE, START_BOB);
        assert_eq!(world.heard(ALICE), ["direct session with bob started"]);
        world.advance(60.0);
        assert_eq!(world.sent(ALICE, "INIT"), [0.0]);
    }

    #[test]
    fn each_copy_is_answered_and_one_connection_made() {
        let mut world = of(&["alice", "bob"]);
        world.command(ALICE, START_BOB);
        let (alice, bob) = (world.clients[ALICE].address, world.clients[BOB].address);
        let init = world.datagrams[0].2.clone();
        for _ in 0..2 {
            world.receive(bob, alice, init.as_bytes());
            world.pump();
        }
        assert_eq!(world.sent(BOB, "ACK").len(), 3);
        assert_eq!(world.streams.len(), 1);
        // A late copy, after the end.
        world.command(ALICE, Command::End { with: "bob" });
        world.forget();
        world.receive(bob, alice, init.as_bytes());
        world.pump();
        assert!(world.heard(BOB).is_empty());
        assert_eq!(world.sent(BOB, "ACK").len(), 4);
    }

    #[test]
    fn when_both_begin_the_smaller_secret_stays() {
        for first in [ALICE, BOB] {
            let mut world = of(&["alice", "bob"]);
            for index in [first, 1 - first] {
                let command = if index == ALICE {
                    START_BOB
                } else {
                    START_ALICE
                };
                world.type_in(index, command).unwrap();
            }
            world.type_in(BOB, chat("alice")).unwrap();
            world.pump();
            world.advance(60.0);
            // Bob's invitation gave in, and what he had said came over alice's.
            assert_eq!(
                world.heard(ALICE),
                ["direct session with bob started", "[bob] psst"]
            );
            assert_eq!(world.heard(BOB), ["direct session with alice started"]);
            assert_eq!((world.streams.len(), world.listeners.len()), (1, 0));
            assert!(world.sent(ALICE, "ACK").is_empty());
        }
    }

    #[test]
    fn an_invitation_from_a_stranger_is_ignored() {
        let mut world = of(&["alice", "bob"]);
        let (alice, bob) = (world.clients[ALICE].address, world.clients[BOB].address);
        let elsewhere = SocketAddr::new(bob.ip(), 5001);
        for from in ["6.6.6.6:5000".parse().unwrap(), elsewhere, alice] {
            world.receive(alice, from, b"INIT:00ff:40000\r\n");
        }
        world.receive(alice, bob, b"INIT:00ff:0\r\n");
        world.receive(alice, bob, b"hello\r\n");
        world.pump();
        assert!(world.datagrams.is_empty() && world.heard(ALICE).is_empty());
        // Bob himself, as a socket for both families has it.
        let IpAddr::V4(ip) = bob.ip() else {
            panic!("IPv4 only");
        };
        let mapped = SocketAddr::new(IpAddr::V6(ip.to_ipv6_mapped()), bob.port());
        world.receive(alice, mapped, b"INIT:00ff:40000\r\n");
        let answered = world.clients[ALICE].out.datagrams.clone();
        assert_eq!(
            answered,
            [(Destination::Peer(mapped), b"ACK:INIT:00ff\r\n".to_vec())]
        );
        let calls = &world.clients[ALICE].out.calls;
        let to = SocketAddr::new(bob.ip(), 40_000);
        assert!(matches!(calls[..], [Call::Connect { to: got, .. }] if got == to));
    }

    #[test]
    fn only_the_right_ack_counts() {
        let mut world = of(&["alice", "bob", "carol"]);
        world.loses = |kind, _| kind == "INIT";
        world.command(ALICE, START_BOB);
        let addresses: Vec<SocketAddr> =
            world.clients.iter().map(|client| client.address).collect();
        let secret = world.datagrams[0].2.split(':').nth(1).unwrap().to_string();
        let ack = format!("ACK:INIT:{secret}\r\n");
        world.receive(addresses[ALICE], addresses[BOB], b"ACK:INIT:00ff\r\n");
        world.receive(addresses[ALICE], addresses[CAROL], ack.as_bytes());
        world.advance(1.0);
        assert_eq!(world.sent(ALICE, "INIT").len(), 3, "still repeated");
        world.receive(addresses[ALICE], addresses[BOB], ack.as_bytes());
        world.advance(8.9);
        assert_eq!(world.sent(ALICE, "INIT").len(), 3);
        assert!(world.heard(ALICE).is_empty());
        world.advance(2.0);
        assert_eq!(
            world.heard(ALICE),
            ["no direct session with bob: bob does not answer"]
        );
    }

    #[test]
    fn a_connection_that_fails_is_told() {
        let mut world = of(&["alice", "bob"]);
        let (alice, bob) = (world.clients[ALICE].address, world.clients[BOB].address);
        world.receive(alice, bob, b"INIT:00ff:1\r\n");
        world.type_in(ALICE, chat("bob")).unwrap();
        world.pump();
        assert_eq!(
            world.heard(ALICE),
            [
                "no direct session with bob: no connection",
                "not sent: psst"
            ]
        );
    }

    /// Anybody can send invitations in a member's name.
    #[test]
    fn many_invitations_come_to_few_connections_and_fewer_words() {
        let mut world = of(&["alice", "bob"]);
        let (alice, bob) = (world.clients[ALICE].address, world.clients[BOB].address);
        let failed = "no direct session with bob: no connection";
        let invite = |world: &mut World, number: usize| {
            world.receive(alice, bob, format!("INIT:{number}:1\r\n").as_bytes());
            let connects = world.clients[ALICE].out.calls.len();
            world.pump();
            (connects, world.heard(ALICE))
        };
        for turn in 0..60 {
            let told = if turn % 30 == 0 {
                vec![failed.to_string()]
            } else {
                vec![]
            };
            assert_eq!(invite(&mut world, turn * 100), (1, told), "turn {turn}");
            for number in 1..100 {
                let number = turn * 100 + number;
                assert_eq!(invite(&mut world, number), (0, vec![]), "{number}");
            }
            assert_eq!(world.sent(ALICE, "ACK").len(), turn + 1);
            world.advance(2.0);
        }
        // One that was taken up is answered again, and that is all.
        let turn = 59 * 100;
        assert_eq!(invite(&mut world, turn), (0, vec![]));
        assert_eq!(world.sent(ALICE, "ACK").len(), 61);
    }

    #[test]
    fn what_the_person_has_begun_is_told_though_an_invitation_took_its_place() {
        let mut world = of(&["alice", "bob"]);
        let (alice, bob) = (world.clients[ALICE].address, world.clients[BOB].address);
        world.loses = |kind, _| kind == "INIT";
        let failed = "no direct session with bob: no connection";
        for secret in ["1", "2"] {
            world.command(ALICE, START_BOB);
            assert!(world.heard(ALICE).is_empty());
            world.receive(alice, bob, format!("INIT:{secret}:1\r\n").as_bytes());
            world.pump();
            assert_eq!(world.heard(ALICE), [failed], "{secret}");
            world.advance(2.0);
        }
    }

    #[test]
    fn who_ends_a_session_and_wants_it_back_at_once_gets_it() {
        let mut world = of(&["alice", "bob"]);
        world.command(ALICE, START_BOB);
        world.command(ALICE, Command::End { with: "bob" });
        world.forget();
        world.command(ALICE, START_BOB);
        assert!(world.heard(ALICE).is_empty());
        world.advance(2.0);
        assert_eq!(world.heard(ALICE), ["direct session with bob started"]);
        assert_eq!(world.heard(BOB), ["direct session with alice started"]);
    }

    #[test]
    fn who_wants_no_direct_sessions_has_none() {
        let mut world = of(&["alice"]);
        world.join("bob", false);
        world.forget();
        world.command(BOB, START_ALICE);
        assert_eq!(
            world.heard(BOB),
            ["no direct sessions: --no-p2p was asked for"]
        );
        world.command(ALICE, START_BOB);
        world.advance(60.0);
        assert_eq!(
            world.heard(ALICE),
            ["no direct session with bob: bob does not answer"]
        );
        assert!(world.sent(BOB, "").is_empty());
    }

    #[test]
    fn who_cannot_be_invited() {
        let mut world = of(&["alice"]);
        let list = b"LIST:alice:10.0.0.1:5000:eve:0.0.0.0:0:all:255.255.255.255:7:many:224.0.0.1:7:web:localhost:7\r\n";
        world.clients[ALICE].to_client.extend_from_slice(list);
        world.pump();
        world.forget();
        for to in ["eve", "all", "many", "web"] {
            world.command(ALICE, Command::Start { to });
            let reason = "cannot be reached directly: the server tells no address for it";
            assert_eq!(world.heard(ALICE), [format!("{to} {reason}")]);
        }
        world.command(ALICE, START_ALICE);
        world.command(ALICE, Command::Start { to: "nobody" });
        assert_eq!(
            world.heard(ALICE),
            ["that is yourself", "nobody is not here"]
        );
        let direct = Command::Direct {
            to: "eve",
            text: "hi",
        };
        assert_eq!(world.type_in(ALICE, direct), Err(Unsupported));
    }

    #[test]
    fn whoever_takes_over_a_name_takes_over_no_session() {
        for again in ["bob", "BOB"] {
            let mut world = of(&["alice", "bob"]);
            world.command(ALICE, START_BOB);
            world.disconnect(BOB);
            world.command(ALICE, chat("bob"));
            world.forget();
            world.join(again, true);
            let arrived = format!("+{again}");
            let ended = "direct session with bob ended";
            assert_eq!(world.heard(ALICE), [arrived.as_str(), ended]);
            assert!(world.streams.is_empty());
        }
    }

    #[test]
    fn who_has_left_is_still_found_however_the_name_is_written() {
        let mut world = of(&["alice", "bob"]);
        world.command(ALICE, START_BOB);
        world.disconnect(BOB);
        world.forget();
        world.command(ALICE, chat("BOB"));
        assert_eq!(world.heard(BOB), ["[alice] psst"]);
        world.command(ALICE, Command::End { with: "Bob" });
        assert_eq!(world.heard(ALICE), ["direct session with bob ended"]);
    }

    #[test]
    fn an_invitation_to_somebody_who_left_is_over() {
        let mut world = of(&["alice", "bob"]);
        world.loses = |kind, _| kind == "INIT";
        world.command(ALICE, START_BOB);
        world.disconnect(BOB);
        assert_eq!(
            world.heard(ALICE),
            ["-bob", "no direct session with bob: bob has left"]
        );
    }

    #[test]
    fn what_waited_for_a_session_is_not_lost_in_silence() {
        let ends: [(Command<'_>, &[&str]); 2] = [
            (Command::Leave, &["not sent: psst"]),
            (
                Command::End { with: "bob" },
                &["direct session with bob ended", "not sent: psst"],
            ),
        ];
        for (end, told) in ends {
            let mut world = of(&["alice", "bob"]);
            world.loses = |kind, _| kind == "INIT";
            world.command(ALICE, START_BOB);
            world.command(ALICE, chat("bob"));
            world.command(ALICE, end);
            assert_eq!(world.heard(ALICE), told);
        }
        // So is what was too much.
        let mut world = of(&["alice", "bob"]);
        world.loses = |kind, _| kind == "INIT";
        world.command(ALICE, START_BOB);
        for _ in 0..65 {
            world.command(ALICE, chat("bob"));
        }
        let told = "not sent, bob has not answered yet: psst";
        assert_eq!(world.heard(ALICE), [told]);
    }

    #[test]
    fn leaving_ends_all_sessions() {
        let mut world = of(&["alice", "bob", "carol"]);
        world.command(ALICE, START_BOB);
        world.command(ALICE, Command::Start { to: "carol" });
        world.forget();
        world.command(ALICE, Command::Leave);
        assert!(world.heard(ALICE).is_empty() && world.streams.is_empty());
        assert_eq!(world.heard(BOB), ["direct session with alice ended"]);
        assert_eq!(world.heard(CAROL), ["direct session with alice ended"]);
    }

    #[test]
    fn who_breaks_the_rules_of_a_session_is_cut_off() {
        let mut world = of(&["alice", "bob"]);
        world.command(ALICE, START_BOB);
        world.forget();
        let link = world.streams[0].1.1;
        let bytes = b"CHAT:2:hi\r\nGET / HTTP/1.1\r\n".to_vec();
        world.call(BOB, Call::Send { link, bytes });
        world.pump();
        let ended = "direct session with bob ended: it sent something else than CHAT";
        assert_eq!(world.heard(ALICE), ["[bob] hi", ended]);
        assert_eq!(world.heard(BOB), ["direct session with alice ended"]);
    }

    #[test]
    fn there_is_a_limit_to_what_others_can_begin() {
        let mut world = of(&["alice"]);
        let mut list = String::from("LIST:alice:10.0.0.1:5000");
        for port in 1..=100 {
            list.push_str(&format!(":m{port}:10.9.9.9:{port}"));
        }
        list.push_str("\r\n");
        world.clients[ALICE]
            .to_client
            .extend_from_slice(list.as_bytes());
        world.pump();
        let alice = world.clients[ALICE].address;
        for port in 1..=100 {
            let from = SocketAddr::new("10.9.9.9".parse().unwrap(), port);
            world.receive(alice, from, format!("INIT:{port}:40000\r\n").as_bytes());
        }
        let out = &world.clients[ALICE].out;
        assert_eq!((out.calls.len(), out.datagrams.len()), (64, 64));
    }

    /// Existing servers are not quite like ours.
    #[test]
    fn existing_servers_are_borne() {
        let mut world = of(&[]);
        world.join("alice", true);
        world.forget();
        let mut hear = |bytes: &str| {
            world.clients[ALICE]
                .to_client
                .extend_from_slice(bytes.as_bytes());
            world.pump();
            world.heard(ALICE)
        };
        // Our own arrival, and an echo.
        assert!(hear("UPDATE:JOIN:alice:10.0.0.1:5000\r\n").is_empty());
        assert_eq!(hear("BROADCAST:alice:2:hi\r\n"), ["<alice> hi"]);
        // In code points, and with a line's end in it.
        assert_eq!(hear("BROADCAST:bob:4:é\r\n!\r\n"), ["<bob> é\r\n!"]);
        assert_eq!(hear("UPDATE:JOIN:bob:localhost:5000\r\n"), ["+bob"]);
        assert!(
            hear("UPDATE:JOIN:bob:localhost:5001\r\n").is_empty(),
            "told before"
        );
        assert_eq!(hear("ERROR:4:oops\r\n\r\nwelcome\r\n"), ["oops", "welcome"]);
        assert_eq!(hear("UPDATE:LEAVE:bob:localhost:5000\r\n"), ["-bob"]);
        assert!(hear("UPDATE:LEAVE:bob:localhost:5000\r\n").is_empty());
        assert_eq!(hear("LIST:zoe:1.2.3.4:5\r\n"), ["here: zoe"]);
    }

    #[test]
    fn our_arrival_may_come_before_the_list_and_in_pieces() {
        let mut session = Session::new(
            "alice",
            IpAddr::V4(Ipv4Addr::LOCALHOST),
            5000,
            true,
            Box::new(|| [0; 16]),
        );
        let mut told = Vec::new();
        let mut out = Outbound::default();
        let mut context = Context {
            now: Instant::now(),
            time: TimeOfDay::MIDNIGHT,
            told: &mut told,
            out: &mut out,
        };
        session.start(&mut context);
        assert_eq!(context.out.stream, b"REGISTER:alice:127.0.0.1:5000\r\n");
        let mut pending = Vec::new();
        for byte in b"UPDATE:JOIN:alice:127.0.0.1:5000\r\nUPDATE:JOIN:bob:127.0.0.1:5001\r\nLIST:bob:127.0.0.1:5001:alice:127.0.0.1:5000\r\n" {
        pending.push(*byte);
        let used = session.handle_bytes(&pending, &mut context).unwrap();
        pending.drain(..used);
    }
        assert!(pending.is_empty() && session.is_joined());
        let names = vec!["bob".to_string(), "alice".to_string()];
        let name = "alice".to_string();
        let room = "lobby".to_string();
        assert_eq!(told, [Told::Joined { name, room }, Told::Members { names }]);
    }
}
