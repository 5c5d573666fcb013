//! Each client half, and a server that may be anybody's: what it sends is what the bytes of an input say. Whatever that
//! is, the session answers, keeps the contract with whoever carries its bytes, and what a person is shown of it holds
//! nothing that a terminal obeys.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use mynah::chat::{Choice, Name, TimeOfDay};
use mynah::client::{Event, Style};
use mynah::protocol::registry::Protocol;
use mynah::protocol::{
    AnySession, Call, Command, Context, Destination, Outbound, PeerEvent, PeerLink, Told,
    any_session, group, tcp_room, tcrp, udp_login, udp_mesh, udp_room,
};

use super::input::Input;
use super::words;

/// One run.
pub fn run(input: &[u8]) {
    let mut input = Input::new(input);
    let mut client = Client::new(&mut input);
    client.with(|session, context| session.start(context));
    for _ in 0..STEPS {
        let Some(what) = input.next() else {
            break;
        };
        if client.over {
            return;
        }
        client.step(what, &mut input);
    }
}

const STEPS: usize = 400;

/// From where things come: the server, other clients, ourselves.
const ADDRESSES: [&str; 4] = [
    "192.0.2.1:5238",
    "192.0.2.7:4711",
    "192.0.2.8:4711",
    "192.0.2.9:5238",
];

/// How far the clock jumps.
const PAUSES: [Duration; 6] = [
    Duration::from_millis(1),
    Duration::from_millis(100),
    Duration::from_millis(1100),
    Duration::from_secs(4),
    Duration::from_secs(31),
    Duration::from_secs(600),
];

/// Timeouts at one instant beyond which a session spins.
const SPIN: usize = 200;

/// What one IPv4 datagram takes.
const MAX_DATAGRAM: usize = 65_507;

struct Client {
    session: AnySession,
    protocol: Protocol,
    now: Instant,
    /// Came over the stream to the server and was not used.
    carry: Vec<u8>,
    streams: HashMap<PeerLink, Stream>,
    left: bool,
    /// The session says so, or broke off.
    over: bool,
}

/// A stream to another client.
#[derive(Default)]
struct Stream {
    /// It was waited for, and is not any more.
    listening: bool,
    listens: bool,
    stands: bool,
    carry: Vec<u8>,
}

impl Client {
    fn new(input: &mut Input<'_>) -> Client {
        let now = Instant::now();
        let kind = input.below(10);
        let own = "alice";
        let ip = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 9));
        let mut drawn = 0u128;
        let draw = Box::new(move || {
            drawn += 1;
            drawn.to_be_bytes()
        });
        let (protocol, session) = match kind {
            0 => (
                Protocol::TcpRoom,
                any_session(tcp_room::client::Session::new(own)),
            ),
            1..=3 => (
                Protocol::Group,
                any_session(group::client::Session::new(own, ip, 4711, kind > 1, draw)),
            ),
            4 => (
                Protocol::UdpRoom,
                any_session(udp_room::client::Session::new(own)),
            ),
            5 => (
                Protocol::UdpLogin,
                any_session(udp_login::client::Session::new(own, "password".to_owned())),
            ),
            6..=8 => {
                let choice = [Choice::Lobby, Choice::Join("tea"), Choice::Create("tea")];
                (
                    Protocol::Tcrp,
                    any_session(tcrp::client::Session::new(own, choice[kind - 6])),
                )
            }
            _ => {
                let name = Name::parse(own).expect("a name");
                (
                    Protocol::UdpMesh,
                    any_session(udp_mesh::client::Session::new(name, vec![ip], now)),
                )
            }
        };
        Client {
            session,
            protocol,
            now,
            carry: Vec::new(),
            streams: HashMap::new(),
            left: false,
            over: false,
        }
    }

    /// One thing happens.
    fn step(&mut self, what: u8, input: &mut Input<'_>) {
        match what % 12 {
            0 => {
                let bytes = input.bytes();
                self.receive(&bytes);
            }
            1..=3 if self.has_stream() => {
                let bytes = words::from_server(self.protocol, input);
                self.receive(&bytes);
            }
            4 => {
                let (from, bytes) = (address(input), input.bytes());
                self.with(|session, context| session.handle_datagram(from, &bytes, context));
            }
            1..=3 | 5 | 6 => {
                let from = address(input);
                let bytes = words::datagram_from_server(self.protocol, input);
                self.with(|session, context| session.handle_datagram(from, &bytes, context));
            }
            7 if self.has_stream() => {
                let goes_on = self.with(|session, context| session.handle_stream_end(context));
                self.over |= !goes_on;
            }
            8 | 9 => self.other_stream(input),
            10 => self.command(input),
            _ => {
                self.now += input.pick(&PAUSES);
                self.fall_due();
            }
        }
        self.fall_due();
        self.over |= self.session.has_left();
    }

    fn has_stream(&self) -> bool {
        matches!(
            self.protocol,
            Protocol::TcpRoom | Protocol::Group | Protocol::Tcrp
        )
    }

    /// Something comes over the stream to the server.
    fn receive(&mut self, bytes: &[u8]) {
        self.carry.extend_from_slice(bytes);
        let carry = std::mem::take(&mut self.carry);
        match self.with(|session, context| session.handle_bytes(&carry, context)) {
            Ok(used) => self.carry = carry[used..].to_vec(),
            Err(violation) => {
                let lost = Told::Lost { reason: violation };
                show(&[lost]);
                self.over = true;
            }
        }
    }

    /// Something becomes of a stream to another client.
    fn other_stream(&mut self, input: &mut Input<'_>) {
        let mut links: Vec<PeerLink> = self.streams.keys().copied().collect();
        links.sort_unstable();
        if links.is_empty() {
            return;
        }
        let link = input.pick(&links);
        let stream = self.streams.get_mut(&link).expect("it is there");
        let what = input.below(4);
        if what == 3 {
            self.streams.remove(&link);
            self.with(|session, context| session.handle_peer(link, PeerEvent::Closed, context));
        } else if stream.listens && !stream.listening {
            stream.listening = true;
            let listening = PeerEvent::Listening { port: 40_000 };
            self.with(|session, context| session.handle_peer(link, listening, context));
        } else if !stream.stands {
            stream.stands = true;
            self.with(|session, context| session.handle_peer(link, PeerEvent::Connected, context));
        } else {
            let mut carry = std::mem::take(&mut stream.carry);
            if what == 0 {
                let mut chat = Vec::new();
                let text: String = words::text(input);
                group::direct::encode_chat(&text, &mut chat);
                carry.extend(chat);
            }
            carry.extend(input.bytes());
            if carry.is_empty() {
                return;
            }
            let used = self.with(|session, context| {
                session.handle_peer(link, PeerEvent::Bytes(&carry), context)
            });
            assert!(used <= carry.len(), "used more than there is");
            if let Some(stream) = self.streams.get_mut(&link) {
                stream.carry = carry[used..].to_vec();
            }
        }
    }

    /// The person wants something. Before we are in that is only to leave, and after it nothing.
    fn command(&mut self, input: &mut Input<'_>) {
        let what = input.below(8);
        if self.left || (what != 7 && !self.session.is_joined()) {
            return;
        }
        let (name, text) = (words::name(input), line(input));
        let (to, text) = (name.as_str(), text.as_str());
        let command = match what {
            0 | 1 => Command::Say(text),
            2 => Command::Direct { to, text },
            3 => Command::Who,
            4 => Command::Start { to },
            5 => Command::Chat { to, text },
            6 => Command::End { with: to },
            _ => Command::Leave,
        };
        self.left |= what == 7;
        let _ = self.with(|session, context| session.handle_command(command, context));
    }

    fn fall_due(&mut self) {
        let mut times = 0;
        while !self.over
            && self
                .session
                .next_deadline()
                .is_some_and(|due| due <= self.now)
        {
            self.with(|session, context| session.handle_timeout(context));
            times += 1;
            assert!(times < SPIN, "the session spins");
        }
    }

    /// Lends the session a context, and looks at what it put into it.
    fn with<T>(&mut self, act: impl FnOnce(&mut AnySession, &mut Context<'_>) -> T) -> T {
        let (mut told, mut out) = (Vec::new(), Outbound::default());
        let result = act(
            &mut self.session,
            &mut Context {
                now: self.now,
                time: TimeOfDay::MIDNIGHT,
                told: &mut told,
                out: &mut out,
            },
        );
        show(&told);
        self.over |= told.iter().any(|told| {
            matches!(
                told,
                Told::Refused { .. } | Told::Lost { .. } | Told::Closed { .. }
            )
        });
        self.carry_out(out);
        result
    }

    fn carry_out(&mut self, out: Outbound) {
        assert!(
            out.stream.is_empty() || self.has_stream(),
            "bytes for a stream that there is not"
        );
        for (to, datagram) in out.datagrams {
            assert!(datagram.len() <= MAX_DATAGRAM);
            if let Destination::Peer(to) = to {
                assert!(to.port() != 0, "nobody is at port 0");
            }
        }
        for call in out.calls {
            match call {
                Call::Listen { link, .. } | Call::Connect { link, .. } => {
                    let stream = Stream {
                        listens: matches!(call, Call::Listen { .. }),
                        ..Stream::default()
                    };
                    let before = self.streams.insert(link, stream);
                    assert!(before.is_none(), "{link:?} is another's");
                    assert!(self.streams.len() <= 1000, "streams without a limit");
                }
                Call::Send { link, .. } => {
                    assert!(self.streams.contains_key(&link), "{link:?} is closed");
                }
                Call::Close { link } => {
                    self.streams.remove(&link);
                }
            }
        }
    }
}

/// As a person types: no controls.
fn line(input: &mut Input<'_>) -> String {
    let mut text = words::text(input);
    text.retain(|c| !c.is_control());
    text
}

fn address(input: &mut Input<'_>) -> SocketAddr {
    input.pick(&ADDRESSES).parse().expect("an address")
}

/// What is shown of it holds one line for each, and nothing that a terminal obeys but our own colours.
fn show(told: &[Told]) {
    for told in told {
        let event = Event::Told(told.clone());
        let plain = shown(Style::Human { colours: false }, &event);
        assert!(is_harmless(&plain), "{plain:?}");
        let mut colours = shown(Style::Human { colours: true }, &event);
        for ours in ["0", "1", "2", "35", "36"] {
            colours = colours.replace(&format!("\x1b[{ours}m"), "");
        }
        assert_eq!(colours, plain, "colours, and what they are around");
        let object = shown(Style::Json, &event);
        assert!(is_harmless(&object), "{object:?}");
        if !object.is_empty() {
            let read: serde_json::Value = serde_json::from_str(&object).expect("an object a line");
            assert!(strings(&read).all(is_harmless), "{read}");
        }
    }
}

fn shown(style: Style, event: &Event) -> String {
    let mut out = Vec::new();
    style.write(event, &mut out);
    let shown = String::from_utf8(out).expect("text");
    match shown.strip_suffix('\n') {
        Some(line) => line.to_owned(),
        None => {
            assert_eq!(shown, "", "a line has an end");
            shown
        }
    }
}

fn strings(object: &serde_json::Value) -> impl Iterator<Item = &str> {
    let object = object.as_object().expect("an object");
    object.values().flat_map(|value| match value {
        serde_json::Value::Array(all) => all.iter().filter_map(|one| one.as_str()).collect(),
        one => one.as_str().into_iter().collect::<Vec<_>>(),
    })
}

fn is_harmless(line: &str) -> bool {
    let obeyed = |c: char| {
        (c.is_control() && c != '\t')
            || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    !line.contains(obeyed)
}
