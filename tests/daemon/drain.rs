//! SIGUSR2: nobody is let in any more, and the server stops when all have left.

use std::net::TcpStream;

use rustix::process::Signal;

use crate::daemon::{Daemon, Running};
use crate::support::serve::Client;
use crate::support::until;

/// The door is closed as soon as it drains.
fn drain(daemon: &Daemon, running: &Running) {
    running.mynah.signal(Signal::USR2);
    let told = daemon.told_of("STOPPING=1\n");
    assert!(told.contains("EXTEND_TIMEOUT_USEC="), "{told}");
    let address = running.mynah.address();
    until("nobody is let in", || TcpStream::connect(address).err());
}

#[test]
fn members_are_told_newcomers_refused_and_it_ends_when_it_is_empty() {
    let daemon = Daemon::new("drain_timeout = 3600");
    let running = daemon.start();
    let mut ada = running.mynah.join("ada");
    let mut bob = running.mynah.join("bob");
    drain(&daemon, &running);
    for member in [&mut ada, &mut bob] {
        let told = member.hear_text();
        assert!(
            told.contains("the server stops once everybody has left"),
            "{told}"
        );
    }
    running.mynah.signal(Signal::USR2);
    running.logs("SIGUSR2: it drains already");
    ada.say("one more thing");
    assert_eq!(bob.hear_text(), "one more thing");
    daemon.told_of("STATUS=draining: 2 members left\n");
    for mut member in [ada, bob] {
        member.end();
        member.read_to_end();
    }
    let log = running.wait();
    assert!(log.contains("stopping: drained"), "{log}");
}

#[test]
fn after_drain_timeout_it_ends_with_members() {
    let daemon = Daemon::new("drain_timeout = 1");
    let running = daemon.start();
    let mut member = running.mynah.join("member");
    drain(&daemon, &running);
    // It is told so, and the connection ends in good order.
    member.read_to_end();
    let log = running.wait();
    assert!(
        log.contains("stopping: the drain has taken its time, members left: 1"),
        "{log}"
    );
}

#[test]
fn a_drain_that_is_told_to_stop_stops_and_one_that_is_told_to_reload_does_not() {
    let daemon = Daemon::new("");
    let running = daemon.start();
    let mut member: Client = running.mynah.join("member");
    drain(&daemon, &running);
    running.mynah.signal(Signal::HUP);
    running.logs("not reloaded: the server is about to stop");
    running.mynah.signal(Signal::TERM);
    member.read_to_end();
    let log = running.wait();
    assert!(log.contains("stopping: SIGTERM, 1 connections"), "{log}");
}

#[test]
fn a_drain_of_nobody_is_over_at_once() {
    let daemon = Daemon::new("");
    let running = daemon.start();
    running.mynah.signal(Signal::USR2);
    let log = running.wait();
    assert!(log.contains("stopping: drained, 0 connections"), "{log}");
}
