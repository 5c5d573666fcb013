//! The server as a peer of a mesh, on real networks: the lobby and the mesh hear each other, and nothing
//! goes round in circles.

#[path = "support/chat.rs"]
mod chat;
#[path = "support/namespaces.rs"]
mod namespaces;
mod support;

use std::net::{Ipv4Addr, UdpSocket};
use std::process::{Command, Stdio};

use serde_json::json;

use chat::{Chat, Heard};
use namespaces::{BROADCAST, Host, Network, is_possible};
use support::serve::Mynah;
use support::{or_skip, until};

/// A server with a tcp-room, a udp-room and a gateway.
fn gateway(host: &Host) -> Mynah {
    let ip = host.ip;
    // What it sends to the mesh, and in all.
    host.iptables("-A OUTPUT -p udp --sport 5238");
    host.within(|| gateway_at(ip, BROADCAST))
}

fn gateway_at(ip: Ipv4Addr, broadcast: Ipv4Addr) -> Mynah {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mynah"));
    command.arg("serve").stderr(Stdio::null());
    for (protocol, port) in [("tcp-room", 42069), ("udp-room", 9999), ("udp-mesh", 5238)] {
        command.args(["--listen", &format!("{protocol}={ip}:{port}")]);
    }
    command.args(["--mesh-broadcast", &broadcast.to_string()]);
    Mynah::start(command)
}

/// How many datagrams it has sent to the mesh.
fn sent_to_mesh(host: &Host) -> u64 {
    host.counts("OUTPUT")[0].packets
}

fn mesh_peer(host: &Host, name: &str) -> Chat {
    let ip = host.ip;
    host.within(|| {
        Chat::start(&format!(
            "udp-mesh --name {name} --bind {ip} --broadcast {BROADCAST}"
        ))
    })
}

fn member(host: &Host, protocol: &str, server: &Host, name: &str) -> Chat {
    let server = server.ip;
    host.within(|| Chat::start(&format!("{protocol} {server} --name {name}")))
}

fn heard(from: &str, text: &str) -> Heard {
    (from.to_owned(), text.to_owned())
}

/// A 472 in pickle protocol 2, written by hand.
fn say(name: &str, text: &str) -> Vec<u8> {
    let mut bytes = b"\x80\x02}(".to_vec();
    let mut push = |text: &str| {
        bytes.push(b'X');
        bytes.extend_from_slice(&(text.len() as u32).to_le_bytes());
        bytes.extend_from_slice(text.as_bytes());
        if text == "protocol_num" {
            bytes.extend_from_slice(b"M\xd8\x01");
        }
    };
    ["protocol_num", "username", name, "message", text]
        .into_iter()
        .for_each(&mut push);
    bytes.extend_from_slice(b"u.");
    bytes
}

#[test]
fn the_lobby_and_the_mesh_hear_each_other() {
    let Some(network) = Network::of::<5>() else {
        return;
    };
    let [server, one, two, three, four] = network.hosts();
    for host in [server, three, four] {
        host.hear_nothing_routable();
    }
    let _gateway = gateway(server);
    let mut tina = member(one, "tcp-room", server, "tina");
    let mut ulf = member(two, "udp-room", server, "ulf");
    tina.joined();
    ulf.joined();
    // Before anybody is there who could tell of it but the gateway.
    ulf.line("is anybody there?");
    tina.hears("ulf", "is anybody there?");
    ulf.hears("ulf", "is anybody there?");

    let mut alice = mesh_peer(three, "alice");
    let mut bob = mesh_peer(four, "bob");
    for peer in [&mut alice, &mut bob] {
        peer.joined();
        let told = peer.next();
        assert_eq!(told["text"], "is anybody there?");
        assert_eq!(
            (&told["from"], &told["history"]),
            (&json!("ulf"), &json!(true))
        );
    }
    let answered = sent_to_mesh(server) - 1;
    assert!((2..=4).contains(&answered), "{answered} answers to two");

    let mut all = [tina, ulf, alice, bob];
    let names = ["tina", "ulf", "alice", "bob"];
    let mut said = Vec::new();
    for round in 0..3 {
        for index in 0..all.len() {
            let text = format!("{round}: {}", names[index]);
            all[index].line(&text);
            for chat in &mut all {
                chat.hears(names[index], &text);
            }
            said.push(heard(names[index], &text));
        }
    }

    // Names are held in one for the other.
    let taken = |chat: Chat| {
        let ended = chat.wait();
        assert_eq!(ended.status, Some(3), "{}", ended.stderr);
    };
    let [tina, ulf, alice, bob] = all;
    drop(bob);
    taken(mesh_peer(four, "TINA"));
    taken(member(one, "tcp-room", server, "Alice"));
    taken(member(two, "udp-room", server, "ALICE"));

    // What somebody else says in the name of a member is heard on the mesh, and goes no further.
    let forger = four.within(|| UdpSocket::bind((four.ip, 0)).unwrap());
    forger.set_broadcast(true).unwrap();
    forger.set_ttl(1).unwrap();
    for to in [BROADCAST, server.ip] {
        for name in ["tina", "ULF", "alice"] {
            forger.send_to(&say(name, "forged"), (to, 5238)).unwrap();
        }
        forger.send_to(b"no pickle at all", (to, 5238)).unwrap();
        forger.send_to(&say("bob", "the last"), (to, 5238)).unwrap();
    }
    let mut chats = [tina, ulf];
    for chat in &mut chats {
        chat.hears("bob", "the last");
        chat.hears("bob", "the last");
    }
    for chat in chats {
        let mut expected = vec![heard("ulf", "is anybody there?")];
        expected.extend(said.iter().cloned());
        expected.extend([heard("bob", "the last"), heard("bob", "the last")]);
        assert_eq!(chat.end().left(), expected);
    }
    drop(alice);
    // One datagram per line of the lobby, one per answer: bob's thief was answered too.
    let sent = sent_to_mesh(server);
    let lines = 1 + 2 * 3;
    assert!(
        (lines + answered + 1..=lines + answered + 2).contains(&sent),
        "{sent} datagrams for {lines} lines and {answered} answers"
    );
}

#[test]
fn r48_two_gateways_on_one_mesh_make_no_storm() {
    const ROUNDS: usize = 10;
    let Some(network) = Network::of::<3>() else {
        return;
    };
    let [one, two, three] = network.hosts();
    let _gateways = [gateway(one), gateway(two)];
    let mut tina = member(one, "tcp-room", one, "tina");
    let mut tom = member(two, "tcp-room", two, "tom");
    let mut alice = mesh_peer(three, "alice");
    for chat in [&mut tina, &mut tom, &mut alice] {
        chat.joined();
    }
    let before = [one, two].map(sent_to_mesh);
    let mut all = [tina, tom, alice];
    let names = ["tina", "tom", "alice"];
    let mut said = Vec::new();
    for round in 0..ROUNDS {
        for index in 0..all.len() {
            // The same again and again: whoever tells echoes by their bytes alone would be wrong.
            let text = format!("hello {}", round / 2);
            all[index].line(&text);
            for chat in &mut all {
                chat.hears(names[index], &text);
            }
            said.push(heard(names[index], &text));
        }
    }
    for chat in all {
        assert_eq!(chat.end().left(), said);
    }
    let after = [one, two].map(sent_to_mesh);
    for (before, after) in before.into_iter().zip(after) {
        assert_eq!(after - before, ROUNDS as u64);
    }
}

#[test]
fn r48_a_gateway_hears_and_is_heard_on_its_own_network_alone() {
    if let Some(network) = Network::of::<2>() {
        let [one, two] = network.hosts();
        is_on_its_own_network_alone(one, one.ip, two);
    }
}

/// It has no interface by the name of its label.
#[test]
fn r48_so_is_one_whose_address_is_an_alias() {
    if let Some(network) = Network::of::<2>() {
        let [one, two] = network.hosts();
        let ip = Ipv4Addr::new(10, 77, 0, 101);
        one.ip(&format!(
            "address add {ip}/24 broadcast {BROADCAST} dev eth0 label eth0:1"
        ));
        is_on_its_own_network_alone(one, ip, two);
    }
}

/// A gateway at `ip` of the first host, with another network beside its own, where everybody is reached by the same
/// broadcast address.
fn is_on_its_own_network_alone(one: &Host, ip: Ipv4Addr, two: &Host) {
    let [_, beside] = one.wire(two);
    // What comes from it to the other by each network; its own comes back to that, too.
    two.iptables(&format!("-A INPUT -p udp -i eth0 -s {ip} --dport 5238"));
    two.iptables(&format!(
        "-A INPUT -p udp -i eth1 ! -s {beside} --dport 5238"
    ));
    let all = Ipv4Addr::BROADCAST;
    let _gateway = one.within(|| gateway_at(ip, all));
    let mut tina = one.within(|| Chat::start(&format!("tcp-room {ip} --name tina")));
    tina.joined();
    let from = |ip: Ipv4Addr| {
        let socket = two.within(|| UdpSocket::bind((ip, 5238)).unwrap());
        socket.set_broadcast(true).unwrap();
        socket.set_ttl(1).unwrap();
        socket
    };
    let (stranger, peer) = (from(beside), from(two.ip));
    for n in 0..10 {
        let stray = format!("from elsewhere {n}");
        stranger
            .send_to(&say("stray", &stray), (all, 5238))
            .unwrap();
        peer.send_to(&say("mia", &format!("here {n}")), (all, 5238))
            .unwrap();
        // What comes first is heard first.
        tina.hears("mia", &format!("here {n}"));
        tina.line(&format!("I hear {n}"));
        tina.hears("tina", &format!("I hear {n}"));
    }
    until("all that the gateway has said", || {
        (two.counts("INPUT")[0].packets == 10).then_some(())
    });
    assert_eq!(two.counts("INPUT")[1].packets, 0);
    let heard = tina.end().left();
    assert_eq!(heard.len(), 20, "{heard:?}");
    assert!(heard.iter().all(|(from, _)| from != "stray"), "{heard:?}");
}

#[test]
fn a_gateway_and_two_peers_share_one_machine() {
    let all = Ipv4Addr::new(127, 255, 255, 255);
    let network = if is_possible() {
        Network::of::<1>()
    } else {
        None
    };
    let host = network.as_ref().map(|network| {
        let [host] = network.hosts();
        host
    });
    let addresses = ["127.0.0.1", "127.0.0.2", "127.0.0.3", "127.255.255.255"];
    let is_free = |address: &&str| UdpSocket::bind((*address, 5238)).is_ok();
    let free = host.is_some() || addresses.iter().all(is_free);
    if !or_skip(free, "a free UDP port 5238") {
        return;
    }
    let chat = |arguments: &str| match host {
        Some(host) => host.within(|| Chat::start(arguments)),
        None => Chat::start(arguments),
    };
    let serve = || gateway_at(Ipv4Addr::LOCALHOST, all);
    let _gateway = match host {
        Some(host) => host.within(serve),
        None => serve(),
    };
    let peer = |name: &str, last: u8| {
        chat(&format!(
            "udp-mesh --name {name} --bind 127.0.0.{last} --broadcast {all}"
        ))
    };
    let mut everybody = [
        chat("tcp-room 127.0.0.1 --name tina"),
        peer("alice", 2),
        peer("bob", 3),
    ];
    let names = ["tina", "alice", "bob"];
    for chat in &mut everybody {
        chat.joined();
    }
    let mut said = Vec::new();
    for round in 0..3 {
        for index in 0..everybody.len() {
            let text = format!("{round}: {}", names[index]);
            everybody[index].line(&text);
            for chat in &mut everybody {
                chat.hears(names[index], &text);
            }
            said.push(heard(names[index], &text));
        }
    }
    assert_eq!(peer("tina", 4).wait().status, Some(3));
    assert_eq!(peer("Bob", 4).wait().status, Some(3));

    for chat in everybody {
        assert_eq!(chat.end().left(), said);
    }
}
