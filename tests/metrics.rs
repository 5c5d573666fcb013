//! Figures over HTTP, from the real server: they move as they should, whatever else is asked for is refused, and nobody
//! who asks badly keeps those who chat waiting.

#[path = "support/memory_house.rs"]
mod memory_house;
mod support;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use memory_house::{ANN, BOB, House, UDP_ROOM};
use mynah::protocol::registry::Protocol;
use rustix::process::Signal;
use socket2::{Domain, Socket, Type};
use support::serve::{Client, Mynah};
use support::{PATIENCE, have, within_patience};

/// Samples by their names, labels included.
type Figures = BTreeMap<String, f64>;

/// A server for chat, and where its figures are.
fn serve() -> (Mynah, SocketAddr) {
    serve_with(&[])
}

fn serve_with(more: &[&str]) -> (Mynah, SocketAddr) {
    let both = [
        "--listen=tcp-room=127.0.0.1:0",
        "--listen=metrics=127.0.0.1:0",
    ];
    let server = Mynah::serve_with(&[&both, more].concat());
    let figures = server.at(1);
    let line = format!("listening metrics tcp {figures}");
    assert!(server.listening.contains(&line), "{:?}", server.listening);
    (server, figures)
}

fn connect(to: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(to).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// What is answered to that, to the end of the connection.
fn ask(to: SocketAddr, request: &str) -> String {
    let mut stream = connect(to);
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

fn get(to: SocketAddr, path: &str) -> (String, String) {
    let answer = ask(to, &format!("GET {path} HTTP/1.1\r\nHost: {to}\r\n\r\n"));
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.to_owned(), body.to_owned())
}

fn scrape(from: SocketAddr) -> Figures {
    let (head, body) = get(from, "/metrics");
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    let samples = body.lines().filter(|line| !line.starts_with('#'));
    let samples = samples.map(|line| line.rsplit_once(' ').unwrap());
    samples
        .map(|(name, value)| (name.to_owned(), value.parse().unwrap()))
        .collect()
}

/// Scrapes until that is so.
fn scrape_until(from: SocketAddr, what: &str, is_so: impl Fn(&Figures) -> bool) -> Figures {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let figures = scrape(from);
        if is_so(&figures) {
            return figures;
        }
        assert!(Instant::now() < deadline, "never {what}: {figures:?}");
    }
}

#[test]
fn figures_move_with_those_who_come_talk_are_refused_and_go() {
    let (server, figures) = serve();
    let before = scrape(figures);
    let in_room = "mynah_members{protocol=\"tcp-room\"}";
    let connected = "mynah_connections{protocol=\"tcp-room\"}";
    assert_eq!((before[in_room], before[connected]), (0.0, 0.0));
    assert_eq!(before["mynah_rooms"], 1.0);

    let (mut ann, mut bob) = (server.join("ann"), server.join("bob"));
    let mut stranger = Client::connect(server.address());
    let come = scrape_until(figures, "three are there", |now| now[connected] == 3.0);
    assert_eq!((come[in_room], come["mynah_joins_total"]), (2.0, 2.0));

    ann.say("hello");
    assert_eq!(
        (ann.hear_text(), bob.hear_text()),
        ("hello".into(), "hello".into())
    );
    let said = scrape(figures);
    assert_eq!(said["mynah_messages_total"], 1.0);
    assert!(said["mynah_deliveries_total"] >= 1.0);
    for way in ["received", "sent"] {
        let bytes = format!("mynah_{way}_bytes_total{{transport=\"tcp\"}}");
        assert!(said[&bytes] > come[&bytes], "{bytes}");
    }

    stranger.join("ann");
    assert_eq!(stranger.read_verdict(), 0);
    let name_taken = "mynah_refused_total{reason=\"name_taken\"}";
    assert_eq!(scrape(figures)[name_taken], 1.0);

    // Bob has read all, so he is not lost.
    drop((bob, stranger));
    let gone = scrape_until(figures, "alone", |now| now[connected] == 1.0);
    assert_eq!(gone[in_room], 1.0);
    assert_eq!(gone["mynah_closed_total{reason=\"left\"}"], 1.0);
    assert!(!gone.contains_key("mynah_closed_total"), "by reason alone");

    // Each scrape is a turn of its own at least, and the process goes on.
    let turns = "mynah_turn_seconds_count";
    assert!(gone[turns] > before[turns]);
    assert_eq!(gone["mynah_turn_seconds_bucket{le=\"+Inf\"}"], gone[turns]);
    assert!(gone["mynah_turn_seconds_sum"] > 0.0);
    let start = "process_start_time_seconds";
    assert!((gone[start] - before[start]).abs() < 0.1, "a start stays");
    let memory = server.memory("VmRSS") as f64 * 1024.0;
    let told = gone["process_resident_memory_bytes"];
    assert!((told / memory - 1.0).abs() < 0.5, "{told} of {memory}");
    assert!(gone["process_cpu_seconds_total"] > 0.0);
    // Linux before 6.2 does not tell.
    assert!(gone.get("process_open_fds").is_none_or(|open| *open > 5.0));
}

#[test]
fn a_laggard_is_seen_in_bytes_and_guests_among_members() {
    let mut house = House::new();
    let laggard = house.join(Protocol::TcpRoom, ANN, "ann");
    let speaker = house.join(Protocol::TcpRoom, BOB, "bob");
    house.give(UDP_ROOM, "192.0.2.77:1", "UN| eve");
    house.turn();
    let members = |house: &House, protocol| {
        let members = house.server.figures().members;
        members.iter().find(|(of, _)| *of == protocol).unwrap().1
    };
    assert_eq!(members(&house, Protocol::TcpRoom), 2);
    assert_eq!(members(&house, Protocol::UdpRoom), 1);
    assert_eq!(house.server.figures().slowest_lag_bytes, 0);
    laggard.stream.refuse();
    let text = "x".repeat(1000);
    let said = memory_house::frames::say(Protocol::TcpRoom, "bob", &text);
    house.say(&speaker, &said);
    let one = house.server.figures().slowest_lag_bytes;
    assert!(one > 1000, "{one} bytes");
    house.say(&speaker, &said);
    let two = house.server.figures().slowest_lag_bytes;
    // The first time, what came before may have waited with it.
    assert!(
        two > one + 1000 && two <= 2 * one,
        "{one}, then {two} bytes"
    );
    assert!(house.server.figures().output_bytes > two);
}

#[test]
fn what_is_not_a_page_is_refused_and_the_connection_ends() {
    let (_server, at) = serve();
    let status = |request: &str| {
        let answer = ask(at, request);
        answer.split("\r\n").next().unwrap_or_default().to_owned()
    };
    let host = "Host: x\r\n\r\n";
    for (request, expected) in [
        ("POST /metrics HTTP/1.1\r\n", "405 Method Not Allowed"),
        ("DELETE / HTTP/1.1\r\n", "405 Method Not Allowed"),
        ("GET /etc/passwd HTTP/1.1\r\n", "404 Not Found"),
        (
            "GET /metrics HTTP/3.0\r\n",
            "505 HTTP Version Not Supported",
        ),
        ("GET /metrics HTTP/1.1\r\nHost: y\r\n", "400 Bad Request"),
        ("BREW / HTTP/1.1\r\n", "501 Not Implemented"),
        (
            "GET / HTTP/1.1\r\nContent-Length: 3\r\n",
            "413 Content Too Large",
        ),
    ] {
        let expected = format!("HTTP/1.1 {expected}");
        assert_eq!(status(&format!("{request}{host}")), expected, "{request}");
    }
    assert!(ask(at, "PUT / HTTP/1.0\r\n\r\n").contains("\r\nAllow: GET, HEAD\r\n"));
    assert_eq!(status("GET / HTTP/1.1\r\n\r\n"), "HTTP/1.1 400 Bad Request");
    assert_eq!(status("\x16\x03\x01"), "HTTP/1.1 400 Bad Request");
    let long = format!("GET /{} HTTP/1.1\r\n{host}", "x".repeat(20_000));
    assert_eq!(status(&long), "HTTP/1.1 414 URI Too Long");
    let long = format!("GET / HTTP/1.1\r\nX: {}\r\n{host}", "x".repeat(20_000));
    let expected = "HTTP/1.1 431 Request Header Fields Too Large";
    assert_eq!(status(&long), expected);
    // Sent ahead: one answer, which says that it is the last.
    let two = format!("GET /healthz HTTP/1.1\r\n{host}").repeat(2);
    let answer = ask(at, &two);
    assert_eq!(answer.matches("HTTP/1.1").count(), 1, "{answer}");
    assert!(answer.contains("\r\nConnection: close\r\n"));
    // Half a request and its end.
    let mut half = connect(at);
    half.write_all(b"GET / HT").unwrap();
    half.shutdown(Shutdown::Write).unwrap();
    let mut answer = String::new();
    half.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    // And nothing at all.
    let mut silent = connect(at);
    silent.shutdown(Shutdown::Write).unwrap();
    assert_eq!(silent.read(&mut [0]).unwrap(), 0);
}

#[test]
fn head_is_get_without_its_body() {
    let (_server, at) = serve();
    for path in ["/", "/healthz", "/nowhere"] {
        let (head, body) = get(at, path);
        let request = format!("HEAD {path} HTTP/1.1\r\nHost: {at}\r\n\r\n");
        let answer = ask(at, &request);
        let without_date = |head: &str| {
            let lines = head.lines().filter(|line| !line.starts_with("Date: "));
            lines.map(str::to_owned).collect::<Vec<_>>()
        };
        let alone = answer.strip_suffix("\r\n\r\n").expect("no body");
        assert_eq!(without_date(alone), without_date(&head), "{path}");
        let length = format!("\r\nContent-Length: {}\r\n", body.len());
        assert!(head.contains(&length), "{path}: {head}");
    }
    let (head, body) = get(at, "/");
    assert!(head.contains("\r\nContent-Security-Policy: default-src 'none'"));
    assert!(body.starts_with("<!doctype html>"), "{body}");
    let (_, ok) = get(at, "/healthz");
    assert_eq!(ok, "ok\n");
}

#[test]
fn bad_visitors_keep_nobody_waiting() {
    let (server, at) = serve();
    let (mut ann, mut bob) = (server.join("ann"), server.join("bob"));
    // One who drips, many who hold their places, some who ask and never read.
    let mut dripping = connect(at);
    let silent: Vec<TcpStream> = (0..100).map(|_| connect(at)).collect();
    let deaf: Vec<TcpStream> = (0..20)
        .map(|_| {
            let mut stream = connect(at);
            let _ = stream.write_all(&b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n".repeat(100));
            stream
        })
        .collect();
    for n in 0..50 {
        // It may have lost its place.
        let _ = dripping.write_all(b"G");
        let text = format!("message {n}");
        ann.say(&text);
        assert_eq!(bob.hear_text(), text);
        assert_eq!(ann.hear_text(), text);
        if n % 10 == 0 {
            assert_eq!(scrape(at)["mynah_members{protocol=\"tcp-room\"}"], 2.0);
        }
    }
    // No more than so many are held, whoever they are.
    let descriptors = format!("/proc/{}/fd", server.child.id());
    let held = std::fs::read_dir(descriptors).unwrap().count();
    assert!(held < 60, "{held} descriptors");
    drop((silent, deaf));
}

#[test]
fn prometheus_own_tool_is_content() {
    if !have("promtool") {
        return;
    }
    let (server, at) = serve();
    let _ann = server.join("ann");
    let (_, body) = get(at, "/metrics");
    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = promtool.stdin.take().unwrap();
    input.write_all(body.as_bytes()).unwrap();
    drop(input);
    let output = within_patience(move || promtool.wait_with_output().unwrap());
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success() && said.is_empty(), "{said}");
}

#[test]
fn another_implementation_of_http_reads_it() {
    if !have("python3") {
        return;
    }
    let (_server, at) = serve();
    let script = "
import sys, urllib.request, urllib.error
base = 'http://' + sys.argv[1]
answer = urllib.request.urlopen(base + '/metrics?x=1')
assert answer.status == 200 and answer.headers['Content-Type'].startswith('text/plain; version=0.0.4')
assert len(answer.read()) == int(answer.headers['Content-Length'])
head = urllib.request.urlopen(urllib.request.Request(base + '/', method='HEAD'))
assert head.read() == b'' and int(head.headers['Content-Length']) > 1000
try:
    urllib.request.urlopen(base + '/metrics', data=b'x')
    assert False
except urllib.error.HTTPError as error:
    assert error.code == 405, error
    assert b'GET and HEAD' in error.read()
";
    let output = Command::new("python3")
        .args(["-c", script, &at.to_string()])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
}

#[test]
fn who_is_not_let_in_is_closed_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("mynah.toml");
    std::fs::write(&config, "access.metrics.allow = [\"127.0.0.2\"]\n").unwrap();
    let config = format!("--config={}", config.display());
    let (server, at) = serve_with(&[&config]);
    let _ann = server.join("ann");
    let mut stream = connect(at);
    match stream.read(&mut [0]) {
        Ok(read) => assert_eq!(read, 0),
        Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset),
    }
    let from_elsewhere = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    let source: SocketAddr = "127.0.0.2:0".parse().unwrap();
    from_elsewhere.bind(&source.into()).unwrap();
    from_elsewhere.connect(&at.into()).unwrap();
    let mut stream = TcpStream::from(from_elsewhere);
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.contains("\nmynah_members{protocol=\"tcp-room\"} 1\n"));
    assert!(answer.contains("\nmynah_turned_away_total{reason=\"not_allowed\"} 1\n"));
}

#[test]
fn to_listen_beyond_this_machine_is_warned_of() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mynah"));
    command.args(["serve", "--listen=metrics=0.0.0.0:0"]);
    command.stderr(Stdio::piped());
    let mut server = Mynah::start(command);
    let stderr = BufReader::new(server.child.stderr.take().unwrap());
    let at = server.address();
    let warning = within_patience(move || {
        let mut lines = stderr.lines().map(Result::unwrap);
        lines.find(|line| line.contains("metrics on")).unwrap()
    });
    assert!(warning.contains("WARN"), "{warning}");
    assert!(warning.contains("without a password"), "{warning}");
    let here = SocketAddr::from(([127, 0, 0, 1], at.port()));
    assert_eq!(get(here, "/healthz").1, "ok\n");
}

#[test]
fn a_server_that_drains_or_stops_says_so_to_load_balancers() {
    let (mut server, at) = serve();
    let ann = server.join("ann");
    server.signal(Signal::USR2);
    let deadline = Instant::now() + PATIENCE;
    while get(at, "/healthz").0.starts_with("HTTP/1.1 200") {
        assert!(Instant::now() < deadline, "it drains");
    }
    let (head, body) = get(at, "/healthz");
    assert!(head.starts_with("HTTP/1.1 503 Service Unavailable\r\n"));
    assert_eq!(body, "draining\n");
    assert_eq!(scrape(at)["mynah_draining"], 1.0);
    drop(ann);
    assert!(support::wait_for_exit(&mut server.child).success());
    let refused = TcpStream::connect_timeout(&at, Duration::from_secs(1));
    assert!(refused.is_err(), "the door is closed");
}
