//! `mynah bench` from its flags to its results, with a server of its own, with somebody else's, and cut short.

mod support;

use std::io::{BufRead, BufReader, ErrorKind};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::Receiver;
use std::{fs, io};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use support::serve::Mynah;
use support::{PATIENCE, read_all, until, wait_for_exit, within_patience};

/// With its own directory for temporary files, which must be empty in the end.
fn bench(temporary: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mynah"));
    command.arg("bench").args(arguments);
    command.env("TMPDIR", temporary).stdin(Stdio::null());
    command
}

fn run(temporary: &Path, arguments: &[&str]) -> Output {
    let mut command = bench(temporary, arguments);
    within_patience(move || command.output().unwrap())
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

/// What a thread has read to the end.
fn all_of(read: Receiver<io::Result<Vec<u8>>>) -> String {
    let bytes = read.recv_timeout(PATIENCE).expect("in time").unwrap();
    String::from_utf8(bytes).unwrap()
}

fn is_empty(folder: &Path) -> bool {
    fs::read_dir(folder).unwrap().next().is_none()
}

fn objects(json: &str) -> Vec<Value> {
    let lines = json.lines().map(|line| serde_json::from_str(line).unwrap());
    lines.collect()
}

const SHORT: [&str; 4] = ["--duration", "50ms", "--warm-up", "10ms"];

#[test]
fn a_server_of_its_own_is_measured_beside_the_floor() {
    let folder = tempfile::tempdir().unwrap();
    let temporary = folder.path().join("tmp");
    fs::create_dir(&temporary).unwrap();
    let json = folder.path().join("runs.json");
    let plot = folder.path().join("plot.svg");
    // What is there of an earlier time is gone.
    fs::write(&plot, vec![b'x'; 1 << 20]).unwrap();
    let json_flag = format!("--json={}", json.display());
    let plot_flag = format!("--plot={}", plot.display());
    let flags = [
        "--members=20",
        "--window=1,16",
        "--floor",
        "--repeat=2",
        &json_flag,
        &plot_flag,
    ];
    let output = run(&temporary, &[&SHORT[..], &flags].concat());
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    assert!(
        stdout.starts_with("tcp-room against a server of its own\n"),
        "{stdout}"
    );
    let lines = |label: &str| {
        stdout
            .lines()
            .filter(|line| line.starts_with(label))
            .count()
    };
    let labelled = ["server ", "floor ", "ratio "].map(lines);
    assert_eq!(labelled, [2, 2, 2], "{stdout}");
    assert!(
        stdout.contains(", TCP ") || stdout.contains("\nTCP "),
        "{stdout}"
    );
    assert_eq!(stderr.lines().count(), 8, "a line for each run: {stderr}");

    let objects = objects(&fs::read_to_string(&json).unwrap());
    let (summary, runs) = objects.split_last().unwrap();
    assert_eq!(runs.len(), 8);
    for run in runs {
        assert_eq!(run["type"], "run");
        assert_eq!(run["members_in"], 20);
        assert!(run["messages"].as_u64().unwrap() > 0, "{run}");
        let (messages, deliveries) = (&run["messages"], &run["deliveries"]);
        let expected = messages.as_u64().unwrap() * 20;
        assert_eq!(deliveries.as_u64(), Some(expected), "{run}");
        for fault in ["lost", "doubled", "disordered", "members_cut"] {
            assert_eq!(run[fault], 0, "{fault}: {run}");
        }
        assert!(run["cpu_us_per_delivery"].is_number(), "{run}");
        assert!(
            run["memory_idle_bytes"].as_u64().unwrap() > 100_000,
            "{run}"
        );
    }
    assert_eq!(summary["type"], "summary");
    assert_eq!(summary["cases"].as_array().unwrap().len(), 2);
    for case in summary["cases"].as_array().unwrap() {
        assert!(case["ratio"]["cpu_us_per_delivery"].is_number(), "{case}");
        assert_eq!(case["floor_faults"]["lost"], 0, "{case}");
    }
    let command = summary["command"].as_str().unwrap();
    assert!(
        command.starts_with("mynah bench --duration 50ms"),
        "{command}"
    );

    let svg = fs::read_to_string(&plot).unwrap();
    let document = roxmltree::Document::parse(&svg).unwrap();
    let texts: Vec<&str> = document
        .descendants()
        .filter_map(|node| node.text())
        .collect();
    for expected in [
        "20 members, window 1",
        "20 members, window 16",
        "latency, ms",
    ] {
        assert!(
            texts.iter().any(|text| text.trim() == expected),
            "{expected}"
        );
    }
    assert!(is_empty(&temporary), "what was made for a while is gone");
}

/// Every protocol once, alone and together.
#[test]
fn every_protocol_can_be_measured() {
    let folder = tempfile::tempdir().unwrap();
    let crowds: [&[&str]; 7] = [
        &["group"],
        &["udp-room"],
        &["udp-login"],
        &["tcrp"],
        &["ucrp"],
        &["udp-mesh"],
        &["tcp-room", "group", "udp-room", "--mix=2:1:1"],
    ];
    for crowd in crowds {
        let flags = ["--members=12", "--window=1", "--json", "--quiet"];
        let output = run(folder.path(), &[crowd, &SHORT[..], &flags].concat());
        let stderr = text(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{crowd:?}: {stderr}");
        assert_eq!(stderr, "", "{crowd:?}");
        let objects = objects(text(&output.stdout));
        assert_eq!(objects.len(), 2, "standard output is JSON and nothing else");
        assert!(objects[0]["deliveries"].as_u64().unwrap() > 0, "{crowd:?}");
        assert_eq!(objects[0]["lost"], 0, "{crowd:?}");
    }
    assert!(is_empty(folder.path()));
}

#[test]
fn somebody_elses_server_is_measured_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = Mynah::serve();
    let target = format!("tcp-room={}", server.address());
    let pid = server.child.id().to_string();
    let rate = [
        "--members=5",
        "--rate=200",
        "--repeat=2",
        "--pid",
        &pid,
        "-q",
    ];
    let output = run(
        folder.path(),
        &[&[target.as_str()], &SHORT[..], &rate].concat(),
    );
    let stdout = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert!(stdout.contains("medians of 2"), "{stdout}");
    assert!(stdout.contains("200/s"), "{stdout}");
    assert!(stdout.contains("CPU µs/"), "{stdout}");
    // Without its process there are no such columns.
    let output = run(
        folder.path(),
        &[&[target.as_str()], &SHORT[..], &rate[..2]].concat(),
    );
    assert!(!text(&output.stdout).contains("CPU µs/"));
    assert!(server.child.try_wait().unwrap().is_none(), "it serves on");
    assert!(server.terminate().success());
}

#[test]
fn what_cannot_be_is_named_with_what_would_be_right() {
    let folder = tempfile::tempdir().unwrap();
    let plot = folder.path().join("kept.svg");
    fs::write(&plot, "an earlier plot").unwrap();
    let plot_flag = format!("--plot={}", plot.display());
    // A port that nobody listens at, for it was given back.
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let target = format!("tcp-room={}", nobody.local_addr().unwrap());
    drop(nobody);
    let table: [(&[&str], i32, &str); 15] = [
        (
            &["irc"],
            2,
            "no protocol is called \"irc\"; there is: tcp-room",
        ),
        (
            &["group=localhost:1"],
            2,
            "\"localhost:1\" is no IP address with a port",
        ),
        (&["ucrp=127.0.0.1:1"], 2, "tcrp=ADDR:PORT"),
        (&[&target, &plot_flag], 1, "Connection refused"),
        (
            &[&target, "--pid=4194305"],
            1,
            "process 4194305: no such process",
        ),
        (&["--pid=1"], 2, "--pid is for a server with an address"),
        (
            &[&target, "group"],
            2,
            "either all protocols have an address, or none",
        ),
        (
            &["--mix=1:2"],
            2,
            "--mix 1:2 are 2 shares, and there is 1 protocol: tcp-room",
        ),
        (
            &["--json=/nonexistent/x", "--plot=/nonexistent/x"],
            2,
            "--json and --plot are one file, /nonexistent/x",
        ),
        (&["--duration=2"], 2, "2 seconds are 2s"),
        (&["--payload=3"], 2, "payload: 3 is not between 32 and 4096"),
        (&["--rate=1", "--window=1"], 2, "cannot be used with"),
        (&["--rate=nan"], 2, "rate: NaN is not a number of messages"),
        (&["group", "--members=1"], 2, "there must be 2 at least"),
        (
            &["--plot=/nonexistent/x.svg"],
            1,
            "cannot write /nonexistent/x.svg",
        ),
    ];
    for (flags, status, said) in table {
        let output = run(folder.path(), flags);
        let stderr = text(&output.stderr);
        assert!(stderr.contains(said), "{flags:?}: {stderr}");
        assert_eq!(output.status.code(), Some(status), "{flags:?}: {stderr}");
        assert!(output.stdout.is_empty(), "{flags:?}");
    }
    assert_eq!(fs::read_to_string(&plot).unwrap(), "an earlier plot");
}

#[test]
fn a_signal_ends_it_early_and_what_was_measured_is_shown() {
    let folder = tempfile::tempdir().unwrap();
    let flags = ["--members=5", "--window=1", "--repeat=100000"];
    let mut bench = Running::start(bench(folder.path(), &[&SHORT[..], &flags].concat()));
    let stdout = read_all(bench.process.stdout.take().unwrap());
    let stderr = bench.process.stderr.take().unwrap();
    // One is done, so there is something to show.
    let (first, stderr) = within_patience(move || {
        let mut lines = BufReader::new(stderr);
        let mut first = String::new();
        lines.read_line(&mut first).unwrap();
        (first, lines)
    });
    assert!(
        first.starts_with("1/100000 tcp-room, 5 members, window 1: "),
        "{first}"
    );
    let stderr = read_all(stderr);
    bench.signal(Signal::INT);
    let ended = wait_for_exit(&mut bench.process);
    let (stdout, stderr) = (all_of(stdout), all_of(stderr));
    assert_eq!(ended.code(), Some(130), "{stderr}");
    assert!(stdout.contains("ended early"), "{stdout}");
    assert!(stderr.ends_with("mynah: ended by SIGINT\n"), "{stderr}");
    assert!(is_empty(folder.path()));
}

#[test]
fn no_child_is_left_whenever_a_signal_comes() {
    let folder = tempfile::tempdir().unwrap();
    // While it starts, while its members come in, while it measures.
    for sockets_open in [0, 1, 6] {
        let flags = ["--members=5", "--window=1", "--duration=10m"];
        let mut bench = Running::start(bench(folder.path(), &flags));
        let server = bench.child_that_serves();
        until("members", || {
            (sockets(server) >= sockets_open).then_some(())
        });
        bench.signal(Signal::TERM);
        let ended = wait_for_exit(&mut bench.process);
        assert_eq!(ended.code(), Some(143));
        assert!(!is_there(server), "no child is left");
        assert!(is_empty(folder.path()));
    }
}

/// Even where nobody can clean up.
#[test]
fn a_server_ends_with_whoever_measures_it() {
    let folder = tempfile::tempdir().unwrap();
    let flags = ["--members=5", "--window=1", "--duration=10m"];
    let mut bench = Running::start(bench(folder.path(), &flags));
    let server = bench.child_that_serves();
    until("members", || (sockets(server) > 5).then_some(()));
    bench.signal(Signal::KILL);
    wait_for_exit(&mut bench.process);
    until("its end", || (!is_there(server)).then_some(()));
}

/// Its log is gone with its directory, so what it said last is told.
#[test]
fn a_server_of_its_own_that_ends_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let flags = ["--members=5", "--window=1", "--duration=10m", "--quiet"];
    let mut bench = Running::start(bench(folder.path(), &flags));
    let stderr = read_all(bench.process.stderr.take().unwrap());
    let server = bench.child_that_serves();
    until("members", || (sockets(server) > 5).then_some(()));
    let server = Pid::from_raw(server as i32).unwrap();
    kill_process(server, Signal::KILL).unwrap();
    let ended = wait_for_exit(&mut bench.process);
    let stderr = all_of(stderr);
    assert_eq!(ended.code(), Some(1), "{stderr}");
    assert_eq!(stderr, "mynah: the server ended with signal: 9 (SIGKILL)\n");
    assert!(is_empty(folder.path()));
}

#[test]
fn a_process_that_ends_while_it_is_looked_at_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let server = Mynah::serve();
    let mut looked_at = Command::new("sleep").arg("600").spawn().unwrap();
    let target = format!("tcp-room={}", server.address());
    let pid = looked_at.id().to_string();
    let flags = [&target, "--members=5", "-w=1", "--duration=1s", "--pid"];
    let mut bench = Running::start(bench(folder.path(), &[&flags[..], &[&pid]].concat()));
    let stdout = read_all(bench.process.stdout.take().unwrap());
    let measuring = bench.process.id();
    until("members", || (sockets(measuring) > 5).then_some(()));
    looked_at.kill().unwrap();
    looked_at.wait().unwrap();
    let ended = wait_for_exit(&mut bench.process);
    let stdout = all_of(stdout);
    assert_eq!(ended.code(), Some(0), "{stdout}");
    let said = format!("process {pid} ended meanwhile: what it cost is not known");
    assert!(stdout.contains(&said), "{stdout}");
    assert!(server.terminate().success());
}

/// Not after an hour with the first of them.
#[test]
fn more_members_than_there_can_be_are_refused_before_any_are_measured() {
    let folder = tempfile::tempdir().unwrap();
    let shell = "ulimit -n 200 && exec \"$0\" bench -n 5,300 -w 1 -d 50ms";
    let mut command = Command::new("sh");
    command.args(["-c", shell, env!("CARGO_BIN_EXE_mynah")]);
    command.env("TMPDIR", folder.path()).stdin(Stdio::null());
    let output = within_patience(move || command.output().unwrap());
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert!(stderr.contains("300 members need "), "{stderr}");
    assert!(stderr.ends_with(" would do\n"), "{stderr}");
    assert!(output.stdout.is_empty());
}

/// A measurement of hours goes on when the program is built anew.
#[test]
fn a_program_whose_file_is_gone_measures_on() {
    let folder = tempfile::tempdir().unwrap();
    let temporary = folder.path().join("tmp");
    fs::create_dir(&temporary).unwrap();
    let program = folder.path().join("mynah");
    fs::copy(env!("CARGO_BIN_EXE_mynah"), &program).unwrap();
    let mut command = Command::new(&program);
    let flags = ["bench", "--members=5", "--window=1", "--repeat=3"];
    command.args(flags).args(SHORT).env("TMPDIR", &temporary);
    let mut bench = Running::start(command);
    let (stdout, stderr) = (
        read_all(bench.process.stdout.take().unwrap()),
        read_all(bench.process.stderr.take().unwrap()),
    );
    bench.child_that_serves();
    fs::remove_file(&program).unwrap();
    let ended = wait_for_exit(&mut bench.process);
    let (stdout, stderr) = (all_of(stdout), all_of(stderr));
    assert_eq!(ended.code(), Some(0), "{stdout}{stderr}");
    assert!(stdout.contains("medians of 3"), "{stdout}");
}

/// A server that loses what it was given, or says it twice, has no result.
#[test]
fn loss_on_a_stream_is_a_failure() {
    let folder = tempfile::tempdir().unwrap();
    let server = support::Server::bind();
    let target = format!("tcp-room={}", server.address);
    let flags = [
        target.as_str(),
        "--members=2",
        "--window=1",
        "--logins-in-flight=1",
        "--warm-up=0s",
        "--duration=100ms",
    ];
    let mut bench = Running::start(bench(folder.path(), &flags));
    let stdout = read_all(bench.process.stdout.take().unwrap());
    let stderr = read_all(bench.process.stderr.take().unwrap());
    let mut speaker = server.accept();
    speaker.read_join();
    speaker.welcome(&[]);
    let mut listener = server.accept();
    listener.read_join();
    listener.welcome(&[]);
    // One message of several, to one member of two.
    let (time, name, text_of_first) = speaker.read_say();
    listener.say(&time, &name, &text_of_first);
    let ended = wait_for_exit(&mut bench.process);
    let (stdout, stderr) = (all_of(stdout), all_of(stderr));
    assert_eq!(ended.code(), Some(1), "{stdout}{stderr}");
    assert!(stderr.contains("1 delivery lost, on a stream"), "{stderr}");
    assert!(stdout.contains("1 delivery lost"), "{stdout}");
}

/// A measurement under way, ended with the test.
struct Running {
    process: Child,
}

impl Running {
    fn start(mut command: Command) -> Running {
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let process = until("a program that nobody writes to", || {
            match command.spawn() {
                // A test that was forked off while the program's copy was written holds that open until it execs.
                Err(error) if error.kind() == ErrorKind::ExecutableFileBusy => None,
                spawned => Some(spawned.unwrap()),
            }
        });
        Running { process }
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.process), signal).unwrap();
    }

    /// The one child that it has.
    fn child_that_serves(&self) -> u32 {
        let pid = self.process.id();
        let path = format!("/proc/{pid}/task/{pid}/children");
        until("a child", || {
            let children = fs::read_to_string(&path).ok()?;
            children.split_whitespace().next()?.parse().ok()
        })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// How many sockets a process has open.
fn sockets(pid: u32) -> usize {
    let Ok(open) = fs::read_dir(format!("/proc/{pid}/fd")) else {
        return 0;
    };
    let links = open.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
    links
        .filter(|link| link.to_string_lossy().starts_with("socket:"))
        .count()
}

/// Whether a process runs; one that nobody has waited for does not.
fn is_there(pid: u32) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let state = status.lines().find(|line| line.starts_with("State:"));
    state.is_some_and(|state| !state.contains('Z') && !state.contains('X'))
}
