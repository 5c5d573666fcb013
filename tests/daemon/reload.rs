//! SIGHUP: the configuration is read again, and all of it is in force or nothing.

use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::unix::fs::symlink;
use std::process::{Command, Stdio};

use rustix::process::Signal;

use crate::daemon::Daemon;
use crate::support::serve::Client;
use crate::support::until;

#[test]
fn a_changed_limit_is_in_force_and_told() {
    let daemon = Daemon::new("limits.members_per_room = 2");
    let running = daemon.start();
    let mut one = running.mynah.join("one");
    let mut two = running.mynah.join("two");
    let refused = |name: &str| {
        let mut client = Client::connect(running.mynah.address());
        client.join(name);
        client.read_verdict() == 0
    };
    assert!(refused("three"));
    daemon.configure("limits.members_per_room = 3\nlimits.keepalive_idle = 33\nisolate = true");
    daemon.reload(&running);
    let three = running.mynah.join("three");
    assert!(refused("four"), "the new limit is a limit");
    one.say("still here");
    assert_eq!(two.hear_text(), "still here");
    drop(three);
    let log = running.terminate();
    for line in [
        "reloaded: limits.members_per_room: 2 -> 3",
        "reloaded: limits.keepalive_idle: 20 -> 33 for connections to come",
        "not reloaded: isolate: false -> true needs a restart",
    ] {
        assert!(log.contains(line), "{line}: {log}");
    }
}

#[test]
fn r31_a_bad_file_changes_nothing_and_is_told_with_line_and_key() {
    let daemon = Daemon::new("limits.members_per_room = 1");
    let running = daemon.start();
    let _one = running.mynah.join("one");
    let bad = [
        (
            "limits.members_per_room = 2\nlimits.rooms = 0",
            "mynah.toml:3: limits.rooms",
        ),
        (
            "limits.members_per_room = 2\nlimit.rooms = 1",
            "mynah.toml:3: limit",
        ),
        ("limits.members_per_room = 2\n[", "mynah.toml:3: "),
    ];
    for (number, (configuration, told)) in bad.into_iter().enumerate() {
        daemon.configure(configuration);
        daemon.reload(&running);
        let log = until("it is told", || {
            let log = running.log();
            let refused = "not reloaded, everything stays as it is: ";
            (log.matches(refused).count() > number).then_some(log)
        });
        let last = log.lines().last().unwrap_or_default();
        assert!(last.contains(told), "{log}");
        let mut two = Client::connect(running.mynah.address());
        two.join("two");
        assert_eq!(two.read_verdict(), 0, "the old limit is in force");
    }
    fs::remove_file(daemon.file()).unwrap();
    daemon.reload(&running);
    running.logs("mynah.toml: ");
    running.terminate();
}

#[test]
fn listeners_come_and_go_and_those_inside_stay() {
    let daemon = Daemon::new("");
    let running = daemon.start();
    let first = running.mynah.address();
    let mut member = running.mynah.join("member");
    let both =
        "listen = [\"tcp-room=127.0.0.1:0\", \"tcp-room=[::1]:0\", \"udp-room=127.0.0.1:0\"]";
    let both = match TcpListener::bind("[::1]:0") {
        Ok(_) => both.to_owned(),
        Err(_) => both.replace("[::1]:0", "127.0.0.2:0"),
    };
    daemon.configure_all(&both);
    daemon.reload(&running);
    let second: SocketAddr = running.new_place("tcp-room").parse().unwrap();
    let port: SocketAddr = running.new_place("udp-room").parse().unwrap();
    assert_ne!(first, second);
    assert_eq!(running.mynah.address(), first);
    TcpStream::connect(first).unwrap();
    let mut other = Client::connect(second);
    other.join("other");
    assert_eq!(other.read_verdict(), 1);
    other.read_history();
    other.say("from another door");
    assert_eq!(member.hear_text(), "from another door");
    UdpSocket::bind(port).expect_err("it is taken");
    // The first is removed, and the port. Where the kernel has put the second is where it is.
    daemon.configure_all(&format!("listen = [\"tcp-room={second}\"]"));
    daemon.reload(&running);
    running.logs(&format!("not listening any more for udp-room on {port}"));
    TcpStream::connect(first).expect_err("nobody listens there");
    TcpStream::connect(second).expect("here somebody does");
    // What is new is opened before what is old is closed.
    daemon.configure_all(&format!("listen = [\"group={second}\"]"));
    daemon.reload(&running);
    running.logs(&format!(
        "this server has that port for tcp-room on {second}"
    ));
    daemon.configure_all("listen = [\"group=127.0.0.1:0\"]");
    daemon.reload(&running);
    TcpStream::connect(first).expect_err("nobody listens there");
    TcpStream::connect(second).expect_err("nor there");
    UdpSocket::bind(port).expect("nor there");
    other.hear();
    member.say("the doors are closed");
    assert_eq!(member.hear_text(), "the doors are closed");
    assert_eq!(other.hear_text(), "the doors are closed");
    let log = running.terminate();
    assert!(log.contains(&format!("not listening any more for tcp-room on {first}")));
}

#[test]
fn r31_a_port_in_use_changes_nothing() {
    let daemon = Daemon::new("limits.members_per_room = 1");
    let running = daemon.start();
    let _one = running.mynah.join("one");
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = taken.local_addr().unwrap();
    daemon.configure_all(&format!(
        "listen = [\"group=127.0.0.1:0\", \"tcrp={at}\"]\nlimits.members_per_room = 2"
    ));
    daemon.reload(&running);
    let log = running.logs("not reloaded, everything stays as it is: ");
    assert!(
        log.contains(&format!("cannot listen for tcrp on {at}: ")),
        "{log}"
    );
    assert!(!log.contains("listening for group"), "{log}");
    let mut two = Client::connect(running.mynah.address());
    two.join("two");
    assert_eq!(two.read_verdict(), 0, "the old limit, at the old door");
    running.terminate();
}

#[test]
fn accounts_are_not_served_all_of_a_sudden() {
    let daemon = Daemon::new("");
    let running = daemon.start();
    daemon.configure_all("listen = [\"tcp-room=127.0.0.1:0\", \"udp-login=127.0.0.1:0\"]");
    daemon.reload(&running);
    running.logs("udp-login on 127.0.0.1:0 is new, and accounts are served only where they were at the start");
    running.terminate();
}

#[test]
fn r31_a_file_that_nobody_answers_for_keeps_nobody_waiting() {
    let daemon = Daemon::new("");
    let running = daemon.start();
    let mut member = running.mynah.join("member");
    // Whoever opens it waits for somebody who writes, as for a disk in a network that is gone.
    let pipe = daemon.file().with_file_name("pipe");
    assert!(
        Command::new("mkfifo")
            .arg(&pipe)
            .status()
            .unwrap()
            .success()
    );
    fs::remove_file(daemon.file()).unwrap();
    symlink(&pipe, daemon.file()).unwrap();
    for number in 0..100 {
        running.mynah.signal(Signal::HUP);
        member.say(&number.to_string());
        assert_eq!(member.hear_text(), number.to_string());
    }
    // As long as it waits there, it is told to stop, and does.
    let log = running.terminate();
    let told = "not reloaded, everything stays as it is: the server is about to stop";
    assert!(log.contains(told), "{log}");
}

#[test]
fn r31_what_it_was_told_to_ignore_reloads_nothing() {
    let daemon = Daemon::new("");
    let running = daemon.start_as(daemon.command("trap '' HUP"));
    let mut member = running.mynah.join("member");
    daemon.configure("limits.rooms = 0");
    for number in 0..1000 {
        running.mynah.signal(Signal::HUP);
        if number % 100 == 0 {
            member.say(&number.to_string());
            assert_eq!(member.hear_text(), number.to_string());
        }
    }
    let log = running.terminate();
    assert!(!log.contains("reloaded"), "{log}");
}

#[test]
fn without_a_file_a_reload_finds_what_there_was() {
    let daemon = Daemon::new("");
    let mut command = Command::new("env");
    command
        .args(["--default-signal=HUP", env!("CARGO_BIN_EXE_mynah")])
        .args(["serve", "--listen", "tcp-room=127.0.0.1:0"])
        .env("HOME", "/nonexistent")
        .env_remove("XDG_CONFIG_HOME")
        .stdin(Stdio::null())
        .stderr(fs::File::create(daemon.log_file()).unwrap());
    let running = daemon.start_as(command);
    running.mynah.signal(Signal::HUP);
    running.logs("reloaded: nothing has changed");
    let _member = running.mynah.join("member");
    running.terminate();
}
