//! The real server in a process of its own, and raw clients of its protocols, written from the
//! protocols' page and not from our codecs.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use mynah::protocol::registry::Protocol;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::{Line, PATIENCE, frames, wait_for_exit, within_patience};

/// `mynah serve`, ended with the test.
pub struct Mynah {
    pub child: Child,
    /// What it said it listens on, in order.
    pub listening: Vec<String>,
    /// What it keeps, unless a test says where. Tests that run at once must not find each other there.
    _state: TempDir,
}

impl Mynah {
    /// One tcp-room socket on a port of the kernel's choice.
    pub fn serve() -> Mynah {
        Mynah::serve_with(&["--listen", "tcp-room=127.0.0.1:0"])
    }

    pub fn serve_with(arguments: &[&str]) -> Mynah {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mynah"));
        command.arg("serve").args(arguments).stderr(Stdio::null());
        Mynah::start(command)
    }

    /// Starts a command that comes to `mynah serve`, and waits until it is ready.
    pub fn start(mut command: Command) -> Mynah {
        // A configuration of this machine is not ours.
        if !command.get_envs().any(|(name, _)| name == "MYNAH_CONFIG") {
            command.env("MYNAH_CONFIG", "/dev/null");
        }
        let state = tempfile::tempdir().unwrap();
        let named = command
            .get_envs()
            .any(|(name, _)| name == "STATE_DIRECTORY");
        if !named {
            command.env("STATE_DIRECTORY", state.path());
        }
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let stdout = child.stdout.take().unwrap();
        let listening = within_patience(move || {
            let lines = BufReader::new(stdout).lines().map(Result::unwrap);
            lines.take_while(|line| line != "ready").collect()
        });
        Mynah {
            child,
            listening,
            _state: state,
        }
    }

    /// Where the first socket is.
    pub fn address(&self) -> SocketAddr {
        self.at(0)
    }

    /// Where the socket is that it told of in this place.
    pub fn at(&self, place: usize) -> SocketAddr {
        let line = self.listening.get(place).expect("it is listening");
        line.rsplit(' ').next().unwrap().parse().unwrap()
    }

    pub fn join(&self, name: &str) -> Client {
        let mut client = Client::connect(self.address());
        client.join(name);
        assert_eq!(client.read_verdict(), 1, "{name} is let in");
        client.history = client.read_history();
        client
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Ends it as a service manager does.
    pub fn terminate(mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        wait_for_exit(&mut self.child)
    }

    /// A figure of /proc/PID/status, in kB.
    pub fn memory(&self, what: &str) -> usize {
        let path = format!("/proc/{}/status", self.child.id());
        let status = std::fs::read_to_string(path).unwrap();
        let line = status.lines().find(|line| line.starts_with(what)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }
}

impl Drop for Mynah {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A tcp-room client of raw bytes.
pub struct Client {
    pub stream: TcpStream,
    /// What it found when it came.
    pub history: Vec<Line>,
}

impl Client {
    pub fn connect(address: SocketAddr) -> Client {
        Client::over(TcpStream::connect(address).unwrap())
    }

    pub fn over(stream: TcpStream) -> Client {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Client {
            stream,
            history: Vec::new(),
        }
    }

    pub fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    pub fn join(&mut self, name: &str) {
        self.send(&join(name));
    }

    pub fn say(&mut self, text: &str) {
        self.send(&say("12:34:56", "whoever", text));
    }

    pub fn read_verdict(&mut self) -> u8 {
        let mut byte = [0];
        self.stream.read_exact(&mut byte).unwrap();
        byte[0]
    }

    pub fn read_history(&mut self) -> Vec<Line> {
        assert_eq!(self.read_int(), 371);
        let lines = self.read_int();
        (0..lines).map(|_| self.read_list()).collect()
    }

    /// Something said: time, name, text.
    pub fn hear(&mut self) -> Line {
        assert_eq!(self.read_int(), 372);
        self.read_list()
    }

    pub fn hear_text(&mut self) -> String {
        self.hear().2
    }

    /// Says no more, and listens on.
    pub fn end(&mut self) {
        self.stream.shutdown(Shutdown::Write).unwrap();
    }

    /// Whatever comes until the server closes.
    pub fn read_to_end(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        // A reset is an end too, where a test asks for one.
        let _ = self.stream.read_to_end(&mut rest);
        rest
    }

    fn read_list(&mut self) -> Line {
        assert_eq!(self.read_int(), 3);
        (self.read_string(), self.read_string(), self.read_string())
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

/// The bytes of a 471.
pub fn join(name: &str) -> Vec<u8> {
    frames::enter(Protocol::TcpRoom, name)
}

/// The bytes of a 472.
pub fn say(time: &str, name: &str, text: &str) -> Vec<u8> {
    frames::message(472, time, name, text)
}

/// Asks in TCRP for a name in a room; the token that it is answered with.
pub fn reserve(mut stream: TcpStream, operation: u8, room: &str, name: &str) -> String {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let request = frames::reserve(operation, room, name);
    stream.write_all(&request).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (_, token) = answer.split_once("{\"token\":\"").expect("a token");
    token.split('"').next().unwrap().to_owned()
}

/// How long something took.
pub fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let start = Instant::now();
    let result = work();
    (result, start.elapsed())
}
