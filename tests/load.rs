//! The load generator against the real server, and against servers that lose, double and reorder on purpose.

mod support;

use std::net::SocketAddr;
use std::time::Duration;

use mynah::load::{Mix, Outcome, Pace, Part, Plan, Verdict, run};
use mynah::protocol::registry::Protocol;
use support::serve::Mynah;

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
    assert!(!outcome.lateness.each.is_empty());
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
            if let Pace::Rate(_) = pace {
                assert_eq!(outcome.lateness.each.len(), outcome.deliveries.received);
            }
        }
    }
}
