//! Reloads under load: a hundred a second, with members of all protocols who talk, and at the limit of descriptors.

use std::io::Read;
use std::net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::process::Command;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use socket2::{Domain, Socket, Type};

use crate::chat::Chat;
use crate::daemon::{Daemon, Running};
use crate::support::serve::Client;
use crate::support::{PATIENCE, receive};

/// SIGHUP a hundred times a second, each after something else was put in the file; until it is dropped.
struct Reloading {
    over: Option<mpsc::Sender<()>>,
    thread: Option<thread::JoinHandle<usize>>,
}

impl Reloading {
    fn start(running: &Running, mut before: impl FnMut(usize) + Send + 'static) -> Reloading {
        let pid = Pid::from_child(&running.mynah.child);
        let (over, is_over) = mpsc::channel::<()>();
        let thread = thread::spawn(move || {
            let begin = Instant::now();
            let mut sent = 0;
            loop {
                before(sent);
                kill_process(pid, Signal::HUP).unwrap();
                sent += 1;
                let next = begin + EVERY * u32::try_from(sent).unwrap();
                let pause = next.saturating_duration_since(Instant::now());
                if is_over.recv_timeout(pause) != Err(RecvTimeoutError::Timeout) {
                    return sent;
                }
            }
        });
        Reloading {
            over: Some(over),
            thread: Some(thread),
        }
    }

    /// How many there were.
    fn end(mut self) -> usize {
        drop(self.over.take());
        self.thread.take().unwrap().join().unwrap()
    }
}

const EVERY: Duration = Duration::from_millis(10);

/// A peer of the mesh, written by hand: it hears what is broadcast on loopback.
struct MeshPeer {
    socket: UdpSocket,
    gateway: SocketAddr,
}

impl MeshPeer {
    fn new(gateway: SocketAddr) -> MeshPeer {
        let socket = Socket::new(Domain::IPV4, Type::DGRAM, None).unwrap();
        socket.set_reuse_address(true).unwrap();
        let all = SocketAddr::from((BROADCAST, gateway.port()));
        socket.bind(&all.into()).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        MeshPeer {
            socket: socket.into(),
            gateway,
        }
    }

    /// A 472 in pickle protocol 2.
    fn say(&self, name: &str, text: &str) {
        let mut bytes = b"\x80\x02}(".to_vec();
        for text in ["protocol_num", "username", name, "message", text] {
            bytes.push(b'X');
            bytes.extend_from_slice(&(text.len() as u32).to_le_bytes());
            bytes.extend_from_slice(text.as_bytes());
            if text == "protocol_num" {
                bytes.extend_from_slice(b"M\xd8\x01");
            }
        }
        bytes.extend_from_slice(b"u.");
        let own = UdpSocket::bind((Ipv4Addr::new(127, 0, 0, 9), 0)).unwrap();
        own.send_to(&bytes, self.gateway).unwrap();
    }

    /// Waits for a datagram that has this text in it.
    fn hears(&self, text: &str) {
        let text = text.as_bytes();
        loop {
            let (bytes, _) = receive(&self.socket);
            if bytes.windows(text.len()).any(|part| part == text) {
                return;
            }
        }
    }
}

const BROADCAST: Ipv4Addr = Ipv4Addr::new(127, 255, 255, 255);

/// What listens from the beginning to the end.
const LISTEN: &str = "\"tcp-room=127.0.0.1:0\", \"group=127.0.0.1:0\", \"udp-room=127.0.0.1:0\", \
                      \"udp-login=127.0.0.1:0\", \"tcrp=127.0.0.1:0\", \"ucrp=127.0.0.1:0\", \
                      \"udp-mesh=127.0.0.8:0\"";

/// By turns: as it was, another limit, a door more, and three that are wrong in one way or another.
fn configuration(turn: usize) -> String {
    let mesh = "mesh.broadcast = \"127.255.255.255\"\n";
    let listen = |more: &str| format!("listen = [{LISTEN}{more}]\n{mesh}");
    match turn % 6 {
        0 => listen(""),
        1 => listen("") + "limits.members_per_room = 1234\nwelcome = \"hello\"",
        2 => listen(", \"tcp-room=127.0.0.2:0\", \"udp-room=127.0.0.2:0\""),
        3 => listen("") + "limits.rooms = \"many\"",
        4 => listen("") + "limits.rooms = 1\n[[",
        _ => listen(", \"tcp-room=192.0.2.1:1\"") + "limits.rooms = 1",
    }
}

#[test]
fn r31_a_hundred_reloads_a_second_lose_nobody_and_nothing() {
    let daemon = Daemon::new("");
    daemon.configure_all(&configuration(0));
    let running = daemon.start();
    let at = |place: usize| running.mynah.at(place);
    let join = |protocol: &str, place: usize| {
        let mut client = Chat::start(&format!("{protocol} {} --name {protocol}", at(place)));
        client.joined();
        client
    };
    let mut members = vec![join("tcp-room", 0), join("group", 1), join("udp-room", 2)];
    let (tcrp, ucrp) = (at(4), at(5));
    members.push(Chat::start(&format!(
        "tcrp {tcrp} --ucrp {ucrp} --join lobby --name tcrp"
    )));
    members.push(Chat::spawn(
        Command::new(env!("CARGO_BIN_EXE_mynah"))
            .args([
                "chat",
                "udp-login",
                &at(3).to_string(),
                "--name",
                "udp-login",
                "--json",
            ])
            .env("MYNAH_PASSWORD", "a secret"),
    ));
    for member in &mut members[3..] {
        member.joined();
    }
    let names = ["tcp-room", "group", "udp-room", "tcrp", "udp-login"];
    let mesh = MeshPeer::new(at(6));
    let file = Daemon::writer(&daemon);
    let reloading = Reloading::start(&running, move |turn| file(&configuration(turn)));
    let deadline = Instant::now() + Duration::from_secs(10);
    let mut rounds = 0;
    while Instant::now() < deadline {
        for (speaker, name) in names.iter().enumerate() {
            let text = format!("{name} says {rounds}");
            members[speaker].line(&text);
            for (listener, member) in members.iter_mut().enumerate() {
                if listener != speaker {
                    member.hears(name, &text);
                }
            }
            mesh.hears(&text);
        }
        let text = format!("mesh says {rounds}");
        mesh.say("peer", &text);
        for member in &mut members {
            member.hears("peer", &text);
        }
        rounds += 1;
        // Under the rates that clients keep by themselves.
        thread::sleep(Duration::from_millis(100));
    }
    let sent = reloading.end();
    assert!(rounds > 10 && sent > 500, "{rounds} rounds, {sent} reloads");
    // All are still those that they were, and nothing of the wrong ones is in force.
    daemon.configure_all(&configuration(0));
    running.mynah.signal(Signal::HUP);
    for (speaker, name) in names.iter().enumerate() {
        let text = format!("{name} is still here");
        members[speaker].line(&text);
        members[(speaker + 1) % names.len()].hears(name, &text);
    }
    let log = running.terminate();
    let count = |words: &str| log.matches(words).count();
    assert!(count("reloaded: limits.members_per_room: ") > 0, "{log}");
    assert!(count("listening for tcp-room on 127.0.0.2:") > 0);
    assert!(count("not listening any more for udp-room on 127.0.0.2:") > 0);
    assert!(count("not reloaded, everything stays as it is: ") > 0);
    assert!(!log.contains("limits.rooms: 4096 -> 1"), "{log}");
    println!(
        "{rounds} rounds, {sent} SIGHUPs, {} reloads",
        count("eloaded")
    );
}

#[test]
fn r31_at_the_limit_of_descriptors_nothing_changes_and_nobody_is_lost() {
    let daemon = Daemon::new("limits.members_per_room = 100");
    let running = daemon.start_as(daemon.command("ulimit -n 40"));
    let address = running.mynah.address();
    let mut inside = Vec::new();
    // Until there is not one left.
    loop {
        let mut client = Client::over(TcpStream::connect(address).unwrap());
        client.join(&format!("member{}", inside.len()));
        let mut verdict = [0];
        match client.stream.read(&mut verdict) {
            Ok(1) if verdict == [1] => {
                client.read_history();
                inside.push(client);
            }
            _ => break,
        }
    }
    let file = Daemon::writer(&daemon);
    let listen = "listen = [\"tcp-room=127.0.0.1:0\", \"group=127.0.0.1:0\"]\n";
    let reloading = Reloading::start(&running, move |turn| {
        file(&format!(
            "{listen}limits.members_per_room = {}",
            turn % 7 + 1
        ));
    });
    let (first, rest) = inside.split_first_mut().unwrap();
    for number in 0..100 {
        first.say(&number.to_string());
        assert_eq!(first.hear_text(), number.to_string());
        for member in rest.iter_mut() {
            assert_eq!(member.hear_text(), number.to_string());
        }
        thread::sleep(EVERY);
    }
    let sent = reloading.end();
    let members = inside.len();
    let log = running.terminate();
    assert!(sent > 50, "{sent} reloads");
    assert!(log.contains("Too many open files"), "{log}");
    assert!(!log.contains("reloaded: "), "{log}");
    assert!(log.contains(&format!(" joined={members} ")), "{log}");
}
