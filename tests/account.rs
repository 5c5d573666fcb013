//! `mynah account`: with a server and without, at once and one after the other, and with what cannot be.

mod support;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use mynah::store::{BANS_FILE_NAME, load};
use rustix::process::Signal;
use support::logins::{Home, is_in};
use support::serve::Mynah;
use support::{until, wait_for_exit};

/// `mynah account` with the password on standard input.
fn begin(data: &Path, words: &[&str], password: &str) -> Child {
    let config = data.parent().unwrap().join("config");
    let mut command = Command::new(env!("CARGO_BIN_EXE_mynah"));
    command
        .arg("account")
        .args(words)
        .arg("--data-dir")
        .arg(data);
    if matches!(words[0], "add" | "passwd") {
        command.args(["--password-file", "-"]);
    }
    let mut child = command
        .arg("--config")
        .arg(config)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    // Who needs none may have ended already.
    let _ = stdin.write_all(format!("{password}\n").as_bytes());
    child
}

fn account(data: &Path, words: &[&str], password: &str) -> Output {
    begin(data, words, password).wait_with_output().unwrap()
}

fn said(output: &Output, status: i32) -> String {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let all = text(&output.stdout) + &text(&output.stderr);
    assert_eq!(output.status.code(), Some(status), "{all}");
    all
}

fn names(data: &Path) -> Vec<String> {
    let listed = said(&account(data, &["list"], ""), 0);
    let lines = listed.lines().skip(1);
    lines
        .map(|line| line.split_whitespace().next().unwrap().to_owned())
        .collect()
}

/// All that may be done to an account, and what is refused.
fn through_its_life(data: &Path) {
    assert_eq!(names(data), [""; 0]);
    assert_eq!(
        said(&account(data, &["add", "Zoë"], "first"), 0),
        "Zoë has an account\n"
    );
    let again = said(&account(data, &["add", "zoë"], "other"), 1);
    assert!(
        again.contains("there is an account \"zoë\" already"),
        "{again}"
    );
    assert_eq!(
        said(&account(data, &["add", "ann"], "x"), 0),
        "ann has an account\n"
    );
    assert_eq!(names(data), ["Zoë", "ann"]);
    let json = said(&account(data, &["list", "--json"], ""), 0);
    assert!(
        json.starts_with("{\"name\":\"Zoë\",\"usable\":true}\n"),
        "{json}"
    );
    let listed = said(&account(data, &["list"], ""), 0);
    assert!(
        !listed.contains('$') && !json.contains("argon2"),
        "{listed}{json}"
    );
    let changed = said(&account(data, &["passwd", "ZOË"], "second"), 0);
    assert_eq!(changed, "ZOË has another password\n");
    let nobody = said(&account(data, &["passwd", "bob"], "x"), 3);
    assert!(nobody.contains("there is no account \"bob\""), "{nobody}");
    said(&account(data, &["delete", "ann"], ""), 0);
    said(&account(data, &["delete", "ann"], ""), 3);
    for (name, password, says) in [
        ("a b", "x", "white space"),
        ("", "x", ""),
        ("bob", "", "at least one character"),
    ] {
        let refused = said(&account(data, &["add", name], password), 2);
        assert!(refused.contains(says), "{name:?} {password:?}: {refused}");
    }
    let long = said(&account(data, &["add", "bob"], &"x".repeat(129)), 2);
    assert!(long.contains("128 bytes"), "{long}");
    assert_eq!(names(data), ["Zoë"]);
}

#[test]
fn without_a_server_the_file_is_changed() {
    let home = Home::new();
    through_its_life(&home.data());
    assert!(home.has("zoë"));
    let mut house = home.start();
    assert!(!is_in(&house.login("Zoë", "first")));
    assert!(is_in(&house.login("Zoë", "second")));
}

#[test]
fn a_running_server_does_it_itself() {
    let home = Home::new();
    let mut house = home.start();
    through_its_life(&home.data());
    assert!(home.has("zoë"), "it is on the disk before it is confirmed");
    assert!(is_in(&house.login("Zoë", "second")));
    // Another password keeps who is in.
    said(&account(&home.data(), &["passwd", "zoë"], "third"), 0);
    let mut one = house.server.join("one");
    one.say("is she in?");
    assert_eq!(one.hear_text(), "is she in?");
    // Without the account there is nothing that she is in by, and her name is free.
    let deleted = said(&account(&home.data(), &["delete", "Zoë"], ""), 0);
    assert!(
        deleted.contains("its owner was in, and is let go"),
        "{deleted}"
    );
    let _zoe = house.server.join("Zoë");
    let held = said(&account(&home.data(), &["add", "ZOË"], "x"), 1);
    assert!(held.contains("kick that one first"), "{held}");
    assert!(!home.has("zoë"));
}

#[test]
fn a_server_where_nobody_can_log_in_does_it_as_well() {
    let home = Home::new();
    let data = home.data();
    let arguments = [
        "--listen",
        "tcp-room=127.0.0.1:0",
        "--data-dir",
        data.to_str().unwrap(),
    ];
    let server = Mynah::serve_with(&arguments);
    said(&account(&data, &["add", "ann"], "x"), 0);
    assert!(home.has("ann"));
    // Her name is nobody else's from now on.
    let mut client = support::serve::Client::connect(server.address());
    client.join("Ann");
    assert_eq!(client.read_verdict(), 0);
    said(&account(&data, &["delete", "ann"], ""), 0);
    server.join("Ann");
    assert!(
        !data.join(BANS_FILE_NAME).exists(),
        "who bans nobody has no file of it"
    );
}

#[test]
fn a_plain_file_is_hashed_with_the_first_change() {
    let home = Home::new();
    std::fs::write(home.file(), "{\"old\":\"secret\"}").unwrap();
    let listed = said(&account(&home.data(), &["list"], ""), 0);
    assert!(listed.contains("in plain"), "{listed}");
    said(&account(&home.data(), &["add", "new"], "x"), 0);
    assert_eq!(load(&home.file()).unwrap().accounts.plain_left(), 0);
    let mut house = home.start();
    assert!(is_in(&house.login("old", "secret")));
}

#[test]
fn where_a_file_is_damaged_nothing_is_written() {
    let home = Home::new();
    std::fs::write(home.file(), "{\"version\":2,").unwrap();
    for words in [&["add", "ann"][..], &["delete", "ann"], &["list"]] {
        let refused = said(&account(&home.data(), words, "x"), 1);
        assert!(refused.contains("chat_users.json:1:"), "{refused}");
    }
    assert_eq!(std::fs::read(home.file()).unwrap(), b"{\"version\":2,");
    let none: PathBuf = home.data().join("not/there");
    let config = home.data().parent().unwrap().join("config");
    let output = Command::new(env!("CARGO_BIN_EXE_mynah"))
        .args(["account", "list", "--data-dir"])
        .arg(&none)
        .arg("--config")
        .arg(config)
        .output()
        .unwrap();
    said(&output, 0);
    assert!(!none.exists(), "to look is no reason to make a directory");
}

#[test]
fn a_password_is_never_asked_for_where_nobody_can_type_it() {
    let home = Home::new();
    let output = Command::new(env!("CARGO_BIN_EXE_mynah"))
        .args(["account", "add", "ann", "--data-dir"])
        .arg(home.data())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = said(&output, 2);
    assert!(text.contains("--password-file -"), "{text}");
    let file = home.data().join("secret");
    std::fs::write(&file, "from a file\r\nnot this").unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_mynah"))
        .args(["account", "add", "ann", "--data-dir"])
        .arg(home.data())
        .arg("--password-file")
        .arg(&file)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    said(&output, 0);
    let mut house = home.start();
    assert!(is_in(&house.login("ann", "from a file")));
}

#[test]
fn of_twenty_at_once_none_is_lost_whether_a_server_starts_stops_or_is_killed_meanwhile() {
    let home = Home::new();
    let data = home.data();
    let mut children: Vec<(String, Child)> = Vec::new();
    let begin_some = |from: usize, children: &mut Vec<(String, Child)>| {
        for n in from..from + 5 {
            let name = format!("user{n}");
            let child = begin(&data, &["add", &name], "secret");
            children.push((name, child));
        }
    };
    begin_some(0, &mut children);
    let house = home.start();
    begin_some(5, &mut children);
    assert!(house.server.terminate().success());
    // Where a server starts or stops in its own time, none is lost and none is unsure.
    for (name, child) in std::mem::take(&mut children) {
        said(&child.wait_with_output().unwrap(), 0);
        assert!(home.has(&name));
    }
    let mut house = home.start();
    begin_some(10, &mut children);
    house.server.signal(Signal::KILL);
    wait_for_exit(&mut house.server.child);
    begin_some(15, &mut children);
    for (name, child) in children {
        let output = child.wait_with_output().unwrap();
        if output.status.success() {
            assert!(home.has(&name), "{name} was confirmed");
            continue;
        }
        // The server that it had asked was killed: it says that it does not know.
        let text = said(&output, 1);
        assert!(
            text.contains("not known") || text.contains("try again"),
            "{name}: {text}"
        );
    }
    // Nothing stands in the way of the next.
    until("the next is done", || {
        let output = account(&data, &["add", "last"], "x");
        output.status.success().then_some(())
    });
}
