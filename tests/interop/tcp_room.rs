//! tcp-room in both directions.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};

use super::support::serve::Mynah;
use super::support::{read_all, wait_for_exit, within_patience};
use super::{have_python, python};

/// Everything that a program prints until it ends well.
fn output(mut child: Child) -> String {
    let output = read_all(child.stdout.take().unwrap());
    assert!(wait_for_exit(&mut child).success());
    String::from_utf8(output.recv().unwrap().unwrap()).unwrap()
}

#[test]
fn python_clients_talk_through_our_server() {
    if !have_python() {
        return;
    }
    let server = Mynah::serve();
    let port = server.address().port().to_string();
    let alone = python(
        "tcp_room_client.py",
        &[&port, "alone", "2", "first", "grüße 🐦"],
    );
    let heard = "joined\nheard 10:20:30 alone first\nheard 10:20:30 alone grüße 🐦\n";
    assert_eq!(output(alone), heard);

    let mut listener = server.join("listener");
    let taken = python("tcp_room_client.py", &[&port, "LISTENER", "0"]);
    assert_eq!(output(taken), "refused\n");
    let late = python("tcp_room_client.py", &[&port, "late", "1", "third"]);
    let heard = "history 10:20:30 alone first\nhistory 10:20:30 alone grüße 🐦\njoined\n\
                 heard 10:20:30 late third\n";
    assert_eq!(output(late), heard);
    assert_eq!(listener.hear_text(), "third");
}

#[test]
fn our_client_talks_through_a_python_server() {
    if !have_python() {
        return;
    }
    let mut server = python("tcp_room_server.py", &[]);
    let mut stdout = BufReader::new(server.stdout.take().unwrap());
    let address = within_patience(move || {
        let mut port = String::new();
        stdout.read_line(&mut port).unwrap();
        format!("127.0.0.1:{}", port.trim())
    });
    let chat = |name: &str, input: &str| {
        let mut child = Command::new(env!("CARGO_BIN_EXE_mynah"))
            .args(["chat", "tcp-room", &address, "--name", name, "--json"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        child
            .stdin
            .take()
            .unwrap()
            .write_all(input.as_bytes())
            .unwrap();
        let output = read_all(child.stdout.take().unwrap());
        let status = wait_for_exit(&mut child);
        let output = String::from_utf8(output.recv().unwrap().unwrap()).unwrap();
        let events: Vec<serde_json::Value> = output
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        (status.code(), events)
    };
    let (status, events) = chat("alice", "one\ntwo\n");
    assert_eq!(status, Some(0));
    let texts: Vec<_> = events
        .iter()
        .filter_map(|event| event["text"].as_str())
        .collect();
    assert_eq!(texts, ["one", "two"]);

    let (status, events) = chat("bob", "three\n");
    assert_eq!(status, Some(0));
    let history: Vec<_> = events
        .iter()
        .filter(|event| event["history"] == true)
        .map(|event| {
            (
                event["from"].as_str().unwrap(),
                event["text"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(history, [("alice", "one"), ("alice", "two")]);
    drop(server.stdin.take());
    wait_for_exit(&mut server);
}
