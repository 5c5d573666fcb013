//! The binary as a client: started with flags, watched through pipes, and never outliving its test.

#![allow(dead_code, reason = "each test binary uses its part")]

use std::io::{self, BufRead, BufReader};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc;
use std::thread;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::support::{PATIENCE, Server, read_all, wait_for_exit};

/// A running client; killed when it goes out of scope.
pub struct Client {
    pub child: Child,
    stderr: mpsc::Receiver<io::Result<Vec<u8>>>,
}

impl Client {
    pub fn start(args: &[&str]) -> Client {
        Client::spawn(command(args).stdin(Stdio::piped()).stdout(Stdio::piped()))
    }

    /// `chat tcp-room ADDRESS --name alice`, and what else is asked.
    pub fn chat(server: &Server, more: &[&str]) -> Client {
        let address = server.address.to_string();
        let mut args = vec!["chat", "tcp-room", &address, "--name", "alice"];
        args.extend_from_slice(more);
        Client::start(&args)
    }

    pub fn spawn(command: &mut Command) -> Client {
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let stderr = read_all(child.stderr.take().unwrap());
        Client { child, stderr }
    }

    pub fn stdin(&mut self) -> ChildStdin {
        self.child.stdin.take().unwrap()
    }

    pub fn stdout(&mut self) -> ChildStdout {
        self.child.stdout.take().unwrap()
    }

    /// The lines of standard output, as they come.
    pub fn lines(&mut self) -> Lines {
        let stdout = BufReader::new(self.stdout());
        let (sender, receiver) = mpsc::channel();
        thread::spawn(move || {
            for line in stdout.lines() {
                let _ = sender.send(line.unwrap());
            }
        });
        Lines(receiver)
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Exit status and standard error.
    pub fn end(mut self) -> (Option<i32>, String) {
        drop(self.child.stdin.take());
        let status = wait_for_exit(&mut self.child);
        let stderr = self.stderr.recv_timeout(PATIENCE).unwrap().unwrap();
        (status.code(), String::from_utf8(stderr).unwrap())
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub struct Lines(pub mpsc::Receiver<String>);

impl Lines {
    pub fn next(&self) -> String {
        self.0.recv_timeout(PATIENCE).expect("a line")
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.next()).unwrap()
    }

    pub fn expect_end(&self) {
        let end = self.0.recv_timeout(PATIENCE);
        assert_eq!(end, Err(mpsc::RecvTimeoutError::Disconnected));
    }
}

pub fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mynah"));
    command.args(args);
    command
}

/// How a client ends that has left politely.
pub fn left() -> (Option<i32>, String) {
    (Some(0), String::new())
}
