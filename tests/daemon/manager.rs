//! What it tells a service manager, and when.

use std::fs;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::daemon::Daemon;
use crate::support::{PATIENCE, have, until};

#[test]
fn it_tells_that_it_is_ready_how_it_is_and_that_it_stops() {
    let daemon = Daemon::new("");
    let running = daemon.start();
    assert_eq!(daemon.told(), "READY=1\n");
    assert_eq!(daemon.told(), "STATUS=0 members in 1 room\n");
    let mut member = running.mynah.join("member");
    assert_eq!(daemon.told(), "STATUS=1 member in 1 room\n");
    member.end();
    member.read_to_end();
    assert_eq!(daemon.told(), "STATUS=0 members in 1 room\n");
    running.mynah.signal(Signal::HUP);
    let reloading = daemon.told();
    let since = reloading.strip_prefix("RELOADING=1\nMONOTONIC_USEC=");
    let since: u64 = since.unwrap().trim_end().parse().unwrap();
    assert!(since > 0);
    assert_eq!(
        daemon.told(),
        "READY=1\nSTATUS=0 members in 1 room\n",
        "as soon as it is over"
    );
    running.mynah.signal(Signal::TERM);
    assert_eq!(daemon.told(), "STOPPING=1\n");
    running.wait();
}

#[test]
fn a_reload_that_came_to_nothing_is_told_with_its_reason() {
    let daemon = Daemon::new("");
    let running = daemon.start();
    daemon.configure("limits.rooms = 0");
    running.mynah.signal(Signal::HUP);
    daemon.told_of("RELOADING=1\n");
    let told = daemon.told_of("READY=1\n");
    assert!(told.contains("; not reloaded: "), "{told}");
    assert!(told.contains("mynah.toml:2: limits.rooms"), "{told}");
    daemon.configure("");
    running.mynah.signal(Signal::HUP);
    daemon.told_of("RELOADING=1\n");
    assert_eq!(
        daemon.told_of("READY=1\n"),
        "READY=1\nSTATUS=0 members in 1 room\n"
    );
    running.terminate();
}

/// A watchdog of 400 ms, for the process with that number.
fn watched(daemon: &Daemon, pid: &str) -> Command {
    let mut command = daemon.command(&format!("export WATCHDOG_PID={pid}"));
    command.env("WATCHDOG_USEC", "400000");
    command
}

#[test]
fn the_loop_pets_the_watchdog_and_a_stopped_process_does_not() {
    let daemon = Daemon::new("");
    let running = daemon.start_as(watched(&daemon, "$$"));
    for _ in 0..5 {
        daemon.told_of("WATCHDOG=1\n");
    }
    running.mynah.signal(Signal::STOP);
    // What was sent before it stopped is there already, or was on its way.
    while daemon.told_within(Duration::from_millis(100)).is_some() {}
    assert_eq!(daemon.told_within(Duration::from_secs(2)), None);
    running.mynah.signal(Signal::CONT);
    daemon.told_of("WATCHDOG=1\n");
    running.terminate();
}

#[test]
fn no_thread_but_the_loop_pets_the_watchdog() {
    if !have("strace") {
        return;
    }
    let daemon = Daemon::new("");
    // People can log in, so there is a helper as well; and the tracer stands aside, so that the process is the server.
    daemon.configure_all("listen = [\"tcp-room=127.0.0.1:0\", \"udp-login=127.0.0.1:0\"]");
    let seen = daemon.file().with_file_name("seen");
    let tracer = format!("strace -D -f -e trace=sendto -o {}", seen.display());
    let mut command = daemon.command_by("export WATCHDOG_PID=$$", &tracer);
    command.env("WATCHDOG_USEC", "400000");
    let running = daemon.start_as(command);
    for _ in 0..5 {
        daemon.told_of("WATCHDOG=1\n");
    }
    let main = running.mynah.child.id().to_string();
    running.terminate();
    let pets: Vec<String> = until("all is seen", || {
        let seen = fs::read_to_string(&seen).unwrap();
        let is_over = seen.lines().any(|line| line.contains("+++ exited"));
        let pets = seen.lines().filter(|line| line.contains("WATCHDOG"));
        is_over.then(|| pets.map(str::to_owned).collect())
    });
    assert!(pets.len() >= 5, "{pets:?}");
    for pet in pets {
        assert_eq!(pet.split(' ').next(), Some(&*main), "{pet}");
    }
}

#[test]
fn a_watchdog_for_another_process_is_not_petted() {
    let daemon = Daemon::new("");
    let running = daemon.start_as(watched(&daemon, "1"));
    daemon.told_of("READY=1\n");
    let deadline = Instant::now() + Duration::from_secs(1);
    while let Some(told) = daemon.told_within(Duration::from_millis(500)) {
        assert!(!told.contains("WATCHDOG"), "{told}");
        assert!(Instant::now() < deadline + PATIENCE);
    }
    running.terminate();
}

#[test]
fn a_manager_that_reads_nothing_holds_nobody_up() {
    let daemon = Daemon::new("");
    let mut command = watched(&daemon, "$$");
    command.env("WATCHDOG_USEC", "2000");
    let running = daemon.start_as(command);
    // Its queue is full long before this is over: ten datagrams as Linux comes.
    let mut member = running.mynah.join("member");
    for number in 0..100 {
        running.mynah.signal(Signal::HUP);
        member.say(&number.to_string());
        assert_eq!(member.hear_text(), number.to_string());
        thread::sleep(Duration::from_millis(2));
    }
    running.mynah.signal(Signal::TERM);
    // What matters comes as soon as somebody reads.
    daemon.told_of("STOPPING=1\n");
    let log = running.wait();
    assert!(log.contains("stopped: "), "{log}");
}

#[test]
fn a_manager_that_is_not_there_is_no_reason_not_to_serve() {
    for (socket, told) in [("/nonexistent/notify", true), ("notify", true), ("", false)] {
        let daemon = Daemon::new("");
        let mut command = daemon.command("");
        command.env("NOTIFY_SOCKET", socket);
        let running = daemon.start_as(command);
        let _member = running.mynah.join("member");
        let log = running.terminate();
        assert_eq!(log.contains("the service manager"), told, "{socket}: {log}");
    }
}
