//! A server with its configuration file, its log, and a socket that it tells its states to.

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tempfile::TempDir;

use crate::support::serve::Mynah;
use crate::support::{PATIENCE, until, wait_for_exit};

/// Where everything of one server is.
pub struct Daemon {
    folder: TempDir,
    manager: UnixDatagram,
}

/// It runs.
pub struct Running {
    pub mynah: Mynah,
    log: PathBuf,
}

impl Daemon {
    /// Nothing runs yet. The configuration listens for tcp-room at a port of the kernel's choice, and says that besides.
    pub fn new(configuration: &str) -> Daemon {
        let folder = tempfile::tempdir().unwrap();
        let manager = UnixDatagram::bind(folder.path().join("notify")).unwrap();
        manager.set_read_timeout(Some(PATIENCE)).unwrap();
        let daemon = Daemon { folder, manager };
        daemon.configure(configuration);
        daemon
    }

    pub fn file(&self) -> PathBuf {
        self.folder.path().join("mynah.toml")
    }

    /// From now on that is what stands in its file. It is never seen half written.
    pub fn configure(&self, configuration: &str) {
        let text = format!("listen = [\"tcp-room=127.0.0.1:0\"]\n{configuration}");
        self.configure_all(&text);
    }

    /// The same without the first line.
    pub fn configure_all(&self, text: &str) {
        self.writer()(text);
    }

    /// The same for another thread.
    pub fn writer(&self) -> impl Fn(&str) + Send + 'static {
        let (file, new) = (self.file(), self.folder.path().join("new.toml"));
        move |text| {
            fs::write(&new, text).unwrap();
            fs::rename(&new, &file).unwrap();
        }
    }

    /// `mynah serve`, not started; `before` is what a shell does before it becomes that.
    pub fn command(&self, before: &str) -> Command {
        self.command_by(before, "")
    }

    /// The same by a program that becomes it.
    pub fn command_by(&self, before: &str, wrapper: &str) -> Command {
        let mut command = Command::new("env");
        // Whoever runs the tests may have SIGHUP ignored, and what is ignored is inherited.
        command.args(["--default-signal=HUP", "sh", "-c"]);
        command.arg(format!("{before}\nexec {wrapper} \"$0\" serve \"$@\""));
        command.arg(env!("CARGO_BIN_EXE_mynah"));
        command.arg("--config").arg(self.file());
        command
            .arg("--data-dir")
            .arg(self.folder.path().join("data"));
        command.env("NOTIFY_SOCKET", self.folder.path().join("notify"));
        command.env_remove("WATCHDOG_USEC");
        command.stdin(Stdio::null());
        command.stderr(fs::File::create(self.log_file()).unwrap());
        command
    }

    pub fn start(&self) -> Running {
        self.start_as(self.command(""))
    }

    pub fn start_as(&self, command: Command) -> Running {
        Running {
            mynah: Mynah::start(command),
            log: self.log_file(),
        }
    }

    pub fn log_file(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    /// The next of what it tells the manager.
    pub fn told(&self) -> String {
        self.told_within(PATIENCE).expect("it tells something")
    }

    /// The same, if it comes in that time.
    pub fn told_within(&self, time: Duration) -> Option<String> {
        self.manager.set_read_timeout(Some(time)).unwrap();
        let mut buffer = [0; 4096];
        let length = self.manager.recv(&mut buffer).ok()?;
        Some(String::from_utf8(buffer[..length].to_vec()).unwrap())
    }

    /// The next that begins so; what comes before is passed over.
    pub fn told_of(&self, start: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            assert!(Instant::now() < deadline, "{start}: not told");
            let told = self.told();
            if told.starts_with(start) {
                return told;
            }
        }
    }

    /// Has it read its configuration again, and waits until it has.
    pub fn reload(&self, running: &Running) {
        running.mynah.signal(Signal::HUP);
        self.told_of("RELOADING=1\n");
        self.told_of("READY=1\n");
    }
}

impl Running {
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    /// Waits until the log says that.
    pub fn logs(&self, words: &str) -> String {
        until(words, || Some(self.log()).filter(|log| log.contains(words)))
    }

    /// Where it has begun to listen since it was started, as the log says: the last of those for `purpose`.
    pub fn new_place(&self, purpose: &str) -> String {
        let words = format!("listening for {purpose} on ");
        let log = self.logs(&words);
        let (_, place) = log.rsplit_once(&words).unwrap();
        place.lines().next().unwrap().to_owned()
    }

    /// Waits for its end, which is a good one, and returns the log.
    pub fn wait(mut self) -> String {
        let status = wait_for_exit(&mut self.mynah.child);
        let log = self.log();
        assert_eq!(status.code(), Some(0), "{log}");
        log
    }

    pub fn terminate(self) -> String {
        self.mynah.signal(Signal::TERM);
        self.wait()
    }
}
