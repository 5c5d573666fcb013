//! The server out of descriptors.

use std::io::Read;
use std::process::{Command, Stdio};

use crate::support::serve::{Client, Mynah};
use crate::support::until;

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
fn without_descriptors_it_says_so_and_recovers() {
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
