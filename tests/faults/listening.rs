//! Where it listens, and what it says when it cannot.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use crate::support::serve::{Client, Mynah};
use crate::support::{PATIENCE, have, or_skip, until};

/// All that a server may be told to listen for, but for the mesh, whose port is meant to be shared.
const PROTOCOLS: [&str; 6] = ["tcp-room", "group", "udp-room", "udp-login", "tcrp", "ucrp"];

/// Tries to serve where that cannot be, and expects to be told so by protocol, address and what the kernel said.
fn refuses(setup: &[&str], protocol: &str, address: SocketAddr, why: &str) {
    let folder = tempfile::tempdir().unwrap();
    let mut words = setup.iter().copied().chain([env!("CARGO_BIN_EXE_mynah")]);
    let output = Command::new(words.next().unwrap())
        .args(words)
        .args(["serve", "--listen", &format!("{protocol}={address}")])
        .arg("--data-dir")
        .arg(folder.path())
        .output()
        .unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{protocol}: {said}");
    assert_eq!(output.stdout, b"", "nothing is announced");
    let told = format!("mynah: cannot listen for {protocol} on {address}: {why}\n");
    assert!(said.ends_with(&told), "{said:?} does not tell {told:?}");
}

#[test]
fn r33_a_port_in_use_is_named_and_no_other_is_taken() {
    // The same port of both kinds: whichever the protocol wants is taken.
    let (stream, _datagram) = until("a port that is free for both", || {
        let stream = TcpListener::bind("127.0.0.1:0").unwrap();
        let datagram = UdpSocket::bind(stream.local_addr().unwrap()).ok()?;
        Some((stream, datagram))
    });
    let address = stream.local_addr().unwrap();
    for protocol in PROTOCOLS {
        refuses(
            &[],
            protocol,
            address,
            "Address already in use (os error 98)",
        );
    }
}

#[test]
fn r33_an_address_of_another_machine_is_named_and_no_other_is_taken() {
    // TEST-NET-1 is nobody's.
    let address = "192.0.2.1:4000".parse().unwrap();
    let why = "Cannot assign requested address (os error 99)";
    for protocol in PROTOCOLS {
        refuses(&[], protocol, address, why);
    }
}

#[test]
fn r33_a_port_that_needs_a_permission_is_named_and_no_other_is_taken() {
    let first = std::fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start");
    let first: u16 = first.map_or(0, |first| first.trim().parse().unwrap());
    if !or_skip(first > 1, "a port that not everybody may have") {
        return;
    }
    let mut setup = vec![];
    if rustix::process::geteuid().is_root() {
        if !have("setpriv") {
            return;
        }
        // Root, but for what makes it root here.
        setup = vec![
            "setpriv",
            "--bounding-set=-net_bind_service",
            "--inh-caps=-net_bind_service",
        ];
    }
    let address = SocketAddr::from(([127, 0, 0, 1], first - 1));
    for protocol in PROTOCOLS {
        refuses(&setup, protocol, address, "Permission denied (os error 13)");
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
fn r34_both_families_are_spoken_and_neither_takes_the_others_port() {
    if !or_skip(TcpListener::bind("[::1]:0").is_ok(), "IPv6 on the loopback") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let listens = PROTOCOLS.map(|protocol| format!("{protocol}=[::]:0"));
    let mut arguments: Vec<&str> = listens.iter().flat_map(|on| ["--listen", on]).collect();
    arguments.extend(["--listen", "tcp-room=127.0.0.1:0"]);
    arguments.extend(["--data-dir", folder.path().to_str().unwrap()]);
    let server = Mynah::serve_with(&arguments);
    for (at, protocol) in PROTOCOLS.iter().enumerate() {
        // Were it a socket of both families, this would be in use.
        let four = SocketAddr::from((Ipv4Addr::UNSPECIFIED, server.at(at).port()));
        let bound = match server.listening[at].contains(" udp ") {
            true => UdpSocket::bind(four).map(drop),
            false => TcpListener::bind(four).map(drop),
        };
        assert!(bound.is_ok(), "{protocol}: {bound:?}");
    }
    let six = SocketAddr::from((Ipv6Addr::LOCALHOST, server.at(0).port()));
    let [mut six, mut four] =
        [("six", six), ("four", server.at(PROTOCOLS.len()))].map(|(name, at)| {
            let mut client = Client::connect(at);
            client.join(name);
            assert_eq!(client.read_verdict(), 1);
            client.read_history();
            client
        });
    four.say("hello, six");
    assert_eq!(six.hear_text(), "hello, six");
}
