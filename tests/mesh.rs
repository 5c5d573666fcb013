//! The mesh on real networks: our peers, and peers that share no code with them, in namespaces of their own.

#[path = "support/chat.rs"]
mod chat;
#[path = "support/namespaces.rs"]
mod namespaces;
mod support;

use std::net::UdpSocket;
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::json;

use chat::{Chat, Heard, text};
use namespaces::{BROADCAST, Host, Network};
use support::{PATIENCE, have};

/// The flags of a peer that knows its network.
fn own_flags(host: &Host) -> String {
    format!(" --bind {} --broadcast {BROADCAST}", host.ip)
}

/// The flags of one that is on all addresses. Whoever hears what goes to one broadcast address does not
/// hear what goes to the other: a mesh has one.
fn broadcast_flag(_: &Host) -> String {
    format!(" --broadcast {BROADCAST}")
}

/// The flags of one that knows nothing.
fn no_flags(_: &Host) -> String {
    String::new()
}

/// A peer that is not in yet.
fn peer(host: &Host, name: &str, flags: fn(&Host) -> String) -> Chat {
    let arguments = format!("udp-mesh --name {name}{}", flags(host));
    host.within(|| Chat::start(&arguments))
}

fn heard(from: &str, text: &str) -> Heard {
    (from.to_owned(), text.to_owned())
}

fn everybody_hears_everybody_once(flags: fn(&Host) -> String) {
    let Some(network) = Network::of::<5>() else {
        return;
    };
    let hosts: [&Host; 5] = network.hosts();
    hosts.into_iter().for_each(Host::hear_nothing_routable);
    let names = ["alice", "bob", "carol"];
    let started = Instant::now();
    let mut peers: Vec<Chat> = names
        .iter()
        .zip(hosts)
        .map(|(name, host)| peer(host, name, flags))
        .collect();
    for (peer, name) in peers.iter_mut().zip(names) {
        let joined = json!({"event": "joined", "name": name, "room": "mesh"});
        assert_eq!(peer.next(), joined);
    }
    assert!(started.elapsed() >= Duration::from_secs(2));

    let mut said = Vec::new();
    for round in 0..4 {
        for index in 0..peers.len() {
            let text = format!("line {round} of {}: ¡grüße! 🐦", names[index]);
            peers[index].line(&text);
            // One after another, so that there is one order.
            for peer in &mut peers {
                peer.hears(names[index], &text);
            }
            said.push(heard(names[index], &text));
        }
    }
    assert_eq!(peers[0].who(), ["alice", "bob", "carol"]);

    let mut dave = peer(hosts[3], "dave", flags);
    let joined = json!({"event": "joined", "name": "dave", "room": "mesh"});
    assert_eq!(dave.next(), joined);
    for (from, said) in &said[2..] {
        let line = dave.next();
        let time = text(&line, "time");
        assert_eq!(time.len(), "HH:MM:SS".len());
        let expected =
            json!({"event": "message", "from": from, "text": said, "time": time, "history": true});
        assert_eq!(line, expected);
    }
    assert_eq!(dave.who(), ["dave", "alice", "bob", "carol"]);
    assert_eq!(peers[1].who(), ["bob", "alice", "carol", "dave"]);

    let stranger = peer(hosts[4], "BOB", flags).wait();
    assert_eq!(stranger.status, Some(3));
    assert!(stranger.stderr.contains("taken"), "{}", stranger.stderr);
    assert!(
        matches!(&stranger.events[..], [closed] if closed["event"] == "closed"),
        "{:?}",
        stranger.events
    );

    // Whatever comes twice comes before this.
    dave.line("the last word");
    peers.push(dave);
    for peer in &mut peers {
        peer.hears("dave", "the last word");
    }
    said.push(heard("dave", "the last word"));
    let dave = peers.pop().map(|dave| dave.end().left());
    assert_eq!(dave, Some(vec![heard("dave", "the last word")]));
    for peer in peers {
        assert_eq!(peer.end().left(), said);
    }
}

#[test]
fn r48_everybody_hears_everybody_once_on_the_subnets_broadcast() {
    everybody_hears_everybody_once(own_flags);
}

#[test]
fn r48_everybody_hears_everybody_once_without_flags() {
    everybody_hears_everybody_once(no_flags);
}

/// One in three datagrams is lost on its way into each host, own broadcasts too.
fn lose_datagrams(host: &Host) {
    host.iptables("-A INPUT -p udp -m statistic --mode random --probability 0.3 -j DROP");
}

/// A line that is like no other, and sorted as it was said.
fn line(number: usize, name: &str) -> String {
    format!("{number:02} of {name}")
}

#[test]
fn r23_a_lossy_network_loses_lines_and_nothing_else() {
    const LINES: usize = 24;
    let Some(network) = Network::of::<4>() else {
        return;
    };
    let hosts: [&Host; 4] = network.hosts();
    hosts.into_iter().for_each(lose_datagrams);
    let names = ["alice", "bob", "carol"];
    let mut peers: Vec<Chat> = names
        .iter()
        .zip(hosts)
        .map(|(name, host)| peer(host, name, own_flags))
        .collect();
    for peer in &mut peers {
        peer.joined();
    }
    for (peer, name) in peers.iter_mut().zip(names) {
        for number in 0..LINES {
            peer.line(&line(number, name));
        }
    }
    // Comes while they talk.
    let mut late = peer(hosts[3], "dave", own_flags);
    late.joined();
    late.line(&line(0, "dave"));

    // Each says what it has, and waits for the echoes that are lost.
    let ended: Vec<_> = peers.into_iter().map(Chat::end).collect();
    let late = late.end();
    for end in ended.iter().chain([&late]) {
        assert_eq!(end.status, Some(0), "{}", end.stderr);
        let all: Vec<Heard> = end
            .heard(true)
            .into_iter()
            .chain(end.heard(false))
            .collect();
        let mut once = all.clone();
        once.sort();
        once.dedup();
        assert_eq!(once.len(), all.len(), "something was heard twice: {all:?}");
    }
    for end in &ended {
        for name in names {
            let heard = end.heard(false);
            let lines: Vec<&str> = heard
                .iter()
                .filter(|(from, _)| from == name)
                .map(|(_, text)| text.as_str())
                .collect();
            assert!(lines.is_sorted(), "out of order: {lines:?}");
            // Seven in ten as a rule.
            assert!(lines.len() > LINES / 8, "{lines:?}");
        }
    }
    // Who says something learns what became of it.
    let mut lost = 0;
    for (end, name) in ended.iter().zip(names) {
        let mut own: Vec<String> = end
            .heard(false)
            .into_iter()
            .filter(|(from, _)| from == name)
            .map(|(_, text)| text)
            .collect();
        let heard = own.len();
        let notices = end.events.iter().map(|event| text(event, "text"));
        own.extend(
            notices.filter_map(|text| Some(text.strip_prefix("not heard back: ")?.to_owned())),
        );
        lost += own.len() - heard;
        own.sort();
        let said: Vec<String> = (0..LINES).map(|number| line(number, name)).collect();
        assert_eq!(own, said);
    }
    assert!(lost > 0, "nothing was lost");
}

/// A datagram in pickle protocol 2, written by hand: a list of lines, or else the one text.
fn pickle(number: u16, name: &str, lines: &[String], is_list: bool) -> Vec<u8> {
    let string = |text: &str| {
        let length = (text.len() as u32).to_le_bytes();
        [b"X", &length[..], text.as_bytes()].concat()
    };
    let lines: Vec<u8> = lines.iter().flat_map(|line| string(line)).collect();
    let message = match is_list {
        true => [b"](", &lines[..], b"e"].concat(),
        false => lines,
    };
    [
        &b"\x80\x02}("[..],
        &string("protocol_num"),
        b"M",
        &number.to_le_bytes(),
        &string("username"),
        &string(name),
        &string("message"),
        &message,
        b"u.",
    ]
    .concat()
}

#[test]
fn what_a_busy_newcomer_heard_before_it_was_welcomed_is_shown_once() {
    const LINES: usize = 100;
    let Some(network) = Network::of::<2>() else {
        return;
    };
    let [one, two] = network.hosts();
    let neighbour = one.within(|| UdpSocket::bind(("0.0.0.0", 5238)).unwrap());
    neighbour.set_read_timeout(Some(PATIENCE)).unwrap();
    neighbour.set_broadcast(true).unwrap();
    let dave = peer(two, "dave", own_flags);
    let (_, asker) = support::receive(&neighbour);
    assert_eq!(asker, two.at(5238));
    // What comes now comes to its two sockets at once, as far as it can tell.
    dave.signal(Signal::STOP);
    let lines: Vec<String> = (0..LINES).map(|number| line(number, "erin")).collect();
    for line in &lines {
        let bytes = pickle(472, "erin", std::slice::from_ref(line), false);
        neighbour.send_to(&bytes, (BROADCAST, 5238)).unwrap();
    }
    let past = |line: &String| format!("> 12:00:00 erin: {line}");
    let past: Vec<String> = lines[LINES - 10..].iter().map(past).collect();
    let welcome = pickle(371, "erin", &past, true);
    neighbour.send_to(&welcome, asker).unwrap();
    dave.signal(Signal::CONT);
    let mut dave = dave;
    dave.joined();
    let ended = dave.end();
    assert_eq!(ended.status, Some(0));
    let texts = |history| -> Vec<String> {
        let heard = ended.heard(history);
        heard.into_iter().map(|(_, text)| text).collect()
    };
    assert_eq!(texts(true), lines[LINES - 10..]);
    assert_eq!(texts(false), lines[..LINES - 10]);
}

#[test]
fn a_host_without_a_way_to_broadcast_says_so() {
    let Some(network) = Network::of::<1>() else {
        return;
    };
    let [host] = network.hosts();
    host.ip("route delete default dev eth0");
    let mut alone = peer(host, "alice", no_flags);
    alone.notices("255.255.255.255:5238");
    alone.joined();
    assert_eq!(alone.end().status, Some(0));
}

/// A peer that shares no code with ours.
fn python_peer(host: &Host, name: &str, pickle_protocol: &[&str]) -> Chat {
    let program = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/peers/mesh_neighbour.py");
    let mut command = Command::new("python3");
    command
        .args([program, name, &BROADCAST.to_string()])
        .args(pickle_protocol);
    host.within(|| Chat::spawn(&mut command))
}

#[test]
fn python_peers_and_ours_are_one_mesh() {
    if !have("python3") {
        return;
    }
    let Some(network) = Network::of::<6>() else {
        return;
    };
    let hosts: [&Host; 6] = network.hosts();
    let mut peers = [
        peer(hosts[0], "alice", own_flags),
        peer(hosts[1], "bob", broadcast_flag),
        python_peer(hosts[2], "carol", &[]),
        python_peer(hosts[3], "dave", &["2"]),
    ];
    for peer in &mut peers {
        peer.joined();
    }
    let names = ["alice", "bob", "carol", "dave"];
    let mut said = Vec::new();
    for text in ["one: 1", "tschüß", "🐦 and \u{301}", "a"] {
        for index in 0..peers.len() {
            peers[index].line(text);
            for peer in &mut peers {
                peer.hears(names[index], text);
            }
            said.push(heard(names[index], text));
        }
    }
    assert_eq!(peers[0].who(), names);

    // Newcomers of both kinds are told by peers of both kinds: who is first, they take.
    let mut late = peer(hosts[4], "erin", own_flags);
    late.joined();
    for (from, text) in &said[6..] {
        let line = late.next();
        assert_eq!((&line["from"], &line["text"]), (&json!(from), &json!(text)));
        assert_eq!(line["history"], true);
    }
    let mut late_python = python_peer(hosts[5], "frank", &["2"]);
    for (from, text) in &said[6..] {
        let line = late_python.next();
        let (prefix, rest) = line["line"].as_str().unwrap().split_at(11);
        assert!(prefix.starts_with("> ") && prefix.ends_with(' '), "{line}");
        assert_eq!(rest, format!("{from}: {text}"));
    }
    late_python.joined();

    let thief = |host, name| {
        let ended = peer(host, name, own_flags).wait();
        (ended.status, ended.stderr.contains("taken"))
    };
    drop((late, late_python));
    assert_eq!(thief(hosts[4], "carol"), (Some(3), true));
    assert_eq!(thief(hosts[4], "dave"), (Some(3), true));
    let refused = python_peer(hosts[5], "alice", &[]).wait();
    assert_eq!(
        (refused.status, refused.stderr.as_str()),
        (Some(1), "the name is taken\n")
    );

    peers[3].line("the last word");
    for peer in &mut peers {
        peer.hears("dave", "the last word");
    }
    said.push(heard("dave", "the last word"));
    for peer in peers {
        assert_eq!(peer.end().left(), said);
    }
}
