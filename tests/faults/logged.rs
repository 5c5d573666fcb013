//! The server with its log kept, and what its last words count.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::process::Command;

use rustix::process::Signal;

use crate::support::serve::Mynah;
use crate::support::wait_for_exit;

/// A server whose log is kept.
pub struct Logged {
    pub mynah: Mynah,
    log: File,
}

/// How it ended.
pub struct Stopped {
    pub log: String,
}

impl Logged {
    /// One tcp-room socket on a port of the kernel's choice.
    pub fn serve() -> Logged {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mynah"));
        command.args(["serve", "--listen", "tcp-room=127.0.0.1:0"]);
        Logged::start(command)
    }

    /// Starts a command that comes to `mynah serve`, and waits until it is ready.
    pub fn start(mut command: Command) -> Logged {
        let log = tempfile::tempfile().unwrap();
        command.stderr(log.try_clone().unwrap());
        let mynah = Mynah::start(command);
        Logged { mynah, log }
    }

    /// Ends it as a service manager does; it ends well.
    pub fn stop(self) -> Stopped {
        self.mynah.signal(Signal::TERM);
        self.wait()
    }

    /// Waits until it ends, because of what it was told already; it ends well.
    pub fn wait(mut self) -> Stopped {
        let status = wait_for_exit(&mut self.mynah.child);
        let log = self.log();
        assert_eq!(status.code(), Some(0), "{log}");
        Stopped { log }
    }

    /// All that it has logged so far.
    fn log(&self) -> String {
        let length = self.log.metadata().unwrap().len();
        let mut log = vec![0; usize::try_from(length).unwrap()];
        self.log.read_exact_at(&mut log, 0).unwrap();
        String::from_utf8(log).unwrap()
    }
}

impl Stopped {
    /// A counter as the log's last line has it.
    pub fn count(&self, name: &str) -> u64 {
        let last = self.log.lines().last().unwrap_or_default();
        let (_, counts) = last.split_once("stopped: ").expect("its last words");
        let mut counts = counts.split(' ').filter_map(|word| word.split_once('='));
        let found = counts.find(|(counted, _)| *counted == name);
        // What did not happen is not told.
        found.map_or(0, |(_, count)| count.parse().unwrap())
    }
}
