//! Owns the tests of both halves together, on a network that loses, doubles and reorders.
//! Knows no socket, and no clock but its own.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use super::client::Session;
use super::{frame, server};
use crate::chat::{
    Contact, Deliver, Event, Hub, HubLimits, LOBBY, MemberId, Name, Request, RoomId, TimeOfDay,
};
use crate::protocol::{
    Answer, ClientSession, Command, Context, DatagramSession, Datagrams, Destination, Outbound,
    Secret, Told, Unsupported, Welcome,
};

const SERVER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9999);

/// A client on a clock that the test holds.
pub(super) struct Client {
    pub(super) session: Session,
    pub(super) now: Instant,
    pub(super) told: Vec<Told>,
    pub(super) sent: Vec<Vec<u8>>,
}

impl Client {
    pub(super) fn new(name: &str) -> Client {
        Client {
            session: Session::new(name),
            now: Instant::now(),
            told: Vec::new(),
            sent: Vec::new(),
        }
    }

    pub(super) fn with<T>(&mut self, act: impl FnOnce(&mut Session, &mut Context<'_>) -> T) -> T {
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
            assert!(datagram.len() <= frame::MAX_DATAGRAM_BYTES);
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

    pub(super) fn joined() -> Client {
        let mut client = Client::new("alice");
        client.start();
        client.hears("[alice joined the server]");
        assert_eq!(client.sent(), ["UN| alice"]);
        let (name, room) = ("alice".to_string(), "lobby".to_string());
        assert_eq!(client.told(), [Told::Joined { name, room }]);
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

fn notice(text: &str) -> Told {
    Told::Notice {
        text: text.to_string(),
    }
}

/// The server half of several addresses, around a hub.
struct Server {
    hub: Hub<usize>,
    sessions: Vec<Option<(server::Session, MemberId)>>,
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
            .extend(out.iter().map(|line| (seat, line.to_vec())));
    }
}

impl Deliver<usize> for Post {
    fn to_room(&mut self, _: RoomId, event: Event<'_>, _: usize) {
        let mut out = Datagrams::new();
        server::encode_event(&event, &mut out);
        for seat in self.seated.clone() {
            self.put(seat, &out);
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

impl Server {
    fn new(seats: usize) -> Server {
        Server {
            hub: Hub::new(HubLimits::default()),
            sessions: (0..seats).map(|_| None).collect(),
            post: Post::default(),
        }
    }

    fn handle(&mut self, seat: usize, datagram: &[u8]) {
        let mut out = Datagrams::new();
        let (mut session, member) = match self.sessions[seat].take() {
            Some((session, member)) => (session, Some(member)),
            None => (server::Session::new(), None),
        };
        let asked = session.handle_datagram(datagram, &mut out);
        let mut stays = member;
        match (asked, member) {
            (
                Ok(Some(Request::Enter {
                    choice,
                    name,
                    contact,
                })),
                None,
            ) => {
                let name = Name::parse(name).unwrap();
                match self.hub.enter(choice, name, contact, seat, &mut self.post) {
                    Ok(member) => {
                        stays = Some(member);
                        let welcome = Welcome {
                            history: self.hub.history(LOBBY).unwrap(),
                            members: &(),
                            secret: Secret::new([0; 16]),
                        };
                        session.handle_answer(Answer::Entered(welcome), &mut out);
                    }
                    Err(refusal) => {
                        session.handle_answer(Answer::Refused(refusal), &mut out);
                    }
                }
            }
            (Ok(Some(Request::Say { text, .. })), Some(member)) => {
                let said = self
                    .hub
                    .say(member, text, TimeOfDay::MIDNIGHT, &mut self.post);
                session.handle_answer(Answer::Said(said), &mut out);
            }
            (Ok(Some(Request::Direct { to, text, .. })), Some(member)) => {
                let time = TimeOfDay::MIDNIGHT;
                let said = self.hub.direct(member, to, text, time, &mut self.post);
                session.handle_answer(Answer::Said(said), &mut out);
            }
            (Ok(Some(Request::Leave)), Some(member)) => {
                self.hub.leave(member, &mut self.post);
                session.handle_answer(Answer::Gone, &mut out);
                stays = None;
            }
            (Ok(None) | Err(_), _) => {}
            (Ok(Some(other)), member) => panic!("{other:?} of {member:?}"),
        }
        self.post.put(seat, &out);
        self.sessions[seat] = stays.map(|member| (session, member));
    }
}

/// What the network does with a datagram: how many copies of it arrive, and how many steps of 100 ms each
/// one takes.
type Fate = Box<dyn FnMut(&[u8]) -> Vec<u32>>;

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
    fn new(names: &[&str], fate: impl FnMut(&[u8]) -> Vec<u32> + 'static) -> World {
        let mut world = World {
            clients: names.iter().map(|name| Client::new(name)).collect(),
            server: Server::new(names.len()),
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
            for (seat, client) in self.clients.iter_mut().enumerate() {
                client.advance(Duration::from_millis(100));
                for datagram in client.sent.drain(..) {
                    for delay in (self.fate)(&datagram) {
                        self.wire
                            .push((self.step + delay, true, seat, datagram.clone()));
                    }
                }
            }
            for (seat, datagram) in self.server.post.out.drain(..) {
                for delay in (self.fate)(&datagram) {
                    self.wire
                        .push((self.step + delay, false, seat, datagram.clone()));
                }
            }
            let step = self.step;
            let due = self
                .wire
                .extract_if(.., |item| item.0 <= step)
                .collect::<Vec<_>>();
            for (_, to_server, seat, datagram) in due {
                if to_server {
                    self.server.handle(seat, &datagram);
                } else {
                    let text = String::from_utf8(datagram).unwrap();
                    self.clients[seat].hears(&text);
                }
            }
        }
    }
}

#[test]
fn both_halves_talk() {
    let mut world = World::new(&["alice", "bob"], |_| vec![0]);
    world.run(3);
    assert!(
        world
            .clients
            .iter()
            .all(|client| client.session.is_joined())
    );
    world
        .clients
        .iter_mut()
        .for_each(|client| drop(client.told()));
    let [alice, bob] = &mut world.clients[..] else {
        panic!()
    };
    alice.command(Command::Say("hi")).unwrap();
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
    world.run(3);
    let direct = Told::Direct {
        from: "bob".to_string(),
        text: "psst".to_string(),
    };
    assert_eq!(world.clients[0].told(), [message("alice", "hi"), direct]);
    let told = world.clients[1].told();
    let sent = [
        message("alice", "hi"),
        notice("[DM to alice] psst"),
        notice("[carol is not online]"),
    ];
    assert!(sent.iter().all(|sent| told.contains(sent)), "{told:?}");
    assert_eq!(told.len(), sent.len());
    world.clients[1].command(Command::Leave).unwrap();
    world.run(3);
    assert_eq!(
        world.clients[0].told(),
        [Told::Left {
            name: "bob".to_string()
        }]
    );
    assert_eq!(world.server.hub.count(LOBBY), 1);
}

#[test]
fn the_holder_of_a_name_keeps_it() {
    let mut world = World::new(&["alice"], |_| vec![0]);
    world.run(3);
    world.server.sessions.push(None);
    world.server.handle(1, b"UN| ALICE");
    let refused = (1, b"[ALICE is taken]".to_vec());
    assert_eq!(world.server.post.out, [refused]);
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
fn r23_on_a_lossy_network_every_line_is_heard_once_or_told_as_not_heard() {
    for seed in 0..60 {
        let mut roll = dice(seed);
        let fate = move |_: &[u8]| match roll(10) {
            0..3 => vec![],
            _ => vec![u32::try_from(roll(6)).unwrap()],
        };
        let mut world = World::new(&["alice", "bob"], fate);
        world.run(100);
        assert!(
            world
                .clients
                .iter()
                .all(|client| client.session.is_joined()),
            "{seed}"
        );
        for n in 0..20 {
            world.clients[0]
                .command(Command::Say(&format!("line {n}")))
                .unwrap();
        }
        world.run(200);
        assert_eq!(world.clients[0].session.unanswered(), 0);
        let (mine, theirs) = (world.clients[0].told(), world.clients[1].told());
        for n in 0..20 {
            let text = format!("line {n}");
            let count = |told: &[Told], what: &Told| told.iter().filter(|t| *t == what).count();
            let echoed = count(&mine, &message("alice", &text));
            let missed = count(&mine, &notice(&format!("not heard back: {text}")));
            assert_eq!(echoed + missed, 1, "seed {seed}, {text}");
            assert!(count(&theirs, &message("alice", &text)) <= 1);
        }
    }
}

#[test]
fn r23_joining_and_leaving_bear_doubled_and_reordered_datagrams() {
    for seed in 0..60 {
        let mut roll = dice(seed);
        let fate = move |_: &[u8]| {
            let copies = roll(3);
            (0..=copies)
                .map(|_| u32::try_from(roll(8)).unwrap())
                .collect()
        };
        let mut world = World::new(&["alice", "bob"], fate);
        world.run(60);
        for client in &mut world.clients {
            assert!(client.session.is_joined(), "{seed}");
            let joined = |told: &&Told| matches!(told, Told::Joined { .. });
            assert_eq!(client.told.iter().filter(joined).count(), 1);
        }
        assert_eq!(world.server.hub.count(LOBBY), 2);
        world.clients[0].command(Command::Leave).unwrap();
        world.run(60);
        assert_eq!(world.server.hub.count(LOBBY), 1);
        assert!(
            world
                .server
                .hub
                .members(LOBBY)
                .all(|(name, contact)| { name.as_str() == "bob" && contact == Contact::NONE })
        );
    }
}
