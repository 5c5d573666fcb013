//! Passwords: where they must not stay, and what a storm of them costs.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::net::Ipv4Addr;
use std::os::unix::fs::{FileExt, PermissionsExt};

use crate::support::logins::{Guest, Home, files, is_in};
use crate::support::{or_skip, until};

/// Everything that a process may write to, and so may have kept something in.
fn memory(pid: u32) -> Option<Vec<(String, Vec<u8>)>> {
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).unwrap();
    let memory = File::open(format!("/proc/{pid}/mem")).ok()?;
    let mut found = Vec::new();
    for line in maps.lines() {
        let mut fields = line.split_whitespace();
        let (range, mode) = (fields.next().unwrap(), fields.next().unwrap());
        if !mode.starts_with("rw") {
            continue;
        }
        let (start, end) = range.split_once('-').unwrap();
        let [start, end] = [start, end].map(|at| u64::from_str_radix(at, 16).unwrap());
        let mut bytes = vec![0; (end - start) as usize];
        memory.read_exact_at(&mut bytes, start).ok()?;
        found.push((line.to_owned(), bytes));
    }
    Some(found)
}

fn holds(haystack: &[u8], needle: &str) -> bool {
    haystack
        .windows(needle.len())
        .any(|window| window == needle.as_bytes())
}

#[test]
fn r18_no_password_stays_in_memory_in_a_file_or_in_the_log() {
    let home = Home::new().telling_all();
    let passwords = [
        "of-the-plain-file-7f3a",
        "of-a-registration-91c2",
        "that-is-wrong-d004",
        "of-a-name-that-is-none-5b",
    ];
    fs::write(home.file(), format!("{{\"old\": \"{}\"}}", passwords[0])).unwrap();
    fs::set_permissions(home.file(), fs::Permissions::from_mode(0o644)).unwrap();
    let mut house = home.start();
    until("the old entry is hashed", || {
        home.log()
            .contains("all passwords are hashed")
            .then_some(())
    });
    assert!(is_in(&house.login("old", passwords[0])));
    assert!(is_in(&house.login("new", passwords[1])));
    let denied = house.login("old", passwords[2]);
    assert_eq!(denied, "DENIED wrong name or password");
    let denied = house.login(&"x".repeat(200), passwords[3]);
    assert_eq!(denied, "DENIED not a name");
    house.chats("here we are");
    let Some(memory) = memory(house.server.child.id()) else {
        or_skip(false, "the right to read another process's memory");
        return;
    };
    // What is looked for would be found: this is where the name of the account stands.
    assert!(memory.iter().any(|(_, bytes)| holds(bytes, "argon2id")));
    let mut found = Vec::new();
    for (place, bytes) in &memory {
        for password in passwords {
            if holds(bytes, password) {
                found.push(format!("{password} in {place}"));
            }
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
    assert_eq!(house.server.terminate().code(), Some(0));
    let kept = files(&home.data());
    assert_eq!(
        kept,
        ["chat_users.json", "chat_users.json.bak", "mynah.lock"]
    );
    for file in kept
        .iter()
        .map(|file| home.data().join(file))
        .chain([home.log_file()])
    {
        let bytes = fs::read(&file).unwrap();
        for password in passwords {
            assert!(!holds(&bytes, password), "{password} in {}", file.display());
        }
        if file != home.log_file() {
            let mode = fs::metadata(&file).unwrap().permissions().mode();
            assert_eq!(mode & 0o077, 0, "{}", file.display());
        }
    }
    assert!(home.has("old") && home.has("new"));
}

#[test]
fn r19_ten_thousand_logins_cost_the_memory_of_one_and_the_chat_goes_on() {
    let home = Home::new().at_full_cost();
    let house = home.start();
    let mut talker = house.server.join("talker");
    let mut listener = house.server.join("listener");
    // Its own, without the code, which is another matter.
    let before = house.server.memory("RssAnon");
    let threads = house.server.memory("Threads");
    // As many open at once as a process has descriptors for.
    let mut guests = VecDeque::new();
    for number in 0..10_000u32 {
        let guest = Guest::at(Ipv4Addr::from(0x7f01_0000 + number));
        guest.send(house.logins, &format!("PASS name{number} some password"));
        guests.push_back(guest);
        if guests.len() > 500 {
            guests.pop_front();
        }
        if number % 100 == 0 {
            talker.say(&format!("{number} have asked"));
            assert_eq!(listener.hear_text(), format!("{number} have asked"));
            talker.hear();
        }
    }
    let grown = house.server.memory("RssAnon") - before;
    assert!(grown <= 20 * 1024, "{grown} kB");
    assert_eq!(house.server.memory("Threads"), threads);
    // Twenty lines a second, and how many there were beside them.
    until("the log tells of the others", || {
        let log = home.log();
        log.contains("logins refused: ").then_some(())
    });
    let lines = home.log().lines().count();
    assert!(lines < 2000, "{lines} lines");
}
