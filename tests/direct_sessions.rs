//! `group` without the server, between machines: who may begin a direct session with whom, from where, and
//! what happens when the network loses the invitations.

#[path = "support/chat.rs"]
mod chat;
#[path = "support/namespaces.rs"]
mod namespaces;
mod support;

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::{Command, Stdio};

use serde_json::json;

use chat::Chat;
use namespaces::{Host, Network};
use support::PATIENCE;
use support::serve::Mynah;

fn serve(host: &Host) -> Mynah {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mynah"));
    let listen = format!("group={}:1337", host.ip);
    command
        .args(["serve", "--listen", &listen])
        .stderr(Stdio::null());
    host.within(|| Mynah::start(command))
}

fn chat(host: &Host, server: &Host, name: &str, more: &str) -> Chat {
    let server = server.ip;
    let mut chat = host.within(|| Chat::start(&format!("group {server} --name {name}{more}")));
    chat.joined();
    chat
}

/// A client of raw bytes, with a UDP port of its own.
struct Raw {
    lines: BufReader<TcpStream>,
    udp: UdpSocket,
    /// What it was told on coming, as name, IP and port.
    list: Vec<(String, SocketAddr)>,
}

impl Raw {
    /// Registers with its real UDP port and whatever address it claims.
    fn register(host: &Host, server: &Host, name: &str, claim: IpAddr) -> Raw {
        let (stream, udp) = host.within(|| {
            let stream = TcpStream::connect(server.at(1337)).unwrap();
            (stream, UdpSocket::bind((host.ip, 0)).unwrap())
        });
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        udp.set_read_timeout(Some(PATIENCE)).unwrap();
        let port = udp.local_addr().unwrap().port();
        let mut raw = Raw {
            lines: BufReader::new(stream),
            udp,
            list: Vec::new(),
        };
        raw.send(&format!("REGISTER:{name}:{claim}:{port}\r\n"));
        let list = raw.line();
        let fields: Vec<&str> = list.strip_prefix("LIST:").unwrap().split(':').collect();
        let members = fields.chunks(3).map(|member| {
            let address = format!("{}:{}", member[1], member[2]);
            (member[0].to_owned(), address.parse().unwrap())
        });
        raw.list = members.collect();
        raw
    }

    fn send(&mut self, bytes: &str) {
        self.lines.get_mut().write_all(bytes.as_bytes()).unwrap();
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.lines.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    /// Where another one is, as it was told.
    fn address_of(&self, name: &str) -> SocketAddr {
        let member = self.list.iter().find(|(other, _)| other == name);
        member.expect("it is listed").1
    }

    fn own_address(&self) -> SocketAddr {
        self.udp.local_addr().unwrap()
    }

    /// The next datagram.
    fn datagram(&self) -> (String, SocketAddr) {
        let (bytes, from) = support::receive(&self.udp);
        (String::from_utf8(bytes).unwrap(), from)
    }
}

/// That a session stands between the two, both ways.
fn talk(one: (&mut Chat, &str), other: (&mut Chat, &str)) {
    let ((one, one_name), (other, other_name)) = (one, other);
    one.line(&format!("/chat {other_name} psst: {{☕}}"));
    other.hears_directly(one_name, "psst: {☕}");
    other.line(&format!("/chat {one_name} yes?"));
    one.hears_directly(other_name, "yes?");
}

#[test]
fn a_direct_session_goes_from_machine_to_machine() {
    let Some(network) = Network::of::<4>() else {
        return;
    };
    let [server, one, two, three] = network.hosts();
    let _server = serve(server);
    let mut alice = chat(one, server, "alice", "");
    let mut bob = chat(two, server, "bob", "");
    let mut carol = Raw::register(three, server, "carol", three.ip.into());
    alice.line("/start bob");
    alice.notices("direct session with bob started");
    bob.notices("direct session with alice started");
    talk((&mut alice, "alice"), (&mut bob, "bob"));
    bob.line("/end alice");
    bob.notices("direct session with alice ended");
    alice.notices("direct session with bob ended");
    alice.line("/chat bob are you there?");
    alice.notices("there is no direct session with bob");

    // The other way round, and this time whoever was invited ends it.
    bob.line("/start alice");
    bob.notices("direct session with alice started");
    alice.notices("direct session with bob started");
    talk((&mut bob, "bob"), (&mut alice, "alice"));
    alice.line("/end bob");
    bob.notices("direct session with alice ended");

    alice.line("to all");
    assert_eq!(
        carol.line(),
        "BROADCAST:alice:6:to all",
        "nothing came before"
    );
    bob.hears("alice", "to all");
    assert_eq!(alice.end().status, Some(0));
    assert_eq!(bob.end().status, Some(0));
}

#[test]
fn lost_invitations_are_sent_again() {
    let Some(network) = Network::of::<3>() else {
        return;
    };
    let [server, one, two] = network.hosts();
    let _server = serve(server);
    let mut alice = chat(one, server, "alice", "");
    let mut bob = chat(two, server, "bob", "");
    alice.until("bob", |event| event["name"] == "bob");
    // Each of these takes the first that comes to it, and no other.
    for _ in 0..2 {
        two.iptables("-A INPUT -p udp -m statistic --mode nth --every 100000 --packet 0 -j DROP");
    }
    two.iptables("-A INPUT -p udp");
    alice.line("/start bob");
    alice.line("/chat bob it waits");
    alice.notices("direct session with bob started");
    bob.hears_directly("alice", "it waits");
    let packets = two
        .counts("INPUT")
        .iter()
        .map(|count| count.packets)
        .collect::<Vec<_>>();
    assert_eq!(packets, [1, 1, 1]);
    talk((&mut alice, "alice"), (&mut bob, "bob"));
    bob.line("/end alice");
    alice.notices("direct session with bob ended");

    // Without any answer the connection itself is one.
    one.iptables("-A INPUT -p udp -j DROP");
    alice.line("/start bob");
    alice.notices("direct session with bob started");
    alice.line("/end bob");

    // And nobody waits for ever.
    two.iptables("-I INPUT -p udp -j DROP");
    alice.line("/start bob");
    alice.notices("no direct session with bob: bob does not answer");
    assert_eq!(two.counts("INPUT")[0].packets, 6);
    assert_eq!(alice.end().status, Some(0));
}

#[test]
fn strangers_invite_nobody() {
    let Some(network) = Network::of::<5>() else {
        return;
    };
    let [server, one, two, three, claimed] = network.hosts();
    let _server = serve(server);
    let mut bob = chat(one, server, "bob", "");
    // Claims to be where somebody else is, and is told of as where it comes from.
    let mut carol = Raw::register(two, server, "carol", claimed.ip.into());
    assert_eq!(carol.address_of("carol"), carol.own_address());
    let dave = Raw::register(three, server, "dave", claimed.ip.into());
    assert_eq!(dave.address_of("carol"), carol.own_address());
    assert_eq!(dave.address_of("dave"), dave.own_address());
    let (ip, port) = (dave.own_address().ip(), dave.own_address().port());
    assert_eq!(carol.line(), format!("UPDATE:JOIN:dave:{ip}:{port}"));
    drop(dave);
    assert_eq!(carol.line(), format!("UPDATE:LEAVE:dave:{ip}:{port}"));
    bob.until("dave's leaving", |event| {
        *event == json!({"event": "left", "name": "dave"})
    });

    // From elsewhere, from carol's machine but not from her port, and from where she said that she is.
    let bobs = carol.address_of("bob");
    let strangers = [three, two, claimed].map(|host| {
        host.within(|| {
            let listener = TcpListener::bind((host.ip, 0)).unwrap();
            let port = listener.local_addr().unwrap().port();
            let udp = UdpSocket::bind((host.ip, 0)).unwrap();
            let invitation = format!("INIT:0123456789abcdef:{port}\r\n");
            udp.send_to(invitation.as_bytes(), bobs).unwrap();
            (listener, udp)
        })
    });
    // Carol herself may.
    let listener = two.within(|| TcpListener::bind((two.ip, 0)).unwrap());
    let port = listener.local_addr().unwrap().port();
    let invitation = format!("INIT:fedcba9876543210:{port}\r\n");
    for _ in 0..3 {
        carol.udp.send_to(invitation.as_bytes(), bobs).unwrap();
        let answer = ("ACK:INIT:fedcba9876543210\r\n".to_owned(), bobs);
        assert_eq!(carol.datagram(), answer);
    }
    let (mut stream, from) = support::within_patience({
        let listener = listener.try_clone().unwrap();
        move || listener.accept().unwrap()
    });
    assert_eq!(from.ip(), IpAddr::V4(one.ip));
    bob.notices("direct session with carol started");
    stream.write_all(b"CHAT:3:hi!\r\n").unwrap();
    bob.hears_directly("carol", "hi!");

    // He connected once, and to nobody else.
    let nothing = |result: std::io::Result<()>| {
        assert_eq!(
            result.map_err(|error| error.kind()),
            Err(ErrorKind::WouldBlock)
        );
    };
    for (listener, udp) in strangers {
        udp.set_nonblocking(true).unwrap();
        nothing(udp.recv_from(&mut [0; 64]).map(drop));
        listener.set_nonblocking(true).unwrap();
        nothing(listener.accept().map(drop));
    }
    listener.set_nonblocking(true).unwrap();
    nothing(listener.accept().map(drop));
    assert_eq!(bob.end().status, Some(0));
}

#[test]
fn the_listener_is_for_one_connection_from_one_machine() {
    let Some(network) = Network::of::<4>() else {
        return;
    };
    let [server, one, two, three] = network.hosts();
    let _server = serve(server);
    let mut alice = chat(one, server, "alice", "");
    let carol = Raw::register(two, server, "carol", two.ip.into());
    alice.until("carol", |event| event["name"] == "carol");
    alice.line("/start carol");
    let (invitation, from) = carol.datagram();
    assert_eq!(from, carol.address_of("alice"));
    let fields: Vec<&str> = invitation.trim_end().split(':').collect();
    let [_, secret, port] = fields.try_into().expect("three fields");
    assert_eq!(secret.len(), 32, "128 bits in hex");
    let answer = format!("ACK:INIT:{secret}\r\n");
    carol.udp.send_to(answer.as_bytes(), from).unwrap();
    let to = one.at(port.parse().unwrap());
    let connect = |host: &Host| {
        host.within(|| {
            let stream = TcpStream::connect_timeout(&to, PATIENCE)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            Ok::<_, std::io::Error>(stream)
        })
    };

    // The kernel lets anybody in, and we throw out who was not invited.
    let mut stranger = connect(three).unwrap();
    let _ = stranger.write_all(b"CHAT:6:forged\r\n");
    match stranger.read_to_end(&mut Vec::new()) {
        Ok(0) => {}
        Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset),
        other => panic!("it was told something: {other:?}"),
    }
    let mut stream = connect(two).unwrap();
    alice.notices("direct session with carol started");
    for host in [two, three] {
        let refused = connect(host).map(drop).map_err(|error| error.kind());
        assert_eq!(refused, Err(ErrorKind::ConnectionRefused));
    }
    stream.write_all(b"CHAT:5:hello\r\n").unwrap();
    let direct = alice.next();
    assert_eq!(
        direct,
        json!({"event": "direct", "from": "carol", "text": "hello"})
    );
    alice.line("/chat carol bye");
    let mut bytes = [0; 12];
    stream.read_exact(&mut bytes).unwrap();
    assert_eq!(&bytes, b"CHAT:3:bye\r\n");
    drop(stream);
    alice.notices("direct session with carol ended");
    assert_eq!(alice.end().status, Some(0));
}

#[test]
fn who_wants_no_direct_sessions_opens_nothing() {
    let Some(network) = Network::of::<3>() else {
        return;
    };
    let [server, one, two] = network.hosts();
    let _server = serve(server);
    let mut alice = chat(one, server, "alice", "");
    let mut bob = chat(two, server, "bob", " --no-p2p");
    two.iptables("-A OUTPUT -p udp");
    two.iptables("-A OUTPUT -p tcp --syn");
    two.iptables("-A INPUT -p tcp --syn");
    alice.until("bob", |event| event["name"] == "bob");
    alice.line("/start bob");
    alice.notices("no direct session with bob: bob does not answer");
    bob.line("/start alice");
    bob.notices("--no-p2p was asked for");
    bob.line("and everything else works");
    alice.hears("bob", "and everything else works");
    let counts = [two.counts("OUTPUT"), two.counts("INPUT")].concat();
    assert!(
        counts.iter().all(|count| count.packets == 0),
        "no datagram, no connection: {counts:?}"
    );
    assert_eq!(alice.end().status, Some(0));
    assert_eq!(bob.end().status, Some(0));
}
