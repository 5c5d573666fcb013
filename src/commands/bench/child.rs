//! Owns the processes that a measurement starts: our own binary again, its files in a directory of its own, gone
//! with everything it made when the measurement is over, fails or is interrupted. Knows nothing of what is measured.
//!
//! After SIGKILL nobody is left to clean up: the process ends with us even then, its directory stays.

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
    /// What it is, in a sentence: `the server`.
    what: &'static str,
    process: Process,
    /// What it said it listens on, in order: protocol and address.
    listening: Vec<(String, SocketAddr)>,
    /// Kept: it would be told that nobody reads what it says.
    _stdout: ChildStdout,
    /// What it says on standard error.
    log: PathBuf,
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
        what: &'static str,
        arguments: impl FnOnce(&Path) -> io::Result<Vec<String>>,
        mut is_interrupted: impl FnMut() -> bool,
    ) -> Result<Child, NoChild> {
        let home = Home::make().map_err(failed("making a temporary directory"))?;
        let arguments = arguments(&home.path).map_err(failed("writing its settings"))?;
        let log = home.path.join(LOG);
        let stderr = File::create(&log).map_err(failed("making a temporary file"))?;
        let binary = own_program().map_err(failed("finding our own program"))?;
        let mut command = Command::new(binary);
        // What another server is set to by them is nothing to what is measured.
        for (name, _) in env::vars_os() {
            if name.as_encoded_bytes().starts_with(b"MYNAH_") {
                command.env_remove(name);
            }
        }
        let mut process = command
            // As it is known, wherever it was found.
            .arg0("mynah")
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
            what,
            process,
            listening: Vec::new(),
            _stdout: stdout.expect("invariant: it was asked for above"),
            log,
            _home: home,
        };
        child.wait_until_ready(&mut is_interrupted)?;
        Ok(child)
    }

    /// How it ended and what it said last, in a sentence, if it did. Waits so long to see it: a process's connections end
    /// before it does.
    pub fn ended(&mut self, patience: Duration) -> Option<String> {
        let deadline = Instant::now() + patience;
        loop {
            match self.process.try_wait() {
                Ok(Some(status)) => {
                    let (what, said) = (self.what, self.said_last());
                    return Some(format!("{what} ended with {status}{said}"));
                }
                Ok(None) if Instant::now() < deadline => thread::sleep(Duration::from_millis(2)),
                Ok(None) | Err(_) => return None,
            }
        }
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
                return Err(self.not_ready(&format!("was not ready within {waited} s")));
            }
            let mut ready = [PollFd::new(&self._stdout, PollFlags::IN)];
            match poll(&mut ready, Some(&GLANCE)) {
                Ok(0) | Err(rustix::io::Errno::INTR) => continue,
                Ok(_) => {}
                Err(error) => return Err(failed("waiting for it")(error.into())),
            }
            let mut piece = [0; 1024];
            match self._stdout.read(&mut piece) {
                Ok(0) => return Err(self.not_ready("did not start")),
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

    fn not_ready(&mut self, how: &str) -> NoChild {
        // Before its log is read, everything is in it.
        self.stop();
        NoChild::Failed(format!("{} {how}{}", self.what, self.said_last()))
    }

    /// The last line of its log behind a colon, or nothing.
    fn said_last(&self) -> String {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        // A panic's last line says how to see more of it.
        let last = log.lines().rfind(|line| !line.starts_with("note: "));
        last.map(|line| format!(": {}", line.trim_start_matches("mynah: ")))
            .unwrap_or_default()
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

/// The program that runs, even when its file has been replaced since it started.
fn own_program() -> io::Result<PathBuf> {
    // Once the process is split in two, this leads to the same file from either.
    let running = Path::new("/proc/self/exe");
    match fs::metadata(running) {
        Ok(_) => Ok(running.into()),
        Err(_) => env::current_exe(),
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
