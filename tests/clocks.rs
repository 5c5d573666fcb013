//! What a wall clock that jumps does to the real server: nothing but to the times that it shows.

mod support;

use std::fs;
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::process::Signal;
use support::serve::{Client, Mynah};
use support::{PATIENCE, have, or_skip, read_all, receive, wait_for_exit};

/// A year and six hours, so that the time of day is another one.
const JUMPS: [&str; 5] = ["+8766h", "+0h", "-8766h", "+8766h", "+0h"];

/// The library that `faketime` has a program use.
fn library() -> Option<String> {
    let mut faketime = Command::new("faketime");
    let output = faketime.args(["-f", "+0d", "sh", "-c", "printf %s \"$LD_PRELOAD\""]);
    let path = String::from_utf8(output.output().ok()?.stdout).ok()?;
    (!path.is_empty()).then_some(path)
}

/// Has the clock of a server go by that from now on.
fn jump(clock: &Path, by: &str) {
    let new = clock.with_extension("new");
    fs::write(&new, by).unwrap();
    fs::rename(&new, clock).unwrap();
}

fn address_of(server: &Mynah, protocol: &str) -> SocketAddr {
    let begin = format!("listening {protocol} ");
    let mut lines = server.listening.iter();
    let line = lines.find(|line| line.starts_with(&begin)).unwrap();
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

/// Seconds since midnight.
fn seconds(time: &str) -> i64 {
    let parts: Vec<i64> = time.split(':').map(|part| part.parse().unwrap()).collect();
    (parts[0] * 60 + parts[1]) * 60 + parts[2]
}

#[test]
fn r29_a_wall_clock_that_jumps_a_year_ends_no_connection() {
    if !have("faketime") {
        return;
    }
    let library = library();
    if !or_skip(library.is_some(), "the library of faketime") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (clock, config) = (
        folder.path().join("clock"),
        folder.path().join("mynah.toml"),
    );
    jump(&clock, "+0h");
    fs::write(&config, "limits.first_frame_time = 1\n").unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_mynah"));
    command
        .arg("serve")
        .arg("--config")
        .arg(&config)
        .args(["tcp-room", "group", "udp-room"].map(|name| format!("--listen={name}=127.0.0.1:0")))
        .env("TZ", "UTC")
        .env("LD_PRELOAD", library.unwrap())
        .env("FAKETIME_TIMESTAMP_FILE", &clock)
        .env("FAKETIME_NO_CACHE", "1")
        // The kernel's clock never jumps.
        .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
        .stderr(Stdio::piped());
    let mut server = Mynah::start(command);
    let log = read_all(server.child.stderr.take().unwrap());

    let (mut ann, mut bob) = (server.join("ann"), server.join("bob"));
    // Who has a minute to type a name.
    let mut typing = Client::connect(server.address());
    let guest = UdpSocket::bind("127.0.0.1:0").unwrap();
    guest.set_read_timeout(Some(PATIENCE)).unwrap();
    guest.connect(address_of(&server, "udp-room")).unwrap();
    guest.send(b"UN| guest").unwrap();
    receive(&guest);
    let group = address_of(&server, "group");

    let say = |ann: &mut Client, bob: &mut Client, text: &str| {
        ann.say(text);
        assert_eq!(ann.hear_text(), text);
        assert_eq!(bob.hear_text(), text);
        assert_eq!(receive(&guest).0, format!("ann: {text}").as_bytes());
        // Its protocol has no time: the server's is shown.
        guest.send(text.as_bytes()).unwrap();
        assert_eq!(receive(&guest).0, format!("guest: {text}").as_bytes());
        bob.hear();
        let (time, name, _) = ann.hear();
        assert_eq!(name, "guest");
        seconds(&time)
    };
    let first = say(&mut ann, &mut bob, "before");
    for (round, by) in JUMPS.into_iter().enumerate() {
        jump(&clock, by);
        let shown = say(&mut ann, &mut bob, &format!("round {round}"));
        let hours: i64 = match by.as_bytes()[0] {
            _ if by == "+0h" => 0,
            b'+' => 6,
            _ => 18,
        };
        let ahead = (shown - first - hours * 3600).rem_euclid(24 * 3600);
        assert!(ahead < 1800, "{by}: {ahead} s off the clock");
        // Whoever is too late is too late, whatever the clock says meanwhile.
        let mut late = Client::over(TcpStream::connect(group).unwrap());
        assert_eq!(late.read_to_end(), b"");
    }
    typing.join("late");
    assert_eq!(typing.read_verdict(), 1, "a year is less than its minute");
    assert_eq!(receive(&guest).0, b"[late joined the server]");
    say(&mut ann, &mut bob, "after");

    server.signal(Signal::TERM);
    assert!(wait_for_exit(&mut server.child).success());
    let log = String::from_utf8(log.recv_timeout(PATIENCE).unwrap().unwrap()).unwrap();
    let (_, stopped) = log.split_once("stopped: ").expect(&log);
    let counted: Vec<&str> = stopped.split_whitespace().collect();
    for wanted in [
        "accepted=8",
        "joined=4",
        "timed_out=5",
        "timed_out_first_frame=5",
        "stopped=3",
    ] {
        assert!(counted.contains(&wanted), "{wanted}: {stopped}");
    }
    for never in [
        "lost",
        "silent",
        "unreachable",
        "slow",
        "closed_late",
        "violations",
        "left",
        "guests_left",
    ] {
        let told = counted.iter().any(|one| one.starts_with(never));
        assert!(!told, "{never}: {stopped}");
    }
}
