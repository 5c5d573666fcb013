//! The clients that talk by datagrams, as a script uses them: the binary, pipes, and servers made of raw bytes
//! that say what the protocols' page says.

#[path = "support/client.rs"]
mod client;
mod support;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::Stdio;
use std::time::Duration;

use client::{Client, Lines, command, left};
use serde_json::{Value, json};
use support::{PATIENCE, read_all, within_patience};

/// A server's datagram port, and the one client of it.
struct Port {
    socket: UdpSocket,
    client: Option<SocketAddr>,
}

impl Port {
    fn bind() -> Port {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Port {
            socket,
            client: None,
        }
    }

    fn address(&self) -> String {
        self.socket.local_addr().unwrap().to_string()
    }

    fn hear(&mut self) -> Vec<u8> {
        let mut buffer = [0; 8192];
        let (length, from) = self.socket.recv_from(&mut buffer).unwrap();
        self.client = Some(from);
        buffer[..length].to_vec()
    }

    fn hear_text(&mut self) -> String {
        String::from_utf8(self.hear()).unwrap()
    }

    /// The next datagram that is not one of these repeats.
    fn hear_beside(&mut self, repeat: &str) -> String {
        loop {
            let text = self.hear_text();
            if text != repeat {
                return text;
            }
        }
    }

    fn say(&self, bytes: impl AsRef<[u8]>) {
        let client = self.client.expect("somebody was heard");
        self.socket.send_to(bytes.as_ref(), client).unwrap();
    }
}

fn start(protocol: &str, server: &str, more: &[&str]) -> Client {
    let mut args = vec!["chat", protocol, server, "--name", "alice", "--json"];
    args.extend_from_slice(more);
    Client::start(&args)
}

fn joined(room: &str) -> Value {
    json!({"event": "joined", "name": "alice", "room": room})
}

fn notice(text: &str) -> Value {
    json!({"event": "notice", "text": text})
}

fn closed(reason: &str) -> Value {
    json!({"event": "closed", "reason": reason})
}

// --- udp-room

const UN: &str = "UN| alice";

/// A client that is in, its port, and its lines behind `joined`.
fn udp_room(more: &[&str]) -> (Client, Port, Lines) {
    let mut port = Port::bind();
    let mut client = start("udp-room", &port.address(), more);
    assert_eq!(port.hear_text(), UN);
    port.say("[alice joined the server]");
    let lines = client.lines();
    assert_eq!(lines.json(), joined("lobby"));
    (client, port, lines)
}

#[test]
fn udp_room_says_asks_and_leaves_at_the_end_of_input() {
    let (mut client, mut port, lines) = udp_room(&[]);
    let mut stdin = client.stdin();
    stdin
        .write_all(b"hi\ndm\nbob\npsst\nPM\nEX\n/who\n")
        .unwrap();
    drop(stdin);
    let mut heard = vec![port.hear_beside(UN), port.hear_text(), port.hear_text()];
    heard.sort();
    assert_eq!(
        heard,
        ["DM| alice> bob: psst", "PM| alice: EX", "PM| alice: hi"]
    );
    for answer in ["alice: hi", "[DM to bob] psst", "alice: EX"] {
        port.say(answer);
    }
    assert!(port.hear_text().starts_with("EX|"));
    let mut told: Vec<Value> = (0..7).map(|_| lines.json()).collect();
    let says = |text: &str| json!({"event": "message", "from": "alice", "text": text});
    for expected in [
        notice("to whom?"),
        notice("what do you want to say to bob?"),
        notice("what do you want to say to everybody?"),
        notice("udp-room has nothing for /who"),
        says("hi"),
        notice("[DM to bob] psst"),
        says("EX"),
    ] {
        let at = told.iter().position(|told| *told == expected);
        told.remove(at.unwrap_or_else(|| panic!("{expected} not in {told:?}")));
    }
    assert_eq!(lines.json(), closed("left"));
    lines.expect_end();
    assert_eq!(client.end(), left());
}

#[test]
fn a_word_alone_leaves_udp_room() {
    let (mut client, mut port, lines) = udp_room(&[]);
    // The input goes on.
    let mut stdin = client.stdin();
    stdin.write_all(b"ex\nnever said\n").unwrap();
    assert!(port.hear_beside(UN).starts_with("EX|"));
    assert_eq!(lines.json(), closed("left"));
    assert_eq!(client.end(), left());
}

#[test]
fn a_signal_leaves_udp_room() {
    let (client, mut port, lines) = udp_room(&[]);
    client.signal(rustix::process::Signal::INT);
    assert!(port.hear_beside(UN).starts_with("EX|"));
    assert_eq!(lines.json(), closed("left"));
    assert_eq!(client.end(), left());
}

#[test]
fn joining_is_asked_for_again_and_strangers_are_not_heard() {
    let mut port = Port::bind();
    let mut client = start("udp-room", &port.address(), &[]);
    assert_eq!(port.hear_text(), UN);
    // Another address on the same machine: whatever it says is not the server's.
    let stranger = UdpSocket::bind("127.0.0.1:0").unwrap();
    let client_port = port.client.unwrap();
    stranger
        .send_to(b"[alice joined the server]", client_port)
        .unwrap();
    assert_eq!(port.hear_text(), UN, "nobody has answered yet");
    port.say("[alice joined the server]");
    port.say("bob: hello");
    let lines = client.lines();
    assert_eq!(lines.json(), joined("lobby"));
    assert_eq!(
        lines.json(),
        json!({"event": "message", "from": "bob", "text": "hello"})
    );
    drop(client.stdin());
    assert!(port.hear_beside(UN).starts_with("EX|"));
    assert_eq!(client.end(), left());
}

#[test]
fn many_lines_go_by_datagrams_and_none_is_lost() {
    const COUNT: usize = 2_000;
    let (mut client, mut port, lines) = udp_room(&[]);
    let mut stdin = client.stdin();
    std::thread::spawn(move || {
        for number in 0..COUNT {
            writeln!(stdin, "line {number}").unwrap();
        }
    });
    within_patience(move || {
        for number in 0..COUNT {
            let heard = port.hear_beside(UN);
            assert_eq!(heard, format!("PM| alice: line {number}"));
            port.say(format!("alice: line {number}"));
        }
        assert!(port.hear_text().starts_with("EX|"));
    });
    for number in 0..COUNT {
        assert_eq!(lines.json()["text"], format!("line {number}"));
    }
    assert_eq!(client.end(), left());
}

#[test]
fn a_name_taken_in_udp_room_is_exit_status_3() {
    let mut port = Port::bind();
    let client = start("udp-room", &port.address(), &[]);
    assert_eq!(port.hear_text(), UN);
    port.say("[alice is taken]");
    let (status, stderr) = client.end();
    assert_eq!(status, Some(3));
    let expected = format!("mynah: {}: ", port.address());
    assert!(
        stderr.starts_with(&expected) && stderr.contains("taken"),
        "{stderr}"
    );
}

#[test]
fn a_host_name_with_two_addresses_is_tried_at_both() {
    // `localhost` is often ::1 first, where nobody listens.
    let mut port = Port::bind();
    let server = format!("localhost:{}", port.socket.local_addr().unwrap().port());
    let mut client = start("udp-room", &server, &[]);
    assert_eq!(port.hear_text(), UN);
    port.say("[alice joined the server]");
    let lines = client.lines();
    assert_eq!(lines.json(), joined("lobby"));
    drop(client.stdin());
    assert!(port.hear_beside(UN).starts_with("EX|"));
    assert_eq!(client.end(), left());
}

#[test]
fn a_udp_room_that_is_gone_is_exit_status_1() {
    let (mut client, port, lines) = udp_room(&[]);
    let mut stdin = client.stdin();
    let address = port.address();
    drop(port);
    stdin.write_all(b"anybody?\n").unwrap();
    assert_eq!(
        lines.json(),
        notice(&format!("nobody listens at {address}"))
    );
    assert_eq!(lines.json(), notice("not heard back: anybody?"));
    let reason = format!("nobody listens at {address} any more; 1 message was not confirmed");
    assert_eq!(lines.json(), closed(&reason));
    assert_eq!(
        client.end(),
        (Some(1), format!("mynah: {address}: {reason}\n"))
    );
}

// --- udp-login

/// A client with a password in its environment.
fn login(server: &str) -> Client {
    Client::spawn(
        command(&["chat", "udp-login", server, "--name", "alice", "--json"])
            .env("MYNAH_PASSWORD", "secret word")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped()),
    )
}

const SID: &str = "000102030405060708090a0b0c0d0e0f";

/// Hears a request of which the number alone is not known, and answers it.
fn answer(port: &mut Port, request: &str, answer: &str) {
    let heard = port.hear_text();
    let mut words = heard.splitn(3, ' ');
    let (kind, seq) = (words.next().unwrap(), words.next().unwrap());
    assert_eq!(format!("{kind} {}", words.next().unwrap()), request);
    port.say(format!("C {seq} {answer}"));
}

#[test]
fn udp_login_logs_in_says_asks_and_leaves() {
    let mut port = Port::bind();
    let mut client = login(&port.address());
    answer(&mut port, "C LOGIN alice", "PASSWORD existing");
    let welcome = format!("WELCOME {SID}");
    answer(&mut port, "C PASS alice secret word", &welcome);
    answer(&mut port, &format!("C PING {SID}"), "PONG");
    let lines = client.lines();
    assert_eq!(lines.json(), joined("lobby"));
    let mut stdin = client.stdin();
    stdin.write_all(b"hi\nDM\nbob\npsst\n").unwrap();
    drop(stdin);
    answer(&mut port, &format!("C PM {SID}"), "READY");
    answer(&mut port, &format!("D {SID} hi"), "SENT 1");
    // What `DM` asks for, so that the person may choose; then what is said to the chosen one.
    answer(&mut port, &format!("C DM {SID}"), "USERS alice bob");
    answer(&mut port, &format!("C DM {SID}"), "USERS alice bob");
    answer(&mut port, &format!("D {SID} bob psst"), "NOUSER bob");
    answer(&mut port, &format!("C EX {SID}"), "BYE");
    assert_eq!(lines.json(), notice("to whom?"));
    assert_eq!(lines.json(), notice("what do you want to say to bob?"));
    assert_eq!(
        lines.json(),
        json!({"event": "members", "names": ["alice", "bob"]})
    );
    assert_eq!(lines.json(), notice("bob is not online"));
    assert_eq!(lines.json(), closed("left"));
    lines.expect_end();
    assert_eq!(client.end(), left());
}

#[test]
fn a_wrong_password_is_exit_status_3_and_comes_from_a_file() {
    let mut port = Port::bind();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("password");
    std::fs::write(&file, "from the file\nnot this\n").unwrap();
    let file = file.to_str().unwrap();
    let client = start("udp-login", &port.address(), &["--password-file", file]);
    answer(&mut port, "C LOGIN alice", "PASSWORD existing");
    answer(
        &mut port,
        "C PASS alice from the file",
        "DENIED wrong name or password",
    );
    let expected = format!("mynah: {}: wrong name or password\n", port.address());
    assert_eq!(client.end(), (Some(3), expected));
}

#[test]
fn who_is_put_out_is_told_why_and_exit_status_1() {
    let reason = "kicked: the account was deleted";
    let mut port = Port::bind();
    let mut client = login(&port.address());
    answer(&mut port, "C LOGIN alice", "PASSWORD existing");
    let welcome = format!("WELCOME {SID}");
    answer(&mut port, "C PASS alice secret word", &welcome);
    answer(&mut port, &format!("C PING {SID}"), "PONG");
    // It stays open: nobody but the server ends it.
    let _stdin = client.stdin();
    let lines = client.lines();
    assert_eq!(lines.json(), joined("lobby"));
    port.say(format!("D PM <server> {reason}"));
    assert_eq!(lines.json(), closed(reason));
    let expected = format!("mynah: {}: {reason}\n", port.address());
    assert_eq!(client.end(), (Some(1), expected));
    port.socket.set_nonblocking(true).unwrap();
    let silence = port.socket.recv(&mut [0; 64]).unwrap_err();
    assert_eq!(silence.kind(), std::io::ErrorKind::WouldBlock);
}

#[test]
fn a_port_where_nobody_listens_is_named_and_exit_status_1() {
    let address = Port::bind().address();
    let mut client = login(&address);
    let lines = client.lines();
    assert_eq!(
        lines.json(),
        notice(&format!("nobody listens at {address}"))
    );
    assert_eq!(lines.json(), closed("nobody listens there"));
    let expected = format!("mynah: {address}: nobody listens there\n");
    assert_eq!(client.end(), (Some(1), expected));
}

#[test]
fn a_server_that_never_answers_is_exit_status_1() {
    let port = Port::bind();
    let client = login(&port.address());
    let expected = format!("mynah: {}: the server does not answer\n", port.address());
    assert_eq!(client.end(), (Some(1), expected));
}

// --- tcrp

/// The server's end of a handshake: a request came, and `payloads` are its two answers.
fn shake_hands(listener: &TcpListener, operation: u8, room: &str, payloads: [&str; 2]) {
    let listener = listener.try_clone().unwrap();
    let mut stream: TcpStream = within_patience(move || listener.accept().unwrap().0);
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let request = tcrp_frame(operation, 0, room, "\"alice\"");
    let mut heard = vec![0; request.len()];
    stream.read_exact(&mut heard).unwrap();
    assert_eq!(heard, request);
    for (state, payload) in (1..).zip(payloads) {
        let answer = tcrp_frame(operation, state, room, payload);
        stream.write_all(&answer).unwrap();
    }
}

fn tcrp_frame(operation: u8, state: u8, room: &str, payload: &str) -> Vec<u8> {
    let mut bytes = vec![room.len() as u8, operation, state];
    bytes.extend_from_slice(&[0; 21]);
    bytes.extend_from_slice(&(payload.len() as u64).to_be_bytes());
    bytes.extend_from_slice(room.as_bytes());
    bytes.extend_from_slice(payload.as_bytes());
    bytes
}

fn ucrp(text: &str) -> Vec<u8> {
    [b"\x03\x07", &b"dentoken_x"[..], text.as_bytes()].concat()
}

/// The next text that is no registration.
fn hear_ucrp(port: &mut Port) -> String {
    loop {
        let heard = port.hear();
        let text = heard.strip_prefix(&ucrp("")[..]).expect("room and token");
        if text != b"__REGISTER__" {
            return String::from_utf8(text.to_vec()).unwrap();
        }
    }
}

/// A client in a room, and its lines behind `joined`.
fn in_den(operation: u8, flag: &str) -> (Client, Port, Lines) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut port = Port::bind();
    let server = listener.local_addr().unwrap().to_string();
    let more = [flag, "den", "--ucrp", &port.address()];
    let mut client = start("tcrp", &server, &more);
    let payloads = ["{\"success\":1}", "{\"token\":\"token_x\"}"];
    shake_hands(&listener, operation, "den", payloads);
    assert_eq!(port.hear(), ucrp("__REGISTER__"));
    let lines = client.lines();
    assert_eq!(lines.json(), joined("den"));
    assert_eq!(lines.json()["event"], "notice");
    (client, port, lines)
}

#[test]
fn tcrp_shakes_hands_over_tcp_and_talks_over_udp() {
    let (mut client, mut port, lines) = in_den(1, "--create");
    port.say(b"\x03bobhello");
    assert_eq!(
        lines.json(),
        json!({"event": "message", "from": "bob", "text": "hello"})
    );
    client.stdin().write_all(b"hi\nQuit\nnever said\n").unwrap();
    assert_eq!(hear_ucrp(&mut port), "hi");
    assert_eq!(hear_ucrp(&mut port), "__LEAVE__");
    assert_eq!(lines.json(), closed("left"));
    assert_eq!(client.end(), left());
}

#[test]
fn a_tcrp_server_that_is_gone_is_exit_status_1() {
    let (mut client, port, lines) = in_den(1, "--create");
    let mut stdin = client.stdin();
    let address = port.address();
    drop(port);
    // The registrations that are repeated come before that, and are refused as well.
    for wait in [1500, 5500, 0] {
        std::thread::sleep(Duration::from_millis(wait));
        // It may be gone already.
        let _ = stdin.write_all(b"anybody?\n");
    }
    let mut last = lines.json();
    while last["event"] == "notice" {
        last = lines.json();
    }
    let reason = format!("nobody listens at {address} any more");
    assert_eq!(last, closed(&reason));
    let (status, stderr) = client.end();
    assert_eq!(status, Some(1));
    assert!(stderr.ends_with(&format!(": {reason}\n")), "{stderr}");
}

#[test]
fn without_a_word_about_it_ucrp_is_one_port_behind() {
    let (listener, mut port) = (0..100)
        .find_map(|_| {
            let port = Port::bind();
            let before = port.socket.local_addr().unwrap().port() - 1;
            let listener = TcpListener::bind(("127.0.0.1", before)).ok()?;
            Some((listener, port))
        })
        .expect("two free ports, one behind the other");
    let server = listener.local_addr().unwrap().to_string();
    let client = start("tcrp", &server, &["--join", "den"]);
    let payloads = ["{\"success\":1}", "{\"token\":\"token_x\"}"];
    shake_hands(&listener, 2, "den", payloads);
    assert_eq!(port.hear(), ucrp("__REGISTER__"));
    client.signal(rustix::process::Signal::TERM);
    assert_eq!(hear_ucrp(&mut port), "__LEAVE__");
    assert_eq!(client.end(), left());
}

#[test]
fn a_file_is_not_thrown_at_a_server_that_confirms_nothing() {
    const COUNT: usize = 2_000;
    let (mut client, mut port, _lines) = in_den(1, "--create");
    let mut stdin = client.stdin();
    std::thread::spawn(move || {
        for number in 0..COUNT {
            writeln!(stdin, "line {number}").unwrap();
        }
    });
    within_patience(move || {
        for number in 0..COUNT {
            assert_eq!(hear_ucrp(&mut port), format!("line {number}"));
        }
        assert_eq!(hear_ucrp(&mut port), "__LEAVE__");
    });
    assert_eq!(client.end(), left());
}

#[test]
fn a_room_closed_by_its_host_is_a_polite_end() {
    let (mut client, port, lines) = in_den(2, "--join");
    let _stdin = client.stdin();
    port.say("__ROOM_CLOSED__");
    let last = lines.json();
    assert_eq!(last["event"], "closed");
    assert!(last["reason"].as_str().unwrap().contains("room was closed"));
    lines.expect_end();
    assert_eq!(client.end(), left());
}

#[test]
fn a_room_that_is_not_there_is_exit_status_3() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let server = listener.local_addr().unwrap().to_string();
    let client = start("tcrp", &server, &["--join", "den", "--ucrp", "127.0.0.1:1"]);
    let payloads = [
        "{\"success\":0,\"error\":\"no such room\"}",
        "{\"token\":\"\"}",
    ];
    shake_hands(&listener, 2, "den", payloads);
    let expected = format!("mynah: {server}: no such room\n");
    assert_eq!(client.end(), (Some(3), expected));
}

// --- udp-mesh

#[test]
fn two_peers_of_a_mesh_hear_each_other() {
    // Loopback has a broadcast address of its own, and addresses enough for every test.
    let peer = |name: &str, bind: &str| {
        Client::start(&[
            "chat",
            "udp-mesh",
            "--name",
            name,
            "--bind",
            bind,
            "--broadcast",
            "127.255.255.255",
            "--json",
        ])
    };
    // Whoever else runs this now is another peer of the same mesh.
    let id = std::process::id();
    let (alice, bob) = (format!("alice{id}"), format!("bob{id}"));
    let (high, low) = (id / 250 % 250 + 1, id % 250 + 1);
    let mut first = peer(&alice, &format!("127.{high}.{low}.1"));
    let lines = first.lines();
    let next_from = |lines: &Lines, name: &str| loop {
        let line = lines.json();
        if line["from"] == name || line["name"] == name {
            return line;
        }
    };
    assert_eq!(
        next_from(&lines, &alice),
        json!({"event": "joined", "name": alice, "room": "mesh"})
    );
    let mut stdin = first.stdin();
    stdin.write_all(b"before\n").unwrap();
    assert_eq!(next_from(&lines, &alice)["text"], "before");
    let mut second = peer(&bob, &format!("127.{high}.{low}.2"));
    let others = second.lines();
    assert_eq!(next_from(&others, &bob)["event"], "joined");
    let past = next_from(&others, &alice);
    assert_eq!(
        (&past["text"], &past["history"]),
        (&"before".into(), &true.into())
    );
    second.stdin().write_all(b"hello\n").unwrap();
    assert_eq!(next_from(&lines, &bob)["text"], "hello");
    assert_eq!(next_from(&others, &bob)["text"], "hello");
    assert_eq!(second.end(), left());
    drop(stdin);
    assert_eq!(first.end(), left());
}

#[test]
fn a_name_taken_in_a_mesh_is_exit_status_3() {
    let id = std::process::id();
    let (name, bind) = (
        format!("carol{id}"),
        format!("127.{}.{}", id / 250 % 250 + 1, id % 250 + 1),
    );
    let peer = |last: u8| {
        let bind = format!("{bind}.{last}");
        let network = ["--bind", &bind, "--broadcast", "127.255.255.255"];
        let mut args = vec!["chat", "udp-mesh", "--name", &name];
        args.extend_from_slice(&network);
        Client::start(&args)
    };
    let mut first = peer(3);
    let _stdin = first.stdin();
    assert_eq!(first.lines().next(), format!("* joined mesh as {name}"));
    let (status, stderr) = peer(4).end();
    assert_eq!(status, Some(3), "{stderr}");
    let expected = format!("mynah: the name {name:?} is taken or not allowed\n");
    assert_eq!(stderr, expected, "and no address says so");
}

#[test]
fn an_address_that_is_not_ours_is_named() {
    // TEST-NET-3: nobody has these.
    for (bind, broadcast, flag) in [
        ("203.0.113.1", "127.255.255.255", "--bind 203.0.113.1"),
        (
            "127.250.250.1",
            "203.0.113.255",
            "--broadcast 203.0.113.255",
        ),
    ] {
        let network = ["--bind", bind, "--broadcast", broadcast];
        let mut args = vec!["chat", "udp-mesh", "--name", "carol"];
        args.extend_from_slice(&network);
        let (status, stderr) = Client::start(&args).end();
        assert_eq!(status, Some(1));
        assert!(stderr.starts_with(&format!("mynah: {flag}: ")), "{stderr}");
    }
}

// --- all of them

#[test]
fn wrong_usage_of_any_client_is_exit_status_2() {
    let table: [(&[&str], &str); 9] = [
        (
            &["udp-room", "::1", "--name", "a", "--local-port", "9999"],
            "port 9999 is the server's",
        ),
        (&["udp-room", "::1"], "--name NAME missing"),
        (
            &["udp-login"],
            "HOST[:PORT] and --name NAME and --password-file FILE",
        ),
        (
            &[
                "udp-login",
                "::1",
                "--name",
                "a",
                "--password-file",
                "/none",
            ],
            "/none: ",
        ),
        (
            &["udp-login", "::1", "--name", "a", "--password", "x"],
            "--password",
        ),
        (
            &["tcrp", "::1", "--name", "a"],
            "--create ROOM or --join ROOM missing",
        ),
        (
            &["tcrp", "::1", "--name", "a", "--join", "a b"],
            "\"a b\" is not a name",
        ),
        (
            &["tcrp", "[::1]:65535", "--name", "a", "--join", "b"],
            "there is no port behind 65535",
        ),
        (&["udp-mesh", "--bind", "nowhere"], "--bind"),
    ];
    for (args, message) in table {
        let mut all = vec!["chat"];
        all.extend_from_slice(args);
        let mut client = Client::spawn(
            command(&all)
                .env_remove("MYNAH_PASSWORD")
                .stdin(Stdio::piped())
                .stdout(Stdio::piped()),
        );
        let stdout = read_all(client.stdout());
        let (status, stderr) = client.end();
        assert_eq!(status, Some(2), "{args:?}: {stderr}");
        assert!(stderr.contains(message), "{args:?}: {stderr}");
        let stdout = stdout.recv_timeout(PATIENCE).unwrap().unwrap();
        assert_eq!(stdout, b"");
    }
}
