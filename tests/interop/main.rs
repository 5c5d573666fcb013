//! Programs that share no code with ours, on the other end: clients, servers and a peer in Python, written
//! as people write them from the protocols' page.
//!
//! `tests/peers` holds a program per protocol and role, and scripts of scenarios: each scenario is a dialogue
//! with one server, and goes through rows of the page. A test here starts the server and runs a scenario.

#[path = "../support/chat.rs"]
mod chat;
#[path = "../support/mod.rs"]
mod support;

mod clients;
mod crowd;
mod events;
mod group;
mod peers;
mod tcp_room;
mod tcrp;
mod udp_login;
mod udp_mesh;
mod udp_room;
mod welcome;

use std::net::{SocketAddr, UdpSocket};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};

use support::serve::Mynah;
use support::{have, read_all, wait_for_exit};
use tempfile::TempDir;

/// Hashing that costs next to nothing, so that a busy machine answers in time.
const CHEAP: &str = "accounts.argon2_memory_kib = 1024\naccounts.argon2_passes = 1\n";

/// A server with a data directory and a configuration file of its own.
struct Server {
    folder: TempDir,
    mynah: Mynah,
}

impl Server {
    /// Listens for these protocols on 127.0.0.1, on ports of the kernel's choice.
    fn of(protocols: &[&str]) -> Server {
        Server::with(protocols, "", &[])
    }

    fn with(protocols: &[&str], config: &str, flags: &[&str]) -> Server {
        Server::in_folder(tempfile::tempdir().unwrap(), protocols, config, flags)
    }

    fn in_folder(folder: TempDir, protocols: &[&str], config: &str, flags: &[&str]) -> Server {
        let mut command = command(folder.path(), protocols, config, flags);
        command.stderr(Stdio::null());
        let mynah = Mynah::start(command);
        Server { folder, mynah }
    }

    /// Runs a scenario to its good end.
    fn play(&self, script: &str, scenario: &str) {
        self.play_with(script, scenario, &[]);
    }

    fn play_with(&self, script: &str, scenario: &str, more: &[&str]) {
        let mut arguments = vec![scenario.to_owned()];
        for line in &self.mynah.listening {
            // listening PROTOCOL TRANSPORT ADDRESS
            let mut words = line.split(' ').skip(1);
            let protocol = words.next().unwrap();
            let address: SocketAddr = words.last().unwrap().parse().unwrap();
            let family = if address.is_ipv6() { "6" } else { "" };
            arguments.push(format!("{protocol}{family}={}", address.port()));
        }
        arguments.extend(more.iter().map(|&text| text.to_owned()));
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        play(script, &arguments);
    }

    /// Ends it as a service manager does, and gives back what it kept.
    fn terminate(self) -> TempDir {
        assert!(self.mynah.terminate().success());
        self.folder
    }
}

/// `mynah serve` with all it keeps in `folder`.
fn command(folder: &Path, protocols: &[&str], config: &str, flags: &[&str]) -> Command {
    let config_path = folder.join("mynah.toml");
    std::fs::write(&config_path, format!("{CHEAP}{config}")).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_mynah"));
    command.arg("serve").arg("--config").arg(config_path);
    command.arg("--data-dir").arg(folder);
    for protocol in protocols {
        let listen = match protocol.contains('=') {
            true => (*protocol).to_owned(),
            false => format!("{protocol}=127.0.0.1:0"),
        };
        command.arg("--listen").arg(listen);
    }
    command.args(flags);
    command
}

/// Runs a script to its good end, or fails with what it had to say.
fn play(script: &str, arguments: &[&str]) {
    let mut command = Command::new("python3");
    let mut child = command
        // No compiled files beside the scripts.
        .arg("-B")
        .arg(path(script))
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let stdout = read_all(child.stdout.take().unwrap());
    let stderr = read_all(child.stderr.take().unwrap());
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    // Every wait in a script has a deadline, so its output ends.
    let (stdout, stderr) = (
        text(stdout.recv().unwrap().unwrap()),
        text(stderr.recv().unwrap().unwrap()),
    );
    let status = wait_for_exit(&mut child);
    assert!(
        status.success(),
        "{script} {}: {status}\n{stdout}{stderr}",
        arguments.join(" ")
    );
}

/// A program of `tests/peers` with pipes to it.
fn python(peer: &str, arguments: &[&str]) -> Child {
    Command::new("python3")
        .arg("-B")
        .arg(path(peer))
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

fn path(peer: &str) -> String {
    format!("{}/tests/peers/{peer}", env!("CARGO_MANIFEST_DIR"))
}

/// A port that the mesh of one test has for itself: all its peers must know it, so the kernel cannot choose,
/// and it lies below those that the kernel chooses for others.
fn mesh_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let process = (std::process::id() % 1000) as u16 * 16;
    loop {
        let port = 12_000 + process + NEXT.fetch_add(1, Ordering::Relaxed) % 16;
        if UdpSocket::bind(("0.0.0.0", port)).is_ok() {
            return port;
        }
    }
}

fn have_python() -> bool {
    have("python3")
}
