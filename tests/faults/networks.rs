//! Faults of the network between, on one of the test's own: machines that vanish, machines that flood.

use std::io::Read;
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::logged::Logged;
use crate::namespaces::{Host, Network};
use crate::support::serve::Client;

const TCP_ROOM: u16 = 42069;
const GROUP: u16 = 1337;

/// A server on a host, with rooms of its own for each protocol.
fn serve(host: &Host) -> Logged {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mynah"));
    command.args(["serve", "--isolate"]);
    command.args(["--listen", &format!("tcp-room={}", host.at(TCP_ROOM))]);
    command.args(["--listen", &format!("group={}", host.at(GROUP))]);
    host.within(|| Logged::start(command))
}

fn connect(host: &Host, address: SocketAddr) -> Client {
    Client::over(host.within(|| TcpStream::connect(address).unwrap()))
}

/// Whether somebody in `tcp-room` is let in.
fn comes_in(client: &mut Client, name: &str) -> bool {
    client.join(name);
    let is_in = client.read_verdict() == 1;
    if is_in {
        client.read_history();
    }
    is_in
}

/// Whether somebody in `group` is let in.
fn registers(client: &mut Client, name: &str) -> bool {
    client.send(format!("REGISTER:{name}:0.0.0.0:0\r\n").as_bytes());
    let mut word = [0; 5];
    client.stream.read_exact(&mut word).unwrap();
    &word == b"LIST:"
}

#[test]
fn r02_peers_whose_machine_is_gone_are_gone_within_a_minute() {
    let Some(network) = Network::of::<3>() else {
        return;
    };
    let [server_host, lost_host, host] = network.hosts();
    let server = serve(server_host);
    let (tcp_room, group) = (server_host.at(TCP_ROOM), server_host.at(GROUP));
    // To one something is due that it will never acknowledge; to the other nothing is.
    let mut due = connect(lost_host, tcp_room);
    assert!(comes_in(&mut due, "due"));
    let mut idle = connect(lost_host, group);
    assert!(registers(&mut idle, "idle"));
    let mut talker = connect(host, tcp_room);
    assert!(comes_in(&mut talker, "talker"));
    // Its power is cut: not even a reset comes.
    for chain in ["INPUT", "OUTPUT"] {
        lost_host.iptables(&format!("-A {chain} -j DROP"));
    }
    let deadline = Instant::now() + Duration::from_secs(60);
    talker.say("is anybody there?");
    talker.hear();
    let (mut due_is_gone, mut idle_is_gone) = (false, false);
    while !(due_is_gone && idle_is_gone) {
        assert!(Instant::now() < deadline, "{due_is_gone}, {idle_is_gone}");
        // A name is free when its holder is gone.
        due_is_gone = due_is_gone || comes_in(&mut connect(host, tcp_room), "due");
        idle_is_gone = idle_is_gone || registers(&mut connect(host, group), "idle");
        thread::sleep(Duration::from_millis(500));
    }
    let stopped = server.stop();
    assert_eq!(stopped.count("lost_unheard"), 2);
}

#[test]
fn r35_who_connects_thousands_of_times_keeps_nobody_else_out() {
    const CONNECTIONS: usize = 5000;
    const LIMIT: usize = 16;
    let Some(network) = Network::of::<3>() else {
        return;
    };
    let [server_host, flooder, host] = network.hosts();
    let server = serve(server_host);
    let address = server_host.at(TCP_ROOM);
    let is_over = AtomicBool::new(false);
    let flood = || {
        let inside: Vec<Client> = (0..LIMIT)
            .map(|_| Client::over(TcpStream::connect(address).unwrap()))
            .collect();
        for _ in LIMIT..CONNECTIONS {
            let mut turned_away = Client::over(TcpStream::connect(address).unwrap());
            assert_eq!(turned_away.read_to_end(), [0], "told so, and closed");
        }
        is_over.store(true, Ordering::Relaxed);
        inside
    };
    thread::scope(|scope| {
        let flooding = scope.spawn(|| flooder.within(flood));
        let mut pairs = 0;
        while !is_over.load(Ordering::Relaxed) && !flooding.is_finished() {
            let mut pair = ["ann", "bob"].map(|name| {
                let mut client = connect(host, address);
                assert!(comes_in(&mut client, &format!("{name}{pairs}")));
                client
            });
            pair[0].say("hi");
            assert_eq!(pair[1].hear_text(), "hi");
            for mut client in pair {
                client.end();
                client.read_to_end();
            }
            pairs += 1;
        }
        assert_eq!(flooding.join().unwrap().len(), LIMIT);
        assert!(pairs > 1, "{pairs} pairs came meanwhile");
    });
    let stopped = server.stop();
    let turned_away = (CONNECTIONS - LIMIT) as u64;
    assert_eq!(stopped.count("turned_away"), turned_away);
    let told = stopped
        .log
        .lines()
        .filter(|line| line.ends_with(": turned away, its address has as many members as it may"));
    let told = told.count();
    assert!((1..CONNECTIONS / 2).contains(&told), "{told} lines of log");
}
