//! What only a process shows: where it listens and keeps things, what it logs, and what its sockets are like.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::sync::mpsc::Receiver;

use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, Signal, pidfd_getfd, pidfd_open};
use socket2::{Domain, SockRef, Socket, Type};
use tempfile::TempDir;

use crate::namespaces::Network;
use crate::support::read_all;
use crate::support::serve::{Client, Mynah};
use crate::{Row, row};

#[rustfmt::skip]
pub const ROWS: &[Row] = &[
    row(
        "listen", "[\"group=127.0.0.1:0\", \"udp-mesh=127.0.0.1:0\"]", what_it_listens_for,
        "tcp-room group udp-room udp-login tcrp ucrp", "group udp-mesh"
    ),
    row("data_dir", "\"elsewhere\"", where_it_keeps_things, "state/mynah", "elsewhere"),
    row("log_level", "\"warn,store=debug\"", what_it_logs, "INFO of commands, INFO of server", "DEBUG of store"),
    row("limits.stopping_time", "5", what_becomes_of_the_deaf, "the server ends first", "closed late"),
    row("limits.keepalive_idle", "7", |text| of_sockets(text, |socket| socket.tcp_keepalive_time()), "20s", "7s"),
    row("limits.keepalive_interval", "7", |text| of_sockets(text, |socket| socket.tcp_keepalive_interval()), "10s", "7s"),
    row("limits.unacknowledged_time", "7", |text| of_sockets(text, |socket| socket.tcp_user_timeout().map(Option::unwrap)), "30s", "7s"),
];

/// A server under a configuration, at home in a folder of its own.
struct Trial {
    folder: TempDir,
    mynah: Mynah,
    /// What it says on standard error.
    words: Receiver<io::Result<Vec<u8>>>,
}

impl Trial {
    /// One that listens for two protocols, on ports of the kernel's choice.
    fn begin(text: &str) -> Trial {
        let listen = "listen = [\"tcp-room=127.0.0.1:0\", \"udp-login=127.0.0.1:0\"]\n";
        Trial::begin_listening(&format!("{listen}{text}"))
    }

    /// One that listens for what the text says.
    fn begin_listening(text: &str) -> Trial {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("mynah.toml");
        fs::write(&config, text).unwrap();
        let (words, writer) = io::pipe().unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_mynah"));
        command.arg("serve").arg("--config").arg(config);
        command.current_dir(folder.path());
        command.env("XDG_STATE_HOME", folder.path().join("state"));
        command.env_remove("STATE_DIRECTORY");
        command.env_remove("RUNTIME_DIRECTORY");
        command.stdin(Stdio::null()).stderr(writer);
        let mynah = Mynah::start(command);
        let words = read_all(words);
        Trial {
            folder,
            mynah,
            words,
        }
    }
}

fn what_it_listens_for(text: &str) -> String {
    let begin = || Trial::begin_listening(text);
    let trial = if text.is_empty() {
        // The default has ports of its own, which on this machine may be somebody's.
        let Some(network) = Network::of::<1>() else {
            return ROWS[0].without.to_owned();
        };
        let [host] = network.hosts();
        host.within(begin)
    } else {
        begin()
    };
    let protocols = trial.mynah.listening.iter().map(|line| {
        let mut words = line.split(' ');
        words.nth(1).unwrap().to_owned()
    });
    protocols.collect::<Vec<_>>().join(" ")
}

fn where_it_keeps_things(text: &str) -> String {
    let trial = Trial::begin(text);
    let is_home = |place: &&str| trial.folder.path().join(place).join("mynah.lock").exists();
    let places = ["state/mynah", "elsewhere"];
    places.into_iter().filter(is_home).collect()
}

/// Of which rooms, at which levels.
fn what_it_logs(text: &str) -> String {
    let trial = Trial::begin(text);
    assert!(trial.mynah.terminate().success());
    let words = trial.words.recv().unwrap().unwrap();
    let words = String::from_utf8(words).unwrap();
    let stamps = words.lines().map(|line| {
        let (_, stamp) = line.split_once('[').unwrap();
        let (level, target) = stamp.split_once(']').unwrap().0.split_once(' ').unwrap();
        let room = target.split("::").next().unwrap();
        format!("{level} of {room}")
    });
    let stamps: BTreeSet<String> = stamps.collect();
    stamps.into_iter().collect::<Vec<_>>().join(", ")
}

/// An option of the server's end of a connection, as its kernel has it.
fn of_sockets<T: std::fmt::Debug>(text: &str, option: fn(SockRef<'_>) -> io::Result<T>) -> String {
    let trial = Trial::begin(text);
    let here = TcpStream::connect(trial.mynah.address()).unwrap();
    let client = here.local_addr().unwrap();
    let process = pidfd_open(Pid::from_child(&trial.mynah.child), PidfdFlags::empty()).unwrap();
    let theirs = crate::support::until("it is accepted", || {
        (3..64).find_map(|number| {
            let socket = pidfd_getfd(&process, number, PidfdGetfdFlags::empty()).ok()?;
            let peer = SockRef::from(&socket).peer_addr().ok()?;
            (peer.as_socket() == Some(client)).then_some(socket)
        })
    });
    let value = option(SockRef::from(&theirs)).unwrap();
    format!("{value:?}")
}

/// What comes first for one who does not take the rest of a frame when the server is told to stop: its own time, three
/// seconds, or that of all.
fn what_becomes_of_the_deaf(text: &str) -> String {
    let trial = Trial::begin(&format!(
        "limits.closing_time = 3\nlimits.backlog_bytes = 8388608\n{text}"
    ));
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(2048).unwrap();
    socket.connect(&trial.mynah.address().into()).unwrap();
    let mut deaf = Client::over(socket.into());
    deaf.join("deaf");
    assert_eq!(deaf.read_verdict(), 1);
    let mut talker = trial.mynah.join("talker");
    // More than the kernel keeps for one, and less than the server does.
    for _ in 0..1500 {
        talker.say(&"x".repeat(4096));
        talker.hear();
    }
    trial.mynah.signal(Signal::TERM);
    talker.read_to_end();
    let words = trial.words.recv().unwrap().unwrap();
    let words = String::from_utf8(words).unwrap();
    let last = words.lines().last().unwrap();
    assert!(last.contains("stopped: accepted=2 "), "{words}");
    match last.contains(" closed_late=1") {
        true => "closed late",
        false => "the server ends first",
    }
    .to_owned()
}
