//! Socket activation: descriptors handed over as systemd does (sd_listen_fds(3)), from number 3 on.

use std::fs;
use std::io::Read;
use std::net::{Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::process::Command;

use rustix::io::{FdFlags, fcntl_setfd};
use rustix::process::Signal;
use socket2::{Domain, Socket, Type};

use crate::chat::Chat;
use crate::daemon::{Daemon, Running};
use crate::support::serve::Client;
use crate::support::{until, wait_for_exit};

/// A command to which those are handed over by those names.
fn handed(daemon: &Daemon, sockets: &[(&str, OwnedFd)]) -> Command {
    let mut before = String::new();
    // Out of the way first: they may have each other's numbers.
    for (_, socket) in sockets {
        fcntl_setfd(socket, FdFlags::empty()).unwrap();
    }
    for (at, (_, socket)) in sockets.iter().enumerate() {
        before += &format!("exec {}<&{}\n", BESIDE + at, socket.as_raw_fd());
    }
    for at in 0..sockets.len() {
        before += &format!("exec {}<&{}\n", FIRST + at, BESIDE + at);
    }
    // None but those that are handed over is left.
    for fd in FIRST + sockets.len()..BESIDE + sockets.len() {
        before += &format!("exec {fd}<&-\n");
    }
    let names: Vec<&str> = sockets.iter().map(|(name, _)| *name).collect();
    before += "export LISTEN_PID=$$";
    // Only bash has descriptors of two digits.
    let mut command = Command::new("env");
    command.args(["--default-signal=HUP", "bash", "-c"]);
    command.arg(format!("{before}\nexec \"$0\" serve \"$@\""));
    command.arg(env!("CARGO_BIN_EXE_mynah"));
    command.arg("--config").arg(daemon.file());
    command
        .arg("--data-dir")
        .arg(daemon.file().with_file_name("data"));
    command.env("LISTEN_FDS", sockets.len().to_string());
    command.env("LISTEN_FDNAMES", names.join(":"));
    command.stderr(fs::File::create(daemon.log_file()).unwrap());
    command
}

const FIRST: usize = 3;

/// Beyond any descriptor of the test that is handed over, with its threads.
const BESIDE: usize = 100;

fn listener() -> (OwnedFd, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap();
    (listener.into(), at)
}

fn port() -> (OwnedFd, SocketAddr) {
    let port = UdpSocket::bind("127.0.0.1:0").unwrap();
    let at = port.local_addr().unwrap();
    (port.into(), at)
}

/// A server that says nothing of its own about what to listen for.
fn nothing_named() -> Daemon {
    let daemon = Daemon::new("");
    daemon.configure_all("");
    daemon
}

fn member(at: SocketAddr, name: &str) -> Client {
    let mut client = Client::connect(at);
    client.join(name);
    assert_eq!(client.read_verdict(), 1, "{name} is let in");
    client.read_history();
    client
}

/// How it fails.
fn refused(mut command: Command) -> Option<i32> {
    command.output().unwrap().status.code()
}

#[test]
fn sockets_are_served_by_their_names_and_nothing_else_is_opened() {
    let daemon = nothing_named();
    let (one, one_at) = listener();
    let (two, two_at) = listener();
    let (room, room_at) = port();
    let (login, login_at) = port();
    // Somebody waits before there is a server at all.
    let mut early = Client::connect(two_at);
    early.join("early");
    let sockets = [
        ("tcp-room", one),
        ("udp-room", room),
        ("tcp-room", two),
        ("udp-login", login),
    ];
    let running = daemon.start_as(handed(&daemon, &sockets));
    assert_eq!(
        running.mynah.listening,
        [
            format!("listening tcp-room tcp {one_at}"),
            format!("listening udp-room udp {room_at}"),
            format!("listening tcp-room tcp {two_at}"),
            format!("listening udp-login udp {login_at}"),
        ]
    );
    assert_eq!(early.read_verdict(), 1);
    early.read_history();
    let mut other = member(one_at, "other");
    other.say("by another door");
    assert_eq!(early.hear_text(), "by another door");
    let mut guest = Chat::start(&format!("udp-room {room_at} --name guest"));
    guest.joined();
    running.terminate();
}

#[test]
fn what_is_named_is_opened_besides_and_what_is_handed_over_is_not_opened_twice() {
    let daemon = nothing_named();
    let (one, one_at) = listener();
    daemon.configure_all(&format!(
        "listen = [\"tcp-room={one_at}\", \"group=127.0.0.1:0\"]"
    ));
    let running = daemon.start_as(handed(&daemon, &[("tcp-room", one)]));
    assert_eq!(running.mynah.listening.len(), 2);
    assert_eq!(
        running.mynah.listening[0],
        format!("listening tcp-room tcp {one_at}")
    );
    assert!(running.mynah.listening[1].starts_with("listening group tcp "));
    let mut inside = member(one_at, "inside");
    // A reload closes what is named no more, and nothing that was handed over.
    daemon.configure_all("listen = [\"tcrp=127.0.0.1:0\", \"ucrp=127.0.0.1:0\"]");
    running.mynah.signal(Signal::HUP);
    running.logs("not listening any more for group on");
    running.logs("listening for tcrp on");
    let mut other = member(one_at, "other");
    other.say("hi");
    assert_eq!(inside.hear_text(), "hi");
    running.terminate();
}

#[test]
fn one_that_takes_both_families_knows_each_address_in_one_form() {
    let v6 = |kind| {
        let socket = Socket::new(Domain::IPV6, kind, None).ok()?;
        socket.set_only_v6(false).ok()?;
        socket
            .bind(&SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)).into())
            .ok()?;
        Some(socket)
    };
    let (Some(stream), Some(datagrams)) = (v6(Type::STREAM), v6(Type::DGRAM)) else {
        crate::support::or_skip(false, "IPv6");
        return;
    };
    stream.listen(16).unwrap();
    let at = |socket: &Socket| {
        let port = socket.local_addr().unwrap().as_socket().unwrap().port();
        SocketAddr::from(([127, 0, 0, 1], port))
    };
    let (stream_at, datagrams_at) = (at(&stream), at(&datagrams));
    let daemon = nothing_named();
    daemon.configure_all("log_level = \"debug\"");
    let sockets = [("tcp-room", stream.into()), ("udp-room", datagrams.into())];
    let running = daemon.start_as(handed(&daemon, &sockets));
    let mut inside = member(stream_at, "inside");
    running.logs("tcp-room 127.0.0.1:");
    // It is answered in the family that it asked in.
    let mut guest = Chat::start(&format!("udp-room {datagrams_at} --name guest"));
    guest.joined();
    let log = running.logs("udp-room 127.0.0.1:");
    assert!(!log.contains("::ffff"), "{log}");
    inside.say("hi");
    running.terminate();
}

#[test]
fn what_is_no_door_is_told_and_nothing_is_served() {
    let (stream, _) = listener();
    let (datagrams, _) = port();
    let (unix, folder) = {
        let folder = tempfile::tempdir().unwrap();
        let unix = UnixListener::bind(folder.path().join("x")).unwrap();
        (OwnedFd::from(unix), folder)
    };
    let silent: OwnedFd = Socket::new(Domain::IPV4, Type::STREAM, None)
        .unwrap()
        .into();
    let file: OwnedFd = fs::File::open("/dev/null").unwrap().into();
    let clone = |fd: &OwnedFd| fd.try_clone().unwrap();
    let table = [
        (
            "irc",
            clone(&stream),
            "called \"irc\"; there is: tcp-room, ",
        ),
        ("unknown", clone(&stream), "called \"unknown\""),
        (
            "tcp-room",
            datagrams,
            "a datagram socket (IPv4); needed is a TCP socket that listens",
        ),
        ("tcp-room", unix, "a stream socket that listens (Unix)"),
        (
            "group",
            silent,
            "a stream socket that does not listen (IPv4)",
        ),
        (
            "udp-room",
            clone(&stream),
            "a stream socket that listens (IPv4); needed is a UDP socket",
        ),
        ("udp-mesh", clone(&stream), "needed is an IPv4 UDP socket"),
        ("control", stream, "needed is a Unix socket that listens"),
        (
            "tcp-room",
            file,
            "that was handed over for tcp-room: Socket operation on non-socket",
        ),
    ];
    for (name, socket, told) in table {
        let daemon = nothing_named();
        let status = refused(handed(&daemon, &[(name, socket)]));
        let log = fs::read_to_string(daemon.log_file()).unwrap();
        assert_eq!(status, Some(78), "{log}");
        assert!(log.contains(told), "{told}: {log}");
    }
    drop(folder);
}

#[test]
fn what_makes_no_sense_is_told_and_what_is_for_another_process_is_nothing() {
    for (fds, names, told) in [
        ("x", "tcp-room", "invalid LISTEN_FDS"),
        ("1", "tcp-room:group", "invalid LISTEN_FDNAMES"),
        ("90", "", "Bad file descriptor"),
    ] {
        let daemon = nothing_named();
        let (socket, _) = listener();
        let sockets = [("tcp-room", socket)];
        let mut command = handed(&daemon, &sockets);
        command.env("LISTEN_FDS", fds).env("LISTEN_FDNAMES", names);
        let status = refused(command);
        let log = fs::read_to_string(daemon.log_file()).unwrap();
        assert_eq!(status, Some(78), "{log}");
        assert!(log.contains(told), "{told}: {log}");
    }
    let daemon = Daemon::new("");
    let mut command = daemon.command("");
    command
        .env("LISTEN_PID", "1")
        .env("LISTEN_FDS", "7")
        .env("LISTEN_FDNAMES", "whatever");
    let running = daemon.start_as(command);
    running.mynah.join("member");
    running.terminate();
}

#[test]
fn a_drain_closes_what_was_handed_over_and_whoever_handed_it_over_has_it_still() {
    let daemon = nothing_named();
    let (socket, at) = listener();
    let ours = TcpListener::from(socket.try_clone().unwrap());
    let running: Running = daemon.start_as(handed(&daemon, &[("tcp-room", socket)]));
    let mut inside = member(at, "inside");
    running.mynah.signal(Signal::USR2);
    inside.hear();
    running.logs("draining: SIGUSR2");
    // Who comes now waits for whoever takes it up next.
    let mut late = TcpStream::connect(at).unwrap();
    let (mut accepted, _) = ours.accept().unwrap();
    drop(inside);
    let log = running.wait();
    assert!(log.contains("accepted=1 "), "{log}");
    std::io::Write::write_all(&mut late, b"x").unwrap();
    accepted.read_exact(&mut [0]).unwrap();
}

#[test]
fn a_server_that_ends_leaves_the_socket_to_the_next() {
    let daemon = nothing_named();
    let (socket, at) = listener();
    for _ in 0..2 {
        let sockets = [("tcp-room", socket.try_clone().unwrap())];
        let mut running = daemon.start_as(handed(&daemon, &sockets));
        drop(sockets);
        drop(member(at, "member"));
        running.mynah.signal(Signal::INT);
        until("it ends", || running.mynah.child.try_wait().unwrap());
        wait_for_exit(&mut running.mynah.child);
    }
}
