//! `mynah top` as a person sees it: the binary on a real pseudo-terminal, watching a server that a test makes say what
//! it wants.

mod support;

use std::io::{self, BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::ops::{Deref, DerefMut};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use rustix::process::Signal;
use support::pty::Pty;
use support::serve::Mynah;

/// Answers who asks over HTTP, as the server's metrics socket does.
struct Figures {
    address: SocketAddr,
    stopping: Arc<AtomicBool>,
    asked: Arc<AtomicUsize>,
    thread: Option<JoinHandle<()>>,
}

impl Figures {
    /// A process that was started then. 100 messages come in from one asking to the next.
    fn of_process(started: u32) -> Figures {
        Figures::at("127.0.0.1:0".parse().unwrap(), started)
    }

    fn at(address: SocketAddr, started: u32) -> Figures {
        let listener = TcpListener::bind(address).unwrap();
        let address = listener.local_addr().unwrap();
        let stopping = Arc::new(AtomicBool::new(false));
        let asked = Arc::new(AtomicUsize::new(0));
        let (stop, count) = (Arc::clone(&stopping), Arc::clone(&asked));
        let thread = thread::spawn(move || {
            for stream in listener.incoming() {
                if stop.load(Ordering::SeqCst) {
                    return;
                }
                let times = count.fetch_add(1, Ordering::SeqCst);
                // Who leaves in the middle of it gets none.
                let _ = answer(stream.unwrap(), &said(started, 100 * (times + 1)));
            }
        });
        Figures {
            address,
            stopping,
            asked,
            thread: Some(thread),
        }
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

impl Drop for Figures {
    /// Closes the listener: nobody can be reached there any more.
    fn drop(&mut self) {
        self.stopping.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
        self.thread.take().unwrap().join().unwrap();
    }
}

fn answer(mut stream: TcpStream, body: &str) -> io::Result<()> {
    let mut request = Vec::new();
    for line in BufReader::new(stream.try_clone()?).lines() {
        let line = line?;
        if line.is_empty() {
            break;
        }
        request.push(line);
    }
    if let Some(first) = request.first() {
        assert_eq!(first, "GET /metrics HTTP/1.1");
        assert!(request.contains(&"Connection: close".to_owned()));
    }
    let length = body.len();
    write!(
        stream,
        "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{body}"
    )
}

fn said(started: u32, messages: usize) -> String {
    format!(
        "# HELP mynah_build_info What it is.\n\
         # TYPE mynah_build_info gauge\n\
         mynah_build_info{{version=\"9.8.7\",commit=\"abcdef\"}} 1\n\
         process_start_time_seconds {started}\n\
         mynah_messages_total {messages}\n\
         mynah_members{{protocol=\"tcp-room\"}} 40\n\
         mynah_members{{protocol=\"udp-room\"}} 17\n\
         mynah_connections{{protocol=\"tcp-room\"}} 41\n\
         mynah_turn_seconds_bucket{{le=\"0.001\"}} {messages}\n\
         mynah_turn_seconds_bucket{{le=\"+Inf\"}} {messages}\n\
         mynah_closed_total{{reason=\"slow_backlog\"}} 3\n"
    )
}

/// A terminal with `mynah top` on it.
struct Terminal {
    pty: Pty,
    parser: vte::Parser,
    screen: Screen,
}

impl Terminal {
    /// Watches those figures, ten times a second.
    fn watching(address: SocketAddr) -> Terminal {
        Terminal::watching_where(address, &[], (80, 24))
    }

    fn watching_where(
        address: SocketAddr,
        environment: &[(&str, &str)],
        (columns, rows): (u16, u16),
    ) -> Terminal {
        let address = address.to_string();
        let args = ["top", &address, "--interval", "100ms"];
        Terminal {
            pty: Pty::start(&args, environment, (columns, rows)),
            parser: vte::Parser::new(),
            screen: Screen::default(),
        }
    }

    /// Waits until the screen is like that, and says of what it is not.
    fn expect(&mut self, what: &str, is_so: impl Fn(&Screen) -> bool) {
        let deadline = Instant::now() + support::PATIENCE;
        while !is_so(&self.screen) {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.pty.shown.recv_timeout(left) {
                Ok(bytes) => self.parser.advance(&mut self.screen, &bytes),
                Err(_) => panic!("not {what}: {:#?}", self.screen),
            }
        }
        assert_eq!(self.screen.unexpected, Vec::<String>::new());
    }

    fn expect_row(&mut self, text: &str) {
        self.expect(text, |screen| screen.whole && screen.shows(text));
    }

    /// The shell's screen is back, with a cursor.
    fn expect_given_back(&mut self) {
        self.expect("given back", |screen| !screen.taken && screen.has_cursor);
    }

    fn resize(&mut self, columns: u16, rows: u16) {
        self.set_size(columns, rows);
        self.signal(Signal::WINCH);
    }
}

impl Deref for Terminal {
    type Target = Pty;

    fn deref(&self) -> &Pty {
        &self.pty
    }
}

impl DerefMut for Terminal {
    fn deref_mut(&mut self) -> &mut Pty {
        &mut self.pty
    }
}

/// What a terminal shows, and how. It is as big as what is drawn: for a while after the size has changed that is still
/// for the one before.
#[derive(Debug)]
struct Screen {
    rows: Vec<String>,
    row: usize,
    column: usize,
    /// All of it is drawn, from the first row to the last.
    whole: bool,
    taken: bool,
    has_cursor: bool,
    coloured: bool,
    unexpected: Vec<String>,
}

impl Default for Screen {
    fn default() -> Screen {
        Screen {
            rows: vec![String::new()],
            row: 0,
            column: 0,
            whole: false,
            taken: false,
            has_cursor: true,
            coloured: false,
            unexpected: Vec::new(),
        }
    }
}

impl Screen {
    /// Whether it was drawn for a terminal of that size.
    fn fits(&self, columns: usize, rows: usize) -> bool {
        let widest = self.rows.iter().map(|row| row.chars().count()).max();
        self.whole && widest <= Some(columns) && self.rows.len() <= rows
    }

    fn shows(&self, text: &str) -> bool {
        self.rows.iter().any(|row| row.contains(text))
    }

    /// What stands behind the name of a figure.
    fn figure(&self, name: &str) -> Option<&str> {
        let row = self.rows.iter().find_map(|row| row.strip_prefix(name))?;
        row.split_whitespace().next()
    }

    fn is_known(&self, name: &str) -> bool {
        self.figure(name)
            .is_some_and(|value| value != "-" && value != "0/s")
    }
}

impl vte::Perform for Screen {
    fn print(&mut self, c: char) {
        let row = &mut self.rows[self.row];
        assert_eq!(row.chars().count(), self.column, "rows are drawn anew");
        row.push(c);
        self.column += 1;
    }

    fn execute(&mut self, byte: u8) {
        match byte {
            b'\r' => self.column = 0,
            b'\n' => {
                self.row += 1;
                self.rows
                    .resize(self.rows.len().max(self.row + 1), String::new());
                self.rows[self.row].clear();
            }
            byte => self.unexpected.push(format!("control {byte}")),
        }
    }

    fn csi_dispatch(&mut self, params: &vte::Params, intermediates: &[u8], _: bool, action: char) {
        let first = params.iter().next().map_or(0, |param| param[0]);
        match (intermediates, action, first) {
            (b"", 'H', 0) => {
                (self.row, self.column) = (0, 0);
                self.whole = false;
                self.rows[0].clear();
            }
            (b"", 'K', 0) => {}
            (b"", 'J', 0) => {
                self.rows.truncate(self.row + 1);
                self.whole = true;
            }
            (b"", 'm', _) => self.coloured = true,
            (b"?", 'h', 1049) => self.taken = true,
            (b"?", 'l', 1049) => self.taken = false,
            (b"?", 'h', 25) => self.has_cursor = true,
            (b"?", 'l', 25) => self.has_cursor = false,
            other => self.unexpected.push(format!("{other:?}")),
        }
    }

    fn osc_dispatch(&mut self, params: &[&[u8]], _: bool) {
        self.unexpected.push(format!("OSC {params:?}"));
    }

    fn esc_dispatch(&mut self, _: &[u8], _: bool, byte: u8) {
        self.unexpected.push(format!("ESC {byte}"));
    }
}

#[test]
fn the_figures_are_on_the_screen_and_move() {
    let figures = Figures::of_process(1000);
    let mut terminal = Terminal::watching(figures.address);
    terminal.expect("figures", |screen| {
        screen.is_known("messages in") && screen.figure("members") == Some("57")
    });
    assert!(terminal.is_raw());
    assert!(terminal.screen.taken && !terminal.screen.has_cursor);
    assert!(terminal.screen.coloured);
    for row in [
        "mynah 9.8.7 (abcdef)  up ",
        "live",
        "tcp-room               41       40",
        "closed: slow backlog              3",
    ] {
        terminal.expect_row(row);
    }
    // Half of what is in the one bucket is below its middle.
    terminal.expect("the turn", |screen| {
        screen.figure("turn p50") == Some("500")
    });
    let row = |screen: &Screen| screen.rows[2].clone();
    let before = row(&terminal.screen);
    terminal.expect("another row", |screen| {
        screen.whole && row(screen) != before
    });
    assert!(figures.asked() >= 2);
}

#[test]
fn every_way_out_leaves_the_terminal_as_it_was() {
    let table: [fn(&mut Terminal); 6] = [
        |terminal| terminal.press("q"),
        |terminal| terminal.press("\x03"),
        |terminal| terminal.press("\x04"),
        |terminal| terminal.signal(Signal::INT),
        |terminal| terminal.signal(Signal::TERM),
        |terminal| terminal.signal(Signal::HUP),
    ];
    let figures = Figures::of_process(1000);
    for goes in table {
        let mut terminal = Terminal::watching(figures.address);
        terminal.expect_row("q: leave");
        goes(&mut terminal);
        terminal.expect_exit(0);
        terminal.expect_given_back();
    }
}

#[test]
fn ctrl_z_gives_the_terminal_back_for_a_while() {
    let figures = Figures::of_process(1000);
    let mut terminal = Terminal::watching(figures.address);
    terminal.expect_row("q: leave");
    terminal.press("\x1a");
    terminal.wait_for_stop();
    terminal.expect_given_back();
    assert!(!terminal.is_raw());
    terminal.signal(Signal::CONT);
    terminal.expect("taken again", |screen| screen.taken && !screen.has_cursor);
    terminal.press("q");
    terminal.expect_exit(0);
}

#[test]
fn the_screen_follows_the_size_of_the_terminal() {
    let figures = Figures::of_process(1000);
    let mut terminal = Terminal::watching(figures.address);
    let is_wide = |screen: &Screen| screen.shows("connections  members  reason");
    terminal.expect("all of it", |screen| screen.fits(80, 24) && is_wide(screen));
    terminal.resize(40, 10);
    terminal.expect("small", |screen| {
        let members = screen.shows("tcp-room 40, udp-room 17");
        screen.fits(40, 10) && members && screen.shows("closed slow backlog: 3")
    });
    assert_eq!(terminal.screen.figure("members"), Some("57"));
    assert!(!terminal.screen.shows("helper jobs"));
    terminal.resize(120, 40);
    terminal.expect("big", |screen| screen.fits(120, 40) && is_wide(screen));
}

#[test]
fn a_server_that_goes_and_comes_back_is_told_of() {
    let figures = Figures::of_process(1000);
    let address = figures.address;
    let mut terminal = Terminal::watching_where(address, &[], (40, 10));
    terminal.expect("figures", |screen| screen.is_known("messages in"));
    drop(figures);
    // What it is now nobody knows; who was there stays.
    terminal.expect_row("cannot be reached for ");
    assert_eq!(terminal.screen.figure("members"), Some("-"));
    assert!(terminal.screen.shows("tcp-room 40, udp-room 17"));
    let _figures = Figures::at(address, 2000);
    terminal.expect_row("live: the server was started anew");
    terminal.expect("figures", |screen| screen.is_known("messages in"));
}

#[test]
fn a_server_that_is_not_there_yet_is_waited_for() {
    let address = Figures::of_process(1000).address;
    let mut terminal = Terminal::watching(address);
    terminal.expect_row("Connection refused");
    let _figures = Figures::at(address, 1000);
    terminal.expect("figures", |screen| screen.is_known("messages in"));
}

/// It is asked by another thread, which is not waited for.
#[test]
fn a_server_that_does_not_answer_keeps_nobody_from_leaving() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut terminal = Terminal::watching(listener.local_addr().unwrap());
    let _held = support::within_patience(move || listener.accept().unwrap());
    terminal.expect_row("asking 127.0.0.1:");
    terminal.press("q");
    terminal.expect_exit(0);
    terminal.expect_given_back();
    assert!(!terminal.screen.shows("no answer"));
}

#[test]
fn there_are_no_colours_where_they_are_not_wanted() {
    let figures = Figures::of_process(1000);
    let wanted = [("NO_COLOR", "1")];
    let mut terminal = Terminal::watching_where(figures.address, &wanted, (80, 24));
    terminal.expect("figures", |screen| screen.is_known("messages in"));
    assert!(!terminal.screen.coloured);
}

fn top(args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mynah"));
    let command = command.arg("top").args(args).stdin(Stdio::null());
    command.output().unwrap()
}

#[test]
fn a_pipe_gets_one_table() {
    let figures = Figures::of_process(1000);
    let address = figures.address.to_string();
    let url = format!("http://{address}/metrics");
    for args in [
        &[address.as_str(), "--interval", "100ms"][..],
        &[&url, "--once", "--interval", "100ms"],
    ] {
        let asked = figures.asked();
        let output = top(args);
        assert!(output.status.success(), "{output:?}");
        assert_eq!(figures.asked(), asked + 2);
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(!text.contains('\x1b'), "{text}");
        let rates: Vec<&str> = text.lines().filter(|line| line.contains("/s")).collect();
        assert!(rates[0].starts_with("messages in "), "{text}");
        assert!(text.starts_with("mynah 9.8.7 (abcdef)  up "), "{text}");
        for line in ["members                  57", "rooms                     -"] {
            assert!(text.lines().any(|shown| shown == line), "{text}");
        }
    }
    let once = ["top", &address, "--once", "--interval", "100ms"];
    let mut pty = Pty::start(&once, &[], (80, 24));
    pty.expect_exit(0);
}

#[test]
fn a_server_is_asked_over_its_control_socket_and_over_http() {
    let folder = tempfile::tempdir().unwrap();
    let data_dir = folder.path().to_str().unwrap();
    let mynah = Mynah::serve_with(&[
        "--listen",
        "tcp-room=127.0.0.1:0",
        "--listen",
        "metrics=127.0.0.1:0",
        "--data-dir",
        data_dir,
    ]);
    let _members = (mynah.join("ann"), mynah.join("ben"));
    let metrics = mynah.at(1).to_string();
    let socket = folder.path().join("mynah.sock");
    for source in [
        &["--data-dir", data_dir][..],
        &["--control", socket.to_str().unwrap()],
        &[&metrics],
    ] {
        let output = top(&[source, &["--interval", "100ms"]].concat());
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{source:?}: {text}");
        let has = |words: &[&str]| {
            text.lines()
                .any(|line| line.split_whitespace().eq(words.iter().copied()))
        };
        let version = concat!("mynah ", env!("CARGO_PKG_VERSION"), " (");
        assert!(text.starts_with(version), "{text}");
        for words in [
            &["live"][..],
            &["members", "2"],
            &["messages", "in", "0/s"],
            &["tcp-room", "2", "2"],
        ] {
            assert!(has(words), "{words:?} in {text}");
        }
    }
}

#[test]
fn what_is_wrong_is_said_and_what_would_be_right() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (bad, none) = (path("bad.toml"), path("none.toml"));
    std::fs::write(&bad, "data_dir = 7\n").unwrap();
    std::fs::write(&none, "control = \"\"\n").unwrap();
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let other_address = other.local_addr().unwrap().to_string();
    let text = Arc::new(Mutex::new(""));
    let theirs = Arc::clone(&text);
    thread::spawn(move || {
        for stream in other.incoming() {
            let mut stream = stream.unwrap();
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
            while lines.next().is_some_and(|line| !line.unwrap().is_empty()) {}
            let _ = stream.write_all(theirs.lock().unwrap().as_bytes());
        }
    });
    let table: &[(&[&str], &str, i32, &str)] = &[
        (
            &["127.0.0.1:1", "--once"],
            "",
            1,
            "mynah: 127.0.0.1:1: Connection refused",
        ),
        (
            &["--data-dir", "/nowhere/at/all"],
            "",
            1,
            "a server running, with /nowhere/at/all as its data directory?",
        ),
        (&["--control", "/nowhere/a.sock"], "", 1, "/nowhere/a.sock"),
        (&["--config", &bad], "", 78, "bad.toml"),
        (
            &["--config", &none],
            "",
            2,
            "no control socket; name the metrics socket",
        ),
        (&["https://a"], "", 2, "\"https\" is not spoken"),
        (&["a:0"], "", 2, "\"0\" is not a port"),
        (&["--interval", "5"], "", 2, "5 seconds are 5s"),
        (&["--interval", "1ms"], "", 2, "it is 100ms at least"),
        (&["--interval", "2h"], "", 2, "it is 1h at most"),
        (&["a", "--data-dir", "b"], "", 2, "cannot be used with"),
        (
            &[&other_address],
            "SSH-2.0-x\r\n",
            1,
            "what answers there does not speak HTTP",
        ),
        (
            &[&other_address],
            "HTTP/1.1 404 Not Found\r\n\r\n",
            1,
            "HTTP status 404; is it the metrics socket?",
        ),
        (
            &[&other_address],
            "HTTP/1.1 200 OK\r\n\r\n<!doctype html>\n",
            1,
            "line 1: it begins with no name of a metric",
        ),
        (
            &[&other_address],
            "HTTP/1.1 200 OK\r\n\r\nup 1\n",
            1,
            "not the figures of a mynah server",
        ),
    ];
    for (args, answer, status, said) in table {
        *text.lock().unwrap() = answer;
        let output = top(args);
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(*status), "{args:?}: {stderr}");
        assert!(stderr.contains(said), "{args:?}: {stderr}");
        assert!(output.stdout.is_empty(), "{args:?}");
    }
}
