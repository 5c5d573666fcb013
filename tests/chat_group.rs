//! The client of `group`: a server made of raw lines, and conversations without it, between two of our clients
//! and with a stranger who only knows the protocols' page.

#[path = "support/client.rs"]
mod client;
mod support;

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};

use client::{Client, Lines, left};
use serde_json::{Value, json};
use support::{PATIENCE, within_patience};

/// The server's end of one connection.
struct Member {
    lines: BufReader<TcpStream>,
    /// As it registered.
    name: String,
    contact: SocketAddr,
}

impl Member {
    fn accept(listener: &TcpListener) -> Member {
        let listener = listener.try_clone().unwrap();
        let stream = within_patience(move || listener.accept().unwrap().0);
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut lines = BufReader::new(stream);
        let register = read_line(&mut lines);
        let rest = register.strip_prefix("REGISTER:").unwrap();
        let (name, contact) = rest.split_once(':').unwrap();
        Member {
            lines,
            name: name.to_string(),
            contact: contact.parse().unwrap(),
        }
    }

    fn entry(&self) -> String {
        format!("{}:{}", self.name, self.contact)
    }

    fn say(&mut self, line: &str) {
        let stream = self.lines.get_mut();
        stream.write_all(format!("{line}\r\n").as_bytes()).unwrap();
    }

    fn hear(&mut self) -> String {
        read_line(&mut self.lines)
    }

    /// The client's half is over, with nothing before it.
    fn expect_end(&mut self) {
        let mut rest = String::new();
        self.lines.read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "");
    }
}

fn read_line(from: &mut impl BufRead) -> String {
    let mut line = String::new();
    from.read_line(&mut line).unwrap();
    line.strip_suffix("\r\n").expect("a whole line").to_string()
}

fn start(listener: &TcpListener, name: &str, more: &[&str]) -> Client {
    let server = listener.local_addr().unwrap().to_string();
    let mut args = vec!["chat", "group", &server, "--name", name, "--json"];
    args.extend_from_slice(more);
    Client::start(&args)
}

fn listener() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").unwrap()
}

/// The next line that says this; whatever stands before it is another matter.
fn expect(lines: &Lines, expected: &Value) {
    while lines.json() != *expected {}
}

fn direct(from: &str, text: &str) -> Value {
    json!({"event": "direct", "from": from, "text": text})
}

#[test]
fn group_talks_through_the_server() {
    let listener = listener();
    let mut client = start(&listener, "alice", &[]);
    let mut member = Member::accept(&listener);
    assert_eq!(member.name, "alice");
    let list = format!("LIST:bob:0.0.0.0:0:{}", member.entry());
    member.say(&list);
    let lines = client.lines();
    assert_eq!(
        lines.json(),
        json!({"event": "joined", "name": "alice", "room": "lobby"})
    );
    let members = json!({"event": "members", "names": ["bob", "alice"]});
    assert_eq!(lines.json(), members);
    member.say("UPDATE:JOIN:carol:0.0.0.0:0");
    member.say("BROADCAST:carol:5:hello");
    member.say("UPDATE:LEAVE:carol:0.0.0.0:0");
    assert_eq!(lines.json(), json!({"event": "arrived", "name": "carol"}));
    assert_eq!(
        lines.json(),
        json!({"event": "message", "from": "carol", "text": "hello"})
    );
    assert_eq!(lines.json(), json!({"event": "left", "name": "carol"}));
    client.stdin().write_all(b"hi\n/who\n").unwrap();
    assert_eq!(member.hear(), "BROADCAST:alice:2:hi");
    assert_eq!(lines.json(), members);
    member.expect_end();
    drop(member);
    assert_eq!(client.end(), left());
}

#[test]
fn a_nickname_that_is_taken_is_exit_status_3() {
    let listener = listener();
    let client = start(&listener, "alice", &[]);
    let mut member = Member::accept(&listener);
    member.say("ERROR:5:taken");
    let server = listener.local_addr().unwrap();
    assert_eq!(client.end(), (Some(3), format!("mynah: {server}: taken\n")));
}

#[test]
fn two_clients_talk_without_the_server() {
    let listener = listener();
    let mut alice = start(&listener, "alice", &[]);
    let mut of_alice = Member::accept(&listener);
    let mut bob = start(&listener, "bob", &[]);
    let mut of_bob = Member::accept(&listener);
    let list = format!("LIST:{}:{}", of_alice.entry(), of_bob.entry());
    of_alice.say(&list);
    of_bob.say(&list);
    let (told_alice, told_bob) = (alice.lines(), bob.lines());
    let (mut to_alice, mut to_bob) = (alice.stdin(), bob.stdin());
    let members = json!({"event": "members", "names": ["alice", "bob"]});
    expect(&told_alice, &members);
    expect(&told_bob, &members);
    to_alice.write_all(b"/start bob\n").unwrap();
    assert_eq!(told_alice.json()["event"], "notice");
    assert_eq!(told_bob.json()["event"], "notice");
    to_alice.write_all(b"/chat bob hey\n").unwrap();
    expect(&told_bob, &direct("alice", "hey"));
    to_bob.write_all(b"/chat alice there\n").unwrap();
    expect(&told_alice, &direct("bob", "there"));
    // More than any buffer between them, and all of it arrives in order.
    let count = 300;
    for number in 0..count {
        let text = format!("/chat bob {number} {}\n", "x".repeat(3000));
        to_alice.write_all(text.as_bytes()).unwrap();
        let heard = told_bob.json();
        let text = heard["text"].as_str().unwrap();
        assert!(text.starts_with(&format!("{number} ")), "{text}");
    }
    to_alice.write_all(b"/end bob\n").unwrap();
    assert_eq!(told_bob.json()["event"], "notice");
    to_bob.write_all(b"/chat alice still there?\n").unwrap();
    assert_eq!(told_bob.json()["event"], "notice");
    drop((to_alice, to_bob));
    of_alice.expect_end();
    of_bob.expect_end();
    drop((of_alice, of_bob));
    assert_eq!(alice.end(), left());
    assert_eq!(bob.end(), left());
}

/// A client that is in with `bob`, who is this test.
fn with_stranger(more: &[&str]) -> (Client, Member, Lines, UdpSocket) {
    let listener = listener();
    let mut client = start(&listener, "alice", more);
    let mut member = Member::accept(&listener);
    let bob = UdpSocket::bind("127.0.0.1:0").unwrap();
    bob.set_read_timeout(Some(PATIENCE)).unwrap();
    let contact = bob.local_addr().unwrap();
    let list = format!("LIST:bob:{contact}:{}", member.entry());
    member.say(&list);
    let lines = client.lines();
    let members = json!({"event": "members", "names": ["bob", "alice"]});
    expect(&lines, &members);
    (client, member, lines, bob)
}

fn hear(socket: &UdpSocket) -> (String, SocketAddr) {
    let mut buffer = [0; 2048];
    let (length, from) = socket.recv_from(&mut buffer).unwrap();
    let text = std::str::from_utf8(&buffer[..length]).unwrap();
    (text.to_string(), from)
}

#[test]
fn an_invitation_of_a_stranger_is_answered_and_connected_to() {
    let (mut client, mut member, lines, bob) = with_stranger(&[]);
    let door = listener();
    let port = door.local_addr().unwrap().port();
    let secret = "00112233445566778899aabbccddeeff";
    let init = format!("INIT:{secret}:{port}\r\n");
    bob.send_to(init.as_bytes(), member.contact).unwrap();
    let (ack, from) = hear(&bob);
    assert_eq!(ack, format!("ACK:INIT:{secret}\r\n"));
    assert_eq!(from, member.contact, "from the registered port");
    let mut stream = within_patience(move || door.accept().unwrap().0);
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(b"CHAT:5:he").unwrap();
    stream.write_all(b"llo\r\n").unwrap();
    expect(&lines, &direct("bob", "hello"));
    let mut stdin = client.stdin();
    stdin.write_all(b"/chat bob hi\n/end bob\n").unwrap();
    let mut said = String::new();
    stream.read_to_string(&mut said).unwrap();
    assert_eq!(said, "CHAT:2:hi\r\n");
    drop(stdin);
    member.expect_end();
    drop(member);
    assert_eq!(client.end(), left());
}

#[test]
fn the_door_for_one_opens_for_that_one_and_closes() {
    let (mut client, mut member, lines, bob) = with_stranger(&[]);
    let mut stdin = client.stdin();
    stdin.write_all(b"/start bob\n").unwrap();
    let (init, from) = hear(&bob);
    assert_eq!(from, member.contact);
    let rest = init.strip_prefix("INIT:").unwrap();
    let (secret, port) = rest.trim_end().split_once(':').unwrap();
    assert_eq!(secret.len(), 32);
    let (again, _) = hear(&bob);
    assert_eq!(again, init, "until it is acknowledged");
    let port: u16 = port.parse().unwrap();
    bob.send_to(format!("ACK:INIT:{secret}\r\n").as_bytes(), from)
        .unwrap();
    // Another machine (as far as loopback can be one) is turned away, and the door stays open.
    let mut elsewhere = connect_from("127.0.0.77:0", port);
    assert_eq!(elsewhere.read(&mut [0]).unwrap_or(0), 0);
    let mut stream = connect_from("127.0.0.1:0", port);
    stream.write_all(b"CHAT:2:yo\r\n").unwrap();
    expect(&lines, &direct("bob", "yo"));
    // Now it is closed.
    let error = TcpStream::connect(("127.0.0.1", port)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    // The other side ends it.
    drop(stream);
    assert_eq!(lines.json()["event"], "notice");
    drop(stdin);
    member.expect_end();
    drop(member);
    assert_eq!(client.end(), left());
}

fn connect_from(local: &str, port: u16) -> TcpStream {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    let local: SocketAddr = local.parse().unwrap();
    socket.bind(&local.into()).unwrap();
    let to = SocketAddr::from(([127, 0, 0, 1], port));
    socket.connect(&to.into()).unwrap();
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

#[test]
fn a_peer_that_does_not_read_loses_its_stream_and_stops_nobody() {
    let (mut client, mut member, lines, bob) = with_stranger(&[]);
    let door = listener();
    let port = door.local_addr().unwrap().port();
    let init = format!("INIT:00112233445566778899aabbccddeeff:{port}\r\n");
    bob.send_to(init.as_bytes(), member.contact).unwrap();
    let stream = within_patience(move || door.accept().unwrap().0);
    assert_eq!(lines.json()["event"], "notice", "it stands");
    let mut stdin = client.stdin();
    let text = format!("/chat bob {}\n", "x".repeat(4000));
    std::thread::spawn(move || {
        // Beyond what the kernel takes (a few MB) and what we keep.
        for _ in 0..4000 {
            stdin.write_all(text.as_bytes()).unwrap();
        }
        stdin.write_all(b"and now to all\n").unwrap();
    });
    assert_eq!(lines.json()["event"], "notice", "it was closed");
    assert_eq!(member.hear(), "BROADCAST:alice:14:and now to all");
    drop(stream);
    member.expect_end();
    drop(member);
    assert_eq!(client.end(), left());
}

#[test]
fn without_p2p_an_invitation_is_not_heeded() {
    let (mut client, mut member, lines, bob) = with_stranger(&["--no-p2p"]);
    bob.send_to(
        b"INIT:00112233445566778899aabbccddeeff:1\r\n",
        member.contact,
    )
    .unwrap();
    client.stdin().write_all(b"/start bob\n").unwrap();
    let notice = lines.json();
    assert!(
        notice["text"].as_str().unwrap().contains("--no-p2p"),
        "{notice}"
    );
    member.expect_end();
    bob.set_nonblocking(true).unwrap();
    let error = bob.recv_from(&mut [0; 100]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::WouldBlock);
    drop(member);
    assert_eq!(client.end(), left());
}
