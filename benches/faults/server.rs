//! Owns the server that is attacked: a process of its own on ports of the kernel's choice, with a folder and a log of
//! its own. What it takes of the machine is read in /proc.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use mynah::protocol::registry::Protocol;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::apart;
use crate::chatters::beside;
use crate::slow::FEW;

/// `mynah serve`, ended with this.
pub struct Server {
    child: Child,
    listening: Vec<String>,
    folder: TempDir,
}

/// What it takes at a moment.
#[derive(Clone, Copy, Debug)]
pub struct Usage {
    pub resident_kib: f64,
    pub descriptors: usize,
    /// Processor time so far.
    pub busy: Duration,
}

/// A clock tick of /proc, which is the same on every Linux.
const TICK: Duration = Duration::from_millis(10);

impl Server {
    /// All protocols, with these accounts (the text of their file) and these settings.
    pub fn start(program: &Path) -> io::Result<Server> {
        Server::start_with(program, None, "", None)
    }

    /// The same with the text of an accounts file, that of a configuration, and so many descriptors.
    pub fn start_with(
        program: &Path,
        accounts: Option<&str>,
        configuration: &str,
        descriptors: Option<u32>,
    ) -> io::Result<Server> {
        let folder = tempfile::tempdir()?;
        if let Some(accounts) = accounts {
            fs::write(folder.path().join(mynah::store::FILE_NAME), accounts)?;
        }
        let settings = folder.path().join("mynah.toml");
        fs::write(&settings, configuration)?;
        let mut command = match descriptors {
            Some(number) => {
                let mut shell = Command::new("sh");
                shell.args(["-c", &format!("ulimit -n {number}; exec \"$0\" \"$@\"")]);
                shell.arg(program);
                shell
            }
            None => Command::new(program),
        };
        command.arg("serve").arg("--config").arg(&settings);
        command.arg("--data-dir").arg(folder.path());
        for protocol in Protocol::ALL
            .iter()
            .filter(|protocol| protocol.is_default())
        {
            command
                .arg("--listen")
                .arg(format!("{protocol}=127.0.0.1:0"));
        }
        let log = File::create(folder.path().join("log"))?;
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()?;
        apart::place(Pid::from_child(&child))?;
        let stdout = child.stdout.take();
        let mut server = Server {
            child,
            listening: Vec::new(),
            folder,
        };
        for line in BufReader::new(stdout.ok_or_else(|| io::Error::other("no pipe"))?).lines() {
            match line? {
                ready if ready == "ready" => return Ok(server),
                line => server.listening.push(line),
            }
        }
        let log = fs::read_to_string(server.log())?;
        Err(io::Error::other(format!("the server did not start: {log}")))
    }

    /// The same once people have chatted there: what it takes for good as soon as anybody comes is taken.
    pub fn warm(program: &Path) -> io::Result<Server> {
        let server = Server::start(program)?;
        server.warm_up()?;
        Ok(server)
    }

    pub fn warm_up(&self) -> io::Result<()> {
        let room = self.address(Protocol::TcpRoom);
        let before = self.usage()?.descriptors;
        let rest = || {
            std::thread::sleep(Duration::from_millis(500));
            Ok(())
        };
        beside(room, FEW, rest)?;
        self.descriptors_above(before)?;
        Ok(())
    }

    /// Where a protocol is.
    pub fn address(&self, protocol: Protocol) -> SocketAddr {
        let start = format!("listening {protocol} ");
        let line = self.listening.iter().find(|line| line.starts_with(&start));
        let address = line.and_then(|line| line.rsplit(' ').next()?.parse().ok());
        address.expect("invariant: all protocols are opened")
    }

    pub fn usage(&self) -> io::Result<Usage> {
        let process = PathBuf::from(format!("/proc/{}", self.child.id()));
        let status = fs::read_to_string(process.join("status"))?;
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let resident = resident.and_then(|line| line.split_whitespace().next()?.parse().ok());
        let stat = fs::read_to_string(process.join("stat"))?;
        // Behind the name, which may hold anything: state is the third field, user and system time 14 and 15.
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or("").split(' ').collect();
        let ticks = |n: usize| fields.get(n).and_then(|text| text.parse::<u32>().ok());
        Ok(Usage {
            resident_kib: resident.unwrap_or(0.0),
            descriptors: fs::read_dir(process.join("fd"))?.count(),
            busy: TICK * (ticks(12).unwrap_or(0) + ticks(13).unwrap_or(0)),
        })
    }

    /// The largest it becomes while something is done, in KiB, looked at every five milliseconds.
    pub fn largest<T>(&self, work: impl FnOnce() -> io::Result<T>) -> io::Result<(T, f64)> {
        let done = std::sync::atomic::AtomicBool::new(false);
        let ordering = std::sync::atomic::Ordering::Relaxed;
        std::thread::scope(|scope| {
            let watch = scope.spawn(|| {
                let mut largest = 0.0f64;
                while !done.load(ordering) {
                    largest = largest.max(self.usage()?.resident_kib);
                    std::thread::sleep(Duration::from_millis(5));
                }
                Ok::<f64, io::Error>(largest)
            });
            let result = work();
            done.store(true, ordering);
            let largest = watch
                .join()
                .map_err(|_| io::Error::other("the watch died"))??;
            Ok((result?, largest))
        })
    }

    /// How many descriptors it has above those, once it has let go whom it was going to let go.
    pub fn descriptors_above(&self, number: usize) -> io::Result<usize> {
        let start = Instant::now();
        loop {
            let above = self.usage()?.descriptors.saturating_sub(number);
            if above == 0 || start.elapsed() > Duration::from_secs(10) {
                return Ok(above);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Its log so far.
    pub fn log_text(&self) -> io::Result<String> {
        fs::read_to_string(self.log())
    }

    /// Ends it as a service manager does; how long that takes.
    pub fn terminate(&mut self) -> io::Result<(ExitStatus, Duration)> {
        let start = Instant::now();
        kill_process(Pid::from_child(&self.child), Signal::TERM)?;
        let status = self.child.wait()?;
        Ok((status, start.elapsed()))
    }

    fn log(&self) -> PathBuf {
        self.folder.path().join("log")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
