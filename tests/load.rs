//! The load generator against the real server, and against servers that lose, double and reorder on purpose.

mod support;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;
use std::{mem, thread};

use mynah::load::floor::{self, Floor, FloorCrowd};
use mynah::load::{
    Crowd, Failure, Mix, Outcome, Pace, Part, Plan, PlanError, Progress, Stage, Verdict, run,
};
use mynah::protocol::registry::Protocol;
use support::serve::Mynah;
use support::{PATIENCE, within_patience};

fn plan(members: usize, senders: usize, pace: Pace) -> Plan {
    Plan {
        members,
        senders,
        pace,
        payload: 64,
        duration: Duration::from_millis(300),
        warm_up: Duration::from_millis(50),
        logins_in_flight: 8,
        server: None,
    }
}

/// Every protocol that has a server, at ports of the kernel's choice.
fn serve_all(arguments: &[&str]) -> Mynah {
    let protocols = ["tcp-room", "group", "udp-room", "udp-login", "tcrp", "ucrp"];
    let sockets = protocols.map(|protocol| format!("{protocol}=127.0.0.1:0"));
    let listen = sockets.iter().flat_map(|socket| ["--listen", socket]);
    let arguments: Vec<&str> = arguments.iter().copied().chain(listen).collect();
    Mynah::serve_with(&arguments)
}

fn part(protocol: Protocol, server: &Mynah, share: u16) -> Part {
    let listening = |protocol: Protocol| -> SocketAddr {
        let name = protocol.name();
        let line = server
            .listening
            .iter()
            .find(|line| line.split(' ').any(|word| word == name));
        let line = line.unwrap_or_else(|| panic!("{name} in {:?}", server.listening));
        line.rsplit(' ').next().unwrap().parse().unwrap()
    };
    Part {
        protocol,
        address: listening(protocol),
        ucrp: (protocol == Protocol::Tcrp).then(|| listening(Protocol::Ucrp)),
        share,
    }
}

fn measure(plan: &Plan, parts: &[Part]) -> Outcome {
    let mix = Mix::new(parts, "load").unwrap();
    run(plan, &mix, &mut |_| Verdict::GoOn).unwrap()
}

/// Everybody had everything once and in order; every message had that many receipts.
fn assert_whole(outcome: &Outcome, per_message: u64) {
    let deliveries = &outcome.deliveries;
    assert!(deliveries.messages > 0, "{deliveries:?}");
    assert_eq!(
        deliveries.received,
        deliveries.messages * per_message,
        "{deliveries:?}"
    );
    let wrong = [deliveries.lost, deliveries.doubled, deliveries.disordered];
    assert_eq!(wrong, [0; 3], "{deliveries:?}");
    assert_eq!(deliveries.cut, 0, "{deliveries:?}");
    assert_eq!(outcome.lateness.last.len(), deliveries.messages);
    assert_eq!(outcome.lateness.each.len(), deliveries.received);
    assert_eq!(deliveries.unsaid, 0, "{deliveries:?}");
}

#[test]
fn tcp_room_hears_everything_at_any_pace() {
    let server = Mynah::serve();
    let parts = [part(Protocol::TcpRoom, &server, 1)];
    for pace in [Pace::Window(1), Pace::Window(64), Pace::Rate(200.0)] {
        for senders in [1, 3] {
            let mut plan = plan(30, senders, pace);
            plan.server = Some(server.child.id());
            let outcome = measure(&plan, &parts);
            assert_eq!(outcome.logins.members, 30);
            assert_whole(&outcome, 30);
            assert!(outcome.cost.unwrap().memory_idle > 0);
            assert!(outcome.waited.server.is_some() && outcome.waited.generator.is_some());
            if let Pace::Rate(_) = pace {
                assert!(outcome.deliveries.elapsed >= plan.duration);
            }
        }
    }
}

#[test]
fn the_longest_text_comes_through_in_one_piece() {
    let data = tempfile::tempdir().unwrap();
    let server = serve_all(&["--isolate", "--data-dir", data.path().to_str().unwrap()]);
    use Protocol::{Group, TcpRoom, Tcrp, UdpLogin, UdpRoom};
    for protocol in [TcpRoom, Group, UdpRoom, UdpLogin, Tcrp] {
        let parts = [part(protocol, &server, 1)];
        let mix = Mix::new(&parts, "load").unwrap();
        let mut plan = plan(3, 1, Pace::Window(1));
        plan.payload = mix.longest_text();
        plan.warm_up = Duration::ZERO;
        let outcome = run(&plan, &mix, &mut |_| Verdict::GoOn).unwrap();
        assert_whole(&outcome, if mix.echoes(0) { 3 } else { 2 });
    }
}

/// Of a protocol in which nobody hears their own words.
fn assert_whole_without_echo(protocol: Protocol, server: &Mynah) {
    let parts = [part(protocol, server, 1)];
    for pace in [Pace::Window(1), Pace::Window(8), Pace::Rate(100.0)] {
        for senders in [1, 3] {
            let outcome = measure(&plan(20, senders, pace), &parts);
            assert_whole(&outcome, 19);
        }
    }
}

#[test]
fn group_hears_everything_of_others() {
    let server = Mynah::serve_with(&["--listen", "group=127.0.0.1:0"]);
    assert_whole_without_echo(Protocol::Group, &server);
}

#[test]
fn tcrp_opens_a_room_of_its_own_and_hears_everything_of_others() {
    let listen = [
        "--listen",
        "tcrp=127.0.0.1:0",
        "--listen",
        "ucrp=127.0.0.1:0",
    ];
    let server = Mynah::serve_with(&listen);
    assert_whole_without_echo(Protocol::Tcrp, &server);
}

#[test]
fn udp_room_hears_everything() {
    let server = Mynah::serve_with(&["--listen", "udp-room=127.0.0.1:0"]);
    let parts = [part(Protocol::UdpRoom, &server, 1)];
    for pace in [Pace::Window(1), Pace::Window(8), Pace::Rate(100.0)] {
        for senders in [1, 3] {
            assert_whole(&measure(&plan(20, senders, pace), &parts), 20);
        }
    }
}

#[test]
fn udp_login_makes_its_accounts_once_and_hears_everything_of_others() {
    let data = tempfile::tempdir().unwrap();
    let listen = [
        "--listen",
        "udp-login=127.0.0.1:0",
        "--data-dir",
        data.path().to_str().unwrap(),
    ];
    let server = Mynah::serve_with(&listen);
    let parts = [part(Protocol::UdpLogin, &server, 1)];
    for pace in [Pace::Window(2), Pace::Rate(50.0)] {
        // The second time they are known.
        assert_whole(&measure(&plan(6, 2, pace), &parts), 5);
    }
}

#[test]
fn members_of_all_protocols_hear_each_other() {
    let data = tempfile::tempdir().unwrap();
    let server = serve_all(&["--data-dir", data.path().to_str().unwrap()]);
    let parts = [
        part(Protocol::TcpRoom, &server, 3),
        part(Protocol::Group, &server, 2),
        part(Protocol::UdpRoom, &server, 2),
        part(Protocol::UdpLogin, &server, 1),
        part(Protocol::Tcrp, &server, 2),
    ];
    let mix = Mix::new(&parts, "load").unwrap();
    let outcome = run(&plan(20, 10, Pace::Rate(100.0)), &mix, &mut |_| {
        Verdict::GoOn
    })
    .unwrap();
    let deliveries = outcome.deliveries;
    // In ten messages each of the ten senders has had its turn: five of them hear themselves.
    let echoing = (0..10).filter(|member| mix.echoes(*member)).count() as u64;
    assert_eq!(echoing, 5);
    let said = |sender: u64| (deliveries.messages + 9 - sender) / 10;
    let own: u64 = (0..10)
        .filter(|sender| mix.echoes(*sender as usize))
        .map(said)
        .sum();
    assert_eq!(
        deliveries.received,
        deliveries.messages * 19 + own,
        "{deliveries:?}"
    );
    assert_eq!(
        (deliveries.lost, deliveries.doubled, deliveries.disordered),
        (0, 0, 0)
    );
}

#[test]
fn the_floor_hears_everything_too() {
    for floor in [Floor::Stream, Floor::Gathering, Floor::Datagrams] {
        let (sender, address) = std::sync::mpsc::channel();
        thread::spawn(move || {
            let listen = "127.0.0.1:0".parse().unwrap();
            floor::serve(floor, listen, |address| sender.send(address).unwrap())
        });
        let address = address.recv_timeout(PATIENCE).unwrap();
        for (echoes, senders, pace) in [
            (true, 1, Pace::Window(16)),
            (false, 3, Pace::Window(8)),
            (true, 2, Pace::Rate(200.0)),
        ] {
            let crowd = FloorCrowd::new(floor, address, 35, echoes);
            let plan = plan(20, senders, pace);
            let outcome = run(&plan, &crowd, &mut |_| Verdict::GoOn).unwrap();
            assert_whole(&outcome, if echoes { 20 } else { 19 });
            let frame = outcome.deliveries.bytes / outcome.deliveries.received;
            assert_eq!(frame, 35 + 64, "{floor:?}");
        }
    }
}

/// What a server does to the messages that it hands on, by their number.
type Fault = fn(u32) -> Does;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Does {
    HandOn,
    Lose,
    Double,
    /// Behind the one after it.
    HandOnLater,
    /// Lets everybody go but the sender, having handed on half of it.
    Cut,
    /// Does nothing else for so long, then hands it on.
    Hold(Duration),
}

/// A bare server of one member that talks (the first) and another that listens, which makes its mistakes to the
/// listener alone.
fn faulty(fault: Fault) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        let mut talker = admitted(&listener);
        let mut other = Some(admitted(&listener));
        let (mut number, mut later) = (0, Vec::new());
        while let Some(frame) = read_frame(&mut talker) {
            talker.write_all(&frame).unwrap();
            let Some(stream) = &mut other else { continue };
            let held = mem::take(&mut later);
            match fault(number) {
                Does::HandOn => stream.write_all(&frame).unwrap(),
                Does::Hold(time) => {
                    thread::sleep(time);
                    stream.write_all(&frame).unwrap();
                }
                Does::Lose => {}
                Does::Double => stream.write_all(&[&frame[..], &frame].concat()).unwrap(),
                Does::HandOnLater => later = frame,
                Does::Cut => {
                    stream.write_all(&frame[..frame.len() - 1]).unwrap();
                    other = None;
                }
            }
            if let Some(stream) = &mut other {
                stream.write_all(&held).unwrap();
            }
            number += 1;
        }
    });
    address
}

/// The next connection, its hello read and answered.
fn admitted(listener: &TcpListener) -> TcpStream {
    let mut stream = listener.accept().unwrap().0;
    stream.set_nodelay(true).unwrap();
    read_frame(&mut stream).unwrap();
    stream.write_all(&[1, 0, 0, 0, b'A']).unwrap();
    stream
}

fn read_frame(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let mut frame = vec![0; 4];
    stream.read_exact(&mut frame).ok()?;
    let length = u32::from_le_bytes(frame[..].try_into().unwrap()) as usize;
    frame.resize(4 + length, 0);
    stream.read_exact(&mut frame[4..]).ok()?;
    Some(frame)
}

/// What is told of a server that makes its mistakes from the first message on, in sixty messages.
fn told_of(fault: Fault) -> Outcome {
    let address = faulty(fault);
    let crowd = FloorCrowd::new(Floor::Stream, address, 20, true);
    let mut plan = plan(2, 1, Pace::Rate(200.0));
    plan.warm_up = Duration::ZERO;
    let outcome = within_patience(move || run(&plan, &crowd, &mut |_| Verdict::GoOn).unwrap());
    let deliveries = &outcome.deliveries;
    assert_eq!((deliveries.messages, deliveries.unsaid), (60, 0));
    // The last of them is due before the end.
    assert!(
        deliveries.elapsed >= Duration::from_millis(300),
        "{deliveries:?}"
    );
    outcome
}

#[test]
fn what_a_server_loses_is_counted() {
    let deliveries = told_of(|number| {
        if number % 5 == 2 {
            Does::Lose
        } else {
            Does::HandOn
        }
    })
    .deliveries;
    let lost = (deliveries.messages + 2) / 5;
    assert_eq!(deliveries.lost, lost);
    assert_eq!(deliveries.received, 2 * deliveries.messages - lost);
    assert_eq!(
        (deliveries.doubled, deliveries.disordered, deliveries.cut),
        (0, 0, 0)
    );
}

#[test]
fn what_a_server_doubles_is_counted() {
    let deliveries = told_of(|number| {
        if number % 4 == 3 {
            Does::Double
        } else {
            Does::HandOn
        }
    })
    .deliveries;
    assert_eq!(deliveries.doubled, deliveries.messages / 4);
    assert_eq!(deliveries.received, 2 * deliveries.messages);
    assert_eq!(
        (deliveries.lost, deliveries.disordered, deliveries.cut),
        (0, 0, 0)
    );
}

#[test]
fn what_a_server_reorders_is_counted() {
    let deliveries = told_of(|number| match number {
        3 | 7 | 15 => Does::HandOnLater,
        _ => Does::HandOn,
    })
    .deliveries;
    assert_eq!(deliveries.disordered, 3);
    assert_eq!(deliveries.received, 2 * deliveries.messages);
    assert_eq!(
        (deliveries.lost, deliveries.doubled, deliveries.cut),
        (0, 0, 0)
    );
}

#[test]
fn members_that_a_server_cuts_are_counted_and_the_others_go_on() {
    let deliveries = told_of(|number| {
        if number == 10 {
            Does::Cut
        } else {
            Does::HandOn
        }
    })
    .deliveries;
    assert_eq!(deliveries.cut, 1);
    // Half a message is none; what was said until the end was noticed is lost too.
    assert!(deliveries.lost >= 1, "{deliveries:?}");
    assert_eq!(deliveries.received, deliveries.messages + 10);
    assert_eq!((deliveries.doubled, deliveries.disordered), (0, 0));
}

/// Longer than anything is waited for.
const HOLD: Duration = Duration::from_millis(2500);

#[test]
fn a_server_that_stalls_is_as_late_as_it_is() {
    let address = faulty(|number| match number {
        5 => Does::Hold(HOLD),
        _ => Does::HandOn,
    });
    let crowd = FloorCrowd::new(Floor::Stream, address, 20, true);
    let mut plan = plan(2, 1, Pace::Rate(50.0));
    plan.warm_up = Duration::ZERO;
    plan.duration = HOLD + Duration::from_millis(500);
    let outcome = within_patience(move || run(&plan, &crowd, &mut |_| Verdict::GoOn).unwrap());
    assert_eq!(outcome.deliveries.messages, 150);
    assert_whole(&outcome, 2);
    for lateness in [&outcome.lateness.each, &outcome.lateness.last] {
        assert!(u128::from(lateness.max()) >= HOLD.as_nanos());
    }
}

/// More than the kernel keeps for a server that does not read.
const FLOOD: Plan = Plan {
    members: 2,
    senders: 1,
    pace: Pace::Rate(40_000.0),
    payload: 1000,
    duration: Duration::from_millis(300),
    warm_up: Duration::ZERO,
    logins_in_flight: 1,
    server: None,
};

#[test]
fn what_a_server_held_back_is_said_after_the_end() {
    let address = faulty(|number| match number {
        0 => Does::Hold(Duration::from_millis(500)),
        _ => Does::HandOn,
    });
    let crowd = FloorCrowd::new(Floor::Stream, address, 20, true);
    let outcome = within_patience(move || run(&FLOOD, &crowd, &mut |_| Verdict::GoOn).unwrap());
    assert_eq!(outcome.deliveries.messages, 12_000);
    assert_whole(&outcome, 2);
}

#[test]
fn what_could_not_be_said_is_counted() {
    let address = faulty(|_| Does::Hold(PATIENCE));
    let crowd = FloorCrowd::new(Floor::Stream, address, 20, true);
    let outcome = within_patience(move || run(&FLOOD, &crowd, &mut |_| Verdict::GoOn).unwrap());
    let deliveries = outcome.deliveries;
    assert!(deliveries.unsaid > 0, "{deliveries:?}");
    assert_eq!(deliveries.messages + deliveries.unsaid, 12_000);
}

#[test]
fn a_window_goes_on_over_what_is_lost() {
    // Nothing behind it tells that it is lost.
    let address = faulty(|number| {
        if number == 0 {
            Does::Lose
        } else {
            Does::HandOn
        }
    });
    let crowd = FloorCrowd::new(Floor::Stream, address, 20, true);
    let mut plan = plan(2, 1, Pace::Window(1));
    plan.warm_up = Duration::ZERO;
    plan.duration = PATIENCE;
    let outcome = within_patience(move || {
        run(&plan, &crowd, &mut |progress| match progress.received {
            0 | 1 => Verdict::GoOn,
            _ => Verdict::Stop,
        })
    });
    let outcome = outcome.unwrap();
    assert_eq!(outcome.deliveries.lost, 1);
    assert!(outcome.deliveries.messages > 1, "{:?}", outcome.deliveries);
}

#[test]
fn whoever_watches_sees_the_stages_and_may_stop() {
    let server = Mynah::serve();
    let mix = Mix::new(&[part(Protocol::TcpRoom, &server, 1)], "load").unwrap();
    let mut plan = plan(5, 1, Pace::Window(4));
    plan.duration = PATIENCE;
    let mut seen: Vec<Progress> = Vec::new();
    let outcome = run(&plan, &mix, &mut |progress| {
        seen.push(*progress);
        match progress.stage == Stage::Measuring && progress.received > 0 {
            true => Verdict::Stop,
            false => Verdict::GoOn,
        }
    });
    let outcome = outcome.unwrap();
    assert_whole(&outcome, 5);
    assert!(outcome.deliveries.elapsed < PATIENCE);
    let stopped =
        |progress: &&Progress| progress.stage == Stage::Measuring && progress.received > 0;
    let last = seen.iter().find(stopped).unwrap();
    assert_eq!(last.members, 5);
    assert!(last.rate > 0.0);
}

fn failure(plan: &Plan, mix: &Mix) -> Failure {
    run(plan, mix, &mut |_| Verdict::GoOn).expect_err("it fails")
}

#[test]
fn what_could_not_be_done_is_said() {
    let server = Mynah::serve();
    let there = part(Protocol::TcpRoom, &server, 1);
    let mix = Mix::new(&[there], "load").unwrap();
    let good = plan(5, 1, Pace::Window(1));

    let closed = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let nobody = Part {
        address: closed,
        ..there
    };
    let said = failure(&good, &Mix::new(&[nobody], "load").unwrap()).to_string();
    assert!(
        said.starts_with(&format!("{closed}: Connection refused")),
        "{said}"
    );

    let many = Plan {
        members: 1 << 16,
        ..good
    };
    let limit = mynah::reactor::raise_descriptor_limit().unwrap();
    if limit < 1 << 16 {
        let said = failure(&many, &mix).to_string();
        assert!(said.starts_with("65536 members need 65"), "{said}");
        assert!(
            said.ends_with(&format!("the limit here is {limit}")),
            "{said}"
        );
    }

    let nothing = Plan {
        server: Some(u32::MAX),
        ..good
    };
    let said = failure(&nothing, &mix).to_string();
    assert_eq!(said, format!("process {}: no such process", u32::MAX));

    let _holder = server.join("load00003");
    match failure(&good, &mix) {
        Failure::Refused {
            member: 3, reason, ..
        } => {
            assert_eq!(
                reason,
                "the name \"load00003\" is taken or not allowed, or there is no room"
            );
        }
        other => panic!("{other}"),
    }
}

#[test]
fn who_hears_nobody_cannot_be_measured() {
    let server = Mynah::serve_with(&[
        "--listen",
        "group=127.0.0.1:0",
        "--listen",
        "udp-room=127.0.0.1:0",
    ]);
    let group = Mix::new(&[part(Protocol::Group, &server, 1)], "load").unwrap();
    let alone = plan(1, 1, Pace::Window(1));
    assert!(matches!(
        failure(&alone, &group),
        Failure::Plan(PlanError::NobodyListens)
    ));
    let udp_room = Mix::new(&[part(Protocol::UdpRoom, &server, 1)], "load").unwrap();
    let long = Plan {
        payload: 1024,
        ..alone
    };
    let said = failure(&long, &udp_room).to_string();
    assert_eq!(
        said,
        "payload: 1024 bytes do not fit into one message of this protocol, 1009 is the most"
    );
    let longest = Plan {
        payload: 1009,
        ..alone
    };
    assert_whole(
        &run(&longest, &udp_room, &mut |_| Verdict::GoOn).unwrap(),
        1,
    );
}

#[test]
fn equals_of_a_mesh_hear_everything_over_the_loopback_s_broadcasts() {
    // A port of nobody else's: whose number is free at this address is free at the others.
    let free = std::net::UdpSocket::bind("127.1.0.1:0").unwrap();
    let port = free.local_addr().unwrap().port();
    drop(free);
    let mesh = Part {
        protocol: Protocol::UdpMesh,
        address: SocketAddr::from(([127, 255, 255, 255], port)),
        ucrp: None,
        share: 1,
    };
    for pace in [Pace::Window(4), Pace::Rate(50.0)] {
        assert_whole(&measure(&plan(8, 2, pace), &[mesh]), 8);
    }
}
