//! The client as a script uses it: the binary, pipes and files, a server made of raw bytes.

#[path = "support/client.rs"]
mod client;
mod support;

use std::fs::{self, File};
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use client::{Client, Lines, command, left};
use rustix::process::Signal;
use serde_json::{Value, json};
use support::{Peer, Server, read_all, until, within_patience};

#[test]
fn lines_are_said_and_shown_and_the_end_of_input_leaves() {
    let server = Server::bind();
    let mut client = Client::chat(&server, &[]);
    client.stdin().write_all("hi\n\ngrüße".as_bytes()).unwrap();
    let mut peer = server.accept();
    assert_eq!(peer.read_join(), "alice");
    peer.welcome(&[["11:59:00", "bob", "earlier"]]);
    let (time, name, text) = peer.read_say();
    assert_eq!((name.as_str(), text.as_str()), ("alice", "hi"));
    assert_eq!(time.len(), "HH:MM:SS".len());
    peer.say("12:00:00", "alice", "hi");
    peer.say("12:00:01", "bob", "hello");
    let (_, _, text) = peer.read_say();
    assert_eq!(text, "grüße", "a last line without its end counts");
    peer.say("12:00:02", "alice", "grüße");
    peer.expect_end();
    drop(peer);
    let lines = client.lines();
    assert_eq!(lines.next(), "* joined lobby as alice");
    assert_eq!(lines.next(), "11:59:00 bob: earlier");
    assert_eq!(lines.next(), "12:00:00 alice: hi");
    assert_eq!(lines.next(), "12:00:01 bob: hello");
    assert_eq!(lines.next(), "12:00:02 alice: grüße");
    lines.expect_end();
    assert_eq!(client.end(), left());
}

#[test]
fn json_has_an_object_for_every_event() {
    let server = Server::bind();
    let mut client = Client::chat(&server, &["--json"]);
    let mut stdin = client.stdin();
    let lines = client.lines();
    let mut peer = server.accept();
    peer.read_join();
    peer.welcome(&[["11:59:00", "bob", "earlier"]]);
    assert_eq!(
        lines.json(),
        json!({"event": "joined", "name": "alice", "room": "lobby"})
    );
    assert_eq!(
        lines.json(),
        json!({"event": "message", "from": "bob", "text": "earlier", "time": "11:59:00", "history": true})
    );
    peer.say("12:00:00", "bob", "\u{1b}]0;owned\u{7}a\r\nb");
    assert_eq!(
        lines.json(),
        json!({"event": "message", "from": "bob", "text": "\u{fffd}]0;owned\u{fffd}a b", "time": "12:00:00"})
    );
    stdin.write_all(b"/who\n").unwrap();
    assert_eq!(
        lines.json(),
        json!({"event": "notice", "text": "tcp-room has nothing for /who"})
    );
    stdin.write_all(b"/quit\nnever said\n").unwrap();
    peer.expect_end();
    drop(peer);
    assert_eq!(lines.json(), json!({"event": "closed", "reason": "left"}));
    lines.expect_end();
    assert_eq!(client.end(), left());
}

#[test]
fn commands_that_are_none_get_a_notice_and_two_slashes_say_one() {
    let server = Server::bind();
    let mut client = Client::chat(&server, &[]);
    client
        .stdin()
        .write_all(b"/dance\n/msg bob\n/msg bob hi\n//etc\n")
        .unwrap();
    let mut peer = server.accept_joined("alice");
    assert_eq!(peer.echo(), "/etc");
    peer.expect_end();
    drop(peer);
    let lines = client.lines();
    assert_eq!(lines.next(), "* joined lobby as alice");
    assert_eq!(
        lines.next(),
        "* there is no command /dance: /help lists them, and //dance says /dance"
    );
    assert_eq!(lines.next(), "* usage: /msg NAME TEXT");
    assert_eq!(lines.next(), "* tcp-room has nothing for /msg");
    assert!(lines.next().ends_with(" alice: /etc"));
    assert_eq!(client.end(), left());
}

#[test]
fn lines_wait_for_joining() {
    let server = Server::bind();
    let mut client = Client::chat(&server, &[]);
    client.stdin().write_all(b"early\n").unwrap();
    let mut peer = server.accept();
    assert_eq!(peer.read_join(), "alice");
    expect_silence(&mut peer);
    peer.welcome(&[]);
    assert_eq!(peer.echo(), "early");
    peer.expect_end();
    drop(peer);
    assert_eq!(client.end(), left());
}

/// Neither bytes nor an end come. What is wrong here shows most of the time, what is right always passes.
fn expect_silence(peer: &mut Peer) {
    peer.stream
        .set_read_timeout(Some(Duration::from_millis(200)))
        .unwrap();
    let error = peer.stream.read(&mut [0]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::WouldBlock);
    peer.stream
        .set_read_timeout(Some(support::PATIENCE))
        .unwrap();
}

#[test]
fn the_end_of_input_waits_for_the_last_echo() {
    let server = Server::bind();
    let mut client = Client::chat(&server, &[]);
    client.stdin().write_all(b"hi\n").unwrap();
    let mut peer = server.accept_joined("alice");
    let (time, name, text) = peer.read_say();
    expect_silence(&mut peer);
    peer.say(&time, &name, &text);
    peer.expect_end();
    drop(peer);
    assert_eq!(client.end(), left());
}

#[test]
fn a_long_line_goes_as_several_messages() {
    let server = Server::bind();
    let mut client = Client::chat(&server, &[]);
    let long = "é".repeat(5000);
    client.stdin().write_all(long.as_bytes()).unwrap();
    let mut peer = server.accept_joined("alice");
    let pieces = [peer.echo(), peer.echo(), peer.echo()];
    assert!(pieces.iter().all(|piece| piece.len() <= 4096));
    assert_eq!(pieces.concat(), long);
    peer.expect_end();
    drop(peer);
    assert_eq!(client.end(), left());
}

#[test]
fn many_lines_are_all_said_and_all_heard() {
    const COUNT: usize = 20_000;
    let server = Server::bind();
    let mut client = Client::chat(&server, &[]);
    let mut stdin = client.stdin();
    thread::spawn(move || {
        for number in 0..COUNT {
            writeln!(stdin, "line {number}").unwrap();
        }
    });
    let stdout = read_all(client.stdout());
    within_patience(move || {
        let mut peer = server.accept_joined("alice");
        for number in 0..COUNT {
            assert_eq!(peer.echo(), format!("line {number}"));
        }
        peer.expect_end();
    });
    assert_eq!(client.end(), left());
    let stdout = stdout.recv_timeout(support::PATIENCE).unwrap().unwrap();
    assert_eq!(
        stdout.iter().filter(|&&byte| byte == b'\n').count(),
        1 + COUNT
    );
}

#[test]
fn files_are_read_and_written() {
    let server = Server::bind();
    let folder = tempfile::tempdir().unwrap();
    let (input, output) = (folder.path().join("in"), folder.path().join("out"));
    fs::write(&input, "from a file\n").unwrap();
    let address = server.address.to_string();
    let client = Client::spawn(
        command(&["chat", "tcp-room", &address, "--name", "alice"])
            .stdin(File::open(&input).unwrap())
            .stdout(File::create(&output).unwrap()),
    );
    let mut peer = server.accept_joined("alice");
    assert_eq!(peer.echo(), "from a file");
    peer.expect_end();
    drop(peer);
    assert_eq!(client.end(), left());
    let output = fs::read_to_string(&output).unwrap();
    assert!(output.ends_with(" alice: from a file\n"), "{output:?}");
}

#[test]
fn a_host_name_is_looked_up() {
    let server = Server::bind();
    let address = format!("localhost:{}", server.address.port());
    let client = Client::start(&["chat", "tcp-room", &address, "--name", "alice"]);
    let mut peer = server.accept_joined("alice");
    client.signal(Signal::TERM);
    peer.expect_end();
    drop(peer);
    assert_eq!(client.end(), left());
}

#[test]
fn signals_leave_politely() {
    for signal in [Signal::INT, Signal::TERM, Signal::HUP] {
        let server = Server::bind();
        let mut client = Client::chat(&server, &["--json"]);
        let mut peer = server.accept_joined("alice");
        client.signal(signal);
        peer.expect_end();
        drop(peer);
        let lines = client.lines();
        assert_eq!(lines.json()["event"], "joined");
        assert_eq!(lines.json(), json!({"event": "closed", "reason": "left"}));
        assert_eq!(client.end(), left());
    }
}

#[test]
fn a_server_that_does_not_say_goodbye_is_left_all_the_same() {
    let server = Server::bind();
    let client = Client::chat(&server, &[]);
    let mut peer = server.accept_joined("alice");
    client.signal(Signal::INT);
    peer.expect_end();
    assert_eq!(client.end(), left());
}

#[test]
fn a_refusal_is_exit_status_3() {
    let server = Server::bind();
    let mut client = Client::chat(&server, &["--json"]);
    let mut peer = server.accept();
    peer.read_join();
    peer.refuse();
    drop(peer);
    let lines = client.lines();
    let closed = lines.json();
    assert_eq!(closed["event"], "closed");
    let reason = closed["reason"].as_str().unwrap().to_owned();
    assert!(reason.contains("taken"), "{reason}");
    lines.expect_end();
    let expected = format!("mynah: {}: {reason}\n", server.address);
    assert_eq!(client.end(), (Some(3), expected));
}

#[test]
fn a_refused_connection_is_exit_status_1() {
    let address = Server::bind().address.to_string();
    let client = Client::start(&["chat", "tcp-room", &address, "--name", "alice", "--json"]);
    let (status, stderr) = client.end();
    assert_eq!(status, Some(1));
    let expected = format!("mynah: {address}: connection refused");
    assert!(stderr.starts_with(&expected), "{stderr}");
}

#[test]
fn a_server_that_goes_is_exit_status_1() {
    type Goes = fn(&mut Peer);
    let table: [(Goes, &str); 4] = [
        (
            |_| {},
            "the server closed the connection before it let us in",
        ),
        (|peer| peer.welcome(&[]), "the server closed the connection"),
        (
            |peer| {
                peer.welcome(&[]);
                let bytes = support::said("12:00:00", "bob", "hi");
                peer.send(&bytes[..bytes.len() - 1]);
            },
            "the server closed the connection in the middle of a message",
        ),
        (
            |peer| {
                peer.welcome(&[]);
                peer.send(&[0xff; 4]);
            },
            "the server broke the protocol: unexpected number -1",
        ),
    ];
    for (goes, reason) in table {
        let server = Server::bind();
        let mut client = Client::chat(&server, &["--json"]);
        let mut peer = server.accept();
        peer.read_join();
        // Before the server goes, or the end of our input would be why we left.
        let _stdin = client.stdin();
        goes(&mut peer);
        drop(peer);
        let last = until_last(&client.lines());
        assert_eq!(last, json!({"event": "closed", "reason": reason}));
        let expected = format!("mynah: {}: {reason}\n", server.address);
        assert_eq!(client.end(), (Some(1), expected));
    }
}

fn until_last(lines: &Lines) -> Value {
    let last = lines.0.iter().last().expect("a line");
    serde_json::from_str(&last).unwrap()
}

#[test]
fn a_server_that_is_killed_is_exit_status_1() {
    let server = Server::bind();
    let mut client = Client::chat(&server, &[]);
    let peer = server.accept_joined("alice");
    let mut stdin = client.stdin();
    stdin.write_all(b"unread\n").unwrap();
    until("bytes to leave unread", || {
        matches!(peer.stream.peek(&mut [0; 64]), Ok(1..)).then_some(())
    });
    // Unread bytes turn the close into a reset.
    drop(peer);
    let (status, stderr) = client.end();
    assert_eq!(status, Some(1));
    let expected = format!("mynah: {}: ", server.address);
    assert!(stderr.starts_with(&expected), "{stderr}");
    assert!(
        stderr.ends_with("; 1 message was not confirmed\n"),
        "{stderr}"
    );
}

#[test]
fn what_was_never_confirmed_is_said() {
    let server = Server::bind();
    let mut client = Client::chat(&server, &[]);
    client.stdin().write_all(b"one\ntwo\nthree\n").unwrap();
    let mut peer = server.accept_joined("alice");
    assert_eq!(peer.echo(), "one");
    assert_eq!(
        (peer.read_say().2, peer.read_say().2),
        ("two".into(), "three".into())
    );
    peer.expect_end();
    let (status, stderr) = client.end();
    assert_eq!(status, Some(1));
    assert_eq!(
        stderr,
        format!(
            "mynah: {}: the server does not answer; 2 messages were not confirmed\n",
            server.address
        )
    );
}

#[test]
fn wrong_usage_is_exit_status_2_and_says_what_is_wrong() {
    let table: [(&[&str], &str); 8] = [
        (
            &["::1", "--name", "a b"],
            "\"a b\" is not a name: a name has no white space",
        ),
        (&["::1", "--name", ""], "a name has at least one character"),
        (&["::1"], "--name NAME missing on the command line"),
        (
            &[],
            "HOST[:PORT] and --name NAME missing on the command line",
        ),
        (
            &["h:abc", "--name", "a"],
            "\"abc\" is not a port: a port is a number from 1 to 65535",
        ),
        (&["h:70000", "--name", "a"], "\"70000\" is not a port"),
        (&["[::1", "--name", "a"], "\"[::1\" is not an address"),
        (&["h", "--name", "a", "--jsn"], "--json"),
    ];
    for (args, message) in table {
        let mut all = vec!["chat", "tcp-room"];
        all.extend_from_slice(args);
        let mut client = Client::start(&all);
        let stdout = read_all(client.stdout());
        let (status, stderr) = client.end();
        assert_eq!(status, Some(2), "{args:?}: {stderr}");
        assert!(stderr.contains(message), "{args:?}: {stderr}");
        assert_eq!(
            stdout.recv_timeout(support::PATIENCE).unwrap().unwrap(),
            b""
        );
    }
}

/// Says so much that everything between the server and the reader of standard output is full.
fn flood(peer: &mut Peer) -> usize {
    let frame = support::said("12:00:00", "bob", &"x".repeat(4000));
    peer.stream
        .set_write_timeout(Some(Duration::from_millis(500)))
        .unwrap();
    let mut whole = 0;
    // A client that reads on for ever would get here to no end.
    while whole < 100_000 {
        match peer.stream.write_all(&frame) {
            Ok(()) => whole += 1,
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::WouldBlock);
                return whole;
            }
        }
    }
    panic!("400 MB went to a client whose output nobody reads");
}

#[test]
fn output_that_nobody_reads_stops_the_server_and_not_the_signals() {
    for more in [&[][..], &["--json"]] {
        let server = Server::bind();
        let client = Client::chat(&server, more);
        let mut peer = server.accept_joined("alice");
        flood(&mut peer);
        client.signal(Signal::INT);
        // Standard output is open and unread until the end.
        assert_eq!(client.end(), left());
    }
}

#[test]
fn a_reader_that_comes_late_misses_nothing() {
    const COUNT: usize = 5_000;
    let server = Server::bind();
    let mut client = Client::chat(&server, &["--json"]);
    let mut peer = server.accept_joined("alice");
    let sent = thread::spawn(move || {
        let text = "x".repeat(4000);
        for _ in 0..COUNT {
            peer.say("12:00:00", "bob", &text);
        }
        peer.say("12:00:00", "bob", "last");
    });
    // Enough is there to fill the pipe before anybody reads it.
    let stdout = client.stdout();
    until("a full pipe", || {
        (rustix::io::ioctl_fionread(&stdout).unwrap() >= 60_000).then_some(())
    });
    let mut messages = 0;
    let mut last = Value::Null;
    for line in BufReader::new(stdout).lines() {
        last = serde_json::from_str(&line.unwrap()).unwrap();
        if last["event"] == "message" {
            messages += 1;
        }
    }
    sent.join().unwrap();
    assert_eq!(messages, COUNT + 1);
    assert_eq!(last["event"], "closed");
    assert_eq!(client.end().0, Some(1), "the server went");
}

#[test]
fn output_that_was_closed_leaves_politely() {
    let server = Server::bind();
    let mut client = Client::chat(&server, &[]);
    let mut peer = server.accept();
    peer.read_join();
    drop(client.stdout());
    peer.welcome(&[]);
    peer.expect_end();
    drop(peer);
    assert_eq!(client.end(), left());
}

#[test]
fn an_interrupt_while_connecting_leaves() {
    let (address, _full) = address_that_never_answers();
    let address = address.to_string();
    let client = Client::start(&["chat", "tcp-room", &address, "--name", "alice"]);
    let status = format!("/proc/{}/status", client.child.id());
    until("the signals to be caught", || {
        let status = fs::read_to_string(&status).unwrap();
        let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
        let caught = u64::from_str_radix(caught.unwrap().trim(), 16).unwrap();
        (caught & 1 << (Signal::INT.as_raw() - 1) != 0).then_some(())
    });
    client.signal(Signal::INT);
    assert_eq!(client.end(), left());
}

/// A listener whose queue is full, so that the kernel answers nobody else.
fn address_that_never_answers() -> (SocketAddr, (TcpListener, Vec<TcpStream>)) {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    socket.bind(&any.into()).unwrap();
    socket.listen(0).unwrap();
    let listener = TcpListener::from(socket);
    let address = listener.local_addr().unwrap();
    let mut queue = Vec::new();
    while let Ok(stream) = TcpStream::connect_timeout(&address, Duration::from_millis(200)) {
        queue.push(stream);
    }
    (address, (listener, queue))
}

#[test]
fn output_that_cannot_be_written_is_a_failure() {
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full");
    let server = support::Server::bind();
    let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_mynah"))
        .args([
            "chat",
            "tcp-room",
            &server.address.to_string(),
            "--name",
            "alice",
        ])
        .stdin(std::process::Stdio::piped())
        .stdout(full.unwrap())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut peer = server.accept_joined("alice");
    peer.expect_end();
    drop(peer);
    let said = support::read_all(child.stderr.take().unwrap());
    assert_eq!(support::wait_for_exit(&mut child).code(), Some(1));
    let said = String::from_utf8(said.recv().unwrap().unwrap()).unwrap();
    assert!(said.contains("writing standard output"), "{said}");
}

#[test]
fn a_reset_is_no_answer_to_leaving() {
    let server = support::Server::bind();
    let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_mynah"))
        .args([
            "chat",
            "tcp-room",
            &server.address.to_string(),
            "--name",
            "alice",
        ])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut peer = server.accept_joined("alice");
    drop(child.stdin.take());
    peer.expect_end();
    let now = Some(std::time::Duration::ZERO);
    socket2::SockRef::from(&peer.stream)
        .set_linger(now)
        .unwrap();
    drop(peer);
    let said = support::read_all(child.stderr.take().unwrap());
    assert_eq!(support::wait_for_exit(&mut child).code(), Some(1));
    let said = String::from_utf8(said.recv().unwrap().unwrap()).unwrap();
    assert!(said.contains("reset"), "{said}");
}
