//! udp-login: Python clients at our server, and what becomes of their accounts.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;

use super::support::{read_all, until, wait_for_exit};
use super::{Server, command, have_python};

const SCRIPT: &str = "udp_login_scenario.py";
const FILE: &str = "chat_users.json";

fn play(scenario: &str) {
    if have_python() {
        Server::of(&["udp-login", "tcp-room", "udp-room"]).play(SCRIPT, scenario);
    }
}

#[test]
fn logging_in_makes_an_account_or_finds_it() {
    play("logging_in");
}

#[test]
fn a_request_is_done_once_however_often_it_comes() {
    play("repeats");
}

#[test]
fn public_messages_are_asked_for_sent_and_confirmed() {
    play("public");
}

#[test]
fn direct_messages_are_asked_for_sent_and_confirmed() {
    play("direct");
}

#[test]
fn an_ended_session_is_gone() {
    play("gone");
}

#[test]
fn a_user_and_an_address_have_one_session() {
    play("one_session");
}

#[test]
fn a_name_belongs_to_its_account() {
    play("names");
}

#[test]
fn guessing_passwords_is_made_to_wait() {
    play("guessing");
}

#[test]
fn guessing_passwords_of_many_is_made_to_wait() {
    play("guessing_many");
}

#[test]
fn a_name_is_reserved_while_it_is_registered() {
    play("registering_reserves");
}

#[test]
fn an_unproven_address_is_sent_three_times_what_it_sent() {
    play("credits");
}

#[test]
fn long_lines_and_lists_are_cut() {
    play("long_lines");
}

#[test]
fn who_may_not_register_is_told_the_same_as_with_a_wrong_password() {
    if !have_python() {
        return;
    }
    let server = Server::of(&["udp-login"]);
    server.play(SCRIPT, "register");
    let flags = ["--registration", "closed"];
    let server = Server::in_folder(server.terminate(), &["udp-login"], "", &flags);
    server.play(SCRIPT, "closed");
}

#[test]
fn accounts_outlive_the_server() {
    if !have_python() {
        return;
    }
    let server = Server::of(&["udp-login"]);
    server.play(SCRIPT, "register");
    let path = server.folder.path().join(FILE);
    let kept = fs::read_to_string(&path).unwrap();
    assert_eq!(
        fs::metadata(&path).unwrap().permissions().mode() & 0o777,
        0o600
    );
    let document: serde_json::Value = serde_json::from_str(&kept).unwrap();
    assert_eq!(document["version"], 2);
    let password = document["users"]["momodou"]["password"].as_str().unwrap();
    assert!(password.starts_with("$argon2id$v=19$"), "{password}");
    assert!(!kept.contains("sesame"));
    let server = Server::in_folder(server.terminate(), &["udp-login"], "", &[]);
    server.play(SCRIPT, "registered");
    // However it ended.
    let Server { folder, mynah } = server;
    drop(mynah);
    Server::in_folder(folder, &["udp-login"], "", &[]).play(SCRIPT, "registered");
}

#[test]
fn a_plain_file_is_taken_over() {
    if !have_python() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(FILE);
    fs::write(&path, r#"{"momodou": "open sesame", "other": "swordfish"}"#).unwrap();
    let server = Server::in_folder(folder, &["udp-login"], "", &[]);
    server.play(SCRIPT, "registered");
    until("the file without passwords", || {
        let kept = fs::read_to_string(&path).unwrap();
        (!kept.contains("sesame") && !kept.contains("swordfish")).then_some(())
    });
    assert_eq!(
        fs::metadata(&path).unwrap().permissions().mode() & 0o777,
        0o600
    );
    for entry in fs::read_dir(server.folder.path()).unwrap() {
        let entry = entry.unwrap();
        // The control socket keeps nothing.
        if !entry.file_type().unwrap().is_file() {
            continue;
        }
        let kept = String::from_utf8(fs::read(entry.path()).unwrap()).unwrap();
        assert!(!kept.contains("sesame") && !kept.contains("swordfish"));
    }
    Server::in_folder(server.terminate(), &["udp-login"], "", &[]).play(SCRIPT, "registered");
}

#[test]
fn a_damaged_file_is_no_start_and_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(FILE);
    for (damaged, place) in [
        ("", ":1:1:"),
        ("{\"version\":1,\n\"users\":{", ":2:"),
        (
            "{\"version\":1,\n\"users\":{\"a\":{\"password\":\"$argon2id$nonsense\"}}}",
            ":2:",
        ),
        ("{\"version\":1,\n\n\"users\":{}} trailing", ":3:"),
        ("[]", ":1:"),
    ] {
        fs::write(&path, damaged).unwrap();
        let mut child = command(folder.path(), &["udp-login"], "", &[])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stderr = read_all(child.stderr.take().unwrap());
        assert_eq!(wait_for_exit(&mut child).code(), Some(78), "{damaged}");
        let told = String::from_utf8(stderr.recv().unwrap().unwrap()).unwrap();
        assert!(
            told.contains(FILE) && told.contains(place),
            "{damaged:?}: {told}"
        );
        assert_eq!(fs::read_to_string(&path).unwrap(), damaged);
    }
}
