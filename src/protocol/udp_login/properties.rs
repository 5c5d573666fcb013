//! Owns the tests of both halves together, on a network that loses, doubles and reorders.
//! Knows no socket, and no clock but its own.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use super::client::Session;
use super::{frame, server};
use crate::chat::{
    Choice, Contact, Deliver, Event, Hub, HubLimits, LOBBY, MemberId, Name, Refusal, Request,
    RoomId, TimeOfDay,
};
use crate::protocol::{
    Answer, ClientSession, Command, Context, DatagramSession, Datagrams, Destination, Outbound,
    Secret, Told, Unsupported, Welcome,
};

const SERVER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 65015);

/// A session id.
pub(super) const SID: &str = "07070707070707070707070707070707";

/// A client on a clock that the test holds.
pub(super) struct Client {
    pub(super) session: Session,
    now: Instant,
    told: Vec<Told>,
    sent: Vec<Vec<u8>>,
}

impl Client {
    pub(super) fn new(name: &str, password: &str) -> Client {
        Client {
            session: Session::new(name, password.to_string()),
            now: Instant::now(),
            told: Vec::new(),
            sent: Vec::new(),
        }
    }

    fn with<T>(&mut self, act: impl FnOnce(&mut Session, &mut Context<'_>) -> T) -> T {
        let mut out = Outbound::default();
        let mut context = Context {
            now: self.now,
            time: TimeOfDay::MIDNIGHT,
            told: &mut self.told,
            out: &mut out,
        };
        let result = act(&mut self.session, &mut context);
        for (to, datagram) in out.datagrams {
            assert_eq!(to, Destination::Server);
            assert!((1..=frame::MAX_FRAME_BYTES).contains(&datagram.len()));
            self.sent.push(datagram);
        }
        result
    }

    pub(super) fn start(&mut self) {
        self.with(|session, context| session.start(context));
    }

    pub(super) fn hears(&mut self, line: &str) {
        self.with(|session, context| session.handle_datagram(SERVER, line.as_bytes(), context));
    }

    pub(super) fn command(&mut self, command: Command<'_>) -> Result<(), Unsupported> {
        self.with(|session, context| session.handle_command(command, context))
    }

    pub(super) fn advance(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(due) = self.session.next_deadline().filter(|due| *due <= end) {
            self.now = due;
            self.with(|session, context| session.handle_timeout(context));
        }
        self.now = end;
    }

    pub(super) fn sent(&mut self) -> Vec<String> {
        let text = |datagram: Vec<u8>| String::from_utf8(datagram).unwrap();
        std::mem::take(&mut self.sent)
            .into_iter()
            .map(text)
            .collect()
    }

    pub(super) fn told(&mut self) -> Vec<Told> {
        std::mem::take(&mut self.told)
    }

    /// In by request 2, proven by request 3.
    pub(super) fn joined() -> Client {
        let mut client = Client::new("momodou", "secret");
        client.start();
        client.hears("C 1 PASSWORD existing");
        client.hears(&format!("C 2 WELCOME {SID}"));
        client.hears("C 3 PONG");
        client.sent();
        client.told();
        client
    }
}

pub(super) fn message(from: &str, text: &str) -> Told {
    Told::Message {
        from: from.to_string(),
        text: text.to_string(),
        time: None,
        history: false,
    }
}

/// The server half of several addresses, around a hub.
struct Server {
    hub: Hub<usize>,
    sessions: Vec<Option<(server::Session, Option<MemberId>)>>,
    accounts: HashMap<String, String>,
    /// Passwords that are being hashed: until when, whose, and whether they are right.
    hashing: Vec<(u32, usize, Result<Name, Refusal>)>,
    hashed: usize,
    /// What was said, as often as it was.
    said: Vec<String>,
    secrets: u8,
    post: Post,
}

/// Who hears the lobby, and what is on its way to whom.
#[derive(Default)]
struct Post {
    seated: Vec<usize>,
    out: Vec<(usize, Vec<u8>)>,
}

impl Post {
    fn put(&mut self, seat: usize, out: &Datagrams) {
        self.out
            .extend(out.iter().map(|frame| (seat, frame.to_vec())));
    }
}

impl Deliver<usize> for Post {
    fn to_room(&mut self, _: RoomId, event: Event<'_>, actor: usize) {
        let mut out = Datagrams::new();
        server::encode_event(&event, &mut out);
        for seat in self.seated.clone() {
            // This protocol does not echo.
            if seat != actor {
                self.put(seat, &out);
            }
        }
    }

    fn to_member(&mut self, seat: usize, event: Event<'_>) -> bool {
        let mut out = Datagrams::new();
        server::encode_event(&event, &mut out);
        self.put(seat, &out);
        true
    }

    fn seat(&mut self, seat: usize, _: RoomId, _: MemberId) {
        self.seated.push(seat);
    }

    fn unseat(&mut self, seat: usize, _: RoomId) {
        self.seated.retain(|other| *other != seat);
    }
}

/// How many steps a hash takes.
const HASH_STEPS: u32 = 12;

impl Server {
    fn new(seats: usize) -> Server {
        Server {
            hub: Hub::new(HubLimits::default()),
            sessions: (0..seats).map(|_| None).collect(),
            accounts: HashMap::new(),
            hashing: Vec::new(),
            hashed: 0,
            said: Vec::new(),
            secrets: 0,
            post: Post::default(),
        }
    }

    fn handle(&mut self, step: u32, seat: usize, datagram: &[u8]) {
        let mut out = Datagrams::new();
        let known = self.sessions[seat].take();
        let is_known = known.is_some();
        let (mut session, member) = known.unwrap_or((server::Session::new(), None));
        let asked = session.handle_datagram(datagram, &mut out);
        let mut keep = is_known.then_some(member);
        let time = TimeOfDay::MIDNIGHT;
        match (asked, member) {
            (Ok(Some(Request::FindAccount { name })), _) => {
                let exists = self.accounts.contains_key(name);
                session.handle_answer(Answer::Account { exists }, &mut out);
            }
            (Ok(Some(Request::Authenticate { name, password })), None) => {
                self.hashed += 1;
                let known = self.accounts.entry(name.to_string());
                let right = known.or_insert_with(|| password.to_string()) == password;
                let verdict = match right {
                    true => Ok(Name::parse(name).unwrap()),
                    false => Err(Refusal::Denied),
                };
                self.hashing.push((step + HASH_STEPS, seat, verdict));
                keep = Some(None);
            }
            (Ok(Some(Request::Members)), Some(_)) => {
                let members = self.hub.roster(LOBBY);
                session.handle_answer(Answer::Members(&members), &mut out);
            }
            (Ok(Some(Request::Say { text, .. })), Some(member)) => {
                self.said.push(text.to_string());
                let said = self.hub.say(member, text, time, &mut self.post);
                session.handle_answer(Answer::Said(said), &mut out);
            }
            (Ok(Some(Request::Direct { to, text, .. })), Some(member)) => {
                self.said.push(text.to_string());
                let said = self.hub.direct(member, to, text, time, &mut self.post);
                session.handle_answer(Answer::Said(said), &mut out);
            }
            (Ok(Some(Request::Leave)), Some(member)) => {
                self.hub.leave(member, &mut self.post);
                session.handle_answer(Answer::Gone, &mut out);
                keep = None;
            }
            (Ok(Some(Request::KeepAlive) | None) | Err(_), _) => {}
            (Ok(Some(other)), member) => panic!("{other:?} of {member:?}"),
        }
        self.post.put(seat, &out);
        self.sessions[seat] = keep.map(|member| (session, member));
    }

    fn finish_hashing(&mut self, step: u32) {
        for (_, seat, verdict) in self
            .hashing
            .extract_if(.., |hash| hash.0 <= step)
            .collect::<Vec<_>>()
        {
            let mut out = Datagrams::new();
            let (session, member) = self.sessions[seat].as_mut().unwrap();
            let entered = verdict.and_then(|name| {
                let (choice, contact) = (Choice::Lobby, Contact::NONE);
                self.hub
                    .enter(choice, name, contact, seat, &mut self.post)
                    .map_err(|_| Refusal::Denied)
            });
            let answer = match entered {
                Ok(id) => {
                    *member = Some(id);
                    self.secrets += 1;
                    Answer::Entered(Welcome {
                        history: self.hub.history(LOBBY).unwrap(),
                        members: &(),
                        secret: Secret::new([self.secrets; 16]),
                    })
                }
                Err(refusal) => Answer::Refused(refusal),
            };
            session.handle_answer(answer, &mut out);
            self.post.put(seat, &out);
        }
    }

    /// Forgets a member, as after a long silence.
    fn forget(&mut self, seat: usize) {
        if let Some((_, Some(member))) = self.sessions[seat].take() {
            self.hub.leave(member, &mut self.post);
        }
    }
}

/// What the network does with a datagram: how many copies of it arrive, and how many steps of 100 ms each
/// one takes.
type Fate = Box<dyn FnMut() -> Vec<u32>>;

/// Clients and a server, joined by such a network.
struct World {
    clients: Vec<Client>,
    server: Server,
    /// When, to the server or from it, whose.
    wire: Vec<(u32, bool, usize, Vec<u8>)>,
    step: u32,
    fate: Fate,
}

impl World {
    fn new(people: &[(&str, &str)], fate: impl FnMut() -> Vec<u32> + 'static) -> World {
        let client = |&(name, password): &(&str, &str)| Client::new(name, password);
        let mut world = World {
            clients: people.iter().map(client).collect(),
            server: Server::new(people.len()),
            wire: Vec::new(),
            step: 0,
            fate: Box::new(fate),
        };
        world.clients.iter_mut().for_each(Client::start);
        world
    }

    fn run(&mut self, steps: u32) {
        for _ in 0..steps {
            self.step += 1;
            let step = self.step;
            for (seat, client) in self.clients.iter_mut().enumerate() {
                client.advance(Duration::from_millis(100));
                for datagram in client.sent.drain(..) {
                    for delay in (self.fate)() {
                        self.wire.push((step + delay, true, seat, datagram.clone()));
                    }
                }
            }
            self.server.finish_hashing(step);
            for (seat, datagram) in self.server.post.out.drain(..) {
                for delay in (self.fate)() {
                    self.wire
                        .push((step + delay, false, seat, datagram.clone()));
                }
            }
            let due = self.wire.extract_if(.., |item| item.0 <= step);
            for (_, to_server, seat, datagram) in due.collect::<Vec<_>>() {
                if to_server {
                    self.server.handle(step, seat, &datagram);
                } else {
                    let text = String::from_utf8(datagram).unwrap();
                    self.clients[seat].hears(&text);
                }
            }
        }
    }

    fn told(&mut self, seat: usize) -> Vec<Told> {
        self.clients[seat].told()
    }
}

const PEOPLE: [(&str, &str); 2] = [("alice", "a b c"), ("bob", "secret")];

#[test]
fn both_halves_talk() {
    let mut world = World::new(&PEOPLE, || vec![0]);
    world.run(30);
    assert_eq!(world.server.hashed, 2, "though the passwords were repeated");
    (0..2).for_each(|seat| drop(world.told(seat)));
    let [alice, bob] = &mut world.clients[..] else {
        panic!("two");
    };
    alice.command(Command::Say("hi  there")).unwrap();
    bob.command(Command::Direct {
        to: "alice",
        text: "psst",
    })
    .unwrap();
    bob.command(Command::Direct {
        to: "carol",
        text: "psst",
    })
    .unwrap();
    bob.command(Command::Who).unwrap();
    world.run(20);
    let direct = Told::Direct {
        from: "bob".to_string(),
        text: "psst".to_string(),
    };
    assert_eq!(world.told(0), [direct]);
    let told = world.told(1);
    let names = vec!["alice".to_string(), "bob".to_string()];
    let notice = Told::Notice {
        text: "carol is not online".to_string(),
    };
    let all = [
        message("alice", "hi  there"),
        notice,
        Told::Members { names },
    ];
    assert!(all.iter().all(|one| told.contains(one)), "{told:?}");
    assert_eq!(told.len(), 3);

    world.clients[1].command(Command::Leave).unwrap();
    world.run(5);
    assert!(world.clients[1].session.has_left());
    let name = "bob".to_string();
    assert_eq!(world.told(0), [Told::Left { name }]);
}

#[test]
fn a_wrong_password_is_refused_and_hashed_once() {
    let mut world = World::new(&PEOPLE[..1], || vec![0, 3, 9]);
    let other = ("alice".to_string(), "other".to_string());
    world.server.accounts.extend([other]);
    world.run(60);
    assert!(matches!(world.told(0)[..], [Told::Refused { .. }]));
    assert_eq!((world.server.hashed, world.server.hub.count(LOBBY)), (1, 0));
}

#[test]
fn a_forgotten_session_is_begun_anew() {
    let mut world = World::new(&PEOPLE, || vec![0]);
    world.run(30);
    world.told(1);
    world.server.forget(0);
    world.clients[0].command(Command::Say("hi")).unwrap();
    world.run(60);
    let name = || "alice".to_string();
    let heard = [
        Told::Left { name: name() },
        Told::Arrived { name: name() },
        message("alice", "hi"),
    ];
    assert_eq!(world.told(1), heard);
}

/// A small generator: the same numbers for the same seed.
fn dice(seed: u64) -> impl FnMut(u64) -> u64 {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    move |sides| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 20) % sides
    }
}

#[test]
fn r23_on_a_bad_network_a_request_is_executed_once_and_its_answer_comes() {
    let (mut confirmed, mut missed) = (0, 0);
    for seed in 0..60 {
        let mut roll = dice(seed);
        let fate = move || {
            let copies = match roll(10) {
                0..2 => 0,
                2..8 => 1,
                _ => 2,
            };
            (0..copies)
                .map(|_| u32::try_from(roll(7)).unwrap())
                .collect()
        };
        let mut world = World::new(&PEOPLE, fate);
        world.run(150);
        let joined = |client: &Client| client.session.is_joined();
        assert!(world.clients.iter().all(joined), "{seed}");
        assert_eq!(world.server.hashed, 2, "{seed}");
        let texts: Vec<String> = (0..10).map(|n| format!("line {n}")).collect();
        for (n, text) in texts.iter().enumerate() {
            let command = match n % 2 {
                0 => Command::Say(text),
                _ => Command::Direct { to: "bob", text },
            };
            world.clients[0].command(command).unwrap();
        }
        world.run(600);
        assert_eq!(world.clients[0].session.unanswered(), 0);
        let told = world.told(0);
        for text in &texts {
            let said = world.server.said.iter().filter(|said| *said == text);
            let text = format!("not heard back: {text}");
            let is_missed = told.contains(&Told::Notice { text });
            match (said.count(), is_missed) {
                (1, false) => confirmed += 1,
                (0 | 1, true) => missed += 1,
                (count, _) => panic!("seed {seed}: executed {count} times"),
            }
        }
    }
    assert!(confirmed > 500 && missed < 60, "{confirmed}, {missed}");
}
