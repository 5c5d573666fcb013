//! Signals, and system calls that they interrupt.

use std::collections::hash_map::DefaultHasher;
use std::hash::Hasher;
use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use rustix::process::{Pid, Signal, kill_process};

use crate::logged::Logged;
use crate::support::serve::{Client, Mynah, say};
use crate::support::{PATIENCE, have, until};
use crate::tracer::Tracer;

/// Members who all say something as soon as they have heard as much as all say in a round.
struct Choir {
    poll: Poll,
    voices: Vec<Voice>,
    /// What each of them says.
    line: Vec<u8>,
}

struct Voice {
    stream: TcpStream,
    /// Bytes heard since the welcome, and what they come to.
    heard: usize,
    hash: DefaultHasher,
    /// When so much is heard, it says the next.
    says_at: usize,
    is_over: bool,
}

/// A verdict, and a history of nothing.
const WELCOME: &[u8] = b"\x01\x73\x01\0\0\0\0\0\0";

impl Choir {
    /// All are in, and nobody has said anything.
    fn join(address: SocketAddr, voices: usize) -> Choir {
        let poll = Poll::new().unwrap();
        let voices = (0..voices).map(|number| {
            let mut client = Client::connect(address);
            // All names have the same length, and so has all that is told.
            client.join(&format!("voice{number:04}"));
            let mut welcome = [0; WELCOME.len()];
            client.stream.read_exact(&mut welcome).unwrap();
            assert_eq!(welcome, WELCOME);
            client.stream.set_nonblocking(true).unwrap();
            let mut stream = TcpStream::from_std(client.stream);
            let registry = poll.registry();
            registry
                .register(&mut stream, Token(number), Interest::READABLE)
                .unwrap();
            Voice {
                stream,
                heard: 0,
                hash: DefaultHasher::new(),
                says_at: 0,
                is_over: false,
            }
        });
        let voices = voices.collect();
        let line = say("12:34:56", "voice----", "and all together now");
        Choir { poll, voices, line }
    }

    /// They speak and hear until `done` of what the slowest of them has heard, and of how many have heard all.
    fn go_on(&mut self, done: impl Fn(usize, usize) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        let round = self.voices.len() * self.line.len();
        let mut events = Events::with_capacity(1024);
        let mut buffer = vec![0; 256 * 1024];
        for voice in self.voices.iter_mut().filter(|voice| voice.says_at == 0) {
            voice.say(&self.line, round);
        }
        loop {
            let slowest = self.voices.iter().map(|voice| voice.heard).min().unwrap();
            let over = self.voices.iter().filter(|voice| voice.is_over).count();
            if done(slowest, over) {
                return;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "{slowest} heard, {over} at the end");
            self.poll.poll(&mut events, Some(left)).unwrap();
            for event in &events {
                let voice = &mut self.voices[event.token().0];
                voice.hear(&mut buffer);
                if voice.heard >= voice.says_at {
                    voice.say(&self.line, round);
                }
            }
        }
    }
}

impl Voice {
    fn say(&mut self, line: &[u8], round: usize) {
        self.says_at += round;
        // The server may have closed already; what is said then is said to nobody.
        let _ = self.stream.write(line);
    }

    fn hear(&mut self, buffer: &mut [u8]) {
        while !self.is_over {
            match self.stream.read(buffer) {
                Ok(0) => self.is_over = true,
                Ok(bytes) => {
                    self.heard += bytes;
                    self.hash.write(&buffer[..bytes]);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                // It spoke to a server that had closed.
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
                    self.is_over = true;
                }
            }
        }
    }
}

#[test]
fn r30_terminated_while_a_thousand_speak_all_are_sent_all_that_was_said() {
    const VOICES: usize = 1000;
    let server = Logged::serve();
    let address = server.mynah.address();
    let mut choir = Choir::join(address, VOICES);
    let line = choir.line.len();
    choir.go_on(|slowest, _| slowest >= 2 * VOICES * line);
    server.mynah.signal(Signal::TERM);
    choir.go_on(|_, over| over == VOICES);
    let stopped = server.wait();
    // Each message was told to all, whole, in one order.
    let messages = stopped.count("messages") as usize;
    assert_eq!(choir.voices[0].heard, messages * line);
    let hash = choir.voices[0].hash.finish();
    for (number, voice) in choir.voices.iter().enumerate() {
        assert_eq!(voice.heard, messages * line, "voice{number}");
        assert_eq!(voice.hash.finish(), hash, "voice{number}");
    }
    assert_eq!(stopped.count("slow") + stopped.count("closed_late"), 0);
    let stopping = format!("stopping: SIGTERM, {VOICES} connections");
    assert!(stopped.log.contains(&stopping), "{}", stopped.log);
    assert!(std::net::TcpStream::connect(address).is_err());
}

/// Thousands of lines to and fro; none is lost, doubled or changed.
fn transfer(server: &Mynah, lines: usize) {
    let mut speaker = server.join("speaker");
    let mut listener = server.join("listener");
    let text = |n: usize| format!("{n:0300}");
    let mut writer = Client::over(speaker.stream.try_clone().unwrap());
    let writing = thread::spawn(move || {
        for n in 0..lines {
            writer.send(&say("12:34:56", "x", &text(n)));
        }
    });
    for n in 0..lines {
        assert_eq!(speaker.hear_text(), text(n));
        assert_eq!(listener.hear_text(), text(n));
    }
    writing.join().unwrap();
}

#[test]
fn r32_signals_in_a_storm_lose_nothing() {
    let server = Mynah::serve();
    let pid = Pid::from_child(&server.child);
    let (over, is_over) = mpsc::channel::<()>();
    let storm = thread::spawn(move || {
        let mut sent = 0;
        // Most are nothing to it; but who is stopped and goes on finds its waiting interrupted.
        let signals = [
            Signal::PIPE,
            Signal::WINCH,
            Signal::URG,
            Signal::STOP,
            Signal::CONT,
        ];
        let pause = Duration::from_millis(1);
        while is_over.recv_timeout(pause) == Err(mpsc::RecvTimeoutError::Timeout) {
            for signal in signals {
                kill_process(pid, signal).unwrap();
                sent += 1;
            }
        }
        sent
    });
    transfer(&server, 20_000);
    drop(over);
    let sent = storm.join().unwrap();
    assert!(sent >= 100, "{sent} signals");
    assert_eq!(server.terminate().code(), Some(0));
}

#[test]
fn r32_system_calls_that_are_interrupted_are_made_again() {
    if !have("strace") {
        return;
    }
    let interrupted = ["accept4", "recvfrom", "sendto", "writev", "epoll_wait"];
    // Every other one.
    let inject = interrupted.map(|call| format!("{call}:error=EINTR:when=1+2"));
    let tracer = Tracer::new(&interrupted.join(","), &inject);
    let mut server = tracer.serve();
    transfer(&server.mynah, 2000);
    // What a signal's handler sends may be the one that fails, though the kernel would not interrupt that.
    until("it ends", || {
        server.mynah.signal(Signal::TERM);
        server.mynah.child.try_wait().unwrap()
    });
    let stopped = server.wait();
    assert_eq!(stopped.count("accepted"), 2);
    assert_eq!(stopped.count("messages"), 2000);
    assert_eq!(stopped.count("lost") + stopped.count("shed"), 0);
    let calls = tracer.seen_to_the_end();
    for call in ["accept4(", "recvfrom(", "sendto(", "epoll_wait("] {
        let mut failed = calls.lines().filter(|line| line.contains("EINTR"));
        assert!(failed.any(|line| line.contains(call)), "{call}");
    }
}
