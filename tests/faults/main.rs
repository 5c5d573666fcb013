//! What the server bears: faults of peers, of the machine and of whoever started it. The server is the real
//! one, in a process of its own; the faults are real, too.

#[path = "../support/chat.rs"]
mod chat;
#[path = "../support/frames.rs"]
mod frames;
#[path = "../support/namespaces.rs"]
mod namespaces;
#[path = "../support/mod.rs"]
mod support;

mod datagrams;
mod descriptors;
mod listening;
mod networks;
mod passwords;
mod process;
mod signals;
mod store;
mod streams;

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::process::{Command, ExitStatus};

use rustix::process::Signal;
use support::serve::Mynah;
use support::wait_for_exit;

/// A server whose log is kept.
struct Logged {
    mynah: Mynah,
    log: File,
}

impl Logged {
    /// One tcp-room socket on a port of the kernel's choice.
    fn serve() -> Logged {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mynah"));
        command.args(["serve", "--listen", "tcp-room=127.0.0.1:0"]);
        Logged::start(command)
    }

    /// Starts a command that comes to `mynah serve`, and waits until it is ready.
    fn start(mut command: Command) -> Logged {
        let log = tempfile::tempfile().unwrap();
        command.stderr(log.try_clone().unwrap());
        let mynah = Mynah::start(command);
        Logged { mynah, log }
    }

    /// Ends it as a service manager does; how it ended, and all that it has logged.
    fn terminate(mut self) -> (ExitStatus, String) {
        self.mynah.signal(Signal::TERM);
        let status = wait_for_exit(&mut self.mynah.child);
        (status, self.log())
    }

    /// All that it has logged so far.
    fn log(&self) -> String {
        let length = self.log.metadata().unwrap().len();
        let mut log = vec![0; usize::try_from(length).unwrap()];
        self.log.read_exact_at(&mut log, 0).unwrap();
        String::from_utf8(log).unwrap()
    }
}

/// A counter as the log's last line has it.
fn counter(log: &str, name: &str) -> u64 {
    let stopped = log.lines().find(|line| line.contains("stopped: "));
    let stopped = stopped.expect("what was counted is told at the end");
    let mut counts = stopped.split(' ').filter_map(|word| word.split_once('='));
    let found = counts.find(|(counted, _)| *counted == name);
    // What did not happen is not told.
    found.map_or(0, |(_, count)| count.parse().unwrap())
}
