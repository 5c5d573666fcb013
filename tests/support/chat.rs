//! `mynah chat … --json` as a test uses it: lines go in, events come out, and nothing is waited for
//! without a deadline.

#![allow(dead_code, reason = "each test binary uses its part")]

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::support::{PATIENCE, read_all, wait_for_exit};

/// A running client; killed when it goes out of scope.
pub struct Chat {
    child: Child,
    stdin: Option<ChildStdin>,
    events: Receiver<Value>,
    stderr: Receiver<std::io::Result<Vec<u8>>>,
    /// What [`next`](Chat::next) has given out.
    seen: Vec<Value>,
}

/// How one ended.
pub struct Ended {
    pub status: Option<i32>,
    pub stderr: String,
    /// All that it ever told.
    pub events: Vec<Value>,
}

/// What somebody was heard to say.
pub type Heard = (String, String);

impl Chat {
    /// Starts `mynah chat` with these arguments, separated by spaces.
    pub fn start(arguments: &str) -> Chat {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mynah"));
        command.arg("chat").args(arguments.split(' ')).arg("--json");
        Chat::spawn(&mut command)
    }

    /// Starts a program that prints events as our clients do.
    pub fn spawn(command: &mut Command) -> Chat {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let events = events(child.stdout.take().unwrap());
        let stderr = read_all(child.stderr.take().unwrap());
        let stdin = child.stdin.take();
        Chat {
            child,
            stdin,
            events,
            stderr,
            seen: Vec::new(),
        }
    }

    /// Types a line.
    pub fn line(&mut self, line: &str) {
        let stdin = self.stdin.as_mut().expect("its input is open");
        writeln!(stdin, "{line}").unwrap();
    }

    /// The next event.
    pub fn next(&mut self) -> Value {
        match self.next_within(PATIENCE) {
            Some(event) => event,
            None => panic!("no further event behind {:?}", self.seen),
        }
    }

    /// The next event, if there is one in that time.
    pub fn next_within(&mut self, time: Duration) -> Option<Value> {
        let event = self.events.recv_timeout(time).ok()?;
        self.seen.push(event.clone());
        Some(event)
    }

    /// Waits for an event that `is_it`, over all others.
    pub fn until(&mut self, what: &str, is_it: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.next_within(deadline.saturating_duration_since(Instant::now())) {
                Some(event) if is_it(&event) => return event,
                Some(_) => {}
                None => panic!("no {what} in {:#?}", self.seen),
            }
        }
    }

    /// Waits until it is let in.
    pub fn joined(&mut self) -> &mut Chat {
        self.until("joined", |event| event["event"] == "joined");
        self
    }

    /// Waits until it hears that.
    pub fn hears(&mut self, from: &str, text: &str) {
        self.until(&format!("{from}: {text}"), |event| {
            event["event"] == "message" && event["from"] == from && event["text"] == text
        });
    }

    /// Waits until it hears that from one alone.
    pub fn hears_directly(&mut self, from: &str, text: &str) {
        self.until(&format!("({from}) {text}"), |event| {
            event["event"] == "direct" && event["from"] == from && event["text"] == text
        });
    }

    /// Waits for a notice that holds these words.
    pub fn notices(&mut self, words: &str) {
        self.until(words, |event| {
            event["event"] == "notice" && text(event, "text").contains(words)
        });
    }

    /// Who it says is there, in order.
    pub fn who(&mut self) -> Vec<String> {
        self.line("/who");
        let members = self.until("members", |event| event["event"] == "members");
        let names = members["names"].as_array().unwrap();
        names
            .iter()
            .map(|name| name.as_str().unwrap().to_owned())
            .collect()
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Ends its input, and waits for it.
    pub fn end(mut self) -> Ended {
        drop(self.stdin.take());
        self.wait()
    }

    /// Waits for it to end by itself.
    pub fn wait(mut self) -> Ended {
        let status = wait_for_exit(&mut self.child);
        // Both pipes end with the process.
        while self.next_within(PATIENCE).is_some() {}
        let stderr = self.stderr.recv_timeout(PATIENCE).unwrap().unwrap();
        Ended {
            status: status.code(),
            stderr: String::from_utf8(stderr).unwrap(),
            events: std::mem::take(&mut self.seen),
        }
    }
}

impl Drop for Chat {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Ended {
    /// That it left politely, and everything that it heard said, without the history.
    pub fn left(self) -> Vec<Heard> {
        assert_eq!((self.status, self.stderr.as_str()), (Some(0), ""));
        self.heard(false)
    }

    /// What it heard said, in order: the history alone or all but the history.
    pub fn heard(&self, history: bool) -> Vec<Heard> {
        let is_one =
            |event: &&Value| event["event"] == "message" && (event["history"] == true) == history;
        let heard = |event: &Value| (text(event, "from"), text(event, "text"));
        self.events.iter().filter(is_one).map(heard).collect()
    }
}

/// A field that is a text.
pub fn text(event: &Value, field: &str) -> String {
    event[field].as_str().unwrap_or_default().to_owned()
}

fn events(stdout: impl Read + Send + 'static) -> Receiver<Value> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            let event = serde_json::from_str(&line).expect("JSON on every line");
            if sender.send(event).is_err() {
                return;
            }
        }
    });
    receiver
}
