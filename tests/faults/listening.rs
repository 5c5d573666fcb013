//! Where it listens, and what it says when it cannot.

use std::net::{TcpListener, UdpSocket};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use crate::support::serve::{Client, Mynah};
use crate::support::{PATIENCE, or_skip};

#[test]
fn a_port_in_use_is_named_and_no_other_is_taken() {
    let holder = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = holder.local_addr().unwrap();
    let listen = format!("tcp-room={address}");
    let output = Command::new(env!("CARGO_BIN_EXE_mynah"))
        .args(["serve", "--listen", &listen])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(output.stdout, b"");
    let said = String::from_utf8(output.stderr).unwrap();
    for part in ["tcp-room", &address.to_string(), "in use"] {
        assert!(said.contains(part), "{said:?} does not tell {part:?}");
    }
}

#[test]
fn without_flags_every_protocol_is_announced_on_this_machine() {
    let tcp = |port| TcpListener::bind(("127.0.0.1", port)).is_ok();
    let udp = |port| UdpSocket::bind(("127.0.0.1", port)).is_ok();
    let are_free =
        || [42069, 1337, 9090].map(tcp) == [true; 3] && [9999, 65015, 9091].map(udp) == [true; 3];
    // Somebody's connection may have one of them for a moment: the kernel chooses among them, too.
    let deadline = Instant::now() + PATIENCE;
    while !are_free() && Instant::now() < deadline {
        thread::sleep(Duration::from_millis(20));
    }
    if !or_skip(are_free(), "all the default ports free") {
        return;
    }
    // Where accounts are kept is the one thing that a test must not have by default.
    let folder = tempfile::tempdir().unwrap();
    let server = Mynah::serve_with(&["--data-dir", folder.path().to_str().unwrap()]);
    assert_eq!(
        server.listening,
        [
            "listening tcp-room tcp 127.0.0.1:42069",
            "listening group tcp 127.0.0.1:1337",
            "listening udp-room udp 127.0.0.1:9999",
            "listening udp-login udp 127.0.0.1:65015",
            "listening tcrp tcp 127.0.0.1:9090",
            "listening ucrp udp 127.0.0.1:9091",
        ]
    );
}

#[test]
fn both_families_are_spoken_where_the_machine_has_them() {
    if !or_skip(TcpListener::bind("[::1]:0").is_ok(), "IPv6 on the loopback") {
        return;
    }
    let server = Mynah::serve_with(&[
        "--listen",
        "tcp-room=[::1]:0",
        "--listen",
        "tcp-room=127.0.0.1:0",
    ]);
    let mut six = server.join("six");
    let four = server.listening[1]
        .rsplit(' ')
        .next()
        .unwrap()
        .parse()
        .unwrap();
    let mut four = Client::connect(four);
    four.join("four");
    assert_eq!(four.read_verdict(), 1);
    four.read_history();
    four.say("hello, six");
    assert_eq!(six.hear_text(), "hello, six");
}
