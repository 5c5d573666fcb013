//! Datagrams with forged sources, on real networks: they change nothing without the secret, and whoever's
//! address they bear is not flooded through us.

#[path = "support/namespaces.rs"]
mod namespaces;
mod support;

use std::net::{SocketAddr, SocketAddrV4, TcpStream, UdpSocket};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use namespaces::{Count, Host, Network};
use socket2::{Domain, Protocol, Socket, Type};
use support::frames::ucrp;
use support::serve::{Client, Mynah, reserve};
use support::{PATIENCE, until};

/// Everything that datagrams come to, and a lobby to speak in. Messages are not limited: what holds back a
/// flood is not to be that.
struct Server<'n> {
    host: &'n Host,
    _process: Mynah,
    _folder: tempfile::TempDir,
}

const TCP_ROOM: u16 = 42069;
const UDP_ROOM: u16 = 9999;
const UDP_LOGIN: u16 = 65015;
const TCRP: u16 = 9090;
const UCRP: u16 = 9091;

impl Server<'_> {
    fn start(host: &Host) -> Server<'_> {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("mynah.toml");
        let settings = "[limits]\nmessages_per_second = 0\n\
             [accounts]\nargon2_memory_kib = 1024\nargon2_passes = 1\nargon2_lanes = 1\n";
        std::fs::write(&config, settings).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_mynah"));
        command.arg("serve").arg("--config").arg(config);
        command.arg("--data-dir").arg(folder.path());
        let ports = [
            ("tcp-room", TCP_ROOM),
            ("udp-room", UDP_ROOM),
            ("udp-login", UDP_LOGIN),
            ("tcrp", TCRP),
        ];
        for (protocol, port) in ports {
            command.args(["--listen", &format!("{protocol}={}:{port}", host.ip)]);
        }
        command.stderr(Stdio::null());
        Server {
            host,
            _process: host.within(|| Mynah::start(command)),
            _folder: folder,
        }
    }

    fn at(&self, port: u16) -> SocketAddrV4 {
        SocketAddrV4::new(self.host.ip, port)
    }

    /// Somebody in the lobby whom nobody doubts.
    fn talker(&self, host: &Host, name: &str) -> Client {
        let server = self.at(TCP_ROOM);
        let mut client = Client::over(host.within(|| TcpStream::connect(server).unwrap()));
        client.join(name);
        assert_eq!(client.read_verdict(), 1);
        client.history = client.read_history();
        client
    }
}

/// A UDP client of raw bytes.
struct Raw {
    socket: UdpSocket,
    server: SocketAddrV4,
}

impl Raw {
    fn open(host: &Host, server: SocketAddrV4) -> Raw {
        let socket = host.within(|| UdpSocket::bind((host.ip, 0)).unwrap());
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Raw { socket, server }
    }

    fn own_address(&self) -> SocketAddrV4 {
        v4(self.socket.local_addr().unwrap())
    }

    fn send(&self, bytes: impl AsRef<[u8]>) {
        self.socket.send_to(bytes.as_ref(), self.server).unwrap();
    }

    fn receive(&self) -> String {
        let (bytes, from) = support::receive(&self.socket);
        assert_eq!(v4(from), self.server);
        String::from_utf8(bytes).unwrap()
    }

    fn ask(&self, bytes: impl AsRef<[u8]>) -> String {
        self.send(bytes);
        self.receive()
    }

    /// That nothing came behind what was received.
    fn has_nothing(&self) {
        self.socket.set_nonblocking(true).unwrap();
        let more = self.socket.recv_from(&mut [0; 4096]);
        assert!(more.is_err(), "{more:?}");
        self.socket.set_nonblocking(false).unwrap();
    }

    /// Registers and logs in; the session id.
    fn log_in(&self, name: &str) -> String {
        let answer = self.ask(format!("C 1 LOGIN {name}"));
        assert_eq!(answer, "C 1 PASSWORD new");
        let welcome = self.ask(format!("C 2 PASS {name} correct horse"));
        let sid = welcome.strip_prefix("C 2 WELCOME ").unwrap().to_owned();
        assert_eq!(self.ask(format!("C 3 PING {sid}")), "C 3 PONG");
        sid
    }
}

fn v4(address: SocketAddr) -> SocketAddrV4 {
    match address {
        SocketAddr::V4(address) => address,
        SocketAddr::V6(_) => panic!("there is no IPv6 here"),
    }
}

/// Whoever sends in others' names.
struct Forger(Socket);

impl Forger {
    fn open(host: &Host) -> Forger {
        // IPPROTO_RAW: the header is ours, and the kernel fills in its checksum.
        let raw = || Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::from(255))).unwrap();
        Forger(host.within(raw))
    }

    fn send(&self, from: SocketAddrV4, to: SocketAddrV4, payload: impl AsRef<[u8]>) {
        let payload = payload.as_ref();
        let length = 20 + 8 + payload.len() as u16;
        let mut packet = vec![0x45, 0];
        packet.extend_from_slice(&length.to_be_bytes());
        // No number, no fragments, a time to live, UDP, no checksum yet.
        packet.extend_from_slice(&[0, 0, 0, 0, 64, 17, 0, 0]);
        packet.extend_from_slice(&from.ip().octets());
        packet.extend_from_slice(&to.ip().octets());
        for field in [from.port(), to.port(), length - 20, 0] {
            packet.extend_from_slice(&field.to_be_bytes());
        }
        packet.extend_from_slice(payload);
        let sent = self.0.send_to(&packet, &to.into()).unwrap();
        assert_eq!(sent, packet.len());
    }
}

/// Counts what comes to a host from the server's ports, and lets nothing of it through: a machine that says
/// nothing about it.
fn make_victim(host: &Host) {
    host.iptables("-A INPUT -p udp --dport 7 -j DROP");
    host.iptables("-A INPUT -p udp -j DROP");
}

/// What has come to a victim without the headers, once the server's machine has sent all that it was going to.
fn reached(victim: &Host, server: &Server<'_>) -> usize {
    let before = victim.counts("INPUT")[0].packets;
    let last = server
        .host
        .within(|| UdpSocket::bind((server.host.ip, 0)).unwrap());
    // It goes the same way, behind all others.
    last.send_to(b"last", (victim.ip, 7)).unwrap();
    until("the last datagram", || {
        (victim.counts("INPUT")[0].packets > before).then_some(())
    });
    let Count { packets, bytes } = victim.counts("INPUT")[1];
    (bytes - packets * 28) as usize
}

#[test]
fn r11_a_login_session_heeds_nobody_else() {
    let Some(network) = Network::of::<4>() else {
        return;
    };
    let [server, one, two, three] = network.hosts();
    let server = Server::start(server);
    let to = server.at(UDP_LOGIN);
    let (alice, bob) = (Raw::open(one, to), Raw::open(two, to));
    let alices = alice.log_in("alice");
    let bobs = bob.log_in("bob");
    assert_eq!(alice.receive(), "C 0 ARRIVED bob");

    let forger = Forger::open(three);
    let guess = "0123456789abcdef0123456789abcdef";
    let wrong = [
        format!("C 9 EX {guess}"),
        format!("C 9 PM {guess}"),
        format!("D 9 {guess} forged"),
        // Another member's is no better.
        format!("C 9 EX {bobs}"),
        format!("C 9 PM {bobs}"),
        format!("D 9 {bobs} forged"),
        "C 9 LOGIN alice".to_owned(),
        "C 9 PASS alice wrong horse".to_owned(),
        "C 9 EX".to_owned(),
        "EX| alice".to_owned(),
        String::new(),
    ];
    for frame in &wrong {
        forger.send(alice.own_address(), to, frame);
    }
    // She asks, behind all those, and the answers to them are hers to ignore.
    alice.send(format!("C 4 PING {alices}"));
    alice.send(format!("C 5 PM {alices}"));
    while alice.receive() != "C 5 READY" {}
    assert_eq!(alice.ask(format!("D 6 {alices} it is me")), "C 6 SENT 1");
    assert_eq!(bob.receive(), "D PM alice it is me");
    bob.has_nothing();
    // Nor has she lost her name.
    let thief = Raw::open(three, to);
    assert_eq!(thief.ask("C 1 LOGIN alice"), "C 1 PASSWORD existing");
    let denied = thief.ask("C 2 PASS alice correct horse");
    assert!(denied.starts_with("C 2 DENIED"), "{denied}");
    // It was for want of her session id: whoever has that is her.
    forger.send(alice.own_address(), to, format!("C 7 EX {alices}"));
    assert_eq!(bob.receive(), "C 0 LEFT alice");
    assert_eq!(alice.receive(), "C 7 BYE");
}

/// A TCRP request, and the token that it is answered with.
fn token(server: &Server<'_>, host: &Host, operation: u8, room: &str, name: &str) -> String {
    let at = server.at(TCRP);
    let stream = host.within(|| TcpStream::connect(at).unwrap());
    reserve(stream, operation, room, name)
}

#[test]
fn r11_a_token_is_of_use_where_it_was_given_alone() {
    let Some(network) = Network::of::<5>() else {
        return;
    };
    let [server, one, two, three, victim] = network.hosts();
    let server = Server::start(server);
    make_victim(victim);
    let to = server.at(UCRP);
    let room = "attic";
    let hosts_token = token(&server, one, 1, room, "mio");
    let members_token = token(&server, two, 2, room, "alice");
    let (mio, alice) = (Raw::open(one, to), Raw::open(two, to));
    mio.send(ucrp(room, &hosts_token, "__REGISTER__"));
    alice.send(ucrp(room, &members_token, "__REGISTER__"));
    // Both are in once she hears him; until then he says it again.
    alice
        .socket
        .set_read_timeout(Some(Duration::from_millis(100)))
        .unwrap();
    until("alice to hear", || {
        mio.send(ucrp(room, &hosts_token, "hello"));
        alice.socket.recv_from(&mut [0; 64]).ok()
    });
    mio.send(ucrp(room, &hosts_token, "enough"));
    alice.socket.set_read_timeout(Some(PATIENCE)).unwrap();
    while alice.receive() != "\u{3}mioenough" {}

    // Tokens that were read on their way, shown elsewhere.
    let thief = Raw::open(three, to);
    let elsewhere = SocketAddrV4::new(victim.ip, 4000);
    let forger = Forger::open(three);
    for token in [&hosts_token, &members_token] {
        for text in ["__REGISTER__", "forged", "__LEAVE__"] {
            thief.send(ucrp(room, token, text));
            forger.send(elsewhere, to, ucrp(room, token, text));
        }
    }
    // The thief's own token, aimed at somebody else.
    let own = token(&server, three, 2, room, "thief");
    for text in ["__REGISTER__", "forged"] {
        forger.send(elsewhere, to, ucrp(room, &own, text));
    }
    // Their addresses, without their tokens.
    let guess = format!("token_{}", "0123456789abcdef".repeat(2));
    for raw in [&mio, &alice] {
        for text in ["__REGISTER__", "forged", "__LEAVE__", "__ROOM_CLOSED__"] {
            forger.send(raw.own_address(), to, ucrp(room, &guess, text));
            forger.send(raw.own_address(), to, ucrp("cellar", &hosts_token, text));
            forger.send(raw.own_address(), to, text);
        }
    }
    for (from, by, other, name) in [
        (&mio, &hosts_token, &alice, "mio"),
        (&alice, &members_token, &mio, "alice"),
    ] {
        from.send(ucrp(room, by, "still here"));
        let length = char::from(name.len() as u8);
        assert_eq!(other.receive(), format!("{length}{name}still here"));
    }
    for raw in [&mio, &alice, &thief] {
        raw.has_nothing();
    }
    assert_eq!(reached(victim, &server), 0);
    // It was for want of the token: whoever has that, and is believed to be there, is the host.
    forger.send(mio.own_address(), to, ucrp(room, &hosts_token, "__LEAVE__"));
    assert_eq!(alice.receive(), "__ROOM_CLOSED__");
}

/// The lobby says this many bytes, in messages that are a reader's business.
fn talk(talkers: &mut [Client], kib: usize) {
    let text = "x".repeat(1000);
    for _ in 0..kib / talkers.len() {
        for talker in talkers.iter_mut() {
            talker.say(&text);
        }
        // Each hears all of them, so none is far ahead.
        let count = talkers.len();
        for talker in talkers.iter_mut() {
            for _ in 0..count {
                talker.hear_text();
            }
        }
    }
}

#[test]
fn r12_a_password_from_a_victims_address_brings_it_three_times_as_much_at_most() {
    let Some(network) = Network::of::<4>() else {
        return;
    };
    let [server, one, three, victim] = network.hosts();
    let server = Server::start(server);
    make_victim(victim);
    let to = server.at(UDP_LOGIN);
    let mut talkers = [server.talker(one, "tina"), server.talker(one, "tom")];
    let forger = Forger::open(three);
    let from = |port| SocketAddrV4::new(victim.ip, port);
    let mut sent = 0;
    let mut forge = |port, bytes: &str| {
        forger.send(from(port), to, bytes);
        sent += bytes.len();
    };
    forge(4000, "C 1 LOGIN v");
    forge(4000, "C 2 PASS v correct horse");
    // The name is held from then on: it is in.
    until("the forged member", || {
        let mut client =
            Client::over(one.within(|| TcpStream::connect(server.at(TCP_ROOM)).unwrap()));
        client.join("v");
        (client.read_verdict() == 0).then_some(())
    });
    talk(&mut talkers, 100);
    let once = reached(victim, &server);
    assert!(once > 0, "not even an answer");
    // All that makes a server answer, in the fewest bytes.
    let honest = Raw::open(one, to);
    for port in 4001..4100 {
        for frame in [
            "C 1 LOGIN v",
            "C 1 LOGIN w",
            "C 1 LOGIN ",
            "C 1 PASS v x",
            "C 1 PASS v ",
            "C 1 PM x",
            "C 1 DM x",
            "C 1 EX x",
            "C 1 PING x",
            "D 1 x x",
            "D",
            "C",
            "\n",
        ] {
            forge(port, frame);
        }
        for _ in 0..5 {
            forge(4000, "C 2 PASS v correct horse");
            forge(4000, "C 3 PING x");
        }
        // Answered behind all those: none was lost for want of room.
        assert_eq!(honest.ask("C 1 LOGIN somebody"), "C 1 PASSWORD new");
    }
    // The passwords are looked at one after another, and this is the last.
    honest.log_in("somebody");
    talk(&mut talkers, 100);
    let all = reached(victim, &server);
    assert!(all > once, "nothing was answered");
    assert!(all <= 3 * sent, "{all} bytes for {sent}: {}", all / sent);
}

#[test]
fn r12_a_udp_room_member_that_never_asked_is_sent_little() {
    let Some(network) = Network::of::<4>() else {
        return;
    };
    let [server, one, three, victim] = network.hosts();
    let server = Server::start(server);
    make_victim(victim);
    let to = server.at(UDP_ROOM);
    let mut talkers = [server.talker(one, "tina"), server.talker(one, "tom")];
    let forger = Forger::open(three);
    let start = Instant::now();
    // All of one address share what it is sent.
    for port in 4000..4004 {
        let from = SocketAddrV4::new(victim.ip, port);
        forger.send(from, to, format!("UN| v{port}"));
    }
    until("the forged members", || {
        let mut client =
            Client::over(one.within(|| TcpStream::connect(server.at(TCP_ROOM)).unwrap()));
        client.join("v4003");
        (client.read_verdict() == 0).then_some(())
    });
    let allowed = |start: Instant| 64 * 1024 + 4 * 1024 * (start.elapsed().as_secs() as usize + 1);
    talk(&mut talkers, 200);
    // So much at once, and then so much over time.
    for least in [60 * 1024, 64 * 1024 + 2 * 4 * 1024] {
        let all = until("what a member is sent", || {
            talk(&mut talkers, 10);
            let all = reached(victim, &server);
            (all >= least).then_some(all)
        });
        assert!(
            all <= allowed(start),
            "{all} bytes in {:?}",
            start.elapsed()
        );
    }
}
