//! Programs that share no code with ours, on the other end: clients and servers in Python, written as people
//! write them from the protocols' page.

#[path = "../support/mod.rs"]
mod support;

mod tcp_room;

use std::process::{Child, Command, Stdio};

use support::have;

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

fn have_python() -> bool {
    have("python3")
}
