//! Our clients with servers in Python, two of ours on each: what one says the other hears.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command};

use super::chat::Chat;
use super::support::{wait_for_exit, within_patience};
use super::{have_python, python};

/// A Python server, and where it is.
struct PythonServer {
    child: Child,
    /// The port of the server, and a second one where it has one.
    ports: Vec<String>,
}

impl PythonServer {
    fn start(program: &str, arguments: &[&str]) -> PythonServer {
        let mut child = python(program, arguments);
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let ports = within_patience(move || {
            let mut ports = String::new();
            stdout.read_line(&mut ports).unwrap();
            ports
        });
        let ports = ports.split_whitespace().map(str::to_owned).collect();
        PythonServer { child, ports }
    }

    fn address(&self) -> String {
        format!("127.0.0.1:{}", self.ports[0])
    }

    fn end(mut self) {
        drop(self.child.stdin.take());
        assert!(wait_for_exit(&mut self.child).success());
    }
}

fn chat(arguments: &str) -> Chat {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mynah"));
    command
        .arg("chat")
        .args(arguments.split(' '))
        .arg("--json")
        .env("MYNAH_PASSWORD", "correct horse");
    Chat::spawn(&mut command)
}

/// Each hears the other.
fn they_hear_each_other(ada: &mut Chat, bob: &mut Chat) {
    for (n, text) in ["hi", "¡grüße! 🐦", "a:b > c | d"].into_iter().enumerate() {
        let (text, answer) = (format!("{text} {n}"), format!("and {text} to you {n}"));
        ada.line(&text);
        bob.hears("ada", &text);
        bob.line(&answer);
        ada.hears("bob", &answer);
    }
}

#[test]
fn tcrp_with_a_python_server() {
    if !have_python() {
        return;
    }
    let server = PythonServer::start("tcrp_server.py", &[]);
    let (tcp, udp) = (server.address(), format!("127.0.0.1:{}", server.ports[1]));
    let mut ada = chat(&format!("tcrp {tcp} --ucrp {udp} --create den --name ada"));
    ada.joined();
    let mut bob = chat(&format!("tcrp {tcp} --ucrp {udp} --join den --name bob"));
    bob.joined();
    they_hear_each_other(&mut ada, &mut bob);
    let refused = chat(&format!(
        "tcrp {tcp} --ucrp {udp} --join nowhere --name eve"
    ));
    assert_eq!(refused.wait().status, Some(3));
    // The host goes, and the room with it.
    assert_eq!(ada.end().status, Some(0));
    bob.until("the end", |event| event["event"] == "closed");
    assert_eq!(bob.wait().status, Some(0));
    server.end();
}

#[test]
fn group_with_a_python_server() {
    if !have_python() {
        return;
    }
    let server = PythonServer::start("group_server.py", &[]);
    let mut ada = chat(&format!("group {} --name ada", server.address()));
    ada.joined();
    let mut bob = chat(&format!("group {} --name bob", server.address()));
    bob.joined();
    ada.until("bob", |event| {
        event["event"] == "arrived" && event["name"] == "bob"
    });
    they_hear_each_other(&mut ada, &mut bob);
    assert_eq!(ada.who(), ["ada", "bob"]);
    ada.line("/start bob");
    ada.line("/chat bob past the server");
    bob.hears_directly("ada", "past the server");
    assert_eq!(bob.end().status, Some(0));
    ada.until("bob's leaving", |event| {
        event["event"] == "left" && event["name"] == "bob"
    });
    assert_eq!(ada.end().status, Some(0));
    server.end();
}

#[test]
fn udp_room_with_a_python_server() {
    if !have_python() {
        return;
    }
    let server = PythonServer::start("udp_room_server.py", &[]);
    let mut ada = chat(&format!("udp-room {} --name ada", server.address()));
    ada.joined();
    let mut bob = chat(&format!("udp-room {} --name bob", server.address()));
    bob.joined();
    they_hear_each_other(&mut ada, &mut bob);
    ada.line("/msg bob psst");
    bob.hears_directly("ada", "psst");
    let taken = chat(&format!("udp-room {} --name ada", server.address()));
    assert_eq!(taken.wait().status, Some(3));
    assert_eq!(bob.end().status, Some(0));
    assert_eq!(ada.end().status, Some(0));
    server.end();
}

fn udp_login(arguments: &[&str]) {
    if !have_python() {
        return;
    }
    let server = PythonServer::start("udp_login_server.py", arguments);
    let mut ada = chat(&format!("udp-login {} --name ada", server.address()));
    ada.joined();
    let mut bob = chat(&format!("udp-login {} --name bob", server.address()));
    bob.joined();
    they_hear_each_other(&mut ada, &mut bob);
    ada.line("/msg bob psst");
    bob.hears_directly("ada", "psst");
    let mut names = ada.who();
    names.sort();
    assert_eq!(names, ["ada", "bob"]);
    assert_eq!(bob.end().status, Some(0));
    assert_eq!(ada.end().status, Some(0));
    server.end();
}

#[test]
fn udp_login_with_a_python_server() {
    udp_login(&[]);
}

#[test]
fn udp_login_with_a_python_server_on_a_lossy_network() {
    udp_login(&["lossy"]);
}
