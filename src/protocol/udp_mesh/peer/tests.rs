//! Peers without a network: one and what it is sent, and several joined by queues on a clock that the test
//! holds.

use std::net::Ipv4Addr;

use super::*;
use crate::chat::{Line, NameError};
use crate::protocol::udp_mesh::pickle::{self, Dict, Message};

const NOON: &str = "12:00:00";

fn ip(n: u8) -> IpAddr {
    Ipv4Addr::new(10, 0, 0, n).into()
}

fn noon() -> TimeOfDay {
    TimeOfDay::parse(NOON).unwrap()
}

fn join(name: &str) -> Vec<u8> {
    let mut out = Vec::new();
    frame::encode_join(name, &mut out);
    out
}

fn taken() -> Vec<u8> {
    let mut out = Vec::new();
    frame::encode_taken(&mut out);
    out
}

fn welcome(name: &str, lines: &[(&str, &str, &str)]) -> Vec<u8> {
    let lines: Vec<Line> = lines
        .iter()
        .map(|(time, from, text)| Line {
            time: TimeOfDay::parse(time).unwrap(),
            from: from.to_string(),
            text: text.to_string(),
        })
        .collect();
    let mut out = Vec::new();
    frame::encode_welcome(name, &lines, &mut out);
    out
}

fn says(name: &str, text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    frame::encode_say(name, text, |datagram| out.extend_from_slice(datagram));
    out
}

/// What our own encoder would not send.
fn raw(protocol_num: i64, username: &str, message: Message<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    let dict = Dict {
        protocol_num,
        username,
        message,
    };
    pickle::encode(&dict, &mut out);
    out
}

fn joined(name: &str) -> Told {
    Told::Joined {
        name: name.to_string(),
        room: "mesh".to_string(),
    }
}

fn message(time: &str, from: &str, text: &str, history: bool) -> Told {
    Told::Message {
        from: from.to_string(),
        text: text.to_string(),
        time: Some(time.to_string()),
        history,
    }
}

fn live(from: &str, text: &str) -> Told {
    message(NOON, from, text, false)
}

fn broadcast(bytes: Vec<u8>) -> Outgoing {
    Outgoing {
        to: Destination::Broadcast,
        bytes,
    }
}

fn to(n: u8, bytes: Vec<u8>) -> Outgoing {
    Outgoing {
        to: Destination::Address(ip(n)),
        bytes,
    }
}

/// One peer, at 10.0.0.1, and the test that is the rest of the mesh.
struct Scene {
    peer: Peer,
    now: Instant,
    out: Outputs,
}

impl Scene {
    /// A peer that has sent its first 471.
    fn joining(name: &str) -> Scene {
        let now = Instant::now();
        let mut peer = Peer::new(Name::parse(name).unwrap(), vec![ip(1)], now);
        let mut out = Outputs::default();
        peer.start(now, &mut out);
        assert_eq!(mem::take(&mut out.datagrams), [broadcast(join(name))]);
        Scene { peer, now, out }
    }

    /// A peer that is in, alone.
    fn joined(name: &str) -> Scene {
        let mut scene = Scene::joining(name);
        scene.advance(2000);
        assert_eq!(scene.told(), [joined(name)]);
        assert_eq!(scene.sent().len(), 2);
        scene
    }

    fn advance(&mut self, millis: u64) {
        let until = self.now + Duration::from_millis(millis);
        while let Some(due) = self.peer.next_deadline()
            && due <= until
        {
            self.now = due;
            self.peer.handle_timeout(due, &mut self.out);
        }
        self.now = until;
    }

    fn hear(&mut self, from: u8, bytes: &[u8]) {
        self.try_hear(from, bytes).unwrap();
    }

    fn try_hear(&mut self, from: u8, bytes: &[u8]) -> Result<(), Violation> {
        // Whatever port it comes from.
        let from = SocketAddr::new(ip(from), 40_000);
        self.peer
            .handle_datagram(from, bytes, self.now, noon(), &mut self.out)
    }

    fn say(&mut self, text: &str) {
        self.peer.say(text, self.now, &mut self.out);
    }

    fn told(&mut self) -> Vec<Told> {
        mem::take(&mut self.out.told)
    }

    fn sent(&mut self) -> Vec<Outgoing> {
        mem::take(&mut self.out.datagrams)
    }
}

#[test]
fn three_questions_half_a_second_apart_and_in_after_two() {
    let mut scene = Scene::joining("alice");
    scene.advance(499);
    assert!(scene.sent().is_empty());
    scene.advance(1);
    assert_eq!(scene.sent(), [broadcast(join("alice"))]);
    scene.advance(499);
    assert!(scene.sent().is_empty());
    scene.advance(1);
    assert_eq!(scene.sent(), [broadcast(join("alice"))]);
    scene.advance(999);
    assert!(!scene.peer.is_joined() && scene.told().is_empty());
    scene.advance(1);
    assert_eq!(scene.told(), [joined("alice")]);
    assert!(scene.peer.is_joined() && scene.sent().is_empty());
    assert_eq!(scene.peer.next_deadline(), None);
}

#[test]
fn a_peer_that_slept_still_asks_three_times_and_waits() {
    let mut scene = Scene::joining("alice");
    scene.now += Duration::from_secs(60);
    for _ in 0..5 {
        scene.peer.handle_timeout(scene.now, &mut scene.out);
    }
    assert_eq!(scene.sent().len(), 1);
    scene.advance(1499);
    assert_eq!(scene.sent().len(), 1);
    assert!(!scene.peer.is_joined());
    scene.advance(1);
    assert!(scene.peer.is_joined());
}

#[test]
fn a_370_while_joining_is_the_end() {
    let mut scene = Scene::joining("alice");
    scene.say("hello?");
    scene.advance(1999);
    scene.sent();
    scene.hear(2, &taken());
    let told = scene.told();
    assert!(matches!(&told[..], [Told::Refused { reason }] if reason.contains("alice")));
    assert!(scene.peer.is_refused() && !scene.peer.wants_lines());
    assert_eq!(scene.peer.next_deadline(), None);
    scene.say("hello?");
    scene.hear(2, &join("alice"));
    scene.hear(2, &join("bob"));
    scene.hear(2, &taken());
    scene.hear(2, &says("bob", "hi"));
    scene.hear(2, &welcome("bob", &[(NOON, "bob", "hi")]));
    scene.advance(10_000);
    assert_eq!(scene.out, Outputs::default());
}

#[test]
fn a_370_once_in_is_ignored() {
    let mut scene = Scene::joined("alice");
    scene.hear(2, &taken());
    assert!(scene.peer.is_joined());
    assert_eq!(scene.out, Outputs::default());
}

#[test]
fn its_own_echo_does_not_refuse_a_newcomer() {
    let mut scene = Scene::joining("alice");
    scene.hear(1, &join("alice"));
    scene.hear(1, &says("ALICE", "from the run before"));
    scene.advance(2000);
    assert_eq!(scene.told(), [joined("alice")]);
    assert!(
        scene
            .sent()
            .iter()
            .all(|sent| sent.to == Destination::Broadcast)
    );
}

#[test]
fn nobody_who_is_not_in_answers() {
    let mut scene = Scene::joining("alice");
    scene.hear(2, &join("bob"));
    scene.hear(2, &join("alice"));
    assert!(scene.try_hear(2, &join("b b")).is_err());
    assert!(scene.sent().is_empty());
}

#[test]
fn who_asks_for_my_name_is_told_that_it_is_mine() {
    let mut scene = Scene::joined("Zoë");
    scene.hear(2, &join("ZOE\u{308}"));
    assert_eq!(scene.sent(), [to(2, taken())]);
    // Even from an address of mine: there, another process asks.
    scene.hear(1, &join("Zoë"));
    assert_eq!(scene.sent(), [to(1, taken())]);
    assert_eq!(scene.told(), []);
}

#[test]
fn a_name_that_breaks_the_rules_is_refused() {
    let mut scene = Scene::joined("alice");
    let error = NameError::Forbidden { character: ' ' };
    let violation = |number| Violation::NotAName { number, error };
    assert_eq!(scene.try_hear(2, &join("b b")), Err(violation(471)));
    assert_eq!(scene.sent(), [to(2, taken())]);
    assert_eq!(scene.try_hear(2, &says("b b", "hi")), Err(violation(472)));
    assert!(scene.try_hear(2, b"hi").is_err());
    assert_eq!(scene.out, Outputs::default());
}

#[test]
fn an_asker_is_answered_once_a_second() {
    let mut scene = Scene::joined("alice");
    let answers = |scene: &mut Scene, name: &str| {
        scene.hear(2, &join(name));
        scene.sent().len()
    };
    assert_eq!(answers(&mut scene, "bob"), 1);
    assert_eq!(answers(&mut scene, "bob"), 0);
    assert_eq!(answers(&mut scene, "alice"), 0);
    scene.advance(500);
    assert_eq!(answers(&mut scene, "bob"), 0);
    scene.hear(3, &join("carol"));
    assert_eq!(scene.sent(), [to(3, welcome("alice", &[]))]);
    scene.advance(500);
    assert_eq!(answers(&mut scene, "alice"), 1);
}

#[test]
fn what_is_said_comes_back_and_is_told_once() {
    let mut scene = Scene::joined("alice");
    scene.say("hi");
    scene.say("");
    scene.say("hi");
    assert_eq!(
        scene.sent(),
        [(); 2].map(|()| broadcast(says("alice", "hi")))
    );
    assert_eq!(scene.told(), []);
    assert_eq!(scene.peer.unanswered(), 2);
    // Two sockets, or a network that doubles.
    for _ in 0..5 {
        scene.hear(1, &says("alice", "hi"));
    }
    assert_eq!(scene.told(), [live("alice", "hi"), live("alice", "hi")]);
    assert_eq!(scene.peer.unanswered(), 0);
    // From elsewhere it is not ours, and the person sees it.
    scene.hear(2, &says("Alice", "hi"));
    assert_eq!(scene.told(), [live("Alice", "hi")]);
}

#[test]
fn what_does_not_come_back_is_waited_for_two_seconds() {
    let mut scene = Scene::joined("alice");
    scene.say("lost");
    scene.advance(1999);
    assert_eq!(scene.peer.unanswered(), 1);
    assert_eq!(scene.told(), []);
    scene.advance(1);
    assert_eq!(scene.peer.unanswered(), 0);
    let text = "not heard back: lost".to_string();
    assert_eq!(scene.told(), [Told::Notice { text }]);
    assert_eq!(scene.peer.next_deadline(), None);
}

#[test]
fn lines_typed_before_wait_and_a_pipe_is_told_to() {
    let mut scene = Scene::joining("alice");
    for n in 0..MAX_WAITING {
        assert!(scene.peer.wants_lines());
        scene.say(&n.to_string());
    }
    assert!(!scene.peer.wants_lines());
    scene.advance(2000);
    let said = scene.sent().split_off(2);
    assert_eq!(said.len(), MAX_WAITING);
    assert_eq!(said[7], broadcast(says("alice", "7")));
    assert!(!scene.peer.wants_lines());
    scene.advance(2000);
    assert!(scene.peer.wants_lines());
}

#[test]
fn a_long_line_is_said_in_pieces_and_harmless() {
    let mut scene = Scene::joined("alice");
    scene.say(&"é".repeat(5000));
    let said = scene.sent();
    assert_eq!(said.len(), 3);
    let mut shown = String::new();
    for Outgoing { bytes, .. } in said {
        scene.hear(1, &bytes);
    }
    for told in scene.told() {
        match told {
            Told::Message { text, .. } => shown.push_str(&text),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(shown, "é".repeat(5000));
    assert_eq!(scene.peer.unanswered(), 0);

    scene.say("a\x1b[2Jb\r\n");
    assert_eq!(scene.sent(), [broadcast(says("alice", "a\u{fffd}[2Jb "))]);
}

#[test]
fn the_first_history_is_told_once_in_and_later_ones_are_not() {
    let mut scene = Scene::joining("alice");
    // A peer that has just come has nothing to tell.
    scene.hear(4, &welcome("dave", &[]));
    scene.hear(
        2,
        &welcome(
            "bob",
            &[("09:00:00", "bob", "one"), ("10:00:00", "carol", "two")],
        ),
    );
    scene.hear(3, &welcome("carol", &[("11:00:00", "eve", "three")]));
    scene.hear(3, &says("carol", "live"));
    assert_eq!(scene.told(), []);
    scene.advance(2000);
    scene.sent();
    let told = [
        joined("alice"),
        message("09:00:00", "bob", "one", true),
        message("10:00:00", "carol", "two", true),
        live("carol", "live"),
    ];
    assert_eq!(scene.told(), told);
    scene.hear(5, &welcome("frank", &[("11:00:00", "eve", "three")]));
    assert_eq!(scene.told(), []);
    // It answers with the same.
    scene.hear(9, &join("zed"));
    let lines = [
        ("09:00:00", "bob", "one"),
        ("10:00:00", "carol", "two"),
        (NOON, "carol", "live"),
    ];
    assert_eq!(scene.sent(), [to(9, welcome("alice", &lines))]);
    let names = ["alice", "bob", "carol", "dave", "frank", "zed"];
    assert_eq!(scene.peer.members(scene.now), names);
}

#[test]
fn what_was_heard_and_is_told_again_is_shown_once() {
    let mut scene = Scene::joining("alice");
    for text in ["hi", "hi", "a\nb"] {
        scene.hear(2, &says("bob", text));
    }
    let lines = [
        ("11:59:58", "bob", "hi"),
        ("11:59:59", "bob", "hi"),
        (NOON, "bob", "hi"),
        (NOON, "bob", "a b"),
    ];
    scene.hear(3, &welcome("carol", &lines));
    scene.hear(2, &says("bob", "hi"));
    scene.advance(2000);
    let mut told = vec![joined("alice")];
    told.extend(lines.map(|(time, from, text)| message(time, from, text, true)));
    told.push(live("bob", "hi"));
    assert_eq!(scene.told(), told);
}

#[test]
fn a_first_history_that_comes_late_is_older_than_what_was_heard() {
    let mut scene = Scene::joined("alice");
    scene.hear(2, &says("bob", "new"));
    assert_eq!(scene.told(), [live("bob", "new")]);
    scene.hear(
        2,
        &welcome("bob", &[("09:00:00", "bob", "old"), (NOON, "bob", "new")]),
    );
    assert_eq!(scene.told(), [message("09:00:00", "bob", "old", true)]);
    scene.hear(9, &join("zed"));
    let lines = [("09:00:00", "bob", "old"), (NOON, "bob", "new")];
    assert_eq!(scene.sent(), [to(9, welcome("alice", &lines))]);
}

#[test]
fn of_a_whole_history_the_last_ten_lines_and_strange_ones_as_they_are() {
    let mut scene = Scene::joining("alice");
    let mut lines: Vec<String> = (0..20).map(|n| format!("> 12:00:00 bob: {n}")).collect();
    lines.push("--- no form ---".to_string());
    let lines = lines.iter().map(String::as_str).collect();
    let bytes = raw(frame::WELCOME, "bob", Message::Lines(lines));
    scene.hear(2, &bytes);
    scene.advance(2000);
    let mut told = vec![joined("alice")];
    told.extend((11..20).map(|n| message(NOON, "bob", &n.to_string(), true)));
    told.push(Told::Notice {
        text: "--- no form ---".to_string(),
    });
    assert_eq!(scene.told(), told);
}

#[test]
fn what_is_told_is_as_it_came_and_what_is_passed_on_is_harmless() {
    let mut scene = Scene::joined("alice");
    scene.hear(2, &says("bob", "\x1b]0;x\x07\r\nhi"));
    assert_eq!(scene.told(), [live("bob", "\x1b]0;x\x07\r\nhi")]);
    scene.hear(2, &raw(frame::SAY, "bob", Message::Text("")));
    assert_eq!(scene.told(), []);
    scene.hear(9, &join("zed"));
    let harmless = [(NOON, "bob", "\u{fffd}]0;x\u{fffd} hi")];
    assert_eq!(scene.sent(), [to(9, welcome("alice", &harmless))]);
}

#[test]
fn a_flood_while_joining_is_kept_within_bounds() {
    let mut scene = Scene::joining("alice");
    for n in 0..MAX_HEARD + 50 {
        scene.hear(2, &says("bob", &n.to_string()));
    }
    scene.advance(2000);
    let told = scene.told();
    assert_eq!(told.len(), 1 + MAX_HEARD);
    assert_eq!(told[1], live("bob", "50"));
}

#[test]
fn commands() {
    let mut scene = Scene::joined("alice");
    scene.hear(2, &says("bob", "hi"));
    scene.told();
    let now = scene.now;
    let mut command = |command| scene.peer.handle_command(command, now, &mut scene.out);
    assert_eq!(command(Command::Who), Ok(()));
    assert_eq!(command(Command::Say("hi")), Ok(()));
    assert_eq!(command(Command::Leave), Ok(()));
    let direct = Command::Direct {
        to: "bob",
        text: "hi",
    };
    assert_eq!(command(direct), Err(Unsupported));
    let names = vec!["alice".to_string(), "bob".to_string()];
    assert_eq!(scene.told(), [Told::Members { names }]);
    assert_eq!(scene.sent(), [broadcast(says("alice", "hi"))]);
}

/// A network that carries datagrams between peers as its seed wills: it loses, doubles and delays.
struct Mesh {
    peers: Vec<(IpAddr, Peer, Vec<Told>)>,
    on_the_way: Vec<OnTheWay>,
    now: Instant,
    seed: u64,
    /// Of a hundred datagrams to another host, so many.
    lost: u64,
    doubled: u64,
    delayed: u64,
    carried: usize,
}

struct OnTheWay {
    due: Instant,
    from: IpAddr,
    to: IpAddr,
    bytes: Vec<u8>,
}

impl Mesh {
    fn good() -> Mesh {
        Mesh::bad(0, 0, 0, 0)
    }

    fn bad(seed: u64, lost: u64, doubled: u64, delayed: u64) -> Mesh {
        Mesh {
            peers: Vec::new(),
            on_the_way: Vec::new(),
            now: Instant::now(),
            seed,
            lost,
            doubled,
            delayed,
            carried: 0,
        }
    }

    /// SplitMix64, of a hundred.
    fn chance(&mut self) -> u64 {
        self.seed = self.seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.seed ^ (self.seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % 100
    }

    /// Somebody comes; the number to call them by.
    fn come(&mut self, name: &str) -> usize {
        let number = self.peers.len();
        let address = ip(number as u8 + 1);
        let mut peer = Peer::new(Name::parse(name).unwrap(), vec![address], self.now);
        let mut out = Outputs::default();
        peer.start(self.now, &mut out);
        self.peers.push((address, peer, Vec::new()));
        self.carry(number, out);
        number
    }

    fn say(&mut self, number: usize, text: &str) {
        let mut out = Outputs::default();
        self.peers[number].1.say(text, self.now, &mut out);
        self.carry(number, out);
    }

    fn carry(&mut self, number: usize, out: Outputs) {
        let from = self.peers[number].0;
        self.peers[number].2.extend(out.told);
        let addresses: Vec<IpAddr> = self.peers.iter().map(|peer| peer.0).collect();
        for Outgoing { to, bytes } in out.datagrams {
            for &address in &addresses {
                if to != Destination::Broadcast && to != Destination::Address(address) {
                    continue;
                }
                // The kernel's own echo is as sure as the kernel.
                let own = address == from;
                let copies = match (own, self.chance(), self.chance()) {
                    (true, ..) => 1,
                    (false, lost, _) if lost < self.lost => 0,
                    (false, _, doubled) if doubled < self.doubled => 2,
                    (false, ..) => 1,
                };
                for _ in 0..copies {
                    let slow = !own && self.chance() < self.delayed;
                    let millis = 1 + if slow { 3 * self.chance() } else { 0 };
                    self.on_the_way.push(OnTheWay {
                        due: self.now + Duration::from_millis(millis),
                        from,
                        to: address,
                        bytes: bytes.clone(),
                    });
                }
            }
        }
    }

    fn advance(&mut self, millis: u64) {
        for _ in 0..millis {
            self.now += Duration::from_millis(1);
            let now = self.now;
            let (due, later) = mem::take(&mut self.on_the_way)
                .into_iter()
                .partition(|datagram| datagram.due <= now);
            self.on_the_way = later;
            for OnTheWay {
                from, to, bytes, ..
            } in due
            {
                self.carried += 1;
                let number = self.peers.iter().position(|peer| peer.0 == to).unwrap();
                let mut out = Outputs::default();
                let from = SocketAddr::new(from, frame::PORT);
                let peer = &mut self.peers[number].1;
                peer.handle_datagram(from, &bytes, now, noon(), &mut out)
                    .unwrap();
                self.carry(number, out);
            }
            for number in 0..self.peers.len() {
                let peer = &mut self.peers[number].1;
                if peer.next_deadline().is_some_and(|due| due <= now) {
                    let mut out = Outputs::default();
                    peer.handle_timeout(now, &mut out);
                    self.carry(number, out);
                }
            }
        }
    }

    fn told(&mut self, number: usize) -> Vec<Told> {
        mem::take(&mut self.peers[number].2)
    }

    fn is_joined(&self, number: usize) -> bool {
        self.peers[number].1.is_joined()
    }

    fn is_refused(&self, number: usize) -> bool {
        self.peers[number].1.is_refused()
    }
}

#[test]
fn three_peers_come_one_after_the_other_and_talk() {
    let mut mesh = Mesh::good();
    let alice = mesh.come("alice");
    mesh.advance(2000);
    assert_eq!(mesh.told(alice), [joined("alice")]);
    mesh.say(alice, "anybody here?");
    mesh.advance(10);
    assert_eq!(mesh.told(alice), [live("alice", "anybody here?")]);

    let bob = mesh.come("bob");
    mesh.say(bob, "me");
    mesh.advance(1999);
    assert_eq!(mesh.told(bob), [], "not in yet");
    mesh.advance(10);
    let history = message(NOON, "alice", "anybody here?", true);
    assert_eq!(
        mesh.told(bob),
        [joined("bob"), history.clone(), live("bob", "me")]
    );
    assert_eq!(mesh.told(alice), [live("bob", "me")]);

    let carol = mesh.come("carol");
    mesh.advance(2010);
    assert_eq!(
        mesh.told(carol),
        [joined("carol"), history, message(NOON, "bob", "me", true)]
    );
    for number in [alice, bob, carol] {
        let now = mesh.now;
        let mut names = mesh.peers[number].1.members(now);
        names.sort();
        assert_eq!(names, ["alice", "bob", "carol"]);
    }
    // Nothing goes round on its own.
    let carried = mesh.carried;
    mesh.advance(60_000);
    assert_eq!(mesh.carried, carried);
}

#[test]
fn a_second_of_the_same_name_is_refused_and_the_first_stays() {
    let mut mesh = Mesh::good();
    let first = mesh.come("alice");
    mesh.advance(2000);
    let second = mesh.come("ALICE");
    mesh.advance(10_000);
    assert!(mesh.is_joined(first) && mesh.is_refused(second));
    assert!(matches!(mesh.told(second)[..], [Told::Refused { .. }]));
    assert_eq!(mesh.told(first), [joined("alice")]);
}

#[test]
fn a_bad_network_hinders_nobody_from_coming_and_makes_no_storm() {
    let (mut histories, mut refused) = (0, 0);
    for seed in 0..200 {
        let mut mesh = Mesh::bad(seed, 30, 30, 50);
        let alice = mesh.come("alice");
        mesh.advance(2000);
        mesh.say(alice, "first");
        mesh.advance(500);
        let bob = mesh.come("bob");
        let again = mesh.come("Alice");
        mesh.advance(3000);
        assert!(mesh.is_joined(bob), "seed {seed}");
        let mut heard = mesh.told(bob);
        assert_eq!(heard.remove(0), joined("bob"), "seed {seed}");
        histories += usize::from(heard.contains(&message(NOON, "alice", "first", true)));
        refused += usize::from(mesh.is_refused(again));

        // What people say they hear themselves once, others once, twice or not at all.
        mesh.told(alice);
        for n in 0..20 {
            mesh.say(bob, &n.to_string());
            mesh.advance(20);
        }
        mesh.advance(3000);
        let own = mesh.told(bob);
        let wanted: Vec<Told> = (0..20).map(|n| live("bob", &n.to_string())).collect();
        assert_eq!(own, wanted, "seed {seed}");
        assert_eq!(mesh.peers[bob].1.unanswered(), 0);
        let told = mesh.told(alice);
        assert!(
            (5..=35).contains(&told.len()),
            "seed {seed}: {}",
            told.len()
        );
        // 9 questions to 3 peers, answers to them, and 21 lines to 3 peers, each at most twice.
        assert!(mesh.carried < 2 * (9 * 3 + 9 * 2 + 21 * 3), "seed {seed}");
        let carried = mesh.carried;
        mesh.advance(5000);
        assert_eq!(mesh.carried, carried, "seed {seed}");
    }
    // Of three questions and their answers, all lost is 13 in 100 at most.
    assert!(histories > 150, "{histories}");
    assert!(refused > 120, "{refused}");
}
