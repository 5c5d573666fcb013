//! The units in `dist/`, as systemd reads them.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use mynah::server::Purpose;
use rustix::process::Signal;

use crate::daemon::Daemon;
use crate::support::{have, until};

fn dist() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("dist")
}

/// The units, in a folder of their own, with the program where it was built.
fn units() -> (tempfile::TempDir, Vec<PathBuf>) {
    let folder = tempfile::tempdir().unwrap();
    let mut units = Vec::new();
    for entry in fs::read_dir(dist()).unwrap() {
        let path = entry.unwrap().path();
        let is_unit = path
            .extension()
            .is_some_and(|e| e == "service" || e == "socket");
        if !is_unit {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        let text = text.replace("/usr/bin/mynah", env!("CARGO_BIN_EXE_mynah"));
        let copy = folder.path().join(path.file_name().unwrap());
        fs::write(&copy, text).unwrap();
        units.push(copy);
    }
    assert!(units.len() > 5, "{units:?}");
    (folder, units)
}

fn analyze(arguments: &[&str], units: &[PathBuf]) -> Output {
    let mut command = Command::new("systemd-analyze");
    command.args(arguments).args(units).output().unwrap()
}

fn said(output: &Output) -> String {
    let bytes = [&output.stdout[..], &output.stderr].concat();
    String::from_utf8(bytes).unwrap()
}

#[test]
fn systemd_has_nothing_to_say_about_the_units() {
    if !have("systemd-analyze") {
        return;
    }
    let (_folder, units) = units();
    // The manual pages are installed by the package.
    let output = analyze(&["verify", "--man=no"], &units);
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(said(&output), "");
}

#[test]
fn the_service_is_exposed_to_little() {
    if !have("systemd-analyze") {
        return;
    }
    let service = [dist().join("mynah.service")];
    // In tenths: below 2.0.
    let arguments = ["security", "--offline=true", "--no-pager", "--threshold=19"];
    let output = analyze(&arguments, &service);
    assert!(output.status.success(), "{}", said(&output));
}

#[test]
fn there_is_a_socket_for_every_purpose_and_it_has_its_name() {
    let names: BTreeSet<String> = Purpose::all()
        .map(|purpose| {
            let path = dist().join(format!("mynah-{purpose}.socket"));
            let text = fs::read_to_string(path).unwrap();
            let name = format!("\nFileDescriptorName={purpose}\n");
            assert!(text.contains(&name), "{text}");
            assert!(text.contains("\nService=mynah.service\n"), "{text}");
            format!("mynah-{purpose}.socket")
        })
        .collect();
    let entries = fs::read_dir(dist()).unwrap();
    let found = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let found: BTreeSet<String> = found.filter(|name| name.ends_with(".socket")).collect();
    assert_eq!(found, names);
}

/// The names of a filter's system calls, and of those that its groups have.
fn calls_of(name: &str) -> BTreeSet<String> {
    let Some(_) = name.strip_prefix('@') else {
        return BTreeSet::from([name.to_owned()]);
    };
    let output = Command::new("systemd-analyze")
        .args(["syscall-filter", "--no-pager", name])
        .output()
        .unwrap();
    let text = said(&output);
    let members = text.lines().skip(1).map(str::trim);
    let members = members.filter(|line| !line.is_empty() && !line.starts_with('#'));
    members.flat_map(calls_of).collect()
}

/// What the service lets through, as systemd puts it together: line after line.
fn allowed() -> BTreeSet<String> {
    let text = fs::read_to_string(dist().join("mynah.service")).unwrap();
    let filters = text
        .lines()
        .filter_map(|line| line.strip_prefix("SystemCallFilter="));
    // What every filter lets through (systemd.exec(5)).
    let mut allowed = calls_of("@default");
    for filter in filters {
        let (filter, denies) = match filter.strip_prefix('~') {
            Some(filter) => (filter, true),
            None => (filter, false),
        };
        for call in filter.split(' ').flat_map(calls_of) {
            match denies {
                true => allowed.remove(&call),
                false => allowed.insert(call),
            };
        }
    }
    allowed
}

#[test]
fn what_it_calls_the_service_lets_through() {
    if !have("systemd-analyze") || !have("strace") {
        return;
    }
    let daemon = Daemon::new("");
    daemon.configure_all(
        "listen = [\"tcp-room=127.0.0.1:0\", \"udp-room=127.0.0.1:0\", \"udp-login=127.0.0.1:0\"]",
    );
    let seen = daemon.file().with_file_name("seen");
    let tracer = format!("strace -D -f -o {}", seen.display());
    let running = daemon.start_as(daemon.command_by("", &tracer));
    let mut member = running.mynah.join("member");
    member.say("hi");
    member.hear();
    let guest = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    guest
        .set_read_timeout(Some(crate::support::PATIENCE))
        .unwrap();
    guest
        .send_to(b"C 1 PASS ada secret", running.mynah.at(2))
        .unwrap();
    guest.recv(&mut [0; 1500]).expect("an account is made");
    daemon.reload(&running);
    running.mynah.signal(Signal::USR2);
    running.logs("draining");
    running.terminate();
    let calls: BTreeSet<String> = until("all is seen", || {
        let seen = fs::read_to_string(&seen).unwrap();
        // What is before the first exec is the shell's, which systemd does without.
        let calls = seen.lines().filter_map(|line| {
            let (_, call) = line.split_once(' ')?;
            let (name, _) = call.trim_start().split_once('(')?;
            // Not the rest of a line that another thread's came into.
            name.chars()
                .all(|c| c.is_alphanumeric() || c == '_')
                .then(|| name.to_owned())
        });
        seen.contains("+++ exited").then(|| calls.collect())
    });
    assert!(
        calls.contains("epoll_wait") && calls.contains("fsync"),
        "{calls:?}"
    );
    let allowed = allowed();
    let refused: Vec<&String> = calls.difference(&allowed).collect();
    assert!(refused.is_empty(), "{refused:?}");
}
