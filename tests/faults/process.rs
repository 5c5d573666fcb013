//! The process itself: how it is started, signalled and ended, and what becomes of its log.

use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::process::Signal;

use crate::support::serve::{Client, Mynah, join, timed};
use crate::support::{read_all, until, wait_for_exit};

#[test]
fn wrong_usage_names_the_value_and_what_would_be_right() {
    for (arguments, parts) in [
        (
            &["--listen", "tcp-rom=127.0.0.1:1"][..],
            &["tcp-rom", "tcp-room"][..],
        ),
        (
            &["--listen", "tcp-room=127.0.0.1:70000"],
            &["127.0.0.1:70000", "65535"],
        ),
        (
            &["--listen", "127.0.0.1:1"],
            &["127.0.0.1:1", "NAME=ADDR:PORT"],
        ),
        (&["--log-level", "loud"], &["loud", "info"]),
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_mynah"))
            .arg("serve")
            .args(arguments)
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        let said = String::from_utf8(output.stderr).unwrap();
        for part in parts {
            assert!(said.contains(part), "{said:?} does not tell {part:?}");
        }
    }
}

#[test]
fn r30_terminated_it_sends_what_is_due_and_ends_well() {
    let server = Mynah::serve();
    let mut alice = server.join("alice");
    let mut bob = server.join("bob");
    for n in 0..500 {
        alice.say(&format!("line {n}"));
    }
    for n in 0..500 {
        assert_eq!(alice.hear_text(), format!("line {n}"));
    }
    let address = server.address();
    let (status, took) = timed(|| server.terminate());
    assert_eq!(status.code(), Some(0));
    assert!(took < Duration::from_secs(3), "it took {took:?}");
    for n in 0..500 {
        assert_eq!(bob.hear_text(), format!("line {n}"), "what was due came");
    }
    assert_eq!(bob.read_to_end(), b"");
    assert!(
        TcpStream::connect(address).is_err(),
        "nobody listens any more"
    );
}

#[test]
fn r30_terminated_with_a_member_that_does_not_read_it_ends_all_the_same() {
    let server = Mynah::serve();
    let mut deaf = server.join("deaf");
    let mut alice = server.join("alice");
    let text = "x".repeat(4000);
    for _ in 0..1600 {
        alice.say(&text);
        alice.hear();
    }
    let (status, took) = timed(|| server.terminate());
    assert_eq!(status.code(), Some(0));
    assert!(took < Duration::from_secs(4), "it took {took:?}");
    deaf.read_to_end();
}

#[test]
fn interrupted_twice_it_ends_at_once() {
    let mut server = Mynah::serve();
    let _idle = server.join("idle");
    server.signal(Signal::INT);
    server.signal(Signal::INT);
    assert_eq!(wait_for_exit(&mut server.child).code(), Some(0));
}

#[test]
fn a_log_that_nobody_reads_stops_nothing() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mynah"));
    command
        .args([
            "serve",
            "--listen",
            "tcp-room=127.0.0.1:0",
            "--log-level",
            "trace",
        ])
        .stderr(Stdio::piped());
    let mut server = Mynah::start(command);
    // Some 200 bytes of log each: more than any pipe holds.
    for n in 0..3000 {
        let mut client = Client::connect(server.address());
        client.send(&join(&format!("visitor{n}")));
        assert_eq!(client.read_verdict(), 1);
    }
    server.join("alice");
    let log = read_all(server.child.stderr.take().unwrap());
    assert_eq!(server.terminate().code(), Some(0));
    let log = log.recv().unwrap().unwrap();
    let log = String::from_utf8(log).unwrap();
    for line in log.lines() {
        // 2026-01-31T12:34:56Z LEVEL …, and nothing that a terminal obeys.
        let time = line.split(' ').next().unwrap();
        let shape: String = time
            .chars()
            .map(|c| if c.is_ascii_digit() { '9' } else { c })
            .collect();
        assert!(shape.starts_with("9999-99-99T99:99:99"), "{line:?}");
        assert!(!line.contains(|c: char| c.is_control()), "{line:?}");
    }
}

#[test]
fn a_closed_standard_output_stops_nothing() {
    let mut command = Command::new("sh");
    let script = "exec \"$0\" serve --listen tcp-room=127.0.0.1:0 >&-";
    command
        .args(["-c", script, env!("CARGO_BIN_EXE_mynah")])
        .stderr(Stdio::piped());
    let mut child = command.stdin(Stdio::null()).spawn().unwrap();
    let pid = rustix::process::Pid::from_child(&child);
    // Nothing tells when it is ready; SIGTERM ends it well as soon as it is caught.
    until("it runs", || {
        let path = format!("/proc/{}/status", child.id());
        let status = std::fs::read_to_string(path).ok()?;
        let caught = status.lines().find(|line| line.starts_with("SigCgt"))?;
        let mask = u64::from_str_radix(caught.split_whitespace().nth(1)?, 16).ok()?;
        (mask & (1 << 14) != 0).then_some(())
    });
    rustix::process::kill_process(pid, Signal::TERM).unwrap();
    assert_eq!(wait_for_exit(&mut child).code(), Some(0));
}
