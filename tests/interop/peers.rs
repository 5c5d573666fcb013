//! The Python servers, on whom our clients are tried, with the Python clients, on whom our server is.

use std::io::{BufRead, BufReader};

use super::support::{wait_for_exit, within_patience};
use super::{have_python, play, python};

/// Runs a scenario between a Python server and Python clients.
fn between(server: &str, arguments: &[&str], scenario: &str) {
    if !have_python() {
        return;
    }
    let mut server = python(server, arguments);
    let mut stdout = BufReader::new(server.stdout.take().unwrap());
    let ports = within_patience(move || {
        let mut ports = String::new();
        stdout.read_line(&mut ports).unwrap();
        ports
    });
    let ports: Vec<String> = ["server", "udp"]
        .iter()
        .zip(ports.split_whitespace())
        .map(|(name, port)| format!("{name}={port}"))
        .collect();
    let arguments: Vec<&str> = [scenario]
        .into_iter()
        .chain(ports.iter().map(String::as_str))
        .collect();
    play("servers_scenario.py", &arguments);
    drop(server.stdin.take());
    assert!(wait_for_exit(&mut server).success());
}

#[test]
fn group_between_python_programs() {
    between("group_server.py", &[], "group");
}

#[test]
fn udp_room_between_python_programs() {
    between("udp_room_server.py", &[], "udp_room");
}

#[test]
fn udp_login_between_python_programs() {
    between("udp_login_server.py", &[], "udp_login");
}

#[test]
fn udp_login_between_python_programs_on_a_lossy_network() {
    between("udp_login_server.py", &["lossy"], "udp_login");
}

#[test]
fn tcrp_between_python_programs() {
    between("tcrp_server.py", &[], "tcrp");
}
