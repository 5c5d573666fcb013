//! What the server writes to standard error, byte by byte: to the system's journal and to anything else, whatever
//! people, paths and configurations have in them.

mod support;

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{self, PipeReader, Write};
use std::net::{TcpStream, UdpSocket};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::{Command, Stdio};

use mynah::journal::{Filter, LEVELS, MAX_LINE_BYTES, TARGETS};
use rustix::fs::fstat;
use support::serve::{Client, Mynah, join, say};
use support::{read_all, wait_for_exit};

/// Who reads what the server says.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Reader {
    File,
    Journal,
    /// The server has inherited the variable, and not the stream.
    NotTheJournal,
}

/// What a terminal, a log or the journal could take for something else than text.
const HOSTILE: [&str; 7] = [
    "\n<0>[ERROR] server::driver: forged",
    "<3>forged",
    "\r\n2026-02-03T04:05:06.789Z [ERROR] server::driver: forged",
    "\u{1b}[2J\u{1b}]0;title\u{7}",
    "\u{9b}31m\u{85}",
    "\u{202e}desrever\u{2066}",
    "\u{2028}<2>\u{2029}\u{7f}\u{b}\u{c}",
];

/// The server with its words in a pipe, which the variable names or not (systemd.exec(5)).
fn told_to(reader: Reader, arguments: &[&OsStr]) -> (Command, PipeReader) {
    let (words, writer) = io::pipe().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_mynah"));
    command.arg("serve").args(arguments);
    tell(&mut command, reader, writer.as_fd());
    command.stderr(writer);
    (command, words)
}

fn tell(command: &mut Command, reader: Reader, stream: impl AsFd) {
    let stat = fstat(stream).unwrap();
    let (device, inode) = (stat.st_dev, stat.st_ino);
    command.env_remove("JOURNAL_STREAM");
    match reader {
        Reader::File => {}
        Reader::Journal => drop(command.env("JOURNAL_STREAM", format!("{device}:{inode}"))),
        Reader::NotTheJournal => {
            let other = format!("{device}:{}", inode + 1);
            command.env("JOURNAL_STREAM", other);
        }
    }
}

/// The lines, as level, target and message; all that is not in a message is checked.
fn lines(said: &[u8], reader: Reader) -> Vec<(String, String, String)> {
    let text = std::str::from_utf8(said).expect("UTF-8");
    assert!(text.ends_with('\n'), "{text:?}");
    let harmless = |c: char| !c.is_control() && !('\u{2028}'..='\u{202e}').contains(&c);
    let lines = text.split_terminator('\n').map(|line| {
        assert!(line.chars().all(harmless), "{line:?}");
        assert!(line.len() < MAX_LINE_BYTES, "{line:?}");
        let (begin, rest) = line.split_once('[').expect(line);
        let (level, rest) = rest.split_once("] ").expect(line);
        let (target, message) = rest.split_once(": ").expect(line);
        assert!(LEVELS.contains(&level.to_lowercase().as_str()), "{line}");
        assert!(TARGETS.contains(&target), "{line}");
        if reader == Reader::Journal {
            let prefix = match level {
                "ERROR" => "<3>",
                "WARN" => "<4>",
                "INFO" => "<6>",
                _ => "<7>",
            };
            assert_eq!(begin, prefix, "{line}");
        } else {
            let digits = |c: char| c.is_ascii_digit();
            assert_eq!(begin.replace(digits, "0"), "0000-00-00T00:00:00.000Z ");
        }
        (level.to_owned(), target.to_owned(), message.to_owned())
    });
    lines.collect()
}

#[test]
fn the_journal_gets_prefixes_and_no_time_and_nobody_else_does() {
    for reader in [Reader::File, Reader::Journal, Reader::NotTheJournal] {
        let arguments = ["--listen=tcp-room=127.0.0.1:0", "--log-level=debug"];
        let (command, words) = told_to(reader, &arguments.map(OsStr::new));
        let server = Mynah::start(command);
        let words = read_all(words);
        server.join("ann");
        assert!(server.terminate().success());
        let lines = lines(&words.recv().unwrap().unwrap(), reader);
        let levels: Vec<&str> = lines.iter().map(|(level, ..)| level.as_str()).collect();
        assert!(levels.contains(&"DEBUG") && levels.contains(&"INFO"));
        let (_, target, last) = lines.last().unwrap();
        assert_eq!(target, "commands::serve");
        assert!(last.starts_with("stopped: accepted=1 "), "{last}");
    }
}

#[test]
fn r09_nothing_that_anybody_says_is_more_than_text_in_a_line() {
    for reader in [Reader::File, Reader::Journal] {
        let folder = tempfile::tempdir().unwrap();
        // The folder too has a name that somebody may have chosen.
        let data = folder.path().join("data\n<0>\u{1b}[2J");
        fs::create_dir(&data).unwrap();
        let accounts = r#"{"ann":"secret word 1"}"#;
        fs::write(data.join("chat_users.json"), accounts).unwrap();
        let mut arguments: Vec<OsString> = ["tcp-room", "group", "udp-room", "udp-login", "tcrp"]
            .map(|protocol| format!("--listen={protocol}=127.0.0.1:0").into())
            .to_vec();
        arguments.push("--log-level=trace".into());
        arguments.extend(["--data-dir".into(), data.into_os_string()]);
        let arguments: Vec<&OsStr> = arguments.iter().map(OsString::as_ref).collect();
        let (command, words) = told_to(reader, &arguments);
        let server = Mynah::start(command);
        let words = read_all(words);
        attack(&server);
        server.join("listener");
        assert!(server.terminate().success());
        let lines = lines(&words.recv().unwrap().unwrap(), reader);
        assert!(lines.len() > 30, "{lines:?}");
        let said = |part: &str| lines.iter().any(|(.., message)| message.contains(part));
        // The folder, and what is told of each protocol.
        for part in [
            r"data\n<0>\u{1b}[2J",
            "violation",
            "dropped",
            "login refused",
        ] {
            assert!(said(part), "{part}: {lines:?}");
        }
        assert!(!said("secret word"), "{lines:?}");
    }
}

/// Everything in which something of a peer's could be told.
fn attack(server: &Mynah) {
    let [tcp_room, group, udp_room, udp_login, tcrp] = [0, 1, 2, 3, 4].map(|n| server.at(n));
    for hostile in HOSTILE {
        for bytes in [
            join(hostile),
            [
                join(&format!("ann{hostile}")),
                say(hostile, hostile, hostile),
            ]
            .concat(),
            hostile.as_bytes().to_vec(),
        ] {
            let mut client = Client::connect(tcp_room);
            client.send(&bytes);
            client.end();
            client.read_to_end();
        }
        for line in [
            format!("REGISTER:{hostile}:{hostile}:{hostile}\r\n"),
            format!("{hostile}:x:y\r\n"),
            format!("REGISTER:x:0.0.0.0:0\r\nBROADCAST:{hostile}:1:x\r\n"),
        ] {
            let mut client = Client::connect(group);
            client.send(line.as_bytes());
            client.end();
            client.read_to_end();
        }
        let mut client = TcpStream::connect(tcrp).unwrap();
        let request = support::frames::reserve(1, hostile, hostile);
        client.write_all(&request).unwrap();
        drop(client);
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        for datagram in [
            format!("UN| {hostile}"),
            format!("PM| {hostile}: {hostile}"),
            hostile.to_owned(),
        ] {
            socket.send_to(datagram.as_bytes(), udp_room).unwrap();
        }
        socket.send_to(b"\xff\xfe<3>\x1b[2J", udp_room).unwrap();
        for datagram in [
            format!("C 1 PASS {hostile} secret word 4"),
            format!("C 2 PASS ann{hostile} secret word 5"),
            format!("C 3 {hostile}"),
            "C 4 PASS ann secret word 6".to_owned(),
        ] {
            socket.send_to(datagram.as_bytes(), udp_login).unwrap();
        }
    }
    // Answered, so that those before it were looked at.
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(support::PATIENCE)).unwrap();
    socket
        .send_to(b"C 1 PASS ann secret word 7", udp_login)
        .unwrap();
    support::receive(&socket);
}

#[test]
fn why_it_does_not_start_is_one_line_whatever_is_in_it() {
    let folder = tempfile::tempdir().unwrap();
    for hostile in HOSTILE {
        // A file that is not there, keys, values, and no TOML at all.
        let quoted: String = hostile
            .chars()
            .map(|c| format!("\\u{:04x}", c as u32))
            .collect();
        let path = folder.path().join(format!("no file{hostile}"));
        starts_not(&path, None);
        let path = folder.path().join(format!("file{hostile}"));
        for text in [
            format!("\"{quoted}\" = 1"),
            format!("limits.\"{quoted}\" = 1"),
            format!("data_dir = 5 # {hostile}"),
            format!("log_level = \"{quoted}\""),
            format!("log_level = \"info,{quoted}=debug\""),
            format!("mesh.name = \"{quoted}\""),
            format!("listen = [\"{quoted}=127.0.0.1:1\"]"),
            format!("listen = [\"tcp-room={quoted}\"]"),
            format!("isolate = '''{hostile}'''"),
            hostile.to_owned(),
        ] {
            starts_not(&path, Some(&text));
        }
    }
    let path = folder.path().join(OsStr::from_bytes(b"\xff\x1b"));
    starts_not(&path, None);
}

fn starts_not(config: &Path, text: Option<&str>) {
    if let Some(text) = text {
        fs::write(config, text).unwrap();
    }
    for (reader, begin) in [(Reader::File, "mynah: "), (Reader::Journal, "<3>mynah: ")] {
        let (mut command, words) = told_to(reader, &["--config".as_ref(), config.as_ref()]);
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        drop(command);
        let status = wait_for_exit(&mut child);
        let said = read_all(words).recv().unwrap().unwrap();
        let said = String::from_utf8(said).unwrap();
        assert_eq!(status.code(), Some(78), "{text:?}: {said}");
        let line = said.strip_suffix('\n').unwrap();
        assert!(line.starts_with(begin), "{line:?}");
        let harmless = |c: char| !c.is_control() && !('\u{2028}'..='\u{202e}').contains(&c);
        assert!(line.chars().all(harmless), "{text:?}: {line:?}");
    }
}

/// What the process that the next test starts does.
const PANICS: &str = "MYNAH_TEST_PANICS";

#[test]
fn a_panic_is_a_line_like_any_other() {
    if std::env::var_os(PANICS).is_some() {
        let _journal = mynah::journal::start(Filter::default()).unwrap();
        log::info!(target: "server::driver", "before");
        let panicked = std::panic::catch_unwind(|| panic!("<0>it is {}", HOSTILE.concat()));
        assert!(panicked.is_err());
        std::process::exit(7);
    }
    for reader in [Reader::File, Reader::Journal] {
        let (words, writer) = io::pipe().unwrap();
        let mut command = Command::new(std::env::current_exe().unwrap());
        let name = "a_panic_is_a_line_like_any_other";
        command.args(["--exact", name, "--nocapture"]);
        command.env(PANICS, "1").env("RUST_BACKTRACE", "1");
        tell(&mut command, reader, writer.as_fd());
        command.stdout(Stdio::null()).stderr(writer);
        let mut child = command.spawn().unwrap();
        drop(command);
        let words = read_all(words);
        assert_eq!(wait_for_exit(&mut child).code(), Some(7));
        let lines = lines(&words.recv().unwrap().unwrap(), reader);
        assert_eq!(lines[0].2, "before");
        let (level, target, message) = &lines[1];
        assert_eq!((level.as_str(), target.as_str()), ("ERROR", "journal"));
        assert!(message.starts_with("thread "), "{message}");
        assert!(
            message.contains(r" panicked at tests/journal.rs:"),
            "{message}"
        );
        assert!(message.contains(r": <0>it is \n<0>[ERROR] server::driver: forged<3>"));
        // And from where.
        assert!(lines.len() > 10 && lines[2..].iter().all(|line| line.0 == "ERROR"));
    }
}

#[test]
fn what_is_told_can_be_chosen_by_what_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let data = format!("--data-dir={}", folder.path().display());
    let told = |filter: &str| {
        let listen = "--listen=udp-login=127.0.0.1:0";
        let filter = format!("--log-level={filter}");
        let arguments = [listen, &data, &filter].map(OsStr::new);
        let (command, words) = told_to(Reader::File, &arguments);
        let server = Mynah::start(command);
        let words = read_all(words);
        assert!(server.terminate().success());
        let said = words.recv().unwrap().unwrap();
        match said.is_empty() {
            true => Vec::new(),
            false => lines(&said, Reader::File),
        }
    };
    let all = told("trace");
    assert!(all.iter().any(|(_, target, _)| target.starts_with("store")));
    assert_eq!(told("off"), []);
    let targets: BTreeSet<&String> = all.iter().map(|line| &line.1).collect();
    for target in targets {
        let alone = told(&format!("off,{target}=trace"));
        assert!(!alone.is_empty(), "{target}");
        assert!(alone.iter().all(|line| line.1 == *target), "{alone:?}");
        let others = told(&format!("trace,mynah::{target}=off"));
        assert!(others.iter().all(|line| line.1 != *target), "{others:?}");
        assert_eq!(alone.len() + others.len(), all.len(), "{target}");
    }
}
