//! The real server with accounts in a folder of the test's own, and raw clients that log in, written from the
//! protocol's page.

#![allow(dead_code, reason = "each test binary uses its part")]

use std::fs::{self, File};
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use mynah::store::{FILE_NAME, load};
use tempfile::TempDir;

use super::PATIENCE;
use super::serve::{Client, Mynah};

/// What a server keeps, and what it says.
pub struct Home {
    folder: TempDir,
    log_level: &'static str,
}

/// A server with `tcp-room` and `udp-login`.
pub struct House {
    pub server: Mynah,
    pub logins: SocketAddr,
    /// Who has logged in. Their ports are theirs until the end: somebody else at one of them would be taken for them.
    guests: Vec<Guest>,
}

/// A raw client of udp-login.
pub struct Guest {
    socket: UdpSocket,
    seq: u64,
}

/// What a password is hashed with where the test is not about that.
const CHEAP: &str = "[accounts]\nargon2_memory_kib = 1024\nargon2_passes = 1\n";

impl Home {
    pub fn new() -> Home {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("data")).unwrap();
        fs::write(folder.path().join("config"), CHEAP).unwrap();
        let log_level = "info";
        Home { folder, log_level }
    }

    /// Where the accounts are.
    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    pub fn file(&self) -> PathBuf {
        self.data().join(FILE_NAME)
    }

    /// Where what the server says on standard error goes.
    pub fn log_file(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.log_file()).unwrap()
    }

    /// Whether the file has an account of that name. It is one that is loaded.
    pub fn has(&self, name: &str) -> bool {
        load(&self.file()).unwrap().accounts.get(name).is_some()
    }

    /// Nothing is too small to be told.
    pub fn telling_all(self) -> Home {
        let log_level = "trace";
        Home { log_level, ..self }
    }

    /// Passwords cost what they do by default.
    pub fn at_full_cost(self) -> Home {
        fs::write(self.folder.path().join("config"), "").unwrap();
        self
    }

    pub fn start(&self) -> House {
        self.start_under(&[])
    }

    /// Starts it by a program that becomes it.
    pub fn start_under(&self, wrapper: &[&str]) -> House {
        let mut command = self.command(wrapper);
        let mut appending = File::options();
        appending.create(true).append(true);
        command.stderr(appending.open(self.log_file()).unwrap());
        House::of(Mynah::start(command))
    }

    /// `mynah serve`, not started.
    pub fn command(&self, wrapper: &[&str]) -> Command {
        let mynah = env!("CARGO_BIN_EXE_mynah");
        let words: Vec<&str> = wrapper.iter().copied().chain([mynah]).collect();
        let mut command = Command::new(words[0]);
        command
            .args(&words[1..])
            .args(["serve", "--listen", "tcp-room=127.0.0.1:0"])
            .args([
                "--listen",
                "udp-login=127.0.0.1:0",
                "--log-level",
                self.log_level,
            ])
            .arg("--data-dir")
            .arg(self.data())
            .arg("--config")
            .arg(self.folder.path().join("config"))
            .stdin(Stdio::null());
        command
    }
}

impl House {
    /// The server of [`Home::command`], when it is ready.
    pub fn of(server: Mynah) -> House {
        let logins = server.at(1);
        let guests = Vec::new();
        House {
            server,
            logins,
            guests,
        }
    }

    /// Somebody logs in, or makes an account; what he is told.
    pub fn login(&mut self, name: &str, password: &str) -> String {
        let mut guest = Guest::new();
        let answer = self.ask(&mut guest, &format!("PASS {name} {password}"));
        self.guests.push(guest);
        answer.expect("it is answered")
    }

    /// The answer to a command, without its number; `None` when the server ends before there is one.
    pub fn ask(&mut self, guest: &mut Guest, command: &str) -> Option<String> {
        guest.seq += 1;
        guest.send(self.logins, command);
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(answer) = guest.hear() {
                return Some(answer);
            }
            if self.server.child.try_wait().unwrap().is_some() {
                // It may have answered last of all.
                return guest.hear();
            }
            assert!(Instant::now() < deadline, "{command} is not answered");
        }
    }

    /// Two people talk with each other.
    pub fn chats(&self, text: &str) {
        let mut one = self.server.join("one");
        let mut other = self.server.join("other");
        one.say(text);
        assert_eq!(other.hear_text(), text);
        for client in [&mut one, &mut other] {
            Client::end(client);
            client.read_to_end();
        }
    }
}

impl Guest {
    pub fn new() -> Guest {
        Guest::at(Ipv4Addr::LOCALHOST)
    }

    /// One with an address of its own, any of 127.0.0.0/8.
    pub fn at(ip: Ipv4Addr) -> Guest {
        let socket = UdpSocket::bind((IpAddr::from(ip), 0)).unwrap();
        let patience = Duration::from_millis(20);
        socket.set_read_timeout(Some(patience)).unwrap();
        Guest { socket, seq: 0 }
    }

    pub fn send(&self, to: SocketAddr, command: &str) {
        let frame = format!("C {} {command}", self.seq);
        self.socket.send_to(frame.as_bytes(), to).unwrap();
    }

    /// An answer to the latest request, if one comes soon.
    fn hear(&self) -> Option<String> {
        let mut buffer = [0; 4096];
        let start = format!("C {} ", self.seq);
        loop {
            match self.socket.recv(&mut buffer) {
                Ok(length) => {
                    let frame = std::str::from_utf8(&buffer[..length]).unwrap();
                    if let Some(answer) = frame.strip_prefix(&start) {
                        return Some(answer.to_owned());
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return None,
                Err(error) => panic!("no datagram: {error}"),
            }
        }
    }
}

/// Whether an answer says that its asker is in.
pub fn is_in(answer: &str) -> bool {
    answer.starts_with("WELCOME ")
}

/// The names of the files in a folder.
pub fn files(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}
