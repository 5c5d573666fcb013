//! What only a process shows: where it listens and keeps things, what it logs, and what its sockets are like.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::process::Command;

use mynah::store::FILE_NAME;
use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, Signal, pidfd_getfd, pidfd_open};
use socket2::{Domain, SockRef, Socket, Type};
use tempfile::TempDir;

use crate::namespaces::Network;
use crate::support::logins;
use crate::support::serve::{Client, Mynah};
use crate::support::{until, wait_for_exit};
use crate::{Comes, Config, Row, row};

#[rustfmt::skip]
pub const ROWS: &[Row] = &[
    row(
        "listen", "[\"group=127.0.0.1:0\", \"udp-mesh=127.0.0.1:0\"]", what_it_listens_for,
        "tcp-room group udp-room udp-login tcrp ucrp", "group udp-mesh"
    ),
    row("data_dir", "\"elsewhere\"", where_it_keeps_things, "state/mynah", "elsewhere"),
    row("control", "\"elsewhere.sock\"", where_it_is_controlled, "mynah.sock", "elsewhere.sock"),
    row("control", "\"\"", where_it_is_controlled, "mynah.sock", "nowhere"),
    row("isolate", "true", joins_as_somebody, "the name is taken", "the name is free"),
    row("group.advertise", "\"claimed\"", shown_of_bob, "127.0.0.1:7", "127.0.0.9:7"),
    row("accounts.registration", "\"closed\"", registers, "WELCOME", "DENIED wrong name or password"),
    row("accounts.argon2_memory_kib", "1024", keeps_passwords, "m=19456,t=2,p=1", "m=1024,t=2,p=1"),
    row("accounts.argon2_passes", "1", keeps_passwords, "m=19456,t=2,p=1", "m=19456,t=1,p=1"),
    row("accounts.argon2_lanes", "2", keeps_passwords, "m=19456,t=2,p=1", "m=19456,t=2,p=2"),
    row("log_level", "\"warn,store=debug\"", what_it_logs, "INFO of commands, INFO of server", "DEBUG of store"),
    row("limits.stopping_time", "5", what_becomes_of_the_deaf, "the server ends first", "closed late"),
    row("drain_timeout", "1", patience_of_a_drain, "60 minutes", "1 second, and it ends"),
    row("access.metrics.allow", "[\"192.0.2.0/24\"]", asks_for_health, "HTTP/1.1 200 OK", "nothing"),
    row("access.metrics.deny", "[\"127.0.0.1\"]", asks_for_health, "HTTP/1.1 200 OK", "nothing"),
    row("limits.keepalive_idle", "7", |config| of_sockets(config, |socket| socket.tcp_keepalive_time()), "20s", "7s"),
    row("limits.keepalive_interval", "7", |config| of_sockets(config, |socket| socket.tcp_keepalive_interval()), "10s", "7s"),
    row("limits.unacknowledged_time", "7", |config| of_sockets(config, |socket| socket.tcp_user_timeout().map(Option::unwrap)), "30s", "7s"),
];

/// A server under a configuration, at home in a folder of its own.
struct Trial {
    folder: TempDir,
    mynah: Mynah,
}

impl Trial {
    /// One that listens for two protocols, on ports of the kernel's choice.
    fn begin(config: &Config) -> Trial {
        let listen = "listen = [\"tcp-room=127.0.0.1:0\", \"udp-login=127.0.0.1:0\"]\n";
        Trial::begin_listening(&config.over(listen))
    }

    /// One that listens for what its file says.
    fn begin_listening(config: &Config) -> Trial {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("mynah.toml");
        fs::write(&file, config.at_start()).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_mynah"));
        command.arg("serve").arg("--config").arg(&file);
        command.current_dir(folder.path());
        command.env("XDG_STATE_HOME", folder.path().join("state"));
        command.env_remove("STATE_DIRECTORY");
        command.env_remove("RUNTIME_DIRECTORY");
        let log = File::create(folder.path().join("log")).unwrap();
        command.stderr(log);
        let mynah = Mynah::start(command);
        let trial = Trial { folder, mynah };
        if config.comes == Comes::ByReload {
            fs::write(&file, config.at_last()).unwrap();
            trial.mynah.signal(Signal::HUP);
            until("it reloads", || {
                trial.log().contains("reloaded: ").then_some(())
            });
        }
        trial
    }

    /// What it has said on standard error.
    fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap()
    }
}

fn what_it_listens_for(config: &Config) -> String {
    let begin = || {
        let trial = Trial::begin_listening(config);
        (trial.mynah.listening.clone(), trial.log())
    };
    let (first, log) = if config.at_start().is_empty() {
        // The default has ports of its own, which on this machine may be somebody's.
        let Some(network) = Network::of::<1>() else {
            return match config.at_last().is_empty() {
                true => ROWS[0].without.to_owned(),
                false => ROWS[0].with.to_owned(),
            };
        };
        let [host] = network.hosts();
        host.within(begin)
    } else {
        begin()
    };
    let word = |line: &str, number: usize| line.split(' ').nth(number).unwrap().to_owned();
    let mut protocols: Vec<String> = first.iter().map(|line| word(line, 1)).collect();
    // And what has changed since.
    let told = |words: &'static str| {
        let lines = log.lines();
        lines.filter_map(move |line| line.split_once(words).map(|(_, door)| word(door, 0)))
    };
    let closed: Vec<String> = told(": not listening any more for ").collect();
    protocols.retain(|protocol| !closed.contains(protocol));
    protocols.extend(told(": listening for "));
    protocols.join(" ")
}

fn where_it_keeps_things(config: &Config) -> String {
    let trial = Trial::begin(config);
    let is_home = |place: &&str| trial.folder.path().join(place).join("mynah.lock").exists();
    let places = ["state/mynah", "elsewhere"];
    places.into_iter().filter(is_home).collect()
}

fn where_it_is_controlled(config: &Config) -> String {
    let trial = Trial::begin(config);
    let data = trial.folder.path().join("state/mynah");
    let is_there = |place: &&str| UnixStream::connect(data.join(place)).is_ok();
    let mut places = ["mynah.sock", "elsewhere.sock"].into_iter();
    places.find(is_there).unwrap_or("nowhere").to_owned()
}

/// Whether somebody in one protocol may have a name that somebody has in another.
fn joins_as_somebody(config: &Config) -> String {
    let Trial {
        folder: _folder,
        mynah,
    } = Trial::begin(config);
    let mut house = logins::House::of(mynah);
    assert!(logins::is_in(&house.login("bob", "a password")));
    let mut client = Client::connect(house.server.address());
    client.join("bob");
    match client.read_verdict() {
        1 => "the name is free",
        _ => "the name is taken",
    }
    .to_owned()
}

/// Where Ann is told that Bob is, who says that he is elsewhere.
fn shown_of_bob(config: &Config) -> String {
    let trial = Trial::begin_listening(&config.over("listen = [\"group=127.0.0.1:0\"]\n"));
    let join = |line: &[u8]| {
        let mut client = Client::connect(trial.mynah.address());
        client.send(line);
        BufReader::new(client.stream)
    };
    let mut lines = join(b"REGISTER:ann:127.0.0.1:5\r\n").lines();
    let list = lines.next().unwrap().unwrap();
    let _bob = join(b"REGISTER:bob:127.0.0.9:7\r\n");
    let told = lines.next().unwrap().unwrap();
    let shown = told.strip_prefix("UPDATE:JOIN:bob:");
    shown.unwrap_or_else(|| panic!("{list} {told}")).to_owned()
}

/// What somebody is told who has no account.
fn registers(config: &Config) -> String {
    let Trial {
        folder: _folder,
        mynah,
    } = Trial::begin(config);
    let answer = logins::House::of(mynah).login("ann", "a password");
    match logins::is_in(&answer) {
        true => "WELCOME".to_owned(),
        false => answer,
    }
}

/// By what the file knows a password.
fn keeps_passwords(config: &Config) -> String {
    let Trial { folder, mynah } = Trial::begin(config);
    let answer = logins::House::of(mynah).login("ann", "a password");
    assert!(logins::is_in(&answer), "{answer}");
    let file = folder.path().join("state/mynah").join(FILE_NAME);
    let accounts = fs::read_to_string(file).unwrap();
    let (_, cost) = accounts.split_once("$argon2id$v=19$").unwrap();
    cost.split('$').next().unwrap().to_owned()
}

/// Of which rooms, at which levels.
fn what_it_logs(config: &Config) -> String {
    let Trial { folder, mynah } = Trial::begin(config);
    // Whatever it said before it was told what to say.
    let log = folder.path().join("log");
    let before = match config.comes {
        Comes::AtStart => 0,
        Comes::ByReload => fs::read_to_string(&log).unwrap().len(),
    };
    let mut house = logins::House::of(mynah);
    house.login("ann", "a password");
    assert!(house.server.terminate().success());
    let words = fs::read_to_string(log).unwrap();
    let stamps = words[before..].lines().map(|line| {
        let (_, stamp) = line.split_once('[').unwrap();
        let (level, rest) = stamp.split_once("] ").unwrap();
        let (target, _) = rest.split_once(": ").unwrap();
        let room = target.split("::").next().unwrap();
        format!("{level} of {room}")
    });
    let stamps: BTreeSet<String> = stamps.collect();
    stamps.into_iter().collect::<Vec<_>>().join(", ")
}

/// An option of the server's end of a connection, as its kernel has it.
fn of_sockets<T: std::fmt::Debug>(
    config: &Config,
    option: fn(SockRef<'_>) -> io::Result<T>,
) -> String {
    let trial = Trial::begin(config);
    let here = TcpStream::connect(trial.mynah.address()).unwrap();
    let client = here.local_addr().unwrap();
    let process = pidfd_open(Pid::from_child(&trial.mynah.child), PidfdFlags::empty()).unwrap();
    let theirs = until("it is accepted", || {
        (3..64).find_map(|number| {
            let socket = pidfd_getfd(&process, number, PidfdGetfdFlags::empty()).ok()?;
            let peer = SockRef::from(&socket).peer_addr().ok()?;
            (peer.as_socket() == Some(client)).then_some(socket)
        })
    });
    let value = option(SockRef::from(&theirs)).unwrap();
    format!("{value:?}")
}

/// What somebody on this machine is answered who asks whether the server is well.
fn asks_for_health(config: &Config) -> String {
    let listen = "listen = [\"metrics=127.0.0.1:0\"]\n";
    let trial = Trial::begin_listening(&config.over(listen));
    let stream = TcpStream::connect(trial.mynah.address()).unwrap();
    let mut client = Client::over(stream);
    // Who is not let in is cut, perhaps before this.
    let request = b"GET /healthz HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n";
    let _ = client.stream.write_all(request);
    let answer = String::from_utf8(client.read_to_end()).unwrap();
    answer.lines().next().unwrap_or("nothing").to_owned()
}

/// How long a member is told, to whom that is news, that the server will wait for it.
fn patience_of_a_drain(config: &Config) -> String {
    let mut trial = Trial::begin(config);
    let mut member = trial.mynah.join("ann");
    trial.mynah.signal(Signal::USR2);
    let told = member.hear_text();
    let (_, patience) = told.split_once(" left, in ").expect(&told);
    let patience = patience.split(" at the latest").next().unwrap();
    if !patience.ends_with("second") {
        return patience.to_owned();
    }
    // The member stays, and that does not hold it up for longer.
    let status = wait_for_exit(&mut trial.mynah.child);
    assert!(status.success());
    format!("{patience}, and it ends")
}

/// What comes first for one who does not take the rest of a frame when the server is told to stop: its own time, three
/// seconds, or that of all.
fn what_becomes_of_the_deaf(config: &Config) -> String {
    let base = "limits.closing_time = 3\nlimits.backlog_bytes = 8388608\n";
    let mut trial = Trial::begin(&config.over(base));
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
    wait_for_exit(&mut trial.mynah.child);
    let log = trial.log();
    let last = log.lines().last().unwrap();
    assert!(last.contains("stopped: accepted=2 "), "{log}");
    match last.contains(" closed_late=1") {
        true => "closed late",
        false => "the server ends first",
    }
    .to_owned()
}
