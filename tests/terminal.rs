//! The client as a person uses it: the binary on a real pseudo-terminal, looked at through a small screen.

mod support;

use std::io::{Read, Write};
use std::net::{TcpListener, UdpSocket};
use std::ops::{Deref, DerefMut};
use std::sync::mpsc;
use std::time::Instant;

use rustix::process::Signal;
use support::pty::Pty;
use support::{Server, until};

/// A terminal of 40 columns with the client on it.
struct Terminal {
    pty: Pty,
    parser: vte::Parser,
    screen: Screen,
}

impl Terminal {
    fn start(args: &[&str]) -> Terminal {
        Terminal::start_where(args, &[])
    }

    /// With these variables in the environment.
    fn start_where(args: &[&str], environment: &[(&str, &str)]) -> Terminal {
        Terminal {
            pty: Pty::start(args, environment, (40, 24)),
            parser: vte::Parser::new(),
            screen: Screen::default(),
        }
    }

    /// Joined as alice, with the editor on the screen.
    fn joined(server: &Server) -> (Terminal, support::Peer) {
        let address = server.address.to_string();
        let mut terminal = Terminal::start(&["chat", "tcp-room", &address, "--name", "alice"]);
        let peer = server.accept_joined("alice");
        terminal.expect(&["* joined lobby as alice", "> "]);
        (terminal, peer)
    }

    /// Waits until the screen's last rows are these, and the cursor is at the end of the last one.
    fn expect(&mut self, rows: &[&str]) {
        let column = rows.last().map_or(0, |row| row.chars().count());
        self.expect_cursor(rows, column);
    }

    /// The same with the cursor in that column of the last row.
    fn expect_cursor(&mut self, rows: &[&str], column: usize) {
        let deadline = Instant::now() + support::PATIENCE;
        while !(self.screen.ends_with(rows) && self.screen.column == column) {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.pty.shown.recv_timeout(left) {
                Ok(bytes) => self.parser.advance(&mut self.screen, &bytes),
                Err(_) => panic!("not {rows:?} and column {column} but {:?}", self.screen),
            }
        }
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

/// Rows as a terminal would show them, of any length, and what it was asked for besides.
#[derive(Debug)]
struct Screen {
    rows: Vec<Vec<char>>,
    column: usize,
    paste_brackets: bool,
    coloured: bool,
    unexpected: Vec<String>,
}

impl Default for Screen {
    fn default() -> Screen {
        Screen {
            rows: vec![Vec::new()],
            column: 0,
            paste_brackets: false,
            coloured: false,
            unexpected: Vec::new(),
        }
    }
}

impl Screen {
    fn row(&mut self) -> &mut Vec<char> {
        self.rows.last_mut().expect("there is always one")
    }

    fn ends_with(&self, rows: &[&str]) -> bool {
        let shown = self
            .rows
            .iter()
            .rev()
            .map(|row| row.iter().collect::<String>());
        self.rows.len() >= rows.len() && rows.iter().rev().copied().eq(shown.take(rows.len()))
    }
}

impl vte::Perform for Screen {
    fn print(&mut self, c: char) {
        let column = self.column;
        let row = self.row();
        if row.len() <= column {
            row.resize(column + 1, ' ');
        }
        row[column] = c;
        self.column += 1;
    }

    fn execute(&mut self, byte: u8) {
        match byte {
            b'\r' => self.column = 0,
            b'\n' => self.rows.push(Vec::new()),
            byte => self.unexpected.push(format!("control {byte}")),
        }
    }

    fn csi_dispatch(&mut self, params: &vte::Params, intermediates: &[u8], _: bool, action: char) {
        let first = params.iter().next().map_or(0, |param| param[0]);
        match (intermediates, action, first) {
            (b"", 'K', 0) => {
                let column = self.column;
                self.row().truncate(column);
            }
            (b"", 'C', columns) => self.column += usize::from(columns.max(1)),
            (b"", 'm', _) => self.coloured = true,
            (b"", 'H', 0) => self.column = 0,
            (b"", 'J', 2) => self.rows = vec![Vec::new()],
            (b"?", 'h', 2004) => self.paste_brackets = true,
            (b"?", 'l', 2004) => self.paste_brackets = false,
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

/// No bell, no title, no cursor movement but those that the editor needs.
fn expect_nothing_else(terminal: &Terminal) {
    assert!(
        terminal.screen.unexpected.is_empty(),
        "{:?}",
        terminal.screen
    );
}

#[test]
fn a_line_is_typed_with_editing_keys_and_said() {
    let server = Server::bind();
    let (mut terminal, mut peer) = Terminal::joined(&server);
    assert!(terminal.is_raw());
    terminal.press("helo wrld");
    terminal.expect(&["* joined lobby as alice", "> helo wrld"]);
    terminal.press("\x1b[D\x1b[D\x1b[Do");
    terminal.expect_cursor(&["> helo world"], 9);
    terminal.press("\x01\x1b[C\x1b[C\x1b[Cl\x05!\x7f?");
    terminal.expect(&["> hello world?"]);
    terminal.press("\r");
    let (_, name, text) = peer.read_say();
    assert_eq!((name.as_str(), text.as_str()), ("alice", "hello world?"));
    terminal.expect(&["* joined lobby as alice", "> "]);
    peer.say("12:00:00", "alice", "hello world?");
    terminal.expect(&["12:00:00 alice: hello world?", "> "]);
    terminal.press("\x1b[A");
    terminal.expect(&["12:00:00 alice: hello world?", "> hello world?"]);
    expect_nothing_else(&terminal);
}

#[test]
fn a_message_that_comes_while_somebody_types_leaves_the_line_whole() {
    let server = Server::bind();
    let (mut terminal, mut peer) = Terminal::joined(&server);
    terminal.press("half a li\x1b[D");
    terminal.expect_cursor(&["> half a li"], 10);
    peer.say("12:00:00", "bob", "hello");
    terminal.expect_cursor(
        &[
            "* joined lobby as alice",
            "12:00:00 bob: hello",
            "> half a li",
        ],
        10,
    );
    terminal.press("\x05ne\r");
    assert_eq!(peer.read_say().2, "half a line");
    expect_nothing_else(&terminal);
}

#[test]
fn r09_escape_sequences_of_others_are_shown_and_not_obeyed() {
    let server = Server::bind();
    let (mut terminal, mut peer) = Terminal::joined(&server);
    peer.say(
        "12:\x1b[2J",
        "b\x1b[Hob",
        "\x1b]0;owned\x07\u{9b}2J\x08\r\n\x1bc.",
    );
    terminal.expect(&[
        "* joined lobby as alice",
        "12:\u{fffd}[2J b\u{fffd}[Hob: \u{fffd}]0;owned\u{fffd}\u{fffd}2J\u{fffd} \u{fffd}c.",
        "> ",
    ]);
    expect_nothing_else(&terminal);
}

#[test]
fn a_long_line_scrolls_and_another_width_shows_more_of_it() {
    let server = Server::bind();
    let (mut terminal, _peer) = Terminal::joined(&server);
    let line = "0123456789".repeat(5);
    terminal.press(&line);
    // 37 columns are left for text; the window moves by 18.
    terminal.expect(&[&format!("> {}", &line[18..])]);
    terminal.set_size(80, 24);
    terminal.signal(Signal::WINCH);
    terminal.expect(&[&format!("> {line}")]);
    terminal.press("\x0cx");
    terminal.expect(&[&format!("> {line}x")]);
    assert_eq!(terminal.screen.rows.len(), 1, "Ctrl-L clears the screen");
}

#[test]
fn colours_are_for_who_wants_them() {
    for (environment, coloured) in [
        (&[][..], true),
        (&[("NO_COLOR", "")], true),
        (&[("NO_COLOR", "1")], false),
    ] {
        let server = Server::bind();
        let address = server.address.to_string();
        let args = ["chat", "tcp-room", &address, "--name", "alice"];
        let mut terminal = Terminal::start_where(&args, environment);
        let _peer = server.accept_joined("alice");
        terminal.expect(&["* joined lobby as alice", "> "]);
        assert_eq!(terminal.screen.coloured, coloured, "{environment:?}");
    }
}

#[test]
fn every_way_out_restores_the_terminal() {
    type Goes = fn(&mut Terminal);
    let table: [Goes; 5] = [
        |terminal| terminal.press("unsent\x03"),
        |terminal| terminal.press("\x04"),
        |terminal| terminal.press("/quit\r"),
        |terminal| terminal.signal(Signal::TERM),
        |terminal| terminal.signal(Signal::HUP),
    ];
    for goes in table {
        let server = Server::bind();
        let (mut terminal, mut peer) = Terminal::joined(&server);
        assert!(terminal.is_raw());
        goes(&mut terminal);
        peer.expect_end();
        drop(peer);
        terminal.expect_exit(0);
        terminal.expect(&["* joined lobby as alice", ""]);
        assert!(!terminal.screen.paste_brackets);
        expect_nothing_else(&terminal);
    }
}

#[test]
fn a_server_that_goes_is_said_on_a_terminal_in_order() {
    let server = Server::bind();
    let (mut terminal, peer) = Terminal::joined(&server);
    terminal.press("half");
    terminal.expect(&["> half"]);
    drop(peer);
    terminal.expect_exit(1);
    let reason = format!(
        "mynah: {}: the server closed the connection",
        server.address
    );
    terminal.expect(&["* joined lobby as alice", &reason, ""]);
}

#[test]
fn ctrl_z_gives_the_terminal_back_for_a_while() {
    let server = Server::bind();
    let (mut terminal, mut peer) = Terminal::joined(&server);
    terminal.press("half");
    terminal.expect(&["> half"]);
    terminal.press("\x1a");
    terminal.wait_for_stop();
    assert!(!terminal.is_raw());
    terminal.signal(Signal::CONT);
    peer.say("12:00:00", "bob", "back?");
    terminal.expect(&["12:00:00 bob: back?", "> half"]);
    assert!(terminal.is_raw());
    assert!(terminal.screen.paste_brackets);
}

#[test]
fn a_pasted_text_waits_for_enter() {
    let server = Server::bind();
    let (mut terminal, mut peer) = Terminal::joined(&server);
    terminal.press("\x1b[200~two\nlines\x1b[201~");
    terminal.expect(&["> two lines"]);
    terminal.press("\r");
    assert_eq!(peer.read_say().2, "two lines");
}

#[test]
fn what_is_missing_is_asked_for() {
    let server = Server::bind();
    let mut terminal = Terminal::start(&["chat", "tcp-room"]);
    terminal.expect(&["server: "]);
    terminal.press("host:abc\n");
    terminal.expect(&[
        "\"abc\" is not a port: a port is a number from 1 to 65535",
        "server: ",
    ]);
    terminal.press(&format!("{}\n", server.address));
    terminal.expect(&["name: "]);
    terminal.press("alice\n");
    let mut peer = server.accept_joined("alice");
    terminal.expect(&["* joined lobby as alice", "> "]);
    terminal.press("\x04");
    peer.expect_end();
    drop(peer);
    terminal.expect_exit(0);
}

#[test]
fn a_password_is_asked_for_and_never_shown() {
    let server = UdpSocket::bind("127.0.0.1:0").unwrap();
    server.set_read_timeout(Some(support::PATIENCE)).unwrap();
    let address = server.local_addr().unwrap().to_string();
    let mut terminal = Terminal::start(&["chat", "udp-login", &address, "--name", "alice"]);
    terminal.expect(&["password: "]);
    assert!(terminal.is_raw());
    terminal.press("\r");
    terminal.expect(&["a password has at least one character", "password: "]);
    // With a typing error, and the next line typed ahead.
    terminal.press("secrex\x7ft\rahead\r");
    terminal.expect(&["password: ", "> "]);
    let mut buffer = [0; 4096];
    for (request, answer) in [
        ("C 1 LOGIN alice", "C 1 PASSWORD new"),
        ("C 2 PASS alice secret", "C 2 DENIED wrong name or password"),
    ] {
        let from = loop {
            let (length, from) = server.recv_from(&mut buffer).unwrap();
            // What came before is repeated now and then.
            if buffer[..length] == *request.as_bytes() {
                break from;
            }
        };
        server.send_to(answer.as_bytes(), from).unwrap();
    }
    let reason = format!(
        "mynah: {address}: wrong name or password; there is no account of that name, \
         so either somebody uses the name or no accounts are made here"
    );
    terminal.expect(&[&reason, ""]);
    terminal.expect_exit(3);
}

#[test]
fn what_no_server_says_back_is_shown_all_the_same() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let mut terminal = Terminal::start(&["chat", "group", &address, "--name", "alice"]);
    let mut stream = support::within_patience(move || listener.accept().unwrap().0);
    stream.set_read_timeout(Some(support::PATIENCE)).unwrap();
    stream
        .write_all(b"LIST:alice:0.0.0.0:0:bob:0.0.0.0:0\r\n")
        .unwrap();
    terminal.expect(&["* joined lobby as alice", "* here: alice, bob", "> "]);
    terminal.press("hello\r");
    terminal.expect(&["* here: alice, bob", "alice: hello", "> "]);
    // Some servers say it back all the same.
    stream
        .write_all(b"BROADCAST:alice:5:hello\r\nBROADCAST:bob:2:hi\r\n")
        .unwrap();
    terminal.expect(&["alice: hello", "bob: hi", "> "]);
    // What the session did not take is not shown as said.
    terminal.press("/chat bob psst\r");
    terminal.expect(&[
        "bob: hi",
        "* there is no direct session with bob: /start bob",
        "> ",
    ]);
    terminal.press("\x04");
    let mut heard = String::new();
    stream.read_to_string(&mut heard).unwrap();
    assert!(heard.ends_with("BROADCAST:alice:5:hello\r\n"), "{heard}");
    drop(stream);
    terminal.expect_exit(0);
}

#[test]
fn a_private_message_that_no_server_says_back_is_shown() {
    const SID: &str = "00112233445566778899aabbccddeeff";
    let server = UdpSocket::bind("127.0.0.1:0").unwrap();
    server.set_read_timeout(Some(support::PATIENCE)).unwrap();
    let address = server.local_addr().unwrap().to_string();
    let args = ["chat", "udp-login", &address, "--name", "alice"];
    let mut terminal = Terminal::start_where(&args, &[("MYNAH_PASSWORD", "x")]);
    let mut buffer = [0; 4096];
    for (request, answer) in [
        ("C 1 LOGIN alice", "C 1 PASSWORD existing"),
        ("C 2 PASS alice x", &format!("C 2 WELCOME {SID}")),
    ] {
        let from = loop {
            let (length, from) = server.recv_from(&mut buffer).unwrap();
            if buffer[..length] == *request.as_bytes() {
                break from;
            }
        };
        server.send_to(answer.as_bytes(), from).unwrap();
    }
    terminal.expect(&["* joined lobby as alice", "> "]);
    terminal.press("/msg bob psst\r");
    terminal.expect(&["* joined lobby as alice", "(private) to bob: psst", "> "]);
}

#[test]
fn ctrl_c_instead_of_a_password_leaves_the_terminal_as_it_was() {
    for (keys, signal) in [("sec\x03", None), ("sec", Some(Signal::TERM))] {
        let args = ["chat", "udp-login", "127.0.0.1:9", "--name", "alice"];
        let mut terminal = Terminal::start(&args);
        terminal.expect(&["password: "]);
        until("raw mode", || terminal.is_raw().then_some(()));
        terminal.press(keys);
        if let Some(signal) = signal {
            terminal.signal(signal);
        }
        terminal.expect_exit(2);
    }
}

#[test]
fn a_room_is_asked_for_and_whether_it_is_new() {
    let mut terminal = Terminal::start(&["chat", "tcrp", "127.0.0.1:1", "--name", "alice"]);
    terminal.expect(&["create or join: "]);
    terminal.press("dance\n");
    terminal.expect(&[
        "create (1) opens a room, join (2) enters one",
        "create or join: ",
    ]);
    terminal.press("2\n");
    terminal.expect(&["room: "]);
    terminal.press("den\n");
    terminal.expect_exit(1);
}

#[test]
fn lines_typed_before_joining_wait_and_ctrl_c_does_not() {
    let server = Server::bind();
    let address = server.address.to_string();
    let mut terminal = Terminal::start(&["chat", "tcp-room", &address, "--name", "alice"]);
    let mut peer = server.accept();
    peer.read_join();
    terminal.expect(&["> "]);
    terminal.press("early\r");
    terminal.expect(&["> "]);
    peer.welcome(&[]);
    assert_eq!(peer.echo(), "early");

    let mut terminal = Terminal::start(&["chat", "tcp-room", &address, "--name", "alice"]);
    let mut peer = server.accept();
    peer.read_join();
    terminal.expect(&["> "]);
    terminal.press("\x03");
    peer.expect_end();
    drop(peer);
    terminal.expect_exit(0);
}

#[test]
fn a_terminal_that_nobody_reads_is_not_deaf_to_ctrl_c() {
    let server = Server::bind();
    let (mut terminal, mut peer) = Terminal::joined(&server);
    // The reading thread ends at the next piece, and nobody reads from then on.
    terminal.shown = mpsc::channel().1;
    peer.stream
        .set_write_timeout(Some(std::time::Duration::from_millis(500)))
        .unwrap();
    let frame = support::said("12:00:00", "bob", &"x".repeat(4000));
    let full = (0..100_000).any(|_| peer.stream.write_all(&frame).is_err());
    assert!(full, "400 MB went to a client whose terminal nobody reads");
    terminal.press("\x03");
    terminal.expect_exit(0);
}
