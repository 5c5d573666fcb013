//! What the server bears: faults of peers, of the machine and of whoever started it.

mod support;

use std::io::Read;
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use socket2::{Domain, Socket, Type};
use support::serve::{Client, Mynah, join, say, timed};
use support::{PATIENCE, or_skip, read_all, until, wait_for_exit};

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
fn a_port_in_use_is_named_and_no_other_is_taken() {
    let holder = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = holder.local_addr().unwrap();
    let listen = format!("tcp-room={address}");
    let output = Command::new(env!("CARGO_BIN_EXE_mynah"))
        .args(["serve", "--listen", &listen])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(output.stdout, b"");
    let said = String::from_utf8(output.stderr).unwrap();
    for part in ["tcp-room", &address.to_string(), "in use"] {
        assert!(said.contains(part), "{said:?} does not tell {part:?}");
    }
}

#[test]
fn wrong_usage_names_the_value_and_what_would_be_right() {
    for (arguments, parts) in [
        (
            &["--listen", "tcp-rom=127.0.0.1:1"][..],
            &["tcp-rom", "tcp-room"][..],
        ),
        (
            &["--listen", "tcp-room=127.0.0.1:70000"],
            &["127.0.0.1:70000", "65535"],
        ),
        (
            &["--listen", "127.0.0.1:1"],
            &["127.0.0.1:1", "NAME=ADDR:PORT"],
        ),
        (&["--log-level", "loud"], &["loud", "info"]),
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_mynah"))
            .arg("serve")
            .args(arguments)
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        let said = String::from_utf8(output.stderr).unwrap();
        for part in parts {
            assert!(said.contains(part), "{said:?} does not tell {part:?}");
        }
    }
}

#[test]
fn without_flags_every_protocol_is_announced_on_this_machine() {
    let tcp = |port| TcpListener::bind(("127.0.0.1", port)).is_ok();
    let udp = |port| UdpSocket::bind(("127.0.0.1", port)).is_ok();
    let are_free =
        || [42069, 1337, 9090].map(tcp) == [true; 3] && [9999, 65015, 9091].map(udp) == [true; 3];
    // Somebody's connection may have one of them for a moment: the kernel chooses among them, too.
    let deadline = Instant::now() + PATIENCE;
    while !are_free() && Instant::now() < deadline {
        thread::sleep(Duration::from_millis(20));
    }
    if !or_skip(are_free(), "all the default ports free") {
        return;
    }
    // Where accounts are kept is the one thing that a test must not have by default.
    let folder = tempfile::tempdir().unwrap();
    let server = Mynah::serve_with(&["--data-dir", folder.path().to_str().unwrap()]);
    assert_eq!(
        server.listening,
        [
            "listening tcp-room tcp 127.0.0.1:42069",
            "listening group tcp 127.0.0.1:1337",
            "listening udp-room udp 127.0.0.1:9999",
            "listening udp-login udp 127.0.0.1:65015",
            "listening tcrp tcp 127.0.0.1:9090",
            "listening ucrp udp 127.0.0.1:9091",
        ]
    );
}

#[test]
fn both_families_are_spoken_where_the_machine_has_them() {
    if !or_skip(TcpListener::bind("[::1]:0").is_ok(), "IPv6 on the loopback") {
        return;
    }
    let server = Mynah::serve_with(&[
        "--listen",
        "tcp-room=[::1]:0",
        "--listen",
        "tcp-room=127.0.0.1:0",
    ]);
    let mut six = server.join("six");
    let four = server.listening[1]
        .rsplit(' ')
        .next()
        .unwrap()
        .parse()
        .unwrap();
    let mut four = Client::connect(four);
    four.join("four");
    assert_eq!(four.read_verdict(), 1);
    four.read_history();
    four.say("hello, six");
    assert_eq!(six.hear_text(), "hello, six");
}

#[test]
fn a_member_that_never_reads_is_cut_and_costs_one_backlog() {
    let server = Mynah::serve();
    let mut talker = server.join("talker");
    let mut listener = server.join("listener");
    let deaf: Vec<Client> = (0..20)
        .map(|n| {
            let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
            // As little as the kernel gives, set before the handshake.
            socket.set_recv_buffer_size(2048).unwrap();
            socket.connect(&server.address().into()).unwrap();
            let mut client = Client::over(socket.into());
            client.join(&format!("deaf{n}"));
            assert_eq!(client.read_verdict(), 1);
            client
        })
        .collect();
    let before = server.memory("VmHWM");
    let text = "x".repeat(4000);
    // Kernel buffers hold some megabytes per connection; what is beyond them is ours to bound.
    let rounds = 3000;
    for _ in 0..rounds {
        talker.say(&text);
        assert_eq!(talker.hear_text().len(), 4000, "the talker is served on");
        assert_eq!(listener.hear_text().len(), 4000, "and so is the listener");
    }
    let grown = server.memory("VmHWM") - before;
    assert!(grown <= 5 * 1024, "{grown} kB for twenty that do not read");
    for (n, mut client) in deaf.into_iter().enumerate() {
        // It was cut: what the kernels held is all that it gets. Its name is free again.
        let got = client.read_to_end().len();
        assert!(got < rounds * 4000, "deaf{n} was not cut");
        server.join(&format!("deaf{n}"));
    }
}

#[test]
fn a_flooder_loses_nothing_itself() {
    let server = Mynah::serve();
    let mut flooder = server.join("flooder");
    let lines = 20_000;
    let mut bytes = Vec::new();
    for n in 0..lines {
        bytes.extend(say("00:00:00", "", &format!("{n:0500}")));
    }
    let mut writer = Client::over(flooder.stream.try_clone().unwrap());
    let writing = std::thread::spawn(move || writer.send(&bytes));
    for n in 0..lines {
        assert_eq!(flooder.hear_text(), format!("{n:0500}"));
    }
    writing.join().unwrap();
    let peak = server.memory("VmHWM");
    assert!(peak <= 12 * 1024, "{peak} kB at its peak");
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

#[test]
fn terminated_it_sends_what_is_due_and_ends_well() {
    let server = Mynah::serve();
    let mut alice = server.join("alice");
    let mut bob = server.join("bob");
    for n in 0..500 {
        alice.say(&format!("line {n}"));
    }
    for n in 0..500 {
        assert_eq!(alice.hear_text(), format!("line {n}"));
    }
    let address = server.address();
    let (status, took) = timed(|| server.terminate());
    assert_eq!(status.code(), Some(0));
    assert!(took < Duration::from_secs(3), "it took {took:?}");
    for n in 0..500 {
        assert_eq!(bob.hear_text(), format!("line {n}"), "what was due came");
    }
    assert_eq!(bob.read_to_end(), b"");
    assert!(
        TcpStream::connect(address).is_err(),
        "nobody listens any more"
    );
}

#[test]
fn terminated_with_a_member_that_does_not_read_it_ends_all_the_same() {
    let server = Mynah::serve();
    let mut deaf = server.join("deaf");
    let mut alice = server.join("alice");
    let text = "x".repeat(4000);
    for _ in 0..1600 {
        alice.say(&text);
        alice.hear();
    }
    let (status, took) = timed(|| server.terminate());
    assert_eq!(status.code(), Some(0));
    assert!(took < Duration::from_secs(4), "it took {took:?}");
    deaf.read_to_end();
}

#[test]
fn interrupted_twice_it_ends_at_once() {
    let mut server = Mynah::serve();
    let _idle = server.join("idle");
    server.signal(Signal::INT);
    server.signal(Signal::INT);
    assert_eq!(wait_for_exit(&mut server.child).code(), Some(0));
}

#[test]
fn a_log_that_nobody_reads_stops_nothing() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mynah"));
    command
        .args([
            "serve",
            "--listen",
            "tcp-room=127.0.0.1:0",
            "--log-level",
            "trace",
        ])
        .stderr(Stdio::piped());
    let mut server = Mynah::start(command);
    // Some 200 bytes of log each: more than any pipe holds.
    for n in 0..3000 {
        let mut client = Client::connect(server.address());
        client.send(&join(&format!("visitor{n}")));
        assert_eq!(client.read_verdict(), 1);
    }
    server.join("alice");
    let log = read_all(server.child.stderr.take().unwrap());
    assert_eq!(server.terminate().code(), Some(0));
    let log = log.recv().unwrap().unwrap();
    let log = String::from_utf8(log).unwrap();
    for line in log.lines() {
        // 2026-01-31T12:34:56Z LEVEL …, and nothing that a terminal obeys.
        let time = line.split(' ').next().unwrap();
        let shape: String = time
            .chars()
            .map(|c| if c.is_ascii_digit() { '9' } else { c })
            .collect();
        assert!(shape.starts_with("9999-99-99T99:99:99"), "{line:?}");
        assert!(!line.contains(|c: char| c.is_control()), "{line:?}");
    }
}

#[test]
fn a_closed_standard_output_stops_nothing() {
    let mut command = Command::new("sh");
    let script = "exec \"$0\" serve --listen tcp-room=127.0.0.1:0 >&-";
    command
        .args(["-c", script, env!("CARGO_BIN_EXE_mynah")])
        .stderr(Stdio::piped());
    let mut child = command.stdin(Stdio::null()).spawn().unwrap();
    let pid = rustix::process::Pid::from_child(&child);
    // Nothing tells when it is ready; SIGTERM ends it well as soon as it is caught.
    until("it runs", || {
        let path = format!("/proc/{}/status", child.id());
        let status = std::fs::read_to_string(path).ok()?;
        let caught = status.lines().find(|line| line.starts_with("SigCgt"))?;
        let mask = u64::from_str_radix(caught.split_whitespace().nth(1)?, 16).ok()?;
        (mask & (1 << 14) != 0).then_some(())
    });
    rustix::process::kill_process(pid, Signal::TERM).unwrap();
    assert_eq!(wait_for_exit(&mut child).code(), Some(0));
}
