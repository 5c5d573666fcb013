//! Owns the processes that a measurement starts: our own binary again, its files in a directory of its own, gone
//! with everything it made whatever comes of the measurement. Knows nothing of what is measured.

use std::fmt::Display;
use std::fs::{self, DirBuilder, File};
use std::io::{self, Read};
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child as Process, ChildStdout, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};
use std::{env, process};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, Signal, kill_process};

/// Something that listens for us. Dropped, it is stopped and waited for.
pub struct Child {
    process: Process,
    /// What it said it listens on, in order: protocol and address.
    listening: Vec<(String, SocketAddr)>,
    /// Kept: it would be told that nobody reads what it says.
    _stdout: ChildStdout,
    /// Dropped after it has ended.
    _home: Home,
}

/// Why there is no child.
pub enum NoChild {
    Failed(String),
    /// Somebody wants us to end.
    Interrupted,
}

impl Child {
    /// Starts `mynah` with these arguments, in a directory that is made for it, and waits until it says `ready`.
    /// Meanwhile `is_interrupted` is asked often.
    pub fn start(
        arguments: impl FnOnce(&Path) -> io::Result<Vec<String>>,
        mut is_interrupted: impl FnMut() -> bool,
    ) -> Result<Child, NoChild> {
        let home = Home::make().map_err(failed("making a temporary directory"))?;
        let arguments = arguments(&home.path).map_err(failed("writing its settings"))?;
        let log = home.path.join(LOG);
        let stderr = File::create(&log).map_err(failed("making a temporary file"))?;
        let binary = env::current_exe().map_err(failed("finding our own program"))?;
        let mut process = Command::new(binary)
            .args(arguments)
            .arg("--parent")
            .arg(process::id().to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(stderr)
            // Ctrl-C is for us alone: a server that ends before its members are gone cuts them.
            .process_group(0)
            .spawn()
            .map_err(failed("starting our own program again"))?;
        let stdout = process.stdout.take();
        let mut child = Child {
            process,
            listening: Vec::new(),
            _stdout: stdout.expect("invariant: it was asked for above"),
            _home: home,
        };
        child.wait_until_ready(&log, &mut is_interrupted)?;
        Ok(child)
    }

    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Where it listens for that protocol.
    pub fn address(&self, protocol: impl Display) -> Option<SocketAddr> {
        let name = protocol.to_string();
        let found = self.listening.iter().find(|(of, _)| *of == name);
        found.map(|(_, address)| *address)
    }

    fn wait_until_ready(
        &mut self,
        log: &Path,
        is_interrupted: &mut dyn FnMut() -> bool,
    ) -> Result<(), NoChild> {
        let deadline = Instant::now() + PATIENCE;
        let mut said = Vec::new();
        while !said.ends_with(b"ready\n") {
            if is_interrupted() {
                return Err(NoChild::Interrupted);
            }
            if Instant::now() > deadline {
                let waited = PATIENCE.as_secs();
                return Err(self.not_ready(log, &format!("was not ready within {waited} s")));
            }
            let mut ready = [PollFd::new(&self._stdout, PollFlags::IN)];
            match poll(&mut ready, Some(&GLANCE)) {
                Ok(0) | Err(rustix::io::Errno::INTR) => continue,
                Ok(_) => {}
                Err(error) => return Err(failed("waiting for it")(error.into())),
            }
            let mut piece = [0; 1024];
            match self._stdout.read(&mut piece) {
                Ok(0) => return Err(self.not_ready(log, "did not start")),
                Ok(length) => said.extend(piece.iter().take(length)),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(failed("listening to it")(error)),
            }
        }
        let said = String::from_utf8_lossy(&said);
        // `listening PROTOCOL tcp|udp ADDR:PORT`
        self.listening = said.lines().filter_map(listening).collect();
        Ok(())
    }

    fn not_ready(&mut self, log: &Path, what: &str) -> NoChild {
        // Before its log is read, everything is in it.
        self.stop();
        let log = fs::read_to_string(log).unwrap_or_default();
        let last = log
            .lines()
            .last()
            .map(|line| line.trim_start_matches("mynah: "));
        let reason = last.map(|line| format!(": {line}")).unwrap_or_default();
        NoChild::Failed(format!("what was to be measured {what}{reason}"))
    }

    /// Ends it politely, and otherwise in time.
    fn stop(&mut self) {
        let asked = Pid::from_child(&self.process);
        if let Ok(None) = self.process.try_wait() {
            let _ = kill_process(asked, Signal::TERM);
        }
        let deadline = Instant::now() + PATIENCE;
        while let Ok(None) = self.process.try_wait() {
            if Instant::now() > deadline {
                let _ = self.process.kill();
                let _ = self.process.wait();
            }
            thread::sleep(Duration::from_millis(2));
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.stop();
    }
}

fn listening(line: &str) -> Option<(String, SocketAddr)> {
    let mut words = line.strip_prefix("listening ")?.split(' ');
    let protocol = words.next()?.to_string();
    let address = words.next_back()?.parse().ok()?;
    Some((protocol, address))
}

fn failed(doing: &'static str) -> impl FnOnce(io::Error) -> NoChild {
    move |error| NoChild::Failed(format!("{doing}: {error}"))
}

/// A directory that is gone with this.
struct Home {
    path: PathBuf,
}

impl Home {
    fn make() -> io::Result<Home> {
        let mut bits = [0; 8];
        getrandom::fill(&mut bits).map_err(io::Error::other)?;
        let name = format!("mynah-bench-{:016x}", u64::from_ne_bytes(bits));
        let path = env::temp_dir().join(name);
        // Accounts are in it, though nobody's.
        DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Home { path })
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}

const LOG: &str = "log";

/// Far more than it takes to start, or to stop.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long Ctrl-C may wait.
const GLANCE: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 50_000_000,
};
