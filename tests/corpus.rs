//! The kept inputs of the fuzz targets, run through the same entries as plain tests: what a fuzzer found once is not
//! lost, and no nightly toolchain is needed. What is kept, and how it got there: fuzz/README.md.

#[path = "support/fuzz/mod.rs"]
mod fuzz;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use mynah::protocol::{group, tcp_room, tcrp, udp_login, udp_mesh, udp_room};
use toml::de::DeTable;

/// What each keeps, at the most: the repository is for people, too.
const MAX_FILES: usize = 500;
const MAX_BYTES: u64 = 200_000;

/// Of every target, lest one of them is forgotten.
const MIN_FILES: usize = 10;

/// A test for each target: its name, and what it calls.
macro_rules! replays {
    ($($test:ident: $target:literal => $entry:path,)+) => {
        $(#[test] fn $test() { replay($target, $entry); })+

        const TARGETS: &[&str] = &[$($target),+];
    };
}

replays! {
    the_corpus_of_accounts: "accounts" => mynah::store::fuzz,
    the_corpus_of_clients: "clients" => fuzz::clients::run,
    the_corpus_of_config: "config" => mynah::config::fuzz,
    the_corpus_of_control: "control" => mynah::control::fuzz,
    the_corpus_of_group: "group" => group::frame::fuzz,
    the_corpus_of_group_direct: "group_direct" => group::direct::fuzz,
    the_corpus_of_server: "server" => fuzz::server::run,
    the_corpus_of_tcp_room: "tcp_room" => tcp_room::frame::fuzz,
    the_corpus_of_tcrp: "tcrp" => tcrp::frame::fuzz,
    the_corpus_of_ucrp: "ucrp" => tcrp::datagram::fuzz,
    the_corpus_of_udp_login: "udp_login" => udp_login::frame::fuzz,
    the_corpus_of_udp_mesh: "udp_mesh" => udp_mesh::frame::fuzz,
    the_corpus_of_udp_room: "udp_room" => udp_room::frame::fuzz,
}

#[test]
fn every_target_is_replayed() {
    let manifest = fs::read_to_string(folder().join("Cargo.toml")).unwrap();
    let manifest = DeTable::parse(&manifest).unwrap();
    let targets = manifest.get_ref()["bin"].get_ref().as_array().unwrap();
    let targets: BTreeSet<&str> = targets
        .iter()
        .map(|target| target.get_ref()["name"].get_ref().as_str().unwrap())
        .collect();
    assert_eq!(targets, TARGETS.iter().copied().collect());
}

#[test]
fn nothing_is_kept_that_no_target_reads() {
    let kept = files(&folder().join("corpus"));
    for path in kept {
        let name = path.file_name().unwrap().to_str().unwrap();
        assert!(TARGETS.contains(&name), "{} is nobody's", path.display());
    }
}

/// Runs every kept input of a target through its entry; one that fails says which it is.
fn replay(target: &str, entry: fn(&[u8])) {
    let kept = files(&folder().join("corpus").join(target));
    let (count, mut bytes) = (kept.len(), 0);
    for path in kept {
        let input = fs::read(&path).unwrap();
        bytes += input.len() as u64;
        let running = Running(&path);
        entry(&input);
        drop(running);
    }
    assert!(
        (MIN_FILES..=MAX_FILES).contains(&count),
        "{target} keeps {} inputs",
        count
    );
    assert!(bytes <= MAX_BYTES, "{target} keeps {bytes} bytes");
}

/// The input that is running, named when it fails.
struct Running<'a>(&'a Path);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("with the input {}", self.0.display());
        }
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries =
        fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz")
}
