//! SIGHUP: the configuration is read again, and all of it is in force or nothing.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

use crate::daemon::Daemon;
use crate::support::serve::Client;
use crate::support::{PATIENCE, have, until, wait_for_exit};

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
fn a_change_of_what_is_logged_is_told_at_the_louder_of_both() {
    let daemon = Daemon::new("log_level = \"error\"");
    let running = daemon.start();
    daemon.configure("log_level = \"info\"");
    daemon.reload(&running);
    running.logs("reloaded: log_level: \"error\" -> \"info\"");
    daemon.configure("log_level = \"off\"");
    daemon.reload(&running);
    running.logs("reloaded: log_level: \"info\" -> \"off\"");
    let log = running.terminate();
    assert!(!log.contains("stopping"), "{log}");
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

/// A port that is free at all addresses, for TCP and for UDP, as well as that can be known.
fn free_port() -> u16 {
    until("a port is free", || {
        let stream = TcpListener::bind("0.0.0.0:0").unwrap();
        let port = stream.local_addr().unwrap().port();
        UdpSocket::bind(("0.0.0.0", port)).ok().map(|_| port)
    })
}

/// A datagram port that has joined a udp-room.
fn guest(name: &str, at: SocketAddr) -> UdpSocket {
    let guest = UdpSocket::bind("127.0.0.1:0").unwrap();
    guest.set_read_timeout(Some(PATIENCE)).unwrap();
    // Not connected: a server on all addresses answers from the one that is nearest.
    guest.send_to(format!("UN| {name}").as_bytes(), at).unwrap();
    hears(&guest, name);
    guest
}

/// Waits until it is told that.
fn hears(guest: &UdpSocket, words: &str) {
    until(words, || {
        let mut buffer = [0; 2048];
        let length = guest.recv(&mut buffer).unwrap();
        let said = String::from_utf8_lossy(&buffer[..length]);
        said.contains(words).then_some(())
    });
}

#[test]
fn r31_others_are_let_in_without_a_moment_in_which_nobody_is() {
    let (room, group) = (free_port(), free_port());
    let at = |ip: &str, port: u16| SocketAddr::new(ip.parse().unwrap(), port);
    let listen = |ip: &str, room: u16, group: u16| {
        format!(
            "listen = [\"tcp-room={ip}:{room}\", \"udp-room={ip}:{room}\", \"group={ip}:{group}\"]"
        )
    };
    let daemon = Daemon::new("");
    daemon.configure_all(&listen("127.0.0.1", room, group));
    let running = daemon.start();
    let mut member = running.mynah.join("member");
    let inside = guest("inside", at("127.0.0.1", room));
    // Another program has one of the addresses: nobody is put out for what cannot be had.
    for taken in [
        OwnedFd::from(TcpListener::bind(("127.0.0.9", room)).unwrap()),
        UdpSocket::bind(("127.0.0.9", group)).unwrap().into(),
    ] {
        daemon.configure_all(
            &listen("0.0.0.0", room, group).replace("]", &format!(", \"ucrp=0.0.0.0:{group}\"]")),
        );
        let before = running.log().len();
        daemon.reload(&running);
        until("it is refused", || {
            let log = running.log().split_off(before);
            let refused = "not reloaded, everything stays as it is: cannot listen for ";
            let why = "Address already in use (os error 98)\n";
            (log.contains(refused) && log.contains(why)).then_some(())
        });
        TcpStream::connect(("127.0.0.2", group)).expect_err("nobody listens there");
        member.say("as before");
        until("it is heard", || {
            (member.hear_text() == "as before").then_some(())
        });
        hears(&inside, "as before");
        drop(taken);
    }
    // To all, and who came by TCP stays.
    daemon.configure_all(&listen("0.0.0.0", room, group));
    daemon.reload(&running);
    running.logs(&format!(
        "not listening any more for udp-room on 127.0.0.1:{room}"
    ));
    let mut other = Client::connect(at("127.0.0.2", room));
    other.join("other");
    assert_eq!(other.read_verdict(), 1);
    let elsewhere = guest("elsewhere", at("127.0.0.3", room));
    drop(elsewhere);
    member.say("everybody is here");
    until("it is heard", || {
        (member.hear_text() == "everybody is here").then_some(())
    });
    // Its own it has alone again.
    TcpListener::bind(("127.0.0.9", room)).expect_err("it is taken");
    UdpSocket::bind(("127.0.0.9", room)).expect_err("it is taken");
    // And two that change places, back where nobody else comes.
    daemon.configure_all(&listen("127.0.0.1", group, room));
    daemon.reload(&running);
    running.logs(&format!(
        "not listening any more for group on 0.0.0.0:{group}"
    ));
    TcpStream::connect(("127.0.0.2", room)).expect_err("nobody listens there");
    let mut swapped = Client::connect(at("127.0.0.1", group));
    swapped.join("swapped");
    assert_eq!(swapped.read_verdict(), 1);
    guest("guest", at("127.0.0.1", group));
    let log = running.terminate();
    assert!(!log.contains("shares its address"), "{log}");
}

#[test]
fn a_port_that_a_door_keeps_is_not_had_for_another() {
    let daemon = Daemon::new("");
    let running = daemon.start();
    let at = running.mynah.address();
    daemon.configure_all(&format!(
        "listen = [\"tcp-room={at}\", \"group=0.0.0.0:{}\"]",
        at.port()
    ));
    daemon.reload(&running);
    running.logs("not reloaded, everything stays as it is: ");
    TcpStream::connect(at).expect("it is there");
    running.terminate();
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

/// Has a file be so that whoever opens it waits for the better part of a minute (`F_SETLEASE` in fcntl(2)), as with a
/// disk in a network that is gone. It is over when the file is replaced, for who comes then, or the child killed.
fn hold(file: &Path) -> Option<Child> {
    let hold = "import fcntl, os, signal, sys
signal.signal(signal.SIGIO, signal.SIG_IGN)
fcntl.fcntl(os.open(sys.argv[1], os.O_RDWR), fcntl.F_SETLEASE, fcntl.F_WRLCK)
print('held', flush=True)
sys.stdin.read()";
    if !have("python3") {
        return None;
    }
    let mut python = Command::new("python3");
    python.args(["-c", hold]).arg(file);
    python.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = python.spawn().unwrap();
    let mut said = String::new();
    let out = child.stdout.take().unwrap();
    BufReader::new(out).read_line(&mut said).unwrap();
    assert_eq!(said, "held\n");
    Some(child)
}

#[test]
fn r31_a_file_that_nobody_answers_for_keeps_nobody_waiting() {
    let daemon = Daemon::new("");
    let running = daemon.start();
    let mut member = running.mynah.join("member");
    let Some(mut holder) = hold(&daemon.file()) else {
        return;
    };
    for number in 0..100 {
        running.mynah.signal(Signal::HUP);
        member.say(&number.to_string());
        assert_eq!(member.hear_text(), number.to_string());
    }
    // The first is waited for, then the one that was asked for meanwhile; whoever asks by the control socket hears of it.
    let mut ctl = Command::new(env!("CARGO_BIN_EXE_mynah"));
    ctl.arg("ctl")
        .arg("--data-dir")
        .arg(daemon.file().with_file_name("data"));
    let answer = ctl.arg("reload").output().unwrap();
    let told = "it could not be read within 5 s: its disk does not answer";
    let said = String::from_utf8_lossy(&answer.stderr).into_owned();
    assert!(!answer.status.success() && said.contains(told), "{said}");
    for _ in 0..2 {
        daemon.told_of("RELOADING=1\n");
        let status = daemon.told_of("READY=1\n");
        let why = format!("; not reloaded: {told}");
        assert!(status.contains(&why), "{status}");
    }
    running.logs(told);
    // With a file that is there all is well, whatever the threads are at that wait for the other.
    daemon.configure("limits.rooms = 7");
    daemon.reload(&running);
    running.logs("reloaded: limits.rooms: 4096 -> 7");
    // As long as it waits again, it is told to stop, and does.
    let mut other = hold(&daemon.file()).unwrap();
    running.mynah.signal(Signal::HUP);
    daemon.told_of("RELOADING=1\n");
    let log = running.terminate();
    let told = "not reloaded, everything stays as it is: the server is about to stop";
    assert!(log.contains(told), "{log}");
    for holder in [&mut holder, &mut other] {
        holder.kill().unwrap();
        holder.wait().unwrap();
    }
}

#[test]
fn r31_what_is_no_file_is_read_at_the_start_alone() {
    let daemon = Daemon::new("");
    let running = daemon.start();
    // Whoever opens it waits for somebody who writes.
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
    daemon.reload(&running);
    running.logs(
        "mynah.toml: cannot be read: it is no file, and what is none is read at the start alone",
    );
    fs::remove_file(daemon.file()).unwrap();
    symlink("/dev/zero", daemon.file()).unwrap();
    daemon.reload(&running);
    daemon.configure("limits.rooms = 7");
    daemon.reload(&running);
    let log = running.terminate();
    assert_eq!(log.matches("it is no file").count(), 2, "{log}");
    assert!(log.contains("reloaded: limits.rooms: 4096 -> 7"), "{log}");
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
fn a_server_goes_with_its_terminal() {
    let daemon = Daemon::new("");
    let closed_there = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let window = openpt(closed_there).unwrap();
    grantpt(&window).unwrap();
    unlockpt(&window).unwrap();
    let line = ptsname(&window, Vec::new()).unwrap();
    let before = format!("exec <{}", line.to_str().unwrap());
    let mut running = daemon.start_as(daemon.command_by(&before, "setsid --ctty"));
    let _member = running.mynah.join("member");
    // Somebody else's is a reload there, too.
    running.mynah.signal(Signal::HUP);
    running.logs("reloaded: nothing has changed");
    drop(window);
    assert_eq!(wait_for_exit(&mut running.mynah.child).code(), Some(0));
    running.logs("stopping: the terminal is gone, 1 connections");
}

#[test]
fn signals_before_it_serves_are_obeyed_when_it_does() {
    let daemon = Daemon::new("");
    // Whoever opens it waits for somebody who writes: until then the start goes on.
    let pipe = daemon.file().with_file_name("pipe");
    let made = Command::new("mkfifo").arg(&pipe).status().unwrap();
    assert!(made.success());
    fs::remove_file(daemon.file()).unwrap();
    symlink(&pipe, daemon.file()).unwrap();
    let mut server = daemon.command("").stdout(Stdio::null()).spawn().unwrap();
    let number = Pid::from_child(&server);
    // Its own name, and what it catches, say that it is it, and so far (proc(5)).
    let status = format!("/proc/{}/status", server.id());
    until("it catches signals", || {
        let status = fs::read_to_string(&status).unwrap();
        let (_, caught) = status.split_once("SigCgt:\t").unwrap();
        let caught = u64::from_str_radix(caught.lines().next().unwrap(), 16).unwrap();
        let bit = |signal: Signal| 1 << (signal.as_raw() - 1);
        let both = bit(Signal::HUP) | bit(Signal::USR2);
        (caught & both == both).then_some(())
    });
    kill_process(number, Signal::HUP).unwrap();
    kill_process(number, Signal::USR2).unwrap();
    fs::write(&pipe, "listen = [\"tcp-room=127.0.0.1:0\"]\n").unwrap();
    let status = wait_for_exit(&mut server);
    let log = fs::read_to_string(daemon.log_file()).unwrap();
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(log.contains("draining: SIGUSR2, members: 0"), "{log}");
}

#[test]
fn without_a_file_a_reload_finds_what_there_was() {
    let daemon = Daemon::new("");
    let home = tempfile::tempdir().unwrap();
    let mut command = Command::new("env");
    command
        .args(["--default-signal=HUP", env!("CARGO_BIN_EXE_mynah")])
        .args(["serve", "--listen", "tcp-room=127.0.0.1:0"])
        .env("HOME", home.path())
        .env_remove("XDG_CONFIG_HOME")
        .stdin(Stdio::null())
        .stderr(fs::File::create(daemon.log_file()).unwrap());
    let running = daemon.start_as(command);
    running.mynah.signal(Signal::HUP);
    running.logs("reloaded: nothing has changed");
    let _member = running.mynah.join("member");
    running.terminate();
}
