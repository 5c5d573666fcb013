//! A tcp-room server for one client, written from the protocol's page and not from our codec, that does
//! what a test tells it, and deadlines for everything.

#![allow(dead_code, reason = "each test binary uses its part")]

pub mod frames;
pub mod logins;
pub mod pty;
pub mod serve;

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::{Child, ExitStatus};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

/// Far more than anything here takes, even on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A listener on a port of the kernel's choice.
pub struct Server {
    listener: TcpListener,
    pub address: SocketAddr,
}

/// The server's end of one connection.
pub struct Peer {
    pub stream: TcpStream,
}

/// Time, name and text.
pub type Line = (String, String, String);

impl Server {
    pub fn bind() -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        Server { listener, address }
    }

    pub fn accept(&self) -> Peer {
        let listener = self.listener.try_clone().unwrap();
        let stream = within_patience(move || listener.accept().unwrap().0);
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Peer { stream }
    }

    /// Accepts one who says 471 and lets it in without a history.
    pub fn accept_joined(&self, name: &str) -> Peer {
        let mut peer = self.accept();
        assert_eq!(peer.read_join(), name);
        peer.welcome(&[]);
        peer
    }
}

impl Peer {
    pub fn read_join(&mut self) -> String {
        assert_eq!(self.read_int(), 471);
        self.read_string()
    }

    pub fn refuse(&mut self) {
        self.send(&[0]);
    }

    pub fn welcome(&mut self, history: &[[&str; 3]]) {
        let mut bytes = vec![1];
        for number in [371, history.len() as i32] {
            bytes.extend(number.to_le_bytes());
        }
        bytes.extend(history.iter().flat_map(|line| frames::line(*line)));
        self.send(&bytes);
    }

    pub fn read_say(&mut self) -> Line {
        assert_eq!(self.read_int(), 472);
        assert_eq!(self.read_int(), 3);
        (self.read_string(), self.read_string(), self.read_string())
    }

    /// Reads a line of the client's and says it to it, as to everybody.
    pub fn echo(&mut self) -> String {
        let (time, name, text) = self.read_say();
        self.say(&time, &name, &text);
        text
    }

    pub fn say(&mut self, time: &str, name: &str, text: &str) {
        let bytes = said(time, name, text);
        self.send(&bytes);
    }

    pub fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    /// The client's half is over, with nothing before it.
    pub fn expect_end(&mut self) {
        let mut rest = Vec::new();
        self.stream.read_to_end(&mut rest).unwrap();
        assert_eq!(rest, b"");
    }

    fn read_int(&mut self) -> i32 {
        let mut bytes = [0; 4];
        self.stream.read_exact(&mut bytes).unwrap();
        i32::from_le_bytes(bytes)
    }

    fn read_string(&mut self) -> String {
        let length = self.read_int();
        let mut bytes = vec![0; usize::try_from(length).unwrap()];
        self.stream.read_exact(&mut bytes).unwrap();
        String::from_utf8(bytes).unwrap()
    }
}

/// The bytes of a 372.
pub fn said(time: &str, name: &str, text: &str) -> Vec<u8> {
    frames::message(372, time, name, text)
}

/// What `work` comes to; panics when it takes too long.
pub fn within_patience<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let (done, result) = mpsc::channel();
    thread::spawn(move || done.send(work()));
    result.recv_timeout(PATIENCE).expect("in time")
}

/// Waits until `done` says something.
pub fn until<T>(what: &str, mut done: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(result) = done() {
            return result;
        }
        assert!(Instant::now() < deadline, "{what}: not in time");
        thread::sleep(Duration::from_millis(2));
    }
}

/// The next datagram, within the socket's own time. A machine that is stopped and goes on interrupts the
/// waiting, without a signal that anybody sent.
pub fn receive(socket: &UdpSocket) -> (Vec<u8>, SocketAddr) {
    let mut buffer = [0; 64 * 1024];
    loop {
        match socket.recv_from(&mut buffer) {
            Ok((length, from)) => return (buffer[..length].to_vec(), from),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => panic!("no datagram: {error}"),
        }
    }
}

/// Waits until a process ends by itself.
pub fn wait_for_exit(child: &mut Child) -> ExitStatus {
    until("exit", || child.try_wait().unwrap())
}

/// Everything that comes, in a thread, until the end.
pub fn read_all(mut from: impl Read + Send + 'static) -> mpsc::Receiver<io::Result<Vec<u8>>> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut bytes = Vec::new();
        let result = from.read_to_end(&mut bytes).map(|_| bytes);
        let _ = sender.send(result);
    });
    receiver
}

/// Whether what a test needs is there. If not, the test says that it is skipped; where nothing may be
/// skipped (`MYNAH_NO_SKIP`, as in CI) it fails.
pub fn or_skip(there: bool, what: &str) -> bool {
    if !there {
        assert!(
            std::env::var_os("MYNAH_NO_SKIP").is_none(),
            "{what} is missing"
        );
        let name = thread::current().name().unwrap_or("a test").to_string();
        // Not captured: a skipped test must be seen.
        let _ = writeln!(io::stderr(), "skipped {name}: {what} is missing");
    }
    there
}

/// Whether a program is installed, or else the test is skipped.
pub fn have(program: &str) -> bool {
    let found = std::process::Command::new(program)
        .arg("--version")
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .status();
    or_skip(found.is_ok(), program)
}
