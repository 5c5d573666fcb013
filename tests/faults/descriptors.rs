//! The server out of descriptors, or of whatever else the kernel needs for a connection.

use std::io::Read;
use std::process::{Command, Stdio};

use crate::support::serve::{Client, Mynah};
use crate::support::{have, until};
use crate::tracer::Tracer;

/// `mynah serve` through a shell that sets something up before.
fn serve_under(setup: &str) -> Mynah {
    let mut command = Command::new("sh");
    let script = format!("{setup}; exec \"$0\" serve --listen tcp-room=127.0.0.1:0");
    command
        .args(["-c", &script, env!("CARGO_BIN_EXE_mynah")])
        .stderr(Stdio::null());
    Mynah::start(command)
}

#[test]
fn r21_without_descriptors_it_says_so_and_recovers() {
    let server = serve_under("ulimit -n 40");
    let mut inside = Vec::new();
    let mut refused = 0;
    while refused < 3 {
        let mut client = Client::connect(server.address());
        client.join(&format!("member{}", inside.len()));
        // Who is turned away is told 0, or finds the connection reset by what it sent meanwhile.
        let mut verdict = [0];
        match client.stream.read(&mut verdict) {
            Ok(1) if verdict == [1] => {
                client.read_history();
                inside.push(client);
            }
            _ => refused += 1,
        }
        assert!(inside.len() < 40);
    }
    assert!(inside.len() > 20, "{} were let in", inside.len());
    inside[0].say("it is crowded");
    assert_eq!(
        inside[1].hear_text(),
        "it is crowded",
        "those inside do not notice"
    );
    inside.truncate(10);
    until("somebody is let in again", || {
        let mut client = Client::connect(server.address());
        client.join("late");
        let mut verdict = [0];
        matches!(client.stream.read(&mut verdict), Ok(1) if verdict == [1]).then_some(())
    });
}

#[test]
fn r21_whatever_accepting_fails_for_it_pauses_and_accepts_again() {
    if !have("strace") {
        return;
    }
    // How many calls fail, and how many pauses are made for them. Two fail for each try: for the connection, and,
    // with the reserve given up, for one that is turned away.
    for (errno, failing, pauses) in [
        ("EMFILE", 10, 5),
        ("ENFILE", 10, 5),
        ("ENOBUFS", 10, 5),
        ("ENOMEM", 10, 5),
        // The connection's own fault: the next one is looked at at once.
        ("ECONNABORTED", 10, 0),
        // What a listener should never meet; the reserve would be of no use.
        ("EINVAL", 5, 5),
    ] {
        let inject = format!("accept4:error={errno}:when=1..{failing}");
        let tracer = Tracer::new("accept4", &[inject]);
        let server = tracer.serve();
        let mut late = server.mynah.join("late");
        late.say("hi");
        assert_eq!(late.hear_text(), "hi");
        let stopped = server.stop();
        assert_eq!(stopped.count("shed"), pauses as u64, "{errno}");
        assert_eq!(stopped.count("accepted"), 1, "{errno}");
        let told: Vec<&str> = stopped
            .log
            .lines()
            .filter(|line| line.contains("tcp-room: not accepting for "))
            .collect();
        assert_eq!(told.len(), pauses, "{errno}: {}", stopped.log);
        for (line, pause) in told.iter().zip(["10ms", "20ms", "40ms", "80ms", "160ms"]) {
            assert!(line.contains(&format!(" for {pause}: ")), "{errno}: {line}");
        }
        // Nothing is tried during a pause: no call but those that failed, the one that took the connection in,
        // and the one that found nobody else.
        let calls = tracer.seen_to_the_end();
        let calls = calls.lines().filter(|line| line.contains("accept4("));
        assert_eq!(calls.count(), failing + 2, "{errno}");
    }
}
